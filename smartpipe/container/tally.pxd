from libc.stdint cimport uint32_t, uint64_t

from smartpipe._codec cimport sp_frame, sp_record


cdef class Tally:
    """What the records of a data file of format 2 add up to, as far as `end`."""
    cdef readonly uint64_t end
    cdef readonly uint64_t synced      # the largest that any of them or any frame says
    cdef readonly uint64_t blocks, pairs, raw
    cdef readonly uint64_t stamp       # the largest
    cdef readonly uint64_t metadata    # offset of the last metadata record, 0: none
    cdef readonly list dictionaries    # offsets of the dictionary records
    cdef readonly uint64_t last        # offset of the last record, 0: none
    cdef readonly uint32_t last_crc
    cdef readonly uint64_t ordinal     # of the next record
    cdef int note(self, const sp_record *record, uint64_t offset, uint64_t raw) except -1
