from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, Dictionary
from smartpipe._platform cimport Descriptor
from smartpipe.container.pool cimport Pool


cdef enum:
    # An inflater is faster as long as there is so much room behind what it writes.
    SLACK = 320
    # Bytes of a dictionary. FORMAT.md, «Dictionaries».
    MOST_DICTIONARY = 1 << 20


cdef struct Task:
    # One segment to be checked and inflated with `codec` into `out`, which has room for `raw` bytes and `slack` behind
    # them; with `exact` it must have `raw` bytes, otherwise `raw` becomes what it has. With `out` NULL it is stored
    # plain, and only checked.
    const uint8_t *stored
    size_t size
    uint8_t *out
    size_t raw
    size_t slack
    uint32_t crc
    uint8_t codec
    const void *dictionary  # NULL for none; the block keeps it
    bint check
    bint exact
    int status


cdef bint is_too_large(uint64_t n, uint64_t limit) noexcept


cdef class Source:
    """An open data file, what was read from it, and the streams that inflate it."""
    cdef readonly str path         # as the user named it
    cdef readonly str place        # the same from the root, as the working folder may change
    cdef readonly uint64_t limit
    cdef readonly uint64_t id
    cdef public bint shard         # of a store: it has tombstones, and keys more than once
    cdef readonly uint64_t read_bytes
    cdef readonly uint64_t inflated_bytes
    cdef Descriptor file
    cdef int users
    cdef bint closed
    cdef Pool inflaters
    cdef int enter(self) except -1
    cdef int leave(self, uint64_t got) except -1
    cdef int expect(self, uint64_t offset, uint64_t n) except -1
    cdef readonly uint64_t highest  # number of a dictionary that any record names
    cdef set met                   # offsets of all dictionary records
    cdef dict unread               # those that were not looked at
    cdef dict good                 # offset of the first good copy of each dictionary, by number
    cdef dict dictionaries         # that were needed, by number
    cdef int note_dictionary(self, uint64_t offset) except -1
    cdef int note_number(self, uint16_t number) noexcept
    cdef Dictionary dictionary(self, uint16_t number, bytes block, uint64_t offset)
    cdef int read_dictionaries(self) except -1
    cdef bytes read_dictionary(self, uint64_t offset, uint16_t *number)
    cdef int read_into(self, uint64_t offset, size_t n, uint8_t *to, bytes block) except -1
    cdef size_t read_some(self, uint64_t offset, size_t n, uint8_t *to) except? 0
    cdef object too_large(self, uint64_t stored, bytes block, uint64_t offset)
    cdef int run(self, Task *tasks, size_t count) except -1
    cdef object failure(self, int status, str what, bytes block, uint64_t offset)
