from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, Dictionary, sp_cursor, sp_pair, sp_record, sp_segment
from smartpipe.container.source cimport Source, Task


# Anything with the buffer protocol as bytes; `what` names it in the TypeError.
cdef bytes as_bytes(object value, str what)


cdef class Block:
    """A block; see block.pyx for what users see.

    Its pairs are walked in `head`: all of them in format 1, and in format 2 the inflated head, with the large values in
    segments beside it. What is NULL was not read yet. Memory is kept alive by `stored` and `memory`, which blocks of
    one batch share. While a thread looks at it, another may inflate the head too, or move the block elsewhere; so
    whoever looks at it holds it.
    """
    cdef readonly bytes key
    cdef Source source
    cdef uint64_t offset
    cdef sp_record record          # of format 1 only `pairs`
    cdef Dictionary dictionary     # None for none
    cdef bint table                # format 2: the head begins with the lengths
    cdef const uint8_t *lead       # the record, as far as it was read
    cdef size_t present            # how far that is
    cdef const uint8_t *head
    cdef uint64_t key_bytes        # bytes of all pair keys
    cdef sp_segment *segments
    cdef list loaded               # the large values that were inflated; None for those that were not
    cdef bint checked              # the stored bytes of all selected values are there and match their crcs
    cdef Buffer stored             # where `lead` is
    cdef Buffer memory             # where `head` is
    cdef frozenset select
    cdef Py_ssize_t shown          # pairs that select leaves, -1: not counted yet
    cdef int open_record(self, Source source, uint64_t offset, sp_record *record, const uint8_t *lead, size_t present,
                         Buffer stored, uint64_t *raw) except -1
    cdef int prepare(self) except -1
    cdef int set_head(self, const uint8_t *head, Buffer memory) except -1
    cdef Buffer begin(self, sp_cursor *cursor)
    cdef bint next(self, sp_cursor *cursor, sp_pair *pair) except -1
    cdef bytes value(self, sp_pair *pair)
    cdef bytes load(self, uint32_t large)
    cdef bytes plan_value(self, const sp_segment *segment, Task *task)
    cdef int check_value(self, const sp_segment *segment, const Task *task) except -1
    cdef bytes keep(self, uint32_t large, bytes value)
    cdef int load_all(self) except -1
    cdef int detach(self) except -1
