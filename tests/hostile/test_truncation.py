"""Data and index cut at every byte: what is left is right, or an error of ours says that something is missing.

What is expected follows from docs/FORMAT.md, «Reading without an index, and tails», «Health», «Known limits» and
«Format 1», and from the plain reader's view of the whole files.
"""

from __future__ import annotations

import sys
import warnings
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

from container.pipes import Blocks, Kind, Pairs
from reference import format2
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe

from .look import Seen, look
from .planted import GOLDEN_FOLDERS, LITTLE, NEW, Pipe, golden, golden_places, small

NAME = "truncation of data and index at every byte"
UNIT = "cuts"
FINITE = True
BOTH = 3  # cuts of data and index at once for each cut of one of them, in the long run

FILE_HEADER = 32
INDEX_HEADER = 64


class Place(NamedTuple):
    """The cases of one pipe. Its files are read when they are needed."""

    place: Path
    kind: Kind
    cuts: int


def _places() -> tuple[list[Place], list[Place]]:
    little = [Place(Path(pipe.name), pipe.kind, len(pipe.data) + len(pipe.index or b"")) for pipe in small()]
    large = [
        Place(place, kind, size)
        for folder, kind in GOLDEN_FOLDERS
        for size, place in golden_places(folder, kind)
        if size > LITTLE
    ]
    return little, large


SMALL_PLACES, LARGE_PLACES = _places()
QUICK = sum(place.cuts for place in SMALL_PLACES)
ENDS = list(accumulate(place.cuts for place in (*SMALL_PLACES, *LARGE_PLACES)))
LONG = ENDS[-1] + BOTH * QUICK


@cache
def pipe_of(number: int) -> Pipe:
    if number < len(SMALL_PLACES):
        return small()[number]
    place = LARGE_PLACES[number - len(SMALL_PLACES)]
    return golden(place.place, place.kind)


def case(number: int, random: Random, folder: Path) -> None:
    """Cut a file, look at the pipe twice, go on with it, and look again."""
    if number < ENDS[-1]:
        which = bisect_right(ENDS, number)
        pipe = pipe_of(which)
        cut = number - (ENDS[which - 1] if which else 0)
        data, index = pipe.data, pipe.index
        if cut < len(data):
            data = data[:cut]
        else:
            assert index is not None
            index = index[: cut - len(data)]
    else:
        pipe = random.choice(small())
        data = pipe.data[: random.randrange(len(pipe.data) + 1)]
        index = pipe.index and pipe.index[: random.randrange(len(pipe.index) + 1)]
    prefix = folder / "pipe"
    pipe.data_path(prefix).write_bytes(data)
    if index is not None:
        Path(f"{prefix}.idx").write_bytes(index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        check = check_format1 if pipe.kind.format == 1 else check_format2
        seen = look(prefix)
        check(pipe, len(data), index, seen)
        if look(prefix) != seen:
            raise Wrong(f"{pipe}: read twice, it is another")
        if pipe.data_path(prefix).read_bytes() != data:
            raise Lost(f"{pipe}: reading changed the data")
        go_on(pipe, prefix, data, index, seen)


def test_cut_anywhere_a_pipe_gives_what_is_left_or_an_error() -> None:
    harness.quick(sys.modules[__name__])


# Format 2


def check_format2(pipe: Pipe, size: int, index: bytes | None, seen: Seen) -> None:
    listed = index or b""
    frames = [frame for frame in pipe.frames if frame.end <= len(listed)]
    if len(listed) < INDEX_HEADER:
        frames = []
    if size < FILE_HEADER:
        # An index that is longer than its header lists something, or is damaged where it did.
        if len(listed) > INDEX_HEADER and (any(frame.to > FILE_HEADER for frame in frames)):
            expect_error(pipe, seen, smartpipe.TruncatedError)
        elif seen.error is None:
            expect(pipe, seen, [], {})
        elif seen.error is not smartpipe.TruncatedError or len(listed) <= INDEX_HEADER:
            raise Lost(f"{pipe}: less than a header is {seen.error}")
        return
    synced = [frame.synced for frame in frames]
    synced += [record.synced for record in pipe.records if record.offset + format2.RECORD_HEADER.size <= size]
    if size < max([FILE_HEADER, *synced, *(frame.to for frame in frames if frame.closed)]):
        expect_error(pipe, seen, smartpipe.TruncatedError)
        return
    whole = [record for record in pipe.records if record.end <= size]
    blocks = sum(record.kind == format2.BLOCK for record in whole)
    described = [record.offset for record in whole if record.kind == format2.METADATA]
    expect(pipe, seen, pipe.blocks[:blocks], dict(pipe.described[described[-1]]) if described else {})


def expect_error(pipe: Pipe, seen: Seen, kind: type[smartpipe.SmartPipeError]) -> None:
    if seen.error is None or not issubclass(seen.error, kind):
        raise Wrong(f"{pipe}: a cut that the files prove gave {seen.error}, not {kind}: {seen.items!r:.300}")


def expect(pipe: Pipe, seen: Seen, blocks: Blocks, metadata: dict[bytes, bytes]) -> None:
    if seen.error is not None or len(seen.items) < len(blocks):
        raise Lost(f"{pipe}: {seen.error}, {len(seen.items)} of {len(blocks)} blocks")
    if seen.items != blocks or seen.keys != dict(blocks) or seen.metadata != metadata:
        raise Wrong(f"{pipe}: {seen!r:.1000}, not {blocks!r:.1000} and {metadata}")


# Format 1


def check_format1(pipe: Pipe, size: int, index: bytes | None, seen: Seen) -> None:
    assert index is not None
    ends = list(accumulate(20 + len(entry.key) for entry in pipe.entries))
    count = sum(end <= len(index) for end in ends)
    if count == 0:
        if size > 0:
            expect_error(pipe, seen, smartpipe.SmartPipeError)
        elif seen.error is None:
            expect(pipe, seen, [], {})
        return
    if seen.error is not None or list(seen.keys) != [entry.key for entry in pipe.entries[:count]]:
        raise Lost(f"{pipe}: {count} blocks are listed, {seen.error}, {list(seen.keys)}")
    for number, (entry, got) in enumerate(zip(pipe.entries, seen.items, strict=False)):
        listed = seen.keys[entry.key]
        if got != (listed if isinstance(listed, type) else (entry.key, listed)):
            raise Wrong(f"{pipe}: block {number} is {got} by items and {listed} by key")
        if number + 1 < count:
            extent = pipe.extent(number)
            if extent.stop <= size:
                if listed != pipe.blocks[number][1]:
                    kind = Lost if isinstance(listed, type) else Wrong
                    raise kind(f"{pipe}: block {number} is whole, and gave {listed}")
            elif listed is not smartpipe.TruncatedError:
                raise Wrong(f"{pipe}: block {number} is cut, and gave {listed}")
    if len(seen.items) != count:
        raise Lost(f"{pipe}: {count} blocks are listed, items gave {len(seen.items)}")
    check_last(pipe, size, len(index) - ends[count - 1], count - 1, seen.keys[pipe.entries[count - 1].key])


def check_last(pipe: Pipe, size: int, torn: int, number: int, got: object) -> None:
    """The last block that is listed: what it may be depends on what is behind it. `torn`: bytes of the next entry."""
    begin, end = pipe.extent(number).start, pipe.extent(number).stop
    pairs = pipe.blocks[number][1]
    if isinstance(got, type):
        if end == size and torn == 0:
            raise Lost(f"{pipe}: the last block is whole, and gave {got}")
        if not issubclass(got, smartpipe.CorruptError):
            raise Wrong(f"{pipe}: the last block gave {got}")
        return
    if size < begin:
        raise Wrong(f"{pipe}: nothing of the last block is there, and it gave {got}")
    if got == pairs and (size >= end or (pipe.kind.compress and not pairs)):
        return
    # What this format can not tell. FORMAT.md, «Format 1»: a block that was cut between two pairs or to nothing, and
    # an index that was cut between two entries, so that the data of other blocks belongs to the last one.
    if (torn == 0 or size < end) and got in could_be(pipe, number, size):
        return
    raise Wrong(f"{pipe}: the last block gave {got!r:.300}")


def could_be(pipe: Pipe, number: int, size: int) -> list[Pairs]:
    """What the data from a block's beginning to the end of the file is when nothing tells where the block ends."""
    begin = pipe.extent(number).start
    if pipe.kind.compress:
        streams = [other for other in range(number, len(pipe.blocks)) if pipe.extent(other)]
        if size == begin:
            return [[]]
        return [pipe.blocks[other][1] for other in streams if pipe.extent(other).stop == size][:1]
    pairs = [pair for _, block in pipe.blocks[number:] for pair in block]
    ends = [0, *accumulate(8 + len(key) + len(value) for key, value in pairs)]
    return [pairs[:place] for place, end in enumerate(ends) if end == size - begin]


# Going on


def go_on(pipe: Pipe, prefix: Path, data: bytes, index: bytes | None, before: Seen) -> None:
    """Open for appending, write a block: what could be read before can still be read, and the new block too."""
    path = pipe.data_path(prefix)
    index_path = Path(f"{prefix}.idx")
    try:
        with smartpipe.open(prefix, "a", compress=pipe.kind.compress) as writer:
            recovered = writer.recovered
            writer.write(*NEW)
    except smartpipe.SmartPipeError as error:
        if path.read_bytes() != data or (index_path.read_bytes() if index_path.exists() else None) != index:
            raise Lost(f"{pipe}: a refused append changed the files") from error
        if before.error is not None:
            return
        # In format 1 a block whose entry is not all there, or a damaged last one, has data that nobody may cut.
        lost_key = pipe.kind.format == 1 and index != pipe.index
        if not lost_key and not any(isinstance(block, type) for block in before.items):
            raise Lost(f"{pipe}: what can be read can not be gone on with: {error}") from error
        return
    if before.error is not None:
        raise Lost(f"{pipe}: {before.error} for a reader, and a writer goes on")
    after = look(prefix)
    expected = [*before.items, NEW]
    if pipe.kind.format == 1 and before.items and isinstance(before.items[-1], type):
        # Either the last blocks were unfinished, and are cut with their entries; or the entry behind the last one was,
        # and where that is gone, the block ends with the file.
        while len(expected) > max(len(after.items), 1) and isinstance(expected[-2], type):
            del expected[-2]
        if len(expected) == len(after.items) > 1 and isinstance(expected[-2], type):
            expected[-2] = after.items[-2]
            if recovered is None or after.items[-2] not in could_be_blocks(pipe, len(expected) - 2, len(data)):
                raise Wrong(f"{pipe}: going on made {after.items[-2]} of an unfinished block")
        if recovered is None:
            raise Lost(f"{pipe}: something was cut, and nothing said so")
    if len(after.items) < len(expected):
        raise Lost(f"{pipe}: going on lost blocks: {after!r:.1000}, not {expected!r:.1000}")
    if after.items != expected or after.metadata != before.metadata:
        raise Wrong(f"{pipe}: going on gave {after!r:.1000}, not {expected!r:.1000}")
    if pipe.kind.format == 2:
        good = max([end for end in (FILE_HEADER, *(record.end for record in pipe.records)) if end <= len(data)] or [0])
        if (recovered is None) == any(data[good:]):
            raise Lost(f"{pipe}: {len(data) - good} bytes behind the last block, and what was cut is {recovered}")
    with smartpipe.open(prefix, "a") as writer:
        if writer.recovered is not None:
            raise Wrong(f"{pipe}: what was gone on with is torn again: {writer.recovered}")
    if look(prefix) != after:
        raise Lost(f"{pipe}: opened twice for appending, it is another")


def could_be_blocks(pipe: Pipe, number: int, size: int) -> list[object]:
    key = pipe.entries[number].key
    return [(key, pipe.blocks[number][1]), *((key, pairs) for pairs in could_be(pipe, number, size))]
