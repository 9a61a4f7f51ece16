"""verify of a store: all that is not whole is said, where it is and what; and nothing else is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from container.process import start
from reference import format2

import smartpipe
from smartpipe import ShardStore

from .planted import Writer, data_of, flip, plant, shard

TEXT = b"".join(b"%d," % (number * number) for number in range(400))
LARGE = TEXT * 4


def fill(path: Path, count: int = 30) -> None:
    """A store of several shards, in which keys were overwritten and deleted."""
    with ShardStore(path, shard_size=20_000) as store:
        for number in range(count):
            store.put(b"key %03d" % number, {b"text": TEXT, b"large": LARGE})
        for number in range(0, count, 5):
            store.put(b"key %03d" % number, {b"text": b"again"}, overwrite=True)
        for number in range(1, count, 5):
            store.delete(b"key %03d" % number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_store_that_is_whole(path: Path) -> None:
    fill(path)
    told: list[tuple[int, int]] = []
    with ShardStore(path, "r") as store:
        report = store.verify(progress=lambda *bytes: told.append(bytes))
    files = [name for name in os.listdir(path) if name.endswith((".dat", ".idx"))]
    assert report.ok
    assert (report.path, report.keys, report.blocks, report.damaged) == (str(path), 24, 36, 0)
    assert (report.damage, report.notes) == ([], [])
    assert len(report.shards) == len(files) // 2 > 3
    assert report.bytes == sum(os.path.getsize(path / name) for name in files)
    data = sum(os.path.getsize(path / name) for name in files if name.endswith(".dat"))
    assert told == sorted(told)
    assert told[-1] == (data, data)
    assert report.as_dict()["ok"] is True
    assert report.as_dict()["shards"][0] == report.shards[0].as_dict()


def test_a_shard_may_have_what_a_pipe_may_not(path: Path) -> None:
    writer = shard(1)
    writer.write(b"a", [(b"", b"1")])
    writer.write(b"b", [(b"", b"2")])
    writer.stamp -= 100  # as compaction leaves it
    writer.write(b"a", [(b"", b"3")])
    writer.stamp += 500
    writer.write(b"b", [], format2.TOMBSTONE)
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path, "r") as store:
        assert {key: block[b""] for key, block in store.items()} == {b"a": b"1"}
        report = store.verify()
    assert report.damage == report.notes == []
    assert (report.keys, report.blocks) == (1, 3)


def test_a_tombstone_with_pairs_is_damaged(path: Path) -> None:
    writer = shard(1)
    writer.write(b"a", [(b"", b"1")], format2.TOMBSTONE)
    writer.frame(closed=True)
    plant(path, writer)
    with ShardStore(path, "r") as store:
        (damage,) = store.verify().damage
    assert (damage.what, damage.block, damage.offset) == ("damaged", b"a", 32)


def test_a_pipe_has_no_tombstones(tmp_path: Path) -> None:
    writer = Writer(1)
    writer.write(b"a", [], format2.TOMBSTONE)
    writer.save(tmp_path / "pipe", index=False)
    report = smartpipe.verify(tmp_path / "pipe")
    assert [damage.what for damage in report.damage if damage.block == b"a"] == ["unreadable"]


@pytest.mark.parametrize("what", ["verify", "recover"])
def test_a_shard_alone_is_refused_by_name(what: str, path: Path, tmp_path: Path) -> None:
    fill(path, 1)
    data = str(data_of(path, b"key 000"))
    with pytest.raises(smartpipe.FormatError, match="shard of a store") as caught:
        if what == "verify":
            smartpipe.verify(data)
        else:
            smartpipe.recover(data, tmp_path / "rescued")
    assert caught.value.path == data


@pytest.mark.parametrize("place", ["head", "large value", "key", "record header"])
def test_a_damaged_record(place: str, path: Path) -> None:
    fill(path)
    data = data_of(path, b"key 004")
    content = data.read_bytes()
    scanned = format2.scan(content, format2.read_file_header(content, shard=True).file_id, shard=True)
    (record,) = [record for record in scanned.records if format2.read_directory(content, record)[1] == b"key 004"]
    at = {"record header": 30, "key": record.lead_size - record.head_stored - 1, "head": record.lead_size - 1}
    flip(data, record.offset + at.get(place, record.size - 1))
    with ShardStore(path, "r") as store:
        report = store.verify()
    assert not report.ok
    (damage,) = report.damage
    assert (damage.what, damage.file, damage.offset, damage.size, damage.block) == (
        "damaged",
        str(data),
        record.offset,
        record.size,
        b"key 004",
    )
    assert (report.keys, report.blocks, report.damaged) == (24, 35, 1)


def test_a_damaged_file_header(path: Path) -> None:
    fill(path)
    data = data_of(path, b"key 004")
    for at in (0, 9, 16, 29):
        flip(data, at)
        with pytest.warns(smartpipe.PipeWarning, match="the file header"), ShardStore(path, "r") as store:
            report = store.verify()
        assert [(damage.what, damage.file, damage.offset, damage.size) for damage in report.damage] == [
            ("damaged", str(data), 0, 32)
        ]
        assert report.blocks == 36
        flip(data, at)


def test_an_index_that_is_damaged_or_missing(path: Path) -> None:
    fill(path)
    index = data_of(path, b"key 004").with_suffix(".idx")
    flip(index, index.stat().st_size - 1)
    with pytest.warns(smartpipe.PipeWarning, match="scanned"), ShardStore(path, "r") as store:
        report = store.verify()
    assert {(damage.what, damage.file) for damage in report.damage} == {("index", str(index))}
    assert (report.blocks, report.damaged) == (36, 0)
    index.unlink()
    with pytest.warns(smartpipe.PipeWarning, match="there is no index"), ShardStore(path, "r") as store:
        report = store.verify()
    assert [(damage.what, damage.file) for damage in report.damage] == [("index", str(index))]


def test_an_entry_that_is_not_that_of_its_record(path: Path) -> None:
    """A store never finds this by itself where nobody asks for the key."""
    writer, other = shard(1), shard(1)
    writer.write(b"a", [(b"", b"1")])
    writer.write(b"b", [], format2.TOMBSTONE)
    other.write(b"a", [(b"", b"1")])
    other.write(b"c", [], format2.TOMBSTONE)
    other.frame()
    plant(path, writer)
    Path(path, f"{1:016x}.idx").write_bytes(other.index)
    with pytest.warns(smartpipe.PipeWarning, match="another history"), ShardStore(path, "r") as store:
        assert not store.verify().ok


def test_what_a_killed_process_left_is_no_damage(path: Path) -> None:
    writer = shard(1)
    writer.write(b"a", [(b"", b"1")])
    writer.sync()
    writer.write(b"b", [(b"", b"2" * 100)])
    del writer.data[-10:]
    plant(path, writer, open=(1,))
    with pytest.warns(smartpipe.PipeWarning), ShardStore(path, "r") as store:
        report = store.verify()
    assert [(damage.what, damage.file) for damage in report.damage] == []
    assert any("the file ends within this record" in note for note in report.notes)
    assert not report.shards[0].ok
    # In a shard that is full nothing is ever unfinished.
    manifest = path / "manifest" / "1"
    plant(path.with_name("other"), writer)
    manifest.write_bytes((path.with_name("other") / "manifest" / "1").read_bytes())
    with pytest.warns(smartpipe.PipeWarning), ShardStore(path, "r") as store:
        assert [damage.what for damage in store.verify().damage] == ["torn"]


def test_files_of_no_manifest_are_noted(path: Path) -> None:
    fill(path, 3)
    (path / "notes.txt").write_bytes(b"of somebody else")
    (path / "0000000000000001.dat").write_bytes(shard(1).data)
    (path / "0000000000000001.idx").write_bytes(shard(1).index)
    with ShardStore(path, "r") as store:
        report = store.verify()
    assert report.ok
    assert [note.split()[0] for note in report.notes] == ["0000000000000001.dat", "0000000000000001.idx"]


def test_what_is_lost_while_the_store_is_open(path: Path) -> None:
    fill(path)
    with ShardStore(path, "r") as store:
        lost = data_of(path, b"key 004")
        lost.unlink()
        flip(path / "store", 20)
        last = path / "manifest" / str(store.manifest.number)
        report = store.verify()
        assert {(damage.what, damage.file) for damage in report.damage} == {
            ("lost", str(lost)),
            ("damaged", str(path / "store")),
        }
        flip(last, 20)
        assert ("damaged", str(last)) in {(damage.what, damage.file) for damage in store.verify().damage}


WRITER = """
import os, sys, smartpipe
store = smartpipe.ShardStore(sys.argv[1], shard_size=1 << 20)
number = 0
while True:
    store.put(b"live %d %d" % (os.getpid(), number), {b"text": b"x" * (number * 37 % 5000)})
    if number % 3 == 2:
        store.delete(b"live %d %d" % (os.getpid(), number - 1))
    number += 1
    if number == 50:
        print("ready", flush=True)
"""


def test_a_store_that_others_write(path: Path) -> None:
    fill(path, 3)
    writers = [start(WRITER, path) for _ in range(2)]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        with ShardStore(path, "r") as store:
            for _ in range(5):
                report = store.verify()
                assert report.damage == []
                assert report.blocks >= 50
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
