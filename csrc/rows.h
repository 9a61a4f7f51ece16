/* Pairs taken out of columns that somebody has in memory: offsets and one buffer, or the views of Arrow.
 *
 * The integers of such columns are those of the machine. */
#ifndef SMARTPIPE_ROWS_H
#define SMARTPIPE_ROWS_H

#include "pairs.h"

enum sp_places { SP_OFFSETS32, SP_OFFSETS64, SP_VIEWS };
enum { SP_VIEW = 16, SP_VIEW_INLINE = 12 };

/* A column of byte strings. Row i is `data` from offset i to offset i + 1, or what view i says. */
typedef struct sp_strings {
    int kind;              /* enum sp_places */
    const uint8_t *places; /* offsets or views, from row 0 on */
    const uint8_t *data;
    const uint8_t *const *buffers; /* of views */
} sp_strings;

static inline int64_t sp_offset_at(const sp_strings *s, uint64_t i) {
    int64_t wide;
    int32_t narrow;
    if (s->kind == SP_OFFSETS64) {
        memcpy(&wide, s->places + 8 * i, sizeof wide);
        return wide;
    }
    memcpy(&narrow, s->places + 4 * i, sizeof narrow);
    return narrow;
}

/* The bytes of row i. */
static inline const uint8_t *sp_string_at(const sp_strings *s, uint64_t i, uint64_t *length) {
    if (s->kind == SP_VIEWS) {
        const uint8_t *view = s->places + SP_VIEW * i;
        int32_t field[4]; /* length, prefix, buffer, offset */
        memcpy(field, view, sizeof field);
        *length = (uint32_t)field[0];
        return field[0] <= SP_VIEW_INLINE ? view + 4 : s->buffers[field[2]] + field[3];
    }
    int64_t start = sp_offset_at(s, i);
    *length = (uint64_t)(sp_offset_at(s, i + 1) - start);
    return s->data + start;
}

/* Whether rows `from` to before `to` lie within what is there: offsets within `size` bytes, views within `buffers`
 * of which `sizes` has the sizes. Returns the first row that does not, or `to`. */
uint64_t sp_strings_check(const sp_strings *s, uint64_t from, uint64_t to, int64_t size, int64_t buffers,
                          const int64_t *sizes);

/* The first row behind `from` that differs from it, or `to`. */
uint64_t sp_strings_run(const sp_strings *s, uint64_t from, uint64_t to);

/* The first bit that is 0 from bit `from` on, or `to`. */
uint64_t sp_bits_zero(const uint8_t *bits, uint64_t from, uint64_t to);

/* Rows of a column of keys and one of values. */
typedef struct sp_rows {
    sp_strings keys, values;
    uint64_t from, to;
} sp_rows;

typedef struct sp_rows_sizes {
    uint64_t key_bytes, value_bytes, small_bytes, larges;
} sp_rows_sizes;

/* What rows take. Values of `large` bytes and more are large. */
sp_rows_sizes sp_rows_measure(const sp_rows *rows, uint64_t large);

/* The large values of rows: segments with `pair` and `raw`, and pointers to their bytes. `pair` is the number of the
 * first pair. */
void sp_rows_put_larges(const sp_rows *rows, uint64_t large, uint32_t pair, sp_segment *segments,
                        const uint8_t **pointers);

/* Where the parts of a head go, each in room of its size. */
typedef struct sp_head {
    uint8_t *key_lengths, *value_lengths, *keys, *small;
} sp_head;

/* Writes what rows give to a head, and moves on behind it. */
void sp_rows_put_head(const sp_rows *rows, uint64_t large, sp_head *head);

/* Writes the pairs as format 1 has them; returns the end. */
uint8_t *sp_rows_put_format1(const sp_rows *rows, uint8_t *out);

#endif
