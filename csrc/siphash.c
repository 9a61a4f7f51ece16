#include "siphash.h"

#include "bytes.h"

static inline uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void absorb(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t sp_siphash13(const uint8_t key[16], const uint8_t *p, size_t n) {
    uint64_t k0 = sp_load64(key), k1 = sp_load64(key + 8);
    uint64_t v[4] = {
        k0 ^ 0x736f6d6570736575ULL,
        k1 ^ 0x646f72616e646f6dULL,
        k0 ^ 0x6c7967656e657261ULL,
        k1 ^ 0x7465646279746573ULL,
    };
    uint64_t last = (uint64_t)n << 56;
    size_t rest = n & 7;
    for (size_t words = n / 8; words > 0; words--, p += 8)
        absorb(v, sp_load64(p));
    if (n > 8 && rest > 0)
        last |= sp_load64(p + rest - 8) >> (64 - 8 * rest);
    else
        for (size_t i = 0; i < rest; i++)
            last |= (uint64_t)p[i] << 8 * i;
    absorb(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
