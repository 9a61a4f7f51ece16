"""Pairs gathered from blocks into columns: a few buffers for many blocks, and no object per pair."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

from smartpipe._codec cimport (
    columns_measure, columns_put, sp_columns, sp_cursor, sp_sizes, sp_wanted,
)

from smartpipe import errors

# Bytes at which a batch ends: few enough to stay in the caches, where the next batch is made in the memory of the last.
BATCH = 1 << 20
# Blocks of so many bytes are copied without the GIL. Taking it back costs more than to copy a smaller one.
cdef uint64_t RELEASE = 64 << 10
cdef int BUFFERS = 8  # of a batch


cdef class Wanted:
    def __init__(self, frozenset keys):
        cdef sp_wanted *wanted
        cdef bytes key
        self.keys = sorted(keys, key=lambda key: (len(key), key))
        self.array = Buffer()
        self.array.reserve(sizeof(sp_wanted))  # without a key it is not NULL, which would want everything
        for key in self.keys:
            wanted = <sp_wanted *>self.array.extend(sizeof(sp_wanted))
            wanted.key = <const uint8_t *>PyBytes_AS_STRING(key)
            wanted.length = PyBytes_GET_SIZE(key)


cdef class Memory:
    def __init__(self, list stocks):
        (self.block_keys, self.block_key_offsets, self.block_pairs, self.keys, self.key_offsets, self.values,
         self.value_offsets, self.larges) = [(<Stock>stock).lend() for stock in stocks]
        for buffer in (self.block_key_offsets, self.block_pairs, self.key_offsets, self.value_offsets):
            (<int64_t *>(<Buffer>buffer).extend(sizeof(int64_t)))[0] = 0

    cdef uint64_t size(self) noexcept:
        return (self.block_keys.size + self.block_key_offsets.size + self.block_pairs.size + self.keys.size
                + self.key_offsets.size + self.values.size + self.value_offsets.size)

    cdef int add(self, Block block, Wanted wanted) except -1:
        """Copy a block; an error leaves what was there before."""
        cdef sp_cursor cursor
        cdef Buffer _held = block.begin(&cursor)
        cdef const sp_wanted *keys = NULL
        cdef size_t count = 0, key_length = PyBytes_GET_SIZE(block.key)
        cdef sp_sizes sizes
        cdef sp_columns columns
        cdef const uint8_t **larges
        if wanted is not None:
            keys = <const sp_wanted *>wanted.array.data
            count = len(wanted.keys)
        larges = self.larges_of(block)
        sizes = columns_measure(&cursor, keys, count)
        columns.keys = room(self.keys, sizes.key_bytes) - self.keys.size
        columns.values = room(self.values, sizes.value_bytes) - self.values.size
        columns.key_end = self.keys.size
        columns.value_end = self.values.size
        columns.key_ends = <int64_t *>room(self.key_offsets, sizes.pairs * sizeof(int64_t))
        columns.value_ends = <int64_t *>room(self.value_offsets, sizes.pairs * sizeof(int64_t))
        if sizes.key_bytes + sizes.value_bytes < RELEASE:
            columns_put(&cursor, keys, count, <const uint8_t *const *>larges, &columns)
        else:
            with nogil:
                columns_put(&cursor, keys, count, <const uint8_t *const *>larges, &columns)
        room(self.block_keys, key_length)
        room(self.block_key_offsets, sizeof(int64_t))
        room(self.block_pairs, sizeof(int64_t))
        self.blocks += 1
        self.pairs += sizes.pairs
        self.repeated += sizes.pairs * (key_length + sizeof(int64_t))
        self.keys.size += sizes.key_bytes
        self.values.size += sizes.value_bytes
        self.key_offsets.size += sizes.pairs * sizeof(int64_t)
        self.value_offsets.size += sizes.pairs * sizeof(int64_t)
        self.block_keys.append(PyBytes_AS_STRING(block.key), key_length)
        (<int64_t *>self.block_key_offsets.extend(sizeof(int64_t)))[0] = self.block_keys.size
        (<int64_t *>self.block_pairs.extend(sizeof(int64_t)))[0] = self.pairs
        return 0

    cdef const uint8_t **larges_of(self, Block block) except? NULL:
        """The bytes of each large value of a block, as far as it is selected."""
        cdef uint32_t i
        cdef const uint8_t **larges
        if block.record.larges == 0:
            return NULL
        if not block.checked:
            block.load_all()
        self.larges.size = 0
        larges = <const uint8_t **>self.larges.extend(block.record.larges * sizeof(uint8_t *))
        for i in range(block.record.larges):
            value = block.loaded[i]
            if value is not None:
                larges[i] = <const uint8_t *>PyBytes_AS_STRING(value)
            else:
                # Stored plain and checked where it lies, or not selected and never looked at.
                larges[i] = block.lead + block.segments[i].position
        return larges


cdef uint8_t *room(Buffer buffer, size_t n) except NULL:
    """Where the next n bytes go, which are not counted yet."""
    cdef uint8_t *to = buffer.extend(n)
    buffer.size -= n
    return to


cdef class Gatherer:
    def __init__(self, items, limit, bint repeats):
        if limit < 1:
            raise ValueError(f"batch is {limit}, not at least 1 byte")
        self.items = items
        self.limit = limit
        self.repeats = repeats
        self.stocks = [Stock() for _ in range(BUFFERS)]

    @cython.critical_section
    cdef Memory gather(self):
        """The next batch; None at the end. The error of a block comes when the good ones before it were given."""
        if self.running:
            raise ValueError("the iterator is used by another thread at this moment; give each thread its own")
        self.running = True
        try:
            return self.collect()
        finally:
            self.running = False

    cdef Memory collect(self):
        cdef Memory memory
        if self.error is not None:
            self.failure, self.error = self.error, None
            raise self.failure
        memory = self.partial
        self.partial = None
        if memory is None:
            memory = Memory(self.stocks)
            try:
                self.begun = self.items.position
            except (ValueError, errors.SmartPipeError):
                self.begun = None
        try:
            self.fill(memory)
        except Exception as error:
            if memory.blocks == 0:
                self.failure = error
                raise
            self.error = error
        except BaseException as error:
            self.partial = memory
            self.failure = error
            raise
        self.ended = memory.blocks == 0
        return None if self.ended else memory

    cdef int fill(self, Memory memory) except -1:
        cdef Block block
        while memory.blocks == 0 or memory.size() + (memory.repeated if self.repeats else 0) < self.limit:
            found = next(self.items, None)
            if found is None:
                return 0
            block = found[1]
            if block.select is not self.select:
                self.select = block.select
                self.wanted = None if self.select is None else Wanted(self.select)
            memory.add(block, self.wanted)
            block = found = None  # its memory is used again
        return 0
