"""items with threads, without order and at random: the same blocks as the plain iterator, bounded, left at once."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

import smartpipe

from .pipes import KINDS, Blocks, Kind, every_kind, plant
from .process import run

COUNT = 1500


def mixed(count: int = COUNT, seed: int = 1) -> Blocks:
    """Blocks from empty ones to some with large values that shrink and that do not."""
    random = Random(seed)
    text = b"".join(b"<p>%d</p>" % number for number in range(4000))
    blocks: Blocks = []
    for number in range(count):
        pairs = [(b"n", b"%d" % number)] if number % 50 else []
        if number % 3 == 0:
            start = random.randrange(1000)
            pairs.append((b"text", text[start : start + random.randrange(20_000)]))
        if number % 7 == 0:
            pairs.append((b"noise", random.randbytes(random.choice((0, 10, 9000)))))
        blocks.append((b"key %d" % number, pairs))
    return blocks


@pytest.fixture(scope="module")
def blocks() -> Blocks:
    return mixed()


@pytest.fixture(scope="module")
def pipes(blocks: Blocks, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, str]:
    """A pipe of every kind with these blocks."""
    folder = tmp_path_factory.mktemp("readahead")
    for kind in KINDS:
        with smartpipe.open(folder / str(kind), "w", **kind.options, level=1) as pipe:
            for key, pairs in blocks:
                pipe.write(key, pairs)
    return {kind: str(folder / str(kind)) for kind in KINDS}


def listed(items: Iterator[tuple[bytes, smartpipe.Block]]) -> Blocks:
    return [(key, list(block)) for key, block in items]


@every_kind
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("readahead", [1, 30_000, 64 << 20])
def test_threads_give_the_same_blocks_in_the_same_order(
    kind: Kind, threads: int, readahead: int, pipes: dict[Kind, str], blocks: Blocks
) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        assert listed(pipe.items(threads=threads, readahead=readahead)) == blocks


@every_kind
@pytest.mark.parametrize("threads", [2, 3])
def test_without_order_every_block_comes_once(kind: Kind, threads: int, pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        found = listed(pipe.items(threads=threads, readahead=100_000, ordered=False))
    assert sorted(found) == sorted(blocks)


@every_kind
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("start", [0, 700, COUNT])
def test_select_and_start(
    kind: Kind, threads: int, ordered: bool, start: int, pipes: dict[Kind, str], blocks: Blocks
) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        found = listed(pipe.items([b"n", b"noise"], start=start, threads=threads, ordered=ordered, readahead=50_000))
    expected = [(key, [pair for pair in pairs if pair[0] != b"text"]) for key, pairs in blocks[start:]]
    assert sorted(found) == sorted(expected) and (not ordered or found == expected)


@every_kind
@pytest.mark.parametrize("threads", [1, 3])
def test_shuffled_blocks_come_once_each_in_an_order_that_the_seed_gives(
    kind: Kind, threads: int, pipes: dict[Kind, str], blocks: Blocks
) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        found = listed(pipe.items(shuffle=1, threads=threads))
        assert sorted(found) == sorted(blocks)
        assert listed(pipe.items(shuffle=1, threads=4 - threads, readahead=10_000)) == found
        assert listed(pipe.items(shuffle=1, threads=threads, start=1000)) == found[1000:]
        other = [key for key, _ in pipe.items(shuffle=2, threads=threads)]
    keys = [key for key, _ in found]
    numbers = {key: number for number, (key, _) in enumerate(blocks)}
    for order in (keys, other):
        # Of a random order, one pair of neighbours in 1,500 is one in the file, and half of all go up.
        steps = [numbers[after] - numbers[before] for before, after in itertools.pairwise(order)]
        assert steps.count(1) < 20
        assert 600 < sum(step > 0 for step in steps) < 900
    assert sum(a == b for a, b in zip(keys, other, strict=True)) < 20


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 17, 64, 65])
def test_shuffled_blocks_of_small_pipes(count: int, prefix: str, blocks: Blocks) -> None:
    with smartpipe.open(prefix, "x") as pipe:
        for key, pairs in blocks[:count]:
            pipe.write(key, pairs)
    orders = set()
    with smartpipe.open(prefix) as pipe:
        for seed in range(40):
            keys = [key for key, _ in pipe.items(shuffle=seed)]
            assert sorted(keys) == sorted(key for key, _ in blocks[:count])
            orders.add(tuple(keys))
    assert len(orders) >= min(count, 6)


def test_the_order_of_a_split_is_of_its_blocks(pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        parts = pipe.splits(3)
    found = []
    for part in parts:
        with smartpipe.open(part) as pipe:
            keys = [key for key, _ in pipe.items(shuffle=5, threads=2)]
            assert sorted(keys) == sorted(pipe)
            assert [key for key, _ in pipe.items(threads=2)] == list(pipe)
            found += keys
    assert sorted(found) == sorted(key for key, _ in blocks)


@every_kind
def test_position_and_going_on(kind: Kind, pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        items = pipe.items(threads=2, readahead=100_000)
        for number in range(400):
            assert items.position == number
            assert next(items)[0] == blocks[number][0]
        assert listed(pipe.items(start=items.position, threads=2)) == blocks[400:]
        shuffled = pipe.items(shuffle=3, threads=2)
        keys = [next(shuffled)[0] for _ in range(100)]
        assert shuffled.position == 100
        rest = [key for key, _ in pipe.items(shuffle=3, start=shuffled.position)]
        assert sorted(keys + rest) == sorted(key for key, _ in blocks)
        with pytest.raises(ValueError, match="order"):
            _ = pipe.items(threads=2, ordered=False).position


# Memory and threads


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("smartpipe-read")]


def wait_for_no_readers() -> None:
    end = time.monotonic() + 30
    while readers():
        assert time.monotonic() < end, "threads are still there"
        time.sleep(0.001)


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_is_read_ahead_than_allowed(kind: Kind, ordered: bool, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        entries = list(pipe.entries())
        largest = max(entry.stored + (entry.raw or 0) for entry in entries)
        for limit in (4 * largest, 20 * largest):
            before = pipe.stats()["read_bytes"] + pipe.stats()["inflated_bytes"]
            items = pipe.items(threads=3, readahead=limit, ordered=ordered)
            given = 0
            for key, _ in items:
                given += sum(entry.stored + (entry.raw or 0) for entry in entries if entry.key == key)
                stats = pipe.stats()
                # What was read and not yet given is within the limit, beside the batch that is being given.
                assert stats["read_bytes"] + stats["inflated_bytes"] - before <= given + 2 * limit
        wait_for_no_readers()


def test_a_block_larger_than_what_is_read_ahead(prefix: str) -> None:
    blocks = [(b"%d" % n, [(b"v", bytes([n]) * (300_000 if n % 5 == 2 else 10))]) for n in range(20)]
    with smartpipe.open(prefix, "x", compress=True) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)
    with smartpipe.open(prefix) as pipe:
        for threads in (1, 2):
            assert listed(pipe.items(threads=threads, readahead=1000)) == blocks
            assert sorted(listed(pipe.items(threads=threads, readahead=1000, shuffle=1))) == sorted(blocks)


def test_threads_end_with_the_iteration_or_when_it_is_left(pipes: dict[Kind, str]) -> None:
    wait_for_no_readers()
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        for _ in pipe.items(threads=3):
            assert 1 <= len(readers()) <= 3
            break
        gc.collect()
        wait_for_no_readers()
        items = pipe.items(threads=2)
        assert len(list(items)) == COUNT
        wait_for_no_readers()
        assert list(items) == []
        assert readers() == []


def test_an_iterator_that_nobody_asks_reads_nothing(pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        before = pipe.stats()["read_bytes"]
        items = pipe.items(threads=3)
        assert readers() == [] and pipe.stats()["read_bytes"] == before
        next(items)
        assert pipe.stats()["read_bytes"] > before
        del items
        wait_for_no_readers()


@every_kind
def test_a_reader_that_is_closed_meanwhile(kind: Kind, pipes: dict[Kind, str], blocks: Blocks) -> None:
    pipe = smartpipe.open(pipes[kind])
    items = pipe.items(threads=2, readahead=50_000)
    kept = [next(items) for _ in range(10)]
    pipe.close()
    with pytest.raises(smartpipe.ClosedError):
        next(items)
    del items
    wait_for_no_readers()
    assert [(key, list(block)) for key, block in kept[:-2]] == blocks[:8]


@every_kind
def test_blocks_that_are_kept_stay_what_they_are(kind: Kind, pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        for options in ({}, {"shuffle": 4}, {"ordered": False}):
            kept = [pair for number, pair in enumerate(pipe.items(threads=2, **options)) if number % 3 == 0]
            assert dict(blocks).items() >= {key: list(block) for key, block in kept}.items()


def test_many_iterators_at_a_time(pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        several = [pipe.items(threads=2, readahead=100_000) for _ in range(5)]
        for together in zip(*several, strict=True):
            assert len({key for key, _ in together}) == 1
        assert [list(items) for items in several] == [[]] * 5


def test_an_iterator_in_a_forked_child(pipes: dict[Kind, str], blocks: Blocks) -> None:
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        for ordered in (True, False):
            items = pipe.items(threads=2, readahead=200_000, ordered=ordered)
            seen = [next(items)[0] for _ in range(20)]
            context = multiprocessing.get_context("fork")
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=lambda: theirs.send([key for key, _ in items]))  # noqa: B023
            child.start()
            rest = [key for key, _ in items]
            assert sorted(seen + rest) == sorted(key for key, _ in blocks)
            assert sorted(ours.recv()) == sorted(rest)
            child.join()


# Bad input


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"threads": -1}, {"readahead": 0}, {"threads": 2, "readahead": -5}], ids=str
)
def test_numbers_that_are_too_small(options: dict[str, Any], pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[KINDS[0]]) as pipe, pytest.raises(ValueError, match="not at least 1"):
        pipe.items(**options)


@pytest.mark.parametrize(
    "options", [{"threads": "2"}, {"threads": 1.5}, {"readahead": None}, {"shuffle": "x"}], ids=str
)
def test_what_is_no_number(options: dict[str, Any], pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[KINDS[0]]) as pipe, pytest.raises(TypeError):
        pipe.items(**options)


def damaged(prefix: str, kind: Kind, numbers: list[int]) -> Blocks:
    """Plant a pipe in which some blocks have a bad byte; returns the good ones."""
    blocks = mixed(200)
    plant(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        entries = list(pipe.entries())
    data = bytearray(kind.data(prefix).read_bytes())
    for number in numbers:
        entry = entries[number]
        data[entry.offset + entry.stored - 1] ^= 0x55
    kind.data(prefix).write_bytes(data)
    return [block for number, block in enumerate(blocks) if number not in numbers]


BAD = [3, 4, 5, 77, 130, 199]
DAMAGED = [kind for kind in KINDS if kind != Kind(1, False)]  # there nothing tells of it


@pytest.mark.parametrize("kind", DAMAGED, ids=str)
@pytest.mark.parametrize("options", [{"threads": 2}, {"threads": 3, "ordered": False}, {"threads": 2, "shuffle": 1},
                                     {"shuffle": 1}], ids=str)  # fmt: skip
@pytest.mark.parametrize("readahead", [2000, 64 << 20])
def test_damaged_blocks(kind: Kind, options: dict[str, Any], readahead: int, prefix: str) -> None:
    good = damaged(prefix, kind, BAD)
    with smartpipe.open(prefix) as pipe:
        options["readahead"] = readahead
        found = listed(pipe.items(on_error="skip", **options))
        assert sorted(found) == sorted(good)
        assert pipe.stats()["skipped_blocks"] == len(BAD)
        told: list[Any] = []
        assert sorted(listed(pipe.items(on_error=told.append, **options))) == sorted(good)
        assert sorted(error.block for error in told) == sorted(b"key %d" % number for number in BAD)

        found, told = [], []
        items = pipe.items(**options)
        while True:
            try:
                found.append(next(items))
            except StopIteration:
                break
            except smartpipe.CorruptError as error:
                told.append(error.block)
        assert sorted((key, list(block)) for key, block in found) == sorted(good)
        assert sorted(told) == sorted(b"key %d" % number for number in BAD)
        if set(options) == {"threads", "readahead"}:
            assert [(key, list(block)) for key, block in found] == good


def test_the_blocks_before_a_damaged_one_come_first(prefix: str) -> None:
    kind = KINDS[1]
    damaged(prefix, kind, [101])
    with smartpipe.open(prefix) as pipe:
        seen = []
        with pytest.raises(smartpipe.CorruptError) as caught:
            for key, _ in pipe.items(threads=2):
                seen.append(key)
        assert seen == [b"key %d" % number for number in range(101)]
        assert caught.value.block == b"key 101"


def test_a_damaged_block_that_comes_before_what_was_read_first(prefix: str) -> None:
    """Without order: no block comes twice, whichever batch is ready first."""
    with smartpipe.open(prefix, "w", compress=True) as pipe:
        for number in range(8):
            pipe.write(b"large %d" % number, {b"k": b"%d " % number * 3_000_000})
            for small in range(100):
                pipe.write(b"small %d %d" % (number, small), {b"k": Random(small).randbytes(50)})
    with smartpipe.open(prefix) as pipe:
        entries = [entry for entry in pipe.entries() if entry.key.endswith(b" 50")]
        keys = set(pipe)
    data = bytearray(KINDS[1].data(prefix).read_bytes())
    for entry in entries:
        data[entry.offset + entry.stored - 1] ^= 0x55
    KINDS[1].data(prefix).write_bytes(data)
    for threads in (2, 3):
        with smartpipe.open(prefix) as pipe:
            told: list[Any] = []
            found = [key for key, _ in pipe.items(threads=threads, ordered=False, on_error=told.append)]
        assert len(told) == len(entries)
        assert sorted(found) == sorted(keys - {entry.key for entry in entries})


# Interrupts: whoever goes on misses nothing


class Interrupted:
    """Every third call of a method raises, before it does anything or after."""

    def __init__(self, method: Any, error: BaseException, *, after: bool) -> None:
        self.method = method
        self.error = error
        self.after = after
        self.calls = 0

    def __get__(self, owner: Any, kind: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls % 3 and not self.after:
                return self.method(owner, *arguments)
            result = self.method(owner, *arguments) if self.after else None
            if self.calls % 3 == 0:
                raise self.error
            return result

        return call


@every_kind
@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"shuffle": 1}, {"shuffle": 1, "ordered": False}], ids=str)
@pytest.mark.parametrize("place", ["waiting", "before submitting", "after submitting"])
def test_interrupts(
    kind: Kind,
    options: dict[str, Any],
    place: str,
    pipes: dict[Kind, str],
    blocks: Blocks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, name = (Future, "result") if place == "waiting" else (ThreadPoolExecutor, "submit")
    interrupted = Interrupted(getattr(owner, name), KeyboardInterrupt(), after=place == "after submitting")
    monkeypatch.setattr(owner, name, interrupted)
    count = 0
    with smartpipe.open(pipes[kind]) as pipe:
        items = pipe.items(threads=2, readahead=100_000, **options)
        found = []
        while True:
            try:
                key, block = next(items)
                found.append((key, list(block)))
            except StopIteration:
                break
            except KeyboardInterrupt:
                count += 1
    assert count > 3 or (place == "waiting" and "ordered" in options)
    if options:
        assert sorted(found) == sorted(blocks)
    else:
        assert found == blocks


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_without_more_threads_blocks_are_read_by_the_caller(
    ordered: bool, after: bool, pipes: dict[Kind, str], blocks: Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Interrupted(ThreadPoolExecutor.submit, RuntimeError("can't start new thread"), after=after)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refused)
    with smartpipe.open(pipes[KINDS[1]]) as pipe:
        found = listed(pipe.items(threads=2, readahead=100_000, ordered=ordered))
    assert refused.calls > 10
    assert found == blocks if ordered else sorted(found) == sorted(blocks)


ENDING = """
import sys, threading, time
import smartpipe

def work():
    with smartpipe.open(sys.argv[1]) as pipe:
        items = pipe.items(threads=2, readahead=100_000, ordered=sys.argv[2] == "True")
        next(items)
        while threading.main_thread().is_alive():
            time.sleep(0.001)
        print(1 + sum(1 for _ in items))

threading.Thread(target=work).start()
"""


@pytest.mark.parametrize("ordered", [True, False])
def test_a_thread_reads_on_while_the_interpreter_ends(ordered: bool, pipes: dict[Kind, str]) -> None:
    assert run(ENDING, pipes[KINDS[1]], ordered) == f"{COUNT}\n"


SHORT = """
import resource, sys
import smartpipe

pipe = smartpipe.open(sys.argv[1])
items = pipe.items()
next(items)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (90 << 20), resource.RLIM_INFINITY))
try:
    next(items)
except MemoryError:
    print("no memory")
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
key, block = next(items)
print(key.decode(), [value == bytes([number + 1]) * (50 << 20) for number, (_, value) in enumerate(block)])
print(next(items)[0].decode())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell how much memory is in use")
def test_a_block_for_which_there_was_no_memory_is_read_again(prefix: str) -> None:
    large = [(b"%d" % number, bytes([number + 1]) * (50 << 20)) for number in range(2)]
    with smartpipe.open(prefix, "w", compress=True, level=1) as pipe:
        for name, pairs in ((b"a", []), (b"b", large), (b"c", [])):
            pipe.write(name, pairs)
    assert run(SHORT, prefix).splitlines() == ["no memory", "b [True, True]", "c"]


@pytest.mark.parametrize("value", [True, False])
def test_shuffle_is_no_switch(value: bool, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[KINDS[0]]) as pipe, pytest.raises(TypeError, match="shuffle is a number"):
        pipe.items(shuffle=value)
