/* The pairs of a head, checked and walked. */
#ifndef FUZZ_WALK_H
#define FUZZ_WALK_H

#include "check.h"
#include "record.h"
#include "status.h"

static volatile uint32_t seen; /* so that no read is optimized away */

/* sp_head_check says what FORMAT.md says, and the cursor then gives each byte of the head once, in order. `record` and
 * `segments` are as sp_record_decode and sp_directory_decode let them through. */
static inline int walk_head(const uint8_t *head, const sp_record *record, const sp_segment *segments) {
    uint32_t pairs = record->pairs, larges = 0;
    uint64_t keys = 0;
    wide key_bytes = 0, value_bytes = 0;
    int good = 1;
    for (uint32_t i = 0; i < pairs; i++) {
        uint32_t value = sp_load32(head + 4 * (size_t)(pairs + i));
        key_bytes += sp_load32(head + 4 * (size_t)i);
        if (larges < record->larges && segments[larges].pair == i)
            good &= segments[larges++].raw == value;
        else
            value_bytes += value;
    }
    good &= 8 * (wide)pairs + key_bytes + value_bytes == record->head_raw;
    int status = sp_head_check(head, record, segments, &keys);
    CHECK(status == (good ? SP_OK : SP_SIZES));
    if (!good)
        return 0;
    CHECK(keys == key_bytes);

    const uint8_t *key = head + 8 * (size_t)pairs, *value = key + keys;
    sp_cursor cursor = sp_cursor_format2(head, pairs, keys, segments, record->larges);
    sp_pair pair;
    uint32_t number = 0;
    larges = 0;
    while (sp_cursor_next(&cursor, &pair)) {
        CHECK(number < pairs && pair.key == key);
        CHECK(pair.key_length == sp_load32(head + 4 * (size_t)number));
        CHECK(pair.value_length == sp_load32(head + 4 * (size_t)(pairs + number)));
        seen += plain_crc32(0, pair.key, pair.key_length);
        key += pair.key_length;
        if (larges < record->larges && segments[larges].pair == number) {
            CHECK(pair.value == NULL && pair.large == larges && pair.value_length == segments[larges].raw);
            larges++;
        } else {
            CHECK(pair.value == value);
            seen += plain_crc32(0, pair.value, pair.value_length);
            value += pair.value_length;
        }
        number++;
    }
    CHECK(number == pairs && larges == record->larges);
    CHECK(key == head + 8 * (size_t)pairs + keys && value == head + record->head_raw);
    CHECK(!sp_cursor_next(&cursor, &pair));
    return 1;
}

#endif
