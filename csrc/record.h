/* Format 2: the file header and the records. FORMAT.md, «File header» and «Record». */
#ifndef SMARTPIPE_RECORD_H
#define SMARTPIPE_RECORD_H

#include "engine.h"
#include "pairs.h"

enum { SP_FILE_HEADER = 32, SP_RECORD_HEADER = 64, SP_DIRECTORY_ENTRY = 16 };
enum sp_kind { SP_BLOCK = 0, SP_TOMBSTONE = 1, SP_METADATA = 2, SP_DICTIONARY = 3, SP_GROUP = 4, SP_KIND_OPTIONAL = 128 };
enum sp_codec { SP_NONE = 0, SP_ZLIB = 1, SP_ZSTD = 2, SP_LZ4 = 3, SP_CODECS = 4 };

/* A required flag of a data file: it is a shard of a store. */
enum { SP_SHARD = 1 };

typedef struct sp_file {
    uint64_t id;
    uint32_t flags;
    uint8_t codec;
} sp_file;

void sp_file_encode(const sp_file *file, sp_crc32 crc32, uint8_t out[SP_FILE_HEADER]);
/* SP_OK, SP_TRUNCATED, SP_MAGIC, SP_CHECKSUM, SP_FLAGS, SP_RESERVED. */
int sp_file_decode(const uint8_t *p, size_t n, sp_crc32 crc32, sp_file *file);

typedef struct sp_record {
    uint64_t stamp, synced;
    uint32_t size, key_length, pairs, larges;
    uint32_t head_raw, head_stored, head_crc, lead_crc;
    uint32_t ordinal;
    uint32_t crc; /* of the header itself */
    uint8_t kind, codec;
    uint16_t dictionary;
} sp_record;

/* The crc that a header or frame of file `id` at `offset` has, over n bytes, at most SP_BOUND. */
enum { SP_BOUND = 120 };
uint32_t sp_bound_crc(uint64_t id, uint64_t offset, const uint8_t *p, size_t n, sp_crc32 crc32);

/* Sets record->crc too. */
void sp_record_encode(sp_record *record, uint64_t id, uint64_t offset, sp_crc32 crc32, uint8_t out[SP_RECORD_HEADER]);

/* The header of a record of file `id` at `offset`, in n bytes: SP_OK, SP_TRUNCATED, SP_MAGIC, SP_CHECKSUM, and SP_SIZES
 * where its own fields contradict each other. Kinds and codecs are the caller's. */
int sp_record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_crc32 crc32, sp_record *record);

/* What the file id adds to the crc that the record header at p has at this offset: the same for all of a file. */
uint32_t sp_record_mark(const uint8_t p[SP_RECORD_HEADER], uint64_t offset, sp_crc32 crc32);

/* An id that adds this. No record header can tell it from the one of the file. */
uint64_t sp_mark_id(uint32_t mark, sp_crc32 crc32);

/* From the start of the record to the end of its head. */
static inline uint64_t sp_lead_size(const sp_record *record) {
    return SP_RECORD_HEADER + (uint64_t)SP_DIRECTORY_ENTRY * record->larges + record->key_length + record->head_stored;
}

static inline uint64_t sp_key_position(const sp_record *record) {
    return SP_RECORD_HEADER + (uint64_t)SP_DIRECTORY_ENTRY * record->larges;
}

/* The largest raw size that n stored bytes can have. */
uint64_t sp_most_raw(uint8_t codec, uint64_t stored);

void sp_directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out);

/* The directory of a whole lead into record->larges segments, with the raw size of the block: SP_OK, SP_CHECKSUM (of
 * directory and key), SP_SIZES. */
int sp_directory_decode(const uint8_t *lead, const sp_record *record, sp_crc32 crc32, sp_segment *segments,
                        uint64_t *raw);

/* An inflated head of record->head_raw bytes against its record and directory: SP_OK with the sum of the key lengths,
 * or SP_SIZES. */
int sp_head_check(const uint8_t *head, const sp_record *record, const sp_segment *segments, uint64_t *keys);

/* Where the next record header of the file may begin, at or after position `from` of n bytes: the magic is there;
 * n where it is nowhere. A magic cut by the end counts. */
size_t sp_record_search(const uint8_t *p, size_t n, size_t from);

#endif
