"""The internal contract of the codec: what csrc can do, bound to the engines in use.

This is the only extension that links csrc; every other one calls it through these declarations. A function that answers
a status never raises: `failure` makes an exception of a status. Everything may be called without the GIL, but for
Buffer.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "status.h":
    int SP_OK, SP_ABSENT, SP_TRUNCATED, SP_MAGIC, SP_CHECKSUM, SP_FLAGS, SP_RESERVED, SP_SIZES, SP_KIND, SP_CODEC
    int SP_NO_ZSTD, SP_NO_LZ4, SP_STREAM, SP_TRAILING, SP_FULL, SP_MEMORY, SP_KEY, SP_LISTED, SP_OVERLAP

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
        void *(*deflate_open_with)(const void *library, int level, const uint8_t *p, size_t n) noexcept nogil
        void *(*dictionary_open)(const void *library, const uint8_t *p, size_t n) noexcept nogil
        void (*dictionary_close)(const void *library, void *dictionary) noexcept nogil
        int (*inflate_with)(void *stream, const void *dictionary, const uint8_t *p, size_t n, size_t *used,
                            uint8_t *out, size_t room, size_t *written) noexcept nogil
        int (*gunzip)(void *stream, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                      size_t *written) noexcept nogil
        const void *library

cdef extern from "bytes.h":
    uint32_t sp_load32(const uint8_t *p) nogil
    uint64_t sp_load64(const uint8_t *p) nogil
    void sp_store32(uint8_t *p, uint32_t v) nogil
    void sp_store64(uint8_t *p, uint64_t v) nogil
    void sp_copy(uint8_t *to, const uint8_t *data, size_t n) nogil

cdef extern from "pairs.h":
    int SP_PAIR_LENGTHS, SP_ENTRY1
    ctypedef struct sp_segment:
        uint32_t pair, raw, stored, crc
        uint64_t position
    ctypedef struct sp_pair:
        const uint8_t *key
        const uint8_t *value
        uint32_t key_length, value_length, large
    ctypedef struct sp_cursor:
        uint32_t number
    ctypedef struct sp_entry1:
        const uint8_t *key
        uint32_t key_length
        uint64_t offset, raw_offset
    sp_cursor sp_cursor_format1(const uint8_t *data, uint32_t pairs) nogil
    sp_cursor sp_cursor_format2(const uint8_t *head, uint32_t pairs, uint64_t keys, const sp_segment *segments,
                                uint32_t larges) nogil
    int sp_cursor_next(sp_cursor *cursor, sp_pair *pair) nogil
    void sp_entry1_offsets(uint8_t *p, uint64_t offset, uint64_t raw_offset) nogil

cdef extern from "columns.h":
    ctypedef struct sp_wanted:
        const uint8_t *key
        size_t length
    ctypedef struct sp_sizes:
        uint64_t pairs, key_bytes, value_bytes
    ctypedef struct sp_columns:
        uint8_t *keys
        uint8_t *values
        int64_t *key_ends
        int64_t *value_ends
        int64_t key_end, value_end

cdef extern from "rows.h":
    int SP_OFFSETS32, SP_OFFSETS64, SP_VIEWS
    ctypedef struct sp_strings:
        int kind
        const uint8_t *places
        const uint8_t *data
        const uint8_t *const *buffers
    ctypedef struct sp_rows:
        sp_strings keys, values
        uint64_t start "from"
        uint64_t stop "to"
    ctypedef struct sp_rows_sizes:
        uint64_t key_bytes, value_bytes, small_bytes, larges
    ctypedef struct sp_head:
        uint8_t *key_lengths
        uint8_t *value_lengths
        uint8_t *keys
        uint8_t *small
    int64_t sp_offset_at(const sp_strings *strings, uint64_t row) nogil
    const uint8_t *sp_string_at(const sp_strings *strings, uint64_t row, uint64_t *length) nogil

cdef extern from "record.h":
    int SP_FILE_HEADER, SP_RECORD_HEADER, SP_DIRECTORY_ENTRY, SP_SHARD
    int SP_BLOCK, SP_TOMBSTONE, SP_METADATA, SP_DICTIONARY, SP_GROUP, SP_KIND_OPTIONAL
    int SP_NONE, SP_ZLIB, SP_ZSTD, SP_LZ4
    enum:
        SP_CODECS
    ctypedef struct sp_file:
        uint64_t id
        uint32_t flags
        uint8_t codec
    ctypedef struct sp_record:
        uint64_t stamp, synced
        uint32_t size, key_length, pairs, larges, head_raw, head_stored, head_crc, lead_crc, ordinal, crc
        uint8_t kind, codec
        uint16_t dictionary
    uint64_t sp_lead_size(const sp_record *record) nogil
    uint64_t sp_key_position(const sp_record *record) nogil

cdef extern from "group.h":
    int SP_MEMBER, SP_MOST_MEMBERS, SP_MOST_GROUP
    ctypedef struct sp_member:
        uint64_t stamp
        uint32_t key_length, value_length
    ctypedef struct sp_member_place:
        uint32_t key, value
    void sp_member_encode(const sp_member *member, uint8_t *p) nogil
    void sp_member_decode(const uint8_t *p, sp_member *member) nogil

cdef extern from "frame.h":
    int SP_INDEX_HEADER, SP_FRAME_HEADER, SP_ENTRY, SP_SLOT, SP_PAGE, SP_HASH_KEY, SP_FRAME_CLOSED, SP_FRAME_ENDED
    ctypedef struct sp_index:
        uint64_t id
        uint8_t hash_key[16]
    ctypedef struct sp_frame:
        uint64_t size, to, synced, entries, key_bytes, slots, blocks, pairs, raw, stamp, metadata
        uint64_t start "from"
        uint32_t dictionaries, last_crc, flags, sums_crc
    ctypedef struct sp_entry:
        uint64_t offset, key, stamp
        uint32_t size, lead, raw, pairs, key_length
        uint8_t kind, codec
        uint16_t member
    ctypedef struct sp_part:
        const uint8_t *bytes
        uint64_t size
    uint64_t sp_frame_body(const sp_frame *frame) nogil
    uint64_t sp_frame_sums(uint64_t body) nogil
    void sp_entry_encode(const sp_entry *entry, uint8_t *p) nogil
    void sp_entry_decode(const uint8_t *p, sp_entry *entry) nogil
    uint32_t sp_entry_share(const sp_entry *entry) nogil
    bint sp_entry_follows(const sp_entry *before, const sp_entry *entry) nogil

cdef extern from "run.h":
    ctypedef uint8_t sp_flags
    ctypedef struct sp_run:
        const uint8_t *entries
        const uint8_t *keys
        uint8_t *slots
        uint64_t count, key_bytes, slot_count
        const uint8_t *body
        const uint8_t *sums
        sp_flags *checked

cdef extern from "catalog.h":
    int SP_PLACES
    ctypedef struct sp_listed:
        const sp_run *const *runs
        const uint64_t *firsts
        uint64_t count, entered, keys, bytes, tombstones, tombstone_bytes
    ctypedef struct sp_catalog:
        uint64_t *slots
        uint64_t slot_count, used, keys
        sp_listed *listed
        uint8_t hash_key[16]


cdef class Buffer:
    """Bytes that grow: `size` used of `capacity`. A pointer into it is good until the next reserve or extend."""
    cdef uint8_t *data
    cdef size_t size
    cdef size_t capacity
    cdef int reserve(self, size_t capacity) except -1
    cdef void empty(self, size_t most) noexcept
    cdef uint8_t *extend(self, size_t n) except NULL
    cdef int append(self, const void *p, size_t n) except -1


cdef class Dictionary:
    """A dictionary of zstd, and its number in a pipe."""
    cdef readonly bytes content
    cdef readonly int number
    cdef const sp_engine *engine
    cdef void *opened              # for inflating; may be used by many threads at the same time


cdef class Deflater:
    """A stream that compresses with a codec at one level, or at 0 what is small; used by one thread at a time."""
    cdef const sp_engine *engine
    cdef void *stream
    cdef int deflate(self, const uint8_t *p, size_t n, uint8_t *out, size_t room, size_t *written) noexcept nogil


cdef class Inflater:
    """What inflates the streams of all codecs; used by one thread at a time. Each codec's is opened when it is first
    needed, which takes the GIL."""
    cdef const sp_engine *engines[SP_CODECS]
    cdef void *streams[SP_CODECS]
    cdef int open(self, uint8_t codec) noexcept with gil
    cdef int inflate(self, uint8_t codec, const void *dictionary, const uint8_t *p, size_t n, size_t *used,
                     uint8_t *out, size_t room, size_t *written) noexcept nogil
    cdef int gunzip(self, const uint8_t *p, size_t n, size_t *used, uint8_t *out, size_t room,
                    size_t *written) noexcept nogil


cdef str words(int status)

cdef uint32_t crc32(const uint8_t *p, size_t n) noexcept nogil
cdef uint32_t crc32_on(uint32_t crc, const uint8_t *p, size_t n) noexcept nogil
cdef uint64_t siphash(const uint8_t *key, const uint8_t *p, size_t n) noexcept nogil
cdef uint64_t order_at(uint64_t seed, uint64_t count, uint64_t place) noexcept nogil
cdef uint64_t most_raw(uint8_t codec, uint64_t stored) noexcept nogil

cdef int pairs_check(const uint8_t *data, uint64_t n, uint32_t *pairs, uint64_t *good) noexcept nogil
cdef int entry1_decode(const uint8_t *p, size_t n, sp_entry1 *entry) noexcept nogil

cdef sp_sizes columns_measure(const sp_cursor *cursor, const sp_wanted *wanted, size_t count) noexcept nogil
cdef void columns_put(const sp_cursor *cursor, const sp_wanted *wanted, size_t count, const uint8_t *const *larges,
                      sp_columns *columns) noexcept nogil
cdef void columns_repeat(const uint8_t *key, size_t length, uint64_t rows, sp_columns *columns) noexcept nogil

cdef uint64_t strings_check(const sp_strings *strings, uint64_t start, uint64_t stop, int64_t size, int64_t buffers,
                            const int64_t *sizes) noexcept nogil
cdef uint64_t strings_run(const sp_strings *strings, uint64_t start, uint64_t stop) noexcept nogil
cdef uint64_t bits_zero(const uint8_t *bits, uint64_t start, uint64_t stop) noexcept nogil
cdef sp_rows_sizes rows_measure(const sp_rows *rows, uint64_t large) noexcept nogil
cdef void rows_put_larges(const sp_rows *rows, uint64_t large, uint32_t pair, sp_segment *segments,
                          const uint8_t **pointers) noexcept nogil
cdef void rows_put_head(const sp_rows *rows, uint64_t large, sp_head *head) noexcept nogil
cdef uint8_t *rows_put_format1(const sp_rows *rows, uint8_t *out) noexcept nogil

cdef void file_encode(const sp_file *file, uint8_t *out) noexcept nogil
cdef int file_decode(const uint8_t *p, size_t n, sp_file *file) noexcept nogil
cdef void record_encode(sp_record *record, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil
cdef int record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_record *record) noexcept nogil
cdef uint32_t record_mark(const uint8_t *p, uint64_t offset) noexcept nogil
cdef uint64_t mark_id(uint32_t mark) noexcept nogil
cdef size_t record_search(const uint8_t *p, size_t n, size_t start) noexcept nogil
cdef void directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out) noexcept nogil
cdef int directory_decode(const uint8_t *lead, const sp_record *record, sp_segment *segments,
                          uint64_t *raw) noexcept nogil
cdef int head_check(const uint8_t *head, const sp_record *record, const sp_segment *segments,
                    uint64_t *keys) noexcept nogil
cdef int group_check(const uint8_t *table, const sp_record *record) noexcept nogil
cdef int group_places(const uint8_t *table, const uint8_t *head, const sp_record *record,
                      sp_member_place *places) noexcept nogil

cdef void index_encode(const sp_index *index, uint8_t *out) noexcept nogil
cdef int index_decode(const uint8_t *p, size_t n, sp_index *index) noexcept nogil
cdef uint32_t sums_encode(const sp_part *parts, size_t count, uint8_t *sums) noexcept nogil
cdef void frame_encode(const sp_frame *frame, uint64_t id, uint64_t offset, uint8_t *out) noexcept nogil
cdef int frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_frame *frame) noexcept nogil
cdef int frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_frame *frame) noexcept nogil
cdef uint64_t run_place(uint64_t hash, uint64_t slots) noexcept nogil
cdef int run_check(const sp_run *run) noexcept nogil
cdef int run_entry(const sp_run *run, uint64_t number, sp_entry *entry) noexcept nogil
cdef void run_expect(const sp_run *run, uint64_t hash) noexcept nogil
cdef int run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, uint64_t *number) noexcept nogil
cdef int run_hash(const sp_run *run, const uint8_t *hash_key, uint64_t first) noexcept nogil
cdef int run_measure(const sp_run *run, uint64_t first, uint64_t *key_bytes) noexcept nogil
cdef void run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) noexcept nogil
cdef int catalog_find(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, uint32_t *place,
                      uint64_t *number, sp_entry *entry) noexcept nogil
cdef int catalog_enter(sp_catalog *catalog, uint32_t place, uint64_t count) noexcept nogil
cdef int catalog_drop(sp_catalog *catalog, uint32_t place) noexcept nogil
cdef int catalog_numbers(const sp_catalog *catalog, uint32_t place, bint tombstones, uint64_t first, uint64_t room,
                         uint64_t *numbers, uint64_t *found, uint64_t *next) noexcept nogil
cdef size_t entries1_measure(const uint8_t *p, size_t n, bint compressed, uint64_t offset, uint64_t raw_offset,
                             uint64_t *count, uint64_t *key_bytes) noexcept nogil
cdef void entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries,
                        uint8_t *keys) noexcept nogil
