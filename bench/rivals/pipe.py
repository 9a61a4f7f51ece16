"""smartpipe itself."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import smartpipe
from bench.corpus import Block
from bench.rivals.rival import GROUP, Form, Pairs, Rival, Store, groups

CODECS = {"none": False, "deflate": "zlib", "zstd": "zstd", "lz4": "lz4"}


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

    def gathered(self, blocks: list[Block]) -> list[tuple[Any, ...]]:
        """What `write_columns` takes, which its users have: the strings of many blocks behind one another."""
        return [
            (
                strings([key for key, _ in group]),
                offsets(len(pairs) for _, pairs in group),
                strings([name for _, pairs in group for name in pairs]),
                strings([value for _, pairs in group for value in pairs.values()]),
            )
            for group in groups(blocks, GROUP)
        ]

    def write_columns(self, folder: Path, batches: list[tuple[Any, ...]]) -> None:
        with self.create(folder) as pipe:
            for batch in batches:
                pipe.write_columns(*batch)

    def open(self, folder: Path) -> Store:
        return PipeStore(folder / "pipe", self.form)


class PipeStore(Store):
    """A pipe that is read."""

    def __init__(self, path: Path, form: Form) -> None:
        self.pipe = smartpipe.open(path)
        self.threads = {"threads": form.threads} if form.threads > 1 else {}
        self.get = self.pipe.__getitem__
        self.has = self.pipe.__contains__
        self.count = self.pipe.__len__

    def read(self) -> Iterator[tuple[bytes, Pairs]]:
        return self.pipe.items(**self.threads)

    def select(self, name: bytes) -> Iterator[bytes]:
        for _, block in self.pipe.items(select=[name], **self.threads):
            yield block[name]

    def get_pair(self, key: bytes, name: bytes) -> bytes:
        return self.pipe[key][name]

    def columns(self) -> tuple[int, int]:
        pairs = total = 0
        for batch in self.pipe.columns():
            pairs += len(batch)
            total += int(batch.value_offsets[-1])
        return pairs, total

    def close(self) -> None:
        self.pipe.close()


def offsets(lengths: Iterable[int]) -> "array[int]":
    """Where each of some strings begins behind one another, and where the last ends."""
    return array("q", accumulate(lengths, initial=0))


def strings(values: Sequence[bytes]) -> tuple["array[int]", bytes]:
    """The offsets of some strings, and the strings behind one another."""
    return offsets(map(len, values)), b"".join(values)
