"""Pipes to test with: the kinds there are, what they hold, and how they are planted without the code under test."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from reference import format1, format2, format2_writer

import smartpipe

Pairs = list[tuple[bytes, bytes]]
Blocks = list[tuple[bytes, Pairs]]

FILE_ID = 0x0123456789ABCDEF


class Kind(NamedTuple):
    """A format, and whether blocks are compressed, or with what."""

    format: int
    compress: bool | str

    def __str__(self) -> str:
        codec = self.compress if isinstance(self.compress, str) else "zlib" if self.compress else "none"
        return f"format{self.format}-{codec}"

    @property
    def options(self) -> dict[str, Any]:
        """The options of smartpipe.open for a new pipe of this kind."""
        return {"format": self.format, "compress": self.compress}

    @property
    def extension(self) -> str:
        return ".datz" if self.compress else ".dat"

    def data(self, prefix: str | os.PathLike[str]) -> Path:
        """The data file of a pipe of this kind."""
        return Path(f"{os.fspath(prefix)}{self.extension}")


KINDS = [Kind(2, False), Kind(2, True), Kind(1, False), Kind(1, True)]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
every_kind_of_format2 = pytest.mark.parametrize("kind", KINDS[:2], ids=str)
every_kind_of_format1 = pytest.mark.parametrize("kind", KINDS[2:], ids=str)

# A large value and a pair key twice; empty keys and an empty value; no pairs; a binary key and a large value of digits.
PAGES: Blocks = [
    (b"https://a", [(b"raw", b"<html>" + bytes(range(256)) * 40), (b"log", b"ok"), (b"log", b"again")]),
    (b"", [(b"", b"")]),
    (b"empty", []),
    (b"\x00\xff/..", [(b"raw", b"".join(b"%d" % (n * n) for n in range(2000))), (b"small", b"s" * 100)]),
]

# Small enough to be cut at every byte, large enough that something is compressed.
SMALL: Blocks = [
    (b"first", [(b"raw", b"x" * 60), (b"log", b"ok")]),
    (b"second", []),
    (b"third", [(b"", b"0123456789" * 8), (b"log", b"")]),
    (b"last", [(b"a", b"1"), (b"b", b"22")]),
]


def index(prefix: str | os.PathLike[str]) -> Path:
    """The index of a pipe."""
    return Path(f"{os.fspath(prefix)}.idx")


def write(prefix: str | os.PathLike[str], blocks: Blocks, kind: Kind, **options: Any) -> None:
    """Write a pipe with smartpipe, in the place of one that is there."""
    with smartpipe.open(prefix, "w", **kind.options, **options) as pipe:
        for key, pairs in blocks:
            pipe.write(key, pairs)


def read(prefix: str | os.PathLike[str], **options: Any) -> Blocks:
    """Everything that smartpipe finds in a pipe, one block after another."""
    with smartpipe.open(prefix, **options) as pipe:
        return [(key, list(block)) for key, block in pipe.items()]


def plant(prefix: str | os.PathLike[str], blocks: Blocks, kind: Kind) -> None:
    """Put a pipe there without smartpipe, as one that was closed. In format 2 values of 32 bytes and more are large."""
    if kind.format == 1:
        data, listed = format1.write(blocks, compressed=kind.compress)
        kind.data(prefix).write_bytes(data)
        index(prefix).write_bytes(listed)
    else:
        writer = planter(kind)
        for key, pairs in blocks:
            writer.write(key, pairs)
        writer.sync()
        writer.frame(closed=True)
        writer.save(os.fspath(prefix))


def planter(kind: Kind) -> format2_writer.Writer:
    """The plain writer of format 2, for files that are made step by step."""
    return format2_writer.Writer(FILE_ID, codec=format2.ZLIB if kind.compress else format2.NONE, large=32)


def files(prefix: str | os.PathLike[str]) -> dict[str, bytes]:
    """The content of all files in the folder of a pipe, by name."""
    return {path.name: path.read_bytes() for path in Path(prefix).parent.iterdir() if path.is_file()}


@contextmanager
def warned() -> Iterator[list[str]]:
    """A list that gets the PipeWarnings of a `with` statement, whether there are any or not."""
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", smartpipe.PipeWarning)
        yield messages
        messages.extend(str(warning.message) for warning in caught)
