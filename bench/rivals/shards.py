"""smartpipe's store of shards."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import smartpipe
from bench.corpus import Block, Keys
from bench.rivals.pipe import CODECS
from bench.rivals.rival import Rival, Store, groups
from bench.rivals.store import Keeper, Value, Values

SHARDS = 30
SHARD_SIZE = 256 << 20  # bytes: the default


class Shards(Keeper):
    """A store that many processes may have open."""

    def create(self, folder: Path, shard_size: int = SHARD_SIZE) -> smartpipe.ShardStore:
        return smartpipe.ShardStore(
            folder / "store", compress=CODECS[self.form.codec], level=self.form.level, shard_size=shard_size
        )

    def open(self, folder: Path, writes: bool) -> Values:
        return ShardValues(self.create(folder) if writes else smartpipe.ShardStore(folder / "store", "r"))


class ShardValues(Values):
    """A store that is open."""

    def __init__(self, store: smartpipe.ShardStore) -> None:
        self.store = store
        self.put = store.put_bytes
        self.get = store.get_bytes
        self.delete = store.delete
        self.put_many = store.put_many

    def items(self) -> Iterator[Value]:
        for key, block in self.store.items():
            yield key, block[b""]

    def compact(self) -> None:
        self.store.compact()
        # Nobody else has the store open.
        self.store.gc(grace=0)

    def close(self) -> None:
        self.store.close()


class Thirty(Rival):
    """The blocks of a pipe in so many shards: all but the last are full, and never change."""

    def create(self, folder: Path, shard_size: int = SHARD_SIZE) -> smartpipe.ShardStore:
        return Shards(self.form).create(folder, shard_size)

    def open(self, folder: Path) -> Store:
        return BlockStore(smartpipe.ShardStore(folder / "store", "r"))

    def write(self, folder: Path, blocks: Keys) -> None:
        parts = groups(blocks, -(-blocks.count // SHARDS))
        first = next(parts)
        size = self.size_of(folder / "first", first)
        # A shard is full when it has what one part takes: then the next call begins another.
        with self.create(folder, size) as store:
            store.put_many(first)
            for part in parts:
                store.put_many(part)
            found = store.stats()["shards"]
        if found != SHARDS:
            raise RuntimeError(f"the keys are in {found} shards, not in {SHARDS}")

    def size_of(self, folder: Path, blocks: list[Block]) -> int:
        """How many bytes a shard with some blocks has before it is closed."""
        folder.mkdir()
        with self.create(folder) as store:
            store.put_many(blocks)
            size = store.stats()["data_bytes"]
        shutil.rmtree(folder)
        return size


class BlockStore(Store):
    """A store that is read as a pipe is."""

    def __init__(self, store: smartpipe.ShardStore) -> None:
        self.get = store.__getitem__
        self.has = store.__contains__
        self.count = store.__len__
        self.close = store.close
