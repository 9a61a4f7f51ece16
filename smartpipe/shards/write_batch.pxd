from libc.stdint cimport uint8_t, uint64_t

from smartpipe.container.compressor cimport Compressor, Compressors
from smartpipe.container.encoder cimport Encoder2, Encoders


cdef class Members:
    """Small values that become a group."""
    cdef list values               # (key, value, stamp)
    cdef uint64_t size             # of what there is, before it is compressed
    cdef uint64_t most             # of a group
    cdef bint is_small(self, bytes key, bytes value) noexcept
    cdef bint has_room(self, bytes key, bytes value) noexcept
    cdef int add(self, bytes key, bytes value, uint64_t stamp) except -1
    cdef list take(self)


cdef class WriteBatch:
    """Blocks that are written and acknowledged together."""
    cdef str path
    cdef Encoders encoders
    cdef Compressors compressors
    cdef bint compresses
    cdef Members members           # that are not encoded yet
    cdef list records              # (encoder, key, pairs) of those that are, and (encoder, None, values) of a group
    cdef set names                 # the keys of all
    cdef uint64_t size             # of the records
    cdef int add(self, bytes key, object pairs) except -1
    cdef int end_group(self) except -1
    cdef int add_block(self, bytes key, object pairs) except -1
    cdef int encode_members(self, Encoder2 encoder, list values) except -1
    cdef bint is_full(self) noexcept
    cdef int clear(self) except -1


cdef int encode(Encoder2 encoder, bytes key, object pairs, Compressors compressors, str path) except -1
cdef object repeatable(object pairs)
