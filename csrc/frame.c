#include "frame.h"

#include <string.h>

#include "status.h"

static const uint8_t INDEX_MAGIC[8] = {0x89, 'S', 'P', 'I', '\r', '\n', 0x1a, '\n'};
static const uint8_t FRAME_MAGIC[4] = {0xf1, 'S', 'P', 'f'};

static int all_zero(const uint8_t *p, size_t n) {
    while (n > 0)
        if (p[--n] != 0)
            return 0;
    return 1;
}

void sp_index_encode(const sp_index *index, sp_crc32 crc32, uint8_t out[SP_INDEX_HEADER]) {
    memset(out, 0, SP_INDEX_HEADER);
    memcpy(out, INDEX_MAGIC, sizeof INDEX_MAGIC);
    sp_store64(out + 8, index->id);
    memcpy(out + 24, index->hash_key, SP_HASH_KEY);
    sp_store32(out + 60, crc32(0, out, 60));
}

int sp_index_decode(const uint8_t *p, size_t n, sp_crc32 crc32, sp_index *index) {
    if (memcmp(p, INDEX_MAGIC, n < sizeof INDEX_MAGIC ? n : sizeof INDEX_MAGIC) != 0)
        return SP_MAGIC;
    if (n < SP_INDEX_HEADER)
        return SP_TRUNCATED;
    if (sp_load32(p + 60) != crc32(0, p, 60))
        return SP_CHECKSUM;
    if (sp_load32(p + 16) != 0)
        return SP_FLAGS;
    if (!all_zero(p + 40, 20))
        return SP_RESERVED;
    index->id = sp_load64(p + 8);
    memcpy(index->hash_key, p + 24, SP_HASH_KEY);
    return SP_OK;
}

uint32_t sp_sums_encode(const sp_part *parts, size_t count, sp_crc32 crc32, uint8_t *sums) {
    uint8_t *out = sums;
    uint64_t size = 0, left = SP_PAGE;
    uint32_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = parts[i].bytes;
        uint64_t rest = parts[i].size;
        size += rest;
        while (rest > 0) {
            uint64_t n = rest < left ? rest : left;
            crc = crc32(crc, p, (size_t)n);
            p += n;
            rest -= n;
            left -= n;
            if (left == 0) {
                sp_store32(out, crc);
                out += 4;
                crc = 0;
                left = SP_PAGE;
            }
        }
    }
    if (left < SP_PAGE) {
        sp_store32(out, crc);
        out += 4;
    }
    size_t total = (size_t)sp_frame_sums(size);
    memset(out, 0, (size_t)(sums + total - out));
    return crc32(0, sums, total);
}

void sp_frame_encode(const sp_frame *f, uint64_t id, uint64_t offset, sp_crc32 crc32, uint8_t out[SP_FRAME_HEADER]) {
    memcpy(out, FRAME_MAGIC, sizeof FRAME_MAGIC);
    sp_store64(out + 8, f->size);
    sp_store64(out + 16, f->from);
    sp_store64(out + 24, f->to);
    sp_store64(out + 32, f->synced);
    sp_store64(out + 40, f->entries);
    sp_store64(out + 48, f->key_bytes);
    sp_store64(out + 56, f->slots);
    sp_store64(out + 64, f->blocks);
    sp_store64(out + 72, f->pairs);
    sp_store64(out + 80, f->raw);
    sp_store64(out + 88, f->stamp);
    sp_store64(out + 96, f->metadata);
    sp_store32(out + 104, f->dictionaries);
    sp_store32(out + 108, f->last_crc);
    sp_store32(out + 112, f->flags);
    sp_store32(out + 116, f->sums_crc);
    memset(out + 120, 0, 8);
    sp_store32(out + 4, sp_bound_crc(id, offset, out + 8, SP_FRAME_HEADER - 8, crc32));
}

int sp_frame_header_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc32, sp_frame *f) {
    if (memcmp(p, FRAME_MAGIC, n < sizeof FRAME_MAGIC ? (size_t)n : sizeof FRAME_MAGIC) != 0)
        return SP_MAGIC;
    if (n < SP_FRAME_HEADER)
        return SP_TRUNCATED;
    if (sp_load32(p + 4) != sp_bound_crc(id, offset, p + 8, SP_FRAME_HEADER - 8, crc32))
        return SP_CHECKSUM;
    f->size = sp_load64(p + 8);
    f->from = sp_load64(p + 16);
    f->to = sp_load64(p + 24);
    f->synced = sp_load64(p + 32);
    f->entries = sp_load64(p + 40);
    f->key_bytes = sp_load64(p + 48);
    f->slots = sp_load64(p + 56);
    f->blocks = sp_load64(p + 64);
    f->pairs = sp_load64(p + 72);
    f->raw = sp_load64(p + 80);
    f->stamp = sp_load64(p + 88);
    f->metadata = sp_load64(p + 96);
    f->dictionaries = sp_load32(p + 104);
    f->last_crc = sp_load32(p + 108);
    f->flags = sp_load32(p + 112);
    f->sums_crc = sp_load32(p + 116);
    if (f->size > n)
        return SP_TRUNCATED;
    if ((f->flags & ~(uint32_t)(SP_FRAME_CLOSED | SP_FRAME_ENDED)) != 0 || !all_zero(p + 120, 8))
        return SP_RESERVED;
    /* Each count is held against the size of the frame, so that the sum in sp_frame_body cannot overflow. */
    if (f->entries > f->size / SP_ENTRY || f->slots > f->size / SP_SLOT || f->key_bytes > f->size ||
        (f->slots > 0 && f->slots <= f->entries) || f->from > f->to)
        return SP_SIZES;
    uint64_t body = sp_frame_body(f), sums = sp_frame_sums(body);
    if (body > f->size || f->size != SP_FRAME_HEADER + sums + body)
        return SP_SIZES;
    return SP_OK;
}

int sp_frame_decode(const uint8_t *p, uint64_t n, uint64_t id, uint64_t offset, sp_crc32 crc32, sp_frame *f) {
    int status = sp_frame_header_decode(p, n, id, offset, crc32, f);
    if (status != SP_OK)
        return status;
    uint64_t sums = sp_frame_sums(sp_frame_body(f));
    return crc32(0, p + SP_FRAME_HEADER, (size_t)sums) == f->sums_crc ? SP_OK : SP_CHECKSUM;
}
