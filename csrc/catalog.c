#include "catalog.h"

#include <string.h>

#include "record.h"
#include "siphash.h"
#include "status.h"

/* The table is larger than any cache: the places of several keys are fetched at once. */
#if defined(__GNUC__)
#define prefetch(p) __builtin_prefetch(p)
#else
#define prefetch(p) ((void)(p))
#endif

/* A slot is the low 16 bits of the hash, the place of the shard, and the number of the entry in it. */
static const uint64_t GRAVE = (uint64_t)0xffff << 32;
enum { TOGETHER = 32 };

static inline uint64_t slot_of(uint64_t hash, uint32_t place, uint64_t number) {
    return (hash & 0xffff) << 48 | (uint64_t)place << 32 | number;
}

static inline uint32_t place_of(uint64_t slot) {
    return (uint32_t)(slot >> 32) & 0xffff;
}

static inline uint64_t number_of(uint64_t slot) {
    return slot & 0xffffffff;
}

/* Entry `number` of a shard, and its key: SP_OK, SP_CHECKSUM, SP_SIZES. */
static int load(const sp_listed *listed, uint64_t number, sp_crc32 crc32, sp_entry *entry, const uint8_t **key) {
    uint64_t i = listed->count - 1;
    while (listed->firsts[i] > number)
        i--;
    int status = sp_run_entry(listed->runs[i], number - listed->firsts[i], crc32, entry);
    *key = listed->runs[i]->keys + entry->key;
    return status;
}

/* Goes through the slots from the place of a hash to the key, or to the empty one that ends the search: SP_OK with the entry
 * there, or SP_ABSENT. */
static int probe(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint64_t *at,
                 sp_entry *entry) {
    *at = sp_run_place(hash, catalog->slot_count);
    for (;;) {
        uint64_t slot = catalog->slots[*at];
        if (slot == 0)
            return SP_ABSENT;
        if (slot >> 48 == (hash & 0xffff) && slot != GRAVE) {
            const uint8_t *found;
            int status = load(&catalog->listed[place_of(slot)], number_of(slot), crc32, entry, &found);
            if (status != SP_OK)
                return status;
            if (entry->key_length == n && (n == 0 || memcmp(found, key, n) == 0))
                return SP_OK;
        }
        if (++*at == catalog->slot_count)
            *at = 0;
    }
}

int sp_catalog_find(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint32_t *place,
                    uint64_t *number, sp_entry *entry) {
    uint64_t at;
    int status = probe(catalog, hash, key, n, crc32, &at, entry);
    if (status == SP_OK) {
        *place = place_of(catalog->slots[at]);
        *number = number_of(catalog->slots[at]);
    }
    return status;
}

/* Counts an entry of a shard in, or with sign -1 out. */
static void count(sp_catalog *catalog, uint32_t place, const sp_entry *entry, int sign) {
    sp_listed *listed = &catalog->listed[place];
    uint64_t one = (uint64_t)(int64_t)sign, size = sp_entry_share(entry);
    if (sign < 0)
        size = (uint64_t)0 - size;
    if (entry->kind == SP_TOMBSTONE) {
        listed->tombstones += one;
        listed->tombstone_bytes += size;
    } else {
        catalog->keys += one;
        listed->keys += one;
        listed->bytes += size;
    }
}

/* The hashes of up to TOGETHER entries of a shard from a number on, and their slots on the way into the cache. */
static int hash_some(const sp_catalog *catalog, const sp_listed *listed, uint64_t number, uint64_t stop, sp_crc32 crc32,
                     uint64_t *hashes, uint64_t *some) {
    *some = stop - number < TOGETHER ? stop - number : TOGETHER;
    for (uint64_t i = 0; i < *some; i++) {
        sp_entry entry;
        const uint8_t *key;
        int status = load(listed, number + i, crc32, &entry, &key);
        if (status != SP_OK)
            return status;
        hashes[i] = sp_siphash13(catalog->hash_key, key, entry.key_length);
        prefetch(catalog->slots + sp_run_place(hashes[i], catalog->slot_count));
    }
    return SP_OK;
}

int sp_catalog_enter(sp_catalog *catalog, uint32_t place, uint64_t stop, sp_crc32 crc32) {
    sp_listed *listed = &catalog->listed[place];
    uint64_t hashes[TOGETHER], some;
    while (listed->entered < stop) {
        int status = hash_some(catalog, listed, listed->entered, stop, crc32, hashes, &some);
        for (uint64_t i = 0; status == SP_OK && i < some; i++) {
            sp_entry entry, other;
            const uint8_t *key;
            uint64_t at;
            status = load(listed, listed->entered, crc32, &entry, &key);
            if (status != SP_OK)
                break;
            status = probe(catalog, hashes[i], key, entry.key_length, crc32, &at, &other);
            if (status == SP_ABSENT)
                catalog->used++;
            else if (status != SP_OK)
                break;
            if (status == SP_ABSENT || entry.stamp >= other.stamp) {
                if (status == SP_OK)
                    count(catalog, place_of(catalog->slots[at]), &other, -1);
                catalog->slots[at] = slot_of(hashes[i], place, listed->entered);
                count(catalog, place, &entry, 1);
            }
            listed->entered++;
            status = SP_OK;
        }
        if (status != SP_OK)
            return status;
    }
    return SP_OK;
}

/* The slot that names an entry of a shard; of no use where another entry of its key counts. */
static uint64_t *named(const sp_catalog *catalog, uint64_t hash, uint32_t place, uint64_t number) {
    uint64_t wanted = slot_of(hash, place, number), at = sp_run_place(hash, catalog->slot_count);
    while (catalog->slots[at] != wanted) {
        if (catalog->slots[at] == 0)
            return NULL;
        if (++at == catalog->slot_count)
            at = 0;
    }
    return catalog->slots + at;
}

int sp_catalog_drop(sp_catalog *catalog, uint32_t place, sp_crc32 crc32) {
    sp_listed *listed = &catalog->listed[place];
    uint64_t hashes[TOGETHER], some;
    for (uint64_t number = 0; number < listed->entered; number += some) {
        int status = hash_some(catalog, listed, number, listed->entered, crc32, hashes, &some);
        if (status != SP_OK)
            return status;
        for (uint64_t i = 0; i < some; i++) {
            uint64_t *slot = named(catalog, hashes[i], place, number + i);
            if (slot != NULL)
                *slot = GRAVE;
        }
    }
    catalog->keys -= listed->keys;
    memset(listed, 0, sizeof *listed);
    return SP_OK;
}

int sp_catalog_numbers(const sp_catalog *catalog, uint32_t place, int tombstones, uint64_t first, uint64_t room,
                       sp_crc32 crc32, uint64_t *numbers, uint64_t *found, uint64_t *next) {
    const sp_listed *listed = &catalog->listed[place];
    uint64_t hashes[TOGETHER], some;
    *found = 0;
    for (*next = first; *next < listed->entered && room - *found >= TOGETHER; *next += some) {
        int status = hash_some(catalog, listed, *next, listed->entered, crc32, hashes, &some);
        if (status != SP_OK)
            return status;
        for (uint64_t i = 0; i < some; i++) {
            sp_entry entry;
            const uint8_t *key;
            if (named(catalog, hashes[i], place, *next + i) == NULL)
                continue;
            status = load(listed, *next + i, crc32, &entry, &key);
            if (status != SP_OK)
                return status;
            if ((entry.kind == SP_TOMBSTONE) == tombstones)
                numbers[(*found)++] = *next + i;
        }
    }
    return SP_OK;
}
