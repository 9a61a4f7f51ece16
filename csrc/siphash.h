/* SipHash-1-3 (Aumasson, Bernstein: SipHash, a fast short-input PRF, 2012), 64-bit result. */
#ifndef SMARTPIPE_SIPHASH_H
#define SMARTPIPE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sp_siphash13(const uint8_t key[16], const uint8_t *p, size_t n);

#endif
