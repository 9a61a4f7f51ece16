"""All that depends on the operating system: reading at an offset, and every call that changes a disk.

Writing goes through one object, `disk`, so that a test can record the calls, let one fail, or play a disk that loses
power.
"""

import errno
import fcntl
import mmap
import os
import stat
import sys
import weakref

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EACCES, EAGAIN, EINTR, ENOLCK, ENOSYS, EOPNOTSUPP
from libc.errno cimport errno as c_errno
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from posix.types cimport clockid_t, off_t
from posix.unistd cimport close, getpid, pread

cdef extern from "<sys/file.h>":
    int LOCK_UN
    int flock(int fd, int operation)

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <sys/mman.h>
    /* Python.h asks for what Linux has beyond POSIX. */
    static int sp_allocate(int fd, int64_t offset, int64_t size) {
    #ifdef __linux__
        return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size) == 0 ? 0 : errno;
    #else
        (void)fd, (void)offset, (void)size;
        return ENOTSUP;
    #endif
    }
    /* Advice only: that the system takes none of it is no error. */
    static void sp_will_read(int fd, int64_t offset, int64_t n) {
    #ifdef POSIX_FADV_WILLNEED
        (void)posix_fadvise(fd, offset, n, POSIX_FADV_WILLNEED);
    #else
        (void)fd, (void)offset, (void)n;
    #endif
    }
    static void sp_spread(void *p, size_t n) {
    #ifdef MADV_HUGEPAGE
        uintptr_t page = (uintptr_t)1 << 21, first = ((uintptr_t)p + page - 1) & ~(page - 1);
        uintptr_t last = ((uintptr_t)p + n) & ~(page - 1);
        if (first < last)
            (void)madvise((void *)first, last - first, MADV_HUGEPAGE);
    #else
        (void)p, (void)n;
    #endif
    }
    /* Locks of an open file description: they go with its last descriptor, and not, as those of a process do, when the
     * process closes another one of the same file. */
    #ifndef F_OFD_SETLK
    #ifdef __APPLE__
    #define F_OFD_SETLK 90
    #define F_OFD_SETLKW 91
    #define F_OFD_GETLK 92
    #endif
    #endif
    static struct flock sp_flock(short type, int64_t start, int64_t length) {
        struct flock range = {0};
        range.l_type = type;
        range.l_whence = SEEK_SET;
        range.l_start = start;
        range.l_len = length;
        return range;
    }
    static int sp_range_lock(int fd, int exclusive, int64_t start, int64_t length, int wait) {
        struct flock range = sp_flock(exclusive ? F_WRLCK : F_RDLCK, start, length);
        return fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) == 0 ? 0 : errno;
    }
    static int sp_range_unlock(int fd, int64_t start, int64_t length) {
        struct flock range = sp_flock(F_UNLCK, start, length);
        return fcntl(fd, F_OFD_SETLK, &range) == 0 ? 0 : errno;
    }
    static int sp_range_held(int fd, int64_t start, int64_t length, int *held) {
        struct flock range = sp_flock(F_WRLCK, start, length);
        int status = fcntl(fd, F_OFD_GETLK, &range) == 0 ? 0 : errno;
        *held = range.l_type != F_UNLCK;
        return status;
    }
    static uint64_t sp_counter(const uint64_t *p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static void sp_set_counter(uint64_t *p, uint64_t value) {
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    }
    static void sp_raise_counter(uint64_t *p, uint64_t least) {
        uint64_t value = sp_counter(p);
        while (value < least && !__atomic_compare_exchange_n(p, &value, least, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        }
    }
    """
    int sp_range_lock(int fd, int exclusive, int64_t start, int64_t length, int wait) nogil
    int sp_range_unlock(int fd, int64_t start, int64_t length) nogil
    int sp_range_held(int fd, int64_t start, int64_t length, int *held) nogil
    uint64_t sp_counter(const uint64_t *p) nogil
    void sp_set_counter(uint64_t *p, uint64_t value) nogil
    void sp_raise_counter(uint64_t *p, uint64_t least) nogil
    int sp_allocate(int fd, int64_t offset, int64_t size) nogil
    void sp_will_read(int fd, int64_t offset, int64_t n) noexcept nogil
    void sp_spread(void *p, size_t n) noexcept nogil

cdef size_t MOST_AT_ONCE = 1 << 30  # Linux reads at most 2 GiB - 4 KiB in one call, macOS INT_MAX


cdef int64_t read_at(int fd, uint8_t *p, size_t n, uint64_t offset) noexcept nogil:
    cdef size_t done = 0
    cdef ssize_t got
    while done < n:
        got = pread(fd, p + done, min(n - done, MOST_AT_ONCE), <off_t>(offset + done))
        if got > 0:
            done += <size_t>got
        elif got == 0:
            break
        elif c_errno != EINTR:
            return -c_errno
    return <int64_t>done


cdef inline uint64_t nanoseconds(clockid_t which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return <uint64_t>now.tv_sec * 1_000_000_000 + <uint64_t>now.tv_nsec


cdef uint64_t clock() noexcept nogil:
    return nanoseconds(CLOCK_MONOTONIC)


cdef uint64_t date() noexcept nogil:
    return nanoseconds(CLOCK_REALTIME)


cdef void will_read(int fd, uint64_t offset, uint64_t n) noexcept nogil:
    sp_will_read(fd, <int64_t>offset, <int64_t>n)


cdef void spread(void *p, size_t n) noexcept nogil:
    sp_spread(p, n)


cdef class Descriptor:
    """An open file, closed once: by `close`, or with the last reference."""

    def __cinit__(self, int number):
        self.number = number

    def __dealloc__(self):
        self.close()

    def close(self):
        cdef int number
        with cython.critical_section(self):
            number = self.number
            self.number = -1
        if number >= 0:
            if self.owner == getpid():
                # A child that was forked meanwhile may still have the file open, and with it the lock.
                flock(number, LOCK_UN)
            close(number)

    def read_at(self, offset, size):
        """Return so many bytes from an offset on, fewer where the file ends before."""
        return os.pread(self.number, size, offset)

    def size(self):
        """Return the size of the file in bytes."""
        return os.fstat(self.number).st_size

    def room(self):
        """Return how many bytes the file has on the disk behind its end."""
        status = os.fstat(self.number)
        return max(512 * status.st_blocks - status.st_size, 0)

    def is_named(self, path):
        """Whether it is the file that has a name now; FileNotFoundError where none has."""
        return os.path.samestat(os.fstat(self.number), os.stat(path))


def open_regular(path, flags):
    """Open a regular file; OSError where it is a device, a pipe or the like, which could block for ever or never end.

    A child process does not inherit it over exec.
    """
    number = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    try:
        kind = stat.S_IFMT(os.fstat(number).st_mode)
        if kind == stat.S_IFDIR:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "Not a regular file", path)
    except BaseException:
        os.close(number)
        raise
    return Descriptor(number)


def open_reading(path):
    """Open a regular file for reading."""
    return open_regular(path, os.O_RDONLY)


class Disk:
    """The calls that change a disk. Files are a `Descriptor` each. Each call raises OSError."""

    def open(self, path, flags):
        return open_regular(path, flags)

    def write(self, Descriptor file, data):
        """Write all of a buffer, going on after short writes."""
        written = os.write(file.number, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(file.number, rest):]

    def allocate(self, Descriptor file, int64_t offset, int64_t size):
        """Let a file have room on the disk behind its end, which stays where it is."""
        cdef int number
        with nogil:
            number = sp_allocate(file.number, offset, size)
        if number != 0:
            raise OSError(number, os.strerror(number))

    def truncate(self, Descriptor file, size):
        os.ftruncate(file.number, size)

    def sync(self, Descriptor file):
        """Let the file's data and size reach the disk."""
        if sys.platform == "darwin":
            fcntl.fcntl(file.number, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
        else:
            os.fdatasync(file.number)

    def rename(self, source, target):
        os.replace(source, target)

    def unlink(self, path):
        os.unlink(path)

    def link(self, source, target):
        """Give a file a second name; FileExistsError where a file has it already, which stays as it is."""
        os.link(source, target)

    def make_folder(self, path):
        os.mkdir(path)

    def sync_folder(self, path):
        """Let the names in a folder reach the disk."""
        folder = Descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            os.fsync(folder.number)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that can not sync a folder
                raise
        finally:
            folder.close()


disk = Disk()


def lock(Descriptor file, required=True):
    """Take the writer's lock of an open file without waiting; False where another open file has it.

    The lock belongs to the open file description: it goes with the process, and an unrelated close does not free it.
    flock, not fcntl's, because the system then tells who holds it. Where the file system has no locks that is an
    OSError, if one is `required`.
    """
    try:
        fcntl.flock(file.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if required or error.errno not in NO_LOCKS:
            raise
    file.owner = os.getpid()
    _locked.add(file)
    return True


# What a file system without locks answers. Nobody has a lock there, and whoever needs one was told that it guards
# nothing.
cdef tuple NO_LOCKS = (ENOLCK, ENOSYS, EOPNOTSUPP)


cdef int lock_range(Descriptor file, int64_t start, int64_t length, bint exclusive, bint wait) except -1:
    """Lock so many bytes of an open file, all of them with 0, against other open files; False where another has one of
    them and this does not wait. They need not exist."""
    cdef int number
    while True:
        number = sp_range_lock(file.number, exclusive, start, length, False)
        if number in (EAGAIN, EACCES) and wait:
            with nogil:
                number = sp_range_lock(file.number, exclusive, start, length, True)
        if number == 0 or number in NO_LOCKS:
            return True
        if number != EINTR:
            break
        PyErr_CheckSignals()
    if number in (EAGAIN, EACCES):
        return False
    raise OSError(number, os.strerror(number))


cdef int unlock_range(Descriptor file, int64_t start, int64_t length) except -1:
    cdef int number = sp_range_unlock(file.number, start, length)
    if number != 0 and number not in NO_LOCKS:
        raise OSError(number, os.strerror(number))
    return 0


def locked_range(Descriptor file, int64_t start, int64_t length, exclusive=True, wait=False):
    """Lock so many bytes of an open file, all of them with 0; False where another open file has one of them and this
    does not wait."""
    return bool(lock_range(file, start, length, exclusive, wait))


def unlocked_range(Descriptor file, int64_t start, int64_t length):
    """Give up the locks on so many bytes of an open file."""
    unlock_range(file, start, length)


def is_range_held(Descriptor file, int64_t start, int64_t length):
    """Whether another open file has a lock on one of so many bytes."""
    cdef int held = 0
    cdef int number = sp_range_held(file.number, start, length, &held)
    if number != 0 and number not in NO_LOCKS:
        raise OSError(number, os.strerror(number))
    return bool(held)


cdef class Counters:
    """Numbers that the processes of a machine share, in a mapped file; each is read and set at once."""

    def __init__(self, Descriptor file, bint writes):
        self.mapped = mmap.mmap(file.number, 0, access=mmap.ACCESS_WRITE if writes else mmap.ACCESS_READ)
        PyObject_GetBuffer(self.mapped, &self.view, PyBUF_SIMPLE)
        self.count = <uint64_t>self.view.len // 8

    def __dealloc__(self):
        if self.view.buf != NULL:
            PyBuffer_Release(&self.view)

    cdef uint64_t get(self, uint64_t number) noexcept:
        return sp_counter(<const uint64_t *>self.view.buf + number) if number < self.count else 0

    cdef bint are(self, const uint64_t *expected, size_t n) noexcept:
        """Whether n counters have the values that are expected, pairs of number and value, and none of them is odd."""
        cdef uint64_t value
        cdef size_t i
        for i in range(n):
            value = self.get(expected[2 * i])
            if value != expected[2 * i + 1] or value & 1:
                return False
        return True

    # What a counter was it never is again. While its one writer is in the middle of something it is odd, and stays so
    # when that is killed.

    cdef int begin(self, uint64_t number) noexcept:
        self.set(number, self.get(number) | 1)
        return 0

    cdef int end(self, uint64_t number) noexcept:
        self.set(number, (self.get(number) | 1) + 1)
        return 0

    cdef int set(self, uint64_t number, uint64_t value) noexcept:
        if number < self.count:
            sp_set_counter(<uint64_t *>self.view.buf + number, value)
        return 0

    cdef int lift(self, uint64_t number, uint64_t least) noexcept:
        """Let a counter of many writers be no less than a value."""
        if number < self.count:
            sp_raise_counter(<uint64_t *>self.view.buf + number, least)
        return 0


# Files whose lock this process took. A forked child closes its copies: the lock ends with the parent.
_locked = weakref.WeakSet()


def leave_to_parent(Descriptor file):
    """Let a forked child close its copy of an open file, as otherwise the locks of it that this process has would stay
    when this process is gone; returns the file."""
    _locked.add(file)
    return file


# How often this process was forked from another: what the others share with it is not its own.
cdef long forks = 0


cdef long generation() noexcept:
    return forks


def _close_in_child():
    global forks
    forks += 1
    for file in list(_locked):
        file.close()
    _locked.clear()


os.register_at_fork(after_in_child=_close_in_child)


def holder(Descriptor file):
    """Return the process id that holds the lock of an open file: 0 where nobody does, None where the system does not
    tell."""
    inode = str(os.fstat(file.number).st_ino)  # the device is another one there on some file systems
    try:
        with open("/proc/locks") as locks:
            for line in locks:
                fields = line.split()
                if fields[1] == "FLOCK" and fields[5].endswith(":" + inode):
                    return int(fields[4])
    except OSError:
        return None
    return 0
