"""A pipe of format 1 gone through: each block that its index lists, or why it can not be read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from smartpipe import errors
from smartpipe.container.block import Block
from smartpipe.container.format1 import Format1
from smartpipe.container.headers import ENTRY1
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.findings import plural
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.survey1 import Entries, Entry1, Survey1


class Part(NamedTuple):
    """A block that is whole, or something that is not. A block that is not has its key in `damage`."""

    offset: int
    """In the data file, as far as is known."""
    block: Block | None
    damage: Damage | None


class Inspection1:
    """The data and the index as of now."""

    def __init__(self, subject: Subject, index_path: str) -> None:
        self.source = subject.source
        self.index_path = index_path
        self.compressed = bool(subject.codec)
        with open(index_path, "rb") as file:
            data = file.read()
        # A writer lists a block before it writes it.
        self.size = self.source.size()
        self.data = data
        self.index_size = len(data)
        self.entries = Entries(data, self.compressed, self.size)
        self.survey = Survey1(self.source, self.compressed)

    def parts(self) -> Iterator[Part]:
        """Go through the blocks in the order of the index, and through what is wrong between them."""
        current: Entry1 | None = None
        known = True  # where the current block ends
        first = True
        gaps = iter(self.entries.gaps)
        for entry in self.entries:
            if not entry.follows:
                known = first = False
                start, end = next(gaps)
                yield self._index(current, start, end, "no entry can be read here")
            if not entry.good:
                known = first = False
                where = f"offset {entry.offset}, uncompressed {entry.raw_offset}"
                end = entry.at + ENTRY1 + len(entry.key)
                block = self._as_listed(entry)
                key = entry.key if block is None else None
                yield self._index(current, entry.at, end, f"an entry that can not be: {where}", key)
                if block is not None:
                    yield Part(entry.offset, block, None)
                continue
            if current is not None:
                yield self._part(current, entry, known)
            elif first and entry.offset > 0:
                yield self._data("damaged", 0, min(entry.offset, self.size), "these bytes belong to no block")
            current, known, first = entry, True, False
        for start, end in gaps:
            size = end - start
            yield Part(0, None, Damage("torn", self.index_path, start, size, None, "the index ends within an entry"))
        if current is not None:
            yield self._part(current, None, known)
        elif self.size > 0 and not self.entries.count:
            yield self._index(
                None, 0, self.index_size, f"it lists no block, and the data file has {plural(self.size, 'byte')}"
            )

    def _part(self, entry: Entry1, following: Entry1 | None, known: bool) -> Part:
        end, raw = self.size, None
        if following is not None:
            end, raw = following.offset, following.raw_offset - entry.raw_offset
        elif self.entries.gaps and self.entries.gaps[-1][1] == self.index_size:
            torn = self.entries.torn_offset()
            if torn is not None and entry.offset <= torn <= self.size:
                end = torn
            elif not self.compressed:
                known = False
        size = max(end - entry.offset, 0)
        if not known:
            block = self._as_listed(entry)
            if block is not None:
                return Part(entry.offset, block, None)
            return self._data("damaged", entry.offset, 0, "where it ends is not known, as the index is damaged", entry)
        if entry.offset > self.size:
            return self._data("lost", entry.offset, size, f"the file has {plural(self.size, 'byte')}", entry)
        unfinished = following is None
        try:
            if end < entry.offset or end > self.size:
                raise errors.TruncatedError(f"it is listed up to {end}, the file has {plural(self.size, 'byte')}")
            return Part(entry.offset, self.survey.block(entry.key, entry.offset, size, raw), None)
        except errors.BlockTooLargeError as error:
            return self._data("unreadable", entry.offset, size, str(error.args[0]), entry)
        except errors.CorruptError as error:
            torn_block = unfinished and isinstance(error, errors.TruncatedError)
            return self._data("torn" if torn_block else "damaged", entry.offset, size, str(error.args[0]), entry)

    @cached_property
    def _readable(self) -> int:
        """How far a reader takes the entries as they are found here; asked for only where something is wrong."""
        try:
            Format1(self.source, self.index_path, self.compressed, locked=True)
        except errors.SmartPipeError:
            return 0
        return self.entries.gaps[0][0] if self.entries.gaps else self.index_size

    def _as_listed(self, entry: Entry1) -> Block | None:
        """The block as a reader takes it, up to where the bytes behind its entry say that the next one begins.

        None where that is no block, or no reader takes it. What can be read is recovered, whatever else is wrong with
        the index.
        """
        if entry.at >= self._readable:
            return None
        at = entry.at + ENTRY1 + len(entry.key)
        key_length = int.from_bytes(self.data[at : at + 4], "little")
        numbers = self.data[at + 4 + key_length : at + ENTRY1 + key_length]
        if len(numbers) < 8:
            return None
        end, raw = int.from_bytes(numbers[:8], "little"), None
        if len(numbers) == 16:
            raw = int.from_bytes(numbers[8:], "little") - entry.raw_offset
        if end == 0 or not entry.offset <= end <= self.size or (raw is not None and raw < 0):
            return None
        try:
            return self.survey.block(entry.key, entry.offset, end - entry.offset, raw)
        except (errors.CorruptError, errors.BlockTooLargeError):
            return None

    def _data(self, what: str, offset: int, size: int, reason: str, entry: Entry1 | None = None) -> Part:
        key = None if entry is None else entry.key
        return Part(offset, None, Damage(what, self.source.path, offset, size, key, reason))

    def _index(self, current: Entry1 | None, start: int, end: int, reason: str, key: bytes | None = None) -> Part:
        offset = 0 if current is None else current.offset
        return Part(offset, None, Damage("index", self.index_path, start, end - start, key, reason))
