#include "run.h"

#include <string.h>

#include "siphash.h"
#include "status.h"

/* A table is larger than any cache, and each key lies elsewhere in it: the places of several are fetched at once. */
#if defined(__GNUC__)
#define prefetch(p) __builtin_prefetch(p)
#else
#define prefetch(p) ((void)(p))
#endif

static const uint64_t NUMBER = ((uint64_t)1 << 48) - 1;

/* A search through more slots than this shows a table that was made to be slow. By chance, with three of four slots
 * taken, one in a table of a billion passes some hundred. FORMAT.md, «Slots». */
static const uint64_t MOST_SLOTS = 4096;

/* The high 64 bits of a · b. */
static uint64_t multiply_high(uint64_t a, uint64_t b) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t middle2 = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (middle2 >> 32);
}

static inline int is_checked(const sp_run *run, uint64_t page) {
    return atomic_load_explicit(&run->checked[page >> 3], memory_order_relaxed) >> (page & 7) & 1;
}

/* Checks the pages that were not yet, up to the last: SP_OK or SP_CHECKSUM. */
static int check_pages(const sp_run *run, uint64_t page, uint64_t last, sp_crc32 crc32) {
    uint64_t size = ((uint64_t)(run->keys - run->body) + run->key_bytes + 7) & ~(uint64_t)7;
    for (; page <= last; page++) {
        if (is_checked(run, page))
            continue;
        uint64_t at = page * SP_PAGE, length = size - at < SP_PAGE ? size - at : SP_PAGE;
        if (crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
            return SP_CHECKSUM;
        atomic_fetch_or_explicit(&run->checked[page >> 3], (uint8_t)(1 << (page & 7)), memory_order_relaxed);
    }
    return SP_OK;
}

/* Checks the pages of n bytes at p of a body, once each: SP_OK or SP_CHECKSUM. */
static inline int touch(const sp_run *run, const uint8_t *p, uint64_t n, sp_crc32 crc32) {
    if (run->sums == NULL || n == 0)
        return SP_OK;
    uint64_t at = (uint64_t)(p - run->body), first = at / SP_PAGE, last = (at + n - 1) / SP_PAGE;
    if (first == last && is_checked(run, first))
        return SP_OK;
    return check_pages(run, first, last, crc32);
}

static inline int load_entry(const sp_run *run, uint64_t number, sp_crc32 crc32, sp_entry *entry) {
    const uint8_t *p = run->entries + SP_ENTRY * number;
    int status = touch(run, p, SP_ENTRY, crc32);
    if (status != SP_OK)
        return status;
    sp_entry_decode(p, entry);
    if (entry->key > run->key_bytes || entry->key_length > run->key_bytes - entry->key)
        return SP_SIZES;
    return SP_OK;
}

int sp_run_check(const sp_run *run, sp_crc32 crc32) {
    uint64_t size = run->sums == NULL ? 0 : (uint64_t)(run->keys - run->body) + run->key_bytes;
    return touch(run, run->body, size, crc32);
}

int sp_run_entry(const sp_run *run, uint64_t number, sp_crc32 crc32, sp_entry *entry) {
    int status = load_entry(run, number, crc32, entry);
    if (status != SP_OK)
        return status;
    return touch(run, run->keys + entry->key, entry->key_length, crc32);
}

int sp_run_measure(const sp_run *run, uint64_t first, sp_crc32 crc32, uint64_t *key_bytes) {
    *key_bytes = 0;
    for (uint64_t number = first; number < run->count; number++) {
        sp_entry entry;
        int status = sp_run_entry(run, number, crc32, &entry);
        if (status != SP_OK)
            return status;
        /* Keys that overlap could be longer together than all memory. */
        if (entry.key_length > run->key_bytes - *key_bytes)
            return SP_SIZES;
        *key_bytes += entry.key_length;
    }
    return SP_OK;
}

void sp_run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys) {
    for (uint64_t number = first; number < run->count; number++) {
        sp_entry entry;
        sp_entry_decode(run->entries + SP_ENTRY * number, &entry);
        if (entry.key_length > 0)
            memcpy(keys, run->keys + entry.key, entry.key_length);
        keys += entry.key_length;
        entry.key = key;
        key += entry.key_length;
        sp_entry_encode(&entry, entries);
        entries += SP_ENTRY;
    }
}

uint64_t sp_run_place(uint64_t hash, uint64_t slots) {
    return multiply_high(hash, slots);
}

/* Checks the pages of the slots from one to another, around the end: SP_OK or SP_CHECKSUM. */
static int check_slots(const sp_run *run, uint64_t from, uint64_t to, sp_crc32 crc32) {
    if (from > to) {
        int status = touch(run, run->slots + SP_SLOT * from, SP_SLOT * (run->slot_count - from), crc32);
        if (status != SP_OK)
            return status;
        from = 0;
    }
    return touch(run, run->slots + SP_SLOT * from, SP_SLOT * (to - from + 1), crc32);
}

/* Goes through the slots from the place of the hash: SP_OK with the slot of the entry with this key, SP_ABSENT with the
 * empty slot that ended the search. The key itself proves a hit, whatever damage may be on the pages that led to it; what
 * it is not found by has to be whole. A key is looked for in a table of millions of pages that nobody has touched, and
 * checking three of them took more time than all else. */
static int probe(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint64_t *slot) {
    uint64_t begin = sp_run_place(hash, run->slot_count), at = begin;
    uint64_t most = run->slot_count < MOST_SLOTS ? run->slot_count : MOST_SLOTS;
    int status = SP_SIZES;
    for (uint64_t seen = 0; seen < most; seen++) {
        uint64_t found = sp_load64(run->slots + SP_SLOT * at), number = (found & NUMBER) - 1;
        *slot = at;
        if (found == 0) {
            status = SP_ABSENT;
            break;
        }
        if (found >> 48 == (hash & 0xffff)) {
            sp_entry entry;
            if (number >= run->count)
                break;
            status = load_entry(run, number, crc32, &entry);
            if (status != SP_OK)
                break;
            if (entry.key_length == n && (n == 0 || memcmp(run->keys + entry.key, key, n) == 0))
                return SP_OK;
            status = touch(run, run->keys + entry.key, entry.key_length, crc32);
            if (status != SP_OK)
                break;
            status = SP_SIZES;
        }
        at = at + 1 == run->slot_count ? 0 : at + 1;
    }
    int checked = check_slots(run, begin, *slot, crc32);
    return checked != SP_OK ? checked : status;
}

int sp_run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint64_t *number) {
    uint64_t slot;
    if (run->count == 0)
        return SP_ABSENT;
    int status = probe(run, hash, key, n, crc32, &slot);
    if (status == SP_OK)
        *number = (sp_load64(run->slots + SP_SLOT * slot) & NUMBER) - 1;
    return status;
}

void sp_run_expect(const sp_run *run, uint64_t hash) {
    prefetch(run->slots + SP_SLOT * sp_run_place(hash, run->slot_count));
}

int sp_run_hash(const sp_run *run, const uint8_t hash_key[SP_HASH_KEY], uint64_t first) {
    enum { TOGETHER = 32 };
    uint64_t hashes[TOGETHER], slot;
    for (uint64_t number = first; number < run->count; number += TOGETHER) {
        uint64_t count = run->count - number < TOGETHER ? run->count - number : TOGETHER;
        const uint8_t *p = run->entries + SP_ENTRY * number;
        sp_entry entry;
        for (uint64_t i = 0; i < count; i++) {
            sp_entry_decode(p + SP_ENTRY * i, &entry);
            hashes[i] = sp_siphash13(hash_key, run->keys + entry.key, entry.key_length);
            prefetch(run->slots + SP_SLOT * sp_run_place(hashes[i], run->slot_count));
        }
        for (uint64_t i = 0; i < count; i++) {
            sp_entry_decode(p + SP_ENTRY * i, &entry);
            int status = probe(run, hashes[i], run->keys + entry.key, entry.key_length, NULL, &slot);
            if (status != SP_OK && status != SP_ABSENT)
                return status;
            sp_store64(run->slots + SP_SLOT * slot, (number + i + 1) | (hashes[i] & 0xffff) << 48);
        }
    }
    return SP_OK;
}
