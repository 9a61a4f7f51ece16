/* Little-endian loads and stores, byte by byte: correct on every machine, one instruction on most; and copies. */
#ifndef SMARTPIPE_BYTES_H
#define SMARTPIPE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t sp_load16(const uint8_t *p) {
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t sp_load32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t sp_load64(const uint8_t *p) {
    return (uint64_t)sp_load32(p) | (uint64_t)sp_load32(p + 4) << 32;
}

static inline void sp_store16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void sp_store32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void sp_store64(uint8_t *p, uint64_t v) {
    sp_store32(p, (uint32_t)v);
    sp_store32(p + 4, (uint32_t)(v >> 32));
}

/* n bytes, of which there may be none, also from nowhere. */
static inline void sp_copy(uint8_t *to, const uint8_t *from, size_t n) {
    if (n > 0)
        memcpy(to, from, n);
}

#endif
