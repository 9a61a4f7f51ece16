"""Compacting and collecting, while others write, read, are killed, and find damage."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from torture.harness import MEMORY

import smartpipe
from smartpipe import ShardStore
from smartpipe._platform import disk
from smartpipe.shards.folder import COUNTERS, KEYS, LEASES, STORE

CALLS = ("open", "write", "allocate", "truncate", "sync", "rename", "unlink", "link", "make_folder", "sync_folder")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def in_memory() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def content(store: ShardStore) -> dict[bytes, bytes]:
    """All that counts, by iterating; lookups have to say the same."""
    found = {key: block[b""] for key, block in store.items()}
    assert len(store) == len(found)
    assert sorted(store.keys()) == sorted(found)
    for key, value in found.items():
        assert store.get_bytes(key) == value
    return found


def fill(path: Path, **options: object) -> dict[bytes, bytes]:
    """A store of several shards, in each of which something is dead, and what it holds; with a codec also groups, of
    which some members are dead."""
    model = {}
    with ShardStore(path, shard_size=4000, **options) as store:  # type: ignore[arg-type]
        if options.get("compress"):
            for i in range(60, 120, 15):
                many = {b"key %d" % number: os.urandom(10) * 20 for number in range(i, i + 15)}
                store.put_many(many)
                model.update(many)
            for i in range(60, 90, 3):
                store.delete(b"key %d" % i)
                del model[b"key %d" % i]
        for i in range(60):
            model[b"key %d" % i] = b"value %d " % i * 20
            store.put_bytes(b"key %d" % i, model[b"key %d" % i])
        for i in range(0, 60, 3):
            store.delete(b"key %d" % i)
            del model[b"key %d" % i]
        for i in range(1, 60, 6):
            model[b"key %d" % i] = b"another %d" % i
            store.put_bytes(b"key %d" % i, model[b"key %d" % i], overwrite=True)
    return model


def data_files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if file.suffix in (".dat", ".datz"))


def expected_files(store: ShardStore) -> set[str]:
    names = {STORE, KEYS, LEASES, COUNTERS, "manifest"}
    for listed in store.manifest.shards.values():
        names |= {listed.data, os.path.splitext(listed.data)[0] + ".idx"}
    return names


@pytest.mark.parametrize("compress", [None, "zlib", "zstd", "lz4"])
def test_what_is_dead_takes_no_room_any_more(path: Path, compress: str | None) -> None:
    model = fill(path, compress=compress)
    with ShardStore(path, shard_size=4000, compress=compress) as store:  # type: ignore[arg-type]
        before = store.stats()
        report = store.compact()
        after = store.stats()
        assert content(store) == model
        assert report.bytes_after < report.bytes_before <= before["data_bytes"]
        assert before["data_bytes"] - after["data_bytes"] == report.bytes_before - report.bytes_after
        assert after["tombstones"] < before["tombstones"]
        if compress is None:
            assert after["live_bytes"] == before["live_bytes"]
        else:
            assert after["live_bytes"] < before["live_bytes"]  # small values are compressed together
        store.gc(grace=0)
        assert {file.name for file in path.iterdir()} == expected_files(store)
    with ShardStore(path, "r") as store:
        assert content(store) == model


def test_a_second_compaction_has_nothing_to_do(path: Path) -> None:
    fill(path)
    with ShardStore(path, shard_size=4000) as store:
        store.compact()
        assert store.compact() == smartpipe.CompactReport(0, 0, 0, 0)


def test_only_shards_that_are_dead_enough_are_taken(path: Path) -> None:
    with ShardStore(path, shard_size=2000) as store:
        for i in range(40):
            store.put_bytes(b"%02d" % i, b"x" * 100)
        store.delete(b"00")
        assert store.compact(dead=0.9).shards == 0
        assert store.compact(dead=0.01).shards >= 1
        assert len(store) == 39


def test_tombstones_go_when_they_hide_nothing_any_more(path: Path) -> None:
    with ShardStore(path, shard_size=4000) as store, ShardStore(path, shard_size=4000) as other:
        for i in range(100):
            store.put_bytes(b"%02d" % i, b"value" * 10)
        store.put_bytes(b"kept", b"value")
        for i in range(100):
            other.delete(b"%02d" % i)
        assert store.stats()["tombstones"] == 100
        store.compact()  # the last shard of the other is being written, and left alone
        assert store.stats()["tombstones"] < 100
    with ShardStore(path, shard_size=4000) as store:
        store.compact()
        store.gc(grace=0)
        stats = store.stats()
        assert (stats["keys"], stats["tombstones"]) == (1, 0)
        assert stats["dead_bytes"] == 32 * stats["shards"]
        assert content(store) == {b"kept": b"value"}


def test_a_large_shard_of_tombstones_goes_alone(path: Path) -> None:
    with ShardStore(path, shard_size=4000) as store:
        for i in range(60):
            store.put_bytes(b"%02d" % i, b"")
    with ShardStore(path, shard_size=1) as store:
        store.compact()  # full
    with ShardStore(path, shard_size=100_000) as store:
        for i in range(60):
            store.delete(b"%02d" % i)
        store.put_bytes(b"kept", b"value" * 100)
    with ShardStore(path, shard_size=1000) as store:
        before = store.stats()
        assert before["tombstones"] == 60
        store.compact(dead=0.5)
        store.compact(dead=0.5)
        assert store.stats()["tombstones"] == 0
        assert content(store) == {b"kept": b"value" * 100}


def test_the_most_dead_is_taken_first(path: Path) -> None:
    from smartpipe.shards.compaction import candidates

    with ShardStore(path, shard_size=2000) as store:
        for i in range(40):
            store.put_bytes(b"%02d" % i, b"x" * 100)
        shards = [listed.id for listed in store.manifest.shards.values()]
        for key in (b"00", b"01", b"12", b"13", b"14"):  # ten and eleven blocks to a shard
            store.delete(key)
        found, _ = candidates(store, 0.0)
        assert [shard.id for shard in found][:2] == [shards[1], shards[0]]


def test_small_shards_become_one(path: Path) -> None:
    stores = [ShardStore(path) for _ in range(5)]
    for i, store in enumerate(stores):
        store.put_bytes(b"%d" % i, b"value")
        store._finish_shard()  # type: ignore[attr-defined]
    for store in stores[1:]:
        store.close()
    with stores[0] as store:
        assert store.stats()["shards"] == 5
        assert store.compact().shards == 5
        assert store.stats()["shards"] == 1
        assert content(store) == {b"%d" % i: b"value" for i in range(5)}


def during(store: ShardStore, work: Callable[[], object]) -> smartpipe.CompactReport:
    """Compact, and do something when the first shard was copied and is not part of the store yet."""
    done = []

    def progress(n: int, total: int) -> None:
        assert 0 <= n <= total
        if not done:
            done.append(n)
            work()

    report = store.compact(progress=progress)
    assert done
    return report


@pytest.mark.parametrize("compress", [None, "zlib"])
def test_what_is_done_meanwhile_counts(path: Path, compress: str | None) -> None:
    model = fill(path, compress=compress)
    with ShardStore(path, shard_size=4000) as store, ShardStore(path) as other, ShardStore(path, "r") as reader:

        def work() -> None:
            assert content(reader) == model
            other.put_bytes(b"key 2", b"changed meanwhile", overwrite=True)
            other.delete(b"key 4")
            other.delete(b"key 5")
            other.put_bytes(b"key 5", b"put again")
            other.put_bytes(b"key 0", b"was deleted before")
            other.put_bytes(b"new", b"new")
            other.put_many({b"key 8": b"one of many", b"many": b"new"}, overwrite=True)
            model.update({b"key 8": b"one of many", b"many": b"new"})
            model.update({b"key 2": b"changed meanwhile", b"key 5": b"put again", b"new": b"new"})
            model[b"key 0"] = b"was deleted before"
            del model[b"key 4"]
            assert content(reader) == model

        during(store, work)
        assert content(store) == content(other) == content(reader) == model
    with ShardStore(path, "r") as again:
        assert content(again) == model


def test_the_compacting_process_goes_on_writing_too(path: Path) -> None:
    model = fill(path)
    with ShardStore(path, shard_size=4000) as store:

        def work() -> None:
            for i in range(50):
                store.put_bytes(b"more %d" % i, b"x" * 100)
                model[b"more %d" % i] = b"x" * 100
            store.delete(b"key 2")
            del model[b"key 2"]

        during(store, work)
        assert content(store) == model


def test_two_compactions_at_a_time(path: Path) -> None:
    model = fill(path)
    with ShardStore(path, shard_size=4000) as store, ShardStore(path, shard_size=4000) as other:
        during(store, other.compact)
        assert content(store) == content(other) == model


def test_a_deleted_key_stays_deleted_while_an_older_record_lies_elsewhere(path: Path) -> None:
    with ShardStore(path) as first, ShardStore(path) as second:
        first.put_bytes(b"key", b"old")
        second.put_bytes(b"other", b"x" * 100)
        second.delete(b"key")
        second.put_bytes(b"other", b"y", overwrite=True)
        # The shard with the older record has a writer: only the one with the tombstone is compacted.
        assert second.compact().shards == 1
        assert b"key" not in first and b"key" not in second
        assert second.stats()["tombstones"] == 1
    with ShardStore(path) as store:
        assert content(store) == {b"other": b"y"}
        store.compact()
        assert store.stats()["tombstones"] == 0
        assert content(store) == {b"other": b"y"}


def test_a_reader_keeps_what_it_has_until_it_goes_on(path: Path) -> None:
    model = fill(path)
    with ShardStore(path, shard_size=4000) as store:
        reader = ShardStore(path, "r")
        items = reader.items()
        first = [next(items) for _ in range(3)]
        before = data_files(path)
        store.compact()
        retired = {shard.data for shard in store.manifest.retired.values()}
        assert len(retired) >= 3
        assert store.gc(grace=0).waiting == len(retired)
        assert set(before) <= set(data_files(path))
        found = {key: block[b""] for key, block in [*first, *items]}
        assert found == model
        reader.refresh()
        removed = store.gc(grace=0).removed
        assert retired <= set(removed)
        assert not retired & set(data_files(path))
        assert content(reader) == model
        reader.close()


def test_files_stay_for_the_grace_time(path: Path) -> None:
    fill(path)
    with ShardStore(path, shard_size=4000) as store:
        retired = data_files(path)
        store.compact()
        assert store.gc(grace=3600).removed == []
        assert set(retired) <= set(data_files(path))


def test_a_shard_in_no_manifest_is_collected_when_nobody_makes_it(path: Path) -> None:
    from smartpipe.shards.shard import create_shard

    model = fill(path)
    with ShardStore(path, shard_size=4000) as store:
        made = create_shard(str(path), 0, 1 << 20, True)
        name = os.path.basename(made.data)
        assert store.gc(grace=0).waiting == 1
        assert name in data_files(path)
        made.output.release()
        assert store.gc(grace=3600).removed == []
        assert name in store.gc(grace=0).removed
        assert content(store) == model


def test_damaged_shards_stay_as_they_are(path: Path) -> None:
    model = fill(path)
    value = model[b"key 2"]
    name = next(name for name in data_files(path) if value in (path / name).read_bytes())
    damaged = (path / name).read_bytes().replace(value, value[:-1] + b"!")
    (path / name).write_bytes(damaged)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ShardStore(path, shard_size=4000) as store:
            store.compact()
            store.gc(grace=0)
            assert (path / name).read_bytes() == damaged
            with pytest.raises(smartpipe.CorruptError, match=name):
                store.get_bytes(b"key 2")
            del model[b"key 2"]
            assert {key: block[b""] for key, block in store.items(on_error="skip")} == model
    assert any(name in str(warning.message) and "was not compacted" in str(warning.message) for warning in caught)


class Killed(BaseException):
    pass


def run_killed(path: Path, at: int, within: bool, work: Callable[[ShardStore], object]) -> list[str]:
    """Do something with a store in a child process that ends itself at call number `at` of those that change the disk,
    before it or in the middle of writing; returns the names of the calls, none where it was killed."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            names: list[str] = []

            def watched(name: str) -> Callable[..., object]:
                original = getattr(disk, name)

                def call(*arguments: object) -> object:
                    names.append(name)
                    if len(names) > at:
                        if within and name == "write":
                            data = bytes(arguments[1])  # type: ignore[call-overload]
                            original(arguments[0], data[: len(data) // 2])
                        os._exit(9)
                    return original(*arguments)

                return call

            for name in CALLS:
                setattr(disk, name, watched(name))
            store = ShardStore(path, shard_size=4000)
            work(store)
            store.close()
            os.write(tell, " ".join(names).encode())
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    os.close(tell)
    answer = b""
    while part := os.read(told, 100):
        answer += part
    os.close(told)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9), status
    return answer.decode().split()


@pytest.mark.parametrize("compress", [None, "zlib"])
def test_killed_at_every_call_nothing_is_lost(in_memory: Path, compress: str | None) -> None:
    path, copy = in_memory / "store", in_memory / "copy"
    model = fill(path, compress=compress)

    def work(store: ShardStore) -> None:
        store.compact()
        store.gc(grace=0)

    shutil.copytree(path, copy)
    calls = run_killed(copy, 1 << 30, False, work)
    assert {"open", "write", "sync", "link", "unlink", "sync_folder"} <= set(calls)
    for at, name in enumerate(calls):
        for within in (False, True) if name == "write" else (False,):
            shutil.rmtree(copy)
            shutil.copytree(path, copy)
            assert run_killed(copy, at, within, work) == []
            with ShardStore(copy, shard_size=4000) as store:
                assert content(store) == model, (at, within)
                store.put_bytes(b"after", b"goes on")
                store.compact()
                store.gc(grace=0)
                assert content(store) == {**model, b"after": b"goes on"}, (at, within)
                left = {file.name for file in copy.iterdir()} - expected_files(store)
                assert not left, (at, within)


def test_in_the_background_of_a_writer(path: Path) -> None:
    model = {}
    with ShardStore(path, shard_size=20_000, auto_compact=0.5) as store:
        for i in range(3000):
            key = b"%d" % (i % 50)
            model[key] = b"%d " % i * 20
            store.put_bytes(key, model[key], overwrite=True)
        assert content(store) == model
    with ShardStore(path, auto_compact=0.5) as store:
        assert content(store) == model
        # 3,000 blocks of 150 bytes and more were written.
        assert store.stats()["data_bytes"] < 200_000


@pytest.mark.parametrize("dead", [-0.1, 1.1])
def test_dead_is_a_part(path: Path, dead: float) -> None:
    with ShardStore(path) as store, pytest.raises(ValueError, match="dead is"):
        store.compact(dead=dead)


def test_a_store_for_reading_is_not_compacted(path: Path) -> None:
    fill(path)
    with ShardStore(path, "r") as store:
        for work in (store.compact, store.gc):
            with pytest.raises(ValueError, match="for reading"):
                work()
