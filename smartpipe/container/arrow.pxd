"""The Arrow C data interface and C stream interface, as their specification gives them:
https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html there.
"""

from libc.stdint cimport int64_t, uint64_t

from smartpipe._codec cimport Buffer
from smartpipe.container.gather cimport Gatherer, Memory


cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept nogil
    void *private_data


cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept nogil
    void *private_data


cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept nogil
    int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept nogil
    const char *(*get_last_error)(ArrowArrayStream *) noexcept nogil
    void (*release)(ArrowArrayStream *) noexcept nogil
    void *private_data


cdef class Slice:
    """Rows of a batch: the block key of each, in buffers of its own, and the memory that the pairs lie in."""
    cdef Memory memory
    cdef Buffer offsets
    cdef Buffer blocks


cdef class Stream:
    """What an exported stream reads from."""
    cdef Gatherer source
    cdef Memory memory             # the batch of which rows are left; None: the next one is due
    cdef uint64_t row              # the first of them
    cdef uint64_t block            # that it is of
    cdef object error              # that ended the stream
    cdef bytes message
    cdef int next(self, ArrowArray *out) except -1
    cdef Slice slice(self, uint64_t *rows)


cdef object export(Gatherer source)
