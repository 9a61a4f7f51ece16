"""Telling from their first bytes what files are."""

from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport (
    SP_ENTRY1, SP_FILE_HEADER, SP_FLAGS, SP_INDEX_HEADER, SP_LZ4, SP_MAGIC, SP_NONE, SP_OK, SP_RESERVED, SP_SHARD,
    SP_TRUNCATED, SP_ZLIB, SP_ZSTD, file_decode, file_encode, index_decode, sp_file, sp_index, words,
)

from smartpipe import errors
from smartpipe._platform import open_reading

INDEX_HEADER = SP_INDEX_HEADER
FILE_HEADER = SP_FILE_HEADER
ENTRY1 = SP_ENTRY1
ZSTD = SP_ZSTD
CODECS = {SP_NONE: "none", SP_ZLIB: "zlib", SP_ZSTD: "zstd", SP_LZ4: "lz4"}
CODECS_OF_FORMAT1 = (SP_NONE, SP_ZLIB)
DICTIONARY_MAGIC = b"\x37\xa4\x30\xec"  # RFC 8878, 5


def file_header(path):
    """Return what `header_of` does for the data file that has a name at this moment."""
    file = open_reading(path)
    try:
        return header_of(file, path)
    finally:
        file.close()


cdef bytes beginning(str path, size_t n):
    """The first n bytes of a file, fewer where it ends before."""
    file = open_reading(path)
    try:
        return file.read_at(0, n)
    finally:
        file.close()


def header_of(file, path):
    """Return (file id, codec number) of an open data file of format 2, (None, None) where it ends within the header,
    None for any other file. A header of another version, or a damaged one, is FormatError or CorruptError, and so is
    that of a shard FormatError."""
    return decoded(file, path, False)


def shard_header(file, path):
    """Return (file id, codec number) of an open shard of a store. A pipe that is none is FormatError, a damaged header
    CorruptError, and one that the file ends within TruncatedError."""
    header = decoded(file, path, True)
    if header is None:
        raise errors.CorruptError(f"the file header: {words(SP_MAGIC)}", path=path, offset=0)
    if header[0] is None:
        raise errors.TruncatedError("the file ends within its header", path=path, offset=file.size())
    return header


def file_header_bytes(uint64_t id, uint8_t codec, bint shard):
    """Return the bytes that a data file of format 2 begins with, a pipe's or a shard's."""
    cdef sp_file header
    cdef uint8_t[32] out
    header.id = id
    header.flags = SP_SHARD if shard else 0
    header.codec = codec
    file_encode(&header, out)
    return out[:SP_FILE_HEADER]


cdef object decoded(file, path, bint shard):
    cdef sp_file header
    cdef bytes start = file.read_at(0, SP_FILE_HEADER)
    cdef int status = file_decode(start, len(start), &header)
    if status == SP_OK and bool(header.flags & SP_SHARD) != shard:
        raise errors.FormatError("this is a pipe, and no shard of a store" if shard else
                                 "this is a shard of a store: smartpipe.ShardStore opens the folder it lies in",
                                 path=path)
    if status == SP_OK:
        return header.id, header.codec
    if status == SP_MAGIC:
        return None
    if status == SP_TRUNCATED:
        return None, None
    kind = errors.FormatError if status in (SP_FLAGS, SP_RESERVED) else errors.CorruptError
    raise kind(f"the file header: {words(status)}", path=path, offset=0)


def is_index(path):
    """Whether a file begins, as far as it goes, like an index of format 2; not where it is empty or there is none."""
    cdef sp_index index
    cdef bytes start
    try:
        start = beginning(path, SP_INDEX_HEADER)
    except FileNotFoundError:
        return False
    return start != b"" and index_decode(start, len(start), &index) != SP_MAGIC


def index_id(path):
    """Return the file id that an index file of format 2 names, None for any other file and where there is none."""
    cdef sp_index index
    cdef bytes start
    try:
        start = beginning(path, SP_INDEX_HEADER)
    except FileNotFoundError:
        return None
    return index.id if index_decode(start, len(start), &index) == SP_OK else None
