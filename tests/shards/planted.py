"""Stores that are there without the code under test."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

from reference import format2, format2_writer

STORE = "0123456789abcdef"
Writer = format2_writer.Writer


def sealed(content: dict[str, object]) -> bytes:
    """FORMAT.md, «Stores»: JSON on one line, its crc on the next."""
    line = json.dumps(content).encode()
    return line + b"\n%08x\n" % zlib.crc32(line)


def shard(id: int, *, stamp: int = 1_700_000_000_000_000_000, codec: int = format2.NONE) -> Writer:
    return Writer(id, codec=codec, stamp=stamp, shard=True)


def plant(folder: str | os.PathLike[str], *shards: Writer, open: tuple[int, ...] = ()) -> Path:
    """Write a store of these shards; those with the ids in `open` are open."""
    place = Path(folder)
    (place / "manifest").mkdir(parents=True)
    (place / "store").write_bytes(sealed({"smartpipe store": 1, "id": STORE, "hash_key": "00" * 16, "codec": "none"}))
    listed = [
        {
            "id": f"{one.file_id:016x}",
            "data": f"{one.file_id:016x}.{'datz' if one.codec else 'dat'}",
            "codec": one.codec,
            "counter": open.index(one.file_id) + 1 if one.file_id in open else 0,
        }
        for one in shards
    ]
    (place / "manifest" / "1").write_bytes(sealed({"number": 1, "store": STORE, "shards": listed, "retired": []}))
    for name, size in (("keys.lock", 0), ("leases", 0), ("counters", 64 << 10)):
        (place / name).write_bytes(bytes(size))
    for one in shards:
        one.save(place / f"{one.file_id:016x}")
    return place


def data_of(folder: str | os.PathLike[str], key: bytes) -> Path:
    """The data file in which the bytes of a key lie."""
    return next(path for path in sorted(Path(folder).glob("*.dat*")) if key in path.read_bytes())


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
