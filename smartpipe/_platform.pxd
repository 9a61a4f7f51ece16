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


# Locks bytes of an open file against other open files: False where another has one and this does not wait.
cdef int lock_range(Descriptor file, int64_t start, int64_t length, bint exclusive, bint wait) except -1
cdef int unlock_range(Descriptor file, int64_t start, int64_t length) except -1

# Another number in a forked child.
cdef long generation() noexcept


cdef class Counters:
    cdef object mapped
    cdef Py_buffer view
    cdef readonly uint64_t count
    cdef uint64_t get(self, uint64_t number) noexcept
    cdef bint are(self, const uint64_t *expected, size_t n) noexcept
    cdef int set(self, uint64_t number, uint64_t value) noexcept
    cdef int begin(self, uint64_t number) noexcept
    cdef int end(self, uint64_t number) noexcept
    cdef int lift(self, uint64_t number, uint64_t least) noexcept
