"""A block as one value, for contenders that keep single values: the block's key and pairs, packed with msgpack.

Where the contender does not compress, users compress such a value by hand; here it is done with zlib-ng.
"""

import struct
from collections.abc import Callable

import msgpack
from zlib_ng import zlib_ng

from bench.rivals.rival import Form

SIZE = struct.Struct("<I")
# Room behind the last byte, without which the package inflates slower.
SPARE = 320
# Shorter values are kept as they are: compressing them costs time and gains nothing.
SHORT = 256
PLAIN = SIZE.pack(0)

pack = msgpack.Packer(autoreset=True).pack
unpack = msgpack.Unpacker


def packer(form: Form) -> Callable[[bytes], bytes]:
    """Return what makes of a value the bytes to store: its raw size, or 0 where it is kept plain, and the rest."""
    if form.codec == "none":
        return bytes

    def compress(value: bytes) -> bytes:
        if len(value) < SHORT:
            return PLAIN + value
        return SIZE.pack(len(value)) + zlib_ng.compress(value, form.level)

    return compress


def unpacker(form: Form) -> Callable[[bytes | memoryview], bytes]:
    """Return what makes the value of what was stored."""
    return bytes if form.codec == "none" else inflate


def inflate(stored: bytes | memoryview) -> bytes:
    size: int = SIZE.unpack_from(stored)[0]
    rest = memoryview(stored)[SIZE.size :]
    return bytes(rest) if size == 0 else zlib_ng.decompress(rest, zlib_ng.MAX_WBITS, size + SPARE)
