from libc.stdint cimport uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout, Near


cdef class Scattered:
    """The blocks with so many numbers, which rise."""
    cdef Layout layout
    cdef list found                # (number, key) of each
    cdef Py_ssize_t at             # of the next one
    cdef Py_ssize_t told           # up to here the system was told
    cdef Near near
    cdef Block next(self)
    cdef int gather(self, uint64_t number) except -1
    cdef int tell(self) except -1
