from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe.container.block cimport Block
from smartpipe.container.compressor cimport Compressors
from smartpipe.container.encoder cimport Encoder2, Encoders
from smartpipe.shards.shard_set cimport ShardSet
from smartpipe.shards.write_batch cimport WriteBatch


cdef class ShardStore(ShardSet):
    """See store.pyx for what users see.

    Two locks: `writing` is held by whoever changes the store, also while it waits for the disk or for other processes;
    `table` by whoever looks at the catalog and the shards, for a moment. Who has both took `writing` first.
    """
    cdef readonly bint closed
    cdef dict options              # as they were given
    cdef int codec                 # of what is written
    cdef object durability
    cdef object auto_compact
    cdef bint each                 # what `put` acknowledges is on the disk
    cdef object writing
    cdef long generation
    cdef uint64_t died             # bytes of records that stopped counting since a look was taken at them
    cdef object compacting         # the thread that compacts; None where none does
    cdef bint stopping             # and it is to end
    cdef Compressors compressors
    cdef Encoders encoders
    cdef int check(self) except -1
    cdef int check_writable(self) except -1
    cdef Block find_block(self, bytes key)
    cdef int add(self, bytes key, object pairs, bint overwrite) except -1
    cdef bint settle(self, bytes key, Encoder2 encoder, object pairs, bint overwrite, bint removes) except -1
    cdef int write(self, bytes key, Encoder2 encoder) except -1
    cdef uint64_t write_group(self, WriteBatch batch, Encoder2 encoder, list values, bint overwrite) except? 0
    cdef int ready(self) except -1
    cdef int lock_keys(self, uint64_t first, uint64_t count) except -1
    cdef int unlock_keys(self, uint64_t first, uint64_t count) except -1
