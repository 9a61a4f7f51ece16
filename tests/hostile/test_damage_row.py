"""Bits flipped, sectors zeroed, doubled and swapped, in data, index or both: what is given is right, or it is an error.

Format 2: everything has a checksum. A hit record is lost, no other; a hit index costs nothing. Format 1 has none but
those of zlib: what can not be told there is named at `check_format1`. docs/FORMAT.md, «Known limits» and «Format 1».
"""

from __future__ import annotations

import os
import sys
import warnings
from bisect import bisect_left, bisect_right
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from reference import format2
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe

from .look import Seen, look
from .planted import NEW, Pipe, larger, plant, small

NAME = "single bit flips, sectors zeroed, doubled, swapped"
UNIT = "damages"
QUICK = 100_000
LONG = 5_000_000

FILE_HEADER = 32
INDEX_HEADER = 64
SECTORS = (64, 512, 4096)
STEP = 1_000_003  # prime: so the first cases flip bits of all pipes
# Every so many damages are also appended to, verified, recovered from.
APPENDED = 4
VERIFIED = 10
RECOVERED = 50


@cache
def bits() -> list[int]:
    """The bits of all pipes, added up."""
    return list(accumulate(8 * (len(pipe.data) + len(pipe.index or b"")) for pipe in small()))


def setup() -> None:
    bits()
    larger()


Patch = tuple[int, bytes]


def flipped(content: bytes, bit: int) -> list[Patch]:
    return [(bit // 8, bytes([content[bit // 8] ^ 1 << bit % 8]))]


def hurt(content: bytes, random: Random) -> list[Patch]:
    """What a disk does to a file: a bit, or one or two of its sectors."""
    if not content:
        return []
    size = random.choice(SECTORS)
    count = -(-len(content) // size)
    first, second = size * random.randrange(count), size * random.randrange(count)
    room = min(size, len(content) - first, len(content) - second)
    match random.choice(("bit", "zeroed", "doubled", "swapped")):
        case "bit":
            return flipped(content, random.randrange(8 * len(content)))
        case "zeroed":
            return [(first, bytes(min(size, len(content) - first)))]
        case "doubled":
            return [(second, content[first : first + room])]
    return [(first, content[second : second + room]), (second, content[first : first + room])]


def damage(number: int, random: Random) -> tuple[Pipe, list[Patch], list[Patch], bool]:
    """The pipe of a case, what is written over its data and its index, and whether it has its index."""
    if number % 2 == 0:
        bit = number // 2 * STEP % bits()[-1]
        which = bisect_right(bits(), bit)
        bit -= bits()[which - 1] if which else 0
        pipe = small()[which]
        if bit >= 8 * len(pipe.data):
            assert pipe.index is not None
            return pipe, [], flipped(pipe.index, bit - 8 * len(pipe.data)), True
        indexed = pipe.kind.format == 1 or random.random() < 0.6
        return pipe, flipped(pipe.data, bit), [], indexed
    pipe = random.choice(small() if number % 8 != 1 else larger())
    where = random.choice(("data", "index", "both"))
    data = hurt(pipe.data, random) if where != "index" else []
    index = hurt(pipe.index or b"", random) if where != "data" else []
    return pipe, data, index, pipe.kind.format == 1 or where != "data" or random.random() < 0.6


class Place:
    """A pipe on the disk, written once; each damage is written over it, and undone."""

    def __init__(self, pipe: Pipe, folder: Path) -> None:
        self.prefix = folder / "pipe"
        self.index_path = Path(f"{self.prefix}.idx")
        self.away = folder / "index"
        folder.mkdir()
        plant(pipe, self.prefix)
        self.data = os.open(pipe.data_path(self.prefix), os.O_WRONLY)
        self.index = os.open(self.index_path, os.O_WRONLY) if pipe.index is not None else -1


_places: dict[tuple[int, str], Place] = {}


def place_of(pipe: Pipe, folder: Path) -> Place:
    # By process: a forked one must not write over the files of another.
    name = f"{pipe}"
    place = _places.get((os.getpid(), name))
    if place is None or not place.prefix.parent.exists():
        place = _places[os.getpid(), name] = Place(pipe, folder.parent / name.replace(" ", "-"))
    return place


def case(number: int, random: Random, folder: Path) -> None:
    """Damage a pipe, read everything, and put it right again."""
    pipe, data, index, indexed = damage(number, random)
    place = place_of(pipe, folder)
    hidden = pipe.index is not None and not indexed
    try:
        for offset, content in data:
            os.pwrite(place.data, content, offset)
        for offset, content in index:
            os.pwrite(place.index, content, offset)
        if hidden:
            os.rename(place.index_path, place.away)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            seen = look(place.prefix)
            hits = [changed(pipe.data, data), changed(pipe.index or b"", index)]
            if pipe.kind.format == 1:
                check_format1(pipe, *hits, seen)
            else:
                check_format2(pipe, *hits, indexed and pipe.index is not None, seen, bool(told))
                if number % APPENDED < 2 and any(hits):
                    check_append(pipe, place, folder / "appended", *hits, hidden)
                if any(hits) and number % VERIFIED == 0 and hasattr(smartpipe, "verify"):
                    check_verify(pipe, place, *hits)
                if any(hits) and number % RECOVERED == 0 and hasattr(smartpipe, "recover"):
                    check_recover(pipe, place, folder / "recovered", *hits, seen)
    finally:
        if hidden:
            os.rename(place.away, place.index_path)
        for offset, content in data:
            os.pwrite(place.data, pipe.data[offset : offset + len(content)], offset)
        for offset, content in index:
            assert pipe.index is not None
            os.pwrite(place.index, pipe.index[offset : offset + len(content)], offset)


def test_damage_is_found_or_harmless() -> None:
    harness.quick(sys.modules[__name__])


def changed(content: bytes, patches: list[Patch]) -> list[int]:
    """The offsets of the bytes that are others now."""
    damaged = bytearray(content)
    for offset, patch in patches:
        damaged[offset : offset + len(patch)] = patch
    first = min((offset for offset, _ in patches), default=0)
    last = max((offset + len(patch) for offset, patch in patches), default=0)
    return [offset for offset in range(first, last) if damaged[offset] != content[offset]]


# Format 2


def check_format2(pipe: Pipe, data: list[int], index: list[int], indexed: bool, seen: Seen, told: bool) -> None:
    if data and data[0] < FILE_HEADER:
        # With the magic of both files gone there is nothing left that says what they are.
        if seen.error is None and not (index and index[0] < INDEX_HEADER):
            raise Wrong(f"{pipe}: the file header is damaged at {data}, and it opens: {seen!r:.500}")
        return
    if seen.error is not None:
        raise Lost(f"{pipe}: {seen.error} for damage at {data} of the data and {index} of the index")
    hit = hit_blocks(pipe, data)
    wrong = [block for block in seen.blocks if block not in pipe.blocks]
    if wrong:
        raise Wrong(f"{pipe}: {wrong!r:.500}")
    good = [block for number, block in enumerate(pipe.blocks) if number not in hit]
    if [block for block in seen.blocks if block in good] != good:
        raise Lost(f"{pipe}: damage at {data} and {index} hits blocks {sorted(hit)}, and left {seen.items!r:.500}")
    if len(seen.items) > len(pipe.blocks):
        raise Wrong(f"{pipe}: {len(seen.items)} items of {len(pipe.blocks)} blocks")
    by_key = {key: pairs for key, pairs in seen.keys.items() if isinstance(pairs, list)}
    if by_key != dict(seen.blocks):
        raise Wrong(f"{pipe}: by key {by_key!r:.500}, by items {seen.items!r:.500}")
    if data and len(seen.blocks) < len(pipe.blocks) and not told and len(seen.items) == len(seen.blocks):
        raise Lost(f"{pipe}: damage at {data[0]} took a block, and nobody was told")
    check_metadata(pipe, data, indexed and not index, seen, told)


def hit_blocks(pipe: Pipe, data: list[int]) -> set[int]:
    """The blocks whose records have one of these bytes."""
    records = [record for record in pipe.records if record.kind == format2.BLOCK]
    return {number for number, record in enumerate(records[: len(pipe.blocks)]) if _is_lost(pipe, record, data)}


def check_metadata(pipe: Pipe, data: list[int], indexed: bool, seen: Seen, told: bool) -> None:
    """The last metadata record counts. Where that one is hit: an error, or, without an index, the one before it."""
    described = [record for record in pipe.records if record.offset in pipe.described]
    hit = [_is_lost(pipe, record, data) for record in described]
    expected: list[Any] = [{}, *(dict(pipe.described[record.offset]) for record in described)]
    if not any(hit):
        if seen.metadata != expected[-1]:
            raise Lost(f"{pipe}: metadata {seen.metadata}, not {expected[-1]}")
    elif isinstance(seen.metadata, dict):
        if seen.metadata not in expected:
            raise Wrong(f"{pipe}: metadata {seen.metadata}")
        if hit[-1] and (indexed or not told):
            raise Wrong(f"{pipe}: the metadata record is damaged, and it gave {seen.metadata}")


def check_append(pipe: Pipe, place: Place, prefix: Path, data: list[int], index: list[int], hidden: bool) -> None:
    """Who goes on with a copy of the damaged pipe loses no block that is not hit, and can read what it wrote."""
    path = pipe.data_path(prefix)
    damaged = pipe.data_path(place.prefix).read_bytes()
    path.write_bytes(damaged)
    if pipe.index is not None and not hidden:
        Path(f"{prefix}.idx").write_bytes(place.index_path.read_bytes())
    try:
        with smartpipe.open(prefix, "a") as writer:
            writer.write(*NEW)
    except smartpipe.SmartPipeError as error:
        if path.read_bytes() != damaged:
            raise Lost(f"{pipe}: a refused append changed the data") from error
        if not data or data[0] >= FILE_HEADER:
            raise Lost(f"{pipe}: damage at {data} and {index}, and no append: {error}") from error
        return
    if data and data[0] < FILE_HEADER:
        return  # neither magic is left, see check_format2
    hit = hit_blocks(pipe, data)
    expected = [*(block for number, block in enumerate(pipe.blocks) if number not in hit), NEW]
    found = look(prefix).blocks
    if [block for block in found if block in expected] != expected:
        raise Lost(f"{pipe}: damage at {data} and {index}, and an append left {found!r:.500}")
    if any(block not in pipe.blocks for block in found if block != NEW):
        raise Wrong(f"{pipe}: damage at {data} and {index}, and an append made {found!r:.500}")
    synced = [record.synced for record in pipe.records if not _is_hit(record, data)]
    kept = min(max([0, *synced]), len(damaged))
    if path.read_bytes()[:kept] != damaged[:kept]:
        raise Lost(f"{pipe}: damage at {data} and {index}, and an append cut or changed what had reached the disk")


def _is_lost(pipe: Pipe, record: format2.Record, data: list[int]) -> bool:
    """Whether a record has one of these bytes, or every copy of the dictionary that it needs."""
    copies = pipe.copies(record)
    return _is_hit(record, data) or (bool(copies) and all(_is_hit(copy, data) for copy in copies))


def _is_hit(record: format2.Record, data: list[int]) -> bool:
    return _has(data, record.offset, record.end)


def _has(offsets: list[int], begin: int, end: int) -> bool:
    """Whether one of these offsets, which rise, lies there."""
    at = bisect_left(offsets, begin)
    return at < len(offsets) and offsets[at] < end


def check_verify(pipe: Pipe, place: Place, data: list[int], index: list[int]) -> None:
    try:
        report = smartpipe.verify(place.prefix)  # type: ignore[attr-defined]
    except smartpipe.SmartPipeError:
        return
    if report.ok:
        raise Wrong(f"{pipe}: damage at {data} of the data and {index} of the index is none for verify")


def check_recover(pipe: Pipe, place: Place, target: Path, data: list[int], index: list[int], seen: Seen) -> None:
    """What can be read is in the new pipe, in its order; what is not is counted."""
    try:
        report = smartpipe.recover(place.prefix, target)  # type: ignore[attr-defined]
    except smartpipe.SmartPipeError as error:
        if seen.error is None:
            raise Lost(f"{pipe}: can be read and not be recovered: {error}") from error
        return
    again = look(target)
    wrong = [block for block in again.items if block not in pipe.blocks]
    if wrong:
        raise Wrong(f"{pipe}: recovered {wrong!r:.500}")
    # It may be more: an entry that contradicts its record is an error for a reader, and recover asks the data.
    if seen.error is None and any(block in seen.blocks and block not in again.items for block in pipe.blocks):
        raise Lost(f"{pipe}: recovered {again.items!r:.500} of {seen.items!r:.500}")
    # Without its index, the end of a pipe can not be told from a block that was never finished.
    if len(again.items) < len(pipe.blocks) and not report.lost and not report.torn:
        raise Lost(f"{pipe}: {len(pipe.blocks) - len(again.items)} blocks less, and the report says that none is lost")


# Format 1


def check_format1(pipe: Pipe, data: list[int], index: list[int], seen: Seen) -> None:
    """What this format can not tell, by name:

    - the keys and values of a .dat, and which bits of a stream's header nobody looks at, have no checksum;
    - a stream does not say of which block it is, and where one was written over another of the same size;
    - the keys in the index have no checksum, and one of another length takes what is behind it for its offsets;
    - an offset that contradicts those around it makes the whole index unusable.
    """
    if seen.error is not None:
        if not index:
            raise Lost(f"{pipe}: damage of the data, and {seen.error}")
        return
    extents = [pipe.extent(number) for number in range(len(pipe.blocks))]
    hit = {number for number, extent in enumerate(extents) if _has(data, extent.start, extent.stop)}
    # Blocks whose entry, and the one behind it, which says where they end, come before what is damaged.
    ends = list(accumulate(20 + len(entry.key) for entry in pipe.entries))
    sound = bisect_right(ends, index[0]) - 1 if index else len(pipe.blocks)
    for number in range(max(sound, 0)):
        got = seen.items[number]
        if number not in hit:
            if got != pipe.blocks[number]:
                kind = Lost if isinstance(got, type) else Wrong
                raise kind(f"{pipe}: damage at {data} and {index}, and block {number} is {got!r:.500}")
        elif pipe.kind.compress and not isinstance(got, type) and got[1] not in (pairs for _, pairs in pipe.blocks):
            raise Wrong(f"{pipe}: damage at {data}, and block {number} is {got!r:.500}")
    if not index:
        if len(seen.items) != len(pipe.blocks):
            raise Lost(f"{pipe}: {len(seen.items)} of {len(pipe.blocks)} blocks")
        for number, (key, _) in enumerate(pipe.blocks):
            got, listed = seen.items[number], seen.keys[key]
            if listed != (got if isinstance(got, type) else got[1]):
                raise Wrong(f"{pipe}: block {number} is {got!r:.300} by items and {listed!r:.300} by key")
