/* A run: entries in the order of the file with their keys and a hash table over them. FORMAT.md, «Index», «Slots».
 *
 * The body of a frame is one as it lies in the mapped file; what is in memory only has the same layout. */
#ifndef SMARTPIPE_RUN_H
#define SMARTPIPE_RUN_H

#include <stdatomic.h>

#include "frame.h"

/* Bits that threads set side by side. Each says of bytes that never change that they are good, and nothing else. */
typedef _Atomic(uint8_t) sp_flags;

typedef struct sp_run {
    const uint8_t *entries, *keys;
    uint8_t *slots; /* written by sp_run_hash only */
    uint64_t count, key_bytes, slot_count;
    /* Of a mapped frame: what its sums cover, the sums, and a bit for each page that was checked. NULL in memory. */
    const uint8_t *body, *sums;
    sp_flags *checked;
} sp_run;

/* Checks all pages: SP_OK or SP_CHECKSUM. */
int sp_run_check(const sp_run *run, sp_crc32 crc32);

/* Entry `number`, whose key then lies inside the keys: SP_OK, SP_CHECKSUM, SP_SIZES. */
int sp_run_entry(const sp_run *run, uint64_t number, sp_crc32 crc32, sp_entry *entry);

/* The slot where the search for a hash begins, of so many. */
uint64_t sp_run_place(uint64_t hash, uint64_t slots);

/* The number of the last entry with this key: SP_OK, SP_ABSENT, SP_CHECKSUM, SP_SIZES. The run has slots. */
int sp_run_find(const sp_run *run, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint64_t *number);

/* Lets the processor fetch where the search for a hash begins. */
void sp_run_expect(const sp_run *run, uint64_t hash);

/* Puts the entries from number `first` on into the slots, each in place of an earlier one with its key: SP_OK, SP_SIZES. More
 * slots are free than there are entries. Of runs in memory. */
int sp_run_hash(const sp_run *run, const uint8_t hash_key[SP_HASH_KEY], uint64_t first);

/* Checks the entries from number `first` on, and gives how many bytes their keys have: SP_OK, SP_CHECKSUM, SP_SIZES. */
int sp_run_measure(const sp_run *run, uint64_t first, sp_crc32 crc32, uint64_t *key_bytes);

/* Copies the entries from number `first` on, which were measured, and their keys, which lie behind one another from
 * position `key` on. */
void sp_run_copy(const sp_run *run, uint64_t first, uint64_t key, uint8_t *entries, uint8_t *keys);

#endif
