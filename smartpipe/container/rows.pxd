from libc.stdint cimport uint64_t

from smartpipe._codec cimport Buffer, sp_rows, sp_strings


cdef class Strings:
    """A column of byte strings that somebody has in memory: offsets, and one buffer for all of them."""
    cdef sp_strings c
    cdef readonly uint64_t count
    cdef Py_buffer places
    cdef Py_buffer data
    cdef bytes at(self, uint64_t row)


cdef class Rows:
    """Pairs of one block that lie in columns which somebody has in memory: one piece, or several in a row."""
    cdef Buffer pieces             # sp_rows
    cdef list owners               # of the memory that they point into
    cdef uint64_t count            # of the pieces
    cdef uint64_t key_bytes
    cdef readonly uint64_t pairs
    cdef readonly uint64_t raw     # as a block has it: 8 bytes for each pair, and their keys and values
    cdef int add(self, const sp_strings *keys, const sp_strings *values, uint64_t start, uint64_t stop,
                 object owner) except -1
