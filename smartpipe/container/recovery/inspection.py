"""A pipe of format 2 gone through from its start to its end: what lies in the data, beside what the index lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.listing import Listed, Listing
from smartpipe.container.recovery.survey import START, Piece, Record, Survey


class Visit(NamedTuple):
    """A record or piece of the data, the entries that list this record, one for a block and one for each member of a
    group, and all others that begin within its bytes."""

    item: Record | Piece
    listed: list[Listed]
    strays: list[Listed]


class Inspection:
    """The data of a pipe as of now, and its index.

    `synced` is the largest that a frame says, and while the pipe is gone through, a record; `covered` is where the last
    frame ends.
    """

    def __init__(self, subject: Subject, index_path: str) -> None:
        # A writer writes data before it lists it: read in this order, there is no less data than the index says.
        self.source = subject.source
        self.listing = Listing(index_path, subject.source.id, subject.source.shard)
        self.size = subject.source.size()
        self.survey = Survey(self.source, self.size)
        if self._other_history():
            self.listing.disown("the index belongs to another history of this data")
        frames = self.listing.frames
        self.covered = max([START, *(frame.to for frame in frames)])
        self.synced = max([0, *(frame.synced for frame in frames)])
        self._beyond: list[Listed] = []
        self._entries: Iterator[Listed] = iter(())

    def _other_history(self) -> bool:
        """Whether the last record that the index knows lies in the data as another one. FORMAT.md, «Index», Health."""
        known, crc, to, dictionary = 0, 0, START, 0
        for frame, _, _, last in self.listing.sums():
            if frame.to > self.size:
                break
            dictionary = max([dictionary, *frame.dictionaries])
            known, crc, to = max(last, frame.metadata, dictionary), frame.last_crc, frame.to
        if known == 0:
            return to > START
        record = self.survey.at(known)
        return record is not None and record.crc != crc

    def walk(self) -> Iterator[Visit]:
        """Go through the data, from its start on."""
        self.survey = Survey(self.source, self.size)
        self._entries = self.listing.entries()
        entry = next(self._entries, None)
        for item in self.survey:
            listed: list[Listed] = []
            strays = []
            while entry is not None and entry.offset < item.end:
                if isinstance(item, Record) and entry.offset == item.offset and len(listed) < item.blocks:
                    listed.append(entry)
                else:
                    strays.append(entry)
                entry = next(self._entries, None)
            self.synced = max(self.synced, item.synced)
            yield Visit(item, listed, strays)
        self._beyond = [] if entry is None else [entry]

    def beyond(self) -> Iterator[Listed]:
        """After a walk: the entries behind the end of the data."""
        yield from self._beyond
        for entry in self._entries:  # noqa: UP028  "yield from" a Cython generator that has ended is an error
            yield entry

    def repaired_key(self, visit: Visit) -> bytes | None:
        """The key that the index has for a record whose own is damaged."""
        if isinstance(visit.item, Record) and visit.item.key is None and visit.listed:
            return visit.listed[0].key
        return None
