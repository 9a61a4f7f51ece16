"""The public API on a pipe whose files have any content: what comes out is what lies in them, or a SmartPipeError.

An input is a byte of options, u24 the size of the data file, the data file, the index. Options: DATZ, the data file is
a .datz; INDEX, there is an index; CHECKSUMS, all checksums are made right first, so that what stands behind them is
reached; SIZES, so are the sizes of records and frames.
"""

from __future__ import annotations

import itertools
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reference import format1, format2

import smartpipe

DATZ, INDEX, CHECKSUMS, SIZES = 1, 2, 4, 8
LIMIT = 1 << 20  # max_block_size

Pairs = list[tuple[bytes, bytes]]
Outcome = tuple[bytes | None, Pairs | smartpipe.SmartPipeError]


class Mismatch(AssertionError):
    """Two ways to read a block give two contents, or another one than lies in the file."""


def expect(condition: bool, what: str, *values: object) -> None:
    if not condition:
        raise Mismatch(f"{what}: {', '.join(repr(value)[:500] for value in values)}")


def files_of(content: bytes) -> tuple[int, bytes, bytes]:
    """The options, the data file and the index of an input."""
    options = content[0] if content else 0
    size = int.from_bytes(content[1:4], "little")
    data, index = content[4 : 4 + size], content[4 + size :]
    if options & CHECKSUMS:
        data = repaired_data(data, sizes=bool(options & SIZES))
        index = repaired_index(index, data, sizes=bool(options & SIZES))
    return options, data, index


def repaired_data(content: bytes, *, sizes: bool) -> bytes:
    """A data file of format 2 with the right checksums for what it holds; other bytes as they are."""
    data = bytearray(content)
    if len(data) < format2.FILE_HEADER.size:
        return content
    struct.pack_into("<I", data, 28, zlib.crc32(data[:28]))
    file_id = int.from_bytes(data[8:16], "little")
    at = format2.FILE_HEADER.size
    while (at := data.find(format2.RECORD_MAGIC, at)) >= 0 and at + format2.RECORD_HEADER.size <= len(data):
        fields = list(format2.RECORD_HEADER.unpack_from(data, at))
        key_length, larges, head_stored = fields[5], fields[7], fields[9]
        key_at = at + format2.RECORD_HEADER.size + format2.LARGE.size * larges
        end = head_end = key_at + key_length + head_stored
        if head_end <= len(data):
            for place in range(at + format2.RECORD_HEADER.size, key_at, format2.LARGE.size):
                number, raw, stored, _ = format2.LARGE.unpack_from(data, place)
                format2.LARGE.pack_into(data, place, number, raw, stored, zlib.crc32(data[end : end + stored]))
                end += stored
            fields[10] = zlib.crc32(data[head_end - head_stored : head_end])
            fields[11] = zlib.crc32(data[at + format2.RECORD_HEADER.size : key_at + key_length])
            if sizes and end - at < 2**32:
                fields[4] = end - at
        format2.RECORD_HEADER.pack_into(data, at, *fields)
        crc = format2.bound_crc(file_id, at, bytes(data[at + 8 : at + format2.RECORD_HEADER.size]))
        struct.pack_into("<I", data, at + 4, crc)
        at = end if at + format2.RECORD_HEADER.size <= end <= len(data) else at + 1
    return bytes(data)


def repaired_index(content: bytes, data: bytes, *, sizes: bool) -> bytes:
    """An index of format 2 with the right checksums for what it holds and the identity of the data."""
    index = bytearray(content)
    if len(index) < format2.INDEX_HEADER.size or len(data) < format2.FILE_HEADER.size:
        return content
    index[8:16] = data[8:16]
    file_id = int.from_bytes(data[8:16], "little")
    struct.pack_into("<I", index, 60, zlib.crc32(index[:60]))
    at = format2.INDEX_HEADER.size
    while at + format2.FRAME_HEADER.size <= len(index):
        fields = list(format2.FRAME_HEADER.unpack_from(index, at))
        count = format2.ENTRY.size * fields[6] + 8 * fields[14] + 8 * fields[8] + fields[7]
        body_size = -(-count // 8) * 8
        sums_size = -(-4 * -(-body_size // format2.PAGE) // 8) * 8
        begin = at + format2.FRAME_HEADER.size
        end = begin + sums_size + body_size
        if end <= len(index):
            body = bytes(index[begin + sums_size : end])
            index[begin : begin + sums_size] = format2.make_sums(body)
            fields[17] = zlib.crc32(index[begin : begin + sums_size])
            entries = itertools.islice(format2.ENTRY.iter_unpack(body[: len(body) // 48 * 48]), fields[6])
            last = max([fields[13], *(entry[0] for entry in entries)])
            if last + 8 <= len(data):
                fields[15] = int.from_bytes(data[last + 4 : last + 8], "little")
            if sizes:
                fields[2] = end - at
        format2.FRAME_HEADER.pack_into(index, at, *fields)
        crc = format2.bound_crc(file_id, at, bytes(index[at + 8 : begin]))
        struct.pack_into("<I", index, at + 4, crc)
        if end > len(index):
            break
        at = end
    return bytes(index)


def try_input(content: bytes, folder: Path) -> None:
    """Plant the files of an input in an empty folder, read, verify and recover them in every way, append to a copy."""
    options, data, index = files_of(content)
    extension = "datz" if options & DATZ else "dat"
    prefix, copy = folder / "pipe", folder / "copy"
    for path in (prefix, copy):
        Path(f"{path}.{extension}").write_bytes(data)
        if options & INDEX:
            Path(f"{path}.idx").write_bytes(index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", smartpipe.PipeWarning)
        found = read_in_all_ways(prefix, data, index)
        honest = not options & CHECKSUMS
        verify(prefix, found)
        recover(prefix, found, honest=honest)
        append(copy, found or [], honest=honest)


def read_in_all_ways(prefix: Path, data: bytes, index: bytes) -> list[Outcome] | None:
    """What a pipe holds, after each way to read it has given the same; None where it can not be opened."""
    try:
        reader = smartpipe.open(prefix, max_block_size=LIMIT)
    except smartpipe.SmartPipeError:
        return None
    with reader:
        found = list(outcomes(iter(reader.items()), len(reader)))
        for _, pairs in found:
            expect(isinstance(pairs, Exception) or size_of(pairs) <= LIMIT, "larger than max_block_size")
        expect_contents(reader, found, data, index)
        wanted = {b"raw", b"", b"a"}
        for selected in [outcomes(reader.items(wanted), len(reader))]:
            for (_, whole), (_, some) in zip(found, selected, strict=False):
                if not isinstance(whole, Exception) and not isinstance(some, Exception):
                    expect(some == [pair for pair in whole if pair[0] in wanted], "selected pairs", some, whole)
        for number, (key, pairs) in enumerate(found):
            if key is not None:
                by_key(reader, key, found)
            pulled = answer(lambda: list(reader.pull_block()))
            if not isinstance(pairs, Exception) and not isinstance(pulled, Exception):
                expect(pulled == pairs, f"pull_block, block {number}", pulled, pairs)
        answer(reader.get_next_block_key)
        answer(lambda: dict(reader.metadata))
        answer(lambda: [list(block) for _, block in reader.get_many([b"absent", b"first", b""]) if block])
        answer(reader.refresh)
        answer(reader.stats)
        answer(lambda: [list(block) for _, block in reader.follow(timeout=0, on_error="skip")])
        skipped: list[smartpipe.SmartPipeError] = []
        kept = answer(lambda: [(key, list(block)) for key, block in reader.items(on_error=skipped.append)])
        if not isinstance(kept, Exception):
            expect(len(kept) + len(skipped) == len(reader), "blocks and errors", len(kept), len(skipped), len(reader))
        answer(lambda: [read_split(split) for split in reader.splits(2)])
        if not isinstance(kept, Exception):  # by now a damaged index was made anew
            ahead(reader, kept)
            as_columns(reader, kept, prefix)
    return found


def ahead(reader: smartpipe.Reader, good: list[tuple[bytes, Pairs]]) -> None:
    """Threads, a random order, and going on from a token give the same blocks, and the same errors."""
    orders: list[dict[str, Any]] = [
        {"threads": 2},
        {"threads": 2, "readahead": 1, "ordered": False},
        {"shuffle": len(good)},
    ]
    for options in orders:
        told: list[smartpipe.SmartPipeError] = []
        blocks = answer(lambda: [(k, list(b)) for k, b in reader.items(on_error=told.append, **options)])  # noqa: B023
        if isinstance(blocks, Exception):
            continue
        expect(len(blocks) + len(told) == len(reader), "blocks and errors ahead", options, len(blocks), len(told))
        if options == {"threads": 2}:
            expect(blocks == good, "blocks ahead", blocks, good)
        else:
            expect(sorted(blocks) == sorted(good), "blocks in another order", options, blocks, good)
    items = reader.items(on_error="skip")
    for _ in range(len(good) // 2):
        answer(lambda: next(items, None))
    rest = answer(lambda: [key for key, _ in reader.items(start=items.position.token, on_error="skip")])
    if not isinstance(rest, Exception):
        expect(rest == [key for key, _ in items], "behind a position", rest)


def as_columns(reader: smartpipe.Reader, good: list[tuple[bytes, Pairs]], prefix: Path) -> None:
    """Columns hold the pairs; and a copy through an Arrow stream, which needs keys that come once, and pairs."""
    rows = [(key, *pair) for key, pairs in good for pair in pairs]
    columns = answer(lambda: list(reader.columns(batch=1000, on_error="skip")))
    if not isinstance(columns, Exception):
        expect(sum(batch.blocks for batch in columns) == len(good), "blocks in columns", columns)
        expect([batch[i] for batch in columns for i in range(len(batch))] == rows, "columns", rows)
    copy = prefix.with_name("copied")
    with smartpipe.open(copy, "w", compress=True, level=1, durability="none", max_block_size=LIMIT) as writer:
        try:
            writer.write_arrow(reader)
        except (smartpipe.DuplicateKeyError, smartpipe.BlockTooLargeError, OSError):
            return
    expected = [(key, pairs) for key, pairs in good if pairs]
    if len({key for key, _ in expected}) == len(expected):
        with smartpipe.open(copy, max_block_size=LIMIT) as reader:
            copied = [(key, list(block)) for key, block in reader.items()]
        expect(copied == expected, "a copy through Arrow", copied, expected)


def read_split(split: smartpipe.Split) -> None:
    with smartpipe.open(split, max_block_size=LIMIT) as part:
        expect(len(part) == split.stop - split.start, "a split", split, len(part))
        for _, block in part.items():
            list(block)


def answer(question: Callable[[], Any]) -> Any:
    """What a function answers, or its SmartPipeError."""
    try:
        return question()
    except smartpipe.SmartPipeError as error:
        return error


def outcomes(items: Iterator[tuple[bytes, smartpipe.Block]], count: int) -> Iterator[Outcome]:
    """For each block its key and pairs, or its error; more than there are, and the iterator never ends."""
    for _ in range(count + 1):
        try:
            key, block = next(items)
        except StopIteration:
            return
        except smartpipe.SmartPipeError as error:
            yield None, error
            continue
        pairs = answer(lambda block=block: list(block))
        if not isinstance(pairs, Exception):
            expect(len(block) == len(pairs), "pairs", len(block), len(pairs))
            expect(block.sizes() == [(key, len(value)) for key, value in pairs], "sizes", block.sizes())
        yield key, pairs
    raise Mismatch(f"more than the {count} blocks that the reader has")


def size_of(pairs: Pairs) -> int:
    return sum(8 + len(key) + len(value) for key, value in pairs)


def by_key(reader: smartpipe.Reader, key: bytes, found: list[Outcome]) -> None:
    """The last block with a key is the one that the key gives."""
    pairs = answer(lambda: list(reader[key]))
    if not isinstance(pairs, Exception):
        expect(pairs in [other for name, other in found if name == key], "the block of a key", key, pairs)


def expect_contents(reader: smartpipe.Reader, found: list[Outcome], data: bytes, index: bytes) -> None:
    """The blocks are those that the plain readers see at the places that the entries name."""
    entries = answer(lambda: list(reader.entries()))
    keys = answer(lambda: list(reader.keys()))
    if isinstance(entries, Exception) or isinstance(keys, Exception):
        return
    expect([entry.key for entry in entries] == keys, "keys and entries", keys, entries)
    expect(len(keys) == len(reader), "len and keys", len(reader), len(keys))
    listed = format1.read_index(index) if reader.format == 1 else []
    for entry, (key, pairs) in zip(entries, found, strict=False):
        if isinstance(pairs, Exception) or key is None:
            continue
        expect(key == entry.key, "the key of a block and of its entry", key, entry)
        if reader.format == 1:
            expect(key == listed[entry.number].key, "the key", key, listed[entry.number])
            stored = data[entry.offset : entry.offset + entry.stored]
            raw = format1.inflate(stored) if reader.codec == "zlib" else stored
            expect(pairs == format1.read_pairs(raw), "pairs of format 1", pairs, raw)
            continue
        record = format2.read_record_header(data, entry.offset, int.from_bytes(data[8:16], "little"))
        expect(record is not None, "no valid record header where a block came from", entry)
        assert record is not None
        expect((key, pairs) == format2.read_record(data, record), "the record", key, pairs)


def verify(prefix: Path, found: list[Outcome] | None) -> None:
    """What is said to be well can be read."""
    report = answer(lambda: smartpipe.verify(prefix, max_block_size=LIMIT))
    if isinstance(report, Exception) or not report.ok:
        return
    expect(found is not None, "a pipe is well and can not be opened", report)
    wrong = [pairs for _, pairs in found or [] if isinstance(pairs, Exception)]
    expect(not wrong, "a pipe is well and a block can not be read", wrong)
    expect(report.blocks == len(found or []), "blocks that are whole and blocks that are there", report, found)


def recover(prefix: Path, found: list[Outcome] | None, *, honest: bool) -> None:
    """What is brought over is whole, and all that could be read is there, where checksums are honest."""
    destination = prefix.with_name("recovered")
    report = answer(lambda: smartpipe.recover(prefix, destination, max_block_size=LIMIT))
    if isinstance(report, Exception):
        return
    with smartpipe.open(destination, max_block_size=LIMIT) as reader:
        blocks = {key: list(block) for key, block in reader.items()}
        expect(len(blocks) == len(reader) == report.blocks, "blocks brought over", len(blocks), report)
    for key, pairs in found or []:
        if honest and not isinstance(pairs, Exception):
            expect(key in blocks, "a block that could be read is not recovered", key, report)


def append(prefix: Path, before: list[Outcome], *, honest: bool) -> None:
    """Appending is refused, or the new block is there, and all that could be read before.

    Only where the checksums are `honest`: an index can be made that lists other records than there are, as far as its
    own checksums go, and what lies behind those is then not what a writer takes it for.
    """
    present = {key for key, _ in before}
    key = b"appended"
    while key in present:
        key += b"+"
    try:
        with smartpipe.open(prefix, "a", max_block_size=LIMIT, durability="none") as writer:
            writer.write(key, [(b"k", b"v")])
        reader = smartpipe.open(prefix, max_block_size=LIMIT)
    except smartpipe.SmartPipeError:
        return
    with reader:
        appended = answer(lambda: list(reader[key]))
        after = list(outcomes(iter(reader.items()), len(reader)))
    expect(not honest or appended == [(b"k", b"v")], "what was appended", appended)
    for name, pairs in before:
        if honest and not isinstance(pairs, Exception):
            expect((name, pairs) in after, "a block is lost by appending", name, pairs)
