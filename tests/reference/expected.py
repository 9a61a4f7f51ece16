"""What golden files hold, as expected.json says it: keys and short values in base64, long ones by SHA-256 and size."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

GOLDEN = Path(__file__).parent.parent / "golden"
SHORT = 64  # bytes; format1/expected.json was made with a limit that tells its values apart in the same way


class Folder(NamedTuple):
    """A folder of golden files of format 2."""

    name: str
    suffix: str
    codec: str
    names: frozenset[str] | None = None
    """What it has of expected.json; None: all but `items`, which has small blocks that only a dictionary shrinks."""

    def has(self, name: str) -> bool:
        return name != "items" if self.names is None else name in self.names


# What is in one codec is not needed in another, as far as it tells nothing more there.
CODECS = frozenset({"items", "metadata", "metadata-only", "appended", "torn", "one-block"})
FOLDERS = [
    Folder("dat", "dat", "none"),
    Folder("datz", "datz", "zlib"),
    Folder("zstd", "datz", "zstd", CODECS),
    Folder("lz4", "datz", "lz4", CODECS),
    Folder("zstd-dictionary", "datz", "zstd", CODECS),
]


def load(folder: Path) -> Any:
    """The expected.json of a folder of golden files."""
    return json.loads((folder / "expected.json").read_text())


def describe(blocks: Iterable[tuple[bytes, Iterable[tuple[bytes, bytes]]]]) -> list[dict[str, Any]]:
    """Blocks in the words of expected.json."""
    return [
        {"key": _base64(key), "pairs": [[_base64(name), _describe_value(value)] for name, value in pairs]}
        for key, pairs in blocks
    ]


def _base64(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _describe_value(value: bytes) -> str | dict[str, Any]:
    if len(value) <= SHORT:
        return _base64(value)
    return {"sha256": hashlib.sha256(value).hexdigest(), "size": len(value)}
