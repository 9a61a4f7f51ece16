/* A random order of the numbers below a count, without a table: the same one for the same seed.
 *
 * A Feistel network of eight rounds (Luby and Rackoff, «How to construct pseudorandom permutations», 1988) over the
 * smallest even number of bits that holds the count; a number at or above the count goes through it again (Black and
 * Rogaway, «Ciphers with arbitrary finite domains», 2002), four times at most on average. */
#ifndef SMARTPIPE_ORDER_H
#define SMARTPIPE_ORDER_H

#include <stdint.h>

/* The number at place `place`, which is below the count. */
uint64_t sp_order_at(uint64_t seed, uint64_t count, uint64_t place);

#endif
