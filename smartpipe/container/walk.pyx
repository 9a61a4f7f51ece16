"""Going through a data file of format 2 without its index: bytes at hand, and where the next record may begin."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport (
    SP_DIRECTORY_ENTRY, SP_OK, SP_RECORD_HEADER, Buffer, crc32_on, record_decode, record_search, sp_record,
)
from smartpipe.container.source cimport Source

cdef size_t WINDOW = 64 << 10
cdef uint64_t LEAST = 16 << 20


cdef class Walk:
    def __init__(self, Source source, uint64_t size):
        self.source = source
        self.size = size
        self.window = Buffer()

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

    cdef bint fits(self, const sp_record *record) noexcept:
        """Whether directory and key are no larger than a reader takes. max_block_size does not count them, so that a
        small one does not hide blocks."""
        cdef uint64_t most = max(self.source.limit, LEAST)
        return <uint64_t>SP_DIRECTORY_ENTRY * record.larges <= most and record.key_length <= most

    cdef uint32_t crc(self, uint64_t offset, uint64_t n) except? 0:
        """The crc of n bytes at an offset, which are there; with memory for a few of them."""
        cdef uint32_t crc = 0
        cdef const uint8_t *p
        cdef size_t part
        while n > 0:
            part = min(n, WINDOW)
            p = self.need(offset, part)
            crc = crc32_on(crc, p, part)
            offset += part
            n -= part
        return crc

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
