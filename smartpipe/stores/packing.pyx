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
from smartpipe._codec cimport SP_FULL, SP_OK, SP_ZLIB, Buffer, Deflater, Inflater, crc32, sp_load32, sp_store32
from smartpipe.container.pool cimport Pool

cdef enum:
    WINDOW = 31  # that of 32 KiB, in gzip: the argument of zlib's functions
    HEADER = 10
    TRAILER = 8
    ZLIB_HEADER = 2
    ZLIB_TRAILER = 4
    MOST = 1032  # bytes that deflate makes of one
    TOGETHER = 32 << 20  # bytes that are inflated at once, of many values
    PART = 1 << 20  # bytes that are read at a time from several members

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef struct Piece:
    const uint8_t *data
    size_t size
    size_t at, packed_size  # of its gzip bytes

cdef struct Member:
    const uint8_t *data
    uint8_t *out  # NULL where it is not to be inflated
    size_t size, room

cdef Pool inflaters = Pool()

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


def inflated(list packs, object limit):
    """Return what each of many gzip bytes was made of; None for None, and where that takes a second look: where it is
    not one good member, has more than `limit` bytes, or is behind others that have very many. The lock of the
    interpreter is given back for all of them together."""
    cdef Buffer table = Buffer()
    cdef size_t count = len(packs), total = 0, i
    cdef list found = [None] * len(packs)
    cdef bytes data
    table.reserve(count * sizeof(Member))
    cdef Member *members = <Member *>table.data
    for i in range(count):
        members[i].out = NULL
        data = packs[i]
        if data is not None:
            found[i] = with_room(data, min(limit, TOGETHER - total), &members[i])
            total += members[i].room
    inflate_all(members, count)
    for i in range(count):
        if members[i].out == NULL:
            found[i] = None
    return found


cdef bytes with_room(bytes data, object limit, Member *member):
    """Bytes for what gzip bytes say that they were made of, and where that is to be put; None where it can not be."""
    member.data = <const uint8_t *>PyBytes_AS_STRING(data)
    member.size = PyBytes_GET_SIZE(data)
    member.room = 0
    member.out = NULL
    if member.size < HEADER + TRAILER:
        return None
    cdef size_t room = sp_load32(member.data + member.size - 4)
    cdef bytes found
    if room > limit or room > member.size * MOST or room > <size_t>PY_SSIZE_T_MAX:
        return None
    try:
        found = PyBytes_FromStringAndSize(NULL, room)
    except MemoryError:
        return None  # there may be less
    member.room = room
    member.out = <uint8_t *>PyBytes_AS_STRING(found)
    return found


cdef int inflate_all(Member *members, size_t count) except -1:
    """Inflate members; those that are not as they say have no `out` then."""
    cdef Inflater inflater = inflaters.take()
    cdef Member *member
    cdef size_t used, written, i
    cdef int status
    if inflater is None:
        inflater = Inflater()
    with nogil:
        for i in range(count):
            member = members + i
            if member.out != NULL:
                status = inflater.gunzip(member.data, member.size, &used, member.out, member.room, &written)
                if status != SP_OK or used != member.size or written != member.room:
                    member.out = NULL
    inflaters.give(inflater)
    return 0


def unpacked(bytes data, str hexdigest, object limit):
    """Return the bytes that gzip bytes were made of; None where these do not have the digest. BlockTooLargeError where
    there are more than `limit`, of which no more are made."""
    cdef Member member
    cdef bytes found = with_room(data, limit, &member)
    inflate_all(&member, 1)
    if member.out == NULL:
        found = None  # before there is as much again
        found = inflated_in_parts(data, limit)
    return found if found is not None and sha256(found).hexdigest() == hexdigest else None


cdef bytes inflated_in_parts(bytes data, object limit):
    """What gzip bytes were made of, whatever they say about it; None where they are damaged."""
    unpacker = zlib_ng.decompressobj(WINDOW)
    try:
        found = unpacker.decompress(data, limit + 1)
        if len(found) <= limit and (not unpacker.eof or unpacker.unused_data):
            found = bytearray()
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as members:
                # To be asked for all that may be there it takes memory for so many.
                while part := members.read(min(PART, limit + 1 - len(found))):
                    found += part
    except (zlib_ng.error, zlib.error, OSError, EOFError):
        return None
    if len(found) > limit:
        raise errors.BlockTooLargeError(f"the value has more than {limit} bytes, the limit of this store")
    return bytes(found)
