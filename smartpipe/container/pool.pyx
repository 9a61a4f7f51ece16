"""What is used again: objects and memory that threads take and give back."""

cimport cython
from libc.stdlib cimport free


cdef class Pool:
    def __cinit__(self):
        self.idle = []

    cdef object take(self):
        """An object that nobody uses; None where there is none."""
        with cython.critical_section(self):
            return self.idle.pop() if self.idle else None

    cdef int give(self, object one) except -1:
        with cython.critical_section(self):
            self.idle.append(one)
        return 0

    cdef int clear(self) except -1:
        """Keep none of those that are here."""
        while self.take() is not None:
            pass
        return 0


cdef class Stock:
    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            free(self.data[i])

    cdef Buffer lend(self):
        """An empty buffer, with the memory that was given back last."""
        cdef Lent buffer = Lent.__new__(Lent)
        buffer.stock = self
        with cython.critical_section(self):
            if self.count > 0:
                self.count -= 1
                buffer.data = self.data[self.count]
                buffer.capacity = self.capacities[self.count]
        return buffer


# Without a part in cycles nothing takes the stock away before the memory is given back.
@cython.no_gc
cdef class Lent(Buffer):
    def __dealloc__(self):
        with cython.critical_section(self.stock):
            if self.data != NULL and self.stock.count < MOST_KEPT:
                self.stock.data[self.stock.count] = self.data
                self.stock.capacities[self.stock.count] = self.capacity
                self.stock.count += 1
                self.data = NULL
