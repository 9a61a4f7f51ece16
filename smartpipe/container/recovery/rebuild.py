"""`smartpipe.rebuild_index`: the index of a pipe made anew from its data."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from smartpipe import errors
from smartpipe._platform import Descriptor, open_reading
from smartpipe.container.frames import read_frames
from smartpipe.container.index import Index
from smartpipe.container.opening import data_file, finish_replacement, lock_existing, recognize, refuse_folder
from smartpipe.container.output import Output2
from smartpipe.container.paths import Paths, missing, paths_of
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.scan import Scan
from smartpipe.container.source import Source
from smartpipe.container.tally import Tally


@dataclass(frozen=True)
class RebuildReport:
    """What `rebuild_index` found in the data."""

    path: str
    """The index file."""
    blocks: int
    """Blocks that the index lists now."""
    closed: bool
    """Whether it says that the pipe was closed cleanly; not with an unfinished block at the end."""
    damage: list[Damage]
    """What is damaged in the data, and an unfinished block at the end. The data file was not changed."""

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain dictionaries and lists."""
        return asdict(self)


def rebuild_index(path: str | os.PathLike[str]) -> RebuildReport:
    """Make the index of a pipe of format 2 anew from its data file, which stays as it is.

    It takes the lock of a writer and reads all data as a writer does that appends: every checksum is checked. The new
    index has taken the place of the old one when this returns, and both files are on the disk. Errors:
    PipeNotFoundError; FormatError for a pipe of format 1, whose keys are only in the index; CorruptError and
    TruncatedError for what a writer would refuse too (`recover` reads it); LockedError; StorageError.

    >>> import os, smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>"})
    >>> os.remove("crawl.idx")
    >>> smartpipe.rebuild_index("crawl").blocks
    1
    """
    shown = paths_of(path)
    paths = shown.absolute()
    with errors.storage_errors(paths.index):
        refuse_folder(paths)
        finish_replacement(paths)
        found = data_file(paths)
        if found is None:
            raise missing(paths)
        file = lock_existing(found)
        try:
            return _rebuild(paths, shown, found, file)
        finally:
            file.close()


def _rebuild(paths: Paths, shown: Paths, path: str, file: Descriptor) -> RebuildReport:
    pipe = recognize(paths, path, file)
    if pipe.format == 1:
        raise errors.FormatError("the keys of a pipe of format 1 are only in its index: it is not made anew", path=path)
    if pipe.blank:
        return RebuildReport(shown.index, 0, False, [])
    source = Source(path, open_reading(path), pipe.id, 0xFFFFFFFF)
    try:
        # What the old index proves of the data stays true: how far it had reached the disk, and what it lists.
        old = read_frames(paths.index, source, True)
        size = old.data_size
        floor = min(max(old.tally.synced, old.tally.end, old.floor), size)
        index, tally = Index(), Tally()
        scan = Scan(source, index, tally, size, True, floor)
        scan.run()
    finally:
        source.close()
    data = shown.data_path(path.endswith(".datz"))
    bad = "these bytes are no good record"
    damage = [Damage("damaged", data, start, end - start, None, bad) for start, end in scan.damage]
    if scan.torn:
        damage.append(Damage("torn", data, tally.end, size - tally.end, None, "an unfinished block"))
    output = Output2(path, paths.index, file, Descriptor(-1), pipe.id, pipe.codec, index, tally)
    output.keep("close", False)
    if scan.torn:
        output.sync_blocks()
        output.rewrite_index(0)
    else:
        output.seal()
    output.release()
    return RebuildReport(shown.index, index.count, not scan.torn, damage)
