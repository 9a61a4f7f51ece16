"""A block of a pipe: a read-only sequence of pairs, inflated as far as somebody asks."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from smartpipe._codec cimport (
    SP_CODEC, SP_CODECS, SP_DICTIONARY, SP_GROUP, SP_OK, SP_ZSTD, directory_decode, head_check,
    sp_cursor_format1, sp_cursor_format2, sp_cursor_next, sp_key_position, sp_lead_size,
)
from smartpipe.container.source cimport SLACK

from smartpipe import errors


cdef class Block:
    """A block: a read-only sequence of its (key, value) pairs, in the order in which they were written.

    A number gives a pair, bytes the first value of that key. What comes back is always bytes. Values of 4 KiB and more
    are read and inflated when they are asked for; `sizes()`, `keys()` and small values never touch them.

    >>> import smartpipe, tempfile
    >>> prefix = tempfile.mkdtemp() + "/pipe"
    >>> with smartpipe.open(prefix, "w") as pipe:
    ...     pipe.write(b"page", [(b"raw", b"<html>"), (b"log", b"ok")])
    >>> with smartpipe.open(prefix) as pipe:
    ...     block = pipe[b"page"]
    ...     block[b"raw"], block[1], len(block), block.sizes()
    (b'<html>', (b'log', b'ok'), 2, [(b'raw', 6), (b'log', 2)])
    """

    def __cinit__(self):
        self.shown = -1

    def __init__(self):
        raise TypeError("blocks come from a reader")

    def __dealloc__(self):
        free(self.segments)

    cdef int open_record(self, Source source, uint64_t offset, sp_record *record, const uint8_t *lead, size_t present,
                         Buffer stored, uint64_t *raw) except -1:
        """Take over a record of format 2, whose lead is there at least to where its head begins; checks the directory
        and the key. Gives the raw size of the block."""
        cdef int status
        self.source = source
        self.offset = offset
        self.record = record[0]
        self.table = True
        self.lead = lead
        self.present = present
        self.stored = stored
        if record.larges > 0:
            self.segments = <sp_segment *>malloc(record.larges * sizeof(sp_segment))
            if self.segments == NULL:
                raise MemoryError
            self.loaded = [None] * record.larges
        status = directory_decode(lead, record, self.segments, raw)
        if status != SP_OK:
            raise source.failure(status, "the directory and key of the record", self.key, offset)
        if self.key is None:
            self.key = PyBytes_FromStringAndSize(<char *>lead + sp_key_position(record), record.key_length)
        if raw[0] > source.limit and record.kind != SP_GROUP:
            raise errors.BlockTooLargeError(f"{raw[0]} bytes, more than max_block_size, {source.limit}",
                                            path=source.path, block=self.key, offset=offset)
        if record.kind == SP_DICTIONARY:
            return 0  # whose number is its own
        if record.codec >= SP_CODECS or (record.dictionary != 0 and record.codec != SP_ZSTD):
            raise source.failure(SP_CODEC, f"codec {record.codec} with dictionary {record.dictionary}", self.key,
                                 offset)
        if record.dictionary != 0:
            self.dictionary = source.dictionary(record.dictionary, self.key, offset)
        return 0

    cdef int prepare(self) except -1:
        """See to it that the head is there. Threads that need it at the same time may each inflate it; one is taken."""
        cdef Task task
        cdef Buffer memory = self.stored
        if self.head != NULL:
            return 0
        task.stored = self.lead + sp_lead_size(&self.record) - self.record.head_stored
        task.size = self.record.head_stored
        task.raw = self.record.head_raw
        task.codec = self.record.codec
        task.dictionary = NULL if self.dictionary is None else self.dictionary.opened
        task.crc = self.record.head_crc
        task.check = task.exact = True
        task.slack = 0
        task.out = NULL
        if task.size < task.raw:
            memory = Buffer()
            memory.reserve(task.raw + SLACK)
            task.out = memory.data
            task.slack = SLACK
        self.source.run(&task, 1)
        if task.status != SP_OK:
            raise self.source.failure(task.status, "the head of the record", self.key, self.offset)
        if self.head == NULL:
            self.set_head(task.stored if task.out == NULL else task.out, memory)
        return 0

    cdef int set_head(self, const uint8_t *head, Buffer memory) except -1:
        """Take over a head that was inflated, and lies in `memory`."""
        cdef int status = head_check(head, &self.record, self.segments, &self.key_bytes)
        if status != SP_OK:
            raise self.source.failure(status, "the head of the record", self.key, self.offset)
        self.memory = memory
        self.head = head
        return 0

    cdef Buffer begin(self, sp_cursor *cursor):
        """Begin to walk the pairs. What comes back is the memory that the cursor points into, to be held meanwhile."""
        with cython.critical_section(self):
            self.prepare()
            if self.table:
                cursor[0] = sp_cursor_format2(self.head, self.record.pairs, self.key_bytes, self.segments,
                                              self.record.larges)
            else:
                cursor[0] = sp_cursor_format1(self.head, self.record.pairs)
            return self.memory

    cdef bint next(self, sp_cursor *cursor, sp_pair *pair) except -1:
        """The next pair that is selected; False at the end."""
        while sp_cursor_next(cursor, pair):
            if self.select is None or pair_key(pair) in self.select:
                return True
        return False

    cdef bytes value(self, sp_pair *pair):
        if pair.value != NULL:
            return PyBytes_FromStringAndSize(<char *>pair.value, pair.value_length)
        return self.load(pair.large)

    cdef bytes load(self, uint32_t large):
        """A large value, which is then kept."""
        cdef sp_segment *segment = &self.segments[large]
        cdef bytes value, stored = None
        cdef const uint8_t *lead
        cdef size_t present
        cdef bint checked
        cdef Buffer memory
        cdef Task task
        with cython.critical_section(self):
            value = self.loaded[large]
            memory = self.stored
            lead = self.lead
            present = self.present
            checked = self.checked
        if value is not None:
            return value
        if checked:
            return PyBytes_FromStringAndSize(<char *>lead + segment.position, segment.raw)
        if memory is not None and segment.position + segment.stored <= present:
            task.stored = lead + segment.position
        else:
            stored = PyBytes_FromStringAndSize(NULL, segment.stored)
            task.stored = <const uint8_t *>PyBytes_AS_STRING(stored)
            self.source.read_into(self.offset + segment.position, segment.stored, <uint8_t *>PyBytes_AS_STRING(stored),
                                  self.key)
        value = self.plan_value(segment, &task)
        self.source.run(&task, 1)
        self.check_value(segment, &task)
        if task.out == NULL:
            value = stored if stored is not None else PyBytes_FromStringAndSize(<char *>task.stored, segment.raw)
        return self.keep(large, value)

    cdef bytes plan_value(self, const sp_segment *segment, Task *task):
        """How a large value is inflated, but for where it lies; gives where to, None where it is not compressed."""
        cdef bytes value = None
        task.size = segment.stored
        task.raw = segment.raw
        task.codec = self.record.codec
        task.dictionary = NULL if self.dictionary is None else self.dictionary.opened
        task.crc = segment.crc
        task.check = task.exact = True
        task.slack = 0
        task.out = NULL
        if task.size < task.raw:
            value = PyBytes_FromStringAndSize(NULL, segment.raw)
            task.out = <uint8_t *>PyBytes_AS_STRING(value)
        return value

    cdef int check_value(self, const sp_segment *segment, const Task *task) except -1:
        """Raise where a large value was not what it should be."""
        if task.status != SP_OK:
            raise self.source.failure(task.status, f"the value of pair {segment.pair}", self.key,
                                      self.offset + segment.position)
        return 0

    cdef bytes keep(self, uint32_t large, bytes value):
        """Keep a large value; gives the one that is kept, which another thread may have loaded."""
        with cython.critical_section(self):
            if self.loaded[large] is None:
                self.loaded[large] = value
            return self.loaded[large]

    cdef int load_all(self) except -1:
        """Read and check everything that is selected."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        if self.record.larges > 0:
            while self.next(&cursor, &pair):
                if pair.value == NULL:
                    self.keep(pair.large, self.load(pair.large))
        return 0

    cdef int detach(self) except -1:
        """Move to memory of its own, so that the batch it came from can be reused."""
        cdef Buffer own = Buffer(), _stored, _memory
        self.load_all()
        own.append(self.head, self.record.head_raw)
        with cython.critical_section(self):
            # Given back behind this section, in which nothing may wait.
            _stored = self.stored
            _memory = self.memory
            self.head = own.data
            self.memory = own
            self.stored = None
            self.lead = NULL
            self.present = 0
            self.checked = False
        return 0

    def __len__(self):
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Py_ssize_t count = self.shown
        cdef Buffer _held
        if self.select is None:
            return self.record.pairs
        if count < 0:
            _held = self.begin(&cursor)
            count = 0
            while self.next(&cursor, &pair):
                count += 1
            self.shown = count
        return count

    def __iter__(self):
        cdef Pairs pairs = Pairs.__new__(Pairs)
        pairs.memory = self.begin(&pairs.cursor)
        pairs.block = self
        return pairs

    def __getitem__(self, item):
        if isinstance(item, slice):
            return list(self)[item]
        if not isinstance(item, (bytes, bytearray)) and hasattr(item, "__index__"):
            return self._pair_at(item)
        value = self.get(item)
        if value is None:
            raise errors.PairNotFound(f"no pair with the key {bytes(item)!r}", path=self.source.path, block=self.key)
        return value

    def _pair_at(self, Py_ssize_t number):
        """Return pair `number`, from the end where it is negative; IndexError past the end."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        cdef Py_ssize_t i = number if number >= 0 else number + len(self)
        if i >= 0:
            while self.next(&cursor, &pair):
                if i == 0:
                    return pair_key(&pair), self.value(&pair)
                i -= 1
        raise IndexError(f"pair {number} of a block of {len(self)}")

    def get(self, key, default=None):
        """Return the first value of a key, or the default where the block has none."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        cdef bytes wanted = as_bytes(key, "the key")
        while self.next(&cursor, &pair):
            if is_key(&pair, wanted):
                return self.value(&pair)
        return default

    def getall(self, key):
        """Return the list of all values of a key, in order."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        cdef bytes wanted = as_bytes(key, "the key")
        result = []
        while self.next(&cursor, &pair):
            if is_key(&pair, wanted):
                result.append(self.value(&pair))
        return result

    def keys(self):
        """Return the list of the keys of all pairs, in order."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        result = []
        while self.next(&cursor, &pair):
            result.append(pair_key(&pair))
        return result

    def sizes(self):
        """Return the list of (key, bytes of the value) of all pairs, in order, without inflating large values."""
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        result = []
        while self.next(&cursor, &pair):
            result.append((pair_key(&pair), pair.value_length))
        return result

    def __contains__(self, key):
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef Buffer _held = self.begin(&cursor)
        cdef bytes wanted = as_bytes(key, "the key")
        while self.next(&cursor, &pair):
            if is_key(&pair, wanted):
                return True
        return False

    def __repr__(self):
        return f"<smartpipe.Block {self.key!r} of {self.record.pairs} pairs>"


cdef class Pairs:
    """The iterator over the pairs of a block. It keeps the memory that its cursor points into."""
    cdef Block block
    cdef Buffer memory
    cdef sp_cursor cursor

    def __iter__(self):
        return self

    def __next__(self):
        cdef sp_pair pair
        cdef bint found
        with cython.critical_section(self):
            found = self.block.next(&self.cursor, &pair)
        if not found:
            raise StopIteration
        return pair_key(&pair), self.block.value(&pair)


cdef inline bytes pair_key(sp_pair *pair):
    return PyBytes_FromStringAndSize(<char *>pair.key, pair.key_length)


cdef inline bint is_key(sp_pair *pair, bytes key):
    cdef size_t n = PyBytes_GET_SIZE(key)
    return pair.key_length == n and (n == 0 or memcmp(pair.key, PyBytes_AS_STRING(key), n) == 0)


cdef bytes as_bytes(object value, str what):
    if PyBytes_CheckExact(value):
        return value
    if isinstance(value, str):
        raise TypeError(f"{what} is a str, not bytes: encode it, as in {value[:40]!r}.encode()")
    try:
        return memoryview(value).tobytes()
    except TypeError:
        raise TypeError(f"{what} is a {type(value).__name__}, not bytes or anything with the buffer protocol") from None
