"""Writing with threads: the same pipe as without, errors at the next call, and nothing left behind."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
from reference import format2

import smartpipe
from smartpipe._platform import disk

from .pipes import KINDS, PAGES, Blocks, Kind, every_kind, files, index, read, write
from .process import run
from .test_readahead import Interrupted, mixed

THREADS = [2, 3]
DURABILITIES: list[Any] = ["none", "close", "block", smartpipe.Grouped(milliseconds=1), smartpipe.Grouped(bytes=1000)]


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return mixed(600)


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("smartpipe-write")]


def wait_for_no_writers() -> None:
    end = time.monotonic() + 30
    while writers():
        assert time.monotonic() < end, "threads are still there"
        time.sleep(0.001)


@every_kind
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("durability", DURABILITIES, ids=str)
def test_threads_write_the_same_blocks_in_the_same_order(
    kind: Kind, threads: int, durability: Any, blocks: Blocks, scratch: str
) -> None:
    write(scratch, blocks, kind, threads=threads, durability=durability, level=1)
    assert read(scratch) == blocks
    assert smartpipe.verify(scratch).ok
    wait_for_no_writers()
    with smartpipe.open(scratch, "a", threads=threads, durability=durability) as pipe:
        pipe.write(*PAGES[0])
        with pipe.block(b"step by step") as block:
            for pair in PAGES[0][1]:
                block.append(*pair)
        pipe.checkpoint(b"as ever")
        pipe.append(b"k", b"v")
    assert read(scratch) == [*blocks, PAGES[0], (b"step by step", PAGES[0][1]), (b"as ever", [(b"k", b"v")])]


@pytest.mark.parametrize("kind", KINDS[2:], ids=str)
def test_the_files_of_format1_are_the_same(kind: Kind, blocks: Blocks, tmp_path: Path) -> None:
    for threads in (1, 2):
        (tmp_path / str(threads)).mkdir()
        write(tmp_path / str(threads) / "pipe", blocks, kind, threads=threads)
    assert files(tmp_path / "1" / "pipe") == files(tmp_path / "2" / "pipe")


@every_kind
def test_what_was_given_is_there_at_once(kind: Kind, blocks: Blocks, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options, threads=2, level=9) as pipe:
        for number, (key, pairs) in enumerate(blocks):
            pipe.write(key, pairs)
            assert key in pipe and len(pipe) == number + 1
            with pytest.raises(smartpipe.DuplicateKeyError):
                pipe.write(key, {})
        assert b"absent" not in pipe


@every_kind
@pytest.mark.parametrize("way", ["flush", "sync", "block"])
def test_what_is_acknowledged_is_seen_by_a_reader(kind: Kind, way: str, blocks: Blocks, prefix: str) -> None:
    durability: Any = "block" if way == "block" else "none"
    with smartpipe.open(prefix, "x", **kind.options, threads=2, durability=durability) as pipe:
        for number, (key, pairs) in enumerate(blocks[:60]):
            pipe.write(key, pairs)
            if way != "block":
                if number % 10 != 9:
                    continue
                getattr(pipe, way)()
            if index(prefix).exists():
                with smartpipe.open(prefix) as reader:
                    seen = len(reader)
                # FORMAT.md, «Format 1»: the last block may be left out while a writer has the pipe open.
                assert seen == number + 1 or (kind.format == 1 and seen == number)


@every_kind
def test_blocks_come_without_anyone_asking_for_them(kind: Kind, blocks: Blocks, prefix: str) -> None:
    with smartpipe.open(prefix, "x", **kind.options, threads=2) as pipe:
        for key, pairs in blocks[:20]:
            pipe.write(key, pairs)
        end = time.monotonic() + 30
        while True:
            with smartpipe.open(prefix) as reader:
                if len(reader) == 20:
                    break
            assert time.monotonic() < end, "nothing is written by itself"
            time.sleep(0.005)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.compress], ids=str)
def test_without_anything_to_compress_a_block_is_there_when_write_returns(
    kind: Kind, blocks: Blocks, prefix: str
) -> None:
    with smartpipe.open(prefix, "x", **kind.options, threads=2) as pipe:
        for number, (key, pairs) in enumerate(blocks[:20]):
            pipe.write(key, pairs)
            with smartpipe.open(prefix) as reader:
                # FORMAT.md, «Format 1»: the last block may be left out while a writer has the pipe open.
                assert len(reader) in ((number, number + 1) if kind.format == 1 else (number + 1,))


@every_kind
def test_threads_that_share_a_writer_with_threads(kind: Kind, blocks: Blocks, prefix: str) -> None:
    parts = [blocks[start::4] for start in range(4)]
    with smartpipe.open(prefix, "x", **kind.options, threads=2, level=1) as pipe:

        def work(part: Blocks) -> None:
            for number, (key, pairs) in enumerate(part):
                pipe.write(key, pairs)
                if number % 50 == 49:
                    pipe.flush()

        threads = [threading.Thread(target=work, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = read(prefix)
    assert sorted(found) == sorted(blocks)
    for part in parts:
        assert [block for block in found if block in part] == part


# Errors


class Failing:
    """disk.write that fails from a call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self.write = disk.write
        monkeypatch.setattr(disk, "write", self)

    def __call__(self, file: Any, data: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.write(file, data)


@every_kind
@pytest.mark.parametrize("way", ["write", "flush", "sync", "close"])
def test_an_error_of_the_system_is_raised_by_a_later_call(
    kind: Kind, way: str, blocks: Blocks, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = smartpipe.open(prefix, "x", **kind.options, threads=2)
    Failing(monkeypatch, 30)
    with pytest.raises(smartpipe.StorageError) as caught:
        for key, pairs in blocks[:40]:
            pipe.write(key, pairs)
        end = time.monotonic() + 30
        while way == "write":
            assert time.monotonic() < end
            pipe.write(b"%d" % time.monotonic_ns(), {})
        getattr(pipe, way)()
    assert caught.value.errno == errno.ENOSPC and caught.value.path == pipe.data_path
    if not pipe.closed:
        for again in (pipe.flush, pipe.sync, lambda: pipe.write(b"more", {})):
            with pytest.raises(smartpipe.StorageError, match="nothing more is written"):
                again()
    monkeypatch.undo()
    pipe.close()
    found = read(prefix)
    assert 10 <= len(found) <= 40
    assert found == blocks[: len(found)]


def test_an_error_in_close_is_not_lost_and_nothing_is_replaced(
    blocks: Blocks, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(prefix, PAGES, KINDS[1])
    pipe = smartpipe.open(prefix, "w", compress=True, threads=2)
    Failing(monkeypatch, 3)
    for key, pairs in blocks[:5]:
        try:
            pipe.write(key, pairs)
        except smartpipe.StorageError:
            break
    with pytest.raises(smartpipe.StorageError):
        pipe.close()
    monkeypatch.undo()
    assert read(prefix) == PAGES


WRONG = """
import sys
from zlib_ng import zlib_ng
right = zlib_ng.compress
zlib_ng.compress = lambda data, level=-1, *rest: right(bytes(data).replace(b"wrong", b"right"), level)

import smartpipe
pipe = smartpipe.open(sys.argv[1], "w", compress=True, verify=True, threads=2)

# Whether a call raises the error of an earlier block; it has done nothing then.
def told(call, *arguments):
    try:
        call(*arguments)
    except smartpipe.EngineError as error:
        print(error.block, error.path == pipe.data_path)
        return True

for number in range(10):
    block = {b"k": (b"wrong" if number in (3, 7) else b"good ") * 100}
    while told(pipe.write, b"%d" % number, block):
        pass
if sys.argv[2] == "close":
    told(pipe.close)
while not pipe.closed and told(pipe.flush):
    pass
pipe.close()
"""


@pytest.mark.parametrize("way", ["flush", "close"])
def test_a_block_that_can_not_be_compressed_costs_itself_and_is_told(way: str, prefix: str) -> None:
    said = run(WRONG, prefix, way, SMARTPIPE_ENGINE="python")
    # The first error comes first; close, which ends it all, tells of one.
    assert said == "b'3' True\nb'7' True\n" or (way == "close" and said == "b'3' True\n")
    assert [key for key, _ in read(prefix)] == [b"%d" % number for number in range(10) if number not in (3, 7)]


@pytest.mark.parametrize("threads", [0, -1])
def test_too_few_threads(threads: int, prefix: str) -> None:
    with pytest.raises(ValueError, match="threads is"):
        smartpipe.open(prefix, "w", threads=threads)
    assert files(prefix) == {}


def test_more_threads_than_there_can_be(prefix: str) -> None:
    with smartpipe.open(prefix, "w", threads=1 << 70) as pipe:
        pipe.write(*PAGES[0])
    with smartpipe.open(prefix) as reader:
        assert [key for key, _ in reader.items(threads=1 << 70, readahead=1 << 70)] == [PAGES[0][0]]


def test_threads_of_a_reader(prefix: str) -> None:
    write(prefix, PAGES, KINDS[0])
    with pytest.raises(ValueError, match="items"):
        smartpipe.open(prefix, threads=2)  # type: ignore[call-overload]


@pytest.mark.parametrize("bad", [{b"k": "text"}, [(b"k",)], b"bytes"], ids=str)
def test_bad_pairs_are_refused_at_once(bad: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "x", threads=2) as pipe:
        pipe.write(*PAGES[0])
        with pytest.raises(TypeError):
            pipe.write(b"bad", bad)
        with pytest.raises(smartpipe.BlockTooLargeError):
            pipe.write(b"bad", {b"k": bytes(300 << 20)})
        assert b"bad" not in pipe
        pipe.write(b"bad", {b"k": b"good"})
    assert read(prefix) == [PAGES[0], (b"bad", [(b"k", b"good")])]


# The end


@every_kind
def test_abort(kind: Kind, blocks: Blocks, prefix: str) -> None:
    pipe = smartpipe.open(prefix, "w", **kind.options, threads=2, level=9)
    for key, pairs in blocks[:100]:
        pipe.write(key, pairs)
    pipe.abort()
    assert files(prefix) == {}
    write(prefix, PAGES, kind)
    pipe = smartpipe.open(prefix, "a", threads=2)
    for key, pairs in blocks[:100]:
        pipe.write(key, pairs)
    pipe.checkpoint(b"open")
    pipe.abort()
    assert read(prefix) == [*PAGES, *blocks[:100]]
    wait_for_no_writers()


@every_kind
def test_an_exception_in_the_with_statement(kind: Kind, blocks: Blocks, prefix: str) -> None:
    write(prefix, PAGES, kind)
    with pytest.raises(ZeroDivisionError), smartpipe.open(prefix, "w", **kind.options, threads=2) as pipe:
        for key, pairs in blocks[:100]:
            pipe.write(key, pairs)
        raise ZeroDivisionError
    assert read(prefix) == PAGES
    assert read(prefix + ".new") == blocks[:100]
    wait_for_no_writers()


def test_a_writer_that_nobody_closes(blocks: Blocks, prefix: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipe = smartpipe.open(prefix, "x", threads=2)
        for key, pairs in blocks[:20]:
            pipe.write(key, pairs)
        pipe.flush()
        del pipe, key, pairs
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    wait_for_no_writers()
    assert read(prefix) == blocks[:20]


LEFT = """
import sys, warnings
import smartpipe
warnings.simplefilter("ignore")
pipe = smartpipe.open(sys.argv[1], "x", compress=True, threads=2, level=9)
for number in range(40):
    pipe.write(b"%d" % number, {b"k": b"%d" % number * 20_000})
print("end")
"""


def test_a_program_that_ends_without_closing_ends(prefix: str) -> None:
    assert run(LEFT, prefix) == "end\n"
    found = read(prefix)
    assert found == [(b"%d" % n, [(b"k", b"%d" % n * 20_000)]) for n in range(len(found))]


def test_a_forked_child_has_no_part_in_the_pipe(blocks: Blocks, prefix: str) -> None:
    def child(pipe: smartpipe.Writer) -> None:
        for use in (lambda: pipe.write(b"more", {}), pipe.flush, pipe.sync):
            with pytest.raises(smartpipe.ClosedError):
                use()
        pipe.close()

    with smartpipe.open(prefix, "x", threads=2) as pipe:
        for key, pairs in blocks[:50]:
            pipe.write(key, pairs)
        pipe.flush()
        process = multiprocessing.get_context("fork").Process(target=child, args=(pipe,))
        process.start()
        process.join()
        assert process.exitcode == 0
        pipe.write(*PAGES[0])
    assert read(prefix) == [*blocks[:50], PAGES[0]]


# What threads still look at, and who waits for them, when the writer ends

ABORTED = """
import array, mmap, os, random, sys, threading, time
import smartpipe

size = 24 << 20
data = mmap.mmap(-1, size)
data.write(random.Random(1).randbytes(1 << 20).hex().encode() * (size >> 21))
offsets = lambda *numbers: array.array("q", numbers)
pipe = smartpipe.open(sys.argv[1], "w", compress=True, level=9, threads=2)

def work():
    try:
        pipe.write_columns((offsets(0, 1), b"a"), offsets(0, 1), (offsets(0, 1), b"k"), (offsets(0, size), data))
    except smartpipe.ClosedError:
        print("closed")

thread = threading.Thread(target=work)
thread.start()
while len(pipe) == 0:
    time.sleep(0.001)
time.sleep(0.1)
pipe.abort()
thread.join()
while any(thread.name.startswith("smartpipe-write") for thread in threading.enumerate()):
    try:
        data.close()
    except BufferError:
        pass
    time.sleep(0.01)
data.close()
print("end")
"""


def test_columns_are_let_go_of_only_when_no_thread_looks_at_them(prefix: str) -> None:
    assert run(ABORTED, prefix) == "closed\nend\n"


@pytest.mark.parametrize("durability", ["close", "block"])
def test_whoever_waits_ends_when_the_writer_is_aborted(durability: Any, prefix: str) -> None:
    told = []

    def work(name: bytes) -> None:
        try:
            for number in range(1000):
                pipe.write(b"%s %d" % (name, number), {b"k": content})
        except smartpipe.ClosedError as error:
            told.append(error)

    content = Random(1).randbytes(1 << 17).hex().encode()
    for _ in range(5):
        pipe = smartpipe.open(prefix, "w", compress=True, level=9, threads=2, durability=durability)
        workers = [threading.Thread(target=work, args=(b"%d" % number,), daemon=True) for number in range(6)]
        for worker in workers:
            worker.start()
        while len(pipe) < 6:
            time.sleep(0.001)
        pipe.abort()
        for worker in workers:
            worker.join(30)
        assert not any(worker.is_alive() for worker in workers)
    assert len(told) == 30


@every_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_written_is_not_kept(kind: Kind, threads: int, prefix: str) -> None:
    value = os.urandom(5000)
    before = sys.getrefcount(value)
    with smartpipe.open(prefix, "x", **kind.options, threads=threads) as pipe:
        for number in range(5):
            pipe.write(b"%d" % number, {b"k": value})
        pipe.flush()
        assert sys.getrefcount(value) == before


UNMADE = """
import sys
from backports import zstd
import smartpipe

pipe = smartpipe.open(sys.argv[1], "x", compress="zstd", threads=2)

class NoMemory:
    def __init__(self, *arguments, **options):
        raise MemoryError

right, zstd.ZstdCompressor = zstd.ZstdCompressor, NoMemory
pipe.write(b"a", {b"k": b"v" * 100})
try:
    pipe.flush()
except MemoryError:
    print("told")
zstd.ZstdCompressor = right
pipe.write(b"a", {b"k": b"v" * 100})
pipe.close()
"""


def test_a_compressor_that_can_not_be_made_is_told(prefix: str) -> None:
    assert run(UNMADE, prefix, SMARTPIPE_ENGINE="python") == "told\n"
    assert read(prefix) == [(b"a", [(b"k", b"v" * 100)])]


def test_the_end_of_a_block_in_a_forked_child(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = threading.Event(), threading.Event()
    right = disk.write

    def slow(file: Any, data: Any) -> None:
        writing.set()
        go_on.wait(60)
        right(file, data)

    def child() -> None:
        for use in (lambda: block.__exit__(None, None, None), lambda: pipe.checkpoint(b"next")):
            with pytest.raises(smartpipe.ClosedError):
                use()
        for end in (pipe.abort, pipe.close, pipe.close, lambda: pipe.__exit__(None, None, None)):
            end()
        for use in (pipe.flush, lambda: pipe.write(b"more", {}), lambda: b"a" in pipe):
            with pytest.raises(smartpipe.ClosedError):
                use()

    with smartpipe.open(prefix, "x", compress=True, threads=2) as pipe:
        pipe.checkpoint(b"current")
        pipe.append(b"k", b"v")
        block = pipe.block(b"a")
        block.append(b"k", b"v")
        monkeypatch.setattr(disk, "write", slow)
        pipe.write(b"b", {})
        assert writing.wait(60)  # a thread has the writer's lock now, which it has for ever in the child
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join(30)
        hangs = process.is_alive()
        process.kill()
        go_on.set()
        block.__exit__(None, None, None)
    assert not hangs and process.exitcode == 0
    assert [key for key, _ in read(prefix)] == [b"b", b"a", b"current"]


SEVERAL = """
import sys, warnings
from zlib_ng import zlib_ng
right = zlib_ng.compress
zlib_ng.compress = lambda data, level=-1, *rest: right(bytes(data).replace(b"wrong", b"right"), level)

import smartpipe
warnings.simplefilter("always")
warnings.showwarning = lambda message, category, *rest: print(category.__name__, message)
path, way, replacing = sys.argv[1:]
if replacing == "True":
    smartpipe.open(path, "w").close()
pipe = smartpipe.open(path, "w", compress=True, verify=True, threads=2)
blocks = [pipe.block(b"%d" % number) for number in range(6)]
for number, block in enumerate(blocks):
    block.append(b"k", (b"wrong" if number in (1, 3, 4) else b"good ") * 100)
for block in blocks:
    block.__exit__(None, None, None)
try:
    if way == "close":
        pipe.close()
    else:
        with pipe:
            raise ZeroDivisionError
except (smartpipe.EngineError, ZeroDivisionError) as error:
    print(type(error).__name__, getattr(error, "block", None))
"""


@pytest.mark.parametrize("replacing", [False, True])
@pytest.mark.parametrize("way", ["close", "exception"])
def test_no_error_of_several_is_lost(way: str, replacing: bool, prefix: str) -> None:
    said = run(SEVERAL, prefix, way, replacing, SMARTPIPE_ENGINE="python").splitlines()
    raised = "EngineError b'1'" if way == "close" else "ZeroDivisionError None"
    assert raised in said
    said.remove(raised)
    lost = [b"3", b"4"] if way == "close" else [b"1", b"3", b"4"]
    assert len(said) == len(lost)
    for line, key in zip(said, lost, strict=True):
        assert line.startswith("PipeWarning ") and f"block {key!r}: " in line
    written = Path(prefix + (".new.datz" if replacing else ".datz"))
    blocks = read(written)
    assert [key for key, _ in blocks] == [b"0", b"2", b"5"]
    if not replacing:  # a close that tells of a block has done its work with the others
        found = format2.read_index(index(prefix).read_bytes(), written.read_bytes(), None)
        assert found is not None and found.frames[-1].closed


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("durability", ["close", "block"])
def test_interrupts_while_a_thread_is_called(
    durability: Any, after: bool, blocks: Blocks, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = Interrupted(ThreadPoolExecutor.submit, KeyboardInterrupt(), after=after)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    written: Blocks = []
    with smartpipe.open(prefix, "x", compress=True, threads=2, durability=durability) as pipe:
        for block in blocks:
            try:
                pipe.write(*block)
                written.append(block)
            except KeyboardInterrupt:
                assert block[0] not in pipe
            if len(written) % 20 == 0:
                pipe.flush()  # with nothing left to do the threads end, and are called again
    assert len(written) == len(blocks) - interrupted.calls // 3
    assert read(prefix) == written


MIXED = """
import resource, sys
import smartpipe

begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = {"compress": sys.argv[2] == "True", "format": int(sys.argv[3]), "level": 1}
with smartpipe.open(sys.argv[1], "x", **options, threads=2) as pipe:
    for large in range(60):
        for small in range(67):
            pipe.write(b"%d %d" % (large, small), {b"k": b"v" * 1000})
        pipe.write(b"%d" % large, [(b"%d" % number, bytes(4000)) for number in range(2000)])
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin) * unit)
"""


@every_kind
def test_large_blocks_among_small_ones_take_no_more_memory_than_is_under_way(kind: Kind, prefix: str) -> None:
    # At most 64 MiB of pairs are under way, and a block has 8 MB of them; 60 blocks have 480.
    assert int(run(MIXED, prefix, kind.compress, kind.format)) < 250 << 20
