#include "run.h"

#include <string.h>

#include "status.h"

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

static uint64_t body_size(const sp_run *run) {
    uint64_t n = (uint64_t)(run->keys - run->body) + run->key_bytes;
    return (n + 7) & ~(uint64_t)7;
}

/* Checks the pages below n bytes at p of a body, once each: SP_OK or SP_CHECKSUM. */
static int touch(const sp_run *run, const uint8_t *p, uint64_t n, uint64_t size, sp_crc32 crc32) {
    if (run->sums == NULL || n == 0)
        return SP_OK;
    uint64_t first = (uint64_t)(p - run->body) / SP_PAGE, last = ((uint64_t)(p - run->body) + n - 1) / SP_PAGE;
    for (uint64_t page = first; page <= last; page++) {
        if (run->checked[page >> 3] >> (page & 7) & 1)
            continue;
        uint64_t at = page * SP_PAGE, length = size - at < SP_PAGE ? size - at : SP_PAGE;
        if (crc32(0, run->body + at, (size_t)length) != sp_load32(run->sums + 4 * page))
            return SP_CHECKSUM;
        run->checked[page >> 3] |= (uint8_t)(1 << (page & 7));
    }
    return SP_OK;
}

static int load_entry(const sp_run *run, uint64_t number, uint64_t size, sp_crc32 crc32, sp_entry *entry) {
    const uint8_t *p = run->entries + SP_ENTRY * number;
    int status = touch(run, p, SP_ENTRY, size, crc32);
    if (status != SP_OK)
        return status;
    sp_entry_decode(p, entry);
    if (entry->key > run->key_bytes || entry->key_length > run->key_bytes - entry->key)
        return SP_SIZES;
    return SP_OK;
}

int sp_run_check(const sp_run *run, sp_crc32 crc32) {
    if (run->sums == NULL)
        return SP_OK;
    uint64_t size = body_size(run);
    return touch(run, run->body, size, size, crc32);
}

int sp_run_entry(const sp_run *run, uint64_t number, sp_crc32 crc32, sp_entry *entry) {
    uint64_t size = run->sums == NULL ? 0 : body_size(run);
    int status = load_entry(run, number, size, crc32, entry);
    if (status != SP_OK)
        return status;
    return touch(run, run->keys + entry->key, entry->key_length, size, crc32);
}

uint64_t sp_run_place(uint64_t hash, uint64_t slots) {
    return multiply_high(hash, slots);
}

/* Goes through the slots from the place of the hash: SP_OK with the slot of the entry with this key, SP_ABSENT with the
 * empty slot that ended the search. */
static int probe(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint64_t *slot) {
    uint64_t size = run->sums == NULL ? 0 : body_size(run);
    uint64_t at = sp_run_place(hash, run->slot_count);
    for (uint64_t seen = 0; seen < run->slot_count && seen < MOST_SLOTS; seen++) {
        const uint8_t *p = run->slots + SP_SLOT * at;
        int status = touch(run, p, SP_SLOT, size, crc32);
        if (status != SP_OK)
            return status;
        uint64_t found = sp_load64(p);
        *slot = at;
        if (found == 0)
            return SP_ABSENT;
        if (found >> 48 == (hash & 0xffff)) {
            sp_entry entry;
            uint64_t number = (found & NUMBER) - 1;
            if (number >= run->count)
                return SP_SIZES;
            status = load_entry(run, number, size, crc32, &entry);
            if (status != SP_OK)
                return status;
            if (entry.key_length == n) {
                status = touch(run, run->keys + entry.key, n, size, crc32);
                if (status != SP_OK)
                    return status;
                if (n == 0 || memcmp(run->keys + entry.key, key, n) == 0)
                    return SP_OK;
            }
        }
        at = at + 1 == run->slot_count ? 0 : at + 1;
    }
    return SP_SIZES;
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

int sp_run_insert(const sp_run *run, uint64_t hash, uint64_t number, sp_crc32 crc32) {
    sp_entry entry;
    uint64_t slot;
    int status = sp_run_entry(run, number, crc32, &entry);
    if (status != SP_OK)
        return status;
    status = probe(run, hash, run->keys + entry.key, entry.key_length, crc32, &slot);
    if (status != SP_OK && status != SP_ABSENT)
        return status;
    sp_store64(run->slots + SP_SLOT * slot, (number + 1) | (hash & 0xffff) << 48);
    return SP_OK;
}
