/* Pairs of blocks as columns: all keys in one buffer and all values in another, with the offsets at which they end. */
#ifndef SMARTPIPE_COLUMNS_H
#define SMARTPIPE_COLUMNS_H

#include "pairs.h"

/* A pair key that is wanted. An array of them is sorted by length, and then by their bytes. */
typedef struct sp_wanted {
    const uint8_t *key;
    size_t length;
} sp_wanted;

typedef struct sp_sizes {
    uint64_t pairs, key_bytes, value_bytes;
} sp_sizes;

/* Where the next pair goes. The ends of keys and values are counted from `keys` and `values`. */
typedef struct sp_columns {
    uint8_t *keys, *values;
    int64_t *key_ends, *value_ends; /* of the next pair */
    int64_t key_end, value_end;     /* of the pair before it */
} sp_columns;

/* What the pairs behind a cursor that was not moved yet take: all, or those whose key is among `count` wanted ones
 * where `wanted` is not NULL. */
sp_sizes sp_columns_measure(sp_cursor cursor, const sp_wanted *wanted, size_t count);

/* Copies these pairs. `larges` has the bytes of each large value, of those that are wanted. */
void sp_columns_put(sp_cursor cursor, const sp_wanted *wanted, size_t count, const uint8_t *const *larges,
                    sp_columns *columns);

/* Copies one key for each of so many rows. */
void sp_columns_repeat(const uint8_t *key, size_t length, uint64_t rows, sp_columns *columns);

#endif
