#include "columns.h"

#include <string.h>

static int is_wanted(const sp_pair *pair, const sp_wanted *wanted, size_t count) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const sp_wanted *w = wanted + middle;
        int order = w->length == pair->key_length ? w->length == 0 ? 0 : memcmp(w->key, pair->key, w->length)
                                                  : (w->length < pair->key_length ? -1 : 1);
        if (order == 0)
            return 1;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* The next pair that is wanted, or 0 at the end. */
static int next(sp_cursor *cursor, const sp_wanted *wanted, size_t count, sp_pair *pair) {
    while (sp_cursor_next(cursor, pair))
        if (wanted == NULL || is_wanted(pair, wanted, count))
            return 1;
    return 0;
}

sp_sizes sp_columns_measure(sp_cursor cursor, const sp_wanted *wanted, size_t count) {
    sp_sizes sizes = {0, 0, 0};
    sp_pair pair;
    if (wanted == NULL && cursor.lengths != NULL) {
        const uint8_t *values = cursor.lengths + 4 * (size_t)cursor.pairs;
        for (uint32_t i = 0; i < cursor.pairs; i++)
            sizes.value_bytes += sp_load32(values + 4 * (size_t)i);
        sizes.pairs = cursor.pairs;
        sizes.key_bytes = (uint64_t)(cursor.value - cursor.key);
        return sizes;
    }
    while (next(&cursor, wanted, count, &pair)) {
        sizes.pairs++;
        sizes.key_bytes += pair.key_length;
        sizes.value_bytes += pair.value_length;
    }
    return sizes;
}

/* All pairs of a head: its keys lie behind one another as they do in the column, and so do the small values between two
 * large ones. */
static void put_head(sp_cursor cursor, const uint8_t *const *larges, sp_columns *c) {
    size_t pairs = cursor.pairs;
    const uint8_t *lengths = cursor.lengths, *small = cursor.value;
    int64_t key_end = c->key_end, value_end = c->value_end, done = value_end;
    int64_t *key_ends = c->key_ends, *value_ends = c->value_ends;
    for (size_t i = 0; i < pairs; i++)
        key_ends[i] = key_end += sp_load32(lengths + 4 * i);
    lengths += 4 * pairs;
    for (size_t i = 0; i < pairs; i++)
        value_ends[i] = value_end += sp_load32(lengths + 4 * i);
    sp_copy(c->keys + c->key_end, cursor.key, (size_t)(key_end - c->key_end));
    for (uint32_t i = 0; i < cursor.larges; i++) {
        const sp_segment *s = cursor.segments + i;
        int64_t end = value_ends[s->pair];
        size_t between = (size_t)(end - done) - s->raw;
        sp_copy(c->values + done, small, between);
        small += between;
        sp_copy(c->values + end - s->raw, larges[i], s->raw);
        done = end;
    }
    sp_copy(c->values + done, small, (size_t)(value_end - done));
    c->key_ends += pairs;
    c->value_ends += pairs;
    c->key_end = key_end;
    c->value_end = value_end;
}

void sp_columns_put(sp_cursor cursor, const sp_wanted *wanted, size_t count, const uint8_t *const *larges,
                    sp_columns *c) {
    sp_pair pair;
    if (wanted == NULL && cursor.lengths != NULL) {
        put_head(cursor, larges, c);
        return;
    }
    while (next(&cursor, wanted, count, &pair)) {
        sp_copy(c->keys + c->key_end, pair.key, pair.key_length);
        sp_copy(c->values + c->value_end, pair.value == NULL ? larges[pair.large] : pair.value, pair.value_length);
        *c->key_ends++ = c->key_end += pair.key_length;
        *c->value_ends++ = c->value_end += pair.value_length;
    }
}

void sp_columns_repeat(const uint8_t *key, size_t length, uint64_t rows, sp_columns *c) {
    for (uint64_t i = 0; i < rows; i++) {
        sp_copy(c->keys + c->key_end, key, length);
        *c->key_ends++ = c->key_end += (int64_t)length;
    }
}
