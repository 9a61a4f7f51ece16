"""The index of an open pipe in memory, of either format: numbers to entries, keys to numbers."""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from smartpipe._codec cimport (
    SP_ABSENT, SP_ENTRY, SP_FRAME_HEADER, SP_HASH_KEY, SP_OK, SP_PAGE, SP_SLOT, run_check, run_entry, run_find,
    run_insert, siphash, sp_entry_decode, sp_entry_encode, sp_frame, sp_frame_body, sp_frame_sums,
    sp_store64, words,
)

from smartpipe import errors


class DamagedIndex(errors.CorruptError):
    """A page of a mapped index does not match its sum: the data has to be scanned."""


cdef class Run:
    def __cinit__(self):
        self.entries = Buffer()
        self.keys = Buffer()
        self.slots = Buffer()

    cdef int add(self, const uint8_t *hash_key, sp_entry *entry, const uint8_t *key) except -1:
        """Append an entry. Its key is copied, and its key position set."""
        cdef uint64_t hashed = siphash(hash_key, key, entry.key_length)
        if 4 * (self.c.count + 1) > 3 * self.c.slot_count:
            self.grow(hash_key)
        entry.key = self.keys.size
        self.keys.append(key, entry.key_length)
        self.c.keys = self.keys.data
        self.c.key_bytes = self.keys.size
        sp_entry_encode(entry, self.entries.extend(SP_ENTRY))
        self.c.entries = self.entries.data
        self.c.count += 1
        check(run_insert(&self.c, hashed, self.c.count - 1))
        return 0

    cdef int grow(self, const uint8_t *hash_key) except -1:
        """Make the table anew, with twice the slots."""
        cdef Buffer slots = Buffer()
        cdef uint64_t count = max(<uint64_t>64, 2 * self.c.slot_count)
        memset(slots.extend(SP_SLOT * count), 0, SP_SLOT * count)
        self.slots = slots
        self.c.slots = slots.data
        self.c.slot_count = count
        insert_all(&self.c, hash_key)
        return 0


cdef int insert_all(sp_run *run, const uint8_t *hash_key) except -1:
    cdef uint64_t number
    cdef sp_entry entry
    for number in range(run.count):
        sp_entry_decode(run.entries + SP_ENTRY * number, &entry)
        check(run_insert(run, siphash(hash_key, run.keys + entry.key, entry.key_length), number))
    return 0


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
    run.c.checked = run.checked.data
    return run


cdef class Index:
    def __init__(self, bytes hash_key=None):
        self.runs = []
        cdef bytes own_key = os.urandom(SP_HASH_KEY)
        if hash_key is None:
            hash_key = own_key
        memcpy(self.hash_key, <const uint8_t *>hash_key, SP_HASH_KEY)
        memcpy(self.own_key, <const uint8_t *>own_key, SP_HASH_KEY)

    cdef int add(self, sp_entry *entry, const uint8_t *key) except -1:
        cdef Run run
        if not self.runs or (<Run>self.runs[-1]).mapped is not None:
            run = Run()
            run.first = self.count
            self.runs.append(run)
        run = self.runs[-1]
        run.add(self.own_key, entry, key)
        self.count += 1
        return 0

    def cut(self, uint64_t count):
        """Forget all entries from number `count` on, which are in memory."""
        cdef Run run
        cdef sp_entry entry
        if count == self.count:
            return
        run = self.runs[-1]
        run.c.count = count - run.first
        sp_entry_decode(run.c.entries + SP_ENTRY * run.c.count, &entry)
        run.entries.size = SP_ENTRY * run.c.count
        run.keys.size = run.c.key_bytes = entry.key
        self.count = count
        memset(run.c.slots, 0, SP_SLOT * run.c.slot_count)
        insert_all(&run.c, self.own_key)

    cdef int64_t find(self, const uint8_t *key, size_t n) except -2:
        """The number of the block with a key, -1: there is none."""
        cdef uint64_t in_file = siphash(self.hash_key, key, n), in_memory = siphash(self.own_key, key, n)
        cdef uint64_t hashed, number = 0
        cdef Run run
        cdef int status
        for run in reversed(self.runs):
            hashed = in_memory if run.mapped is None else in_file
            status = run_find(&run.c, hashed, key, n, &number)
            if status == SP_OK:
                return <int64_t>(run.first + number)
            if status != SP_ABSENT:
                check(status)
        return -1

    cdef Run run_of(self, uint64_t number):
        cdef Run run
        for run in reversed(self.runs):
            if number >= run.first:
                return run
        return None

    cdef int entry(self, uint64_t number, sp_entry *entry) except -1:
        """Entry `number`."""
        cdef Run run
        if number >= self.count:
            raise IndexError(f"entry {number} of {self.count}")
        run = self.run_of(number)
        return check(run_entry(&run.c, number - run.first, entry))

    cdef bytes key(self, uint64_t number, sp_entry *entry):
        """The key of an entry that `entry` gave for `number`."""
        cdef Run run = self.run_of(number)
        return PyBytes_FromStringAndSize(<char *>run.c.keys + entry.key, entry.key_length)

    cdef const uint8_t *key_at(self, uint64_t number, sp_entry *entry):
        """Where the key of an entry that `entry` gave for `number` lies."""
        return self.run_of(number).c.keys + entry.key

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
        cdef sp_entry entry
        cdef uint64_t number
        check(run_check(&run.c))
        for number in range(frame.entries):
            check(run_entry(&run.c, number, &entry))
        for number in range(frame.entries):
            check(run_entry(&run.c, number, &entry))
            self.add(&entry, run.c.keys + entry.key)
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
        """Take all entries into memory, with a table that nobody else made."""
        cdef Run own = Run()
        cdef Run run
        cdef sp_entry entry
        cdef uint64_t number
        for run in self.runs:
            for number in range(run.c.count):
                check(run_entry(&run.c, number, &entry))
                own.add(self.own_key, &entry, run.c.keys + entry.key)
        self.runs = [own]

    def file_key(self):
        """Return the key of the hash of an index file that goes on with this index."""
        return self.hash_key[:SP_HASH_KEY]

    cdef Buffer frame_body(self, uint64_t first, uint64_t slot_count, bytes hash_key, list dictionaries,
                           uint64_t *key_bytes):
        """The body of a frame with the entries from number `first` on, the offsets of dictionary records, and a table
        where slot_count is not 0."""
        cdef Buffer body = Buffer(), keys = Buffer()
        cdef uint64_t number, count = self.count - first
        cdef sp_entry entry
        cdef sp_run c
        cdef Run run
        body.reserve(SP_ENTRY * count + SP_SLOT * slot_count + 8)
        for number in range(first, self.count):
            self.entry(number, &entry)
            run = self.run_of(number)
            keys.append(run.c.keys + entry.key, entry.key_length)
            entry.key = keys.size - entry.key_length
            sp_entry_encode(&entry, body.extend(SP_ENTRY))
        for place in dictionaries:
            sp_store64(body.extend(8), place)
        if slot_count > 0:
            memset(body.extend(SP_SLOT * slot_count), 0, SP_SLOT * slot_count)
            memset(&c, 0, sizeof(c))
            c.entries = body.data
            c.slots = body.data + SP_ENTRY * count + 8 * <size_t>len(dictionaries)
            c.slot_count = slot_count
            c.count = count
            c.keys = keys.data
            c.key_bytes = keys.size
            insert_all(&c, <const uint8_t *>hash_key)
        key_bytes[0] = keys.size
        body.append(keys.data, keys.size)
        while body.size % 8 != 0:
            body.extend(1)[0] = 0
        return body
