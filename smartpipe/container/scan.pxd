from libc.stdint cimport uint64_t

from smartpipe._codec cimport sp_record
from smartpipe.container.index cimport Index
from smartpipe.container.tally cimport Tally
from smartpipe.container.walk cimport Walk


cdef class Scan(Walk):
    cdef Index index
    cdef Tally tally
    cdef bint check
    cdef uint64_t floor
    cdef list suspect
    cdef readonly list damage
    cdef readonly bint torn
    cdef bint take(self, sp_record *record, uint64_t offset) except -1
    cdef int enter(self, sp_record *record, uint64_t offset) except -1
    cdef bint payload_is_good(self, sp_record *record, uint64_t offset) except -1
