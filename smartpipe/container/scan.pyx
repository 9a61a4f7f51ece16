"""Reading the records of a data file of format 2 one after another, where the index does not list them.

FORMAT.md, «Reading without an index, and tails».
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from smartpipe._codec cimport (
    SP_BLOCK, SP_DICTIONARY, SP_DIRECTORY_ENTRY, SP_GROUP, SP_KIND, SP_KIND_OPTIONAL, SP_METADATA, SP_OK,
    SP_RECORD_HEADER, SP_TOMBSTONE, crc32, directory_decode, group_check, record_decode, sp_entry, sp_key_position,
    sp_lead_size, sp_load32, sp_record, sp_segment,
)
from smartpipe.container.group cimport list_members
from smartpipe.container.index cimport Index
from smartpipe.container.source cimport Source
from smartpipe.container.tally cimport Tally
from smartpipe.container.walk cimport Walk

from smartpipe import errors


cdef class Scan(Walk):
    """Adds the records from `tally.end` to `size` to the index and the tally.

    With `check` the segments' checksums are verified too, as a writer must before it goes on behind them; a reader
    finds these when it reads the block. Afterwards `damage` lists (start, end) of what is not a good record though
    good ones follow or it was synced, and `torn` tells that from `tally.end` on there is an unfinished write. Below
    `floor` nothing is taken for one.
    """

    def __init__(self, Source source, Index index, Tally tally, uint64_t size, bint check, uint64_t floor=0):
        Walk.__init__(self, source, size)
        self.index = index
        self.tally = tally
        self.check = check
        self.floor = floor
        self.suspect = []
        self.damage = []

    def run(self):
        cdef uint64_t offset = self.tally.end, found
        cdef sp_record record
        cdef size_t n
        cdef int status
        cdef bint zeros = False
        while offset < self.size:
            n = min(<uint64_t>SP_RECORD_HEADER, self.size - offset)
            status = record_decode(self.need(offset, n), n, self.source.id, offset, &record)
            if status == SP_OK:
                # Also an unfinished record says what had been synced before it.
                self.tally.synced = max(self.tally.synced, record.synced)
                if record.size > self.size - offset:
                    break
                if self.take(&record, offset):
                    self.settle()
                    self.enter(&record, offset)
                else:
                    self.suspect.append((offset, offset + record.size, True))
                offset += record.size
                continue
            if self.zeros(offset):
                zeros = True
                break
            found = self.next_header(offset + 1)
            if found == self.size:
                break
            self.suspect.append((offset, found, False))
            offset = found
        self.finish(offset, zeros)

    def settle(self):
        """A good record follows: what was suspect before is damage, and what can be named of it stays in the index."""
        cdef sp_record record
        cdef uint64_t start
        for start, end, is_record in self.suspect:
            if is_record:
                record_decode(self.need(start, SP_RECORD_HEADER), SP_RECORD_HEADER, self.source.id, start, &record)
                if self.lead_is_good(start):
                    self.enter(&record, start)
                else:
                    # It has no place in the index, but in the order of the records.
                    self.tally.ordinal = <uint64_t>record.ordinal + 1
                    self.tally.stamp = max(self.tally.stamp, record.stamp)
            self.damage.append((start, end))
        self.suspect.clear()

    def finish(self, uint64_t offset, bint zeros):
        """The scan ended at an offset: decide what is a torn tail."""
        cdef uint64_t synced = self.tally.synced, kept
        if self.size < synced and (self.check or not self.source.shard):
            raise errors.TruncatedError(f"the file has {self.size} bytes, of which {synced} had been synced",
                                        path=self.source.path, offset=self.size)
        kept = max(synced, self.floor)
        if offset < self.size and not (zeros and offset >= kept):
            self.suspect.append((offset, self.size, False))
        # Below what was synced nothing is ever cut: it is damage, and the next record goes behind it.
        tail = [piece for piece in self.suspect if piece[0] >= kept]
        self.suspect = [piece for piece in self.suspect if piece[0] < kept]
        if self.suspect:
            offset = self.suspect[-1][1]
            self.settle()
        self.tally.end = tail[0][0] if tail else offset
        self.torn = bool(tail)

    cdef bint take(self, sp_record *record, uint64_t offset) except -1:
        """Whether a record with a good header is good, as far as this scan looks."""
        self.source.note_number(record.dictionary)
        if record.kind == SP_DICTIONARY:
            self.source.note_dictionary(offset)
        elif (record.kind not in (SP_BLOCK, SP_METADATA) and record.kind < SP_KIND_OPTIONAL
                and not (record.kind in (SP_TOMBSTONE, SP_GROUP) and self.source.shard)):
            raise self.source.failure(SP_KIND, f"record kind {record.kind}", None, offset)
        if not self.fits(record):
            raise errors.BlockTooLargeError("the key or the directory is larger than max_block_size allows",
                                            path=self.source.path, offset=offset)
        return self.payload_is_good(record, offset) if self.check else self.lead_is_good(offset)

    def lead_is_good(self, uint64_t offset):
        """Whether directory and key of a record with a good header match their crc, and a group its members."""
        cdef sp_record record
        cdef size_t n
        cdef const uint8_t *p
        record_decode(self.need(offset, SP_RECORD_HEADER), SP_RECORD_HEADER, self.source.id, offset, &record)
        n = sp_key_position(&record) + record.key_length
        p = self.need(offset, n)
        return (crc32(p + SP_RECORD_HEADER, n - SP_RECORD_HEADER) == record.lead_crc
                and members_are_good(p, &record))

    cdef bint payload_is_good(self, sp_record *record, uint64_t offset) except -1:
        cdef const uint8_t *p = self.need(offset, sp_key_position(record) + record.key_length)
        cdef uint64_t head = offset + sp_lead_size(record) - record.head_stored
        cdef sp_segment *segments = <sp_segment *>malloc(max(<size_t>record.larges, 1) * sizeof(sp_segment))
        cdef uint64_t raw, i
        cdef bint good
        if segments == NULL:
            raise MemoryError
        try:
            good = (directory_decode(p, record, segments, &raw) == SP_OK and members_are_good(p, record)
                    and self.crc(head, record.head_stored) == record.head_crc)
            i = 0
            while good and i < record.larges:
                good = self.crc(offset + segments[i].position, segments[i].stored) == segments[i].crc
                i += 1
        finally:
            free(segments)
        return good

    cdef int enter(self, sp_record *record, uint64_t offset) except -1:
        """Put a record whose lead is good into index and tally."""
        cdef const uint8_t *lead = self.need(offset, sp_key_position(record) + record.key_length)
        cdef uint64_t raw = record.head_raw
        cdef uint32_t i
        cdef sp_entry entry
        for i in range(record.larges):
            raw += sp_load32(lead + SP_RECORD_HEADER + SP_DIRECTORY_ENTRY * <size_t>i + 4)
        if record.kind in (SP_BLOCK, SP_TOMBSTONE):
            entry.offset = offset
            entry.stamp = record.stamp
            entry.size = record.size
            entry.lead = <uint32_t>sp_lead_size(record)
            entry.raw = <uint32_t>min(raw, <uint64_t>0xffffffff)
            entry.pairs = record.pairs
            entry.key_length = record.key_length
            entry.kind = record.kind
            entry.codec = record.codec
            entry.member = 0
            self.index.add(&entry, lead + sp_key_position(record))
        elif record.kind == SP_GROUP:
            list_members(self.index, lead, record, offset)
        return self.tally.note(record, offset, raw)


cdef bint members_are_good(const uint8_t *lead, const sp_record *record) noexcept:
    """Whether the table of a group agrees with its record; that of any other record, which has none, does."""
    return record.kind != SP_GROUP or group_check(lead + sp_key_position(record), record) == SP_OK
