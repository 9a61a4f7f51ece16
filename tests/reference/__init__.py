"""A slow, plain reader and writer of both formats, written from docs/FORMAT.md alone.

Only the standard library, only bytes in memory, nothing shared with the code under test: what smartpipe and this
package agree on is what the document says. The writers plant test data without the code under test; what they write
depends only on what they are given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from . import format1, format2

Blocks = list[tuple[bytes, list[tuple[bytes, bytes]]]]


@dataclass(frozen=True)
class Contents:
    """What a pipe holds, in the order of the file."""

    format: int
    compressed: bool
    blocks: Blocks
    metadata: list[tuple[bytes, bytes]]


def read(prefix: str | os.PathLike[str], *, use_index: bool = True) -> Contents:
    """The contents of the pipe with this prefix, its files chosen as FORMAT.md, *Files and locks*, says.

    Raises FileNotFoundError without a data file, and the errors of format1 and format2.
    """
    index_path = Path(f"{os.fspath(prefix)}.idx")
    index = index_path.read_bytes() if use_index and index_path.exists() else None
    path = _data_path(os.fspath(prefix), index)
    data = path.read_bytes()
    compressed = path.suffix == ".datz"
    if data.startswith(format2.FILE_MAGIC) or (not data and index is None) or _torn_header(data):
        pipe = format2.read(data, index)
        return Contents(2, compressed, pipe.blocks, pipe.metadata)
    if index is None:
        raise FileNotFoundError(f"{index_path}: a pipe of format 1 has no keys without its index")
    return Contents(1, compressed, format1.read(data, index, compressed=compressed), [])


def _data_path(prefix: str, index: bytes | None) -> Path:
    found = [path for path in (Path(f"{prefix}.dat"), Path(f"{prefix}.datz")) if path.exists()]
    if not found:
        raise FileNotFoundError(f"{prefix}: no .dat and no .datz")
    if index is not None and index.startswith(format2.INDEX_MAGIC):
        file_id = index[8:16]
        for path in found:
            data = path.read_bytes()
            if data.startswith(format2.FILE_MAGIC) and data[8:16] == file_id:
                return path
    return found[0]


def _torn_header(data: bytes) -> bool:
    """Whether these bytes are the beginning of a file header of format 2, as a kill at creation leaves it."""
    return 0 < len(data) < len(format2.FILE_MAGIC) and format2.FILE_MAGIC.startswith(data)
