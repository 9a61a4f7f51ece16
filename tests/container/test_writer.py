"""Writer: what goes in, what is refused, and what happens to the files."""

from __future__ import annotations

import array
import collections
import ctypes
import errno
import gc
import mmap
import os
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reference import format2

import smartpipe
from smartpipe._platform import disk

from .pipes import (
    KINDS,
    PAGES,
    SMALL,
    Kind,
    every_kind,
    every_kind_of_format1,
    every_kind_of_format2,
    files,
    index,
    plant,
    read,
    warned,
    write,
)
from .process import run, start

NEW = (b"new", [(b"k", b"v")])


def add_by_write(pipe: smartpipe.Writer, key: Any, pairs: Any) -> None:
    pipe.write(key, pairs)


def add_by_block(pipe: smartpipe.Writer, key: Any, pairs: Any) -> None:
    with pipe.block(key) as block:
        for name, value in pairs:
            block.append(name, value)


def add_by_checkpoint(pipe: smartpipe.Writer, key: Any, pairs: Any) -> None:
    pipe.checkpoint(key)
    for name, value in pairs:
        pipe.append(name, value)


WAYS: list[Callable[[smartpipe.Writer, Any, Any], None]] = [add_by_write, add_by_block, add_by_checkpoint]
every_way = pytest.mark.parametrize("add", WAYS, ids=["write", "block", "checkpoint"])


# What a block can be made of


@every_kind
@every_way
def test_blocks_come_back_as_they_were_written(kind: Kind, add: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for key, pairs in PAGES:
            add(pipe, key, pairs)
    assert read(prefix) == PAGES


@every_kind
def test_all_ways_in_turn(kind: Kind, prefix: str) -> None:
    expected = []
    waiting = None  # the block of checkpoint is written when the next one begins
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for number in range(30):
            block = (b"%d" % number, [(b"n", b"%d" % number), (b"v", bytes(number * 300))])
            add = WAYS[number % 3]
            add(pipe, *block)
            if add is add_by_checkpoint:
                block, waiting = waiting, block
            if block is not None:
                expected.append(block)
    assert read(prefix) == [*expected, waiting]


class Another(collections.abc.Mapping[bytes, bytes]):
    """A mapping that is no dict."""

    def __getitem__(self, key: bytes) -> bytes:
        return {b"a": b"1", b"b": b"2"}[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])

    def __len__(self) -> int:
        return 2


@every_kind
@pytest.mark.parametrize(
    "pairs",
    [
        lambda: {b"a": b"1", b"b": b"2"},
        lambda: collections.OrderedDict([(b"a", b"1"), (b"b", b"2")]),
        lambda: types.MappingProxyType({b"a": b"1", b"b": b"2"}),
        lambda: collections.UserDict({b"a": b"1", b"b": b"2"}),
        lambda: Another(),
        lambda: [(b"a", b"1"), (b"b", b"2")],
        lambda: ((b"a", b"1"), (b"b", b"2")),
        lambda: [[b"a", b"1"], [b"b", b"2"]],
        lambda: {b"a": b"1", b"b": b"2"}.items(),
        lambda: ((key, value) for key, value in [(b"a", b"1"), (b"b", b"2")]),
        lambda: zip([b"a", b"b"], [b"1", b"2"], strict=True),
        lambda: iter([iter([b"a", b"1"]), iter([b"b", b"2"])]),
    ],
    ids=["dict", "ordered", "proxy", "user", "mapping", "list", "tuple", "lists", "items", "generator", "zip", "iter"],
)
def test_pairs_are_a_mapping_or_an_iterable_of_pairs(kind: Kind, pairs: Callable[[], Any], prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"key", pairs())
    assert read(prefix) == [(b"key", [(b"a", b"1"), (b"b", b"2")])]


@every_kind
@pytest.mark.parametrize("source", KINDS, ids=str)
def test_pairs_are_a_block_of_another_pipe(kind: Kind, source: Kind, prefix: str) -> None:
    plant(prefix + "-source", PAGES, source)
    with smartpipe.open(prefix + "-source") as old, smartpipe.open(prefix, "w", **kind.options) as new:
        for key, block in old.items():
            new.write(key, block)
    assert read(prefix) == PAGES


@every_kind
def test_pair_keys_may_repeat_and_keep_their_order(kind: Kind, prefix: str) -> None:
    pairs = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"", b""), (b"b", b""), (b"", b"x")]
    write(prefix, [(b"key", pairs)], kind)
    assert read(prefix) == [(b"key", pairs)]


@every_kind
def test_a_pipe_without_blocks(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        assert len(pipe) == 0
    with smartpipe.open(prefix) as pipe:
        assert (len(pipe), list(pipe), list(pipe.items()), list(pipe.entries())) == (0, [], [], [])
        assert pipe.format == kind.format
    with smartpipe.open(prefix, "a") as pipe:
        assert pipe.format == kind.format
        pipe.write(*NEW)
    assert read(prefix) == [NEW]


@every_kind
@every_way
def test_only_empty_things(kind: Kind, add: Any, prefix: str) -> None:
    blocks = [(b"", []), (b"a", [(b"", b"")]), (b"b", [(b"", b""), (b"", b"")]), (b"c", []), (b"d", [])]
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for key, pairs in blocks:
            add(pipe, key, pairs)
    assert read(prefix) == blocks
    with smartpipe.open(prefix) as pipe:
        assert [(key, list(pipe[key])) for key in pipe] == blocks


@every_kind
def test_many_pairs_and_long_keys(kind: Kind, prefix: str) -> None:
    blocks = [
        (b"k" * 70_000, [(b"n" * 70_000, b"v")]),
        (b"many", [(b"%d" % number, b"v" * (number % 5)) for number in range(20_000)]),
        (b"large ones", [(b"x", b"%d" % number * 2000) for number in range(200)]),
    ]
    write(prefix, blocks, kind)
    assert read(prefix) == blocks


# Buffers


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint16), ("b", ctypes.c_uint8))
    _pack_ = 1


def mapped(content: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(content))
    memory.write(content)
    return memory


BUFFERS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "bytearray": (lambda: bytearray(b"content"), b"content"),
    "subclass of bytes": (lambda: type("B", (bytes,), {})(b"content"), b"content"),
    "memoryview": (lambda: memoryview(b"content"), b"content"),
    "every second byte": (lambda: memoryview(b"c-o-n-t-e-n-t")[::2], b"content"),
    "backwards": (lambda: memoryview(b"tnetnoc")[::-1], b"content"),
    "two dimensions": (lambda: memoryview(b"content!").cast("B", (2, 4)), b"content!"),
    "no dimension": (lambda: memoryview(b"c").cast("B", ()), b"c"),
    "array": (lambda: array.array("H", [0x6F63, 0x746E]), b"cont"),
    "array of floats": (lambda: array.array("d", [0.0, 0.0]), bytes(16)),
    "mmap": (lambda: mapped(b"content"), b"content"),
    "ctypes array": (lambda: (ctypes.c_uint8 * 3)(1, 2, 3), b"\x01\x02\x03"),
    "ctypes structure": (lambda: Pair(0x0102, 3), b"\x02\x01\x03"),
    "empty bytearray": (bytearray, b""),
    "empty array": (lambda: array.array("i"), b""),
    "large": (lambda: memoryview(bytearray(b"large" * 5000)), b"large" * 5000),
    "large and not contiguous": (lambda: memoryview(b"l-a-r-g-e-" * 5000)[::2], b"large" * 5000),
}


@every_kind
@every_way
@pytest.mark.parametrize("make, content", list(BUFFERS.values()), ids=list(BUFFERS))
def test_anything_with_the_buffer_protocol(
    kind: Kind, add: Any, make: Callable[[], Any], content: bytes, prefix: str
) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        add(pipe, make(), [(make(), make())])
        assert make() in pipe or add is add_by_checkpoint
    assert read(prefix) == [(content, [(content, content)])]
    with smartpipe.open(prefix) as pipe:
        assert make() in pipe
        assert make() in pipe[make()]
        value = pipe[make()][make()]
        assert type(value) is bytes
        assert value == content
        assert list(pipe.pull_block(make())) == [(content, content)]
        assert [key for key, _ in pipe.items(select=[make()], start=make())] == [content]


@every_kind
def test_numpy_arrays(kind: Kind, prefix: str) -> None:
    numpy = pytest.importorskip("numpy")
    table = numpy.arange(12, dtype="<i4").reshape(3, 4)
    arrays = [table, table[:, 1:3], table.T, table[::-1], numpy.asfortranarray(table), table.astype(">f8"), table[:0]]
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for number, content in enumerate(arrays):
            pipe.write(b"%d" % number, {b"array": content})
    assert [pairs[0][1] for _, pairs in read(prefix)] == [content.tobytes() for content in arrays]


@every_kind
@pytest.mark.parametrize("size", [10, 10_000])
def test_what_was_added_is_a_copy(kind: Kind, size: int, prefix: str) -> None:
    key, name, value = bytearray(b"key"), bytearray(b"name"), bytearray(b"v" * size)
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pipe.block(key) as block:
            block.append(name, value)
            key[:] = name[:] = b"XXX"
            value[:] = b"Y" * size
        pipe.checkpoint(key)
        pipe.append(name, value)
        key[:] = name[:] = b"ZZZ"
        value.clear()  # the writer holds no view of it
    assert read(prefix) == [(b"key", [(b"name", b"v" * size)]), (b"XXX", [(b"XXX", b"Y" * size)])]


# What is refused: types


@every_kind
@pytest.mark.parametrize(
    "call",
    [
        lambda pipe: pipe.write("key", {}),
        lambda pipe: pipe.write(b"refused", {"name": b"value"}),
        lambda pipe: pipe.write(b"refused", {b"name": "value"}),
        lambda pipe: pipe.write(b"refused", [("name", b"value")]),
        lambda pipe: pipe.block("key"),
        lambda pipe: pipe.checkpoint("key"),
        lambda pipe: "key" in pipe,
    ],
    ids=["key", "name", "value", "list", "block", "checkpoint", "in"],
)
def test_a_str_is_refused_and_the_error_says_to_encode_it(kind: Kind, call: Callable[[Any], Any], prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pytest.raises(TypeError, match="encode"):
            call(pipe)
        assert len(pipe) == 0
        pipe.write(b"refused", {b"k": b"v"})
    assert read(prefix) == [(b"refused", [(b"k", b"v")])]


@every_kind
@pytest.mark.parametrize("pair", [("name", b"value"), (b"name", "value"), (5, b"value"), (b"name", None), (b"n", [1])])
def test_a_refused_pair_of_an_open_block(kind: Kind, pair: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pipe.block(b"a") as block:
            block.append(b"before", b"1")
            with pytest.raises(TypeError, match="encode" if str in map(type, pair) else "buffer"):
                block.append(*pair)
            block.append(b"after", b"2")
        pipe.checkpoint(b"b")
        with pytest.raises(TypeError):
            pipe.append(*pair)
        pipe.append(b"after", b"3")
    assert read(prefix) == [(b"a", [(b"before", b"1"), (b"after", b"2")]), (b"b", [(b"after", b"3")])]


@every_kind
@pytest.mark.parametrize(
    "pairs",
    [
        None,
        5,
        b"ab",
        "ab",
        [b"ab"],
        [(b"a",)],
        [(b"a", b"b", b"c")],
        [b"a", b"b"],
        [None],
        {b"a": None},
        {b"a": 5},
        {5: b"a"},
        {b"a": [b"b"]},
        {b"a": {b"b": b"c"}},
    ],
    ids=repr,
)
def test_pairs_that_are_none(kind: Kind, pairs: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pytest.raises(TypeError):
            pipe.write(b"a", pairs)
        pipe.write(b"a", {b"k": b"v"})
    assert read(prefix) == [(b"a", [(b"k", b"v")])]


@every_kind
def test_pairs_that_raise(kind: Kind, prefix: str) -> None:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"1" * 10_000
        raise RuntimeError("halfway")

    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"before", {b"k": b"v"})
        before = files(prefix)
        with pytest.raises(RuntimeError, match="halfway"):
            pipe.write(b"key", pairs())
        assert files(prefix) == before
        assert b"key" not in pipe
        pipe.write(b"key", {b"k": b"w"})
    assert read(prefix) == [(b"before", [(b"k", b"v")]), (b"key", [(b"k", b"w")])]


@every_kind
def test_pairs_that_write_other_blocks(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            yield b"a", b"1"
            pipe.write(b"inner", {b"b": b"2"})
            with pytest.raises(smartpipe.DuplicateKeyError):
                pipe.write(b"outer", {})
            yield b"c", b"3"

        pipe.write(b"outer", pairs())
    assert read(prefix) == [(b"inner", [(b"b", b"2")]), (b"outer", [(b"a", b"1"), (b"c", b"3")])]


# Step by step


@every_kind
def test_an_exception_drops_the_block(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"before", {b"k": b"v"})
        before = files(prefix)
        with pytest.raises(RuntimeError), pipe.block(b"key") as block:
            block.append(b"a", b"1")
            raise RuntimeError
        assert files(prefix) == before
        with pytest.raises(smartpipe.ClosedError):
            block.append(b"a", b"1")
        with pipe.block(b"key") as block:
            block.append(b"b", b"2")
    assert read(prefix) == [(b"before", [(b"k", b"v")]), (b"key", [(b"b", b"2")])]


@every_kind
def test_several_open_blocks_are_written_as_they_are_finished(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.checkpoint(b"checkpoint")
        with pipe.block(b"outer") as outer:
            outer.append(b"o", b"1")
            with pipe.block(b"inner") as inner:
                inner.append(b"i", b"2")
                outer.append(b"o", b"3" * 5000)
                pipe.append(b"c", b"4")
            pipe.write(b"between", {b"b": b"5"})
        pipe.append(b"c", b"6")
    assert read(prefix) == [
        (b"inner", [(b"i", b"2")]),
        (b"between", [(b"b", b"5")]),
        (b"outer", [(b"o", b"1"), (b"o", b"3" * 5000)]),
        (b"checkpoint", [(b"c", b"4"), (b"c", b"6")]),
    ]


@every_kind
def test_a_finished_block_takes_no_more(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pipe.block(b"key") as block:
            block.append(b"a", b"1")
        assert block.key == b"key"
        with pytest.raises(smartpipe.ClosedError) as caught:
            block.append(b"b", b"2")
        assert caught.value.block == b"key"
        with block:
            pass  # is written once only
    assert read(prefix) == [(b"key", [(b"a", b"1")])]


@every_kind
def test_append_before_the_first_checkpoint(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pytest.raises(ValueError, match="checkpoint"):
            pipe.append(b"a", b"1")
        pipe.write(b"w", {})
        with pytest.raises(ValueError, match="checkpoint"):
            pipe.append(b"a", b"1")
        pipe.checkpoint(b"key")
        pipe.append(b"b", b"2")
    assert read(prefix) == [(b"w", []), (b"key", [(b"b", b"2")])]


@every_kind
def test_after_a_refused_checkpoint_pairs_go_nowhere(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"there", {})
        pipe.checkpoint(b"key")
        pipe.append(b"a", b"1")
        with pytest.raises(smartpipe.DuplicateKeyError):
            pipe.checkpoint(b"there")
        with pytest.raises(ValueError, match="block"):
            pipe.append(b"b", b"2")
        pipe.checkpoint(b"next")
        pipe.append(b"c", b"3")
    assert read(prefix) == [(b"there", []), (b"key", [(b"a", b"1")]), (b"next", [(b"c", b"3")])]


def test_blocks_come_from_pipes_only(prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        writing = type(pipe.block(b"key"))
    for kind_of_block in (writing, smartpipe.Block):
        with pytest.raises(TypeError, match="come from"):
            kind_of_block()


# What is refused: duplicates


@every_kind
@every_way
@pytest.mark.parametrize("before", ["write", "block", "checkpoint", "open block", "open checkpoint", "session", "kill"])
def test_a_block_key_that_is_there(kind: Kind, add: Any, before: str, prefix: str) -> None:
    first = (b"key", [(b"first", b"1")])
    pipe = smartpipe.open(prefix, "w", **kind.options)
    block = None
    if before == "write":
        add_by_write(pipe, *first)
    elif before == "block":
        add_by_block(pipe, *first)
    elif before == "checkpoint":
        add_by_checkpoint(pipe, *first)
        pipe.checkpoint(b"behind it")
    elif before == "open checkpoint":
        add_by_checkpoint(pipe, *first)
    elif before == "open block":
        block = pipe.block(b"key")
        block.append(b"first", b"1")
    elif before == "session":
        add_by_write(pipe, *first)
        pipe.close()
        pipe = smartpipe.open(prefix, "a")
    else:
        # As a kill leaves it: a copy of the files of a writer that is not closed.
        add_by_write(pipe, *first)
        shutil.copytree(Path(prefix).parent, Path(prefix).parent / "killed")
        pipe.close()
        prefix = str(Path(prefix).parent / "killed" / "pipe")
        pipe = smartpipe.open(prefix, "a")
    with pipe:
        size = kind.data(prefix).stat().st_size
        with pytest.raises(smartpipe.DuplicateKeyError) as caught:
            add(pipe, b"key", [(b"second", b"2")])
        assert isinstance(caught.value, KeyError)
        assert (caught.value.block, caught.value.path) == (b"key", pipe.data_path)
        if "checkpoint" not in before:
            assert kind.data(prefix).stat().st_size == size
        if block is not None:
            with block:
                block.append(b"also", b"first")
        add(pipe, b"another", [(b"third", b"3")])
    expected = dict([first])
    if before == "open block":
        expected[b"key"] = [*first[1], (b"also", b"first")]
    if before == "checkpoint":
        expected[b"behind it"] = []
    expected[b"another"] = [(b"third", b"3")]
    assert dict(read(prefix)) == expected
    assert len(read(prefix)) == len(expected)


@every_kind
def test_many_keys_are_known_after_reopening(kind: Kind, prefix: str) -> None:
    keys = [b"key %d" % number for number in range(3000)]
    for session in range(3):
        with smartpipe.open(prefix, "a", **kind.options) as pipe:
            for key in keys[session * 1000 : session * 1000 + 1000]:
                pipe.write(key, {})
            for key in keys[: session * 1000 + 1000]:
                assert key in pipe
                with pytest.raises(smartpipe.DuplicateKeyError):
                    pipe.write(key, {})
            assert b"key 3000" not in pipe
            assert len(pipe) == session * 1000 + 1000
    with smartpipe.open(prefix) as pipe:
        assert list(pipe) == keys


# What is refused: sizes


def block_of(size: int) -> list[tuple[bytes, bytes]]:
    """Pairs whose raw size (FORMAT.md: 8 + key length + value length each) is `size`."""
    return [(b"k" * 10, b"v" * 20), (b"name", b"x" * (size - 38 - 12))]


@every_kind
@every_way
@pytest.mark.parametrize("limit", [100, 5000, 70_000])
def test_max_block_size_is_the_largest_raw_size(kind: Kind, add: Any, limit: int, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options, max_block_size=limit) as pipe:
        add(pipe, b"b" * 1000, block_of(limit))  # the block key does not count
        add(pipe, b"small", block_of(60))
        with pytest.raises(smartpipe.BlockTooLargeError, match=str(limit)) as caught:
            add(pipe, b"large", block_of(limit + 1))
        assert isinstance(caught.value, ValueError)
        assert caught.value.block == b"large"
        assert str(limit + 1) in str(caught.value)
        if add is add_by_checkpoint:
            pipe.checkpoint(b"behind")  # what was taken before stays a block
        else:
            assert b"large" not in pipe
            add(pipe, b"large", [])
            add(pipe, b"behind", [])
    expected = [(b"b" * 1000, block_of(limit)), (b"small", block_of(60)), (b"large", []), (b"behind", [])]
    if add is add_by_checkpoint:
        expected[2] = (b"large", block_of(limit + 1)[:1])
    assert read(prefix, max_block_size=limit) == expected


@every_kind
def test_a_pair_that_is_too_large_leaves_the_open_block_as_it_was(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options, max_block_size=100) as pipe, pipe.block(b"key") as block:
        block.append(b"a", b"1" * 40)  # 49
        for size in (43, 44, 4096, 10_000):
            with pytest.raises(smartpipe.BlockTooLargeError):
                block.append(b"b", b"2" * size)
        block.append(b"c", b"3" * 42)  # 51
        with pytest.raises(smartpipe.BlockTooLargeError):
            block.append(b"", b"")
    assert read(prefix) == [(b"key", [(b"a", b"1" * 40), (b"c", b"3" * 42)])]


@every_kind
def test_a_value_over_4_gib(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options, max_block_size=1 << 40) as pipe:
        for pair in ((b"k", bytes(1 << 32)), (bytes(1 << 32), b"v"), (b"k", bytes((1 << 32) - 9))):
            with pytest.raises(smartpipe.BlockTooLargeError, match=str((1 << 32) - 1)):
                pipe.write(b"key", [pair])
        pipe.write(b"key", {})
    assert read(prefix) == [(b"key", [])]


# Closing


@every_kind
def test_a_closed_writer(kind: Kind, prefix: str) -> None:
    pipe = smartpipe.open(prefix, "w", **kind.options)
    pipe.checkpoint(b"key")
    block = pipe.block(b"open")
    assert not pipe.closed
    pipe.close()
    pipe.close()
    pipe.abort()  # nothing is left to end
    assert pipe.closed
    calls: list[Callable[[], Any]] = [
        lambda: pipe.write(b"a", {}),
        lambda: pipe.block(b"a"),
        lambda: pipe.checkpoint(b"a"),
        lambda: pipe.append(b"a", b"1"),
        lambda: pipe.flush(),
        lambda: pipe.sync(),
        lambda: b"a" in pipe,
        lambda: pipe.__enter__(),
        lambda: block.__exit__(None, None, None),
    ]
    for call in calls:
        with pytest.raises(smartpipe.ClosedError, match="closed") as caught:
            call()
        assert isinstance(caught.value, ValueError)
        assert caught.value.path is not None
    assert (pipe.path, pipe.data_path, pipe.format) == (prefix, prefix + kind.extension, kind.format)
    assert "closed" in repr(pipe)
    assert read(prefix) == [(b"key", [])]


@every_kind
def test_a_block_that_was_not_finished_is_not_written(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.block(b"open").append(b"a", b"1")
        pipe.write(*NEW)
    assert read(prefix) == [NEW]


@every_kind
def test_an_exception_that_leaves_with_keeps_what_was_written(kind: Kind, prefix: str) -> None:
    for mode, expected in (("w", 1), ("a", 2), ("a", 3)):
        with pytest.raises(RuntimeError), smartpipe.open(prefix, mode, **kind.options) as pipe:  # type: ignore[call-overload]
            pipe.write(b"%d" % expected, {b"k": b"v"})
            pipe.checkpoint(b"open")
            pipe.append(b"a", b"1")
            raise RuntimeError
        assert pipe.closed
        assert read(prefix) == [(b"%d" % number, [(b"k", b"v")]) for number in range(1, expected + 1)]
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_an_exception_that_leaves_with_keeps_the_old_pipe(kind: Kind, old: Kind, prefix: str) -> None:
    plant(prefix, SMALL, old)
    before = files(prefix)
    with pytest.raises(RuntimeError), smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(*NEW)
        raise RuntimeError
    after = files(prefix)
    assert {name: after[name] for name in before} == before
    assert read(prefix) == SMALL
    # The next one can be written at once, and clears the place.
    write(prefix, PAGES, kind)
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]
    assert read(prefix) == PAGES


@every_kind
def test_abort_of_a_new_pipe(kind: Kind, prefix: str) -> None:
    for mode in ("w", "x", "a"):
        pipe = smartpipe.open(prefix, mode, **kind.options)  # type: ignore[call-overload]
        pipe.write(*NEW)
        pipe.checkpoint(b"open")
        pipe.abort()
        assert pipe.closed
        assert files(prefix) == {}
        pipe.abort()
        pipe.close()


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_abort_over_an_old_pipe(kind: Kind, old: Kind, prefix: str) -> None:
    plant(prefix, SMALL, old)
    before = files(prefix)
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(*NEW)
        pipe.abort()
    assert files(prefix) == before


@every_kind
def test_abort_of_an_append_keeps_what_was_written(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(*NEW)
        pipe.checkpoint(b"open")
        pipe.append(b"a", b"1")
        pipe.abort()
    assert read(prefix) == [*SMALL, NEW]


@every_kind
@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_a_writer_that_is_dropped(kind: Kind, mode: Any, prefix: str) -> None:
    if mode != "x":
        plant(prefix, SMALL, kind)
    pipe = smartpipe.open(prefix, mode, **kind.options)
    pipe.write(*NEW)
    pipe.checkpoint(b"open")
    with pytest.warns(ResourceWarning, match="not closed"):
        del pipe
        gc.collect()
    # Its locks are gone, and what it had written is there unless it was to replace something.
    expected = {"w": SMALL, "x": [NEW], "a": [*SMALL, NEW]}[mode]
    with warned():
        with smartpipe.open(prefix, "a") as pipe:
            assert pipe.recovered is None
        assert read(prefix) == expected
        write(prefix, PAGES, kind)
    assert read(prefix) == PAGES


# What is seen meanwhile


@every_kind
def test_a_block_is_in_the_files_when_write_returns(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for number, (key, pairs) in enumerate(PAGES):
            pipe.write(key, pairs)
            # In format 1 an empty block can not be told from one that is being written.
            count = number if kind.format == 1 and not pairs else number + 1
            with warned():
                assert read(prefix) == PAGES[:count]
    assert read(prefix) == PAGES


@every_kind_of_format2
@pytest.mark.parametrize("call", ["flush", "sync"])
def test_flush_and_sync_list_every_block_in_the_index(kind: Kind, call: str, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for number, (key, pairs) in enumerate(SMALL):
            pipe.write(key, pairs)
            getattr(pipe, call)()
            data = kind.data(prefix).read_bytes()
            found = format2.read(data, index(prefix).read_bytes())
            assert found.index is not None
            listed = [entry.key for frame in found.index.frames for entry in frame.entries]
            assert listed == [key for key, _ in SMALL[: number + 1]]
            synced = max(frame.synced for frame in found.index.frames)
            assert synced == (len(data) if call == "sync" else 0)
            assert read(prefix) == SMALL[: number + 1]


@every_kind_of_format2
def test_the_index_of_many_blocks_is_one_frame(kind: Kind, scratch: str) -> None:
    # FORMAT.md, «Index»: made anew as one frame with one table when more than 16,384 entries lie outside of tables.
    for count, frames in ((1000, 1), (20_000, 1)):
        with smartpipe.open(scratch, "w", **kind.options) as pipe:
            for number in range(count):
                pipe.write(b"%d" % number, {})
        data, listed = kind.data(scratch).read_bytes(), index(scratch).read_bytes()
        found = format2.read_index(listed, data, int.from_bytes(data[8:16], "little"))
        assert found is not None
        assert len(found.frames) == frames
        assert found.frames[0].closed and found.frames[0].slots
        assert found.frames[0].synced == found.end == len(data)
        with smartpipe.open(scratch) as pipe:
            assert len(pipe) == count
            assert all(b"%d" % number in pipe for number in range(0, count, 7))
            assert b"%d" % count not in pipe


@every_kind
def test_len_and_in(kind: Kind, prefix: str) -> None:
    plant(prefix, SMALL, kind)
    with smartpipe.open(prefix, "a") as pipe:
        assert len(pipe) == len(SMALL)
        assert all(key in pipe for key, _ in SMALL)
        with pipe.block(b"new"):
            assert b"new" not in pipe  # it may still be dropped
        assert b"new" in pipe
        assert bytearray(b"new") in pipe
        assert len(pipe) == len(SMALL) + 1
        assert b"none" not in pipe


# Replacing


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_a_reader_keeps_the_pipe_that_is_replaced(kind: Kind, old: Kind, prefix: str) -> None:
    plant(prefix, PAGES, old)
    early = smartpipe.open(prefix)
    half = early.items()
    got = [(key, list(block)) for key, block in [next(half), next(half)]]
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        for key, pairs in SMALL:
            pipe.write(key, pairs)
        assert read(prefix) == PAGES
        late = smartpipe.open(prefix)
    assert read(prefix) == SMALL
    for reader in (early, late):
        assert [(key, list(block)) for key, block in reader.items()] == PAGES
        assert [(key, list(reader[key])) for key in reader] == PAGES
        assert b"first" not in reader
        reader.stats()
    assert got + [(key, list(block)) for key, block in half] == PAGES
    early.close()
    late.close()


@pytest.fixture
def instants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Prefixes of copies of the folder of a pipe, as it was before and after each call that changed a name in it."""
    copies: list[str] = []

    def copied(call: Callable[..., None]) -> Callable[..., None]:
        def changed(*arguments: Any) -> None:
            copy()
            call(*arguments)
            copy()

        return changed

    def copy() -> None:
        folder = tmp_path / f"instant{len(copies)}"
        folder.mkdir()
        for path in tmp_path.iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        copies.append(str(folder / "pipe"))

    for name in ("rename", "unlink"):
        monkeypatch.setattr(disk, name, copied(getattr(disk, name)))
    return copies


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_each_instant_of_replacing_shows_the_old_pipe_or_the_new_one(
    kind: Kind, old: Kind, prefix: str, instants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(prefix, SMALL, old)
    write(prefix, PAGES, kind)
    monkeypatch.undo()
    assert len(instants) >= 4
    with warned():
        assert read(instants[0]) == SMALL
        assert read(instants[-1]) == PAGES
    for instant in instants:
        with warned():
            try:
                assert read(instant) in (SMALL, PAGES)
            except smartpipe.FormatError as error:
                # Without ids, format 1 has an instant without an index rather than one with a wrong one.
                assert kind.format == 1 and "index" in str(error)
            except smartpipe.PipeNotFoundError:
                # And with another extension one without data.
                assert kind.format == 1 and kind.extension != old.extension
                assert os.path.exists(instant + ".new.idx.ready")


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_append_after_a_kill_at_each_instant_of_replacing(
    kind: Kind, old: Kind, prefix: str, instants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(prefix, SMALL, old)
    write(prefix, PAGES, kind)
    monkeypatch.undo()
    for instant in instants:
        with warned():
            with smartpipe.open(instant, "a") as pipe:
                pipe.write(*NEW)
            assert read(instant) in ([*SMALL, NEW], [*PAGES, NEW])


@every_kind
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_replacing_after_a_kill_at_each_instant_of_replacing(
    kind: Kind, old: Kind, prefix: str, instants: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(prefix, SMALL, old)
    write(prefix, PAGES, kind)
    monkeypatch.undo()
    for instant in instants:
        write(instant, [NEW], kind)
        assert read(instant) == [NEW]
        assert sorted(files(instant)) == ["pipe" + kind.extension, "pipe.idx"]


def test_an_index_that_a_reader_has_mapped_is_never_cut(prefix: str) -> None:
    # If it were, the reader would die of a SIGBUS.
    plant(prefix, [(b"key %d" % number, []) for number in range(2000)], KINDS[0])
    code = """
import os, sys, smartpipe
reader = smartpipe.open(sys.argv[1])
os.remove(reader.data_path)
smartpipe.open(sys.argv[1], "w").close()
print(sum(key in reader for key in [b"key %d" % number for number in range(2000)]))
"""
    assert run(code, prefix) == "2000\n"


REPLACING = """
import sys, smartpipe
path, format, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for version in range(1, 200):
    compress = bool(int(sys.argv[4])) ^ bool(other and version % 2)
    with smartpipe.open(path, "w", format=format, compress=compress) as pipe:
        for number in range(version % 5 + 3):
            pairs = {b"version": b"%d" % version, b"v": b"v" * (version * 37 % 300)}
            pipe.write(b"%d of %d" % (number, version), pairs)
"""


@every_kind
@pytest.mark.parametrize("other", [False, True])
def test_reading_while_another_process_replaces(kind: Kind, other: bool, prefix: str) -> None:
    # With and without a change of the extension. What is read is always one whole version.
    write(prefix, [(b"%d of 0" % number, [(b"version", b"0"), (b"v", b"")]) for number in range(3)], kind)
    versions = set()
    with start(REPLACING, prefix, kind.format, int(other), int(kind.compress)) as process:
        while process.poll() is None:
            try:
                with warned():
                    found = read(prefix)
            except (smartpipe.FormatError, smartpipe.PipeNotFoundError):
                # A pipe of format 1 has no id: there is an instant in which it has no index.
                assert kind.format == 1
                continue
            version = int(found[0][1][0][1])
            expected = [(b"version", b"%d" % version), (b"v", b"v" * (version * 37 % 300))]
            assert found == [(b"%d of %d" % (number, version), expected) for number in range(version % 5 + 3)]
            versions.add(version)
    assert process.returncode == 0
    assert read(prefix)[0][1][0] == (b"version", b"199")
    assert versions


# Metadata


@every_kind_of_format2
def test_metadata_describes_a_pipe(kind: Kind, prefix: str) -> None:
    metadata = {
        b"source": b"https://example.org",
        b"": b"",
        b"large": b"x" * 10_000,
        memoryview(b"by"): bytearray(b"us"),
    }  # type: ignore[dict-item]
    with smartpipe.open(prefix, "w", **kind.options, metadata=metadata) as pipe:
        assert len(pipe) == 0
        pipe.write(*NEW)
    expected = {b"source": b"https://example.org", b"": b"", b"large": b"x" * 10_000, b"by": b"us"}
    for _ in range(2):
        with smartpipe.open(prefix) as pipe:
            assert pipe.metadata == expected
            assert all(type(value) is bytes for item in pipe.metadata.items() for value in item)
            assert list(pipe) == [b"new"]
            assert b"" not in pipe
            assert len(list(pipe.entries())) == len(pipe) == pipe.stats()["blocks"] == pipe.stats()["pairs"] == 1
        with smartpipe.open(prefix, "a"):
            pass


@every_kind_of_format2
def test_metadata_is_added_to(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options, metadata={b"a": b"1", b"b": b"2"}) as pipe:
        pipe.write(b"x", {})
    with smartpipe.open(prefix, "a", metadata={b"b": b"3", b"c": b"4"}) as pipe:
        pipe.write(b"y", {})
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(b"z", {})
    with smartpipe.open(prefix) as pipe:
        assert pipe.metadata == {b"a": b"1", b"b": b"3", b"c": b"4"}
        assert list(pipe) == [b"x", b"y", b"z"]
    index(prefix).unlink()
    with warned(), smartpipe.open(prefix) as pipe:
        assert pipe.metadata == {b"a": b"1", b"b": b"3", b"c": b"4"}


@every_kind
@pytest.mark.parametrize("metadata", [None, {}])
def test_no_metadata(kind: Kind, metadata: Any, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options, metadata=metadata) as pipe:
        pipe.write(*NEW)
    with smartpipe.open(prefix) as pipe:
        assert pipe.metadata == {}


@pytest.mark.parametrize("metadata", [{"a": b"1"}, {b"a": "1"}])
def test_metadata_of_str(metadata: Any, prefix: str) -> None:
    with pytest.raises(TypeError, match="encode"):
        smartpipe.open(prefix, "w", metadata=metadata)
    assert files(prefix) == {}


# Levels


@pytest.mark.parametrize("format", [1, 2])
def test_a_higher_level_is_no_larger(format: Any, prefix: str) -> None:
    text = b" ".join(b"%d" % (number * number % 977) for number in range(20_000))
    sizes = []
    for level in (1, 6, 9):
        with smartpipe.open(prefix, "w", format=format, compress=True, level=level) as pipe:
            pipe.write(b"key", {b"text": text})
        sizes.append(Path(prefix + ".datz").stat().st_size)
        assert read(prefix) == [(b"key", [(b"text", text)])]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2]
    assert sizes[0] < len(text)


# Nothing to write


@every_kind
def test_append_of_nothing_changes_no_byte(kind: Kind, prefix: str) -> None:
    write(prefix, PAGES, kind)
    before = files(prefix)
    for _ in range(3):
        with smartpipe.open(prefix, "a") as pipe:
            assert pipe.recovered is None
        assert files(prefix) == before


@every_kind_of_format1
def test_the_original_signature(kind: Kind, prefix: str) -> None:
    pipe = smartpipe.SmartPipeWriter(prefix, kind.compress)
    pipe.checkpoint(b"a")
    pipe.append(b"k", b"v")
    pipe.close()
    pipe = smartpipe.SmartPipeWriter(path_prefix=prefix, compress=kind.compress)
    pipe.checkpoint(b"b")
    pipe.close()
    reader = smartpipe.SmartPipeReader(path_prefix=prefix)
    assert (reader.format, list(reader)) == (1, [b"b"])  # as the original, it begins anew
    assert isinstance(reader, smartpipe.Reader) and isinstance(pipe, smartpipe.Writer)
    reader.close()


# Threads


@every_kind
def test_threads_share_a_writer(kind: Kind, prefix: str) -> None:
    threads, each = 6, 40
    errors: list[BaseException] = []

    def content(thread: int, number: int) -> list[tuple[bytes, bytes]]:
        return [(b"who", b"%d" % thread), (b"text", b"%d %d," % (thread, number) * (number * 40))]

    with smartpipe.open(prefix, "w", **kind.options) as pipe:

        def work(thread: int) -> None:
            try:
                for number in range(each):
                    WAYS[number % 2](pipe, b"%d/%d" % (thread, number), content(thread, number))
                    if number % 10 == 0:
                        pipe.flush()
            except BaseException as error:
                errors.append(error)

        workers = [threading.Thread(target=work, args=[thread]) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert errors == []
    found = read(prefix)
    assert len(found) == threads * each
    assert dict(found) == {
        b"%d/%d" % (thread, number): content(thread, number) for thread in range(threads) for number in range(each)
    }
    for thread in range(threads):
        # What one thread wrote is in its order.
        numbers = [int(key.split(b"/")[1]) for key, _ in found if key.startswith(b"%d/" % thread)]
        assert numbers == list(range(each))


@every_kind
def test_of_threads_that_write_one_key_one_wins(kind: Kind, prefix: str) -> None:
    threads, keys = 4, 50
    winners: list[tuple[int, int]] = []
    losers: list[smartpipe.DuplicateKeyError] = []
    start = threading.Barrier(threads)
    with smartpipe.open(prefix, "w", **kind.options) as pipe:

        def work(thread: int) -> None:
            for key in range(keys):
                start.wait()
                try:
                    WAYS[thread % 2](pipe, b"%d" % key, [(b"who", b"%d" % thread), (b"", bytes(20_000))])
                    winners.append((key, thread))
                except smartpipe.DuplicateKeyError as error:
                    losers.append(error)

        workers = [threading.Thread(target=work, args=[thread]) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(losers) == (threads - 1) * keys
    assert {(int(key), int(pairs[0][1])) for key, pairs in read(prefix)} == set(winners)
    assert len(winners) == keys


@every_kind
def test_closing_while_threads_write(kind: Kind, prefix: str) -> None:
    written: list[bytes] = []
    others: list[BaseException] = []
    pipe = smartpipe.open(prefix, "w", **kind.options)
    started = threading.Barrier(4)

    def work(thread: int) -> None:
        started.wait()
        for number in range(100_000):
            key = b"%d/%d" % (thread, number)
            try:
                pipe.write(key, {b"k": b"v" * 5000})
            except smartpipe.ClosedError:
                return
            except BaseException as error:
                others.append(error)
                return
            written.append(key)

    workers = [threading.Thread(target=work, args=[thread]) for thread in range(3)]
    for worker in workers:
        worker.start()
    started.wait()
    while len(written) < 30 and not others:
        pass
    pipe.close()
    for worker in workers:
        worker.join()
    assert others == []
    found = read(prefix)
    assert sorted(key for key, _ in found) == sorted(written)
    assert all(pairs == [(b"k", b"v" * 5000)] for _, pairs in found)


@every_kind
def test_a_block_that_was_never_entered_keeps_no_key(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.block(b"key").append(b"k", b"dropped")
        pipe.write(b"key", {b"k": b"v"})
    assert read(prefix) == [(b"key", [(b"k", b"v")])]


@every_kind_of_format1
@pytest.mark.parametrize("mode", ["a", "w"])
@pytest.mark.parametrize("old_index", [True, False])
@pytest.mark.parametrize("old", KINDS, ids=str)
def test_a_kill_at_the_first_steps_of_replacing(kind: Kind, old: Kind, old_index: bool, mode: Any, prefix: str) -> None:
    plant(prefix, SMALL, old)
    plant(prefix + ".new", PAGES, kind)
    os.rename(prefix + ".new.idx", prefix + ".new.idx.ready")
    if not old_index:
        os.unlink(prefix + ".idx")
    pipe = smartpipe.open(prefix, mode)
    if mode == "w":
        pipe.abort()
    else:
        pipe.close()
    assert read(prefix) == PAGES
    assert sorted(files(prefix)) == ["pipe" + kind.extension, "pipe.idx"]


@every_kind_of_format1
def test_an_unfinished_pipe_of_format_1_does_not_take_the_place_of_another(kind: Kind, prefix: str) -> None:
    # Its index is not called ready: its writer was killed before it had closed it.
    plant(prefix, SMALL, kind)
    plant(prefix + ".new", PAGES, kind)
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write(*NEW)
    assert read(prefix) == [*SMALL, NEW]


# Room on the disk


@pytest.fixture
def gives_room(tmp_path: Path) -> None:
    """Skip where the file system has no room to give ahead."""
    file = disk.open(str(tmp_path / "room"), os.O_RDWR | os.O_CREAT)
    try:
        disk.allocate(file, 0, 1 << 20)
    except OSError as error:
        pytest.skip(f"no room ahead here: {error.strerror}")
    finally:
        file.close()
        (tmp_path / "room").unlink()


def room(path: Path) -> int:
    """Bytes that a file has on the disk behind its end."""
    return max(path.stat().st_blocks * 512 - path.stat().st_size, 0)


@every_kind
@pytest.mark.usefixtures("gives_room")
def test_a_long_file_gets_room_ahead_and_gives_back_what_is_left(kind: Kind, prefix: str) -> None:
    path = kind.data(prefix)
    for mode in ("x", "a"):
        with smartpipe.open(prefix, mode, durability="none", **kind.options) as pipe:  # type: ignore[call-overload]
            for number in range(60):
                pipe.write(b"%s %d" % (mode.encode(), number), {b"k": os.urandom(100_000)})
            pipe.flush()
            assert room(path) >= 1 << 20
        assert room(path) < 1 << 17
    assert smartpipe.verify(prefix).ok


@pytest.mark.usefixtures("gives_room")
def test_room_that_a_killed_writer_left_is_given_back(prefix: str) -> None:
    code = """
import os, sys, smartpipe
pipe = smartpipe.open(sys.argv[1], "x")
for number in range(60):
    pipe.write(b"%d" % number, {b"k": os.urandom(100_000)})
print(len(pipe), flush=True)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code, prefix], check=False, capture_output=True)
    path = Path(prefix + ".dat")
    assert room(path) >= 1 << 20
    with smartpipe.open(prefix, "a") as pipe:
        assert len(pipe) == 60
    assert room(path) < 1 << 17


@every_kind
def test_where_the_system_has_no_room_to_give_ahead(kind: Kind, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refused(file: object, offset: int, size: int) -> None:
        asked.append(size)
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(disk, "allocate", refused)
    blocks = [(b"%d" % number, [(b"k", os.urandom(100_000))]) for number in range(60)]
    write(prefix, blocks, kind)
    assert len(asked) == 1  # it is not asked again
    assert read(prefix) == blocks


@every_kind
def test_after_it_was_replaced_the_files_have_their_names(kind: Kind, prefix: str) -> None:
    write(prefix, SMALL, kind)
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        pipe.write(b"new", [])
        assert pipe.data_path == prefix + ".new" + kind.extension
    assert (pipe.data_path, pipe.index_path) == (prefix + kind.extension, prefix + ".idx")
    assert os.path.exists(pipe.data_path) and os.path.exists(pipe.index_path)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"threads": "2"}, "threads is '2', a str"),
        ({"level": "6"}, "level is '6', a str"),
        ({"level": 2.5}, "level is 2.5, a float"),
        ({"max_block_size": "1"}, "max_block_size is '1', a str"),
        ({"metadata": b"x"}, "metadata is b'x', a bytes"),
        ({"metadata": "x"}, "metadata is 'x', a str"),
    ],
    ids=str,
)
def test_a_wrong_type_is_named(options: dict[str, Any], said: str, prefix: str) -> None:
    with pytest.raises(TypeError, match=said):
        smartpipe.open(prefix, "w", **options)
    assert not list(Path(prefix).parent.iterdir())
