"""Small pipes of every kind to break, and what reading them gives.

Some are golden files, the others are planted by tests/reference: nothing here was written by the code under test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from container.pipes import SMALL, Blocks, Kind, Pairs, planter
from reference import format1, format2
from reference.expected import FOLDERS, GOLDEN

import smartpipe

Found = Pairs | type[smartpipe.SmartPipeError]
NEW = (b"new", [(b"k", b"v")])
LITTLE = 4 << 10  # bytes of data and index of a golden pipe that is broken at every byte by the tests


@dataclass(frozen=True)
class Frame:
    """A frame of an index, as far as it matters for what a reader expects of the data."""

    end: int
    to: int
    synced: int
    closed: bool


@dataclass
class Pipe:
    """A pipe as it was before something happened to it."""

    name: str
    kind: Kind
    data: bytes
    index: bytes | None
    blocks: Blocks = field(default_factory=list)
    """All whole ones, in the order of the file."""
    records: list[format2.Record] = field(default_factory=list)
    """Format 2: those of metadata too, and at the end one that reaches beyond the data, where there is one."""
    frames: list[Frame] = field(default_factory=list)
    entries: list[format1.Entry] = field(default_factory=list)
    described: dict[int, Pairs] = field(default_factory=dict)
    """The pairs of metadata records, by their offset."""

    def copies(self, record: format2.Record) -> list[format2.Record]:
        """The dictionary records of which one must be whole for a record to be read; none where it needs none."""
        if record.kind == format2.DICTIONARY or record.dictionary == 0:
            return []
        return [
            copy for copy in self.records if copy.kind == format2.DICTIONARY and copy.dictionary == record.dictionary
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"

    def data_path(self, prefix: str | Path) -> Path:
        return self.kind.data(prefix)

    def extent(self, number: int) -> range:
        """Where a block lies in the data."""
        if self.kind.format == 2:
            record = [record for record in self.records if record.kind == format2.BLOCK][number]
            return range(record.offset, record.end)
        places = [entry.offset for entry in self.entries]
        return range(places[number], [*places, len(self.data)][number + 1])


def load(name: str, kind: Kind, data: bytes, index: bytes | None) -> Pipe:
    """The plain reader's view of a pipe."""
    pipe = Pipe(name, kind, data, index)
    if kind.format == 1:
        assert index is not None
        pipe.blocks = format1.read(data, index, compressed=kind.compress)
        pipe.entries = format1.read_index(index)
        return pipe
    file_id = format2.read_file_header(data).file_id
    pipe.blocks = format2.read(data, index).blocks
    found = format2.scan(data, file_id)
    pipe.records = list(found.records)
    if found.tail:
        unfinished = format2.read_record_header(data, found.tail[0], file_id)
        if unfinished:
            pipe.records.append(unfinished)
    for record in found.records:
        if record.kind == format2.METADATA:
            pipe.described[record.offset] = format2.read_record(data, record)[1]
    at = format2.INDEX_HEADER.size
    while index is not None and at < len(index):
        fields = format2.FRAME_HEADER.unpack_from(index, at)
        size, to, synced, flags = fields[2], fields[4], fields[5], fields[16]
        at += size
        pipe.frames.append(Frame(at, to, synced, bool(flags & format2.CLOSED)))
    assert index is None or at == len(index)
    return pipe


def golden(place: Path, kind: Kind) -> Pipe:
    """A golden pipe, by its prefix."""
    index = Path(f"{place}.idx")
    name = place.name if place.parent.name in ("dat", "datz") else f"{place.name} in {place.parent.name}"
    return load(name, kind, kind.data(place).read_bytes(), index.read_bytes() if index.exists() else None)


def golden_places(folder: Path, kind: Kind) -> list[tuple[int, Path]]:
    """Size of data and index, and prefix, of each golden pipe of a folder, the small ones first."""
    found = []
    for path in folder.glob("*" + kind.extension):
        index = path.with_suffix(".idx")
        found.append((path.stat().st_size + (index.stat().st_size if index.exists() else 0), path.with_suffix("")))
    return sorted(found)


KINDS = [Kind(2, False), Kind(2, True), Kind(1, False), Kind(1, True)]
CODEC_FOLDERS = [
    (GOLDEN / "format2" / folder.name, Kind(2, folder.codec)) for folder in FOLDERS if folder.codec in ("zstd", "lz4")
]
GOLDEN_FOLDERS = [*((GOLDEN / f"format{kind.format}" / kind.extension[1:], kind) for kind in KINDS), *CODEC_FOLDERS]
MORE: Blocks = [
    (b"key %d" % number, [(b"n", b"%d" % number), (b"text", b"some words " * number)]) for number in range(6)
]
EMPTY_ENDS: Blocks = [(b"", []), (b"a", [(b"k", b"v" * 50)]), (b"b", []), (b"c", [(b"", b"")]), (b"d", [])]


@cache
def small() -> tuple[Pipe, ...]:
    """The pipes that the tests break at every byte."""
    pipes = []
    for folder, kind in GOLDEN_FOLDERS:
        pipes += [golden(place, kind) for size, place in golden_places(folder, kind) if size <= LITTLE]
        if kind in KINDS:
            pipes += _of_format1(kind) if kind.format == 1 else _of_format2(kind)
    return tuple(pipes)


@cache
def larger() -> tuple[Pipe, ...]:
    """Golden pipes with large values, unfinished ones among them: of several sectors of a real disk."""
    names = ("appended", "killed", "metadata", "torn", "many-small-blocks")
    places = [(folder / name, kind) for folder, kind in (*GOLDEN_FOLDERS[:2], *CODEC_FOLDERS) for name in names]
    return tuple(golden(place, kind) for place, kind in places if kind.data(place).exists())


def _of_format1(kind: Kind) -> list[Pipe]:
    pipes = []
    for name, blocks in (("small", SMALL), ("more", MORE), ("empty ends", EMPTY_ENDS)):
        pipes.append(load(name, kind, *format1.write(blocks, compressed=kind.compress)))
    return pipes


def _of_format2(kind: Kind) -> list[Pipe]:
    pipes = []

    def keep(name: str, cut: int = 0, extra: int = 0, index: bool = True) -> None:
        data = bytes(writer.data[: len(writer.data) - cut]) + bytes(extra)
        pipes.append(load(name, kind, data, bytes(writer.index) if index else None))

    writer = planter(kind)
    for block in MORE:
        writer.write(*block)
    writer.sync()
    writer.frame(closed=True)
    keep("more")

    writer = planter(kind)
    writer.metadata({b"by": b"first", b"long": b"words " * 20})
    for number, block in enumerate(SMALL):
        writer.write(*block)
        if number == 1:
            writer.sync()
            writer.frame(slots=0)
    writer.metadata({b"by": b"second"})
    writer.frame()
    writer.write(b"behind", {b"k": b"v"})
    writer.sync()
    writer.frame(slots=0, closed=True)
    writer.frame(closed=True)
    keep("frames")

    writer = planter(kind)
    for number, block in enumerate(SMALL):
        writer.write(*block)
        if number == 1:
            writer.frame(slots=0)
    keep("not synced")
    keep("cut within a block", cut=7)
    keep("preallocated", extra=300)
    keep("without an index", index=False)

    writer = planter(kind)
    writer.metadata({b"by": b"test"})
    for number, block in enumerate(SMALL):
        writer.write(*block)
        if number == 1:
            writer.sync()
    keep("synced before the last", index=False)
    writer.frame(slots=0)
    writer.write(*MORE[5])
    keep("synced and torn", cut=20)
    return pipes


def plant(pipe: Pipe, prefix: Path) -> None:
    """Put the files of a pipe there."""
    pipe.data_path(prefix).write_bytes(pipe.data)
    if pipe.index is not None:
        Path(f"{prefix}.idx").write_bytes(pipe.index)
