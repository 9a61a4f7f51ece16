from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry
from smartpipe.container.block cimport Block
from smartpipe.container.index cimport Index, Run
from smartpipe.container.pool cimport Stock
from smartpipe.container.source cimport Source

# A batch ends before the block that would make its bytes more than this, as they are stored and inflated: so much is
# read and inflated at once, without the GIL, and still lies in the cache of a core when it is looked at. Of 64 KiB to
# 1 MiB the first was the fastest to read: 5.9 ms for 70 MB, and 8.1 ms in pieces of 256 KiB and more.
cdef enum:
    BATCH = 128 << 10
    INFLATED = 512 << 10
    MOST_BLOCKS = 4096  # of a batch, however small they are


cdef class Batch:
    """Blocks that were read together, and the stocks of the memory they share, to which it returns when no block needs
    it."""
    cdef list blocks
    cdef uint64_t most_stored      # bytes that are read at once, but for a single block
    cdef uint64_t most_raw         # bytes that are inflated at once
    cdef uint64_t first            # the number of the first block
    cdef uint64_t next             # the number of the block behind them
    cdef uint64_t place            # where they begin in the order in which they come
    cdef uint64_t begin            # the bytes of the data file
    cdef uint64_t end
    cdef uint64_t raw              # what they inflate to, as far as that is known before
    cdef Index index               # in which they were found
    cdef list places               # format 1: key and offset of each
    cdef list numbers              # of blocks that do not lie behind one another; None where they do
    cdef object error              # what another thread met
    cdef Stock stored
    cdef Stock inflated
    cdef Buffer tasks              # in use only while the blocks are read


cdef class Near:
    """Bytes of the data file from `begin` on, in which several blocks lie that are asked for."""
    cdef uint64_t begin
    cdef Buffer memory


cdef class Layout:
    """What a reader asks of a format."""
    cdef readonly Source source
    cdef readonly Index index      # for threads: `current`, as a damaged one is made anew
    cdef readonly str index_path
    cdef str index_place           # the same from the root, as the working folder may change
    cdef readonly uint64_t size    # of the data file when it was last looked at
    cdef readonly uint64_t whole   # blocks that were written to their end by then
    cdef object lock               # of whoever changes the index
    cdef str beyond_repair         # why a damaged index could not be made anew
    cdef readonly list complaints  # what a user should know of these files
    cdef Index current(self)
    cdef Index entry(self, uint64_t number, sp_entry *entry)
    cdef bytes key(self, Index index, uint64_t number, sp_entry *entry)
    cdef bytes key_in(self, Run run, sp_entry *entry)
    cdef Index mend(self, Index damaged, damage)
    cdef int check_named(self) except -1
    cdef int64_t find(self, const uint8_t *key, size_t n) except -2
    cdef Block fetch(self, uint64_t number, bytes key, Near near)
    cdef size_t first_read(self, uint64_t number, uint64_t *offset) except? 0
    cdef int read(self, Near near, uint64_t offset, size_t n, uint8_t *to, bytes block) except -1
    cdef int fill(self, Batch batch, uint64_t number, uint64_t stop, frozenset select) except -1
    cdef int plan(self, Batch batch, uint64_t number, uint64_t stop) except -1
    cdef int load(self, Batch batch, frozenset select) except -1
    cdef int load_each(self, Batch batch, list numbers, frozenset select) except -1
    cdef Index extent(self, uint64_t number, sp_entry *entry, uint64_t *stored)
