"""Single values, compressed by zlib-ng, for the databases that do not compress: what their users write by hand."""

import struct

from zlib_ng import zlib_ng

from bench.rivals.rival import LEVEL

# Shorter values are kept as they are: compressing them costs time and gains nothing.
SHORT = 256
# Room behind the last byte, without which the package inflates slower.
SPARE = 320
SIZE = struct.Struct("<I")
PLAIN = SIZE.pack(0)


def pack(value: bytes) -> bytes:
    """Return a value to store: its raw size, or 0 where it is kept plain, and its bytes."""
    if len(value) < SHORT:
        return PLAIN + value
    return SIZE.pack(len(value)) + zlib_ng.compress(value, LEVEL)


def unpack(stored: bytes | memoryview) -> bytes:
    """Return the value that was packed."""
    size: int = SIZE.unpack_from(stored)[0]
    rest = memoryview(stored)[SIZE.size :]
    return bytes(rest) if size == 0 else zlib_ng.decompress(rest, zlib_ng.MAX_WBITS, size + SPARE)
