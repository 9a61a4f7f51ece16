"""Reading a pipe of format 1, the original's. FORMAT.md, «Format 1»."""

import os

cimport cython
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport (
    SP_BLOCK, SP_ENTRY1, SP_FULL, SP_NONE, SP_OK, SP_STREAM, SP_TRUNCATED, SP_ZLIB, entry1_decode,
    most_raw, pairs_check, sp_entry1, sp_load32, sp_load64,
)
from smartpipe.container.block cimport Block
from smartpipe.container.index cimport Index
from smartpipe.container.layout cimport MOST_BLOCKS, Batch, Near
from smartpipe.container.source cimport SLACK, Source, Task, is_too_large

from smartpipe import errors
from smartpipe._platform import open_reading

cdef uint64_t UNKNOWN = <uint64_t>-1
cdef uint64_t PAGE = 4096  # every page of memory ends at a multiple of it


cdef uint64_t torn_offset(const uint8_t *p, size_t n) noexcept:
    """The offset in an entry that is not all there, UNKNOWN where it ends before."""
    cdef size_t key_length
    if n < 4:
        return UNKNOWN
    key_length = sp_load32(p)
    return sp_load64(p + 4 + key_length) if key_length <= n and n - key_length >= 12 else UNKNOWN


cdef bint zeros_begin(const uint8_t *p, size_t n, bint behind) noexcept:
    """Whether the index goes on with an entry whose bytes did not arrive before the power failed: they are zeros, from
    somewhere within it to the end of the file.

    20 zeros are also the entry of a block at 0 with an empty key, which there can be once, and not `behind` another
    place.
    """
    cdef size_t key_length = sp_load32(p) if n >= 4 else 0, i = 4 + key_length
    if n < SP_ENTRY1 + key_length or (not behind and (key_length > 0 or n == SP_ENTRY1)):
        return False
    while i < n:
        if p[i] != 0:
            return False
        i += 1
    return True


cdef class Format1(Layout):
    """The open data file of a pipe, and its whole index in memory.

    In the entries of the index `stamp` is the offset in the uncompressed data; `index_good` is how many bytes of
    the index file are whole entries. `locked`: the caller has the writer's lock.
    """

    def __init__(self, Source source, str index_path, bint compressed, bint locked=False):
        self.source = source
        self.index_path = index_path
        self.index_place = os.path.abspath(index_path)
        self.compressed = compressed
        self.index = Index()
        self.last_entry = b""
        self.read_index(*self.load_index())
        if self.index.count == 0 and self.size > 0 and (locked or not self.written):
            raise errors.CorruptError(f"the index lists no block, and the data file has {self.size} bytes: the keys of "
                                      "its blocks are lost", path=self.index_path)
        self.whole = self.index.count
        if locked:
            return
        if self.written:
            self.whole = self.finished()
        elif self.torn:
            self.complaints.append(f"{self.index_path}: the index ends within an entry at offset {self.index_good}: "
                                   f"{self.index.count} blocks are listed before it")

    def load_index(self):
        """Return the index file from the last entry that was taken in on, and the size of the data.

        A writer lists a block before it writes it. The size of the data is that of a moment at which nothing more was
        listed, so that the last block does not end behind itself. `written` tells whether a writer had the pipe open:
        where none had, nothing was written meanwhile either, so that what a writer was just writing is not taken for
        whole because it has ended since.
        """
        start = self.index_good - len(self.last_entry)
        while True:
            file = open_reading(self.index_place)
            try:
                size = -1
                while size != file.size():
                    size = file.size()
                    data_size = self.source.size()
                self.written = bool(self.source.writer())
                settled = self.written or (size == file.size() and data_size == self.source.size())
                if settled and file.is_named(self.index_place):  # not one that a writer began anew
                    return file.read_at(start, max(size - start, 0)), data_size
            finally:
                file.close()

    def read_index(self, bytes data, uint64_t data_size):
        """Take in what `load_index` gave."""
        cdef sp_entry1 found
        cdef sp_entry entry, last
        cdef const uint8_t *p
        cdef size_t n, position = len(self.last_entry), last_at = 0, used
        cdef uint8_t codec = SP_ZLIB if self.compressed else SP_NONE
        cdef uint64_t start = self.index_good - position, end = UNKNOWN
        cdef bint torn = False
        p = data
        n = len(data)
        last.offset = last.stamp = 0
        if self.index.count > 0:
            self.index.entry(self.index.count - 1, &last)
        while position < n:
            used = self.index.add1(p + position, n - position, codec, &last)
            if used > 0:
                self.index.entry(self.index.count - 1, &last)
                position += used
                last_at = position - SP_ENTRY1 - last.key_length
                continue
            if zeros_begin(p + position, n - position, last.offset > 0) or (
                    entry1_decode(p + position, n - position, &found) != SP_OK):
                torn = True
                end = torn_offset(p + position, n - position)
                if end < last.offset or end == 0:
                    end = UNKNOWN  # bytes of it did not arrive
                break
            entry.offset = found.offset
            entry.stamp = found.raw_offset
            if found.key_length == 0 and self.index.find(found.key, 0) >= 0:
                raise errors.CorruptError("a second block with the empty key", path=self.index_path, block=b"",
                                          offset=start + position)
            if entry.offset < last.offset or entry.stamp < last.stamp:
                raise errors.CorruptError(
                    f"the block begins at {entry.offset} of the data and {entry.stamp} uncompressed, "
                    f"before the one listed before it, at {last.offset} and {last.stamp}",
                    path=self.index_path, block=found.key[:found.key_length], offset=start + position)
            if not self.compressed and entry.offset != entry.stamp:
                raise errors.CorruptError(
                    f"the block begins at {entry.offset} of the data, and at {entry.stamp} uncompressed, which in a "
                    ".dat is the same", path=self.index_path, block=found.key[:found.key_length],
                    offset=start + position)
            entry.size = entry.lead = entry.raw = entry.pairs = 0
            entry.key_length = found.key_length
            entry.kind = SP_BLOCK
            entry.codec = codec
            entry.member = 0
            self.index.add(&entry, found.key)
            last = entry
            last_at = position
            position += SP_ENTRY1 + found.key_length
        self.last_entry = data[last_at:position]
        self.index_good = start + position
        # Only now, and all of it at once: whoever reads a block meanwhile takes these for where the last one ends that
        # is listed.
        with cython.critical_section(self):
            self.size = data_size
            self.torn = torn
            self.end = end

    cdef uint64_t finished(self) except? 0:
        """How many blocks are whole while a writer has the pipe open: it may just be writing the last one.

        The system shows what is written page by page. Where a page ends between two pairs, the block looks whole.
        """
        cdef sp_entry entry
        cdef uint64_t count = self.index.count
        if count == 0:
            return 0
        self.index.entry(count - 1, &entry)
        if self.torn or entry.offset >= self.size or (not self.compressed and self.size % PAGE == 0):
            return count - 1  # listed, and perhaps not written yet
        try:
            self.fetch(count - 1, None, None)
        except errors.TruncatedError:
            return count - 1
        return count

    def refresh(self):
        cdef bytes data
        with self.lock:
            try:
                data, size = self.load_index()
            except FileNotFoundError:
                raise errors.ReplacedError("the pipe is being replaced; open it again", path=self.index_path) from None
            if self.index.count == 0 and size > 0 and self.source.header() is not None:
                raise errors.ReplacedError("the pipe was begun in format 2 since; open it again", path=self.source.path)
            self.check_named()  # otherwise this was the index of another pipe
            if not data.startswith(self.last_entry) or size < self.last_offset():
                raise errors.ReplacedError("the end of the pipe was cut, and perhaps written anew; open it again",
                                           path=self.source.path)
            self.read_index(data, size)
            self.whole = max(self.whole, self.finished() if self.written else self.index.count)

    cdef uint64_t last_offset(self) except? 0:
        cdef sp_entry entry
        if self.index.count == 0:
            return 0
        self.index.entry(self.index.count - 1, &entry)
        return entry.offset

    def ended(self):
        return self.whole == self.index.count and self.source.writer() == 0

    def cut_torn_entry(self):
        """Take the last listed block for the end of the data, as it is after a kill: entries come before blocks."""
        if self.end != UNKNOWN and self.end < self.size:
            raise errors.CorruptError(
                f"the index ends within the entry of a block at {self.end} of the data, which has {self.size} bytes: "
                "the key of that block is lost", path=self.index_path, offset=self.index_good)
        self.torn = False

    cdef Index extent(self, uint64_t number, sp_entry *entry, uint64_t *stored):
        cdef uint64_t size, end, torn_end
        cdef sp_entry next
        cdef Index index = self.index
        cdef bint torn
        with cython.critical_section(self):
            # Before the index is looked at: what is listed since does not end here.
            size = end = self.size
            torn = self.torn
            torn_end = self.end
        index.entry(number, entry)
        if number + 1 < index.count:
            index.entry(number + 1, &next)
            end = next.offset
        elif torn:
            if torn_end == UNKNOWN:
                raise errors.CorruptError(
                    "where it ends is not known: the index ends within the entry of the next block",
                    path=self.source.path, block=self.key(index, number, entry), offset=entry.offset)
            end = torn_end
        if end > size or entry.offset > end:
            raise errors.TruncatedError(
                f"the index lists it from {entry.offset} to {max(end, entry.offset)}, the file has {size} bytes",
                path=self.source.path, block=self.key(index, number, entry), offset=entry.offset)
        stored[0] = end - entry.offset
        if is_too_large(stored[0], self.source.limit):
            raise self.source.too_large(stored[0], self.key(index, number, entry), entry.offset)
        return index

    cdef uint64_t raw_size(self, uint64_t number, sp_entry *entry, uint64_t stored) except? 0:
        """The uncompressed size of a block; UNKNOWN for the last one of a compressed pipe."""
        cdef sp_entry next
        if not self.compressed:
            return stored
        if number + 1 == self.index.count:
            return UNKNOWN if stored > 0 else 0
        self.index.entry(number + 1, &next)
        if stored == 0 and next.stamp != entry.stamp:
            raise errors.CorruptError(f"no stored bytes for {next.stamp - entry.stamp} raw ones", path=self.source.path,
                                      block=self.key(self.index, number, entry), offset=entry.offset)
        # Sizes that are known are never taken for the unknown one; both are more than any limit.
        return min(next.stamp - entry.stamp, UNKNOWN - 1)

    def sizes(self, uint64_t number):
        """Return offset, stored bytes and raw bytes of a block; raw is None where the format does not tell."""
        cdef sp_entry entry
        cdef uint64_t stored, raw
        self.extent(number, &entry, &stored)
        raw = self.raw_size(number, &entry, stored)
        return entry.offset, stored, None if raw == UNKNOWN else raw

    def last_whole(self):
        """Return where the last whole block ends, in the file and uncompressed, and the keys of the unfinished ones
        behind it, the last first: those that reach to the end of the file, or beyond, and are not whole. They are taken
        out of the index. Any other damage of the last block is its error."""
        cdef sp_entry entry
        cdef Block block
        cdef uint64_t number, end = self.size
        unfinished = []
        while self.index.count > 0:
            number = self.index.count - 1
            self.index.entry(number, &entry)
            key = self.key(self.index, number, &entry)
            try:
                block = self.fetch(number, key, None)
            except errors.TruncatedError:
                if end < self.size:
                    raise  # it ends where the unfinished one begins
                unfinished.append(key)
                self.index.cut(number)
                self.index_good -= SP_ENTRY1 + entry.key_length
                end = min(end, entry.offset)
                # The block before it ends where it began.
                self.torn, self.end = end < self.size, end
                continue
            return end, entry.stamp + block.record.head_raw, unfinished
        return 0, 0, unfinished

    cdef int plan_task(self, sp_entry *entry, uint64_t number, uint64_t stored, Task *task, bytes key) except -1:
        """How a block is inflated: sizes checked, `raw` UNKNOWN for the last one of a compressed pipe."""
        cdef uint64_t raw = self.raw_size(number, entry, stored)
        cdef uint64_t limit = min(self.source.limit, <uint64_t>UINT32_MAX)
        task.size = stored
        task.raw = raw
        task.codec = SP_ZLIB
        task.dictionary = NULL
        task.check = False
        task.exact = True
        task.slack = SLACK
        task.out = NULL
        task.status = SP_OK
        if raw != UNKNOWN and raw > limit:
            raise errors.BlockTooLargeError(f"{raw} bytes, more than max_block_size, {limit}", path=self.source.path,
                                            block=key, offset=entry.offset)
        if self.compressed and stored > 0 and raw != UNKNOWN and raw > most_raw(SP_ZLIB, stored):
            raise self.source.failure(SP_STREAM, f"{stored} stored bytes for {raw} raw ones", key, entry.offset)
        return 0

    cdef Buffer inflate_last(self, const uint8_t *stored, uint64_t n, bytes key, uint64_t offset):
        """The last block of a compressed pipe, whose raw size nothing tells: room grows until the stream ends."""
        cdef Buffer out = Buffer()
        cdef uint64_t limit = min(self.source.limit, <uint64_t>UINT32_MAX)
        cdef size_t room = max(4 * n, <uint64_t>(64 << 10))
        cdef Task task
        while True:
            room = min(room, limit)
            out.size = 0
            task.stored = stored
            task.size = n
            task.out = out.extend(room)
            task.raw = room
            task.codec = SP_ZLIB
            task.dictionary = NULL
            task.check = task.exact = False
            task.slack = 0
            self.source.run(&task, 1)
            if task.status == SP_FULL and room < limit:
                room *= 2
                continue
            if task.status == SP_FULL:
                raise errors.BlockTooLargeError(f"more bytes than max_block_size, {limit}", path=self.source.path,
                                                block=key, offset=offset)
            if task.status != SP_OK:
                raise self.source.failure(task.status, "the compressed block", key, offset)
            out.size = task.raw
            return out

    cdef Block open_block(self, const uint8_t *data, uint64_t n, uint64_t offset, Buffer memory, bytes key):
        """Pair bytes as a block."""
        cdef Block block = Block.__new__(Block)
        cdef uint64_t good
        cdef int status = pairs_check(data, n, &block.record.pairs, &good)
        if status != SP_OK:
            kind = errors.TruncatedError if status == SP_TRUNCATED else errors.BlockTooLargeError
            raise kind(f"the pairs of the block end after {good} of {n} bytes", path=self.source.path, block=key,
                       offset=offset)
        block.key = key
        block.source = self.source
        block.offset = offset
        block.head = data
        block.memory = memory
        block.record.head_raw = <uint32_t>n
        return block

    cdef Block fetch(self, uint64_t number, bytes key, Near near):
        cdef Buffer stored = Buffer.__new__(Buffer), raw
        cdef Index index
        cdef sp_entry entry
        cdef uint64_t size
        cdef Task task
        index = self.extent(number, &entry, &size)
        if key is None:
            key = self.key(index, number, &entry)
        self.plan_task(&entry, number, size, &task, key)
        self.read(near, entry.offset, size, stored.extend(size), key)
        if not self.compressed or size == 0:
            return self.open_block(stored.data, size, entry.offset, stored, key)
        if task.raw == UNKNOWN:
            raw = self.inflate_last(stored.data, size, key, entry.offset)
            task.raw = raw.size
        else:
            raw = Buffer()
            task.stored = stored.data
            task.out = raw.extend(task.raw + SLACK)
            self.source.run(&task, 1)
            if task.status != SP_OK:
                raise self.source.failure(task.status, "the compressed block", key, entry.offset)
        return self.open_block(raw.data, task.raw, entry.offset, raw, key)

    cdef size_t first_read(self, uint64_t number, uint64_t *offset) except? 0:
        cdef sp_entry entry
        cdef uint64_t stored
        self.extent(number, &entry, &stored)
        offset[0] = entry.offset
        return stored

    cdef int plan(self, Batch batch, uint64_t number, uint64_t stop) except -1:
        cdef uint64_t size, raw
        cdef Index index
        cdef sp_entry entry
        cdef Task task
        batch.first = batch.next = number
        batch.begin = batch.end = batch.raw = 0
        batch.places = []
        batch.tasks.size = 0
        while batch.next < stop:
            key = None
            try:
                index = self.extent(batch.next, &entry, &size)
                key = self.key(index, batch.next, &entry)
                self.plan_task(&entry, batch.next, size, &task, key)
            except errors.SmartPipeError:
                if batch.next == number:
                    raise
                break
            raw = 0 if task.raw == UNKNOWN else task.raw
            if batch.next == number:
                batch.begin = entry.offset
            elif (entry.offset + size - batch.begin > batch.most_stored or batch.raw + raw > batch.most_raw
                    or batch.next - number == MOST_BLOCKS):
                break
            batch.end = entry.offset + size
            batch.raw += raw
            batch.places.append((key, entry.offset))
            (<Task *>batch.tasks.extend(sizeof(Task)))[0] = task
            batch.next += 1
        return 0

    cdef int load(self, Batch batch, frozenset select) except -1:
        cdef Buffer stored = batch.stored.lend(), memory = batch.inflated.lend(), last
        cdef uint64_t size = batch.end - batch.begin
        cdef Task *task
        cdef Block block
        batch.blocks.clear()
        self.source.read_into(batch.begin, size, stored.extend(size), None)
        memory.reserve(batch.raw + SLACK * len(batch.places))
        task = <Task *>batch.tasks.data
        for _, offset in batch.places:
            task.stored = stored.data + (<uint64_t>offset - batch.begin)
            task.out = NULL
            if self.compressed and task.size > 0 and task.raw != UNKNOWN:
                task.out = memory.extend(task.raw + SLACK)
            task += 1
        self.source.run(<Task *>batch.tasks.data, len(batch.places))
        task = <Task *>batch.tasks.data
        for key, offset in batch.places:
            if task.status != SP_OK:
                raise self.source.failure(task.status, "the compressed block", key, offset)
            if task.raw == UNKNOWN:
                last = self.inflate_last(task.stored, task.size, key, offset)
                block = self.open_block(last.data, last.size, offset, last, key)
            elif task.out == NULL:
                block = self.open_block(task.stored, task.size, offset, stored, key)
            else:
                block = self.open_block(task.out, task.raw, offset, memory, key)
            block.select = select
            batch.blocks.append(block)
            task += 1
        return 0
