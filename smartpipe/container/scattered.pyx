"""Blocks that are asked for by key, which may lie far apart: read in the order of the file, near ones in one call."""

from libc.stdint cimport uint64_t

from smartpipe._platform cimport clock

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
    def __init__(self, Layout layout, list numbers):
        self.layout = layout
        self.numbers = numbers
        self.near = Near()

    cdef Block next(self):
        """The block that comes next. Where it can not be read, that is its error, and the one behind it comes next."""
        cdef uint64_t begin = clock()
        cdef Py_ssize_t at = self.at
        cdef Block block
        self.at += 1
        if at == self.together:
            self.gather(at)
        block = self.layout.fetch(self.numbers[at], None, self.near)
        if at >= self.told - FAR // 2 and clock() - begin > SLOW:
            self.tell()
        return block

    cdef int gather(self, Py_ssize_t at) except -1:
        """Read block `at` together with those behind it that lie near."""
        cdef uint64_t begin = self.offset, offset = 0
        cdef size_t n = self.size
        cdef uint64_t end
        self.together = at + 1
        self.near.memory.size = self.size = 0
        if n == 0:
            n = self.layout.first_read(self.numbers[at], &begin)
        end = begin + n
        while self.together < len(self.numbers):
            try:
                n = self.layout.first_read(self.numbers[self.together], &offset)
            except errors.SmartPipeError:
                break  # it is told when its turn comes
            if offset < begin or offset > end + GAP or n > MOST or offset + n - begin > MOST:
                self.offset = offset
                self.size = n
                break
            end = max(end, offset + n)
            self.together += 1
        if self.together > at + 1:
            n = self.layout.source.read_some(begin, end - begin, self.near.memory.extend(end - begin))
            self.near.memory.size = n
            self.near.begin = begin
        return 0

    cdef int tell(self) except -1:
        """Let the system read what comes next while this is worked on."""
        cdef uint64_t offset, told = 0
        cdef Py_ssize_t last = min(self.at + FAR, len(self.numbers))
        cdef size_t n
        self.told = max(self.told, self.at)
        while self.told < last and told < FAR_BYTES:
            try:
                n = self.layout.first_read(self.numbers[self.told], &offset)
                self.layout.source.expect(offset, n)
                told += n
            except errors.SmartPipeError:
                pass  # it is told when its turn comes
            self.told += 1
        return 0
