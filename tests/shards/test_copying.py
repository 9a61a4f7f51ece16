"""Backups of a store that is used, and pipes that become part of a store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import smartpipe
from smartpipe import ShardStore

from .test_compaction import content


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def put(store: ShardStore, model: dict[bytes, bytes], numbers: range) -> None:
    for i in numbers:
        model[b"%d" % i] = b"value %d " % i * 20
        store.put_bytes(b"%d" % i, model[b"%d" % i])


# Backups


def test_a_backup_is_the_store(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path, shard_size=2000) as store:
        put(store, model, range(50))
        store.delete(b"7")
        del model[b"7"]
        report = store.backup(tmp_path / "backup")
        assert sorted(report.copied) == sorted(listed.data for listed in store.manifest.shards.values())
        assert report.bytes == store.stats()["data_bytes"]
        with ShardStore(tmp_path / "backup", "r") as backup:
            assert content(backup) == model


def test_only_what_is_new_is_copied(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path, shard_size=2000) as store:
        put(store, model, range(50))
        store.backup(tmp_path / "backup")
        before = store.stats()["data_bytes"]
        assert store.backup(tmp_path / "backup").bytes == 0
        put(store, model, range(50, 60))
        report = store.backup(tmp_path / "backup")
        assert report.bytes == store.stats()["data_bytes"] - before
        assert report.kept >= 5
        with ShardStore(tmp_path / "backup", "r") as backup:
            assert content(backup) == model


def test_a_backup_follows_deletion_and_compaction(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path, shard_size=2000) as store:
        put(store, model, range(50))
        store.backup(tmp_path / "backup")
        for i in range(0, 50, 2):
            store.delete(b"%d" % i)
            del model[b"%d" % i]
        store.compact()
        store.backup(tmp_path / "backup")
        with ShardStore(tmp_path / "backup", "r") as backup:
            assert content(backup) == model
        names = {file.name for file in (tmp_path / "backup").iterdir() if file.suffix == ".dat"}
        assert names == {listed.data for listed in store.manifest.shards.values()}


def test_a_backup_while_another_process_compacts_and_collects(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path, shard_size=2000) as store, ShardStore(path, shard_size=2000) as other:
        put(store, model, range(50))
        at_first = dict(model)
        done = []

        def progress(n: int, total: int) -> None:
            assert 0 <= n <= total
            if not done:
                done.append(n)
                for i in range(0, 50, 2):
                    other.delete(b"%d" % i)
                    del model[b"%d" % i]
                other.compact()
                store.refresh()
                other.gc(grace=0)

        store.backup(tmp_path / "backup", progress=progress)
        assert done
        assert content(store) == model
        with ShardStore(tmp_path / "backup", "r") as backup:
            assert content(backup) == at_first


def test_a_backup_from_a_store_for_reading(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path) as store:
        put(store, model, range(5))
    with ShardStore(path, "r") as store:
        store.backup(tmp_path / "backup")
    with ShardStore(tmp_path / "backup") as backup:
        assert content(backup) == model
        backup.put_bytes(b"it", b"is a store")


def test_a_copy_of_the_folder_is_the_store(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path) as store:
        put(store, model, range(5))
        shutil.copytree(path, tmp_path / "copy")
    with ShardStore(tmp_path / "copy") as copy:
        assert content(copy) == model


def test_a_backup_that_was_written_to_is_refused(path: Path, tmp_path: Path) -> None:
    model: dict[bytes, bytes] = {}
    with ShardStore(path) as store:
        put(store, model, range(5))
        store.backup(tmp_path / "backup")
        with ShardStore(tmp_path / "backup") as backup:
            backup.put_bytes(b"own", b"x" * 1000)
        put(store, model, range(5, 50))
        with pytest.raises(smartpipe.CorruptError, match="somebody wrote to the backup"):
            store.backup(tmp_path / "backup")
        assert content(store) == model


@pytest.mark.parametrize("what", ["another store", "other things", "a file", "itself"])
def test_where_no_backup_goes(path: Path, tmp_path: Path, what: str) -> None:
    target = tmp_path / "target"
    if what == "another store":
        ShardStore(target).close()
    elif what == "other things":
        target.mkdir()
        (target / "letter").write_text("dear")
    elif what == "a file":
        target.write_text("dear")
    else:
        target = path
    with ShardStore(path) as store:
        store.put_bytes(b"key", b"value")
        kind: Any = ValueError if what == "itself" else smartpipe.FormatError
        with pytest.raises(kind, match=str(target)):
            store.backup(target)
        assert content(store) == {b"key": b"value"}


# Pipes


def write_pipe(path: Path, blocks: dict[bytes, dict[bytes, bytes]], **options: Any) -> str:
    with smartpipe.open(path, "w", **options) as pipe:
        for key, pairs in blocks.items():
            pipe.write(key, pairs)
        return pipe.data_path


BLOCKS = {b"page %d" % i: {b"raw": b"<html>%d" % i * 900, b"log": b"ok", b"": b"x"} for i in range(30)}


@pytest.mark.parametrize("options", [{}, {"compress": "zlib"}, {"compress": "zstd"}, {"format": 1}])
def test_a_pipe_becomes_part_of_a_store(path: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    data = write_pipe(tmp_path / "pipe", BLOCKS, **options)
    before = Path(data).read_bytes()
    with ShardStore(path) as store, ShardStore(path, "r") as reader:
        store.put_bytes(b"own", b"value")
        assert store.add_pipe(tmp_path / "pipe") == len(BLOCKS)
        assert len(store) == len(reader) == len(BLOCKS) + 1
        assert {key: dict(block) for key, block in reader.items() if key != b"own"} == BLOCKS
        if "format" not in options:
            # As it is: no record was written anew.
            assert any(
                file.read_bytes()[32:] == before[32:] for file in path.iterdir() if file.suffix in (".dat", ".datz")
            )
    assert Path(data).read_bytes() == before
    with ShardStore(path) as store:
        assert store[b"page 3"][b"log"] == b"ok"
        store.delete(b"page 3")
        store.compact()
        assert {key: dict(block) for key, block in store.items() if key != b"own"} == {
            key: pairs for key, pairs in BLOCKS.items() if key != b"page 3"
        }


def test_a_pipe_with_a_dictionary(path: Path, tmp_path: Path) -> None:
    blocks = {b"%d" % i: {b"json": b'{"title": "page %d", "links": [%d, %d]}' % (i, i * 3, i * 7)} for i in range(2000)}
    write_pipe(tmp_path / "plain", blocks)
    dictionary = smartpipe.train(tmp_path / "plain")
    write_pipe(tmp_path / "pipe", blocks, compress="zstd", dictionary=dictionary)
    with ShardStore(path) as store:
        store.add_pipe(tmp_path / "pipe")
        for i in range(0, 2000, 2):
            store.delete(b"%d" % i)
        store.compact()
        store.gc(grace=0)
    with ShardStore(path) as store:
        left = {key: pairs for key, pairs in blocks.items() if int(key) % 2}
        assert {key: dict(block) for key, block in store.items()} == left


def test_a_pipe_that_is_added_twice(path: Path, tmp_path: Path) -> None:
    write_pipe(tmp_path / "pipe", BLOCKS)
    with ShardStore(path) as store:
        assert store.add_pipe(tmp_path / "pipe") == len(BLOCKS)
        assert store.add_pipe(tmp_path / "pipe") == 0
        with smartpipe.open(tmp_path / "pipe", "a") as pipe:
            pipe.write(b"later", {b"raw": b"x"})
        assert store.add_pipe(tmp_path / "pipe") == 1
        assert len(store) == len(BLOCKS) + 1


@pytest.mark.parametrize("format", [1, 2])
def test_another_content_is_a_collision_and_nothing_is_added(path: Path, tmp_path: Path, format: int) -> None:
    write_pipe(tmp_path / "pipe", BLOCKS, format=format)
    with ShardStore(path) as store:
        store.put(b"page 20", {b"raw": b"another"})
        files = set(os.listdir(path))
        with pytest.raises(smartpipe.CollisionError) as caught:
            store.add_pipe(tmp_path / "pipe")
        assert caught.value.block == b"page 20"
        assert {key: dict(block) for key, block in store.items()} == {b"page 20": {b"raw": b"another"}}
        assert set(os.listdir(path)) == files


def test_keys_that_were_deleted_since_the_pipe_was_written(path: Path, tmp_path: Path) -> None:
    write_pipe(tmp_path / "pipe", BLOCKS)
    with ShardStore(path) as store:
        store.put_bytes(b"page 7", b"x")
        store.delete(b"page 7")
        assert store.add_pipe(tmp_path / "pipe") == len(BLOCKS)
        assert {key: dict(block) for key, block in store.items()} == BLOCKS


def test_a_pipe_that_somebody_writes_is_refused(path: Path, tmp_path: Path) -> None:
    with smartpipe.open(tmp_path / "pipe", "w") as pipe, ShardStore(path) as store:
        pipe.write(b"key", {b"raw": b"x"})
        pipe.flush()
        with pytest.raises(smartpipe.LockedError):
            store.add_pipe(tmp_path / "pipe")
        assert len(store) == 0


def test_what_is_no_pipe(path: Path, tmp_path: Path) -> None:
    with ShardStore(path) as store:
        with pytest.raises(smartpipe.PipeNotFoundError):
            store.add_pipe(tmp_path / "none")
        store.put_bytes(b"key", b"value")
        shard = next(file for file in path.iterdir() if file.suffix == ".dat")
        with pytest.raises(smartpipe.FormatError, match="shard of a store"):
            store.add_pipe(shard)
