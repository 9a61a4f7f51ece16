"""bagz: a record per block, packed, in one file; the keys in a second one, of which bagz makes an index in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import bagz
import msgpack

from bench.corpus import Block
from bench.rivals.packed import pack
from bench.rivals.rival import Form, Pairs, Rival, Store


class Bag(Rival):
    """A bag of blocks and one of their keys."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        kind = bagz.CompressionNone() if self.form.codec == "none" else bagz.CompressionZstd(self.form.level)
        records = bagz.Writer(str(folder / "blocks.bag"), bagz.Writer.Options(compression=kind))
        keys = bagz.Writer(str(folder / "keys.bag"), bagz.Writer.Options(compression=bagz.CompressionNone()))
        with records, keys:
            for block in blocks:
                records.write(pack(block))
                keys.write(block[0])

    def open(self, folder: Path) -> Store:
        return BagStore(folder, self.form)


class BagStore(Store):
    """Bags that are read."""

    def __init__(self, folder: Path, form: Form) -> None:
        kind = bagz.CompressionNone() if form.codec == "none" else bagz.CompressionZstd()
        memory = bagz.LimitsStorage.IN_MEMORY
        parallel = form.threads
        self.records = bagz.Reader(
            str(folder / "blocks.bag"),
            bagz.Reader.Options(compression=kind, limits_storage=memory, max_parallelism=parallel),
        )
        self.keys = folder / "keys.bag"
        self.places: bagz.Index | None = None

    def index(self) -> bagz.Index:
        """The index of the keys, made when it is first asked for: reading everything does without."""
        if self.places is None:
            plain = bagz.Reader.Options(compression=bagz.CompressionNone())
            self.places = bagz.Index(bagz.Reader(str(self.keys), plain))
        return self.places

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        for record in self.records:
            key, pairs = msgpack.unpackb(record, raw=True, use_list=False)
            yield key, pairs.items()

    def get(self, key: bytes) -> Pairs:
        _, pairs = msgpack.unpackb(self.records[self.index()[key]], raw=True, use_list=False)
        return pairs.items()

    def has(self, key: bytes) -> bool:
        return self.index().get(key) is not None
