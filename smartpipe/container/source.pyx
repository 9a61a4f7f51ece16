"""The data file of a pipe, open for reading."""

import os

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX

from smartpipe._codec cimport (
    SP_CHECKSUM, SP_CODEC, SP_DICTIONARY, SP_DIRECTORY_ENTRY, SP_FLAGS, SP_KIND, SP_MEMORY, SP_NONE, SP_NO_LZ4,
    SP_NO_ZSTD, SP_OK, SP_PAIR_LENGTHS, SP_RECORD_HEADER, SP_RESERVED, SP_SIZES, SP_TRAILING, SP_TRUNCATED, Dictionary,
    Inflater, crc32, directory_decode, record_decode, sp_lead_size, sp_load32, sp_record, sp_segment, words,
)
from smartpipe._platform cimport int64_t, read_at, will_read

from smartpipe import errors
from smartpipe._platform import holder
from smartpipe.container.headers import header_of


# What headers, directories and streams that did not shrink may take besides the raw bytes of a block, and a 64th of it.
cdef uint64_t MARGIN = 64 << 10

# So many plain bytes are checked without giving the GIL up, which would take as long, and twice that where a thread waits.
cdef uint64_t SMALL = 64 << 10

# So many are kept ready; a pipe has one, or few.
cdef Py_ssize_t MOST_DICTIONARIES = 16


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
        self.inflaters = Pool()
        self.met = set()
        self.unread = {}
        self.good = {}
        self.dictionaries = {}

    def close(self):
        """Close the file as soon as no other thread is reading from it."""
        cdef bint unused
        with cython.critical_section(self):
            self.closed = True
            unused = self.users == 0
        self.inflaters.clear()
        if unused:
            self.file.close()

    def size(self):
        """Return the size of the file in bytes."""
        self.enter()
        try:
            return self.file.size()
        finally:
            self.leave(0)

    def is_named(self):
        """Whether the file still has its name; FileNotFoundError where no file has it."""
        self.enter()
        try:
            return self.file.is_named(self.place)
        finally:
            self.leave(0)

    def header(self):
        """Return what `header_of` finds at the beginning of the file."""
        self.enter()
        try:
            return header_of(self.file, self.path)
        finally:
            self.leave(0)

    def writer(self):
        """Return the process that has the file open for writing: 0 where none has, None where the system does not tell.
        """
        self.enter()
        try:
            return holder(self.file)
        finally:
            self.leave(0)

    def read(self, uint64_t offset, size_t n):
        """Return the n bytes at an offset, fewer at the end of the file."""
        cdef Buffer memory = Buffer()
        memory.reserve(max(n, <size_t>1))
        cdef size_t got = self.read_some(offset, n, memory.data)
        return PyBytes_FromStringAndSize(<char *>memory.data, got)

    # A descriptor is closed by whoever uses it last, so that no thread ever reads from another file that got its
    # number.

    cdef int enter(self) except -1:
        """Begin to use the file."""
        with cython.critical_section(self):
            if not self.closed:
                self.users += 1
                return 0
        raise errors.ClosedError("the pipe was closed", path=self.path)

    cdef int leave(self, uint64_t got) except -1:
        """End to use the file, of which so many bytes were read."""
        cdef bint unused
        with cython.critical_section(self):
            self.users -= 1
            self.read_bytes += got
            unused = self.closed and self.users == 0
        if unused:
            self.file.close()
        return 0

    cdef size_t read_some(self, uint64_t offset, size_t n, uint8_t *to) except? 0:
        cdef int64_t got
        if offset > <uint64_t>INT64_MAX:
            return 0  # no file is so long; the system would call it an invalid argument
        self.enter()
        with nogil:
            got = read_at(self.file.number, to, n, offset)
        self.leave(max(got, <int64_t>0))
        if got < 0:
            raise errors.StorageError(os.strerror(-got), path=self.path, offset=offset, number=-got)
        return got

    cdef int expect(self, uint64_t offset, uint64_t n) except -1:
        """Tell the system that so many bytes at an offset will be read."""
        self.enter()
        with nogil:
            will_read(self.file.number, offset, n)
        self.leave(0)
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
        if count == 1 and tasks.out == NULL and tasks.size <= SMALL:
            tasks.status = perform(tasks, None)
            return 0
        inflater = self.inflaters.take()
        if inflater is None:
            inflater = Inflater()
        with nogil:
            for i in range(count):
                tasks[i].status = perform(&tasks[i], inflater)
                if tasks[i].out != NULL:
                    inflated += tasks[i].raw
        with cython.critical_section(self):
            self.inflated_bytes += inflated
        self.inflaters.give(inflater)
        return 0

    @cython.critical_section
    cdef int note_dictionary(self, uint64_t offset) except -1:
        if offset not in self.met:
            self.met.add(offset)
            self.unread[offset] = None
            # Of each there are two copies; also of one that does not tell its number any more.
            self.highest = max(self.highest, <uint64_t>(len(self.met) + 1) // 2)
        return 0

    @cython.critical_section
    cdef int note_number(self, uint16_t number) noexcept:
        self.highest = max(self.highest, <uint64_t>number)
        return 0

    cdef Dictionary dictionary(self, uint16_t number, bytes block, uint64_t offset):
        """What the record of a block at an offset was compressed with, from the first copy that is good."""
        cdef Dictionary dictionary = self.dictionaries.get(number)
        cdef uint16_t found = 0
        if dictionary is not None:
            return dictionary
        self.read_dictionaries()
        place = self.good.get(number)
        content = None if place is None else self.read_dictionary(place, &found)
        if content is not None:
            try:
                dictionary = Dictionary(number, content)
            except ValueError:
                pass  # of zstd's own format, and not right
            except errors.EngineError as error:
                raise errors.EngineError(error.args[0], path=self.path, block=block, offset=offset) from None
        if dictionary is None:
            raise errors.CorruptError(f"dictionary {number}, which it was compressed with, is missing or damaged",
                                      path=self.path, block=block, offset=offset)
        with cython.critical_section(self):
            if len(self.dictionaries) >= MOST_DICTIONARIES:
                self.dictionaries.clear()
            self.dictionaries[number] = dictionary
        return dictionary

    cdef int read_dictionaries(self) except -1:
        """See which of the records that were met since are good; each is read once for that."""
        cdef uint16_t number = 0
        for place in sorted(self.unread):
            if self.read_dictionary(place, &number) is not None:
                self.good.setdefault(<int>number, place)
            # Not before: another thread that needs one looks for it among these too.
            self.unread.pop(place, None)
        return 0

    def last_dictionary(self):
        """Return the dictionary with the highest number of those that are good, None where there is none."""
        self.read_dictionaries()
        good = dict(self.good)
        for number in sorted(good, reverse=True):
            try:
                return self.dictionary(number, None, good[number])
            except errors.CorruptError:
                pass  # of zstd's own format, and not right
        return None

    def dictionary_at(self, uint64_t offset):
        """Return the dictionary in the record at an offset; None where there is none that is good."""
        cdef uint16_t number = 0
        return self.read_dictionary(offset, &number)

    cdef bytes read_dictionary(self, uint64_t offset, uint16_t *number):
        """The dictionary in the record at an offset, and its number; None where there is none that is good."""
        cdef bytes data = self.read(offset, SP_RECORD_HEADER), content
        cdef sp_record record
        cdef sp_segment segment
        cdef uint64_t raw, head
        cdef const uint8_t *p
        if record_decode(data, len(data), self.id, offset, &record) != SP_OK or record.kind != SP_DICTIONARY:
            return None
        self.note_number(record.dictionary)
        if record.pairs != 1 or record.key_length > 0 or record.codec != SP_NONE:
            return None
        if record.size > MOST_DICTIONARY + SP_RECORD_HEADER + SP_DIRECTORY_ENTRY + SP_PAIR_LENGTHS:
            return None
        data = self.read(offset, record.size)
        if <uint64_t>len(data) < record.size:
            return None
        p = data
        head = sp_lead_size(&record) - record.head_stored
        if directory_decode(p, &record, &segment, &raw) != SP_OK:
            return None
        if crc32(p + head, record.head_stored) != record.head_crc or sp_load32(p + head) != 0:
            return None
        if record.larges == 0:
            content = data[head + SP_PAIR_LENGTHS:]
        elif crc32(p + segment.position, segment.stored) == segment.crc:
            content = data[segment.position:]
        else:
            return None
        if sp_load32(p + head + 4) != <uint64_t>len(content) or record.dictionary == 0:
            return None
        number[0] = record.dictionary
        return content

    cdef object failure(self, int status, str what, bytes block, uint64_t offset):
        """The exception for a status: `what` of a block at an offset."""
        cdef type kind
        if status == SP_MEMORY:
            return MemoryError()
        if status == SP_TRUNCATED:
            kind = errors.TruncatedError
        elif status in (SP_NO_ZSTD, SP_NO_LZ4):
            kind = errors.EngineError
        elif status in (SP_CODEC, SP_KIND, SP_FLAGS, SP_RESERVED):
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
    status = inflater.inflate(task.codec, task.dictionary, task.stored, task.size, &used, task.out,
                              task.raw + task.slack, &written)
    if status != SP_OK:
        return status
    if task.exact and written != task.raw:
        return SP_SIZES
    task.raw = written
    return SP_OK if used == task.size else SP_TRAILING
