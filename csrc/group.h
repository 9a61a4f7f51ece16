/* Groups: records of a shard with the values of many keys, compressed together. FORMAT.md, «Groups». */
#ifndef SMARTPIPE_GROUP_H
#define SMARTPIPE_GROUP_H

#include "record.h"

enum { SP_MEMBER = 16, SP_MOST_MEMBERS = 65536, SP_MOST_GROUP = 1 << 20 };

typedef struct sp_member {
    uint64_t stamp;
    uint32_t key_length, value_length;
} sp_member;

/* Where the key of a member begins in the table, and its value in the head. */
typedef struct sp_member_place {
    uint32_t key, value;
} sp_member_place;

static inline void sp_member_encode(const sp_member *m, uint8_t *p) {
    sp_store64(p, m->stamp);
    sp_store32(p + 8, m->key_length);
    sp_store32(p + 12, m->value_length);
}

static inline void sp_member_decode(const uint8_t *p, sp_member *m) {
    m->stamp = sp_load64(p);
    m->key_length = sp_load32(p + 8);
    m->value_length = sp_load32(p + 12);
}

/* The table of members that a group record has in the place of a key, of record->key_length bytes, against the sizes of the
 * record: SP_OK, SP_SIZES. */
int sp_group_check(const uint8_t *table, const sp_record *record);

/* A head that sp_head_check accepted against a table that sp_group_check accepted, and record->pairs places: SP_OK, SP_SIZES. */
int sp_group_places(const uint8_t *table, const uint8_t *head, const sp_record *record, sp_member_place *places);

#endif
