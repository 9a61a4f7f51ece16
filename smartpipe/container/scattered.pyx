"""Blocks that are asked for by key, which may lie far apart: read in the order of the file, near ones in one call."""

import time

from libc.stdint cimport uint64_t

from smartpipe import errors

# So many bytes between two blocks are read along rather than skipped: copying them takes as long as another call.
cdef uint64_t GAP = 4 << 10
# So many bytes are read at once.
cdef uint64_t MOST = 128 << 10
# What takes longer, in ns, does not come from memory: the system is told then what comes next, as far as this.
cdef uint64_t SLOW = 50_000
cdef Py_ssize_t FAR = 64        # blocks
cdef uint64_t FAR_BYTES = 4 << 20


cdef class Scattered:
    def __init__(self, Layout layout, list found):
        self.layout = layout
        self.found = found
        self.near = Near()

    cdef Block next(self):
        """The block that comes next. Where it can not be read, that is its error, and the one behind it comes next."""
        cdef uint64_t begin = time.monotonic_ns()
        cdef Block block
        number, key = self.found[self.at]
        self.at += 1
        self.gather(number)
        block = self.layout.fetch(number, key, self.near)
        if self.at > self.told - FAR // 2 and <uint64_t>time.monotonic_ns() - begin > SLOW:
            self.tell()
        return block

    cdef int gather(self, uint64_t number) except -1:
        """Read what lies near block `number` and comes behind it, together with it."""
        cdef uint64_t begin, offset
        cdef size_t n = self.layout.first_read(number, &begin)
        cdef uint64_t end = begin + n
        cdef Py_ssize_t i = self.at
        if begin >= self.near.begin and end <= self.near.begin + self.near.memory.size:
            return 0
        while i < len(self.found):
            try:
                n = self.layout.first_read(self.found[i][0], &offset)
            except errors.SmartPipeError:
                break  # it is told when its turn comes
            if offset < begin or offset > end + GAP or n > MOST or offset + n - begin > MOST:
                break
            end = max(end, offset + n)
            i += 1
        if i > self.at:
            self.near.memory.size = 0
            self.near.memory.size = self.layout.source.read_some(begin, end - begin,
                                                                 self.near.memory.extend(end - begin))
            self.near.begin = begin
        return 0

    cdef int tell(self) except -1:
        """Let the system read what comes next while this is worked on."""
        cdef uint64_t offset, told = 0
        cdef Py_ssize_t last = min(self.at + FAR, len(self.found))
        cdef size_t n
        self.told = max(self.told, self.at)
        while self.told < last and told < FAR_BYTES:
            try:
                n = self.layout.first_read(self.found[self.told][0], &offset)
                self.layout.source.expect(offset, n)
                told += n
            except errors.SmartPipeError:
                pass  # it is told when its turn comes
            self.told += 1
        return 0
