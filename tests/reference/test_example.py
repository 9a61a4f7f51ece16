"""The worked example at the end of docs/FORMAT.md, against the plain reader, the plain writer and smartpipe."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

import smartpipe

from . import format2
from .format2_writer import Writer

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "FORMAT.md"
LINE = re.compile(r"([0-9a-f]{4})  ((?:[0-9a-f]{2} )*[0-9a-f]{2})  +\S.*")
VALUE = b"x" * 40
BLOCKS = [(b"page", [(b"raw", VALUE), (b"log", b"ok")])]


def parse_example() -> tuple[bytes, bytes]:
    """The data file and the index, each from a code block of the section; every line begins where the last ended."""
    section = DOCUMENT.read_text().split("\n## A worked example\n")[1].split("\n## ")[0]
    files = []
    for block in re.findall(r"```\n(.*?)```", section, re.DOTALL):
        content = b""
        for line in block.splitlines():
            match = LINE.fullmatch(line)
            assert match, line
            assert int(match[1], 16) == len(content), line
            content += bytes.fromhex(match[2])
        files.append(content)
    data, index = files
    return data, index


def test_sizes_and_names_as_the_text_says() -> None:
    data, index = parse_example()
    text = DOCUMENT.read_text()
    assert f"`tiny.datz`, {len(data)} bytes" in text
    assert f"`tiny.idx`, {len(index)} bytes" in text


def test_plain_reader() -> None:
    data, index = parse_example()
    for pipe in (format2.read(data), format2.read(data, index)):
        assert pipe.blocks == BLOCKS
        assert pipe.find(b"page") == BLOCKS[0][1]
        assert pipe.find(b"other") is None
    assert format2.findings(data, index) == []
    listed = format2.read_index(index, data, 0x0123456789ABCDEF)
    assert listed
    (frame,) = listed.frames
    assert (frame.closed, frame.synced, frame.blocks, frame.pairs, frame.raw) == (True, 152, 1, 2, 64)


def test_plain_writer() -> None:
    data, index = parse_example()
    stream = data[-12:]
    assert zlib.decompress(stream) == VALUE
    # Engines may compress the value to other bytes, so the stream is taken from the example.
    writer = Writer(
        0x0123456789ABCDEF,
        codec=format2.ZLIB,
        large=32,
        deflate=lambda raw: stream if raw == VALUE else raw,
        stamp=1_700_000_000 * 10**9,
    )
    for key, pairs in BLOCKS:
        writer.write(key, pairs)
    writer.sync()
    writer.frame(closed=True)
    assert writer.data.hex(" ") == data.hex(" ")
    assert writer.index.hex(" ") == index.hex(" ")


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.filterwarnings("ignore::smartpipe.PipeWarning")
def test_smartpipe(with_index: bool, tmp_path: Path) -> None:
    data, index = parse_example()
    (tmp_path / "tiny.datz").write_bytes(data)
    if with_index:
        (tmp_path / "tiny.idx").write_bytes(index)
    with smartpipe.open(tmp_path / "tiny") as pipe:
        assert (pipe.format, pipe.codec) == (2, "zlib")
        assert [(key, list(block)) for key, block in pipe.items()] == BLOCKS
        assert list(pipe[b"page"]) == BLOCKS[0][1]
        assert b"other" not in pipe
        (entry,) = pipe.entries()
        assert (entry.offset, entry.stored, entry.raw, entry.pairs) == (32, 120, 64, 2)
        assert entry.stamp == 1_700_000_000 * 10**9
