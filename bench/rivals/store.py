"""What every contender has to do that keeps small values under keys, as stores of artifacts do.

As in rival.py a class is found by its name. What was put other processes can read at once, and it is there when this
one is killed a moment later. The disk is waited for where a contender does that at the end; who waits for it each time
says so in the name of the row.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.rivals.rival import Form

Value = tuple[bytes, bytes]


class Values:
    """A store that is open in this process. Keys and values are bytes."""

    def put(self, key: bytes, value: bytes) -> None:
        """Keep one value."""
        raise NotImplementedError

    def put_many(self, values: Iterable[Value]) -> None:
        """Keep many, in the way that is the fastest."""
        raise NotImplementedError

    def get(self, key: bytes) -> bytes:
        """Return one value."""
        raise NotImplementedError

    def items(self) -> Iterator[Value]:
        """All values, in the order that suits the store."""
        raise NotImplementedError

    def delete(self, key: bytes) -> None:
        """Forget one value."""
        raise NotImplementedError

    def compact(self) -> None:
        """Give back the room of what was deleted."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was opened."""


class Keeper(ABC):
    """A way to keep values."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def begin(self, folder: Path) -> None:
        """Make an empty store in an empty folder, which several processes may open then."""
        self.open(folder, True).close()

    @abstractmethod
    def open(self, folder: Path, writes: bool) -> Values:
        """Open what is in a folder."""
