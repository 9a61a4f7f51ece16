"""Copying shards: a backup of a store while it is used, and a pipe that becomes a shard. docs/shards.md, «Copies»."""

from __future__ import annotations

import os
from collections.abc import Callable

from smartpipe import errors
from smartpipe._platform import Descriptor, disk, lock, open_reading
from smartpipe.container.headers import FILE_HEADER, file_header_bytes
from smartpipe.container.opening import APPEND, CREATE, lock_existing, remove
from smartpipe.shards.collection import collect
from smartpipe.shards.folder import LEASES, STORE, Folder, open_folder, read_folder
from smartpipe.shards.manifest import NEW, Listed, Manifest, read_whole
from smartpipe.shards.reports import BackupReport
from smartpipe.shards.shard import Shard, adopt_shard, index_of

PART = 1 << 20
"""Bytes that are copied at once."""
MOST = 0xFFFFFFFF

Progress = Callable[[int, int], object]


def back_up(
    folder: Folder, manifest: Manifest, ends: dict[int, int], dst: str | os.PathLike[str], progress: Progress | None
) -> BackupReport:
    """Copy the shards of a manifest, each up to where its last whole record ends, to another folder.

    Whoever calls this has a lease of the manifest. What is there already is not copied again, as a shard only grows.
    """
    target = _target(folder, dst)
    last = target.manifests.last()
    copied: list[str] = []
    done, total = 0, sum(ends.values())
    for listed in manifest.shards.values():
        before = last.shards.get(listed.id)
        source, copy = folder.file(listed.data), target.file(listed.data)
        begin = 0 if before is None else _present(source, copy, ends[listed.id])
        if begin < ends[listed.id]:
            _append(source, copy, begin, ends[listed.id])
            copied.append(listed.data)
        if begin < ends[listed.id] or before != listed:
            _indexed(target, listed).output.release()
        done += ends[listed.id] - begin
        if progress is not None:
            progress(done, total)
    disk.sync_folder(target.path)

    def change(last: Manifest) -> Manifest | None:
        gone = tuple(id for id in last.shards if id not in manifest.shards)
        if not gone and last.shards == manifest.shards:
            return None
        return last.with_shards(*manifest.shards.values(), without=gone)

    target.manifests.commit(last, change)
    leases = disk.open(target.file(LEASES), os.O_RDWR)
    try:
        collect(target, leases, 0)
    finally:
        leases.close()
    return BackupReport(copied, done, len(manifest.shards) - len(copied))


def _target(folder: Folder, dst: str | os.PathLike[str]) -> Folder:
    """Return the folder of the copy: begun now, or the one of an earlier backup of the same store."""
    place = os.path.abspath(os.fsdecode(dst))
    if os.path.exists(place) and os.path.samefile(place, folder.path):
        raise ValueError(f"{place}: source and destination of the backup are the same store")
    if not os.path.exists(os.path.join(place, STORE)):
        if os.path.exists(place) and (not os.path.isdir(place) or os.listdir(place)):
            raise errors.FormatError("this is neither a backup of a store nor an empty folder", path=place)
        if not os.path.exists(place):
            disk.make_folder(place)
        file = disk.open(os.path.join(place, STORE), NEW)
        try:
            disk.write(file, read_whole(folder.file(STORE), PART))
            disk.sync(file)
        finally:
            file.close()
    if read_folder(place).id != folder.id:
        raise errors.FormatError(
            f"this is another store, {read_folder(place).id}, and no backup of {folder.id}", path=place
        )
    return open_folder(place, True)


def _present(source: str, copy: str, end: int) -> int:
    """Return how much of a shard the copy has; CorruptError where that is not how the shard begins."""
    try:
        there = open_reading(copy)
    except FileNotFoundError:
        return 0
    here = open_reading(source)
    try:
        size = there.size()
        start = max(size - PART, 0)
        if size > end or there.read_at(start, PART) != here.read_at(start, size - start):
            raise errors.CorruptError(
                "the copy is not how the shard begins: somebody wrote to the backup, or it is damaged",
                path=copy,
                offset=start,
            )
        return size
    finally:
        here.close()
        there.close()


def _append(source: str, copy: str, begin: int, end: int) -> None:
    """Copy bytes of one file to the end of another, which is new where they begin with the first."""
    if begin == 0:
        remove([copy, index_of(copy)])
    there = disk.open(copy, CREATE if begin == 0 else APPEND)
    here = open_reading(source)
    try:
        _copy(here, there, begin, end)
        disk.sync(there)
    finally:
        here.close()
        there.close()


def _copy(here: Descriptor, there: Descriptor, begin: int, end: int) -> None:
    while begin < end:
        data = here.read_at(begin, min(PART, end - begin))
        if not data:
            raise errors.TruncatedError(f"the file ends before byte {end}", offset=begin)
        disk.write(there, data)
        begin += len(data)


def _indexed(folder: Folder, listed: Listed) -> Shard:
    """Let the index of a shard that was copied list all of it; returns the shard, whose lock this process has."""
    shard = adopt_shard(folder.path, listed, MOST, lambda _: True)
    if shard is None:
        raise errors.LockedError("another process has the copy of a shard open", path=folder.file(listed.data))
    try:
        shard.output.keep("close", False)
        shard.output.seal()
    except BaseException:
        shard.output.release()
        raise
    return shard


def as_shard(folder: Folder, data: str, id: int, codec: int) -> tuple[Listed, Shard]:
    """Copy the data of a pipe of format 2 into the folder, with the header of a shard and a new index; returns how a
    manifest lists it, and the shard with its lock, which keeps it from being collected. FileExistsError where it is
    there already; LockedError where somebody writes the pipe."""
    listed = Listed(id, f"{id:016x}{os.path.splitext(data)[1]}", codec, 0)
    copy = folder.file(listed.data)
    source = lock_existing(data)
    try:
        there = disk.open(copy, CREATE)
        try:
            if not lock(there, required=False):
                raise errors.LockedError("another process has a file that was just created", path=copy)
            disk.write(there, file_header_bytes(id, codec, True))
            _copy(source, there, FILE_HEADER, source.size())
            disk.sync(there)
        except BaseException:
            remove([copy])
            raise
        finally:
            there.close()
        try:
            shard = _indexed(folder, listed)
        except BaseException:
            remove([copy, index_of(copy)])
            raise
    finally:
        source.close()
    return listed, shard
