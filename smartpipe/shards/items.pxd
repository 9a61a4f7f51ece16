from libc.stdint cimport uint64_t

from smartpipe.container.items cimport Items
from smartpipe.container.layout cimport Batch, Layout
from smartpipe.container.readahead cimport Readahead


cdef class LiveAhead(Readahead):
    """What is read ahead of the blocks of a shard that count."""
    cdef list numbers


cdef class StoreItems(Items):
    """The iterator over (key, block) of a store."""
    cdef object parts              # an iterator over (layout, numbers) of the shards that are left
    cdef object stopped            # is called before each block: raises where the store was closed
    cdef Py_ssize_t threads
    cdef uint64_t readahead
    cdef Layout layout             # of the shard that is read now; None before the first and behind the last
    cdef list numbers              # of its blocks
    cdef bint open_next(self) except -1
