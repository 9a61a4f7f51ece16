import ctypes
import faulthandler
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

import smartpipe
from smartpipe import FunctionError, WorkerError
from smartpipe.operations import workers

OPERATION = importlib.import_module("smartpipe.operations.map")

both = pytest.mark.parametrize("jobs", [1, 3])


def numbered(count, size=10):
    """Blocks `000`, `001`, ... with a pair n, their number, and a pair raw of so many bytes."""
    return [(b"%05d" % n, [(b"n", b"%d" % n), (b"raw", bytes([n % 256]) * size)]) for n in range(count)]


def double(key, block):
    return {b"n": b"%d" % (2 * int(block[b"n"]))}


def doubled(count):
    return [(b"%05d" % n, [(b"n", b"%d" % (2 * n))]) for n in range(count)]


@pytest.fixture
def calls(tmp_path):
    """calls.note(key) in any process; calls.keys() gives all that were noted."""
    path = tmp_path / "calls"
    path.touch()

    def note(key):
        with open(path, "ab", buffering=0) as file:
            file.write(key + b"\n")

    return types.SimpleNamespace(note=note, keys=lambda: path.read_bytes().split(b"\n")[:-1])


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert multiprocessing.active_children() == []


# What a function may return


@both
@pytest.mark.parametrize("options", [{}, {"compress": True}, {"format": 1}, {"format": 1, "compress": True}])
def test_blocks_come_out_in_the_order_of_the_source(options, jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(700, size=5000), **options)

    def slower_at_the_front(key, block):
        time.sleep(0.002 * (key < b"00020"))
        return double(key, block)

    counts = smartpipe.map(source, tmp_path / "new", slower_at_the_front, jobs=jobs, **options)
    assert blocks_of(tmp_path / "new") == doubled(700)
    assert (counts.read, counts.written, counts.dropped, counts.failed, counts.skipped) == (700, 700, 0, 0, 0)
    # 8 bytes for the lengths of a pair, and its key and value.
    assert counts.read_bytes == sum(8 + 1 + len(b"%d" % n) + 8 + 3 + 5000 for n in range(700))
    assert counts.written_bytes == sum(8 + 1 + len(b"%d" % (2 * n)) for n in range(700))
    with smartpipe.open(tmp_path / "new") as pipe:
        assert (pipe.format, pipe.codec) == (options.get("format", 2), "zlib" if options.get("compress") else "none")


@both
@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (lambda block: {b"b": b"2", b"a": b"1"}, [(b"b", b"2"), (b"a", b"1")]),
        (lambda block: types.MappingProxyType({b"a": b"1"}), [(b"a", b"1")]),
        (lambda block: [(b"a", b"1"), (b"a", b"2")], [(b"a", b"1"), (b"a", b"2")]),
        (lambda block: ((b"a", b"1"),), [(b"a", b"1")]),
        (lambda block: ([name, value * 2] for name, value in block), [(b"n", b"00"), (b"raw", b"\0\0\0\0")]),
        (lambda block: block, [(b"n", b"0"), (b"raw", b"\0\0")]),
        (lambda block: [(bytearray(b"a"), memoryview(b"xyz")[::2])], [(b"a", b"xz")]),
        (lambda block: {b"a": ctypes.create_string_buffer(b"abc", 3)}, [(b"a", b"abc")]),
        (lambda block: {b"": b""}, [(b"", b"")]),
        (lambda block: {}, []),
        (lambda block: [], []),
    ],
)
def test_what_is_written(returned, expected, jobs, planted, tmp_path, blocks_of):
    source = planted("source", [(b"k", [(b"n", b"0"), (b"raw", b"\0\0")])])
    counts = smartpipe.map(source, tmp_path / "new", lambda key, block: returned(block), jobs=jobs)
    assert blocks_of(tmp_path / "new") == [(b"k", expected)]
    assert (counts.written, counts.failed) == (1, 0)


@both
def test_none_drops_the_block(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(50))
    counts = smartpipe.map(
        source, tmp_path / "new", lambda key, block: double(key, block) if key < b"00010" else None, jobs=jobs
    )
    assert blocks_of(tmp_path / "new") == doubled(10)
    assert (counts.read, counts.written, counts.dropped) == (50, 10, 40)


@both
@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ({b"a": "text"}, "str"),
        ({"a": b"1"}, "str"),
        ({b"a": None}, "NoneType"),
        ({b"a": 5}, "int"),
        ("text", "str"),
        (b"bytes", "bytes"),
        (7, "int"),
        ((b"key", b"value"), "b'key'"),
        ([(b"a", b"1", b"2")], "b'2'"),
        ([b"ab"], "int"),
        ([None], "None"),
    ],
)
def test_what_are_no_pairs_is_an_error_of_the_block(returned, complaint, jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(3))
    counts = smartpipe.map(
        source,
        tmp_path / "new",
        lambda key, block: returned if key == b"00001" else double(key, block),
        jobs=jobs,
    )
    assert (counts.written, counts.failed) == (2, 1)
    first, (key, pairs), last = blocks_of(tmp_path / "new")
    assert [first, last] == [doubled(3)[0], doubled(3)[2]]
    assert (key, [name for name, _ in pairs]) == (b"00001", [b"error"])
    assert pairs[0][1].startswith(b"TypeError: ") and complaint.encode() in pairs[0][1]


def fails_at_7(key, block):
    if key == b"00007":
        helper()
    return double(key, block)


def helper():
    raise LookupError("no such thing: \udcff")


@both
def test_an_exception_is_recorded_with_its_traceback(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(40))
    counts = smartpipe.map(source, tmp_path / "new", fails_at_7, jobs=jobs)
    found = blocks_of(tmp_path / "new")
    assert found[:7] + found[8:] == doubled(40)[:7] + doubled(40)[8:]
    key, [(name, text)] = found[7]
    lines = text.decode().splitlines()
    assert (key, name, counts.failed, counts.written) == (b"00007", b"error", 1, 39)
    # The frames of the function and of what it called, none of ours.
    assert [line.split(" in ")[1] for line in lines if line.startswith("  File ")] == ["fails_at_7", "helper"]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == r"LookupError: no such thing: \udcff"
    assert counts.written_bytes == 8 + 5 + len(text) + sum(8 + 1 + len(b"%d" % (2 * n)) for n in range(40) if n != 7)


def test_a_generator_that_raises_leaves_none_of_its_pairs(planted, tmp_path, blocks_of):
    def half(key, block):
        yield b"a", b"1"
        raise ValueError("in between")

    counts = smartpipe.map(planted("source", numbered(1)), tmp_path / "new", half, jobs=2)
    [(_, [(name, text)])] = blocks_of(tmp_path / "new")
    assert (name, counts.failed) == (b"error", 1)
    assert b", in half\n" in text and text.endswith(b"ValueError: in between\n")


@both
def test_a_message_as_large_as_a_page_is_cut_in_the_middle(jobs, planted, tmp_path, blocks_of):
    def function(key, block):
        raise ValueError("<html>" + "x" * 10_000_000 + "</html>")

    smartpipe.map(planted("source", numbered(1)), tmp_path / "new", function, jobs=jobs)
    [(_, [(_, text)])] = blocks_of(tmp_path / "new")
    assert len(text) < 70_000
    assert b"ValueError: <html>xxx" in text and text.endswith(b"xxx</html>\n")


@both
def test_too_much_is_an_error_of_the_block(jobs, planted, tmp_path, blocks_of):
    def endless(key, block):
        while True:
            yield b"a", bytes(10)

    counts = smartpipe.map(planted("source", numbered(1)), tmp_path / "new", endless, jobs=jobs, max_block_size=2000)
    [(_, [(_, text)])] = blocks_of(tmp_path / "new")
    assert b"BlockTooLargeError" in text and b"max_block_size, 2000" in text
    assert counts.failed == 1


# on_error="raise"


@both
def test_raise_names_the_block_and_keeps_what_came_before(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(40))
    with pytest.raises(FunctionError, match="LookupError: no such thing") as caught:
        smartpipe.map(source, tmp_path / "new", fails_at_7, jobs=jobs, on_error="raise")
    assert caught.value.block == b"00007" and "b'00007'" in str(caught.value)
    assert caught.value.path == source + ".dat"
    assert isinstance(caught.value, smartpipe.SmartPipeError)
    assert isinstance(caught.value.__cause__, LookupError)
    assert f"7 blocks are in {tmp_path}/new.dat" in str(caught.value)
    assert blocks_of(tmp_path / "new") == doubled(40)[:7]
    counts = smartpipe.map(source, tmp_path / "new", double, jobs=jobs, on_error="raise", resume=True)
    assert blocks_of(tmp_path / "new") == doubled(40)
    assert (counts.skipped, counts.read) == (7, 33)


class Unwilling(Exception):
    """Pickles, and can not be made again from that."""

    def __init__(self, one, two):
        super().__init__(one)


@pytest.mark.parametrize("content", [lambda: None, sys.stderr, Unwilling])
@pytest.mark.parametrize("on_error", ["record", "raise"])
def test_exceptions_that_can_not_travel(content, on_error, planted, tmp_path, blocks_of):
    def function(key, block):
        error = Unwilling("first", "second")
        error.content = content
        raise error

    source = planted("source", numbered(20))
    if on_error == "record":
        assert smartpipe.map(source, tmp_path / "new", function, jobs=2).failed == 20
        assert all(pairs[0][1].endswith(b"Unwilling: first\n") for _, pairs in blocks_of(tmp_path / "new"))
    else:
        with pytest.raises(FunctionError, match="Unwilling: first") as caught:
            smartpipe.map(source, tmp_path / "new", function, jobs=2, on_error=on_error)
        assert caught.value.block == b"00000"
        assert ", in function\n" in str(caught.value.__cause__)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_no_error_of_the_function_ends_the_run(jobs, planted, tmp_path, blocks_of):
    def function(key, block):
        if key == b"00007":
            sys.exit(5)
        return double(key, block)

    with pytest.raises(SystemExit if jobs == 1 else WorkerError):
        smartpipe.map(planted("source", numbered(40)), tmp_path / "new", function, jobs=jobs)
    found = blocks_of(tmp_path / "new")
    assert found == doubled(40)[: len(found)] and len(found) <= 7


# What is read


@both
def test_select(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(30, size=9000))
    counts = smartpipe.map(source, tmp_path / "new", lambda key, block: block, iter([b"n", b"x"]), jobs=jobs)
    assert blocks_of(tmp_path / "new") == [(key, pairs[:1]) for key, pairs in numbered(30)]
    assert counts.read_bytes == counts.written_bytes == 30 * 9 + 10 + 2 * 20


@both
def test_a_split_of_a_pipe(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(100))
    with smartpipe.open(source) as pipe:
        splits = pipe.splits(3)
    parts = []
    for number, split in enumerate(splits):
        parts.append(tmp_path / f"part-{number}")
        smartpipe.map(split, parts[-1], double, jobs=jobs)
    assert [block for part in parts for block in blocks_of(part)] == doubled(100)
    assert 0 < len(blocks_of(parts[1])) < 100


@both
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("format", [1, 2])
def test_hardly_any_blocks(count, format, jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(count), format=format)
    counts = smartpipe.map(source, tmp_path / "new", double, jobs=jobs)
    assert blocks_of(tmp_path / "new") == doubled(count)
    assert counts.read == count
    assert smartpipe.map(source, tmp_path / "new", double, jobs=jobs, resume=True).skipped == count


def test_one_job_is_this_process_and_more_are_others(planted, tmp_path, blocks_of):
    source = planted("source", numbered(60))

    def worker(key, block):
        time.sleep(0.01)
        return {b"pid": b"%d" % os.getpid()}

    for jobs in (1, 2, 3):
        smartpipe.map(source, tmp_path / "new", worker, jobs=jobs)
        pids = {int(pairs[0][1]) for _, pairs in blocks_of(tmp_path / "new")}
        assert len(pids) == jobs
        assert (os.getpid() in pids) == (jobs == 1)


def test_by_default_all_processors_that_may_be_used(planted, tmp_path, blocks_of):
    source = planted("source", numbered(3))
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        smartpipe.map(source, tmp_path / "new", lambda key, block: {b"pid": b"%d" % os.getpid()})
    finally:
        os.sched_setaffinity(0, allowed)
    assert {pairs[0][1] for _, pairs in blocks_of(tmp_path / "new")} == {b"%d" % os.getpid()}


@both
def test_results_do_not_depend_on_jobs_or_parts(jobs, planted, tmp_path, monkeypatch, blocks_of):
    def function(key, block):
        n = int(block[b"n"])
        if n % 7 == 3:
            raise ValueError(n)
        return None if n % 5 == 0 else [(b"raw", block[b"raw"] * (n % 11))]

    source = planted("source", numbered(300, size=3000), compress=True)
    smartpipe.map(source, tmp_path / "plain", function, jobs=1)
    monkeypatch.setattr(OPERATION, "PART_BYTES", 10_000)
    monkeypatch.setattr(OPERATION, "BATCH_BYTES", 5000)
    monkeypatch.setattr(workers, "AHEAD", 20_000)
    monkeypatch.setattr(workers, "TASKS", 1)
    smartpipe.map(source, tmp_path / "new", function, jobs=jobs, compress=True)
    assert blocks_of(tmp_path / "new") == blocks_of(tmp_path / "plain")
    kept = [n for n in range(300) if n % 7 == 3 or n % 5]
    assert [key for key, _ in blocks_of(tmp_path / "new")] == [b"%05d" % n for n in kept]


@both
@pytest.mark.parametrize("format", [1, 2])
def test_damage_of_the_source_keeps_what_came_before(format, jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(50), format=format, compress=True)
    with smartpipe.open(source) as pipe:
        entry = next(entry for entry in pipe.entries() if entry.number == 30)
    data = bytearray(Path(source + ".datz").read_bytes())
    data[entry.offset + 2 : entry.offset + entry.stored] = bytes(entry.stored - 2)
    Path(source + ".datz").write_bytes(data)
    with pytest.raises(smartpipe.CorruptError) as caught:
        smartpipe.map(source, tmp_path / "new", double, jobs=jobs)
    assert (caught.value.path, caught.value.offset) == (source + ".datz", entry.offset)
    assert blocks_of(tmp_path / "new") == doubled(30)


@both
def test_a_source_that_is_cut_keeps_what_came_before(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(50, size=100), format=1)
    os.truncate(source + ".dat", os.path.getsize(source + ".dat") * 3 // 5)
    with pytest.raises(smartpipe.TruncatedError) as caught:
        smartpipe.map(source, tmp_path / "new", double, jobs=jobs)
    found = blocks_of(tmp_path / "new")
    assert found == doubled(50)[: len(found)]
    assert caught.value.block == b"%05d" % len(found)
    assert 25 < len(found) < 35


# Where it goes


def test_an_old_pipe_is_replaced_when_all_is_done(planted, tmp_path, blocks_of):
    source = planted("source", numbered(20))
    old = planted("old", [(b"kept", [])], compress=True)
    seen = []

    def function(key, block):
        seen.append(blocks_of(old))
        return double(key, block)

    smartpipe.map(source, old, function, jobs=1)
    assert seen == [[(b"kept", [])]] * 20
    assert blocks_of(old) == doubled(20)
    with pytest.raises(smartpipe.PipeExistsError, match="old"):
        smartpipe.map(source, old, double, mode="x")


@both
def test_an_old_pipe_stays_when_the_run_fails(jobs, planted, tmp_path, blocks_of):
    source = planted("source", numbered(20))
    old = planted("old", [(b"kept", [])])
    with pytest.raises(FunctionError, match=f"7 blocks are in {old}.new.dat, and {old} is as it was"):
        smartpipe.map(source, old, fails_at_7, jobs=jobs, on_error="raise")
    assert blocks_of(old) == [(b"kept", [])]
    assert blocks_of(old + ".new") == doubled(20)[:7]
    # Which of the two is to be gone on with is not guessed.
    with pytest.raises(smartpipe.PipeExistsError, match=f"{old}.new"):
        smartpipe.map(source, old, double, jobs=jobs, resume=True)
    assert blocks_of(old) == [(b"kept", [])]
    smartpipe.map(source, old + ".new", double, jobs=jobs, resume=True)
    assert blocks_of(old + ".new") == doubled(20)


@pytest.mark.parametrize("name", ["source", "source.dat", "source.idx", "./here/../source", "link", "hard"])
@pytest.mark.parametrize("resume", [False, True])
def test_the_destination_must_not_be_the_source(name, resume, planted, tmp_path, blocks_of):
    source = planted("source", numbered(5))
    (tmp_path / "here").mkdir()
    os.symlink(source + ".dat", tmp_path / "link.dat")
    os.link(source + ".dat", tmp_path / "hard.dat")
    with pytest.raises(ValueError, match="same pipe"):
        smartpipe.map(source, tmp_path / name, double, resume=resume, compress=True)
    assert blocks_of(source) == numbered(5)


def test_the_source_must_not_lie_where_the_new_pipe_is_made(planted, tmp_path, blocks_of):
    old = planted("pipe", [(b"kept", [])])
    source = planted("pipe.new", numbered(5))
    with pytest.raises(ValueError, match="same pipe"):
        smartpipe.map(source, old, double)
    assert blocks_of(source) == numbered(5)
    assert blocks_of(old) == [(b"kept", [])]


@both
def test_what_can_not_be_opened(jobs, planted, tmp_path):
    source = planted("source", numbered(5))
    with pytest.raises(smartpipe.PipeNotFoundError, match="nowhere"):
        smartpipe.map(tmp_path / "nowhere", tmp_path / "new", double, jobs=jobs)
    with pytest.raises(smartpipe.StorageError, match="no-folder"):
        smartpipe.map(source, tmp_path / "no-folder" / "new", double, jobs=jobs)
    with smartpipe.open(tmp_path / "busy", "w"), pytest.raises(smartpipe.LockedError):
        smartpipe.map(source, tmp_path / "busy", double, jobs=jobs)
    assert not (tmp_path / "new.dat").exists()


@both
def test_misuse(jobs, planted, tmp_path):
    source = planted("source", numbered(5))
    for wrong, kind in (
        ({"function": "os.path:basename"}, TypeError),
        ({"select": b"raw"}, TypeError),
        ({"select": ["raw"]}, TypeError),
        ({"select": 5}, TypeError),
        ({"jobs": 0}, ValueError),
        ({"on_error": "skip"}, ValueError),
        ({"mode": "a"}, ValueError),
        ({"format": 3}, ValueError),
        ({"no_such_option": 1}, TypeError),
    ):
        with pytest.raises(kind):
            smartpipe.map(source, tmp_path / "new", **{"function": double, "jobs": jobs, **wrong})
    assert not list(tmp_path.glob("new*"))


def test_the_new_pipe_has_the_options_of_open(planted, tmp_path):
    source = planted("source", numbered(5))
    smartpipe.map(source, tmp_path / "new", double, compress=True, level=1, metadata={b"by": b"test"})
    with smartpipe.open(tmp_path / "new") as pipe:
        assert (pipe.codec, pipe.metadata[b"by"]) == ("zlib", b"test")


@both
def test_progress_counts_blocks(jobs, planted, tmp_path):
    source = planted("source", numbered(30))
    told = []
    smartpipe.map(source, tmp_path / "new", fails_at_7, jobs=jobs, progress=lambda *at: told.append(at))
    assert told == [(n, 30) for n in range(1, 31)]
    told.clear()
    smartpipe.map(source, tmp_path / "new", double, jobs=jobs, resume=True, progress=lambda *at: told.append(at))
    assert told == [(30, 30)]


# Going on


@both
@pytest.mark.parametrize("format", [1, 2])
def test_resume_calls_the_function_for_what_is_missing(format, jobs, planted, tmp_path, calls, blocks_of):
    source = planted("source", numbered(200))
    done = [block for block in doubled(200) if block[0] < b"00050" and block[0] != b"00020"] + doubled(200)[120:121]
    new = planted("new", done, format=format)

    def function(key, block):
        calls.note(key)
        return double(key, block)

    counts = smartpipe.map(source, new, function, jobs=jobs, resume=True)
    missing = [block for block in doubled(200) if block not in done]
    assert sorted(calls.keys()) == [key for key, _ in missing]
    assert blocks_of(new) == done + missing
    assert (counts.skipped, counts.read, counts.written) == (50, 150, 150)


@both
def test_resume_begins_a_pipe_and_runs_dropped_blocks_again_and_failed_ones_not(
    jobs, planted, tmp_path, calls, blocks_of
):
    def function(key, block):
        calls.note(key)
        if key == b"00003":
            raise ValueError
        return None if key == b"00005" else double(key, block)

    source = planted("source", numbered(10))
    for expected in ((0, 10, 1, 1), (9, 1, 1, 0)):
        counts = smartpipe.map(source, tmp_path / "new", function, jobs=jobs, resume=True)
        assert (counts.skipped, counts.read, counts.dropped, counts.failed) == expected
    assert sorted(calls.keys()) == sorted([b"%05d" % n for n in range(10)] + [b"00005"])


def test_resume_takes_what_was_added_to_the_source(planted, tmp_path, blocks_of):
    source = planted("source", numbered(100)[:60])
    smartpipe.map(source, tmp_path / "new", double, jobs=2)
    with smartpipe.open(source, "a") as pipe:
        for key, pairs in numbered(100)[60:]:
            pipe.write(key, pairs)
    assert smartpipe.map(source, tmp_path / "new", double, jobs=2, resume=True).skipped == 60
    assert blocks_of(tmp_path / "new") == doubled(100)


# Processes that end


def dies_at_7(how):
    def function(key, block):
        if key == b"00007":
            how()
        return double(key, block)

    return function


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9"),
        (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "signal 11"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "signal 15"),
        (lambda: os.closerange(3, 1000) or time.sleep(1000), "does not answer"),
    ],
)
@pytest.mark.parametrize("count", [8, 40])
def test_a_worker_that_dies_is_named_with_its_block(how, said, count, planted, tmp_path, blocks_of):
    source = planted("source", numbered(count))
    with pytest.raises(WorkerError, match=said) as caught:
        smartpipe.map(source, tmp_path / "new", dies_at_7(how), jobs=2)
    assert caught.value.block == b"00007"
    assert caught.value.path == source + ".dat"
    found = blocks_of(tmp_path / "new")
    assert found == doubled(count)[: len(found)] and len(found) <= 7
    assert f"{len(found)} blocks are in {tmp_path}/new.dat" in str(caught.value)
    smartpipe.map(source, tmp_path / "new", double, jobs=2, resume=True)
    assert blocks_of(tmp_path / "new") == doubled(count)


def test_a_process_of_the_function_that_lives_on_hides_no_death(planted, tmp_path):
    """A process that the function forks has the connection of the worker, which so stays open."""
    release = tmp_path / "release"

    def function(key, block):
        if os.fork() == 0:
            while not release.exists():
                time.sleep(0.05)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match="signal 9"):
        smartpipe.map(planted("source", numbered(1)), tmp_path / "new", function, jobs=2)
    release.touch()


def test_a_thread_that_the_function_left_behind_holds_up_nothing(planted, tmp_path, blocks_of):
    import threading

    def function(key, block):
        threading.Thread(target=time.sleep, args=[1000]).start()
        return double(key, block)

    smartpipe.map(planted("source", numbered(3)), tmp_path / "new", function, jobs=2)
    assert blocks_of(tmp_path / "new") == doubled(3)


# Memory


def seen_while_the_first_is_slow(source, new, size, enough):
    """How many blocks the function was called for before the first block, for which it waited, was through."""
    counter = multiprocessing.Value("q", 0)

    def function(key, block):
        with counter.get_lock():
            counter.value += 1
        if key == b"00000":
            before = -1
            while counter.value < enough or counter.value != before:
                before = counter.value
                time.sleep(0.5)
            return {b"calls": b"%d" % before}
        return None if size is None else {b"raw": bytes(size)}

    smartpipe.map(source, new, function, jobs=2)
    with smartpipe.open(new) as pipe:
        return int(pipe[b"00000"][b"calls"])


def test_results_that_wait_for_their_turn_are_bounded_in_bytes(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "AHEAD", 1 << 20)
    source = planted("source", numbered(1000))
    seen = seen_while_the_first_is_slow(source, tmp_path / "new", 64 << 10, enough=32)
    # 2 MiB that wait, a message behind them, and for the other process a message, and one that it is about to send.
    assert seen <= ((2 << 20) + 3 * OPERATION.BATCH_BYTES) // (64 << 10) + 4


def test_results_that_wait_for_their_turn_are_bounded_in_blocks(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(OPERATION, "PART_BLOCKS", 10)
    source = planted("source", numbered(3000))
    seen = seen_while_the_first_is_slow(source, tmp_path / "new", None, enough=100)
    assert seen <= 10 * workers.TASKS * 2


# Processes that are started anew, as on macOS


def test_spawned_processes(planted, tmp_path, monkeypatch, blocks_of):
    monkeypatch.setattr(workers, "START", "spawn")
    source = planted("source", numbered(40), compress=True)
    with pytest.raises(FunctionError) as caught:
        smartpipe.map(source, tmp_path / "new", fails_at_7, [b"n"], jobs=2, on_error="raise")
    assert caught.value.block == b"00007"
    smartpipe.map(source, tmp_path / "new", double, [b"n"], jobs=2, resume=True)
    assert blocks_of(tmp_path / "new") == doubled(40)


def test_a_function_that_can_not_be_sent_is_refused(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "START", "spawn")
    source = planted("source", numbered(4))
    with pytest.raises(ValueError, match="can not be sent"):
        smartpipe.map(source, tmp_path / "new", lambda key, block: block, jobs=2)
    assert not (tmp_path / "new.dat").exists()


# Signals, and the end of the whole run

PROGRAM = """
import os, signal, sys, time
import smartpipe

signal.signal(signal.SIGTERM, signal.default_int_handler)
source, new, note, release, jobs = sys.argv[1:]
notes = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def function(key, block):
    os.write(notes, b"%d %s\\n" % (os.getpid(), key))
    time.sleep(0.003)
    while key == b"00500" and not os.path.exists(release):
        time.sleep(0.01)
    sys.stderr.write("called with " + key.decode() + "\\n")  # at once: two workers do
    return {b"n": b"%d" % (2 * int(block[b"n"])), b"raw": block[b"raw"]}

smartpipe.map(source, new, function, jobs=int(jobs))
"""


class Program:
    """A run in a process of its own, which leads a process group. At block 500 it waits for its release."""

    def __init__(self, folder, source, jobs):
        self.new = str(folder / "new")
        self.notes = folder / "notes"
        self.release = folder / "release"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, source, self.new, str(self.notes), str(self.release), str(jobs)],
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_for(self, size):
        """Wait until so many bytes were written."""
        while not os.path.exists(self.new + ".dat") or os.path.getsize(self.new + ".dat") < size:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def end(self):
        """The exit code, and what was printed; comes back when standard error is closed by the last that has it."""
        with self.process.stderr:
            error = self.process.stderr.read().decode()
        return self.process.wait(), error

    def called(self):
        """For which blocks the function was called, and in which process."""
        return {key: int(pid) for pid, key in map(bytes.split, self.notes.read_bytes().splitlines())}

    def workers(self):
        """The workers that still run."""
        return [pid for pid in set(self.called().values()) if self.runs(pid)]

    @staticmethod
    def runs(pid):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in "ZX"


@pytest.fixture
def program(planted, tmp_path, blocks_of):
    """program(jobs) begins a run over 1000 blocks of 1000 bytes, of which at least ten are through."""
    source = planted("source", numbered(1000, size=1000))
    begun = []

    def begin(jobs):
        begun.append(Program(tmp_path, source, jobs))
        begun[-1].wait_for(12_000)
        return begun[-1]

    yield begin
    [program] = begun
    program.release.touch()
    if program.process.returncode is None:
        program.end()

    # Whatever ended the run, what is there is the beginning of the result, and it can be gone on with.
    expected = [(key, [(b"n", b"%d" % (2 * int(pairs[0][1]))), pairs[1]]) for key, pairs in numbered(1000, size=1000)]
    with smartpipe.open(program.new, "a"):
        pass
    found = blocks_of(program.new)
    assert 10 <= len(found) < 1000
    assert found == expected[: len(found)]
    counts = smartpipe.map(
        source, program.new, lambda key, block: {**double(key, block), b"raw": block[b"raw"]}, jobs=2, resume=True
    )
    assert (counts.skipped, counts.read) == (len(found), 1000 - len(found))
    assert blocks_of(program.new) == expected


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to", ["group", "parent"])
def test_an_interruption_leaves_no_worker_and_a_closed_pipe(to, number, jobs, program):
    run = program(jobs)
    if to == "parent":
        os.kill(run.process.pid, number)
    else:
        os.killpg(run.process.pid, number)
    code, error = run.end()
    assert run.workers() == []
    last = error.splitlines()[-1]
    # Python ends itself with the signal, or with its number for the shell.
    assert code in (-signal.SIGINT, 128 + signal.SIGINT), error
    assert last.startswith("KeyboardInterrupt") and f"blocks are in {run.new}.dat" in last
    assert error.count("Traceback") == 1, error
    with smartpipe.open(run.new) as pipe:
        assert f"{len(pipe)} blocks are in" in last


@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_of_the_whole_run(jobs, program):
    run = program(jobs)
    os.killpg(run.process.pid, signal.SIGKILL)
    assert run.end()[0] == -signal.SIGKILL


def test_kill_of_the_parent(program):
    run = program(2)
    while b"00500" not in run.called():
        time.sleep(0.01)
    run.process.kill()
    run.process.wait()
    # The worker that is held up with its block does not hold the lock of the pipe.
    assert len(run.workers()) > 0
    with smartpipe.open(run.new, "a") as pipe:
        assert len(pipe) >= 10
    run.release.touch()
    run.end()
    while run.workers():
        time.sleep(0.01)


def test_what_workers_print(program):
    run = program(2)
    os.kill(run.process.pid, signal.SIGINT)
    assert "called with 00000\n" in run.end()[1]


DAEMONIC = """
import multiprocessing, sys
import smartpipe

def work(path):
    try:
        smartpipe.map(path, path + "-refused", keep, jobs=2)
    except ValueError as error:
        print(error, flush=True)
    print(smartpipe.map(path, path + "-new", keep, jobs=1).written, flush=True)

def keep(key, block):
    return block

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(work, sys.argv[1:])
"""


def test_a_daemonic_process_is_told_to_work_alone(tmp_path):
    with smartpipe.open(tmp_path / "source", "w") as pipe:
        pipe.write(b"a", {b"k": b"v"})
        pipe.write(b"b", {b"k": b"v"})
    home = str(Path(smartpipe.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", DAEMONIC, tmp_path / "source"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": home},
    )
    said, written = done.stdout.splitlines()
    assert "daemonic" in said and "jobs=1" in said and written == "2"
    assert not (tmp_path / "source-refused.dat").exists()
