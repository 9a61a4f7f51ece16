"""smartpipe against the plain reader and the plain writer, on random pipes."""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smartpipe

from . import Blocks, format1, format2
from . import read as read_files
from .format2_writer import Writer

LARGE = 4096  # FORMAT.md: ours takes values of 4 KiB and more
CODECS = pytest.mark.parametrize("compress", [False, "zlib"])

sizes = st.integers(0, 300) | st.sampled_from([LARGE - 1, LARGE, LARGE + 1, 9000, 70_000])
noise = st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), sizes)
repeated = st.builds(lambda unit, size: (unit * size)[:size], st.binary(min_size=1, max_size=9), sizes)
values = st.binary(max_size=20) | noise | repeated
names = st.sampled_from([b"", b"raw", b"log", b"\x00\xff"]) | st.binary(max_size=40)
keys = st.sampled_from([b"", b"\x00", b"https://example.org/" * 30]) | st.binary(max_size=12)
all_blocks = st.lists(
    st.tuples(keys, st.lists(st.tuples(names, values), max_size=7)), max_size=10, unique_by=lambda block: block[0]
)
metadata = st.dictionaries(names, values, max_size=3)
quick = settings(max_examples=60, deadline=None)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder for one example; an index that is missing or behind is no surprise there."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        yield Path(name) / "pipe"


def absent(blocks: Blocks) -> list[bytes]:
    """Some keys that no block has."""
    there = {key for key, _ in blocks}
    return [key for key in (b"", b"\x00", b"absent", *(key + b"?" for key in there)) if key not in there]


def write(prefix: Path, blocks: Blocks, sessions: int, **options: Any) -> None:
    """Write with smartpipe, in sessions: the first by whole blocks, the second by pairs, the third as the original."""
    for session in range(sessions):
        part = blocks[len(blocks) * session // sessions : len(blocks) * (session + 1) // sessions]
        with smartpipe.open(prefix, "a" if session else "w", **({} if session else options)) as pipe:
            for key, pairs in part:
                if session == 0:
                    pipe.write(key, pairs)
                elif session == 1:
                    with pipe.block(key) as block:
                        for name, value in pairs:
                            block.append(name, value)
                else:
                    pipe.checkpoint(key)
                    for name, value in pairs:
                        pipe.append(name, value)


def check_reader(prefix: Path, blocks: Blocks) -> None:
    """All ways to read the pipe with smartpipe give these blocks."""
    with smartpipe.open(prefix) as pipe:
        assert len(pipe) == len(blocks)
        assert list(pipe) == list(pipe.keys()) == [key for key, _ in blocks]
        assert [(key, list(block)) for key, block in pipe.items()] == blocks
        many = pipe.get_many([*absent(blocks), *reversed(list(pipe))])
        found = {key: None if block is None else list(block) for key, block in many}
        assert found == {**dict(blocks), **dict.fromkeys(absent(blocks))}
        for key, pairs in blocks:
            assert key in pipe
            block = pipe[key]
            assert block.keys() == [name for name, _ in pairs]
            assert block.sizes() == [(name, len(value)) for name, value in pairs]
            for number, (name, value) in reversed(list(enumerate(pairs))):
                same = [other for other_name, other in pairs if other_name == name]
                assert (block[name], block.getall(name), block[number]) == (same[0], same, (name, value))
        for key in absent(blocks):
            assert key not in pipe
            assert pipe.get(key) is None
        for select in ([], [b"raw"], [b"log", b""]):
            selected = [(key, [pair for pair in pairs if pair[0] in select]) for key, pairs in blocks]
            assert [(key, list(block)) for key, block in pipe.items(select=select)] == selected
    with smartpipe.open(prefix) as pipe:
        pulled = []
        while (next_key := pipe.get_next_block_key()) is not None:
            pulled.append((next_key, list(pipe.pull_block())))
        assert pulled == blocks


@CODECS
@quick
@given(blocks=all_blocks, sessions=st.integers(1, 3), described=metadata)
def test_plain_reader_reads_smartpipe_format_2(
    compress: Any, blocks: Blocks, sessions: int, described: dict[bytes, bytes]
) -> None:
    with folder() as prefix:
        write(prefix, blocks, sessions, compress=compress, metadata=described or None)
        for use_index in (True, False):
            contents = read_files(prefix, use_index=use_index)
            assert (contents.format, contents.compressed) == (2, bool(compress))
            assert contents.blocks == blocks
            assert contents.metadata == list(described.items())
        with smartpipe.open(prefix) as pipe:
            assert pipe.metadata == described


@CODECS
@quick
@given(blocks=all_blocks, sessions=st.integers(1, 3), described=metadata)
def test_index_lists_what_a_scan_finds(
    compress: Any, blocks: Blocks, sessions: int, described: dict[bytes, bytes]
) -> None:
    with folder() as prefix:
        write(prefix, blocks, sessions, compress=compress, metadata=described or None)
        data = Path(f"{prefix}.datz" if compress else f"{prefix}.dat").read_bytes()
        index = Path(f"{prefix}.idx").read_bytes()
        pipe = format2.read(data, index)
        assert format2.read_file_header(data).codec == (format2.ZLIB if compress else format2.NONE)
        assert pipe.index
        assert pipe.index.end == len(data)
        assert format2.findings(data, index) == []

        walked = format2.scan(data, pipe.file_id).records
        assert [record.ordinal for record in walked] == list(range(len(walked)))
        assert all(earlier.stamp < later.stamp for earlier, later in itertools.pairwise(walked))
        assert all(record.synced <= record.offset for record in walked)
        found = [
            (
                format2.read_directory(data, record)[1],
                record.offset,
                record.size,
                record.lead_size,
                format2.raw_size(data, record),
                record.pairs,
                record.stamp,
                record.codec,
            )
            for record in walked
            if record.kind == format2.BLOCK
        ]
        listed = [
            (entry.key, entry.offset, entry.size, entry.lead_size, entry.raw, entry.pairs, entry.stamp, entry.codec)
            for frame in pipe.index.frames
            for entry in frame.entries
        ]
        assert listed == found

        raw_sizes = [sum(8 + len(name) + len(value) for name, value in pairs) for _, pairs in blocks]
        last = pipe.index.frames[-1]
        assert (last.blocks, last.pairs, last.raw) == (
            len(blocks),
            sum(len(pairs) for _, pairs in blocks),
            sum(raw_sizes),
        )
        assert (last.closed, last.to, last.synced) == (True, len(data), len(data))
        assert last.stamp == (walked[-1].stamp if walked else 0)
        assert last.last_crc == (walked[-1].crc if walked else 0)
        described_at = [record.offset for record in walked if record.kind == format2.METADATA]
        assert last.metadata == (described_at[-1] if described_at else 0)
        for frame in pipe.index.frames:
            assert len(frame.entries) <= 0.75 * len(frame.slots) or not frame.slots
        for key, pairs in blocks:
            assert pipe.find(key) == pairs
        for key in absent(blocks):
            assert pipe.find(key) is None

        with smartpipe.open(prefix) as reader:
            entries = [
                (entry.key, entry.offset, entry.stored, entry.raw, entry.pairs, entry.stamp)
                for entry in reader.entries()
            ]
            stats = reader.stats()
        assert entries == [
            (key, offset, size, raw, count, stamp) for key, offset, size, _, raw, count, stamp, _ in found
        ]
        assert [entry[3] for entry in entries] == raw_sizes
        assert (stats["blocks"], stats["pairs"], stats["raw_bytes"]) == (last.blocks, last.pairs, last.raw)
        assert (stats["data_bytes"], stats["index_bytes"]) == (len(data), len(index))


@CODECS
@quick
@given(blocks=all_blocks)
def test_large_values_are_segments_of_their_own(compress: Any, blocks: Blocks) -> None:
    with folder() as prefix:
        write(prefix, blocks, 1, compress=compress)
        data = Path(f"{prefix}.datz" if compress else f"{prefix}.dat").read_bytes()
        for record, (_, pairs) in zip(format2.read(data).scanned.records, blocks, strict=True):
            directory, _ = format2.read_directory(data, record)
            assert [(large.number, large.raw) for large in directory] == [
                (number, len(value)) for number, (_, value) in enumerate(pairs) if len(value) >= LARGE
            ]


@CODECS
@quick
@given(
    blocks=all_blocks,
    described=st.none() | metadata,
    threshold=st.sampled_from([0, 1, 100, LARGE, 2**32]),
    frames=st.lists(st.sampled_from(["none", "none", "plain", "table", "full"]), min_size=10, max_size=10),
    end=st.sampled_from(["open", "frame", "synced", "closed", "no index"]),
)
def test_smartpipe_reads_plain_writer_format_2(
    compress: Any,
    blocks: Blocks,
    described: dict[bytes, bytes] | None,
    threshold: int,
    frames: list[str],
    end: str,
) -> None:
    writer = Writer(2**63 + 5, codec=format2.ZLIB if compress else format2.NONE, large=threshold)
    offsets = []
    unlisted = 0
    if described is not None:
        writer.metadata(described)
    for (key, pairs), frame in zip(blocks, frames, strict=False):
        offsets.append((key, writer.write(key, pairs)))
        unlisted += 1
        if frame != "none":
            writer.frame(slots={"plain": 0, "table": None, "full": unlisted + 1}[frame])
            unlisted = 0
    if end in ("synced", "closed"):
        writer.sync()
    if end in ("frame", "synced", "closed"):
        writer.frame(closed=end == "closed")
    with folder() as prefix:
        writer.save(prefix, index=end != "no index")
        check_reader(prefix, blocks)
        with smartpipe.open(prefix) as pipe:
            assert pipe.metadata == (described or {})
            assert [(entry.key, entry.offset) for entry in pipe.entries()] == offsets
            assert [entry.pairs for entry in pipe.entries()] == [len(pairs) for _, pairs in blocks]
            assert [entry.raw for entry in pipe.entries()] == [len(format1.write_pairs(pairs)) for _, pairs in blocks]


@CODECS
@quick
@given(blocks=all_blocks, more=all_blocks, described=metadata)
def test_smartpipe_appends_to_plain_writer_format_2(
    compress: Any, blocks: Blocks, more: Blocks, described: dict[bytes, bytes]
) -> None:
    there = {key for key, _ in blocks}
    more = [(key, pairs) for key, pairs in more if key not in there]
    writer = Writer(5, codec=format2.ZLIB if compress else format2.NONE, large=10)
    writer.metadata(described)
    for key, pairs in blocks:
        writer.write(key, pairs)
    writer.sync()
    writer.frame(closed=True)
    with folder() as prefix:
        writer.save(prefix)
        with smartpipe.open(prefix, "a") as pipe:
            assert pipe.codec == (compress or "none")
            for key, pairs in more:
                pipe.write(key, pairs)
        data = Path(f"{prefix}.datz" if compress else f"{prefix}.dat").read_bytes()
        assert data.startswith(writer.data)
        for use_index in (True, False):
            contents = read_files(prefix, use_index=use_index)
            assert contents.blocks == blocks + more
            assert contents.metadata == list(described.items())
        records = format2.scan(data, 5).records
        assert [record.ordinal for record in records] == list(range(len(records)))
        check_reader(prefix, blocks + more)


@CODECS
@quick
@given(blocks=all_blocks, sessions=st.integers(1, 3))
def test_plain_reader_reads_smartpipe_format_1(compress: Any, blocks: Blocks, sessions: int) -> None:
    with folder() as prefix:
        write(prefix, blocks, sessions, compress=compress, format=1)
        contents = read_files(prefix)
        assert (contents.format, contents.compressed) == (1, bool(compress))
        assert contents.blocks == blocks
        index = Path(f"{prefix}.idx").read_bytes()
        if not compress:
            data = Path(f"{prefix}.dat").read_bytes()
            assert (data, index) == format1.write(blocks, compressed=False)
        else:
            raw_sizes = [len(format1.write_pairs(pairs)) for _, pairs in blocks]
            entries = format1.read_index(index)
            assert [entry.raw_offset for entry in entries] == [sum(raw_sizes[:number]) for number in range(len(blocks))]


@CODECS
@quick
@given(blocks=all_blocks)
def test_smartpipe_reads_plain_writer_format_1(compress: Any, blocks: Blocks) -> None:
    data, index = format1.write(blocks, compressed=bool(compress))
    with folder() as prefix:
        Path(f"{prefix}.datz" if compress else f"{prefix}.dat").write_bytes(data)
        Path(f"{prefix}.idx").write_bytes(index)
        check_reader(prefix, blocks)
        with smartpipe.open(prefix) as pipe:
            assert (pipe.format, pipe.codec) == (1, compress or "none")
            assert [(entry.key, entry.offset) for entry in pipe.entries()] == [
                (entry.key, entry.offset) for entry in format1.read_index(index)
            ]


@CODECS
@quick
@given(blocks=all_blocks, more=all_blocks)
def test_smartpipe_appends_to_plain_writer_format_1(compress: Any, blocks: Blocks, more: Blocks) -> None:
    there = {key for key, _ in blocks}
    more = [(key, pairs) for key, pairs in more if key not in there]
    data, index = format1.write(blocks, compressed=bool(compress), deflate=lambda raw: zlib.compress(raw, 1))
    with folder() as prefix:
        data_path = Path(f"{prefix}.datz" if compress else f"{prefix}.dat")
        data_path.write_bytes(data)
        Path(f"{prefix}.idx").write_bytes(index)
        with smartpipe.open(prefix, "a") as pipe:
            assert pipe.format == 1
            for key, pairs in more:
                pipe.write(key, pairs)
        assert data_path.read_bytes().startswith(data)
        assert Path(f"{prefix}.idx").read_bytes().startswith(index)
        assert read_files(prefix).blocks == blocks + more


@CODECS
def test_many_blocks_through_frames_and_slots(compress: Any) -> None:
    """Enough blocks for several frames, pages of the index and a table where probing goes around the end."""
    blocks = [(b"key %d" % number, [(b"n", b"%d" % number)]) for number in range(5000)]
    with folder() as prefix:
        with smartpipe.open(prefix, "w", compress=compress) as writer:
            for key, pairs in blocks:
                writer.write(key, pairs)
            writer.flush()
            data = Path(writer.data_path).read_bytes()
            assert format2.read(data).blocks == blocks
        contents = read_files(prefix)
        assert contents.blocks == blocks
        data = Path(f"{prefix}.datz" if compress else f"{prefix}.dat").read_bytes()
        pipe = format2.read(data, Path(f"{prefix}.idx").read_bytes())
        assert pipe.scanned.records == []
        for key, pairs in blocks[::7]:
            assert pipe.find(key) == pairs
            assert pipe.find(key + b"?") is None
        check_reader(prefix, blocks)


def test_many_plain_blocks() -> None:
    """Tables with one empty slot, the fullest that the format allows, so that nearly every search is long."""
    writer = Writer(5)
    blocks: Blocks = [(b"%d" % number, [(b"n", b"%d" % number)]) for number in range(3000)]
    for number, (key, pairs) in enumerate(blocks):
        writer.write(key, pairs)
        if number % 1000 == 999:
            writer.frame(slots=0 if number == 1999 else 1001)
    with folder() as prefix:
        writer.save(prefix)
        check_reader(prefix, blocks)
