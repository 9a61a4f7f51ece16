#include "order.h"

#include "bytes.h"
#include "siphash.h"

enum { ROUNDS = 8 };

uint64_t sp_order_at(uint64_t seed, uint64_t count, uint64_t place) {
    int half = 1;
    while (half < 32 && count > (uint64_t)1 << 2 * half)
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    uint8_t key[16], data[16];
    sp_store64(key, seed);
    sp_store64(key + 8, count);
    do {
        uint64_t left = place >> half, right = place & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            sp_store64(data, round);
            sp_store64(data + 8, right);
            uint64_t mixed = left ^ (sp_siphash13(key, data, sizeof data) & mask);
            left = right;
            right = mixed;
        }
        place = left << half | right;
    } while (place >= count);
    return place;
}
