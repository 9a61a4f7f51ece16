"""A store against a dict: two stores of one folder in turn, which are closed and opened again, compacted and collected.

After each step both have what the dict has.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torture.harness import MEMORY

import smartpipe
from smartpipe import ShardStore

# Few keys, so that they are met again.
KEYS = st.sampled_from([b"", b"a", b"a/1", b"a/2", b"b", b"\xff" * 40, *(b"%d" % number for number in range(6))])
VALUES = st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * 3000, bytes(range(256)) * 30]))
PAIRS = st.lists(st.tuples(st.sampled_from([b"", b"raw", b"log"]), VALUES), max_size=4)
CODECS = st.sampled_from([None, "zlib", "zstd", "lz4"])
WHICH = st.integers(0, 1)

Pairs = list[tuple[bytes, bytes]]


class Machine(RuleBasedStateMachine):
    stores: list[ShardStore]

    @initialize(codecs=st.tuples(CODECS, CODECS), size=st.sampled_from([1, 4000, 1 << 28]))
    def begin(self, codecs: tuple[Any, Any], size: int) -> None:
        self.path = tempfile.mkdtemp(prefix="smartpipe-model-", dir=MEMORY)
        self.options = [{"compress": codec, "shard_size": size, "level": 1, "durability": "none"} for codec in codecs]
        self.stores = [ShardStore(self.path, **options) for options in self.options]
        self.model: dict[bytes, Pairs] = {}

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            for store in self.stores:
                store.close()
            with ShardStore(self.path, mode="r") as store:
                assert {key: list(block) for key, block in store.items()} == self.model
            shutil.rmtree(self.path)

    @rule(which=WHICH, key=KEYS, pairs=PAIRS, overwrite=st.booleans())
    def put(self, which: int, key: bytes, pairs: Pairs, overwrite: bool) -> None:
        if overwrite or self.model.get(key, pairs) == pairs:
            self.stores[which].put(key, pairs, overwrite=overwrite)
            self.model[key] = pairs
        else:
            with pytest.raises(smartpipe.CollisionError):
                self.stores[which].put(key, pairs)

    @rule(which=WHICH, key=KEYS, value=VALUES)
    def put_bytes(self, which: int, key: bytes, value: bytes) -> None:
        self.stores[which].put_bytes(key, value, overwrite=True)
        self.model[key] = [(b"", value)]

    @rule(which=WHICH, blocks=st.lists(st.tuples(KEYS, PAIRS), max_size=8))
    def put_many(self, which: int, blocks: list[tuple[bytes, Pairs]]) -> None:
        self.stores[which].put_many(blocks, overwrite=True)
        self.model.update(blocks)

    @rule(which=WHICH, blocks=st.dictionaries(KEYS, PAIRS, max_size=5))
    def put_many_that_are_new(self, which: int, blocks: dict[bytes, Pairs]) -> None:
        new = {key: pairs for key, pairs in blocks.items() if key not in self.model}
        same = {key: self.model[key] for key in blocks if key in self.model}
        assert self.stores[which].put_many({**same, **new}) == len(new)
        self.model.update(new)

    @rule(which=WHICH, blocks=st.dictionaries(KEYS, VALUES, max_size=10))
    def put_many_values(self, which: int, blocks: dict[bytes, bytes]) -> None:
        self.stores[which].put_many(blocks, overwrite=True)
        self.model.update({key: [(b"", value)] for key, value in blocks.items()})

    @rule(which=WHICH, key=KEYS)
    def delete(self, which: int, key: bytes) -> None:
        if key in self.model:
            self.stores[which].delete(key)
            del self.model[key]
        else:
            with pytest.raises(smartpipe.BlockNotFound):
                self.stores[which].delete(key)

    @rule(which=WHICH, keys=st.lists(KEYS, max_size=6, unique=True))
    def get_many(self, which: int, keys: list[bytes]) -> None:
        found = {key: None if block is None else list(block) for key, block in self.stores[which].get_many(keys)}
        assert found == {key: self.model.get(key) for key in keys}

    @rule(which=WHICH, prefix=st.sampled_from([b"", b"a", b"a/", b"7"]))
    def keys(self, which: int, prefix: bytes) -> None:
        keys = list(self.stores[which].keys(prefix=prefix))
        assert sorted(keys) == sorted(key for key in self.model if key.startswith(prefix))

    @rule(which=WHICH)
    def open_again(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = ShardStore(self.path, **self.options[which])

    @rule(which=WHICH)
    def leave_without_closing(self, which: int) -> None:
        self.stores[which] = ShardStore(self.path, **self.options[which])

    @rule(which=WHICH)
    def refresh(self, which: int) -> None:
        self.stores[which].refresh()

    @rule(which=WHICH, how=st.sampled_from(["flush", "sync"]))
    def flush(self, which: int, how: str) -> None:
        getattr(self.stores[which], how)()

    @rule(which=WHICH, dead=st.sampled_from([0.0, 0.5]))
    def compact(self, which: int, dead: float) -> None:
        self.stores[which].compact(dead=dead)

    @rule(which=WHICH)
    def collect(self, which: int) -> None:
        self.stores[which].gc(grace=0)

    @precondition(lambda self: hasattr(self, "stores"))
    @invariant()
    def both_have_what_the_dict_has(self) -> None:
        for store, threads in zip(self.stores, (1, 2), strict=True):
            assert len(store) == len(self.model)
            assert {key: list(block) for key, block in store.items(threads=threads)} == self.model
            for key, pairs in self.model.items():
                assert key in store
                assert list(store[key]) == pairs
            assert sorted(entry.key for entry in store.entries()) == sorted(self.model)
            stats = store.stats()
            assert sum(entry.stored for entry in store.entries()) == stats["live_bytes"]
            assert stats["keys"] == len(self.model)
            assert 0 <= stats["dead_bytes"] <= stats["data_bytes"]


Machine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
test_a_store_is_a_dict = Machine.TestCase
