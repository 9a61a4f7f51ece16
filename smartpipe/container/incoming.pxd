from libc.stdint cimport int64_t, uint8_t, uint64_t

from smartpipe._codec cimport sp_strings
from smartpipe.container.arrow cimport ArrowArray, ArrowArrayStream, ArrowSchema


cdef class Chunk:
    """A batch of rows, released with this object."""
    cdef ArrowArray array


cdef class Field:
    """One of the three columns."""
    cdef str name
    cdef int64_t child             # its number among the columns of the stream
    cdef sp_strings strings        # of the chunk that is looked at, from its first row on
    cdef const uint8_t *valid      # a bit for each row; NULL: no row is null
    cdef uint64_t first            # the bit of the first row
    cdef int bind(self, ArrowArray *parent) except -1
    cdef uint64_t null_row(self, uint64_t start, uint64_t stop) noexcept


cdef class Incoming:
    cdef object capsule            # which has the stream
    cdef ArrowArrayStream *stream
    cdef ArrowSchema schema
    cdef uint64_t limit            # raw bytes behind which a block is too large
    cdef Field block
    cdef Field key
    cdef Field value
    cdef Chunk chunk
    cdef uint64_t row              # the next one of the chunk
    cdef uint64_t rows             # of the chunk
    cdef uint64_t before           # rows of the chunks before it
    cdef int check(self, int code) except -1
    cdef bint advance(self) except -1
