"""ArrayRecord: a record per block, packed, each a group of its own, so that one can be read alone by its number."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from bench.corpus import Block
from bench.rivals.packed import pack
from bench.rivals.rival import Form, Pairs, Rival, Store

AT_ONCE = 64  # records of a call


class Records(Rival):
    """A file of records. They have no keys."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        codec = "uncompressed" if self.form.codec == "none" else f"zstd:{self.form.level}"
        writer = ArrayRecordWriter(str(folder / "blocks"), f"group_size:1,{codec}")
        for block in blocks:
            writer.write(pack(block))
        writer.close()

    def open(self, folder: Path) -> Store:
        return RecordStore(folder / "blocks", self.form)


class RecordStore(Store):
    """Records that are read."""

    def __init__(self, path: Path, form: Form) -> None:
        threads = 0 if form.threads == 1 else form.threads
        self.reader = ArrayRecordReader(str(path), f"readahead_buffer_size:0,max_parallelism:{threads}")

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        count = self.reader.num_records()
        for begin in range(0, count, AT_ONCE):
            for record in self.reader.read(begin, min(begin + AT_ONCE, count)):
                key, pairs = msgpack.unpackb(record, raw=True, use_list=False)
                yield key, pairs.items()

    def select(self, name: bytes) -> Iterator[bytes]:
        for _, pairs in self.read():
            yield dict(pairs)[name]

    def close(self) -> None:
        self.reader.close()
