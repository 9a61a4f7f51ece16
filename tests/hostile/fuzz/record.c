/* A data file: header, records found one behind the other or searched for, their directories, and heads that are stored as
 * they are. FORMAT.md, «File header», «Record» and «Reading without an index, and tails».
 *
 * Input: a byte of options, the file. Options: 1, its checksums are made right first; 2, the sizes of its records are made
 * to fit their parts before. */
#include "walk.h"

enum { CHECKSUMS = 1, SIZES = 2 };

static const uint8_t RECORD[4] = {0xf1, 0x53, 0x50, 0x72};

static wide lead_of(const uint8_t *header) {
    return (wide)64 + (wide)16 * sp_load32(header + 36) + sp_load32(header + 28) + sp_load32(header + 44);
}

static void repair(uint8_t *p, size_t n, int options) {
    if (n < 32)
        return;
    uint64_t id = sp_load64(p + 8);
    sp_store32(p + 28, plain_crc32(0, p, 28));
    for (size_t at = 32; n - at >= 64;) {
        uint8_t *header = p + at;
        if (memcmp(header, RECORD, 4) != 0) {
            at++;
            continue;
        }
        wide lead = lead_of(header), size = lead;
        if (lead <= n - at) {
            for (uint32_t i = 0; i < sp_load32(header + 36); i++)
                size += sp_load32(header + 64 + 16 * (size_t)i + 8);
            if (options & SIZES && size <= UINT32_MAX)
                sp_store32(header + 24, (uint32_t)size);
            sp_store32(header + 52, plain_crc32(0, header + 64, (size_t)lead - 64 - sp_load32(header + 44)));
        }
        sp_store32(header + 4, bound(id, at, header + 8, 56));
        at += size >= 64 && size <= n - at ? (size_t)size : 4;
    }
}

static int sizes_agree(uint8_t codec, uint32_t raw, uint32_t stored) {
    if (stored >= raw)
        return stored == raw;
    wide most = codec == 1   ? 65536 + (wide)1032 * stored
                : codec == 2 ? 131072 + (wide)32768 * stored
                : codec == 3 ? (wide)255 * stored
                             : UINT32_MAX;
    return stored > 0 && codec != 0 && raw <= most;
}

/* A valid header, as step 2 of reading without an index says it. */
static int is_header(const uint8_t *p, size_t n, uint64_t id, uint64_t offset) {
    if (n < 64 || memcmp(p, RECORD, 4) != 0 || sp_load32(p + 4) != bound(id, offset, p + 8, 56))
        return 0;
    uint32_t size = sp_load32(p + 24), pairs = sp_load32(p + 32), larges = sp_load32(p + 36);
    wide lead = lead_of(p);
    return lead <= size && (larges > 0 || lead == size) && larges <= pairs && (wide)8 * pairs <= sp_load32(p + 40) &&
           sizes_agree(p[61], sp_load32(p + 40), sp_load32(p + 44));
}

static size_t next_magic(const uint8_t *p, size_t n, size_t from) {
    for (; from < n; from++)
        if (memcmp(p + from, RECORD, n - from < 4 ? n - from : 4) == 0)
            break;
    return from;
}

static int is_directory(const uint8_t *lead, const sp_record *record) {
    const uint8_t *p = lead + 64;
    wide position = lead_of(lead), raw = record->head_raw;
    if (plain_crc32(0, p, 16 * (size_t)record->larges + record->key_length) != record->lead_crc)
        return 0;
    for (uint32_t i = 0; i < record->larges; i++, p += 16) {
        if (sp_load32(p) >= record->pairs || (i > 0 && sp_load32(p) <= sp_load32(p - 16)))
            return 0;
        if (!sizes_agree(record->codec, sp_load32(p + 4), sp_load32(p + 8)))
            return 0;
        raw += sp_load32(p + 4);
        position += sp_load32(p + 8);
    }
    return position == record->size && raw <= UINT32_MAX;
}

static void check_record(const uint8_t *p, const sp_record *record) {
    uint64_t raw = 0, sum = record->head_raw, position = sp_lead_size(record);
    uint8_t *lead = copy_of(p, (size_t)position);
    sp_segment *segments = malloc(record->larges * sizeof *segments + 1);
    CHECK(segments != NULL && sp_key_position(record) == 64 + 16 * (uint64_t)record->larges);
    int status = sp_directory_decode(lead, record, plain_crc32, segments, &raw);
    CHECK((status == SP_OK) == is_directory(lead, record));
    if (status == SP_OK) {
        uint8_t *again = copy_of(lead + 64, 16 * (size_t)record->larges);
        for (uint32_t i = 0; i < record->larges; i++) {
            CHECK(segments[i].position == position);
            position += segments[i].stored;
            sum += segments[i].raw;
        }
        CHECK(position == record->size && raw == sum);
        sp_directory_encode(segments, record->larges, again);
        CHECK(memcmp(again, lead + 64, 16 * (size_t)record->larges) == 0);
        if (record->head_stored == record->head_raw)
            walk_head(lead + sp_lead_size(record) - record->head_stored, record, segments);
        free(again);
    }
    free(segments);
    free(lead);
}

/* The valid header at `at`, or 0. */
static int header_at(const uint8_t *p, size_t n, uint64_t id, size_t at, sp_record *record) {
    uint8_t again[SP_RECORD_HEADER];
    int status = sp_record_decode(p + at, n - at, id, at, plain_crc32, record);
    CHECK((status == SP_OK) == is_header(p + at, n - at, id, at));
    if (status != SP_OK)
        return 0;
    uint32_t crc = record->crc;
    CHECK(crc == sp_load32(p + at + 4) && sp_lead_size(record) == lead_of(p + at));
    sp_record_encode(record, id, at, plain_crc32, again);
    CHECK(memcmp(again, p + at, 64) == 0 && record->crc == crc);
    return 1;
}

static void decode(const uint8_t *p, size_t n) {
    static const uint8_t magic[8] = {0x89, 'S', 'P', '2', '\r', '\n', 0x1a, '\n'};
    uint8_t again[SP_FILE_HEADER];
    sp_file file;
    sp_record record;
    int status = sp_file_decode(p, n, plain_crc32, &file);
    int good = n >= 32 && memcmp(p, magic, 8) == 0 && sp_load32(p + 16) <= 1 && zeros(p + 25, 3) &&
               sp_load32(p + 28) == plain_crc32(0, p, 28);
    CHECK((status == SP_OK) == good);
    if (!good)
        return;
    sp_file_encode(&file, plain_crc32, again);
    if (sp_load32(p + 20) == 0) /* optional flags are read over */
        CHECK(memcmp(again, p, 32) == 0);
    for (size_t at = 32; at < n;) {
        if (header_at(p, n, file.id, at, &record) && record.size <= n - at) {
            check_record(p + at, &record);
            at += record.size;
            continue;
        }
        size_t next = sp_record_search(p, n, at + 1);
        CHECK(next == next_magic(p, n, at + 1));
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    uint8_t *file = copy_of(data + 1, size - 1);
    if (data[0] & CHECKSUMS)
        repair(file, size - 1, data[0]);
    decode(file, size - 1);
    free(file);
    return 0;
}
