from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_catalog, sp_entry, sp_listed
from smartpipe.container.index cimport Index


cdef class Catalog:
    """Which entry counts for each key of a store, over the indexes of all its shards, each of which has a place here.

    Whoever calls this keeps others away meanwhile.
    """
    cdef sp_catalog c
    cdef Buffer slots
    cdef Buffer listed
    cdef list indexes              # by place, None where it is free
    cdef list runs                 # by place: the C arrays of the runs, and what they are made of
    cdef int add_place(self) except -1
    cdef int take(self, Index index, uint64_t count) except -1
    cdef int enter(self, int place, uint64_t count) except -1
    cdef int drop(self, int place) except -1
    cdef int show(self, int place) except -1
    cdef int make_room(self, uint64_t count) except -1
    cdef int rebuild(self, uint64_t count) except -1
    cdef bint find(self, uint64_t hash, const uint8_t *key, size_t n, uint32_t *place, uint64_t *number,
                   sp_entry *entry) except -1
    cdef list numbers(self, int place, bint tombstones)
    cdef sp_listed *at(self, int place) noexcept
