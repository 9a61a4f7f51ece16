"""Pairs as numpy arrays: what `Reader.columns` gives, and what `Writer.write_columns` takes."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import smartpipe

from .pipes import KINDS, PAGES, Blocks, Kind, every_kind, every_kind_of_format2, plant, planter, read, write
from .process import run

# Blocks of several sizes, of which some have large values, in the planted files of format 2 from 32 bytes on.
MANY: Blocks = [
    (
        b"block-%d" % n,
        [(b"key-%d" % m, b"%d" % m * (m * n % 40)) for m in range(n % 7)] + [(b"raw", b"<%d>" % n * 40)] * (n % 2),
    )
    for n in range(60)
]


def strings(data: Any, offsets: Any) -> list[bytes]:
    """The byte strings of a column."""
    content = bytes(data)
    return [content[start:stop] for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def blocks_of(batch: smartpipe.Columns) -> Blocks:
    """What a batch holds, by its arrays."""
    pairs = list(zip(strings(batch.keys, batch.key_offsets), strings(batch.values, batch.value_offsets), strict=True))
    ends = batch.block_pairs.tolist()
    names = strings(batch.block_keys, batch.block_key_offsets)
    assert (ends[0], ends[-1]) == (0, len(pairs))
    assert (len(names), len(pairs)) == (batch.blocks, len(batch))
    return [(name, pairs[ends[b] : ends[b + 1]]) for b, name in enumerate(names)]


def column(content: list[bytes]) -> tuple[Any, bytes]:
    """Byte strings as offsets and one buffer."""
    ends = numpy.zeros(len(content) + 1, numpy.int64)
    ends[1:] = numpy.cumsum([len(one) for one in content])
    return ends, b"".join(content)


def as_columns(blocks: Blocks) -> tuple[Any, Any, Any, Any]:
    """Blocks as write_columns takes them."""
    pairs = [pair for _, pairs in blocks for pair in pairs]
    counts = numpy.cumsum([0, *(len(pairs) for _, pairs in blocks)])
    return (
        column([key for key, _ in blocks]),
        counts,
        column([key for key, _ in pairs]),
        column([value for _, value in pairs]),
    )


def flip(path: Path, what: bytes) -> None:
    """Change a byte of what a file holds once."""
    data = bytearray(path.read_bytes())
    assert data.count(what) == 1
    data[data.index(what)] ^= 1
    path.write_bytes(data)


# Reading


@every_kind
@pytest.mark.parametrize("blocks", [PAGES, MANY, []], ids=["pages", "many", "empty"])
@pytest.mark.parametrize("batch", [1, 300, 1 << 20])
def test_columns_give_what_items_gives(kind: Kind, blocks: Blocks, batch: int, prefix: str) -> None:
    plant(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        batches = [blocks_of(columns) for columns in pipe.columns(batch=batch)]
    assert [block for batch in batches for block in batch] == blocks
    assert all(batches)  # none is empty
    if batch == 1:
        assert len(batches) == len(blocks)


@every_kind
def test_columns_of_a_pipe_that_smartpipe_wrote(kind: Kind, prefix: str) -> None:
    blocks = [*PAGES, (b"big", [(b"raw", b"0123456789" * 30_000), (b"log", b"ok"), (b"raw", bytes(5000))])]
    write(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        assert [block for columns in pipe.columns() for block in blocks_of(columns)] == blocks


@every_kind
@pytest.mark.parametrize(
    "select", [[], [b"raw"], [b"log", b"raw"], [b""], [b"none"], [b"key-%d" % n for n in range(5)]]
)
def test_select_leaves_out_other_pairs(kind: Kind, select: list[bytes], prefix: str) -> None:
    blocks = [*PAGES, *MANY]
    plant(prefix, blocks, kind)
    wanted = [(key, [pair for pair in pairs if pair[0] in select]) for key, pairs in blocks]
    with smartpipe.open(prefix) as pipe:
        assert [block for columns in pipe.columns(select=iter(select)) for block in blocks_of(columns)] == wanted


@every_kind
def test_columns_are_read_in_threads(kind: Kind, prefix: str) -> None:
    blocks = [*PAGES, *MANY, (b"big", [(b"raw", b"0123456789" * 30_000), (b"log", b"ok")])]
    write(prefix, blocks, kind)

    def found(**options: Any) -> Blocks:
        return [block for columns in pipe.columns(batch=1000, **options) for block in blocks_of(columns)]

    with smartpipe.open(prefix) as pipe:
        assert found(threads=2) == blocks
        assert sorted(found(threads=2, ordered=False)) == sorted(blocks)
        mixed = found(shuffle=7)
        assert mixed != blocks
        assert sorted(mixed) == sorted(blocks)
        logs = [(key, [pair for pair in pairs if pair[0] == b"log"]) for key, pairs in blocks]
        assert found(threads=2, select=[b"log"], readahead=1) == logs
        with pytest.raises(ValueError, match="threads is 0"):
            pipe.columns(threads=0)


def test_select_of_a_small_pair_inflates_no_large_one(prefix: str) -> None:
    write(prefix, [(b"%d" % n, [(b"raw", b"x" * 100_000), (b"log", b"ok")]) for n in range(10)], KINDS[1])
    with smartpipe.open(prefix) as pipe:
        assert sum(len(columns) for columns in pipe.columns(select=[b"log"])) == 10
        assert pipe.stats()["inflated_bytes"] < 10_000


@every_kind
def test_columns_start_at_a_number_or_a_key(kind: Kind, prefix: str) -> None:
    plant(prefix, MANY, kind)
    with smartpipe.open(prefix) as pipe:
        for start in (0, 17, len(MANY)):
            assert [block for part in pipe.columns(start=start) for block in blocks_of(part)] == MANY[start:]
        assert blocks_of(next(pipe.columns(start=b"block-17", batch=1))) == MANY[17:18]


def test_the_position_is_where_to_start_again(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        batches = pipe.columns(batch=500)
        found = [block for _ in range(3) for block in blocks_of(next(batches))]
        assert 3 <= len(found) < len(MANY)
        found += [block for columns in pipe.columns(start=batches.position) for block in blocks_of(columns)]
    assert found == MANY


def test_a_batch_ends_with_the_block_that_reaches_it(prefix: str) -> None:
    blocks: Blocks = [(b"%02d" % n, [(b"k", b"v" * 100)]) for n in range(20)]
    blocks[7:7] = [(b"large", [(b"k", b"v" * 1_000_000)])]
    plant(prefix, blocks, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        batches = [blocks_of(columns) for columns in pipe.columns(batch=1000)]
    # A block: 2 bytes and 8 and 8 of its own, of its pair 101 bytes and 8 and 8; a batch besides 4 * 8.
    assert [len(batch) for batch in batches] == [8, 8, 5]
    assert batches[0][-1] == blocks[7]


def test_offsets_are_int64_and_data_is_uint8(prefix: str) -> None:
    plant(prefix, PAGES, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        (batch,) = pipe.columns()
    pairs = sum(len(pairs) for _, pairs in PAGES)
    for offsets, shape in (
        (batch.block_key_offsets, len(PAGES) + 1),
        (batch.block_pairs, len(PAGES) + 1),
        (batch.key_offsets, pairs + 1),
        (batch.value_offsets, pairs + 1),
    ):
        assert (offsets.dtype, offsets.shape) == (numpy.int64, (shape,))
    for data, offsets in (
        (batch.block_keys, batch.block_key_offsets),
        (batch.keys, batch.key_offsets),
        (batch.values, batch.value_offsets),
    ):
        assert (data.dtype, data.shape) == (numpy.uint8, (offsets[-1],))


def test_a_batch_gives_its_pairs_by_number(prefix: str) -> None:
    plant(prefix, PAGES, KINDS[0])
    rows = [(block, key, value) for block, pairs in PAGES for key, value in pairs]
    with smartpipe.open(prefix) as pipe:
        (batch,) = pipe.columns()
    assert list(batch) == rows
    assert batch[-1] == rows[-1]
    for number in (len(rows), -len(rows) - 1):
        with pytest.raises(IndexError, match=f"pair {number} of a batch of {len(rows)}"):
            batch[number]


def test_arrays_that_are_kept_do_not_change(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        kept = [(columns.values, columns.value_offsets) for columns in pipe.columns(batch=200)]
        batches = list(pipe.columns(batch=200))
    del pipe
    gc.collect()
    assert len(kept) > 10
    values = [value for _, pairs in MANY for _, value in pairs]
    assert [value for one in kept for value in strings(*one)] == values
    assert [block for columns in batches for block in blocks_of(columns)] == MANY


def test_the_memory_of_a_batch_that_nobody_has_is_used_again(prefix: str) -> None:
    plant(prefix, [(b"%d" % n, [(b"k", b"v" * 1000)]) for n in range(50)], KINDS[0])
    with smartpipe.open(prefix) as pipe:
        places = {columns.values.ctypes.data for columns in pipe.columns(batch=1)}
    assert len(places) <= 2


def test_arrays_may_be_changed(prefix: str) -> None:
    plant(prefix, [(b"a", [(b"k", b"abc")])], KINDS[0])
    with smartpipe.open(prefix) as pipe:
        batch = next(pipe.columns())
        batch.values[:] ^= 0x20
        assert batch[0] == (b"a", b"k", b"ABC")
        assert pipe[b"a"][b"k"] == b"abc"


def test_columns_keep_the_reader_alive(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    batches = smartpipe.open(prefix).columns(batch=100)
    first = next(batches)
    gc.collect()
    assert blocks_of(first) + [block for columns in batches for block in blocks_of(columns)] == MANY


def test_a_closed_reader_gives_no_columns(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    pipe = smartpipe.open(prefix)
    batches = pipe.columns(batch=1)
    first = next(batches)
    pipe.close()
    with pytest.raises(smartpipe.ClosedError):
        next(batches)
    with pytest.raises(smartpipe.ClosedError):
        pipe.columns()
    assert blocks_of(first) == MANY[:1]


def test_columns_without_numpy_say_what_to_install(prefix: str) -> None:
    plant(prefix, PAGES, KINDS[0])
    code = """
import sys
import smartpipe
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
try:
    smartpipe.open(sys.argv[1]).columns()
except ModuleNotFoundError as error:
    print(error)
"""
    assert run(code, prefix) == "columns need numpy: pip install 'smartpipe[columns]'\n"


def test_misuse_of_columns_is_an_error(prefix: str) -> None:
    plant(prefix, PAGES, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        with pytest.raises(ValueError, match="batch is 0, not at least 1 byte"):
            pipe.columns(batch=0)
        with pytest.raises(TypeError, match="select is an iterable of pair keys, not one key"):
            pipe.columns(select=b"raw")
        with pytest.raises(ValueError, match="start is 5"):
            pipe.columns(start=5)
        with pytest.raises(ValueError, match="on_error is 'ignore'"):
            pipe.columns(on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="columns come from a reader"):
        smartpipe.Columns()


# Damage


@pytest.fixture
def damaged(request: pytest.FixtureRequest, prefix: str) -> str:
    """A pipe of format 2 of which blocks 2 and 3 of 6 are damaged: a small value and a large one."""
    kind: Kind = request.param
    blocks = [(b"%d" % n, [(b"small", b"value-%d" % n), (b"raw", (b"[%d]" % n) * 20)]) for n in range(6)]
    writer = planter(KINDS[0])
    for key, pairs in blocks:
        writer.write(key, pairs)
    writer.sync()
    writer.frame(closed=True)
    writer.save(prefix)
    flip(kind.data(prefix), b"value-2")
    flip(kind.data(prefix), b"[3]" * 20)
    return prefix


in_plain = pytest.mark.parametrize("damaged", [KINDS[0]], indirect=True, ids=str)


@in_plain
@pytest.mark.parametrize("batch", [1, 250, 1 << 20])
def test_an_error_comes_behind_the_good_blocks_before_it(damaged: str, batch: int) -> None:
    with smartpipe.open(damaged) as pipe:
        batches = pipe.columns(batch=batch)
        found: list[bytes | None] = []
        while True:
            try:
                found += [key for key, _ in blocks_of(next(batches))]
            except smartpipe.CorruptError as error:
                found.append(error.block)
                found.append(None)
            except StopIteration:
                break
        assert found == [b"0", b"1", b"2", None, b"3", None, b"4", b"5"]


@in_plain
def test_the_position_does_not_skip_the_error_that_comes_next(damaged: str) -> None:
    with smartpipe.open(damaged) as pipe:
        batches = pipe.columns()
        assert [key for key, _ in blocks_of(next(batches))] == [b"0", b"1"]
        for start in (batches.position, batches.position.token):
            with pytest.raises(smartpipe.CorruptError) as caught:
                next(pipe.columns(start=start))
            assert caught.value.block == b"2"
        with pytest.raises(smartpipe.CorruptError):
            next(batches)
        assert batches.position == 3


@in_plain
def test_damaged_blocks_are_skipped_and_counted(damaged: str) -> None:
    errors: list[smartpipe.SmartPipeError] = []
    with smartpipe.open(damaged) as pipe:
        found = [block for columns in pipe.columns(on_error="skip") for block in blocks_of(columns)]
        assert pipe.stats()["skipped_blocks"] == 2
        again = [block for columns in pipe.columns(on_error=errors.append) for block in blocks_of(columns)]
    assert (
        found
        == again
        == [(b"%d" % n, [(b"small", b"value-%d" % n), (b"raw", (b"[%d]" % n) * 20)]) for n in (0, 1, 4, 5)]
    )
    assert [(type(error), error.block, error.path) for error in errors] == [
        (smartpipe.CorruptError, b"2", damaged + ".dat"),
        (smartpipe.CorruptError, b"3", damaged + ".dat"),
    ]


@in_plain
def test_an_interrupted_iteration_goes_on_where_it_was(damaged: str) -> None:
    def interrupt(error: smartpipe.SmartPipeError) -> None:
        raise KeyboardInterrupt

    with smartpipe.open(damaged) as pipe:
        batches = pipe.columns(on_error=interrupt)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                next(batches)
            assert batches.position == 0  # nothing was given yet
        assert [key for key, _ in blocks_of(next(batches))] == [b"0", b"1", b"4", b"5"]
        assert next(batches, None) is None


@in_plain
def test_the_iterator_is_not_used_while_it_is_used(damaged: str) -> None:
    def again(error: smartpipe.SmartPipeError) -> None:
        with pytest.raises(ValueError, match="used by another thread"):
            next(batches)
        seen.append(error.block)

    seen: list[bytes | None] = []
    with smartpipe.open(damaged) as pipe:
        batches = pipe.columns(on_error=again)
        assert len(next(batches)) == 8
    assert seen == [b"2", b"3"]


@every_kind_of_format2
def test_a_damaged_byte_anywhere_gives_no_wrong_columns(kind: Kind, scratch: str) -> None:
    blocks = [(b"a", [(b"raw", b"0123456789" * 8), (b"log", b"ok")]), (b"b", [(b"raw", b"x" * 60)])]
    plant(scratch, blocks, kind)
    data = kind.data(scratch).read_bytes()
    for position in range(32, len(data)):
        kind.data(scratch).write_bytes(data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1 :])
        with smartpipe.open(scratch) as pipe:
            found = [block for columns in pipe.columns(on_error="skip") for block in blocks_of(columns)]
            assert pipe.stats()["skipped_blocks"] == 1
        assert found in (blocks[:1], blocks[1:])


# Writing


@every_kind
@pytest.mark.parametrize("blocks", [PAGES, MANY, []], ids=["pages", "many", "empty"])
def test_blocks_are_written_from_columns(kind: Kind, blocks: Blocks, prefix: str) -> None:
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        assert pipe.write_columns(*as_columns(blocks)) == len(blocks)
        assert len(pipe) == len(blocks)
    assert read(prefix) == blocks


@every_kind
def test_columns_make_the_same_records_as_pairs(kind: Kind, tmp_path: Path) -> None:
    blocks = [*PAGES, *MANY, (b"big", [(b"raw", b"0123456789" * 30_000), (b"log", b"ok"), (b"raw", bytes(5000))])]
    for name in ("pairs", "columns"):
        with smartpipe.open(tmp_path / name, "w", **kind.options) as pipe:
            if name == "columns":
                pipe.write_columns(*as_columns(blocks))
            else:
                for key, pairs in blocks:
                    pipe.write(key, pairs)
    entries = []
    for name in ("pairs", "columns"):
        with smartpipe.open(tmp_path / name) as pipe:
            entries.append([entry._replace(stamp=None) for entry in pipe.entries()])
        assert read(tmp_path / name) == blocks
    assert entries[0] == entries[1]


@every_kind
def test_what_columns_gives_write_columns_takes(kind: Kind, tmp_path: Path) -> None:
    plant(tmp_path / "old", MANY, kind)
    with smartpipe.open(tmp_path / "old") as old, smartpipe.open(tmp_path / "new", "w", **kind.options) as new:
        for batch in old.columns(batch=400):
            new.write_columns(
                (batch.block_key_offsets, batch.block_keys),
                batch.block_pairs,
                (batch.key_offsets, batch.keys),
                (batch.value_offsets, batch.values),
            )
    assert read(tmp_path / "new") == MANY


@pytest.mark.parametrize("kind", KINDS[1::2], ids=str)
def test_columns_are_proved_where_that_is_asked_for(kind: Kind, prefix: str) -> None:
    with smartpipe.open(prefix, "w", verify=True, **kind.options) as pipe:
        pipe.write_columns(*as_columns(PAGES))
    assert read(prefix) == PAGES


@given(
    st.dictionaries(
        st.binary(max_size=8), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=9000)), max_size=5)
    ),
    st.sampled_from(KINDS),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_blocks_survive_columns(scratch: str, blocks: dict[bytes, list[tuple[bytes, bytes]]], kind: Kind) -> None:
    wanted = list(blocks.items())
    with smartpipe.open(scratch, "w", **kind.options) as pipe:
        pipe.write_columns(*as_columns(wanted))
    with smartpipe.open(scratch) as reader:
        assert [block for columns in reader.columns(batch=5000) for block in blocks_of(columns)] == wanted


@pytest.mark.parametrize(
    "integers", [lambda *n: array("q", n), lambda *n: array("i", n), lambda *n: numpy.array(n, "<i4")]
)
def test_offsets_may_be_of_32_bits_and_need_no_numpy(integers: Callable[..., Any], prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        pipe.write_columns(
            (integers(1, 2, 3), bytearray(b".ab.")),  # a part of a longer column
            integers(0, 1, 1),
            (integers(0, 3), memoryview(b"raw")),
            (integers(0, 6), array("B", b"<html>")),
        )
    assert read(prefix) == [(b"a", [(b"raw", b"<html>")]), (b"b", [])]


def q(*numbers: int) -> Any:
    return numpy.array(numbers, numpy.int64)


GOOD: dict[str, Any] = {
    "block_keys": (q(0, 1, 2), b"ab"),
    "block_pairs": q(0, 2, 3),
    "keys": (q(0, 1, 2, 3), b"xyz"),
    "values": (q(0, 2, 4, 6), b"112233"),
}


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"keys": (q(0, 2, 1, 3), b"xyz")}, ValueError, "offset 2 of keys is 1, not from 2, the one before it, to 3"),
        ({"values": (q(0, 2, 4, 7), b"112233")}, ValueError, "offset 3 of values is 7, not from 4"),
        ({"values": (q(-1, 2, 4, 6), b"112233")}, ValueError, "offset 0 of values is -1, not within 6 bytes"),
        ({"keys": (q(4, 4, 4, 4), b"xyz")}, ValueError, "offset 0 of keys is 4, not within 3 bytes"),
        ({"values": (q(0, 2, 4), b"112233")}, ValueError, "values has 2 rows, and the number of keys is 3"),
        ({"block_pairs": q(0, 3)}, ValueError, "block_pairs has 1 rows, and the number of block_keys is 2"),
        ({"block_pairs": q(0, 2, 2)}, ValueError, "block_pairs goes from 0 to 2, not from 0 to 3"),
        ({"block_pairs": q(1, 2, 3)}, ValueError, "block_pairs goes from 1 to 3, not from 0 to 3"),
        ({"block_pairs": q(0, 4, 3)}, ValueError, "offset 2 of block_pairs is 3, not from 4"),
        (
            {"block_pairs": q(0, -1, 3)},
            ValueError,
            "block_pairs is -1, not from 0, the one before it, to the number of",
        ),
        ({"block_pairs": q(-1, 2, 3)}, ValueError, "offset 0 of block_pairs is -1, not 0"),
        ({"block_pairs": q()}, ValueError, "block_pairs has no offsets"),
        ({"keys": (q(0, 1, 2, 3), "xyz")}, TypeError, "the data of keys are a str, not bytes"),
        ({"keys": ([0, 1, 2, 3], b"xyz")}, TypeError, "the offsets of keys are a list, not int64 or int32"),
        ({"keys": [b"x", b"y", b"z"]}, TypeError, r"keys is a tuple \(offsets, data\)"),
        ({"keys": (q(0, 1, 2, 3).astype(float), b"xyz")}, TypeError, "int64 or int32 in one dimension, not 'd'"),
        ({"keys": (q(0, 1, 2, 3).astype(">i8"), b"xyz")}, TypeError, "int64 or int32 in one dimension, not '>"),
        ({"keys": (q(0, 1, 2, 3).astype("u8"), b"xyz")}, TypeError, "int64 or int32 in one dimension"),
        ({"keys": (q(0, 0, 1, 1, 2, 2, 3)[::2], b"xyz")}, TypeError, "the offsets of keys are a ndarray, not"),
        ({"block_pairs": q(0, 2, 3).reshape(3, 1)}, TypeError, "in one dimension, not 'l' in 2"),
    ],
)
def test_columns_that_do_not_fit_are_refused_before_anything_is_written(
    change: dict[str, Any], error: type[Exception], message: str, prefix: str
) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(error, match=message):
            pipe.write_columns(**{**GOOD, **change})
        assert len(pipe) == 0
        assert pipe.write_columns(**GOOD) == 2
    assert read(prefix) == [(b"a", [(b"x", b"11"), (b"y", b"22")]), (b"b", [(b"z", b"33")])]


@every_kind
def test_a_block_that_fails_leaves_those_before_it(kind: Kind, prefix: str) -> None:
    blocks = [(b"a", [(b"k", b"1")]), (b"b", [(b"k", b"2")]), (b"a", []), (b"c", [])]
    with smartpipe.open(prefix, "w", max_block_size=100, **kind.options) as pipe:
        with pytest.raises(smartpipe.DuplicateKeyError) as caught:
            pipe.write_columns(*as_columns(blocks))
        assert (caught.value.block, caught.value.path) == (b"a", pipe.data_path)
        with pytest.raises(smartpipe.BlockTooLargeError, match="101 bytes, more than max_block_size, 100") as large:
            pipe.write_columns(
                *as_columns([(b"d", []), (b"large", [(b"k", b"v" * 50), (b"k", b"v" * 33)]), (b"e", [])])
            )
        assert (large.value.block, large.value.path) == (b"large", pipe.data_path)
        pipe.write(b"large", {b"k": b"v"})
    assert read(prefix) == [*blocks[:2], (b"d", []), (b"large", [(b"k", b"v")])]


@every_kind
@pytest.mark.parametrize("threads", [1, 2])
def test_the_memory_of_columns_is_the_callers_again_afterwards(kind: Kind, threads: int, prefix: str) -> None:
    data, ends = bytearray(b"v" * 10_000), array("q", [0, 10_000])
    with smartpipe.open(prefix, "w", threads=threads, **kind.options) as pipe:
        for n in range(20):
            data[:] = b"%d" % (n % 10) * 10_000
            pipe.write_columns(
                (array("q", [0, 2]), b"%02d" % n), array("q", [0, 1]), (array("q", [0, 0]), b""), (ends, data)
            )
        data.clear()  # an error as long as somebody looks at it
    assert read(prefix) == [(b"%02d" % n, [(b"", b"%d" % (n % 10) * 10_000)]) for n in range(20)]


def test_errors_of_blocks_that_threads_write_come_from_the_call(prefix: str) -> None:
    with smartpipe.open(prefix, "w", threads=2, compress=True) as pipe:
        with pytest.raises(smartpipe.DuplicateKeyError):
            pipe.write_columns(*as_columns([*MANY, MANY[0]]))
        assert len(pipe) == len(MANY)
    assert read(prefix) == MANY


def test_a_closed_writer_takes_no_columns(prefix: str) -> None:
    pipe = smartpipe.open(prefix, "w")
    pipe.close()
    with pytest.raises(smartpipe.ClosedError):
        pipe.write_columns(**GOOD)
