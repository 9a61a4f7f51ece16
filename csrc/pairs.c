#include "pairs.h"

#include "status.h"

/* A u32 length and its bytes at *position: 0 where they do not fit before n. */
static int skip(const uint8_t *data, uint64_t n, uint64_t *position) {
    if (4 > n - *position)
        return 0;
    uint32_t length = sp_load32(data + *position);
    *position += 4;
    if (length > n - *position)
        return 0;
    *position += length;
    return 1;
}

int sp_pairs_check(const uint8_t *data, uint64_t n, uint32_t *pairs, uint64_t *good) {
    uint64_t position = 0;
    *pairs = 0;
    *good = 0;
    while (position < n) {
        if (!skip(data, n, &position) || !skip(data, n, &position))
            return SP_TRUNCATED;
        if (*pairs == UINT32_MAX)
            return SP_FULL;
        ++*pairs;
        *good = position;
    }
    return SP_OK;
}

int sp_entry1_decode(const uint8_t *p, size_t n, sp_entry1 *entry) {
    if (n < SP_ENTRY1)
        return SP_TRUNCATED;
    entry->key_length = sp_load32(p);
    if (entry->key_length > n - SP_ENTRY1)
        return SP_TRUNCATED;
    entry->key = p + 4;
    entry->offset = sp_load64(p + 4 + entry->key_length);
    entry->raw_offset = sp_load64(p + 12 + entry->key_length);
    return SP_OK;
}
