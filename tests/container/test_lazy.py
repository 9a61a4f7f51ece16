"""Blocks are inflated as far as somebody asks: counted in stats()["inflated_bytes"] and stats()["read_bytes"]."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import smartpipe

from .pipes import Blocks, Kind, every_kind_of_format2, plant, write

ZLIB = Kind(2, True)
PAGE = b"".join(b"<p>%d</p>" % (number * number) for number in range(80_000))[: 1 << 20]
LOG = b"fetched in 12 ms\n" * 50


def inflated(pipe: smartpipe.Reader, call: Callable[[], Any]) -> int:
    """How many bytes a call inflates."""
    before = pipe.stats()["inflated_bytes"]
    call()
    return pipe.stats()["inflated_bytes"] - before


@pytest.fixture
def page(prefix: str) -> str:
    """A block with a small pair before and behind a page of 1 MB, among others like it."""
    assert len(PAGE) == 1 << 20
    blocks: Blocks = [
        (b"%d" % number, [(b"log", LOG), (b"raw", PAGE), (b"result", b"%d" % number * 300)]) for number in range(6)
    ]
    write(prefix, blocks, ZLIB)
    return prefix


@pytest.mark.parametrize("name", [b"log", b"result"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda block, name: block[name],
        lambda block, name: block.get(name),
        lambda block, name: block.getall(name),
        lambda block, name: name in block,
    ],
    ids=["[]", "get", "getall", "in"],
)
def test_a_small_pair_beside_a_page_of_1_mb_inflates_under_20_kb(name: bytes, ask: Any, page: str) -> None:
    with smartpipe.open(page) as pipe:
        block = pipe[b"3"]
        assert 0 < inflated(pipe, lambda: ask(block, name)) < 20_000
        assert pipe.stats()["read_bytes"] < 40_000
        # The head is inflated once.
        assert inflated(pipe, lambda: ask(block, b"log")) == 0
        # And the page, when somebody asks for it, once too.
        assert inflated(pipe, lambda: block[b"raw"]) == len(PAGE)
        assert block[b"raw"] == PAGE
        assert inflated(pipe, lambda: list(block)) == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda block: block.keys(),
        lambda block: block.sizes(),
        lambda block: block[0],
        lambda block: block[-1],
        lambda block: len(block),
        lambda block: next(iter(block)),
        lambda block: b"absent" in block,
        lambda block: repr(block),
    ],
    ids=["keys", "sizes", "[0]", "[-1]", "len", "first", "in", "repr"],
)
def test_names_and_sizes_inflate_no_large_value(ask: Any, page: str) -> None:
    with smartpipe.open(page) as pipe:
        assert inflated(pipe, lambda: [ask(pipe[key]) for key in pipe]) < 6 * 20_000
        assert pipe[b"0"].sizes() == [(b"log", len(LOG)), (b"raw", 1 << 20), (b"result", 300)]
        assert pipe.stats()["read_bytes"] < 12 * 20_000


def test_a_block_that_is_only_looked_up_inflates_nothing(page: str) -> None:
    with smartpipe.open(page) as pipe:
        assert inflated(pipe, lambda: [pipe[key].key for key in pipe]) == 0
        assert inflated(pipe, lambda: [key in pipe for key in (b"0", b"absent")]) == 0
        assert inflated(pipe, lambda: (list(pipe), list(pipe.entries()), pipe.splits(3), len(pipe))) == 0
        assert inflated(pipe, pipe.get_next_block_key) == 0


@pytest.mark.parametrize("select", [[b"log"], [b"result", b"log"], [b"absent"], []])
def test_items_inflate_only_what_is_selected(select: list[bytes], page: str) -> None:
    with smartpipe.open(page) as pipe:
        values = {b"log": lambda _: LOG, b"result": lambda n: b"%d" % n * 300}
        found = []
        assert inflated(pipe, lambda: found.extend((key, list(block)) for key, block in pipe.items(select=select))) < (
            6 * 20_000
        )
        assert found == [
            (b"%d" % n, [(name, values[name](n)) for name in (b"log", b"result") if name in select]) for n in range(6)
        ]
        assert inflated(pipe, lambda: [list(block) for _, block in pipe.items(select=[b"raw"])]) >= 6 << 20


def test_pull_block_inflates_as_it_is_asked(page: str) -> None:
    with smartpipe.open(page) as pipe:
        pairs = pipe.pull_block(b"2")
        assert inflated(pipe, lambda: next(pairs)) < 20_000
        assert next(pairs) == (b"raw", PAGE)
        assert inflated(pipe, lambda: next(pairs)) == 0


def test_each_large_value_is_inflated_on_its_own(prefix: str) -> None:
    chance = random.Random(3)
    values = [chance.randbytes(10) * 1000 * (place + 1) for place in range(8)]
    write(prefix, [(b"key", [(b"%d" % place, value) for place, value in enumerate(values)])], ZLIB)
    with smartpipe.open(prefix) as pipe:
        block = pipe[b"key"]
        block.keys()
        asked = set()
        for place in (5, 0, 7, 5, 1, 0):
            expected = 0 if place in asked else len(values[place])
            assert inflated(pipe, lambda place=place: block[b"%d" % place]) == expected  # type: ignore[misc]
            assert block[b"%d" % place] == values[place]
            asked.add(place)


def test_what_does_not_shrink_is_not_inflated(prefix: str) -> None:
    value = random.Random(4).randbytes(100_000)
    write(prefix, [(b"key", [(b"random", value), (b"empty", b"")])], ZLIB)
    with smartpipe.open(prefix) as pipe:
        assert pipe[b"key"][b"random"] == value
        assert [list(block) for _, block in pipe.items()] == [[(b"random", value), (b"empty", b"")]]
        assert pipe.stats()["inflated_bytes"] < 100


@every_kind_of_format2
def test_one_small_pair_of_a_large_block_reads_little(kind: Kind, prefix: str) -> None:
    value = random.Random(4).randbytes(1 << 20)
    write(prefix, [(b"%d" % number, [(b"raw", value), (b"log", b"ok")]) for number in range(4)], kind)
    with smartpipe.open(prefix) as pipe:
        before = pipe.stats()["read_bytes"]
        assert [pipe[key][b"log"] for key in pipe] == [b"ok"] * 4
        assert pipe.stats()["read_bytes"] - before < 4 * 20_000


def test_a_value_is_large_from_4_kib_on(prefix: str) -> None:
    # FORMAT.md, «The head». What is large is not inflated with the head.
    for size, with_the_head in ((4095, True), (4096, False)):
        write(prefix, [(b"key", [(b"small", b"s" * 1000), (b"value", b"v" * size)])], ZLIB)
        with smartpipe.open(prefix) as pipe:
            count = inflated(pipe, lambda pipe=pipe: pipe[b"key"][b"small"])  # type: ignore[misc]
            assert (count > 4095) == with_the_head


@every_kind_of_format2
def test_values_that_another_writer_made_large(kind: Kind, prefix: str) -> None:
    # Which values are large is the writer's choice: here those of 32 bytes.
    blocks: Blocks = [(b"key", [(b"a", b"1" * 31), (b"b", b"2" * 32), (b"c", b"3" * 500)])]
    plant(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        block = pipe[b"key"]
        assert inflated(pipe, lambda: block[b"a"]) < 100
        assert inflated(pipe, lambda: block[b"c"]) == (500 if kind.compress else 0)
        assert list(block) == blocks[0][1]
