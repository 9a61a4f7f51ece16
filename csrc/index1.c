#include "index1.h"

#include <string.h>

#include "pairs.h"
#include "record.h"
#include "status.h"

size_t sp_entries1_measure(const uint8_t *p, size_t n, int compressed, uint64_t offset, uint64_t raw_offset,
                           uint64_t *count, uint64_t *key_bytes) {
    size_t done = 0;
    sp_entry1 entry;
    *count = *key_bytes = 0;
    while (sp_entry1_decode(p + done, n - done, &entry) == SP_OK) {
        if (entry.key_length == 0 || (entry.offset == 0 && entry.raw_offset == 0))
            break;
        if (entry.offset < offset || entry.raw_offset < raw_offset)
            break;
        if (!compressed && entry.offset != entry.raw_offset)
            break;
        offset = entry.offset;
        raw_offset = entry.raw_offset;
        *count += 1;
        *key_bytes += entry.key_length;
        done += SP_ENTRY1 + (size_t)entry.key_length;
    }
    return done;
}

void sp_entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries, uint8_t *keys) {
    sp_entry entry = {.kind = SP_BLOCK, .codec = codec};
    for (; count > 0; count--) {
        entry.key = key;
        entry.key_length = sp_load32(p);
        entry.offset = sp_load64(p + 4 + entry.key_length);
        entry.stamp = sp_load64(p + 12 + entry.key_length);
        memcpy(keys, p + 4, entry.key_length);
        sp_entry_encode(&entry, entries);
        p += SP_ENTRY1 + (size_t)entry.key_length;
        keys += entry.key_length;
        key += entry.key_length;
        entries += SP_ENTRY;
    }
}
