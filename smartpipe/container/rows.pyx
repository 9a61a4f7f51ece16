"""The pairs of a block as rows of columns, on their way into an encoder: no pair becomes an object."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX, UINT64_MAX, uint8_t

from smartpipe._codec cimport (
    SP_OFFSETS32, SP_OFFSETS64, SP_PAIR_LENGTHS, rows_measure, sp_offset_at, sp_rows_sizes, sp_string_at, strings_check,
)


cdef class Strings:
    """Built of (offsets, data), or with `data` False of offsets alone, whose strings are then not looked at.

    Offsets are int64 or int32: row i goes from offset i to offset i + 1 of the data. ValueError where they do not lie
    in the data, each at or behind the one before it.
    """

    def __init__(self, column, str what, bint data=True):
        cdef uint64_t good
        offsets = column
        if data:
            try:
                offsets, content = column
            except (TypeError, ValueError):
                raise TypeError(f"{what} is a tuple (offsets, data), not {column!r:.80}") from None
            take(content, &self.data, PyBUF_SIMPLE, f"the data of {what}", "bytes")
        take(offsets, &self.places, PyBUF_FORMAT | PyBUF_ND, f"the offsets of {what}",
             "int64 or int32, one behind another")
        form = "" if self.places.format == NULL else (<bytes>self.places.format).decode()
        if self.places.ndim != 1 or form.lstrip("@=<") not in ("q", "l", "i") or self.places.itemsize not in (4, 8):
            raise TypeError(f"the offsets of {what} are int64 or int32 in one dimension, not {form!r} in "
                            f"{self.places.ndim}")
        if self.places.len == 0:
            raise ValueError(f"{what} has no offsets: of no rows they are one, 0")
        self.c.kind = SP_OFFSETS64 if self.places.itemsize == 8 else SP_OFFSETS32
        self.c.places = <const uint8_t *>self.places.buf
        self.c.data = <const uint8_t *>self.data.buf
        self.count = <uint64_t>(self.places.len // self.places.itemsize) - 1
        size = self.data.len if data else INT64_MAX
        end = f"{size}, where the data ends" if data else "the number of pairs"
        first = sp_offset_at(&self.c, 0)
        if not 0 <= first <= size:
            raise ValueError(f"offset 0 of {what} is {first}, not within {size} bytes of data" if data else
                             f"offset 0 of {what} is {first}, not 0")
        good = strings_check(&self.c, 0, self.count, size, 0, NULL)
        if good < self.count:
            raise ValueError(f"offset {good + 1} of {what} is {sp_offset_at(&self.c, good + 1)}, not from "
                             f"{sp_offset_at(&self.c, good)}, the one before it, to {end}")

    def __dealloc__(self):
        PyBuffer_Release(&self.places)
        PyBuffer_Release(&self.data)

    cdef bytes at(self, uint64_t row):
        cdef uint64_t length
        cdef const uint8_t *p = sp_string_at(&self.c, row, &length)
        return PyBytes_FromStringAndSize(<char *>p, length)


cdef int take(object source, Py_buffer *view, int flags, str what, str wanted) except -1:
    try:
        PyObject_GetBuffer(source, view, flags)
    except (TypeError, BufferError, ValueError):
        raise TypeError(f"{what} are a {type(source).__name__}, not {wanted}, with the buffer protocol") from None
    return 0


cdef class Rows:
    def __cinit__(self):
        self.pieces = Buffer()
        self.owners = []

    cdef int add(self, const sp_strings *keys, const sp_strings *values, uint64_t start, uint64_t stop,
                 object owner) except -1:
        """Add rows from `start` to before `stop`; `owner` keeps their memory."""
        cdef sp_rows *rows = <sp_rows *>self.pieces.extend(sizeof(sp_rows))
        cdef sp_rows_sizes sizes
        rows.keys = keys[0]
        rows.values = values[0]
        rows.start = start
        rows.stop = stop
        sizes = rows_measure(rows, UINT64_MAX)
        self.count += 1
        self.key_bytes += sizes.key_bytes
        self.pairs += stop - start
        self.raw += SP_PAIR_LENGTHS * (stop - start) + sizes.key_bytes + sizes.value_bytes
        self.owners.append(owner)
        return 0
