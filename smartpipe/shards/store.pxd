from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport sp_entry
from smartpipe._platform cimport Counters, Descriptor
from smartpipe.container.block cimport Block
from smartpipe.container.compressor cimport Compressors
from smartpipe.container.encoder cimport Encoder2, Encoders
from smartpipe.shards.catalog cimport Catalog
from smartpipe.shards.shard cimport Shard


cdef class ShardStore:
    """See store.pyx for what users see.

    Two locks: `writing` is held by whoever changes the store, also while it waits for the disk or for other processes;
    `table` by whoever looks at the catalog and the shards, for a moment. Who has both took `writing` first.
    """
    cdef readonly str path         # absolute
    cdef readonly str mode
    cdef readonly bint closed
    cdef readonly object folder
    cdef readonly object manifest  # the one whose shards are open
    cdef dict options              # as they were given
    cdef int codec                 # of what is written
    cdef uint64_t shard_size
    cdef uint64_t limit
    cdef object durability
    cdef object auto_compact
    cdef bint each                 # what `put` acknowledges is on the disk
    cdef object writing
    cdef object table
    cdef uint8_t[16] hash_key
    cdef Descriptor key_locks      # whose bytes are the locks of keys
    cdef Descriptor leases
    cdef Counters counters         # None where there are none
    cdef uint64_t seen             # counter 0 when the manifest was read
    cdef int looking               # somebody takes in what a shard has more
    cdef long generation
    cdef Catalog catalog
    cdef readonly dict shards      # by id
    cdef list places               # the shard at each place of the catalog
    cdef list growing              # those that other processes write, or wrote
    cdef Shard own                 # None where this process writes none
    cdef uint64_t died             # bytes of records that stopped counting since a look was taken at them
    cdef object compacting         # the thread that compacts; None where none does
    cdef bint stopping             # and it is to end
    cdef Compressors compressors
    cdef Encoders encoders
    cdef int check(self) except -1
    cdef int check_writable(self) except -1
    cdef uint64_t hash(self, bytes key) noexcept
    cdef int catch_up(self) except -1
    cdef bint is_current(self) except -1
    cdef int look(self, Shard shard) except -1
    cdef int install(self, Shard shard) except -1
    cdef int forget(self, Shard shard) except -1
    cdef bint find(self, bytes key, uint32_t *place, uint64_t *number, sp_entry *entry) except -1
    cdef Block find_block(self, bytes key)
    cdef int add(self, bytes key, object pairs, bint overwrite) except -1
    cdef bint settle(self, bytes key, Encoder2 encoder, object pairs, bint overwrite, bint removes) except -1
    cdef int write(self, bytes key, Encoder2 encoder) except -1
    cdef int ready(self) except -1
    cdef int lock_keys(self, uint64_t first, uint64_t count) except -1
    cdef int unlock_keys(self, uint64_t first, uint64_t count) except -1
