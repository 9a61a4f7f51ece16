#include "record.h"

#include <string.h>

#include "status.h"

static const uint8_t FILE_MAGIC[8] = {0x89, 'S', 'P', '2', '\r', '\n', 0x1a, '\n'};
static const uint8_t RECORD_MAGIC[4] = {0xf1, 'S', 'P', 'r'};

void sp_file_encode(const sp_file *file, sp_crc32 crc32, uint8_t out[SP_FILE_HEADER]) {
    memset(out, 0, SP_FILE_HEADER);
    memcpy(out, FILE_MAGIC, sizeof FILE_MAGIC);
    sp_store64(out + 8, file->id);
    sp_store32(out + 16, file->flags);
    out[24] = file->codec;
    sp_store32(out + 28, crc32(0, out, 28));
}

int sp_file_decode(const uint8_t *p, size_t n, sp_crc32 crc32, sp_file *file) {
    if (memcmp(p, FILE_MAGIC, n < sizeof FILE_MAGIC ? n : sizeof FILE_MAGIC) != 0)
        return SP_MAGIC;
    if (n < SP_FILE_HEADER)
        return SP_TRUNCATED;
    if (sp_load32(p + 28) != crc32(0, p, 28))
        return SP_CHECKSUM;
    if ((sp_load32(p + 16) & ~(uint32_t)SP_SHARD) != 0)
        return SP_FLAGS;
    if (p[25] != 0 || p[26] != 0 || p[27] != 0)
        return SP_RESERVED;
    file->id = sp_load64(p + 8);
    file->flags = sp_load32(p + 16);
    file->codec = p[24];
    return SP_OK;
}

uint32_t sp_bound_crc(uint64_t id, uint64_t offset, const uint8_t *p, size_t n, sp_crc32 crc32) {
    /* In one call, as there is one for every block that is read. */
    uint8_t bound[16 + SP_BOUND];
    sp_store64(bound, id);
    sp_store64(bound + 8, offset);
    memcpy(bound + 16, p, n);
    return crc32(0, bound, 16 + n);
}

void sp_record_encode(sp_record *r, uint64_t id, uint64_t offset, sp_crc32 crc32, uint8_t out[SP_RECORD_HEADER]) {
    memcpy(out, RECORD_MAGIC, sizeof RECORD_MAGIC);
    sp_store64(out + 8, r->stamp);
    sp_store64(out + 16, r->synced);
    sp_store32(out + 24, r->size);
    sp_store32(out + 28, r->key_length);
    sp_store32(out + 32, r->pairs);
    sp_store32(out + 36, r->larges);
    sp_store32(out + 40, r->head_raw);
    sp_store32(out + 44, r->head_stored);
    sp_store32(out + 48, r->head_crc);
    sp_store32(out + 52, r->lead_crc);
    sp_store32(out + 56, r->ordinal);
    out[60] = r->kind;
    out[61] = r->codec;
    sp_store16(out + 62, r->dictionary);
    r->crc = sp_bound_crc(id, offset, out + 8, SP_RECORD_HEADER - 8, crc32);
    sp_store32(out + 4, r->crc);
}

uint32_t sp_record_mark(const uint8_t p[SP_RECORD_HEADER], uint64_t offset, sp_crc32 crc32) {
    return sp_load32(p + 4) ^ sp_bound_crc(0, offset, p + 8, SP_RECORD_HEADER - 8, crc32);
}

/* A crc is linear: what an id adds is the sum of what its bits add. The low 32 bits suffice for any sum, and which are
 * needed is found by elimination. */
uint64_t sp_mark_id(uint32_t mark, sp_crc32 crc32) {
    static const uint8_t zeros[SP_RECORD_HEADER - 8];
    uint32_t sums[32] = {0}, ids[32] = {0}, nothing = sp_bound_crc(0, 0, zeros, sizeof zeros, crc32), id = 0;
    for (int i = 0; i < 32; i++) {
        uint32_t bits = (uint32_t)1 << i, sum = sp_bound_crc(bits, 0, zeros, sizeof zeros, crc32) ^ nothing;
        for (int top = 31; top >= 0 && sum != 0; top--) {
            if ((sum >> top & 1) == 0)
                continue;
            if (sums[top] == 0) {
                sums[top] = sum;
                ids[top] = bits;
                break;
            }
            sum ^= sums[top];
            bits ^= ids[top];
        }
    }
    for (int top = 31; top >= 0; top--) {
        if ((mark >> top & 1) != 0) {
            mark ^= sums[top];
            id ^= ids[top];
        }
    }
    return id;
}

uint64_t sp_most_raw(uint8_t codec, uint64_t stored) {
    switch (codec) {
    case SP_ZLIB:
        return 65536 + 1032 * stored;
    case SP_ZSTD:
        /* A block of 128 KiB takes four bytes or more. */
        return 131072 + 32768 * stored;
    case SP_LZ4:
        return 255 * stored;
    default:
        return UINT64_MAX;
    }
}

/* Whether a segment's two sizes can be those of this codec; an unknown codec is judged by whoever reads it. */
static int sizes_agree(uint8_t codec, uint32_t raw, uint32_t stored) {
    if (stored == raw)
        return 1;
    return stored < raw && stored > 0 && codec != SP_NONE && raw <= sp_most_raw(codec, stored);
}

int sp_record_decode(const uint8_t *p, size_t n, uint64_t id, uint64_t offset, sp_crc32 crc32, sp_record *r) {
    if (memcmp(p, RECORD_MAGIC, n < sizeof RECORD_MAGIC ? n : sizeof RECORD_MAGIC) != 0)
        return SP_MAGIC;
    if (n < SP_RECORD_HEADER)
        return SP_TRUNCATED;
    r->crc = sp_load32(p + 4);
    if (r->crc != sp_bound_crc(id, offset, p + 8, SP_RECORD_HEADER - 8, crc32))
        return SP_CHECKSUM;
    r->stamp = sp_load64(p + 8);
    r->synced = sp_load64(p + 16);
    r->size = sp_load32(p + 24);
    r->key_length = sp_load32(p + 28);
    r->pairs = sp_load32(p + 32);
    r->larges = sp_load32(p + 36);
    r->head_raw = sp_load32(p + 40);
    r->head_stored = sp_load32(p + 44);
    r->head_crc = sp_load32(p + 48);
    r->lead_crc = sp_load32(p + 52);
    r->ordinal = sp_load32(p + 56);
    r->kind = p[60];
    r->codec = p[61];
    r->dictionary = sp_load16(p + 62);
    if (r->larges > r->pairs || sp_lead_size(r) > r->size || (r->larges == 0 && sp_lead_size(r) != r->size))
        return SP_SIZES;
    if ((uint64_t)SP_PAIR_LENGTHS * r->pairs > r->head_raw || !sizes_agree(r->codec, r->head_raw, r->head_stored))
        return SP_SIZES;
    return SP_OK;
}

void sp_directory_encode(const sp_segment *segments, uint32_t larges, uint8_t *out) {
    for (uint32_t i = 0; i < larges; i++, out += SP_DIRECTORY_ENTRY) {
        sp_store32(out, segments[i].pair);
        sp_store32(out + 4, segments[i].raw);
        sp_store32(out + 8, segments[i].stored);
        sp_store32(out + 12, segments[i].crc);
    }
}

int sp_directory_decode(const uint8_t *lead, const sp_record *r, sp_crc32 crc32, sp_segment *segments, uint64_t *raw) {
    size_t covered = (size_t)SP_DIRECTORY_ENTRY * r->larges + r->key_length;
    const uint8_t *p = lead + SP_RECORD_HEADER;
    if (crc32(0, p, covered) != r->lead_crc)
        return SP_CHECKSUM;
    uint64_t position = sp_lead_size(r);
    *raw = r->head_raw;
    for (uint32_t i = 0; i < r->larges; i++, p += SP_DIRECTORY_ENTRY) {
        sp_segment *s = segments + i;
        s->pair = sp_load32(p);
        s->raw = sp_load32(p + 4);
        s->stored = sp_load32(p + 8);
        s->crc = sp_load32(p + 12);
        s->position = position;
        if (s->pair >= r->pairs || (i > 0 && s->pair <= segments[i - 1].pair))
            return SP_SIZES;
        if (!sizes_agree(r->codec, s->raw, s->stored) || s->stored > r->size - position)
            return SP_SIZES;
        position += s->stored;
        *raw += s->raw;
    }
    return position == r->size && *raw <= UINT32_MAX ? SP_OK : SP_SIZES;
}

int sp_head_check(const uint8_t *head, const sp_record *r, const sp_segment *segments, uint64_t *keys) {
    const uint8_t *values = head + 4 * (size_t)r->pairs;
    uint64_t key_bytes = 0, value_bytes = 0;
    for (uint32_t i = 0; i < r->pairs; i++) {
        key_bytes += sp_load32(head + 4 * (size_t)i);
        value_bytes += sp_load32(values + 4 * (size_t)i);
    }
    for (uint32_t i = 0; i < r->larges; i++) {
        if (sp_load32(values + 4 * (size_t)segments[i].pair) != segments[i].raw)
            return SP_SIZES;
        value_bytes -= segments[i].raw;
    }
    *keys = key_bytes;
    return (uint64_t)SP_PAIR_LENGTHS * r->pairs + key_bytes + value_bytes == r->head_raw ? SP_OK : SP_SIZES;
}

size_t sp_record_search(const uint8_t *p, size_t n, size_t from) {
    while (from < n) {
        const uint8_t *hit = memchr(p + from, RECORD_MAGIC[0], n - from);
        if (hit == NULL)
            return n;
        from = (size_t)(hit - p);
        size_t left = n - from;
        if (memcmp(hit, RECORD_MAGIC, left < sizeof RECORD_MAGIC ? left : sizeof RECORD_MAGIC) == 0)
            return from;
        from++;
    }
    return n;
}
