"""diskcache: a cache in a folder, which keeps values of this size in SQLite. Nothing is evicted."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diskcache import Cache

from bench.rivals.objects import Objects
from bench.rivals.store import Keeper, Value, Values

SECONDS = 60  # how long one process waits for another


class Cached(Keeper):
    """A cache with its defaults, but for what limits it."""

    def cache(self, folder: Path) -> Cache:
        return Cache(str(folder), timeout=SECONDS, eviction_policy="none")

    def open(self, folder: Path, writes: bool) -> Values:
        return CachedValues(self.cache(folder))

    def open_objects(self, folder: Path, writes: bool) -> Objects:
        return CachedObjects(self.cache(folder))


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


class CachedObjects(Objects):
    """The same with Python values, which it pickles itself, under their numbers."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.get = cache.__getitem__
        self.close = cache.close

    def write(self, values: Iterable[Any]) -> None:
        put = self.cache.set
        for number, value in enumerate(values):
            put(number, value)

    def write_at_once(self, values: Iterable[Any]) -> None:
        with self.cache.transact():
            self.write(values)

    def read(self) -> Iterator[Any]:
        get = self.cache.__getitem__
        for number in self.cache:
            yield get(number)

    def names(self, values: Sequence[Any]) -> Sequence[int]:
        return range(len(values))
