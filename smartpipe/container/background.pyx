"""Compressing blocks in threads while the writer takes the next ones.

The threads are a pool of the standard library. Each works as long as blocks wait, and whichever has finished the block
whose turn it is writes it, and those behind it that are ready.
"""

from collections import deque

from libc.stdint cimport uint64_t

from smartpipe.container.compressor cimport Compressor

from smartpipe import errors

# So many bytes of pairs, and so many blocks for each thread, are taken in before a call has to wait, until half of them
# are written.
cdef uint64_t MOST = 64 << 20
cdef Py_ssize_t DEEP = 128
# A thread takes so many bytes of pairs at once, if they lie in small blocks.
cdef uint64_t SMALL = 32 << 10


cdef class Job:
    pass


cdef class Background:
    def __init__(self, Output output, changed, int threads, bint verify, set open_keys, Encoders encoders,
                 Compressors compressors):
        from concurrent.futures import ThreadPoolExecutor

        self.output = output
        self.changed = changed
        self.threads = threads
        self.verify = verify
        self.open_keys = open_keys
        self.encoders = encoders
        self.compressors = compressors
        self.executor = ThreadPoolExecutor(threads, "smartpipe-write")
        self.waiting = deque()
        self.order = deque()
        self.errors = deque()
        self.keys = set()

    cdef int make_room(self, uint64_t n) except -1:
        """Wait until a block of n bytes can be taken over; the writer may have ended meanwhile."""
        if self.order and (self.held + n > MOST or len(self.order) >= DEEP * self.threads):
            self.changed.wait()
            while self.order and (self.held + n > MOST or not self.has_room()):
                self.changed.wait()
        return 0

    cdef bint has_room(self) noexcept:
        return self.held <= MOST // 2 and len(self.order) <= DEEP * self.threads // 2

    cdef int add(self, bytes key, Encoder encoder, bint wait) except -1:
        """Take over a block that was claimed; with `wait` it is written when this returns."""
        cdef Job job = Job()
        job.key = key
        job.encoder = encoder
        job.awaited = wait
        self.order.append(job)
        self.waiting.append(job)
        self.keys.add(key)
        self.held += encoder.raw
        if self.running < self.threads:
            self.running += 1
            try:
                self.executor.submit(self._work)
            except RuntimeError:  # the interpreter ends
                self._work()
            except BaseException:
                # Interrupted. No thread has it, as they would need the lock; one that was called finds nothing to do.
                self.running -= 1
                self.waiting.pop()
                self.order.pop()
                self.forget(job)
                raise
        try:
            while wait and not job.written:
                self.changed.wait()
        except BaseException:
            job.awaited = False  # its error is one of a later call then
            raise
        if wait and job.error is not None:
            raise job.error
        return 0

    def _work(self):
        cdef Compressor compressor = None
        cdef Job job
        cdef list jobs = []
        while True:
            with self.changed:
                for job in jobs:
                    job.encoded = True
                if jobs:
                    self.settle()
                jobs = self.take()
                if not jobs:
                    self.running -= 1
                    if compressor is not None:
                        self.compressors.give(compressor)
                    return
            for job in jobs:
                try:
                    if compressor is None:
                        compressor = self.compressors.take()
                    job.encoder.encode(job.key, compressor)
                    if self.verify:
                        job.encoder.prove(compressor)
                except BaseException as error:
                    job.error = placed(error, self.output.data_path, job.key)

    cdef list take(self):
        """The next job, or several where they are small."""
        cdef list jobs = []
        cdef uint64_t size = 0
        while self.waiting and (not jobs or size + (<Job>self.waiting[0]).encoder.raw <= SMALL):
            jobs.append(self.waiting.popleft())
            size += (<Job>jobs[len(jobs) - 1]).encoder.raw
        return jobs

    cdef int settle(self) except -1:
        """Write the blocks whose turn it is, and wake who waits for them."""
        cdef Job job
        cdef bint awaited = False
        while self.order and (<Job>self.order[0]).encoded:
            job = self.order[0]
            if job.error is None:
                # After an error of the system nothing more is written, and the first one tells.
                told = self.output.failed is not None
                try:
                    self.output.check_usable()
                    self.output.put(job.key, job.encoder)
                    self.output.acknowledge()
                except BaseException as error:
                    job.error = error
            else:
                told = False
            if job.error is not None and not told and not job.awaited:
                self.errors.append(job.error)
            self.order.popleft()
            self.forget(job)
            awaited |= job.awaited
        if awaited or not self.order or self.has_room():
            self.changed.notify_all()
        return 0

    def forget(self, Job job):
        """Give back what a block has taken."""
        self.held -= job.encoder.raw
        self.keys.discard(job.key)
        self.open_keys.discard(job.key)
        self.encoders.give(job.encoder)
        job.written = True

    cdef int drain(self) except -1:
        """Wait until everything is written; ClosedError where it never is, as the writer was aborted meanwhile."""
        while self.order:
            self.changed.wait()
        if self.dropped:
            raise errors.ClosedError("the pipe was closed", path=self.output.data_path)
        return 0

    cdef int drop(self) except -1:
        """Write nothing more. What a thread is just compressing is dropped when it has."""
        cdef Job job
        with self.changed:
            for job in self.order:
                job.error = errors.ClosedError("the pipe was closed", path=self.output.data_path, block=job.key)
                job.written = True
            self.dropped = bool(self.order)
            self.waiting.clear()
            self.order.clear()
            self.keys.clear()
            self.changed.notify_all()
        self.executor.shutdown(wait=False)
        return 0

    cdef int check(self) except -1:
        """Raise the error of a block that was taken over before."""
        if self.errors:
            raise self.errors.popleft()
        return 0

    cdef int warn(self) except -1:
        """At the end: tell the errors that no call has raised."""
        while self.errors:
            errors.warn(str(self.errors.popleft()))
        return 0


cdef object placed(error, path, block):
    if isinstance(error, (errors.BlockTooLargeError, errors.EngineError)):
        return type(error)(error.args[0], path=path, block=block)
    return error
