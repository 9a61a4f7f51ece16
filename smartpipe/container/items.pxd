from libc.stdint cimport uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Batch
from smartpipe.container.readahead cimport Readahead


cdef class Items:
    """The iterator over (key, block). What is read, and in what order, is known to the class for a pipe, or a store."""
    cdef frozenset select
    cdef object handler            # of errors; None: they are raised
    cdef uint64_t place            # of the next block in the order in which they come
    cdef uint64_t careful          # up to here blocks are read one at a time, as one of them is damaged
    cdef Readahead ahead           # None: blocks are read when they are asked for
    cdef uint64_t stop             # behind the last place; of a pipe that may grow it is not used
    cdef Batch batch
    cdef Batch nothing             # an empty one
    cdef Py_ssize_t at             # of the next block in the batch
    cdef Block last
    cdef Block before
    cdef bint running
    cdef int check_open(self) except -1
    cdef int fill(self) except -1
    cdef bint read(self, bint single) except -1
    cdef bint read_now(self, bint single) except -1
    cdef int skip(self, error) except -1
    cdef int leave(self) except -1


cdef int check_handled(error, handler) except -1
