"""A writer that is killed at random times and goes on, and two readers that follow it.

The key of a block says its number and which of the writers wrote it, its content follows from the key. So a follower
that shows a block of which nothing is left later, one twice, or none where one is, is found out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import reference
from container.pipes import KINDS, Kind, warned
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe

from .children import Child
from .content import check, pairs_of
from .scenes import DURABILITIES, Tell

NAME = "kill at random times with two followers reading"
UNIT = "writers killed"
QUICK = 50
LONG = 5_000

END = b"end"
PATIENCE = 40.0  # seconds, after which a follower that has not seen the end has lost something
MOST = 3000  # blocks of one writer: what it tells has to fit into a pipe


class Plan(NamedTuple):
    """How a case goes."""

    prefix: str
    kind: Kind
    durability: str
    flushes: float
    """How often a writer flushes or syncs after a block."""
    pause: float
    """Seconds between two blocks, at most."""
    replaced: bool
    """Whether the pipe is replaced by another at last."""
    threads: int
    """Of each writer."""

    @property
    def options(self) -> dict[str, Any]:
        return {**self.kind.options, "durability": DURABILITIES[self.durability], "threads": self.threads}

    @property
    def acknowledges(self) -> bool:
        """Whether a block is acknowledged when `write` returns."""
        return self.durability == "block" or (self.durability != "none" and self.threads == 1)


def case(number: int, random: Random, folder: Path) -> None:
    plan = Plan(
        str(folder / "p"),
        random.choice((*KINDS[:2], *KINDS)),
        random.choice(list(DURABILITIES)),
        random.choice((0.01, 0.1, 0.5)),
        random.choice((0.0, 0.0002, 0.002)),
        random.random() < 0.2,
        random.choice((1, 1, 2)),
    )
    followers = [Child(partial(follow, plan, way)) for way in ("follow", "refresh")]
    writer = None
    acknowledged: list[bytes] = []
    try:
        for generation in count():
            seed = random.random()
            last = generation > 0 and random.random() < 0.3
            clean = last or random.random() < 0.2
            writer = Child(partial(write, plan, generation, clean, last, Random(seed)))
            if not clean:
                time.sleep(random.expovariate(50))
                writer.kill()
            acknowledged += [line.encode() for line in writer.end()]
            writer = None
            if last:
                break
        keys = finished(plan, acknowledged)
        if plan.replaced:
            keys = replace(plan, Random(seed))
        for follower in followers:
            *lines, seen = follower.end()
            if lines and not plan.replaced:
                raise Wrong(f"a follower found the pipe replaced: {lines}")
            if seen.encode().split() != keys:
                raise Lost(f"{plan}: a follower saw {seen}, not {keys}")
    finally:
        for child in [*followers, *([writer] if writer else [])]:
            if child.status is None:
                child.kill()
                child.end()


def write(plan: Plan, generation: int, clean: bool, last: bool, random: Random, tell: Tell) -> None:
    """Go on with the pipe; without `clean`, until somebody kills it. Tells the keys that are acknowledged."""
    unsaid = []
    with smartpipe.open(plan.prefix, "a", **plan.options) as pipe:
        for number in range(len(pipe), len(pipe) + (random.randrange(100) if clean else MOST)):
            key = b"%d-%d" % (number, generation)
            pipe.write(key, pairs_of(key))
            unsaid.append(key.decode())
            chance = random.random()
            if chance < plan.flushes:
                (pipe.flush if chance < plan.flushes / 2 else pipe.sync)()
            if chance < plan.flushes or plan.acknowledges:
                tell("\n".join(unsaid))
                unsaid.clear()
            if plan.pause:
                time.sleep(random.uniform(0, plan.pause))
        if last and not plan.replaced:
            pipe.write(END, pairs_of(END))
            unsaid.append(END.decode())
        while not clean:
            time.sleep(1)
    if unsaid:
        tell("\n".join(unsaid))


def replace(plan: Plan, random: Random) -> list[bytes]:
    keys = [b"%d-new" % number for number in range(random.randrange(50))] + [END]
    kind = random.choice([kind for kind in KINDS if kind.format == plan.kind.format])
    with smartpipe.open(plan.prefix, "w", **kind.options) as pipe:
        for key in keys:
            pipe.write(key, pairs_of(key))
    return keys


def finished(plan: Plan, acknowledged: list[bytes]) -> list[bytes]:
    """The keys of the pipe at the end: every acknowledged one is there, each number once, and all is right."""
    with smartpipe.open(plan.prefix) as pipe:
        blocks = [(key, list(block)) for key, block in pipe.items()]
    keys = [key for key, _ in blocks]
    numbers = [key.split(b"-")[0] for key in keys if key != END]
    if numbers != [b"%d" % number for number in range(len(numbers))]:
        raise Lost(f"{plan}: the pipe has {keys}")
    present = set(keys)
    missing = [key for key in acknowledged if key not in present]
    if missing:
        raise Lost(f"{plan}: {missing} were acknowledged")
    for key, pairs in blocks:
        if plan.kind.format == 2 or key in acknowledged:
            check(key, pairs, str(plan))
        elif pairs != pairs_of(key)[: len(pairs)]:  # FORMAT.md, «Format 1»: a kill may cut it between two pairs
            raise Wrong(f"{plan}: block {key!r} is not what was written")
    if reference.read(plan.prefix).blocks != blocks:
        raise Wrong(f"{plan}: a plain reader finds other blocks")
    return keys


def follow(plan: Plan, way: str, tell: Tell) -> None:
    Follower(plan, tell).run(way)


class Follower:
    """Reads the pipe while it is written, until its end."""

    def __init__(self, plan: Plan, tell: Tell) -> None:
        self.plan, self.tell = plan, tell
        self.seen: list[bytes] = []
        self.end = time.monotonic() + PATIENCE
        self.random = Random(1)

    def run(self, way: str) -> None:
        while not (self.seen and self.seen[-1] == END):
            reader = self.open()
            with reader, warned():
                keys = list(reader.keys())
                if self.plan.kind.format == 1 and keys == self.seen[:-1]:
                    # FORMAT.md, «Format 1»: while a writer has the pipe open, the last block may be left out.
                    self.wait()
                    continue
                if keys[: len(self.seen)] != self.seen:
                    self.tell(f"after {len(self.seen)} blocks another pipe with {len(reader)}")
                    self.seen.clear()
                try:
                    for key, block in getattr(self, way)(reader):
                        self.take(key, list(block))
                        if key == END:
                            break
                except smartpipe.ReplacedError:
                    pass
                except smartpipe.CorruptError:
                    # Of format 1 a reader that comes after the kill can not tell that the last block is unfinished.
                    if self.plan.kind.format == 2:
                        raise
                    self.wait()
        self.tell(b" ".join(self.seen).decode())

    def open(self) -> smartpipe.Reader:
        while True:
            try:
                with warned():
                    return smartpipe.open(self.plan.prefix)
            except smartpipe.PipeNotFoundError:
                self.wait()
            except smartpipe.FormatError:
                # FORMAT.md, «Files and locks»: the instant between data and index.
                if self.plan.kind.format == 2:
                    raise
                self.wait()

    def follow(self, reader: smartpipe.Reader) -> Iterator[tuple[bytes, smartpipe.Block]]:
        while True:
            yield from reader.follow(timeout=self.random.choice((None, 0.01)), start=len(self.seen))
            self.wait()  # the writer has closed, and another one goes on

    def refresh(self, reader: smartpipe.Reader) -> Iterator[tuple[bytes, smartpipe.Block]]:
        while True:
            yield from reader.items(start=len(self.seen))
            for key in self.random.choices(self.seen, k=3) if self.seen else ():
                self.check(key, list(reader[key]))
            before = len(reader)
            new = reader.refresh()
            if len(reader) != before + new:
                raise Wrong(f"refresh says {new}, and {len(reader) - before} came")
            if new == 0:
                self.wait()

    def take(self, key: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
        if key != END and key.split(b"-")[0] != b"%d" % len(self.seen):
            raise Lost(f"{self.plan}: block {key!r} after {self.seen[-3:]}")
        self.check(key, pairs)
        self.seen.append(key)

    def check(self, key: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
        if self.plan.kind.format == 2 or pairs != pairs_of(key)[: len(pairs)]:
            check(key, pairs, str(self.plan))

    def wait(self) -> None:
        time.sleep(0.001)
        if time.monotonic() > self.end:
            raise Lost(f"{self.plan}: a follower saw no end after {len(self.seen)} blocks, {self.seen[-3:]}")


def test_two_followers_of_writers_that_are_killed() -> None:
    harness.quick(sys.modules[__name__])
