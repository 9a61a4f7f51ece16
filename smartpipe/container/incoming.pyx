"""Blocks out of an Arrow stream with columns block, key and value: neighbouring rows with one block key are one."""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport INT64_MAX
from libc.string cimport memcmp

from smartpipe._codec cimport (
    SP_OFFSETS32, SP_OFFSETS64, SP_VIEWS, bits_zero, sp_string_at, strings_check, strings_run,
)
from smartpipe.container.rows cimport Rows

# The formats that Arrow has for byte strings, and how their strings lie in memory.
FORMATS = {
    "z": SP_OFFSETS32, "Z": SP_OFFSETS64, "vz": SP_VIEWS, "u": SP_OFFSETS32, "U": SP_OFFSETS64, "vu": SP_VIEWS,
}
# What other types are called, by how their formats begin.
TYPES = {
    "n": "null", "b": "bool", "c": "int8", "C": "uint8", "s": "int16", "S": "uint16", "i": "int32", "I": "uint32",
    "l": "int64", "L": "uint64", "e": "float16", "f": "float32", "g": "float64", "d": "decimal",
    "w": "fixed-size binary", "td": "date", "tt": "time", "ts": "timestamp", "tD": "duration", "ti": "interval",
    "+l": "list", "+L": "large list", "+v": "list view", "+w": "fixed-size list", "+s": "struct", "+m": "map",
    "+u": "union", "+r": "run-end encoded",
}
WANTED = "binary or string, large_binary or large_string, binary_view or string_view"


cdef str name_of(ArrowSchema *field):
    """The name of a column, which may have none."""
    return "" if field.name == NULL else (<bytes>field.name).decode(errors="replace")


cdef str type_of(str form):
    """What a type is called that Arrow has a format for."""
    return TYPES.get(form[:2]) or TYPES.get(form[:1]) or f"the type with Arrow's format {form!r}"


cdef class Chunk:
    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)


cdef class Field:
    cdef int bind(self, ArrowArray *parent) except -1:
        """Look at the rows of a chunk."""
        cdef ArrowArray *array = parent.children[self.child]
        cdef int width = 16 if self.strings.kind == SP_VIEWS else 8 if self.strings.kind == SP_OFFSETS64 else 4
        cdef int64_t views = 0, size = INT64_MAX, good = 0
        cdef const int64_t *sizes = NULL
        if array.offset < 0 or array.length - parent.offset < parent.length or array.n_buffers < 3 or (
                array.buffers[1] == NULL and parent.length > 0):
            raise ValueError(f"the column {self.name} is damaged: {array.length} rows in {array.n_buffers} buffers, "
                             f"for a batch of {parent.length} from row {parent.offset} on")
        self.first = parent.offset + array.offset
        self.valid = NULL
        if array.null_count != 0:
            self.valid = <const uint8_t *>array.buffers[0]
        self.strings.places = <const uint8_t *>array.buffers[1] + self.first * width
        if self.strings.kind == SP_VIEWS:
            views = array.n_buffers - 3
            self.strings.buffers = <const uint8_t *const *>(array.buffers + 2)
            sizes = <const int64_t *>array.buffers[array.n_buffers - 1]
        else:
            self.strings.data = <const uint8_t *>array.buffers[2]
            size = INT64_MAX if self.strings.data != NULL else 0
        good = strings_check(&self.strings, 0, parent.length, size, views, sizes)
        if good < parent.length:
            raise ValueError(f"the column {self.name} is damaged at row {good} of a batch of {parent.length}")
        return 0

    cdef uint64_t null_row(self, uint64_t start, uint64_t stop) noexcept:
        """The first null of some rows, `stop` where there is none."""
        if self.valid == NULL:
            return stop
        return bits_zero(self.valid, self.first + start, self.first + stop) - self.first


cdef class Incoming:
    """The iterator over (key, rows) of the blocks of a stream."""

    def __init__(self, data, uint64_t limit):
        if not hasattr(data, "__arrow_c_stream__"):
            raise TypeError("write_arrow takes what has __arrow_c_stream__, as a pyarrow.Table or polars.DataFrame, "
                            f"not {type(data).__name__}")
        self.limit = limit
        self.capsule = data.__arrow_c_stream__()
        self.stream = <ArrowArrayStream *>PyCapsule_GetPointer(self.capsule, "arrow_array_stream")
        if self.stream.release == NULL:
            raise ValueError("the stream was used up")
        cdef int code
        with nogil:
            code = self.stream.get_schema(self.stream, &self.schema)
        self.check(code)
        names = []
        if (<bytes>self.schema.format) == b"+s":
            names = [name_of(self.schema.children[i]) for i in range(self.schema.n_children)]
        if sorted(names) != ["block", "key", "value"]:
            form = (<bytes>self.schema.format).decode(errors="replace")
            found = ", ".join(names) if form == "+s" else f"no table, but a column of {type_of(form)}"
            raise ValueError(f"expected the columns block, key and value, found {found}; there is one row for each "
                             "pair: unpivot a table that has a column for each field")
        self.block = self.field(names, "block")
        self.key = self.field(names, "key")
        self.value = self.field(names, "value")

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)

    def field(self, names, str name):
        """Return a column, by its name."""
        cdef Field field = Field.__new__(Field)
        field.name = name
        field.child = names.index(name)
        cdef ArrowSchema *schema = self.schema.children[field.child]
        form = (<bytes>schema.format).decode(errors="replace")
        if schema.dictionary != NULL:
            raise TypeError(f"the column {name} is dictionary-encoded; expected {WANTED}: cast it")
        if form not in FORMATS:
            raise TypeError(f"the column {name} is {type_of(form)}; expected {WANTED}: cast it")
        field.strings.kind = FORMATS[form]
        return field

    cdef int check(self, int code) except -1:
        cdef const char *message
        if code != 0:
            message = self.stream.get_last_error(self.stream) if self.stream.get_last_error != NULL else NULL
            words = os.strerror(code) if message == NULL else (<bytes>message).decode(errors="replace")
            raise OSError(code, f"the Arrow stream failed: {words}")
        return 0

    cdef bint advance(self) except -1:
        """Look at the next chunk; False at the end."""
        cdef Chunk chunk = Chunk.__new__(Chunk)
        cdef int code
        PyErr_CheckSignals()  # a block may have very many chunks
        self.before += self.rows
        self.rows = self.row = 0
        self.chunk = None
        with nogil:
            code = self.stream.get_next(self.stream, &chunk.array)
        self.check(code)
        if chunk.array.release == NULL:
            return False
        if chunk.array.length < 0 or chunk.array.offset < 0 or chunk.array.n_children != self.schema.n_children:
            raise ValueError(f"a batch is damaged: {chunk.array.length} rows from row {chunk.array.offset} on, "
                             f"{chunk.array.n_children} columns")
        if chunk.array.null_count != 0 and chunk.array.n_buffers > 0 and chunk.array.buffers[0] != NULL:
            self.refuse_null_rows(chunk)
        self.block.bind(&chunk.array)
        self.key.bind(&chunk.array)
        self.value.bind(&chunk.array)
        self.chunk = chunk
        self.rows = chunk.array.length
        return True

    def refuse_null_rows(self, Chunk chunk):
        """ValueError where a row as a whole is null."""
        cdef uint64_t first = chunk.array.offset, stop = first + chunk.array.length
        cdef uint64_t found = bits_zero(<const uint8_t *>chunk.array.buffers[0], first, stop)
        if found < stop:
            raise ValueError(f"row {self.before + found - first} is null")

    def __iter__(self):
        return self

    def __next__(self):
        cdef Rows rows = None
        cdef bytes key = None
        cdef const uint8_t *name
        cdef uint64_t length, stop
        while True:
            while self.row == self.rows:
                if not self.advance():
                    if rows is None:
                        raise StopIteration
                    return key, rows
            stop = self.block.null_row(self.row, self.rows)
            if stop == self.row:
                if rows is not None:
                    return key, rows
                raise ValueError(f"row {self.before + self.row}: the block key is null")
            name = sp_string_at(&self.block.strings, self.row, &length)
            if rows is None:
                key = PyBytes_FromStringAndSize(<char *>name, length)
                rows = Rows()
            elif length != <uint64_t>PyBytes_GET_SIZE(key) or (
                    length > 0 and memcmp(name, PyBytes_AS_STRING(key), length) != 0):
                return key, rows
            stop = strings_run(&self.block.strings, self.row, stop)
            for field in (self.key, self.value):
                found = (<Field>field).null_row(self.row, stop)
                if found < stop:
                    raise ValueError(f"row {self.before + found}, of block {key!r}: the {(<Field>field).name} is null")
            rows.add(&self.key.strings, &self.value.strings, self.row, stop, self.chunk)
            self.row = stop
            if self.row < self.rows or rows.raw > self.limit:
                return key, rows  # it is whole, or too large anyway
