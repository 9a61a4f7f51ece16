/* What the targets share: assertions, and a CRC-32 that is not the one of the engines. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/asan_interface.h>

#include "bytes.h"

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

_Noreturn static inline void check_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

/* A product or sum of what a file claims never overflows in it. */
typedef unsigned __int128 wide;

static uint32_t crc_table[256];

/* Most of the time goes here: the bytes are looked up in the sanitizer's map all at once. */
__attribute__((no_sanitize("address", "undefined", "coverage"))) static uint32_t
plain_crc32(uint32_t crc, const uint8_t *p, size_t n) {
    CHECK(n == 0 || __asan_region_is_poisoned((void *)(uintptr_t)p, n) == NULL);
    if (crc_table[1] == 0)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t c = byte;
            for (int bit = 0; bit < 8; bit++)
                c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
            crc_table[byte] = c;
        }
    crc = ~crc;
    while (n-- > 0)
        crc = crc >> 8 ^ crc_table[(crc ^ *p++) & 0xff];
    return ~crc;
}

/* The crc of n bytes at p that is bound to a file and a place. */
static inline uint32_t bound(uint64_t id, uint64_t offset, const uint8_t *p, size_t n) {
    uint8_t place[16];
    sp_store64(place, id);
    sp_store64(place + 8, offset);
    return plain_crc32(plain_crc32(0, place, 16), p, n);
}

static inline int zeros(const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return 0;
    return 1;
}

/* n bytes in memory of exactly that size, so that the sanitizer sees one byte too many. */
static inline uint8_t *copy_of(const uint8_t *p, size_t n) {
    uint8_t *copy = malloc(n > 0 ? n : 1);
    CHECK(copy != NULL);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

#endif
