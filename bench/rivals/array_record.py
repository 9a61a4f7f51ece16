"""ArrayRecord: a record per block, packed, each a group of its own, so that one can be read alone by its number."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from bench.corpus import Block
from bench.rivals.packed import pack
from bench.rivals.rival import Form, Pairs, Rival, Store

# One after another in the caller's own thread, or read ahead by others: each the fastest of what the options allow.
ALONE = "readahead_buffer_size:0,max_parallelism:0"
AHEAD = "readahead_buffer_size:16M,max_parallelism:{}"


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
        self.path = str(path)
        self.options = ALONE if form.threads == 1 else AHEAD.format(form.threads)
        self.ahead = form.threads > 1
        self.reader = ArrayRecordReader(self.path, self.options)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        if self.ahead:
            # What it has read ahead it keeps: going back to the first record would give that again for nothing.
            self.reader.close()
            self.reader = ArrayRecordReader(self.path, self.options)
        self.reader.seek(0)
        for _ in range(self.reader.num_records()):
            key, pairs = msgpack.unpackb(self.reader.read(), raw=True, use_list=False)
            yield key, pairs.items()

    def close(self) -> None:
        self.reader.close()
