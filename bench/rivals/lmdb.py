"""LMDB: an entry per pair, under block key, zero, pair key. The order of blocks is the order of their keys."""

from collections.abc import Iterator
from pathlib import Path

import lmdb

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store
from bench.rivals.values import pack, unpack

MOST = 1 << 36  # bytes of address space; the file grows as it is needed


class Lmdb(Rival):
    """An LMDB environment; a transaction per block, or one for all."""

    def __init__(self, name: str, per_block: bool) -> None:
        self.name = name
        self.per_block = per_block
        if not per_block:
            self.workloads = frozenset(("write",))

    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        # Without sync a commit hands its pages to the system, as smartpipe's write does; the end syncs.
        with lmdb.open(str(folder), map_size=MOST, sync=False) as environment:
            for group in [[block] for block in blocks] if self.per_block else [blocks]:
                with environment.begin(write=True) as transaction:
                    for key, pairs in group:
                        for name, value in pairs.items():
                            transaction.put(key + b"\0" + name, pack(value) if compress else value)
            environment.sync(True)

    def open(self, folder: Path, compress: bool) -> Store:
        return LmdbStore(folder, compress)


class LmdbStore(Store):
    """An environment that is read in one transaction."""

    def __init__(self, folder: Path, compress: bool) -> None:
        self.environment = lmdb.open(str(folder), map_size=MOST, readonly=True, lock=False)
        self.transaction = self.environment.begin(buffers=True)
        self.value = unpack if compress else bytes

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        value = self.value
        block = None
        pairs: list[tuple[bytes, bytes]] = []
        for place, stored in self.transaction.cursor():
            key, _, name = bytes(place).partition(b"\0")
            if key != block:
                if block is not None:
                    yield block, pairs
                block, pairs = key, []
            pairs.append((name, value(stored)))
        if block is not None:
            yield block, pairs

    def get(self, key: bytes) -> Pairs:
        start = key + b"\0"
        cursor = self.transaction.cursor()
        pairs = []
        if cursor.set_range(start):
            for place, stored in cursor:
                if place[: len(start)] != start:
                    break
                pairs.append((bytes(place[len(start) :]), self.value(stored)))
        return pairs

    def select(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        end = b"\0" + name
        for place, stored in self.transaction.cursor():
            if place[-len(end) :] == end:
                yield bytes(place[: -len(end)]), self.value(stored)

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return self.value(self.transaction.get(key + b"\0" + name, default=b""))

    def close(self) -> None:
        self.transaction.abort()
        self.environment.close()
