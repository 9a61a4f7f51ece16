"""The one extension that links csrc: its functions bound to the engines in use, and memory for them.

An engine is a library as csrc/engine.h asks for it. It is called from C through the functions that the extension module
of an installed package exports; where they can not be had, zlib-ng, zstd and lz4 are called through their Python APIs,
which are slower. _libraries.py finds both. zlib-ng is there always, since the checksums are its; the others are looked
for when something first needs them.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.limits cimport INT_MAX
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from zlib_ng import zlib_ng

from smartpipe import _libraries, errors

cdef extern from "Python.h":
    int PyBUF_READ

cdef extern from "status.h":
    const char *sp_status_words(int status) nogil

cdef extern from "zlibng.h":
    ctypedef struct sp_zng:
        pass
    int sp_zng_engine(const sp_zng *zng, sp_engine *engine) nogil

cdef extern from "libdeflate.h":
    ctypedef struct sp_libdeflate:
        const sp_engine *judge
    int sp_libdeflate_engine(const sp_libdeflate *library, sp_engine *engine) nogil

cdef extern from "isal.h":
    ctypedef struct sp_isal:
        const sp_engine *judge
    int sp_isal_engine(const sp_isal *library, sp_engine *engine) nogil

cdef extern from "zstd.h":
    ctypedef struct sp_zstd:
        pass
    int sp_zstd_frame(const uint8_t *p, size_t n, size_t *used, uint64_t *content) nogil
    int sp_zstd_engine(const sp_zstd *library, sp_engine *engine) nogil

cdef extern from "lz4.h":
    ctypedef struct sp_lz4:
        pass
    uint32_t SP_LZ4_MOST
    int sp_lz4_engine(const sp_lz4 *library, sp_engine *engine) nogil

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

cdef extern from "group.h":
    int sp_group_check(const uint8_t *table, const sp_record *record) nogil
    int sp_group_places(const uint8_t *table, const uint8_t *head, const sp_record *record,
                        sp_member_place *places) nogil

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
    void sp_run_expect(const sp_run *run, uint64_t hash) nogil
    int sp_run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc,
                    uint64_t *number) nogil
    int sp_run_hash(const sp_run *run, const uint8_t *hash_key, uint64_t first) nogil
    int sp_run_measure(const sp_run *run, uint64_t first, sp_crc32 crc, uint64_t *key_bytes) nogil
    void sp_run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) nogil

cdef extern from "catalog.h":
    int sp_catalog_find(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc,
                        uint32_t *place, uint64_t *number, sp_entry *entry) nogil
    int sp_catalog_enter(sp_catalog *catalog, uint32_t place, uint64_t count, sp_crc32 crc) nogil
    int sp_catalog_drop(sp_catalog *catalog, uint32_t place, sp_crc32 crc) nogil
    int sp_catalog_numbers(const sp_catalog *catalog, uint32_t place, int tombstones, uint64_t first, uint64_t room,
                           sp_crc32 crc, uint64_t *numbers, uint64_t *found, uint64_t *next) nogil

cdef extern from "index1.h":
    size_t sp_entries1_measure(const uint8_t *p, size_t n, int compressed, uint64_t offset, uint64_t raw_offset,
                               uint64_t *count, uint64_t *key_bytes) nogil
    void sp_entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries,
                          uint8_t *keys) nogil


cdef enum:
    ZLIBNG, LIBDEFLATE, ISAL, ZSTD, LZ4, LIBRARIES

cdef tuple NAMES = ("zlib-ng", "libdeflate", "ISA-L", "zstd", "lz4")
cdef dict CODECS = {SP_ZLIB: "zlib", SP_ZSTD: "zstd", SP_LZ4: "lz4"}
cdef dict NO_ENGINE = {SP_ZSTD: SP_NO_ZSTD, SP_LZ4: SP_NO_LZ4}

# What inflates, and what compresses at each level with which level of its own; at 0 what is small. The first library
# that is there is taken. docs/engines.md has what was measured.
cdef dict INFLATING = {SP_ZLIB: (LIBDEFLATE, ZLIBNG), SP_ZSTD: (ZSTD,), SP_LZ4: (LZ4,)}
cdef dict LEVELS = {
    SP_ZLIB: (
        ((ZLIBNG, 1),),
        ((ISAL, 1), (ZLIBNG, 1)),
        ((LIBDEFLATE, 1), (ZLIBNG, 2)),
        ((LIBDEFLATE, 3), (ZLIBNG, 3)),
        ((LIBDEFLATE, 4), (ZLIBNG, 4)),
        ((LIBDEFLATE, 5), (ZLIBNG, 5)),
        ((LIBDEFLATE, 6), (ZLIBNG, 6)),
        ((LIBDEFLATE, 7), (ZLIBNG, 7)),
        ((LIBDEFLATE, 8), (ZLIBNG, 7)),  # what zlib-ng calls 8 is slower than its 9, and not smaller
        ((LIBDEFLATE, 12), (ZLIBNG, 9)),
    ),
    SP_ZSTD: tuple(((ZSTD, level),) for level in (1, 1, 1, 3, 3, 5, 6, 8, 12, 19)),
    SP_LZ4: tuple(((LZ4, level),) for level in (-1, -4, -2, -1, 2, 3, 4, 6, 9, 12)),
}

# The engines by library, each filled when it is first needed and never changed: NULL where its library is not there.
cdef const sp_engine *ENGINES[LIBRARIES]
cdef bint SOUGHT[LIBRARIES]
cdef sp_engine ZLIBNG_ENGINE
cdef dict BINDINGS = {}
cdef object ZSTD_API = None, LZ4_API = None


# Libraries through their Python APIs. A stream is a Python object.

cdef object view(const uint8_t *p, size_t n):
    return PyMemoryView_FromMemory(<char *>p, <Py_ssize_t>n, PyBUF_READ)


cdef void *kept(object stream) noexcept:
    Py_INCREF(stream)
    return <void *>stream


cdef int put(bytes result, uint8_t *out, size_t room, size_t *written) noexcept:
    if <size_t>PyBytes_GET_SIZE(result) > room:
        return SP_FULL
    written[0] = PyBytes_GET_SIZE(result)
    memcpy(out, PyBytes_AS_STRING(result), written[0])
    return SP_OK


cdef void *python_open_level(const void *library, int level) noexcept with gil:
    return kept(level)


cdef void *python_open(const void *library) noexcept with gil:
    return kept(None)


cdef void python_close(void *stream) noexcept with gil:
    Py_DECREF(<object>stream)


cdef uint32_t zlib_crc32(uint32_t crc, const uint8_t *p, size_t n) noexcept with gil:
    return <uint32_t>zlib_ng.crc32(view(p, n), crc)


cdef int zlib_deflate(void *stream, const uint8_t *p, size_t n, uint8_t *out, size_t room,
                      size_t *written) noexcept with gil:
    try:
        return put(zlib_ng.compress(view(p, n), <object>stream), out, room, written)
    except MemoryError:
        return SP_MEMORY


cdef int zlib_inflate(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
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
    if <size_t>PyBytes_GET_SIZE(result) <= room:
        if not inflate.eof:
            return SP_TRUNCATED
        used[0] = n - <size_t>len(inflate.unused_data)
    return put(result, out, room, written)


cdef void *zstd_deflate_open_with(const void *library, int level, const uint8_t *p, size_t n) noexcept with gil:
    try:
        parameter = ZSTD_API.CompressionParameter
        return kept(ZSTD_API.ZstdCompressor(options={
            parameter.compression_level: level, parameter.content_size_flag: 1, parameter.checksum_flag: 0,
            parameter.dict_id_flag: 0}, zstd_dict=None if n == 0 else zstd_dictionary(p, n)))
    except (MemoryError, ValueError, ZSTD_API.ZstdError):
        return NULL


cdef object zstd_dictionary(const uint8_t *p, size_t n):
    cdef bytes content = p[:n]
    # Without the magic of a dictionary any bytes are one.
    return ZSTD_API.ZstdDict(content, is_raw=not content.startswith(b"\x37\xa4\x30\xec"))


cdef void *zstd_deflate_open(const void *library, int level) noexcept with gil:
    return zstd_deflate_open_with(library, level, NULL, 0)


cdef void *zstd_dictionary_open(const void *library, const uint8_t *p, size_t n) noexcept with gil:
    try:
        dictionary = zstd_dictionary(p, n)
        ZSTD_API.ZstdDecompressor(dictionary)
        return kept(dictionary)
    except (MemoryError, ValueError, ZSTD_API.ZstdError):
        return NULL


cdef void zstd_dictionary_close(const void *library, void *dictionary) noexcept with gil:
    Py_DECREF(<object>dictionary)


cdef int zstd_deflate(void *stream, const uint8_t *p, size_t n, uint8_t *out, size_t room,
                      size_t *written) noexcept with gil:
    try:
        compressor = <object>stream
        return put(compressor.compress(view(p, n), compressor.FLUSH_FRAME), out, room, written)
    except MemoryError:
        return SP_MEMORY


cdef int zstd_inflate(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                      size_t *written) noexcept with gil:
    return zstd_inflate_with(stream, NULL, p, n, used, out, room, written)


cdef int zstd_inflate_with(void *stream, const void *dictionary, const uint8_t *p, size_t n, size_t *used,
                           uint8_t *out, size_t room, size_t *written) noexcept with gil:
    cdef uint64_t content = 0
    cdef int status = sp_zstd_frame(p, n, used, &content)
    if status != SP_OK:
        return status
    if content > room:
        return SP_FULL
    try:
        inflate = ZSTD_API.ZstdDecompressor(None if dictionary == NULL else <object>dictionary)
        result = inflate.decompress(view(p, used[0]), content + 1)
    except MemoryError:
        return SP_MEMORY
    except ZSTD_API.ZstdError:
        return SP_STREAM
    return put(result, out, room, written) if inflate.eof else SP_STREAM


cdef int lz4_deflate(void *stream, const uint8_t *p, size_t n, uint8_t *out, size_t room,
                     size_t *written) noexcept with gil:
    cdef int level = <object>stream
    if n > SP_LZ4_MOST:
        return SP_FULL
    try:
        if level > 0:
            result = LZ4_API.compress(view(p, n), mode="high_compression", compression=level, store_size=False)
        else:
            result = LZ4_API.compress(view(p, n), mode="fast", acceleration=-level, store_size=False)
        return put(result, out, room, written)
    except MemoryError:
        return SP_MEMORY


cdef int lz4_inflate(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                     size_t *written) noexcept with gil:
    if n > <size_t>INT_MAX:
        return SP_STREAM
    used[0] = n
    try:
        return put(LZ4_API.decompress(view(p, n), uncompressed_size=min(room, <size_t>INT_MAX)), out, room, written)
    except MemoryError:
        return SP_MEMORY
    except LZ4_API.LZ4BlockError:
        return SP_STREAM


cdef void use_python(int library, sp_engine *engine) noexcept:
    engine.deflate_open = zstd_deflate_open if library == ZSTD else python_open_level
    engine.deflate_close = engine.inflate_close = python_close
    engine.inflate_open = python_open
    engine.crc32 = zlib_crc32
    engine.library = NULL
    if library == ZLIBNG:
        engine.deflate = zlib_deflate
        engine.inflate = zlib_inflate
    elif library == ZSTD:
        engine.deflate = zstd_deflate
        engine.inflate = zstd_inflate
        engine.deflate_open_with = zstd_deflate_open_with
        engine.dictionary_open = zstd_dictionary_open
        engine.dictionary_close = zstd_dictionary_close
        engine.inflate_with = zstd_inflate_with
    else:
        engine.deflate = lz4_deflate
        engine.inflate = lz4_inflate


cdef bint use_library(int library, sp_engine *engine) except -1:
    """Fill a table with the C functions of a library; False where that can not be."""
    cdef size_t[16] at
    cdef void *functions
    cdef int status
    found = _libraries.addresses(NAMES[library])
    if found is None:
        return False
    for number, address in enumerate(found):
        at[number] = address
    # Kept for good, as the table is; with room for the judge.
    functions = calloc(len(found) + 1, sizeof(void *))
    if functions == NULL:
        raise MemoryError
    memcpy(functions, at, len(found) * sizeof(void *))
    if library == ZLIBNG:
        status = sp_zng_engine(<sp_zng *>functions, engine)
    elif library == LIBDEFLATE:
        (<sp_libdeflate *>functions).judge = &ZLIBNG_ENGINE
        status = sp_libdeflate_engine(<sp_libdeflate *>functions, engine)
    elif library == ISAL:
        (<sp_isal *>functions).judge = &ZLIBNG_ENGINE
        status = sp_isal_engine(<sp_isal *>functions, engine)
    elif library == ZSTD:
        status = sp_zstd_engine(<sp_zstd *>functions, engine)
    else:
        status = sp_lz4_engine(<sp_lz4 *>functions, engine)
    if status != SP_OK:
        free(functions)
    return status == SP_OK


cdef int check_choice() except -1:
    """EngineError where the environment chooses what is not known."""
    if _libraries.CHOICE and _libraries.CHOICE not in _libraries.CHOICES:
        known = ", ".join(_libraries.CHOICES[:-1])
        raise errors.EngineError(f"SMARTPIPE_ENGINE is {_libraries.CHOICE!r}, not {known} or {_libraries.CHOICES[-1]}")
    return 0


cdef const sp_engine *engine_of(int library) except? NULL:
    """The engine of a library, which is looked for once; NULL where the library is not there.

    Threads may look for the same one at the same time: each fills a table of its own with the same, and one is lost.
    """
    global ZSTD_API, LZ4_API
    cdef sp_engine *engine
    cdef str binding = "c"
    check_choice()
    with cython.critical_section(BINDINGS):
        if SOUGHT[library]:
            return ENGINES[library]
    engine = <sp_engine *>calloc(1, sizeof(sp_engine))
    if engine == NULL:
        raise MemoryError
    if not use_library(library, engine):
        api = _libraries.api(NAMES[library]) if library in (ZSTD, LZ4) else None
        if api is None:
            free(engine)
            engine = NULL
        else:
            if library == ZSTD:
                ZSTD_API = api
            else:
                LZ4_API = api
            use_python(library, engine)
            binding = "python"
    with cython.critical_section(BINDINGS):
        BINDINGS[library] = binding
        ENGINES[library] = engine
        SOUGHT[library] = True
    return engine


cdef int first_of(object libraries) except -1:
    """The first of some libraries that is there; LIBRARIES where none is."""
    cdef int library
    for library in libraries:
        if library in (LIBDEFLATE, ISAL) and _libraries.CHOICE == "zlib-ng":
            continue
        if engine_of(library) != NULL:
            return library
    return LIBRARIES


if use_library(ZLIBNG, &ZLIBNG_ENGINE):
    BINDINGS[ZLIBNG] = "c"
else:
    use_python(ZLIBNG, &ZLIBNG_ENGINE)
    BINDINGS[ZLIBNG] = "python"
ENGINES[ZLIBNG] = &ZLIBNG_ENGINE
SOUGHT[ZLIBNG] = True


def require(int codec, path=None):
    """Raise EngineError, naming what to install, where a codec has no engine here."""
    if codec != SP_NONE and first_of(INFLATING[codec]) == LIBRARIES:
        raise errors.EngineError(words(NO_ENGINE[codec]), path=path)


def engines():
    """Return what runs the codecs here: for each codec that has an engine, what inflates it, and what compresses at
    each level from 1 to 9.

    Each is a dict: "engine", its name; "version", of the library, or of its package where the library does not tell;
    "binding", "c" where its C functions are called, without the GIL, "python" where its Python API is; and "level", the
    library's own. A codec without an engine is left out: `pip install 'smartpipe[zstd,lz4]'` brings them.

    >>> zlib = engines()["zlib"]
    >>> sorted(zlib), sorted(zlib["levels"])
    (['binding', 'engine', 'levels', 'version'], [1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    result = {}
    for codec, name in CODECS.items():
        library = first_of(INFLATING[codec])
        if library == LIBRARIES:
            continue
        result[name] = about(library)
        result[name]["levels"] = {}
        for level in range(1, 10):
            choices = dict(LEVELS[codec][level])
            library = first_of(choices)
            result[name]["levels"][level] = {**about(library), "level": choices[library]}
    return result


cdef dict about(int library):
    return {"engine": NAMES[library], "version": _libraries.version(NAMES[library]), "binding": BINDINGS[library]}


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

    cdef void empty(self, size_t most) noexcept:
        """Forget all bytes, and give the memory back where it is for more than so many."""
        self.size = 0
        if self.capacity > most:
            free(self.data)
            self.data = NULL
            self.capacity = 0

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


cdef class Dictionary:
    def __cinit__(self, int number, bytes content):
        self.number = number
        self.content = content
        self.engine = engine_of(ZSTD)
        if self.engine == NULL:
            raise errors.EngineError(words(SP_NO_ZSTD))
        if content:
            self.opened = self.engine.dictionary_open(self.engine.library,
                                                      <const uint8_t *>PyBytes_AS_STRING(content), len(content))
        if self.opened == NULL:
            raise ValueError(f"these {len(content)} bytes are not a dictionary of zstd")

    def __dealloc__(self):
        if self.opened != NULL:
            self.engine.dictionary_close(self.engine.library, self.opened)


cdef class Deflater:
    def __cinit__(self, int codec, int level, Dictionary dictionary=None):
        choices = dict(LEVELS[codec][level])
        cdef int library = first_of(choices)
        if library == LIBRARIES:
            raise errors.EngineError(words(NO_ENGINE[codec]))
        self.engine = engine_of(library)
        if dictionary is None:
            self.stream = self.engine.deflate_open(self.engine.library, choices[library])
        else:
            self.stream = self.engine.deflate_open_with(self.engine.library, choices[library],
                                                        <const uint8_t *>PyBytes_AS_STRING(dictionary.content),
                                                        len(dictionary.content))
        if self.stream == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.stream != NULL:
            self.engine.deflate_close(self.stream)

    cdef int deflate(self, const uint8_t *p, size_t n, uint8_t *out, size_t room, size_t *written) noexcept nogil:
        return self.engine.deflate(self.stream, p, n, out, room, written)


cdef class Inflater:
    def __cinit__(self):
        check_choice()

    def __dealloc__(self):
        cdef int codec
        for codec in range(SP_CODECS):
            if self.streams[codec] != NULL:
                self.engines[codec].inflate_close(self.streams[codec])

    cdef int open(self, uint8_t codec) noexcept with gil:
        """Begin to inflate a codec: SP_OK, SP_CODEC, SP_MEMORY, and SP_NO_ZSTD and its kin."""
        cdef int library
        try:
            if codec not in INFLATING:
                return SP_CODEC
            library = first_of(INFLATING[codec])
            if library == LIBRARIES:
                return NO_ENGINE[codec]
            self.engines[codec] = engine_of(library)
        except BaseException:
            return SP_MEMORY
        self.streams[codec] = self.engines[codec].inflate_open(self.engines[codec].library)
        return SP_OK if self.streams[codec] != NULL else SP_MEMORY

    cdef int inflate(self, uint8_t codec, const void *dictionary, const uint8_t *p, size_t n, size_t *used,
                     uint8_t *out, size_t room, size_t *written) noexcept nogil:
        cdef int status
        if codec >= SP_CODECS:
            return SP_CODEC
        if self.streams[codec] == NULL:
            status = self.open(codec)
            if status != SP_OK:
                return status
        if dictionary != NULL:
            return self.engines[codec].inflate_with(self.streams[codec], dictionary, p, n, used, out, room, written)
        return self.engines[codec].inflate(self.streams[codec], p, n, used, out, room, written)

    cdef int gunzip(self, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                    size_t *written) noexcept nogil:
        """As csrc/engine.h has it; SP_CODEC where the engine of zlib does not read gzip."""
        cdef int status
        if self.streams[SP_ZLIB] == NULL:
            status = self.open(SP_ZLIB)
            if status != SP_OK:
                return status
        if self.engines[SP_ZLIB].gunzip == NULL:
            return SP_CODEC
        return self.engines[SP_ZLIB].gunzip(self.streams[SP_ZLIB], p, n, used, out, room, written)


cdef str words(int status):
    return sp_status_words(status).decode()


cdef uint32_t crc32(const uint8_t *p, size_t n) noexcept nogil:
    return ZLIBNG_ENGINE.crc32(0, p, n)


cdef uint32_t crc32_on(uint32_t crc, const uint8_t *p, size_t n) noexcept nogil:
    return ZLIBNG_ENGINE.crc32(crc, p, n)


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
    sp_file_encode(file, ZLIBNG_ENGINE.crc32, out)


cdef int file_decode(const uint8_t *p, size_t n, sp_file *file) noexcept nogil:
    return sp_file_decode(p, n, ZLIBNG_ENGINE.crc32, file)


cdef void record_encode(sp_record *record, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil:
    sp_record_encode(record, id, offset, ZLIBNG_ENGINE.crc32, out)


cdef int record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_record *record) noexcept nogil:
    return sp_record_decode(p, n, id, offset, ZLIBNG_ENGINE.crc32, record)


cdef uint32_t record_mark(const uint8_t *p, uint64_t offset) noexcept nogil:
    return sp_record_mark(p, offset, ZLIBNG_ENGINE.crc32)


cdef uint64_t mark_id(uint32_t mark) noexcept nogil:
    return sp_mark_id(mark, ZLIBNG_ENGINE.crc32)


cdef size_t record_search(const uint8_t *p, size_t n, size_t start) noexcept nogil:
    return sp_record_search(p, n, start)


cdef void directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out) noexcept nogil:
    sp_directory_encode(segments, larges, out)


cdef int directory_decode(const uint8_t *lead, const sp_record *record, sp_segment *segments,
                          uint64_t *raw) noexcept nogil:
    return sp_directory_decode(lead, record, ZLIBNG_ENGINE.crc32, segments, raw)


cdef int head_check(const uint8_t *head, const sp_record *record, const sp_segment *segments,
                    uint64_t *keys) noexcept nogil:
    return sp_head_check(head, record, segments, keys)


cdef int group_check(const uint8_t *table, const sp_record *record) noexcept nogil:
    return sp_group_check(table, record)


cdef int group_places(const uint8_t *table, const uint8_t *head, const sp_record *record,
                      sp_member_place *places) noexcept nogil:
    return sp_group_places(table, head, record, places)


cdef void index_encode(const sp_index *index, uint8_t *out) noexcept nogil:
    sp_index_encode(index, ZLIBNG_ENGINE.crc32, out)


cdef int index_decode(const uint8_t *p, size_t n, sp_index *index) noexcept nogil:
    return sp_index_decode(p, n, ZLIBNG_ENGINE.crc32, index)


cdef uint32_t sums_encode(const sp_part *parts, size_t count, uint8_t *sums) noexcept nogil:
    return sp_sums_encode(parts, count, ZLIBNG_ENGINE.crc32, sums)


cdef void frame_encode(const sp_frame *frame, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil:
    sp_frame_encode(frame, id, offset, ZLIBNG_ENGINE.crc32, out)


cdef int frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_frame *frame) noexcept nogil:
    return sp_frame_decode(p, n, id, offset, ZLIBNG_ENGINE.crc32, frame)


cdef int frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset,
                             sp_frame *frame) noexcept nogil:
    return sp_frame_header_decode(p, n, id, offset, ZLIBNG_ENGINE.crc32, frame)


cdef uint64_t run_place(uint64_t hash, uint64_t slots) noexcept nogil:
    return sp_run_place(hash, slots)


cdef int run_check(const sp_run *run) noexcept nogil:
    return sp_run_check(run, ZLIBNG_ENGINE.crc32)


cdef int run_entry(const sp_run *run, uint64_t number, sp_entry *entry) noexcept nogil:
    return sp_run_entry(run, number, ZLIBNG_ENGINE.crc32, entry)


cdef void run_expect(const sp_run *run, uint64_t hash) noexcept nogil:
    sp_run_expect(run, hash)


cdef int run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, uint64_t *number) noexcept nogil:
    return sp_run_find(run, hash, key, n, ZLIBNG_ENGINE.crc32, number)


cdef int run_hash(const sp_run *run, const uint8_t *hash_key, uint64_t first) noexcept nogil:
    return sp_run_hash(run, hash_key, first)


cdef int run_measure(const sp_run *run, uint64_t first, uint64_t *key_bytes) noexcept nogil:
    return sp_run_measure(run, first, ZLIBNG_ENGINE.crc32, key_bytes)


cdef void run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) noexcept nogil:
    sp_run_copy(run, first, key, entries, keys)


cdef int catalog_find(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, uint32_t *place,
                      uint64_t *number, sp_entry *entry) noexcept nogil:
    return sp_catalog_find(catalog, hash, key, n, ZLIBNG_ENGINE.crc32, place, number, entry)


cdef int catalog_enter(sp_catalog *catalog, uint32_t place, uint64_t count) noexcept nogil:
    return sp_catalog_enter(catalog, place, count, ZLIBNG_ENGINE.crc32)


cdef int catalog_drop(sp_catalog *catalog, uint32_t place) noexcept nogil:
    return sp_catalog_drop(catalog, place, ZLIBNG_ENGINE.crc32)


cdef int catalog_numbers(const sp_catalog *catalog, uint32_t place, bint tombstones, uint64_t first, uint64_t room,
                         uint64_t *numbers, uint64_t *found, uint64_t *next) noexcept nogil:
    return sp_catalog_numbers(catalog, place, tombstones, first, room, ZLIBNG_ENGINE.crc32, numbers, found, next)


cdef size_t entries1_measure(const uint8_t *p, size_t n, bint compressed, uint64_t offset, uint64_t raw_offset,
                             uint64_t *count, uint64_t *key_bytes) noexcept nogil:
    return sp_entries1_measure(p, n, compressed, offset, raw_offset, count, key_bytes)


cdef void entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries,
                        uint8_t *keys) noexcept nogil:
    sp_entries1_copy(p, count, key, codec, entries, keys)
