from libc.stdint cimport uint64_t

from smartpipe.container.compressor cimport Compressors
from smartpipe.container.encoder cimport Encoder, Encoders
from smartpipe.container.output cimport Output


cdef class Job:
    """A block on its way through the threads."""
    cdef bytes key
    cdef Encoder encoder
    cdef bint encoded
    cdef bint written              # or dropped, with an error
    cdef bint awaited              # by the call that gave it, which raises its error
    cdef object error


cdef class Background:
    """Compresses blocks in threads, and writes them in the order in which they were given."""
    cdef Output output
    cdef object changed            # a condition over the writer's lock, under which all of this changes
    cdef object executor
    cdef readonly int threads
    cdef int running               # threads that are at work
    cdef bint verify
    cdef object waiting            # a deque of jobs that no thread has taken
    cdef object order              # a deque of jobs that are not written
    cdef readonly set keys         # theirs
    cdef uint64_t held             # bytes of their pairs
    cdef bint dropped              # some blocks are never written
    cdef object errors             # a deque of what the next calls raise
    cdef set open_keys             # of the writer
    cdef Encoders encoders         # of the writer
    cdef Compressors compressors
    cdef int make_room(self, uint64_t n) except -1
    cdef int add(self, bytes key, Encoder encoder, bint wait) except -1
    cdef int drain(self) except -1
    cdef int drop(self) except -1
    cdef int check(self) except -1
    cdef int warn(self) except -1
    cdef int settle(self) except -1
    cdef bint has_room(self) noexcept
    cdef list take(self)


# An error of an encoder, which knows neither file nor block, with both.
cdef object placed(error, path, block)
