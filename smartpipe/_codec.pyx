"""The one extension that links csrc: its functions bound to the engines in use, and memory for them.

The engine of the codec zlib is zlib-ng. It is called from C through the functions that the extension module of
the installed `zlib-ng` package exports; where they can not be resolved, the same table is filled with calls of that
package's Python API, which are slower and give the same bytes. The environment variable SMARTPIPE_ENGINE=python chooses
these.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from zlib_ng import zlib_ng

cdef extern from "Python.h":
    int PyBUF_READ

cdef extern from "status.h":
    const char *sp_status_words(int status) nogil

cdef extern from "engine.h":
    ctypedef uint32_t (*sp_crc32)(uint32_t crc, const uint8_t *p, size_t n) noexcept nogil
    ctypedef struct sp_engine:
        sp_crc32 crc32
        void *(*deflate_open)(const void *library, int level) noexcept nogil
        void (*deflate_close)(void *stream) noexcept nogil
        void *(*inflate_open)(const void *library) noexcept nogil
        void (*inflate_close)(void *stream) noexcept nogil
        int (*deflate)(void *stream, const uint8_t *p, size_t n, uint8_t *out, size_t room,
                       size_t *written) noexcept nogil
        int (*inflate)(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                       size_t *written) noexcept nogil
        const void *library

cdef extern from "zlibng.h":
    ctypedef struct sp_zng:
        void *zlibng_version
        void *crc32_z
        void *deflateInit2_
        void *deflate
        void *deflateReset
        void *deflateEnd
        void *inflateInit2_
        void *inflate
        void *inflateReset
        void *inflateEnd
    int sp_zng_engine(const sp_zng *zng, sp_engine *engine) nogil

cdef extern from "siphash.h":
    uint64_t sp_siphash13(const uint8_t *key, const uint8_t *p, size_t n) nogil

cdef extern from "order.h":
    uint64_t sp_order_at(uint64_t seed, uint64_t count, uint64_t place) nogil

cdef extern from "pairs.h":
    int sp_pairs_check(const uint8_t *data, uint64_t n, uint32_t *pairs, uint64_t *good) nogil
    int sp_entry1_decode(const uint8_t *p, size_t n, sp_entry1 *entry) nogil

cdef extern from "columns.h":
    sp_sizes sp_columns_measure(sp_cursor cursor, const sp_wanted *wanted, size_t count) nogil
    void sp_columns_put(sp_cursor cursor, const sp_wanted *wanted, size_t count, const uint8_t *const *larges,
                        sp_columns *columns) nogil
    void sp_columns_repeat(const uint8_t *key, size_t length, uint64_t rows, sp_columns *columns) nogil

cdef extern from "rows.h":
    uint64_t sp_strings_check(const sp_strings *strings, uint64_t start, uint64_t stop, int64_t size, int64_t buffers,
                              const int64_t *sizes) nogil
    uint64_t sp_strings_run(const sp_strings *strings, uint64_t start, uint64_t stop) nogil
    uint64_t sp_bits_zero(const uint8_t *bits, uint64_t start, uint64_t stop) nogil
    sp_rows_sizes sp_rows_measure(const sp_rows *rows, uint64_t large) nogil
    void sp_rows_put_larges(const sp_rows *rows, uint64_t large, uint32_t pair, sp_segment *segments,
                            const uint8_t **pointers) nogil
    void sp_rows_put_head(const sp_rows *rows, uint64_t large, sp_head *head) nogil
    uint8_t *sp_rows_put_format1(const sp_rows *rows, uint8_t *out) nogil

cdef extern from "record.h":
    void sp_file_encode(const sp_file *file, sp_crc32 crc, uint8_t *out) nogil
    int sp_file_decode(const uint8_t *p, size_t n, sp_crc32 crc, sp_file *file) nogil
    void sp_record_encode(sp_record *record, uint64_t id, uint64_t offset, sp_crc32 crc, uint8_t *out) nogil
    int sp_record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_crc32 crc,
                         sp_record *record) nogil
    uint64_t sp_most_raw(uint8_t codec, uint64_t stored) nogil
    uint32_t sp_record_mark(const uint8_t *p, uint64_t offset, sp_crc32 crc) nogil
    uint64_t sp_mark_id(uint32_t mark, sp_crc32 crc) nogil
    void sp_directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out) nogil
    int sp_directory_decode(const uint8_t *lead, const sp_record *record, sp_crc32 crc, sp_segment *segments,
                            uint64_t *raw) nogil
    int sp_head_check(const uint8_t *head, const sp_record *record, const sp_segment *segments, uint64_t *keys) nogil
    size_t sp_record_search(const uint8_t *p, size_t n, size_t start) nogil

cdef extern from "frame.h":
    void sp_index_encode(const sp_index *index, sp_crc32 crc, uint8_t *out) nogil
    int sp_index_decode(const uint8_t *p, size_t n, sp_crc32 crc, sp_index *index) nogil
    uint32_t sp_sums_encode(const sp_part *parts, size_t count, sp_crc32 crc, uint8_t *sums) nogil
    void sp_frame_encode(const sp_frame *frame, uint64_t id, uint64_t offset, sp_crc32 crc, uint8_t *out) nogil
    int sp_frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc,
                               sp_frame *frame) nogil
    int sp_frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc,
                        sp_frame *frame) nogil

cdef extern from "run.h":
    int sp_run_check(const sp_run *run, sp_crc32 crc) nogil
    uint64_t sp_run_place(uint64_t hash, uint64_t slots) nogil
    int sp_run_entry(const sp_run *run, uint64_t number, sp_crc32 crc, sp_entry *entry) nogil
    int sp_run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc,
                    uint64_t *number) nogil
    int sp_run_hash(const sp_run *run, const uint8_t *hash_key, uint64_t first) nogil
    int sp_run_measure(const sp_run *run, uint64_t first, sp_crc32 crc, uint64_t *key_bytes) nogil
    void sp_run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) nogil


cdef extern from "index1.h":
    size_t sp_entries1_measure(const uint8_t *p, size_t n, int compressed, uint64_t offset, uint64_t raw_offset,
                               uint64_t *count, uint64_t *key_bytes) nogil
    void sp_entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries,
                          uint8_t *keys) nogil


# The engine table, filled once when this module is imported.
cdef sp_engine ENGINE
cdef sp_zng ZNG
cdef str BINDING


# zlib-ng through its Python API. A stream is a Python object: the level, or nothing.

cdef object view(const uint8_t *p, size_t n):
    return PyMemoryView_FromMemory(<char *>p, <Py_ssize_t>n, PyBUF_READ)


cdef uint32_t python_crc32(uint32_t crc, const uint8_t *p, size_t n) noexcept with gil:
    return <uint32_t>zlib_ng.crc32(view(p, n), crc)


cdef void *python_deflate_open(const void *library, int level) noexcept with gil:
    cdef object stream = level
    Py_INCREF(stream)
    return <void *>stream


cdef void *python_inflate_open(const void *library) noexcept with gil:
    Py_INCREF(None)
    return <void *>None


cdef void python_close(void *stream) noexcept with gil:
    Py_DECREF(<object>stream)


cdef int python_deflate(void *stream, const uint8_t *p, size_t n, uint8_t *out, size_t room,
                        size_t *written) noexcept with gil:
    cdef bytes result
    try:
        result = zlib_ng.compress(view(p, n), <object>stream)
    except MemoryError:
        return SP_MEMORY
    if <size_t>PyBytes_GET_SIZE(result) > room:
        return SP_FULL
    written[0] = PyBytes_GET_SIZE(result)
    memcpy(out, PyBytes_AS_STRING(result), written[0])
    return SP_OK


cdef int python_inflate(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                        size_t *written) noexcept with gil:
    cdef bytes result
    try:
        inflate = zlib_ng.decompressobj()
        # One byte more than there is room for tells a stream that ends from one that goes on; 0 would mean no limit.
        result = inflate.decompress(view(p, n), room + 1)
    except MemoryError:
        return SP_MEMORY
    except zlib_ng.error:
        return SP_STREAM
    if <size_t>PyBytes_GET_SIZE(result) > room:
        return SP_FULL
    if not inflate.eof:
        return SP_TRUNCATED
    used[0] = n - <size_t>len(inflate.unused_data)
    written[0] = PyBytes_GET_SIZE(result)
    memcpy(out, PyBytes_AS_STRING(result), written[0])
    return SP_OK


cdef void use_python():
    ENGINE.crc32 = python_crc32
    ENGINE.deflate_open = python_deflate_open
    ENGINE.deflate_close = python_close
    ENGINE.inflate_open = python_inflate_open
    ENGINE.inflate_close = python_close
    ENGINE.deflate = python_deflate
    ENGINE.inflate = python_inflate
    ENGINE.library = NULL


cdef bint use_library() except -1:
    """Fill the table with the functions that the package's extension module exports; False where that can not be."""
    import ctypes

    names = ("zlibng_version", "zng_crc32_z", "zng_deflateInit2_", "zng_deflate", "zng_deflateReset", "zng_deflateEnd",
             "zng_inflateInit2_", "zng_inflate", "zng_inflateReset", "zng_inflateEnd")
    try:
        library = ctypes.CDLL(zlib_ng.__file__)
        address = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in names]
    except (OSError, AttributeError):
        return False
    cdef size_t[10] at = address
    ZNG.zlibng_version = <void *>at[0]
    ZNG.crc32_z = <void *>at[1]
    ZNG.deflateInit2_ = <void *>at[2]
    ZNG.deflate = <void *>at[3]
    ZNG.deflateReset = <void *>at[4]
    ZNG.deflateEnd = <void *>at[5]
    ZNG.inflateInit2_ = <void *>at[6]
    ZNG.inflate = <void *>at[7]
    ZNG.inflateReset = <void *>at[8]
    ZNG.inflateEnd = <void *>at[9]
    return sp_zng_engine(&ZNG, &ENGINE) == SP_OK


if os.environ.get("SMARTPIPE_ENGINE") != "python" and use_library():
    BINDING = "c"
else:
    use_python()
    BINDING = "python"


def engines():
    """Return what runs the codecs here: for each codec its engine, that engine's version and how it is called.

    The binding is "c" where the engine's C functions are called, without the GIL, and "python" where its Python API is.

    >>> sorted(engines()["zlib"])
    ['binding', 'engine', 'version']
    """
    return {"zlib": {"engine": "zlib-ng", "version": zlib_ng.ZLIBNG_VERSION, "binding": BINDING}}


cdef class Buffer:
    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, size_t capacity) except -1:
        if capacity <= self.capacity:
            return 0
        if self.size == 0:
            # Nothing to keep, and so nothing to copy.
            free(self.data)
            self.data = NULL
            self.capacity = 0
        cdef uint8_t *data = <uint8_t *>realloc(self.data, capacity)
        if data == NULL:
            raise MemoryError
        self.data = data
        self.capacity = capacity
        return 0

    cdef uint8_t *extend(self, size_t n) except NULL:
        """n more bytes, whose content is whatever it is."""
        cdef size_t size = self.size
        if n > self.capacity - size or self.data == NULL:
            self.reserve(max(size + n, self.capacity + (self.capacity >> 1), <size_t>64))
        self.size = size + n
        return self.data + size

    cdef int append(self, const void *p, size_t n) except -1:
        cdef uint8_t *to = self.extend(n)
        if n > 0:
            memcpy(to, p, n)
        return 0


cdef class Deflater:
    def __cinit__(self, int level):
        self.level = level
        self.stream = ENGINE.deflate_open(ENGINE.library, level)
        if self.stream == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.stream != NULL:
            ENGINE.deflate_close(self.stream)

    cdef int deflate(self, const uint8_t *p, size_t n, uint8_t *out, size_t room, size_t *written) noexcept nogil:
        return ENGINE.deflate(self.stream, p, n, out, room, written)


cdef class Inflater:
    def __cinit__(self):
        self.stream = ENGINE.inflate_open(ENGINE.library)
        if self.stream == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.stream != NULL:
            ENGINE.inflate_close(self.stream)

    cdef int inflate(self, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                     size_t *written) noexcept nogil:
        return ENGINE.inflate(self.stream, p, n, used, out, room, written)


cdef str words(int status):
    return sp_status_words(status).decode()


cdef uint32_t crc32(const uint8_t *p, size_t n) noexcept nogil:
    return ENGINE.crc32(0, p, n)


cdef uint32_t crc32_on(uint32_t crc, const uint8_t *p, size_t n) noexcept nogil:
    return ENGINE.crc32(crc, p, n)


cdef uint64_t siphash(const uint8_t *key, const uint8_t *p, size_t n) noexcept nogil:
    return sp_siphash13(key, p, n)


cdef uint64_t order_at(uint64_t seed, uint64_t count, uint64_t place) noexcept nogil:
    return sp_order_at(seed, count, place)


cdef uint64_t most_raw(uint8_t codec, uint64_t stored) noexcept nogil:
    return sp_most_raw(codec, stored)


cdef int pairs_check(const uint8_t *data, uint64_t n, uint32_t *pairs, uint64_t *good) noexcept nogil:
    return sp_pairs_check(data, n, pairs, good)


cdef int entry1_decode(const uint8_t *p, size_t n, sp_entry1 *entry) noexcept nogil:
    return sp_entry1_decode(p, n, entry)


cdef sp_sizes columns_measure(const sp_cursor *cursor, const sp_wanted *wanted, size_t count) noexcept nogil:
    return sp_columns_measure(cursor[0], wanted, count)


cdef void columns_put(const sp_cursor *cursor, const sp_wanted *wanted, size_t count, const uint8_t *const *larges,
                      sp_columns *columns) noexcept nogil:
    sp_columns_put(cursor[0], wanted, count, larges, columns)


cdef void columns_repeat(const uint8_t *key, size_t length, uint64_t rows, sp_columns *columns) noexcept nogil:
    sp_columns_repeat(key, length, rows, columns)


cdef uint64_t strings_check(const sp_strings *strings, uint64_t start, uint64_t stop, int64_t size, int64_t buffers,
                            const int64_t *sizes) noexcept nogil:
    return sp_strings_check(strings, start, stop, size, buffers, sizes)


cdef uint64_t strings_run(const sp_strings *strings, uint64_t start, uint64_t stop) noexcept nogil:
    return sp_strings_run(strings, start, stop)


cdef uint64_t bits_zero(const uint8_t *bits, uint64_t start, uint64_t stop) noexcept nogil:
    return sp_bits_zero(bits, start, stop)


cdef sp_rows_sizes rows_measure(const sp_rows *rows, uint64_t large) noexcept nogil:
    return sp_rows_measure(rows, large)


cdef void rows_put_larges(const sp_rows *rows, uint64_t large, uint32_t pair, sp_segment *segments,
                          const uint8_t **pointers) noexcept nogil:
    sp_rows_put_larges(rows, large, pair, segments, pointers)


cdef void rows_put_head(const sp_rows *rows, uint64_t large, sp_head *head) noexcept nogil:
    sp_rows_put_head(rows, large, head)


cdef uint8_t *rows_put_format1(const sp_rows *rows, uint8_t *out) noexcept nogil:
    return sp_rows_put_format1(rows, out)


cdef void file_encode(const sp_file *file, uint8_t *out) noexcept nogil:
    sp_file_encode(file, ENGINE.crc32, out)


cdef int file_decode(const uint8_t *p, size_t n, sp_file *file) noexcept nogil:
    return sp_file_decode(p, n, ENGINE.crc32, file)


cdef void record_encode(sp_record *record, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil:
    sp_record_encode(record, id, offset, ENGINE.crc32, out)


cdef int record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_record *record) noexcept nogil:
    return sp_record_decode(p, n, id, offset, ENGINE.crc32, record)


cdef uint32_t record_mark(const uint8_t *p, uint64_t offset) noexcept nogil:
    return sp_record_mark(p, offset, ENGINE.crc32)


cdef uint64_t mark_id(uint32_t mark) noexcept nogil:
    return sp_mark_id(mark, ENGINE.crc32)


cdef size_t record_search(const uint8_t *p, size_t n, size_t start) noexcept nogil:
    return sp_record_search(p, n, start)


cdef void directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out) noexcept nogil:
    sp_directory_encode(segments, larges, out)


cdef int directory_decode(const uint8_t *lead, const sp_record *record, sp_segment *segments,
                          uint64_t *raw) noexcept nogil:
    return sp_directory_decode(lead, record, ENGINE.crc32, segments, raw)


cdef int head_check(const uint8_t *head, const sp_record *record, const sp_segment *segments,
                    uint64_t *keys) noexcept nogil:
    return sp_head_check(head, record, segments, keys)


cdef void index_encode(const sp_index *index, uint8_t *out) noexcept nogil:
    sp_index_encode(index, ENGINE.crc32, out)


cdef int index_decode(const uint8_t *p, size_t n, sp_index *index) noexcept nogil:
    return sp_index_decode(p, n, ENGINE.crc32, index)


cdef uint32_t sums_encode(const sp_part *parts, size_t count, uint8_t *sums) noexcept nogil:
    return sp_sums_encode(parts, count, ENGINE.crc32, sums)


cdef void frame_encode(const sp_frame *frame, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil:
    sp_frame_encode(frame, id, offset, ENGINE.crc32, out)


cdef int frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_frame *frame) noexcept nogil:
    return sp_frame_decode(p, n, id, offset, ENGINE.crc32, frame)


cdef int frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset,
                             sp_frame *frame) noexcept nogil:
    return sp_frame_header_decode(p, n, id, offset, ENGINE.crc32, frame)


cdef uint64_t run_place(uint64_t hash, uint64_t slots) noexcept nogil:
    return sp_run_place(hash, slots)


cdef int run_check(const sp_run *run) noexcept nogil:
    return sp_run_check(run, ENGINE.crc32)


cdef int run_entry(const sp_run *run, uint64_t number, sp_entry *entry) noexcept nogil:
    return sp_run_entry(run, number, ENGINE.crc32, entry)


cdef int run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, uint64_t *number) noexcept nogil:
    return sp_run_find(run, hash, key, n, ENGINE.crc32, number)


cdef int run_hash(const sp_run *run, const uint8_t *hash_key, uint64_t first) noexcept nogil:
    return sp_run_hash(run, hash_key, first)


cdef int run_measure(const sp_run *run, uint64_t first, uint64_t *key_bytes) noexcept nogil:
    return sp_run_measure(run, first, ENGINE.crc32, key_bytes)


cdef void run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) noexcept nogil:
    sp_run_copy(run, first, key, entries, keys)


cdef size_t entries1_measure(const uint8_t *p, size_t n, bint compressed, uint64_t offset, uint64_t raw_offset,
                             uint64_t *count, uint64_t *key_bytes) noexcept nogil:
    return sp_entries1_measure(p, n, compressed, offset, raw_offset, count, key_bytes)


cdef void entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries,
                        uint8_t *keys) noexcept nogil:
    sp_entries1_copy(p, count, key, codec, entries, keys)
