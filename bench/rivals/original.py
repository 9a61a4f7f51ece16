"""The original SmartPipe, written anew from the description of what it does: pure Python, format 1, zlib.

A writer keeps the pairs of a block in memory until the next checkpoint. A reader has the index in memory as a list,
which a key is searched in, and takes pair after pair from the data file, or from a block that was inflated, until
its position is where the next block begins: that is what the index has both offsets for.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store, side_by_side

LENGTH = struct.Struct("<I")
PLACES = struct.Struct("<QQ")


class SmartPipeWriter:
    """Writes the data file block by block, and the index entry of each."""

    def __init__(self, prefix: Path, compress: bool, level: int) -> None:
        self.data = open(prefix.with_suffix(".datz" if compress else ".dat"), "wb")  # noqa: SIM115 - closed by close
        self.index = open(prefix.with_suffix(".idx"), "wb")  # noqa: SIM115
        self.compress = compress
        self.level = level
        self.block = BytesIO()
        self.raw = 0
        self.stored = 0

    def checkpoint(self, key: bytes) -> None:
        self.flush()
        self.index.write(LENGTH.pack(len(key)))
        self.index.write(key)
        self.index.write(PLACES.pack(self.stored, self.raw))

    def append(self, key: bytes, value: bytes) -> None:
        for item in (key, value):
            self.block.write(LENGTH.pack(len(item)))
            self.block.write(item)

    def flush(self) -> None:
        block = self.block.getvalue()
        if block:
            self.block = BytesIO()
            self.raw += len(block)
            if self.compress:
                block = zlib.compress(block, self.level)
            self.stored += len(block)
            self.data.write(block)

    def close(self) -> None:
        self.flush()
        self.data.close()
        self.index.close()


class Index:
    """All keys, and for each the places in the data file and in the uncompressed data."""

    def __init__(self, path: Path) -> None:
        self.keys: list[bytes] = []
        self.places: list[tuple[int, int]] = []
        with path.open("rb") as file:
            while length := file.read(4):
                self.keys.append(file.read(LENGTH.unpack(length)[0]))
                self.places.append(PLACES.unpack(file.read(16)))


class SmartPipeReader(Store):
    """Reads the blocks in turn, or goes to one that was searched."""

    def __init__(self, prefix: Path, threads: int = 1, index: Index | None = None) -> None:
        self.prefix = prefix
        self.threads = threads
        plain = prefix.with_suffix(".dat")
        self.compress = not plain.exists()
        path = prefix.with_suffix(".datz") if self.compress else plain
        self.size = path.stat().st_size
        self.data = path.open("rb")
        self.next = 0
        self.index = Index(prefix.with_suffix(".idx")) if index is None else index

    def pull_block(self, key: bytes | None = None) -> Pairs:
        places = self.index.places
        if key is not None:
            try:
                self.next = self.index.keys.index(key)
            except ValueError:
                return iter(())
            self.data.seek(places[self.next][0])
        begin = places[self.next][0]
        self.next += 1
        end = places[self.next][0] if self.next < len(places) else self.size
        if self.compress:
            raw = zlib.decompress(self.data.read(end - begin))
            return pairs(BytesIO(raw), len(raw))
        return pairs(self.data, end)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        if self.threads > 1:
            bounds = [len(self.index.keys) * part // self.threads for part in range(self.threads + 1)]
            return side_by_side([self.alone(begin, end) for begin, end in pairwise(bounds)])
        return self.part(0, len(self.index.keys))

    def alone(self, begin: int, end: int) -> Iterator[tuple[bytes, Pairs]]:
        """The blocks from one number to another, through a file of its own."""
        reader = SmartPipeReader(self.prefix, index=self.index)
        yield from reader.part(begin, end)
        reader.close()

    def part(self, begin: int, end: int) -> Iterator[tuple[bytes, Pairs]]:
        """The blocks from one number to another."""
        self.next = begin
        self.data.seek(self.index.places[begin][0])
        for key in self.index.keys[begin:end]:
            yield key, self.pull_block()

    def get(self, key: bytes) -> Pairs:
        return self.pull_block(key)

    def select(self, name: bytes) -> Iterator[bytes]:
        for _, block in self.read():
            for key, value in block:
                if key == name:
                    yield value

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return next(value for found, value in self.pull_block(key) if found == name)

    def has(self, key: bytes) -> bool:
        return key in self.index.keys

    def close(self) -> None:
        self.data.close()


def pairs(data: BinaryIO, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs up to the end of a block."""
    while data.tell() < end:
        key = data.read(LENGTH.unpack(data.read(4))[0])
        value = data.read(LENGTH.unpack(data.read(4))[0])
        yield key, value


class Original(Rival):
    """A pipe of the original."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        writer = SmartPipeWriter(folder / "pipe", self.form.codec != "none", self.form.level)
        for key, block in blocks:
            writer.checkpoint(key)
            for name, value in block.items():
                writer.append(name, value)
        writer.close()

    def open(self, folder: Path) -> Store:
        return SmartPipeReader(folder / "pipe", self.form.threads)
