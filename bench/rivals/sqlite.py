"""SQLite: a row per pair, with a write-ahead log; and as a store of single values, a row for each."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from bench.corpus import Block
from bench.rivals.packed import packer, unpacker
from bench.rivals.rival import GROUP, Form, Pairs, Rival, Store, groups
from bench.rivals.store import Keeper, Value, Values

# Rows hold whole pages: SQLite's own advice for values of this size.
PAGE = 8192
CACHE = 256 << 10  # KiB: what its users raise first
SECONDS = 60  # how long one process waits for another
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


class Single(Keeper):
    """A row per value. What is put, got or deleted is a transaction of its own, so that others see it at once."""

    def begin(self, folder: Path) -> None:
        database = sqlite3.connect(folder / "values.db", isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE artifacts (key BLOB PRIMARY KEY, value BLOB)")
        database.close()

    def open(self, folder: Path, writes: bool) -> Values:
        return Rows(folder / "values.db", self.form)


class Rows(Values):
    """A database that is read and written."""

    def __init__(self, path: Path, form: Form) -> None:
        self.database = sqlite3.connect(path, isolation_level=None, timeout=SECONDS)
        self.database.execute(f"PRAGMA cache_size = -{CACHE}")
        self.database.execute("PRAGMA mmap_size = 1099511627776")
        self.database.execute("PRAGMA synchronous = NORMAL")
        self.execute = self.database.execute
        self.stored, self.value = packer(form), unpacker(form)

    def put(self, key: bytes, value: bytes) -> None:
        self.execute("INSERT INTO artifacts VALUES (?, ?)", (key, self.stored(value)))

    def put_many(self, values: Iterable[Value]) -> None:
        stored = self.stored
        self.execute("BEGIN IMMEDIATE")
        rows = ((key, stored(value)) for key, value in values)
        self.database.executemany("INSERT INTO artifacts VALUES (?, ?)", rows)
        self.execute("COMMIT")

    def get(self, key: bytes) -> bytes:
        return self.value(self.execute("SELECT value FROM artifacts WHERE key = ?", (key,)).fetchone()[0])

    def items(self) -> Iterator[Value]:
        value = self.value
        for key, stored in self.execute("SELECT key, value FROM artifacts ORDER BY rowid"):
            yield key, value(stored)

    def delete(self, key: bytes) -> None:
        self.execute("DELETE FROM artifacts WHERE key = ?", (key,))

    def compact(self) -> None:
        self.execute("VACUUM")

    def close(self) -> None:
        self.database.close()


class Snapshot(Single):
    """The same, read in one transaction, which does not see what others put meanwhile."""

    def open(self, folder: Path, writes: bool) -> Values:
        rows = Rows(folder / "values.db", self.form)
        if not writes:
            rows.execute("BEGIN")
        return rows
