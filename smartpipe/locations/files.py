"""A location that is a tree of named files."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from smartpipe import errors
from smartpipe._platform import disk, open_reading
from smartpipe.locations.journal import Journal
from smartpipe.locations.location import PART, Content, Given, Location, Value, source
from smartpipe.locations.locks import FileLocks

OWN = ".smartpipe"
"""The folder at the root for what is no value: what is being written, and the journal."""
LONGEST_NAME = 255
LONGEST_PATH = 4000
LEFT = 3600.0
"""Seconds after which a file that is being written is taken for one that a killed process left."""
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR)


class Files(Location):
    """A tree of files below a folder, `root`: the value of the key b"a/b" is the file a/b.

    Trees that are there are read as they are. A file is written aside and then gets its name, so that it is there as a
    whole or not at all. No key leads out of the root, and no link in it is followed: such a key is a FormatError when
    it is written, and a miss when it is read. With `sync` a value is on the disk when `write` returns. With `max_size`
    values of more bytes are refused. There are no checksums: who reads has to know whether the bytes are right.

    >>> import tempfile
    >>> place = Files(tempfile.mkdtemp())
    >>> place.write(b"docs/index.html", b"<html>")
    True
    >>> place.read_bytes(b"docs/index.html"), [content.key for content in place.contents()]
    (b'<html>', [b'docs/index.html'])
    """

    def __init__(self, root: str | os.PathLike[str], *, sync: bool = False, max_size: int | None = None) -> None:
        self.root = os.path.abspath(os.fspath(root))
        self.sync = sync
        self.max_size = max_size
        self.journal = Journal(os.path.join(self.root, OWN, "journal"))
        self._swept = False

    def __str__(self) -> str:
        return self.root

    @property
    def configuration(self) -> dict[str, Any]:
        return {"root": self.root, "sync": self.sync, "max_size": self.max_size}

    def close(self) -> None:
        self.journal.close()

    @contextmanager
    def _open(self, key: bytes) -> Iterator[Path | None]:
        yield self._found(key)

    def _mark(self, value: Given) -> object:
        try:
            found = os.lstat(cast(Path, value))
        except FileNotFoundError:
            return None  # deleted meanwhile
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _is_still(self, key: bytes, mark: object) -> bool:
        return self._mark(Path(self._path(key))) == mark

    def _labels(self, key: bytes) -> frozenset[str]:
        return self.journal.get(key)[1]

    def _read_batch(self, keys: list[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        known: dict[str, bool] = {}  # whether a link leads to a folder
        for key in keys:
            if self._wrong(key) is not None:
                yield key, None
                continue
            path = self._join(key)
            above = os.path.dirname(path)
            with errors.storage_errors(path):
                if above not in known:
                    known[above] = self._leads_away(path)
                yield key, None if known[above] else _content(path)

    def _write(self, key: bytes, value: Value, labels: frozenset[str], overwrite: bool) -> bool | None:
        path = self._path(key)
        with errors.storage_errors(path), source(value) as stream:
            if self._refuses(stream):
                return None
            aside = self._aside()
            try:
                size = self._copy(stream, aside)
                if self.max_size is not None and size > self.max_size:
                    return None
                self._name(aside, path, key, overwrite)
            finally:
                try:
                    disk.unlink(aside)
                except FileNotFoundError:
                    pass  # it has its name, or could not be made
        if overwrite:
            self.journal.forget(key)
        if labels:
            self.journal.note(key, labels)
        return True

    def _delete(self, key: bytes) -> bool:
        path = self._found(key)
        if path is None:
            return False
        with errors.storage_errors(str(path)):
            try:
                disk.unlink(str(path))
            except FileNotFoundError:
                return False
            self.journal.forget(key)
            for folder in path.parents:
                if str(folder) == self.root:
                    break
                try:
                    os.rmdir(folder)
                except OSError:
                    break  # others are in it
        return True

    def _contents(self, prefix: bytes) -> Iterator[Content]:
        above = os.path.dirname(prefix)
        start = os.path.join(self.root, os.fsdecode(above)) if above else self.root
        with errors.storage_errors(start):
            if above and (self._wrong(above) is not None or self._leads_away(os.path.join(start, "file"))):
                return
        below = len(os.path.join(self.root, ""))
        for path, is_file in self.walk(start):
            if not is_file:
                continue
            key = os.fsencode(path[below:]).replace(os.sep.encode(), b"/")
            if not key.startswith(prefix):
                continue
            with errors.storage_errors(path):
                try:
                    found = os.lstat(path)
                except FileNotFoundError:
                    continue  # removed meanwhile
            used, labels = self.journal.get(key)
            yield Content(key, found.st_size, found.st_mtime if used is None else used, labels)

    def _touch(self, key: bytes) -> bool:
        if self._found(key) is None:
            return False
        self.journal.note(key, frozenset())
        return True

    def _lock_numbers(self, start: int, length: int, exclusive: bool, wait: bool) -> AbstractContextManager[bool]:
        return FileLocks(os.path.join(self.root, OWN, "locks")).hold(start, length, exclusive, wait)

    # Names

    def _wrong(self, key: bytes) -> str | None:
        """Return why a key is no name of a file below the root; None where it is one."""
        if len(key) > LONGEST_PATH:
            return f"it has {len(key)} bytes, more than {LONGEST_PATH}"
        if b"\0" in key:
            return "it has a NUL"
        if os.sep != "/" and os.sep.encode() in key:
            return f"it has a {os.sep}"
        parts = key.split(b"/")
        for part in parts:
            if part in (b"", b".", b".."):
                return f"it has the part {part.decode()!r}"
            if len(part) > LONGEST_NAME:
                return f"it has a part of {len(part)} bytes, more than {LONGEST_NAME}"
        if parts[0] == OWN.encode():
            return f"{OWN} is the place's own folder"
        return None

    def _path(self, key: bytes) -> str:
        wrong = self._wrong(key)
        if wrong is not None:
            raise errors.FormatError(f"the key is no path below a folder: {wrong}", path=self.root, block=key)
        return self._join(key)

    def _join(self, key: bytes) -> str:
        return os.path.join(self.root, os.fsdecode(key).replace("/", os.sep))

    def _found(self, key: bytes) -> Path | None:
        """Return the regular file of a key; None where there is none, or only a link leads to it."""
        if self._wrong(key) is not None:
            return None
        path = self._join(key)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode) or self._leads_away(path):
                return None
        except OSError as error:
            if error.errno in NO_FILE:
                return None
            raise errors.StorageError(str(error.strerror), path=path, number=error.errno) from error
        return Path(path)

    def _leads_away(self, path: str) -> bool:
        """Whether a link is in the place of a folder between the root and a file."""
        above = os.path.dirname(path)
        while above != self.root:
            try:
                if stat.S_ISLNK(os.lstat(above).st_mode):
                    return True
            except OSError as error:
                if error.errno not in NO_FILE:
                    raise
            above = os.path.dirname(above)
        return False

    def walk(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield (path, whether it is a regular file) of what is no folder below a folder, but for the place's own."""
        left = [folder]
        while left:
            try:
                with os.scandir(left.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            if entry.path != os.path.join(self.root, OWN):
                                left.append(entry.path)
                        else:
                            yield entry.path, entry.is_file(follow_symlinks=False)
            except OSError as error:
                if error.errno in NO_FILE:
                    continue  # removed meanwhile, or a link that leads nowhere
                raise errors.StorageError(str(error.strerror), path=error.filename, number=error.errno) from error

    # Writing aside

    def _refuses(self, stream: BinaryIO) -> bool:
        """Whether a stream is too large, as far as it tells before it is read."""
        if self.max_size is None or not getattr(stream, "seekable", bool)():
            return False
        here = stream.tell()
        size = stream.seek(0, os.SEEK_END) - here
        stream.seek(here)
        return size > self.max_size

    def _aside(self) -> str:
        folder = os.path.join(self.root, OWN, "aside")
        if not self._swept:
            os.makedirs(folder, exist_ok=True)
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        if entry.stat().st_mtime < time.time() - LEFT:
                            disk.unlink(entry.path)
                    except FileNotFoundError:
                        continue  # it has its name now, or another process removed it
            self._swept = True
        return os.path.join(folder, f"{os.getpid()}.{os.urandom(8).hex()}")

    def _copy(self, stream: BinaryIO, aside: str) -> int:
        size = 0
        try:
            file = disk.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(aside), exist_ok=True)  # the whole tree was removed meanwhile
            file = disk.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            while part := stream.read(PART):
                disk.write(file, part)
                size += len(part)
                if self.max_size is not None and size > self.max_size:
                    break
            if self.sync:
                disk.sync(file)
        finally:
            file.close()
        return size

    def _name(self, aside: str, path: str, key: bytes, overwrite: bool) -> None:
        """Give a file that was written its name."""
        above = os.path.dirname(path)
        while True:
            if self._leads_away(path):
                raise errors.FormatError("a link is in the place of a folder", path=path, block=key)
            try:
                if overwrite:
                    disk.rename(aside, path)
                else:
                    disk.link(aside, path)
                break
            except FileNotFoundError:
                # The first in this folder; or it was removed meanwhile, as it was empty.
                self._make(above, aside, key)
            except NotADirectoryError:
                raise self._occupied(key) from None
            except (FileExistsError, IsADirectoryError):
                try:
                    there = os.lstat(path).st_mode
                    if stat.S_ISDIR(there):
                        self._free(path, key)
                        continue
                    if not stat.S_ISREG(there):
                        raise errors.FormatError(
                            "a link, or what is no file, is in the place of the value", path=path, block=key
                        ) from None
                    same = _same(aside, path)
                except FileNotFoundError:
                    continue  # deleted meanwhile
                if not same:
                    raise errors.CollisionError(
                        "another content is stored under this key", path=path, block=key
                    ) from None
                break
        if self.sync:
            disk.sync_folder(above)

    def _make(self, folder: str, aside: str, key: bytes) -> None:
        if not os.path.exists(aside):
            raise errors.StorageError("it took so long to write that it was taken for a leftover", path=aside)
        missing = [folder]
        while missing:
            try:
                os.mkdir(missing[-1])
            except FileNotFoundError:
                missing.append(os.path.dirname(missing[-1]))
                continue
            except FileExistsError:
                try:
                    there = os.stat(missing[-1]).st_mode
                except FileNotFoundError:
                    continue  # removed again
                if not stat.S_ISDIR(there):
                    raise self._occupied(key) from None
            except NotADirectoryError:
                raise self._occupied(key) from None
            missing.pop()

    def _free(self, path: str, key: bytes) -> None:
        """Remove a folder in the place of a file, where it is one that a write or delete left empty."""
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError:
            raise self._occupied(key) from None

    def _occupied(self, key: bytes) -> errors.FormatError:
        return errors.FormatError(
            "a name is either a file's or a folder's: a part of this key is another one, or it is a part of others",
            path=self.root,
            block=key,
        )


def _content(path: str) -> bytes | None:
    """Return what is in a regular file; None where there is none of this name."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (*NO_FILE, errno.ENXIO):
            return None
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            return None
        data = os.read(file, found.st_size + 1)
        if len(data) != found.st_size:  # one read gives 2 GiB at most, and somebody may write to it
            parts = [data]
            while part := os.read(file, PART):
                parts.append(part)
            data = b"".join(parts)
        return data
    finally:
        os.close(file)


def _same(one: str, other: str) -> bool:
    """Whether two files have the same bytes."""
    first, second = open_reading(one), open_reading(other)
    try:
        at = 0
        while True:
            part = first.read_at(at, PART)
            if part != second.read_at(at, PART):
                return False
            if not part:
                return True
            at += len(part)
    finally:
        first.close()
        second.close()
