"""What the long-running operations of a store of artifacts tell of what they did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ArtifactGcReport:
    """What `ArtifactStore.gc` did."""

    removed: list[str]
    """Keys that were removed."""
    bytes: int
    """What their values had."""
    waiting: int
    """Artifacts that no archive names and that are too young to be removed."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Problem:
    """Something that is not whole."""

    key: str
    reason: str


@dataclass(frozen=True)
class ArtifactVerifyReport:
    """What `ArtifactStore.verify` found."""

    artifacts: int
    """Artifacts that are there, whole or not."""
    archives: int
    """Archives that are there, without combined ones."""
    records: int
    bytes: int
    """Bytes of the artifacts, as they are stored."""
    unnamed: int
    """Artifacts that no archive names, which `gc` removes. They are no problem."""
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """`ok` and all fields as plain dictionaries and lists."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True)
class ArtifactCopyReport:
    """What `ArtifactStore.copy_to` did. The numbers are of what the target has now, whether it was there before."""

    artifacts: int
    archives: int
    combined: int
    """Combined archives."""
    records: int
    others: int
    """Values that are nothing of a store of artifacts."""
    bytes: int
    """Bytes of all values."""
    failed: int
    """Values that could not be copied."""
    gone: list[str]
    """Keys that were removed from the source meanwhile."""
    left: list[str]
    """Combined archives that were left out, as they are not what the archives are, or somebody writes these. They are
    made anew when they are needed."""

    @property
    def values(self) -> int:
        """How many values there are in all."""
        return self.artifacts + self.archives + self.combined + self.records + self.others

    def as_dict(self) -> dict[str, Any]:
        return {"values": self.values, **asdict(self)}


@dataclass(frozen=True)
class ArtifactStats:
    """How much there is in a store of artifacts, as `ArtifactStore.stats` counts it."""

    flows: int
    executions: int
    layers: int
    """Executed layers: the same one in two executions is two."""
    archives: int
    """Archives, without combined ones."""
    values: int
    """Values that the archives name, each as often as one does."""
    artifacts: int
    bytes: int
    """Bytes of the artifacts, as they are stored."""
    saved: int
    """Bytes that artifacts would have more, were each stored as often as an archive names it."""
    unnamed: int
    """Artifacts that no archive names, which `gc` removes."""
    unnamed_bytes: int
    missing: int
    """Artifacts that an archive names and that are not there."""
    damaged: int
    """Archives that can not be read."""
    others: int
    """Values that are nothing of a store of artifacts."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
