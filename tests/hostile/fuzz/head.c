/* Inflated pairs: the head of a record of format 2, a block of format 1, the entries of an index of format 1, and the table
 * and head of a group. FORMAT.md, «The head», «Format 1» and «Groups».
 *
 * Input: a byte that chooses, and the bytes. For a head: u16 number of pairs, u8 of large values, for each of these a byte,
 * how many pairs lie before it, and the head; option 4: the directory claims other sizes than the head. For a group: u16 number
 * of members, u16 size of the table, u64 stamp of the record, table and head. */
#include "group.h"
#include "index1.h"
#include "walk.h"

enum { HEAD = 0, PAIRS = 1, ENTRIES = 2, GROUP = 3, WHAT = 3, LIE = 4 };

static void check_head(const uint8_t *p, size_t n, int options) {
    if (n < 3)
        return;
    sp_record record = {0};
    uint32_t wanted = p[2], pair = 0;
    record.pairs = sp_load16(p);
    p += 3;
    n -= 3;
    if (wanted > n)
        return;
    const uint8_t *gaps = p;
    p += wanted;
    n -= wanted;
    record.head_raw = record.head_stored = (uint32_t)n;
    if (record.pairs > n / 8)
        record.pairs = (uint32_t)(n / 8);
    sp_segment *segments = calloc(wanted + 1, sizeof *segments);
    CHECK(segments != NULL);
    for (; record.larges < wanted; record.larges++) {
        pair += gaps[record.larges];
        if (pair >= record.pairs)
            break;
        segments[record.larges].pair = pair;
        segments[record.larges].raw = sp_load32(p + 4 * (size_t)(record.pairs + pair));
        if (options & LIE)
            segments[record.larges].raw ^= gaps[0];
        pair++;
    }
    uint8_t *head = copy_of(p, n);
    walk_head(head, &record, segments);
    free(head);
    free(segments);
}

/* How many whole pairs n bytes begin with, and where they end. */
static uint32_t whole_pairs(const uint8_t *p, size_t n, size_t *end) {
    uint32_t pairs = 0;
    *end = 0;
    for (;;) {
        wide at = *end;
        for (int part = 0; part < 2; part++) {
            if (at + 4 > n)
                return pairs;
            at += 4 + (wide)sp_load32(p + (size_t)at);
        }
        if (at > n)
            return pairs;
        pairs++;
        *end = (size_t)at;
    }
}

static void check_pairs(const uint8_t *p, size_t n) {
    uint8_t *data = copy_of(p, n), *again = copy_of(p, n);
    uint32_t pairs = 0, expected, number = 0;
    uint64_t good = 0;
    size_t end, at = 0;
    int status = sp_pairs_check(data, n, &pairs, &good);
    expected = whole_pairs(data, n, &end);
    CHECK(status == (end == n ? SP_OK : SP_TRUNCATED) && pairs == expected && good == end);
    sp_cursor cursor = sp_cursor_format1(data, pairs);
    sp_pair pair;
    while (sp_cursor_next(&cursor, &pair)) {
        CHECK(pair.key == data + at + 4 && pair.value == pair.key + pair.key_length + 4 && pair.large == 0);
        sp_store32(again + at, pair.key_length);
        memcpy(again + at + 4, pair.key, pair.key_length);
        sp_store32(again + at + 4 + pair.key_length, pair.value_length);
        memcpy(again + at + 8 + pair.key_length, pair.value, pair.value_length);
        at += 8 + (size_t)pair.key_length + pair.value_length;
        number++;
    }
    CHECK(number == pairs && at == end && memcmp(again, data, end) == 0);
    free(again);
    free(data);
}

/* Many entries at a time: all up to the first that has no key or offsets of 0, goes back, or has another raw offset. */
static void check_many(const uint8_t *data, size_t n, int compressed, uint64_t offset, uint64_t raw_offset) {
    uint64_t count, key_bytes, keys = 0, position = 77;
    uint64_t last = offset, last_raw = raw_offset;
    size_t end = sp_entries1_measure(data, n, compressed, offset, raw_offset, &count, &key_bytes), at = 0;
    for (uint64_t number = 0;; number++) {
        sp_entry1 entry;
        int good = sp_entry1_decode(data + at, n - at, &entry) == SP_OK && entry.key_length > 0;
        good = good && entry.offset + (wide)entry.raw_offset > 0 && entry.offset >= last && entry.raw_offset >= last_raw;
        good = good && (compressed || entry.offset == entry.raw_offset);
        CHECK(good == (number < count) && (good || at == end));
        if (!good)
            break;
        keys += entry.key_length;
        last = entry.offset;
        last_raw = entry.raw_offset;
        at += 20 + (size_t)entry.key_length;
    }
    CHECK(keys == key_bytes);
    uint8_t *entries = calloc((size_t)count + 1, 48), *names = calloc((size_t)keys + 1, 1);
    CHECK(entries != NULL && names != NULL);
    sp_entries1_copy(data, count, position, 9, entries, names);
    at = 0;
    for (uint64_t number = 0; number < count; number++) {
        sp_entry1 entry;
        sp_entry made;
        CHECK(sp_entry1_decode(data + at, n - at, &entry) == SP_OK);
        sp_entry_decode(entries + 48 * number, &made);
        CHECK(made.offset == entry.offset && made.stamp == entry.raw_offset && made.key == position);
        CHECK(made.key_length == entry.key_length && made.codec == 9 && made.kind == SP_BLOCK);
        CHECK(made.size == 0 && made.lead == 0 && made.raw == 0 && made.pairs == 0);
        CHECK(memcmp(names + (position - 77), entry.key, entry.key_length) == 0);
        position += entry.key_length;
        at += 20 + (size_t)entry.key_length;
    }
    free(entries);
    free(names);
}

static void check_entries(const uint8_t *p, size_t n) {
    uint8_t *data = copy_of(p, n), offsets[16];
    check_many(data, n, 1, 0, 0);
    check_many(data, n, 0, 0, 0);
    check_many(data, n, 1, 1000, 2000);
    for (size_t at = 0;;) {
        sp_entry1 entry;
        int status = sp_entry1_decode(data + at, n - at, &entry);
        int whole = n - at >= 20 && sp_load32(data + at) + (wide)20 <= n - at;
        CHECK(status == (whole ? SP_OK : SP_TRUNCATED));
        if (!whole)
            break;
        CHECK(entry.key == data + at + 4 && entry.key_length == sp_load32(data + at));
        seen += plain_crc32(0, entry.key, entry.key_length);
        sp_entry1_offsets(offsets, entry.offset, entry.raw_offset);
        CHECK(memcmp(offsets, entry.key + entry.key_length, 16) == 0);
        at += SP_ENTRY1 + (size_t)entry.key_length;
    }
    free(data);
}

static void check_group(const uint8_t *p, size_t n) {
    if (n < 12 || sp_load16(p + 2) > n - 12)
        return;
    sp_record record = {0};
    record.pairs = sp_load16(p);
    record.key_length = sp_load16(p + 2);
    record.stamp = sp_load64(p + 4);
    record.head_raw = record.head_stored = (uint32_t)(n - 12 - record.key_length);
    uint8_t *table = copy_of(p + 12, record.key_length), *head = copy_of(p + 12 + record.key_length, record.head_raw);
    wide keys = 0, values = 0;
    int good = record.pairs > 0 && 16 * (wide)record.pairs <= record.key_length;
    for (uint32_t i = 0; good && i < record.pairs; i++) {
        good = sp_load64(table + 16 * (size_t)i) <= record.stamp;
        keys += sp_load32(table + 16 * (size_t)i + 8);
        values += sp_load32(table + 16 * (size_t)i + 12);
    }
    good = good && 16 * (wide)record.pairs + keys == record.key_length && 8 * (wide)record.pairs + values == record.head_raw;
    CHECK(sp_group_check(table, &record) == (good ? SP_OK : SP_SIZES));
    if (good && walk_head(head, &record, NULL)) {
        sp_member_place *places = calloc(record.pairs, sizeof *places);
        CHECK(places != NULL);
        for (uint32_t i = 0; i < record.pairs; i++) {
            good &= sp_load32(head + 4 * (size_t)i) == 0;
            good &= sp_load32(head + 4 * (size_t)(record.pairs + i)) == sp_load32(table + 16 * (size_t)i + 12);
        }
        CHECK(sp_group_places(table, head, &record, places) == (good ? SP_OK : SP_SIZES));
        size_t key = 16 * (size_t)record.pairs, value = 8 * (size_t)record.pairs;
        for (uint32_t i = 0; good && i < record.pairs; i++) {
            sp_member member;
            sp_member_decode(table + 16 * (size_t)i, &member);
            CHECK(places[i].key == key && places[i].value == value);
            seen += plain_crc32(0, table + key, member.key_length) + plain_crc32(0, head + value, member.value_length);
            key += member.key_length;
            value += member.value_length;
        }
        CHECK(!good || (key == record.key_length && value == record.head_raw));
        free(places);
    }
    free(table);
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    switch (data[0] & WHAT) {
    case PAIRS: check_pairs(data + 1, size - 1); break;
    case ENTRIES: check_entries(data + 1, size - 1); break;
    case GROUP: check_group(data + 1, size - 1); break;
    default: check_head(data + 1, size - 1, data[0]);
    }
    return 0;
}
