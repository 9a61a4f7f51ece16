"""The limit: compressed, zlib-ng's Python API in memory, a call per block; plain, a file; nothing else.

Blocks are joined to bytes beforehand, sizes and places are known, nothing is split into pairs, checked or looked up.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from zlib_ng import zlib_ng

from bench.corpus import Block
from bench.rivals.rival import LEVEL, Pairs, Rival, Store

LENGTH = struct.Struct("<I")
# With less room than this behind the last byte the package inflates slower: with none it doubles the buffer at the end.
SPARE = 320


def joined(pairs: dict[bytes, bytes]) -> bytes:
    """The bytes of a block: each key and value behind its length."""
    return b"".join(part for pair in pairs.items() for item in pair for part in (LENGTH.pack(len(item)), item))


class Alone(Rival):
    """The engine alone, or a file alone."""

    name = "limit"
    workloads = frozenset(("write", "read", "random"))

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.raw: list[bytes] = []
        self.streams: list[bytes] = []

    def prepare(self, blocks: list[Block]) -> None:
        if blocks is not self.blocks:
            self.blocks = blocks
            self.raw = [joined(pairs) for _, pairs in blocks]
            self.streams = []

    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        if compress:
            self.streams = [zlib_ng.compress(raw, LEVEL) for raw in self.raw]
            return
        with open(folder / "file", "wb", buffering=0) as file:
            file.writelines(self.raw)
            os.fdatasync(file.fileno())

    def open(self, folder: Path, compress: bool) -> Store:
        sizes = [len(raw) for raw in self.raw]
        keys = [key for key, _ in self.blocks]
        if not compress:
            return FileStore(folder / "file", keys, sizes)
        if not self.streams:
            self.write(folder, self.blocks, compress)
        return EngineStore(dict(zip(keys, zip(self.streams, sizes, strict=True), strict=True)))

    def size(self, pairs: dict[bytes, bytes]) -> int:
        return len(joined(pairs))


class EngineStore(Store):
    """Streams in memory."""

    def __init__(self, streams: dict[bytes, tuple[bytes, int]]) -> None:
        self.streams = streams

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        for key, (stream, size) in self.streams.items():
            yield key, ((b"", zlib_ng.decompress(stream, zlib_ng.MAX_WBITS, size + SPARE)),)

    def get(self, key: bytes) -> Pairs:
        stream, size = self.streams[key]
        return ((b"", zlib_ng.decompress(stream, zlib_ng.MAX_WBITS, size + SPARE)),)

    def close(self) -> None:
        self.streams = {}


class FileStore(Store):
    """A file whose places are known."""

    def __init__(self, path: Path, keys: list[bytes], sizes: list[int]) -> None:
        self.file = path.open("rb", buffering=0)
        self.places = {}
        end = 0
        for key, size in zip(keys, sizes, strict=True):
            self.places[key] = end, size
            end += size

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        self.file.seek(0)
        for key, (_, size) in self.places.items():
            yield key, ((b"", self.file.read(size)),)

    def get(self, key: bytes) -> Pairs:
        offset, size = self.places[key]
        return ((b"", os.pread(self.file.fileno(), size, offset)),)

    def close(self) -> None:
        self.file.close()
