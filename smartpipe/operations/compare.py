"""diff: what differs between two pipes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import smartpipe
from smartpipe.operations.progress import Progress, reported

Kind = Literal["removed", "added", "changed", "moved"]


class Difference(NamedTuple):
    """One difference. `pair` is None where the block as a whole is meant.

    kind       first     second
    removed    size      None      the first pipe has it, the second has not
    added      None      size      the second pipe has it, the first has not
    changed    size      size      a pair has another value
    moved      None      None      what both have stands in another order, from here on

    A size is the length of the value; for a block, the raw bytes of its pairs (8 + key + value each).
    """

    kind: Kind
    block: bytes
    pair: bytes | None
    first: int | None
    second: int | None


def diff(
    first: str | os.PathLike[str], second: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any
) -> Iterator[Difference]:
    """Compare two pipes block by block and value by value; nothing is yielded when they hold the same.

    Formats, codecs and metadata are not compared. Pairs are matched by their key and, where a block has a key
    several times, by their turn. Yields first what the blocks of `first` show, in its order, then the blocks that
    only `second` has, then the first block that stands in another order. `options` are those of `smartpipe.open`.

    >>> import smartpipe
    >>> for name, log in (("before", b"ok"), ("after", b"slow")):
    ...     with smartpipe.open(name, "w") as pipe:
    ...         pipe.write(b"https://a", {b"raw": b"<html>", b"log": log})
    >>> list(smartpipe.diff("before", "after"))
    [Difference(kind='changed', block=b'https://a', pair=b'log', first=2, second=4)]
    """
    with smartpipe.open(first, **options) as a, smartpipe.open(second, **options) as b:
        before, total = len(a), len(a) + len(b)
        for key, block in reported(a.items(), total, progress):
            other = b.get(key)
            if other is None:
                yield Difference("removed", key, None, _raw_size(block), None)
            else:
                yield from _pairs(block, other)
        for key in reported(b, total, progress, before):
            if key not in a:
                yield Difference("added", key, None, None, _raw_size(b[key]))
        for key, other_key in zip((key for key in a if key in b), (key for key in b if key in a), strict=False):
            if key != other_key:
                yield Difference("moved", key, None, None, None)
                break


def _raw_size(block: smartpipe.Block) -> int:
    return sum(8 + len(key) + length for key, length in block.sizes())


def _turns(block: smartpipe.Block) -> Iterator[tuple[tuple[bytes, int], bytes]]:
    """Yield ((pair key, how many pairs of that key came before), value)."""
    seen: dict[bytes, int] = {}
    for key, value in block:
        turn = seen.get(key, 0)
        seen[key] = turn + 1
        yield (key, turn), value


def _pairs(block: smartpipe.Block, other: smartpipe.Block) -> Iterator[Difference]:
    first, second = dict(_turns(block)), dict(_turns(other))
    for name, value in first.items():
        found = second.get(name)
        if found is None:
            yield Difference("removed", block.key, name[0], len(value), None)
        elif found != value:
            yield Difference("changed", block.key, name[0], len(value), len(found))
    for name, value in second.items():
        if name not in first:
            yield Difference("added", block.key, name[0], None, len(value))
    in_both = zip((name for name in first if name in second), (name for name in second if name in first), strict=True)
    for name, other_name in in_both:
        if name != other_name:
            yield Difference("moved", block.key, name[0], None, None)
            break
