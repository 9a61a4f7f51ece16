from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_record
from smartpipe.container.source cimport Source


cdef class Walk:
    """A way through a data file of format 2, from its start to `size`."""
    cdef readonly Source source
    cdef readonly uint64_t size
    cdef Buffer window
    cdef uint64_t window_offset
    cdef const uint8_t *need(self, uint64_t offset, size_t n) except NULL
    cdef bint fits(self, const sp_record *record) noexcept
    cdef uint32_t crc(self, uint64_t offset, uint64_t n) except? 0
    cdef uint64_t next_header(self, uint64_t offset) except? 0
    cdef bint zeros(self, uint64_t offset) except -1
