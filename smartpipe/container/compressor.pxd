from libc.stdint cimport uint8_t, uint16_t, uint64_t

from smartpipe._codec cimport Buffer, Deflater, Dictionary, Inflater
from smartpipe.container.pool cimport Pool


cdef class Compressor:
    """What one thread compresses with."""
    cdef uint8_t codec
    cdef Dictionary dictionary     # None for none
    cdef uint16_t number           # of the dictionary, 0 for none
    cdef Deflater deflater         # None where nothing is compressed
    cdef Deflater quick            # for small heads
    cdef Inflater inflater         # None until something is proved
    cdef Buffer proof
    cdef int prove(self, const uint8_t *stored, uint64_t size, const uint8_t *raw, uint64_t n, str what) except -1


cdef class Compressors:
    """Those of a writer; as many as it has had threads at work."""
    cdef uint8_t codec
    cdef int level
    cdef Dictionary dictionary     # None for none
    cdef Pool idle
    cdef Compressor take(self)
    cdef int give(self, Compressor compressor) except -1
