from libc.stdint cimport uint64_t

from smartpipe.container.format2 cimport Format2
from smartpipe.container.output cimport Output2


cdef class Shard:
    """A pipe of a store: open for reading, and for writing where this process has its lock."""
    cdef readonly uint64_t id
    cdef readonly str data         # the path of the data file
    cdef readonly int codec
    cdef readonly uint64_t counter  # that tells that it grew; 0: it is full
    cdef readonly Format2 layout
    cdef readonly Output2 output   # None where this process does not write it
    cdef int place                 # in the catalog
    cdef uint64_t seen             # the counter when it was looked at last
    cdef bint look(self) except -1
    cdef int sync(self) except -1
