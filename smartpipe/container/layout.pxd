from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry
from smartpipe.container.block cimport Block
from smartpipe.container.index cimport Index
from smartpipe.container.source cimport Source

# A batch ends with the block that makes its stored or raw bytes reach this: so much is read and inflated
# at once, without the GIL, and still lies in the processor's caches when it is looked at.
cdef enum:
    BATCH = 512 << 10
    MOST_BLOCKS = 4096  # of a batch, however small they are


cdef class Batch:
    """Blocks that were read together, and the memory they share, which is used again when no block needs it."""
    cdef list blocks
    cdef uint64_t next             # the number of the block behind them
    cdef list stored               # buffers, of which one or more are in use
    cdef list inflated
    cdef Buffer tasks              # in use only while the blocks are read
    cdef Buffer idle(self, list pool)


cdef class Layout:
    """What a reader asks of a format."""
    cdef readonly Source source
    cdef readonly Index index
    cdef readonly str index_path
    cdef str index_place           # the same from the root, as the working folder may change
    cdef readonly uint64_t size    # of the data file when it was last looked at
    cdef readonly uint64_t whole   # blocks that were written to their end by then
    cdef object lock               # of whoever changes the index
    cdef str beyond_repair         # why a damaged index could not be made anew
    cdef readonly list complaints  # what a user should know of these files
    cdef int entry(self, uint64_t number, sp_entry *entry) except -1
    cdef bytes key(self, uint64_t number, sp_entry *entry)
    cdef int mend(self, damage) except -1
    cdef int check_named(self) except -1
    cdef int64_t find(self, const uint8_t *key, size_t n) except -2
    cdef Block fetch(self, uint64_t number, bytes key)
    cdef int fill(self, Batch batch, uint64_t number, uint64_t stop, frozenset select) except -1
    cdef int extent(self, uint64_t number, sp_entry *entry, uint64_t *stored) except -1
