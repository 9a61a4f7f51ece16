"""Pairs as columns: batches of numpy arrays, which are also a stream of Arrow."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES
from libc.stdint cimport int64_t

from smartpipe._codec cimport Buffer
from smartpipe.container.arrow cimport export
from smartpipe.container.gather cimport Memory

from smartpipe.container.position import Position


cdef class Part:
    """A buffer of a batch, for numpy: bytes, or the integers of offsets. It keeps the memory of the batch."""
    cdef Memory memory
    cdef Buffer buffer
    cdef bint offsets
    cdef Py_ssize_t[1] shape
    cdef Py_ssize_t[1] strides

    def __getbuffer__(self, Py_buffer *view, int flags):
        view.obj = self
        view.buf = self.buffer.data
        view.len = self.buffer.size
        view.itemsize = self.strides[0]
        view.readonly = False
        view.ndim = 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = <char *>b"q" if self.offsets else <char *>b"B"
        view.shape = self.shape if flags & PyBUF_ND else NULL
        view.strides = self.strides if flags & PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL


cdef Part part(Memory memory, Buffer buffer, bint offsets):
    cdef Part made = Part.__new__(Part)
    made.memory = memory
    made.buffer = buffer
    made.offsets = offsets
    made.strides[0] = sizeof(int64_t) if offsets else 1
    made.shape[0] = <Py_ssize_t>buffer.size // made.strides[0]
    return made


cdef class Columns:
    """Whole blocks, one after another, as numpy arrays over a few buffers. See `Reader.columns`.

    With B blocks and N pairs:

    - `block_keys`, uint8, and `block_key_offsets`, int64 of shape (B + 1,): block b has the key
      `block_keys[block_key_offsets[b]:block_key_offsets[b + 1]]`;
    - `block_pairs`, int64 of shape (B + 1,): it has the pairs from number `block_pairs[b]` to before
      `block_pairs[b + 1]`;
    - `keys`, uint8, and `key_offsets`, int64 of shape (N + 1,): the keys of the pairs in the same way;
    - `values`, uint8, and `value_offsets`, int64 of shape (N + 1,): their values.

    `len` is N, `blocks` is B, `batch[i]` pair i as (block key, key, value), of bytes. The arrays belong to whoever has
    them, and may be changed; as long as one of them lives, so does the memory of all.
    """
    cdef Memory memory
    cdef readonly object block_keys
    cdef readonly object block_key_offsets
    cdef readonly object block_pairs
    cdef readonly object keys
    cdef readonly object key_offsets
    cdef readonly object values
    cdef readonly object value_offsets

    def __init__(self):
        raise TypeError("columns come from a reader")

    @property
    def blocks(self):
        """The number of blocks."""
        return self.memory.blocks

    def __len__(self):
        return self.memory.pairs

    def __getitem__(self, Py_ssize_t number):
        cdef Py_ssize_t i = number if number >= 0 else number + len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"pair {number} of a batch of {len(self)}")
        block = self.block_pairs.searchsorted(i, side="right") - 1
        return (_row(self.block_keys, self.block_key_offsets, block), _row(self.keys, self.key_offsets, i),
                _row(self.values, self.value_offsets, i))

    def __repr__(self):
        return f"<smartpipe.Columns of {self.blocks} blocks, {len(self)} pairs>"


def _row(data, offsets, i):
    return data[offsets[i]:offsets[i + 1]].tobytes()


cdef class Batches(Gatherer):
    """The iterator over the columns of a pipe. What it still has to give can instead be taken over as an Arrow stream,
    by anything that asks it for `__arrow_c_stream__`."""

    def __init__(self, items, numpy, limit):
        Gatherer.__init__(self, items, limit, False)
        self.numpy = numpy

    def __iter__(self):
        return self

    @property
    def position(self):
        """The `Position` from which `start` goes on behind what was given so far."""
        with cython.critical_section(self):
            begun = self.begun if self.partial is not None else None
            failed = self.error is not None
        if begun is not None:
            return begun
        position = self.items.position
        # The block whose error comes next is behind the iterator already.
        if not failed:
            return position
        return Position(position - 1, id=position.id, first=position.first, seed=position.seed, blocks=position.blocks)

    def __next__(self):
        cdef Memory memory = self.gather()
        if memory is None:
            raise StopIteration
        array = self.numpy.asarray
        cdef Columns columns = Columns.__new__(Columns)
        columns.memory = memory
        columns.block_keys = array(part(memory, memory.block_keys, False))
        columns.block_key_offsets = array(part(memory, memory.block_key_offsets, True))
        columns.block_pairs = array(part(memory, memory.block_pairs, True))
        columns.keys = array(part(memory, memory.keys, False))
        columns.key_offsets = array(part(memory, memory.key_offsets, True))
        columns.values = array(part(memory, memory.values, False))
        columns.value_offsets = array(part(memory, memory.value_offsets, True))
        return columns

    def __arrow_c_stream__(self, requested_schema=None):
        if self.ended:
            raise ValueError("an Arrow stream is read once, and this one was: ask the reader for another, columns()")
        self.repeats = True
        return export(self)
