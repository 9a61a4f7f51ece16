"""What each call of a store promises."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container.process import run
from container.together import Together

import smartpipe
from smartpipe import ShardStore
from smartpipe._platform import disk

Pairs = list[tuple[bytes, bytes]]

PAIRS: Pairs = [(b"raw", b"<html>" + bytes(range(256)) * 40), (b"log", b"ok"), (b"log", b"again"), (b"", b"")]
LARGE = bytes(range(256)) * 256

# None, zlib, and what is installed; with each the same is promised.
CODECS = [None, True, "zlib", "zstd", "lz4"]
DURABILITIES = ["none", "close", "block", smartpipe.Grouped(milliseconds=1, bytes=4096)]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where no store is yet."""
    return str(tmp_path / "store")


@pytest.fixture
def store(path: str) -> Iterator[ShardStore]:
    with ShardStore(path) as store:
        yield store


def content(store: ShardStore) -> dict[bytes, Pairs]:
    return {key: list(block) for key, block in store.items()}


def data_files(path: str) -> list[str]:
    return sorted(name for name in os.listdir(path) if name.endswith((".dat", ".datz")))


def data_bytes(path: str) -> int:
    return sum(os.path.getsize(os.path.join(path, name)) for name in data_files(path))


# One key


def test_what_was_put_is_got(store: ShardStore) -> None:
    store.put(b"key", PAIRS)
    block = store[b"key"]
    assert block.key == b"key"
    assert list(block) == PAIRS
    assert list(store.get(b"key") or ()) == PAIRS


@pytest.mark.parametrize("pairs", [PAIRS, tuple(PAIRS), iter(PAIRS)], ids=["list", "tuple", "iterator"])
def test_pairs_are_any_iterable(store: ShardStore, pairs: Any) -> None:
    store.put(b"key", pairs)
    assert list(store[b"key"]) == PAIRS


def test_pairs_are_a_mapping(store: ShardStore) -> None:
    store.put(b"key", {b"a": b"1", b"b": b"2"})
    assert list(store[b"key"]) == [(b"a", b"1"), (b"b", b"2")]


def test_a_block_without_pairs_is_there(store: ShardStore) -> None:
    store.put(b"key", [])
    assert b"key" in store
    assert list(store[b"key"]) == []


@pytest.mark.parametrize("key", [b"", b"\x00\xff/..", b"k" * 5000], ids=["empty", "binary", "long"])
def test_keys_are_any_bytes(store: ShardStore, key: bytes) -> None:
    store.put_bytes(key, b"value")
    assert store.get_bytes(key) == b"value"
    assert list(store) == [key]


def test_a_key_is_any_buffer(store: ShardStore) -> None:
    store.put(bytearray(b"key"), [(memoryview(b"a"), bytearray(b"1"))])
    assert list(store[memoryview(b"key")]) == [(b"a", b"1")]
    assert bytearray(b"key") in store
    store.delete(memoryview(b"key"))
    assert b"key" not in store


def test_single_values_are_one_pair_with_an_empty_key(store: ShardStore) -> None:
    store.put_bytes(b"key", LARGE)
    assert store.get_bytes(b"key") == LARGE
    assert list(store[b"key"]) == [(b"", LARGE)]


def test_get_bytes_of_several_pairs_gives_the_one_with_the_empty_key(store: ShardStore) -> None:
    store.put(b"with", [(b"a", b"1"), (b"", b"2"), (b"b", b"3")])
    store.put(b"without", [(b"a", b"1"), (b"b", b"3")])
    assert store.get_bytes(b"with") == b"2"
    with pytest.raises(smartpipe.PairNotFound) as caught:
        store.get_bytes(b"without", b"default")
    assert caught.value.block == b"without"


def test_a_missing_key_is_an_error_or_the_default(store: ShardStore, path: str) -> None:
    assert store.get(b"missing") is None
    assert store.get(b"missing", 7) == 7
    assert store.get_bytes(b"missing", b"default") == b"default"
    assert store.get_bytes(b"missing", None) is None  # type: ignore[call-overload]
    assert b"missing" not in store
    for call in (lambda: store[b"missing"], lambda: store.get_bytes(b"missing"), lambda: store.delete(b"missing")):
        with pytest.raises(smartpipe.BlockNotFound) as caught:
            call()
        assert isinstance(caught.value, KeyError)
        assert caught.value.path == path
        assert caught.value.block == b"missing"


# Written once


def test_other_content_under_a_key_is_a_collision(store: ShardStore, path: str) -> None:
    store.put_bytes(b"key", b"value")
    for pairs in ([(b"", b"other")], [], [(b"a", b"value")], [(b"", b"value"), (b"", b"value")]):
        with pytest.raises(smartpipe.CollisionError) as caught:
            store.put(b"key", pairs)
        assert caught.value.path == path
        assert caught.value.block == b"key"
    assert store.get_bytes(b"key") == b"value"
    assert len(store) == 1


def test_the_order_of_pairs_is_content(store: ShardStore) -> None:
    store.put(b"key", [(b"a", b"1"), (b"b", b"2")])
    with pytest.raises(smartpipe.CollisionError):
        store.put(b"key", [(b"b", b"2"), (b"a", b"1")])


@pytest.mark.parametrize("codec", [None, "zlib"])
def test_the_same_content_again_writes_nothing(path: str, codec: Any) -> None:
    with ShardStore(path, compress=codec) as store:
        store.put(b"key", PAIRS)
        size = data_bytes(path)
        store.put(b"key", PAIRS)
        store.put(b"key", iter(PAIRS))
        assert store.put_many([(b"key", PAIRS)]) == 0
        assert data_bytes(path) == size
    with ShardStore(path, compress="lz4") as store:
        store.put(b"key", PAIRS)  # compressed otherwise, and the same content
        assert content(store) == {b"key": PAIRS}


def test_overwrite_lets_the_latest_count(store: ShardStore) -> None:
    for number in range(20):
        store.put_bytes(b"key", b"%d" % number, overwrite=True)
        assert store.get_bytes(b"key") == b"%d" % number
    assert len(store) == 1
    assert content(store) == {b"key": [(b"", b"19")]}


def test_a_deleted_key_is_missing_and_may_be_put_again(store: ShardStore) -> None:
    store.put(b"key", PAIRS)
    store.put_bytes(b"other", b"stays")
    store.delete(b"key")
    assert b"key" not in store
    assert store.get(b"key") is None
    assert list(store) == [b"other"]
    assert len(store) == 1
    with pytest.raises(smartpipe.BlockNotFound):
        store.delete(b"key")
    store.put_bytes(b"key", b"another content")  # no collision with what was deleted
    assert store.get_bytes(b"key") == b"another content"
    assert len(store) == 2


def test_to_delete_what_is_not_there_writes_nothing(store: ShardStore, path: str) -> None:
    store.put_bytes(b"key", b"value")
    store.delete(b"key")
    size = data_bytes(path)
    for key in (b"key", b"never"):
        with pytest.raises(smartpipe.BlockNotFound):
            store.delete(key)
    assert data_bytes(path) == size


def test_a_tombstone_is_small_whatever_was_put_before(store: ShardStore, path: str) -> None:
    store.put(b"key", PAIRS)
    store.put(b"other", [(b"k", LARGE)])
    size = data_bytes(path)
    store.delete(b"key")
    assert data_bytes(path) - size < 100
    store.put(b"more", [])
    assert list(store[b"more"]) == []


# Many keys


def test_keys_with_a_prefix(store: ShardStore) -> None:
    for key in (b"a/1", b"a/2", b"b/1", b"a", b""):
        store.put_bytes(key, b"")
    store.delete(b"a/2")
    assert sorted(store.keys()) == sorted(store) == [b"", b"a", b"a/1", b"b/1"]
    assert sorted(store.keys(prefix=b"a")) == [b"a", b"a/1"]
    assert sorted(store.keys(b"a/")) == [b"a/1"]
    assert list(store.keys(prefix=b"c")) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_items_are_what_counts(path: str, threads: int) -> None:
    expected: dict[bytes, Pairs] = {}
    with ShardStore(path, shard_size=10_000, compress=True) as store:
        for number in range(300):
            key = b"%d" % (number % 200)
            expected[key] = [(b"n", b"%d" % number), (b"text", b"%d" % number * 200)]
            store.put(key, expected[key], overwrite=True)
        for number in range(0, 200, 7):
            store.delete(b"%d" % number)
            del expected[b"%d" % number]
        assert len(data_files(path)) > 2
        found = [(key, block.key, list(block)) for key, block in store.items(threads=threads, readahead=4096)]
        assert len(found) == len(expected)
        assert {key: pairs for key, _, pairs in found} == expected
        assert all(key == other for key, other, _ in found)


@pytest.mark.parametrize("threads", [1, 3])
def test_items_may_be_of_some_pairs_only(store: ShardStore, threads: int) -> None:
    store.put(b"one", PAIRS)
    store.put(b"two", [(b"raw", LARGE)])
    assert {key: list(block) for key, block in store.items(select=[b"log"], threads=threads)} == {
        b"one": [(b"log", b"ok"), (b"log", b"again")],
        b"two": [],
    }


SHORT = """
import resource, sys
import smartpipe

items = smartpipe.ShardStore(sys.argv[1], mode="r").items(threads=int(sys.argv[2]), readahead=1)
next(items)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (30 << 20), resource.RLIM_INFINITY))
try:
    next(items)
except MemoryError:
    print("no memory")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(*[(key.decode(), [len(value) >> 20 for _, value in block]) for key, block in items])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell how much memory is in use")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_block_for_which_there_was_no_memory_is_read_again(path: str, threads: int) -> None:
    with ShardStore(path, compress=True, level=1) as store:
        for key, pairs in ((b"a", []), (b"b", [(b"1", bytes(50 << 20)), (b"2", bytes(50 << 20))]), (b"c", [])):
            store.put(key, pairs)
    assert run(SHORT, path, threads).splitlines() == ["no memory", "('b', [50, 50]) ('c', [])"]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_block_is_an_error_and_all_others_are_given(path: str, threads: int) -> None:
    with ShardStore(path) as store:
        for number in range(30):
            store.put_bytes(b"%d" % number, b"value %d " % number * 20)
    (name,) = data_files(path)
    damage(os.path.join(path, name), b"value 7 value 7")
    with ShardStore(path, mode="r") as store:
        errors: list[Exception] = []
        found = {key: block[b""] for key, block in store.items(on_error=errors.append, threads=threads)}
        assert found == {b"%d" % number: b"value %d " % number * 20 for number in range(30) if number != 7}
        (error,) = errors
        assert isinstance(error, smartpipe.CorruptError)
        assert error.block == b"7"
        assert os.path.basename(str(error.path)) == name
        assert len(list(store.items(on_error="skip", threads=threads))) == 29
        with pytest.raises(smartpipe.CorruptError):
            list(store.items(threads=threads))
        with pytest.raises(smartpipe.CorruptError):
            store.get_bytes(b"7")
        assert store.get_bytes(b"8") == b"value 8 " * 20
        errors.clear()
        many = dict(store.get_many([b"6", b"7", b"8"], on_error=errors.append))
        assert sorted(many) == [b"6", b"8"]
        assert [error.block for error in errors] == [b"7"]  # type: ignore[attr-defined]


def damage(path: str, what: bytes) -> None:
    with open(path, "r+b") as file:
        place = file.read().index(what)
        file.seek(place + 3)
        file.write(b"X")


def test_get_many_goes_through_the_files_once(path: str) -> None:
    with ShardStore(path, shard_size=3000) as store:
        written = [b"%d" % number for number in range(60)]
        for key in written:
            store.put_bytes(key, key * 50)
        store.delete(b"7")
        wanted = [b"5", b"59", b"0", b"7", b"missing", b"31"]
        found = list(store.get_many(wanted))
        assert {key: None if block is None else block[b""] for key, block in found} == {
            key: None if key in (b"7", b"missing") else key * 50 for key in wanted
        }
        assert [key for key, _ in found][-2:] == [b"7", b"missing"]  # what is missing is last
    with ShardStore(path, shard_size=1 << 20) as store:
        again = [b"again %d" % number for number in range(20)]
        store.put_many({key: key for key in again})
        assert [key for key, _ in store.get_many(reversed(again))] == again


def test_get_many_gives_a_key_as_often_as_it_is_asked_for(store: ShardStore) -> None:
    store.put_bytes(b"a", b"1")
    store.put_bytes(b"b", b"2")
    found = [(key, None if block is None else block[b""]) for key, block in store.get_many([b"b", b"a", b"b", b"c"])]
    assert sorted(found, key=str) == [(b"a", b"1"), (b"b", b"2"), (b"b", b"2"), (b"c", None)]


def test_put_many_takes_mappings_pairs_and_single_values(store: ShardStore) -> None:
    assert store.put_many({b"a": b"1", b"b": PAIRS, b"c": {b"k": b"v"}}) == 3
    assert store.put_many((key, iter([(b"n", key)])) for key in (b"d", b"e")) == 2
    assert store.put_many([(b"f", bytearray(b"2")), (b"g", ())]) == 2
    assert store.put_many([]) == 0
    assert content(store) == {
        b"a": [(b"", b"1")],
        b"b": PAIRS,
        b"c": [(b"k", b"v")],
        b"d": [(b"n", b"d")],
        b"e": [(b"n", b"e")],
        b"f": [(b"", b"2")],
        b"g": [],
    }


def test_put_many_counts_what_was_not_there(store: ShardStore) -> None:
    store.put_bytes(b"a", b"1")
    assert store.put_many([(b"a", b"1"), (b"b", b"2"), (b"b", b"2")]) == 1
    assert store.put_many([(b"a", b"3"), (b"b", b"4")], overwrite=True) == 2
    assert content(store) == {b"a": [(b"", b"3")], b"b": [(b"", b"4")]}


def test_put_many_of_a_key_twice_is_as_two_puts(store: ShardStore) -> None:
    with pytest.raises(smartpipe.CollisionError):
        store.put_many([(b"a", b"1"), (b"a", b"2"), (b"b", b"3")])
    assert content(store) == {b"a": [(b"", b"1")]}
    store.put_many([(b"a", b"3"), (b"a", b"4"), (b"c", b"5"), (b"a", b"6")], overwrite=True)
    assert content(store) == {b"a": [(b"", b"6")], b"c": [(b"", b"5")]}


def test_put_many_of_more_than_is_written_at_once(store: ShardStore) -> None:
    expected = {b"%d" % number: b"%d" % number * 3 for number in range(9000)}
    assert store.put_many(expected) == 9000
    assert len(store) == 9000
    assert {key: block[b""] for key, block in store.items()} == expected
    large = {b"large %d" % number: LARGE for number in range(40)}
    assert store.put_many(large) == 40
    assert all(store.get_bytes(key) == LARGE for key in large)


def test_put_many_up_to_where_the_iterable_raises(path: str) -> None:
    def blocks(count: int) -> Iterator[tuple[bytes, bytes]]:
        for number in range(count):
            yield b"%d" % number, b"%d" % number * 3
        raise RuntimeError("half way")

    for count in (3, 9000):
        place = f"{path}{count}"
        with ShardStore(place) as store:
            with pytest.raises(RuntimeError, match="half way"):
                store.put_many(blocks(count))
            # What is there is whole, the first ones, and they are there for everybody; and it goes on.
            keys = set(store)
            assert keys == {b"%d" % number for number in range(len(keys))}
            assert all(store.get_bytes(key) == key * 3 for key in keys)
            store.put_bytes(b"more", b"1", overwrite=True)
            with ShardStore(place, mode="r") as other:
                assert set(other) == keys | {b"more"}
            store.put_many({b"%d" % number: b"%d" % number * 3 for number in range(count)})
            assert len(store) == count + 1


@pytest.mark.parametrize("bad", [("key", b"1"), (b"x", "text"), (b"x", 7), (b"x", [(b"k", "v")])], ids=str)
def test_put_many_with_what_is_no_block(store: ShardStore, bad: Any) -> None:
    with pytest.raises(TypeError):
        store.put_many([(b"a", b"1"), bad, (b"c", b"3")])
    assert set(store) <= {b"a"}
    store.put_many({b"a": b"1", b"x": b"2"})
    assert content(store) == {b"a": [(b"", b"1")], b"x": [(b"", b"2")]}


def test_len_and_in_count_keys_and_not_records(store: ShardStore) -> None:
    assert len(store) == 0
    for number in range(10):
        store.put_bytes(b"%d" % number, b"1")
        store.put_bytes(b"%d" % number, b"2", overwrite=True)
    store.delete(b"3")
    store.delete(b"4")
    store.put_bytes(b"4", b"3")
    assert len(store) == 9
    assert [number for number in range(12) if b"%d" % number in store] == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_an_iterator_goes_on_while_the_store_changes(store: ShardStore) -> None:
    for number in range(500):
        store.put_bytes(b"%d" % number, b"old")
    keys, items = store.keys(), store.items()
    first, (begun, _) = next(keys), next(items)
    for number in range(500):
        store.put_bytes(b"%d" % number, b"new", overwrite=True)
    store.put_bytes(b"more", b"1")
    expected = {b"%d" % number for number in range(500)}
    assert {first, *keys} == expected
    assert {begun, *(key for key, _ in items)} == expected


# Shards


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec(path: str, codec: Any) -> None:
    blocks = {b"%d" % number: [(b"n", b"%d" % number), (b"t", b"text %d " % number * 300)] for number in range(20)}
    for _ in range(2):
        with ShardStore(path, compress=codec, level=1) as store:
            for key, pairs in blocks.items():
                store.put(key, pairs)
            assert content(store) == blocks
    with ShardStore(path, mode="r") as store:
        assert content(store) == blocks
    assert [name.endswith(".datz") for name in data_files(path)] == [codec is not None]
    assert (data_bytes(path) < 20_000) == (codec is not None)


def test_shards_of_every_codec_are_one_store(path: str) -> None:
    for number, codec in enumerate(CODECS):
        with ShardStore(path, compress=codec) as store:  # type: ignore[arg-type]
            store.put(b"%d" % number, PAIRS)
            store.put(b"all", [(b"", b"%d" % number)], overwrite=True)
    with ShardStore(path) as store:
        expected: dict[bytes, Pairs] = {b"%d" % number: PAIRS for number in range(len(CODECS))}
        assert content(store) == {**expected, b"all": [(b"", b"4")]}
        store.delete(b"3")
        assert len(store) == 5


@pytest.mark.parametrize("durability", DURABILITIES, ids=str)
def test_every_durability_reaches_others_at_once(path: str, durability: Any) -> None:
    with ShardStore(path, durability=durability) as store, ShardStore(path, mode="r") as other:
        for number in range(20):
            store.put_bytes(b"%d" % number, b"1")
            assert other.get_bytes(b"%d" % number) == b"1"
        store.delete(b"3")
        assert b"3" not in other
        store.flush()
        store.sync()
        store.put_many({b"a": b"1", b"b": b"2"})
        assert other.get_bytes(b"b") == b"2"
    with ShardStore(path, mode="r") as store:
        assert len(store) == 21


@pytest.mark.parametrize("durability", DURABILITIES, ids=str)
def test_sync_covers_the_shards_that_were_filled_before(
    path: str, durability: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set()
    sync = disk.sync

    def recorded(file: Any) -> None:
        synced.add(os.path.basename(os.readlink(f"/proc/self/fd/{file.number}")))
        sync(file)

    monkeypatch.setattr(disk, "sync", recorded)
    with ShardStore(path, shard_size=5000, durability=durability) as store:
        for number in range(4):
            store.put_bytes(b"%d" % number, bytes(5000))
        store.sync()
        assert len(data_files(path)) == 4
        assert synced >= set(data_files(path))


def test_a_shard_that_is_full_is_followed_by_another(path: str) -> None:
    with ShardStore(path, shard_size=10_000) as store:
        for number in range(50):
            store.put_bytes(b"%d" % number, bytes([number]) * 1000)
        assert all(store.get_bytes(b"%d" % number) == bytes([number]) * 1000 for number in range(50))
        stats = store.stats()
    assert stats["open_shards"] == 1
    assert stats["shards"] == len(data_files(path)) in (5, 6)
    for name in data_files(path):
        assert os.path.getsize(os.path.join(path, name)) < 12_000
    with ShardStore(path, mode="r") as store:
        assert len(store) == 50


def test_a_block_may_be_larger_than_a_shard(path: str) -> None:
    with ShardStore(path, shard_size=1) as store:
        for number in range(5):
            store.put_bytes(b"%d" % number, LARGE)
            store.put_bytes(b"key", LARGE + b"%d" % number, overwrite=True)
        assert len(store) == 6
    with ShardStore(path, mode="r") as store:
        assert store.get_bytes(b"key") == LARGE + b"4"
        assert len(data_files(path)) == 10


def test_a_closed_store_goes_on_where_it_was(path: str) -> None:
    expected = {}
    for number in range(10):
        with ShardStore(path) as store:
            assert {key: block[b""] for key, block in store.items()} == expected
            store.put_bytes(b"%d" % number, b"v%d" % number)
            expected[b"%d" % number] = b"v%d" % number
            if number % 3 == 2:
                store.delete(b"%d" % (number - 1))
                del expected[b"%d" % (number - 1)]
    assert len(data_files(path)) == 1  # taken over again and again


def test_stats_tell_what_is_dead(store: ShardStore, path: str) -> None:
    store.put_bytes(b"a", LARGE)
    store.put_bytes(b"b", LARGE)
    before = store.stats()
    assert before["keys"] == 2
    assert before["data_bytes"] == data_bytes(path)
    assert before["live_bytes"] > 2 * len(LARGE)
    store.delete(b"a")
    store.put_bytes(b"b", b"small", overwrite=True)
    after = store.stats()
    assert (after["keys"], after["tombstones"], after["shards"]) == (1, 1, 1)
    assert after["live_bytes"] < 200
    assert after["dead_bytes"] > 2 * len(LARGE)
    assert after["dead_bytes"] + after["live_bytes"] == after["data_bytes"] == data_bytes(path)


# Opening, closing, modes


def test_mode_r_writes_nothing(path: str) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"key", b"value")
    before = {name: os.stat(os.path.join(path, name)).st_mtime_ns for name in os.listdir(path)}
    with ShardStore(path, mode="r") as store:
        for call in (
            lambda: store.put(b"k", []),
            lambda: store.put_bytes(b"k", b"v"),
            lambda: store.put_many({b"k": b"v"}),
            lambda: store.delete(b"key"),
        ):
            with pytest.raises(ValueError, match="open for reading"):
                call()
        assert store.mode == "r"
        assert content(store) == {b"key": [(b"", b"value")]}
    assert before == {name: os.stat(os.path.join(path, name)).st_mtime_ns for name in os.listdir(path)}


def test_mode_r_makes_no_store(path: str) -> None:
    with pytest.raises(smartpipe.PipeNotFoundError):
        ShardStore(path, mode="r")
    assert not os.path.exists(path)


def test_a_folder_of_other_things_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for mode in ("r", "a"):
        with pytest.raises(smartpipe.FormatError):
            ShardStore(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["notes.txt"]
    with pytest.raises(smartpipe.FormatError):
        ShardStore(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    with ShardStore(tmp_path) as store:
        store.put_bytes(b"key", b"value")
    with ShardStore(os.fsencode(tmp_path), mode="r") as store:  # type: ignore[arg-type]
        assert store.get_bytes(b"key") == b"value"


def test_shards_are_no_pipes(path: str) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"key", b"value")
    prefix = os.path.splitext(os.path.join(path, data_files(path)[0]))[0]
    for mode in ("r", "a"):
        with pytest.raises(smartpipe.FormatError):
            smartpipe.open(prefix, mode)  # type: ignore[call-overload]
    with ShardStore(path, mode="r") as store:
        assert store.get_bytes(b"key") == b"value"


def test_a_closed_store_says_so(path: str) -> None:
    store = ShardStore(path)
    store.put_bytes(b"key", b"value")
    keys, items, many = store.keys(), store.items(), store.get_many([b"key"])
    kept = store[b"key"]
    assert not store.closed
    store.close()
    store.close()
    assert store.closed
    calls: list[Any] = [
        lambda: store.put(b"k", []),
        lambda: store.put_bytes(b"k", b"v"),
        lambda: store.put_many({b"k": b"v"}),
        lambda: store.get(b"key"),
        lambda: store[b"key"],
        lambda: store.get_bytes(b"key"),
        lambda: b"key" in store,
        lambda: store.delete(b"key"),
        lambda: len(store),
        lambda: next(keys),
        lambda: next(items),
        lambda: next(many),
        lambda: list(store),
        lambda: store.get_many([]),
        store.flush,
        store.sync,
        store.refresh,
        store.stats,
        store.__enter__,
    ]
    for call in calls:
        with pytest.raises(smartpipe.ClosedError):
            call()
    assert kept[b""] == b"value"
    assert "closed" in repr(store)


def test_the_context_manager_closes_also_after_an_error(path: str) -> None:
    with pytest.raises(RuntimeError), ShardStore(path) as store:
        store.put_bytes(b"key", b"value")
        raise RuntimeError
    assert store.closed
    with ShardStore(path, mode="r") as store:
        assert store.get_bytes(b"key") == b"value"


def test_a_closed_store_leaves_no_descriptors(path: str) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(3):
        with ShardStore(path, shard_size=1000) as store:
            for number in range(10):
                store.put_bytes(b"%d" % number, b"x" * 500)
        del store
    assert descriptors() == before


def test_a_pickled_store_is_the_store_opened_again(path: str) -> None:
    with ShardStore(path, shard_size=5000, compress="zlib", level=3, durability="block") as store:
        store.put_bytes(b"key", b"value")
        for other in (pickle.loads(pickle.dumps(store)), copy.copy(store)):
            with other:
                assert other.get_bytes(b"key") == b"value"
                assert other.path == store.path
                other.put_bytes(b"from %d" % id(other), b"1")
        assert len(store) >= 2
    reader = ShardStore(path, mode="r")
    with reader, pickle.loads(pickle.dumps(reader)) as other:
        assert other.mode == "r"
        assert set(other) == set(reader)


def test_a_pickled_store_in_another_process(store: ShardStore) -> None:
    store.put_bytes(b"key", b"value")
    code = """
import pickle, sys
with pickle.loads(bytes.fromhex(sys.argv[1])) as store:
    print(store.get_bytes(b"key").decode())
    store.put_bytes(b"answer", b"42")
"""
    assert run(code, pickle.dumps(store).hex()) == "value\n"
    assert store.get_bytes(b"answer") == b"42"


def test_a_store_tells_what_it_is(store: ShardStore, path: str) -> None:
    store.put_bytes(b"key", b"value")
    assert path in repr(store)
    assert "1 keys" in repr(store)
    assert (store.path, store.mode, store.closed) == (path, "a", False)


def test_a_relative_path_stays_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ShardStore("store") as store:
        store.put_bytes(b"a", b"1")
        os.mkdir("elsewhere")
        monkeypatch.chdir("elsewhere")
        store.put_bytes(b"b", b"2")
        store.refresh()
        assert len(store) == 2
    assert os.listdir(".") == []


# Misuse


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "w"},
        {"mode": "x"},
        {"mode": None},
        {"shard_size": 0},
        {"shard_size": -1},
        {"level": 0},
        {"level": 10},
        {"compress": "snappy"},
        {"durability": "always"},
        {"auto_compact": 0},
        {"auto_compact": 1.5},
        {"auto_compact": -1},
        {"max_block_size": 0},
    ],
    ids=str,
)
def test_options_that_are_misuse(path: str, options: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        ShardStore(path, **options)
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    "options",
    [{"shard_size": "1"}, {"shard_size": 1.5}, {"level": "6"}, {"auto_compact": "x"}, {"surplus": 1}, {"compress": 7}],
    ids=str,
)
def test_options_of_another_type(path: str, options: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        ShardStore(path, **options)
    assert not os.path.exists(path)


def test_an_empty_path_is_misuse() -> None:
    with pytest.raises(ValueError, match="empty"):
        ShardStore("")


def test_keys_and_values_are_bytes(store: ShardStore) -> None:
    text: Any = "key"
    calls: list[Any] = [
        lambda: store.put(text, []),
        lambda: store.put_bytes(text, b""),
        lambda: store.put_bytes(b"key", text),
        lambda: store.put(b"key", text),
        lambda: store.put(b"key", b"value"),
        lambda: store.put(b"key", [(text, b"")]),
        lambda: store.put(b"key", [(b"", text)]),
        lambda: store.put(b"key", 7),
        lambda: store.get(text),
        lambda: store[text],
        lambda: store.get_bytes(text),
        lambda: store.get_bytes(7),  # type: ignore[call-overload]
        lambda: text in store,
        lambda: store.delete(text),
        lambda: store.keys(prefix=text),
        lambda: store.items(select=[text]),
        lambda: store.items(select=b"raw"),  # type: ignore[arg-type]
        lambda: store.get_many([text]),
        lambda: store.get_many(b"key"),  # type: ignore[arg-type]
        lambda: store.get_many("key"),  # type: ignore[arg-type]
        lambda: store.put_many({text: b""}),
        lambda: store.put_many(7),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(TypeError):
            call()
            raise AssertionError(number)
    assert len(store) == 0
    store.put_bytes(b"key", b"value")
    assert content(store) == {b"key": [(b"", b"value")]}


def test_pairs_that_are_no_pairs(store: ShardStore) -> None:
    wrong: Any
    for wrong in ([b"key"], [(b"a", b"b", b"c")], [(b"a",)]):
        with pytest.raises((TypeError, ValueError)):
            store.put(b"key", wrong)
    assert b"key" not in store


def test_an_iterable_of_pairs_that_raises_leaves_nothing(store: ShardStore) -> None:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", LARGE
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        store.put(b"key", pairs())
    assert b"key" not in store
    store.put(b"key", [(b"b", b"1")])
    assert list(store[b"key"]) == [(b"b", b"1")]


def test_misuse_of_iterating(store: ShardStore) -> None:
    with pytest.raises(ValueError, match="threads"):
        store.items(threads=0)
    with pytest.raises((TypeError, ValueError)):
        store.items(on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises((TypeError, ValueError)):
        store.get_many([], on_error=7)  # type: ignore[arg-type]


def test_a_block_that_is_too_large_is_an_error_and_nothing_is_written(path: str) -> None:
    with ShardStore(path, max_block_size=1000) as store:
        for call in (
            lambda: store.put_bytes(b"key", bytes(2000)),
            lambda: store.put_many([(b"small", b"1"), (b"key", bytes(2000))]),
        ):
            with pytest.raises(smartpipe.BlockTooLargeError) as caught:
                call()
            assert caught.value.block == b"key"
            assert caught.value.path == path
        assert b"key" not in store
        store.put_bytes(b"key", b"small")
    with ShardStore(path) as store:
        store.put_bytes(b"key", bytes(2000), overwrite=True)
    with ShardStore(path, mode="r", max_block_size=1000) as store, pytest.raises(smartpipe.BlockTooLargeError):
        store.get_bytes(b"key")


# Several stores, threads, forks


def test_two_stores_of_a_process_see_each_other_at_once(path: str) -> None:
    with ShardStore(path) as one, ShardStore(path) as two, ShardStore(path, mode="r") as reader:
        one.put_bytes(b"a", b"1")
        two.put_bytes(b"b", b"2")
        for store in (one, two, reader):
            assert {key: block[b""] for key, block in store.items()} == {b"a": b"1", b"b": b"2"}
        with pytest.raises(smartpipe.CollisionError):
            two.put_bytes(b"a", b"2")
        two.put_bytes(b"a", b"3", overwrite=True)
        assert [store.get_bytes(b"a") for store in (one, two, reader)] == [b"3"] * 3
        one.delete(b"a")
        assert [b"a" in store for store in (one, two, reader)] == [False] * 3
        with pytest.raises(smartpipe.BlockNotFound):
            two.delete(b"a")
        assert [len(store) for store in (one, two, reader)] == [1] * 3
    assert len(data_files(path)) == 2


def test_threads_share_one_store(path: str) -> None:
    """Each thread has keys of its own and all have one key, which is written once."""
    together = Together(60)
    won: list[int] = []

    def work(number: int) -> None:
        for step in range(60):
            key = b"%d/%d" % (number, step)
            store.put(key, [(b"n", key), (b"t", key * 100)])
            assert list(store[key]) == [(b"n", key), (b"t", key * 100)]
            store.put_bytes(b"common", b"%d" % number, overwrite=True)
            if step % 3 == 0:
                store.delete(key)
                assert key not in store
            if step % 10 == 0:
                store.put_many({b"many %d/%d" % (number, other): b"%d" % other for other in range(step, step + 5)})
                assert all(block.key == key for key, block in store.items())
        try:
            store.put_bytes(b"once", b"%d" % number)
            won.append(number)
        except smartpipe.CollisionError:
            pass

    with ShardStore(path, shard_size=30_000, compress=True) as store:
        for number in range(6):
            together.add(work, number)
        together.join()
        assert len(won) == 1
        assert store.get_bytes(b"once") == b"%d" % won[0]
        assert len(store) == 6 * (40 + 30) + 2
    with ShardStore(path, mode="r") as store:
        assert len(store) == 6 * (40 + 30) + 2


def test_a_store_is_closed_while_threads_use_it(path: str) -> None:
    for _ in range(10):
        store = ShardStore(path, shard_size=10_000)
        together = Together(60)
        acknowledged: list[bytes] = []

        def work(number: int, store: ShardStore = store, acknowledged: list[bytes] = acknowledged) -> None:
            try:
                for step in range(100_000):
                    key = b"%d/%d" % (number, step)
                    store.put_bytes(key, key, overwrite=True)
                    acknowledged.append(key)
                    store.get_bytes(key)
            except smartpipe.ClosedError:
                pass

        for number in range(3):
            together.add(work, number)
        together.start()
        while len(acknowledged) < 30:
            pass
        store.close()
        together.join()
        with ShardStore(path, mode="r") as reader:
            assert all(reader.get_bytes(key) == key for key in acknowledged)


def in_child(work: Any) -> None:
    """Fork, do the work in the child, and raise where it did not end well."""
    import traceback
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forking where there are threads
        pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_forked_child_goes_on_with_a_shard_of_its_own(path: str) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"before", b"1")

        def work() -> None:
            assert store.get_bytes(b"before") == b"1"
            store.put_bytes(b"child", b"2")
            store.put_bytes(b"before", b"3", overwrite=True)
            assert len(store) == 2
            store.close()

        in_child(work)
        assert store.get_bytes(b"child") == b"2"
        assert store.get_bytes(b"before") == b"3"
        store.put_bytes(b"after", b"4")
        assert len(store) == 3
    assert len(data_files(path)) == 2
    with ShardStore(path) as store:
        assert len(store) == 3


def test_a_child_that_only_closes_leaves_the_parent_its_shard(path: str) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"before", b"1")
        in_child(store.close)
        in_child(lambda: None)
        store.put_bytes(b"after", b"2")
        with ShardStore(path) as other:
            other.put_bytes(b"other", b"3")
        assert len(store) == 3
    assert len(data_files(path)) == 2


def test_forks_while_threads_write(path: str) -> None:
    stop = threading.Event()
    acknowledged: list[bytes] = []

    def write(number: int) -> None:
        step = 0
        while not stop.is_set():
            key = b"%d/%d" % (number, step)
            store.put_bytes(key, key)
            acknowledged.append(key)
            if step % 5 == 0:
                store.put_many({key + b"/%d" % more: key for more in range(10)})
            step += 1

    with ShardStore(path, shard_size=20_000) as store:
        together = Together(60)
        for number in range(3):
            together.add(write, number)
        together.start()
        try:
            for child in range(25):
                known = list(acknowledged)

                def work(child: int = child, known: list[bytes] = known) -> None:
                    import signal

                    signal.alarm(30)
                    assert all(store.get_bytes(key) == key for key in known[-200:])
                    assert len(store) >= len(known)
                    store.put_bytes(b"child %d" % child, b"1")
                    if child % 2:
                        store.close()

                in_child(work)
                assert store.get_bytes(b"child %d" % child) == b"1"
        finally:
            stop.set()
        together.join()
        assert all(store.get_bytes(key) == key for key in acknowledged)
    with ShardStore(path, mode="r") as reader:
        assert all(reader.get_bytes(key) == key for key in acknowledged)
        assert {block.key for _, block in reader.items()} == set(reader)
