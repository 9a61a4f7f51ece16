"""The index of an open pipe in memory, of either format: numbers to entries, keys to numbers."""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from smartpipe._codec cimport (
    SP_ABSENT, SP_ENTRY, SP_FRAME_HEADER, SP_HASH_KEY, SP_NONE, SP_OK, SP_PAGE, SP_SLOT, entries1_copy,
    entries1_measure, run_check, run_copy, run_entry, run_expect, run_find, run_hash, run_measure, siphash,
    sp_entry_decode, sp_entry_encode, sp_flags, sp_frame, sp_frame_body, sp_frame_sums, words,
)

from smartpipe._platform cimport spread

from smartpipe import errors

# A table of up to so many slots lies in the caches anyway.
cdef uint64_t CACHED = 1 << 17


class DamagedIndex(errors.CorruptError):
    """A page of a mapped index does not match its sum: the data has to be scanned."""


cdef class Run:
    def __cinit__(self):
        self.entries = Buffer()
        self.keys = Buffer()
        self.slots = Buffer()

    cdef int entry(self, uint64_t number, sp_entry *entry) except -1:
        """Entry `number` of the run."""
        cdef int status
        if self.mapped is not None:
            return check(run_entry(&self.c, number, entry))
        with cython.critical_section(self):
            status = run_entry(&self.c, number, entry)
        return check(status)

    cdef bytes key(self, sp_entry *entry):
        """The key of an entry of the run."""
        if self.mapped is not None:
            return PyBytes_FromStringAndSize(<char *>self.c.keys + entry.key, entry.key_length)
        with cython.critical_section(self):
            return PyBytes_FromStringAndSize(<char *>self.c.keys + entry.key, entry.key_length)

    cdef int find(self, const uint8_t *hash_key, uint64_t hash, const uint8_t *key, size_t n,
                  uint64_t *number) except -1:
        """Look for a key in memory, hashed with `hash_key`: SP_OK with its number in the run, or why not."""
        with cython.critical_section(self):
            if self.hashed < self.c.count:
                self.hash(hash_key)
            return run_find(&self.c, hash, key, n, number)

    @cython.critical_section
    cdef int append(self, sp_entry *entry, const uint8_t *key) except -1:
        """Append an entry. Its key is copied, and its key position set."""
        cdef uint8_t *to
        self.trim()
        entry.key = self.keys.size
        self.keys.append(key, entry.key_length)
        self.c.keys = self.keys.data
        to = self.entries.extend(SP_ENTRY)
        self.c.entries = self.entries.data
        sp_entry_encode(entry, to)
        self.c.key_bytes = self.keys.size
        self.c.count += 1
        return 0

    @cython.critical_section
    cdef int take(self, Run other, uint64_t first) except -1:
        """Append the entries of another run from number `first` on; none where one of them is damaged."""
        cdef uint64_t count = other.c.count - first, key_bytes
        cdef uint8_t *keys
        cdef uint8_t *entries
        check(run_measure(&other.c, first, &key_bytes))
        self.trim()
        keys = self.keys.extend(key_bytes)
        self.c.keys = self.keys.data
        entries = self.entries.extend(SP_ENTRY * count)
        self.c.entries = self.entries.data
        run_copy(&other.c, first, self.c.key_bytes, entries, keys)
        self.c.key_bytes += key_bytes
        self.c.count += count
        return 0

    @cython.critical_section
    cdef size_t take1(self, const uint8_t *p, size_t n, uint8_t codec, uint64_t offset, uint64_t stamp) except? 0:
        """Append the entries of format 1 at a pointer as far as nothing has to be looked at closer; gives their bytes.
        """
        cdef uint64_t count, key_bytes, key = self.c.key_bytes
        cdef uint8_t *keys
        cdef uint8_t *entries
        cdef size_t used
        with nogil:
            used = entries1_measure(p, n, codec != SP_NONE, offset, stamp, &count, &key_bytes)
        self.trim()
        keys = self.keys.extend(key_bytes)
        self.c.keys = self.keys.data
        entries = self.entries.extend(SP_ENTRY * count)
        self.c.entries = self.entries.data
        with nogil:
            entries1_copy(p, count, key, codec, entries, keys)
        self.c.key_bytes += key_bytes
        self.c.count += count
        return used

    cdef int trim(self) except -1:
        """Forget what was begun behind the last entry."""
        self.entries.size = SP_ENTRY * self.c.count
        self.keys.size = self.c.key_bytes
        return 0

    @cython.critical_section
    cdef int cut(self, uint64_t count) except -1:
        """Forget the entries from number `count` on."""
        cdef sp_entry entry
        sp_entry_decode(self.c.entries + SP_ENTRY * count, &entry)
        self.c.count = count
        self.c.key_bytes = entry.key
        if self.hashed > count:
            memset(self.c.slots, 0, SP_SLOT * self.c.slot_count)
            self.hashed = 0
        return 0

    cdef int hash(self, const uint8_t *hash_key) except -1:
        """Put the entries into the table that are not in it yet, with twice the slots where it becomes full."""
        cdef uint64_t count = max(<uint64_t>64, self.c.slot_count)
        while 4 * self.c.count > 3 * count:
            count *= 2
        if count > self.c.slot_count:
            self.slots = zeros(SP_SLOT * count)
            self.c.slots = self.slots.data
            self.c.slot_count = count
            self.hashed = 0
        check(run_hash(&self.c, hash_key, self.hashed))
        self.hashed = self.c.count
        return 0

    cdef Buffer table(self, uint64_t slot_count, const uint8_t *hash_key):
        """The slots of a table over the entries, of its own."""
        cdef Buffer slots = zeros(SP_SLOT * slot_count)
        cdef sp_run c = self.c
        c.slots = slots.data
        c.slot_count = slot_count
        check(run_hash(&c, hash_key, 0))
        return slots


cdef Buffer zeros(uint64_t n):
    cdef Buffer buffer = Buffer()
    buffer.reserve(n)
    spread(buffer.data, n)
    memset(buffer.extend(n), 0, n)
    return buffer


cdef int check(int status) except -1:
    if status != SP_OK:
        raise DamagedIndex(f"the index: {words(status)}")
    return 0


cdef class Mapped:
    def __cinit__(self, source):
        self.source = source
        PyObject_GetBuffer(source, &self.view, PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)


cdef Run show(Mapped mapped, uint64_t offset, sp_frame *frame):
    """A frame as it lies in the file."""
    cdef Run run = Run()
    cdef uint8_t *start = <uint8_t *>mapped.view.buf + offset
    cdef uint64_t body = sp_frame_body(frame)
    run.mapped = mapped
    run.c.sums = start + SP_FRAME_HEADER
    run.c.body = run.c.sums + sp_frame_sums(body)
    run.c.entries = run.c.body
    run.c.slots = <uint8_t *>run.c.entries + SP_ENTRY * frame.entries + 8 * frame.dictionaries
    run.c.keys = run.c.slots + SP_SLOT * frame.slots
    run.c.count = frame.entries
    run.c.slot_count = frame.slots
    run.c.key_bytes = frame.key_bytes
    run.checked = Buffer()
    memset(run.checked.extend(body // SP_PAGE // 8 + 1), 0, body // SP_PAGE // 8 + 1)
    run.c.checked = <sp_flags *>run.checked.data
    return run


cdef class Index:
    def __init__(self, bytes hash_key=None):
        self.runs = []
        cdef bytes own_key = os.urandom(SP_HASH_KEY)
        if hash_key is None:
            hash_key = own_key
        memcpy(self.hash_key, <const uint8_t *>hash_key, SP_HASH_KEY)
        memcpy(self.own_key, <const uint8_t *>own_key, SP_HASH_KEY)

    cdef Run own(self):
        """The run in memory at the end, to which something may be added."""
        cdef Run run
        if not self.runs or (<Run>self.runs[-1]).mapped is not None:
            run = Run()
            run.first = self.count
            self.runs.append(run)
        return self.runs[-1]

    cdef int add(self, sp_entry *entry, const uint8_t *key) except -1:
        """Add the entry of the next block, whose key is copied. It is hashed when a key is looked for."""
        self.own().append(entry, key)
        self.count += 1
        return 0

    cdef size_t add1(self, const uint8_t *p, size_t n, uint8_t codec, sp_entry *last) except? 0:
        """Add the entries of an index of format 1 that follow `last`, many at once; gives how many of the n bytes these
        are. They end where something has to be looked at closer."""
        cdef Run run = self.own()
        cdef size_t used = run.take1(p, n, codec, last.offset, last.stamp)
        self.count = run.first + run.c.count
        return used

    def cut(self, uint64_t count):
        """Forget all entries from number `count` on, which are in memory."""
        cdef Run run
        if count == self.count:
            return
        run = self.runs[-1]
        run.cut(count - run.first)
        self.count = count

    cdef int expect(self, const uint8_t *key, size_t n) except -1:
        """Let the processor fetch the place of a key that is looked for a little later, in a large table in memory."""
        cdef Run run
        with cython.critical_section(self):
            run = <Run>self.runs[-1] if self.runs else None
        if run is not None and run.mapped is None:
            with cython.critical_section(run):
                if run.c.slot_count > CACHED:
                    run_expect(&run.c, siphash(self.own_key, key, n))
        return 0

    cdef int64_t find(self, const uint8_t *key, size_t n) except -2:
        """The number of the block with a key, -1: there is none."""
        cdef uint64_t in_file = 0, in_memory = 0, number = 0
        cdef bint has_file = False, has_memory = False
        cdef Py_ssize_t i = len(self.runs)
        cdef Run run
        cdef int status
        while i > 0:
            i -= 1
            run = <Run>self.runs[i]
            if run.mapped is None:
                if not has_memory:
                    in_memory = siphash(self.own_key, key, n)
                    has_memory = True
                status = run.find(self.own_key, in_memory, key, n, &number)
            else:
                if not has_file:
                    in_file = siphash(self.hash_key, key, n)
                    has_file = True
                status = run_find(&run.c, in_file, key, n, &number)
            if status == SP_OK:
                return <int64_t>(run.first + number)
            if status != SP_ABSENT:
                check(status)
        return -1

    cdef Run run_of(self, uint64_t number):
        cdef Py_ssize_t i = len(self.runs) - 1
        cdef Run run = <Run>self.runs[i]
        while number < run.first:
            i -= 1
            run = <Run>self.runs[i]
        return run

    cdef Run entry(self, uint64_t number, sp_entry *entry):
        """Entry `number`; gives the run that it is of."""
        cdef Run run
        if number >= self.count:
            raise IndexError(f"entry {number} of {self.count}")
        run = self.run_of(number)
        run.entry(number - run.first, entry)
        return run

    cdef int entry_and_before(self, uint64_t number, sp_entry *entry, sp_entry *before) except -1:
        """Entry `number`, and the one before it; all zeros before the first."""
        cdef Run run
        if number >= self.count:
            raise IndexError(f"entry {number} of {self.count}")
        run = self.run_of(number)
        check(run_entry(&run.c, number - run.first, entry))
        if number > run.first:
            check(run_entry(&run.c, number - run.first - 1, before))
        elif number > 0:
            self.entry(number - 1, before)
        else:
            memset(before, 0, sizeof(sp_entry))
        return 0

    cdef int map_frame(self, Mapped mapped, uint64_t offset, sp_frame *frame, bint checked) except -1:
        """Take over a frame with a table as it lies in the file; with `checked` all its pages are checked first."""
        cdef Run run = show(mapped, offset, frame)
        run.first = self.count
        if checked:
            check(run_check(&run.c))
        self.runs.append(run)
        self.count += frame.entries
        return 0

    cdef int copy_frame(self, Mapped mapped, uint64_t offset, sp_frame *frame) except -1:
        """Take over the entries of a frame; none where it is damaged."""
        cdef Run run = show(mapped, offset, frame)
        check(run_check(&run.c))
        self.own().take(run, 0)
        self.count += frame.entries
        return 0

    cdef uint64_t listed_end(self, Mapped mapped, uint64_t offset, sp_frame *frame, uint64_t data_size) except? 0:
        """Where the last block of a frame ends that lies in the first data_size bytes."""
        cdef Run run = show(mapped, offset, frame)
        cdef sp_entry entry
        cdef uint64_t number, end = 0
        check(run_check(&run.c))
        for number in range(frame.entries):
            check(run_entry(&run.c, number, &entry))
            if entry.offset <= data_size and entry.size <= data_size - entry.offset:
                end = max(end, entry.offset + entry.size)
        return end

    def copy_tables(self):
        """Take all entries into memory, where they get a table that nobody else made."""
        cdef list runs = [self.run_from(0)], _before = self.runs
        with cython.critical_section(self):
            self.runs = runs

    cdef Run run_from(self, uint64_t first):
        """The entries from number `first` on as one run in memory, whose keys are all those of its entries."""
        cdef Run run, own
        if first == 0 and len(self.runs) == 1 and (<Run>self.runs[0]).mapped is None:
            own = self.runs[0]
            own.trim()
            return own
        own = Run()
        for run in self.runs:
            if run.first + run.c.count > first:
                own.take(run, max(first, run.first) - run.first)
        return own

    def file_key(self):
        """Return the key of the hash of an index file that goes on with this index."""
        return self.hash_key[:SP_HASH_KEY]
