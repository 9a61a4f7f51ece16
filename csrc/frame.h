/* Format 2: the index header, the frames and their entries. FORMAT.md, «Index». */
#ifndef SMARTPIPE_FRAME_H
#define SMARTPIPE_FRAME_H

#include "record.h"

enum { SP_INDEX_HEADER = 64, SP_FRAME_HEADER = 128, SP_ENTRY = 48, SP_SLOT = 8, SP_PAGE = 4096, SP_HASH_KEY = 16 };
enum { SP_FRAME_CLOSED = 1, SP_FRAME_ENDED = 2 };

typedef struct sp_index {
    uint64_t id;
    uint8_t hash_key[SP_HASH_KEY];
} sp_index;

void sp_index_encode(const sp_index *index, sp_crc32 crc32, uint8_t out[SP_INDEX_HEADER]);
/* SP_OK, SP_TRUNCATED, SP_MAGIC, SP_CHECKSUM, SP_FLAGS, SP_RESERVED. */
int sp_index_decode(const uint8_t *p, size_t n, sp_crc32 crc32, sp_index *index);

typedef struct sp_frame {
    uint64_t size;
    uint64_t from, to, synced;
    uint64_t entries, key_bytes, slots;
    uint64_t blocks, pairs, raw;
    uint64_t stamp, metadata;
    uint32_t dictionaries, last_crc, flags, sums_crc;
} sp_frame;

/* Bytes of the body, of the sums with their padding, and of the whole frame; they fit 64 bits for what
 * sp_frame_decode accepted. */
static inline uint64_t sp_frame_body(const sp_frame *f) {
    uint64_t n = SP_ENTRY * f->entries + 8 * (uint64_t)f->dictionaries + SP_SLOT * f->slots + f->key_bytes;
    return (n + 7) & ~(uint64_t)7;
}

static inline uint64_t sp_frame_sums(uint64_t body) {
    return (4 * ((body + SP_PAGE - 1) / SP_PAGE) + 7) & ~(uint64_t)7;
}

typedef struct sp_part {
    const uint8_t *bytes;
    uint64_t size;
} sp_part;

/* The sums of a body that lies in so many parts, padding included; returns their crc. */
uint32_t sp_sums_encode(const sp_part *parts, size_t count, sp_crc32 crc32, uint8_t *sums);

void sp_frame_encode(const sp_frame *frame, uint64_t id, uint64_t offset, sp_crc32 crc32,
                     uint8_t out[SP_FRAME_HEADER]);

/* A frame of file `id` at `offset` of the index, of which n bytes are there; its sums are checked against their crc, its
 * body is not touched: SP_OK, SP_TRUNCATED, SP_MAGIC, SP_CHECKSUM, SP_SIZES, SP_RESERVED. */
int sp_frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc32, sp_frame *frame);

/* The same, but only the header is read at p; n bytes of the frame are in the file. */
int sp_frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc32,
                           sp_frame *frame);

/* An entry. In memory the index of a format 1 pipe uses the same: there `stamp` is the offset in the uncompressed data, and
 * the sizes, which may exceed 32 bits, follow from the next entry. */
typedef struct sp_entry {
    uint64_t offset, key, stamp;
    uint32_t size, lead, raw, pairs, key_length;
    uint8_t kind, codec;
    uint16_t member; /* of a group: its number there */
} sp_entry;

static inline void sp_entry_encode(const sp_entry *e, uint8_t *p) {
    sp_store64(p, e->offset);
    sp_store64(p + 8, e->key);
    sp_store64(p + 16, e->stamp);
    sp_store32(p + 24, e->size);
    sp_store32(p + 28, e->lead);
    sp_store32(p + 32, e->raw);
    sp_store32(p + 36, e->pairs);
    sp_store32(p + 40, e->key_length);
    p[44] = e->kind;
    p[45] = e->codec;
    sp_store16(p + 46, e->member);
}

static inline void sp_entry_decode(const uint8_t *p, sp_entry *e) {
    e->offset = sp_load64(p);
    e->key = sp_load64(p + 8);
    e->stamp = sp_load64(p + 16);
    e->size = sp_load32(p + 24);
    e->lead = sp_load32(p + 28);
    e->raw = sp_load32(p + 32);
    e->pairs = sp_load32(p + 36);
    e->key_length = sp_load32(p + 40);
    e->kind = p[44];
    e->codec = p[45];
    e->member = e->kind == SP_GROUP ? sp_load16(p + 46) : 0;
}

/* The bytes of the record that are an entry's own: of a group its part, and the parts of all members are the record. */
static inline uint32_t sp_entry_share(const sp_entry *e) {
    if (e->kind != SP_GROUP || e->pairs == 0)
        return e->size;
    return e->size / e->pairs + (e->member < e->size % e->pairs);
}

/* Whether an entry may stand behind another: its record begins where the other's ends or later, or both are of one group, one
 * behind the other. Before the first there is one of zeros. */
static inline int sp_entry_follows(const sp_entry *before, const sp_entry *e) {
    if (e->kind == SP_GROUP && e->member >= e->pairs)
        return 0;
    if (e->member > 0)
        return before->kind == SP_GROUP && before->offset == e->offset && before->size == e->size &&
               before->pairs == e->pairs && before->member + 1 == e->member;
    return e->offset >= before->offset && e->offset - before->offset >= before->size;
}

#endif
