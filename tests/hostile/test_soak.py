"""Descriptors and memory stay flat over thousands of pipes that are opened, read, refused, written and forgotten."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from container.pipes import SMALL, Blocks, every_kind, index, plant
from container.pipes import Kind as Kinds

import smartpipe

from . import child
from .look import look

WARM, CYCLES = 150, 700
GROWTH = 2 << 20
"""Of the process, over all cycles: three kilobytes lost in each would be found."""


def memory() -> int:
    gc.collect()
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    gc.collect()  # what other tests of this process left open is not closed between two counts
    return len(os.listdir("/proc/self/fd"))


def soak(cycle: Callable[[int], None]) -> tuple[int, int]:
    """How many descriptors and bytes of memory more there are after very many cycles."""
    warnings.simplefilter("ignore")
    for number in range(WARM):
        cycle(number)
    before = descriptors(), memory()
    for number in range(CYCLES):
        cycle(WARM + number)
    return descriptors() - before[0], memory() - before[1]


def flat(cycle: Callable[[int], None]) -> None:
    more, grown = child.run(lambda: soak(cycle)).answer
    assert more == 0, f"{more} descriptors more"
    assert grown < GROWTH, f"{grown} bytes more"


PAGES: Blocks = [*SMALL, (b"large", [(b"raw", b"0123456789" * 5000)])]


@every_kind
def test_reading_good_pipes(kind: Kinds, scratch: str) -> None:
    plant(scratch, PAGES, kind)

    def cycle(number: int) -> None:
        seen = look(scratch)
        assert seen.items == PAGES
        pipe = smartpipe.open(scratch)  # and one that nobody closes, left in the middle
        items = pipe.items(select=[b"raw"])
        next(items)
        assert b"absent" not in pipe
        with pytest.raises(smartpipe.BlockNotFound):
            pipe[b"absent"]
        for part in pipe.splits(2):
            smartpipe.open(part).close()

    flat(cycle)


@every_kind
def test_reading_damaged_pipes(kind: Kinds, scratch: str) -> None:
    plant(scratch, PAGES, kind)
    path, index_path = kind.data(scratch), index(scratch)
    data, listed = path.read_bytes(), index_path.read_bytes()

    def cycle(number: int) -> None:
        random = Random(number)
        for file, content in ((path, bytearray(data)), (index_path, bytearray(listed))):
            if random.random() < 0.7:
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            if random.random() < 0.2:
                del content[random.randrange(len(content)) :]
            file.write_bytes(content)
        look(scratch)
        look(scratch, max_block_size=30)

    flat(cycle)


@every_kind
def test_writers_that_end_well_and_badly(kind: Kinds, scratch: str) -> None:
    plant(scratch, PAGES, kind)
    path, index_path = kind.data(scratch), index(scratch)
    data, listed = path.read_bytes(), index_path.read_bytes()
    busy = smartpipe.open(scratch + "-busy", "w")

    def cycle(number: int) -> None:
        path.write_bytes(data)
        index_path.write_bytes(listed)
        with smartpipe.open(scratch, "a") as pipe:
            pipe.write(b"new", {b"k": b"v" * 1000})
            with pytest.raises(smartpipe.DuplicateKeyError):
                pipe.write(b"new", {})
            with pytest.raises(TypeError):
                pipe.write(b"other", {b"k": 1})  # type: ignore[dict-item]
        with pytest.raises(smartpipe.LockedError):
            smartpipe.open(scratch + "-busy", "a")
        with pytest.raises(smartpipe.PipeExistsError):
            smartpipe.open(scratch, "x")
        with pytest.raises(ZeroDivisionError), smartpipe.open(scratch, "w", **kind.options) as pipe:
            pipe.write(b"a", {})
            raise ZeroDivisionError
        pipe = smartpipe.open(scratch, "w", **kind.options)
        pipe.write(b"a", {})
        pipe.abort()
        smartpipe.open(scratch, "a")  # dropped without a close
        path.write_bytes(data[:-3])
        with pytest.raises(smartpipe.SmartPipeError):
            smartpipe.open(scratch, "a", max_block_size=1)

    flat(cycle)
    busy.close()
    assert Path(scratch + "-busy.dat").exists()
