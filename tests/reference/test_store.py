"""Stores that smartpipe wrote, read by the plain reader."""

from __future__ import annotations

import random
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smartpipe

from . import store as plain
from .format2 import Pairs

KEYS = [b"", b"\x00", *(b"key %d" % number for number in range(8))]
keys = st.sampled_from(KEYS)
values = st.builds(
    lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.sampled_from([0, 1, 90, 5000])
)
pairs = st.lists(st.tuples(st.sampled_from([b"", b"raw", b"log"]), values), max_size=3)
steps = st.one_of(
    st.tuples(st.just("put"), keys, pairs),
    st.tuples(st.just("many"), st.dictionaries(keys, pairs, max_size=5), st.none()),
    st.tuples(st.just("values"), st.dictionaries(keys, values, max_size=8), st.none()),
    st.tuples(st.just("delete"), keys, st.none()),
    st.tuples(st.just("compact"), st.none(), st.none()),
    st.tuples(st.just("reopen"), st.none(), st.none()),
)


@pytest.mark.parametrize("compress", [False, "zlib"])
@settings(max_examples=60, deadline=None)
@given(history=st.lists(steps, max_size=25))
def test_plain_reader_reads_smartpipe_stores(compress: Any, history: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        expected: dict[bytes, Pairs] = {}
        store = smartpipe.ShardStore(folder, compress=compress, shard_size=4000)
        for what, key, content in history:
            if what == "put":
                store.put(key, content, overwrite=True)
                expected[key] = content
            elif what == "many":
                store.put_many(key, overwrite=True)
                expected.update(key)
            elif what == "values":
                store.put_many(key, overwrite=True)
                expected.update({name: [(b"", value)] for name, value in key.items()})
            elif what == "compact":
                store.compact()
            elif what == "delete" and key in expected:
                store.delete(key)
                del expected[key]
            elif what == "reopen":
                store.close()
                store = smartpipe.ShardStore(folder, compress=compress, shard_size=4000)
        # Also while it is open: what was acknowledged is in the files, and the index behind.
        assert plain.read(folder) == expected
        store.close()
        assert plain.read(folder) == expected
        with smartpipe.ShardStore(folder, "r") as again:
            assert {key: list(block) for key, block in again.items()} == expected
            assert again.verify().ok
