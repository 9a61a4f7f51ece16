"""The durabilities: what each syncs and when, seen at the table that all writing goes through. docs/durability.md."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference import format2

import smartpipe
from smartpipe._platform import disk

from .pipes import PAGES, SMALL, Kind, every_kind, every_kind_of_format2, index, plant, read, warned

MODES = ["none", "close", "block", smartpipe.Grouped(milliseconds=5), smartpipe.Grouped(bytes=1)]
every_durability = pytest.mark.parametrize("durability", MODES, ids=str)


class Log:
    """What was done to the disk, in order: (call, path or None)."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fail: str | None = None
        for name in ("write", "sync", "rename", "sync_folder"):
            patch.setattr(disk, name, self.around(name, getattr(disk, name)))

    def around(self, name: str, call: Any) -> Any:
        def made(*arguments: Any) -> Any:
            if self.fail == name:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            result = call(*arguments)
            self.calls.append(name)
            return result

        return made

    def take(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    return Log(monkeypatch)


@every_kind
@every_durability
def test_every_durability_writes_the_same_pipe(kind: Kind, durability: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "w", durability=durability, **kind.options) as pipe:
        for key, pairs in PAGES:
            pipe.write(key, pairs)
    assert read(prefix) == PAGES
    with smartpipe.open(prefix, "a", durability=durability) as pipe:
        pipe.write(b"more", {b"k": b"v"})
    assert read(prefix) == [*PAGES, (b"more", [(b"k", b"v")])]


@every_kind
def test_close_syncs_nothing_before_the_end(kind: Kind, prefix: str, log: Log) -> None:
    pipe = smartpipe.open(prefix, "x", **kind.options)
    assert "sync_folder" in log.take()
    for key, pairs in PAGES:
        pipe.write(key, pairs)
    assert "sync" not in log.take()
    pipe.close()
    assert log.take()[-1] == "sync"


@every_kind
def test_block_syncs_each_block_before_write_returns(kind: Kind, prefix: str, log: Log) -> None:
    with smartpipe.open(prefix, "x", durability="block", **kind.options) as pipe:
        for key, pairs in PAGES:
            log.take()
            pipe.write(key, pairs)
            assert log.take()[-1] == "sync"
        with pipe.block(b"step by step") as block:
            block.append(b"k", b"v")
        assert log.take()[-1] == "sync"
        pipe.checkpoint(b"as the original")
        pipe.append(b"k", b"v")
        pipe.checkpoint(b"next")
        assert log.take()[-1] == "sync"


@every_kind
def test_none_syncs_nothing_but_when_it_is_asked_to(kind: Kind, prefix: str, log: Log) -> None:
    with smartpipe.open(prefix, "x", durability="none", **kind.options) as pipe:
        assert "sync" not in log.take()  # only its names: a later sync is to find them
        for key, pairs in PAGES:
            pipe.write(key, pairs)
        pipe.flush()
        assert not {"sync", "sync_folder"} & set(log.take())
        pipe.sync()
        assert "sync" in log.take()
        pipe.write(b"last", {})
        if kind.format == 1:
            log.take()  # where the blocks end that were synced has to be on the disk before more follows
    assert not {"sync", "sync_folder"} & set(log.take())


@every_kind
def test_none_syncs_before_it_takes_the_place_of_another_pipe(kind: Kind, prefix: str, log: Log) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, "w", durability="none", **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
        log.take()
    calls = log.take()
    assert calls.index("sync") < calls.index("rename")


@every_kind_of_format2
def test_none_gathers_blocks_and_flush_hands_them_over(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "x", durability="none", **kind.options) as pipe:
        size = kind.data(prefix).stat().st_size
        pipe.write(b"a", {b"k": b"v"})
        assert kind.data(prefix).stat().st_size == size
        assert b"a" in pipe and len(pipe) == 1
        pipe.flush()
        assert read(prefix) == [(b"a", [(b"k", b"v")])]
        pipe.write(b"b", {b"k": os.urandom(3 << 20)})
        pipe.write(b"c", {b"k": b"v"})
        assert len(read(prefix)) == 2  # more than a megabyte does not wait
    assert [key for key, _ in read(prefix)] == [b"a", b"b", b"c"]


@every_kind_of_format2
def test_what_waits_is_lost_when_the_disk_is_full_and_the_writer_knows(kind: Kind, prefix: str, log: Log) -> None:
    pipe = smartpipe.open(prefix, "x", durability="none", **kind.options)
    pipe.write(b"a", {b"k": b"v"})
    pipe.flush()
    pipe.write(b"b", {b"k": b"v"})
    log.fail = "write"
    with pytest.raises(smartpipe.StorageError, match="1 blocks are whole"):
        pipe.flush()
    assert len(pipe) == 1 and b"a" in pipe and b"b" not in pipe
    with pytest.raises(smartpipe.StorageError) as caught:
        pipe.write(b"c", {})
    assert caught.value.errno == errno.EIO
    log.fail = None
    pipe.close()
    with warned():
        assert read(prefix) == [(b"a", [(b"k", b"v")])]


@every_kind_of_format2
def test_bytes_of_a_group_bound_what_is_not_synced(kind: Kind, prefix: str, log: Log) -> None:
    with smartpipe.open(prefix, "x", durability=smartpipe.Grouped(bytes=10_000), **kind.options) as pipe:
        unsynced = 0
        synced = 0
        for number in range(50):
            log.take()
            before = kind.data(prefix).stat().st_size
            pipe.write(b"%d" % number, {b"k": os.urandom(1500)})
            unsynced += kind.data(prefix).stat().st_size - before
            if "sync" in log.take():
                unsynced = 0
                synced += 1
            assert unsynced < 10_000
        assert 5 <= synced <= 8


@every_kind
def test_a_group_is_synced_though_nothing_more_is_written(kind: Kind, prefix: str, log: Log) -> None:
    with smartpipe.open(prefix, "x", durability=smartpipe.Grouped(milliseconds=10), **kind.options) as pipe:
        for number in range(3):
            log.take()
            pipe.write(b"%d" % number, {b"k": b"v"})
            wait_for(lambda: "sync" in log.calls)
    threads = [thread.name for thread in threading.enumerate()]
    assert "smartpipe-sync" not in threads


@every_kind_of_format2
def test_records_say_what_a_group_had_synced(kind: Kind, prefix: str, log: Log) -> None:
    with smartpipe.open(prefix, "x", durability=smartpipe.Grouped(milliseconds=1), **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
        wait_for(lambda: "sync" in log.calls)
        time.sleep(0.05)  # the thread takes note of a sync after it
        pipe.write(b"b", {b"k": b"v"})
    data = kind.data(prefix).read_bytes()
    first, second = format2.scan(data, format2.read_file_header(data).file_id).records
    assert second.synced == first.end


@every_kind
@pytest.mark.parametrize("durability", [smartpipe.Grouped(milliseconds=1), "block", "close"], ids=str)
def test_a_failed_sync_is_final_and_what_was_written_stays_readable(
    kind: Kind, durability: Any, prefix: str, log: Log
) -> None:
    pipe = smartpipe.open(prefix, "x", durability=durability, **kind.options)
    pipe.write(b"a", {b"k": b"v"})
    if isinstance(durability, smartpipe.Grouped):
        wait_for(lambda: "sync" in log.calls)
    log.fail = "sync"
    with pytest.raises(smartpipe.StorageError) as caught:
        pipe.write(b"b", {b"k": b"v"})
        if durability == "close":
            pipe.sync()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pipe.flush()
            time.sleep(0.002)
    assert caught.value.errno == errno.EIO or "synced" in str(caught.value)
    log.fail = None
    for call in (lambda: pipe.write(b"c", {}), pipe.sync, pipe.flush, pipe.close):
        with pytest.raises(smartpipe.StorageError):
            call()
    blocks = [(b"a", [(b"k", b"v")]), (b"b", [(b"k", b"v")])]
    with warned():
        # In format 1 the sync that fails comes before the data of the second block.
        assert read(prefix) in ([blocks] if kind.format == 2 else [blocks, blocks[:1]])


@every_kind
def test_a_writer_that_is_forgotten_leaves_no_thread(kind: Kind, prefix: str) -> None:
    pipe = smartpipe.open(prefix, "x", durability=smartpipe.Grouped(milliseconds=5), **kind.options)
    pipe.write(b"a", {b"k": b"v"})
    with pytest.warns(ResourceWarning, match="not closed"):
        del pipe
    assert "smartpipe-sync" not in [thread.name for thread in threading.enumerate()]


@every_kind
def test_an_interrupted_write_is_cut_off_and_the_writer_goes_on(
    kind: Kind, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = disk.write
    interrupted: list[int] = []

    def half(file: Any, data: Any) -> None:
        if len(data) > 3000 and not interrupted:
            write(file, memoryview(data)[:1000])
            interrupted.append(1)
            raise KeyboardInterrupt
        write(file, data)

    monkeypatch.setattr(disk, "write", half)
    value = os.urandom(5000)
    with smartpipe.open(prefix, "x", **kind.options) as pipe:
        pipe.write(b"a", {b"k": b"v"})
        with pytest.raises(KeyboardInterrupt):
            pipe.write(b"b", {b"k": value})
        assert b"b" not in pipe
        pipe.write(b"c", {b"k": value})
        pipe.write(b"b", {b"k": b"again"})
    assert interrupted
    assert read(prefix) == [(b"a", [(b"k", b"v")]), (b"c", [(b"k", value)]), (b"b", [(b"k", b"again")])]


@every_kind
def test_an_interrupted_write_that_can_not_be_cut_off_is_the_last(
    kind: Kind, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: Any, data: Any) -> None:
        write(file, memoryview(data)[: len(data) // 2])
        raise KeyboardInterrupt

    def refuse(file: Any, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write = disk.write
    pipe = smartpipe.open(prefix, "x", **kind.options)
    pipe.write(b"a", {b"k": b"v"})
    with monkeypatch.context() as patched:
        patched.setattr(disk, "write", half)
        patched.setattr(disk, "truncate", refuse)
        with pytest.raises(KeyboardInterrupt):
            pipe.write(b"b", {b"k": os.urandom(5000)})
    with pytest.raises(smartpipe.StorageError, match="interrupted"):
        pipe.write(b"c", {b"k": b"v"})
    pipe.close()
    with warned():
        smartpipe.open(prefix, "a", **kind.options).close()  # cuts it
        assert read(prefix) == [(b"a", [(b"k", b"v")])]


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({}, "milliseconds or bytes"),
        ({"milliseconds": 0}, "milliseconds is 0"),
        ({"milliseconds": -1}, "milliseconds is -1"),
        ({"milliseconds": float("inf")}, "milliseconds is inf"),
        ({"milliseconds": float("nan")}, "milliseconds is nan"),
        ({"bytes": 0}, "bytes is 0"),
    ],
)
def test_a_group_without_a_meaning_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        smartpipe.Grouped(**wrong)


@pytest.mark.parametrize("durability", ["", "always", None, 1, True])
def test_an_unknown_durability_is_refused_before_anything_is_made(durability: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match="durability"):
        smartpipe.open(prefix, "w", durability=durability)
    assert not Path(prefix).parent.joinpath("pipe.dat").exists() and not index(prefix).exists()


def test_reading_has_no_durability(prefix: str) -> None:
    plant(prefix, SMALL, Kind(2, False))
    for option in ({"durability": "block"}, {"verify": True}):
        with pytest.raises(ValueError, match="for writing"):
            smartpipe.open(prefix, **option)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.001)
