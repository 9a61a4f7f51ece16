"""What two processes, or threads, may do between two steps of another: each race laid out step by step.

The other one's steps are put between by a function of the store that is wrapped, which does its work all the same.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from container.pipes import warned
from durability.children import Child, Kill
from reference import format2_writer

import smartpipe
from smartpipe import ShardStore
from smartpipe._platform import disk

from .test_store import data_files


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where no store is yet."""
    return str(tmp_path / "store")


class Between:
    """Wraps a function: does something once, before or behind call number `which`."""

    def __init__(self, call: Callable[..., Any], which: int, work: Callable[[], object], behind: bool = True) -> None:
        self.call, self.which, self.work, self.behind = call, which, work, behind
        self.count = 0

    def __call__(self, *arguments: Any) -> Any:
        number = self.count
        self.count += 1
        if number == self.which and not self.behind:
            self.work()
        result = self.call(*arguments)
        if number == self.which and self.behind:
            self.work()
        return result


# What others acknowledged is seen at once


def test_what_is_written_while_a_shard_is_opened_is_seen(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ShardStore(path) as writer:
        writer.put_bytes(b"first", b"1")
        import smartpipe.shards.shard_set as module

        between = Between(module.open_shard, 0, lambda: writer.put_bytes(b"second", b"2"))
        monkeypatch.setattr(module, "open_shard", between)
        with ShardStore(path) as other:
            assert between.count == 1
            with pytest.raises(smartpipe.CollisionError):
                other.put_bytes(b"second", b"3")
            assert other.get_bytes(b"second") == b"2"


@pytest.mark.parametrize("which", range(8))
def test_no_new_shard_is_overlooked_whoever_tells_of_it_last(path: str, which: int) -> None:
    """One process is stopped when it is about to tell the others of its shard, and they go on."""
    ShardStore(path).close()
    with ShardStore(path, mode="r") as reader, ShardStore(path) as stopped:
        leaving = ShardStore(path)
        leaving.put_bytes(b"left", b"0")
        others = [ShardStore(path), ShardStore(path)]

        def work() -> None:
            leaving.close()
            others[0].put_bytes(b"adopter", b"1")
            assert reader.get_bytes(b"adopter") == b"1"
            others[1].put_bytes(b"later", b"2")

        manifests = stopped.folder.manifests
        manifests.numbers = Between(manifests.numbers, which, work)  # type: ignore[method-assign]
        stopped.put_bytes(b"stopped", b"3")
        for store in (reader, *others, stopped):
            for key in (b"left", b"stopped", *((b"adopter", b"later") if manifests.numbers.count > which else ())):
                assert key in store, key
        for store in (leaving, *others):
            store.close()


def test_a_record_that_is_cut_again_leaves_the_one_before(path: str) -> None:
    """A reader may have seen a block of which its writer then says that it could not be written."""
    with ShardStore(path) as one, ShardStore(path) as two, ShardStore(path, mode="r") as reader:
        one.put_bytes(b"key", b"before")
        two.put_bytes(b"other", b"1")
        (name,) = (os.path.basename(shard.data) for shard in two.shards.values() if shard.output is not None)
        size = os.path.getsize(os.path.join(path, name))
        two.put_bytes(b"key", b"cut", overwrite=True)
        assert reader.get_bytes(b"key") == b"cut"
        os.truncate(os.path.join(path, name), size)
        reader.refresh()
        assert reader.get_bytes(b"key") == b"before"
        assert len(reader) == 2


# Stores that begin at the same time


def test_a_store_that_begins_while_another_process_begins_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkdir(path)
    import smartpipe.shards.folder as module

    between = Between(module.is_begun, 0, lambda: ShardStore(path).close(), behind=False)
    monkeypatch.setattr("smartpipe.shards.folder.is_begun", between)
    with ShardStore(path) as store:
        store.put_bytes(b"key", b"value")
    assert between.count > 0


# Killed processes


def test_a_child_of_a_killed_process_keeps_no_key_locked(path: str) -> None:
    """A process forks, is killed while it has the lock of a key, and the child goes on without it."""
    reading, writing = os.pipe()

    def work(tell: Callable[[str], None]) -> None:
        store = ShardStore(path)
        store.put_bytes(b"other", b"1")
        if os.fork() == 0:
            os.close(writing)
            os.read(reading, 1)  # until the test ends
            os._exit(0)
        Kill(0).install()  # the next write, which is that of the block
        store.put_bytes(b"key", b"lost")

    child = Child(work)
    # Its pipe stays open in the grandchild: only the process itself is waited for.
    assert os.waitpid(child.pid, 0)[1] == signal.SIGKILL
    os.close(child.receiver)

    def another(tell: Callable[[str], None]) -> None:
        signal.alarm(10)
        with ShardStore(path) as store:
            store.put_bytes(b"key", b"value")
            store.put_many({b"a": b"1"})
            tell("done")

    try:
        assert Child(another).end() == ["done"]
    finally:
        os.close(writing)
        os.close(reading)


def test_what_a_killed_process_wrote_does_not_win_over_what_came_after(path: str) -> None:
    """A process whose clock was ahead is killed when its block is written and nobody was told of it yet."""
    with ShardStore(path) as store:
        store.put_bytes(b"first", b"1")
    (name,) = data_files(path)
    ahead(os.path.join(path, name))
    look, written = os.pipe()
    seen, go_on = os.pipe()

    def work(tell: Callable[[str], None]) -> None:
        store = ShardStore(path)
        store.put_bytes(b"second", b"2")
        os.write(written, b"!")
        os.read(seen, 1)
        write = disk.write

        def killed(*arguments: Any) -> None:
            write(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        disk.write = killed  # type: ignore[method-assign]
        store.put_bytes(b"key", b"of the killed one")

    with warned(), ShardStore(path) as another, ShardStore(path, mode="r") as reader:
        with ShardStore(path) as keeper:
            keeper.put_bytes(b"kept", b"1")
            another.put_bytes(b"own", b"1")  # and so the other shard is free for the child
        child = Child(work)
        os.read(look, 1)
        assert b"second" in another
        os.write(go_on, b"!")
        assert child.end() == []
        assert child.killed
        for end in (look, written, seen, go_on):
            os.close(end)
        try:
            another.put_bytes(b"key", b"later")
            expected = b"later"
        except smartpipe.CollisionError:
            expected = b"of the killed one"
        assert another.get_bytes(b"key") == expected
        assert reader.get_bytes(b"key") == expected
        with ShardStore(path) as adopter:
            adopter.put_bytes(b"more", b"1")
            assert adopter.get_bytes(b"key") == expected
        assert another.get_bytes(b"key") == expected
    with ShardStore(path, mode="r") as reader:
        assert reader.get_bytes(b"key") == expected


def ahead(path: str) -> None:
    """Plant a shard with one block, b"first", that was written when the clock was ten years ahead."""
    header = Path(path).read_bytes()[:32]
    writer = format2_writer.Writer(
        int.from_bytes(header[8:16], "little"), stamp=time.time_ns() + 10 * 365 * 86400 * 10**9
    )
    writer.data[:] = header
    writer.write(b"first", [(b"", b"1")])
    Path(path).write_bytes(writer.data)
    os.unlink(os.path.splitext(path)[0] + ".idx")


def test_the_clock_may_be_set_back(path: str) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"first", b"1")
    (name,) = data_files(path)
    ahead(os.path.join(path, name))
    with warned(), ShardStore(path) as holding:
        holding.put_bytes(b"a", b"1")
        with ShardStore(path) as store:
            store.put_bytes(b"first", b"2", overwrite=True)
            store.put_bytes(b"a", b"2", overwrite=True)
            store.put_bytes(b"b", b"2")
            store.delete(b"a")
        with ShardStore(path, mode="r") as reader:
            for found in (holding, reader):
                assert {key: block[b""] for key, block in found.items()} == {b"first": b"2", b"b": b"2"}
        holding.put_bytes(b"a", b"3")
    with ShardStore(path, mode="r") as reader:
        assert {key: block[b""] for key, block in reader.items()} == {b"first": b"2", b"b": b"2", b"a": b"3"}


# Forks


@pytest.mark.parametrize("finish", ["close", "put"])
def test_a_process_is_forked_while_a_thread_is_in_the_middle_of_a_put(
    path: str, finish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    write = disk.write

    def slow(*arguments: Any) -> None:
        write(*arguments)
        inside.set()
        go_on.wait()

    with ShardStore(path) as store:
        store.put_bytes(b"before", b"1")
        monkeypatch.setattr(disk, "write", slow)
        thread = threading.Thread(target=store.put_bytes, args=(b"slow", b"2"))
        thread.start()
        inside.wait()

        def work(tell: Callable[[str], None]) -> None:
            signal.alarm(10)
            go_on.set()
            if finish == "put":
                assert store.get_bytes(b"before") == b"1"
                store.put_bytes(b"child", b"3")
                assert store.get_bytes(b"child") == b"3"
            store.close()
            tell("done")

        try:
            assert Child(work).end() == ["done"]
        finally:
            go_on.set()
            thread.join()
        assert sorted(store) == sorted([b"before", b"slow"] + [b"child"] * (finish == "put"))


def test_threads_of_a_forked_child_begin_together(path: str) -> None:
    def work(tell: Callable[[str], None]) -> None:
        from container.together import Together

        together = Together(30)
        for number in range(8):
            together.add(store.put_bytes, b"child %d" % number, b"1")
        together.join()
        assert len(store) == 9
        tell("done")

    with ShardStore(path) as store:
        store.put_bytes(b"before", b"1")
        for _ in range(5):
            assert Child(work).end() == ["done"]
            assert len(store) == 9
            for number in range(8):
                store.delete(b"child %d" % number)


def test_a_frame_of_the_index_that_is_just_being_written_is_no_damage(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems show what is written page by page."""
    with ShardStore(path) as writer:
        writer.put_bytes(b"key", b"value")
        write = disk.write
        opened = []

        def in_two(file: Any, data: Any) -> None:
            whole = bytes(data)
            if not whole.startswith(b"\xf1SPf"):
                write(file, whole)
                return
            write(file, whole[:100])
            rest = [whole[100:]]
            with monkeypatch.context() as meanwhile:
                # The reader waits, and the writer goes on.
                meanwhile.setattr(time, "sleep", lambda seconds: write(file, rest.pop()) if rest else None)
                with ShardStore(path, "r") as other:  # a warning would be an error here
                    opened.append(other.get_bytes(b"key"))
            assert not rest

        with monkeypatch.context() as patched:
            patched.setattr(disk, "write", in_two)
            writer.flush()
        assert opened == [b"value"]


# Compaction


def test_shards_that_others_compact_while_tombstones_are_looked_at_are_not_mistaken(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import smartpipe.shards.shard_set as module

    first, second = ShardStore(path), ShardStore(path)
    first.put_many({b"%d" % number: b"old" for number in range(20)})
    first.put_bytes(b"0", b"new", overwrite=True)  # so that compaction looks at this shard, which has a writer
    with ShardStore(path, shard_size=1) as other:
        other.delete(b"1")  # in a full shard
        second.delete(b"2")  # in an open one
        other.delete(b"3")  # in a full one again
        other.delete(b"4")
    stores = [ShardStore(path) for _ in range(3)]

    def join() -> None:
        assert stores[0].compact().shards == 2
        monkeypatch.setattr(module, "open_shard", taking)

    def write() -> None:
        for number, store in enumerate(stores):
            for key in range(5 + 5 * number, 10 + 5 * number):
                store.delete(b"%d" % key)

    taking = Between(module.open_shard, 0, write)
    with ShardStore(path, shard_size=1) as store:
        monkeypatch.setattr(disk, "open", Between(disk.open, 0, join, False))
        store.compact()
        assert taking.count > 0
        assert set(store) == {b"0"}
    for each in (first, second, *stores):
        assert set(each) == {b"0"}
        each.close()


# Faults and interrupts


def test_a_full_disk_leaves_no_heap_of_files(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a shard can be begun and the manifest can not be written, each put tries it again."""
    write = disk.write

    def full(file: Any, data: Any) -> None:
        if b'"shards"' in bytes(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    with ShardStore(path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(disk, "write", full)
            for _ in range(10):
                with pytest.raises(smartpipe.StorageError) as caught:
                    store.put_bytes(b"key", b"value")
                assert caught.value.errno == errno.ENOSPC
                assert b"key" not in store
        assert data_files(path) == []
        store.put_bytes(b"key", b"value")
        assert store.get_bytes(b"key") == b"value"
    assert len(data_files(path)) == 1
    assert sorted(name for name in os.listdir(os.path.join(path, "manifest")) if name.startswith(".")) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("many", [False, True])
def test_what_others_have_seen_of_a_write_that_failed_is_not_taken_back(
    path: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, many: bool
) -> None:
    """Compaction may have dropped what it replaces."""
    with ShardStore(path, shard_size=2000) as other, ShardStore(path) as store:
        other.put_bytes(b"key", b"old" * 1000)
        other.put_bytes(b"fills the next", b"x")
        store.put_bytes(b"before", b"acknowledged")
        write = disk.write
        done = []

        def fails(file: Any, data: Any) -> None:
            write(file, data)
            if b"new value" in bytes(data) and not done:
                done.append(1)
                assert other.get_bytes(b"key") == b"new value"
                assert other.compact().shards == 1
                raise error

        with monkeypatch.context() as patched:
            patched.setattr(disk, "write", fails)
            with pytest.raises((smartpipe.StorageError, KeyboardInterrupt)):
                if many:
                    store.put_many({b"key": b"new value", b"more": b"value"}, overwrite=True)
                else:
                    store.put_bytes(b"key", b"new value", overwrite=True)
        assert done
        for one in (store, other):
            assert one.get_bytes(b"key") == b"new value"
            assert one.get_bytes(b"before") == b"acknowledged"
        store.put_bytes(b"after", b"goes on")
        assert other.get_bytes(b"after") == b"goes on"
    with ShardStore(path, "r") as again:
        assert again.get_bytes(b"key") == b"new value"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_write_that_was_cut_short_is_cut_off_by_the_next(
    path: str, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with ShardStore(path) as store:
        store.put_bytes(b"before", b"acknowledged")
        write = disk.write

        def fails(file: Any, data: Any) -> None:
            if b"value" not in bytes(data):
                return write(file, data)
            write(file, bytes(data)[:50])
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(disk, "write", fails)
            with warned(), pytest.raises((smartpipe.StorageError, KeyboardInterrupt)):
                store.put_bytes(b"key", b"value")
        assert b"key" not in store
        with warned() as messages:
            store.put_bytes(b"key", b"another")
        assert [message for message in messages if "cut off: an unfinished block, 50 bytes" in message]
        assert store.get_bytes(b"key") == b"another"
        assert store.get_bytes(b"before") == b"acknowledged"
        assert len(data_files(path)) == 1
