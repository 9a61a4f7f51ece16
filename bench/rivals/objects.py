"""What every contender has to do that keeps Python values, as stores of artifacts do: they are pickled here, and not
before the clock runs.

As in rival.py a class is found by its name. Who keeps bytes gets pickles under the SHA-256 of them: store.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.rivals.rival import Form

PROTOCOL = 5
# What everything is written under, where a contender has names: a flow, its execution, and a layer of that.
FLOW, EXECUTION, LAYER, NAME = "crawl", "1", "parse", "pages"


class Objects:
    """A store of Python values that is open in this process."""

    def write(self, values: Iterable[Any]) -> None:
        """Keep values, each so that it could be the last; where there is something that names them all, one of it."""
        raise NotImplementedError

    def write_at_once(self, values: Iterable[Any]) -> None:
        """Keep values in one transaction."""
        raise NotImplementedError

    def write_named(self, values: Iterable[Any]) -> None:
        """Keep values, each with something of its own that names it."""
        raise NotImplementedError

    def read(self) -> Iterator[Any]:
        """All values, in the order that suits the store."""
        raise NotImplementedError

    def names(self, values: Sequence[Any]) -> Sequence[Any]:
        """What `get` takes for each of all values that were written, in their order."""
        raise NotImplementedError

    def get(self, name: Any) -> Any:
        """Return one value."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was opened."""


class ObjectKeeper(ABC):
    """A way to keep Python values."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def begin(self, folder: Path) -> None:  # noqa: B027 - most have nothing to do
        """Make an empty store in an empty folder."""

    @abstractmethod
    def open_objects(self, folder: Path, writes: bool) -> Objects:
        """Open what is in a folder."""
