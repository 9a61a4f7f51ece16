"""smartpipe itself."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import smartpipe
from bench.corpus import Block
from bench.rivals.rival import Form, Pairs, Rival, Store

CODECS = {"none": False, "deflate": "zlib", "zstd": "zstd", "lz4": "lz4"}
BATCH = 64 << 10  # pairs of a batch of columns


class Pipe(Rival):
    """A pipe of format 2."""

    def create(self, folder: Path) -> smartpipe.Writer:
        # Only what is not the default is said, so that a build without threads measures what it has.
        threads = {"threads": self.form.threads} if self.form.threads > 1 else {}
        return smartpipe.open(
            folder / "pipe", "w", compress=CODECS[self.form.codec], level=self.form.level, durability="none", **threads
        )

    def write(self, folder: Path, blocks: Iterable[Block]) -> None:
        with self.create(folder) as pipe:
            write = pipe.write
            for key, pairs in blocks:
                write(key, pairs)

    def write_pairs(self, folder: Path, blocks: Iterable[Block]) -> None:
        with self.create(folder) as pipe:
            checkpoint, append = pipe.checkpoint, pipe.append
            for key, pairs in blocks:
                checkpoint(key)
                for name, value in pairs.items():
                    append(name, value)

    def open(self, folder: Path) -> Store:
        return PipeStore(folder / "pipe", self.form)


class PipeStore(Store):
    """A pipe that is read."""

    def __init__(self, path: Path, form: Form) -> None:
        self.pipe = smartpipe.open(path)
        self.threads = {"threads": form.threads} if form.threads > 1 else {}
        self.get = self.pipe.__getitem__
        self.has = self.pipe.__contains__

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        return self.pipe.items(**self.threads)

    def select(self, name: bytes) -> Iterator[bytes]:
        for _, block in self.pipe.items(select=[name], **self.threads):
            yield block[name]

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return self.pipe[key][name]

    def close(self) -> None:
        self.pipe.close()
