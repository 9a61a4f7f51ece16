"""A pipe as an Arrow stream: columns block, key and value of type large_binary, one row a pair.

Whoever takes the stream gets the memory of the batches, and gives it back through the release callbacks, which may be
called from any thread and without the GIL.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EINVAL, EIO, ENOMEM
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from smartpipe._codec cimport columns_repeat, sp_columns

from smartpipe import errors

cdef enum:
    COLUMNS = 3
    BUFFERS = 3  # of a column: bits of nulls, which there are none of, offsets and bytes

cdef int64_t NULLABLE = 2
cdef const char *STREAM = "arrow_array_stream"


cdef struct SchemaPart:
    ArrowSchema *children[3]
    ArrowSchema child[3]


cdef struct ArrayPart:
    const void *buffers[3]
    ArrowArray *children[3]
    ArrowArray child[3]
    PyObject *owner                # a Slice, which keeps what `buffers` point to


cdef object export(Gatherer source):
    """A capsule with a stream of everything that a source still has to give."""
    cdef Stream reading = Stream.__new__(Stream)
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>calloc(1, sizeof(ArrowArrayStream))
    if stream == NULL:
        raise MemoryError
    reading.source = source
    stream.get_schema = get_schema
    stream.get_next = get_next
    stream.get_last_error = get_last_error
    stream.release = release_stream
    stream.private_data = <void *>reading
    Py_INCREF(reading)
    try:
        return PyCapsule_New(stream, STREAM, drop)
    except BaseException:
        release_stream(stream)
        free(stream)
        raise


cdef void drop(object capsule) noexcept:
    """At the end of a capsule: of a stream that was taken over nothing but the memory of the structure is left."""
    cdef ArrowArrayStream *stream = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, STREAM)
    if stream.release != NULL:
        stream.release(stream)
    free(stream)


cdef void release_stream(ArrowArrayStream *stream) noexcept with gil:
    Py_DECREF(<object>stream.private_data)
    stream.release = NULL


cdef int get_schema(ArrowArrayStream *stream, ArrowSchema *out) noexcept nogil:
    cdef SchemaPart *part = <SchemaPart *>calloc(1, sizeof(SchemaPart))
    cdef const char *names[3]
    cdef int i
    memset(out, 0, sizeof(ArrowSchema))
    if part == NULL:
        return ENOMEM
    names[0] = b"block"
    names[1] = b"key"
    names[2] = b"value"
    for i in range(COLUMNS):
        part.child[i].format = b"Z"  # large_binary
        part.child[i].name = names[i]
        part.child[i].flags = NULLABLE
        part.child[i].release = release_field
        part.children[i] = &part.child[i]
    out.format = b"+s"  # a struct
    out.name = b""
    out.n_children = COLUMNS
    out.children = part.children
    out.release = release_schema
    out.private_data = part
    return 0


cdef void release_field(ArrowSchema *schema) noexcept nogil:
    schema.release = NULL


cdef void release_schema(ArrowSchema *schema) noexcept nogil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:
            schema.children[i].release(schema.children[i])
    free(schema.private_data)
    schema.release = NULL


cdef int get_next(ArrowArrayStream *stream, ArrowArray *out) noexcept with gil:
    cdef Stream reading = <Stream>stream.private_data
    memset(out, 0, sizeof(ArrowArray))
    if reading.error is None:
        try:
            reading.next(out)
            return 0
        except BaseException as error:
            # What comes behind an error that somebody overlooked would be short of a block.
            reading.error = reading.source.failure = error
            reading.message = (str(error) or type(error).__name__).encode(errors="replace").replace(b"\0", b" ")
            reading.memory = None
    if isinstance(reading.error, MemoryError):
        return ENOMEM
    return EINVAL if isinstance(reading.error, errors.ClosedError) else EIO


cdef const char *get_last_error(ArrowArrayStream *stream) noexcept with gil:
    cdef bytes message = (<Stream>stream.private_data).message
    return NULL if message is None else PyBytes_AS_STRING(message)


cdef void release_array(ArrowArray *array) noexcept with gil:
    cdef ArrayPart *part = <ArrayPart *>array.private_data
    cdef int64_t i
    for i in range(array.n_children):
        # One that was moved elsewhere has a life of its own.
        if array.children[i].release != NULL:
            array.children[i].release(array.children[i])
    if part.owner != NULL:
        Py_DECREF(<object>part.owner)
    free(part)
    array.release = NULL


cdef int begin(ArrowArray *array, int64_t length, int64_t offset, Slice owner) except -1:
    """An array that is released with its own release callback, still without buffers."""
    cdef ArrayPart *part = <ArrayPart *>calloc(1, sizeof(ArrayPart))
    if part == NULL:
        raise MemoryError
    array.length = length
    array.offset = offset
    array.buffers = part.buffers
    array.private_data = part
    array.release = release_array
    if owner is not None:
        Py_INCREF(owner)
        part.owner = <PyObject *>owner
    return 0


cdef class Stream:
    @cython.critical_section
    cdef int next(self, ArrowArray *out) except -1:
        """The next batch of rows; nothing where there is none."""
        cdef Slice rows
        cdef uint64_t count = 0, first
        cdef ArrayPart *part
        cdef int i
        while self.memory is None or self.row == self.memory.pairs:
            self.row = self.block = 0
            self.memory = None
            self.memory = self.source.gather()
            if self.memory is None:
                return 0
        first = self.row
        rows = self.slice(&count)
        begin(out, count, 0, None)
        try:
            part = <ArrayPart *>out.private_data
            out.n_buffers = 1
            out.children = part.children
            for i in range(COLUMNS):
                begin(&part.child[i], count, 0 if i == 0 else first, rows)
                part.children[i] = &part.child[i]
                out.n_children = i + 1
                part.child[i].n_buffers = BUFFERS
            part.child[0].buffers[1] = rows.offsets.data
            part.child[0].buffers[2] = rows.blocks.data
            part.child[1].buffers[1] = rows.memory.key_offsets.data
            part.child[1].buffers[2] = rows.memory.keys.data
            part.child[2].buffers[1] = rows.memory.value_offsets.data
            part.child[2].buffers[2] = rows.memory.values.data
        except BaseException:
            release_array(out)
            raise
        return 0

    cdef Slice slice(self, uint64_t *rows):
        """The next rows of the batch, as many as have block keys within the size of a batch, but at least one."""
        cdef Slice made = Slice.__new__(Slice)
        cdef const int64_t *pairs = <const int64_t *>self.memory.block_pairs.data
        cdef const int64_t *names = <const int64_t *>self.memory.block_key_offsets.data
        cdef uint64_t left = self.source.limit, count, length, fit
        cdef sp_columns columns
        made.memory = self.memory
        made.offsets = Buffer()
        made.blocks = Buffer()
        (<int64_t *>made.offsets.extend(sizeof(int64_t)))[0] = 0
        made.blocks.extend(0)
        rows[0] = 0
        while self.row < self.memory.pairs:
            count = <uint64_t>pairs[self.block + 1] - self.row
            length = names[self.block + 1] - names[self.block]
            fit = left // (length + sizeof(int64_t))
            if fit == 0:
                if rows[0] > 0:
                    break
                fit = 1
            count = min(count, fit)
            columns.key_end = made.blocks.size
            columns.key_ends = <int64_t *>made.offsets.extend(count * sizeof(int64_t))
            made.blocks.extend(count * length)
            columns.keys = made.blocks.data
            columns_repeat(self.memory.block_keys.data + names[self.block], length, count, &columns)
            left -= min(left, count * (length + sizeof(int64_t)))
            self.row += count
            rows[0] += count
            while self.row < self.memory.pairs and <uint64_t>pairs[self.block + 1] <= self.row:
                self.block += 1
        return made
