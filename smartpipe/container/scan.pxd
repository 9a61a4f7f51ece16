from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport Buffer, sp_record, sp_segment
from smartpipe.container.index cimport Index
from smartpipe.container.source cimport Source
from smartpipe.container.tally cimport Tally


cdef class Scan:
    cdef Source source
    cdef Index index
    cdef Tally tally
    cdef uint64_t size
    cdef bint check
    cdef Buffer window
    cdef uint64_t window_offset
    cdef list suspect
    cdef readonly list damage
    cdef readonly bint torn
    cdef const uint8_t *need(self, uint64_t offset, size_t n) except NULL
    cdef uint64_t next_header(self, uint64_t offset) except? 0
    cdef bint zeros(self, uint64_t offset) except -1
    cdef bint take(self, sp_record *record, uint64_t offset) except -1
    cdef int enter(self, sp_record *record, uint64_t offset) except -1
    cdef bint payload_is_good(self, sp_record *record, uint64_t offset) except -1
