"""Reading the records of a data file of format 2 one after another, where the index does not list them.

FORMAT.md, «Reading without an index, and tails».
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from smartpipe._codec cimport (
    SP_BLOCK, SP_DIRECTORY_ENTRY, SP_KIND, SP_KIND_OPTIONAL, SP_METADATA, SP_OK, SP_RECORD_HEADER, crc32,
    directory_decode, record_decode, record_search, sp_entry, sp_key_position, sp_lead_size, sp_load32,
)

from smartpipe import errors

cdef size_t WINDOW = 64 << 10


cdef class Scan:
    """Adds the records from `tally.end` to `size` to the index and the tally.

    With `check` the segments' checksums are verified too, as a writer must before it goes on behind them; a reader
    finds these when it reads the block. Afterwards `damage` lists (start, end) of what is not a good record though
    good ones follow or it was synced, and `torn` tells that from `tally.end` on there is an unfinished write.
    """

    def __init__(self, Source source, Index index, Tally tally, uint64_t size, bint check):
        self.source = source
        self.index = index
        self.tally = tally
        self.size = size
        self.check = check
        self.window = Buffer()
        self.suspect = []
        self.damage = []

    cdef const uint8_t *need(self, uint64_t offset, size_t n) except NULL:
        """n bytes at an offset that are there; good until the next call."""
        cdef size_t length
        if offset < self.window_offset or n > self.window.size or (
                offset - self.window_offset > self.window.size - n):
            length = min(max(n, WINDOW), self.size - offset)
            self.window.size = 0
            self.source.read_into(offset, length, self.window.extend(length), None)
            self.window_offset = offset
        return self.window.data + (offset - self.window_offset)

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
            if is_record and self.lead_is_good(start):
                record_decode(self.need(start, SP_RECORD_HEADER), SP_RECORD_HEADER, self.source.id, start, &record)
                self.enter(&record, start)
            self.damage.append((start, end))
        self.suspect.clear()

    def finish(self, uint64_t offset, bint zeros):
        """The scan ended at an offset: decide what is a torn tail."""
        cdef uint64_t synced = self.tally.synced
        if self.size < synced:
            raise errors.TruncatedError(f"the file has {self.size} bytes, of which {synced} had been synced",
                                        path=self.source.path, offset=self.size)
        if offset < self.size and not (zeros and offset >= synced):
            self.suspect.append((offset, self.size, False))
        # Below what was synced nothing is ever cut: it is damage, and the next record goes behind it.
        tail = [piece for piece in self.suspect if piece[0] >= synced]
        self.suspect = [piece for piece in self.suspect if piece[0] < synced]
        if self.suspect:
            offset = self.suspect[-1][1]
            self.settle()
        self.tally.end = tail[0][0] if tail else offset
        self.torn = bool(tail)

    cdef bint take(self, sp_record *record, uint64_t offset) except -1:
        """Whether a record with a good header is good, as far as this scan looks."""
        if record.kind not in (SP_BLOCK, SP_METADATA) and record.kind < SP_KIND_OPTIONAL:
            raise self.source.failure(SP_KIND, f"record kind {record.kind}", None, offset)
        return self.payload_is_good(record, offset) if self.check else self.lead_is_good(offset)

    def lead_is_good(self, uint64_t offset):
        """Whether directory and key of a record with a good header match their crc."""
        cdef sp_record record
        cdef size_t n
        record_decode(self.need(offset, SP_RECORD_HEADER), SP_RECORD_HEADER, self.source.id, offset, &record)
        n = sp_key_position(&record) + record.key_length
        return crc32(self.need(offset, n) + SP_RECORD_HEADER, n - SP_RECORD_HEADER) == record.lead_crc

    cdef bint payload_is_good(self, sp_record *record, uint64_t offset) except -1:
        cdef const uint8_t *p = self.need(offset, record.size)
        cdef sp_segment *segments = <sp_segment *>malloc(max(<size_t>record.larges, 1) * sizeof(sp_segment))
        cdef uint64_t raw, i
        cdef bint good
        if segments == NULL:
            raise MemoryError
        with nogil:
            good = directory_decode(p, record, segments, &raw) == SP_OK
            if good:
                good = crc32(p + sp_lead_size(record) - record.head_stored, record.head_stored) == record.head_crc
            i = 0
            while good and i < record.larges:
                good = crc32(p + segments[i].position, segments[i].stored) == segments[i].crc
                i += 1
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
        if record.kind == SP_BLOCK:
            entry.offset = offset
            entry.stamp = record.stamp
            entry.size = record.size
            entry.lead = <uint32_t>sp_lead_size(record)
            entry.raw = <uint32_t>min(raw, <uint64_t>0xffffffff)
            entry.pairs = record.pairs
            entry.key_length = record.key_length
            entry.kind = record.kind
            entry.codec = record.codec
            self.index.add(&entry, lead + sp_key_position(record))
        return self.tally.note(record, offset, raw)

    cdef bint zeros(self, uint64_t offset) except -1:
        """Whether all bytes from an offset on are zero."""
        cdef const uint8_t *p
        cdef size_t n, i
        while offset < self.size:
            n = min(WINDOW, self.size - offset)
            p = self.need(offset, n)
            for i in range(n):
                if p[i] != 0:
                    return False
            offset += n
        return True

    cdef uint64_t next_header(self, uint64_t offset) except? 0:
        """The next offset with a valid record header, or the size of the file."""
        cdef const uint8_t *p
        cdef size_t n, at
        cdef sp_record record
        while self.size - offset >= SP_RECORD_HEADER:
            n = min(WINDOW, self.size - offset)
            p = self.need(offset, n)
            at = record_search(p, n, 0)
            while at + SP_RECORD_HEADER <= n:
                if record_decode(p + at, n - at, self.source.id, offset + at, &record) == SP_OK:
                    return offset + at
                at = record_search(p, n, at + 1)
            # A header that begins within the last bytes is looked at again with what follows.
            offset += n if n == self.size - offset else n - SP_RECORD_HEADER + 1
        return self.size
