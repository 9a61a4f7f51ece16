"""Blocks on their way into a shard: encoded before any lock is taken, and small values together, as groups."""

from collections.abc import Mapping

from cpython.bytes cimport PyBytes_GET_SIZE

from smartpipe._codec cimport SP_MEMBER, SP_NONE, SP_PAIR_LENGTHS
from smartpipe.container.block cimport as_bytes
from smartpipe.container.encoder cimport LARGE
from smartpipe.container.group cimport encode_group

from smartpipe import errors

# Blocks are written together, as many as make so many bytes, or so many.
cdef uint64_t BATCH = 1 << 20
cdef Py_ssize_t MOST_TOGETHER = 4096
# A group has so many bytes before it is compressed, its keys included. Measured in docs/shards.md, «Small values».
cdef uint64_t GROUP = 16 << 10


cdef class Members:
    def __init__(self, uint64_t limit):
        self.most = min(GROUP, limit)
        self.values = []

    cdef bint is_small(self, bytes key, bytes value) noexcept:
        """Whether a value may be one of a group."""
        return (PyBytes_GET_SIZE(value) < LARGE and PyBytes_GET_SIZE(key) < LARGE
                and member_size(key, value) <= self.most)

    cdef bint has_room(self, bytes key, bytes value) noexcept:
        return self.size + member_size(key, value) <= self.most

    cdef int add(self, bytes key, bytes value, uint64_t stamp) except -1:
        self.values.append((key, value, stamp))
        self.size += member_size(key, value)
        return 0

    cdef list take(self):
        """Give what has gathered, and begin the next group."""
        values, self.values = self.values, []
        self.size = 0
        return values


cdef uint64_t member_size(bytes key, bytes value) noexcept:
    return SP_MEMBER + SP_PAIR_LENGTHS + PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value)


cdef class WriteBatch:
    def __init__(self, str path, Encoders encoders, Compressors compressors, uint8_t codec, uint64_t limit):
        self.path = path
        self.encoders = encoders
        self.compressors = compressors
        self.compresses = codec != SP_NONE
        self.members = Members(limit)
        self.records = []
        self.names = set()

    cdef int add(self, bytes key, object pairs) except -1:
        """Take a block, whose key is not one of `names`: its pairs, or its single value."""
        cdef bytes value = None
        if not isinstance(pairs, (dict, list, tuple, str)):
            try:
                value = as_bytes(pairs, "the data")
                pairs = ((b"", value),)
            except TypeError:
                pairs = repeatable(pairs)
        self.names.add(key)
        if value is None or not self.compresses or not self.members.is_small(key, value):
            return self.add_block(key, pairs)
        if not self.members.has_room(key, value):
            self.end_group()
        return self.members.add(key, value, 0)

    cdef int add_block(self, bytes key, object pairs) except -1:
        cdef Encoder2 encoder = self.encoders.take()
        self.records.append((encoder, key, pairs))
        encode(encoder, key, pairs, self.compressors, self.path)
        self.size += encoder.out.size
        return 0

    cdef int end_group(self) except -1:
        """Make a record of the small values that have gathered."""
        cdef list values = self.members.take()
        cdef Encoder2 encoder
        if len(values) == 1:
            self.add_block(values[0][0], ((b"", values[0][1]),))
        elif values:
            encoder = self.encoders.take()
            self.records.append((encoder, None, values))
            self.encode_members(encoder, values)
            self.size += encoder.out.size
        return 0

    cdef int encode_members(self, Encoder2 encoder, list values) except -1:
        cdef Compressor compressor = self.compressors.take()
        encode_group(encoder, values, compressor)
        self.compressors.give(compressor)
        return 0

    cdef bint is_full(self) noexcept:
        return self.size >= BATCH or len(self.names) >= MOST_TOGETHER

    cdef int clear(self) except -1:
        """Forget all blocks."""
        for encoder, _, _ in self.records:
            self.encoders.give(encoder)
        self.records.clear()
        self.members.take()
        self.names.clear()
        self.size = 0
        return 0


cdef int encode(Encoder2 encoder, bytes key, object pairs, Compressors compressors, str path) except -1:
    """Make the bytes of a record, whose header is written when its place is known."""
    cdef Compressor compressor
    try:
        encoder.fill(pairs)
        compressor = compressors.take()
        encoder.encode(key, compressor)
        compressors.give(compressor)
    except errors.SmartPipeError as error:
        error.path, error.block = path, key
        raise
    return 0


cdef object repeatable(object pairs):
    """Pairs that can be looked at a second time, where the key is there already."""
    if isinstance(pairs, (dict, list, tuple, bytes, str)):
        return pairs
    return dict(pairs) if isinstance(pairs, Mapping) else list(pairs)
