"""The data file of a pipe, open for reading."""

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX

from smartpipe._codec cimport (
    SP_CHECKSUM, SP_CODEC, SP_FLAGS, SP_KIND, SP_MEMORY, SP_OK, SP_RESERVED, SP_SIZES, SP_TRAILING,
    SP_TRUNCATED, crc32, words,
)
from smartpipe._platform cimport int64_t, read_at, will_read

from smartpipe import errors
from smartpipe._platform import holder


# What headers, directories and streams that did not shrink may take besides the raw bytes of a block, and a 64th of it.
cdef uint64_t MARGIN = 64 << 10


cdef bint is_too_large(uint64_t n, uint64_t limit) noexcept:
    """Whether so many bytes are no key, and so many stored ones no block, where max_block_size is `limit`: nobody reads
    them to find out."""
    return n > limit + (limit >> 6) + MARGIN


cdef class Source:
    def __init__(self, str path, Descriptor file, uint64_t id, uint64_t limit):
        self.path = path
        self.place = os.path.abspath(path)
        self.file = file
        self.id = id
        self.limit = limit
        self.inflaters = []

    def close(self):
        """Close the file as soon as no other thread is reading from it."""
        if not self.closed:
            self.closed = True
            self.inflaters.clear()
            if self.users == 0:
                self.file.close()

    def size(self):
        """Return the size of the file in bytes."""
        self.enter()
        try:
            return self.file.size()
        finally:
            self.leave()

    def is_named(self):
        """Whether the file still has its name; FileNotFoundError where no file has it."""
        self.enter()
        try:
            return self.file.is_named(self.place)
        finally:
            self.leave()

    def writer(self):
        """Return the process that has the file open for writing: 0 where none has, None where the system does not tell.
        """
        self.enter()
        try:
            return holder(self.file)
        finally:
            self.leave()

    def read(self, uint64_t offset, size_t n):
        """Return the n bytes at an offset, fewer at the end of the file."""
        cdef Buffer memory = Buffer()
        memory.reserve(max(n, <size_t>1))
        cdef size_t got = self.read_some(offset, n, memory.data)
        return PyBytes_FromStringAndSize(<char *>memory.data, got)

    # A descriptor is closed by whoever uses it last, so that no thread ever reads from another file that got its
    # number.

    cdef int enter(self) except -1:
        if self.closed:
            raise errors.ClosedError("the pipe was closed", path=self.path)
        self.users += 1
        return 0

    cdef int leave(self) except -1:
        self.users -= 1
        if self.closed and self.users == 0:
            self.file.close()
        return 0

    cdef size_t read_some(self, uint64_t offset, size_t n, uint8_t *to) except? 0:
        cdef int64_t got
        if offset > <uint64_t>INT64_MAX:
            return 0  # no file is so long; the system would call it an invalid argument
        self.enter()
        try:
            with nogil:
                got = read_at(self.file.number, to, n, offset)
        finally:
            self.leave()
        if got < 0:
            raise errors.StorageError(os.strerror(-got), path=self.path, offset=offset, number=-got)
        self.read_bytes += got
        return got

    cdef int expect(self, uint64_t offset, uint64_t n) except -1:
        """Tell the system that so many bytes at an offset will be read."""
        self.enter()
        with nogil:
            will_read(self.file.number, offset, n)
        self.leave()
        return 0

    cdef int read_into(self, uint64_t offset, size_t n, uint8_t *to, bytes block) except -1:
        cdef size_t got = self.read_some(offset, n, to)
        if got < n:
            raise errors.TruncatedError(f"expected {n} bytes, the file ends after {got}", path=self.path, block=block,
                                        offset=offset)
        return 0

    cdef object too_large(self, uint64_t stored, bytes block, uint64_t offset):
        return errors.BlockTooLargeError(f"{stored} stored bytes, with a max_block_size of {self.limit}",
                                         path=self.path, block=block, offset=offset)

    cdef int run(self, Task *tasks, size_t count) except -1:
        """Check and inflate segments without the GIL, leaving a status in each."""
        cdef Inflater inflater
        cdef size_t i
        cdef uint64_t inflated = 0
        if count == 0:
            return 0
        try:
            inflater = self.inflaters.pop()
        except IndexError:
            inflater = Inflater()
        with nogil:
            for i in range(count):
                tasks[i].status = perform(&tasks[i], inflater)
                if tasks[i].out != NULL:
                    inflated += tasks[i].raw
        self.inflated_bytes += inflated
        self.inflaters.append(inflater)
        return 0

    cdef object failure(self, int status, str what, bytes block, uint64_t offset):
        """The exception for a status: `what` of a block at an offset."""
        cdef type kind
        if status == SP_MEMORY:
            return MemoryError()
        if status == SP_TRUNCATED:
            kind = errors.TruncatedError
        elif status == SP_CODEC:
            kind = errors.EngineError
        elif status in (SP_KIND, SP_FLAGS, SP_RESERVED):
            kind = errors.FormatError
        else:
            kind = errors.CorruptError
        return kind(f"{what}: {words(status)}", path=self.path, block=block, offset=offset)


cdef int perform(Task *task, Inflater inflater) noexcept nogil:
    cdef size_t used = 0, written = 0
    cdef int status
    if task.check and crc32(task.stored, task.size) != task.crc:
        return SP_CHECKSUM
    if task.out == NULL:
        return SP_OK
    status = inflater.inflate(task.stored, task.size, &used, task.out, task.raw + task.slack, &written)
    if status != SP_OK:
        return status
    if task.exact and written != task.raw:
        return SP_SIZES
    task.raw = written
    return SP_OK if used == task.size else SP_TRAILING
