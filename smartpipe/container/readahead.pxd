from libc.stdint cimport uint64_t

from smartpipe.container.layout cimport Batch, Layout


cdef class Readahead:
    """What is read before it is asked for, by threads or at random."""
    cdef Layout layout
    cdef frozenset select
    cdef Py_ssize_t threads
    cdef uint64_t most             # bytes of the batches that were planned and not given back
    cdef bint ordered
    cdef object seed               # of a random order, None for that of the file
    cdef uint64_t start            # the blocks: from the first that there is ...
    cdef uint64_t planned          # ... those before this one are planned ...
    cdef uint64_t used             # bytes of what is planned and not given back
    cdef Batch refused             # planned, and too large for what is in use now
    cdef object batches            # a deque: planned and not handed out, in order, with their futures
    cdef object done               # a queue of those that are read, where the order does not matter
    cdef object executor
    cdef int pid                   # of the process that has the threads
    cdef list idle
    cdef Batch given               # what was handed out last
    cdef Batch next(self, uint64_t stop)
    cdef bint is_planned(self, Batch batch) except -1
    cdef int submit(self, uint64_t stop) except -1
    cdef Batch plan(self, uint64_t stop)
    cdef int choose(self, Batch batch, uint64_t stop) except -1
    cdef uint64_t number_at(self, uint64_t place, uint64_t stop) noexcept
    cdef int stop(self) except -1
