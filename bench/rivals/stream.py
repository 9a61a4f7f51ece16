"""msgpack: a file of packed blocks, one after another."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgpack

from bench.corpus import Block
from bench.rivals.packed import pack, packer, unpacker
from bench.rivals.rival import Form, Pairs, Rival, Store

MOST = 1 << 30  # bytes of one object: the package wants a limit


class Stream(Rival):
    """A stream of (key, pairs); compressed, of the bytes of such."""

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        with open(folder / "stream", "wb") as file:
            if self.form.codec == "none":
                file.writelines(map(pack, blocks))
            else:
                compress = packer(self.form)
                file.writelines(pack(compress(pack(block))) for block in blocks)

    def open(self, folder: Path) -> Store:
        return StreamStore(folder / "stream", self.form)


class StreamStore(Store):
    """A stream that is read from its beginning."""

    def __init__(self, path: Path, form: Form) -> None:
        self.file = path.open("rb", buffering=0)
        self.form = form

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        self.file.seek(0)
        stream = msgpack.Unpacker(self.file, raw=True, use_list=False, max_buffer_size=MOST, read_size=1 << 20)
        if self.form.codec == "none":
            for key, pairs in stream:
                yield key, pairs.items()
        else:
            value = unpacker(self.form)
            for stored in stream:
                key, pairs = msgpack.unpackb(value(stored), raw=True, use_list=False)
                yield key, pairs.items()

    def close(self) -> None:
        self.file.close()
