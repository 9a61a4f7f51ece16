"""pack and unpack: a tree of files as a store, and a store as a tree of files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, Literal

import smartpipe
from smartpipe import errors
from smartpipe.container.reader import MAX_BLOCK_SIZE, handler_of
from smartpipe.operations.files import check_folder, is_below, open_regular, read_value, walk
from smartpipe.operations.progress import Progress

TOGETHER = 4096
TOGETHER_BYTES = 1 << 20
"""So many files, or files of so many bytes, are stored with one call."""

SEPARATOR = os.fsencode(os.sep)
LONGEST_NAME = 255
LONGEST_PATH = 4095
"""Bytes that a system takes for a name, and for a path."""

OnError = Literal["raise", "skip"] | Callable[[smartpipe.SmartPipeError], object]
Handler = Callable[[smartpipe.SmartPipeError], object]


def pack(
    folder: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_error: OnError = "raise",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, int]:
    """Store every file below `folder` as a single value in `store`, a `ShardStore` that is begun where there is none.

    A key is the path below the folder, byte for byte, with `/` between. Folders without files are not kept, nor are
    times and permissions; what is neither a file nor a folder, such as a link, is left out with a PipeWarning.

    `on_error` is what happens at a file that can not be stored: "raise" raises its error, "skip" leaves it out, a
    function leaves it out and is called with the error. That is a StorageError where the file vanished, changed while
    it was read, or can not be read; BlockTooLargeError; CollisionError where the store has another content under its
    key, and `overwrite` lets the file count. Errors of the store itself are always raised, and what was stored before
    stays. `progress` is called with (bytes of files done, bytes in all). `options` are those of `ShardStore`. Returns
    the numbers of "files" and "bytes" that are stored, and of "failed" files.

    >>> import pathlib, smartpipe
    >>> pathlib.Path("site/docs").mkdir(parents=True)
    >>> _ = pathlib.Path("site/docs/index.html").write_bytes(b"<html>")
    >>> smartpipe.pack("site", "packed")
    {'files': 1, 'bytes': 6, 'failed': 0}
    >>> with smartpipe.ShardStore("packed", "r") as opened:
    ...     print(opened.get_bytes(b"docs/index.html"))
    b'<html>'
    """
    root = os.fspath(folder)
    handler = handler_of(on_error)
    check_folder(root)
    if is_below(os.fspath(store), root):
        raise ValueError(f"{os.fspath(store)}: the store would lie in the folder that it is made from, {root}")
    limit = options.get("max_block_size", MAX_BLOCK_SIZE)
    counts = {"files": 0, "bytes": 0, "failed": 0}

    def failed(error: smartpipe.SmartPipeError) -> None:
        if handler is None:
            raise error
        counts["failed"] += 1
        handler(error)

    total = _size(root) if progress is not None else 0
    done = 0
    with smartpipe.ShardStore(store, **options) as opened:
        for files in _together(_contents(root, limit, failed)):
            stored = _store(opened, files, overwrite, failed)
            counts["files"] += len(stored)
            counts["bytes"] += sum(map(len, stored))
            if progress is not None:
                done += sum(len(value) for _, value in files)
                progress(done, max(done, total))
    return counts


def unpack(
    store: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_error: OnError = "raise",
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, int]:
    """Write each single value of a store as a file below `folder`, whose name is the key; the folder is made.

    Each file is written aside and then renamed. One that exists is kept, or with `overwrite` replaced. Nothing is
    written outside of `folder`, whatever the keys are, and no link in it is followed.

    `on_error` is what happens at a block that can not be a file, as in `pack`: "raise", "skip" or a function. That is a
    FormatError where the key is no path below a folder (absolute, with an empty part, `.` or `..`, a NUL, or too
    long), where a part of it is itself the key of a block, and where the block is no single value; PipeExistsError
    where something is in the place of the file or of a folder above it; CorruptError where the block is damaged. When
    the target takes no more files, as on a full disk, that is raised. `progress` is called with (blocks done, blocks
    in all). `options` are those of `ShardStore`. Returns the numbers of "files" and "bytes" that were written, of files
    that were "kept", and of "failed" blocks.

    >>> import pathlib, smartpipe
    >>> with smartpipe.ShardStore("packed") as opened:
    ...     opened.put_bytes(b"docs/index.html", b"<html>")
    >>> smartpipe.unpack("packed", "back")
    {'files': 1, 'bytes': 6, 'kept': 0, 'failed': 0}
    >>> pathlib.Path("back/docs/index.html").read_bytes()
    b'<html>'
    """
    root = os.fspath(folder)
    handler = handler_of(on_error)
    counts = {"files": 0, "bytes": 0, "kept": 0, "failed": 0}

    def failed(error: smartpipe.SmartPipeError) -> None:
        if handler is None:
            raise error
        counts["failed"] += 1
        handler(error)

    with smartpipe.ShardStore(store, "r", **options) as opened:
        if is_below(root, opened.path):
            raise ValueError(f"{root}: the folder would lie in the store that it is made from, {os.fspath(store)}")
        total = len(opened)
        with errors.storage_errors(root):
            target = _Target(root)
        with target:
            blocks = opened.items(on_error="raise" if handler is None else failed)
            for done, (key, block) in enumerate(blocks, 1):
                try:
                    value = _single(opened, key, block)
                    written = target.write(opened, key, value, overwrite)
                except (smartpipe.FormatError, smartpipe.CorruptError, smartpipe.PipeExistsError) as error:
                    failed(error)
                else:
                    counts["files" if written else "kept"] += 1
                    counts["bytes"] += len(value) if written else 0
                if progress is not None:
                    progress(done, max(done, total))
    return counts


def _size(root: str) -> int:
    """Bytes of all files below a folder, as far as they can be told."""
    size = 0
    for entry in walk(root, lambda error: None):
        try:
            size += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
        except OSError:
            pass  # it is looked at again, and told of then
    return size


def _contents(root: str, limit: int, failed: Handler) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, content) of each file below a folder."""

    def no_folder(error: OSError) -> None:
        failed(smartpipe.StorageError(str(error.strerror), path=error.filename, number=error.errno))

    for entry in walk(root, no_folder):
        try:
            with errors.storage_errors(entry.path):
                if not entry.is_file(follow_symlinks=False):
                    errors.warn(f"{entry.path}: neither a file nor a folder, left out")
                    continue
                value = _unchanged(entry.path, limit)
        except smartpipe.SmartPipeError as error:
            failed(error)
        else:
            yield os.fsencode(os.path.relpath(entry.path, root).replace(os.sep, "/")), value


def _unchanged(path: str, limit: int) -> bytes:
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        value = read_value(file, path, limit - 8, limit)
        after = os.fstat(file.fileno())
    if len(value) != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise smartpipe.StorageError("the file changed while it was read", path=path)
    return value


def _together(files: Iterator[tuple[bytes, bytes]]) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield files in lists of some."""
    some: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in files:
        some.append((key, value))
        size += len(value)
        if size >= TOGETHER_BYTES or len(some) >= TOGETHER:
            yield some
            some, size = [], 0
    if some:
        yield some


def _store(
    store: smartpipe.ShardStore, files: list[tuple[bytes, bytes]], overwrite: bool, failed: Handler
) -> list[bytes]:
    """Store files; returns the contents of those that are stored then."""
    try:
        store.put_many(files, overwrite=overwrite)
        return [value for _, value in files]
    except smartpipe.CollisionError:
        pass
    # It ends at the first one; of those before it nothing is written again.
    stored = []
    for key, value in files:
        try:
            store.put_bytes(key, value, overwrite=overwrite)
        except smartpipe.CollisionError as error:
            failed(error)
        else:
            stored.append(value)
    return stored


def _single(store: smartpipe.ShardStore, key: bytes, block: smartpipe.Block) -> bytes:
    if block.keys() != [b""]:
        reason = f"a block of {len(block)} pairs; a file is made of a single value, one pair with an empty key"
        raise smartpipe.FormatError(reason, path=store.path, block=key)
    return block[b""]


def _parts(store: smartpipe.ShardStore, key: bytes) -> list[bytes]:
    """The names of the folders above a file, and its own; FormatError where the key is no path below a folder."""
    parts = key.split(b"/")
    wrong = None
    if len(key) > LONGEST_PATH:
        wrong = f"it has {len(key)} bytes, more than {LONGEST_PATH}"
    elif b"\0" in key:
        wrong = "it has a NUL"
    elif SEPARATOR != b"/" and SEPARATOR in key:
        wrong = f"it has a {SEPARATOR.decode()}"
    for part in parts if wrong is None else ():
        if part in (b"", b".", b".."):
            wrong = "it has an empty part" if not part else f"it has a part {part.decode()}"
        elif len(part) > LONGEST_NAME:
            wrong = f"it has a part of {len(part)} bytes, more than {LONGEST_NAME}"
    if wrong is not None:
        raise smartpipe.FormatError(f"the key is no path below a folder: {wrong}", path=store.path, block=key)
    return parts


class _Target:
    """The folder that files are written to. Each level is opened by itself, so that no link is followed."""

    def __init__(self, root: str) -> None:
        os.makedirs(root, exist_ok=True)
        self.root = root
        self.top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        # The folder of the last file, as the next one's is mostly the same.
        self.last: list[bytes] = []
        self.folder = os.dup(self.top)

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.folder)
        os.close(self.top)

    def write(self, store: smartpipe.ShardStore, key: bytes, value: bytes, overwrite: bool) -> bool:
        """Write a file; False where one is there, and kept."""
        *above, name = _parts(store, key)
        path = os.path.join(self.root, os.fsdecode(key))
        try:
            self._enter(store, key, above)
            return self._place(name, value, overwrite)
        except OSError as error:
            if isinstance(error, smartpipe.SmartPipeError):
                raise
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                reason = "a link, or what is no folder, is in the place of a folder above it"
            elif error.errno == errno.EISDIR:
                reason = "a folder is in the place of the file"
            elif error.errno in errors.OF_ONE_NAME:
                reason = f"the system takes no such name: {error.strerror}"
            else:
                raise smartpipe.StorageError(str(error.strerror), path=path, number=error.errno) from error
            raise smartpipe.PipeExistsError(reason, path=path, block=key) from error

    def _enter(self, store: smartpipe.ShardStore, key: bytes, above: list[bytes]) -> None:
        if above == self.last:
            return
        for count in range(1, len(above) + 1):
            if b"/".join(above[:count]) in store:
                reason = f"{b'/'.join(above[:count])!r} is a block too, and a name is either a file's or a folder's"
                raise smartpipe.FormatError(reason, path=store.path, block=key)
        folder = os.dup(self.top)
        try:
            for name in above:
                try:
                    os.mkdir(name, dir_fd=folder)
                except FileExistsError:
                    pass
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = below
        except BaseException:
            os.close(folder)
            raise
        os.close(self.folder)
        self.folder, self.last = folder, above

    def _place(self, name: bytes, value: bytes, overwrite: bool) -> bool:
        try:
            there = os.stat(name, dir_fd=self.folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISDIR(there):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not overwrite:
                return False
        aside = f".smartpipe.{os.getpid()}.{os.urandom(6).hex()}"
        try:
            file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self.folder)
            with open(file, "wb") as out:
                out.write(value)
            os.rename(aside, name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except BaseException:
            try:
                os.unlink(aside, dir_fd=self.folder)
            except FileNotFoundError:
                pass  # it could not be made
            raise
        return True
