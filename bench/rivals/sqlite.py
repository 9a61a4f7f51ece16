"""SQLite: a row per pair, with a write-ahead log."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from bench.corpus import Block
from bench.rivals.packed import packer, unpacker
from bench.rivals.rival import GROUP, Form, Pairs, Rival, Store, groups

# Rows hold whole pages: SQLite's own advice for values of this size.
PAGE = 8192
CACHE = 256 << 10  # KiB: what its users raise first
TABLE = "CREATE TABLE pairs (block BLOB, name BLOB, value BLOB, PRIMARY KEY (block, name))"


class Database(Rival):
    """A database of one table."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        compress = packer(self.form)
        database = sqlite3.connect(folder / "pairs.db", isolation_level=None)
        database.execute(f"PRAGMA page_size = {PAGE}")
        database.execute(f"PRAGMA cache_size = -{CACHE}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute(TABLE)
        for group in groups(blocks, GROUP):
            database.execute("BEGIN")
            rows = ((key, name, compress(value)) for key, pairs in group for name, value in pairs.items())
            database.executemany("INSERT INTO pairs VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")
        database.close()

    def open(self, folder: Path) -> Store:
        return DatabaseStore(folder / "pairs.db", self.form)


class DatabaseStore(Store):
    """A database that is read."""

    def __init__(self, path: Path, form: Form) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA mmap_size = 1099511627776")
        self.database.execute("BEGIN")
        self.value = unpacker(form)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        value = self.value
        rows = self.database.execute("SELECT block, name, value FROM pairs ORDER BY rowid")
        for key, group in groupby(rows, itemgetter(0)):
            yield key, [(name, value(stored)) for _, name, stored in group]

    def get(self, key: bytes) -> Pairs:
        value = self.value
        rows = self.database.execute("SELECT name, value FROM pairs WHERE block = ? ORDER BY rowid", (key,))
        return [(name, value(stored)) for name, stored in rows]

    def select(self, name: bytes) -> Iterator[bytes]:
        value = self.value
        for (stored,) in self.database.execute("SELECT value FROM pairs WHERE name = ? ORDER BY rowid", (name,)):
            yield value(stored)

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        row = self.database.execute("SELECT value FROM pairs WHERE block = ? AND name = ?", (key, name)).fetchone()
        return self.value(row[0])

    def has(self, key: bytes) -> bool:
        return self.database.execute("SELECT 1 FROM pairs WHERE block = ? LIMIT 1", (key,)).fetchone() is not None

    def close(self) -> None:
        self.database.close()
