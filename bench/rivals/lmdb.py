"""LMDB, in two layouts: an entry per pair, under block key, zero, pair key; or an entry per block, packed. And as a
store of single values.

The order of blocks is the order of their keys.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import lmdb
import msgpack

from bench.corpus import Block
from bench.rivals.packed import pack, packer, unpacker
from bench.rivals.rival import GROUP, Form, Pairs, Rival, Store, groups
from bench.rivals.store import Keeper, Value, Values

MOST = 1 << 36  # bytes of address space; the file grows as it is needed
DATA = "data.mdb"


def entries_of_pairs(blocks: Iterable[Block], compress: Callable[[bytes], bytes]) -> Iterator[tuple[bytes, bytes]]:
    for key, pairs in blocks:
        for name, value in pairs.items():
            yield key + b"\0" + name, compress(value)


def entries_of_blocks(blocks: Iterable[Block], compress: Callable[[bytes], bytes]) -> Iterator[tuple[bytes, bytes]]:
    for key, pairs in blocks:
        yield key, compress(pack(pairs))


class PerPair(Rival):
    """An environment with an entry per pair."""

    entries = staticmethod(entries_of_pairs)

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        compress = packer(self.form)
        with lmdb.open(str(folder), map_size=MOST, sync=False) as environment:
            for group in groups(blocks, GROUP):
                with environment.begin(write=True) as transaction:
                    transaction.cursor().putmulti(self.entries(group, compress))

    def open(self, folder: Path) -> Store:
        return PairStore(folder, self.form)


class PerBlock(PerPair):
    """An environment with an entry per block."""

    entries = staticmethod(entries_of_blocks)

    def open(self, folder: Path) -> Store:
        return BlockStore(folder, self.form)


class Environment(Store):
    """An environment that is read in one transaction."""

    def __init__(self, folder: Path, form: Form) -> None:
        self.environment = lmdb.open(str(folder), map_size=MOST, readonly=True, lock=False)
        self.transaction = self.environment.begin(buffers=True)
        self.value = unpacker(form)

    def close(self) -> None:
        self.transaction.abort()
        self.environment.close()


class PairStore(Environment):
    """Entries that are pairs."""

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

    def select(self, name: bytes) -> Iterator[bytes]:
        end = b"\0" + name
        for place, stored in self.transaction.cursor():
            if place[-len(end) :] == end:
                yield self.value(stored)

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return self.value(self.transaction.get(key + b"\0" + name))

    def has(self, key: bytes) -> bool:
        cursor = self.transaction.cursor()
        return bool(cursor.set_range(key + b"\0")) and cursor.key()[: len(key)] == key


class BlockStore(Environment):
    """Entries that are blocks."""

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        value = self.value
        for key, stored in self.transaction.cursor():
            yield bytes(key), msgpack.unpackb(value(stored), raw=True).items()

    def get(self, key: bytes) -> Pairs:
        pairs: dict[bytes, bytes] = msgpack.unpackb(self.value(self.transaction.get(key)), raw=True)
        return pairs.items()

    def has(self, key: bytes) -> bool:
        return self.transaction.get(key) is not None


class Single(Keeper):
    """An entry per value. What is put, got or deleted is a transaction of its own, so that others see it at once."""

    syncs = False

    def open(self, folder: Path, writes: bool) -> Values:
        return Entries(folder, self.form, self.syncs, writes)


class Synced(Single):
    """The same as lmdb does it if nothing is said: each transaction waits for the disk."""

    syncs = True


class Entries(Values):
    """An environment that is read and written."""

    def __init__(self, folder: Path, form: Form, syncs: bool, writes: bool) -> None:
        self.folder = folder
        self.environment = lmdb.open(str(folder), map_size=MOST, sync=syncs, readonly=not writes)
        self.begin = self.environment.begin
        self.stored, self.value = packer(form), unpacker(form)
        self.close = self.environment.close

    def put(self, key: bytes, value: bytes) -> None:
        with self.begin(write=True) as transaction:
            transaction.put(key, self.stored(value), overwrite=False)

    def put_many(self, values: Iterable[Value]) -> None:
        stored = self.stored
        with self.begin(write=True) as transaction:
            transaction.cursor().putmulti(((key, stored(value)) for key, value in values), overwrite=False)

    def get(self, key: bytes) -> bytes:
        with self.begin(buffers=True) as transaction:
            return self.value(transaction.get(key))

    def items(self) -> Iterator[Value]:
        value = self.value
        with self.begin(buffers=True) as transaction:
            for key, stored in transaction.cursor():
                yield bytes(key), value(stored)

    def delete(self, key: bytes) -> None:
        with self.begin(write=True) as transaction:
            transaction.delete(key)

    def compact(self) -> None:
        # What lmdb has for it: a copy, which takes the place of the file when nobody has that open.
        with TemporaryDirectory(dir=self.folder) as aside:
            self.environment.copy(aside, compact=True)
            self.environment.close()
            os.replace(Path(aside) / DATA, self.folder / DATA)
