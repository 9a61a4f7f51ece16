"""Format 2, read the slow way. FORMAT.md, all sections before *Format 1*."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from .siphash import siphash13

Pairs = list[tuple[bytes, bytes]]

FILE_MAGIC = b"\x89SP2\r\n\x1a\n"
RECORD_MAGIC = b"\xf1SPr"
INDEX_MAGIC = b"\x89SPI\r\n\x1a\n"
FRAME_MAGIC = b"\xf1SPf"

FILE_HEADER = struct.Struct("<8sQIIB3sI")
RECORD_HEADER = struct.Struct("<4sIQQIIIIIIIIIBBH")
LARGE = struct.Struct("<IIII")
INDEX_HEADER = struct.Struct("<8sQII16s20sI")
FRAME_HEADER = struct.Struct("<4sIQQQQQQQQQQQQIIII8s")
ENTRY = struct.Struct("<QQQIIIIIBBH")
MEMBER = struct.Struct("<QII")
BOUND = struct.Struct("<QQ")  # what binds a crc to a file and a place
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")

PAGE = 4096
SLOT_NUMBER = 2**48 - 1
CLOSED = 1
ENDED = 2
NONE, ZLIB, ZSTD, LZ4 = 0, 1, 2, 3
BLOCK, TOMBSTONE, METADATA, DICTIONARY, GROUP = 0, 1, 2, 3, 4
SHARD = 1  # the required flag of a data file that is one
SKIPPABLE = 128  # kinds from here on may be skipped by a reader that does not know them


class Refused(Exception):
    """Not of this format, or of a version, kind or codec that this reader does not know."""


class Corrupt(Exception):
    """The bytes are not what the format says."""


class Truncated(Exception):
    """The file is shorter than it was when it reached the disk."""


@dataclass(frozen=True)
class FileHeader:
    file_id: int
    codec: int


@dataclass(frozen=True)
class Record:
    """A valid record header, and where it lies."""

    offset: int
    crc: int
    stamp: int
    synced: int
    size: int
    key_length: int
    pairs: int
    larges: int
    head_raw: int
    head_stored: int
    head_crc: int
    lead_crc: int  # of directory ‖ key
    ordinal: int
    kind: int
    codec: int
    dictionary: int

    @property
    def end(self) -> int:
        return self.offset + self.size

    @property
    def lead_size(self) -> int:
        return RECORD_HEADER.size + LARGE.size * self.larges + self.key_length + self.head_stored


@dataclass(frozen=True)
class Large:
    """A line of the directory."""

    number: int
    raw: int
    stored: int
    crc: int


@dataclass
class Scan:
    """What a walk over the data file finds."""

    records: list[Record] = field(default_factory=list)
    damage: list[tuple[int, int]] = field(default_factory=list)
    tail: tuple[int, int] | None = None


def read_file_header(data: bytes, shard: bool = False) -> FileHeader:
    if len(data) < FILE_HEADER.size:
        raise Corrupt(f"{len(data)} bytes are no file header")
    magic, file_id, required, _, codec, zeros, crc = FILE_HEADER.unpack_from(data)
    if magic != FILE_MAGIC:
        raise Refused(f"magic {magic!r}")
    if zlib.crc32(data[: FILE_HEADER.size - U32.size]) != crc:
        raise Corrupt("crc of the file header")
    if required != (SHARD if shard else 0):
        raise Refused(f"required flags {required:#x}")
    if any(zeros):
        raise Refused(f"reserved bytes {zeros!r}")
    return FileHeader(file_id, codec)


def read_record_header(data: bytes, at: int, file_id: int) -> Record | None:
    """The record header at this place, or None where there is no valid one."""
    if RECORD_HEADER.size > len(data) - at or data[at : at + 4] != RECORD_MAGIC:
        return None
    record = Record(at, *RECORD_HEADER.unpack_from(data, at)[1:])
    if record.crc != bound_crc(file_id, at, data[at + 8 : at + RECORD_HEADER.size]):
        return None
    if record.lead_size > record.size or (not record.larges and record.lead_size != record.size):
        return None
    return record


def bound_crc(file_id: int, at: int, rest: bytes) -> int:
    return zlib.crc32(BOUND.pack(file_id, at) + rest)


def scan(data: bytes, file_id: int, start: int = FILE_HEADER.size, shard: bool = False) -> Scan:
    """Walk from start to the end of the data. FORMAT.md, *Reading without an index, and tails*, steps 1 to 4."""
    found = Scan()
    at = start
    while at < len(data):
        record = read_record_header(data, at, file_id)
        if record is None:
            if not any(data[at:]):
                break
            begin = at
            at = _next_header(data, at + 1, file_id)
            if at == len(data):
                found.tail = begin, at
            else:
                found.damage.append((begin, at))
        elif record.end > len(data):
            found.tail = at, len(data)
            break
        else:
            known = (BLOCK, METADATA, DICTIONARY, *((TOMBSTONE, GROUP) if shard else ()))
            if record.kind < SKIPPABLE and record.kind not in known:
                raise Refused(f"record at {at}: kind {record.kind}")
            found.records.append(record)
            at = record.end
    return found


def _next_header(data: bytes, at: int, file_id: int) -> int:
    """Where the next valid record header begins, or the end of the data."""
    while (at := data.find(RECORD_MAGIC, at)) >= 0:
        if read_record_header(data, at, file_id):
            return at
        at += 1
    return len(data)


def read_directory(data: bytes, record: Record) -> tuple[list[Large], bytes]:
    """The directory and the key of a record, with the right crc. Raises Corrupt."""
    begin = record.offset + RECORD_HEADER.size
    end = begin + LARGE.size * record.larges
    key = data[end : end + record.key_length]
    if zlib.crc32(data[begin:end] + key) != record.lead_crc:
        raise Corrupt(f"record at {record.offset}: crc of directory and key")
    return [Large(*fields) for fields in LARGE.iter_unpack(data[begin:end])], key


def raw_size(data: bytes, record: Record) -> int:
    """Σ over the pairs of 8 + key length + value length, from the sizes alone."""
    return record.head_raw + sum(large.raw for large in read_directory(data, record)[0])


def read_segment(stored: bytes, raw: int, crc: int, codec: int, dictionary: bytes = b"") -> bytes:
    """The inflated bytes of a segment. Raises Corrupt, and Refused for an unknown codec."""
    if zlib.crc32(stored) != crc:
        raise Corrupt("crc of a segment")
    if codec not in (NONE, ZLIB, ZSTD, LZ4):
        raise Refused(f"codec {codec}")
    if len(stored) == raw:
        return stored
    if len(stored) > raw or codec == NONE:
        raise Corrupt(f"{len(stored)} bytes stored for {raw}")
    if raw > most_raw(codec, len(stored)):
        raise Corrupt(f"{len(stored)} bytes can not inflate to {raw}")
    if codec == ZSTD:
        return read_zstd(stored, raw, dictionary)
    if codec == LZ4:
        return read_lz4(stored, raw)
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(stored, raw + 1)
    except zlib.error as error:
        raise Corrupt(str(error)) from error
    if not stream.eof or stream.unused_data or stream.unconsumed_tail or len(inflated) != raw:
        raise Corrupt(f"segment is not one zlib stream of {raw} bytes")
    return inflated


def most_raw(codec: int, stored: int) -> int:
    """The largest raw size that so many stored bytes can have."""
    return {ZLIB: 65_536 + 1_032 * stored, ZSTD: 131_072 + 32_768 * stored, LZ4: 255 * stored}[codec]


def read_zstd(stored: bytes, raw: int, dictionary: bytes) -> bytes:
    """One frame of zstd that says the size of its content, with a dictionary unless that is empty. Raises Corrupt."""
    from backports import zstd

    try:
        info = zstd.get_frame_info(stored)
        raw_content = not dictionary.startswith(b"\x37\xa4\x30\xec")
        stream = zstd.ZstdDecompressor(zstd.ZstdDict(dictionary, is_raw=raw_content) if dictionary else None)
        inflated = stream.decompress(stored)
    except zstd.ZstdError as error:
        raise Corrupt(str(error)) from error
    if info.decompressed_size != raw or not stream.eof or stream.unused_data or len(inflated) != raw:
        raise Corrupt(f"segment is not one zstd frame of {raw} bytes")
    return inflated


def read_lz4(stored: bytes, raw: int) -> bytes:
    """A block of lz4. Raises Corrupt."""
    import lz4.block

    try:
        inflated: bytes = lz4.block.decompress(stored, uncompressed_size=raw)
    except lz4.block.LZ4BlockError as error:
        raise Corrupt(str(error)) from error
    if len(inflated) != raw:
        raise Corrupt(f"segment is not an lz4 block of {raw} bytes")
    return inflated


def find_dictionary(data: bytes, number: int) -> bytes:
    """The first copy of a dictionary that is good. Raises Corrupt where there is none."""
    (file_id,) = U64.unpack_from(data, 8)
    for record in scan(data, file_id, shard=True).records:
        if record.kind == DICTIONARY and record.dictionary == number:
            try:
                key, pairs = read_record(data, record)
            except Corrupt:
                continue
            if not key and [name for name, _ in pairs] == [b""] and record.codec == NONE:
                return pairs[0][1]
    raise Corrupt(f"no good copy of dictionary {number}")


def read_record(data: bytes, record: Record, max_block_size: int = 2**28) -> tuple[bytes, Pairs]:
    """Key and pairs of a record, every byte of it checked. Raises Corrupt, and Refused for an unknown codec."""
    dictionary = b""
    if record.dictionary and record.kind != DICTIONARY:
        if record.codec != ZSTD:
            raise Refused(f"record at {record.offset}: codec {record.codec} with dictionary {record.dictionary}")
        dictionary = find_dictionary(data, record.dictionary)
    directory, key = read_directory(data, record)
    if record.lead_size + sum(large.stored for large in directory) != record.size:
        raise Corrupt(f"record at {record.offset}: sizes do not add up to {record.size}")
    numbers = [large.number for large in directory]
    if numbers != sorted(set(numbers)) or any(number >= record.pairs for number in numbers):
        raise Corrupt(f"record at {record.offset}: large values {numbers} of {record.pairs} pairs")
    if record.kind == METADATA and key:
        raise Corrupt(f"record at {record.offset}: metadata with the key {key!r}")
    if record.kind == TOMBSTONE and record.pairs:
        raise Corrupt(f"record at {record.offset}: a tombstone of {record.pairs} pairs")
    if raw_size(data, record) > max_block_size:
        raise Refused(f"record at {record.offset}: over {max_block_size} bytes")
    at = record.offset + record.lead_size
    head = read_segment(data[at - record.head_stored : at], record.head_raw, record.head_crc, record.codec, dictionary)
    if len(head) < 8 * record.pairs:
        raise Corrupt(f"record at {record.offset}: a head of {len(head)} bytes for {record.pairs} pairs")
    lengths = struct.unpack_from(f"<{2 * record.pairs}I", head)
    key_lengths, value_lengths = lengths[: record.pairs], lengths[record.pairs :]
    larges: dict[int, bytes] = {}
    for large in directory:
        if value_lengths[large.number] != large.raw:
            raise Corrupt(f"record at {record.offset}: raw size of large value {large.number}")
        larges[large.number] = read_segment(
            data[at : at + large.stored], large.raw, large.crc, record.codec, dictionary
        )
        at += large.stored
    small = [0 if number in larges else length for number, length in enumerate(value_lengths)]
    if 8 * record.pairs + sum(key_lengths) + sum(small) != len(head):
        raise Corrupt(f"record at {record.offset}: lengths do not add up to the {len(head)} bytes of the head")
    parts = []
    at = 8 * record.pairs
    for length in (*key_lengths, *small):
        parts.append(head[at : at + length])
        at += length
    values = [larges.get(number, value) for number, value in enumerate(parts[record.pairs :])]
    return key, list(zip(parts[: record.pairs], values, strict=True))


@dataclass(frozen=True)
class Member:
    """A value of a group."""

    key: bytes
    stamp: int
    value: bytes


def read_group(data: bytes, record: Record) -> list[Member]:
    """The members of a group, every byte of it checked. Raises Corrupt, and Refused for an unknown codec."""
    table, pairs = read_record(data, record)
    lengths = MEMBER.size * record.pairs
    if not 1 <= record.pairs <= 65_536 or record.larges or max(len(table), record.head_raw) > 2**20:
        raise Corrupt(f"group at {record.offset}: {record.pairs} members, {len(table)} and {record.head_raw} bytes")
    if len(table) < lengths:
        raise Corrupt(f"group at {record.offset}: a table of {len(table)} bytes for {record.pairs} members")
    members, at = [], lengths
    for (stamp, key_length, value_length), (name, value) in zip(
        MEMBER.iter_unpack(table[:lengths]), pairs, strict=True
    ):
        if name or len(value) != value_length or stamp > record.stamp:
            raise Corrupt(f"group at {record.offset}: member {len(members)}")
        members.append(Member(table[at : at + key_length], stamp, value))
        at += key_length
    if at != len(table):
        raise Corrupt(f"group at {record.offset}: keys of {at - lengths} bytes in a table of {len(table)}")
    return members


@dataclass(frozen=True)
class Entry:
    """A block as a frame lists it."""

    key: bytes
    offset: int
    stamp: int
    size: int
    lead_size: int
    raw: int
    pairs: int
    kind: int
    codec: int
    member: int = 0  # of a group: its number there

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class Frame:
    start: int  # "from" is a word of the language
    to: int
    synced: int
    blocks: int
    pairs: int
    raw: int
    stamp: int
    metadata: int
    last_crc: int
    closed: bool
    entries: list[Entry]
    dictionaries: list[int]
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Index:
    """The healthy frames of an index that belongs to the data."""

    hash_key: bytes
    frames: list[Frame]
    end: int  # the data from here on must be scanned
    ahead: list[Frame]  # that reach beyond the data


def read_index(index: bytes, data: bytes, file_id: int | None) -> Index | None:
    """The healthy part of an index, or None where it says nothing about this data.

    file_id None: the data file ends before its id. Raises Truncated when the index proves that the data was cut.
    """
    if len(index) < INDEX_HEADER.size:
        return None
    magic, index_id, required, _, hash_key, zeros, crc = INDEX_HEADER.unpack_from(index)
    if magic != INDEX_MAGIC or zlib.crc32(index[: INDEX_HEADER.size - U32.size]) != crc or required or any(zeros):
        return None
    if file_id is not None and index_id != file_id:
        return None
    frames: list[Frame] = []
    ahead: list[Frame] = []
    at = INDEX_HEADER.size
    reached = FILE_HEADER.size
    while frame_and_size := _read_frame(index, at, index_id):
        frame, size = frame_and_size
        if frame.start != reached:
            break
        if frame.to > len(data) and (frame.closed or len(data) < frame.synced):
            raise Truncated(f"{len(data)} bytes of data, the index lists {frame.to}")
        (frames if frame.to <= len(data) else ahead).append(frame)
        reached = frame.to
        at += size
    if _is_another_history(data, frames, index_id):
        return None
    return Index(hash_key, frames, frames[-1].to if frames else FILE_HEADER.size, ahead)


def _read_frame(index: bytes, at: int, file_id: int) -> tuple[Frame, int] | None:
    """The frame at this place and its size, or None where there is no healthy one."""
    if FRAME_HEADER.size > len(index) - at:
        return None
    fields = FRAME_HEADER.unpack_from(index, at)
    magic, crc, size, start, to, synced, e, k, s = fields[:9]
    blocks, pairs, raw, stamp, metadata, d, last, flags, sums_crc, zeros = fields[9:]
    if magic != FRAME_MAGIC or crc != bound_crc(file_id, at, index[at + 8 : at + FRAME_HEADER.size]):
        return None
    if flags & ~(CLOSED | ENDED) or any(zeros) or (s and s <= e) or to < start:
        return None
    content = ENTRY.size * e + 8 * d + 8 * s + k
    body_size = -(-content // 8) * 8
    sums_size = -(-U32.size * -(-body_size // PAGE) // 8) * 8
    if size != FRAME_HEADER.size + sums_size + body_size or size > len(index) - at:
        return None
    at += FRAME_HEADER.size
    sums, body = index[at : at + sums_size], index[at + sums_size : at + sums_size + body_size]
    if zlib.crc32(sums) != sums_crc or sums != make_sums(body) or any(body[content:]):
        return None
    keys = body[content - k : content]
    entries = _read_entries(body[: ENTRY.size * e], keys, start, to)
    if entries is None:
        return None
    dictionaries = [offset for (offset,) in U64.iter_unpack(body[ENTRY.size * e : ENTRY.size * e + 8 * d])]
    slots = struct.unpack(f"<{s}Q", body[content - k - 8 * s : content - k])
    frame = Frame(
        start=start,
        to=to,
        synced=synced,
        blocks=blocks,
        pairs=pairs,
        raw=raw,
        stamp=stamp,
        metadata=metadata,
        last_crc=last,
        closed=bool(flags & CLOSED),
        entries=entries,
        dictionaries=dictionaries,
        slots=slots,
    )
    return frame, size


def _read_entries(table: bytes, keys: bytes, start: int, to: int) -> list[Entry] | None:
    entries = []
    for offset, position, stamp, size, lead, raw, pairs, length, kind, codec, member in ENTRY.iter_unpack(table):
        if size > to - offset or lead > size or length > len(keys) - position or (kind != GROUP and member):
            return None
        last = entries[-1] if entries else None
        if kind == GROUP and member:
            if last is None or (offset, size, pairs, GROUP) != (last.offset, last.size, last.pairs, last.kind):
                return None
            if member != last.member + 1 or member >= pairs:
                return None
        elif not start <= offset:
            return None
        start = offset + size
        key = keys[position : position + length]
        entries.append(Entry(key, offset, stamp, size, lead, raw, pairs, kind, codec, member))
    return entries


def make_sums(body: bytes) -> bytes:
    """A crc for each page of the body, padded."""
    sums = b"".join(U32.pack(zlib.crc32(body[at : at + PAGE])) for at in range(0, len(body), PAGE))
    return sums + bytes(-len(sums) % 8)


def _is_another_history(data: bytes, frames: list[Frame], file_id: int) -> bool:
    """Whether the last record that these frames know lies in the data as another one."""
    if not frames:
        return False
    known = [frames[-1].metadata]
    for frame in frames:
        known += [entry.offset for entry in frame.entries] + frame.dictionaries
    if not max(known):
        return frames[-1].last_crc != 0
    record = read_record_header(data, max(known), file_id)
    return record is not None and record.crc != frames[-1].last_crc


def find_in_frame(frame: Frame, hash_key: bytes, key: bytes) -> Entry | None:
    """The last entry with this key: through the slots where there are some, else one by one. Raises Corrupt."""
    if not frame.slots:
        return next((entry for entry in reversed(frame.entries) if entry.key == key), None)
    hashed = siphash13(hash_key, key)
    first = hashed * len(frame.slots) >> 64
    for step in range(min(len(frame.slots), 4096)):
        slot = frame.slots[(first + step) % len(frame.slots)]
        if not slot:
            return None
        number = (slot & SLOT_NUMBER) - 1
        if slot >> 48 == hashed & 0xFFFF:
            if number >= len(frame.entries):
                raise Corrupt(f"slot names entry {number} of {len(frame.entries)}")
            if frame.entries[number].key == key:
                return frame.entries[number]
    raise Corrupt("no empty slot")


@dataclass
class Pipe:
    """A pipe as a reader finds it: what the index lists, and what was scanned behind that."""

    data: bytes
    file_id: int
    index: Index | None
    scanned: Scan

    def outcomes(self) -> list[tuple[bytes | None, Pairs | Exception]]:
        """Each block in the order of the file, or what is wrong with it; its key is None where that is lost too."""
        result: list[tuple[bytes | None, Pairs | Exception]] = []
        for frame in self.index.frames if self.index else []:
            for entry in frame.entries:
                if entry.end <= len(self.data):
                    try:
                        result.append((entry.key, self._read_listed(entry)))
                    except (Corrupt, Refused) as error:
                        result.append((entry.key, error))
        for record in self.scanned.records:
            if record.kind == BLOCK:
                key = None
                try:
                    key = read_directory(self.data, record)[1]
                    result.append((key, read_record(self.data, record)[1]))
                except (Corrupt, Refused) as error:
                    result.append((key, error))
        return result

    def versions(self) -> list[tuple[bytes, int, Pairs | None]]:
        """Of a shard: the key and the stamp of each block, with its pairs, and of each tombstone, with None, in the
        order of the file. Raises Corrupt or Refused where one can not be read."""
        result: list[tuple[bytes, int, Pairs | None]] = []
        for entry in [entry for frame in self.index.frames for entry in frame.entries] if self.index else []:
            pairs = self._read_listed(entry)
            result.append((entry.key, entry.stamp, None if entry.kind == TOMBSTONE else pairs))
        for record in self.scanned.records:
            if record.kind == GROUP:
                result += [
                    (member.key, member.stamp, [(b"", member.value)]) for member in read_group(self.data, record)
                ]
            if record.kind in (BLOCK, TOMBSTONE):
                key, pairs = read_record(self.data, record)
                result.append((key, record.stamp, None if record.kind == TOMBSTONE else pairs))
        return result

    @property
    def blocks(self) -> list[tuple[bytes, Pairs]]:
        """All blocks in the order of the file. Raises Corrupt or Refused where one can not be read."""
        result = []
        for key, pairs in self.outcomes():
            if isinstance(pairs, Exception):
                raise pairs
            assert key is not None
            result.append((key, pairs))
        return result

    @property
    def metadata(self) -> Pairs:
        """The pairs of the last metadata record; none without one. Raises Corrupt."""
        described = [record for record in self.scanned.records if record.kind == METADATA]
        if described:
            return read_record(self.data, described[-1])[1]
        at = self.index.frames[-1].metadata if self.index and self.index.frames else 0
        if not at:
            return []
        record = read_record_header(self.data, at, self.file_id)
        if record is None or record.kind != METADATA:
            raise Corrupt(f"no metadata at {at}")
        return read_record(self.data, record)[1]

    def find(self, key: bytes) -> Pairs | None:
        """The pairs of the last block with this key, or None. Raises Corrupt or Refused where it can not be read."""
        for record in reversed(self.scanned.records):
            if record.kind == BLOCK and read_directory(self.data, record)[1] == key:
                return read_record(self.data, record)[1]
        if self.index:
            for frame in reversed(self.index.frames):
                entry = find_in_frame(frame, self.index.hash_key, key)
                if entry and entry.end <= len(self.data):
                    return self._read_listed(entry)
        return None

    def _read_listed(self, entry: Entry) -> Pairs:
        """The pairs of an entry's block. Raises Corrupt where data and entry disagree."""
        record = read_record_header(self.data, entry.offset, self.file_id)
        if record is None:
            raise Corrupt(f"no record at {entry.offset}, where the index lists {entry.key!r}")
        if entry.kind == GROUP and record.kind == GROUP:
            member = read_group(self.data, record)[entry.member]
            key, stamp, pairs = member.key, member.stamp, [(b"", member.value)]
            if entry.raw != 8 + len(member.value):
                raise Corrupt(f"member {entry.member} of the group at {entry.offset} has not {entry.raw} raw bytes")
        else:
            key, pairs = read_record(self.data, record)
            stamp = record.stamp
        there = stamp, record.size, record.lead_size, record.pairs, record.kind, record.codec
        if (key, *there) != (entry.key, entry.stamp, entry.size, entry.lead_size, entry.pairs, entry.kind, entry.codec):
            raise Corrupt(f"record at {entry.offset} is not the one that the index lists")
        return pairs


def read(data: bytes, index: bytes | None = None, shard: bool = False) -> Pipe:
    """Open a pipe: the index as far as it is healthy, the rest scanned. Raises Refused, Corrupt and Truncated."""
    file_id = read_file_header(data, shard).file_id if len(data) >= FILE_HEADER.size else None
    listed = read_index(index, data, file_id) if index is not None else None
    if file_id is None:
        return Pipe(data, 0, listed, Scan())  # what a kill at creation leaves
    return Pipe(data, file_id, listed, scan(data, file_id, listed.end if listed else FILE_HEADER.size, shard))


@dataclass(frozen=True)
class Finding:
    """Something that is not whole: corruption, unsynced loss or torn tail, and where it lies."""

    what: str
    begin: int
    end: int


def findings(data: bytes, index: bytes | None = None) -> list[Finding]:
    """All that is not whole, by the table of *Reading without an index, and tails*, in the order of the file.

    Raises Truncated for data that is shorter than what had been synced.
    """
    header = read_file_header(data)
    listed = read_index(index, data, header.file_id) if index is not None else None
    frames = [*listed.frames, *listed.ahead] if listed else []
    found = scan(data, header.file_id)
    bad, good_end = [], FILE_HEADER.size
    for record in found.records:
        try:
            if record.kind < SKIPPABLE:
                read_record(data, record)
        except Corrupt:
            bad.append((record.offset, record.end))
            continue
        except Refused:
            pass  # a record that this reader does not know is no damage
        good_end = record.end
    synced = max([0, *(record.synced for record in found.records), *(frame.synced for frame in frames)])
    if found.tail and (torn := read_record_header(data, found.tail[0], header.file_id)):
        synced = max(synced, torn.synced)
    if len(data) < synced:
        raise Truncated(f"{len(data)} bytes, {synced} had reached the disk")
    places = {entry.offset for frame in frames for entry in frame.entries if entry.end <= len(data)}
    result = []
    for begin, end in sorted(bad + found.damage + ([found.tail] if found.tail else [])):
        in_listed = any(begin <= place < end for place in places)
        if begin < synced:
            result.append(Finding("corruption", begin, end))
        elif begin < good_end or in_listed:
            result.append(Finding("unsynced loss", begin, end))
        elif result and result[-1].what == "torn tail":
            result[-1] = Finding("torn tail", result[-1].begin, end)
        else:
            result.append(Finding("torn tail", begin, end))
    return result
