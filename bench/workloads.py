"""What is measured: workloads, and who takes part in each."""

from collections.abc import Iterator
from dataclasses import dataclass

SELF = "smartpipe"
ORIGINAL = "original"

# What smartpipe calls its fastest level; the level of zstd that others take; and smartpipe's for lz4 as others use it.
FASTEST = 1
ZSTD = 3
LZ4 = 3

# How many blocks the stores have whose growth is measured, in a full run and in a quick one.
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_GROWTH = GROWTH[:3]
OPEN = (1_000_000, 10_000_000)
QUICK_OPEN = (200_000,)
# Who finds a block by its key. SQLite takes ten minutes to write the most of them, and is constant as LMDB is.
OPENED = (SELF, "original", "bagz", "LMDB, entry a block", "RocksDB", "SQLite")

# How many artifacts there are, and how many of them the goals are about; how many Python values; how many keys lie in
# many shards.
ARTIFACTS, GOAL_ARTIFACTS = 50_000, 30_000
QUICK_ARTIFACTS, QUICK_GOAL_ARTIFACTS = 5_000, 3_000
OBJECTS, QUICK_OBJECTS = 50_000, 2_000
KEYS, QUICK_KEYS = 1_000_000, 200_000


def is_own(rival: str) -> bool:
    """Whether a contender is smartpipe itself."""
    return rival.startswith(("pipe.", "shards.", "artifact_store."))


@dataclass(frozen=True)
class Entrant:
    """Who does what, and how: `rival` is `file.Class` of bench/rivals, `action` one of child.py's or keeping.py's; on
    the first `count` blocks, or on all."""

    name: str
    rival: str
    action: str
    codec: str = "none"
    level: int = 6
    threads: int = 1
    count: int = 0
    processes: int = 1

    @property
    def own(self) -> bool:
        return is_own(self.rival)

    @property
    def fills(self) -> bool:
        """Whether it begins with an empty folder."""
        return self.action.startswith(("write", "put"))

    @property
    def limit(self) -> bool:
        """Whether this is no contender but what lies beneath."""
        return self.rival.startswith("limits.")

    @property
    def store(self) -> str:
        """The name of the folder that a reading entrant reads."""
        return f"{self.rival}-{self.codec}-{self.level}-{self.count}"


@dataclass(frozen=True)
class Workload:
    """What is compared with one another. `unit` is what the tables show: MB/s, million pairs/s, µs a block, or ms."""

    name: str
    title: str
    data: str
    unit: str
    entrants: tuple[Entrant, ...]


PLAIN = (
    ("original", "original.Original"),
    ("msgpack", "stream.Stream"),
    ("bagz", "bagz.Bag"),
    ("ArrayRecord", "array_record.Records"),
    ("MCAP", "mcap.Messages"),
    ("FastWARC", "fastwarc.Archive"),
    ("warcio", "warcio.Archive"),
    ("WebDataset", "webdataset.Tar"),
    ("LMDB, entry a pair", "lmdb.PerPair"),
    ("LMDB, entry a block", "lmdb.PerBlock"),
    ("RocksDB", "rocksdb.Database"),
    ("SQLite", "sqlite.Database"),
    ("Arrow IPC", "arrow.Ipc"),
    ("Parquet", "arrow.Parquet"),
)
OWN_COMPRESSED = (
    ("smartpipe zlib 6", "pipe.Pipe", "deflate", 6, 1),
    ("smartpipe zlib 6, 2 threads", "pipe.Pipe", "deflate", 6, 2),
    ("smartpipe zlib 1", "pipe.Pipe", "deflate", FASTEST, 1),
    ("smartpipe zlib 1, 2 threads", "pipe.Pipe", "deflate", FASTEST, 2),
    ("smartpipe zstd", "pipe.Pipe", "zstd", ZSTD, 1),
    ("smartpipe zstd, 2 threads", "pipe.Pipe", "zstd", ZSTD, 2),
    ("smartpipe lz4", "pipe.Pipe", "lz4", LZ4, 1),
)
COMPRESSED = (
    ("original zlib 6", "original.Original", "deflate", 6, 1),
    ("FastWARC gzip 6", "fastwarc.Archive", "deflate", 6, 1),
    ("FastWARC gzip 1", "fastwarc.Archive", "deflate", 1, 1),
    ("FastWARC lz4", "fastwarc.Archive", "lz4", 1, 1),
    ("warcio gzip", "warcio.Archive", "deflate", 6, 1),
    ("bagz zstd 3", "bagz.Bag", "zstd", ZSTD, 1),
    ("ArrayRecord zstd 3", "array_record.Records", "zstd", ZSTD, 1),
    ("MCAP zstd", "mcap.Messages", "zstd", ZSTD, 1),
    ("MCAP lz4", "mcap.Messages", "lz4", 1, 1),
    ("WebDataset tar.gz", "webdataset.Tar", "deflate", 6, 1),
    ("msgpack, zlib-ng 6", "stream.Stream", "deflate", 6, 1),
    ("LMDB, zlib-ng 6", "lmdb.PerPair", "deflate", 6, 1),
    ("RocksDB zstd", "rocksdb.Database", "zstd", ZSTD, 1),
    ("RocksDB lz4", "rocksdb.Database", "lz4", 1, 1),
    ("SQLite, zlib-ng 6", "sqlite.Database", "deflate", 6, 1),
    ("Arrow IPC zstd", "arrow.Ipc", "zstd", ZSTD, 1),
    ("Arrow IPC lz4", "arrow.Ipc", "lz4", 1, 1),
    ("Parquet zstd", "arrow.Parquet", "zstd", ZSTD, 1),
)
ENGINES = (
    ("zlib-ng 6 alone", "limits.ZlibNg", "deflate", 6, 1),
    ("libdeflate 6 alone", "limits.Libdeflate", "deflate", 6, 1),
    ("libdeflate 1 alone", "limits.Libdeflate", "deflate", 1, 1),
    ("ISA-L 1 alone", "limits.Isal", "deflate", 1, 1),
    ("zstd 3 alone", "limits.Zstd", "zstd", ZSTD, 1),
    ("lz4 alone", "limits.Lz4", "lz4", 1, 1),
)
TWO_THREADS = (
    ("original zlib 6, 2 threads", "original.Original", "deflate", 6, 2),
    ("FastWARC gzip 6, 2 threads", "fastwarc.Archive", "deflate", 6, 2),
    ("bagz zstd 3, 2 threads", "bagz.Bag", "zstd", ZSTD, 2),
    ("ArrayRecord zstd 3, 2 threads", "array_record.Records", "zstd", ZSTD, 2),
    ("Arrow IPC zstd, 2 threads", "arrow.Ipc", "zstd", ZSTD, 2),
)
SMALL = ("original", "msgpack", "bagz", "LMDB, entry a pair", "LMDB, entry a block", "RocksDB", "SQLite")
COLUMNS = (("Arrow IPC", "arrow.Ipc"), ("Parquet", "arrow.Parquet"))


# Who keeps artifacts, how, and whether in bulk too.
KEPT = (
    ("smartpipe", "shards.Shards", "none", 6),
    ("smartpipe zlib 6", "shards.Shards", "deflate", 6),
    ("smartpipe zstd", "shards.Shards", "zstd", ZSTD),
    ("a gzip file each", "files.Gzipped", "deflate", 9),
    ("tarn's folders", "files.Tarn", "none", 6),
    ("diskcache", "disk_cache.Cached", "none", 6),
    ("SQLite", "sqlite.Single", "none", 6),
    ("SQLite, zlib-ng 6", "sqlite.Single", "deflate", 6),
    ("LMDB", "lmdb.Single", "none", 6),
    ("LMDB, zlib-ng 6", "lmdb.Single", "deflate", 6),
)
# It takes a millisecond for each.
LMDB_SYNCED = ("LMDB, each synced", "lmdb.Synced", "none", 6)
FEW = 10
SQLITE_SNAPSHOT = ("SQLite, in one transaction", "sqlite.Snapshot", "none", 6)
IN_BULK = ("shards.", "disk_cache.", "sqlite.", "lmdb.")
COMPACTING = ("shards.", "sqlite.", "lmdb.")
PROCESSES = (1, 4)
# Whose several processes would say nothing that others do not.
ALONE = ("smartpipe zstd", "SQLite, zlib-ng 6", "LMDB, zlib-ng 6", "LMDB, each synced", "SQLite, in one transaction")


def kept(
    action: str,
    kept: tuple[tuple[str, str, str, int], ...],
    processes: tuple[int, ...] = PROCESSES,
    count: int = 0,
) -> tuple[Entrant, ...]:
    """Whoever keeps artifacts, in one process and in several."""
    return tuple(
        Entrant(f"{name}, {n} processes" if n > 1 else name, rival, action, codec, level, count=count, processes=n)
        for n in processes
        for name, rival, codec, level in kept
        if n == 1 or name not in ALONE
    )


def only(*files: str) -> tuple[tuple[str, str, str, int], ...]:
    return tuple(entry for entry in KEPT if entry[1].startswith(files))


def artifacts(goals: int) -> tuple[Workload, ...]:
    """Return what is measured of stores of artifacts, once more of so many with which the goals are about."""
    return (
        Workload(
            "artifacts-put",
            "Put artifacts one by one",
            "artifacts",
            "µs",
            (*kept("put", KEPT), *kept("put", (LMDB_SYNCED,), count=goals // FEW)),
        ),
        Workload("artifacts-put-many", "Put artifacts in bulk", "artifacts", "µs", kept("put_many", only(*IN_BULK))),
        Workload(
            "artifacts-get", "Get artifacts at random", "artifacts", "µs", kept("get_bytes", (*KEPT, SQLITE_SNAPSHOT))
        ),
        Workload("artifacts-items", "Read all artifacts in order", "artifacts", "µs", kept("items", KEPT)),
        Workload("artifacts-delete", "Delete half of the artifacts", "artifacts", "µs", kept("delete", KEPT)),
        Workload(
            "artifacts-compact",
            "Compact after half was deleted",
            "artifacts",
            "ms",
            kept("compact", only(*COMPACTING), (1,)),
        ),
        *(
            Workload(
                f"artifacts-goal-{name}",
                f"{title} {goals:,} artifacts, one process",
                "artifacts",
                "µs",
                kept(action, tuple(entry for entry in KEPT if entry[0] in names), (1,), goals),
            )
            for name, title, action, names in (
                ("put", "Put", "put", ("smartpipe", "a gzip file each", "SQLite")),
                ("put-many", "Put in bulk", "put_many", ("smartpipe", "SQLite")),
                ("get", "Get at random", "get_bytes", ("smartpipe", "SQLite")),
            )
        ),
    )


# Who keeps Python values, how, and with which level of deflate.
SHARDS = "smartpipe Shards, gzip 2"
FILES = "smartpipe Files, gzip 2"
GZIP = "a gzip file each, gzip 9"
PICKLED = (
    (SHARDS, "artifact_store.Shards", "deflate", 2),
    (FILES, "artifact_store.Files", "deflate", 2),
    (GZIP, "files.Gzipped", "deflate", 9),
    ("a gzip file each, by gzip.open, gzip 9", "files.Opened", "deflate", 9),
    ("tarn's folders", "files.Tarn", "none", 6),
    ("joblib.dump, zlib 3", "joblib.Dumps", "deflate", 3),
    ("joblib.dump", "joblib.Dumps", "none", 6),
    ("diskcache", "disk_cache.Cached", "none", 6),
    ("SQLite, zlib-ng 6", "sqlite.Single", "deflate", 6),
    ("SQLite", "sqlite.Single", "none", 6),
    ("LMDB, zlib-ng 6", "lmdb.Single", "deflate", 6),
    ("LMDB", "lmdb.Single", "none", 6),
)
# What they write with another level takes as long to read.
OTHER_LEVELS = (
    ("smartpipe Shards, gzip 6", "artifact_store.Shards", "deflate", 6),
    ("a gzip file each, gzip 6", "files.Gzipped", "deflate", 6),
)
AT_ONCE = ("disk_cache.", "sqlite.", "lmdb.")
NAMED = (SHARDS, FILES, GZIP)
COLD = (SHARDS, FILES, GZIP, "tarn's folders", "diskcache", "SQLite, zlib-ng 6", "LMDB, zlib-ng 6")
SNAPSHOTS = (
    ("SQLite, zlib-ng 6, in one transaction", "sqlite.Snapshot", "deflate", 6),
    ("SQLite, in one transaction", "sqlite.Snapshot", "none", 6),
)


def objects(count: int) -> tuple[Workload, ...]:
    """Return what is measured of stores of Python values. Archives of one value each are written of fewer."""

    def entrants(
        action: str, *groups: tuple[str, str, str, int], how: str = "", most: int = count
    ) -> Iterator[Entrant]:
        for name, rival, codec, level in groups:
            yield Entrant(f"{name}{how}", rival, action, codec, level, count=most)

    at_once = (entry for entry in PICKLED if entry[1].startswith(AT_ONCE))
    named = (entry for entry in PICKLED if entry[0] in NAMED)
    return (
        Workload(
            "objects-write",
            f"Pickle and write {count:,} Python values",
            "objects",
            "µs",
            (
                *entrants("write", *PICKLED, *OTHER_LEVELS),
                *entrants("write_at_once", *at_once, how=", in one transaction"),
                *entrants("write_named", *named, how=", an archive for each", most=count // FEW),
            ),
        ),
        Workload(
            "objects-read",
            f"Read and unpickle {count:,} Python values in order",
            "objects",
            "µs",
            tuple(entrants("read_objects", *PICKLED)),
        ),
        Workload(
            "objects-get",
            f"Read and unpickle {count:,} Python values at random",
            "objects",
            "µs",
            tuple(entrants("get_objects", *PICKLED, *SNAPSHOTS)),
        ),
        Workload(
            "objects-cold",
            f"Open, and read and unpickle {count:,} Python values at random, from the disk",
            "objects",
            "µs",
            tuple(entrants("get_cold", *(entry for entry in PICKLED if entry[0] in COLD))),
        ),
    )


def plain(action: str, names: tuple[str, ...] | None = None) -> tuple[Entrant, ...]:
    return tuple(Entrant(name, rival, action) for name, rival in PLAIN if names is None or name in names)


def compressed(action: str, *groups: tuple[tuple[str, str, str, int, int], ...]) -> tuple[Entrant, ...]:
    return tuple(
        Entrant(name, rival, action, codec, level, threads)
        for group in groups
        for name, rival, codec, level, threads in group
    )


def limits(action: str) -> tuple[Entrant, ...]:
    call = "write()" if action == "write" else "read()"
    return Entrant("memcpy", "limits.Memory", action), Entrant(f"{call} of 1 MiB", "limits.File", action)


def by_key(names: tuple[tuple[str, str, str, int], ...]) -> tuple[Entrant, ...]:
    """All pairs of one block and one small pair of it."""
    return tuple(
        Entrant(f"{name}, {what}", rival, action, codec, level)
        for action, what in (("pair", "one small pair"), ("get", "all pairs"))
        for name, rival, codec, level in names
    )


def workloads(quick: bool) -> tuple[Workload, ...]:
    """Return everything that is measured."""
    growth, opened = (QUICK_GROWTH, QUICK_OPEN) if quick else (GROWTH, OPEN)
    keys = QUICK_KEYS if quick else KEYS
    return (
        Workload(
            "write-plain",
            "Write pages, plain",
            "pages",
            "MB/s",
            (
                Entrant(SELF, "pipe.Pipe", "write"),
                Entrant("smartpipe, pair by pair", "pipe.Pipe", "write_pairs"),
                *plain("write"),
                *limits("write"),
            ),
        ),
        Workload(
            "write-compressed",
            "Write pages, compressed",
            "pages",
            "MB/s",
            compressed("write", OWN_COMPRESSED, COMPRESSED, ENGINES),
        ),
        Workload(
            "read-plain",
            "Read all pairs of pages, plain",
            "pages",
            "MB/s",
            (
                Entrant(SELF, "pipe.Pipe", "read"),
                Entrant("smartpipe, 2 threads", "pipe.Pipe", "read", threads=2),
                *plain("read"),
                *limits("read"),
            ),
        ),
        Workload(
            "read-compressed",
            "Read all pairs of pages, compressed",
            "pages",
            "MB/s",
            (
                *compressed("read", OWN_COMPRESSED),
                Entrant("smartpipe lz4, 2 threads", "pipe.Pipe", "read", "lz4", LZ4, 2),
                *compressed("read", COMPRESSED, TWO_THREADS, ENGINES),
            ),
        ),
        Workload(
            "select-plain",
            "Read one small pair of every page, plain",
            "pages",
            "µs",
            (
                Entrant(SELF, "pipe.Pipe", "select"),
                Entrant("smartpipe, all pairs", "pipe.Pipe", "read"),
                *plain("select"),
            ),
        ),
        Workload(
            "select-compressed",
            "Read one small pair of every page, compressed",
            "pages",
            "µs",
            (
                Entrant("smartpipe zlib 6", "pipe.Pipe", "select", "deflate"),
                Entrant("smartpipe zlib 6, all pairs", "pipe.Pipe", "read", "deflate"),
                *compressed("select", COMPRESSED),
            ),
        ),
        Workload(
            "key-plain",
            "One page by key, plain, p50",
            "pages",
            "µs",
            by_key(
                (
                    (SELF, "pipe.Pipe", "none", 6),
                    ("original", "original.Original", "none", 6),
                    ("bagz", "bagz.Bag", "none", 6),
                    ("FastWARC", "fastwarc.Archive", "none", 6),
                    ("LMDB, entry a pair", "lmdb.PerPair", "none", 6),
                    ("LMDB, entry a block", "lmdb.PerBlock", "none", 6),
                    ("RocksDB", "rocksdb.Database", "none", 6),
                    ("SQLite", "sqlite.Database", "none", 6),
                )
            ),
        ),
        Workload(
            "key-compressed",
            "One page by key, compressed, p50",
            "pages",
            "µs",
            by_key(
                (
                    ("smartpipe zlib 6", "pipe.Pipe", "deflate", 6),
                    ("smartpipe zstd", "pipe.Pipe", "zstd", ZSTD),
                    ("original zlib 6", "original.Original", "deflate", 6),
                    ("bagz zstd 3", "bagz.Bag", "zstd", ZSTD),
                    ("FastWARC gzip 6", "fastwarc.Archive", "deflate", 6),
                    ("LMDB, zlib-ng 6", "lmdb.PerPair", "deflate", 6),
                    ("RocksDB zstd", "rocksdb.Database", "zstd", ZSTD),
                    ("SQLite, zlib-ng 6", "sqlite.Database", "deflate", 6),
                )
            ),
        ),
        Workload(
            "write-small",
            "Write small pairs, plain",
            "small",
            "million pairs/s",
            (
                Entrant(SELF, "pipe.Pipe", "write"),
                Entrant("smartpipe, pair by pair", "pipe.Pipe", "write_pairs"),
                Entrant("smartpipe, columns", "pipe.Pipe", "write_columns"),
                *plain("write", SMALL),
                *(Entrant(name, rival, "write") for name, rival in COLUMNS),
            ),
        ),
        Workload(
            "read-small",
            "Read small pairs, plain",
            "small",
            "million pairs/s",
            (
                Entrant(SELF, "pipe.Pipe", "read"),
                Entrant("smartpipe, columns", "pipe.Pipe", "columns"),
                *plain("read", SMALL),
                *(Entrant(name, rival, "read") for name, rival in COLUMNS),
                *(Entrant(f"{name}, columns", rival, "columns") for name, rival in COLUMNS),
            ),
        ),
        *(
            Workload(
                f"open-{count}",
                f"Open {count:,} keys and find one",
                "keys",
                "ms",
                tuple(
                    Entrant(name, rival, "open", count=count)
                    for name, rival in ((SELF, "pipe.Pipe"), *PLAIN)
                    if name in OPENED and (name != "SQLite" or count < OPEN[-1])
                ),
            )
            for count in opened
        ),
        *(
            Workload(
                f"grow-{action}",
                f"{action.capitalize()} tiny blocks, by their number",
                "keys",
                "µs",
                tuple(
                    Entrant(f"{name}, {count:,}", rival, action, count=count)
                    for count in growth
                    for name, rival, most in (
                        (SELF, "pipe.Pipe", growth[-1]),
                        ("original", "original.Original", growth[-1] // 10),
                        ("LMDB, entry a block", "lmdb.PerBlock", growth[-1] // 10),
                    )
                    if count <= most
                ),
            )
            for action in ("write", "read")
        ),
        *artifacts(QUICK_GOAL_ARTIFACTS if quick else GOAL_ARTIFACTS),
        *objects(QUICK_OBJECTS if quick else OBJECTS),
        Workload(
            "shards",
            f"Open {keys:,} keys in 30 shards and find one",
            "keys",
            "ms",
            (
                Entrant("one pipe", "pipe.Pipe", "keys", count=keys),
                Entrant("30 shards", "shards.Thirty", "keys", count=keys),
                Entrant("30 shards, 8 live writers", "shards.Thirty", "keys_written", count=keys),
            ),
        ),
    )
