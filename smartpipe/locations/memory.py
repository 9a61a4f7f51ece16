"""A location in the memory of a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BytesIO
from typing import Any, BinaryIO, cast

from smartpipe import errors
from smartpipe.locations.location import Content, Location, Value, copy, source
from smartpipe.locations.locks import MemoryLocks


class Memory(Location):
    """Values in the memory of this process, for threads that share it.

    Those with the same `name` are one place. A place without a name is only itself, and a copy of it by pickling, in
    another process, begins empty. With `max_size` values of more bytes are refused.
    """

    def __init__(self, name: str | None = None, *, max_size: int | None = None) -> None:
        self.name = name
        self.max_size = max_size
        with _lock:
            self._values, self._locks = (
                ({}, MemoryLocks()) if name is None else _named.setdefault(name, ({}, MemoryLocks()))
            )

    @property
    def configuration(self) -> dict[str, Any]:
        return {"name": self.name, "max_size": self.max_size}

    def __eq__(self, other: object) -> bool:
        return self is other or (self.name is not None and super().__eq__(other))

    __hash__ = Location.__hash__

    @contextmanager
    def _open(self, key: bytes) -> Iterator[BinaryIO | None]:
        with _lock:
            found = self._values.get(key)
        yield None if found is None else BytesIO(found.value)

    def _is_still(self, key: bytes, mark: object) -> bool:
        with _lock:
            found = self._values.get(key)
        return found is not None and found.value == cast(BytesIO, mark).getvalue()

    def _labels(self, key: bytes) -> frozenset[str]:
        with _lock:
            found = self._values.get(key)
        return frozenset() if found is None else found.labels

    def _write(self, key: bytes, value: Value, labels: frozenset[str], overwrite: bool) -> bool | None:
        content = BytesIO()
        with source(value) as stream:
            copy(stream, content)
        data = content.getvalue()
        if self.max_size is not None and len(data) > self.max_size:
            return None
        with _lock:
            found = self._values.get(key)
            if found is not None and found.value != data and not overwrite:
                raise errors.CollisionError("another content is stored under this key", path=repr(self), block=key)
            if found is not None and not overwrite:
                labels |= found.labels
            self._values[key] = _Kept(data, labels, time.time())
        return True

    def _delete(self, key: bytes) -> bool:
        with _lock:
            return self._values.pop(key, None) is not None

    def _contents(self, prefix: bytes) -> Iterator[Content]:
        with _lock:
            found = [(key, kept) for key, kept in self._values.items() if key.startswith(prefix)]
        for key, kept in found:
            yield Content(key, len(kept.value), kept.used, kept.labels)

    def _touch(self, key: bytes) -> bool:
        with _lock:
            found = self._values.get(key)
            if found is not None:
                self._values[key] = _Kept(found.value, found.labels, time.time())
        return found is not None

    def _lock_numbers(self, start: int, length: int, exclusive: bool, wait: bool) -> AbstractContextManager[bool]:
        return self._locks.hold(start, length, exclusive, wait)


class _Kept:
    def __init__(self, value: bytes, labels: frozenset[str], used: float) -> None:
        self.value = value
        self.labels = labels
        self.used = used


_lock = threading.Lock()
_named: dict[str, tuple[dict[bytes, _Kept], MemoryLocks]] = {}
