from libc.stdint cimport uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout, Near


cdef class Scattered:
    """The blocks with these numbers, which rise."""
    cdef Layout layout
    cdef list numbers
    cdef Py_ssize_t at             # of the next one
    cdef Py_ssize_t told           # up to here the system was told
    cdef Py_ssize_t together       # up to here blocks were read together, into `near`
    cdef Near near
    cdef uint64_t offset           # where the block behind them is, and what is read of it; size 0: not known
    cdef size_t size
    cdef Block next(self)
    cdef int gather(self, Py_ssize_t at) except -1
    cdef int tell(self) except -1
