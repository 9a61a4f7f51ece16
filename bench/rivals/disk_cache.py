"""diskcache: a cache in a folder, which keeps values of this size in SQLite. Nothing is evicted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from diskcache import Cache

from bench.rivals.store import Keeper, Value, Values

SECONDS = 60  # how long one process waits for another


class Cached(Keeper):
    """A cache with its defaults, but for what limits it."""

    def open(self, folder: Path, writes: bool) -> Values:
        return CachedValues(Cache(str(folder), timeout=SECONDS, eviction_policy="none"))


class CachedValues(Values):
    """A cache that is open."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.put = cache.set
        self.get = cache.__getitem__
        self.delete = cache.__delitem__
        self.close = cache.close

    def put_many(self, values: Iterable[Value]) -> None:
        put = self.cache.set
        with self.cache.transact():
            for key, value in values:
                put(key, value)

    def items(self) -> Iterator[Value]:
        get = self.cache.__getitem__
        for key in self.cache:
            yield key, get(key)
