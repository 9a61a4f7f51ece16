"""Files that were made to do harm: they cost little memory, do not hang, and give nothing but our errors.

Each is read in every way there is, in a process of its own. Their checksums are right where nothing else is said.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from container.pipes import (
    FILE_ID,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    index,
    plant,
    planter,
)
from reference import format1, format2
from reference.format2 import ENTRY, FILE_HEADER, FRAME_HEADER, RECORD_HEADER, U32, bound_crc
from reference.siphash import siphash13

import smartpipe

from . import child, readers
from .child import MIB

MILLION = 1_000_000
GIB = 1 << 30


# docs/durability.md: verify and recover keep the keys, and name each block that is not whole.
NAMING = 640  # bytes
FRAMES = 300_000


def endure(
    prefix: str,
    limit: int = MIB,
    writable: bool = True,
    calls: Sequence[readers.Call] = readers.CALLS,
    named: int = 0,
) -> None:
    """Read a pipe in all ways, or some, go on with it and mend it, with this max_block_size and 256 MiB beyond it.

    `named` is how many blocks a report has to name.
    """

    def run() -> None:
        readers.try_all(prefix, calls, max_block_size=limit)
        if writable:
            readers.try_append(prefix, max_block_size=limit)

    child.run(lambda: readers.try_mending(prefix, max_block_size=limit), child.BEYOND + limit + NAMING * named)
    child.run(run, child.BEYOND + limit)


# Bombs


def zeros(size: int) -> bytes:
    """A zlib stream of so many MiB of zeros, a thousandth of them in size: the same block again and again."""
    deflater = zlib.compressobj(9)
    first = deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)
    again = deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_FULL_FLUSH)
    end = deflater.flush()[:-4]
    return first + again * (size - 1) + end + struct.pack(">I", (size * MIB % 65521) << 16 | 1)


def test_the_bomb_is_one() -> None:
    assert zlib.decompress(zeros(5)) == bytes(5 * MIB)
    assert len(zeros(10 * 1024)) < 11 * MIB


LIMITS = pytest.mark.parametrize("limit", [MIB, 256 * MIB], ids=["1MiB", "256MiB"])


@LIMITS
@pytest.mark.parametrize("claimed", [0, 1, MIB, 2**32 - 1, 2**32, 10 * GIB, 2**63, 2**64 - 1])
def test_a_bomb_in_the_middle_of_format_1(claimed: int, limit: int, scratch: str) -> None:
    bomb = zeros(10 * 1024)
    behind = zlib.compress(format1.write_pairs([(b"k", b"v")]))
    Path(scratch + ".datz").write_bytes(bomb + behind)
    index(scratch).write_bytes(entry1(b"bomb", 0, 0) + entry1(b"behind", len(bomb), claimed))

    def run() -> None:
        readers.try_all(scratch, max_block_size=limit)
        readers.try_mending(scratch, max_block_size=limit)
        with smartpipe.open(scratch, max_block_size=limit) as pipe:
            with pytest.raises(smartpipe.SmartPipeError):
                list(pipe[b"bomb"])
            assert list(pipe[b"behind"]) == [(b"k", b"v")]
        readers.try_append(scratch, max_block_size=limit)

    child.run(run, child.BEYOND + limit)


@LIMITS
def test_a_bomb_at_the_end_of_format_1(limit: int, scratch: str) -> None:
    # Nothing tells its size.
    Path(scratch + ".datz").write_bytes(zeros(10 * 1024))
    index(scratch).write_bytes(entry1(b"bomb", 0, 0))

    def run() -> None:
        readers.try_all(scratch, max_block_size=limit)
        readers.try_mending(scratch, max_block_size=limit)
        with smartpipe.open(scratch, max_block_size=limit) as pipe, pytest.raises(smartpipe.BlockTooLargeError):
            list(pipe[b"bomb"])
        readers.try_append(scratch, max_block_size=limit)

    child.run(run, child.BEYOND + limit)


def entry1(key: bytes, offset: int, raw_offset: int) -> bytes:
    return format1.LENGTH.pack(len(key)) + key + format1.OFFSETS.pack(offset, raw_offset)


@LIMITS
@pytest.mark.parametrize("claimed", [10 * MIB + MIB, 100 * MIB, 255 * MIB, 256 * MIB, 2**31, 2**32 - 1])
@pytest.mark.parametrize("where", ["head", "value"])
def test_a_bomb_of_format_2(where: str, claimed: int, limit: int, scratch: str) -> None:
    # A record can not even say 10 GiB. The stream is what it is.
    bomb = zeros(10 * 1024)
    writer = planter(Kind(2, True))
    if where == "head":
        add_record(writer.data, b"bomb", 0, head=(claimed, bomb), pairs=1)
    else:
        head = struct.pack("<II", 1, claimed) + b"k"
        add_record(writer.data, b"bomb", 0, head=(len(head), head), pairs=1, larges=[(0, claimed, bomb)])
    add_record(writer.data, b"behind", 1, head=(10, struct.pack("<II", 1, 1) + b"kv"), pairs=1)
    writer.save(scratch, index=False)

    def run() -> None:
        readers.try_all(scratch, max_block_size=limit)
        readers.try_mending(scratch, max_block_size=limit)
        with smartpipe.open(scratch, max_block_size=limit) as pipe:
            with pytest.raises(smartpipe.SmartPipeError):
                list(pipe[b"bomb"])
            assert list(pipe[b"behind"]) == [(b"k", b"v")]
        readers.try_append(scratch, max_block_size=limit)

    child.run(run, child.BEYOND + limit)


def add_record(
    data: bytearray,
    key: bytes,
    ordinal: int,
    *,
    head: tuple[int, bytes],
    pairs: int,
    larges: Iterable[tuple[int, int, bytes]] = (),
    kind: int = format2.BLOCK,
    codec: int = format2.ZLIB,
) -> int:
    """A record of which the author says how large it is inflated. `head`: raw size and stored bytes."""
    directory = b"".join(
        format2.LARGE.pack(number, raw, len(stored), zlib.crc32(stored)) for number, raw, stored in larges
    )
    segments = b"".join(stored for _, _, stored in larges)
    raw, stored = head
    size = RECORD_HEADER.size + len(directory) + len(key) + len(stored) + len(segments)
    offset = len(data)
    data += record_header(
        offset, size, len(key), pairs, len(directory) // 16, raw, len(stored), zlib.crc32(stored),
        zlib.crc32(directory + key), ordinal, kind, codec,
    )  # fmt: skip
    data += directory + key + stored + segments
    return offset


def record_header(offset: int, size: int, *rest: int) -> bytes:
    """`rest`: the fields from the length of the key to the codec."""
    header = RECORD_HEADER.pack(format2.RECORD_MAGIC, 0, 1 + offset, 0, size, *rest, 0)
    return header[:4] + U32.pack(bound_crc(FILE_ID, offset, header[8:])) + header[8:]


@every_kind
def test_ten_gigabytes_of_honest_zeros(kind: Kind, scratch: str) -> None:
    # No block of them is too large, so that each can be read; nobody keeps them.
    if not kind.compress:
        pytest.skip("only what is compressed is small")
    value, count = 63 * MIB, 160
    if kind.format == 1:
        plain_block = struct.pack("<I", 1) + b"k" + struct.pack("<I", value)
        stored = zlib.compress(plain_block + bytes(value), 9)
        raw = len(plain_block) + value
        Path(scratch + ".datz").write_bytes(stored * count)
        listed = (entry1(b"%d" % number, number * len(stored), number * raw) for number in range(count))
        index(scratch).write_bytes(b"".join(listed))
    else:
        writer = planter(kind)
        head = struct.pack("<II", 1, value) + b"k"
        bomb = zeros(63)
        for number in range(count):
            add_record(writer.data, b"%d" % number, number, head=(len(head), head), pairs=1, larges=[(0, value, bomb)])
        writer.save(scratch, index=False)
    assert sum(path.stat().st_size for path in Path(scratch).parent.iterdir()) < 11 * MIB

    def run() -> int:
        size = 0
        with smartpipe.open(scratch, max_block_size=64 * MIB) as pipe:
            for _, block in pipe.items():
                size += len(block[b"k"])
        return size

    assert child.run(run, child.BEYOND + 64 * MIB).answer == value * count


# Claims of what is not there, or of what is there and empty: files with holes are long and take no place


def holed(path: str | Path, content: bytes | bytearray, size: int) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(size)


def crc_of_zeros(size: int) -> int:
    crc = 0
    while size:
        n = min(size, 16 * MIB)
        crc = zlib.crc32(bytes(n), crc)
        size -= n
    return crc


@every_kind_of_format2
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("what", ["block", "metadata"])
def test_a_record_of_four_gigabytes(what: str, there: bool, kind: Kind, scratch: str) -> None:
    # Its lead is right, and its one value is a hole.
    writer = planter(kind)
    codec = format2.ZLIB if kind.compress else format2.NONE
    kinds = format2.METADATA if what == "metadata" else format2.BLOCK
    key = b"" if what == "metadata" else b"hole"
    value = 2**32 - 1 - 64 - 16 - len(key) - 9
    head = struct.pack("<II", 1, value) + b"k"
    directory = format2.LARGE.pack(0, value, value, 0)
    writer.data += record_header(
        32, 2**32 - 1, len(key), 1, 1, len(head), len(head), zlib.crc32(head), zlib.crc32(directory + key), 0, kinds,
        codec,
    )  # fmt: skip
    writer.data += directory + key + head
    holed(kind.data(scratch), writer.data, 32 + (2**32 - 1 if there else 2**20))
    endure(scratch)


@every_kind_of_format2
@pytest.mark.parametrize("size", [300 * MIB, 2**32 - 100])
def test_a_key_of_gigabytes(size: int, kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    codec = format2.ZLIB if kind.compress else format2.NONE
    writer.data += record_header(32, 64 + size, size, 0, 0, 0, 0, 0, crc_of_zeros(size), 0, format2.BLOCK, codec)
    holed(kind.data(scratch), writer.data, 32 + 64 + size)
    endure(scratch)


@every_kind_of_format2
@pytest.mark.parametrize("lead", [64, 100, 2**31, 2**32 - 1])
def test_an_entry_that_lists_four_gigabytes(lead: int, kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    writer.write(b"a", {b"k": b"v"})
    listed = bytearray(writer.index)
    entry = ENTRY.pack(32, 0, writer.stamp, 2**32 - 1, lead, 1, 1, 1, format2.BLOCK, writer.codec, 0)
    last = U32.unpack_from(writer.data, 36)[0]
    add_frame(listed, [entry], b"a", 32, 32 + 2**32 - 1, last_crc=last)
    holed(kind.data(scratch), writer.data, 32 + 2**32)
    index(scratch).write_bytes(listed)
    endure(scratch, writable=False)  # the zeros behind the record are scanned, and cut, by whoever appends


def add_frame(
    listed: bytearray,
    entries: list[bytes],
    keys: bytes,
    start: int,
    to: int,
    *,
    slots: bytes = b"",
    last_crc: int = 0,
    metadata: int = 0,
) -> None:
    """A frame with right checksums, whatever is in it."""
    body = b"".join(entries) + slots + keys
    body += bytes(-len(body) % 8)
    sums = format2.make_sums(body)
    offset = len(listed)
    header = FRAME_HEADER.pack(
        format2.FRAME_MAGIC, 0, FRAME_HEADER.size + len(sums) + len(body), start, to, 0, len(entries), len(keys),
        len(slots) // 8, len(entries), 0, 0, 0, metadata, 0, last_crc, 0, zlib.crc32(sums), bytes(8),
    )  # fmt: skip
    listed += header[:4] + U32.pack(bound_crc(FILE_ID, offset, header[8:])) + header[8:] + sums + body


@every_kind_of_format1
def test_a_block_of_format_1_that_is_a_hole(kind: Kind, scratch: str) -> None:
    for size in (300 * MIB, 5 * GIB):
        holed(kind.data(scratch), b"", size)
        behind = entry1(b"behind", size - 1, size - 1)
        index(scratch).write_bytes(entry1(b"hole", 0, 0) + behind)
        endure(scratch)
        holed(kind.data(scratch), b"", size)
        index(scratch).write_bytes(entry1(b"hole", 0, 0))
        endure(scratch)


# Very many of something


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("keys", ["same", "others"])
def test_a_million_entries_on_one_range(keys: str, table: bool, scratch: str) -> None:
    writer = planter(Kind(2, False))
    writer.write(b"%08d" % 0, {b"k": b"v" * 50})
    entry = bytes(ENTRY.pack(32, 0, writer.stamp - 1, len(writer.data) - 32, 0, 0, 1, 8, 0, writer.codec, 0))
    found = format2.scan(bytes(writer.data), FILE_ID).records[0]
    head = struct.pack("<II", found.lead_size, 59)
    names = b"".join(b"%08d" % number for number in range(MILLION)) if keys == "others" else b"%08d" % 0
    step = 8 if keys == "others" else 0
    entries = [
        entry[:8] + struct.pack("<Q", step * number) + entry[16:28] + head + entry[36:] for number in range(MILLION)
    ]
    slots = struct.pack(f"<{MILLION}Q", *range(1, MILLION + 1)) + bytes(8) if table else b""
    listed = bytearray(writer.index)
    add_frame(listed, entries, names, 32, len(writer.data), slots=slots, last_crc=found.crc)
    writer.index[:] = listed
    writer.save(scratch)
    endure(scratch, calls=readers.FEW_CALLS)


def test_a_million_entries_on_a_block_that_is_large(scratch: str) -> None:
    # 64 MB of index and 1 KB of data must not be a terabyte to read.
    writer = planter(Kind(2, True))
    writer.write(b"k", {b"k": bytes(MIB)})
    found = format2.scan(bytes(writer.data), FILE_ID).records[0]
    entry = ENTRY.pack(32, 0, found.stamp, found.size, found.lead_size, MIB + 9, 1, 1, 0, writer.codec, 0)
    add_frame(writer.index, [entry] * MILLION, b"k", 32, len(writer.data), last_crc=found.crc)
    writer.save(scratch)
    endure(scratch, 2 * MIB, calls=readers.FEW_CALLS)


def test_a_million_entries_of_format_1_at_one_place(scratch: str) -> None:
    kind = Kind(1, True)
    data, _ = format1.write([(b"", [(b"k", b"v")])], compressed=kind.compress)
    kind.data(scratch).write_bytes(data)
    index(scratch).write_bytes(b"".join(entry1(b"%d" % number, 0, 0) for number in range(MILLION)))
    endure(scratch, calls=readers.FEW_CALLS, named=MILLION)


@every_kind_of_format2
def test_entries_in_any_order(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    for number in range(40):
        writer.write(b"%d" % number, {b"k": b"v" * number})
    entries = {
        name: [ENTRY.pack(r.offset + move, 0, r.stamp, r.size, r.lead_size, 1, 1, 2, 0, r.codec, 0) for r in order]
        for name, order, move in (
            ("backward", format2.scan(bytes(writer.data), FILE_ID).records[::-1], 0),
            ("each twice", sorted(format2.scan(bytes(writer.data), FILE_ID).records * 2, key=lambda r: r.offset), 0),
            ("moved", format2.scan(bytes(writer.data), FILE_ID).records, 1),
            ("over the end", format2.scan(bytes(writer.data), FILE_ID).records, len(writer.data) // 2),
        )
    }
    start = bytes(writer.index)
    last = format2.scan(bytes(writer.data), FILE_ID).records[-1].crc
    for listed in entries.values():
        writer.index[:] = start
        add_frame(writer.index, listed, b"10", 32, len(writer.data), last_crc=last)
        writer.save(scratch)
        endure(scratch)


def test_records_within_a_value_that_an_index_lists(scratch: str) -> None:
    # They are valid ones, of this file and for this place: their author wrote the whole file.
    kind = Kind(2, False)
    inner = planter(kind)
    inner.data += bytes(100)
    at = len(inner.data)
    inner.write(b"inner", {b"k": b"v"})
    value = bytes(inner.data[at:])
    writer = planter(kind)
    writer.write(b"outer", {b"raw": bytes(at - 32 - 64 - 16 - 5 - 11) + value})
    assert writer.data.find(value) == at
    found = format2.scan(bytes(writer.data), FILE_ID).records
    nested = format2.read_record_header(bytes(writer.data), at, FILE_ID)
    assert nested is not None and len(found) == 1
    entries = [
        ENTRY.pack(record.offset, key, record.stamp, record.size, record.lead_size, 1, 1, 5, 0, 0, 0)
        for record, key in ((found[0], 0), (nested, 5))
    ]
    add_frame(writer.index, entries, b"outerinner", 32, len(writer.data), last_crc=nested.crc)
    writer.save(scratch)
    endure(scratch, writable=False)
    index(scratch).unlink()
    with pytest.warns(smartpipe.PipeWarning, match="no index"), smartpipe.open(scratch) as pipe:
        assert list(pipe) == [b"outer"]


@pytest.mark.parametrize("kind", [Kind(2, False), Kind(1, True)], ids=str)
def test_a_million_blocks_under_one_key(kind: Kind, scratch: str) -> None:
    if kind.format == 1:
        raw = format1.write_pairs([(b"k", b"v")])
        data = zlib.compress(raw) if kind.compress else raw
        kind.data(scratch).write_bytes(data * MILLION)
        listed = (entry1(b"same", number * len(data), number * len(raw)) for number in range(MILLION))
        index(scratch).write_bytes(b"".join(listed))
    else:
        million_blocks(kind, scratch, lambda number: b"sameness")
    endure(scratch, calls=readers.FEW_CALLS, named=MILLION)


def million_blocks(kind: Kind, prefix: str, key: Callable[[int], bytes]) -> tuple[list[bytes], int]:
    """A million blocks with keys of eight bytes and no pairs; gives their entries, and the crc of the last header."""
    writer = planter(kind)
    data = writer.data
    codec = format2.ZLIB if kind.compress else format2.NONE
    pack, crc32 = RECORD_HEADER.pack, zlib.crc32
    entries = []
    crc = 0
    for number in range(MILLION):
        name = key(number)
        offset = FILE_HEADER.size + 72 * number
        rest = pack(b"", 0, number + 1, 0, 72, 8, 0, 0, 0, 0, 0, crc32(name), number, 0, codec, 0)[8:]
        crc = crc32(struct.pack("<QQ", FILE_ID, offset) + rest)
        data += format2.RECORD_MAGIC + U32.pack(crc) + rest + name
        entries.append(ENTRY.pack(offset, 8 * number, number + 1, 72, 72, 0, 0, 8, 0, codec, 0))
    writer.save(prefix, index=False)
    return entries, crc


def eight_digits(number: int) -> bytes:
    return b"%08d" % number


def test_a_million_keys_without_an_index(scratch: str) -> None:
    # The key of the hash is drawn when it is opened, so that no keys can be prepared that collide.
    million_blocks(Kind(2, False), scratch, eight_digits)

    def run() -> None:
        with smartpipe.open(scratch) as pipe:
            assert len(pipe) == MILLION
            assert all(eight_digits(number) in pipe for number in range(MILLION))
        with smartpipe.open(scratch, "a") as writer:
            assert not any(b"%09d" % number in writer for number in range(100_000))

    child.run(run, child.BEYOND + 256 * MIB)


HASH_KEY = bytes(range(16))  # that of the planter's index: here it is the author's choice


@pytest.mark.parametrize("tags", ["of the key", "others", "one for all"])
def test_a_table_that_is_one_long_search(tags: str, scratch: str) -> None:
    """The author of an index knows the key of its hash, and chose a million keys that begin at one place of the table.

    Here the table says so of a million keys, and has one empty slot; how they were found makes no difference.
    """
    entries, crc = million_blocks(Kind(2, False), scratch, eight_digits)
    wanted = eight_digits(123_456), b"not here"
    slots = list(range(1, MILLION + 1))
    if tags == "one for all":
        hashed = siphash13(HASH_KEY, wanted[1])
        slots = [(hashed & 0xFFFF) << 48 | slot for slot in slots]
    elif tags == "of the key":
        own = siphash13(HASH_KEY, wanted[0])
        slots = [(own & 0xFFFF) << 48 | slot for slot in slots]
    place = siphash13(HASH_KEY, wanted[1]) * (MILLION + 1) >> 64
    slots.insert(place - 1 if place else MILLION, 0)
    writer = planter(Kind(2, False))
    writer.data = bytearray(Path(scratch + ".dat").read_bytes())
    keys = b"".join(map(eight_digits, range(MILLION)))
    packed = struct.pack(f"<{MILLION + 1}Q", *slots)
    add_frame(writer.index, entries, keys, FILE_HEADER.size, len(writer.data), slots=packed, last_crc=crc)
    writer.save(scratch)

    def run() -> None:
        for key in wanted:
            with smartpipe.open(scratch) as pipe:
                for _ in range(10_000):
                    assert not (pipe.get(key) and key == wanted[1])
        with smartpipe.open(scratch) as pipe:
            for number in range(0, MILLION, 10):
                pipe.get(eight_digits(number))
                assert b"%09d" % number not in pipe
        with smartpipe.open(scratch, "a") as appended:
            for number in range(100_000):
                appended.write(b"%09d" % number, ())

    child.run(run, child.BEYOND + 256 * MIB)


def test_a_table_without_an_empty_slot_where_the_search_is(scratch: str) -> None:
    # Slots that all name one entry, or none that exists.
    writer = planter(Kind(2, False))
    for number in range(100):
        writer.write(eight_digits(number), ())
    found = format2.scan(bytes(writer.data), FILE_ID).records
    entries = [ENTRY.pack(r.offset, 8 * n, r.stamp, r.size, r.lead_size, 0, 0, 8, 0, 0, 0) for n, r in enumerate(found)]
    keys = b"".join(map(eight_digits, range(100)))
    start = bytes(writer.index)
    for slot in (1, 100, 101, 2**48 - 1, 2**64 - 1):
        writer.index[:] = start
        slots = struct.pack("<Q", slot) * 200
        add_frame(writer.index, entries, keys, 32, len(writer.data), slots=slots, last_crc=found[-1].crc)
        writer.save(scratch)
        endure(scratch)


def test_very_many_frames(scratch: str) -> None:
    # As a writer leaves them that is killed after four days: one a second, of which verify keeps what they say.
    writer = planter(Kind(2, False))
    writer.write(b"a", {b"k": b"v"})
    crc = U32.unpack_from(writer.data, 36)[0]
    frame = bytearray(format2.INDEX_HEADER.size)
    add_frame(frame, [], b"", len(writer.data), len(writer.data), last_crc=crc)
    empty = bytes(frame[format2.INDEX_HEADER.size :])
    writer.frame(slots=0)
    for _ in range(FRAMES):
        offset = len(writer.index)
        writer.index += empty[:4] + U32.pack(bound_crc(FILE_ID, offset, empty[8:])) + empty[8:]
    writer.save(scratch)

    def run() -> None:
        readers.try_all(scratch, max_block_size=MIB)
        with smartpipe.open(scratch) as pipe:
            assert list(pipe[b"a"]) == [(b"k", b"v")]
            assert not any(b"%d" % number in pipe for number in range(300))
        readers.try_append(scratch, max_block_size=MIB)

    child.run(lambda: readers.try_mending(scratch, max_block_size=MIB), child.BEYOND + MIB + NAMING * FRAMES)
    child.run(run, child.BEYOND + MIB)


@every_kind
def test_a_million_empty_pairs(kind: Kind, scratch: str) -> None:
    plant(scratch, [(b"many", [(b"", b"")] * MILLION), (b"behind", [(b"k", b"v")])], kind)

    def run() -> None:
        readers.try_all(scratch, max_block_size=64 * MIB)
        readers.try_mending(scratch, max_block_size=64 * MIB)
        with smartpipe.open(scratch) as pipe:
            assert len(pipe[b"many"]) == MILLION
            assert list(pipe[b"behind"]) == [(b"k", b"v")]
        readers.try_append(scratch, max_block_size=64 * MIB)

    child.run(run, child.BEYOND + 64 * MIB)


@every_kind_of_format2
def test_metadata_of_a_million_empty_pairs(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    writer.metadata([(b"", b"")] * MILLION)
    writer.write(b"a", ())
    writer.save(scratch, index=False)
    endure(scratch, 16 * MIB)


# Forged headers


@pytest.mark.parametrize("outer", ["whole", "damaged"])
@pytest.mark.parametrize("forged", ["magic", "another file", "another place", "large leads"])
def test_a_value_full_of_forged_headers(forged: str, outer: str, scratch: str) -> None:
    size = 10 * MIB
    begin = 32 + 64 + 16 + 5 + 11
    pieces = []
    for at in range(begin, begin + size, RECORD_HEADER.size):
        match forged:
            case "magic":
                pieces.append(format2.RECORD_MAGIC * 16)
            case "another file":
                header = record_header(at, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
                pieces.append(header[:4] + U32.pack(bound_crc(FILE_ID + 1, at, header[8:])) + header[8:])
            case "another place":
                pieces.append(record_header(at + 1, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
            case "large leads":
                # Of this file and for this place, so that each is looked into; none has a good key.
                rest = begin + size - at
                pieces.append(record_header(at, rest, rest - 64, 0, 0, 0, 0, 0, 1, 0, 0, 0))
    writer = planter(Kind(2, False))
    writer.write(b"outer", {b"raw": b"".join(pieces)})
    assert writer.data.find(pieces[0]) == begin
    writer.write(b"behind", {b"k": b"v"})
    if outer == "damaged":
        writer.data[40] ^= 1
    writer.save(scratch, index=False)

    def run() -> list[bytes]:
        readers.try_all(scratch, max_block_size=16 * MIB)
        readers.try_mending(scratch, max_block_size=16 * MIB)
        with smartpipe.open(scratch) as pipe:
            return list(pipe)

    assert child.run(run, child.BEYOND + 16 * MIB).answer == ([b"outer"] if outer == "whole" else []) + [b"behind"]


@every_kind_of_format2
def test_very_many_zeros_behind_the_last_block(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    writer.write(b"a", {b"k": b"v"})
    holed(kind.data(scratch), writer.data, GIB)
    endure(scratch, calls=readers.FEW_CALLS[:1])
    assert os.path.getsize(kind.data(scratch)) < MIB
