"""The keys of a store of artifacts, and the names that are their parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

LONGEST = 250
"""Bytes of a name, so that with its extension it is one of a file."""
MOST = 10**18
"""Indexes of a layer."""
DIGEST = re.compile(r"[0-9a-f]{64}")
INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Layer:
    """An executed layer of a flow: where its archives are."""

    flow: str
    execution: str
    layer: str

    def __post_init__(self) -> None:
        for what in ("flow", "execution", "layer"):
            checked(what, getattr(self, what))

    @property
    def archives(self) -> bytes:
        """What the keys of its archives begin with."""
        return f"{self.flow}/archives/{self.execution}/{self.layer}/".encode()

    @property
    def cache(self) -> bytes:
        """What the keys of its combined archives and of its record begin with."""
        return f"{self.flow}/.cache/{self.execution}/{self.layer}/".encode()

    @property
    def record(self) -> bytes:
        return self.cache + b".record.json"

    def archive(self, index: int, name: str) -> bytes:
        if isinstance(index, bool) or not isinstance(index, int):
            raise TypeError(f"the index is a {type(index).__name__}, not an int")
        if not 0 <= index < MOST:
            raise ValueError(f"the index is {index}, not from 0 to {MOST - 1}")
        return b"%s%d/%s.json" % (self.archives, index, checked("name", name).encode())

    def combined(self, name: str) -> bytes:
        return b"%s%s.json" % (self.cache, checked("name", name).encode())


def artifacts_of(flow: str) -> bytes:
    """Return what the keys of the artifacts of a flow begin with."""
    return _artifacts_of(flow if type(flow) is str else checked("flow", flow))


@lru_cache(16)
def _artifacts_of(flow: str) -> bytes:
    return f"{checked('flow', flow)}/artifacts/".encode()


@dataclass(frozen=True, slots=True)
class Key:
    """What a key of a store stands for."""

    kind: Literal["artifact", "archive", "combined", "record"]
    flow: str
    execution: str = ""
    layer: str = ""
    index: int = 0
    name: str = ""
    """Of an artifact its digest."""

    @property
    def place(self) -> Layer:
        return Layer(self.flow, self.execution, self.layer)


def parsed(key: bytes) -> Key | None:
    """Return what a key stands for; None where that is nothing of a store of artifacts."""
    try:
        parts = key.decode().split("/")
    except UnicodeDecodeError:
        return None
    found = None
    match parts:
        case [flow, "artifacts", file] if file.endswith(".gz") and DIGEST.fullmatch(file[:-3]):
            found = Key("artifact", flow, name=file[:-3])
        case [flow, "archives", execution, layer, index, file] if file.endswith(".json") and INDEX.fullmatch(index):
            found = Key("archive", flow, execution, layer, int(index), file[:-5])
        case [flow, ".cache", execution, layer, ".record.json"]:
            found = Key("record", flow, execution, layer)
        case [flow, ".cache", execution, layer, file] if file.endswith(".json"):
            found = Key("combined", flow, execution, layer, name=file[:-5])
    try:
        if found is not None:
            checked("flow", found.flow)
            if found.kind != "artifact":
                checked("execution", found.execution)
                checked("layer", found.layer)
            if found.kind in ("archive", "combined"):
                checked("name", found.name)
    except ValueError:
        return None
    return found


def checked(what: str, name: str) -> str:
    """Return a name that is to be a part of a key; ValueError where it can not be."""
    if not isinstance(name, str):
        raise TypeError(f"the {what} is a {type(name).__name__}, not a str")
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"the {what} is {name[:200]!r}: it can not be a part of a path")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the {what} is {name[:200]!r}: it is no text") from None
    if size > LONGEST:
        raise ValueError(f"the {what} has {size} bytes, more than {LONGEST}")
    if (what, name) in (("flow", ".smartpipe"), ("name", ".record")):
        raise ValueError(f"the {what} is {name!r}, which stands for something else")
    return name
