/* The pairs of a block, walked one after another. FORMAT.md, «The head» and «Format 1».
 *
 * Both formats are walked by one cursor: format 2 has a table of lengths before the keys and values, format 1 has
 * each length before its bytes. Nothing is checked here: sp_head_check and sp_pairs_check come first. */
#ifndef SMARTPIPE_PAIRS_H
#define SMARTPIPE_PAIRS_H

#include "bytes.h"

enum { SP_PAIR_LENGTHS = 8 }; /* the two u32 that every pair costs in both formats */

/* A large value of format 2: a segment of its own. */
typedef struct sp_segment {
    uint32_t pair, raw, stored, crc;
    uint64_t position; /* of the stored bytes, from the start of the record */
} sp_segment;

typedef struct sp_pair {
    const uint8_t *key;
    const uint8_t *value; /* NULL: a large value, in segment `large` */
    uint32_t key_length, value_length, large;
} sp_pair;

typedef struct sp_cursor {
    const uint8_t *lengths; /* NULL in format 1 */
    const uint8_t *key;     /* of the next pair; in format 1 its lengths */
    const uint8_t *value;   /* of the next small value */
    const sp_segment *segments;
    uint32_t pairs, number; /* of the next pair */
    uint32_t larges, large; /* of the next segment */
} sp_cursor;

/* `keys` is the sum of all key lengths, which sp_head_check gives. */
static inline sp_cursor sp_cursor_format2(const uint8_t *head, uint32_t pairs, uint64_t keys,
                                          const sp_segment *segments, uint32_t larges) {
    const uint8_t *first = head + (size_t)SP_PAIR_LENGTHS * pairs;
    sp_cursor c = {head, first, first + keys, segments, pairs, 0, larges, 0};
    return c;
}

static inline sp_cursor sp_cursor_format1(const uint8_t *data, uint32_t pairs) {
    sp_cursor c = {NULL, data, NULL, NULL, pairs, 0, 0, 0};
    return c;
}

/* The next pair, or 0 at the end. */
static inline int sp_cursor_next(sp_cursor *c, sp_pair *pair) {
    uint32_t i = c->number;
    if (i == c->pairs)
        return 0;
    c->number = i + 1;
    pair->large = 0;
    if (c->lengths == NULL) {
        pair->key_length = sp_load32(c->key);
        pair->key = c->key + 4;
        pair->value_length = sp_load32(pair->key + pair->key_length);
        pair->value = pair->key + pair->key_length + 4;
        c->key = pair->value + pair->value_length;
        return 1;
    }
    pair->key = c->key;
    pair->key_length = sp_load32(c->lengths + 4 * (size_t)i);
    pair->value_length = sp_load32(c->lengths + 4 * ((size_t)c->pairs + i));
    c->key += pair->key_length;
    if (c->large < c->larges && c->segments[c->large].pair == i) {
        pair->value = NULL;
        pair->large = c->large++;
    } else {
        pair->value = c->value;
        c->value += pair->value_length;
    }
    return 1;
}

/* Format 1: walks n bytes of pairs. SP_OK with their number, or SP_TRUNCATED where they end within a pair, with
 * `good`, the bytes of the whole pairs before it; SP_FULL for more than 2^32 - 1 pairs. */
int sp_pairs_check(const uint8_t *data, uint64_t n, uint32_t *pairs, uint64_t *good);

/* Format 1: an entry of the index. Its length with a key of key_length bytes is SP_ENTRY1 + key_length. */
enum { SP_ENTRY1 = 20 };
typedef struct sp_entry1 {
    const uint8_t *key;
    uint32_t key_length;
    uint64_t offset, raw_offset;
} sp_entry1;
int sp_entry1_decode(const uint8_t *p, size_t n, sp_entry1 *entry);
/* Writes what follows the key length and the key: 16 bytes. */
static inline void sp_entry1_offsets(uint8_t *p, uint64_t offset, uint64_t raw_offset) {
    sp_store64(p, offset);
    sp_store64(p + 8, raw_offset);
}

#endif
