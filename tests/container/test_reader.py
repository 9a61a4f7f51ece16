"""Reader: a pipe as a mapping, as a sequence, in parts, by threads, and after it was closed."""

from __future__ import annotations

import array
import collections
import os
import pickle
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reference import format1, format2

import smartpipe

from .pipes import (
    KINDS,
    PAGES,
    SMALL,
    Blocks,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    files,
    index,
    plant,
    planter,
    read,
    warned,
    write,
)
from .process import run, start


def many_blocks() -> Blocks:
    """Blocks of all sizes, so that batches end in every way: many small ones, large ones, empty ones; 4 MB."""
    chance = random.Random(5)
    blocks: Blocks = []
    for number in range(600):
        sizes = chance.choice([[], [3], [0, 50], [700, 10, 20], [5000, 5], [4095, 4096], [30_000]])
        if number in (70, 71, 300):
            sizes = [400_000, 20]
        if number in (200, 599):
            sizes = [7, 900_000]
        value = chance.randbytes(100) * 3 + b"%d" % number
        pairs = [(b"ab%d" % place, (value * (size // len(value) + 1))[:size]) for place, size in enumerate(sizes)]
        blocks.append((b"key %d" % number, [(b"number", b"%d" % number), *pairs]))
    return blocks


MANY = many_blocks()


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, str]:
    """A pipe with MANY of each kind."""
    prefixes = {}
    for kind in KINDS:
        prefixes[kind] = str(tmp_path_factory.mktemp("many") / "pipe")
        write(prefixes[kind], MANY, kind)
    return prefixes


# A mapping


@every_kind
def test_a_reader_is_a_mapping_in_the_order_of_the_file(kind: Kind, pipes: dict[Kind, str]) -> None:
    keys = [key for key, _ in MANY]
    with smartpipe.open(pipes[kind]) as pipe:
        assert len(pipe) == len(MANY)
        assert list(pipe) == list(pipe.keys()) == keys
        assert [key for key, _ in pipe.items()] == keys
        assert {key: list(block) for key, block in dict(pipe).items()} == dict(MANY)
        for key, pairs in random.Random(1).sample(MANY, 100):
            assert key in pipe
            assert bytearray(key) in pipe
            assert list(pipe[key]) == pairs
            assert list(pipe[memoryview(key)]) == pairs
            block = pipe.get(key)
            assert block is not None
            assert list(block) == pairs
            assert block.key == key
        for key in (b"", b"key", b"key 600", b"key 0 ", b"KEY 0", b"\x00"):
            assert key not in pipe
            assert pipe.get(key) is None
            assert pipe.get(key, 5) == 5
            with pytest.raises(smartpipe.BlockNotFound) as caught:
                pipe[key]
            assert isinstance(caught.value, KeyError)
            assert (caught.value.block, caught.value.path) == (key, pipe.data_path)
            assert repr(key) in str(caught.value)


@every_kind
@pytest.mark.parametrize("key", ["key 0", 5, None, [b"key 0"]])
def test_keys_of_another_type(kind: Kind, key: Any, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        calls: list[Callable[[], Any]] = [
            lambda: pipe[key],
            lambda: pipe.get(key),
            lambda: key in pipe,
            lambda: list(pipe.get_many([key])),
        ]
        if key is not None:
            calls += [lambda: list(pipe.pull_block(key)), lambda: list(pipe.items(select=[key]))]
        if not isinstance(key, int | None):
            calls += [lambda: pipe.items(start=key)]
        for call in calls:
            with pytest.raises(TypeError, match="encode" if isinstance(key, str) else "buffer"):
                call()


@every_kind
@pytest.mark.parametrize("listed", [True, False])
def test_a_key_that_is_there_twice(kind: Kind, listed: bool, prefix: str) -> None:
    # No writer of ours makes it. FORMAT.md: iteration gives both, access by key the last.
    blocks = [(b"a", [(b"k", b"1")]), (b"b", []), (b"a", [(b"k", b"2")]), (b"c", []), (b"a", [(b"k", b"3")])]
    plant(prefix, blocks, kind)
    if not listed:
        if kind.format == 1:
            return  # has no keys without its index
        index(prefix).unlink()
    with warned(), smartpipe.open(prefix) as pipe:
        assert len(pipe) == 5
        assert list(pipe) == [b"a", b"b", b"a", b"c", b"a"]
        assert [(key, list(block)) for key, block in pipe.items()] == blocks
        assert pipe[b"a"][b"k"] == b"3"
        assert [(key, list(block or [])) for key, block in pipe.get_many([b"a"])] == [(b"a", [(b"k", b"3")])]
        assert [list(pipe.pull_block()) for _ in range(5)] == [pairs for _, pairs in blocks]
        assert list(pipe.pull_block(b"a")) == [(b"k", b"3")]


@every_kind
def test_get_many_gives_them_in_the_order_of_the_file(kind: Kind, pipes: dict[Kind, str]) -> None:
    chance = random.Random(2)
    wanted = [key for key, _ in chance.sample(MANY, 50)]
    absent = [b"absent %d" % number for number in range(5)]
    asked = [*wanted, *absent]
    chance.shuffle(asked)
    with smartpipe.open(pipes[kind]) as pipe:
        found = [(key, None if block is None else list(block)) for key, block in pipe.get_many(asked)]
        order = {key: number for number, (key, _) in enumerate(MANY)}
        assert found[:50] == [(key, dict(MANY)[key]) for key in sorted(wanted, key=order.__getitem__)]
        assert sorted(found[50:]) == [(key, None) for key in absent]
        assert list(pipe.get_many([])) == []
        assert [list(block or []) for _, block in pipe.get_many(iter([memoryview(b"key 7")]))] == [dict(MANY)[b"key 7"]]


# A block


@every_kind
def test_a_block_is_a_sequence_of_pairs(kind: Kind, prefix: str) -> None:
    pairs = [(b"a", b"1"), (b"b", b"2" * 9000), (b"a", b""), (b"", b"4"), (b"b", b"5"), (b"\x00\xff", b"6" * 5000)]
    write(prefix, [(b"before", [(b"a", b"x")]), (b"key", pairs), (b"behind", [(b"a", b"y")])], kind)
    with smartpipe.open(prefix) as pipe:
        for block in (pipe[b"key"], list(pipe.items())[1][1], next(pipe.get_many([b"key"]))[1]):
            assert block is not None
            assert block.key == b"key"
            assert len(block) == 6
            assert list(block) == list(block) == pairs
            assert [block[number] for number in range(6)] == pairs
            assert [block[number] for number in range(-6, 0)] == pairs
            assert list(reversed(block)) == pairs[::-1]
            for cut in (slice(None), slice(1, 3), slice(None, None, -2), slice(-2, None), slice(5, 99), slice(3, 1)):
                assert block[cut] == pairs[cut]
            for number in (6, -7, 99, 1 << 40):
                with pytest.raises(IndexError):
                    block[number]
            assert block.keys() == [name for name, _ in pairs]
            assert block.sizes() == [(name, len(value)) for name, value in pairs]
            assert block[b"a"] == b"1"
            assert block[bytearray(b"b")] == b"2" * 9000
            assert block[b""] == b"4"
            assert block.get(b"\x00\xff") == b"6" * 5000
            assert block.getall(b"a") == [b"1", b""]
            assert block.getall(b"b") == [b"2" * 9000, b"5"]
            assert b"a" in block and b"" in block and memoryview(b"b") in block
            for absent in (b"c", b"aa", b"\x00"):
                assert absent not in block
                assert block.get(absent) is None
                assert block.get(absent, 7) == 7
                assert block.getall(absent) == []
                with pytest.raises(smartpipe.PairNotFound) as caught:
                    block[absent]
                assert isinstance(caught.value, KeyError)
                assert (caught.value.block, caught.value.path) == (b"key", pipe.data_path)
                assert repr(absent) in str(caught.value)
            for call in (lambda b: b["a"], lambda b: b.get("a"), lambda b: b.getall("a"), lambda b: "a" in b):
                with pytest.raises(TypeError, match="encode"):
                    call(block)
            with pytest.raises(TypeError):
                block[None]  # type: ignore[call-overload]
            assert all(type(part) is bytes for pair in block for part in pair)


class Two:
    """A number that is no int, like those of numpy."""

    def __index__(self) -> int:
        return 2


@every_kind
def test_a_block_takes_any_integer(kind: Kind, prefix: str) -> None:
    numpy = pytest.importorskip("numpy")
    pairs = [(b"a", b"0"), (b"b", b"1"), (b"c", b"2"), (b"d", b"3")]
    write(prefix, [(b"key", pairs)], kind)
    with smartpipe.open(prefix) as pipe:
        block = pipe[b"key"]
        assert block[Two()] == (b"c", b"2")
        assert block[True] == (b"b", b"1")
        assert [block[number] for number in numpy.arange(4)] == pairs


@every_kind
def test_a_block_without_pairs(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"a", []), (b"b", [(b"k", b"v")]), (b"c", [])], kind)
    with smartpipe.open(prefix) as pipe:
        for key in (b"a", b"c"):
            for block in (pipe[key], dict(pipe.items())[key]):
                assert (len(block), list(block), block.keys(), block.sizes()) == (0, [], [], [])
                assert block[:] == []
                assert b"k" not in block
                with pytest.raises(IndexError):
                    block[0]


# items


@every_kind
def test_items_begin_anywhere(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        for number in (0, 1, 69, 70, 71, 72, 199, 200, 201, 598, 599, 600):
            expected = MANY[number : number + 5]
            starts: list[Any] = [number]
            if number < 600:
                starts += [b"key %d" % number, bytearray(b"key %d" % number)]
            for start_ in starts:
                items = pipe.items(start=start_)
                assert items.position == number
                found = [(key, list(block)) for _, (key, block) in zip(range(5), items, strict=False)]
                assert found == expected
        for wrong in (-1, 601, 1 << 63):
            with pytest.raises(ValueError, match=str(wrong)):
                pipe.items(start=wrong)
        with pytest.raises(smartpipe.BlockNotFound):
            pipe.items(start=b"absent")
        assert next(pipe.items(start=Two()))[0] == b"key 2"


@every_kind
def test_the_position_of_items_is_the_next_block(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        items = pipe.items(start=3)
        for number in range(3, 600):
            assert items.position == number
            key, _ = next(items)
            assert key == MANY[number][0]
        assert items.position == 600
        for _ in range(3):
            assert next(items, None) is None
            assert items.position == 600
        # What it says is where another one goes on.
        items = pipe.items()
        for _ in range(250):
            next(items)
        assert [key for key, _ in pipe.items(start=items.position)] == [key for key, _ in MANY[250:]]


@every_kind
@pytest.mark.parametrize("names", [[], [b"ab1"], [b"number"], [b"ab0", b"ab2"], [b"absent"], [b"", b"number", b"ab1"]])
def test_select_leaves_out_all_other_pairs(kind: Kind, names: list[bytes], pipes: dict[Kind, str]) -> None:
    expected = [(key, [pair for pair in pairs if pair[0] in names]) for key, pairs in MANY]
    ways: list[Any] = [names, set(names), iter(names), dict.fromkeys(names), [bytearray(name) for name in names]]
    with smartpipe.open(pipes[kind]) as pipe:
        for way in ways:
            assert [(key, list(block)) for key, block in pipe.items(select=way)] == expected
        for (_, block), (_, pairs) in zip(pipe.items(select=names, start=550), expected[550:], strict=True):
            assert len(block) == len(pairs)
            assert block.keys() == [name for name, _ in pairs]
            assert block.sizes() == [(name, len(value)) for name, value in pairs]
            assert [block[number] for number in range(len(pairs))] == pairs
            assert [block[number] for number in range(-len(pairs), 0)] == pairs
            assert block[:2] == pairs[:2]
            for name in (b"number", b"ab0", b"ab1", b"absent"):
                values = [value for other, value in pairs if other == name]
                assert block.getall(name) == values
                assert block.get(name) == (values[0] if values else None)
                assert (name in block) == bool(values)
                if not values:
                    with pytest.raises(smartpipe.PairNotFound):
                        block[name]


@every_kind
@pytest.mark.parametrize("select", [b"ab0", "ab0", ["ab0"], 5, [5]])
def test_select_is_an_iterable_of_pair_keys(kind: Kind, select: Any, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe, pytest.raises(TypeError):
        list(pipe.items(select=select))


@every_kind
def test_blocks_can_be_kept(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        kept = list(pipe.items())
        iterators = [iter(block) for _, block in pipe.items()]
        started = []
        for _, block in pipe.items():
            pairs = iter(block)
            started.append((next(pairs), pairs))
        some = [(key, block) for number, (key, block) in enumerate(pipe.items()) if number % 7 == 3]
        selected = [block for _, block in pipe.items(select=[b"ab0", b"ab1"])]
        list(pipe.items())  # runs over the memory of all of them, if they do not own theirs
        assert [(key, list(block)) for key, block in kept] == MANY
        assert [list(pairs) for pairs in iterators] == [pairs for _, pairs in MANY]
        assert [[first, *rest] for first, rest in started] == [pairs for _, pairs in MANY]
        assert [(key, list(block)) for key, block in some] == MANY[3::7]
        expected = [[pair for pair in pairs if pair[0] in (b"ab0", b"ab1")] for _, pairs in MANY]
        assert [list(block) for block in selected] == expected
        assert [block.keys() for _, block in reversed(kept)] == [[n for n, _ in pairs] for _, pairs in reversed(MANY)]
    # And without the pipe: they were read as a whole.
    assert [(key, list(block)) for key, block in kept] == MANY
    assert [list(block) for block in selected] == expected


KEEPING = """
import gc, os, sys
import smartpipe

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

path, which = sys.argv[1:]
keep = {"first": {0}, "second": {1}, "middle": {700}, "last": {1499}, "left": {300}}[which]
kept = []

def run(path):
    with smartpipe.open(path) as pipe:
        for number, (key, block) in enumerate(pipe.items()):
            if number in keep:
                kept.append(block)
                if which == "left":
                    break

run(path)
before = resident()
for _ in range(60):
    run(path)
print((resident() - before) // 60)
assert all(block[b"v"] == b"%d" % number + bytes(1000) for number in keep for block in kept)
"""


@every_kind
@pytest.mark.parametrize("which", ["first", "second", "middle", "last", "left"])
def test_a_block_that_is_kept_keeps_no_other_one(kind: Kind, which: str, prefix: str) -> None:
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc here")
    write(prefix, [(b"%d" % number, [(b"v", b"%d" % number + bytes(1000))]) for number in range(1500)], kind)
    grown = int(run(KEEPING, prefix, which))
    assert grown < 50_000  # a block has 1,013 bytes; what is read at once is ten times this limit


# The original's way


@every_kind
def test_pulling_block_by_block(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        found = []
        while (key := pipe.get_next_block_key()) is not None:
            assert pipe.get_next_block_key() == key  # asking does not move
            assert pipe.position == len(found)
            found.append((key, list(pipe.pull_block())))
        assert found == MANY
        assert pipe.position == len(MANY)
        assert list(pipe.pull_block()) == []
        assert pipe.get_next_block_key() is None
        assert pipe.position == len(MANY)


@every_kind
def test_pulling_a_block_by_key_moves_behind_it(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        assert list(pipe.pull_block(b"key 300")) == MANY[300][1]
        assert (pipe.position, pipe.get_next_block_key()) == (301, b"key 301")
        assert list(pipe.pull_block()) == MANY[301][1]
        assert list(pipe.pull_block(b"key 5")) == MANY[5][1]
        assert pipe.get_next_block_key() == b"key 6"
        assert list(pipe.pull_block(b"absent")) == []
        assert pipe.get_next_block_key() == b"key 6"
        assert list(pipe.pull_block(b"key 599")) == MANY[599][1]
        assert pipe.get_next_block_key() is None
        assert list(pipe.pull_block(b"key 0")) == MANY[0][1]
        assert list(pipe.pull_block()) == MANY[1][1]


@every_kind
def test_leaving_early_disturbs_nothing(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        for number in range(80):
            assert pipe.get_next_block_key() == MANY[number][0]
            pairs = pipe.pull_block()
            for expected in MANY[number][1][: number % 3]:
                assert next(pairs) == expected
        # Asked for, not looked at.
        pipe.pull_block()
        assert list(pipe.pull_block()) == MANY[81][1]
        for _ in pipe.items():
            break
        next(iter(pipe.keys()))
        next(pipe.get_many([b"key 5", b"key 6"]))
        assert (pipe.position, list(pipe.pull_block())) == (82, MANY[82][1])
        assert [(key, list(block)) for key, block in pipe.items(start=82)] == MANY[82:]


@every_kind
def test_iterators_of_one_reader_do_not_know_each_other(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe, smartpipe.open(pipes[kind]) as other:
        iterators: list[Iterator[Any]] = [pipe.items(), pipe.items(), pipe.items(select=[b"number"]), other.items()]
        for number in range(600):
            for place, items in enumerate(iterators):
                if place == 1 and number >= 300:
                    continue
                key, block = next(items)
                assert key == MANY[number][0]
                assert list(block) == (MANY[number][1][:1] if place == 2 else MANY[number][1])
            assert list(pipe.pull_block()) == MANY[number][1]
            assert list(pipe[b"key %d" % (599 - number)]) == MANY[599 - number][1]
        assert [key for key, _ in iterators[1]] == [key for key, _ in MANY[300:]]


# Parts


@every_kind
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 599, 600, 601, 5000])
def test_splits_have_every_block_once(kind: Kind, n: int, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        parts = pickle.loads(pickle.dumps(pipe.splits(n)))
    assert 1 <= len(parts) <= min(n, 600)
    found: Blocks = []
    for part in parts:
        assert isinstance(part, smartpipe.Split)
        with smartpipe.open(part) as pipe:
            assert len(pipe) > 0
            begin = len(found)
            found += [(key, list(block)) for key, block in pipe.items()]
            assert len(pipe) == len(found) - begin
    assert found == MANY


@every_kind
def test_splits_are_about_equal(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"%d" % number, [(b"k", b"v" * 100)]) for number in range(1000)], kind)
    with smartpipe.open(prefix) as pipe:
        for n in (2, 5, 10):
            sizes = []
            for part in pipe.splits(n):
                with smartpipe.open(part) as reader:
                    sizes.append(sum(entry.stored for entry in reader.entries()))
            assert len(sizes) == n
            assert max(sizes) < 1.1 * sum(sizes) / n


@every_kind
def test_a_split_is_a_pipe_of_its_own(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as whole:
        parts = whole.splits(4)
        begin = 0
        for part in parts:
            with smartpipe.open(part) as pipe:
                blocks = MANY[begin : begin + len(pipe)]
                outside = [key for key, _ in MANY[:begin] + MANY[begin + len(pipe) :]][::40]
                assert list(pipe) == [key for key, _ in blocks]
                assert [(key, list(block)) for key, block in pipe.items()] == blocks
                assert [(key, list(block)) for key, block in pipe.items(start=3)] == blocks[3:]
                assert [(key, list(block)) for key, block in pipe.items(start=blocks[5][0])] == blocks[5:]
                assert list(pipe.items(start=len(blocks))) == []
                with pytest.raises(ValueError):  # noqa: PT011
                    pipe.items(start=len(blocks) + 1)
                assert pipe.position == 0
                assert pipe.get_next_block_key() == blocks[0][0]
                assert [list(pipe.pull_block()) for _ in blocks] == [pairs for _, pairs in blocks]
                assert pipe.get_next_block_key() is None
                assert pipe.position == len(blocks)
                assert list(pipe.pull_block(blocks[1][0])) == blocks[1][1]
                for key in outside:
                    assert key not in pipe
                    assert pipe.get(key) is None
                    assert list(pipe.pull_block(key)) == []
                    with pytest.raises(smartpipe.BlockNotFound):
                        pipe[key]
                    with pytest.raises(smartpipe.BlockNotFound):
                        pipe.items(start=key)
                assert [block for _, block in pipe.get_many(outside)] == [None] * len(outside)
                entries = list(pipe.entries())
                assert [entry.number for entry in entries] == list(range(len(blocks)))
                assert entries == [
                    entry._replace(number=entry.number - begin)
                    for entry in list(whole.entries())[begin : begin + len(pipe)]
                ]
                # And can be split again.
                again = []
                for smaller in pipe.splits(3):
                    with smartpipe.open(smaller) as reader:
                        again += list(reader)
                assert again == [key for key, _ in blocks]
                assert pipe.stats()["blocks"] == len(blocks)
                begin += len(pipe)


@every_kind
def test_splits_in_other_processes(kind: Kind, pipes: dict[Kind, str], monkeypatch: pytest.MonkeyPatch) -> None:
    # From another folder, too: a split names its pipe from the root.
    monkeypatch.chdir(Path(pipes[kind]).parent)
    with smartpipe.open("pipe") as pipe:
        parts = pipe.splits(2)
    code = """
import os, pickle, sys, smartpipe
os.chdir("/")
with smartpipe.open(pickle.loads(bytes.fromhex(sys.argv[1]))) as pipe:
    print(sum(len(value) for _, block in pipe.items() for _, value in block), len(pipe))
"""
    processes = [start(code, pickle.dumps(part).hex()) for part in parts]
    answers = [tuple(map(int, process.communicate(timeout=60)[0].split())) for process in processes]
    assert sum(count for _, count in answers) == 600
    assert sum(size for size, _ in answers) == sum(len(value) for _, pairs in MANY for _, value in pairs)


@every_kind
def test_splits_of_nothing(kind: Kind, prefix: str, pipes: dict[Kind, str]) -> None:
    write(prefix, [], kind)
    with smartpipe.open(prefix) as pipe:
        assert pipe.splits(3) == []
    with smartpipe.open(pipes[kind]) as pipe:
        for n in (0, -1):
            with pytest.raises(ValueError, match=str(n)):
                pipe.splits(n)


@every_kind
def test_splits_of_blocks_without_bytes(kind: Kind, prefix: str) -> None:
    # In format 1 they all lie at the same offset.
    blocks: Blocks = [(b"%d" % number, []) for number in range(20)]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        for n in (1, 3, 30):
            found = []
            for part in pipe.splits(n):
                with smartpipe.open(part) as reader:
                    found += list(reader)
            assert found == [key for key, _ in blocks]


@every_kind_of_format2
def test_a_split_of_a_pipe_that_was_replaced(kind: Kind, prefix: str) -> None:
    write(prefix, MANY[:20], kind)
    with smartpipe.open(prefix) as pipe:
        parts = pipe.splits(2)
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(b"more", {})
    assert [key for part in parts for key in smartpipe.open(part)] == [key for key, _ in MANY[:20]]
    write(prefix, MANY[20:40], kind)
    for part in parts:
        with pytest.raises(smartpipe.FormatError, match="another pipe"):
            smartpipe.open(part)


@every_kind
def test_a_split_of_a_pipe_that_became_shorter(kind: Kind, prefix: str) -> None:
    write(prefix, MANY[:20], kind)
    with smartpipe.open(prefix) as pipe:
        last = pipe.splits(4)[-1]
    write(prefix, MANY[:5], kind)
    with pytest.raises(smartpipe.SmartPipeError, match="another pipe"):
        smartpipe.open(last)


# What the index knows


@every_kind
def test_entries_tell_where_each_block_is(kind: Kind, pipes: dict[Kind, str]) -> None:
    data = kind.data(pipes[kind]).read_bytes()
    with smartpipe.open(pipes[kind]) as pipe:
        entries = list(pipe.entries())
        assert [entry.key for entry in entries] == [key for key, _ in MANY]
        assert [entry.number for entry in entries] == list(range(600))
        raw = [sum(8 + len(name) + len(value) for name, value in pairs) for _, pairs in MANY]
        ends = [entry.offset + entry.stored for entry in entries]
        assert ends[:-1] == [entry.offset for entry in entries[1:]]
        assert ends[-1] == len(data)
        if kind.format == 2:
            assert [entry.raw for entry in entries] == raw
            assert [entry.pairs for entry in entries] == [len(pairs) for _, pairs in MANY]
            stamps = [entry.stamp for entry in entries]
            assert stamps == sorted(set(stamps))
            assert abs(stamps[-1] - time.time_ns()) < 3600 * 10**9
            for entry in entries[::50]:
                record = format2.read_record_header(data, entry.offset, int.from_bytes(data[8:16], "little"))
                assert record is not None
                assert (record.size, record.stamp, record.pairs) == (entry.stored, entry.stamp, entry.pairs)
                assert format2.read_record(data, record) == MANY[entry.number]
        else:
            assert [entry.raw for entry in entries] == ([*raw[:-1], None] if kind.compress else raw)
            assert {(entry.pairs, entry.stamp) for entry in entries} == {(None, None)}
            for entry in entries[::50]:
                stored = data[entry.offset : entry.offset + entry.stored]
                assert format1.read_pairs(format1.inflate(stored) if kind.compress else stored) == MANY[entry.number][1]


@every_kind
def test_entries_read_no_data(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        before = pipe.stats()
        assert before["read_bytes"] < 1000
        list(pipe.entries())
        list(pipe)
        assert b"key 5" in pipe
        pipe.splits(10)
        assert pipe.stats() == before


@every_kind
def test_stats(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        stats = pipe.stats()
        assert all(type(value) is int for value in stats.values())
        assert stats["blocks"] == 600
        assert stats["data_bytes"] == kind.data(pipes[kind]).stat().st_size
        assert stats["index_bytes"] == index(pipes[kind]).stat().st_size
        assert stats["inflated_bytes"] == 0
        raw = sum(8 + len(name) + len(value) for _, pairs in MANY for name, value in pairs)
        if kind.format == 2:
            assert stats["pairs"] == sum(len(pairs) for _, pairs in MANY)
            assert stats["raw_bytes"] == raw
        collections.deque(pipe.items(), 0)
        after = pipe.stats()
        stored = sum(entry.stored for entry in pipe.entries())
        assert stored <= after["read_bytes"] - stats["read_bytes"]
        # Segments that do not shrink are not inflated, and nothing is inflated twice.
        # (but the last block of format 1, whose size nothing tells: the room for it is doubled until it fits).
        if not kind.compress:
            assert after["inflated_bytes"] == 0
        elif kind.format == 2:
            assert 0.9 * raw < after["inflated_bytes"] <= raw
        else:
            assert raw <= after["inflated_bytes"] <= raw + 2 * 900_000


# Closing


@every_kind
def test_a_closed_reader(kind: Kind, pipes: dict[Kind, str]) -> None:
    pipe = smartpipe.open(pipes[kind])
    waiting: list[Iterator[Any]] = [pipe.items(), pipe.keys(), pipe.get_many([b"key 1"]), pipe.entries(), iter(pipe)]
    started: list[Iterator[Any]] = [pipe.items(), pipe.keys(), pipe.get_many([b"key 1", b"key 2"]), pipe.entries()]
    for iterator in started:
        next(iterator)
    assert not pipe.closed
    pipe.close()
    pipe.close()
    assert pipe.closed
    calls: list[Callable[[], Any]] = [
        lambda: pipe[b"key 1"],
        lambda: pipe[b"absent"],
        lambda: pipe.get(b"key 1"),
        lambda: b"key 1" in pipe,
        lambda: pipe.keys(),
        lambda: iter(pipe),
        lambda: pipe.items(),
        lambda: pipe.entries(),
        lambda: pipe.get_many([b"key 1"]),
        lambda: pipe.pull_block(),
        lambda: pipe.pull_block(b"key 1"),
        lambda: pipe.get_next_block_key(),
        lambda: pipe.splits(2),
        lambda: pipe.stats(),
        lambda: pipe.metadata,
        lambda: pipe.__enter__(),
    ]
    calls += [lambda iterator=iterator: next(iterator) for iterator in waiting + started]  # type: ignore[misc]
    for call in calls:
        with pytest.raises(smartpipe.ClosedError, match="closed") as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert caught.value.path == kind.data(pipes[kind]).as_posix()
    assert (pipe.path, pipe.format) == (pipes[kind], kind.format)
    assert "closed" in repr(pipe)


@every_kind
def test_blocks_keep_what_they_have_when_the_reader_is_closed(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"key", [(b"small", b"1"), (b"large", b"2" * 50_000), (b"not asked for", b"3" * 50_000)])], kind)
    with smartpipe.open(prefix) as pipe:
        block = pipe[b"key"]
        assert block[b"large"] == b"2" * 50_000
    assert block.key == b"key"
    assert block[b"small"] == b"1"
    assert block[b"large"] == b"2" * 50_000
    assert block.sizes() == [(b"small", 1), (b"large", 50_000), (b"not asked for", 50_000)]
    if kind.format == 1:
        assert block[b"not asked for"] == b"3" * 50_000
    elif not kind.compress:
        with pytest.raises(smartpipe.ClosedError):
            block[b"not asked for"]


@every_kind
def test_with_closes(kind: Kind, pipes: dict[Kind, str]) -> None:
    with smartpipe.open(pipes[kind]) as pipe:
        assert not pipe.closed
    assert pipe.closed
    with pytest.raises(RuntimeError), smartpipe.open(pipes[kind]) as pipe:
        raise RuntimeError
    assert pipe.closed


@every_kind
def test_what_a_reader_gave_keeps_it_alive(kind: Kind, pipes: dict[Kind, str]) -> None:
    assert [(key, list(block)) for key, block in smartpipe.open(pipes[kind]).items()] == MANY
    assert list(smartpipe.open(pipes[kind]).keys()) == [key for key, _ in MANY]
    assert list(smartpipe.open(pipes[kind])[b"key 200"]) == MANY[200][1]
    assert list(smartpipe.open(pipes[kind]).pull_block(b"key 200")) == MANY[200][1]
    blocks = dict(smartpipe.open(pipes[kind]).get_many([b"key 70", b"key 200"]))
    assert {key: list(block or []) for key, block in blocks.items()} == {MANY[n][0]: MANY[n][1] for n in (70, 200)}
    assert len(list(smartpipe.open(pipes[kind]).entries())) == 600


# Sizes


@every_kind
@pytest.mark.parametrize("limit", [100, 5000, 100_000])
def test_blocks_over_max_block_size_are_refused_and_the_others_given(kind: Kind, limit: int, prefix: str) -> None:
    sizes = [limit + 1, 50, limit, limit + 1, limit + 1, 0, limit - 1, limit + 5000]
    blocks: Blocks = [(b"%d" % n, [(b"", bytes(size - 8))] if size else []) for n, size in enumerate(sizes)]
    plant(prefix, blocks, kind)
    with smartpipe.open(prefix, max_block_size=limit) as pipe:
        assert list(pipe) == [key for key, _ in blocks]
        items = pipe.items()
        for size, (key, pairs) in zip(sizes, blocks, strict=True):
            if size <= limit:
                assert list(pipe[key]) == pairs
                found, block = next(items)
                assert (found, list(block)) == (key, pairs)
                continue
            assert key in pipe
            for call in (
                lambda key=key: list(pipe[key]),
                lambda: next(items),
                lambda key=key: list(pipe.pull_block(key)),
            ):
                with pytest.raises(smartpipe.BlockTooLargeError, match=str(limit)) as caught:
                    call()
                assert isinstance(caught.value, ValueError)
                assert caught.value.path == pipe.data_path
                assert caught.value.block == key
        assert next(items, None) is None


# While others write


@every_kind
def test_a_reader_shows_what_was_there_when_it_was_opened(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as writer:
        for number in range(0, 60, 2):
            writer.write(*MANY[number])
            with smartpipe.open(prefix) as pipe:
                writer.write(b"later %d" % number, {b"k": b"v" * 1000})
                found = [(key, list(block)) for key, block in pipe.items()]
                assert [pair for pair in found if not pair[0].startswith(b"later")] == MANY[0 : number + 1 : 2]
                assert len(found) == len(pipe) == number + 1
                assert b"later %d" % number not in pipe


APPENDING = """
import sys, smartpipe
number = 0
while True:
    with smartpipe.open(sys.argv[1], "a") as pipe:
        for _ in range(5):
            pipe.write(b"%d" % number, {b"k": b"%d" % number * 50})
            pipe.sync()
            number += 1
"""


@every_kind_of_format2
def test_opening_while_another_process_appends_syncs_and_closes(kind: Kind, prefix: str) -> None:
    smartpipe.open(prefix, "w", **kind.options).close()
    process = start(APPENDING, prefix)
    try:
        most = openings = 0
        while (most < 600 or openings < 2500) and process.poll() is None:
            with warned(), smartpipe.open(prefix) as pipe:
                openings += 1
                assert len(pipe) >= most
                most = len(pipe)
                if openings % 50 == 0:
                    blocks = [(b"%d" % number, [(b"k", b"%d" % number * 50)]) for number in range(most)]
                    assert [(key, list(block)) for key, block in pipe.items()] == blocks
    finally:
        process.kill()
        process.communicate()
    assert most >= 600


# Threads


@every_kind
def test_threads_share_a_reader(kind: Kind, pipes: dict[Kind, str]) -> None:
    errors: list[BaseException] = []
    pipe = smartpipe.open(pipes[kind])

    def all_blocks(_: random.Random) -> None:
        assert [(key, list(block)) for key, block in pipe.items()] == MANY

    def selected(_: random.Random) -> None:
        assert [list(block) for _, block in pipe.items(select=[b"number"])] == [pairs[:1] for _, pairs in MANY]

    def by_key(chance: random.Random) -> None:
        for number in chance.choices(range(600), k=400):
            assert list(pipe[b"key %d" % number]) == MANY[number][1]
            assert b"absent" not in pipe

    def many(chance: random.Random) -> None:
        numbers = sorted(chance.sample(range(600), 300))
        found = [(key, list(block or [])) for key, block in pipe.get_many([b"key %d" % number for number in numbers])]
        assert found == [MANY[number] for number in numbers]

    def keys(_: random.Random) -> None:
        assert list(pipe) == [key for key, _ in MANY]
        assert len(list(pipe.entries())) == 600

    def work(task: Callable[[random.Random], None], seed: int) -> None:
        try:
            for turn in range(2):
                task(random.Random(seed + turn))
        except BaseException as error:
            errors.append(error)

    tasks = [all_blocks, by_key, selected, many, keys, by_key, all_blocks]
    workers = [threading.Thread(target=work, args=[task, place]) for place, task in enumerate(tasks)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    pipe.close()
    assert errors == []


@every_kind
def test_threads_pull_every_block_once(kind: Kind, pipes: dict[Kind, str]) -> None:
    pulled: list[list[tuple[bytes, bytes]]] = []
    errors: list[BaseException] = []
    with smartpipe.open(pipes[kind]) as pipe:

        def work() -> None:
            try:
                # Every block of MANY has pairs: none is the end.
                while pairs := list(pipe.pull_block()):
                    pulled.append(pairs)
            except BaseException as error:
                errors.append(error)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert errors == []
    assert sorted(pulled) == sorted(pairs for _, pairs in MANY)


@every_kind
def test_threads_that_share_an_iterator(kind: Kind, pipes: dict[Kind, str]) -> None:
    # Each block is given once, or the iterator refuses as a generator does.
    found: Blocks = []
    errors: list[BaseException] = []
    with smartpipe.open(pipes[kind]) as pipe:
        items = pipe.items()

        def work() -> None:
            while True:
                try:
                    key, block = next(items)
                    found.append((key, list(block)))
                except StopIteration:
                    return
                except ValueError as error:
                    if "iterator" not in str(error):
                        errors.append(error)
                        return
                except BaseException as error:
                    errors.append(error)
                    return

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert errors == []
    assert sorted(found) == sorted(MANY)


@every_kind
def test_closing_while_threads_read(kind: Kind, pipes: dict[Kind, str], tmp_path: Path) -> None:
    wrong: list[Any] = []
    stopped: list[str] = []
    for turn in range(15):
        pipe = smartpipe.open(pipes[kind])
        ready = threading.Barrier(5)

        def by_items(pipe: smartpipe.Reader = pipe) -> None:
            for (key, block), expected in zip(pipe.items(), MANY, strict=False):
                if (key, list(block)) != expected:
                    wrong.append(key)

        def by_key(pipe: smartpipe.Reader = pipe) -> None:
            for key, pairs in MANY:
                if list(pipe[key]) != pairs:
                    wrong.append(key)

        def work(task: Callable[[], None], ready: threading.Barrier = ready) -> None:
            ready.wait()
            try:
                while True:
                    task()
            except smartpipe.ClosedError:
                stopped.append(task.__name__)
            except BaseException as error:
                wrong.append(error)

        workers = [threading.Thread(target=work, args=[task]) for task in (by_items, by_key, by_items, by_key)]
        for worker in workers:
            worker.start()
        ready.wait()
        time.sleep(turn / 1000)
        pipe.close()
        # Files that get the numbers of those that were closed: nobody may read from them.
        others = [os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT) for _ in range(3)]
        for worker in workers:
            worker.join()
        for number in others:
            os.close(number)
    assert wrong == []
    assert len(stopped) == 60


# Buffers as keys of a reader


@every_kind
def test_keys_are_anything_with_the_buffer_protocol(kind: Kind, prefix: str) -> None:
    write(prefix, [(b"\x01\x00\x02\x00", [(b"\x03\x00", b"v")])], kind)
    key, name = array.array("H", [1, 2]), array.array("H", [3])
    with smartpipe.open(prefix) as pipe:
        assert key in pipe
        assert pipe[key][name] == b"v"
        assert pipe.get(key) is not None
        assert [found for found, _ in pipe.get_many([key])] == [b"\x01\x00\x02\x00"]
        assert list(pipe.pull_block(key)) == [(b"\x03\x00", b"v")]
        assert [list(block) for _, block in pipe.items(select=[name], start=key)] == [[(b"\x03\x00", b"v")]]


# Nothing is written


@every_kind
def test_readers_never_write(kind: Kind, prefix: str) -> None:
    plant(prefix, PAGES, kind)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Path(prefix).parent.iterdir()}
    content = files(prefix)
    with smartpipe.open(prefix) as pipe:
        list(pipe.items())
        pipe.splits(3)
    assert files(prefix) == content
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in Path(prefix).parent.iterdir()} == before


@every_kind
def test_a_reader_of_read_only_files(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    for path in Path(prefix).parent.iterdir():
        path.chmod(0o400)
    assert read(prefix) == SMALL


@every_kind_of_format2
def test_a_pipe_of_large_values_only(kind: Kind, prefix: str) -> None:
    # Of the plain writer: all values large, the empty one too, and pairs in between that are not.
    writer = planter(kind)
    writer.large = 0
    blocks = [(b"%d" % n, [(b"k", bytes(size)) for size in (0, 1, 5000, 0)]) for n in range(30)]
    for key, pairs in blocks:
        writer.write(key, pairs)
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)
    assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert [(key, list(pipe[key])) for key in pipe] == blocks
        kept = list(pipe.items())
    assert [(key, list(block)) for key, block in kept] == blocks


@every_kind_of_format1
def test_the_original_reader_reads_what_the_original_wrote(kind: Kind, prefix: str) -> None:
    plant(prefix, PAGES, kind)
    pipe = smartpipe.SmartPipeReader(prefix)
    found = []
    while (key := pipe.get_next_block_key()) is not None:
        found.append((key, list(pipe.pull_block())))
    assert found == PAGES
    pipe.close()


@pytest.mark.parametrize("change", [{"start": 3, "stop": 1}, {"start": -1}, {"stop": 5}, {"stop": 1 << 70}, {"id": 1}])
def test_a_split_of_blocks_that_are_not_there(change: dict[str, Any], prefix: str) -> None:
    write(prefix, PAGES, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        (part,) = pipe.splits(1)
    with pytest.raises(smartpipe.FormatError, match="were expected"):
        smartpipe.open(part._replace(**change))


@pytest.mark.parametrize(
    "misuse, said",
    [
        (lambda pipe: pipe.items(threads="2"), "threads is '2', a str"),
        (lambda pipe: pipe.items(readahead=1.5), "readahead is 1.5, a float"),
        (lambda pipe: pipe.items(shuffle="1"), "shuffle is '1', a str"),
        (lambda pipe: pipe.columns(batch="2"), "batch is '2', a str"),
        (lambda pipe: pipe.splits("2"), "n is '2', a str"),
        (lambda pipe: list(pipe.get_many(b"1")), "keys is b'1', one key, not an iterable"),
        (lambda pipe: list(pipe.get_many("1")), "keys is '1', one key, not an iterable"),
        (lambda pipe: smartpipe.open(pipe.path, max_block_size="1"), "max_block_size is '1', a str"),
        (lambda pipe: smartpipe.verify(pipe.path, max_block_size="1"), "max_block_size is '1', a str"),
    ],
)
def test_a_wrong_type_is_named(misuse: Callable[[smartpipe.Reader], object], said: str, prefix: str) -> None:
    write(prefix, SMALL, Kind(2, False))
    with smartpipe.open(prefix) as pipe, pytest.raises(TypeError, match=said):
        misuse(pipe)
