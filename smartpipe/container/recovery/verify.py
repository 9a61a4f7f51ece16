"""`smartpipe.verify`: everything of a pipe looked at, and all that is not whole said."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from smartpipe import errors
from smartpipe.container.paths import Paths, paths_of
from smartpipe.container.reader import MAX_BLOCK_SIZE, check_limit
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.identity import Subject, identify
from smartpipe.container.recovery.verify1 import verify1
from smartpipe.container.recovery.verify2 import verify2

ATTEMPTS = 3
"""How often a pipe is looked at anew that another process replaces or cuts meanwhile."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found."""

    path: str
    """The data file."""
    format: int
    blocks: int
    """Blocks that are whole."""
    damaged: int
    """Blocks and other records that are damaged or missing, as far as they can be counted."""
    bytes: int
    """Bytes of data and index that were looked at."""
    damage: list[Damage]
    """In the order of the data file; then what is wrong with the index."""
    notes: list[str]
    """What is no damage and should be known: an index that is behind the data, a writer at work."""

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.damage

    def as_dict(self) -> dict[str, Any]:
        """`ok` and all fields as plain dictionaries and lists; keys stay bytes."""
        return {"ok": self.ok, **asdict(self)}


def verify(
    path: str | os.PathLike[str],
    *,
    max_block_size: int = MAX_BLOCK_SIZE,
    progress: Callable[[int, int], object] | None = None,
) -> VerifyReport:
    """Look at every byte of a pipe of either format, and report what is whole and what is not.

    Damage is never an error, and does not end it: headers, checksums, streams, sizes, order and keys of all blocks are
    checked, and all that the index says against the data. A pipe that is being written is verified as far as it was
    written at the start. `progress` is called with (bytes done, bytes in all). Errors: PipeNotFoundError, FormatError
    where nothing shows that this is a pipe, EngineError where its codec needs a package that is not installed,
    StorageError.

    >>> import smartpipe
    >>> with smartpipe.open("crawl", "w") as pipe:
    ...     pipe.write(b"https://a", {b"raw": b"<html>"})
    >>> with open("crawl.dat", "r+b") as file:
    ...     _ = file.seek(-1, 2), file.write(b"!")
    >>> report = smartpipe.verify("crawl")
    >>> report.ok, report.blocks, [(damage.what, damage.block) for damage in report.damage]
    (False, 0, [('damaged', b'https://a')])
    """
    paths = paths_of(path)
    limit = check_limit(max_block_size)
    return verified(lambda: identify(paths, limit), paths, progress)


def verified(
    identified: Callable[[], Subject], paths: Paths, progress: Callable[[int, int], object] | None
) -> VerifyReport:
    """Verify what `identified` opens; more than once where it does not stay as it is meanwhile."""
    for attempt in range(ATTEMPTS):
        with errors.storage_errors(paths.prefix):
            subject = identified()
        try:
            size, written = subject.source.size(), subject.is_written()
            report = _report(subject, paths, progress)
            stayed = _is_named(subject) and subject.source.size() >= size and subject.is_written() == written
            if report.ok or attempt == ATTEMPTS - 1 or stayed:
                return report
        finally:
            subject.source.close()
    raise AssertionError  # the last attempt returned


def _report(subject: Subject, paths: Paths, progress: Callable[[int, int], object] | None) -> VerifyReport:
    verified = (verify1 if subject.format == 1 else verify2)(subject, paths, progress)
    return VerifyReport(
        subject.source.path,
        subject.format,
        verified.blocks,
        verified.damaged,
        verified.bytes,
        verified.damage,
        verified.notes,
    )


def _is_named(subject: Subject) -> bool:
    try:
        return subject.source.is_named()
    except FileNotFoundError:
        return False
