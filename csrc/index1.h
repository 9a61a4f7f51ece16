/* Format 1: entries of its index, many at a time, as entries of a run. FORMAT.md, «Format 1». */
#ifndef SMARTPIPE_INDEX1_H
#define SMARTPIPE_INDEX1_H

#include "frame.h"

/* How many of the n bytes are entries in which nothing has to be looked at closer: they have a key and offsets that are not both
 * 0, that do not go back, from `offset` and `raw_offset` on, and that are the same where `compressed` is 0. */
size_t sp_entries1_measure(const uint8_t *p, size_t n, int compressed, uint64_t offset, uint64_t raw_offset,
                           uint64_t *count, uint64_t *key_bytes);

/* Makes so many of them entries of a run, whose keys lie behind one another from position `key` on. */
void sp_entries1_copy(const uint8_t *p, uint64_t count, uint64_t key, uint8_t codec, uint8_t *entries, uint8_t *keys);

#endif
