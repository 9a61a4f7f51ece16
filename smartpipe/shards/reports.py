"""What the long-running operations of a store tell of what they did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CompactReport:
    """What `ShardStore.compact` did."""

    shards: int
    """Shards that were written anew, and are retired."""
    records: int
    """Records that were copied."""
    bytes_before: int
    """Bytes of the data files of these shards."""
    bytes_after: int
    """Bytes of the data files that took their place."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class GcReport:
    """What `ShardStore.gc` did."""

    removed: list[str]
    """Names of the files that were removed, in the folder of the store."""
    bytes: int
    """What they had."""
    waiting: int
    """Files that are not needed any more and stay for now: a reader may have them open, or they are too young."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class BackupReport:
    """What `ShardStore.backup` did."""

    copied: list[str]
    """Names of the data files that were copied, or of which the end was."""
    bytes: int
    """Bytes that were copied."""
    kept: int
    """Shards that were there already."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
