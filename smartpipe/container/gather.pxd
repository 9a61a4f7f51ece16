from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport Buffer
from smartpipe.container.block cimport Block
from smartpipe.container.pool cimport Stock


cdef class Wanted:
    """The pair keys of a `select`, as the C of columns takes them."""
    cdef list keys
    cdef Buffer array


cdef class Memory:
    """The buffers of a batch: keys and offsets of the blocks, and the two columns of their pairs.

    Each is of a stock of its own, for a later batch to use again: their sizes differ, and stay alike from batch to
    batch.
    """
    cdef readonly uint64_t blocks
    cdef readonly uint64_t pairs
    cdef uint64_t repeated         # bytes that a column of the block key of each pair takes
    cdef Buffer block_keys
    cdef Buffer block_key_offsets
    cdef Buffer block_pairs
    cdef Buffer keys
    cdef Buffer key_offsets
    cdef Buffer values
    cdef Buffer value_offsets
    cdef Buffer larges             # in use only while a block is added
    cdef uint64_t size(self) noexcept
    cdef int add(self, Block block, Wanted wanted) except -1
    cdef const uint8_t **larges_of(self, Block block) except? NULL


cdef class Gatherer:
    """Batches of whole blocks, made of an iterator over (key, block)."""
    cdef object items              # the iterator over (key, block)
    cdef uint64_t limit            # bytes at which a batch ends
    cdef bint repeats              # the block key of each pair counts
    cdef list stocks
    cdef object begun              # the position at which the last batch began; None: there is none
    cdef Memory partial            # of an iteration that was interrupted
    cdef object error              # of the block behind the batch that was given
    cdef frozenset select          # that `wanted` was made of
    cdef Wanted wanted
    cdef bint running
    cdef object failure            # that was raised last
    cdef bint ended                # nothing is left
    cdef Memory gather(self)
    cdef Memory collect(self)
    cdef int fill(self, Memory memory) except -1
