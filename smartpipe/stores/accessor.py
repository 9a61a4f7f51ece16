"""The values of an archive, read when they are asked for."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from smartpipe.stores.archive import Archive

if TYPE_CHECKING:
    from smartpipe.stores.artifacts import ArtifactStore

MOST = 1024
"""Values that an iteration reads at a time at most."""
BATCH = 4 << 20
"""Bytes, as they are stored, that it reads at a time where values are as large as those before."""


class Accessor(Sequence[Any]):
    """A sequence of the values of an archive. An index reads one value, a slice a list in one batch, and an iteration
    some at a time. What the archive named when the accessor was made it names still after it was written anew."""

    def __init__(self, store: ArtifactStore, flow: str, archive: Archive) -> None:
        self.store = store
        self.flow = flow
        self.archive = archive

    @overload
    def __getitem__(self, key: int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> list[Any]: ...
    def __getitem__(self, key: int | slice) -> Any:
        artifacts = self.archive.artifacts
        if isinstance(key, slice):
            return [value for value, _ in self.store._values(self.flow, artifacts[key])]
        try:
            index = operator.index(key)
        except TypeError:
            raise TypeError(f"the index is a {type(key).__name__}, not an int or a slice") from None
        if not -len(artifacts) <= index < len(artifacts):
            raise IndexError(f"the index is {index}, and there are {len(artifacts)} values")
        return self.store.read_artifact(flow=self.flow, artifact=artifacts[index])

    def __iter__(self) -> Iterator[Any]:
        artifacts = self.archive.artifacts
        at, count = 0, 1
        while at < len(artifacts):
            size = 0
            for value, stored in self.store._values(self.flow, artifacts[at : at + count]):
                size += stored
                yield value
            at += count
            # Nobody says how large the next values are; those before tell most.
            count = max(1, min(MOST, 2 * count, count * BATCH // max(size, 1)))

    def __len__(self) -> int:
        return len(self.archive)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Accessor):
            return NotImplemented
        return (self.store, self.flow, self.archive) == (other.store, other.flow, other.archive)

    def __hash__(self) -> int:
        return hash((self.flow, self.archive))

    def __repr__(self) -> str:
        return f"<Accessor of {len(self)} values of the flow {self.flow!r}>"
