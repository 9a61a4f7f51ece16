"""verify: all that is not whole is said, where it is and what; and nothing else is."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from reference import format1, format2, format2_writer

import smartpipe

from .pipes import (
    FILE_ID,
    KINDS,
    PAGES,
    SMALL,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    index,
    plant,
    planter,
    read,
    warned,
    write,
)

Writer = format2_writer.Writer
GOLDEN = Path(__file__).parents[1] / "golden"
PIPES = sorted(GOLDEN.glob("format*/**/*.dat*"))
# The fields in the order of FORMAT.md.
RECORD = ("magic", "crc", "stamp", "synced", "size", "key_length", "pairs", "larges", "head_raw", "head_stored")
RECORD += ("head_crc", "lead_crc", "ordinal", "kind", "codec", "dictionary")
FRAME = ("magic", "crc", "size", "start", "to", "synced", "e", "k", "s", "blocks", "pairs", "raw", "stamp", "metadata")
FRAME += ("d", "last_crc", "flags", "sums_crc", "zeros")
BLOCK: format1.Pairs = [(b"raw", b"x" * 60), (b"log", b"ok")]


def whats(report: smartpipe.VerifyReport) -> list[str]:
    return [damage.what for damage in report.damage]


def places(data: bytes) -> list[range]:
    return [range(record.offset, record.end) for record in format2.scan(data, FILE_ID).records]


def header(record: bytes, offset: int, **fields: int) -> bytes:
    """A record with other fields in its header, and the crc that makes it valid."""
    values = dict(zip(RECORD, format2.RECORD_HEADER.unpack_from(record), strict=True))
    packed = format2.RECORD_HEADER.pack(*{**values, **fields}.values())
    crc = format2.U32.pack(format2.bound_crc(FILE_ID, offset, packed[8:]))
    return packed[:4] + crc + packed[8:] + record[64:]


def reframed(
    listed: bytes, at: int = 64, change: Callable[[bytearray], None] = lambda body: None, **fields: int
) -> bytes:
    """An index with other fields in a frame's header, or another body, and all the sums that make it healthy."""
    values = dict(zip(FRAME, format2.FRAME_HEADER.unpack_from(listed, at), strict=True))
    end = at + values["size"]
    content = 48 * values["e"] + 8 * values["d"] + 8 * values["s"] + values["k"]
    body = bytearray(listed[end - (content + 7) // 8 * 8 : end])
    change(body)
    sums = format2.make_sums(bytes(body))
    packed = format2.FRAME_HEADER.pack(*{**values, "sums_crc": zlib.crc32(sums), **fields}.values())
    crc = format2.U32.pack(format2.bound_crc(FILE_ID, at, packed[8:]))
    return listed[:at] + packed[:4] + crc + packed[8:] + sums + bytes(body) + listed[end:]


# What is whole


@every_kind
def test_a_whole_pipe(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    data, listed = kind.data(prefix), index(prefix)
    before = data.read_bytes(), listed.read_bytes()
    report = smartpipe.verify(prefix)
    assert report.ok
    assert (report.format, report.blocks, report.damaged, report.damage, report.notes) == (kind.format, 4, 0, [], [])
    assert report.path == str(data)
    assert report.bytes == len(before[0]) + len(before[1])
    assert (data.read_bytes(), listed.read_bytes()) == before
    assert smartpipe.verify(data) == smartpipe.verify(listed) == report


@pytest.mark.parametrize("path", PIPES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_golden_files(path: Path) -> None:
    # Some of them are there for what is not whole in them; a reader of theirs opens all that are.
    try:
        with warned() as messages, smartpipe.open(path) as pipe:
            blocks = [(key, list(block)) for key, block in pipe.items()]
    except smartpipe.SmartPipeError:
        assert not smartpipe.verify(path).ok
        return
    report = smartpipe.verify(path)
    assert report.blocks == len(blocks)
    if report.format == 2 and not messages:
        data, listed = path.read_bytes(), path.with_suffix(".idx").read_bytes()
        torn = [finding.what for finding in format2.findings(data, listed)]
        assert report.ok == (not torn)


@every_kind
def test_an_empty_pipe(kind: Kind, prefix: str) -> None:
    write(prefix, [], kind)
    report = smartpipe.verify(prefix)
    assert (report.ok, report.blocks, report.damage) == (True, 0, [])


@every_kind_of_format2
def test_metadata_and_optional_kinds_are_checked_too(kind: Kind, prefix: str) -> None:
    writer = planter(kind)
    writer.metadata({b"by": b"me"})
    writer.write(b"key", BLOCK)
    begin = writer.write(b"later", BLOCK, kind=200)
    writer.write(b"more", BLOCK)
    writer.save(prefix)
    assert smartpipe.verify(prefix).ok
    end = begin + struct.unpack_from("<I", writer.data, begin + 24)[0]
    writer.data[end - 1] ^= 1
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert [(damage.what, damage.offset) for damage in report.damage] == [("damaged", begin)]


@every_kind_of_format2
@pytest.mark.parametrize("frames", [0, 1, 3])
def test_an_index_that_is_behind_is_a_note(kind: Kind, frames: int, prefix: str) -> None:
    writer = planter(kind)
    for number, (key, pairs) in enumerate(SMALL):
        writer.write(key, pairs)
        if number < frames:
            writer.frame(slots=0 if number else None)
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert report.ok
    assert report.blocks == 4
    assert report.notes[0] == f"the index does not list the last {4 - frames} block{'s' if frames < 3 else ''} yet"


def test_zeros_at_the_end_that_nothing_claims_are_a_note(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with KINDS[0].data(prefix).open("ab") as file:
        file.write(bytes(5000))
    report = smartpipe.verify(prefix)
    assert report.ok
    assert report.notes == ["5000 zero bytes at the end"]


@every_kind
def test_a_pipe_that_is_being_written(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for key, pairs in SMALL:
            pipe.write(key, pairs)
        path = kind.data(prefix)
        whole = path.read_bytes()
        assert smartpipe.verify(prefix).ok
        # The block that its writer is just writing.
        more = path.with_name("more")
        write(str(more), [(b"more", BLOCK)], kind)
        record = kind.data(more).read_bytes()[32 if kind.format == 2 else 0 :]
        if kind.format == 2:
            path.write_bytes(whole + header(record, len(whole))[:70])
            report = smartpipe.verify(prefix)
            assert report.ok
            assert report.blocks == 4
            assert "a block is being written" in report.notes
        path.write_bytes(whole)
    assert smartpipe.verify(prefix).ok


# Every bit, every length


@every_kind_of_format2
@pytest.mark.parametrize("closed", [True, False])
def test_every_flipped_bit_is_reported(kind: Kind, closed: bool, scratch: str) -> None:
    writer = planter(kind)
    writer.metadata({b"by": b"me"})
    for key, pairs in SMALL:
        writer.write(key, pairs)
        if not closed and key == b"second":
            writer.frame(slots=0)
    if closed:
        writer.sync()
    writer.frame(closed=closed)
    writer.save(scratch)
    records = places(bytes(writer.data))
    for path in (kind.data(scratch), index(scratch)):
        good = path.read_bytes()
        for offset in range(len(good)):
            for bit in range(8) if closed else (offset % 8,):
                damaged = bytearray(good)
                damaged[offset] ^= 1 << bit
                path.write_bytes(damaged)
                report = smartpipe.verify(scratch)
                where = path.name, offset, bit
                assert not report.ok, where
                assert report.damage[0].file == str(path), where
                if path == index(scratch):
                    assert report.blocks == 4, where
                    continue
                if offset < 32:
                    assert report.blocks == 4, where
                    assert [(d.what, d.offset, d.size) for d in report.damage] == [("damaged", 0, 32)], where
                    continue
                hit = next(number for number, place in enumerate(records) if offset in place)
                assert report.blocks == (4 if hit == 0 else 3), where
                assert report.damaged >= 1, where
                assert whats(report) == ["damaged"], where
                assert report.damage[0].offset == records[hit].start, where
                assert report.damage[0].size == len(records[hit]), where
                if hit > 0:
                    # Its key is in the index, wherever it was hit.
                    assert report.damage[0].block == SMALL[hit - 1][0], where
        path.write_bytes(good)
    assert smartpipe.verify(scratch).ok


@every_kind_of_format2
def test_every_flipped_bit_without_an_index(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    index(scratch).unlink()
    path = kind.data(scratch)
    good = path.read_bytes()
    records = places(good)
    for offset in range(len(good)):
        damaged = bytearray(good)
        damaged[offset] ^= 1 << offset % 8
        path.write_bytes(damaged)
        report = smartpipe.verify(scratch)
        found = [damage for damage in report.damage if damage.what != "index"]
        assert len(report.damage) - len(found) == 1, offset
        if offset < 32:
            assert [damage.what for damage in found] == ["damaged"], offset
            continue
        hit = next(number for number, place in enumerate(records) if offset in place)
        assert report.blocks == 3, offset
        # With nothing good behind it, and nothing that says it had been synced, it is an unfinished write.
        assert [damage.what for damage in found] == ["torn" if hit == 3 else "damaged"], offset


@every_kind_of_format1
def test_flipped_bits_of_format_1(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    for path in (kind.data(scratch), index(scratch)):
        good = path.read_bytes()
        for offset in range(len(good)):
            for bit in range(8):
                damaged = bytearray(good)
                damaged[offset] ^= 1 << bit
                path.write_bytes(damaged)
                report = smartpipe.verify(scratch)
                if report.ok and path != index(scratch) and kind.compress:
                    assert read(scratch) == SMALL  # the last bits of a stream may say nothing
                elif report.ok:
                    # No length and no offset: these bits are keys and values, which have no checksums.
                    assert [len(key) for key, _ in read(scratch)] == [len(key) for key, _ in SMALL]
        path.write_bytes(good)


@every_kind_of_format2
@pytest.mark.parametrize("closed", [True, False])
def test_data_cut_anywhere(kind: Kind, closed: bool, scratch: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    if closed:
        writer.sync()
    writer.frame(closed=closed)
    writer.save(scratch)
    path = kind.data(scratch)
    records = places(bytes(writer.data))
    for size in range(len(writer.data)):
        path.write_bytes(writer.data[:size])
        report = smartpipe.verify(scratch)
        whole = [key for (key, _), place in zip(SMALL, records, strict=True) if place.stop <= size]
        assert not report.ok, size
        assert report.blocks == len(whole), size
        # Every block that is gone has its name in the index.
        if size >= 32:
            named = [damage.block for damage in report.damage if damage.block is not None]
            assert named == [key for key, _ in SMALL[len(whole) :]], size
        assert "lost" in whats(report), size


@every_kind_of_format2
def test_data_of_a_killed_writer_cut_anywhere(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.save(scratch)
    path = kind.data(scratch)
    records = places(bytes(writer.data))
    for size in range(len(writer.data)):
        path.write_bytes(writer.data[:size])
        report = smartpipe.verify(scratch)
        whole = sum(place.stop <= size for place in records)
        assert report.blocks == whole, size
        if size in {32, *(place.stop for place in records)}:
            assert report.ok, size  # FORMAT.md, Known limits
        else:
            assert whats(report) == ["torn"], size
            begin = 0 if size < 32 else next(place.start for place in records if size in place)
            assert (report.damage[0].offset, report.damage[0].size) == (begin, size - begin)


@every_kind_of_format2
def test_an_index_cut_anywhere(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    ends = [64]
    for key, pairs in SMALL:
        writer.write(key, pairs)
        writer.frame(slots=0)
        ends.append(len(writer.index))
    writer.save(scratch)
    for size in range(len(writer.index)):
        index(scratch).write_bytes(writer.index[:size])
        report = smartpipe.verify(scratch)
        assert report.blocks == 4, size
        if size in ends:
            assert report.ok, size  # as a writer leaves it that is killed there
        else:
            assert whats(report) == ["index" if size < 64 else "torn"], size
            assert report.damage[0].file == str(index(scratch))


@every_kind_of_format1
def test_format_1_cut_anywhere(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    data, listed = kind.data(scratch).read_bytes(), index(scratch).read_bytes()
    for size in range(len(data)):
        kind.data(scratch).write_bytes(data[:size])
        report = smartpipe.verify(scratch)
        begin = struct.unpack_from("<Q", listed, len(listed) - 16)[0]
        if size == begin or (not kind.compress and size == begin + 4 + 1 + 4 + 1):
            assert report.ok, size  # an empty last block, or one cut between two pairs: the format can not tell
        else:
            assert not report.ok, size
    kind.data(scratch).write_bytes(data)
    ends = []
    at = 0
    while at < len(listed):
        at += 20 + struct.unpack_from("<I", listed, at)[0]
        ends.append(at)
    for size in range(1, len(listed)):
        index(scratch).write_bytes(listed[:size])
        if size not in ends:
            assert not smartpipe.verify(scratch).ok, size


# What is planted


@every_kind_of_format2
def test_damage_is_told_from_unfinished_writes(kind: Kind, prefix: str) -> None:
    # FORMAT.md, the table of «Reading without an index, and tails».
    for synced, listed, behind, what in (
        (True, False, False, "damaged"),
        (False, True, False, "damaged"),
        (False, False, True, "damaged"),
        (False, False, False, "torn"),
    ):
        for at in (2, 70, -1):  # of the header, of the lead, of the content
            writer = planter(kind)
            writer.write(b"good", BLOCK)
            begin = writer.write(b"hit", BLOCK)
            end = len(writer.data)
            if synced:
                writer.sync()
            if listed:
                writer.frame()
            if synced and not listed:
                # A record that says so and is not whole itself.
                writer.write(b"unfinished", BLOCK)
            elif behind:
                writer.write(b"behind", BLOCK)
            data = writer.data
            if synced and not listed:
                del data[end + 64 :]
            data[(begin if at >= 0 else end) + at] ^= 1
            writer.save(prefix)
            report = smartpipe.verify(prefix)
            hit = [damage for damage in report.damage if damage.offset == begin]
            assert [damage.what for damage in hit] == [what], (synced, listed, behind, at)
            assert hit[0].size in (end - begin, len(data) - begin)


def test_all_damage_of_a_pipe_is_reported(prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"k", Random(n).randbytes(400))]) for n in range(60)]
    plant(prefix, blocks, KINDS[0])
    path = KINDS[0].data(prefix)
    data = bytearray(path.read_bytes())
    records = places(bytes(data))
    hurt = [0, 3, 4, 30, 58, 59]
    for number in hurt:
        data[records[number].start + (10 if number % 2 else 100)] ^= 1
    path.write_bytes(data)
    report = smartpipe.verify(prefix)
    assert [damage.block for damage in report.damage] == [b"%d" % number for number in hurt]
    assert (report.blocks, report.damaged) == (54, 6)


def test_ordinals_tell_how_many_records_are_gone(prefix: str) -> None:
    writer = planter(KINDS[0])
    for number in range(9):
        writer.write(b"%d" % number, BLOCK)
    writer.save(prefix, index=False)
    records = places(bytes(writer.data))
    data = bytearray(writer.data)
    data[records[2].start : records[5].stop] = b"!" * (records[5].stop - records[2].start)
    KINDS[0].data(prefix).write_bytes(data)
    report = smartpipe.verify(prefix)
    [damage] = [damage for damage in report.damage if damage.what == "damaged"]
    assert (damage.offset, damage.size) == (records[2].start, records[5].stop - records[2].start)
    assert "4 records lost" in damage.reason
    assert (report.blocks, report.damaged) == (5, 4)


def test_records_that_are_missing_without_a_trace(prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.write(b"first", BLOCK)
    writer.ordinal += 3
    writer.write(b"second", BLOCK)
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert whats(report) == ["lost"]
    assert "3 records" in report.damage[0].reason
    assert report.damaged == 3


@pytest.mark.parametrize(
    "fields, what",
    [
        ({"ordinal": 0}, "damaged"),
        ({"stamp": 5}, "damaged"),
        ({"synced": 1 << 20}, "damaged"),
        ({"kind": 1}, "unreadable"),
        ({"codec": 4}, "unreadable"),
        ({"dictionary": 1}, "unreadable"),
    ],
)
def test_headers_that_are_valid_and_can_not_be(fields: dict[str, int], what: str, prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.write(b"first", BLOCK)
    begin = writer.write(b"second", BLOCK)
    writer.data[begin:] = header(bytes(writer.data[begin:]), begin, **fields)
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert what in whats(report)
    assert {damage.offset for damage in report.damage} <= {begin, len(writer.data)}


def test_streams_that_do_not_hold_what_they_should(prefix: str) -> None:
    def longer(raw: bytes) -> bytes:
        return zlib.compress(raw + b"x")

    def trailing(raw: bytes) -> bytes:
        return zlib.compress(raw) + b"x"

    def cut(raw: bytes) -> bytes:
        return zlib.compress(raw)[:-1]

    def foreign(raw: bytes) -> bytes:
        return b"no stream" if len(raw) > 100 else raw

    for deflate in (longer, trailing, cut, foreign):
        writer = Writer(FILE_ID, codec=format2.ZLIB, large=32, deflate=deflate)
        writer.write(b"key", [(b"raw", b"x" * 500)])
        writer.write(b"good", [(b"raw", b"x")])
        writer.save(prefix)
        report = smartpipe.verify(prefix)
        assert whats(report) == ["damaged"], deflate
        assert report.damage[0].block == b"key"
        assert report.blocks == 1


@every_kind
def test_a_key_that_occurs_twice(kind: Kind, prefix: str) -> None:
    plant(prefix, [(b"a", BLOCK), (b"b", []), (b"a", []), (b"", BLOCK), (b"a", BLOCK)], kind)
    report = smartpipe.verify(prefix)
    assert [(damage.what, damage.block) for damage in report.damage] == [("duplicate", b"a")] * 2
    assert report.blocks == 5


@every_kind
def test_a_block_that_is_larger_than_the_limit(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"small", BLOCK), (b"big", [(b"k", b"x" * 5000)]), (b"more", BLOCK)], kind)
    report = smartpipe.verify(prefix, max_block_size=4000)
    assert [(damage.what, damage.block) for damage in report.damage] == [("unreadable", b"big")]
    assert report.blocks == 2
    with pytest.raises(ValueError, match="max_block_size"):
        smartpipe.verify(prefix, max_block_size=0)


# The index


def test_an_index_that_is_missing_stale_or_of_another_history(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    good = index(prefix).read_bytes()
    index(prefix).unlink()
    assert whats(smartpipe.verify(prefix)) == ["index"]
    index(prefix).write_bytes(b"")
    assert whats(smartpipe.verify(prefix)) == ["index"]
    stale = Writer(FILE_ID + 1)
    stale.write(b"x", BLOCK)
    stale.frame()
    index(prefix).write_bytes(stale.index)
    assert whats(smartpipe.verify(prefix)) == ["index"]
    other = Writer(FILE_ID, large=32, stamp=5)
    for key, pairs in SMALL:
        other.write(key, pairs)
    other.frame()
    index(prefix).write_bytes(other.index)
    report = smartpipe.verify(prefix)
    assert [(damage.what, damage.block) for damage in report.damage] == [("index", None)]
    assert report.blocks == 4
    index(prefix).write_bytes(good)
    assert smartpipe.verify(prefix).ok


@pytest.mark.parametrize("field", ["blocks", "pairs", "raw", "stamp", "metadata", "last_crc", "to", "synced"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_frame_that_says_something_else_than_the_data(field: str, step: int, prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.metadata({b"by": b"me"})
    for key, pairs in SMALL:
        writer.write(key, pairs)
    writer.sync()
    writer.frame()
    writer.save(prefix)
    values = dict(zip(FRAME, format2.FRAME_HEADER.unpack_from(writer.index, 64), strict=True))
    assert reframed(bytes(writer.index)) == writer.index
    index(prefix).write_bytes(reframed(bytes(writer.index), **{field: values[field] + step}))
    report = smartpipe.verify(prefix)
    if field == "synced" and step < 0:
        assert report.ok  # less than it could say
    else:
        assert not report.ok


@pytest.mark.parametrize("offset", range(46))
def test_an_entry_that_is_not_that_of_its_record(offset: int, prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])

    def change(body: bytearray) -> None:
        body[48 + offset] ^= 1  # of the second entry

    index(prefix).write_bytes(reframed(index(prefix).read_bytes(), change=change))
    report = smartpipe.verify(prefix)
    assert "index" in whats(report)
    assert report.blocks == 4


@pytest.mark.parametrize("what", ["swapped", "emptied", "doubled", "full", "tag", "beyond"])
def test_slots_that_lead_elsewhere(what: str, prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])

    def change(body: bytearray) -> None:
        slots = list(struct.unpack_from("<6Q", body, 48 * 4))
        taken = [number for number, slot in enumerate(slots) if slot]
        free = [number for number, slot in enumerate(slots) if not slot]
        if what == "swapped":
            a, b = taken[:2]
            slots[a], slots[b] = slots[b], slots[a]
        elif what == "emptied":
            slots[taken[1]] = 0
        elif what == "doubled":
            slots[free[0]] = slots[taken[0]]
        elif what == "full":
            for number in free:
                slots[number] = slots[taken[0]]
        elif what == "tag":
            slots[taken[2]] ^= 1 << 60
        else:
            slots[taken[2]] += 5
        struct.pack_into("<6Q", body, 48 * 4, *slots)

    index(prefix).write_bytes(reframed(index(prefix).read_bytes(), change=change))
    report = smartpipe.verify(prefix)
    assert whats(report) == ["index"]
    assert "slot" in report.damage[0].reason or "search" in report.damage[0].reason


def test_frames_that_do_not_follow_each_other(prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.write(*SMALL[0])
    writer.frame()
    writer.write(*SMALL[1])
    writer._covered += 8
    writer.frame()
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert whats(report) == ["index"]
    assert report.blocks == 2


def test_a_block_that_the_index_leaves_out(prefix: str) -> None:
    writer = planter(KINDS[0])
    for key, pairs in SMALL:
        writer.write(key, pairs)
    left = writer._entries.pop(1)
    writer.frame()
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    assert [(damage.what, damage.block) for damage in report.damage] == [("index", left.key)]


def test_what_the_index_lists_and_never_reached_the_data(prefix: str) -> None:
    writer = planter(KINDS[0])
    writer.write(*SMALL[0])
    end = len(writer.data)
    for key, pairs in SMALL[1:]:
        writer.write(key, pairs)
    writer.frame()
    del writer.data[end:]
    writer.save(prefix)
    report = smartpipe.verify(prefix)
    named = [(damage.what, damage.block) for damage in report.damage if damage.block is not None]
    assert named == [("lost", key) for key, _ in SMALL[1:]]
    assert report.blocks == 1


# Files that are no pipes, and headers that are gone


def test_where_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.verify(tmp_path / "nowhere")
    (tmp_path / "text.dat").write_bytes(b"no pipe at all" * 100)
    with pytest.raises(smartpipe.FormatError):
        smartpipe.verify(tmp_path / "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(smartpipe.FormatError):
        smartpipe.verify(tmp_path / "folder")
    (tmp_path / "only.idx").write_bytes(b"")
    with pytest.raises(smartpipe.PipeNotFoundError):
        smartpipe.verify(tmp_path / "only")


@every_kind_of_format2
@pytest.mark.parametrize("listed", [True, False])
def test_a_file_header_that_is_gone(kind: Kind, listed: bool, prefix: str) -> None:
    write(prefix, PAGES, kind)
    path = kind.data(prefix)
    for header in (bytes(32), b"\xff" * 32, b"!" + path.read_bytes()[1:32]):
        path.write_bytes(header + path.read_bytes()[32:])
        if not listed:
            index(prefix).unlink(missing_ok=True)
        report = smartpipe.verify(prefix)
        assert report.format == 2
        assert report.blocks == 4
        assert (report.damage[0].what, report.damage[0].offset, report.damage[0].size) == ("damaged", 0, 32)
        assert len(report.damage) == (1 if listed else 2)


def test_a_report_as_json(prefix: str) -> None:
    plant(prefix, SMALL, KINDS[0])
    with KINDS[0].data(prefix).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    report = smartpipe.verify(prefix)
    plain = report.as_dict()
    assert plain["ok"] is False
    assert plain["damage"][0]["block"] == b"last"
    assert json.loads(json.dumps(plain, default=bytes.decode))["damage"][0]["what"] == "damaged"


@every_kind
def test_progress_goes_up_to_the_size_of_the_data(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    calls: list[tuple[int, int]] = []
    smartpipe.verify(prefix, progress=lambda done, total: calls.append((done, total)))
    size = kind.data(prefix).stat().st_size
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {size}


MEMORY = """
import resource, sys, smartpipe
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = smartpipe.verify(sys.argv[1])
assert report.ok and report.blocks == 300, report
if len(sys.argv) > 2:
    recovered = smartpipe.recover(sys.argv[1], sys.argv[2])
    assert recovered.blocks == 300 and not recovered.lost, recovered
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


@every_kind_of_format2
def test_memory_does_not_grow_with_the_file(kind: Kind, tmp_path: Path) -> None:
    value = os.urandom(1 << 20)
    with smartpipe.open(tmp_path / "big", "w", **kind.options, level=1 if kind.compress else 6) as pipe:
        for number in range(300):
            pipe.write(b"%d" % number, [(b"large", value), (b"small", b"%d" % number)])
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "big"), str(tmp_path / "again")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown * (1 if sys.platform == "darwin" else 1024) < 40 << 20  # of 300 MiB
