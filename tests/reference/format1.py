"""Format 1, read and written the slow way. FORMAT.md, *Format 1*."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Pairs = list[tuple[bytes, bytes]]

LENGTH = struct.Struct("<I")
OFFSETS = struct.Struct("<QQ")


class Corrupt(Exception):
    """The bytes are not what the format says."""


@dataclass(frozen=True)
class Entry:
    """A block as the index lists it."""

    key: bytes
    offset: int
    raw_offset: int


def read_index(index: bytes) -> list[Entry]:
    """All whole entries; an index that ends within an entry is read up to there."""
    entries = []
    at = 0
    while LENGTH.size <= len(index) - at:
        (length,) = LENGTH.unpack_from(index, at)
        if LENGTH.size + length + OFFSETS.size > len(index) - at:
            break
        key = index[at + LENGTH.size : at + LENGTH.size + length]
        entries.append(Entry(key, *OFFSETS.unpack_from(index, at + LENGTH.size + length)))
        at += LENGTH.size + length + OFFSETS.size
    return entries


def read_pairs(raw: bytes) -> Pairs:
    """The pairs of a block from its inflated bytes."""
    pairs = []
    at = 0
    while at < len(raw):
        key, at = _read_string(raw, at)
        value, at = _read_string(raw, at)
        pairs.append((key, value))
    return pairs


def _read_string(raw: bytes, at: int) -> tuple[bytes, int]:
    if LENGTH.size > len(raw) - at:
        raise Corrupt(f"block ends at {len(raw)}, within the length at {at}")
    (length,) = LENGTH.unpack_from(raw, at)
    begin = at + LENGTH.size
    if length > len(raw) - begin:
        raise Corrupt(f"block ends at {len(raw)}, within the {length} bytes at {begin}")
    return raw[begin : begin + length], begin + length


def inflate(stored: bytes) -> bytes:
    """The bytes of a block of a .datz: one zlib stream with nothing behind it, or no bytes for no pairs."""
    if not stored:
        return b""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(stored)
    except zlib.error as error:
        raise Corrupt(str(error)) from error
    if not stream.eof or stream.unused_data:
        raise Corrupt("not exactly one zlib stream")
    return raw


def read(data: bytes, index: bytes, *, compressed: bool) -> list[tuple[bytes, Pairs]]:
    """All blocks, in the order of the file. Raises Corrupt."""
    entries = read_index(index)
    blocks = []
    raw_offset = entries[0].raw_offset if entries else 0
    for number, entry in enumerate(entries, 1):
        end = entries[number].offset if number < len(entries) else len(data)
        if not entry.offset <= end <= len(data):
            raise Corrupt(f"block {entry.key!r} from {entry.offset} to {end} in a file of {len(data)} bytes")
        if entry.raw_offset != raw_offset:
            raise Corrupt(f"block {entry.key!r} at raw offset {entry.raw_offset}, expected {raw_offset}")
        stored = data[entry.offset : end]
        raw = inflate(stored) if compressed else stored
        raw_offset += len(raw)
        blocks.append((entry.key, read_pairs(raw)))
    return blocks


def write_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The bytes of a block before compression."""
    return b"".join(LENGTH.pack(len(part)) + part for pair in pairs for part in pair)


def write(
    blocks: Iterable[tuple[bytes, Iterable[tuple[bytes, bytes]]]],
    *,
    compressed: bool,
    deflate: Callable[[bytes], bytes] = zlib.compress,
) -> tuple[bytes, bytes]:
    """The data file and the index of a pipe with these blocks."""
    data = bytearray()
    index = bytearray()
    raw_offset = 0
    for key, pairs in blocks:
        raw = write_pairs(pairs)
        index += LENGTH.pack(len(key)) + key + OFFSETS.pack(len(data), raw_offset)
        data += deflate(raw) if compressed and raw else raw
        raw_offset += len(raw)
    return bytes(data), bytes(index)
