"""The manifest of a store, made anew from its shards where the last one is lost or damaged."""

from __future__ import annotations

import os
from dataclasses import replace

from smartpipe import errors
from smartpipe._platform import Descriptor, holder, open_reading
from smartpipe.container.headers import FILE_HEADER, index_id, shard_header
from smartpipe.container.paths import EXTENSIONS
from smartpipe.container.recovery.trial import find_id
from smartpipe.container.source import Source
from smartpipe.container.walk import Walk
from smartpipe.shards.folder import NAME, Folder
from smartpipe.shards.manifest import Listed, Manifest


def current(folder: Folder, writes: bool, seen: int, known: Manifest | None) -> Manifest:
    """Return the manifest that counts.

    Where it is lost or damaged it is made anew, with a PipeWarning: of the last one before it that is good, and of all
    shards that lie in the folder. Those that it does not know as retired can not be told from others, and so keys that
    were deleted may come back. With `writes` it is committed, under a number above `seen`, which another
    process has seen; else its number is 0, and where that of the `known` one is too, this was said before. FormatError
    where the last one is of a later version, or of another store.
    """
    while True:
        try:
            return folder.manifests.last()
        except FileNotFoundError:
            why = f"{folder.manifests.folder}: there is no manifest"
        except errors.CorruptError as error:
            why = str(error)
        numbers = folder.manifests.numbers()
        before = folder.manifests.last_good(numbers) or Manifest(0, folder.id, {}, {})
        shards = shards_of(folder, before)
        if not numbers and not shards:
            # It was just begun. In a store of shards a manifest is written before the first of them.
            return before
        if folder.manifests.numbers() != numbers:
            continue  # somebody else has made one
        found = replace(before, shards=shards)
        text = (
            f"{why}; it is made anew of the {len(shards)} shards in the folder: "
            "keys that were deleted, and values that were overwritten, may reappear"
        )
        if not writes:
            if known is None or known.number > 0:
                errors.warn(text)
            return replace(found, number=0)
        found = replace(found, number=max([seen, *numbers]) + 1)
        if folder.manifests.create(found):
            errors.warn(text)
            return found


def shards_of(folder: Folder, before: Manifest) -> dict[int, Listed]:
    """Return the shards that lie in the folder, those that a manifest lists first, as it does. Of the others those are
    open that a process writes, so that what it appends is seen; who knows another as full may go on to do so."""
    there = set(folder.data_files()) - {retired.data for retired in before.retired.values()}
    shards = {id: listed for id, listed in before.shards.items() if listed.data in there}
    known = {listed.data for listed in shards.values()}
    result = Manifest(0, folder.id, shards, {})
    for name in sorted(there - known):
        found = look_at(folder.file(name))
        if found is not None and found[0] not in result.shards:
            id, codec, is_written = found
            result.shards[id] = Listed(id, name, codec, result.free_counter() if is_written else 0)
    return result.shards


def look_at(path: str) -> tuple[int, int, bool] | None:
    """Return file id and codec of a shard, and whether a process may write it; None for any other file, and for one
    that nothing was written to yet. Of which store it is can not be told.
    """
    try:
        file = open_reading(path)
    except FileNotFoundError:
        return None
    try:
        is_written = holder(file) != 0
        if file.size() < FILE_HEADER + (not is_written):
            return None
        return (*shard_header(file, path), is_written)
    except errors.FormatError:
        return None
    except errors.CorruptError:
        return by_records(path, file, is_written)
    finally:
        file.close()


def by_records(path: str, file: Descriptor, is_written: bool) -> tuple[int, int, bool] | None:
    """Tell a shard whose header is damaged by its name, and by its records or its index."""
    name, extension = os.path.splitext(os.path.basename(path))
    if NAME.fullmatch(name) is None:
        return None
    id = int(name, 16)
    source = Source(path, open_reading(path), 0, 0xFFFFFFFF)
    try:
        found = find_id(Walk(source, file.size()), id)
    finally:
        source.close()
    if id not in (found, index_id(os.path.splitext(path)[0] + ".idx")):
        return None
    return id, EXTENSIONS.index(extension), is_written
