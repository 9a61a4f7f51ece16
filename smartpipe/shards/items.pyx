"""Iterating over the blocks of a store that count: shard by shard, in the order of the files."""

from libc.stdint cimport uint64_t

from smartpipe.container.layout cimport MOST_BLOCKS


cdef uint64_t stretch(list numbers, uint64_t place) except? 0:
    """The number behind the blocks that lie behind one another from a place on, no more than a batch has."""
    cdef uint64_t number = numbers[place], stop = min(<uint64_t>len(numbers), place + MOST_BLOCKS)
    while place + 1 < stop and <uint64_t>numbers[place + 1] == number + 1:
        place += 1
        number += 1
    return number + 1


cdef class LiveAhead(Readahead):
    cdef int choose(self, Batch batch, uint64_t stop) except -1:
        return self.layout.plan(batch, self.numbers[batch.place], stretch(self.numbers, batch.place))


cdef class StoreItems(Items):
    def __init__(self, parts, stopped, frozenset select, handler, Py_ssize_t threads, uint64_t readahead):
        self.parts = parts
        self.stopped = stopped
        self.select = select
        self.handler = handler
        self.threads = threads
        self.readahead = readahead

    cdef int check_open(self) except -1:
        self.stopped()
        return 0

    cdef bint open_next(self) except -1:
        """Go on with the next shard; False where there is none."""
        cdef LiveAhead ahead
        if self.ahead is not None:
            self.ahead.stop()
            self.ahead = None
        self.layout, self.numbers = next(self.parts, (None, []))
        self.place = self.careful = 0
        self.stop = len(self.numbers)
        if self.threads > 1 and self.numbers:
            self.ahead = ahead = LiveAhead(self.layout, self.select, self.threads, self.readahead, True, None, 0, 0)
            ahead.numbers = self.numbers
        return self.layout is not None

    cdef bint read(self, bint single) except -1:
        while self.place == self.stop:
            if not self.open_next():
                return False
        return Items.read(self, single)

    cdef bint read_now(self, bint single) except -1:
        cdef uint64_t number = self.numbers[self.place]
        self.layout.fill(self.batch, number, number + 1 if single else stretch(self.numbers, self.place), self.select)
        return True
