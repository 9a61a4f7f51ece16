"""The original SmartPipe, written anew from the description of what it does: pure Python, format 1, zlib.

A writer keeps the pairs of a block until the next checkpoint; a reader has the index in memory as a list, which a key
is searched in, and takes pair after pair from the data file, or from a block that was inflated whole.
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
        self.parts: list[bytes] = []
        self.raw = 0
        self.stored = 0

    def checkpoint(self, key: bytes) -> None:
        self.flush()
        self.index.write(LENGTH.pack(len(key)))
        self.index.write(key)
        self.index.write(PLACES.pack(self.stored, self.raw))

    def append(self, key: bytes, value: bytes) -> None:
        self.parts += (LENGTH.pack(len(key)), key, LENGTH.pack(len(value)), value)

    def flush(self) -> None:
        if self.parts:
            block = b"".join(self.parts)
            self.parts = []
            self.raw += len(block)
            if self.compress:
                block = zlib.compress(block, self.level)
            self.stored += len(block)
            self.data.write(block)

    def close(self) -> None:
        self.flush()
        self.data.close()
        self.index.close()


class SmartPipeReader(Store):
    """Reads the blocks in turn, or goes to one that was searched."""

    def __init__(self, prefix: Path, threads: int = 1, index: list[tuple[bytes, int, int]] | None = None) -> None:
        self.prefix = prefix
        self.threads = threads
        plain = prefix.with_suffix(".dat")
        self.compress = not plain.exists()
        path = prefix.with_suffix(".datz") if self.compress else plain
        self.size = path.stat().st_size
        self.data = path.open("rb")
        self.next = 0
        self.index = self.read_index() if index is None else index

    def read_index(self) -> list[tuple[bytes, int, int]]:
        index = []
        with self.prefix.with_suffix(".idx").open("rb") as file:
            while length := file.read(4):
                key = file.read(LENGTH.unpack(length)[0])
                index.append((key, *PLACES.unpack(file.read(16))))
        return index

    def find(self, key: bytes) -> int | None:
        return next((number for number, entry in enumerate(self.index) if entry[0] == key), None)

    def pull_block(self, key: bytes | None = None) -> Pairs:
        if key is not None:
            found = self.find(key)
            if found is None:
                return iter(())
            self.next = found
            self.data.seek(self.index[found][1])
        begin = self.index[self.next][1]
        self.next += 1
        end = self.index[self.next][1] if self.next < len(self.index) else self.size
        if self.compress:
            raw = zlib.decompress(self.data.read(end - begin))
            return pairs(BytesIO(raw), len(raw))
        return pairs(self.data, end - begin)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        if self.threads > 1:
            bounds = [len(self.index) * part // self.threads for part in range(self.threads + 1)]
            return side_by_side([self.alone(begin, end) for begin, end in pairwise(bounds)])
        return self.part(0, len(self.index))

    def alone(self, begin: int, end: int) -> Iterator[tuple[bytes, Pairs]]:
        """The blocks from one number to another, through a file of its own."""
        reader = SmartPipeReader(self.prefix, index=self.index)
        yield from reader.part(begin, end)
        reader.close()

    def part(self, begin: int, end: int) -> Iterator[tuple[bytes, Pairs]]:
        """The blocks from one number to another."""
        self.next = begin
        self.data.seek(self.index[begin][1])
        for key, _, _ in self.index[begin:end]:
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
        return self.find(key) is not None

    def close(self) -> None:
        self.data.close()


def pairs(file: BinaryIO, left: int) -> Iterator[tuple[bytes, bytes]]:
    """The pairs of a block."""
    while left:
        key = file.read(LENGTH.unpack(file.read(4))[0])
        value = file.read(LENGTH.unpack(file.read(4))[0])
        left -= 8 + len(key) + len(value)
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
