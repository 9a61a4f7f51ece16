"""What every contender has to do that keeps small values under keys, as stores of artifacts do.

As in rival.py a class is found by its name. What was put other processes can read at once, and it is there when this
one is killed a moment later. The disk is waited for where a contender does that at the end; who waits for it each time
says so in the name of the row.
"""

import pickle
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.rivals.objects import PROTOCOL, ObjectKeeper, Objects

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


class Keeper(ObjectKeeper):
    """A way to keep values."""

    def begin(self, folder: Path) -> None:
        """Make an empty store in an empty folder, which several processes may open then."""
        self.open(folder, True).close()

    @abstractmethod
    def open(self, folder: Path, writes: bool) -> Values:
        """Open what is in a folder."""

    def open_objects(self, folder: Path, writes: bool) -> Objects:
        return Pickles(self.open(folder, writes))


def pickled(value: object) -> Value:
    """Return the pickle of a Python value, under its SHA-256 in hexadecimal."""
    data = pickle.dumps(value, protocol=PROTOCOL)
    return sha256(data).hexdigest().encode(), data


class Pickles(Objects):
    """Python values in a store of bytes."""

    def __init__(self, opened: Values) -> None:
        self.opened = opened
        self.close = opened.close

    def write(self, values: Iterable[Any]) -> None:
        put = self.opened.put
        for value in values:
            put(*pickled(value))

    def write_at_once(self, values: Iterable[Any]) -> None:
        self.opened.put_many(map(pickled, values))

    def read(self) -> Iterator[Any]:
        for _, data in self.opened.items():
            yield pickle.loads(data)

    def names(self, values: Sequence[Any]) -> Sequence[bytes]:
        return [key for key, _ in map(pickled, values)]

    def get(self, name: bytes) -> Any:
        return pickle.loads(self.opened.get(name))
