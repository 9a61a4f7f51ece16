"""What every rival has to do: write blocks into a folder, and read them again."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.corpus import Block

LEVEL = 6
ALL = frozenset(("write", "read", "random", "select", "pair"))

Pairs = Iterable[tuple[bytes, bytes]]


class Store(ABC):
    """What was written, open for reading. All that comes back is bytes."""

    @abstractmethod
    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        """Every block with all its pairs, in the order that suits the store."""

    @abstractmethod
    def get(self, key: bytes) -> Pairs:
        """The pairs of one block."""

    def select(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Of every block the value of one pair."""
        raise NotImplementedError

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        """The value of one pair of one block."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None: ...


class Rival(ABC):
    """A way to keep blocks.

    All make the same promise: a block that was written survives the end of the process, and everything is synced to the
    disk when `write` returns. Where a rival promises less, its name says so.
    """

    name: str
    workloads: frozenset[str] = ALL

    def prepare(self, blocks: list[Block]) -> None:  # noqa: B027 - most have nothing to do
        """What is not the rival's work, before the clock runs."""

    @abstractmethod
    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        """Write all blocks, one after another, into an empty folder."""

    @abstractmethod
    def open(self, folder: Path, compress: bool) -> Store:
        """Open what was written."""

    def size(self, pairs: dict[bytes, bytes]) -> int:
        """How many bytes of values reading a block gives, to check that the work was done."""
        return sum(map(len, pairs.values()))
