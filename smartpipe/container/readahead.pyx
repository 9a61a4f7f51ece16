"""Reading ahead of an iterator: batches of blocks are read, checked and inflated by threads, or picked at random.

The iterator's own thread plans the batches and hands them to a pool; so nothing runs, and no more memory is used, while
nobody asks for blocks.
"""

import os
from collections import deque
from queue import SimpleQueue

from libc.stdint cimport uint64_t

from smartpipe._codec cimport order_at, sp_entry

from smartpipe import errors

# A batch of a thread: large enough that handing it over costs nothing beside it.
cdef uint64_t MOST = 1 << 20
# The memory of a batch of more bytes, a large block, is not kept for others: each would meet one at some time.
cdef uint64_t LARGE = 4 * MOST
# Batches of each thread: what lies ready longer is no longer in the processor's caches when it is looked at.
cdef Py_ssize_t DEEP = 3
# Blocks of a batch in random order, each of which is read alone.
cdef uint64_t MOST_SCATTERED = 64


cdef class Readahead:
    def __init__(self, Layout layout, frozenset select, Py_ssize_t threads, uint64_t most, bint ordered, seed,
                 uint64_t first, uint64_t start):
        self.layout = layout
        self.select = select
        self.threads = threads
        self.most = most
        self.ordered = ordered
        self.seed = seed
        self.start = first
        self.planned = start
        self.batches = deque()
        self.done = SimpleQueue()
        self.idle = []
        self.pid = os.getpid()

    cdef Batch next(self, uint64_t stop):
        """The next batch of those before block number `stop`, with its error where it could not be read; None behind
        the last. What was handed out before is used again."""
        cdef Batch batch
        if self.given is not None:
            self.used -= cost(self.given)
            if cost(self.given) <= LARGE:
                self.idle.append(self.given)
            self.given = None
        if self.pid != os.getpid():
            self.begin_anew()
        self.submit(stop)
        if not self.batches:
            return None
        if self.threads == 1:
            batch = self._load(self.batches.popleft()[0])
        elif self.ordered:
            batch, future = self.batches[0]
            if future is not None:
                future.result()  # if that is interrupted, it is still the next one
            self.batches.popleft()
        else:
            batch = self.done.get()
            while not self.is_planned(batch):
                batch = self.done.get()
        self.given = batch
        return batch

    cdef bint is_planned(self, Batch batch) except -1:
        """Take a batch out of those that are planned; False where its blocks were planned anew."""
        for i, (other, _) in enumerate(self.batches):
            if other is batch:
                del self.batches[i]
                return True
        return False

    cdef int submit(self, uint64_t stop) except -1:
        """Plan batches, and let threads read them, as far as the memory allows; a large one is read alone."""
        cdef Batch batch
        while self.refused is not None or self.planned < stop:
            if len(self.batches) == DEEP * self.threads or (self.threads == 1 and self.batches):
                return 0
            batch = self.refused if self.refused is not None else self.plan(stop)
            if self.used > 0 and self.used + cost(batch) > self.most:
                self.refused = batch
                return 0
            self.refused = None
            try:
                future = self._submitted(batch)
            except BaseException as error:
                # A thread may have it nevertheless, so that its blocks are planned anew.
                self.planned = batch.place
                if not isinstance(error, (RuntimeError, ImportError)):
                    raise
                # The interpreter ends, or the system gives no more threads.
                batch = self.plan(stop)
                self._load(batch)
                future = None
            self.used += cost(batch)
            self.batches.append((batch, future))
        return 0

    cdef Batch plan(self, uint64_t stop):
        cdef Batch batch = self.idle.pop() if self.idle else Batch()
        batch.most_stored = batch.most_raw = min(MOST, max(self.most // (2 * self.threads), <uint64_t>1))
        batch.error = None
        batch.numbers = None
        batch.place = self.planned
        try:
            self.choose(batch, stop)
        except errors.SmartPipeError as error:
            batch.error = error
            batch.next = max(batch.next, batch.first + 1)
        self.planned = batch.place + (batch.next - batch.first)
        return batch

    cdef int choose(self, Batch batch, uint64_t stop) except -1:
        """Decide which blocks a batch has, from its place in the order on; an error is that of the first."""
        cdef sp_entry entry
        cdef uint64_t number, stored
        if self.seed is None:
            return self.layout.plan(batch, batch.place, stop)
        batch.numbers = []
        batch.first = batch.next = batch.place
        batch.begin = batch.end = batch.raw = 0
        while batch.next < stop and len(batch.numbers) < MOST_SCATTERED and cost(batch) < batch.most_raw:
            number = self.number_at(batch.next, stop)
            batch.numbers.append(number)
            batch.next += 1
            self.layout.extent(number, &entry, &stored)
            batch.end += stored
            batch.raw += entry.raw
        return 0

    cdef uint64_t number_at(self, uint64_t place, uint64_t stop) noexcept:
        """The number of the block that comes at a place of the order."""
        if self.seed is None:
            return place
        return self.start + order_at(self.seed, stop - self.start, place - self.start)

    def _submitted(self, Batch batch):
        """Let a thread read a batch; returns its future, None where there is nothing to wait for."""
        if batch.error is not None or self.threads == 1:
            if not self.ordered:
                self.done.put(batch)
            return None
        if self.executor is None:
            from concurrent.futures import ThreadPoolExecutor

            self.executor = ThreadPoolExecutor(self.threads, "smartpipe-read")
        return self.executor.submit(self._load, batch)

    def _load(self, Batch batch):
        try:
            if batch.error is not None:
                pass
            elif batch.numbers is None:
                self.layout.load(batch, self.select)
            else:
                self.layout.load_each(batch, batch.numbers, self.select)
        except BaseException as error:
            batch.blocks.clear()
            batch.error = error
        if not self.ordered:
            self.done.put(batch)
        return batch

    def begin_anew(self):
        """In a forked child, which has none of the threads: let others read what was not handed out."""
        self.pid = os.getpid()
        self.executor = None
        self.done = SimpleQueue()
        waiting = list(self.batches)
        self.batches.clear()
        for batch, future in waiting:
            if future is not None:
                (<Batch>batch).error = None
            self.batches.append((batch, self._submitted(batch)))

    cdef int stop(self) except -1:
        """Read nothing more. A batch that a thread is just reading is dropped when it has."""
        self.batches.clear()
        self.refused = None
        self.used = 0
        self.given = None
        if self.executor is not None and self.pid == os.getpid():
            self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = None
        return 0


cdef inline uint64_t cost(Batch batch) noexcept:
    return batch.end - batch.begin + batch.raw
