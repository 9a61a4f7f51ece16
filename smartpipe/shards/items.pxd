from libc.stdint cimport uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Batch, Layout
from smartpipe.container.readahead cimport Readahead


cdef class LiveAhead(Readahead):
    """What is read ahead of the blocks of a shard that count."""
    cdef list numbers


cdef class Items:
    """The iterator over (key, block) of a store."""
    cdef object parts              # an iterator over (layout, numbers) of the shards that are left
    cdef object stopped            # is called before each block: raises where the store was closed
    cdef frozenset select
    cdef object handler            # of errors; None: they are raised
    cdef Py_ssize_t threads
    cdef uint64_t readahead
    cdef Layout layout             # of the shard that is read now; None between two
    cdef list numbers              # of its blocks
    cdef uint64_t place            # of the next one among them
    cdef uint64_t careful          # up to here blocks are read one at a time, as one of them is damaged
    cdef LiveAhead ahead           # None: blocks are read when they are asked for
    cdef Batch batch
    cdef Batch nothing             # an empty one
    cdef Py_ssize_t at             # of the next block in the batch
    cdef Block last
    cdef Block before
    cdef bint running
    cdef bint open_next(self) except -1
    cdef int fill(self) except -1
    cdef int read(self, bint single) except -1
    cdef int leave(self) except -1


cdef uint64_t stretch(list numbers, uint64_t place) except? 0
