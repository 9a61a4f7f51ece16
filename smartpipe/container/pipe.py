"""`smartpipe.open`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from smartpipe.container.durability import Grouped
from smartpipe.container.reader import MAX_BLOCK_SIZE, Reader, Split
from smartpipe.container.writer import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, overload
else:

    def overload(function):
        """Stand in for typing's, whose import takes as long as that of the rest."""
        return function


Path = str | os.PathLike[str]


@overload
def open(path: Path | Split, mode: Literal["r"] = "r", *, max_block_size: int = MAX_BLOCK_SIZE) -> Reader: ...


@overload
def open(
    path: Path,
    mode: Literal["w", "x", "a"],
    *,
    format: Literal[1, 2] | None = None,
    compress: bool | Literal["zlib", "zstd", "lz4"] | None = None,
    level: int = 6,
    threads: int = 1,
    durability: Literal["none", "close", "block"] | Grouped = "close",
    max_block_size: int = MAX_BLOCK_SIZE,
    verify: bool = False,
    dictionary: bytes | Literal[False] | None = None,
    metadata: Mapping[bytes, bytes] | None = None,
) -> Writer: ...


def open(
    path: Path | Split,
    mode: str = "r",
    *,
    format: int | None = None,
    compress: bool | str | None = None,
    level: int = 6,
    threads: int = 1,
    durability: str | Grouped = "close",
    max_block_size: int = MAX_BLOCK_SIZE,
    verify: bool = False,
    dictionary: bytes | Literal[False] | None = None,
    metadata: Mapping[bytes, bytes] | None = None,
) -> Reader | Writer:
    """Open a pipe and return its `Reader` or `Writer`, which is a context manager.

    `path` is the prefix of the pipe's files or the name of one of them; for reading also a `Split`.

    `mode`: "r" reads; "w" writes a new pipe, which takes the place of an old one when it is closed; "x" writes a new
    pipe and refuses where one is; "a" goes on with a pipe, also one whose writer was killed, or begins one.

    For writing: `format` is 2, or 1 for the original's; `compress` is False, True or "zlib", or "zstd" or "lz4", which
    format 1 does not have; None is 2 and False for a new pipe, and as the pipe is for "a". `level` is 1 (fastest) to 9
    (smallest). `dictionary`, for zstd, is what `smartpipe.train` made: blocks are compressed with it, and it is kept in
    the pipe; False is none, and None as the pipe is for "a". `metadata` describes the pipe, a mapping of bytes to
    bytes, which `Reader.metadata` gives back. With `threads` of 2 or more so many threads compress blocks while the
    next ones are taken in; they are written in the order in which they were given. A block counts as written when
    `flush`, `sync` or `close` returns, with durability "block" when `write` does. An error of one is raised by the next
    call that begins a block, or by these; of several that `close` finds the first, and the others are warnings. Where
    nothing is to be compressed or verified, `threads` changes nothing.

    `durability` says what survives what (docs/durability.md). "close", the default: when `write` returns the system has
    the block, which survives the end of the process; `close` and `sync` let it reach the disk. "block": it is on the
    disk when `write` returns. `Grouped`: it is there at the latest some time later. "none": blocks may wait in the
    process until `flush`, `sync` or `close`, and nothing is synced but by `sync`.

    With `verify` each block is inflated again and compared before it is written; EngineError where that fails.

    `max_block_size` is the largest number of bytes that the pairs of a block may have, for writing and reading:
    no file makes a reader take more memory than a few times that.

    Errors: PipeNotFoundError, PipeExistsError, FormatError, CorruptError, TruncatedError, LockedError, StorageError;
    EngineError where the codec needs a package that is not installed; ValueError where the options contradict each
    other, the name or the pipe.

    >>> import tempfile
    >>> prefix = tempfile.mkdtemp() + "/crawl"
    >>> with open(prefix, "w", compress=True) as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>...</html>"})
    >>> with open(prefix) as pipe:
    ...     for key, block in pipe.items():
    ...         print(key, block[b"raw"])
    b'https://a' b'<html>...</html>'
    """
    if mode == "r":
        if (
            format is not None
            or compress is not None
            or metadata is not None
            or durability != "close"
            or verify
            or dictionary is not None
        ):
            raise ValueError("format, compress, durability, verify, dictionary and metadata are for writing")
        if threads != 1:
            raise ValueError("threads is for writing here; items() of a reader has its own")
        return Reader(path, max_block_size=max_block_size)
    if mode not in ("w", "x", "a"):
        raise ValueError(f"mode is {mode!r}, not r, w, x or a")
    if isinstance(path, Split):
        raise ValueError("a split of a pipe can only be read")
    return Writer(
        path,
        mode,
        format=format,
        compress=compress,
        level=level,
        threads=threads,
        durability=durability,
        max_block_size=max_block_size,
        verify=verify,
        metadata=metadata,
        dictionary=dictionary,
    )
