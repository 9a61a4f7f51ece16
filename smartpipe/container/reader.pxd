from libc.stdint cimport uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout


cdef class Reader:
    cdef Layout layout
    cdef readonly str path
    cdef readonly str data_path
    cdef readonly str index_path
    cdef readonly int format
    cdef readonly str codec
    cdef uint64_t first            # the blocks that this reader shows, by number: all, or those of a split
    cdef uint64_t stop
    cdef uint64_t cursor           # of pull_block
    cdef readonly bint closed
    cdef int check_open(self) except -1
    cdef Block find_block(self, bytes key)
