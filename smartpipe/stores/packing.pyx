"""The gzip bytes of serialized values: RFC 1952, around what a zlib stream (RFC 1950) has between its ends."""

import gzip
import io
import zlib
from hashlib import sha256

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memmove

from zlib_ng import zlib_ng

from smartpipe import errors
from smartpipe._codec cimport SP_FULL, SP_OK, SP_ZLIB, Buffer, Deflater, crc32, sp_store32

cdef enum:
    WINDOW = 31  # that of 32 KiB, in gzip: the argument of zlib's functions
    HEADER = 10
    TRAILER = 8
    ZLIB_HEADER = 2
    ZLIB_TRAILER = 4

cdef struct Piece:
    const uint8_t *data
    size_t size
    size_t at, packed_size  # of its gzip bytes

# Magic, deflate, no flags and so no name, no time, nothing said of the compressor and of the system.
cdef const uint8_t *BEGIN = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
cdef const uint8_t *EMPTY = b"\x03\x00"


def packed(list values, int level):
    """Return the gzip bytes of each of many bytes, compressed at one of the levels of docs/engines.md. The lock of the
    interpreter is given back for all of them together."""
    cdef Deflater deflater = Deflater(SP_ZLIB, level)
    cdef Buffer table = Buffer(), out = Buffer()
    cdef size_t count = len(values), i, spare = 64
    cdef int status = SP_FULL
    cdef bytes value
    table.reserve(count * sizeof(Piece))
    cdef Piece *pieces = <Piece *>table.data
    while status == SP_FULL:
        room = 0
        for i in range(count):
            value = values[i]
            pieces[i].data = <const uint8_t *>PyBytes_AS_STRING(value)
            pieces[i].size = PyBytes_GET_SIZE(value)
            room += pieces[i].size + (pieces[i].size >> 3) + spare
        out.reserve(room)
        with nogil:
            status = pack(pieces, count, spare, deflater, out.data)
        spare *= 1024
    if status != SP_OK:
        raise MemoryError
    return [PyBytes_FromStringAndSize(<const char *>out.data + pieces[i].at, pieces[i].packed_size)
            for i in range(count)]


cdef int pack(Piece *pieces, size_t count, size_t spare, Deflater deflater, uint8_t *out) noexcept nogil:
    """Put the gzip bytes of pieces one after another; each has an eighth more room than its bytes, and `spare`."""
    cdef size_t at = 0, i, room, written
    cdef uint8_t *begin
    cdef int status
    for i in range(count):
        begin = out + at + HEADER
        room = pieces[i].size + (pieces[i].size >> 3) + spare - HEADER - TRAILER
        if pieces[i].size == 0:
            memcpy(begin, EMPTY, 2)
            written = 2
        else:
            status = deflater.deflate(pieces[i].data, pieces[i].size, begin, room, &written)
            if status != SP_OK:
                return status
            written -= ZLIB_HEADER + ZLIB_TRAILER
            memmove(begin, begin + ZLIB_HEADER, written)
        memcpy(out + at, BEGIN, HEADER)
        sp_store32(begin + written, crc32(pieces[i].data, pieces[i].size))
        sp_store32(begin + written + 4, <uint32_t>pieces[i].size)
        pieces[i].at = at
        pieces[i].packed_size = HEADER + written + TRAILER
        at += pieces[i].packed_size
    return SP_OK


def unpacked(bytes data, str hexdigest, object limit):
    """Return the bytes that gzip bytes were made of; None where these do not have the digest. BlockTooLargeError where
    there are more than `limit`, of which no more are made."""
    unpacker = zlib_ng.decompressobj(WINDOW)
    try:
        found = unpacker.decompress(data, limit + 1)
        if len(found) <= limit and (not unpacker.eof or unpacker.unused_data):
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as members:
                found = members.read(limit + 1)
    except (zlib_ng.error, zlib.error, OSError, EOFError):
        return None
    if len(found) > limit:
        raise errors.BlockTooLargeError(f"the value has more than {limit} bytes, the limit of this store")
    return found if sha256(found).hexdigest() == hexdigest else None
