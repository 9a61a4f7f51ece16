from libc.stdint cimport int64_t, uint8_t, uint64_t

# n bytes at an offset of the file: how many were read, fewer only at its end, or the negative errno.
cdef int64_t read_at(int fd, uint8_t *p, size_t n, uint64_t offset) noexcept nogil

# Nanoseconds, from some time on.
cdef uint64_t clock() noexcept nogil

# Nanoseconds since 1970.
cdef uint64_t date() noexcept nogil

# Tells the system that n bytes at an offset will be read.
cdef void will_read(int fd, uint64_t offset, uint64_t n) noexcept nogil

# Tells the system that n bytes of memory, which are not in use yet, will be touched here and there, and all of them.
cdef void spread(void *p, size_t n) noexcept nogil


cdef class Descriptor:
    cdef readonly int number       # -1: closed
    cdef int owner                 # the process that took its lock, 0: none
    cdef object __weakref__
