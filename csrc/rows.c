#include "rows.h"

static int view_is_whole(const uint8_t *view, int64_t buffers, const int64_t *sizes) {
    int32_t field[4];
    memcpy(field, view, sizeof field);
    if (field[0] <= SP_VIEW_INLINE)
        return field[0] >= 0;
    if (field[2] < 0 || field[2] >= buffers || field[3] < 0)
        return 0;
    return field[3] <= sizes[field[2]] && field[0] <= sizes[field[2]] - field[3];
}

uint64_t sp_strings_check(const sp_strings *s, uint64_t from, uint64_t to, int64_t size, int64_t buffers,
                          const int64_t *sizes) {
    if (from == to)
        return to;
    if (s->kind == SP_VIEWS) {
        while (from < to && view_is_whole(s->places + SP_VIEW * from, buffers, sizes))
            from++;
        return from;
    }
    int64_t offset = sp_offset_at(s, from);
    if (offset < 0)
        return from;
    while (from < to) {
        int64_t end = sp_offset_at(s, from + 1);
        if (end < offset || end > size)
            return from;
        offset = end;
        from++;
    }
    return to;
}

uint64_t sp_strings_run(const sp_strings *s, uint64_t from, uint64_t to) {
    uint64_t length, other;
    const uint8_t *first = sp_string_at(s, from, &length);
    while (++from < to) {
        const uint8_t *p = sp_string_at(s, from, &other);
        if (other != length || (length > 0 && memcmp(p, first, length) != 0))
            return from;
    }
    return to;
}

uint64_t sp_bits_zero(const uint8_t *bits, uint64_t from, uint64_t to) {
    while (from < to && (bits[from / 8] >> (from % 8) & 1) != 0) {
        if (from % 8 == 0 && bits[from / 8] == 0xff)
            from += 8;
        else
            from++;
    }
    return from < to ? from : to;
}

static uint64_t length_at(const sp_strings *s, uint64_t i) {
    uint64_t length;
    sp_string_at(s, i, &length);
    return length;
}

static uint64_t total(const sp_strings *s, uint64_t from, uint64_t to) {
    if (s->kind != SP_VIEWS)
        return (uint64_t)(sp_offset_at(s, to) - sp_offset_at(s, from));
    uint64_t bytes = 0;
    for (; from < to; from++)
        bytes += length_at(s, from);
    return bytes;
}

sp_rows_sizes sp_rows_measure(const sp_rows *rows, uint64_t large) {
    sp_rows_sizes sizes = {0, 0, 0, 0};
    sizes.key_bytes = total(&rows->keys, rows->from, rows->to);
    sizes.value_bytes = total(&rows->values, rows->from, rows->to);
    sizes.small_bytes = sizes.value_bytes;
    if (large > sizes.value_bytes)
        return sizes;
    for (uint64_t i = rows->from; i < rows->to; i++) {
        uint64_t length = length_at(&rows->values, i);
        if (length >= large) {
            sizes.small_bytes -= length;
            sizes.larges++;
        }
    }
    return sizes;
}

/* The strings of all rows behind one another, in `bytes` bytes. */
static void gather(const sp_strings *s, uint64_t from, uint64_t to, uint64_t bytes, uint8_t *out) {
    uint64_t length;
    if (s->kind != SP_VIEWS) {
        if (bytes > 0)
            memcpy(out, s->data + sp_offset_at(s, from), bytes);
        return;
    }
    for (; from < to; from++) {
        const uint8_t *p = sp_string_at(s, from, &length);
        sp_copy(out, p, length);
        out += length;
    }
}

static void put_lengths(const sp_strings *s, uint64_t from, uint64_t to, uint8_t *out) {
    if (s->kind == SP_OFFSETS64) { /* what most bring, without asking for each */
        for (const uint8_t *p = s->places + 8 * from; from < to; from++, p += 8, out += 4)
            sp_store32(out, (uint32_t)(sp_load64(p + 8) - sp_load64(p)));
        return;
    }
    for (; from < to; from++, out += 4)
        sp_store32(out, (uint32_t)length_at(s, from));
}

void sp_rows_put_larges(const sp_rows *rows, uint64_t large, uint32_t pair, sp_segment *segments,
                        const uint8_t **pointers) {
    uint64_t length;
    for (uint64_t i = rows->from; i < rows->to; i++, pair++) {
        const uint8_t *value = sp_string_at(&rows->values, i, &length);
        if (length >= large) {
            sp_segment segment = {pair, (uint32_t)length, 0, 0, 0};
            *segments++ = segment;
            *pointers++ = value;
        }
    }
}

void sp_rows_put_head(const sp_rows *rows, uint64_t large, sp_head *head) {
    sp_rows_sizes sizes = sp_rows_measure(rows, large);
    uint64_t count = rows->to - rows->from, length;
    put_lengths(&rows->keys, rows->from, rows->to, head->key_lengths);
    put_lengths(&rows->values, rows->from, rows->to, head->value_lengths);
    gather(&rows->keys, rows->from, rows->to, sizes.key_bytes, head->keys);
    if (sizes.larges == 0) {
        gather(&rows->values, rows->from, rows->to, sizes.value_bytes, head->small);
    } else {
        uint8_t *small = head->small;
        for (uint64_t i = rows->from; i < rows->to; i++) {
            const uint8_t *value = sp_string_at(&rows->values, i, &length);
            if (length < large) {
                sp_copy(small, value, length);
                small += length;
            }
        }
    }
    head->key_lengths += 4 * count;
    head->value_lengths += 4 * count;
    head->keys += sizes.key_bytes;
    head->small += sizes.small_bytes;
}

uint8_t *sp_rows_put_format1(const sp_rows *rows, uint8_t *out) {
    uint64_t length;
    for (uint64_t i = rows->from; i < rows->to; i++) {
        const uint8_t *p = sp_string_at(&rows->keys, i, &length);
        sp_store32(out, (uint32_t)length);
        sp_copy(out + 4, p, length);
        out += 4 + length;
        p = sp_string_at(&rows->values, i, &length);
        sp_store32(out, (uint32_t)length);
        sp_copy(out + 4, p, length);
        out += 4 + length;
    }
    return out;
}
