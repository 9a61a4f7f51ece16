"""One writer at a time: the lock, who holds it, and when it is gone. FORMAT.md, «Files and locks»."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import smartpipe

from .pipes import SMALL, Kind, every_kind, files, plant, read, warned, write
from .process import run, start

one_kind_of_each_format = pytest.mark.parametrize("kind", [Kind(2, False), Kind(1, True)], ids=str)

HOLDING = """
import sys, time, smartpipe
path, mode, format, compress = sys.argv[1:]
pipe = smartpipe.open(path, mode, format=int(format), compress=bool(int(compress)))
pipe.write(b"held", {b"k": b"v"})
print("ready", flush=True)
time.sleep(600)
"""


def hold(prefix: str, mode: str, kind: Kind) -> Any:
    """Another process that has the pipe open for writing."""
    process = start(HOLDING, prefix, mode, kind.format, int(kind.compress))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@one_kind_of_each_format
@pytest.mark.parametrize("first", ["w", "x", "a"])
@pytest.mark.parametrize("second", ["w", "a"])
def test_a_second_writer_is_refused_and_told_who_is_the_first(kind: Kind, first: str, second: Any, prefix: str) -> None:
    if first != "x":
        plant(prefix, SMALL, kind)
    process = hold(prefix, first, kind)
    try:
        before = files(prefix)
        with pytest.raises(smartpipe.LockedError) as caught:
            smartpipe.open(prefix, second, **kind.options)
        if os.path.exists("/proc/locks"):
            assert f"process {process.pid}" in str(caught.value)
        assert caught.value.path == str(kind.data(prefix))
        assert not isinstance(caught.value, OSError)
        assert files(prefix) == before
    finally:
        process.kill()
        process.communicate()
    # It is gone with the process.
    with warned():
        expected = SMALL if first != "x" else []
        if first != "w":
            expected = [*expected, (b"held", [(b"k", b"v")])]
        assert read(prefix) == expected
        with smartpipe.open(prefix, second, **kind.options) as pipe:
            pipe.write(b"mine", {})
        assert read(prefix) == [*(expected if second == "a" else []), (b"mine", [])]


@every_kind
@pytest.mark.parametrize("first", ["w", "a"])
@pytest.mark.parametrize("second", ["w", "a"])
def test_a_second_writer_in_the_same_process(kind: Kind, first: Any, second: Any, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, first, **kind.options):
        for _ in range(3):
            with pytest.raises(smartpipe.LockedError, match=str(os.getpid()) if os.path.exists("/proc/locks") else ""):
                smartpipe.open(prefix, second, **kind.options)
    smartpipe.open(prefix, second, **kind.options).close()


@every_kind
@pytest.mark.parametrize("mode", ["w", "a", "x"])
@pytest.mark.parametrize("end", ["close", "abort", "exception"])
def test_the_lock_is_gone_with_the_writer(kind: Kind, mode: Any, end: str, prefix: str) -> None:
    if mode != "x":
        plant(prefix, SMALL, kind)
    pipe = smartpipe.open(prefix, mode, **kind.options)
    pipe.write(b"a", {})
    if end == "exception":
        with pytest.raises(RuntimeError), pipe:
            raise RuntimeError
    else:
        getattr(pipe, end)()
    with smartpipe.open(prefix, "a", **kind.options) as again:
        again.write(b"b", {})
    write(prefix, SMALL, kind)
    assert read(prefix) == SMALL


@every_kind
def test_a_failed_opening_keeps_no_lock(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with pytest.raises(ValueError):  # noqa: PT011
        smartpipe.open(prefix, "a", format=3 - kind.format)
    smartpipe.open(prefix, "a").close()


@every_kind
def test_readers_need_no_lock(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix) as early:
        process = hold(prefix, "a", kind)
        try:
            assert [(key, list(block)) for key, block in early.items()] == SMALL
            with warned():
                assert read(prefix) == [*SMALL, (b"held", [(b"k", b"v")])]
        finally:
            process.kill()
            process.communicate()
        smartpipe.open(prefix, "a").close()  # with a reader still there


@every_kind
def test_opening_and_closing_readers_does_not_free_the_lock(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"a", {})
        for _ in range(3):
            with warned():
                read(prefix)
        with pytest.raises(smartpipe.LockedError):
            smartpipe.open(prefix, "a")


@every_kind
def test_pipes_beside_each_other_are_locked_each_on_its_own(kind: Kind, prefix: str) -> None:
    with (
        smartpipe.open(prefix + "1", "w", **kind.options) as first,
        smartpipe.open(prefix + "2", "w", **kind.options) as second,
    ):
        first.write(b"a", {})
        second.write(b"b", {})
    assert (read(prefix + "1"), read(prefix + "2")) == ([(b"a", [])], [(b"b", [])])


@every_kind
def test_of_writers_that_open_at_once_one_wins(kind: Kind, prefix: str) -> None:
    for mode in ("x", "a", "w"):
        won: list[smartpipe.Writer] = []
        lost: list[type] = []
        ready = threading.Barrier(6)

        def work(mode: Any = mode, won: Any = won, lost: Any = lost, ready: threading.Barrier = ready) -> None:
            ready.wait()
            try:
                won.append(smartpipe.open(prefix, mode, **kind.options))
            except (smartpipe.LockedError, smartpipe.PipeExistsError) as error:
                lost.append(type(error))
            except BaseException as error:
                lost.append(type(error))

        workers = [threading.Thread(target=work) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(won) == 1, lost
        assert set(lost) <= {smartpipe.LockedError, smartpipe.PipeExistsError}
        won[0].write(mode.encode(), {})
        won[0].close()
    assert read(prefix) == [(b"w", [])]


@every_kind
def test_a_child_that_was_forked_does_not_keep_the_lock_of_a_closed_writer(kind: Kind, prefix: str) -> None:
    code = """
import os, sys, time, smartpipe
path, format, compress = sys.argv[1], int(sys.argv[2]), bool(int(sys.argv[3]))
pipe = smartpipe.open(path, "w", format=format, compress=compress)
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
pipe.write(b"a", {})
pipe.close()
try:
    with smartpipe.open(path, "a") as pipe:
        pipe.write(b"b", {})
    print("again")
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
    assert run(code, prefix, kind.format, int(kind.compress)) == "again\n"
    assert read(prefix) == [(b"a", []), (b"b", [])]


FORKING = """
import os, sys, smartpipe
path, mode, format, compress, child_does = sys.argv[1:]
with smartpipe.open(path, mode, format=int(format), compress=bool(int(compress))) as pipe:
    pipe.write(b"before", {b"k": b"v"})
    child = os.fork()
    if child == 0:
        try:
            if child_does == "write":
                try:
                    pipe.write(b"child", {b"k": b"v"})
                except smartpipe.ClosedError:
                    os._exit(0)
                os._exit(5)
            elif child_does == "close":
                pipe.close()
                os._exit(0)
            elif child_does == "abort":
                pipe.abort()
                os._exit(0)
            elif child_does == "exit":
                sys.exit(0)
            elif child_does == "drop":
                del pipe
                os._exit(0)
        except smartpipe.ClosedError:
            os._exit(0)
        except BaseException as error:
            if not isinstance(error, SystemExit):
                os._exit(6)
            raise
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    try:
        smartpipe.open(path, "a").close()
    except smartpipe.LockedError:
        print("locked")
    pipe.write(b"behind", {b"k": b"w"})
print("closed")
"""


@one_kind_of_each_format
@pytest.mark.parametrize("mode", ["w", "a", "x"])
@pytest.mark.parametrize("child", ["write", "close", "abort", "exit", "drop"])
def test_a_forked_child_has_no_part_in_the_writer(kind: Kind, mode: str, child: str, prefix: str) -> None:
    # It may not write, and what ends there takes nothing from the parent: neither files nor the lock.
    if mode != "x":
        plant(prefix, SMALL, kind)
    assert run(FORKING, prefix, mode, kind.format, int(kind.compress), child) == "locked\nclosed\n"
    new = [(b"before", [(b"k", b"v")]), (b"behind", [(b"k", b"w")])]
    assert read(prefix) == [*(SMALL if mode == "a" else []), *new]
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]


@every_kind
def test_a_forked_child_reads_with_the_reader_of_its_parent(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL * 1, kind)
    code = """
import os, sys, smartpipe
pipe = smartpipe.open(sys.argv[1])
items = pipe.items()
first = next(items)
child = os.fork()
for _ in range(200):
    blocks = [(key, list(block)) for key, block in pipe.items()]
    assert blocks == [(key, list(pipe[key])) for key in pipe] and len(blocks) == 4
assert len(list(items)) == 3
pipe.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("both")
"""
    assert run(code, prefix) == "both\n"


def test_a_program_that_is_started_does_not_keep_the_lock(prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
        pipe.write(b"a", {})
    try:
        smartpipe.open(prefix, "a").close()
    finally:
        child.kill()
        child.wait()


@every_kind
def test_a_data_file_that_was_replaced_while_waiting_for_its_lock(kind: Kind, prefix: str) -> None:
    # Two processes that append in turn while a third replaces the pipe: what each wrote last is never lost silently.
    code = """
import sys, smartpipe
path, mode, format, compress, name = sys.argv[1:]
done = 0
while done < 12:
    try:
        with smartpipe.open(path, mode, format=int(format), compress=bool(int(compress))) as pipe:
            if mode == "w":
                pipe.write(b"base", {})
            pipe.write(name.encode() + b"%d" % done, {b"k": b"v"})
        done += 1
    except smartpipe.LockedError:
        pass
    except smartpipe.DuplicateKeyError:
        raise SystemExit("twice")
"""
    plant(prefix, SMALL, kind)
    arguments = (kind.format, int(kind.compress))
    processes = [start(code, prefix, mode, *arguments, name) for mode, name in (("a", "x"), ("a", "y"), ("w", "z"))]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0, 0]
    found = read(prefix)
    assert [key for key, _ in found][:2] == [b"base", b"z11"]
    assert all(pairs == [(b"k", b"v")] for key, pairs in found[1:])
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]
    assert Path(prefix + ".new.idx").exists() is False
