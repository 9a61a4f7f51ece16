"""Iterating over the blocks of a store that count: shard by shard, in the order of the files."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t

from smartpipe import errors

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)

# The memory of a batch of more bytes is planned alone. As in container/readahead.pyx.
cdef uint64_t MOST = 1 << 20


cdef uint64_t stretch(list numbers, uint64_t place) except? 0:
    """The number behind the blocks that lie behind one another from a place on."""
    cdef uint64_t number = numbers[place], count = len(numbers)
    while place + 1 < count and <uint64_t>numbers[place + 1] == number + 1:
        place += 1
        number += 1
    return number + 1


cdef class LiveAhead(Readahead):
    cdef Batch plan(self, uint64_t stop):
        cdef Batch batch = self.idle.pop() if self.idle else Batch()
        cdef uint64_t place = self.planned, number = self.numbers[place]
        batch.most_stored = batch.most_raw = min(MOST, max(self.most // (2 * self.threads), <uint64_t>1))
        batch.error = None
        batch.numbers = None
        batch.place = place
        try:
            self.layout.plan(batch, number, stretch(self.numbers, place))
        except errors.SmartPipeError as error:
            batch.error = error
            batch.next = max(batch.next, number + 1)
        self.planned = place + (batch.next - number)
        return batch


cdef class Items:
    def __init__(self, parts, stopped, frozenset select, handler, Py_ssize_t threads, uint64_t readahead):
        self.parts = parts
        self.stopped = stopped
        self.select = select
        self.handler = handler
        self.threads = threads
        self.readahead = readahead
        self.batch = self.nothing = Batch()

    def __iter__(self):
        return self

    @cython.critical_section
    def __next__(self):
        cdef Block block
        if self.running:
            raise ValueError("the iterator is used by another thread at this moment; give each thread its own")
        self.running = True
        try:
            self.stopped()
            # As in container/reader.pyx: a block that somebody keeps does not keep those that were read with it.
            if self.before is not None and Py_REFCNT(<PyObject *>self.before) > 1:
                self.before.detach()
            self.before = self.last
            self.last = None
            if self.at == len(self.batch.blocks):
                self.fill()
            block = self.batch.blocks[self.at]
            self.batch.blocks[self.at] = None
            self.at += 1
            self.place += 1
            self.last = block
        finally:
            self.running = False
        return block.key, block

    def __del__(self):
        self.leave()

    cdef int leave(self) except -1:
        """At the end: what somebody keeps keeps no neighbours."""
        if self.ahead is not None:
            self.ahead.stop()
            self.ahead = None
        self.layout = None
        self.batch.blocks.clear()
        self.at = 0
        if self.before is not None and Py_REFCNT(<PyObject *>self.before) > 1:
            self.before.detach()
        if self.last is not None and Py_REFCNT(<PyObject *>self.last) > 1:
            self.last.detach()
        self.before = self.last = None
        return 0

    cdef bint open_next(self) except -1:
        """Go on with the next shard; False where there is none."""
        part = next(self.parts, None)
        if part is None:
            return False
        if self.ahead is not None:
            self.ahead.stop()
            self.ahead = None
        self.layout, self.numbers = part
        self.place = self.careful = 0
        if self.threads > 1 and self.numbers:
            self.ahead = LiveAhead(self.layout, self.select, self.threads, self.readahead, True, None, 0, 0)
            self.ahead.numbers = self.numbers
        return True

    cdef int fill(self) except -1:
        cdef bint single
        while True:
            if self.layout is None or self.place == <uint64_t>len(self.numbers):
                if self.open_next():
                    continue
                break
            # A batch with a damaged block is read again one by one, so that the good ones before it come first.
            single = self.place < self.careful
            try:
                self.read(single)
                return 0
            except errors.SmartPipeError as error:
                self.batch.blocks.clear()
                if not single and self.batch.next - self.batch.first > 1:
                    self.careful = self.place + (self.batch.next - self.batch.first)
                    continue
                self.place += 1
                if self.handler is None or isinstance(error, (errors.ClosedError, errors.EngineError)):
                    raise
                self.handler(error)
            except BaseException:
                # Interrupted, or without memory: what is there of the batch was not checked.
                self.batch.blocks.clear()
                self.at = 0
                raise
        self.leave()
        raise StopIteration

    cdef int read(self, bint single) except -1:
        """The blocks that come next, or a single one."""
        cdef uint64_t number = self.numbers[self.place]
        cdef Batch batch
        self.at = 0
        if single or self.ahead is None:
            if self.ahead is not None:
                self.batch = Batch()  # as threads fill the last one again
            self.layout.fill(self.batch, number, number + 1 if single else stretch(self.numbers, self.place),
                             self.select)
            return 0
        self.batch = self.nothing
        batch = self.ahead.next(len(self.numbers))
        self.batch = batch
        self.careful = 0
        if batch.error is not None:
            raise batch.error
        return 0
