from libc.stdint cimport uint8_t

from smartpipe._codec cimport Buffer


cdef class Pool:
    """Objects that one thread at a time uses: those that nobody does, kept for whoever needs one next."""
    cdef list idle
    cdef object take(self)
    cdef int give(self, object one) except -1
    cdef int clear(self) except -1


cdef enum:
    MOST_KEPT = 2


cdef class Stock:
    """Memory that nobody uses, kept for whoever needs some next."""
    cdef uint8_t *data[MOST_KEPT]
    cdef size_t capacities[MOST_KEPT]
    cdef int count
    cdef Buffer lend(self)


cdef class Lent(Buffer):
    """Memory from a stock, which gets it back with the last reference to this object."""
    cdef Stock stock
