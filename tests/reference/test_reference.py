"""The plain reader against the plain writer, and against the files of the original."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from . import expected, format1, format2
from . import read as read_files
from .format2 import Corrupt, Finding, Pairs, Refused, Truncated
from .format2_writer import Writer
from .siphash import siphash13

NOISE = random.Random(1).randbytes(6000)
BLOCKS: list[tuple[bytes, Pairs]] = [
    (b"first", [(b"raw", b"<p>" * 3000), (b"log", b"ok"), (b"raw", NOISE)]),
    (b"", [(b"", b""), (b"", b"x"), (b"same", b"1"), (b"same", b"")]),
    (b"empty", []),
    (b"\x00\xff", [(b"k" * 300, b"v" * 4095), (b"k", b"v" * 4096)]),
]


def write_blocks(codec: int = format2.ZLIB, large: int = 4096) -> Writer:
    writer = Writer(7, codec=codec, large=large)
    for key, pairs in BLOCKS:
        writer.write(key, pairs)
    return writer


def with_header_crc(data: bytearray, offset: int, file_id: int = 7) -> bytes:
    """The data with a right crc for what now stands in the record header at offset."""
    crc = format2.bound_crc(file_id, offset, bytes(data[offset + 8 : offset + 64]))
    data[offset + 4 : offset + 8] = format2.U32.pack(crc)
    return bytes(data)


def test_siphash_known_values() -> None:
    # The first is that of the Rust standard library's own tests, the two others that of the digest-sip_hash crate.
    assert siphash13(bytes(range(16)), b"").to_bytes(8, "little").hex() == "dcc40f055801acab"
    assert siphash13(bytes(16), b"") == 0xD1FBA762150C532C
    assert siphash13(bytes(16), b"siphash") == 0x8264CEECCB16BCBE


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python does not hash with SipHash-1-3")
def test_siphash_agrees_with_the_interpreter() -> None:
    # PYTHONHASHSEED=0 makes CPython's hash of bytes SipHash-1-3 with a key of zeros, empty bytes excepted.
    messages = [bytes(range(length)) for length in range(1, 70)]
    program = f"print([hash(message) % 2**64 for message in {messages}])"
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert [siphash13(bytes(16), message) for message in messages] == json.loads(run.stdout)


@pytest.mark.parametrize("large", [0, 1, 4096, 10**9])
@pytest.mark.parametrize("codec", [format2.NONE, format2.ZLIB])
def test_reads_what_the_writer_wrote(codec: int, large: int) -> None:
    writer = write_blocks(codec, large)
    writer.frame(closed=True)
    for index in (None, bytes(writer.index)):
        pipe = format2.read(bytes(writer.data), index)
        assert pipe.blocks == BLOCKS
        assert len(pipe.scanned.records) == (0 if index else len(BLOCKS))
        for key, pairs in BLOCKS:
            assert pipe.find(key) == pairs
        assert pipe.find(b"absent") is None
    assert format2.findings(bytes(writer.data), bytes(writer.index)) == []


def test_segments_are_stored_plain_when_they_do_not_shrink() -> None:
    writer = write_blocks()
    records = format2.scan(bytes(writer.data), 7).records
    directory, _ = format2.read_directory(bytes(writer.data), records[0])
    assert [(large.number, large.raw) for large in directory] == [(0, 9000), (2, 6000)]
    assert [large.stored < large.raw for large in directory] == [True, False]
    assert records[2].head_raw == records[2].head_stored == 0


@pytest.mark.parametrize("tables", [[False], [True], [True, False, True], [False, False, True]])
def test_frames(tables: list[bool]) -> None:
    writer = Writer(7)
    for number in range(200):
        writer.write(b"key %d" % number, [(b"n", b"%d" % number)])
        if number % 50 == 49 and number // 50 < len(tables):
            writer.frame(slots=None if tables[number // 50] else 0)
    pipe = format2.read(bytes(writer.data), bytes(writer.index))
    assert pipe.index
    assert [len(frame.entries) for frame in pipe.index.frames] == [50] * len(tables)
    assert [bool(frame.slots) for frame in pipe.index.frames] == tables
    assert [frame.blocks for frame in pipe.index.frames] == [50 * number for number in range(1, len(tables) + 1)]
    assert len(pipe.scanned.records) == 200 - 50 * len(tables)
    assert [key for key, _ in pipe.blocks] == [b"key %d" % number for number in range(200)]
    for number in range(200):
        assert pipe.find(b"key %d" % number) == [(b"n", b"%d" % number)]
    assert pipe.find(b"key 200") is None


def test_a_full_table() -> None:
    writer = Writer(7)
    for number in range(100):
        writer.write(b"key %d" % number, [(b"n", b"%d" % number)])
    writer.frame(slots=101)
    pipe = format2.read(bytes(writer.data), bytes(writer.index))
    for number in range(200):
        assert pipe.find(b"key %d" % number) == ([(b"n", b"%d" % number)] if number < 100 else None)


def test_a_repeated_key_is_found_last() -> None:
    writer = Writer(7)
    for value in (b"1", b"2"):
        writer.write(b"a", [(b"v", value)])
    writer.frame()
    assert format2.read(bytes(writer.data), bytes(writer.index)).find(b"a") == [(b"v", b"2")]
    writer.write(b"a", [(b"v", b"3")])
    writer.frame(slots=0)
    assert format2.read(bytes(writer.data), bytes(writer.index)).find(b"a") == [(b"v", b"3")]
    writer.write(b"a", [(b"v", b"4")])
    pipe = format2.read(bytes(writer.data), bytes(writer.index))
    assert pipe.find(b"a") == [(b"v", b"4")]
    assert [pairs for _, pairs in pipe.blocks] == [[(b"v", value)] for value in (b"1", b"2", b"3", b"4")]


def test_metadata() -> None:
    writer = Writer(7)
    writer.metadata({b"who": b"first"})
    writer.write(b"a", {b"k": b"v"})
    writer.frame()
    assert format2.read(bytes(writer.data), bytes(writer.index)).metadata == [(b"who", b"first")]
    writer.metadata({b"who": b"second"})
    for index in (None, bytes(writer.index)):
        pipe = format2.read(bytes(writer.data), index)
        assert pipe.metadata == [(b"who", b"second")]
        assert [key for key, _ in pipe.blocks] == [b"a"]


def test_forged_records_in_a_value_are_no_records() -> None:
    inner = write_blocks()
    writer = Writer(8)
    begin = writer.write(b"pipe", {b"copy": bytes(inner.data)})
    writer.write(b"behind", {b"k": b"v"})
    data = bytes(writer.data)
    damaged = data[:begin] + b"?" + data[begin + 1 :]
    found = format2.scan(damaged, 8)
    assert [record.ordinal for record in found.records] == [1]
    assert found.damage == [(begin, found.records[0].offset)]


def test_a_moved_record_is_no_record() -> None:
    data = bytes(write_blocks().data)
    found = format2.scan(data[:32] + b"x" + data[32:], 7)
    assert (found.records, found.tail) == ([], (32, len(data) + 1))


def test_zeros_behind_the_records_are_a_clean_end() -> None:
    data = bytes(write_blocks().data) + bytes(1000)
    found = format2.scan(data, 7)
    assert (len(found.records), found.damage, found.tail) == (4, [], None)
    assert format2.findings(data) == []


def test_a_record_is_read_only_whole() -> None:
    writer = write_blocks()
    data = bytes(writer.data)
    last = format2.scan(data, 7).records[-1]
    for end in (last.offset + 1, last.offset + 63, last.offset + 64, last.offset + last.lead_size, last.end - 1):
        found = format2.scan(data[:end], 7)
        assert (len(found.records), found.damage, found.tail) == (3, [], (last.offset, end))
        assert format2.findings(data[:end]) == [Finding("torn tail", last.offset, end)]


class TestFindings:
    """The table of *Reading without an index, and tails*. Three records, the second or the third damaged."""

    def write(self, synced_after: int, listed: int = 0) -> tuple[bytearray, bytes, list[int]]:
        writer = Writer(7)
        offsets = []
        for number in range(3):
            offsets.append(writer.write(b"key %d" % number, {b"k": b"value" * 10}))
            if number + 1 == synced_after:
                writer.sync()
            if number + 1 == listed:
                writer.frame()
        return writer.data, bytes(writer.index), [*offsets, len(writer.data)]

    @pytest.mark.parametrize("place", [0, 100], ids=["header", "head"])
    def test_corruption(self, place: int) -> None:
        data, _, ends = self.write(synced_after=2)
        data[ends[1] + place] ^= 1
        assert format2.findings(bytes(data)) == [Finding("corruption", ends[1], ends[2])]

    @pytest.mark.parametrize("place", [0, 100], ids=["header", "head"])
    def test_unsynced_loss_before_a_good_record(self, place: int) -> None:
        data, _, ends = self.write(synced_after=1)
        data[ends[1] + place] ^= 1
        assert format2.findings(bytes(data)) == [Finding("unsynced loss", ends[1], ends[2])]

    def test_unsynced_loss_of_a_listed_record(self) -> None:
        data, index, ends = self.write(synced_after=0, listed=3)
        data[ends[2] + 100] ^= 1
        assert format2.findings(bytes(data), index) == [Finding("unsynced loss", ends[2], ends[3])]

    @pytest.mark.parametrize("place", [0, 100], ids=["header", "head"])
    def test_torn_tail(self, place: int) -> None:
        data, index, ends = self.write(synced_after=1, listed=2)
        data[ends[2] + place] ^= 1
        assert format2.findings(bytes(data), index) == [Finding("torn tail", ends[2], ends[3])]

    def test_a_torn_tail_begins_at_the_first_of_several(self) -> None:
        data, _, ends = self.write(synced_after=0)
        data[ends[1]] ^= 1
        data[ends[2] + 100] ^= 1
        assert format2.findings(bytes(data)) == [Finding("torn tail", ends[1], ends[3])]

    def test_truncated(self) -> None:
        writer = Writer(7)
        first = writer.write(b"a", {b"k": b"v"})
        cut = len(writer.data)
        writer.write(b"b", {b"k": b"v"})
        writer.sync()
        writer.frame()
        assert first < cut
        with pytest.raises(Truncated):
            format2.findings(bytes(writer.data[:cut]), bytes(writer.index))


def test_an_index_of_another_pipe_is_ignored() -> None:
    stale = Writer(8)
    stale.frame(closed=True)
    writer = write_blocks()
    pipe = format2.read(bytes(writer.data), bytes(stale.index))
    assert pipe.index is None
    assert pipe.blocks == BLOCKS


def test_an_index_of_another_history_is_ignored() -> None:
    other = write_blocks()
    other.frame()
    writer = Writer(7, codec=format2.ZLIB, stamp=5)
    for key, pairs in BLOCKS:
        writer.write(key, pairs)
    pipe = format2.read(bytes(writer.data), bytes(other.index))
    assert pipe.index is None
    assert pipe.blocks == BLOCKS


def test_every_flipped_bit_of_an_index_is_found() -> None:
    writer = write_blocks()
    writer.frame()
    whole = bytes(writer.index)
    for place in range(len(whole)):
        index = whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]
        pipe = format2.read(bytes(writer.data), index)
        # The optional flags are under the crc too, so that not even these may change.
        assert pipe.index is None or pipe.index.frames == []
        assert len(pipe.scanned.records) == len(BLOCKS)


@pytest.mark.parametrize("keep", [0, 63, 64, 100, -1])
def test_a_cut_index_is_read_as_far_as_it_goes(keep: int) -> None:
    writer = Writer(7)
    writer.write(b"a", {b"k": b"1"})
    writer.frame()
    first = len(writer.index)
    writer.write(b"b", {b"k": b"2"})
    writer.frame(closed=True)
    for end, scanned in ((keep if keep >= 0 else first, 2 if keep >= 0 else 1), (first + 10, 1)):
        pipe = format2.read(bytes(writer.data), bytes(writer.index[:end]))
        assert len(pipe.scanned.records) == scanned
        assert [key for key, _ in pipe.blocks] == [b"a", b"b"]


@pytest.mark.parametrize(("closed", "synced"), [(True, False), (False, True)])
def test_data_cut_behind_its_index(closed: bool, synced: bool) -> None:
    writer = write_blocks()
    if synced:
        writer.sync()
    writer.frame(closed=closed)
    with pytest.raises(Truncated):
        format2.read(bytes(writer.data[:-1]), bytes(writer.index))


def test_an_index_ahead_of_unsynced_data() -> None:
    writer = write_blocks()
    writer.frame()
    pipe = format2.read(bytes(writer.data[:-1]), bytes(writer.index))
    assert pipe.blocks == BLOCKS[:3]
    assert pipe.find(BLOCKS[3][0]) is None
    assert pipe.find(b"empty") == []


class TestRefusals:
    def test_another_magic(self) -> None:
        with pytest.raises(Refused):
            format2.read_file_header(b"\x89SP3\r\n\x1a\n" + bytes(24))

    @pytest.mark.parametrize(("place", "raises"), [(16, True), (20, False), (25, True), (27, True)])
    def test_flags_and_zeros_of_the_file_header(self, place: int, raises: bool) -> None:
        data = write_blocks().data
        data[place] = 1
        with pytest.raises(Corrupt):
            format2.read(bytes(data))
        data[28:32] = format2.U32.pack(zlib.crc32(data[:28]))
        if raises:
            with pytest.raises(Refused):
                format2.read(bytes(data))
        else:
            assert format2.read(bytes(data)).blocks == BLOCKS

    @pytest.mark.parametrize("kind", [1, 4, 5, 127])
    def test_kinds_that_must_be_known(self, kind: int) -> None:
        writer = write_blocks()
        writer.write(b"", [], kind)
        with pytest.raises(Refused):
            format2.read(bytes(writer.data))

    @pytest.mark.parametrize("kind", [128, 255])
    def test_kinds_that_may_be_skipped(self, kind: int) -> None:
        writer = Writer(7)
        writer.write(b"skip me", [(b"k", b"v")], kind)
        writer.write(b"a", [])
        assert format2.read(bytes(writer.data)).blocks == [(b"a", [])]

    def test_an_unknown_codec_refuses_its_record_only(self) -> None:
        writer = Writer(7)
        first = writer.write(b"a", [(b"k", b"v")])
        writer.write(b"b", [(b"k", b"w")])
        writer.data[first + 61] = 4
        data = with_header_crc(writer.data, first)
        pipe = format2.read(data)
        assert pipe.find(b"b") == [(b"k", b"w")]
        with pytest.raises(Refused, match="codec 4"):
            pipe.find(b"a")
        assert format2.findings(data) == []


class TestCorruptRecords:
    """Records whose crcs are right and whose sizes are not."""

    @pytest.mark.parametrize("codec", [format2.NONE, format2.ZLIB])
    @pytest.mark.parametrize("place", [24, 28, 32, 36, 40, 44])
    def test_a_size_of_the_header(self, place: int, codec: int) -> None:
        writer = Writer(7, codec=codec, large=8)
        offset = writer.write(b"key", [(b"small", b"1"), (b"large", b"12345678")])
        writer.write(b"behind", [])
        writer.data[offset + place] += 1
        data = with_header_crc(writer.data, offset)
        assert format2.findings(data)[0].begin == offset
        with pytest.raises(Corrupt):
            format2.read_record(data, format2.Record(offset, *format2.RECORD_HEADER.unpack_from(data, offset)[1:]))

    def test_every_flipped_bit_of_a_record_is_found(self) -> None:
        writer = Writer(7, codec=format2.ZLIB, large=30)
        offset = writer.write(b"key", [(b"small", b"1"), (b"large", b"x" * 40)])
        writer.write(b"behind", [])
        whole = bytes(writer.data)
        end = format2.scan(whole, 7).records[1].offset
        for place in range(offset, end):
            data = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
            assert format2.findings(data) == [Finding("unsynced loss", offset, end)]

    @pytest.mark.parametrize(
        ("raw", "deflated"),
        [
            (b"x" * 100, zlib.compress(b"x" * 99)),
            (b"x" * 100, zlib.compress(b"x" * 101)),
            (b"x" * 100, zlib.compress(b"x" * 100) + b"?"),
            (b"x" * 100, zlib.compress(b"x" * 100)[:-1]),
            (b"x" * 100, b"no stream"),
            (b"x" * 80_000, zlib.compress(b"")),
        ],
        ids=["short", "long", "behind", "cut", "none", "ratio"],
    )
    def test_streams(self, raw: bytes, deflated: bytes) -> None:
        streams = {raw: deflated}
        writer = Writer(7, codec=format2.ZLIB, large=100, deflate=lambda segment: streams.get(segment, segment))
        writer.write(b"key", [(b"large", raw)])
        pipe = format2.read(bytes(writer.data))
        with pytest.raises(Corrupt):
            pipe.find(b"key")


@pytest.mark.parametrize("length", range(32))
def test_less_than_a_file_header_is_an_empty_pipe(length: int, tmp_path: Path) -> None:
    Path(tmp_path / "pipe.dat").write_bytes(write_blocks().data[:length])
    contents = read_files(tmp_path / "pipe")
    assert (contents.format, contents.blocks, contents.metadata) == (2, [], [])


@pytest.mark.parametrize("chosen", [".dat", ".datz"])
def test_the_index_names_the_data_file(chosen: str, tmp_path: Path) -> None:
    for number, (suffix, codec) in enumerate([(".dat", format2.NONE), (".datz", format2.ZLIB)]):
        writer = Writer(number, codec=codec)
        writer.write(suffix.encode(), [])
        writer.frame(closed=True)
        writer.save(tmp_path / "pipe", index=suffix == chosen)
    assert read_files(tmp_path / "pipe").blocks == [(chosen.encode(), [])]
    assert read_files(tmp_path / "pipe", use_index=False).blocks == [(b".dat", [])]


class TestFormat1:
    @pytest.mark.parametrize("suffix", ["dat", "datz"])
    @pytest.mark.parametrize("name", sorted(expected.load(expected.GOLDEN / "format1")))
    def test_reads_the_files_of_the_original(self, name: str, suffix: str) -> None:
        contents = read_files(expected.GOLDEN / "format1" / suffix / name)
        assert (contents.format, contents.compressed) == (1, suffix == "datz")
        assert expected.describe(contents.blocks) == expected.load(expected.GOLDEN / "format1")[name]

    @pytest.mark.parametrize("compressed", [False, True])
    def test_reads_what_the_writer_wrote(self, compressed: bool) -> None:
        data, index = format1.write(BLOCKS, compressed=compressed)
        assert format1.read(data, index, compressed=compressed) == BLOCKS

    @pytest.mark.parametrize("name", sorted(expected.load(expected.GOLDEN / "format1")))
    def test_writes_what_the_original_wrote(self, name: str) -> None:
        folder = expected.GOLDEN / "format1"
        blocks = read_files(folder / "dat" / name).blocks
        data, index = format1.write(blocks, compressed=False)
        assert data == (folder / "dat" / f"{name}.dat").read_bytes()
        assert index == (folder / "dat" / f"{name}.idx").read_bytes()

    def test_a_cut_index_is_read_up_to_the_last_whole_entry(self) -> None:
        _, index = format1.write(BLOCKS, compressed=False)
        whole = format1.read_index(index)
        for cut in range(1, 4 + len(BLOCKS[-1][0]) + 16 + 1):
            assert format1.read_index(index[:-cut]) == whole[:-1]

    @pytest.mark.parametrize("compressed", [False, True])
    def test_a_cut_last_block_is_corrupt(self, compressed: bool) -> None:
        data, index = format1.write(BLOCKS[:1], compressed=compressed)
        with pytest.raises(format1.Corrupt):
            format1.read(data[:-1], index, compressed=compressed)

    def test_no_index_no_keys(self, tmp_path: Path) -> None:
        data, _ = format1.write(BLOCKS, compressed=False)
        (tmp_path / "pipe.dat").write_bytes(data)
        with pytest.raises(FileNotFoundError):
            read_files(tmp_path / "pipe")
