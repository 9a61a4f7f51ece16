"""What can be read of a damaged pipe of format 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from smartpipe import errors
from smartpipe.container.block import Block
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.findings import Copies
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.inspection import Inspection, Visit
from smartpipe.container.recovery.survey import START, Keys, Piece, Record


class Salvage2:
    """The blocks that are whole. `lost`, `torn` and the counts are complete when `blocks` has ended.

    The data is gone through twice: first only for keys, as of those that occur twice the last block counts.
    """

    def __init__(self, subject: Subject, index_path: str, progress: Callable[[int, int], object] | None) -> None:
        self.inspection = Inspection(subject, index_path)
        self.path = subject.source.path
        self.progress = progress
        self.codec = subject.codec
        self.is_header_bad = subject.complaint is not None
        self.metadata: dict[bytes, bytes] = {}
        self.lost: list[Damage] = []
        self.torn: list[Damage] = []
        self.notes: list[str] = []
        self.copies = Copies()
        self.missing = 0
        self.pairs = 0
        self.ordinal = 0
        self.unnamed = 0  # records that only the ordinals tell of
        self.pieces: set[int] = set()  # where bytes are lost that may have been any number of records
        self.good_end = START
        self.winners: dict[bytes, int] = {}
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Read the metadata, and find where the block lies that counts, of each key that occurs more than once.

        Without the header of the file its last block tells the codec.
        """
        keys = Keys()
        places: dict[bytes, list[int]] = {}
        for visit in self.inspection.walk():
            item = visit.item
            if isinstance(item, Record) and item.is_metadata:
                block = self._whole(visit)
                if isinstance(block, Block):
                    self.metadata = dict(block)
            elif isinstance(item, Record) and item.is_block:
                if self.is_header_bad:
                    self.codec = item.codec
                key = item.key if item.key is not None else self.inspection.repaired_key(visit)
                before = None if key is None else keys.meet(key, item.offset)
                if key is not None and before is not None:
                    places.setdefault(key, [before]).append(item.offset)
            self._tell(item.end)
        for key, offsets in places.items():
            self.winners[key] = next((offset for offset in reversed(offsets) if self._is_whole(offset)), offsets[-1])

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, 2 * self.inspection.size)

    def _is_whole(self, offset: int) -> bool:
        record = self.inspection.survey.at(offset)
        try:
            return record is not None and self.inspection.survey.block(record) is not None
        except (errors.CorruptError, errors.BlockTooLargeError, errors.FormatError):
            return False

    def _whole(self, visit: Visit) -> Block | errors.SmartPipeError:
        """The block of a record, every byte of it checked, or why it can not be read."""
        record = visit.item
        assert isinstance(record, Record)
        if not (record.is_block or record.is_metadata or record.is_dictionary):
            return errors.FormatError(f"a record of kind {record.kind}, which this version does not know")
        try:
            return self.inspection.survey.block(record, self.inspection.repaired_key(visit))
        except (errors.CorruptError, errors.BlockTooLargeError, errors.FormatError) as error:
            return error

    def blocks(self) -> Iterator[Block]:
        inspection = self.inspection
        named = 0  # of the records between the last good header and the next
        for visit in inspection.walk():
            item = visit.item
            if isinstance(item, Piece):
                named += self._piece(item, visit)
            else:
                # What ordinals tell beyond what has a name; a writer that went on behind damage may have guessed.
                self.unnamed += max(item.ordinal - self.ordinal - named, 0)
                self.ordinal = item.ordinal + 1
                named = 0
                block = self._whole(visit)
                if isinstance(block, Block):
                    self.good_end = item.end
                    if item.is_dictionary:
                        self.copies.whole.add(item.dictionary)
                    if item.is_block and self.winners.get(block.key, item.offset) == item.offset:
                        self.pairs += len(block)
                        yield block
                    elif item.is_block:
                        reason = f"the key occurs again at offset {self.winners[block.key]}, and the last block counts"
                        self._lose("duplicate", item.offset, item.end - item.offset, reason, block.key)
                else:
                    key = item.key if item.key is not None else inspection.repaired_key(visit)
                    what = "damaged" if isinstance(block, errors.CorruptError) else "unreadable"
                    reason = str(block.args[0]) if item.is_block else f"the record of kind {item.kind}: {block.args[0]}"
                    if item.is_dictionary:
                        self.copies.damaged[item.offset] = item.dictionary
                    self._lose(what, item.offset, item.end - item.offset, reason, key if item.is_block else None)
            self._tell(inspection.size + item.end)
        for entry in inspection.beyond():
            self._lose("lost", entry.offset, entry.size, "the file ends before it", entry.key)
        self._spare()
        self._judge_end()
        self.missing = self.unnamed + sum(damage.offset not in self.pieces for damage in self.lost)

    def _piece(self, piece: Piece, visit: Visit) -> int:
        """Bytes that are no record; returns how many blocks the index names there."""
        inspection = self.inspection
        if piece.what == "zeros" and piece.offset >= max(inspection.synced, inspection.covered):
            return 0
        cut = piece.what == "rest" and inspection.survey.at(piece.offset) is not None
        reason = "the file ends within this record" if cut else "no record header is good here"
        start = piece.offset
        for entry in visit.strays:
            end = min(entry.offset + entry.size, piece.end)
            self._lose("damaged", entry.offset, end - entry.offset, reason, entry.key)
            start = end if entry.offset <= start else start
        if start < piece.end:
            self._lose("damaged", start, piece.end - start, reason, None)
            self.pieces.add(start)
        return len(visit.strays)

    def _lose(self, what: str, offset: int, size: int, reason: str, key: bytes | None) -> None:
        self.lost.append(Damage(what, self.path, offset, size, key, reason))

    def _spare(self) -> None:
        """With one of two copies of a dictionary nothing is lost."""
        kept = []
        for damage in self.lost:
            spare = self.copies.spare(damage.offset)
            if spare is None:
                kept.append(damage)
            else:
                self.notes.append(f"{damage.reason}, at offset {damage.offset}; {spare}")
        self.lost[:] = kept

    def _judge_end(self) -> None:
        """Tell an unfinished write at the end from a loss."""
        torn = max(self.inspection.synced, self.inspection.covered, self.good_end)
        kept = []
        for damage in self.lost:
            if damage.what == "damaged" and damage.offset >= torn:
                self.torn.append(replace(damage, what="torn"))
            else:
                kept.append(damage)
        self.lost[:] = kept
