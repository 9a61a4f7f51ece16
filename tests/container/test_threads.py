"""Threads that share a reader, a block, a writer or an iterator.

What a block holds follows from its key, so that each thread can tell whether what it got is right. Threads take turns
as often as the interpreter lets them, and run side by side where it has no lock.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import smartpipe

from .pipes import KINDS, Kind, Pairs, every_kind, every_kind_of_format2, index, plant
from .together import Together

THREADS = 6
SECONDS = 0.3


@pytest.fixture(autouse=True)
def turns() -> Iterator[None]:
    """Let threads take turns much more often than by default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*works: Callable[[], object]) -> None:
    together = Together(SECONDS)
    for work in works:
        together.add(work)
    together.join()


def pairs_of(key: bytes) -> Pairs:
    """Small pairs and large values in turn, under two keys; the head is large enough to be checked without the lock."""
    text = key * 800
    pairs = []
    for number in range(12):
        pairs.append((b"small", b"%d " % number + text))
        pairs.append((b"large", b"%d " % number + text * 10))
    return pairs


def check(key: bytes, block: smartpipe.Block, select: list[bytes] | None = None) -> None:
    expected = [pair for pair in pairs_of(key) if select is None or pair[0] in select]
    assert block.key == key
    assert list(block) == expected
    assert len(block) == len(expected)
    assert block.keys() == [name for name, _ in expected]
    assert block.sizes() == [(name, len(value)) for name, value in expected]
    for name in (b"small", b"large", b"absent"):
        values = [value for found, value in expected if found == name]
        assert block.getall(name) == values
        assert block.get(name) == (values[0] if values else None)
        assert (name in block) == bool(values)
    assert block[-1] == expected[-1]


KEYS = [b"%04d" % number for number in range(40)]


@pytest.fixture
def shared(kind: Kind, prefix: str) -> str:
    """A pipe with a block for each of the keys."""
    plant(prefix, [(key, pairs_of(key)) for key in KEYS], kind)
    return prefix


# A reader and its blocks


@every_kind
def test_threads_look_at_one_block_before_anything_of_it_was_inflated(shared: str) -> None:
    """Two blocks, as memory that one gives back too early would be taken for the other."""

    def use(key: bytes, block: smartpipe.Block, way: int) -> None:
        pairs = pairs_of(key)
        if way == 0:
            assert list(block) == pairs
        elif way == 1:
            assert block[-1] == pairs[-1] and block[1] == pairs[1]
        else:
            wanted = (b"small", b"large")[way - 2]
            assert block.getall(wanted) == [value for name, value in pairs if name == wanted]

    with smartpipe.open(shared) as pipe:
        for first, second in zip(KEYS[::2], KEYS[1::2], strict=True):
            together = Together(SECONDS)
            for key, block in ((first, pipe[first]), (second, pipe[second])):
                for way in (2, 0, 3, 1, 2):
                    together.add(use, key, block, way)
            together.join()


@every_kind
@pytest.mark.parametrize("select", [None, [b"large"]], ids=["all", "selected"])
def test_blocks_are_looked_at_by_threads_while_their_iterator_goes_on(shared: str, select: list[bytes] | None) -> None:
    """The iterator moves blocks that somebody keeps, so that their memory serves the ones that come."""
    recent: list[tuple[bytes, smartpipe.Block]] = []

    def look(together: Together) -> None:
        while not together.over():
            for key, block in recent[-3:]:
                check(key, block, select)

    def read(pipe: smartpipe.Reader, together: Together) -> None:
        while not together.over():
            for key, block in pipe.items(select=select):
                recent[:] = [*recent[-2:], (key, block)]

    # A collection lets other threads run wherever an object is made.
    before = gc.get_threshold()
    gc.callbacks.append(lambda phase, info: None)
    gc.set_threshold(5)
    try:
        with smartpipe.open(shared) as pipe:
            together = Together(SECONDS)
            for _ in range(THREADS):
                together.add(look, together)
            together.add(read, pipe, together)
            together.join()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.pop()


@every_kind
def test_threads_read_one_reader_in_every_way_until_one_of_them_closes_it(shared: str) -> None:
    def by_key(pipe: smartpipe.Reader) -> None:
        for key in KEYS:
            check(key, pipe[key])
            assert key in pipe and pipe.get(b"absent") is None

    def in_order(pipe: smartpipe.Reader) -> None:
        assert [key for key, block in pipe.items() if check(key, block) is None] == KEYS

    def ahead(pipe: smartpipe.Reader) -> None:
        assert [key for key, block in pipe.items(threads=2, readahead=1 << 20) if check(key, block) is None] == KEYS

    def many(pipe: smartpipe.Reader) -> None:
        assert [key for key, block in pipe.get_many(KEYS[::3]) if check(key, block) is None] == KEYS[::3]

    def listed(pipe: smartpipe.Reader) -> None:
        assert list(pipe) == KEYS and [entry.key for entry in pipe.entries()] == KEYS
        assert sum(part.stop - part.start for part in pipe.splits(3)) == len(KEYS)
        assert pipe.refresh() == 0

    def until_closed(work: Callable[[smartpipe.Reader], None], pipe: smartpipe.Reader) -> None:
        try:
            while True:
                work(pipe)
        except smartpipe.ClosedError:
            assert pipe.closed

    for _ in range(3):
        pipe = smartpipe.open(shared)
        together = Together(SECONDS)
        for work in (by_key, in_order, ahead, many, listed):
            together.add(until_closed, work, pipe)
        together.start()
        time.sleep(SECONDS / 3)
        pipe.close()
        together.join()


@every_kind
def test_what_threads_read_is_counted_once_each(shared: str) -> None:
    def read(pipe: smartpipe.Reader) -> None:
        for key in KEYS:
            assert len(pipe[key].getall(b"large")) == 12

    with smartpipe.open(shared) as pipe:
        read(pipe)
        once = pipe.stats()
    with smartpipe.open(shared) as pipe:
        at_once(*[lambda: read(pipe)] * THREADS)
        stats = pipe.stats()
    # What was read to open it is counted, too.
    with smartpipe.open(shared) as pipe:
        opening = pipe.stats()
    for name in ("read_bytes", "inflated_bytes"):
        assert stats[name] - opening[name] == THREADS * (once[name] - opening[name])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.format == 2 or kind.compress], ids=str)
def test_blocks_that_threads_leave_out_are_counted_once_each(kind: Kind, shared: str) -> None:
    with open(kind.data(shared), "r+b") as file:
        file.seek(-20, 2)
        file.write(b"\xff" * 20)

    def read(pipe: smartpipe.Reader) -> None:
        assert [key for key, _ in pipe.items(on_error="skip")] == KEYS[:-1]

    with smartpipe.open(shared) as pipe:
        at_once(*[lambda: read(pipe)] * THREADS)
        assert pipe.stats()["skipped_blocks"] == THREADS


@every_kind
def test_threads_that_pull_blocks_share_them(shared: str) -> None:
    pulled: list[bytes] = []

    def pull(pipe: smartpipe.Reader) -> None:
        while pairs := list(pipe.pull_block()):
            key = pairs[0][1][2:6]
            assert pairs == pairs_of(key)
            pulled.append(key)

    with smartpipe.open(shared) as pipe:
        at_once(*[lambda: pull(pipe)] * THREADS)
    assert sorted(pulled) == KEYS


def take(iterator: Iterator[Any], taken: list[Any], refused: list[str]) -> None:
    """Take what an iterator gives to this thread, and note what it says when another is using it."""
    while True:
        try:
            taken.append(next(iterator))
        except StopIteration:
            return
        except ValueError as error:
            refused.append(str(error))


@every_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_an_iterator_that_threads_share_gives_each_block_once_or_an_error(shared: str, threads: int) -> None:
    for _ in range(5):
        taken: list[tuple[bytes, smartpipe.Block]] = []
        refused: list[str] = []
        with smartpipe.open(shared) as pipe:
            items = pipe.items(threads=threads)
            at_once(*[lambda items=items, taken=taken, refused=refused: take(items, taken, refused)] * THREADS)
            assert all("used by another thread" in words for words in refused)
            assert sorted(key for key, _ in taken) == KEYS
            for key, block in taken:
                check(key, block)


@every_kind
def test_an_iterator_over_pairs_that_threads_share_gives_each_pair_once(shared: str) -> None:
    with smartpipe.open(shared) as pipe:
        for key in KEYS[:10]:
            taken: list[tuple[bytes, bytes]] = []
            pairs = iter(pipe[key])
            at_once(*[lambda pairs=pairs, taken=taken: take(pairs, taken, [])] * THREADS)
            assert sorted(taken) == sorted(pairs_of(key))


@every_kind
def test_columns_that_threads_keep_stay_as_they_are(shared: str) -> None:
    pytest.importorskip("numpy")
    expected = [(key, *pair) for key in KEYS for pair in pairs_of(key)]

    def read(pipe: smartpipe.Reader) -> None:
        kept = list(pipe.columns(batch=300_000))
        assert [batch[number] for batch in kept for number in range(len(batch))] == expected

    with smartpipe.open(shared) as pipe:
        at_once(*[lambda: read(pipe)] * 3)


# A pipe that grows, or is mended


def written_meanwhile(prefix: str, kind: Kind, *works: Callable[[smartpipe.Reader, Together], object]) -> None:
    """Let threads use one reader while another writes blocks, which is closed in the end."""

    def write(pipe: smartpipe.Writer) -> None:
        with pipe:
            number = 1
            while not together.over():
                key = b"%04d" % number
                pipe.write(key, pairs_of(key)[:3])
                number += 1

    together = Together(SECONDS)
    writer = smartpipe.open(prefix, "x", **kind.options, level=1)
    for number in range(-1, 1):  # of the last block of format 1 nothing tells that it is whole
        writer.write(b"%04d" % number, pairs_of(b"%04d" % number)[:3])
    with smartpipe.open(prefix) as pipe:
        together.add(write, writer)
        for work in works:
            together.add(work, pipe, together)
        together.join()


def grow(pipe: smartpipe.Reader, together: Together) -> None:
    while not together.over():
        pipe.refresh()


@every_kind
def test_a_block_ends_where_it_ends_while_a_thread_takes_in_new_ones(kind: Kind, prefix: str) -> None:
    def last(pipe: smartpipe.Reader, together: Together) -> None:
        while not together.over():
            key, block = next(pipe.items(start=len(pipe) - 1))
            assert list(block) == pairs_of(key)[:3]
            assert list(pipe[key]) == pairs_of(key)[:3]

    written_meanwhile(prefix, kind, last, last, grow)


@every_kind
def test_threads_look_for_keys_while_others_take_in_new_blocks(kind: Kind, prefix: str) -> None:
    def find(pipe: smartpipe.Reader, together: Together) -> None:
        while not together.over():
            count = len(pipe)
            keys = list(pipe)
            assert keys[: count - 1] == [b"%04d" % number for number in range(-1, count - 2)]
            for key in keys[-20:]:
                assert key in pipe and list(pipe[key]) == pairs_of(key)[:3]

    written_meanwhile(prefix, kind, find, find, grow, grow)


@every_kind
def test_each_block_that_is_new_is_counted_by_one_refresh(kind: Kind, prefix: str) -> None:
    counts: list[int] = []

    def count(pipe: smartpipe.Reader, together: Together) -> None:
        before = len(pipe)
        while not together.over():
            counts.append(pipe.refresh())
        assert len(pipe) >= before

    with smartpipe.open(prefix, "x", **kind.options) as writer, smartpipe.open(prefix) as pipe:
        together = Together(SECONDS)
        for _ in range(3):
            together.add(count, pipe, together)
        together.start()
        number = 0
        while not together.over():
            writer.write(b"%d" % number, [(b"a", b"b")])
            number += 1
        together.join()
        assert sum(counts) == len(pipe) > 0


@every_kind
def test_threads_that_follow_with_one_reader_each_see_every_block(kind: Kind, prefix: str) -> None:
    seen: list[list[bytes]] = [[] for _ in range(3)]

    def follow(number: int) -> Callable[[smartpipe.Reader, Together], None]:
        def work(pipe: smartpipe.Reader, together: Together) -> None:
            for key, block in pipe.follow():
                assert list(block) == pairs_of(key)[:3]
                seen[number].append(key)

        return work

    written_meanwhile(prefix, kind, *[follow(number) for number in range(3)])
    with smartpipe.open(prefix) as pipe:
        assert seen == [list(pipe)] * 3


@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")  # the index comes a moment after the data
def test_threads_that_use_a_reader_before_its_pipe_is_begun(prefix: str) -> None:
    """What has the name then is opened again, while other threads ask what there is."""
    for format in (1, 2, 1, 2):
        Path(prefix + ".dat").write_bytes(b"")
        index(prefix).unlink(missing_ok=True)
        together = Together(SECONDS)

        def ask(pipe: smartpipe.Reader, together: Together = together) -> None:
            while not len(pipe) and not together.over():
                pipe.stats(), pipe.metadata, pipe.position, pipe.splits(2), pipe.format, pipe.codec, pipe.data_path
                assert pipe.get(b"absent") is None and list(pipe) in ([], [b"a"], [b"a", b"b"])
            while len(pipe) < 2 and not together.over():
                pipe.refresh()
            assert list(pipe) == [b"a", b"b"]

        def refresh(pipe: smartpipe.Reader, together: Together = together) -> None:
            while len(pipe) < 2 and not together.over():
                try:
                    pipe.refresh()
                except smartpipe.ReplacedError:
                    pass  # in between there is no pipe

        with smartpipe.open(prefix) as pipe:
            for work in (ask, refresh, refresh):
                together.add(work, pipe)
            together.start()
            with smartpipe.open(prefix, "w", format=format) as writer:
                writer.write(b"a", [(b"1", b"2")])
                writer.write(b"b", [(b"1", b"2")])
            together.join()
        Path(prefix + ".dat").unlink()


@every_kind_of_format2
def test_a_damaged_index_is_made_anew_once_for_all_threads(kind: Kind, prefix: str) -> None:
    count = 90_000
    with smartpipe.open(prefix, "x", **kind.options, level=1) as writer:
        for number in range(count):
            writer.write(b"%d" % number, [(b"number", b"%d" % number)])
    with open(index(prefix), "r+b") as file:  # pages of entries, behind header, frame header and sums
        for page in range(200, 400):
            file.seek(4096 * page)
            file.write(b"damage")

    def read(pipe: smartpipe.Reader, first: int) -> None:
        for number in range(first, count, 97):
            assert pipe[b"%d" % number][b"number"] == b"%d" % number

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with smartpipe.open(prefix) as pipe:
            assert found == []
            at_once(*[lambda number=number: read(pipe, number) for number in range(THREADS)])
            assert list(pipe) == [b"%d" % number for number in range(count)]
    assert len([warning for warning in found if "scanned instead" in str(warning.message)]) == 1


# A writer


@every_kind
@pytest.mark.parametrize("options", [{}, {"durability": "none"}, {"threads": 2}], ids=["", "none", "threads"])
def test_threads_write_by_one_writer(kind: Kind, prefix: str, options: dict[str, Any]) -> None:
    def write(pipe: smartpipe.Writer, number: int) -> None:
        for block in range(15):
            key = b"%02d%02d" % (number, block)
            if block % 2 == 0:
                pipe.write(key, pairs_of(key))
            else:
                with pipe.block(key) as open_block:
                    for pair in pairs_of(key):
                        open_block.append(*pair)
            assert key in pipe and len(pipe) > 0
            with pytest.raises(smartpipe.DuplicateKeyError):
                pipe.write(key, {})

    with smartpipe.open(prefix, "x", **kind.options, level=1, **options) as pipe:
        at_once(*[lambda number=number: write(pipe, number) for number in range(THREADS)])
    with smartpipe.open(prefix) as reader:
        assert sorted(reader) == [b"%02d%02d" % (number, block) for number in range(THREADS) for block in range(15)]
        for key, block in reader.items():
            check(key, block)


@every_kind
def test_threads_append_to_one_block_until_one_of_them_finishes_it(kind: Kind, prefix: str) -> None:
    """What `append` took before is in the block, what it refused is nowhere, and nothing is in another block."""
    taken: dict[bytes, list[bytes]] = {}

    def append(block: smartpipe.BlockWriter, number: int) -> None:
        count = 0
        try:
            while True:
                value = block.key + b" %d %d" % (number, count)
                block.append(b"pair", value)
                taken[block.key].append(value)
                count += 1
        except smartpipe.ClosedError:
            pass

    with smartpipe.open(prefix, "x", **kind.options, level=1) as pipe:
        for key in KEYS:
            taken[key] = []
            together = Together(SECONDS)
            with pipe.block(key) as block:
                for number in range(3):
                    together.add(append, block, number)
                together.start()
                while len(taken[key]) < 50:
                    pass
            together.join()
    with smartpipe.open(prefix) as reader:
        for key, block in reader.items():
            assert sorted(block.getall(b"pair")) == sorted(taken[key])


@every_kind
def test_a_thread_closes_a_writer_while_others_write(kind: Kind, prefix: str) -> None:
    """What was acknowledged is in the pipe, and nothing else."""
    for round in range(5):
        written: list[bytes] = []

        def write(number: int, pipe: smartpipe.Writer, written: list[bytes] = written) -> None:
            block = 0
            try:
                while True:
                    key = b"%02d%02d" % (number, block % 100) + b"." * (block // 100)
                    pipe.write(key, pairs_of(key))
                    written.append(key)
                    block += 1
            except smartpipe.ClosedError:
                assert pipe.closed

        pipe = smartpipe.open(f"{prefix}{round}", "x", **kind.options, level=1)
        together = Together(SECONDS)
        for number in range(3):
            together.add(write, number, pipe)
        together.start()
        time.sleep(0.05)
        pipe.close()
        together.join()
        with smartpipe.open(f"{prefix}{round}") as reader:
            assert sorted(reader) == sorted(written)
            for key, block in reader.items():
                check(key, block)


# The interpreter


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has its lock")
def test_no_extension_brings_the_lock_of_the_interpreter_back() -> None:
    code = """
import importlib, pathlib, sys
from zlib_ng import zlib_ng  # which may do so itself
before = sys._is_gil_enabled()
import smartpipe
package = pathlib.Path(smartpipe.__file__).parent
for path in package.rglob("*.pyx"):
    importlib.import_module(".".join(path.relative_to(package.parent).with_suffix("").parts))
assert sys._is_gil_enabled() == before
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
