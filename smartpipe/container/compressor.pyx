"""The streams that compress blocks, kept for the next one."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp

from smartpipe._codec cimport SP_NONE, SP_OK
from smartpipe.container.source cimport SLACK

from smartpipe import errors


cdef class Compressor:
    def __init__(self, uint8_t codec, int level, Dictionary dictionary=None):
        self.codec = codec
        self.dictionary = dictionary
        if dictionary is not None:
            self.number = <uint16_t>dictionary.number
        if codec != SP_NONE:
            self.deflater = Deflater(codec, level, dictionary)
            self.quick = Deflater(codec, 0, dictionary) if level < 9 else self.deflater

    cdef int prove(self, const uint8_t *stored, uint64_t size, const uint8_t *raw, uint64_t n, str what) except -1:
        """Inflate what was compressed; EngineError where that is not what was put in."""
        cdef size_t used = 0, written = 0
        cdef int status
        cdef bint same = False
        cdef const void *dictionary = NULL if self.dictionary is None else self.dictionary.opened
        if self.inflater is None:
            self.inflater = Inflater()
            self.proof = Buffer()
        self.proof.reserve(n + SLACK)
        with nogil:
            status = self.inflater.inflate(self.codec, dictionary, stored, size, &used, self.proof.data, n + SLACK,
                                           &written)
            if status == SP_OK and used == size and written == n:
                same = n == 0 or memcmp(self.proof.data, raw, n) == 0
        if not same:
            raise errors.EngineError(f"{what} does not inflate to what it was made of; the block was not written")
        return 0


cdef class Compressors:
    def __init__(self, uint8_t codec, int level, Dictionary dictionary=None):
        self.codec = codec
        self.level = level
        self.dictionary = dictionary
        self.idle = Pool()

    cdef Compressor take(self):
        """One that nobody uses."""
        cdef Compressor compressor = self.idle.take()
        return Compressor(self.codec, self.level, self.dictionary) if compressor is None else compressor

    cdef int give(self, Compressor compressor) except -1:
        return self.idle.give(compressor)
