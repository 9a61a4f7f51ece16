"""Format 2, written the slow way. FORMAT.md, all sections before *Format 1*."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .format2 import (
    BLOCK,
    CLOSED,
    DICTIONARY,
    ENTRY,
    FILE_HEADER,
    FILE_MAGIC,
    FRAME_HEADER,
    FRAME_MAGIC,
    GROUP,
    INDEX_HEADER,
    INDEX_MAGIC,
    LARGE,
    MEMBER,
    METADATA,
    NONE,
    RECORD_HEADER,
    RECORD_MAGIC,
    SHARD,
    SLOT_NUMBER,
    TOMBSTONE,
    U32,
    Entry,
    bound_crc,
    make_sums,
)
from .siphash import siphash13


class Writer:
    """Writes a pipe into memory: records, then frames where they are asked for.

    Everything is chosen by the caller: which values are large (those of `large` bytes and more), when something counts
    as synced, where frames end, whether they have a table and say «closed». data and index are the bytes so far, and
    may be damaged at will between two calls.
    """

    def __init__(
        self,
        file_id: int,
        *,
        codec: int = NONE,
        hash_key: bytes = bytes(range(16)),
        large: int = 4096,
        deflate: Callable[[bytes], bytes] = zlib.compress,
        stamp: int = 1_700_000_000_000_000_000,
        shard: bool = False,
    ) -> None:
        self.file_id = file_id
        self.codec = codec
        self.hash_key = hash_key
        self.large = large
        self.deflate = deflate
        self.stamp = stamp
        self.synced = 0
        self.ordinal = 0
        self._covered = FILE_HEADER.size
        self._entries: list[Entry] = []
        self._totals = [0, 0, 0]
        self._last_crc = 0
        self._metadata = 0
        self._stamp = 0
        self._dictionaries: list[int] = []
        header = FILE_HEADER.pack(FILE_MAGIC, file_id, SHARD if shard else 0, 0, codec, bytes(3), 0)[:-4]
        self.data = bytearray(header + U32.pack(zlib.crc32(header)))
        header = INDEX_HEADER.pack(INDEX_MAGIC, file_id, 0, 0, hash_key, bytes(20), 0)[:-4]
        self.index = bytearray(header + U32.pack(zlib.crc32(header)))

    def sync(self) -> None:
        """Say from now on that all data so far had reached the disk."""
        self.synced = len(self.data)

    def write(
        self,
        key: bytes,
        pairs: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
        kind: int = BLOCK,
        dictionary: int = 0,
    ) -> int:
        """Append a record; returns its offset."""
        pairs = list(pairs.items() if isinstance(pairs, Mapping) else pairs)
        codec = NONE if kind == DICTIONARY else self.codec
        values = [value for _, value in pairs]
        is_large = [len(value) >= self.large for value in values]
        small = [value for value, large in zip(values, is_large, strict=True) if not large]
        lengths = [len(name) for name, _ in pairs] + [len(value) for value in values]
        head = struct.pack(f"<{len(lengths)}I", *lengths) + b"".join([name for name, _ in pairs] + small)
        head_stored = self._store(head, codec)
        directory, segments = b"", b""
        for number, value in enumerate(values):
            if is_large[number]:
                stored = self._store(value, codec)
                directory += LARGE.pack(number, len(value), len(stored), zlib.crc32(stored))
                segments += stored
        offset = len(self.data)
        size = RECORD_HEADER.size + len(directory) + len(key) + len(head_stored) + len(segments)
        header = RECORD_HEADER.pack(
            RECORD_MAGIC,
            0,
            self.stamp,
            self.synced,
            size,
            len(key),
            len(pairs),
            sum(is_large),
            len(head),
            len(head_stored),
            zlib.crc32(head_stored),
            zlib.crc32(directory + key),
            self.ordinal,
            kind,
            codec,
            dictionary,
        )
        self._last_crc = bound_crc(self.file_id, offset, header[8:])
        self.data += RECORD_MAGIC + U32.pack(self._last_crc) + header[8:] + directory + key + head_stored + segments
        if kind in (BLOCK, TOMBSTONE):
            raw = len(head) + sum(len(value) for value, large in zip(values, is_large, strict=True) if large)
            lead = size - len(segments)
            self._entries.append(Entry(key, offset, self.stamp, size, lead, raw, len(pairs), kind, self.codec))
        if kind == METADATA:
            self._metadata = offset
        if kind == DICTIONARY:
            self._dictionaries.append(offset)
        self._stamp = max(self._stamp, self.stamp)
        self.stamp += 1
        self.ordinal += 1
        return offset

    def metadata(self, pairs: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]]) -> int:
        """Append a metadata record; returns its offset."""
        return self.write(b"", pairs, METADATA)

    def group(
        self, members: Iterable[tuple[bytes, bytes]], stamps: Iterable[int] | None = None, dictionary: int = 0
    ) -> int:
        """Append a group of (key, value), whose stamps are that of the record if not given; returns its offset."""
        members = list(members)
        own = [self.stamp] * len(members) if stamps is None else list(stamps)
        table = b"".join(
            MEMBER.pack(stamp, len(key), len(value)) for stamp, (key, value) in zip(own, members, strict=True)
        ) + b"".join(key for key, _ in members)
        offset = self.write(table, [(b"", value) for _, value in members], GROUP, dictionary)
        size = len(self.data) - offset
        for number, (key, value) in enumerate(members):
            raw = 8 + len(value)
            self._entries.append(
                Entry(key, offset, own[number], size, size, raw, len(members), GROUP, self.codec, number)
            )
        return offset

    def frame(self, *, slots: int | None = None, closed: bool = False) -> int:
        """Append a frame to the index that covers all data since the last; returns its offset in the index.

        slots: the size of its table, more than the blocks; 0 for none, None for one that is three quarters full.
        """
        entries, self._entries = self._entries, []
        body, keys = b"", b""
        for entry in entries:
            body += ENTRY.pack(
                entry.offset,
                len(keys),
                entry.stamp,
                entry.size,
                entry.lead_size,
                entry.raw,
                entry.pairs,
                len(entry.key),
                entry.kind,
                entry.codec,
                entry.member,
            )
            keys += entry.key
            if entry.kind in (BLOCK, GROUP):
                pairs = entry.pairs if entry.kind == BLOCK else 1
                self._totals = [sum(both) for both in zip(self._totals, (1, pairs, entry.raw), strict=True)]
        count = len(entries) * 4 // 3 + 1 if slots is None else slots
        table = make_slots([entry.key for entry in entries], self.hash_key, count) if count else []
        dictionaries, self._dictionaries = self._dictionaries, []
        body += struct.pack(f"<{len(dictionaries) + count}Q", *dictionaries, *table) + keys
        body += bytes(-len(body) % 8)
        sums = make_sums(body)
        offset = len(self.index)
        header = FRAME_HEADER.pack(
            FRAME_MAGIC,
            0,
            FRAME_HEADER.size + len(sums) + len(body),
            self._covered,
            len(self.data),
            self.synced,
            len(entries),
            len(keys),
            count,
            *self._totals,
            self._stamp,
            self._metadata,
            len(dictionaries),
            self._last_crc,
            CLOSED if closed else 0,
            zlib.crc32(sums),
            bytes(8),
        )
        self.index += FRAME_MAGIC + U32.pack(bound_crc(self.file_id, offset, header[8:])) + header[8:] + sums + body
        self._covered = len(self.data)
        return offset

    def save(self, prefix: str | Path, *, index: bool = True) -> None:
        """Put the files there: .dat for codec none, else .datz, and .idx unless it shall be missing."""
        Path(f"{prefix}.{'datz' if self.codec else 'dat'}").write_bytes(self.data)
        if index:
            Path(f"{prefix}.idx").write_bytes(self.index)

    def _store(self, raw: bytes, codec: int) -> bytes:
        """A segment as stored: compressed where that makes it smaller."""
        deflated = raw if codec == NONE else self.deflate(raw)
        return deflated if len(deflated) < len(raw) else raw


def make_slots(keys: list[bytes], hash_key: bytes, count: int) -> list[int]:
    """The hash table of a frame with these keys, the last of equal keys named; count slots, more than keys."""
    slots = [0] * count
    for number, key in enumerate(keys):
        hashed = siphash13(hash_key, key)
        at = hashed * count >> 64
        while slots[at] and keys[(slots[at] & SLOT_NUMBER) - 1] != key:
            at = (at + 1) % count
        slots[at] = (hashed & 0xFFFF) << 48 | number + 1
    return slots
