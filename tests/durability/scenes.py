"""What is done to pipes while something breaks: every operation that changes the disk, from every state to begin with.

A scene plants files without smartpipe, and works on them with it. While it works it tells which of its blocks are
acknowledged («ack 3»: the first three), when it begins to finish («closing»), and when that has returned («done»).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from container.pipes import KINDS, Blocks, Kind, index, plant, planter
from reference import format1

import smartpipe

from .content import blocks_of, pairs_of

Tell = Callable[[str], None]
DURABILITIES: dict[str, Any] = {
    "none": "none",
    "close": "close",
    "block": "block",
    "grouped": smartpipe.Grouped(milliseconds=1, bytes=4096),
}
COUNTED = smartpipe.Grouped(bytes=4096)  # «counted»: grouped, with the same calls whenever it is run

OLD_KEYS = [b"old-%d" % number for number in range(4)]
OLD = blocks_of(OLD_KEYS)
NEW_KEYS = [b"new-%d" % number for number in range(5)]
NEW = blocks_of(NEW_KEYS)
TORN_KEY = b"torn"
TORN: Any = [(b"key", TORN_KEY), (b"text", b"<html>" * 40)]
MANY_KEYS = [b"%d" % number for number in range(19)]  # a frame each: more than 16 let the index be made anew


@dataclass(frozen=True)
class Case:
    """A scene with a kind of pipe and a durability; `old` is the kind of the pipe that is replaced or read."""

    scene: Scene
    kind: Kind
    durability: str
    old: Kind

    def __str__(self) -> str:
        return f"{self.scene.name}-{self.kind}-{self.durability}-from-{self.old}"

    @property
    def options(self) -> dict[str, Any]:
        durability = COUNTED if self.durability == "counted" else DURABILITIES[self.durability]
        return {**self.kind.options, "durability": durability}


class Acknowledging:
    """Counts the blocks of a writer that are acknowledged, and tells it."""

    def __init__(self, case: Case, tell: Tell) -> None:
        self.waits = case.durability == "none"
        self.tell = tell
        self.written = 0

    def wrote(self, count: int = 1) -> None:
        """The writer has returned from writing a block."""
        self.written += count
        if not self.waits:
            self.handed_over()

    def handed_over(self) -> None:
        """The writer has returned from a flush, sync or close."""
        self.tell(f"ack {self.written}")


@dataclass(frozen=True)
class Scene:
    """An operation.

    `result` is what it leaves behind: «grown», «aborted», «replaced», «old», «rebuilt» or «recovered».
    """

    name: str
    plant: Callable[[str, Kind], Blocks]
    """Makes the files; gives the blocks that are there."""
    work: Callable[[str, Case, Tell], object]
    new: Blocks = field(default_factory=lambda: NEW)
    result: str = "grown"
    formats: tuple[int, ...] = (1, 2)
    others: bool = False
    """Whether the old pipe is of every kind."""


# What lies there before


@lru_cache(maxsize=256)
def planted(make: Callable[[str, Kind], Blocks], kind: Kind) -> tuple[dict[str, bytes], Blocks]:
    """The files that a function plants, by the end of their name, and the blocks in them."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        blocks = make(f"{folder}/p", kind)
        return {path.name[1:]: path.read_bytes() for path in Path(folder).iterdir()}, blocks


def lay(case: Case, prefix: str) -> Blocks:
    """Put the files of a case there; gives the blocks in them."""
    contents, blocks = planted(case.scene.plant, case.old)
    for suffix, content in contents.items():
        Path(prefix + suffix).write_bytes(content)
    return blocks


def nothing(prefix: str, kind: Kind) -> Blocks:
    return []


def closed(prefix: str, kind: Kind) -> Blocks:
    plant(prefix, OLD, kind)
    return OLD


def torn(prefix: str, kind: Kind) -> Blocks:
    """A writer was killed in the middle of a block."""
    if kind.format == 1:
        data, listed = format1.write([*OLD, (TORN_KEY, TORN)], compressed=kind.compress)
        kind.data(prefix).write_bytes(data[:-7])
        index(prefix).write_bytes(listed)
    else:
        writer = planter(kind)
        for number, (key, pairs) in enumerate(OLD):
            writer.write(key, pairs)
            if number == 1:
                writer.sync()
                writer.frame(slots=0)
        writer.write(TORN_KEY, TORN)
        del writer.data[-7:]
        writer.save(prefix)
    return OLD


def torn_index(prefix: str, kind: Kind) -> Blocks:
    """A writer was killed in the middle of an entry or of a frame."""
    plant(prefix, OLD, kind)
    if kind.format == 1:
        _, listed = format1.write([*OLD, (TORN_KEY, TORN)], compressed=kind.compress)
        index(prefix).write_bytes(listed[:-5])
    else:
        os.truncate(index(prefix), index(prefix).stat().st_size - 5)
    return OLD


def zeros(prefix: str, kind: Kind) -> Blocks:
    """The data was preallocated, or its end did not reach the disk."""
    closed(prefix, kind)
    with kind.data(prefix).open("ab") as file:
        file.write(bytes(3000))
    return OLD


def unindexed(prefix: str, kind: Kind) -> Blocks:
    closed(prefix, kind)
    index(prefix).unlink()
    return OLD


def damaged_index(prefix: str, kind: Kind) -> Blocks:
    closed(prefix, kind)
    content = bytearray(index(prefix).read_bytes())
    content[64 + 40] ^= 1
    index(prefix).write_bytes(content)
    return OLD


def empty_data(prefix: str, kind: Kind) -> Blocks:
    """A writer was killed before it wrote anything."""
    kind.data(prefix).write_bytes(b"")
    return []


def torn_header(prefix: str, kind: Kind) -> Blocks:
    """A writer was killed within the header of the data file."""
    kind.data(prefix).write_bytes(bytes(planter(kind).data[:20]))
    index(prefix).write_bytes(bytes(planter(kind).index))
    return []


def with_leftovers(prefix: str, kind: Kind) -> Blocks:
    """An earlier writer that was to replace the pipe was killed."""
    for other in KINDS[:2]:
        plant(prefix + ".new", [(b"leftover", [(b"k", b"v")])], other)
    closed(prefix, kind)
    return OLD


# What is done


def writing(
    mode: Any, keys: list[bytes] = NEW_KEYS, *, flush: int = 0, sync: int = 0, **options: Any
) -> Callable[[str, Case, Tell], None]:
    """Open, write the blocks, with a flush and a sync after every so many, and close."""

    def work(prefix: str, case: Case, tell: Tell) -> None:
        acknowledging = Acknowledging(case, tell)
        with smartpipe.open(prefix, mode, **case.options, **options) as pipe:
            for number, key in enumerate(keys, 1):
                pipe.write(key, pairs_of(key))
                acknowledging.wrote()
                if flush and number % flush == 0:
                    pipe.flush()
                    acknowledging.handed_over()
                if sync and number % sync == 0:
                    pipe.sync()
                    acknowledging.handed_over()
            tell("closing")
        acknowledging.handed_over()
        tell("done")

    return work


def sessions(prefix: str, case: Case, tell: Tell) -> None:
    acknowledging = Acknowledging(case, tell)
    for keys in (NEW_KEYS[:2], [], NEW_KEYS[2:]):
        with smartpipe.open(prefix, "a", **case.options) as pipe:
            for key in keys:
                pipe.write(key, pairs_of(key))
                acknowledging.wrote()
        acknowledging.handed_over()
    tell("done")


def checkpoints(prefix: str, case: Case, tell: Tell) -> None:
    acknowledging = Acknowledging(case, tell)
    with smartpipe.open(prefix, "a", **case.options) as pipe:
        for number, key in enumerate(NEW_KEYS):
            pipe.checkpoint(key)
            acknowledging.wrote(1 if number else 0)
            for pair in pairs_of(key):
                pipe.append(*pair)
    acknowledging.written += 1
    acknowledging.handed_over()
    tell("done")


def step_by_step(prefix: str, case: Case, tell: Tell) -> None:
    """Blocks in a `with` statement, one of them dropped."""
    acknowledging = Acknowledging(case, tell)
    with smartpipe.open(prefix, "a", **case.options) as pipe:
        for key in NEW_KEYS:
            try:
                with pipe.block(b"dropped") as block:
                    block.append(b"k", b"v" * 5000)
                    raise KeyError(key)
            except KeyError:
                pass
            with pipe.block(key) as block:
                for pair in pairs_of(key):
                    block.append(*pair)
            acknowledging.wrote()
    acknowledging.handed_over()
    tell("done")


def aborting(mode: Any) -> Callable[[str, Case, Tell], None]:
    def work(prefix: str, case: Case, tell: Tell) -> None:
        acknowledging = Acknowledging(case, tell)
        pipe = smartpipe.open(prefix, mode, **case.options)
        for key in NEW_KEYS:
            pipe.write(key, pairs_of(key))
            acknowledging.wrote()
        pipe.checkpoint(b"dropped")
        pipe.append(b"k", b"v")
        tell("aborting")
        pipe.abort()
        tell("done")

    return work


def leaving(prefix: str, case: Case, tell: Tell) -> None:
    """An exception leaves the `with` statement: nothing is replaced."""
    try:
        with smartpipe.open(prefix, "w", **case.options) as pipe:
            for key in NEW_KEYS:
                pipe.write(key, pairs_of(key))
            raise KeyError
    except KeyError:
        tell("done")


def rebuilding(prefix: str, case: Case, tell: Tell) -> None:
    smartpipe.rebuild_index(prefix)
    tell("done")


def recovering(prefix: str, case: Case, tell: Tell) -> None:
    smartpipe.recover(prefix, prefix + "-saved", **case.options)
    tell("done")


SCENES = [
    Scene("create", nothing, writing("x")),
    Scene("create-with-metadata", nothing, writing("x", metadata={b"what": b"a crawl"}), formats=(2,)),
    Scene("create-by-w", nothing, writing("w", sync=2)),
    Scene("create-by-a", nothing, writing("a", flush=2)),
    Scene("create-and-abort", nothing, aborting("x"), result="aborted"),
    Scene("append", closed, writing("a")),
    Scene("append-and-flush-and-sync", closed, writing("a", flush=3, sync=2)),
    Scene("append-metadata", closed, writing("a", metadata={b"what": b"a crawl"}), formats=(2,)),
    Scene("append-many-frames", closed, writing("a", MANY_KEYS, flush=1), blocks_of(MANY_KEYS), formats=(2,)),
    Scene("append-in-sessions", closed, sessions),
    Scene("append-checkpoints", closed, checkpoints),
    Scene("append-step-by-step", closed, step_by_step),
    Scene("append-and-abort", closed, aborting("a")),
    Scene("append-behind-a-torn-block", torn, writing("a")),
    Scene("append-to-a-torn-index", torn_index, writing("a")),
    Scene("append-behind-zeros", zeros, writing("a"), formats=(2,)),
    Scene("append-without-an-index", unindexed, writing("a", sync=2), formats=(2,)),
    Scene("append-to-a-damaged-index", damaged_index, writing("a"), formats=(2,)),
    Scene("append-to-empty-data", empty_data, writing("a"), formats=(2,)),
    Scene("append-to-a-torn-header", torn_header, writing("a"), formats=(2,)),
    Scene("replace", closed, writing("w", sync=2), result="replaced", others=True),
    Scene("replace-many-frames", closed, writing("w", MANY_KEYS, flush=1), blocks_of(MANY_KEYS), "replaced"),
    Scene("replace-over-leftovers", with_leftovers, writing("w"), result="replaced"),
    Scene("replace-a-torn-pipe", torn, writing("w"), result="replaced", formats=(2,)),
    Scene("replace-and-abort", closed, aborting("w"), result="old", others=True),
    Scene("replace-and-leave", closed, leaving, result="old"),
    Scene("rebuild", closed, rebuilding, [], "rebuilt", formats=(2,)),
    Scene("rebuild-without-an-index", unindexed, rebuilding, [], "rebuilt", formats=(2,)),
    Scene("rebuild-a-damaged-index", damaged_index, rebuilding, [], "rebuilt", formats=(2,)),
    Scene("recover", closed, recovering, [], "recovered", others=True),
    Scene("recover-a-torn-pipe", torn, recovering, [], "recovered"),
]


def cases() -> Iterator[Case]:
    """Every scene with every kind and durability that it has."""
    for scene, kind, durability in itertools.product(SCENES, KINDS, DURABILITIES):
        if scene.result == "rebuilt" and scene.work is rebuilding and durability != "close":
            continue  # it takes no durability
        if kind.format in scene.formats:
            for old in KINDS if scene.others else [kind]:
                yield Case(scene, kind, durability, old)
