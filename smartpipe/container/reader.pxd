from libc.stdint cimport int64_t, uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout


cdef class Reader:
    cdef Layout layout             # another one when the pipe is begun anew before this has shown a block: `current`
    cdef readonly str path
    cdef readonly str index_path
    cdef object place              # the paths from the root
    cdef uint64_t first            # the blocks that this reader shows, by number: all, or those of a split
    cdef uint64_t stop
    cdef bint confined             # to a split
    cdef uint64_t cursor           # of pull_block
    cdef uint64_t limit
    cdef uint64_t skipped          # blocks that iterators left out
    cdef readonly bint closed
    cdef int check_open(self) except -1
    cdef Layout current(self)
    cdef Layout opened(self)
    cdef Block find_block(self, bytes key)
    cdef int64_t number_of_key(self, Layout layout, bytes key) except -2
    cdef bint reopen(self, Layout old) except -1
    cdef uint64_t offset_of(self, Layout layout, uint64_t number) except? 0
    cdef object position_at(self, uint64_t number)
    cdef int skip(self, error, handler) except -1
