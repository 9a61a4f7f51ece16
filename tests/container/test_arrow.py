"""A pipe as an Arrow stream, for pyarrow, polars and duckdb, and pipes that are written from such streams."""

from __future__ import annotations

import ctypes
import gc
import signal
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy
import polars
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import smartpipe

from .pipes import KINDS, PAGES, Blocks, Kind, every_kind, plant, read, write
from .process import run
from .test_columns import MANY, flip

SCHEMA = pyarrow.schema([(name, pyarrow.large_binary()) for name in ("block", "key", "value")])
Rows = list[tuple[bytes, bytes, bytes]]


def rows_of(blocks: Blocks) -> Rows:
    """The rows of a table of these blocks."""
    return [(block, key, value) for block, pairs in blocks for key, value in pairs]


def table_of(rows: Iterable[tuple[Any, Any, Any]], *types: Any) -> pyarrow.Table:
    """A table of rows, its columns of type large_binary or of other types."""
    rows = list(rows)
    kinds = types or (pyarrow.large_binary(),) * 3
    columns = [pyarrow.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
    return pyarrow.table(columns, names=["block", "key", "value"])


def rows_in(table: pyarrow.Table) -> Rows:
    table.validate(full=True)
    return list(zip(*(table[name].to_pylist() for name in ("block", "key", "value")), strict=True))


def batches_of(source: Any) -> list[pyarrow.RecordBatch]:
    return list(pyarrow.RecordBatchReader.from_stream(source))


# Out of a pipe


@every_kind
@pytest.mark.parametrize("blocks", [PAGES, MANY, [], [(b"empty", [])]], ids=["pages", "many", "empty", "no pairs"])
def test_a_table_has_a_row_for_each_pair(kind: Kind, blocks: Blocks, prefix: str) -> None:
    plant(prefix, blocks, kind)
    with smartpipe.open(prefix) as pipe:
        table = pipe.to_arrow()
    assert table.schema == SCHEMA
    assert rows_in(table) == rows_of(blocks)


@every_kind
def test_a_stream_has_the_rows_in_batches(kind: Kind, prefix: str) -> None:
    plant(prefix, MANY, kind)
    with smartpipe.open(prefix) as pipe:
        assert len(batches_of(pipe)) == 1
        batches = batches_of(pipe.columns(batch=500))
        assert [batch.schema for batch in batches] == [SCHEMA] * len(batches)
    assert len(batches) > 5
    assert rows_in(pyarrow.Table.from_batches(batches)) == rows_of(MANY)


def test_select_and_on_error_go_into_tables(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    flip(KINDS[0].data(prefix), b"<59>" * 40)
    wanted = [row for row in rows_of(MANY[:-1]) if row[1] == b"raw"]
    with smartpipe.open(prefix) as pipe:
        assert rows_in(pipe.to_arrow(select=[b"raw"], on_error="skip")) == wanted
        assert pipe.stats()["skipped_blocks"] == 1
        assert rows_in(pyarrow.table(pipe.columns(select=[b"raw"], on_error="skip"))) == wanted
        assert rows_in(pipe.to_arrow(select=[b"key-1"])) == [row for row in rows_of(MANY) if row[1] == b"key-1"]


def test_repeated_block_keys_do_not_exceed_the_batch(prefix: str) -> None:
    # The keys of 999 pairs of 3 bytes take 10 million bytes as a column.
    blocks: Blocks = [
        (b"small", [(b"k", b"v")]),
        (b"L" * 10_000, [(b"%03d" % n, b"") for n in range(999)]),
        (b"none", []),
        (b"behind", [(b"k", b"v")] * 2),
    ]
    plant(prefix, blocks, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        batches = batches_of(pipe.columns(batch=100_000))
        one_by_one = batches_of(pipe.columns(batch=1))
    assert rows_in(pyarrow.Table.from_batches(batches)) == rows_of(blocks)
    assert rows_in(pyarrow.Table.from_batches(one_by_one)) == rows_of(blocks)
    keys = [sum(len(key) + 8 for key in batch["block"].to_pylist()) for batch in batches]
    assert max(keys) <= 100_000
    assert len(batches) == 112  # 9 of the long keys fit into one; what is behind that block is one more
    assert [batch.num_rows for batch in one_by_one] == [1] * len(rows_of(blocks))


@every_kind
def test_polars_reads_a_pipe(kind: Kind, prefix: str) -> None:
    plant(prefix, MANY, kind)
    with smartpipe.open(prefix) as pipe:
        frame = polars.DataFrame(pipe)
        assert frame.rows() == rows_of(MANY)
        assert frame.columns == ["block", "key", "value"]
        assert set(frame.dtypes) == {polars.Binary}
        assert polars.DataFrame(pipe.columns(batch=300)).rows() == rows_of(MANY)


@every_kind
def test_duckdb_reads_a_pipe(kind: Kind, prefix: str) -> None:
    plant(prefix, MANY, kind)
    with smartpipe.open(prefix) as pipe, duckdb.connect() as base:
        assert len(pipe) == len(MANY)  # its name is looked up by duckdb
        for _ in range(2):  # a reader gives a stream as often as it is asked for one
            assert base.sql("from pipe").fetchall() == rows_of(MANY)
        found = base.sql("select count(*), sum(octet_length(value)) from pipe where key = 'raw'::blob").fetchall()
    values = [value for _, key, value in rows_of(MANY) if key == b"raw"]
    assert found == [(len(values), sum(map(len, values)))]


def test_a_table_lives_on_without_its_pipe(prefix: str) -> None:
    plant(prefix, MANY, KINDS[1])
    reader = smartpipe.open(prefix)
    stream = pyarrow.RecordBatchReader.from_stream(reader.columns(batch=200))
    first = stream.read_next_batch()
    column = first.column("value")
    reader_is_kept = [first, *stream]
    del reader, stream, first
    gc.collect()
    assert rows_in(pyarrow.Table.from_batches(reader_is_kept)) == rows_of(MANY)
    del reader_is_kept
    gc.collect()
    assert column.to_pylist() == [value for _, _, value in rows_of(MANY)][: len(column)]


def test_a_column_that_was_moved_out_lives_on(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        columns = [batch.column("key") for batch in batches_of(pipe.columns(batch=200))]
    gc.collect()
    assert [key for column in columns for key in column.to_pylist()] == [key for _, key, _ in rows_of(MANY)]


def test_streams_are_released_at_any_time(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        pipe.__arrow_c_stream__()  # never looked at
        capsule = pipe.__arrow_c_stream__(None)
        stream = pyarrow.RecordBatchReader._import_from_c_capsule(capsule)
        stream.close()  # before it was read
        del capsule, stream
        early = pyarrow.RecordBatchReader.from_stream(pipe.columns(batch=100))
        early.read_next_batch()
        early.close()
        early.close()
        with pytest.raises(ValueError, match=r"closed|released"):
            early.read_next_batch()
        gc.collect()
        assert rows_in(pipe.to_arrow()) == rows_of(MANY)


def test_a_capsule_is_a_stream_once(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])

    class Once:
        def __init__(self, capsule: object) -> None:
            self.capsule = capsule

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return self.capsule

    with smartpipe.open(prefix) as pipe, smartpipe.open(prefix + "-new", "w") as new:
        once = Once(pipe.__arrow_c_stream__())
        assert new.write_arrow(once) == len([pairs for _, pairs in MANY if pairs])
        used = Once(pipe.__arrow_c_stream__())
        pyarrow.RecordBatchReader.from_stream(used)
        with pytest.raises(ValueError, match="the stream was used up"):
            new.write_arrow(used)


def test_a_stream_is_read_and_released_in_other_threads(prefix: str) -> None:
    plant(prefix, MANY, KINDS[1])
    found: list[Rows] = []

    def use(stream: pyarrow.RecordBatchReader) -> None:
        found.append(rows_in(stream.read_all()))

    with smartpipe.open(prefix) as pipe:
        threads = [
            threading.Thread(target=use, args=(pyarrow.RecordBatchReader.from_stream(pipe.columns(batch=100)),))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [rows_of(MANY)] * 8


def test_a_stream_of_a_closed_reader_is_an_error(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    pipe = smartpipe.open(prefix)
    stream = pyarrow.RecordBatchReader.from_stream(pipe.columns(batch=100))
    first = stream.read_next_batch()
    pipe.close()
    with pytest.raises(ValueError, match="the pipe was closed"):
        stream.read_all()
    assert rows_in(pyarrow.Table.from_batches([first])) == rows_of(MANY)[: first.num_rows]
    with pytest.raises(smartpipe.ClosedError):
        pipe.to_arrow()
    with pytest.raises(smartpipe.ClosedError):
        pipe.__arrow_c_stream__()


def test_a_damaged_block_ends_a_stream_with_its_error(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    flip(KINDS[0].data(prefix), b"<31>" * 40)
    message = r"block b'block-31' at offset \d+: the value of pair 3: the checksum does not match"
    with smartpipe.open(prefix) as pipe:
        stream = pyarrow.RecordBatchReader.from_stream(pipe)
        first = stream.read_next_batch()
        assert rows_in(pyarrow.Table.from_batches([first])) == rows_of(MANY[:31])
        for _ in range(2):  # what comes behind it would be short of a block
            with pytest.raises(OSError, match=message):
                stream.read_next_batch()
        with pytest.raises(smartpipe.CorruptError, match=message) as caught:
            pipe.to_arrow()
        assert caught.value.block == b"block-31"
        with pytest.raises(Exception, match=message):
            polars.DataFrame(pipe)
        with duckdb.connect() as base, pytest.raises(Exception, match=message):
            base.sql("from pipe").fetchall()
        assert rows_in(pipe.to_arrow(on_error="skip")) == rows_of([*MANY[:31], *MANY[32:]])


def test_what_on_error_raises_comes_out_of_a_table(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    flip(KINDS[0].data(prefix), b"<31>" * 40)

    def stop(error: smartpipe.SmartPipeError) -> None:
        raise KeyboardInterrupt

    with smartpipe.open(prefix) as pipe, pytest.raises(KeyboardInterrupt):
        pipe.to_arrow(on_error=stop)


def test_tables_without_pyarrow_say_what_to_install(prefix: str) -> None:
    plant(prefix, PAGES, KINDS[0])
    code = """
import sys
import smartpipe
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
pipe = smartpipe.open(sys.argv[1])
try:
    pipe.to_arrow()
except ModuleNotFoundError as error:
    print(error)
with smartpipe.open(sys.argv[1] + "-new", "w") as new:
    print(new.write_arrow(pipe))  # needs nothing
"""
    assert run(code, prefix) == "to_arrow needs pyarrow: pip install 'smartpipe[arrow]'\n3\n"


def test_the_interpreter_ends_quietly_with_open_streams(prefix: str) -> None:
    plant(prefix, MANY, KINDS[0])
    code = """
import sys, pyarrow, smartpipe
pipe = smartpipe.open(sys.argv[1])
stream = pyarrow.RecordBatchReader.from_stream(pipe.columns(batch=100))
batch = stream.read_next_batch()
capsule = pipe.__arrow_c_stream__()
arrays = next(pipe.columns())
"""
    assert run(code, prefix) == ""


# Into a pipe


@every_kind
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_pipe_is_written_from_a_table(kind: Kind, rows: int, prefix: str) -> None:
    blocks = [(key, pairs) for key, pairs in [*PAGES, *MANY] if pairs]
    batches = table_of(rows_of(blocks)).to_batches(max_chunksize=rows)  # blocks go on in the next batch
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        assert pipe.write_arrow(pyarrow.Table.from_batches(batches)) == len(blocks)
    assert read(prefix) == blocks


@every_kind
def test_tables_are_read_and_written_in_threads(kind: Kind, tmp_path: Path) -> None:
    plant(tmp_path / "old", MANY, kind)
    with smartpipe.open(tmp_path / "old") as old:
        table = old.to_arrow(threads=2)
        assert rows_in(table) == rows_of(MANY)
        with smartpipe.open(tmp_path / "new", "w", threads=2, **kind.options) as new:
            # Each batch is let go of as soon as its rows were taken over.
            assert new.write_arrow(pyarrow.RecordBatchReader.from_batches(SCHEMA, iter(table.to_batches(10))))
        assert rows_of(read(tmp_path / "new")) == rows_of(MANY)


TYPES = [
    pyarrow.large_binary(), pyarrow.binary(), pyarrow.binary_view(), pyarrow.large_string(), pyarrow.string(),
    pyarrow.string_view(),
]  # fmt: skip


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3]], ids=str)
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_columns_may_be_binary_or_strings(type_: Any, kind: Kind, prefix: str) -> None:
    rows = [("a", "", "12 letters.."), ("a", "k" * 13, "v" * 9000), ("é" * 20, "x", ""), ("c", "x", "ü" * 40)]
    table = table_of(rows, type_, type_, type_)
    # Parts of columns do not begin at their first row, or byte.
    for part, wanted in ((table, rows), (table.slice(1), rows[1:]), (table.slice(1, 2), rows[1:3])):
        with smartpipe.open(prefix, "w", **kind.options) as pipe:
            pipe.write_arrow(part)
        with smartpipe.open(prefix) as reader:
            assert [tuple(map(bytes.decode, row)) for row in rows_in(reader.to_arrow())] == wanted


def test_columns_may_be_of_different_types_and_in_any_order(prefix: str) -> None:
    rows = rows_of(MANY)
    table = table_of(rows, pyarrow.binary_view(), pyarrow.binary(), pyarrow.large_binary())
    with smartpipe.open(prefix, "w") as pipe:
        pipe.write_arrow(table.select(["value", "block", "key"]))
    with smartpipe.open(prefix) as reader:
        assert rows_in(reader.to_arrow()) == rows


@every_kind
def test_a_pipe_is_written_from_polars_duckdb_and_readers(kind: Kind, tmp_path: Path) -> None:
    plant(tmp_path / "old", MANY, kind)
    blocks = [(key, pairs) for key, pairs in MANY if pairs]
    with smartpipe.open(tmp_path / "old") as old, duckdb.connect() as base:
        sources = {
            "reader": old,
            "columns": old.columns(batch=100),
            "polars": polars.DataFrame(old),
            "duckdb": base.sql("from old"),
            "stream": pyarrow.RecordBatchReader.from_stream(old),
            "batch": old.to_arrow().to_batches()[0],
        }
        for name, source in sources.items():
            with smartpipe.open(tmp_path / name, "w", **kind.options) as pipe:
                assert pipe.write_arrow(source) == len(blocks)
            assert read(tmp_path / name) == blocks


@given(
    st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=20), st.binary(max_size=5000)), max_size=20),
    st.sampled_from(KINDS),
    st.integers(1, 20),
    st.sampled_from([pyarrow.large_binary(), pyarrow.binary(), pyarrow.binary_view()]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table_survives_a_pipe(scratch: str, rows: Rows, kind: Kind, chunk: int, type_: Any) -> None:
    rows.sort(key=lambda row: row[0])
    table = table_of(rows, type_, type_, type_)
    with smartpipe.open(scratch, "w", **kind.options) as pipe:
        pipe.write_arrow(pyarrow.Table.from_batches(table.to_batches(max_chunksize=chunk), table.schema))
    with smartpipe.open(scratch) as reader:
        assert rows_in(reader.to_arrow()) == rows
        assert rows_in(pyarrow.table(reader.columns(batch=1))) == rows


@every_kind
def test_a_key_that_comes_again_later_is_refused(kind: Kind, prefix: str) -> None:
    rows = [(b"a", b"k", b"1"), (b"b", b"k", b"2"), (b"a", b"k", b"3"), (b"c", b"k", b"4")]
    with smartpipe.open(prefix, "w", **kind.options) as pipe:
        with pytest.raises(smartpipe.DuplicateKeyError) as caught:
            pipe.write_arrow(table_of(rows))
        assert (caught.value.block, caught.value.path) == (b"a", pipe.data_path)
    assert read(prefix) == [(b"a", [(b"k", b"1")]), (b"b", [(b"k", b"2")])]


def test_a_block_that_grows_too_large_is_refused_and_not_gathered(prefix: str) -> None:
    given = 0

    def batches() -> Iterator[pyarrow.RecordBatch]:
        nonlocal given
        for _ in range(1000):
            given += 1
            yield table_of([(b"endless", b"k", b"v" * 91)]).to_batches()[0]

    with smartpipe.open(prefix, "w", max_block_size=1000) as pipe:
        with pytest.raises(smartpipe.BlockTooLargeError) as caught:
            pipe.write_arrow(pyarrow.RecordBatchReader.from_batches(SCHEMA, batches()))
        assert caught.value.block == b"endless"
    assert given <= 12
    assert read(prefix) == []


@pytest.mark.parametrize("column", ["block", "key", "value"])
@pytest.mark.parametrize("row", [0, 3, 9, 17])
@pytest.mark.parametrize("chunk", [1, 6, 100])
@pytest.mark.parametrize("type_", [pyarrow.large_binary(), pyarrow.binary_view()], ids=str)
def test_a_null_is_refused_with_its_row(column: str, row: int, chunk: int, type_: Any, prefix: str) -> None:
    rows: list[list[Any]] = [[b"block-%d" % (n // 3), b"key", b"value-%02d" % n] for n in range(18)]
    rows[row][["block", "key", "value"].index(column)] = None
    # Preceded by rows that are cut off, so that the bits of nulls do not begin with a byte.
    table = table_of([(b"", b"", None)] * 5 + [tuple(one) for one in rows], type_, type_, type_).slice(5)
    name = {"block": "the block key"}.get(column, f"the {column}")
    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(ValueError, match=rf"row {row}\b.*: {name} is null"):
            pipe.write_arrow(pyarrow.Table.from_batches(table.to_batches(max_chunksize=chunk)))
        # Of a block whose next row has no key it is not said that it goes on.
        whole = (row + 2) // 3 if column == "block" else row // 3
        assert list(map(bytes, smartpipe.open(pipe.path))) == [b"block-%d" % n for n in range(whole)]


def test_a_row_that_is_null_as_a_whole_is_refused(prefix: str) -> None:
    fields = [pyarrow.array([b"a", b"b"], pyarrow.binary())] * 3
    array = pyarrow.StructArray.from_arrays(fields, ["block", "key", "value"], mask=pyarrow.array([False, True]))
    with smartpipe.open(prefix, "w") as pipe, pytest.raises(ValueError, match="row 1 is null"):
        pipe.write_arrow(pyarrow.chunked_array([array]))


@pytest.mark.parametrize(
    "data, error, message",
    [
        ({"block": [b"a"]}, TypeError, "has __arrow_c_stream__, as a pyarrow.Table or polars.DataFrame, not dict"),
        (
            pyarrow.table({"block": [b"a"], "key": [b"a"]}),
            ValueError,
            "columns block, key and value, found block, key; there is one row for each pair: unpivot a table",
        ),
        (
            pyarrow.table({"block": [b"a"], "key": [b"a"], "value": [b"a"], "more": [1]}),
            ValueError,
            "found block, key, value, more",
        ),
        (pyarrow.chunked_array([[1, 2]]), ValueError, "found no table, but a column of int64"),
        (
            pyarrow.table({"block": [b"a"], "key": [b"a"], "value": [1]}),
            TypeError,
            "the column value is int64; expected binary or string, .*: cast it",
        ),
        (
            pyarrow.table({"block": pyarrow.array([b"a"]).dictionary_encode(), "key": [b"a"], "value": [b"a"]}),
            TypeError,
            "the column block is dictionary-encoded",
        ),
    ],
)
def test_what_is_no_table_of_blocks_is_refused(data: Any, error: type[Exception], message: str, prefix: str) -> None:
    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(error, match=message):
            pipe.write_arrow(data)
        assert len(pipe) == 0


def test_a_source_that_fails_leaves_the_blocks_before(prefix: str) -> None:
    def batches() -> Iterator[pyarrow.RecordBatch]:
        yield table_of([(b"a", b"k", b"1"), (b"b", b"k", b"2")]).to_batches()[0]
        raise RuntimeError("the disk of the source is on fire")

    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(OSError, match=r"the Arrow stream failed: .*the disk of the source is on fire"):
            pipe.write_arrow(pyarrow.RecordBatchReader.from_batches(SCHEMA, batches()))
        pipe.write(b"b", {b"k": b"anew"})  # whether it was whole nobody knows, and so it was not written
    assert read(prefix) == [(b"a", [(b"k", b"1")]), (b"b", [(b"k", b"anew")])]


def test_a_damaged_pipe_is_not_copied_short(tmp_path: Path) -> None:
    plant(tmp_path / "old", MANY, KINDS[0])
    flip(KINDS[0].data(tmp_path / "old"), b"<31>" * 40)
    old, new = smartpipe.open(tmp_path / "old"), smartpipe.open(tmp_path / "new", "w")
    with old, new, pytest.raises(OSError, match="block b'block-31' at offset"):
        new.write_arrow(old)
    found = read(tmp_path / "new")
    wanted = [(key, pairs) for key, pairs in MANY[:31] if pairs]
    assert found in (wanted, wanted[:-1])


def test_a_closed_writer_takes_no_table(prefix: str) -> None:
    pipe = smartpipe.open(prefix, "w")
    pipe.close()
    with pytest.raises(smartpipe.ClosedError):
        pipe.write_arrow(table_of([]))


def test_blocks_are_appended_from_a_table(prefix: str) -> None:
    write(prefix, MANY[:20], KINDS[1])
    with smartpipe.open(prefix, "a") as pipe:
        pipe.write_arrow(table_of(rows_of(MANY[20:])))
    assert rows_of(read(prefix)) == rows_of(MANY)


Words = ctypes.c_int64 * 9  # the fields of ArrowSchema, ArrowArray and ArrowArrayStream are of 8 bytes each
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
NAME, LENGTH, OFFSET, BUFFER_COUNT, BUFFERS, CHILDREN = 1, 0, 2, 3, 5, (5, 6)


class Tampered:
    """A table of one row whose schema (call 0 of the stream) or batch (call 1) somebody changes."""

    def __init__(self, call: int, change: Callable[[Any, Any], None]) -> None:
        self.call = call
        self.change = change

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        capsule = table_of([(b"a", b"k", b"v" * 20)]).__arrow_c_stream__()
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        stream = Words.from_address(pointer(capsule, b"arrow_array_stream"))
        right = Callback(stream[self.call])

        def tamper(source: int, out: int) -> int:
            code = right(source, out)
            parent = Words.from_address(out)
            if code == 0 and parent[CHILDREN[self.call]] != 0:  # not at the end
                children = (ctypes.c_int64 * 3).from_address(parent[CHILDREN[self.call]])
                self.change(parent, Words.from_address(children[1]))
            return code

        self.callback = Callback(tamper)
        stream[self.call] = ctypes.cast(self.callback, ctypes.c_void_p).value or 0
        return capsule


def set_word(of_child: bool, field: int, value: int) -> Callable[[Any, Any], None]:
    def change(parent: Any, child: Any) -> None:
        (child if of_child else parent)[field] = value

    return change


def set_buffer(number: int) -> Callable[[Any, Any], None]:
    def change(parent: Any, child: Any) -> None:
        (ctypes.c_int64 * 3).from_address(child[BUFFERS])[number] = 0

    return change


@pytest.mark.parametrize(
    "call, change, message",
    [
        (0, set_word(True, NAME, 0), "expected the columns block, key and value, found block, , value"),
        (1, set_word(False, LENGTH, -1), "a batch is damaged: -1 rows"),
        (1, set_word(False, OFFSET, -1), "a batch is damaged: 1 rows from row -1 on"),
        (1, set_word(False, 4, 2), "a batch is damaged: .* 2 columns"),
        (1, set_word(True, LENGTH, 0), "the column key is damaged: 0 rows in 3 buffers, for a batch of 1"),
        (1, set_word(True, OFFSET, -1), "the column key is damaged"),
        (1, set_word(True, BUFFER_COUNT, 2), "the column key is damaged: 1 rows in 2 buffers"),
        (1, set_buffer(1), "the column key is damaged"),
        (1, set_buffer(2), "the column key is damaged at row 0"),
    ],
)
def test_a_stream_that_is_wrong_in_itself_is_refused(
    call: int, change: Callable[[Any, Any], None], message: str, prefix: str
) -> None:
    with smartpipe.open(prefix, "x") as pipe, pytest.raises(ValueError, match=message):
        pipe.write_arrow(Tampered(call, change))
    assert read(prefix) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_the_memory_of_a_table_is_not_kept(threads: int, prefix: str) -> None:
    data = bytearray(b"v" * 5000)
    value = pyarrow.Array.from_buffers(
        pyarrow.binary(), 1, [None, pyarrow.py_buffer(struct.pack("<2i", 0, len(data))), pyarrow.py_buffer(data)]
    )
    table = pyarrow.table({"block": [b"a"], "key": [b"k"], "value": value})
    with smartpipe.open(prefix, "x", threads=threads) as pipe:
        pipe.write_arrow(table)
        pipe.flush()
        del table, value
        gc.collect()
        data.append(0)  # BufferError, where somebody still has it


class Alarm(Exception):
    """What the handler of a signal raises."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Let SIGALRM raise in the code of a `with` statement."""

    def ring(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


ROWS = 3_000_000


@pytest.mark.parametrize("way", ["write_arrow", "write_columns"])
def test_a_signal_ends_a_long_write(way: str, prefix: str) -> None:
    numbers = numpy.char.zfill(numpy.arange(ROWS).astype("S7"), 7)
    offsets = numpy.arange(ROWS + 1, dtype=numpy.int64)
    keys = pyarrow.array(numbers, pyarrow.binary())
    table = pyarrow.table({"block": keys, "key": keys, "value": keys})
    column = (offsets * 7, numbers.tobytes())
    with smartpipe.open(prefix, "w", durability="none") as pipe:
        with pytest.raises(Alarm), alarm(0.2):
            if way == "write_arrow":
                pipe.write_arrow(table)
            else:
                pipe.write_columns(column, offsets, column, column)
        written = len(pipe)
    assert written < ROWS // 2
    assert smartpipe.verify(prefix).ok


def test_a_signal_ends_a_long_block(prefix: str) -> None:
    empty = pyarrow.array([b""] * 10, pyarrow.binary())
    batch = pyarrow.record_batch([empty, empty, empty], names=["block", "key", "value"])
    table = pyarrow.Table.from_batches([batch] * 500_000)
    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(Alarm), alarm(0.05):
            pipe.write_arrow(table)
        assert len(pipe) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt("now"), SystemExit(3), Alarm("now")], ids=repr)
def test_what_is_raised_while_a_table_is_read_comes_out(
    error: BaseException, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(prefix, PAGES, KINDS[0])

    def interrupted(*_: object, **__: object) -> smartpipe.Position:
        raise error

    monkeypatch.setattr("smartpipe.container.reader.Position", interrupted)
    with smartpipe.open(prefix) as pipe, pytest.raises(type(error)) as caught:
        pipe.to_arrow()
    assert caught.value is error


@pytest.mark.parametrize("use", ["arrow", "iteration"])
def test_a_stream_is_read_once(use: str, prefix: str) -> None:
    write(prefix, PAGES, KINDS[0])
    with smartpipe.open(prefix) as pipe:
        batches = pipe.columns()
        if use == "arrow":
            assert pyarrow.RecordBatchReader.from_stream(batches).read_all().num_rows == 6
        else:
            assert sum(len(batch) for batch in batches) == 6
        with pytest.raises(ValueError, match=r"an Arrow stream is read once.*: ask the reader for another"):
            pyarrow.RecordBatchReader.from_stream(batches)


@pytest.mark.parametrize(
    "made, said",
    [
        (pyarrow.uint32(), "uint32"),
        (pyarrow.float64(), "float64"),
        (pyarrow.timestamp("us"), "timestamp"),
        (pyarrow.list_(pyarrow.binary()), "list"),
        (pyarrow.binary(4), "fixed-size binary"),
    ],
    ids=str,
)
def test_a_type_that_is_not_taken_is_named(made: pyarrow.DataType, said: str, prefix: str) -> None:
    keys = pyarrow.array([b"a"])
    table = pyarrow.table({"block": keys, "key": keys, "value": pyarrow.array([None], made)})
    with smartpipe.open(prefix, "w") as pipe:
        with pytest.raises(TypeError, match=f"the column value is {said}; expected binary or string, .*: cast it"):
            pipe.write_arrow(table)
        with pytest.raises(ValueError, match="found key, raw; there is one row for each pair: unpivot"):
            pipe.write_arrow(pyarrow.table({"key": keys, "raw": keys}))
