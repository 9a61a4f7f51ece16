"""Arrow IPC and Parquet: pages as a row per block with a column per pair; small pairs as a row per pair."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.corpus import Block
from bench.rivals.rival import Form, Pairs, Rival, Store, groups

WIDE = 8  # pair keys from which on a column for each is too many
PAGES = 64  # blocks of a batch, of 41 KB each
SMALL = 1000  # blocks of a batch, of a hundred small pairs
LONG = pa.schema([("block", pa.binary()), ("key", pa.binary()), ("value", pa.binary())])


def batches(blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
    """The blocks as batches of rows."""
    rest = iter(blocks)
    first = next(rest)
    names = list(first[1])
    wide = len(names) < WIDE
    for group in groups(chain([first], rest), PAGES if wide else SMALL):
        if wide:
            columns = [[key for key, _ in group]] + [[pairs[name] for _, pairs in group] for name in names]
            fields = [("block", pa.binary()), *((name.decode(), pa.large_binary()) for name in names)]
            schema = pa.schema(fields)
        else:
            columns = [
                [key for key, pairs in group for _ in pairs],
                [name for _, pairs in group for name in pairs],
                [value for _, pairs in group for value in pairs.values()],
            ]
            schema = LONG
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


class Ipc(Rival):
    """A file of Arrow's own format."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        writer = None
        codec = None if self.form.codec == "none" else self.form.codec
        options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=self.form.threads > 1)
        for batch in batches(blocks):
            if writer is None:
                writer = pa.ipc.new_file(str(folder / "blocks.arrow"), batch.schema, options=options)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()

    def open(self, folder: Path) -> Store:
        return IpcStore(folder / "blocks.arrow", self.form)


class Parquet(Rival):
    """A Parquet file with a row group per batch."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        writer = None
        codec = "none" if self.form.codec == "none" else self.form.codec
        for batch in batches(blocks):
            if writer is None:
                # A dictionary is for what repeats: keys, and not pages.
                repeated = [name for name in ("block", "key") if batch.schema.names == LONG.names]
                options = {"compression": codec, "use_dictionary": repeated, "write_statistics": False}
                writer = pq.ParquetWriter(folder / "blocks.parquet", batch.schema, **options)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()

    def open(self, folder: Path) -> Store:
        return ParquetStore(folder / "blocks.parquet", self.form)


class Rows(Store):
    """Batches that are read."""

    def batches(self, names: list[str] | None) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        for batch in self.batches(None):
            if batch.schema.names == LONG.names:
                yield from runs(batch)
            else:
                columns = [column.to_pylist() for column in batch.columns]
                names = [name.encode() for name in batch.schema.names[1:]]
                for key, *values in zip(*columns, strict=True):
                    yield key, zip(names, values, strict=True)

    def select(self, name: bytes) -> Iterator[bytes]:
        for batch in self.batches([name.decode()]):
            yield from batch.column(0).to_pylist()

    def columns(self) -> tuple[int, int]:
        rows = total = 0
        for batch in self.batches(None):
            rows += batch.num_rows
            total += pc.sum(pc.binary_length(batch.column("value"))).as_py()
        return rows, total


def runs(batch: pa.RecordBatch) -> Iterator[tuple[bytes, Pairs]]:
    """The blocks of a batch with a row per pair: rows of the same block, one after another."""
    blocks = pc.run_end_encode(batch.column("block"))
    names, values = batch.column("key").to_pylist(), batch.column("value").to_pylist()
    begin = 0
    for key, end in zip(blocks.values.to_pylist(), blocks.run_ends.to_pylist(), strict=True):
        yield key, zip(names[begin:end], values[begin:end], strict=True)
        begin = end


class IpcStore(Rows):
    """An Arrow file in mapped memory."""

    def __init__(self, path: Path, form: Form) -> None:
        self.path = path
        self.form = form

    def batches(self, names: list[str] | None) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(self.path)) as source:
            schema = pa.ipc.open_file(source).schema
            fields = None if names is None else [schema.get_field_index(name) for name in names]
            options = pa.ipc.IpcReadOptions(use_threads=self.form.threads > 1, included_fields=fields)
            reader = pa.ipc.open_file(source, options=options)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)


class ParquetStore(Rows):
    """A Parquet file."""

    def __init__(self, path: Path, form: Form) -> None:
        self.file = pq.ParquetFile(path)
        self.form = form

    def batches(self, names: list[str] | None) -> Iterator[pa.RecordBatch]:
        for number in range(self.file.num_row_groups):
            yield from self.file.read_row_group(number, names, self.form.threads > 1).to_batches()

    def close(self) -> None:
        self.file.close()
