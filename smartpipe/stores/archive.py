"""What a store of artifacts writes besides the values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from smartpipe.stores.keys import DIGEST, MOST, artifacts_of


class _Fields(NamedTuple):
    hexdigest: str
    """The SHA-256 of the serialized value, in hexadecimal."""
    dtype: str | None = None
    """The type of the value by its full name, as in "builtins.int"; None where the archive does not say it."""
    serializer: str | None = None
    """The name of what serialized it; None where the archive does not say it."""


class Artifact(_Fields):
    """A value, by what it is called. A tuple, as an archive may have a hundred thousand of them."""

    __slots__ = ()

    def __new__(cls, hexdigest: str, dtype: str | None = None, serializer: str | None = None) -> Artifact:
        if not DIGEST.fullmatch(hexdigest):
            raise ValueError(f"{hexdigest!r:.80} is no SHA-256 in hexadecimal")
        return tuple.__new__(cls, (hexdigest, dtype, serializer))

    def key(self, flow: str) -> bytes:
        return b"%s%s.gz" % (artifacts_of(flow), self.hexdigest.encode())


@dataclass(frozen=True)
class Archive:
    """The artifacts that were written under one name, in order."""

    artifacts: tuple[Artifact, ...]
    sharded: bool = False
    """Whether it is read as an accessor even with one artifact."""
    indexes: tuple[int, ...] | None = None
    """Of which archives a combined one was made; None in any other."""

    def __len__(self) -> int:
        return len(self.artifacts)

    @property
    def is_value(self) -> bool:
        """Whether reading it gives the value itself."""
        return len(self.artifacts) == 1 and not self.sharded

    def to_bytes(self) -> bytes:
        """Return the archive as JSON. What the document does not have stands beside «artifacts», where its readers do
        not look, and only where it says something."""
        content: dict[str, Any] = {
            "artifacts": [
                {"dtype": artifact.dtype, "hexdigest": artifact.hexdigest}
                if artifact.dtype is not None
                else {"hexdigest": artifact.hexdigest}
                for artifact in self.artifacts
            ]
        }
        if any(artifact.serializer not in (None, "pickle") for artifact in self.artifacts):
            content["serializers"] = [artifact.serializer for artifact in self.artifacts]
        if self.sharded:
            content["sharded"] = True
        if self.indexes is not None:
            content["combined"] = list(self.indexes)
        return json.dumps(content).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Archive:
        """Return the archive of JSON; ValueError where it is none."""
        content = _object(data)
        entries = content.get("artifacts")
        if not isinstance(entries, list):
            raise ValueError("it has no list of artifacts")
        serializers = content.get("serializers")
        if serializers is None:
            serializers = [None] * len(entries)
        if not isinstance(serializers, list) or len(serializers) != len(entries):
            raise ValueError(f"it does not have one serializer for each of {len(entries)} artifacts")
        indexes = content.get("combined")
        if indexes is not None:
            if not isinstance(indexes, list) or not all(type(index) is int for index in indexes):
                raise ValueError("combined is no list of indexes")
            indexes = tuple(indexes)
        return cls(
            tuple(_artifacts(entries, serializers)),
            content.get("sharded") is True,
            indexes,
        )

    @classmethod
    def joined(cls, indexes: Sequence[int], archives: Sequence[Archive]) -> Archive:
        """Return the combined archive of several."""
        artifacts = tuple(artifact for archive in archives for artifact in archive.artifacts)
        return cls(artifacts, sharded=len(artifacts) == 1, indexes=tuple(indexes))


@dataclass(frozen=True)
class Record:
    """What a layer left behind when it was executed."""

    flow: str
    layer: str
    splits: int
    """Of how many parts, each with an index, the execution of the layer was."""

    def to_bytes(self) -> bytes:
        return json.dumps(
            {"flow": {"name": self.flow}, "layer": {"name": self.layer}, "execution": {"splits": self.splits}}
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """Return the record of JSON; ValueError where it is none."""
        content = _object(data)
        try:
            flow, layer = content["flow"]["name"], content["layer"]["name"]
            splits = content["execution"]["splits"]
        except (KeyError, TypeError):
            raise ValueError("it has not flow.name, layer.name and execution.splits") from None
        if type(flow) is not str or type(layer) is not str or type(splits) is not int or not 0 <= splits <= MOST:
            raise ValueError("flow.name and layer.name are no strings, or execution.splits is no number")
        return cls(flow, layer, splits)


def _object(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"it is a {type(content).__name__} in JSON, not an object")
    return content


def _artifacts(entries: list[Any], serializers: list[Any]) -> Iterator[Artifact]:
    # Without a call each, as there may be very many.
    new, is_digest = tuple.__new__, DIGEST.fullmatch
    for entry, serializer in zip(entries, serializers, strict=True):
        if not isinstance(entry, dict):
            raise ValueError("an artifact is no object")
        digest, dtype = entry.get("hexdigest"), entry.get("dtype")
        if not isinstance(digest, str):
            raise ValueError("an artifact has no hexdigest")
        if not (dtype is None or isinstance(dtype, str)) or not (serializer is None or isinstance(serializer, str)):
            raise ValueError("the type or the serializer of an artifact is no string")
        yield new(Artifact, (digest, dtype, serializer)) if is_digest(digest) else Artifact(digest)
