"""Threads that share a reader, and threads that share a writer while others follow it, here and in another process.

The content of a block follows from its key, so that each thread can tell whether what it got is right.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, NoReturn

from container.pipes import KINDS, Kind, plant, warned
from container.together import Together
from torture import harness
from torture.harness import Lost, Wrong

import smartpipe

from .children import Child
from .content import blocks_of, check, pairs_of
from .scenes import DURABILITIES

NAME = "threads sharing a reader, and a writer with concurrent followers"
UNIT = "rounds"
SECONDS = 1.4
QUICK = 60  # a minute on two cores: each takes up to two seconds
LONG = 600

THREADS = 3
NUMBERS = range(200)


def case(number: int, random: Random, folder: Path) -> None:
    kind = KINDS[number // 2 % len(KINDS)]
    (share_a_reader if number % 2 == 0 else share_a_writer)(kind, random, str(folder / "p"))


# A reader


def share_a_reader(kind: Kind, random: Random, prefix: str) -> None:
    """Threads use one reader in every way, until one of them closes it; again and again."""
    keys = [b"%d" % number for number in NUMBERS]
    plant(prefix, blocks_of(keys), kind)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        together = Together(random.uniform(0.05, 0.3))
        closes = random.random() < 0.7
        with smartpipe.open(prefix) as reader:
            for _ in range(THREADS):
                together.add(read, reader, keys, Random(random.random()), together, closes)
            together.start()
            while not together.over():
                time.sleep(0.001)
            if closes:
                reader.close()
            together.join()
        if len(os.listdir("/proc/self/fd")) > 200:
            raise Wrong("descriptors are left open")


def read(reader: smartpipe.Reader, keys: list[bytes], random: Random, together: Together, closes: bool) -> None:
    uses = (use_items, use_shuffled, use_keys, use_get, use_many, use_refresh, use_kept)
    kept: list[tuple[bytes, smartpipe.Block]] = []
    while closes or not together.over():
        try:
            random.choice(uses)(reader, keys, random, kept)
        except smartpipe.ClosedError:
            if not reader.closed:
                raise
            # What was given out before keeps what it has, or says that the pipe was closed.
            for key, block in kept:
                try:
                    check(key, block)
                except smartpipe.ClosedError:
                    pass
            return


def use_items(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    start = random.randrange(len(keys))
    select = random.choice((None, [b"text"]))
    threads, readahead = random.choice((1, 1, 2, 3)), random.choice((1000, 100_000, 64 << 20))
    items = reader.items(select=select, start=start, threads=threads, readahead=readahead)
    for number, (key, block) in enumerate(items, start):
        if key != keys[number]:
            raise Lost(f"{key!r} is number {number}")
        expected = [pair for pair in pairs_of(key) if select is None or pair[0] in select]
        if list(block) != expected:
            raise Wrong(f"{key!r} is wrong in an iteration")
        if random.random() < 0.01:
            kept[:] = [*kept[-5:], (key, reader[key])]
            return


def use_shuffled(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    seen = []
    for key, block in reader.items(shuffle=random.randrange(100), threads=random.choice((1, 2))):
        check(key, block)
        seen.append(key)
    if sorted(seen) != sorted(keys):
        raise Lost("a random order lacks keys")


def use_keys(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    if list(reader) != keys or len(reader) != len(keys):
        raise Lost("keys are missing")
    if [entry.key for entry in reader.entries()] != keys:
        raise Lost("entries are missing")


def use_get(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    for key in random.choices(keys, k=20):
        check(key, reader[key])
        if key not in reader or b"absent" in reader or reader.get(key + b"?") is not None:
            raise Wrong(f"{key!r} is not told from others")


def use_many(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    wanted = random.sample(keys, 20)
    found = [(key, block) for key, block in reader.get_many([*wanted, b"absent"])]
    if sorted(wanted) != sorted(key for key, block in found if block is not None) or found[-1] != (b"absent", None):
        raise Lost("get_many lacks keys")
    for key, block in found[:-1]:
        check(key, block)


def use_refresh(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    if reader.refresh() != 0 or reader.stats()["blocks"] != len(keys):
        raise Wrong("blocks came from nowhere")


def use_kept(reader: smartpipe.Reader, keys: list[bytes], random: Random, kept: list[Any]) -> None:
    """Blocks that another call gave, read later."""
    for key, block in kept:
        check(key, block)


# A writer


def share_a_writer(kind: Kind, random: Random, prefix: str) -> None:
    """Threads write, flush and sync by one writer; two threads and another process follow."""
    elsewhere = Child(lambda tell: tell(b" ".join(follow(prefix)).decode()))
    together = Together(SECONDS)
    written: list[list[bytes]] = [[] for _ in range(THREADS)]
    seen: list[list[bytes]] = [[], []]
    try:
        durability = DURABILITIES[random.choice(list(DURABILITIES))]
        followers = Together(SECONDS)
        options = {**kind.options, "durability": durability, "level": 1, "threads": random.choice((1, 2))}
        with warned(), smartpipe.open(prefix, "x", **options) as pipe:
            for number in range(THREADS):
                together.add(write, pipe, number, written[number], Random(random.random()), together)
            followers.add(lambda: seen[0].extend(follow(prefix)))
            followers.add(lambda: seen[1].extend(follow_by_refresh(prefix, followers)))
            followers.start()
            together.join()
            pipe.write(b"end", pairs_of(b"end"))
        followers.join()
        with smartpipe.open(prefix) as reader:
            keys = list(reader)
            for key, block in reader.items():
                check(key, block)
        for number in range(THREADS):
            if [key for key in keys if key.startswith(b"%d-" % number)] != written[number]:
                raise Lost(f"thread {number} has written other blocks")
        for name, followed in (
            ("items", seen[0]),
            ("refresh", seen[1]),
            ("process", elsewhere.end()[-1].encode().split()),
        ):
            if followed != keys:
                raise Lost(
                    f"the follower by {name} has seen {len(followed)} of {len(keys)} blocks, or in another order"
                )
    finally:
        if elsewhere.status is None:
            elsewhere.kill()
            elsewhere.end()


def write(pipe: smartpipe.Writer, number: int, written: list[bytes], random: Random, together: Together) -> None:
    while not together.over():
        key = b"%d-%d" % (number, len(written))
        if random.random() < 0.5:
            pipe.write(key, pairs_of(key))
        else:
            with pipe.block(key) as block:
                for pair in pairs_of(key):
                    block.append(*pair)
        written.append(key)
        if key not in pipe:
            raise Lost(f"{key!r} is not there after it was written")
        chance = random.random()
        if chance < 0.02:
            (pipe.flush if chance < 0.01 else pipe.sync)()
        if chance > 0.9:
            time.sleep(0.001)


def opened(prefix: str) -> smartpipe.Reader:
    while True:
        try:
            with warned():
                return smartpipe.open(prefix)
        except (smartpipe.PipeNotFoundError, smartpipe.FormatError):
            time.sleep(0.001)  # not begun, or of format 1 and its index not yet there


def follow(prefix: str) -> list[bytes]:
    """Read a pipe while it is written, to its end."""
    seen: list[bytes] = []
    while b"end" not in seen[-1:]:
        with opened(prefix) as reader:
            try:
                for key, block in reader.follow(start=len(seen)):
                    check(key, block)
                    seen.append(key)
            except smartpipe.ReplacedError:
                if seen:
                    raise
                # It was opened before anything was in it, not even which format it is.
    return seen


def follow_by_refresh(prefix: str, together: Together) -> list[bytes]:
    seen: list[bytes] = []
    random = Random(1)
    reader = opened(prefix)
    while b"end" not in seen[-1:]:
        for key, block in reader.items(start=len(seen)):
            check(key, block)
            seen.append(key)
        for key in random.choices(seen, k=3) if seen else ():
            check(key, reader[key])
        try:
            if reader.refresh() == 0:
                time.sleep(0.001)
        except smartpipe.ReplacedError:
            if seen:
                raise
            reader.close()
            reader = opened(prefix)
        if time.monotonic() > together.end + 30:
            give_up(seen)
    reader.close()
    return seen


def give_up(seen: list[bytes]) -> NoReturn:
    raise Lost(f"no end after {len(seen)} blocks")


def test_threads_that_share_a_reader_or_a_writer() -> None:
    harness.quick(sys.modules[__name__])
