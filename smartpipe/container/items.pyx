"""Iterating over blocks: they are read many at a time and given out one by one."""

cimport cython
from cpython.ref cimport PyObject

from smartpipe import errors

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)


cdef int check_handled(error, handler) except -1:
    """Raise the error of a block that can not be read, where no handler lets it be left out."""
    # A missing engine is no damage of the block.
    if handler is None or isinstance(error, (errors.ClosedError, errors.EngineError)):
        raise error
    return 0


cdef class Items:
    def __cinit__(self):
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
            self.check_open()
            # The caller's loop variable still holds the last block; the one before it lives on only where somebody
            # keeps it, and then does not keep those that were read with it.
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
        self.batch.blocks.clear()
        self.at = 0
        if self.before is not None and Py_REFCNT(<PyObject *>self.before) > 1:
            self.before.detach()
        if self.last is not None and Py_REFCNT(<PyObject *>self.last) > 1:
            self.last.detach()
        self.before = self.last = None
        return 0

    cdef int fill(self) except -1:
        """Have a batch with the next block in it."""
        cdef bint single
        while True:
            # A batch with a damaged block is read again one by one, so that the good ones before it come first.
            single = self.place < self.careful
            try:
                if self.read(single):
                    return 0
                break
            except errors.SmartPipeError as error:
                self.batch.blocks.clear()
                if not single and self.batch.next - self.batch.first > 1:
                    self.careful = self.place + (self.batch.next - self.batch.first)
                    continue
                self.place += 1
                self.skip(error)
            except BaseException:
                # Interrupted, or without memory: what is there of the batch was not checked.
                self.batch.blocks.clear()
                self.at = 0
                raise
        self.leave()
        raise StopIteration

    cdef bint read(self, bint single) except -1:
        """The blocks that come next, or a single one; False at the end."""
        cdef Batch batch
        self.at = 0
        if self.ahead is None:
            return self.read_now(single)
        # Threads fill the last batch again.
        if single:
            self.batch = Batch()
            return self.read_now(True)
        self.batch = self.nothing
        batch = self.ahead.next(self.stop)
        if batch is None:
            return False
        self.batch = batch
        self.place = batch.place
        self.careful = 0  # without order this one may come before one that was read again
        if batch.error is not None:
            if not isinstance(batch.error, errors.SmartPipeError):
                self.careful = batch.place + (batch.next - batch.first)  # whoever goes on misses none of them
            raise batch.error
        return True

    cdef int check_open(self) except -1:
        """Raise where what the blocks are of was closed."""
        raise TypeError("the items are those of a pipe or a store")

    cdef bint read_now(self, bint single) except -1:
        """Read the blocks that come next, or a single one, into the batch; False at the end."""
        raise TypeError("the items are those of a pipe or a store")

    cdef int skip(self, error) except -1:
        """Leave out a block that can not be read, and tell the handler; without one, raise the error."""
        check_handled(error, self.handler)
        self.handler(error)
        return 0
