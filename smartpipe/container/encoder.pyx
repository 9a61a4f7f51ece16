"""Pairs into the bytes of a block: gathered one by one, then compressed without the GIL."""

from collections.abc import Mapping

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, UINT64_MAX
from libc.string cimport memcpy, memset

from smartpipe._codec cimport (
    SP_BLOCK, SP_DIRECTORY_ENTRY, SP_FULL, SP_NONE, SP_OK, SP_PAIR_LENGTHS, SP_RECORD_HEADER, crc32,
    directory_encode, rows_measure, rows_put_format1, rows_put_head, rows_put_larges, sp_copy, sp_head,
    sp_key_position, sp_lead_size, sp_rows, sp_rows_sizes, sp_segment, sp_store32,
)
from smartpipe.container.block cimport as_bytes

from smartpipe import errors

# A head up to this size is compressed with what is quickest at every level but 9: building better tables takes longer
# than the rest of such a block, to read and to write. Measured in docs/benchmarks/README.md, «Small heads», and
# docs/engines.md.
cdef uint64_t QUICK = 4096
# A plain block of up to so many bytes is put together without giving the GIL up, which would take longer.
cdef uint64_t SMALL = 16 << 10
# Memory for so many bytes is kept for the next block, and that for more where this block needed it: a writer with
# threads has hundreds of encoders, each of which meets a large block at some time.
cdef uint64_t KEPT = 64 << 10


cdef class Encoder:
    def __init__(self, uint64_t limit, uint8_t codec):
        self.limit = limit
        self.codec = codec
        self.out = Buffer()

    def fill(self, pairs):
        """Take over all pairs of a mapping, or of an iterable of pairs, or of rows."""
        if isinstance(pairs, dict):
            for key, value in (<dict>pairs).items():
                self.add(key, value)
            return
        if isinstance(pairs, Rows):
            self.add_rows(pairs)
            return
        if isinstance(pairs, (bytes, str)):
            raise TypeError(f"pairs are a mapping or an iterable of (key, value), not {type(pairs).__name__}")
        if not isinstance(pairs, (list, tuple)) and isinstance(pairs, Mapping):
            pairs = pairs.items()
        for pair in pairs:
            try:
                key, value = pair
            except (TypeError, ValueError):
                raise TypeError(f"a pair is (key, value), not {pair!r:.80}") from None
            self.add(key, value)

    cdef int add(self, object key, object value) except -1:
        """Take over a pair; BlockTooLargeError, with nothing taken, where the block would grow too large."""
        cdef bytes name = as_bytes(key, "the key of a pair")
        cdef bytes content = as_bytes(value, "the value of a pair")
        cdef uint64_t raw = self.raw + SP_PAIR_LENGTHS + PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(content)
        if raw > self.limit:
            raise errors.BlockTooLargeError(
                f"with the pair {name[:80]!r} of {len(content)} bytes the block has {raw}, more than max_block_size, "
                f"{self.limit}")
        if self.pairs == UINT32_MAX:
            raise errors.BlockTooLargeError(f"more than {UINT32_MAX} pairs")
        self.put(name, content)
        self.raw = raw
        self.pairs += 1
        return 0

    cdef int add_rows(self, Rows rows) except -1:
        """Take over all pairs of a block; BlockTooLargeError, with nothing taken, where it would grow too large."""
        if rows.raw > self.limit:
            raise errors.BlockTooLargeError(f"{rows.raw} bytes, more than max_block_size, {self.limit}")
        self.put_rows(rows)
        self.raw = rows.raw
        self.pairs = <uint32_t>rows.pairs
        return 0

    cdef int put_rows(self, Rows rows) except -1:
        raise TypeError("an encoder is of a format")

    cdef int clear(self) except -1:
        """Forget the pairs, to begin anew."""
        self.out.empty(self.most_kept())
        self.raw = 0
        self.pairs = 0
        return 0

    cdef size_t most_kept(self) noexcept:
        return max(KEPT, 4 * self.raw)

    cdef int put(self, bytes key, bytes value) except -1:
        raise TypeError("an encoder is of a format")

    cdef int encode(self, bytes block, Compressor compressor) except -1:
        """Make the bytes for the data file in `out`."""
        raise TypeError("an encoder is of a format")

    cdef int prove(self, Compressor compressor) except -1:
        """Inflate what `encode` compressed; EngineError where that is not what was put in."""
        raise TypeError("an encoder is of a format")


cdef class Encoder1(Encoder):
    """Format 1: pairs one after another, compressed as one stream."""

    def __init__(self, uint64_t limit, uint8_t codec):
        Encoder.__init__(self, limit, codec)
        # Without compression the pairs are gathered where they are written from.
        self.data = Buffer() if codec != SP_NONE else self.out

    cdef int clear(self) except -1:
        self.data.empty(self.most_kept())
        return Encoder.clear(self)

    cdef int put(self, bytes key, bytes value) except -1:
        sp_store32(self.data.extend(4), <uint32_t>PyBytes_GET_SIZE(key))
        self.data.append(PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        sp_store32(self.data.extend(4), <uint32_t>PyBytes_GET_SIZE(value))
        self.data.append(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return 0

    cdef int put_rows(self, Rows rows) except -1:
        cdef sp_rows *piece = <sp_rows *>rows.pieces.data
        cdef uint8_t *out = self.data.extend(rows.raw)
        cdef uint64_t i
        with nogil:
            for i in range(rows.count):
                out = rows_put_format1(&piece[i], out)
        return 0

    cdef int encode(self, bytes block, Compressor compressor) except -1:
        cdef size_t n = self.data.size, room = n + (n >> 3) + 64, written = 0
        cdef int status = SP_FULL
        if self.codec == SP_NONE or n == 0:
            return 0
        while status == SP_FULL:
            self.out.reserve(room)
            with nogil:
                status = compressor.deflater.deflate(self.data.data, n, self.out.data, room, &written)
            room *= 2
        if status != SP_OK:
            raise MemoryError
        self.out.size = written
        return 0

    cdef int prove(self, Compressor compressor) except -1:
        if self.codec != SP_NONE and self.data.size > 0:
            compressor.prove(self.out.data, self.out.size, self.data.data, self.data.size, "the compressed block")
        return 0


cdef class Encoder2(Encoder):
    """Format 2: small values with all keys in the head, large ones in segments of their own."""

    def __init__(self, uint64_t limit, uint8_t codec):
        Encoder.__init__(self, limit, codec)
        self.key_lengths = Buffer()
        self.value_lengths = Buffer()
        self.keys = Buffer()
        self.small = Buffer()
        self.head = Buffer()
        self.segments = Buffer()
        self.pointers = Buffer()
        self.large = []

    cdef int clear(self) except -1:
        cdef size_t most = self.most_kept()
        for buffer in (self.key_lengths, self.value_lengths, self.keys, self.small, self.head, self.segments,
                       self.pointers):
            (<Buffer>buffer).empty(most)
        self.large.clear()
        self.large_raw = 0
        self.rows = None
        return Encoder.clear(self)

    cdef int put(self, bytes key, bytes value) except -1:
        cdef size_t key_length = PyBytes_GET_SIZE(key), length = PyBytes_GET_SIZE(value)
        cdef sp_segment *segment
        sp_store32(self.key_lengths.extend(4), <uint32_t>key_length)
        sp_store32(self.value_lengths.extend(4), <uint32_t>length)
        self.keys.append(PyBytes_AS_STRING(key), key_length)
        if length < LARGE:
            self.small.append(PyBytes_AS_STRING(value), length)
            return 0
        segment = <sp_segment *>self.segments.extend(sizeof(sp_segment))
        memset(segment, 0, sizeof(sp_segment))
        segment.pair = self.pairs
        segment.raw = <uint32_t>length
        (<const char **>self.pointers.extend(sizeof(char *)))[0] = PyBytes_AS_STRING(value)
        self.large.append(value)
        self.large_raw += length
        return 0

    cdef int put_rows(self, Rows rows) except -1:
        cdef sp_rows *piece = <sp_rows *>rows.pieces.data
        cdef sp_rows_sizes sizes
        cdef sp_segment *segments
        cdef const uint8_t **pointers
        cdef uint32_t pair = 0
        cdef uint64_t i
        for i in range(rows.count):
            sizes = rows_measure(&piece[i], LARGE)
            segments = <sp_segment *>self.segments.extend(sizes.larges * sizeof(sp_segment))
            pointers = <const uint8_t **>self.pointers.extend(sizes.larges * sizeof(uint8_t *))
            if sizes.larges > 0:
                rows_put_larges(&piece[i], LARGE, pair, segments, pointers)
            pair += <uint32_t>(piece[i].stop - piece[i].start)
            self.large_raw += sizes.value_bytes - sizes.small_bytes
        self.rows = rows
        return 0

    cdef void put_head(self, uint8_t *to) noexcept nogil:
        """Write the head, `raw` without the large values."""
        cdef sp_rows *piece
        cdef sp_head head
        cdef uint64_t i
        head.key_lengths = to
        head.value_lengths = head.key_lengths + 4 * <size_t>self.pairs
        head.keys = head.value_lengths + 4 * <size_t>self.pairs
        if self.rows is not None:
            piece = <sp_rows *>self.rows.pieces.data
            head.small = head.keys + self.rows.key_bytes
            for i in range(self.rows.count):
                rows_put_head(&piece[i], LARGE if self.large_raw > 0 else UINT64_MAX, &head)
            return
        head.small = head.keys + self.keys.size
        sp_copy(head.key_lengths, self.key_lengths.data, self.key_lengths.size)
        sp_copy(head.value_lengths, self.value_lengths.data, self.value_lengths.size)
        sp_copy(head.keys, self.keys.data, self.keys.size)
        sp_copy(head.small, self.small.data, self.small.size)

    cdef int encode(self, bytes block, Compressor compressor) except -1:
        self.out.size = 0
        return self.encode_to(self.out, block, compressor)

    cdef int encode_to(self, Buffer out, bytes block, Compressor compressor) except -1:
        """Append the record to a buffer; an error leaves it as it was."""
        cdef sp_record *record = &self.record
        cdef sp_segment *segments = <sp_segment *>self.segments.data
        cdef uint64_t key_length = PyBytes_GET_SIZE(block), position
        cdef size_t most
        cdef int status
        cdef Deflater deflater
        cdef uint8_t *head
        cdef uint8_t *to
        cdef size_t before = out.size
        memset(record, 0, sizeof(sp_record))
        record.kind = SP_BLOCK
        record.codec = self.codec
        record.dictionary = compressor.number
        record.pairs = self.pairs
        record.larges = <uint32_t>(self.segments.size // sizeof(sp_segment))
        record.key_length = <uint32_t>key_length
        most = SP_RECORD_HEADER + SP_DIRECTORY_ENTRY * <size_t>record.larges + key_length + self.raw
        if most > UINT32_MAX:
            raise errors.BlockTooLargeError(f"a record of {most} bytes with its key, more than {UINT32_MAX}",
                                            block=block)
        record.head_raw = <uint32_t>(self.raw - self.large_raw)
        to = out.extend(most)
        out.size = before
        position = sp_key_position(record)
        memcpy(to + position, PyBytes_AS_STRING(block), key_length)
        position += key_length
        deflater = compressor.quick if record.head_raw <= QUICK else compressor.deflater
        if self.codec == SP_NONE:
            head = to + position  # put together where it is written from
        else:
            self.head.size = 0
            head = self.head.extend(record.head_raw)
        if self.codec == SP_NONE and self.raw <= SMALL:
            status = self.put_segments(deflater, compressor.deflater, head, to, &position)
        else:
            with nogil:
                status = self.put_segments(deflater, compressor.deflater, head, to, &position)
        if status != SP_OK:
            raise MemoryError
        directory_encode(segments, record.larges, to + SP_RECORD_HEADER)
        record.lead_crc = crc32(to + SP_RECORD_HEADER, sp_lead_size(record) - record.head_stored
                                - SP_RECORD_HEADER)
        out.size = before + position
        record.size = <uint32_t>position
        return 0

    cdef int put_segments(self, Deflater quick, Deflater deflater, uint8_t *head, uint8_t *to,
                          uint64_t *position) noexcept nogil:
        """Put the head together, and it and the large values at a position of the record, which moves behind them."""
        cdef sp_segment *segments = <sp_segment *>self.segments.data
        cdef uint64_t stored = self.record.head_raw
        cdef uint32_t i
        cdef int status = SP_OK
        self.put_head(head)
        if self.codec != SP_NONE:
            stored = self.store(quick, head, stored, to + position[0], &status)
        self.record.head_stored = <uint32_t>stored
        self.record.head_crc = crc32(to + position[0], stored)
        position[0] += stored
        for i in range(self.record.larges):
            if status != SP_OK:
                break
            stored = self.store(deflater, (<const uint8_t **>self.pointers.data)[i], segments[i].raw, to + position[0],
                                &status)
            segments[i].stored = <uint32_t>stored
            segments[i].crc = crc32(to + position[0], stored)
            position[0] += stored
        return status

    cdef int prove(self, Compressor compressor) except -1:
        cdef sp_record *record = &self.record
        cdef sp_segment *segments = <sp_segment *>self.segments.data
        cdef uint64_t position = sp_lead_size(record) - record.head_stored
        cdef uint32_t i
        if record.head_stored < record.head_raw:
            compressor.prove(self.out.data + position, record.head_stored, self.head.data, self.head.size,
                             "the compressed head")
        position += record.head_stored
        for i in range(record.larges):
            if segments[i].stored < segments[i].raw:
                compressor.prove(self.out.data + position, segments[i].stored,
                                 (<const uint8_t **>self.pointers.data)[i], segments[i].raw,
                                 f"the compressed value of pair {segments[i].pair}")
            position += segments[i].stored
        return 0

    cdef uint64_t store(self, Deflater deflater, const uint8_t *p, uint64_t n, uint8_t *out,
                        int *status) noexcept nogil:
        """Put a segment into `out`, which has room for n bytes: compressed where that is smaller. Returns its size."""
        cdef size_t written = 0
        if self.codec != SP_NONE and n > 0:
            status[0] = deflater.deflate(p, n, out, n - 1, &written)
            if status[0] != SP_FULL:
                return written
            status[0] = SP_OK
        if n > 0:
            memcpy(out, p, n)
        return n


cdef class Encoders:
    def __init__(self, int format, uint64_t limit, uint8_t codec):
        self.format = format
        self.limit = limit
        self.codec = codec
        self.idle = Pool()

    cdef Encoder take(self):
        """An empty one that nobody uses."""
        cdef Encoder encoder = self.idle.take()
        if encoder is None:
            return (Encoder1 if self.format == 1 else Encoder2)(self.limit, self.codec)
        return encoder

    cdef int give(self, Encoder encoder) except -1:
        # Now, not when it is taken again: what it holds may be large.
        encoder.clear()
        return self.idle.give(encoder)
