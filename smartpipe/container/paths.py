"""Where the files of a pipe are. FORMAT.md, «Files and locks»."""

from __future__ import annotations

import os

from smartpipe import errors

EXTENSIONS = (".dat", ".datz")


class Paths:
    """The files of one prefix. `data` is the one that the user named, or None where the user named the pipe."""

    __slots__ = ("data", "prefix")

    def __init__(self, prefix: str, data: str | None) -> None:
        self.prefix = prefix
        self.data = data

    @property
    def index(self) -> str:
        return self.prefix + ".idx"

    def data_path(self, compressed: bool) -> str:
        return self.prefix + EXTENSIONS[compressed]

    def existing(self) -> list[str]:
        """Return the data files that exist, `.dat` first."""
        return [self.prefix + extension for extension in EXTENSIONS if os.path.isfile(self.prefix + extension)]

    def absolute(self) -> Paths:
        """Return the same files named from the root, so that they stay the same when the working folder changes."""
        return Paths(os.path.abspath(self.prefix), None if self.data is None else os.path.abspath(self.data))

    @property
    def new(self) -> Paths:
        """Where a pipe that replaces this one is written."""
        return Paths(self.prefix + ".new", None)

    @property
    def ready(self) -> str:
        """What the index of a new pipe of format 1 is called while the pipe takes the place of this one."""
        return self.new.index + ".ready"

    @property
    def folder(self) -> str:
        return os.path.dirname(self.prefix) or "."


def paths_of(path: str | os.PathLike[str]) -> Paths:
    """Return the paths for a prefix or the name of one of a pipe's files.

    >>> paths_of("crawl/site.datz").index
    'crawl/site.idx'
    """
    name = os.fsdecode(path)
    if not name:
        raise ValueError("the path of a pipe is empty")
    if os.path.basename(name) in ("", ".", ".."):
        raise errors.FormatError("this names a folder, not a pipe", path=name)
    prefix, extension = os.path.splitext(name)
    if extension in EXTENSIONS:
        return Paths(prefix, name)
    if extension == ".idx":
        return Paths(prefix, None)
    return Paths(name, None)


def missing(paths: Paths) -> errors.SmartPipeError:
    """Return the error for a path where no pipe is, saying what is there instead."""
    data = paths.data or f"{paths.prefix}.dat or .datz"
    if os.path.isdir(paths.data or paths.prefix):
        return errors.FormatError("this is a folder, not a pipe", path=paths.data or paths.prefix)
    if os.path.isfile(paths.prefix):
        return errors.FormatError(f"this file is not a pipe; a pipe would be in {data}", path=paths.prefix)
    if os.path.isfile(paths.index):
        return errors.PipeNotFoundError(f"there is an index, but no data file {data}", path=paths.index)
    return errors.PipeNotFoundError(f"there is no pipe: no file {data}", path=paths.prefix)
