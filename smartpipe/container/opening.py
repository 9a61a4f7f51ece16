"""Opening the files of a pipe: finding out what lies there, locking, going on after a kill, replacing.

FORMAT.md, «Files and locks».
"""

from __future__ import annotations

import errno
import os
import time

from smartpipe import errors
from smartpipe._codec import require
from smartpipe._platform import Descriptor, disk, holder, lock, open_reading
from smartpipe.container.format1 import Format1
from smartpipe.container.format2 import Format2
from smartpipe.container.frames import read_frames
from smartpipe.container.headers import (
    CODECS,
    CODECS_OF_FORMAT1,
    ENTRY1,
    FILE_HEADER,
    INDEX_HEADER,
    ZSTD,
    file_header,
    header_of,
    index_id,
    is_index,
)
from smartpipe.container.index import Index
from smartpipe.container.output import Output, Output1, Output2, unpublished
from smartpipe.container.paths import EXTENSIONS, Paths, missing
from smartpipe.container.scan import Scan
from smartpipe.container.source import Source
from smartpipe.container.tally import Tally

APPEND = os.O_RDWR | os.O_APPEND
CREATE = APPEND | os.O_CREAT | os.O_EXCL
# How often a reader looks again at a pipe that is replaced while it opens it, and how long it waits, in seconds, for an
# index to follow its data.
ATTEMPTS = 100
WAIT = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)


class Found:
    """What a data file is. `blank`: nothing was written to it yet, so that it can become either format."""

    __slots__ = ("blank", "codec", "format", "id")

    def __init__(self, format: int, id: int, codec: int, blank: bool = False) -> None:
        self.format = format
        self.id = id
        self.codec = codec
        self.blank = blank


class Asked:
    """What the caller asks of a pipe to write; None is left to the pipe.

    `default`: the codec of a new one then. `syncs`: its names are to reach the disk.
    """

    __slots__ = ("codec", "default", "format", "limit", "syncs")

    def __init__(self, format: int | None, codec: int | None, default: int, limit: int, syncs: bool) -> None:
        self.format = format
        self.codec = codec
        self.default = default
        self.limit = limit
        self.syncs = syncs


def data_file(paths: Paths) -> str | None:
    """Return the path of the data file at paths, None where there is none.

    With both a .dat and a .datz an index of format 2 names the one with its file id; otherwise it is .dat.
    """
    if paths.data is not None:
        return paths.data if os.path.isfile(paths.data) else None
    existing = paths.existing()
    if len(existing) == 2:
        wanted = index_id(paths.index)
        for path in existing:
            header = file_header(path)
            if wanted is not None and header is not None and header[0] == wanted:
                return path
    return existing[0] if existing else None


def refuse_folder(paths: Paths) -> None:
    """A folder can have the name of an index."""
    if os.path.isdir(paths.index):
        raise errors.StorageError(
            "a folder is where the index of the pipe would be", path=paths.index, number=errno.EISDIR
        )


def recognize(paths: Paths, path: str, file: Descriptor) -> Found:
    """Find out what an open data file is, from its first bytes and its index."""
    while True:
        size = file.size()
        try:
            found = look_at(paths, path, file)
        except errors.SmartPipeError:
            if size >= FILE_HEADER or size == file.size():
                raise
        else:
            if size >= FILE_HEADER or size == file.size():
                return found
        # A writer began the pipe between the look at the data and that at the index.


def look_at(paths: Paths, path: str, file: Descriptor) -> Found:
    compressed = path.endswith(".datz")
    header = header_of(file, path)
    if header is not None and header[0] is not None:
        return Found(2, *header)
    if file.size() == 0 and os.path.exists(paths.ready):
        raise errors.FormatError("the pipe is just being replaced by another, or a writer was killed at it", path=path)
    if header is None and is_blank(paths.index) and is_zero(file):
        return Found(2, 0, compressed, blank=True)
    of_format2 = is_index(paths.index)
    index_size = os.path.getsize(paths.index) if os.path.exists(paths.index) else None
    if header is None:
        if index_size is None:
            raise errors.FormatError(
                f"this is no pipe of format 2, and for one of format 1 the index {paths.index} is missing, and with it "
                "the keys of its blocks",
                path=path,
            )
        if of_format2:
            raise errors.FormatError(
                "the index is one of format 2, but this file does not begin like one; if it was damaged there, "
                "smartpipe recover reads it",
                path=path,
            )
        return Found(1, 0, compressed)
    if is_blank(paths.index):
        return Found(2, 0, compressed, blank=True)
    # Empty, or cut within a header of format 2.
    if of_format2 and (index_size or 0) > INDEX_HEADER:
        raise errors.TruncatedError(
            "the file ends within its header, and its index lists blocks", path=path, offset=file.size()
        )
    if index_size and not of_format2:
        return Found(1, 0, compressed, blank=file.size() == 0 and not lists_format1(paths.index))
    return Found(1 if index_size == 0 and file.size() == 0 else 2, 0, compressed, blank=True)


def is_zero(file: Descriptor) -> bool:
    """Whether a file holds nothing but zeros: its bytes did not arrive before the power failed."""
    offset = 0
    while data := file.read_at(offset, 1 << 20):
        if data.count(0) < len(data):
            return False
        offset += len(data)
    return True


def is_blank(index: str) -> bool:
    """Whether an index holds nothing but zeros. 20 of them are an entry of format 1."""
    try:
        file = open_reading(index)
    except FileNotFoundError:
        return False
    try:
        return file.size() not in (0, ENTRY1) and is_zero(file)
    finally:
        file.close()


def lists_format1(index: str) -> bool:
    """Whether an index begins with a whole entry of format 1."""
    file = open_reading(index)
    try:
        length = file.read_at(0, 4)
        return len(length) == 4 and file.size() >= ENTRY1 + int.from_bytes(length, "little")
    finally:
        file.close()


def open_layout(paths: Paths, limit: int) -> Format1 | Format2:
    """Open a pipe for reading."""
    refuse_folder(paths)
    path = None
    stale = 0
    for _ in range(ATTEMPTS):
        begun = False
        try:
            path = data_file(paths)
            if path is None:
                continue
            file = open_reading(path)
            try:
                found = recognize(paths, path, file)
                if found.format == 2 and index_id(paths.index) not in (None, found.id) and stale < len(WAIT):
                    # Perhaps its data was renamed and its index will be, in a moment; otherwise the index is stale.
                    file.close()
                    time.sleep(WAIT[stale])
                    stale += 1
                    continue
                try:
                    layout = read_layout(paths, path, file, found, limit)
                finally:
                    # What is empty may be of either format, and a writer may just begin it.
                    begun = found.format == 1 and found.blank and file.size() > 0
            except errors.SmartPipeError:
                if still_named(file, path) and not begun:
                    raise
                file.close()
                continue
            if still_named(file, path) and not begun:
                return layout
            layout.close()
        except FileNotFoundError as error:
            # A file had just been replaced by one with another name.
            if isinstance(error, errors.SmartPipeError):
                raise
    if path is None:
        raise missing(paths)
    raise errors.FormatError(f"the pipe was replaced {ATTEMPTS} times while it was opened", path=paths.prefix)


def read_layout(paths: Paths, path: str, file: Descriptor, found: Found, limit: int) -> Format1 | Format2:
    """Read the index of an open data file."""
    source = Source(path, file, found.id, limit)
    if found.format == 1:
        return Format1(source, paths.index, path.endswith(".datz"))
    return Format2(source, paths.index, found.codec, found.blank)


def still_named(file: Descriptor, path: str) -> bool:
    try:
        return file.is_named(path)
    except FileNotFoundError:
        return False


def lock_existing(path: str) -> Descriptor:
    """Open a data file for appending and take its lock, on the file that has the name by then."""
    while True:
        file = disk.open(path, APPEND)
        try:
            if not lock(file):
                pid = holder(file)
                by = f": process {pid}" if pid else ""
                raise errors.LockedError(f"another writer has the pipe open{by}", path=path)
            if still_named(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # replaced or removed in between


def create(paths: Paths, asked: Asked) -> Output:
    """Make the files of a new pipe where no data file is."""
    codec = asked.default if asked.codec is None else asked.codec
    data_path = paths.data_path(codec > 0)
    file = disk.open(data_path, CREATE)
    if not lock(file):
        file.close()
        raise errors.LockedError("another writer has the pipe open", path=data_path)
    try:
        output = begin(paths, data_path, file, asked.format or 2, codec, asked.syncs)
    except BaseException:
        file.close()
        remove([paths.index, data_path])
        raise
    return output


def begin(paths: Paths, data_path: str, file: Descriptor, format: int, codec: int, syncs: bool) -> Output:
    """Make an empty pipe of the empty data file, with a new index. Its names are on the disk before any block is."""
    remove([paths.index])  # not cut: a reader may have mapped it
    index_file = disk.open(paths.index, CREATE)
    if format == 1:
        output: Output = Output1(data_path, paths.index, file, index_file, Index(), 0, 0, 0)
    else:
        id = int.from_bytes(os.urandom(8), "little")
        output = Output2(data_path, paths.index, file, index_file, id, codec, Index(), Tally())
        output.begin(syncs)
    disk.sync_folder(paths.folder)
    return output


def append(paths: Paths, path: str, asked: Asked) -> tuple[Output, str | None]:
    """Go on with the pipe in an existing data file; returns also what had to be cut off, in words."""
    file = lock_existing(path)
    try:
        found = recognize(paths, path, file)
        codec = int(path.endswith(".datz")) if found.blank or found.format == 1 else found.codec
        if asked.codec is not None and (asked.codec > 0) != (codec > 0):
            raise ValueError(f"{path} is {'' if codec else 'not '}compressed, and compress asks for the contrary")
        if found.blank:
            what, size = "a file header", file.size()
            if found.format == 1 and os.path.exists(paths.index):
                what, size = "an index entry", os.path.getsize(paths.index)
            codec = codec if asked.codec is None else asked.codec
            format = asked.format or (found.format if codec in CODECS_OF_FORMAT1 else 2)
            disk.truncate(file, 0)
            output = begin(paths, path, file, format, codec, asked.syncs)
            return output, f"{size} bytes of {what}" if size else None
        if found.format == 2 and found.codec not in CODECS:
            raise errors.EngineError(f"the pipe has codec {found.codec}, which this version does not know", path=path)
        if asked.codec not in (None, codec):
            raise ValueError(f"{path} has the codec {CODECS[codec]}, and compress asks for {CODECS[asked.codec or 0]}")
        require(codec, path)
        if asked.format not in (None, found.format):
            raise ValueError(f"{path} has format {found.format}, and format={asked.format} was asked for")
        source = Source(path, open_reading(path), found.id, asked.limit)
        try:
            return (append1 if found.format == 1 else append2)(paths, source, file, found)
        finally:
            source.close()
    except BaseException:
        file.close()
        raise


def append1(paths: Paths, source: Source, file: Descriptor, found: Found) -> tuple[Output, str | None]:
    """Format 1: check the last block, which is what a kill can have left unfinished, and cut it with its entry."""
    layout = Format1(source, paths.index, bool(found.codec), locked=True)
    index_file = disk.open(paths.index, APPEND)
    try:
        index_size = index_file.size()
        cut = []
        if index_size > layout.index_good:
            cut.append(f"{index_size - layout.index_good} bytes of an index entry")
        if layout.torn:
            layout.cut_torn_entry()
        data_end, raw_end, unfinished = layout.last_whole()
        if unfinished:
            cut.append(f"the unfinished block {unfinished[-1]!r}, {max(layout.size - data_end, 0)} bytes")
        if len(unfinished) > 1:
            cut.append(f"{len(unfinished) - 1} unfinished blocks listed behind it")
        if cut:
            # First the data: what no entry lists would belong to the block before it.
            disk.truncate(file, data_end)
            disk.sync(file)
            disk.truncate(index_file, layout.index_good)
            disk.sync(index_file)
    except BaseException:
        index_file.close()
        raise
    good = layout.index_good
    output = Output1(source.path, paths.index, file, index_file, layout.index, data_end, good, raw_end)
    return output, " and ".join(cut) or None


def append2(paths: Paths, source: Source, file: Descriptor, found: Found) -> tuple[Output, str | None]:
    """Format 2: read the index, scan what it does not cover, cut a torn tail and nothing else."""
    frames = read_frames(paths.index, source, True)
    size = frames.data_size
    flushed, flushed_to = frames.index.count, frames.tally.end
    scan = Scan(source, frames.index, frames.tally, size, True, frames.floor)
    scan.run()
    for first, last in scan.damage:
        errors.warn(
            f"{source.path}: bytes {first} to {last} are damaged; they are kept, and the pipe goes on behind them"
        )
    end = frames.tally.end
    if end < size:
        disk.truncate(file, end)
        disk.sync(file)
    remove([unpublished(paths.index)])
    index_file = disk.open(paths.index, APPEND | os.O_CREAT)
    output = Output2(source.path, paths.index, file, index_file, found.id, found.codec, frames.index, frames.tally)
    if found.codec == ZSTD:
        output.dictionary = source.last_dictionary()
        output.numbered = source.highest
    if frames.complaint is None and frames.whole:
        output.go_on(frames.size, frames.count, frames.loose, flushed, flushed_to, frames.closed)
    else:
        output.rewrite_index(0)
    return output, f"an unfinished block, {size - end} bytes" if scan.torn else None


def finish_replacement(paths: Paths) -> None:
    """Finish what a writer was killed at while its new pipe took the place of an old one."""
    try:
        if os.path.exists(paths.ready):
            finish_format1(paths)
        elif os.path.exists(paths.new.index) and not paths.new.existing():
            finish_format2(paths)
    except FileNotFoundError:
        pass  # the writer lives, and does it itself


def finish_format2(paths: Paths) -> None:
    """Give the new index its name, behind the new data, which has its own."""
    new = paths.new
    wanted = index_id(new.index)
    fitting = [path for path in paths.existing() if wanted is not None and (file_header(path) or (None,))[0] == wanted]
    if len(fitting) != 1:
        return
    file = lock_existing(fitting[0])  # a writer that lives will do it itself
    try:
        if os.path.exists(new.index) and not new.existing():
            remove([path for path in paths.existing() if path not in fitting])
            disk.rename(new.index, paths.index)
            disk.sync_folder(paths.folder)
    finally:
        file.close()


def finish_format1(paths: Paths) -> None:
    """Go through the steps of `publish_format1` again, from wherever it stopped."""
    unnamed = paths.new.existing()
    data = unnamed or paths.existing()
    if len(data) != 1:
        return
    file = lock_existing(data[0])
    try:
        if os.path.exists(paths.ready):
            publish_format1(paths, unnamed[0] if unnamed else None)
    finally:
        file.close()


def begin_replacement(paths: Paths) -> list[Descriptor]:
    """Take the locks of the pipe that is to be replaced, and clear the place of the new one; returns the locks."""
    guards: list[Descriptor] = []
    try:
        for path in paths.existing():
            guards.append(lock_existing(path))
        for path in paths.new.existing():
            unfinished = lock_existing(path)  # nobody is writing there
            disk.unlink(path)
            unfinished.close()
        remove([paths.new.index, unpublished(paths.new.index)])
    except BaseException:
        for guard in guards:
            guard.close()
        raise
    return guards


def publish(paths: Paths, data: str, index: str, format: int) -> None:
    """Put the files of a finished new pipe in the place of the old one: at each instant there is one of the two."""
    if format == 1:
        disk.rename(index, paths.ready)
        disk.sync_folder(paths.folder)
        publish_format1(paths, data)
        return
    target = paths.data_path(data.endswith(EXTENSIONS[1]))
    others = [path for path in paths.existing() if path != target]
    disk.rename(data, target)
    disk.sync_folder(paths.folder)
    disk.rename(index, paths.index)
    disk.sync_folder(paths.folder)
    remove(others)
    disk.sync_folder(paths.folder)


def publish_format1(paths: Paths, unnamed: str | None) -> None:
    """Without ids nothing tells whose index it is: rather none for a moment than the wrong one.

    That the new index has the name `ready` says that all of this has to be done. `unnamed` is the new data, None where
    it has its name already. Each step is on the disk before the next.
    """
    remove([paths.index])
    disk.sync_folder(paths.folder)
    if unnamed is not None:
        target = paths.data_path(unnamed.endswith(EXTENSIONS[1]))
        remove([path for path in paths.existing() if path != target])
        disk.sync_folder(paths.folder)
        disk.rename(unnamed, target)
        disk.sync_folder(paths.folder)
    disk.rename(paths.ready, paths.index)
    disk.sync_folder(paths.folder)


def remove(files: list[str]) -> None:
    """Remove those files that are there."""
    for path in files:
        try:
            disk.unlink(path)
        except FileNotFoundError:
            pass
