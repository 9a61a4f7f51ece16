"""Every field of both formats at values that lie, all checksums right: our errors, little memory, and no wrong bytes.

What comes back of such a pipe is what the plain reader finds in it too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import reference
from container.pipes import FILE_ID, Blocks, Kind, every_kind_of_format1, every_kind_of_format2, index, planter
from reference import format1, format2
from reference.format2 import ENTRY, FILE_HEADER, FRAME_HEADER, INDEX_HEADER, LARGE, RECORD_HEADER, U32, bound_crc

from . import child, readers

LIMIT = child.MIB
"""max_block_size in these tests: what is beyond it shall be small, so it has to be small too."""

VALUES = (0, 1, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**63, 2**64 - 1)

BLOCKS: Blocks = [
    (b"first", [(b"raw", b"<html>" * 30), (b"log", b"ok"), (b"k", b"v" * 40)]),
    (b"second", []),
    (b"third", [(b"raw", b"0123456789" * 8), (b"", b"")]),
]


class Field(NamedTuple):
    """A number in a file. `seal` is the part whose checksums cover it."""

    name: str
    offset: int
    size: int
    seal: str


def fields(layout: struct.Struct, names: str, offset: int, seal: str, prefix: str) -> Iterator[Field]:
    """The fields of a structure at an offset, by their names, where a dash stands for one that is left alone."""
    sizes = [struct.calcsize("<" + code) for code in _codes(layout.format)]
    for name, size in zip(names.split(), sizes, strict=True):
        if name != "-":
            yield Field(f"{prefix} {name}", offset, min(size, 8), seal)
        offset += size


def _codes(form: str) -> Iterator[str]:
    count = ""
    for letter in form[1:]:
        if letter.isdigit():
            count += letter
        else:
            yield count + letter
            count = ""


RECORD_NAMES = (
    "- - stamp synced size key pairs larges head-raw head-stored head-crc lead-crc ordinal kind codec dictionary"
)
FRAME_NAMES = "- - size from to synced e k s blocks pairs raw stamp metadata d last-crc flags sums-crc zeros"
ENTRY_NAMES = "offset key stamp size lead raw pairs key-length kind codec zeros"


def variants(content: bytes, field: Field) -> Iterator[bytes]:
    """The file with the field at each of the values, and one beside its own. Checksums are not right yet."""
    own = int.from_bytes(content[field.offset : field.offset + field.size], "little")
    most = 2 ** (8 * field.size)
    # Where two files do not belong together, every opening waits for a moment whether they are just being replaced.
    values = (0, own + 1) if field.name.endswith(" id") else (*VALUES, own - 1, own + 1)
    for value in sorted({value % most for value in values} - {own}):
        yield content[: field.offset] + value.to_bytes(field.size, "little") + content[field.offset + field.size :]


# Format 2


class Planted(NamedTuple):
    data: bytes
    index: bytes
    records: list[format2.Record]
    frames: list[int]


def planted(kind: Kind) -> Planted:
    """A pipe of two frames with tables, metadata among its records; heads are stored as they are."""
    writer = planter(kind)
    writer.deflate = lambda raw: zlib.compress(raw) if len(set(raw)) < 12 else raw
    writer.write(*BLOCKS[0])
    writer.metadata({b"by": b"test"})
    frames = [writer.frame()]
    for block in BLOCKS[1:]:
        writer.write(*block)
    writer.sync()
    frames.append(writer.frame(closed=True))
    return Planted(bytes(writer.data), bytes(writer.index), format2.scan(bytes(writer.data), FILE_ID).records, frames)


def data_fields(pipe: Planted) -> dict[str, list[Field]]:
    parts: dict[str, list[Field]] = {
        "file header": list(fields(FILE_HEADER, "- id required optional codec zeros -", 0, "file", "file"))
    }
    headers, directories, heads = [], [], []
    for number, record in enumerate(pipe.records):
        at, seal = record.offset, f"record {number}"
        headers += fields(RECORD_HEADER, RECORD_NAMES, at, seal, seal)
        at += RECORD_HEADER.size
        for line in range(record.larges):
            directories += fields(LARGE, "pair raw stored crc", at, seal, f"{seal} line {line}")
            at += LARGE.size
        at += record.key_length
        for place in range(2 * record.pairs):
            heads.append(Field(f"{seal} length {place}", at + 4 * place, 4, seal))
    return {**parts, "record headers": headers, "directories": directories, "heads": heads}


def index_fields(pipe: Planted) -> dict[str, list[Field]]:
    parts: dict[str, list[Field]] = {
        "index header": list(fields(INDEX_HEADER, "- id required optional hash-key zeros -", 0, "index", "index"))
    }
    headers, entries, slots = [], [], []
    for number, at in enumerate(pipe.frames):
        seal = f"frame {number}"
        headers += fields(FRAME_HEADER, FRAME_NAMES, at, seal, seal)
        sums, count, slot_count = shape(pipe.index, at)
        at += FRAME_HEADER.size + sums
        for entry in range(count):
            entries += fields(ENTRY, ENTRY_NAMES, at, seal, f"{seal} entry {entry}")
            at += ENTRY.size
        slots += [Field(f"{seal} slot {slot}", at + 8 * slot, 8, seal) for slot in range(slot_count)]
    return {**parts, "frame headers": headers, "entries": entries, "slots": slots}


def shape(listed: bytes, at: int) -> tuple[int, int, int]:
    """Bytes of the sums, entries and slots of a frame."""
    _, _, size, _, _, _, count, keys, slots, *_ = FRAME_HEADER.unpack_from(listed, at)
    body = -(-(ENTRY.size * count + 8 * slots + keys) // 8) * 8
    return size - FRAME_HEADER.size - body, count, slots


def seal_data(pipe: Planted, content: bytes, field: Field) -> bytes:
    """The data with right checksums where the field is; its own is left as it is where it is one itself."""
    data = bytearray(content)
    if field.seal == "file":
        data[28:32] = U32.pack(zlib.crc32(data[:28]))
        return bytes(data)
    record = pipe.records[int(field.seal.split()[1])]
    at = record.offset
    lead, head = at + RECORD_HEADER.size, at + record.lead_size
    if not field.name.endswith("lead-crc"):
        data[at + 52 : at + 56] = U32.pack(zlib.crc32(data[lead : head - record.head_stored]))
    if not field.name.endswith("head-crc"):
        data[at + 48 : at + 52] = U32.pack(zlib.crc32(data[head - record.head_stored : head]))
    data[at + 4 : at + 8] = U32.pack(bound_crc(FILE_ID, at, bytes(data[at + 8 : at + RECORD_HEADER.size])))
    return bytes(data)


def seal_index(pipe: Planted, content: bytes, field: Field) -> bytes:
    listed = bytearray(content)
    if field.seal == "index":
        listed[60:64] = U32.pack(zlib.crc32(listed[:60]))
        return bytes(listed)
    number = int(field.seal.split()[1])
    at, end = pipe.frames[number], [*pipe.frames, len(listed)][number + 1]
    sums, _, _ = shape(pipe.index, at)
    begin = at + FRAME_HEADER.size
    listed[begin : begin + sums] = format2.make_sums(bytes(listed[begin + sums : end]))
    if not field.name.endswith("sums-crc"):
        listed[at + 116 : at + 120] = U32.pack(zlib.crc32(listed[begin : begin + sums]))
    seal_frame(listed, at)
    return bytes(listed)


def seal_frame(listed: bytearray, at: int) -> None:
    listed[at + 4 : at + 8] = U32.pack(bound_crc(FILE_ID, at, bytes(listed[at + 8 : at + FRAME_HEADER.size])))


def agree(pipe: Planted, data: bytes, listed: bytes) -> bytes:
    """The index with the header crc of the last record as it is now, so that it is not taken for another history's."""
    index_now = bytearray(listed)
    for number, at in enumerate(pipe.frames):
        last = pipe.records[1 if number == 0 else -1].offset
        index_now[at + 108 : at + 112] = data[last + 4 : last + 8]
        seal_frame(index_now, at)
    return bytes(index_now)


def read_all(prefix: Path, data_path: Path, files: Sequence[tuple[bytes, bytes | None]]) -> None:
    """In a child: each of these pipes is read in all ways, compared with the plain reader, and gone on with."""
    for data, listed in files:
        data_path.write_bytes(data)
        index(prefix).unlink(missing_ok=True)
        if listed is not None:
            index(prefix).write_bytes(listed)
        readers.try_all(prefix, max_block_size=LIMIT)
        readers.try_mending(prefix, max_block_size=LIMIT)
        authored = plain(prefix)
        for block in readers.blocks_of(prefix, max_block_size=LIMIT):
            assert authored is None or block in authored, f"{block} is not in the file"
        readers.try_append(prefix, max_block_size=LIMIT)


def plain(prefix: Path) -> Blocks | None:
    """The blocks that the plain reader can read; None where it opens nothing."""
    try:
        data, listed = _files(prefix)
        if not data.startswith(format2.FILE_MAGIC):
            return reference.read(prefix).blocks
        return [
            (key, pairs)
            for key, pairs in format2.read(data, listed).outcomes()
            if key is not None and not isinstance(pairs, Exception)
        ]
    except (format1.Corrupt, format2.Corrupt, format2.Refused, format2.Truncated):
        return None


def _files(prefix: Path) -> tuple[bytes, bytes | None]:
    data = next(path for path in (Path(f"{prefix}.dat"), Path(f"{prefix}.datz")) if path.exists())
    return data.read_bytes(), index(prefix).read_bytes() if index(prefix).exists() else None


@every_kind_of_format2
@pytest.mark.parametrize("part", ["file header", "record headers", "directories", "heads"])
def test_fields_of_the_data(kind: Kind, part: str, scratch: str) -> None:
    pipe = planted(kind)
    wrong = []
    for field in data_fields(pipe)[part]:
        files: list[tuple[bytes, bytes | None]] = []
        for content in variants(pipe.data, field):
            data = seal_data(pipe, content, field)
            files += [(data, pipe.index), (data, agree(pipe, data, pipe.index)), (data, None)]
        wrong += in_child(field, scratch, kind, files)
    assert not wrong, "\n".join(wrong)


@every_kind_of_format2
@pytest.mark.parametrize("part", ["index header", "frame headers", "entries", "slots"])
def test_fields_of_the_index(kind: Kind, part: str, scratch: str) -> None:
    pipe = planted(kind)
    wrong = []
    for field in index_fields(pipe)[part]:
        files = [(pipe.data, seal_index(pipe, content, field)) for content in variants(pipe.index, field)]
        wrong += in_child(field, scratch, kind, files)
    assert not wrong, "\n".join(wrong)


def in_child(field: Field, scratch: str, kind: Kind, files: Sequence[tuple[bytes, bytes | None]]) -> list[str]:
    """What goes wrong with these files."""
    prefix = Path(scratch)
    try:
        child.run(lambda: read_all(prefix, kind.data(prefix), files), child.BEYOND + LIMIT)
    except AssertionError as error:
        return [f"{field.name}: {error}"]
    return []


# Format 1


@every_kind_of_format1
def test_fields_of_an_index_of_format_1(kind: Kind, scratch: str) -> None:
    data, listed = format1.write(BLOCKS, compressed=kind.compress)
    at = 0
    wrong = []
    for number, (key, _) in enumerate(BLOCKS):
        behind = at + 4 + len(key)
        for name, offset, size in (("key", at, 4), ("offset", behind, 8), ("raw offset", behind + 8, 8)):
            field = Field(f"entry {number} {name}", offset, size, "")
            files = [(data, content) for content in variants(listed, field)]
            if name == "offset" and not kind.compress:
                # Both offsets, which are the same in a .dat.
                files += [
                    (data, content[: behind + 8] + content[behind : behind + 8] + content[behind + 16 :])
                    for content in variants(listed, field)
                ]
            wrong += in_child(field, scratch, kind, files)
        at = behind + 16
    assert not wrong, "\n".join(wrong)


@every_kind_of_format1
def test_lengths_in_blocks_of_format_1(kind: Kind, scratch: str) -> None:
    raws = [format1.write_pairs(pairs) for _, pairs in BLOCKS]
    wrong = []
    for number, (_, pairs) in enumerate(BLOCKS):
        at = 0
        for key, value in pairs:
            for offset in (at, at + 4 + len(key)):
                field = Field(f"block {number}, length at {offset}", offset, 4, "")
                files = [
                    stored([*raws[:number], content, *raws[number + 1 :]], kind)
                    for content in variants(raws[number], field)
                ]
                wrong += in_child(field, scratch, kind, files)
            at += 8 + len(key) + len(value)
    assert not wrong, "\n".join(wrong)


def stored(raws: list[bytes], kind: Kind) -> tuple[bytes, bytes]:
    """Data and index of a pipe with these bytes as its blocks."""
    data, listed, raw_offset = b"", b"", 0
    for (key, _), raw in zip(BLOCKS, raws, strict=True):
        listed += format1.LENGTH.pack(len(key)) + key + format1.OFFSETS.pack(len(data), raw_offset)
        data += zlib.compress(raw) if kind.compress and raw else raw
        raw_offset += len(raw)
    return data, listed
