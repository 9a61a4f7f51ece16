from libc.stdint cimport uint32_t, uint64_t

from smartpipe._codec cimport Buffer
from smartpipe.container.index cimport Index
from smartpipe.container.tally cimport Tally


cdef class Frames:
    """The index file of a pipe of format 2, as it was found."""
    cdef readonly Index index
    cdef readonly Tally tally
    cdef readonly uint64_t data_size  # when the index was read
    cdef uint64_t mapped           # frames whose tables are used as they lie in the file
    cdef readonly uint64_t floor   # a frame lists blocks up to here, whose data may not all have arrived
    cdef readonly bint closed      # the last frame says that the pipe was closed cleanly
    cdef readonly bint whole       # nothing but good frames lies in the file, so that more can be appended
    cdef bint may_be_cut           # what lies behind the end of the data is listed nevertheless, each block an error
    cdef readonly uint64_t size    # bytes of the header and the good frames
    cdef readonly uint64_t count   # good frames
    cdef readonly uint64_t loose   # entries in frames without a table
    cdef readonly str complaint    # why the file was not, or not all, used; None where all is well


cdef Buffer header_bytes(uint64_t id, bytes hash_key)
cdef list frame_parts(uint64_t id, Index index, Tally tally, uint64_t first, uint64_t start, uint64_t offset,
                      bint table, uint32_t flags, bytes hash_key)
cdef Buffer frame_bytes(uint64_t id, Index index, Tally tally, uint64_t first, uint64_t start, uint64_t offset,
                        bint table, uint32_t flags, bytes hash_key)
