"""What both formats have in common for a reader."""

import threading

cimport cython
from libc.string cimport memcpy

from smartpipe.container.source cimport is_too_large

from smartpipe import errors
from smartpipe.container.index import DamagedIndex


cdef class Batch:
    def __init__(self):
        self.blocks = []
        self.stored = Stock()
        self.inflated = Stock()
        self.tasks = Buffer()
        self.most_stored = BATCH
        self.most_raw = INFLATED


cdef class Near:
    def __init__(self):
        self.memory = Buffer()


cdef class Layout:
    """The open files of a pipe of one format."""

    def __cinit__(self):
        self.complaints = []
        self.lock = threading.RLock()

    @cython.critical_section
    cdef Index current(self):
        """The index as it is now."""
        return self.index

    cdef int64_t find(self, const uint8_t *key, size_t n) except -2:
        """The number of the block with a key, -1: there is none."""
        cdef Index index
        with cython.critical_section(self):
            index = self.index
        try:
            return index.find(key, n)
        except DamagedIndex as damage:
            index = self.mend(index, damage)
        return index.find(key, n)

    cdef Index entry(self, uint64_t number, sp_entry *entry):
        """Entry `number`; gives the index that it is of."""
        cdef Index index = self.current()
        try:
            index.entry(number, entry)
            return index
        except DamagedIndex as damage:
            index = self.mend(index, damage)
        index.entry(number, entry)
        return index

    cdef bytes key(self, Index index, uint64_t number, sp_entry *entry):
        """The key of an entry that an index has for `number`."""
        return self.key_in(index.run_of(number), entry)

    cdef bytes key_in(self, Run run, sp_entry *entry):
        """The key of an entry of a run."""
        if is_too_large(entry.key_length, self.source.limit):
            raise errors.BlockTooLargeError(f"a key of {entry.key_length} bytes, with a max_block_size of "
                                            f"{self.source.limit}", path=self.source.path, offset=entry.offset)
        return run.key(entry)

    cdef Index mend(self, Index damaged, damage):
        """Make a damaged index anew, once, and give it; where that was of no use, the damage is the error of what it
        hits."""
        with self.lock:
            if self.beyond_repair is None and self.index is damaged:
                try:
                    self.rebuild(damage)
                except errors.SmartPipeError as error:
                    self.beyond_repair = error.args[0]
            if self.beyond_repair is not None:
                raise errors.CorruptError(self.beyond_repair, path=self.index_path)
            return self.current()

    cdef Index extent(self, uint64_t number, sp_entry *entry, uint64_t *stored):
        """Entry `number` and the bytes that the block, or the group it is in, takes in the data file, all of which are
        there; gives the index that the entry is of."""
        raise TypeError("a layout is of a format")

    cdef Block fetch(self, uint64_t number, bytes key, Near near):
        """Block `number`, whose key is `key` where that is known, otherwise None. What lies in `near`, where that is
        given, is not read again."""
        raise TypeError("a layout is of a format")

    cdef size_t first_read(self, uint64_t number, uint64_t *offset) except? 0:
        """How many bytes `fetch` reads, and where."""
        raise TypeError("a layout is of a format")

    cdef int read(self, Near near, uint64_t offset, size_t n, uint8_t *to, bytes block) except -1:
        """n bytes at an offset of the data file, all of which are there."""
        if near is not None and offset >= near.begin and offset - near.begin <= near.memory.size and (
                0 < n <= near.memory.size - (offset - near.begin)):
            memcpy(to, near.memory.data + (offset - near.begin), n)
            return 0
        return self.source.read_into(offset, n, to, block)

    cdef int fill(self, Batch batch, uint64_t number, uint64_t stop, frozenset select) except -1:
        """Blocks from `number` on, at least one and none from `stop` on, checked and inflated as far as selected."""
        self.plan(batch, number, stop)
        self.load(batch, select)
        return 0

    cdef int plan(self, Batch batch, uint64_t number, uint64_t stop) except -1:
        """Decide which blocks `load` reads, from what the index says of them; an error is that of block `number`."""
        raise TypeError("a layout is of a format")

    cdef int load(self, Batch batch, frozenset select) except -1:
        """Read, check and inflate what was planned. Several threads may do so, each with a batch of its own."""
        raise TypeError("a layout is of a format")

    cdef int load_each(self, Batch batch, list numbers, frozenset select) except -1:
        """Blocks that do not lie behind one another, in this order."""
        cdef Block block
        cdef uint64_t number
        found = {}
        for number in sorted(numbers):
            block = self.fetch(number, None, None)
            block.select = select
            block.load_all()
            found[number] = block
        batch.blocks[:] = [found[number] for number in numbers]
        return 0

    def rebuild(self, damage):
        """Make a damaged index anew."""
        raise damage

    def refresh(self):
        """Take in the blocks that were written since; ReplacedError where this is no longer the pipe of its name."""
        raise TypeError("a layout is of a format")

    def ended(self):
        """Whether the writer has closed the pipe at the end of what was taken in."""
        raise TypeError("a layout is of a format")

    cdef int check_named(self) except -1:
        """See to it that the open data file still has its name."""
        try:
            if self.source.is_named():
                return 0
            what = "replaced"
        except FileNotFoundError:
            what = "removed, or replaced by one with another name"
        raise errors.ReplacedError(f"the pipe was {what}; open it again", path=self.source.path)

    def warn(self):
        """Tell the user what was found, once."""
        while True:
            with cython.critical_section(self):
                complaint = self.complaints.pop(0) if self.complaints else None
            if complaint is None:
                return
            errors.warn(complaint)

    def close(self):
        self.source.close()
