"""Files cut at every byte: what is left is right, or an error of ours says what is missing.

FORMAT.md, «Reading without an index, and tails», «Health» and, for what can not be told, «Known limits» and «Format 1».
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from reference import format2

import smartpipe

from .pipes import (
    FILE_ID,
    SMALL,
    Blocks,
    Kind,
    every_kind_of_format1,
    every_kind_of_format2,
    index,
    plant,
    planter,
    read,
    warned,
)

FILE_HEADER = 32


def ends(data: bytes) -> list[int]:
    """Where the records of a data file of format 2 end, with 0 and the file header."""
    return [FILE_HEADER, *(record.end for record in format2.scan(data, FILE_ID).records)]


def whole(data_ends: list[int], size: int) -> int:
    """How many records are whole in the first bytes of a file."""
    return sum(end <= size for end in data_ends[1:])


def unfinished(kind: Kind) -> tuple[bytes, bytes]:
    """Data and index as a kill leaves them: of SMALL the first two blocks are listed, nothing was synced."""
    writer = planter(kind)
    for number, (key, pairs) in enumerate(SMALL):
        writer.write(key, pairs)
        if number == 1:
            writer.frame(slots=0)
    return bytes(writer.data), bytes(writer.index)


# Format 2, data


@every_kind_of_format2
def test_data_of_a_closed_pipe_cut_anywhere(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    path = kind.data(scratch)
    data, listed = path.read_bytes(), index(scratch).read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        for mode in ("r", "a"):
            with pytest.raises(smartpipe.TruncatedError) as caught:
                smartpipe.open(scratch, mode)  # type: ignore[call-overload]
            assert caught.value.path == str(path)
            assert str(size) in str(caught.value)
        # A refused append changes nothing.
        assert path.read_bytes() == data[:size]
    assert index(scratch).read_bytes() == listed


@every_kind_of_format2
@pytest.mark.parametrize("listed", [True, False])
def test_data_that_was_not_synced_cut_anywhere_gives_its_whole_blocks(kind: Kind, listed: bool, scratch: str) -> None:
    data, frames = unfinished(kind)
    places = ends(data)
    if listed:
        index(scratch).write_bytes(frames)
    for size in range(len(data) + 1):
        kind.data(scratch).write_bytes(data[:size])
        if size < FILE_HEADER and listed:
            with pytest.raises(smartpipe.TruncatedError):
                smartpipe.open(scratch)
            continue
        with warned() as messages:
            found = read(scratch)
            with smartpipe.open(scratch) as pipe:
                assert [(key, list(pipe[key])) for key in pipe] == found
        assert found == SMALL[: whole(places, size)]
        # What the index says and the data does not have, is said.
        if listed and size < places[2] and found:
            assert messages


@every_kind_of_format2
def test_data_shorter_than_what_had_reached_the_disk(kind: Kind, scratch: str) -> None:
    # The same, synced before the last block: in its header, and in a frame that does not say «closed».
    writer = planter(kind)
    for key, pairs in SMALL[:3]:
        writer.write(key, pairs)
    writer.sync()
    synced = len(writer.data)
    writer.frame(slots=0)
    writer.write(*SMALL[3])
    writer.save(scratch)
    data = bytes(writer.data)
    for size in range(len(data) + 1):
        kind.data(scratch).write_bytes(data[:size])
        if size < synced:
            for mode in ("r", "a"):
                with pytest.raises(smartpipe.TruncatedError):
                    smartpipe.open(scratch, mode)  # type: ignore[call-overload]
        else:
            with warned():
                assert read(scratch) == SMALL[: 3 + (size == len(data))]


@every_kind_of_format2
def test_what_was_preallocated_is_a_clean_end(kind: Kind, scratch: str) -> None:
    data, _ = unfinished(kind)
    for extra in (1, 63, 64, 65, 4096, 200_000):
        kind.data(scratch).write_bytes(data + bytes(extra))
        with warned():
            assert read(scratch) == SMALL
            with smartpipe.open(scratch, "a") as pipe:
                assert pipe.recovered is None
                pipe.write(b"new", {b"k": b"v"})
            assert read(scratch) == [*SMALL, (b"new", [(b"k", b"v")])]
        index(scratch).unlink()


@every_kind_of_format2
def test_zeros_behind_a_cut_anywhere(kind: Kind, scratch: str) -> None:
    # What a power failure leaves: the size is there, the bytes are not.
    data, _ = unfinished(kind)
    places = ends(data)
    for size in range(FILE_HEADER, len(data)):
        kind.data(scratch).write_bytes(data[:size] + bytes(len(data) - size))
        with warned(), smartpipe.open(scratch) as pipe:
            blocks = []
            for key in pipe:
                try:
                    blocks.append((key, list(pipe[key])))
                except smartpipe.CorruptError:
                    blocks.append((key, None))  # type: ignore[arg-type]
        good = whole(places, size)
        # Where the bytes that are missing were zeros anyway, a block more is whole.
        assert blocks[:good] == SMALL[:good]
        assert all(pairs is None or (key, pairs) in SMALL for key, pairs in blocks)


# Format 2, index


@every_kind_of_format2
def test_an_index_cut_anywhere_loses_nothing(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    listed = index(scratch).read_bytes()
    for size in range(len(listed)):
        index(scratch).write_bytes(listed[:size])
        with warned() as messages:
            assert read(scratch) == SMALL
            with smartpipe.open(scratch) as pipe:
                assert [(key, list(pipe[key])) for key, _ in SMALL] == SMALL
        if size != 64:
            assert messages  # an index that ends behind its header is one that lists nothing yet
    assert index(scratch).read_bytes() == listed[:-1]


@every_kind_of_format2
def test_an_index_of_several_frames_cut_anywhere_loses_nothing(kind: Kind, scratch: str) -> None:
    writer = planter(kind)
    for key, pairs in SMALL:
        writer.write(key, pairs)
        writer.frame(slots=0 if key == b"second" else None)
    writer.metadata({b"by": b"test"})
    writer.sync()
    writer.frame(closed=True)
    writer.save(scratch)
    for size in range(len(writer.index)):
        index(scratch).write_bytes(writer.index[:size])
        with warned():
            assert read(scratch) == SMALL
            with smartpipe.open(scratch) as pipe:
                assert pipe.metadata == {b"by": b"test"}
                assert pipe.stats()["pairs"] == sum(len(pairs) for _, pairs in SMALL)


# Format 1. A .dat that ends between two pairs of its last block, and a .datz that ends where its last block begins, are
# shorter ones.


def format1_places(scratch: str, kind: Kind) -> tuple[bytes, bytes, list[int]]:
    plant(scratch, SMALL, kind)
    with smartpipe.open(scratch) as pipe:
        places = [entry.offset for entry in pipe.entries()]
    data = kind.data(scratch).read_bytes()
    return data, index(scratch).read_bytes(), [*places, len(data)]


def one_by_one(scratch: str) -> list[Any]:
    """Each block of a pipe, or the error that it gives, through items and by key; both must agree."""
    found: list[Any] = []
    with smartpipe.open(scratch) as pipe:
        items = pipe.items()
        for key in pipe:
            try:
                got: Any = list(pipe[key])
            except smartpipe.SmartPipeError as error:
                got = type(error)
            try:
                name, block = next(items)
                assert (name, list(block)) == (key, got)
            except smartpipe.SmartPipeError as error:
                assert type(error) is got
            found.append((key, got))
        assert next(items, None) is None
    return found


@every_kind_of_format1
def test_data_of_format_1_cut_anywhere(kind: Kind, scratch: str) -> None:
    data, _, places = format1_places(scratch, kind)
    pairs = SMALL[-1][1]
    for size in range(len(data)):
        kind.data(scratch).write_bytes(data[:size])
        found = one_by_one(scratch)
        for number, (key, got) in enumerate(found):
            begin, end = places[number], places[number + 1]
            if end <= size:
                assert (key, got) == SMALL[number]
            elif number < len(SMALL) - 1 or size < begin:
                assert got is smartpipe.TruncatedError
            elif got is not smartpipe.TruncatedError:
                # A part that could be a block of its own.
                good = len(got)
                assert got == pairs[:good]
                raw = sum(8 + len(name) + len(value) for name, value in pairs[:good])
                assert size - begin == (0 if kind.compress else raw)


@every_kind_of_format1
def test_an_index_of_format_1_cut_anywhere(kind: Kind, scratch: str) -> None:
    _, listed, _ = format1_places(scratch, kind)
    entry_ends = [sum(20 + len(key) for key, _ in SMALL[: number + 1]) for number in range(len(SMALL))]
    for size in range(len(listed)):
        index(scratch).write_bytes(listed[:size])
        count = sum(end <= size for end in entry_ends)
        with warned() as messages:
            try:
                found = one_by_one(scratch)
            except smartpipe.SmartPipeError:
                assert count == 0
                continue
        assert count > 0, "data of which the index lists nothing is no empty pipe"
        assert [key for key, _ in found] == [key for key, _ in SMALL[:count]]
        assert found[: count - 1] == SMALL[: count - 1]
        if size not in entry_ends:
            assert messages
        # Where the last one ends, the entry behind it tells, if so much of it is there.
        last = found[-1][1]
        if size in entry_ends:
            if kind.compress:
                assert last is smartpipe.CorruptError
            else:
                assert last == [pair for _, pairs in SMALL[count - 1 :] for pair in pairs]
        elif size - entry_ends[count - 1] >= 4 + len(SMALL[count][0]) + 8:
            assert last == SMALL[count - 1][1] or (kind.compress and last is smartpipe.CorruptError)
        else:
            assert last is smartpipe.CorruptError


@every_kind_of_format1
def test_a_file_that_becomes_shorter_while_it_is_open(kind: Kind, scratch: str) -> None:
    plant(scratch, SMALL, kind)
    with smartpipe.open(scratch) as pipe:
        os.truncate(kind.data(scratch), 30)
        with pytest.raises(smartpipe.TruncatedError):
            list(pipe[b"last"])
        with pytest.raises(smartpipe.TruncatedError):
            list(pipe.items(start=2))


@every_kind_of_format2
def test_a_pipe_that_becomes_shorter_while_it_is_open(kind: Kind, scratch: str) -> None:
    blocks: Blocks = [(b"%d" % number, [(b"k", os.urandom(20_000))]) for number in range(20)]
    plant(scratch, blocks, kind)
    with smartpipe.open(scratch) as pipe:
        late = pipe[b"19"]
        late.keys()
        os.truncate(kind.data(scratch), 100_000)
        for call in (
            lambda: pipe[b"18"],
            lambda: late[b"k"],
            lambda: list(pipe.items()),
            lambda: list(pipe.items(start=9)),
        ):
            with pytest.raises(smartpipe.TruncatedError) as caught:
                call()
            assert caught.value.path == str(kind.data(scratch))
        assert list(pipe[b"0"]) == blocks[0][1]


def test_cutting_is_not_hidden_by_the_name(scratch: str) -> None:
    # The same file by its own name, and by the name of its index.
    plant(scratch, SMALL, Kind(2, False))
    path = Path(scratch + ".dat")
    os.truncate(path, path.stat().st_size - 1)
    for name in (path, index(scratch)):
        with pytest.raises(smartpipe.TruncatedError):
            smartpipe.open(name)
