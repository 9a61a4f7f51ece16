"""A store, read the slow way. FORMAT.md, *Stores*."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from . import format2
from .format2 import Corrupt, Pairs, Refused


def read(folder: str | os.PathLike[str]) -> dict[bytes, Pairs]:
    """The keys that are live, each with its pairs. Raises Corrupt and Refused."""
    place = Path(folder)
    store = unseal((place / "store").read_bytes())
    if store["smartpipe store"] != 1:
        raise Refused(f"a store of version {store['smartpipe store']}")
    numbers = [int(path.name) for path in (place / "manifest").iterdir() if path.name.isdigit()]
    manifest = unseal((place / "manifest" / str(max(numbers))).read_bytes())
    if (manifest["number"], manifest["store"]) != (max(numbers), store["id"]):
        raise Corrupt(f"manifest {manifest['number']} of store {manifest['store']}")
    latest: dict[bytes, tuple[int, Pairs | None]] = {}
    for listed in manifest["shards"]:
        for key, stamp, pairs in read_shard(place / listed["data"], int(listed["id"], 16), listed["codec"]):
            if key not in latest or stamp >= latest[key][0]:
                latest[key] = stamp, pairs
    return {key: pairs for key, (_, pairs) in latest.items() if pairs is not None}


def read_shard(path: Path, id: int, codec: int) -> list[tuple[bytes, int, Pairs | None]]:
    """Key, stamp and pairs of each block, None for the pairs of a tombstone, in the order of the file."""
    data = path.read_bytes()
    header = format2.read_file_header(data, shard=True)
    if (header.file_id, header.codec) != (id, codec):
        raise Corrupt(f"{path.name} is {header.file_id:016x} of codec {header.codec}")
    index = path.with_suffix(".idx")
    return format2.read(data, index.read_bytes() if index.exists() else None, shard=True).versions()


def unseal(data: bytes) -> dict[str, Any]:
    """An object of JSON on one line, the crc of that line on the next."""
    line, crc, rest = data.split(b"\n")
    if rest or crc != b"%08x" % zlib.crc32(line):
        raise Corrupt(f"crc {crc!r}")
    content: dict[str, Any] = json.loads(line)
    return content
