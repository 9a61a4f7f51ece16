"""An index that is made anew from the data says what the one said that was written along with it."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

from container.pipes import Kind, warned
from reference import format2
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe

NAME = "rebuild of the index from data equals the index written, in entries and totals"
UNIT = "pipes"
QUICK = 500
LONG = 10_000


def write(prefix: str, random: Random) -> Kind:
    """Write a random pipe: in one or several sessions, with frames from flushes and syncs, metadata or not."""
    kind = Kind(2, random.random() < 0.5)
    number = 0
    for session in range(random.choice((1, 1, 2, 4))):
        metadata = {b"session": b"%d" % session * random.randrange(50)} if random.random() < 0.3 else None
        options: dict[str, Any] = kind.options if session == 0 else {}
        durability = random.choice(("close", "close", "none", "block"))
        with smartpipe.open(prefix, "a", metadata=metadata, durability=durability, **options) as pipe:
            for _ in range(random.choice((0, 1, 3, 20, 300))):
                key = b"" if number == 7 else b"%d:" % number + random.randbytes(random.randrange(30))
                pipe.write(key, pairs(random))
                number += 1
                if random.random() < 0.05:
                    random.choice((pipe.flush, pipe.sync))()
    return kind


def pairs(random: Random) -> list[tuple[bytes, bytes]]:
    sizes = (0, 1, 10, 100, 1000, 4096, 5000)
    return [
        (random.randbytes(random.randrange(5)), bytes(random.choice(sizes)) if random.random() < 0.5 else b"text" * 30)
        for _ in range(random.choice((0, 1, 1, 2, 5)))
    ]


def read(prefix: str, kind: Kind) -> format2.Index:
    data, index = kind.data(prefix).read_bytes(), Path(f"{prefix}.idx").read_bytes()
    found = format2.read_index(index, data, format2.read_file_header(data).file_id)
    if found is None:
        raise Wrong("the index says nothing")
    if found.end != len(data):
        raise Lost(f"the index covers {found.end} of {len(data)} bytes")
    return found


def case(number: int, random: Random, folder: Path) -> None:
    prefix = str(folder / "pipe")
    kind = write(prefix, random)
    data = kind.data(prefix).read_bytes()
    written = read(prefix, kind)
    index = Path(f"{prefix}.idx")
    what = random.randrange(3)
    if what == 0:
        index.unlink()
    elif what == 1:
        damaged = bytearray(index.read_bytes())
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
        index.write_bytes(damaged)
    with warned() as messages:
        report = smartpipe.rebuild_index(prefix)
    if kind.data(prefix).read_bytes() != data:
        raise Wrong("the data was changed")
    if messages or report.damage or not report.closed:
        raise Wrong(f"of a good pipe it says {report} and {messages}")
    made = read(prefix, kind)
    entries = [entry for frame in written.frames for entry in frame.entries]
    if report.blocks != len(entries):
        raise Lost(f"{report.blocks} blocks, {len(entries)} were written")
    [frame] = made.frames
    if frame.entries != entries:
        raise Wrong("the entries are others")
    if not frame.closed or frame.synced != len(data):
        raise Wrong("it does not say that the pipe was closed with all of the data on the disk")
    if totals(frame) != totals(written.frames[-1]):
        raise Wrong(f"the totals are {totals(frame)}, not {totals(written.frames[-1])}")
    for entry in entries:
        if format2.find_in_frame(frame, made.hash_key, entry.key) != entry:
            raise Wrong(f"the table does not lead to {entry.key!r}")
    if index.exists() and len(list(folder.iterdir())) != 2:
        raise Wrong(f"left behind: {sorted(path.name for path in folder.iterdir())}")


def totals(frame: format2.Frame) -> dict[str, Any]:
    """What a frame says of the whole file, but for whether it was synced and closed, which a new one always was."""
    found = asdict(replace(frame, entries=[], slots=()))
    return {name: found[name] for name in ("to", "blocks", "pairs", "raw", "stamp", "metadata", "last_crc")}


def test_a_rebuilt_index_equals_the_one_written() -> None:
    harness.quick(sys.modules[__name__])
