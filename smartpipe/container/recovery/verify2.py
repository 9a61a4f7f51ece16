"""Verifying a pipe of format 2."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from smartpipe import errors
from smartpipe.container.block import Block
from smartpipe.container.headers import INDEX_HEADER
from smartpipe.container.paths import Paths
from smartpipe.container.recovery.damage import Damage
from smartpipe.container.recovery.findings import Copies, Findings, plural
from smartpipe.container.recovery.identity import Subject
from smartpipe.container.recovery.inspection import Inspection, Visit
from smartpipe.container.recovery.listing import Frame, Listed
from smartpipe.container.recovery.survey import START, Keys, Piece, Record


def verify2(subject: Subject, paths: Paths, progress: Callable[[int, int], object] | None) -> Findings:
    return _Verification(subject, paths).run(progress)


class _Verification:
    def __init__(self, subject: Subject, paths: Paths) -> None:
        self.subject = subject
        self.shard = subject.source.shard
        self.written = subject.is_written()
        self.inspection = Inspection(subject, paths.index)
        self.data_path = subject.source.path
        self.index_path = paths.index
        self.found = Findings()
        self.of_index = Findings()
        self.keys = Keys()
        self.frames = iter(self.inspection.listing.sums())
        self.frame = next(self.frames, None)
        # Of the records so far.
        self.stamp = 0
        self.ordinal = 0
        self.metadata = 0
        self.dictionaries: list[int] = []
        self.copies = Copies()
        self.crc = self.listed_crc = 0
        self.whole = True  # nothing was damaged
        self.good_end = START
        self.unlisted = 0
        # Of the piece that was met last, if no record followed yet.
        self.gap = False
        self.named = 0
        self.piece: Damage | None = None
        self.starts = [frame.start for frame in self.inspection.listing.frames]

    def run(self, progress: Callable[[int, int], object] | None) -> Findings:
        inspection = self.inspection
        self.file_header()
        for visit in inspection.walk():
            self.check_frames(visit.item.offset)
            if isinstance(visit.item, Record):
                self.record(visit.item, visit)
            else:
                self.take_piece(visit.item, visit)
            if progress is not None:
                progress(visit.item.end, inspection.size)
        self.check_frames(inspection.size)
        self.claims()
        self.tell_spare()
        self.judge_end()
        self.index_file()
        self.found.damage.sort(key=lambda damage: damage.offset)
        self.found.damage += self.of_index.damage
        self.found.bytes = inspection.size + inspection.listing.size
        return self.found

    # The data

    def bad(self, what: str, offset: int, size: int, reason: str, block: bytes | None = None) -> None:
        self.found.add(what, self.data_path, offset, size, reason, block)

    def file_header(self) -> None:
        size = self.inspection.size
        if self.subject.blank:
            if not self.written:
                self.bad("torn", 0, size, f"no file header was written, the file has {plural(size, 'byte')}")
        elif self.subject.complaint is not None:
            self.bad("lost" if size < START else "damaged", 0, min(size, START), self.subject.complaint)

    def record(self, record: Record, visit: Visit) -> None:
        self.follow(record)
        whole = False
        block = None
        try:
            if not (self.listed(record) or record.is_metadata or record.is_dictionary or record.is_optional):
                raise errors.FormatError(f"a record of kind {record.kind}, which this version does not know")
            block = self.inspection.survey.block(record)
            whole = True
        except errors.CorruptError as error:
            self.bad_blocks("damaged", record, visit, _where(error, record))
            if record.is_dictionary:
                self.copies.damaged[record.offset] = record.dictionary
        except errors.EngineError:
            if not record.is_optional:
                raise
            whole = True
        except (errors.BlockTooLargeError, errors.FormatError) as error:
            whole = record.is_optional and isinstance(error, errors.FormatError)
            if not whole:
                self.bad_blocks("unreadable", record, visit, str(error.args[0]))
        if whole:
            self.good_end = record.end
            if record.is_dictionary:
                self.copies.whole.add(record.dictionary)
            if (record.is_block or record.is_group) and block is not None:
                self.found.blocks += record.blocks
                if not self.shard:
                    self.duplicate(block, record)
        else:
            self.found.damaged += record.blocks
            self.whole = False
        self.compare(record, visit)

    def bad_blocks(self, what: str, record: Record, visit: Visit, reason: str) -> None:
        """Name each block that is lost with a record, as far as its key is known."""
        entries = record.entries() if record.key is not None or not visit.listed else visit.listed
        for key in dict.fromkeys(entry.key for entry in entries):
            self.bad(what, record.offset, record.end - record.offset, reason, key)

    def listed(self, record: Record) -> bool:
        """Whether the index has entries for such a record."""
        return record.is_block or (self.shard and (record.is_tombstone or record.is_group))

    def follow(self, record: Record) -> None:
        """Check how a record follows the ones before it."""
        size = record.end - record.offset
        missing = record.ordinal - self.ordinal
        if self.gap:
            # What ordinals tell of the bytes between two records; a writer that went on behind them may have guessed.
            unnamed = missing - self.named
            if unnamed > 0:
                self.found.damaged += unnamed
                if self.piece is not None:
                    self.piece = replace(self.piece, reason=f"{self.piece.reason}; {plural(unnamed, 'record')} lost")
            self.put_piece()
        elif missing > 0:
            self.found.damaged += missing
            self.bad("lost", record.offset, 0, f"{plural(missing, 'record')} before this one are missing")
        elif missing < 0:
            self.bad("damaged", record.offset, size, f"the ordinal is {record.ordinal}, not {self.ordinal}", record.key)
        if record.stamp <= self.stamp and not self.shard:
            self.bad("damaged", record.offset, size, "the stamp is not larger than the one before", record.key)
        if record.synced > record.offset:
            self.bad("damaged", record.offset, size, f"it says that {record.synced} bytes had been synced", record.key)
        self.ordinal = record.ordinal + 1
        self.stamp = max(self.stamp, record.stamp)
        self.crc = record.crc
        if record.is_metadata:
            self.metadata = record.offset
        if record.is_dictionary:
            self.dictionaries.append(record.offset)
        if record.is_metadata or self.listed(record) or record.is_dictionary:
            self.listed_crc = record.crc

    def duplicate(self, block: Block, record: Record) -> None:
        before = self.keys.meet(block.key, record.offset)
        if before is not None:
            reason = f"the key occurs again at offset {record.offset}, which hides it"
            self.bad("duplicate", before, 0, reason, block.key)

    def take_piece(self, piece: Piece, visit: Visit) -> None:
        """Bytes that are no record; what the index lists there has a name."""
        self.put_piece()
        if piece.what == "zeros" and piece.offset >= max(self.inspection.synced, self.inspection.covered):
            self.found.notes.append(f"{plural(piece.end - piece.offset, 'zero byte')} at the end")
            return
        reason = "no record header is good here"
        if piece.what == "rest" and self.inspection.survey.at(piece.offset) is not None:
            reason = "the file ends within this record"
        self.gap = True
        self.named = len({entry.offset for entry in visit.strays})
        self.found.damaged += len(visit.strays)
        self.whole = False
        start = piece.offset
        for entry in visit.strays:
            end = min(entry.offset + entry.size, piece.end)
            self.bad("damaged", entry.offset, end - entry.offset, reason, entry.key)
            start = end if entry.offset <= start else start
        if start < piece.end:
            self.piece = Damage("damaged", self.data_path, start, piece.end - start, None, reason)
        if piece.end == self.inspection.size:
            self.put_piece()

    def put_piece(self) -> None:
        self.gap = False
        if self.piece is not None:
            self.found.damage.append(self.piece)
            self.piece = None

    def claims(self) -> None:
        """What the records and the index say of the length of the file."""
        inspection = self.inspection
        size = inspection.size
        for entry in inspection.beyond():
            self.found.damaged += 1
            self.bad("lost", entry.offset, entry.size, "the index lists it behind the end of the data", entry.key)
        closed = max([0, *(frame.to for frame in inspection.listing.frames if frame.closed)])
        if size < max(inspection.synced, closed):
            what = "had been synced" if inspection.synced >= closed else "were there when it was closed"
            end = max(inspection.synced, closed)
            self.bad("lost", size, end - size, f"the file has {plural(size, 'byte')}, and {end} {what}")
        elif inspection.listing.frames and size < inspection.covered:
            self.bad(
                "lost",
                size,
                inspection.covered - size,
                f"the file has {plural(size, 'byte')}, and the index lists {inspection.covered}",
            )

    def tell_spare(self) -> None:
        """Where one of two copies of a dictionary is damaged, the other is used."""
        for place, damage in enumerate(self.found.damage):
            spare = self.copies.spare(damage.offset)
            if damage.what == "damaged" and spare is not None:
                self.found.damage[place] = replace(damage, reason=f"{damage.reason}; {spare}")

    def judge_end(self) -> None:
        """Tell an unfinished write at the end from damage. FORMAT.md, «Reading without an index, and tails»."""
        torn = max(self.inspection.synced, self.inspection.covered, self.good_end)
        kept = []
        for damage in self.found.damage:
            if damage.what == "damaged" and damage.offset >= torn:
                if self.written:
                    continue
                damage = replace(damage, what="torn")
            kept.append(damage)
        if len(kept) < len(self.found.damage):
            self.found.notes.append("a block is being written")
        self.found.damage[:] = kept

    # The index

    def wrong(self, offset: int, size: int, reason: str, block: bytes | None = None, what: str = "index") -> None:
        self.of_index.add(what, self.index_path, offset, size, reason, block)

    def compare(self, record: Record, visit: Visit) -> None:
        """An entry, or that there is none, against its record."""
        for stray in visit.strays:
            self.wrong(
                0, 0, f"it lists a block at {stray.offset} of the data, within the record at {record.offset}", stray.key
            )
        if not visit.listed:
            if self.listed(record) and record.key is not None:
                if record.offset >= self.inspection.covered:
                    self.unlisted += record.blocks
                elif self.inspection.listing.frames[bisect_right(self.starts, record.offset) - 1].good:
                    self.wrong(0, 0, f"it does not list the block at {record.offset} of the data", record.key)
            return
        entries = record.entries()
        other = next((entry for entry, own in zip(visit.listed, entries, strict=False) if not _agree(entry, own)), None)
        if other is None and len(visit.listed) < len(entries):
            other = visit.listed[-1]
        if other is not None:
            self.wrong(0, 0, f"its entry is not that of the record at {record.offset} of the data", other.key)

    def check_frames(self, offset: int) -> None:
        """Check the totals of the frames that end at or before an offset, when the walk is there."""
        while self.frame is not None and self.frame[0].to <= offset:
            frame, totals, stamp, _ = self.frame
            for reason in self.contradictions(frame, totals, stamp, offset):
                self.wrong(frame.offset, frame.size, reason)
            self.frame = next(self.frames, None)

    def contradictions(self, frame: Frame, totals: tuple[int, int, int], stamp: int, offset: int) -> list[str]:
        wrong = []
        if frame.totals != totals:
            wrong.append(f"the frame counts {frame.totals} blocks, pairs and raw bytes, its entries add up to {totals}")
        if frame.stamp < stamp or (self.whole and frame.stamp != self.stamp):
            wrong.append(f"the largest stamp of the frame is {frame.stamp}, not {max(stamp, self.stamp)}")
        if self.whole:
            if frame.to < offset:
                wrong.append(f"the frame ends at {frame.to} of the data, within a record")
            if frame.metadata != self.metadata:
                wrong.append(f"the frame names metadata at {frame.metadata}, not {self.metadata}")
            listed = [offset for offset in self.dictionaries if frame.start <= offset < frame.to]
            if frame.dictionaries != listed:
                wrong.append(f"the frame names dictionaries at {frame.dictionaries}, not {listed}")
            if frame.last_crc not in (self.crc, self.listed_crc):
                wrong.append("the frame does not name the record before its end")
        return wrong

    def index_file(self) -> None:
        listing = self.inspection.listing
        if listing.complaint is not None:
            if not (self.subject.blank or (self.written and listing.size < INDEX_HEADER)):
                self.wrong(0, listing.size, listing.complaint)
            return
        for fault in listing.faults:
            if fault.torn and self.written:
                self.found.notes.append("the index is being written")
            else:
                self.wrong(fault.offset, fault.size, fault.reason, what="torn" if fault.torn else "index")
        if self.unlisted:
            self.found.notes.append(f"the index does not list the last {plural(self.unlisted, 'block')} yet")
        if not listing.frames or not listing.frames[-1].ended:
            self.found.notes.append("the pipe was not closed")


def _agree(entry: Listed, own: Listed) -> bool:
    """Whether an entry is that of a record, as far as this is known."""
    return own.key in (None, entry.key) and all(
        known in (None, said) for said, known in zip(entry.fields, own.fields, strict=True)
    )


def _where(error: errors.SmartPipeError, record: Record) -> str:
    if error.offset in (None, record.offset):
        return str(error.args[0])
    return f"{error.args[0]}, at offset {error.offset}"
