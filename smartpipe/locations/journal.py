"""The labels of the values of a place, and when these were touched: one store for all of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smartpipe import errors
from smartpipe._platform import Descriptor, disk, leave_to_parent, locked_range, unlocked_range
from smartpipe.shards.folder import STORE
from smartpipe.shards.store import ShardStore


class Journal:
    """A store in a folder, which is begun with the first thing that is noted. Values without labels that nobody
    touched are not in it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._store: ShardStore | None = None
        self._guard: Descriptor | None = None
        self._process = 0

    def get(self, key: bytes) -> tuple[float | None, frozenset[str]]:
        """Return when a value was touched, None where that was not noted, and its labels."""
        try:
            store = self._opened()
            noted = None if store is None else store.get_bytes(key, None)
        except (errors.CorruptError, errors.FormatError) as error:
            # No value is worse for that.
            errors.warn(f"{error}; labels and times of use that are noted there are not given")
            noted = None
        if noted is None:
            return None, frozenset()
        content = json.loads(noted)
        return content["used"], frozenset(content["labels"])

    def note(self, key: bytes, labels: frozenset[str]) -> None:
        """Note that a value is used now, and add labels."""
        with self._changing() as store:  # what is there is read, and written with more
            content = {"used": time.time(), "labels": sorted(self.get(key)[1] | labels)}
            store.put_bytes(key, json.dumps(content).encode(), overwrite=True)

    def forget(self, key: bytes) -> None:
        """Forget what was noted of a value."""
        try:
            store = self._opened()
        except (errors.CorruptError, errors.FormatError):
            return  # nothing of it is given
        if store is None or key not in store:
            return
        with self._changing() as store:
            if key in store:
                store.delete(key)

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
            if self._guard is not None:
                self._guard.close()
            self._store = self._guard = None

    def _opened(self) -> ShardStore | None:
        """Return the store, None where nothing was ever noted."""
        with self._lock:
            if self._store is None and os.path.exists(os.path.join(self.path, STORE)):
                self._store = ShardStore(self.path, "r")
            return self._store

    @contextmanager
    def _changing(self) -> Iterator[ShardStore]:
        """Give the store to be written; no other process changes it meanwhile."""
        with self._lock:
            store, guard = self._writable()
            locked_range(guard, 0, 1, wait=True)
            try:
                yield store
            finally:
                unlocked_range(guard, 0, 1)

    def _writable(self) -> tuple[ShardStore, Descriptor]:
        if self._guard is None or self._process != os.getpid():
            # A forked child has no part in the lock of its parent.
            if self._store is not None:
                self._store.close()
                self._store = None
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._store = ShardStore(self.path, durability="none", auto_compact=0.5)
            self._guard = leave_to_parent(disk.open(os.path.join(self.path, STORE), os.O_RDWR))
            self._process = os.getpid()
        assert self._store is not None
        return self._store, self._guard
