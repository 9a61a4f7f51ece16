from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport Buffer
from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout
from smartpipe.container.scan cimport Scan
from smartpipe.container.tally cimport Tally


cdef class Format2(Layout):
    cdef readonly Tally tally
    cdef readonly int codec
    cdef Block open_block(self, const uint8_t *record, size_t present, uint64_t offset, uint64_t size, Buffer memory,
                          bytes key, int kind)
    cdef int complain_of_damage(self, Scan scan) except -1
    cdef bint same_end(self) except -1
    cdef int inflate_heads(self, list blocks, Buffer tasks, Buffer memory) except -1
    cdef int inflate_values(self, list blocks, Buffer tasks) except -1
