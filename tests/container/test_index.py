"""The index of a pipe as it grows, is appended to, and is finished; how much memory that takes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from reference import format1

import smartpipe

from .pipes import Blocks, Kind, every_kind, every_kind_of_format1, every_kind_of_format2, index, read, warned, write
from .process import run

FRAMES = 40


def key(number: int) -> bytes:
    return b"key %d " % number + b"k" * (number % 40)


def write_numbers(pipe: smartpipe.Writer, first: int, stop: int) -> None:
    for number in range(first, stop):
        pipe.write(key(number), {b"n": b"%d" % number})


def check_numbers(pipe: smartpipe.Reader, count: int) -> None:
    """Every key is found where it is, and no other one."""
    assert len(pipe) == count
    for number in range(0, count, 7):
        assert key(number) in pipe
        assert pipe[key(number)][b"n"] == b"%d" % number
        assert key(count + number) not in pipe
    assert list(pipe.keys()) == [key(number) for number in range(count)]


@every_kind
def test_a_live_pipe_of_many_frames(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for frame in range(FRAMES):
            write_numbers(pipe, 100 * frame, 100 * frame + 100)
            pipe.flush()
            if frame % 13 == 0:
                with smartpipe.open(prefix) as reader:
                    # The last block of format 1 may still be in the making.
                    assert 100 * frame + 100 - len(reader) <= kind.format % 2
                    check_numbers(reader, len(reader))
    with smartpipe.open(prefix) as reader:
        check_numbers(reader, 100 * FRAMES)


@every_kind
def test_a_reader_that_grows_finds_old_and_new_keys(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        write_numbers(pipe, 0, 300)
    with smartpipe.open(prefix) as reader:
        check_numbers(reader, 300)
        for first in range(300, 1500, 300):
            with smartpipe.open(prefix, "a") as pipe:
                write_numbers(pipe, first, first + 300)
            assert reader.refresh() == 300
            check_numbers(reader, first + 300)


@every_kind_of_format2
@pytest.mark.parametrize("counts", [(10, 20), (20_000, 10), (10, 20_000), (20_000, 20_000)], ids=str)
def test_an_index_that_is_made_anew_from_tables_and_from_memory(
    kind: Kind, counts: tuple[int, int], prefix: str
) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        write_numbers(pipe, 0, counts[0])
    with smartpipe.open(prefix, "a") as pipe:
        with pytest.raises(smartpipe.DuplicateKeyError):
            pipe.write(key(counts[0] - 1), {})
        write_numbers(pipe, counts[0], sum(counts))
        with pytest.raises(smartpipe.DuplicateKeyError):
            pipe.write(key(counts[0]), {})
    report = smartpipe.verify(prefix)
    assert report.ok, report.damage
    with smartpipe.open(prefix) as reader:
        check_numbers(reader, sum(counts))


GROWTH = """
import sys, smartpipe
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
pipe = smartpipe.open(sys.argv[1], "w", durability="none")
for number in range(200_000):
    pipe.write(b"key %d" % number, {b"n": b""})
before = peak()
pipe.close()
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is counted as on Linux")
def test_closing_a_large_pipe_copies_no_entries(prefix: str) -> None:
    grown = int(run(GROWTH, prefix)) << 10
    # A table of 8 bytes for each of 1 1/3 slots a block, and the sums; a copy of entries and keys would be 12 MB.
    assert index(prefix).stat().st_size > 13_000_000
    assert grown < 5_000_000


LISTED = """
import sys, smartpipe
def anonymous():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous"))
smartpipe.open(sys.argv[1]).close()
before = anonymous()
pipe = smartpipe.open(sys.argv[1])
assert b"key 77777" in pipe and b"key x" not in pipe and pipe[b"key 5"][b"n"] == b""
print(anonymous() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is counted as on Linux")
def test_a_finished_index_takes_no_memory(prefix: str) -> None:
    with smartpipe.open(prefix, "w", durability="none") as pipe:
        for number in range(200_000):
            pipe.write(b"key %d" % number, {b"n": b""})
    assert int(run(LISTED, prefix)) << 10 < 1_000_000


# Format 1, where entries are taken in many at a time and the unusual ones one by one


def entry(name: bytes, offset: int, raw: int) -> bytes:
    return struct.pack("<I", len(name)) + name + struct.pack("<QQ", offset, raw)


@every_kind_of_format1
@pytest.mark.parametrize("place", [0, 1, 5, 29])
def test_the_empty_key_anywhere(kind: Kind, place: int, prefix: str) -> None:
    blocks: Blocks = [(b"key %d" % number, [(b"a", b"%d" % number)]) for number in range(30)]
    blocks[place] = (b"", [(b"a", b"nameless")])
    data, listed = format1.write(blocks, compressed=kind.compress)
    kind.data(prefix).write_bytes(data)
    index(prefix).write_bytes(listed)
    assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert pipe[b""][b"a"] == b"nameless"
        assert [number for number, _ in enumerate(blocks) if list(pipe[blocks[number][0]]) == blocks[number][1]] == [
            *range(30)
        ]
    # A second one is none that a writer makes.
    index(prefix).write_bytes(listed + entry(b"", len(data), 10_000))
    with pytest.raises(smartpipe.CorruptError, match="second block with the empty key") as caught:
        smartpipe.open(prefix)
    assert caught.value.offset == len(listed)


@every_kind_of_format1
@pytest.mark.parametrize("empty", [1, 2, 7])
def test_blocks_without_bytes_before_the_others(kind: Kind, empty: int, prefix: str) -> None:
    blocks: Blocks = [(b"none %d" % number, []) for number in range(empty)]
    blocks += [(b"key %d" % number, [(b"a", b"%d" % number)]) for number in range(20)]
    data, listed = format1.write(blocks, compressed=kind.compress)
    kind.data(prefix).write_bytes(data)
    index(prefix).write_bytes(listed)
    assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert [list(pipe[name]) for name, _ in blocks] == [pairs for _, pairs in blocks]


@every_kind_of_format1
@pytest.mark.parametrize("number", [2, 15, 29])
def test_offsets_that_go_back_anywhere(kind: Kind, number: int, prefix: str) -> None:
    blocks: Blocks = [(b"key %d" % n, [(b"a", b"%d" % n)]) for n in range(30)]
    write(prefix, blocks, kind)
    listed = bytearray(index(prefix).read_bytes())
    at = sum(20 + len(name) for name, _ in blocks[:number])
    place = at + 4 + len(blocks[number][0]) + 8
    (raw,) = struct.unpack_from("<Q", listed, place)
    before = sum(8 + len(name) + len(value) for _, pairs in blocks[: number - 1] for name, value in pairs)
    struct.pack_into("<Q", listed, place, before - 1)
    index(prefix).write_bytes(listed)
    assert raw > before
    with pytest.raises(smartpipe.CorruptError) as caught:
        smartpipe.open(prefix)
    assert (caught.value.offset, caught.value.block) == (at, blocks[number][0])


@every_kind_of_format1
def test_an_index_that_is_cut_within_its_last_entry(kind: Kind, prefix: str) -> None:
    blocks: Blocks = [(b"key %d" % n, [(b"a", b"%d" % n)]) for n in range(30)]
    write(prefix, blocks, kind)
    whole = index(prefix).read_bytes()
    last = 20 + len(blocks[-1][0])
    for left in range(1, last):
        index(prefix).write_bytes(whole[: len(whole) - last + left])
        with warned() as messages, smartpipe.open(prefix) as pipe:
            assert list(pipe) == [name for name, _ in blocks[:-1]]
        assert any(f"within an entry at offset {len(whole) - last}" in message for message in messages)


# Splits


@every_kind
@pytest.mark.parametrize("place", ["first", "last", "middle"])
def test_splits_with_a_huge_block(kind: Kind, place: str, prefix: str) -> None:
    blocks: Blocks = [(b"%d" % number, [(b"v", os.urandom(1000))]) for number in range(100)]
    huge = (b"huge", [(b"v", os.urandom(100_000))])
    blocks.insert({"first": 0, "last": 100, "middle": 50}[place], huge)
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        sizes = {entry.key: entry.stored for entry in pipe.entries()}
        for n in (2, 3, 4):
            parts = [[*smartpipe.open(part)] for part in pipe.splits(n)]
            assert [name for part in parts for name in part] == [name for name, _ in blocks]
            largest = max(sum(sizes[name] for name in part) for part in parts)
            # No part is larger than the huge block and half of what it would share with others.
            assert largest <= sizes[b"huge"] + sum(sizes.values()) / n / 2 + 2000
        assert len(pipe.splits(2)) == 2
