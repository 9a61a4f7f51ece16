"""Stores that are damaged, lost in part, or none at all: a clear error, or what is left and a warning."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from container.process import run
from folders import small_disk
from reference import format2

import smartpipe
from smartpipe import ShardStore

from .planted import STORE, data_of, flip, plant, sealed, shard

TEXT = b"".join(b"%d," % (number * number) for number in range(400))
Content = dict[bytes, bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def fill(path: Path, count: int = 20) -> Content:
    """A store of several shards; gives what it holds."""
    with ShardStore(path, shard_size=10_000) as store:
        for number in range(count):
            store.put_bytes(b"key %03d" % number, b"%d " % number + TEXT)
    return {b"key %03d" % number: b"%d " % number + TEXT for number in range(count)}


def content(store: ShardStore) -> Content:
    return {key: block[b""] for key, block in store.items()}


def records(data: Path) -> dict[bytes, format2.Record]:
    """The records of a shard by key."""
    bytes = data.read_bytes()
    scanned = format2.scan(bytes, format2.read_file_header(bytes, shard=True).file_id, shard=True)
    return {format2.read_directory(bytes, record)[1]: record for record in scanned.records}


def manifests(path: Path) -> list[Path]:
    return sorted((path / "manifest").iterdir(), key=lambda file: int(file.name))


# What is no store


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_file(mode: str, path: Path) -> None:
    path.write_bytes(b"text")
    with pytest.raises(smartpipe.FormatError, match="a file; a store is a folder") as caught:
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert caught.value.path == str(path)


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_folder_of_other_things(mode: str, path: Path) -> None:
    (path / "manifest").mkdir(parents=True)
    (path / "manifest" / "readme").write_bytes(b"of somebody else")
    with pytest.raises(smartpipe.FormatError, match="no store"):
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert [name.name for name in path.iterdir()] == ["manifest"]


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("text", [b"", b"milk, bread", b'{"version": 1}\n00000000\n'])
def test_a_file_called_store_that_is_none(mode: str, text: bytes, path: Path) -> None:
    path.mkdir()
    (path / "store").write_bytes(text)
    with pytest.raises(smartpipe.FormatError, match="not the file of a store") as caught:
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert caught.value.path == str(path / "store")


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_store_of_a_newer_version(mode: str, path: Path) -> None:
    plant(path)
    (path / "store").write_bytes(sealed({"smartpipe store": 2, "id": "a", "hash_key": "b"}))
    with pytest.raises(smartpipe.FormatError, match="version 2; this smartpipe knows version 1"):
        ShardStore(path, mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_manifest_of_a_newer_version_is_not_made_anew(mode: str, path: Path) -> None:
    plant(path)
    (path / "manifest" / "2").write_bytes(sealed({"number": 2, "parts": []}))
    with pytest.raises(smartpipe.FormatError, match="no manifest of a version that is known here"):
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert len(manifests(path)) == 2


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_manifest_of_another_store_is_not_made_anew(mode: str, path: Path) -> None:
    plant(path)
    (path / "store").write_bytes(sealed({"smartpipe store": 1, "id": "f" * 16, "hash_key": "00" * 16, "codec": "none"}))
    with pytest.raises(smartpipe.FormatError, match=r"the store 0123456789abcdef, not f{16}"):
        ShardStore(path, mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("member", ["shards", "retired"])
@pytest.mark.parametrize("name", ["../victim.dat", "/etc/passwd", "0000000000000002.dat", "0000000000000001.idx", 7])
def test_a_manifest_that_names_another_file(name: object, member: str, mode: str, path: Path) -> None:
    plant(path)
    victim = path.parent / "victim.dat"
    victim.write_bytes(b"of somebody else")
    listed = {"id": f"{1:016x}", "data": name, "codec": 0, "counter": 0, "since": 1}
    content = {"number": 2, "store": STORE, "shards": [], "retired": [], member: [listed]}
    (path / "manifest" / "2").write_bytes(sealed(content))
    with pytest.raises(smartpipe.FormatError, match=r"is not the name of shard 0{15}1") as caught:
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert caught.value.path == str(path / "manifest" / "2")
    assert victim.read_bytes() == b"of somebody else"


# A shard that is damaged


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("place", ["head", "key", "record header"])
def test_of_a_damaged_record_the_others_stay(place: str, mode: str, path: Path) -> None:
    expected = fill(path)
    data = data_of(path, b"key 007")
    record = records(data)[b"key 007"]
    offset = {"record header": 30, "key": 64 + 2, "head": record.size - 1}[place]
    flip(data, record.offset + offset)
    with ShardStore(path, mode) as store:  # type: ignore[arg-type]
        assert sorted(store) == sorted(expected)
        assert b"key 007" in store
        assert len(store) == len(expected)
        with pytest.raises(smartpipe.CorruptError) as caught:
            store.get_bytes(b"key 007")
        error = caught.value
        assert (error.path, error.block, error.offset) == (str(data), b"key 007", record.offset)
        failed: list[Exception] = []
        left = {key: block[b""] for key, block in store.items(on_error=failed.append)}
        assert left == {key: value for key, value in expected.items() if key != b"key 007"}
        assert [getattr(error, "block", None) for error in failed] == [b"key 007"]
        failed.clear()
        many = {key: block and block[b""] for key, block in store.get_many(expected, on_error=failed.append)}
        assert many == left
        assert len(failed) == 1
        with pytest.raises(smartpipe.CorruptError):
            content(store)
        if mode == "a":
            # The damaged one can be written anew, or deleted.
            store.put_bytes(b"key 007", b"again", overwrite=True)
            assert store.get_bytes(b"key 007") == b"again"
            store.delete(b"key 007")
            assert content(store) == left


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("at", [0, 9, 16, 29])
def test_with_a_damaged_file_header_all_is_read(at: int, mode: str, path: Path) -> None:
    expected = fill(path)
    flip(data_of(path, b"key 007"), at)
    with pytest.warns(smartpipe.PipeWarning, match="file header.*read nevertheless"):
        store = ShardStore(path, mode)  # type: ignore[arg-type]
    with store:
        assert content(store) == expected
        if mode == "a":
            store.put_bytes(b"new", b"")


@pytest.mark.parametrize("mode", ["r", "a"])
@pytest.mark.parametrize("what", ["missing", "empty", "header", "frame", "page"])
def test_with_a_damaged_index_all_is_read(what: str, mode: str, path: Path) -> None:
    expected = fill(path)
    index = data_of(path, b"key 007").with_suffix(".idx")
    if what == "missing":
        index.unlink()
    elif what == "empty":
        index.write_bytes(b"")
    else:
        flip(index, {"header": 3, "frame": 70, "page": index.stat().st_size - 1}[what])
    with pytest.warns(smartpipe.PipeWarning):
        store = ShardStore(path, mode)  # type: ignore[arg-type]
    with store:
        assert content(store) == expected


@pytest.mark.parametrize("damaged_data", [False, True])
def test_a_damaged_page_of_a_large_index(damaged_data: bool, path: Path) -> None:
    """Only small indexes are checked whole when they are opened."""
    count = 75_000
    with ShardStore(path) as store:
        store.put_many((b"%0*d" % (20, number), b"%d" % number) for number in range(count))
    data = data_of(path, b"")
    index = data.with_suffix(".idx")
    assert index.stat().st_size > 4 << 20
    flip(index, 200_000)
    lost = 0
    if damaged_data:
        flip(data, 40)  # without its key, the first record is only known from the index
        lost = 1
    with pytest.warns(smartpipe.PipeWarning) as warned:
        store = ShardStore(path, "r")
    assert any("scanned instead" in str(warning.message) for warning in warned)
    with store:
        assert len(store) == count - lost
        assert all(store.get_bytes(b"%0*d" % (20, number)) == b"%d" % number for number in range(lost, count, 500))


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_shard_that_was_cut(mode: str, path: Path) -> None:
    expected = fill(path)
    data = data_of(path, b"key 007")
    lost = sorted(records(data))[1:]
    os.truncate(data, records(data)[lost[0]].offset + 100)
    with pytest.warns(smartpipe.PipeWarning, match="the file was cut"):
        store = ShardStore(path, mode)  # type: ignore[arg-type]
    with store:
        assert sorted(store) == sorted(expected)
        for key in lost:
            with pytest.raises(smartpipe.TruncatedError) as caught:
                store.get_bytes(key)
            assert (caught.value.path, caught.value.block) == (str(data), key)
        left = {key: block[b""] for key, block in store.items(on_error="skip")}
        assert left == {key: value for key, value in expected.items() if key not in lost}
        if mode == "a":
            store.put_bytes(lost[0], b"again", overwrite=True)
            store.put_bytes(b"new", b"")
            assert store.get_bytes(lost[0]) == b"again"


def test_a_missing_shard(path: Path) -> None:
    fill(path)
    data = data_of(path, b"key 007")
    data.unlink()
    for mode in ("r", "a"):
        with pytest.raises(smartpipe.CorruptError, match="missing") as caught:
            ShardStore(path, mode)  # type: ignore[arg-type]
        assert caught.value.path == str(data)


def test_an_open_shard_that_is_damaged_is_not_appended_to(path: Path) -> None:
    writer = shard(1)
    for number in range(3):
        writer.write(b"%d" % number, [(b"", b"x" * 100)])
    writer.sync()
    writer.frame()
    del writer.data[-50:]
    plant(path, writer, open=(1,))
    before = (path / f"{1:016x}.dat").read_bytes()
    with pytest.warns(smartpipe.PipeWarning):
        store = ShardStore(path)
    with pytest.warns(smartpipe.PipeWarning) as warned:
        store.put_bytes(b"new", b"value")
    assert any("nothing is appended" in str(warning.message) for warning in warned)
    with store:
        assert store.get_bytes(b"new") == b"value"
        assert store.get_bytes(b"1") == b"x" * 100
    assert (path / f"{1:016x}.dat").read_bytes() == before


# A manifest that is lost


def lose(path: Path, how: str) -> None:
    files = manifests(path)
    if how == "all":
        for file in files:
            file.unlink()
    elif how == "folder":
        lose(path, "all")
        (path / "manifest").rmdir()
    elif how == "last":
        flip(files[-1], 20)
    elif how == "every":
        for file in files:
            os.truncate(file, 10)


every_loss = pytest.mark.parametrize("how", ["all", "folder", "last", "every"])


@every_loss
def test_a_lost_manifest_is_made_anew(how: str, path: Path) -> None:
    expected = fill(path)
    lose(path, how)
    before = sorted(path.rglob("*"))
    with pytest.warns(smartpipe.PipeWarning, match=r"made anew.*deleted.*may reappear"):
        store = ShardStore(path, "r")
    with store:
        assert content(store) == expected
        store.refresh()
    assert sorted(path.rglob("*")) == before, "mode r writes nothing"
    with pytest.warns(smartpipe.PipeWarning, match=r"made anew.*deleted.*may reappear"):
        store = ShardStore(path)
    with store:
        assert content(store) == expected
        store.put_bytes(b"new", b"value")
    with ShardStore(path) as store:
        assert content(store) == {**expected, b"new": b"value"}
        assert store.verify().ok


@every_loss
def test_others_go_on_when_the_manifest_is_lost(how: str, path: Path) -> None:
    """Those that have the store open know more than is left of it."""
    expected = fill(path)
    with ShardStore(path, shard_size=10_000) as writer, ShardStore(path, "r") as reader:
        writer.put_bytes(b"before", b"1")
        lose(path, how)
        with pytest.warns(smartpipe.PipeWarning, match="made anew"):
            other = ShardStore(path, shard_size=10_000)
        with other:
            for number in range(20):
                writer.put_bytes(b"writer %d" % number, TEXT)
                other.put_bytes(b"other %d" % number, TEXT)
                expected[b"writer %d" % number] = expected[b"other %d" % number] = TEXT
            expected[b"before"] = b"1"
            for store in (writer, other, reader):
                assert content(store) == expected
    with ShardStore(path, "r") as store:
        assert content(store) == expected
        assert store.verify().ok


def test_a_shard_that_was_retired_is_taken_in_again(path: Path) -> None:
    """As a tombstone that compaction dropped is gone, what it hid is there again: that is what the warning says."""
    old, new = shard(1), shard(2)
    old.write(b"deleted", [(b"", b"old")])
    old.write(b"kept", [(b"", b"old")])
    new.write(b"kept", [(b"", b"new")])
    plant(path, new)
    old.save(path / f"{1:016x}")
    with ShardStore(path, "r") as store:
        assert set(store) == {b"kept"}
    lose(path, "all")
    with pytest.warns(smartpipe.PipeWarning, match="may reappear"), ShardStore(path, "r") as store:
        assert set(store) == {b"kept", b"deleted"}


def test_what_is_no_shard_is_left_alone(path: Path) -> None:
    expected = fill(path)
    lose(path, "all")
    (path / "notes.dat").write_bytes(b"text of somebody else " * 10)
    (path / "0123456789abcdef.dat").write_bytes(b"text of somebody else " * 10)
    (path / "fedcba9876543210.dat").write_bytes(b"")
    with smartpipe.open(path / "pipe", "w") as pipe:
        pipe.write(b"of a pipe", {})
    with pytest.warns(smartpipe.PipeWarning, match="made anew"), ShardStore(path) as store:
        assert content(store) == expected


def test_a_shard_without_a_header_is_known_by_its_name(path: Path) -> None:
    expected = fill(path)
    lose(path, "all")
    data = data_of(path, b"key 007")
    flip(data, 3)
    data.with_suffix(".idx").unlink()
    with pytest.warns(smartpipe.PipeWarning), ShardStore(path) as store:
        assert content(store) == expected


def test_a_store_that_is_just_begun_has_lost_nothing(path: Path) -> None:
    plant(path)
    lose(path, "folder")
    with ShardStore(path, "r") as store:
        assert len(store) == 0
    with ShardStore(path) as store:
        store.put_bytes(b"a", b"1")
    with ShardStore(path, "r") as store:
        assert content(store) == {b"a": b"1"}


# The file `store`


def test_a_lost_file_of_the_store_is_made_anew(path: Path) -> None:
    expected = fill(path)
    with ShardStore(path) as other:
        (path / "store").unlink()
        with pytest.raises(smartpipe.LockedError, match="when no process has the store open"):
            ShardStore(path)
        other.put_bytes(b"new", b"value")
        expected[b"new"] = b"value"
    with pytest.warns(smartpipe.PipeWarning, match="is missing; the store is read"), ShardStore(path, "r") as store:
        assert content(store) == expected
    assert not (path / "store").exists()
    with pytest.warns(smartpipe.PipeWarning, match="was missing, and is made anew"), ShardStore(path) as store:
        assert content(store) == expected
    with ShardStore(path) as store:
        assert content(store) == expected


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_damaged_file_of_the_store(mode: str, path: Path) -> None:
    fill(path)
    flip(path / "store", 40)
    with pytest.raises(smartpipe.CorruptError, match="remove it, and it is made anew") as caught:
        ShardStore(path, mode)  # type: ignore[arg-type]
    assert caught.value.path == str(path / "store")


# What the system refuses

NOBODY = """
import os, sys, smartpipe
smartpipe.ShardStore(sys.argv[1], "r").close()  # all modules are there: they may lie where nobody looks
os.setgroups([])
os.setuid(65534)
with smartpipe.ShardStore(sys.argv[1], "r") as store:
    print(len(store), store.get_bytes(b"key 007")[:2], store.verify().ok)
try:
    smartpipe.ShardStore(sys.argv[1])
except smartpipe.StorageError as error:
    print(error.errno, error.path.startswith(sys.argv[1]))
"""


def test_a_folder_that_may_not_be_written() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = Path(folder) / "store"
        fill(store)
        before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
        assert run(NOBODY, store) == f"20 b'7 ' True\n{errno.EACCES} True\n"
        assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk"):
        yield tmp_path / "disk"


@pytest.mark.parametrize("durability", ["close", "block"])
def test_no_room(durability: str, disk: Path) -> None:
    store = ShardStore(disk / "store", shard_size=100_000, durability=durability)  # type: ignore[arg-type]
    written: Content = {}
    with pytest.raises(smartpipe.StorageError) as caught:
        for number in range(10_000):
            store.put_bytes(b"%d" % number, TEXT)
            written[b"%d" % number] = TEXT
    assert caught.value.errno == errno.ENOSPC
    assert len(written) > 100
    with ShardStore(disk / "store", "r") as reader:
        assert content(reader) == written
    assert content(store) == written
    with pytest.raises(smartpipe.StorageError):
        store.put_bytes(b"more", TEXT)
    try:
        store.close()
    except smartpipe.StorageError:
        pass
    with ShardStore(disk / "store", "r") as reader:
        assert content(reader) == written


# Clocks

FUTURE = 1 << 62  # nanoseconds: the year 2116


def test_a_clock_that_jumped_does_not_hide_what_is_later(path: Path) -> None:
    writer = shard(1, stamp=FUTURE)
    for key in (b"overwritten", b"deleted", b"kept"):
        writer.write(key, [(b"", b"of the future")])
    writer.write(b"dead", [], format2.TOMBSTONE)
    writer.frame(closed=True)
    assert 2 * time.time_ns() < FUTURE
    plant(path, writer)
    with ShardStore(path) as store, ShardStore(path, "r") as reader:
        assert b"dead" not in store
        store.put_bytes(b"overwritten", b"now", overwrite=True)
        store.delete(b"deleted")
        store.put_bytes(b"dead", b"alive")
        with pytest.raises(smartpipe.CollisionError):
            store.put_bytes(b"kept", b"now")
        expected = {b"overwritten": b"now", b"kept": b"of the future", b"dead": b"alive"}
        assert content(store) == content(reader) == expected
    for _ in range(2):
        with ShardStore(path) as store:
            assert content(store) == expected
            store.delete(b"overwritten")
            store.put_bytes(b"overwritten", b"again")
            expected[b"overwritten"] = b"again"
            store.put_bytes(b"dead", b"later", overwrite=True)
            expected[b"dead"] = b"later"
            assert content(store) == expected


def test_stamps_do_not_end(path: Path) -> None:
    """A record with the largest stamp there is can not be overwritten: that is said, and nothing is lost."""
    writer = shard(1, stamp=(1 << 64) - 1)
    writer.write(b"last", [(b"", b"of the future")])
    plant(path, writer)
    with ShardStore(path) as store:
        with pytest.raises(smartpipe.CorruptError, match="stamp"):
            store.put_bytes(b"last", b"now", overwrite=True)
        with pytest.raises(smartpipe.CorruptError, match="stamp"):
            store.delete(b"last")
        store.put_bytes(b"other", b"now")
        assert content(store) == {b"last": b"of the future", b"other": b"now"}


# With all the rest


def test_collecting_leaves_what_is_of_others(path: Path) -> None:
    fill(path, 1)
    with smartpipe.open(path / "pipe", "w") as pipe:
        pipe.write(b"of a pipe", {})
    (path / "notes.dat").write_bytes(b"text of somebody else")
    (path / "notes.idx").write_bytes(b"text of somebody else")
    (path / "other.idx").write_bytes(b"text of somebody else")
    with ShardStore(path) as store:
        store.gc(grace=0)
    assert {"pipe.dat", "pipe.idx", "notes.dat", "notes.idx", "other.idx"} <= {file.name for file in path.iterdir()}


@pytest.mark.parametrize("what", ["header", "record", "cut", "index"])
def test_compaction_loses_nothing_of_damaged_shards(what: str, path: Path) -> None:
    expected = fill(path)
    data = data_of(path, b"key 007")
    lost = {b"key 007"}
    offset = records(data)[b"key 007"].offset
    if what == "header":
        flip(data, 9)
    elif what == "record":
        flip(data, offset + 70)
    elif what == "cut":
        lost = {key for key, record in records(data).items() if record.offset >= offset}
        os.truncate(data, offset)
    else:
        flip(data.with_suffix(".idx"), 70)
    if what in ("header", "index"):
        lost = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        with ShardStore(path) as store:
            for key in (b"key 001", b"key 005", b"key 008", b"key 012"):
                store.delete(key)
                del expected[key]
            lost -= {b"key 008"}
            store.compact()
            store.gc(grace=0)
            assert set(store) == set(expected)
        with ShardStore(path) as store:
            assert set(store) == set(expected)
            left = {key: block[b""] for key, block in store.items(on_error="skip")}
            assert left == {key: value for key, value in expected.items() if key not in lost}
