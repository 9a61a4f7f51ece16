"""The files of a folder that are taken in: which lie below it, and what is in each."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

import smartpipe


def check_folder(root: str) -> None:
    """Refuse what is no folder: PipeNotFoundError where nothing is, FormatError where something else is."""
    if not os.path.lexists(root):
        raise smartpipe.PipeNotFoundError("no such folder", path=root)
    if not os.path.isdir(root):
        raise smartpipe.FormatError("expected a folder, found a file", path=root)


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by whatever names."""
    here = os.path.realpath(folder)
    return os.path.commonpath([here, os.path.realpath(path)]) == here


def walk(root: str, failed: Callable[[OSError], object] | None = None) -> Iterator[os.DirEntry[str]]:
    """Yield all that is below root and no folder, in the order of the names in each folder.

    A folder that can not be read is an OSError, or `failed` is called with it.
    """
    left = _backwards(root, failed)
    while left:
        entry = left.pop()
        if entry.is_dir(follow_symlinks=False):
            left.extend(_backwards(entry.path, failed))
        else:
            yield entry


def _backwards(folder: str, failed: Callable[[OSError], object] | None) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: os.fsencode(entry.name), reverse=True)
    except OSError as error:
        if failed is None:
            raise
        failed(error)
        return []


def open_regular(path: str) -> BinaryIO:
    """Open a regular file for reading; anything else is a FormatError.

    A link or a device in the place of a file would bring in what is not in the folder, or never end.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise smartpipe.FormatError("expected a regular file, found something else", path=path)
    return open(path, "rb", opener=_open_as_it_was)


def _open_as_it_was(path: str, flags: int) -> int:
    # Neither a link nor a device that took its place at this moment is followed or waited for.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def read_value(file: BinaryIO, path: str, left: int, limit: int) -> bytes:
    """Return all that is in a file; BlockTooLargeError where that is more than `left` bytes.

    `limit` is the max_block_size that the error tells of.
    """
    # The size first: a huge file must not be read to find that it is too large.
    if os.fstat(file.fileno()).st_size <= left:
        value = file.read()
        if len(value) <= left:
            return value
    raise smartpipe.BlockTooLargeError(f"its block would be larger than max_block_size, {limit} bytes", path=path)
