/* A catalog: one hash table in memory over the entries of all shards of a store, in which each key has the entry with the
 * highest stamp. docs/shards.md, «How it is done». */
#ifndef SMARTPIPE_CATALOG_H
#define SMARTPIPE_CATALOG_H

#include "run.h"

/* Places are 1 to SP_PLACES; a shard has one as long as it is listed. */
enum { SP_PLACES = 0xfffe };

/* The entries of one shard, in runs behind one another: run i begins with number firsts[i]. */
typedef struct sp_listed {
    const sp_run *const *runs;
    const uint64_t *firsts;
    uint64_t count;  /* runs */
    uint64_t entered; /* entries that are in the table, or lost to a higher stamp */
    uint64_t keys, bytes;            /* of blocks that count, and of their records */
    uint64_t tombstones, tombstone_bytes; /* that count */
} sp_listed;

typedef struct sp_catalog {
    uint64_t *slots;
    uint64_t slot_count, used; /* used: not empty, graves included */
    uint64_t keys;             /* of blocks that count */
    sp_listed *listed;         /* by place */
    uint8_t hash_key[SP_HASH_KEY];
} sp_catalog;

/* The entry that counts for a key, which may be a tombstone's: SP_OK, SP_ABSENT, SP_CHECKSUM, SP_SIZES. */
int sp_catalog_find(const sp_catalog *catalog, uint64_t hash, const uint8_t *key, size_t n, sp_crc32 crc32, uint32_t *place,
                    uint64_t *number, sp_entry *entry);

/* Enters what a shard has beyond `entered`, up to `count` entries in all; of equal stamps the later one counts. There is
 * room for them: SP_OK, SP_CHECKSUM, SP_SIZES. */
int sp_catalog_enter(sp_catalog *catalog, uint32_t place, uint64_t count, sp_crc32 crc32);

/* Forgets the entries of a shard. Their slots stay graves: SP_OK, SP_CHECKSUM, SP_SIZES. */
int sp_catalog_drop(sp_catalog *catalog, uint32_t place, sp_crc32 crc32);

/* The numbers of the entries of a shard that count, blocks or tombstones, in the order of the file, from number `first` on and
 * at most `room`; `next` is where to go on: SP_OK, SP_CHECKSUM, SP_SIZES. */
int sp_catalog_numbers(const sp_catalog *catalog, uint32_t place, int tombstones, uint64_t first, uint64_t room,
                       sp_crc32 crc32, uint64_t *numbers, uint64_t *found, uint64_t *next);

#endif
