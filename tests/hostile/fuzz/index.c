/* An index file: header, frames, entries, slots. FORMAT.md, «Index».
 *
 * Input: a byte of options, the file. Options: 1, its checksums are made right first; 2, the sizes of its frames are made
 * to fit their counts before; 4, the sums of the pages stay as they are. */
#include "check.h"
#include "frame.h"
#include "record.h"
#include "run.h"
#include "siphash.h"
#include "status.h"

enum { CHECKSUMS = 1, SIZES = 2, BAD_PAGES = 4, MOST_ENTRIES = 24 };

static wide content_of(const uint8_t *header) {
    return (wide)48 * sp_load64(header + 40) + sp_load64(header + 48) + (wide)8 * sp_load64(header + 56) +
           (wide)8 * sp_load32(header + 104);
}

static wide body_of(wide content) {
    return (content + 7) / 8 * 8;
}

static wide sums_of(wide body) {
    return ((body + 4095) / 4096 * 4 + 7) / 8 * 8;
}

static void repair(uint8_t *p, size_t n, int options) {
    if (n < 64)
        return;
    uint64_t id = sp_load64(p + 8);
    sp_store32(p + 60, plain_crc32(0, p, 60));
    for (size_t offset = 64; n - offset >= 128;) {
        uint8_t *frame = p + offset, *sums = frame + 128;
        /* In 64 bits, as a decoder would do it that lets a sum overflow. */
        wide body = body_of((uint64_t)content_of(frame)), size = 128 + sums_of(body) + body;
        int fits = size <= n - offset;
        if (fits && options & SIZES)
            sp_store64(frame + 8, (uint64_t)size);
        if (fits) {
            uint8_t *first = sums + (size_t)sums_of(body);
            for (size_t page = 0; !(options & BAD_PAGES) && page * 4096 < body; page++) {
                size_t length = body - page * 4096 < 4096 ? (size_t)body - page * 4096 : 4096;
                sp_store32(sums + 4 * page, plain_crc32(0, first + page * 4096, length));
            }
            sp_store32(frame + 116, plain_crc32(0, sums, (size_t)sums_of(body)));
        }
        sp_store32(frame + 4, bound(id, offset, frame + 8, 120));
        if (!fits)
            return;
        offset += (size_t)size;
    }
}

/* A frame header as FORMAT.md describes it, with n bytes of its frame there. */
static int is_frame_header(const uint8_t *p, size_t n, uint64_t id, uint64_t offset) {
    static const uint8_t magic[4] = {0xf1, 0x53, 0x50, 0x66};
    if (n < 128 || memcmp(p, magic, 4) != 0 || sp_load32(p + 4) != bound(id, offset, p + 8, 120))
        return 0;
    uint64_t size = sp_load64(p + 8), entries = sp_load64(p + 40), slots = sp_load64(p + 56);
    wide body = body_of(content_of(p));
    if (size > n || size != 128 + sums_of(body) + body || (slots > 0 && slots <= entries))
        return 0;
    return sp_load64(p + 16) <= sp_load64(p + 24) && (sp_load32(p + 112) & ~3u) == 0 && zeros(p + 120, 8);
}

static int sums_are_good(const uint8_t *p) {
    return plain_crc32(0, p + 128, (size_t)sums_of(body_of(content_of(p)))) == sp_load32(p + 116);
}

/* Which pages of the body match their sums, a byte each. */
static const uint8_t *good_pages;

static int range_is_good(const sp_run *run, const uint8_t *p, uint64_t n) {
    if (n == 0)
        return 1;
    uint64_t at = (uint64_t)(p - run->body);
    for (uint64_t page = at / 4096; page <= (at + n - 1) / 4096; page++)
        if (!good_pages[page])
            return 0;
    return 1;
}

static int expected_entry(const sp_run *run, uint64_t number, sp_entry *entry) {
    const uint8_t *p = run->entries + 48 * number;
    if (!range_is_good(run, p, 48))
        return SP_CHECKSUM;
    sp_entry_decode(p, entry);
    if ((wide)entry->key + entry->key_length > run->key_bytes)
        return SP_SIZES;
    return SP_OK;
}

/* The key itself proves a hit. Any other answer comes from pages that are good. */
static int expected_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, uint64_t *number) {
    if (run->count == 0)
        return SP_ABSENT;
    uint64_t first = (uint64_t)((wide)hash * run->slot_count >> 64);
    int status = SP_SIZES, pages_are_good = 1;
    for (uint64_t step = 0; step < run->slot_count && step < 4096; step++) {
        const uint8_t *p = run->slots + 8 * (size_t)(((wide)first + step) % run->slot_count);
        sp_entry entry;
        pages_are_good = pages_are_good && range_is_good(run, p, 8);
        uint64_t slot = sp_load64(p);
        if (slot == 0) {
            status = SP_ABSENT;
            break;
        }
        if (slot >> 48 != (hash & 0xffff))
            continue;
        *number = (slot & 0xffffffffffff) - 1;
        if (*number >= run->count)
            break;
        int found = expected_entry(run, *number, &entry);
        if (found != SP_OK) {
            status = found;
            break;
        }
        if (entry.key_length == n && (n == 0 || memcmp(run->keys + entry.key, key, n) == 0))
            return SP_OK;
        if (!range_is_good(run, run->keys + entry.key, entry.key_length))
            return SP_CHECKSUM;
    }
    return pages_are_good ? status : SP_CHECKSUM;
}

static void check_find(const sp_run *run, const uint8_t *hash_key, const uint8_t *key, size_t n) {
    uint64_t hash = sp_siphash13(hash_key, key, n), number = 0, expected = 0;
    int status = sp_run_find(run, hash, key, n, plain_crc32, &number);
    CHECK(status == expected_find(run, hash, key, n, &expected));
    CHECK(status != SP_OK || number == expected);
}

/* The entries from number `first` on with their keys behind one another, where these do not overlap too much. */
static void check_moved(const sp_run *run, uint64_t first) {
    uint64_t expected = 0, key_bytes, at = 1000;
    sp_entry entry, moved;
    for (uint64_t number = first; number < run->count; number++) {
        sp_entry_decode(run->entries + 48 * number, &entry);
        expected += entry.key_length;
    }
    int status = sp_run_measure(run, first, plain_crc32, &key_bytes);
    CHECK(status == (expected > run->key_bytes ? SP_SIZES : SP_OK));
    if (status != SP_OK)
        return;
    CHECK(key_bytes == expected);
    uint8_t *entries = calloc(run->count - first + 1, 48), *keys = calloc((size_t)key_bytes + 1, 1);
    CHECK(entries != NULL && keys != NULL);
    sp_run_copy(run, first, at, entries, keys);
    for (uint64_t number = first; number < run->count; number++) {
        sp_entry_decode(run->entries + 48 * number, &entry);
        sp_entry_decode(entries + 48 * (number - first), &moved);
        CHECK(moved.key == at && moved.key_length == entry.key_length && moved.offset == entry.offset);
        CHECK(moved.stamp == entry.stamp && moved.size == entry.size && moved.lead == entry.lead);
        CHECK(moved.raw == entry.raw && moved.pairs == entry.pairs && moved.kind == entry.kind);
        CHECK(moved.codec == entry.codec && moved.member == entry.member);
        CHECK(entry.key_length == 0 || memcmp(keys + (at - 1000), run->keys + entry.key, entry.key_length) == 0);
        at += entry.key_length;
    }
    free(entries);
    free(keys);
}

/* The entries taken into a run in memory, as a writer does, where the last of equal keys is found. */
static void check_copy(const sp_run *run, const uint8_t *hash_key, uint64_t count) {
    uint64_t slot_count = count + count / 3 + 1, distinct = 0, used = 0, number;
    sp_entry entry, other;
    sp_run copy = {run->entries, run->keys, calloc(slot_count, 8), count, run->key_bytes, slot_count, NULL, NULL, NULL};
    CHECK(copy.slots != NULL);
    /* Half of them first: what is there is not put in again. */
    copy.count = count / 2;
    CHECK(sp_run_hash(&copy, hash_key, 0) == SP_OK);
    copy.count = count;
    CHECK(sp_run_hash(&copy, hash_key, count / 2) == SP_OK);
    check_moved(&copy, count / 3);
    for (number = 0; number < count; number++) {
        uint64_t last = number, found = 0;
        sp_entry_decode(run->entries + 48 * number, &entry);
        const uint8_t *key = run->keys + entry.key;
        for (uint64_t later = number + 1; later < count; later++) {
            sp_entry_decode(run->entries + 48 * later, &other);
            if (other.key_length == entry.key_length &&
                (entry.key_length == 0 || memcmp(run->keys + other.key, key, entry.key_length) == 0))
                last = later;
        }
        distinct += last == number;
        CHECK(sp_run_find(&copy, sp_siphash13(hash_key, key, entry.key_length), key, entry.key_length, plain_crc32,
                          &found) == SP_OK);
        CHECK(found == last);
    }
    for (uint64_t slot = 0; slot < slot_count; slot++)
        used += sp_load64(copy.slots + 8 * slot) != 0;
    CHECK(used == distinct);
    free(copy.slots);
}

static void check_run(const uint8_t *p, const sp_frame *frame, const uint8_t *hash_key) {
    uint64_t body = sp_frame_body(frame), pages = (body + 4095) / 4096, number, good_entries = 0;
    int whole = 1;
    size_t bits = (size_t)(pages / 8 + 1);
    uint8_t *table = copy_of(p + 128 + sp_frame_sums(body), (size_t)body);
    uint8_t *sums = copy_of(p + 128, (size_t)sp_frame_sums(body)), *checked = calloc(bits, 1);
    sp_run run = {.body = table, .sums = sums, .checked = (sp_flags *)checked, .entries = table};
    run.slots = table + 48 * frame->entries + 8 * (size_t)frame->dictionaries;
    run.keys = run.slots + 8 * frame->slots;
    run.count = frame->entries;
    run.slot_count = frame->slots;
    run.key_bytes = frame->key_bytes;
    CHECK(run.keys + run.key_bytes <= table + body && table + body < run.keys + run.key_bytes + 8);

    uint8_t *good = calloc(pages + 1, 1);
    CHECK(checked != NULL && good != NULL);
    for (uint64_t page = 0; page < pages; page++) {
        uint64_t at = page * 4096, length = body - at < 4096 ? body - at : 4096;
        good[page] = plain_crc32(0, table + at, (size_t)length) == sp_load32(sums + 4 * page);
        whole &= good[page];
    }
    good_pages = good;

    for (number = 0; number < run.count; number++) {
        sp_entry entry, again;
        int sampled = number < 4 || number % 64 == 0;
        if (sampled)
            memset(checked, 0, bits);
        int expected = expected_entry(&run, number, &entry), listed = expected == SP_OK;
        if (expected == SP_OK && !range_is_good(&run, run.keys + entry.key, entry.key_length))
            expected = SP_CHECKSUM;
        CHECK(sp_run_entry(&run, number, plain_crc32, &again) == expected);
        if (listed && run.slot_count > 0 && sampled) {
            memset(checked, 0, bits);
            check_find(&run, hash_key, run.keys + entry.key, entry.key_length);
        }
        if (expected != SP_OK)
            continue;
        good_entries += good_entries == number;
        uint8_t encoded[48];
        sp_entry_encode(&again, encoded);
        CHECK(memcmp(encoded, run.entries + 48 * number, again.kind == SP_GROUP ? 48 : 46) == 0);
        CHECK(again.kind == SP_GROUP || zeros(encoded + 46, 2));
    }
    if (run.slot_count > 0) {
        memset(checked, 0, bits);
        check_find(&run, hash_key, (const uint8_t *)"absent", 6);
        check_find(&run, hash_key, NULL, 0);
    }
    for (uint64_t page = 0; page < pages; page++)
        CHECK(good[page] || !(checked[page / 8] >> page % 8 & 1));
    CHECK(sp_run_check(&run, plain_crc32) == (whole ? SP_OK : SP_CHECKSUM));
    uint8_t *made = copy_of(sums, (size_t)sp_frame_sums(body));
    uint64_t cut = body / 3;
    sp_part parts[3] = {{table, cut}, {NULL, 0}, {table + cut, body - cut}};
    uint32_t crc = sp_sums_encode(parts, 3, plain_crc32, made);
    CHECK(crc == plain_crc32(0, made, (size_t)sp_frame_sums(body)));
    CHECK(whole == (memcmp(made, sums, (size_t)(4 * pages)) == 0));
    check_copy(&run, hash_key, good_entries < MOST_ENTRIES ? good_entries : MOST_ENTRIES);
    free(made);
    free(good);
    free(checked);
    free(sums);
    free(table);
}

static void decode(const uint8_t *p, size_t n) {
    static const uint8_t magic[8] = {0x89, 'S', 'P', 'I', '\r', '\n', 0x1a, '\n'};
    uint8_t again[SP_FRAME_HEADER];
    sp_index header;
    int status = sp_index_decode(p, n, plain_crc32, &header);
    int good = n >= 64 && memcmp(p, magic, 8) == 0 && sp_load32(p + 16) == 0 && zeros(p + 40, 20) &&
               sp_load32(p + 60) == plain_crc32(0, p, 60);
    CHECK((status == SP_OK) == good);
    if (!good)
        return;
    CHECK(header.id == sp_load64(p + 8));
    sp_index_encode(&header, plain_crc32, again);
    if (sp_load32(p + 20) == 0) /* optional flags are read over */
        CHECK(memcmp(again, p, 64) == 0);
    for (size_t offset = 64; offset < n;) {
        sp_frame frame;
        good = is_frame_header(p + offset, n - offset, header.id, offset);
        status = sp_frame_header_decode(p + offset, n - offset, header.id, offset, plain_crc32, &frame);
        CHECK((status == SP_OK) == good);
        status = sp_frame_decode(p + offset, n - offset, header.id, offset, plain_crc32, &frame);
        CHECK((status == SP_OK) == (good && sums_are_good(p + offset)));
        if (status != SP_OK)
            return;
        sp_frame_encode(&frame, header.id, offset, plain_crc32, again);
        CHECK(memcmp(again, p + offset, 128) == 0);
        check_run(p + offset, &frame, header.hash_key);
        offset += (size_t)frame.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    uint8_t *file = copy_of(data + 1, size - 1);
    if (data[0] & CHECKSUMS)
        repair(file, size - 1, data[0]);
    decode(file, size - 1);
    free(file);
    return 0;
}
