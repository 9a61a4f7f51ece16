"""SQLite: a row per pair, with a write-ahead log."""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from bench.corpus import Block
from bench.rivals.rival import Pairs, Rival, Store
from bench.rivals.values import pack, unpack

# Rows hold whole pages: SQLite's own advice for values of this size.
PAGE = 8192
TABLE = "CREATE TABLE pairs (block BLOB, name BLOB, value BLOB, PRIMARY KEY (block, name))"


class Sqlite(Rival):
    """A database of one table; a transaction per block, or one for all."""

    def __init__(self, name: str, per_block: bool) -> None:
        self.name = name
        self.per_block = per_block
        if not per_block:
            self.workloads = frozenset(("write",))

    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        database = sqlite3.connect(folder / "pairs.db", isolation_level=None)
        database.execute(f"PRAGMA page_size = {PAGE}")
        # A commit hands the log to the system, as smartpipe's write does; the log is synced when it is merged.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(TABLE)
        for group in [[block] for block in blocks] if self.per_block else [blocks]:
            database.execute("BEGIN")
            for key, pairs in group:
                database.executemany(
                    "INSERT INTO pairs VALUES (?, ?, ?)",
                    [(key, name, pack(value) if compress else value) for name, value in pairs.items()],
                )
            database.execute("COMMIT")
        database.close()

    def open(self, folder: Path, compress: bool) -> Store:
        return SqliteStore(folder / "pairs.db", compress)


class SqliteStore(Store):
    """A database that is read."""

    def __init__(self, path: Path, compress: bool) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("PRAGMA mmap_size = 1099511627776")
        self.database.execute("BEGIN")
        self.value = unpack if compress else bytes

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        value = self.value
        rows = self.database.execute("SELECT block, name, value FROM pairs ORDER BY rowid")
        for key, group in groupby(rows, itemgetter(0)):
            yield key, [(name, value(stored)) for _, name, stored in group]

    def get(self, key: bytes) -> Pairs:
        value = self.value
        rows = self.database.execute("SELECT name, value FROM pairs WHERE block = ? ORDER BY rowid", (key,))
        return [(name, value(stored)) for name, stored in rows]

    def select(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        value = self.value
        for key, stored in self.database.execute(
            "SELECT block, value FROM pairs WHERE name = ? ORDER BY rowid", (name,)
        ):
            yield key, value(stored)

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        row = self.database.execute("SELECT value FROM pairs WHERE block = ? AND name = ?", (key, name)).fetchone()
        return self.value(row[0])

    def close(self) -> None:
        self.database.close()
