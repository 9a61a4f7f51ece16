"""SipHash-1-3 with a 64-bit result, from the paper by Aumasson and Bernstein."""

from __future__ import annotations

import struct

WORD = 0xFFFFFFFFFFFFFFFF


def siphash13(key: bytes, message: bytes) -> int:
    """The hash of a message: one round a word and three at the end. The key has 16 bytes."""
    k0, k1 = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = len(message) & ~7
    last = message[whole:] + bytes(7 - len(message) % 8) + bytes([len(message) & 255])
    for (word,) in struct.iter_unpack("<Q", message[:whole] + last):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3 ^ word)
        v0 ^= word
    v2 ^= 255
    for _ in range(3):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


def _sip_round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & WORD
    v1 = _rotate(v1, 13) ^ v0
    v0 = _rotate(v0, 32)
    v2 = (v2 + v3) & WORD
    v3 = _rotate(v3, 16) ^ v2
    v0 = (v0 + v3) & WORD
    v3 = _rotate(v3, 21) ^ v0
    v2 = (v2 + v1) & WORD
    v1 = _rotate(v1, 17) ^ v2
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & WORD
