"""RocksDB, through rocksdict: an entry per pair, under block key, zero, pair key, in batches, without its log."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rocksdict import AccessType, DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from bench.corpus import Block
from bench.rivals.rival import GROUP, Form, Pairs, Rival, Store, groups

KINDS = {"none": DBCompressionType.none, "zstd": DBCompressionType.zstd, "lz4": DBCompressionType.lz4}


def options(form: Form) -> Options:
    made = Options(raw_mode=True)
    made.create_if_missing(True)
    made.set_compression_type(KINDS[form.codec]())
    return made


class Database(Rival):
    """A database of one column family."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        database = Rdict(str(folder / "db"), options(self.form))
        without_log = WriteOptions()
        without_log.disable_wal = True
        for group in groups(blocks, GROUP // 10):
            batch = WriteBatch(raw_mode=True)
            for key, pairs in group:
                for name, value in pairs.items():
                    batch.put(key + b"\0" + name, value)
            database.write(batch, without_log)
        database.flush()
        database.close()

    def open(self, folder: Path) -> Store:
        return DatabaseStore(folder / "db", self.form)


class DatabaseStore(Store):
    """A database that is read."""

    def __init__(self, path: Path, form: Form) -> None:
        self.database = Rdict(str(path), options(form), access_type=AccessType.read_only())

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        block = None
        pairs: list[tuple[bytes, bytes]] = []
        for place, value in self.database.items():
            key, _, name = place.partition(b"\0")
            if key != block:
                if block is not None:
                    yield block, pairs
                block, pairs = key, []
            pairs.append((name, value))
        if block is not None:
            yield block, pairs

    def get(self, key: bytes) -> Pairs:
        start = key + b"\0"
        pairs = []
        for place, value in self.database.items(from_key=start):
            if not place.startswith(start):
                break
            pairs.append((place[len(start) :], value))
        return pairs

    def select(self, name: bytes) -> Iterator[bytes]:
        end = b"\0" + name
        for place, value in self.database.items():
            if place.endswith(end):
                yield value

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        value: bytes = self.database[key + b"\0" + name]
        return value

    def has(self, key: bytes) -> bool:
        start = key + b"\0"
        return next((place.startswith(start) for place in self.database.keys(from_key=start)), False)

    def close(self) -> None:
        self.database.close()
