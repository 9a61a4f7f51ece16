from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry
from smartpipe._platform cimport Counters, Descriptor
from smartpipe.shards.catalog cimport Catalog
from smartpipe.shards.shard cimport Shard


cdef class ShardSet:
    """The shards of a store as its current manifest lists them, and which record of a key counts.

    All of this happens under `table`, which is held for a moment only; but for `is_current`.
    """
    cdef readonly str path         # absolute
    cdef readonly str mode
    cdef readonly object folder
    cdef readonly object manifest  # the one whose shards are open
    cdef uint64_t shard_size
    cdef uint64_t limit
    cdef object table
    cdef uint8_t[16] hash_key
    cdef Descriptor key_locks      # whose bytes are the locks of keys
    cdef Descriptor leases
    cdef Counters counters         # None where there are none
    cdef uint64_t seen             # counter 0 when the manifest was read
    cdef int looking               # somebody takes in what a shard has more
    cdef Catalog catalog
    cdef readonly dict shards      # by id
    cdef list places               # the shard at each place of the catalog
    cdef list growing              # those that other processes write, or wrote
    cdef Buffer watched            # number and value of the counter of each of them, as `is_current` wants it
    cdef Shard own                 # None where this process writes none
    cdef uint64_t hash(self, bytes key) noexcept
    cdef int catch_up(self) except -1
    cdef bint is_current(self) except -1
    cdef int watch(self) except -1
    cdef int look(self, Shard shard) except -1
    cdef int install(self, Shard shard) except -1
    cdef int forget(self, Shard shard) except -1
    cdef bint find(self, bytes key, uint32_t *place, uint64_t *number, sp_entry *entry) except -1
