"""Everything that smartpipe raises and warns of.

Every error is a :class:`SmartPipeError`, says what was expected and what was found, and carries where: ``path``,
``block`` (the block key) and ``offset`` (bytes from the start of the file), each None where it does not apply.
Errors that a caller would look for under a built-in name inherit that one too.
"""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class SmartPipeError(Exception):
    """The base of all errors of smartpipe.

    >>> error = SmartPipeError("the checksum does not match", path="crawl.dat", block=b"a", offset=32)
    >>> str(error)
    "crawl.dat: block b'a' at offset 32: the checksum does not match"
    """

    def __init__(
        self, reason: str, *, path: str | None = None, block: bytes | None = None, offset: int | None = None
    ) -> None:
        super().__init__(reason)
        self.path = path
        self.block = block
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        # What OSError keeps in C members would not travel in the state of an exception.
        state = {**self.__dict__}
        for name in ("errno", "filename"):
            if hasattr(self, name):
                state[name] = getattr(self, name)
        return type(self), self.args, state

    def __str__(self) -> str:
        where = []
        if self.block is not None:
            shown = repr(self.block) if len(self.block) <= 200 else f"{self.block[:200]!r}…"
            where.append(f"block {shown}")
        if self.offset is not None:
            where.append(f"at offset {self.offset}")
        parts = [self.path, " ".join(where), str(self.args[0])]
        return ": ".join(part for part in parts if part)


class FormatError(SmartPipeError):
    """Not a pipe, or one of a version or with a flag that this version does not know."""


class CorruptError(SmartPipeError):
    """Bytes of the pipe are not what was written."""

    is_dropped = False
    """Whether a location that found it has removed the copy."""


class TruncatedError(CorruptError):
    """A file of the pipe ends before what it should hold."""


class DuplicateKeyError(SmartPipeError, KeyError):
    """The pipe already has a block with this key; nothing was written."""


class BlockNotFound(SmartPipeError, KeyError):
    """The pipe has no block with this key."""


class PairNotFound(SmartPipeError, KeyError):
    """The block has no pair with this key, or none that was selected."""


class ArtifactNotFound(SmartPipeError, KeyError):
    """The store has no such artifact, archive or record; ``block`` is the key that the place does not have."""


class PipeNotFoundError(SmartPipeError, FileNotFoundError):
    """There is no pipe at this path."""

    def __init__(
        self, reason: str, *, path: str | None = None, block: bytes | None = None, offset: int | None = None
    ) -> None:
        super().__init__(reason, path=path, block=block, offset=offset)
        self.errno = errno.ENOENT
        self.filename = path


class PipeExistsError(SmartPipeError, FileExistsError):
    """There is a pipe at this path already, and it was to be a new one."""

    def __init__(
        self, reason: str, *, path: str | None = None, block: bytes | None = None, offset: int | None = None
    ) -> None:
        super().__init__(reason, path=path, block=block, offset=offset)
        self.errno = errno.EEXIST
        self.filename = path


class LockedError(SmartPipeError):
    """Another writer has the pipe open."""


class BlockTooLargeError(SmartPipeError, ValueError):
    """A block is larger than ``max_block_size`` or than the format can hold."""


class ClosedError(SmartPipeError, ValueError):
    """The pipe was closed before."""


class ReplacedError(SmartPipeError):
    """The pipe that a reader has open is no longer the one of this name, or its end was cut and written anew."""


class CollisionError(SmartPipeError):
    """Another content is stored under this key."""


class UnsupportedError(SmartPipeError):
    """The place can not do this, or it was not allowed to."""


class EngineError(SmartPipeError):
    """A codec has no engine here, or its engine failed."""


class StorageError(SmartPipeError, OSError):
    """The system refused to open, write or sync a file: a full disk, a missing permission, a failing device.

    ``errno`` is the system's number. What was written before is whole.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str | None = None,
        block: bytes | None = None,
        offset: int | None = None,
        number: int | None = None,
    ) -> None:
        super().__init__(reason, path=path, block=block, offset=offset)
        self.errno = number
        self.filename = path


OF_ONE_NAME = frozenset((errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOTDIR, errno.ELOOP, errno.EISDIR))
"""Numbers of errors that a file system has with one name and not with the next."""


@contextmanager
def storage_errors(path: str) -> Iterator[None]:
    """Let an OSError that is none of ours be a StorageError of the file that it names, or else of a path."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SmartPipeError):
            raise
        reason = error.strerror or str(error)
        raise StorageError(reason, path=error.filename or path, number=error.errno) from error


class FunctionError(SmartPipeError):
    """The function of `map` raised, or returned what are no pairs; the cause is its exception."""


class WorkerError(SmartPipeError):
    """A process of `map` was killed, or ended by itself, while it worked on this block."""


class PipeWarning(UserWarning):
    """Something about a pipe that is not an error but should be known: a missing index, a tail that was cut."""


def warn(message: str) -> None:
    """Issue a PipeWarning for the line outside of the package that called it."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame = frame.f_back
        level += 1
    warnings.warn(message, PipeWarning, stacklevel=level)
