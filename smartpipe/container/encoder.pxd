from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, Deflater, sp_record
from smartpipe.container.compressor cimport Compressor
from smartpipe.container.pool cimport Pool
from smartpipe.container.rows cimport Rows


cdef enum:
    LARGE = 4096  # a value of so many bytes or more is a segment of its own. Measured in FORMAT.md, «The head»


cdef class Encoder:
    """The pairs of one block on their way into a data file; used again for the next."""
    cdef uint64_t limit
    cdef uint8_t codec
    cdef readonly uint64_t raw
    cdef readonly uint32_t pairs
    cdef Buffer out                # the bytes for the data file, after `encode`
    cdef int clear(self) except -1
    cdef size_t most_kept(self) noexcept
    cdef int add(self, object key, object value) except -1
    cdef int put(self, bytes key, bytes value) except -1
    cdef int add_rows(self, Rows rows) except -1
    cdef int put_rows(self, Rows rows) except -1
    cdef int encode(self, bytes block, Compressor compressor) except -1
    cdef int prove(self, Compressor compressor) except -1


cdef class Encoder1(Encoder):
    cdef Buffer data


cdef class Encoder2(Encoder):
    cdef sp_record record          # after `encode` complete but for stamp, synced and ordinal
    cdef Buffer key_lengths
    cdef Buffer value_lengths
    cdef Buffer keys
    cdef Buffer small
    cdef Buffer head
    cdef Buffer segments
    cdef list large                # what keeps the large values, which are not copied
    cdef Buffer pointers
    cdef uint64_t large_raw
    cdef Rows rows                 # all pairs, in the place of the four buffers; None: they are there
    cdef int encode_to(self, Buffer out, bytes block, Compressor compressor) except -1
    cdef int put_segments(self, Deflater quick, Deflater deflater, uint8_t *head, uint8_t *to,
                          uint64_t *position) noexcept nogil
    cdef void put_head(self, uint8_t *to) noexcept nogil
    cdef uint64_t store(self, Deflater deflater, const uint8_t *p, uint64_t n, uint8_t *out,
                        int *status) noexcept nogil


cdef class Encoders:
    """The encoders of a writer that nobody uses, empty."""
    cdef int format
    cdef uint64_t limit
    cdef uint8_t codec
    cdef Pool idle
    cdef Encoder take(self)
    cdef int give(self, Encoder encoder) except -1
