"""One pipe for everything in a process that writes to the same path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from scrapy.settings import BaseSettings

import smartpipe
from smartpipe import Block, BlockTooLargeError, Reader, SmartPipeError

_DATA = (".dat", ".datz")


class SharedPipe:
    """A pipe that is written, and read while it is written.

    A pipe has one writer at a time, but the spiders of a process may share a pipe: `open` gives all of them the same
    object, and the writer is closed when the last of them has called `release`.

    A reader sees what was written before it was opened, so `get` opens a new one when it is asked for a block that is
    younger than its reader.
    """

    _shared: ClassVar[dict[str, SharedPipe]] = {}

    def __init__(self, path: str, prefix: str, settings: BaseSettings) -> None:
        compress = settings.get("SMARTPIPE_COMPRESS")
        is_new = not any(os.path.isfile(prefix + suffix) for suffix in _DATA)
        if compress is None and is_new and not path.endswith(".dat"):
            compress = True
        self._writer = smartpipe.open(
            path,
            "a",
            compress=compress,
            level=settings.getint("SMARTPIPE_LEVEL", 6),
            max_block_size=settings.getint("SMARTPIPE_MAX_BLOCK_SIZE", 256 * 1024 * 1024),
        )
        self.error: Exception | None = None
        """What made writing fail, for whom started the spider: Scrapy only logs it."""
        self._path = path
        self._prefix = prefix
        self._reader: Reader | None = None
        self._users = 0

    @classmethod
    def open(cls, path: str | os.PathLike[str], settings: BaseSettings) -> SharedPipe:
        """Return the pipe at `path`, which is continued, or created.

        `SMARTPIPE_COMPRESS`, `SMARTPIPE_LEVEL` and `SMARTPIPE_MAX_BLOCK_SIZE` are the options of `smartpipe.open`, but
        by default a new pipe is compressed. The settings of whoever opens the path first count. Every call must be
        answered with one of `release`.

        Raises what `smartpipe.open` does in mode `"a"`.
        """
        path = os.path.abspath(path)
        prefix, suffix = os.path.splitext(os.path.realpath(path))
        if suffix not in (*_DATA, ".idx"):
            prefix += suffix
        pipe = cls._shared.get(prefix)
        if pipe is None:
            pipe = cls._shared[prefix] = cls(path, prefix, settings)
        pipe._users += 1
        return pipe

    def release(self) -> None:
        """Close the pipe when nobody else uses it. What `write` raised before is not raised again."""
        self._users -= 1
        if self._users:
            return
        del self._shared[self._prefix]
        if self._reader is not None:
            self._reader.close()
        try:
            self._writer.close()
        except (SmartPipeError, OSError):
            if self.error is None:
                raise

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and key in self._writer

    def write(self, key: bytes, pairs: Mapping[bytes, bytes]) -> None:
        """Write one block; raises what `Writer.write` does."""
        try:
            self._writer.write(key, pairs)
        except BlockTooLargeError:
            raise
        except (SmartPipeError, OSError) as error:
            self.error = error
            raise

    def get(self, key: bytes) -> Block | None:
        """Return the block of `key`, whenever it was written, or None."""
        if key not in self._writer:
            return None
        if self._reader is None or key not in self._reader:
            if self._reader is not None:
                self._reader.close()
            self._writer.flush()
            self._reader = smartpipe.open(self._path)
        return self._reader[key]
