"""All that reads a pipe, let loose on one that was made to do harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from container.pipes import Blocks

import smartpipe

FEW = 300
"""How many blocks are read by key: a pipe may list millions."""

Call = Callable[[smartpipe.Reader], Any]


def by_items(pipe: smartpipe.Reader, **options: Any) -> Iterator[tuple[bytes, smartpipe.Block]]:
    """The blocks that items gives, past those that are errors."""
    items = pipe.items(**options)
    for _ in range(len(pipe) + 1):
        try:
            yield next(items)
        except StopIteration:
            return
        except smartpipe.SmartPipeError:
            pass
    raise AssertionError("there is no end of items")


def go_through(pipe: smartpipe.Reader, **options: Any) -> None:
    for _, block in by_items(pipe, **options):
        for key, value in block:
            assert len(key) + len(value) >= 0


KEY_CALLS: list[Callable[[smartpipe.Reader, bytes], Any]] = [
    lambda pipe, key: sum(1 for _ in pipe[key]),
    lambda pipe, key: pipe[key].sizes(),
    lambda pipe, key: sum(1 for _ in pipe.pull_block(key)),
    lambda pipe, key: pipe[key][-1],
    lambda pipe, key: list(pipe.get_many([key, b"absent"])),
]


def by_key(pipe: smartpipe.Reader) -> None:
    for key in islice(pipe, FEW):
        for call in KEY_CALLS:
            try:
                call(pipe, key)
            except (smartpipe.SmartPipeError, IndexError):
                pass


def pull(pipe: smartpipe.Reader) -> None:
    for _ in range(min(len(pipe), FEW)):
        try:
            sum(1 for _ in pipe.pull_block())
        except smartpipe.SmartPipeError:
            pass


def in_splits(pipe: smartpipe.Reader, **options: int) -> None:
    for part in pipe.splits(3):
        with smartpipe.open(part, **options) as reader:
            next(by_items(reader), None)


CALLS: list[Call] = [
    len,
    lambda pipe: sum(1 for _ in pipe),
    lambda pipe: sum(1 for _ in pipe.entries()),
    go_through,
    lambda pipe: go_through(pipe, select=[b"raw", b"k"]),
    lambda pipe: go_through(pipe, select=[]),
    lambda pipe: b"absent" in pipe,
    by_key,
    pull,
    lambda pipe: pipe.metadata,
    lambda pipe: pipe.stats(),
    lambda pipe: pipe.get_next_block_key(),
]


# For pipes of a million blocks: those that go through them in different ways.
FEW_CALLS: list[Call] = [
    go_through,
    lambda pipe: sum(1 for _ in pipe.entries()),
    by_key,
    pull,
    lambda pipe: pipe.metadata,
]


def try_all(prefix: str | Path, calls: Sequence[Call] = CALLS, **options: int) -> list[str]:
    """Every way to read; gives the names of the errors that came, all of them ours."""
    errors = []
    for call in (*calls, lambda pipe: in_splits(pipe, **options)):
        try:
            with smartpipe.open(prefix, **options) as pipe:
                call(pipe)
        except smartpipe.SmartPipeError as error:
            errors.append(type(error).__name__)
            assert str(error)
    return errors


def try_mending(prefix: str | Path, **options: Any) -> None:
    """Verify, recover, and look at what came of it."""
    rescued = f"{prefix}-recovered"
    for operation in (
        lambda: smartpipe.verify(prefix, **options),
        lambda: smartpipe.recover(prefix, rescued, mode="w", **options),
        lambda: smartpipe.verify(rescued, **options),
    ):
        try:
            operation()
        except smartpipe.SmartPipeError as error:
            assert str(error)


def try_append(prefix: str | Path, **options: int) -> None:
    """A writer goes on with the pipe, or refuses. What it writes can be read."""
    try:
        with smartpipe.open(prefix, "a", **options) as writer:
            assert b"absent" not in writer
            writer.write(b"one more", {b"k": b"v"})
        with smartpipe.open(prefix, **options) as reader:
            assert list(reader[b"one more"]) == [(b"k", b"v")]
    except smartpipe.SmartPipeError:
        pass


def blocks_of(prefix: Path, **options: int) -> Blocks:
    """What can be read of a pipe by items; nothing where it can not be opened."""
    try:
        with smartpipe.open(prefix, **options) as pipe:
            return [(key, list(block)) for key, block in by_items(pipe)]
    except smartpipe.SmartPipeError:
        return []
