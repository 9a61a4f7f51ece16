"""The values of an archive, read when they are asked for."""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from smartpipe.stores.archive import Archive, Artifact
from smartpipe.stores.packing import inflated

if TYPE_CHECKING:
    from smartpipe.stores.artifacts import ArtifactStore

AHEAD = 2
"""Batches that are read, and being inflated, while the values of another are loaded."""
WORTH = 64
"""Values of a batch for which that is worth a thread."""
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
            batch = _Batch(self.store, self.flow, artifacts[key])
            batch.read()
            return list(batch.values())
        try:
            index = operator.index(key)
        except TypeError:
            raise TypeError(f"the index is a {type(key).__name__}, not an int or a slice") from None
        if not -len(artifacts) <= index < len(artifacts):
            raise IndexError(f"the index is {index}, and there are {len(artifacts)} values")
        return self.store.read_artifact(flow=self.flow, artifact=artifacts[index])

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches()
        ahead: deque[_Batch] = deque()
        failure: Exception | None = None
        while True:
            if not ahead:
                if failure is not None:
                    raise failure
                batch = next(batches, None)
                if batch is None:
                    return
                ahead.append(batch)
            if failure is None and ahead[-1].thread is not None:
                try:
                    ahead.extend(islice(batches, AHEAD + 1 - len(ahead)))
                except Exception as error:
                    failure = error  # the values before it come first
            yield from ahead.popleft().values()

    def _batches(self) -> Iterator[_Batch]:
        """Read all values, some at a time; those of large batches begin to be inflated."""
        artifacts = self.archive.artifacts
        at, count = 0, 1
        while at < len(artifacts):
            batch = _Batch(self.store, self.flow, artifacts[at : at + count])
            size = batch.read()
            if count >= WORTH:
                batch.begin()
            yield batch
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


class _Batch:
    """Values that are read together, and inflated when they are taken, or before that by a thread of their own, without
    the lock of the interpreter, while others are loaded."""

    def __init__(self, store: ArtifactStore, flow: str, artifacts: Sequence[Artifact]) -> None:
        self.store = store
        self.artifacts = artifacts
        self.keys = [artifact.key(flow) for artifact in artifacts]
        self.packs: list[bytes | None] = []
        self.inflated: list[bytes | None] | None = None
        self.thread: threading.Thread | None = None

    def read(self) -> int:
        """Read them in one batch; returns how many bytes they have in the location."""
        self.packs = self.store._read(self.keys)
        return sum(len(pack) for pack in self.packs if pack is not None)

    def begin(self) -> None:
        """Begin to inflate."""
        thread = threading.Thread(target=self._run, name="smartpipe artifacts")
        try:
            thread.start()
        except RuntimeError:
            return  # there are no more threads to be had
        self.thread = thread

    def _run(self) -> None:
        try:
            self.inflated = self._inflate()
        except MemoryError:
            pass  # who takes the values tries again

    def _inflate(self) -> list[bytes | None]:
        return inflated(self.packs, self.store.max_artifact_size)

    def values(self) -> Iterator[Any]:
        if self.thread is not None:
            self.thread.join()  # in a forked child it does not go on, and nobody waits
        done = self._inflate() if self.inflated is None else self.inflated
        for key, artifact, pack, data in zip(self.keys, self.artifacts, self.packs, done, strict=True):
            yield self.store._value(key, artifact, pack, data)
