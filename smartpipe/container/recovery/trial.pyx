"""The file id of a data file of format 2 whose own header does not tell it any more, found out from its records."""

from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport (
    SP_FILE_HEADER, SP_OK, SP_RECORD_HEADER, crc32, mark_id, record_decode, record_mark, record_search,
    sp_key_position, sp_record,
)
from smartpipe.container.walk cimport Walk

# So many places that look like records are asked. Those that are none, as in the value of a pair, do not agree with
# each other.
cdef size_t MOST = 4096
cdef size_t STEP = 64 << 10


def find_id(Walk walk, guess):
    """Return an id with which records of the file are good: `guess` where it is one, None where no record is found.

    It may be another than the file had; its records can not tell them apart.
    """
    cdef dict places = {}
    cdef size_t n, at, hits = 0
    cdef uint64_t offset = SP_FILE_HEADER
    cdef const uint8_t *p
    while hits < MOST and walk.size > offset and walk.size - offset >= SP_RECORD_HEADER:
        n = min(STEP, walk.size - offset)
        p = walk.need(offset, n)
        at = record_search(p, n, 0)
        while at + SP_RECORD_HEADER <= n and hits < MOST:
            hits += 1
            places.setdefault(record_mark(p + at, offset + at), []).append(offset + at)
            at = record_search(p, n, at + 1)
        offset += n if n == walk.size - offset else n - SP_RECORD_HEADER + 1
    best, most = None, 0
    for mark, found in places.items():
        id = mark_id(mark)
        # Of a pipe that is a value in this one there may be more records, but they lie within those of this one.
        total = sum([record_size(walk, place, id) for place in found])
        if total > most:
            best, most = id, total
            if guess is not None and record_size(walk, found[0], guess) > 0:
                best = guess
    return best


cdef uint64_t record_size(Walk walk, uint64_t offset, uint64_t id) except? 0:
    """The size of a record whose header, directory and key are good with an id; 0 where they are not."""
    cdef sp_record record
    cdef size_t n
    if record_decode(walk.need(offset, SP_RECORD_HEADER), SP_RECORD_HEADER, id, offset, &record) != SP_OK:
        return 0
    n = sp_key_position(&record) + record.key_length
    if n > walk.size - offset:
        return 0
    return record.size if crc32(walk.need(offset, n) + SP_RECORD_HEADER, n - SP_RECORD_HEADER) == record.lead_crc else 0
