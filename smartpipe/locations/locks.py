"""Locks on numbers, which processes or threads share that use the same place."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from smartpipe import errors
from smartpipe._platform import Descriptor, disk, is_range_held, leave_to_parent, locked_range, unlocked_range


class FileLocks:
    """Locks of the processes that open the same file. The system gives them up when a process ends, however it does."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def hold(self, start: int, length: int, exclusive: bool, wait: bool) -> Iterator[bool]:
        with errors.storage_errors(self.path):
            file = self._open()
        try:
            with errors.storage_errors(self.path):
                got = locked_range(file, start, length, exclusive=exclusive, wait=wait)
                got = got and (not exclusive or self._is_held(start, length))
            yield got
        finally:
            if file.number >= 0:  # it is closed in a child that was forked meanwhile
                unlocked_range(file, start, length)  # at once, also where such a child did not close it yet
            file.close()

    def _open(self) -> Descriptor:
        try:
            file = disk.open(self.path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            file = disk.open(self.path, os.O_RDWR | os.O_CREAT)
        return leave_to_parent(file)

    def _is_held(self, start: int, length: int) -> bool:
        """Whether a lock is one: a file system that has none gives them to everybody."""
        other = self._open()
        try:
            return is_range_held(other, start, length)
        finally:
            other.close()


class MemoryLocks:
    """Locks of the threads of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: list[tuple[int, int, bool]] = []

    @contextmanager
    def hold(self, start: int, length: int, exclusive: bool, wait: bool) -> Iterator[bool]:
        wanted = (start, start + length, exclusive)
        with self._changed:
            got = self._changed.wait_for(lambda: self._is_free(wanted), None if wait else 0)
            if got:
                self._held.append(wanted)
        try:
            yield got
        finally:
            if got:
                with self._changed:
                    self._held.remove(wanted)
                    self._changed.notify_all()

    def _is_free(self, wanted: tuple[int, int, bool]) -> bool:
        start, stop, exclusive = wanted
        return not any(
            start < other_stop and other_start < stop and (exclusive or other_exclusive)
            for other_start, other_stop, other_exclusive in self._held
        )
