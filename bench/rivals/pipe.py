"""smartpipe itself, in either format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import smartpipe
from bench.corpus import Block
from bench.rivals.rival import LEVEL, Pairs, Rival, Store


class Pipe(Rival):
    """A pipe."""

    def __init__(self, name: str, format: Literal[1, 2]) -> None:
        self.name = name
        self.format = format

    def write(self, folder: Path, blocks: list[Block], compress: bool) -> None:
        with smartpipe.open(folder / "pipe", "w", format=self.format, compress=compress, level=LEVEL) as pipe:
            for key, pairs in blocks:
                pipe.write(key, pairs)

    def open(self, folder: Path, compress: bool) -> Store:
        return PipeStore(folder / "pipe")


class PipeStore(Store):
    """A pipe that is read."""

    def __init__(self, path: Path) -> None:
        self.pipe = smartpipe.open(path)

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        return self.pipe.items()

    def get(self, key: bytes) -> Pairs:
        return self.pipe[key]

    def select(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, block in self.pipe.items(select=[name]):
            yield key, block[name]

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return self.pipe[key][name]

    def close(self) -> None:
        self.pipe.close()
