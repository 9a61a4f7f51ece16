"""When a writer brings its blocks to the disk. docs/durability.md."""

from __future__ import annotations

import sys
import threading
import time

from smartpipe._platform import Descriptor, disk

MODES = ("none", "close", "block")
MOST_MILLISECONDS = 1_000_000_000


class Grouped:
    """A durability: blocks are synced by groups, so that one sync serves many.

    A block is synced at the latest `milliseconds` after it was written, also when nothing more is written, and as soon
    as `bytes` bytes wait. At least one of the two is given; what is None sets no limit.

    >>> import smartpipe, tempfile
    >>> prefix = tempfile.mkdtemp() + "/crawl"
    >>> with smartpipe.open(prefix, "w", durability=Grouped(milliseconds=200, bytes=16 << 20)) as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>"})
    """

    __slots__ = ("bytes", "milliseconds")

    def __init__(self, *, milliseconds: float | None = None, bytes: int | None = None) -> None:
        if milliseconds is None and bytes is None:
            raise ValueError("Grouped needs milliseconds or bytes, or both")
        if milliseconds is not None and not 0 < milliseconds <= MOST_MILLISECONDS:
            raise ValueError(f"milliseconds is {milliseconds}, not between 0 and {MOST_MILLISECONDS}")
        if bytes is not None and bytes < 1:
            raise ValueError(f"bytes is {bytes}, not at least 1")
        self.milliseconds = milliseconds
        self.bytes = bytes

    def __repr__(self) -> str:
        return f"smartpipe.Grouped(milliseconds={self.milliseconds!r}, bytes={self.bytes!r})"


def check_durability(durability: str | Grouped) -> None:
    """Refuse what is no durability."""
    if not isinstance(durability, Grouped) and durability not in MODES:
        raise ValueError(f"durability is {durability!r}, not 'none', 'close', 'block' or a smartpipe.Grouped")


class Timer:
    """Syncs files some time after something was written to them, in a thread of its own.

    `synced` is how far the data had been written when a sync that succeeded began, `rounds` how many syncs were begun.
    `error` is what ended the thread.
    """

    def __init__(self, files: list[Descriptor], milliseconds: float) -> None:
        self.files = files
        self.seconds = milliseconds / 1000
        self.synced = 0
        self.rounds = 0
        self.error: OSError | None = None
        self._written = 0
        self._since: float | None = None  # when the first write that waits was made
        self._stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="smartpipe-sync", daemon=True)
        self._thread.start()

    def wrote(self, end: int) -> None:
        """Take note that the data was written up to an offset."""
        with self._changed:
            self._written = end
            if self._since is None:
                self._since = time.monotonic()
                self._changed.notify()

    def rest(self) -> None:
        """Take note that somebody else synced all that was written."""
        with self._changed:
            self._since = None

    def stop(self) -> None:
        """End the thread, and wait until it no longer uses the files."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        # While the interpreter ends, threads like this one stand still for ever.
        if self._thread is not threading.current_thread() and not sys.is_finalizing():
            self._thread.join()

    def _run(self) -> None:
        while (end := self._wait()) is not None:
            self.rounds += 1
            try:
                for file in self.files:
                    disk.sync(file)
            except OSError as error:
                self.error = error
                return
            self.synced = end

    def _wait(self) -> int | None:
        """Wait until it is time, and return how far the data was written; None when the writer ends."""
        with self._changed:
            while not self._stopped:
                left = None if self._since is None else self._since + self.seconds - time.monotonic()
                if left is not None and left <= 0:
                    self._since = None
                    return self._written
                self._changed.wait(left)
            return None
