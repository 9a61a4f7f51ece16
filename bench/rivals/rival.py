"""What every contender has to do: write blocks into a folder, and read them again.

A file per contender; a class in it is found by the name `file.Class`. What a class can not do it does not define.
Nothing here syncs: where a contender can be told not to wait for the disk it is told so, smartpipe too. Each is used as
its own documentation advises for this work, and where it groups writes it may group them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from bench.corpus import Block

Pairs = Iterable[tuple[bytes, bytes]]

# How many blocks go into one transaction or batch, where there are such things.
GROUP = 1000
# How many blocks a thread hands over at once.
AT_ONCE = 16


@dataclass(frozen=True)
class Form:
    """How blocks are stored: "none", "deflate", "zstd" or "lz4", its level, and on how many threads."""

    codec: str = "none"
    level: int = 6
    threads: int = 1


class Store:
    """What was written, open for reading. All that comes back is bytes."""

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        """Every block with all its pairs, in the order that suits the store."""
        raise NotImplementedError

    def get(self, key: bytes) -> Pairs:
        """The pairs of one block."""
        raise NotImplementedError

    def select(self, name: bytes) -> Iterator[bytes]:
        """Of every block the value of one pair; by default all blocks are read whole."""
        for _, pairs in self.read():
            yield dict(pairs)[name]

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        """The value of one pair of one block, which by default is read whole."""
        return dict(self.get(key))[name]

    def has(self, key: bytes) -> bool:
        """Whether there is a block of this key, without reading it where that is possible."""
        raise NotImplementedError

    def count(self) -> int:
        """How many blocks there are."""
        raise NotImplementedError

    def columns(self) -> tuple[int, int]:
        """Go over all pairs as columns, without an object for each; their number, and the bytes of the values."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was opened."""


class Rival(ABC):
    """A way to keep blocks."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def prepare(self, blocks: list[Block]) -> None:  # noqa: B027 - most have nothing to do
        """What is not the contender's work, before the clock runs."""

    def size(self, pairs: dict[bytes, bytes]) -> int:
        """How many bytes of values reading a block gives, to check that the work was done."""
        return sum(map(len, pairs.values()))

    @abstractmethod
    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        """Write all blocks, one after another, into an empty folder."""

    def write_pairs(self, folder: Path, blocks: Iterable[Block]) -> None:
        """The same with a call for each pair."""
        raise NotImplementedError

    @abstractmethod
    def open(self, folder: Path) -> Store:
        """Open what was written."""


def groups(blocks: Iterable[Block], size: int) -> Iterator[list[Block]]:
    """Yield the blocks in lists of a size."""
    rest = iter(blocks)
    while group := list(islice(rest, size)):
        yield group


def side_by_side(parts: Sequence[Iterator[tuple[bytes, Pairs]]]) -> Iterator[tuple[bytes, Pairs]]:
    """Yield what the parts give, each gone over by a thread of its own, as they come."""
    lists: Queue[list[tuple[bytes, Pairs]]] = Queue(4 * len(parts))

    def go_over(part: Iterator[tuple[bytes, Pairs]]) -> None:
        while some := [(key, list(pairs)) for key, pairs in islice(part, AT_ONCE)]:
            lists.put(some)
        lists.put([])

    for part in parts:
        Thread(target=go_over, args=(part,)).start()
    left = len(parts)
    while left:
        some = lists.get()
        left -= not some
        yield from some


def rival(name: str, form: Form) -> Any:
    """Return the contender of a name, `file.Class`: a Rival, or a Keeper of store.py."""
    module, kind = name.split(".")
    return getattr(import_module(f"bench.rivals.{module}"), kind)(form)
