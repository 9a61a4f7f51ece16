"""Removing the files of a store that nobody needs any more. docs/shards.md, «Compacting and collecting»."""

from __future__ import annotations

import os
import time

from smartpipe._platform import Descriptor, disk, is_range_held, lock
from smartpipe.container.opening import APPEND
from smartpipe.container.output import unpublished
from smartpipe.container.paths import EXTENSIONS
from smartpipe.shards.folder import NAME, STORE, Folder
from smartpipe.shards.reports import GcReport
from smartpipe.shards.shard import index_of

ASIDE = 60.0
"""Seconds that a file without a lock stays at least: its process writes it aside, and has it for a moment only."""


def collect(folder: Folder, leases: Descriptor | None, grace: float) -> GcReport:
    """Remove what no manifest lists, and no reader may have open, when it is older than `grace` seconds."""
    collection = _Collection(folder, leases, grace)
    collection.retired()
    collection.unlisted()
    collection.manifests()
    return GcReport(collection.removed, collection.bytes, collection.waiting)


class _Collection:
    def __init__(self, folder: Folder, leases: Descriptor | None, grace: float) -> None:
        self.folder = folder
        self.leases = leases
        self.grace = grace
        self.removed: list[str] = []
        self.bytes = 0
        self.waiting = 0

    def is_leased(self, stop: int) -> bool:
        """Whether another process may use a manifest with a number below this one."""
        return self.leases is not None and is_range_held(self.leases, 0, stop)

    def is_old(self, path: str, least: float = 0) -> bool:
        # A clock that was set back makes files young, and they stay longer.
        try:
            return time.time() - os.path.getmtime(path) >= max(self.grace, least)
        except FileNotFoundError:
            return True

    def remove(self, path: str) -> None:
        try:
            size = os.path.getsize(path)
            disk.unlink(path)
        except FileNotFoundError:
            return
        self.removed.append(os.path.relpath(path, self.folder.path))
        self.bytes += size

    def remove_shard(self, data: str) -> None:
        # First what names itself a shard: an index without data is nothing.
        for path in (data, index_of(data), unpublished(index_of(data))):
            self.remove(path)

    def retired(self) -> None:
        """Shards that compaction replaced."""
        manifests = self.folder.manifests
        last = manifests.last()
        gone = []
        for id, shard in last.retired.items():
            if self.is_leased(shard.since) or not self.is_old(manifests.path(shard.since)):
                self.waiting += 1
            else:
                self.remove_shard(self.folder.file(shard.data))
                gone.append(id)
        if gone:
            # What was removed stays removed: only then nothing names it any more.
            disk.sync_folder(self.folder.path)
            manifests.commit(
                last, lambda last: last.without_retired(gone) if any(id in last.retired for id in gone) else None
            )

    def unlisted(self) -> None:
        """Shards that no manifest has, whose maker was killed before anything in them was acknowledged."""
        listed = self.listed()
        for name in sorted(os.listdir(self.folder.path)):
            path = self.folder.file(name)
            prefix, extension = os.path.splitext(name)
            of_store = NAME.fullmatch(prefix) is not None  # a file of any other name is somebody else's
            shard = of_store and extension in EXTENSIONS and name not in listed
            if shard and not (self.is_old(path) and self.take(path)):
                self.waiting += 1
            aside = name.startswith(f".{STORE}.") and self.is_old(path, ASIDE)
            alone = of_store and extension == ".idx" and not self.has_data(name) and self.is_old(path)
            if aside or alone:
                self.remove(path)

    def listed(self) -> set[str]:
        last = self.folder.manifests.last()
        return {shard.data for shard in last.shards.values()} | {shard.data for shard in last.retired.values()}

    def has_data(self, index: str) -> bool:
        prefix = os.path.splitext(index)[0]
        return any(os.path.exists(self.folder.file(prefix + extension)) for extension in EXTENSIONS)

    def take(self, path: str) -> bool:
        """Remove a shard that nobody writes, if it is still in no manifest."""
        try:
            file = disk.open(path, APPEND)
        except FileNotFoundError:
            return True
        try:
            if not lock(file, required=False) or os.path.basename(path) in self.listed():
                return False
            self.remove_shard(path)
            return True
        finally:
            file.close()

    def manifests(self) -> None:
        """Manifests that nobody uses any more, and what was written aside for one."""
        manifests = self.folder.manifests
        for number in manifests.numbers()[:-1]:
            if self.is_leased(number + 1) or not self.is_old(manifests.path(number)):
                break
            self.remove(manifests.path(number))
        for name in os.listdir(manifests.folder):
            path = os.path.join(manifests.folder, name)
            if name.startswith(".") and self.is_old(path, ASIDE):
                self.remove(path)
