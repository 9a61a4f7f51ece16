"""Reading a pipe of format 2."""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from smartpipe._codec cimport (
    SP_BLOCK, SP_FILE_HEADER, SP_GROUP, SP_KEY, SP_KIND, SP_LISTED, SP_OVERLAP, SP_METADATA, SP_MOST_GROUP, SP_NONE,
    SP_OK, SP_RECORD_HEADER, SP_SIZES, record_decode, sp_cursor, sp_entry, sp_entry_follows, sp_key_position,
    sp_lead_size, sp_pair, sp_record, sp_segment,
)
from smartpipe.container.block cimport Block
from smartpipe.container.frames cimport Frames
from smartpipe.container.group cimport Group, open_group
from smartpipe.container.index cimport Index, Run
from smartpipe.container.layout cimport BATCH, MOST_BLOCKS, Batch, Near
from smartpipe.container.scan cimport Scan
from smartpipe.container.source cimport SLACK, Source, Task, is_too_large
from smartpipe.container.tally cimport Tally

from smartpipe import errors
from smartpipe.container.frames import closed_at, read_frames
from smartpipe.container.index import DamagedIndex

# A record up to this size is read whole when one block is asked for: one call instead of several. A large value that is
# stored plain is read to where it is given out, and so not along with the rest.
cdef uint32_t WHOLE = 16 << 10
cdef uint32_t WHOLE_PLAIN = 4 << 10
# Bytes between two blocks that are read along rather than skipped.
cdef uint64_t GAP = 64 << 10


cdef inline size_t first_read(sp_entry *entry) noexcept:
    """How much of a record is read when one block is asked for: all of it, or its lead."""
    if entry.kind == SP_GROUP:
        return entry.size
    return entry.size if entry.size <= (WHOLE_PLAIN if entry.codec == SP_NONE else WHOLE) else entry.lead


cdef class Format2(Layout):
    """The open data file of a pipe, and its index as far as it is good; the rest is scanned."""

    def __init__(self, Source source, str index_path, int codec, bint blank):
        cdef Frames frames
        self.blank = blank
        self.source = source
        self.index_path = index_path
        self.index_place = os.path.abspath(index_path)
        self.codec = codec
        frames = read_frames(index_path, source, False)
        self.size = frames.data_size
        self.scan(frames.index, frames.tally, frames.floor, frames.complaint, frames.size > 0)

    cdef int grow(self, uint64_t size) except -1:
        """Take in the records of a shard up to a size of its file, which has not become smaller. What has no place in
        the index stays a complaint."""
        cdef Scan scan = Scan(self.source, self.index, self.tally, size, False)
        scan.run()
        self.size = size
        self.whole = self.index.count
        return self.complain_of_damage(scan)

    @cython.critical_section
    cdef Tally totals(self):
        """What the records add up to, of the index as it is now."""
        return self.tally

    def rebuild(self, damage):
        self.scan(Index(), Tally(), self.tally.end, str(damage), True)
        self.warn()

    cdef int scan(self, Index index, Tally tally, uint64_t floor, complaint, bint indexed) except -1:
        """Add to an index what it does not cover, and take it over; without one, that there is none matters only where
        something is."""
        cdef Scan scan = Scan(self.source, index, tally, self.size, False, floor)
        start = tally.end
        scan.run()
        if self.index is not None and self.index.count != index.count:
            # The blocks have other numbers then, and who is in the middle of them would skip some.
            raise errors.CorruptError(f"{complaint}; it lists {self.index.count} blocks, and the data has "
                                      f"{index.count}", path=self.index_path)
        _before = self.index, self.tally  # dropped behind this section, in which nothing may wait
        with cython.critical_section(self):
            self.index = index
            self.tally = tally
        self.whole = index.count
        if complaint is not None and (indexed or self.size > start):
            self.complaints.append(
                f"{self.index_path}: {complaint}; {max(self.size, start) - start} bytes of data were "
                "scanned instead")
        if 0 < self.size < SP_FILE_HEADER:
            self.complaints.append(f"{self.source.path}: the file ends within its header, after {self.size} bytes")
        if scan.torn and not self.source.writer() and self.source.size() == self.size:
            self.complaints.append(f"{self.source.path}: an unfinished block at the end, {self.size - self.tally.end} "
                                   "bytes, is not read")
        self.complain_of_damage(scan)

    cdef int complain_of_damage(self, Scan scan) except -1:
        for first, last in scan.damage:
            self.complaints.append(f"{self.source.path}: bytes {first} to {last} are damaged: the blocks there are "
                                   "lost, the others readable")
        return 0

    def refresh(self):
        cdef Scan scan
        with self.lock:
            size = self.source.size()
            if self.blank and size > 0 and not self.source.read(0, 1).startswith(b"\0"):
                # Nothing was here when it was opened, not even an id.
                raise errors.ReplacedError("the pipe was begun since; open it again", path=self.source.path)
            if size == self.size and (self.blank or size == self.tally.end):
                self.check_named()
                return
            if size < self.tally.end or not self.same_end():
                raise errors.ReplacedError("the end of the pipe was cut, and perhaps written anew; open it again",
                                           path=self.source.path, offset=min(size, self.tally.last))
            scan = Scan(self.source, self.index, self.tally, size, False)
            scan.run()
            with cython.critical_section(self):
                self.size = size
            self.complain_of_damage(scan)
            if self.whole == self.index.count:
                self.check_named()
            self.whole = self.index.count

    cdef bint same_end(self) except -1:
        """Whether the last record that was taken in is still there. Damage is no reason to doubt it."""
        cdef sp_record record
        cdef bytes header
        if self.tally.last == 0:
            return True
        header = self.source.read(self.tally.last, SP_RECORD_HEADER)
        if record_decode(header, len(header), self.source.id, self.tally.last, &record) != SP_OK:
            return True
        return record.crc == self.tally.last_crc

    def ended(self):
        return closed_at(self.index_place, self.source) == self.totals().end == self.source.size()

    @property
    def metadata(self):
        """The pairs of the last metadata record, as a dict."""
        cdef sp_record record
        cdef Buffer memory = Buffer()
        cdef Block block
        cdef uint64_t offset = self.totals().metadata
        if offset == 0:
            return {}
        self.source.read_into(offset, SP_RECORD_HEADER, memory.extend(SP_RECORD_HEADER), None)
        status = record_decode(memory.data, memory.size, self.source.id, offset, &record)
        if status != SP_OK:
            raise self.source.failure(status, "the metadata record", None, offset)
        if is_too_large(record.size, self.source.limit):
            raise self.source.too_large(record.size, None, offset)
        memory.size = 0
        self.source.read_into(offset, record.size, memory.extend(record.size), None)
        block = self.open_block(memory.data, record.size, offset, memory, NULL, None)
        return dict(block)

    cdef Index extent(self, uint64_t number, sp_entry *entry, uint64_t *stored):
        cdef Index index
        cdef sp_entry before
        with cython.critical_section(self):
            index = self.index
        try:
            index.entry_and_before(number, entry, &before)
        except DamagedIndex as damage:
            index = self.mend(index, damage)
            index.entry_and_before(number, entry, &before)
        stored[0] = entry.size
        if not sp_entry_follows(&before, entry):
            raise self.source.failure(SP_OVERLAP, "the index entry", self.key(index, number, entry), entry.offset)
        if entry.offset > self.size or entry.size > self.size - entry.offset:
            raise errors.TruncatedError(f"the index lists {entry.size} bytes here, the file has {self.size}",
                                        path=self.source.path, block=self.key(index, number, entry),
                                        offset=entry.offset)
        if not SP_RECORD_HEADER <= entry.lead <= entry.size:
            raise self.source.failure(SP_SIZES, "the index entry", self.key(index, number, entry), entry.offset)
        if entry.key_length > entry.lead:
            raise self.source.failure(SP_SIZES, "the index entry", self.key(index, number, entry), entry.offset)
        if (entry.size > SP_RECORD_HEADER + 2 * SP_MOST_GROUP if entry.kind == SP_GROUP
                else is_too_large(entry.size - entry.key_length, self.source.limit)):
            raise self.source.too_large(entry.size, self.key(index, number, entry), entry.offset)
        return index

    cdef Block open_block(self, const uint8_t *record, size_t present, uint64_t offset, Buffer memory, sp_entry *entry,
                          bytes key):
        """The record that begins at a pointer, of which `present` bytes are there, as a block with its head closed.

        It has to be what the index lists: the entry, and the key; for the metadata record these are NULL and None.
        """
        cdef Block block
        cdef sp_record header
        cdef uint64_t raw = 0
        cdef int status = record_decode(record, present, self.source.id, offset, &header)
        if status == SP_OK and sp_lead_size(&header) > present:
            status = SP_SIZES
        if status == SP_OK and header.kind != (SP_METADATA if entry == NULL else SP_BLOCK):
            raise errors.CorruptError(f"a record of kind {header.kind}, where another was listed",
                                      path=self.source.path, block=key, offset=offset)
        if status == SP_OK and entry != NULL and not (
                header.size == entry.size and sp_lead_size(&header) == entry.lead and header.pairs == entry.pairs
                and header.stamp == entry.stamp and header.kind == entry.kind
                and header.key_length == entry.key_length):
            status = SP_LISTED
        if status != SP_OK:
            raise self.source.failure(status, "the header of the record", key, offset)
        block = Block.__new__(Block)
        block.key = key
        block.open_record(self.source, offset, &header, record, present, memory, &raw)
        if entry == NULL:
            return block
        if header.key_length > 0 and memcmp(record + sp_key_position(&header), PyBytes_AS_STRING(key),
                                            header.key_length) != 0:
            raise self.source.failure(SP_KEY, "the record", block.key, offset)
        if raw != entry.raw or header.codec != entry.codec:
            raise self.source.failure(SP_LISTED, "the record", block.key, offset)
        return block

    cdef Block fetch(self, uint64_t number, bytes key, Near near):
        cdef Buffer memory = Buffer.__new__(Buffer)
        cdef Index index
        cdef sp_entry entry
        cdef uint64_t stored
        cdef size_t present
        index = self.extent(number, &entry, &stored)
        if key is None:
            key = self.key(index, number, &entry)
        if entry.kind == SP_GROUP:
            return self.group(&entry, key, near).member(&entry, key)
        present = first_read(&entry)
        memory.reserve(present)
        self.read(near, entry.offset, present, memory.extend(present), key)
        return self.open_block(memory.data, present, entry.offset, memory, &entry, key)

    cdef Group group(self, sp_entry *entry, bytes key, Near near):
        """The group that an entry is of, one of whose members has the key. The last one is kept, as who asks for a
        member often asks for the next."""
        cdef Group group, _before
        with cython.critical_section(self):
            group = self.last_group
        if group is not None and group.record.offset == entry.offset:
            return group
        group = self.read_group(entry, key, near)
        with cython.critical_section(self):
            _before, self.last_group = self.last_group, group
        return group

    cdef Group read_group(self, sp_entry *entry, bytes key, Near near):
        """The same, as it lies on the disk now."""
        cdef Buffer memory
        cdef sp_record record
        cdef int status
        memory = Buffer()
        memory.reserve(entry.size)
        self.read(near, entry.offset, entry.size, memory.extend(entry.size), key)
        status = record_decode(memory.data, entry.size, self.source.id, entry.offset, &record)
        if status == SP_OK and not self.source.shard:
            status = SP_KIND
        if status == SP_OK and (record.kind != SP_GROUP or record.size != entry.size):
            status = SP_LISTED
        if status != SP_OK:
            raise self.source.failure(status, "the header of the group", key, entry.offset)
        return open_group(self.source, entry.offset, &record, memory, key)

    cdef size_t first_read(self, uint64_t number, uint64_t *offset) except? 0:
        cdef sp_entry entry
        cdef uint64_t stored
        self.extent(number, &entry, &stored)
        offset[0] = entry.offset
        return first_read(&entry)

    cdef int plan(self, Batch batch, uint64_t number, uint64_t stop) except -1:
        cdef uint64_t size
        cdef Index index
        cdef sp_entry entry
        batch.first = batch.next = number
        batch.begin = batch.end = batch.raw = 0
        while batch.next < stop:
            try:
                index = self.extent(batch.next, &entry, &size)
            except errors.SmartPipeError:
                if batch.next == number:
                    raise
                break
            if batch.next > number:
                if index is not batch.index:
                    break  # a damaged one was made anew
                if entry.member == 0 and (entry.offset < batch.end or entry.offset - batch.end > GAP):
                    break
                if (entry.offset + size - batch.begin > batch.most_stored or batch.raw + entry.raw > batch.most_raw
                        or batch.next - number == MOST_BLOCKS):
                    break
            else:
                batch.index = index
                batch.begin = entry.offset
            batch.end = entry.offset + size
            batch.raw += entry.raw
            batch.next += 1
        return 0

    cdef int load(self, Batch batch, frozenset select) except -1:
        cdef Buffer stored = batch.stored.lend()
        cdef uint64_t number
        cdef sp_entry entry
        cdef Run run
        cdef Block block
        cdef Near near = None
        cdef bytes key
        cdef list closed = batch.blocks  # blocks whose heads are not inflated yet
        batch.blocks.clear()
        if batch.next == batch.first + 1 and batch.end - batch.begin > BATCH:
            batch.index.entry(batch.first, &entry)
            if entry.codec == SP_NONE:
                # Large plain values are read to where they are given out.
                block = self.fetch(batch.first, self.key(batch.index, batch.first, &entry), None)
                block.select = select
                block.load_all()
                batch.blocks.append(block)
                return 0
        self.source.read_into(batch.begin, batch.end - batch.begin, stored.extend(batch.end - batch.begin), None)
        for number in range(batch.first, batch.next):
            run = batch.index.entry(number, &entry)
            key = self.key_in(run, &entry)
            if entry.kind == SP_GROUP:
                if near is None:
                    near = Near()
                    near.begin = batch.begin
                    near.memory = stored
                    closed = list(batch.blocks)
                block = self.group(&entry, key, near).member(&entry, key)
            else:
                block = self.open_block(stored.data + (entry.offset - batch.begin), entry.size, entry.offset, stored,
                                        &entry, key)
                if near is not None:
                    closed.append(block)
            block.select = select
            batch.blocks.append(block)
        self.inflate_heads(closed, batch.tasks, batch.inflated.lend())
        self.inflate_values(closed, batch.tasks)
        return 0

    cdef int inflate_heads(self, list blocks, Buffer tasks, Buffer memory) except -1:
        cdef uint64_t total = 0
        cdef Block block
        cdef Task *task
        for block in blocks:
            if block.record.head_stored < block.record.head_raw:
                total += block.record.head_raw + SLACK
        memory.reserve(total)
        tasks.size = 0
        for block in blocks:
            task = <Task *>tasks.extend(sizeof(Task))
            task.stored = block.lead + sp_lead_size(&block.record) - block.record.head_stored
            task.size = block.record.head_stored
            task.raw = block.record.head_raw
            task.codec = block.record.codec
            task.dictionary = NULL if block.dictionary is None else block.dictionary.opened
            task.crc = block.record.head_crc
            task.slack = SLACK
            task.check = task.exact = True
            task.out = memory.extend(task.raw + SLACK) if task.size < task.raw else NULL
        self.source.run(<Task *>tasks.data, len(blocks))
        task = <Task *>tasks.data
        for block in blocks:
            if task.status != SP_OK:
                raise self.source.failure(task.status, "the head of the record", block.key, block.offset)
            if task.out == NULL:
                block.set_head(task.stored, block.stored)
            else:
                block.set_head(task.out, memory)
            task += 1
        return 0

    cdef int inflate_values(self, list blocks, Buffer tasks) except -1:
        """The selected large values: inflated into the bytes that are given out, or checked where stored plain."""
        cdef size_t count = 0
        cdef Block block
        cdef Task *task
        cdef sp_segment *segment
        cdef sp_cursor cursor
        cdef sp_pair pair
        cdef bytes value
        tasks.size = 0
        for block in blocks:
            if block.record.larges == 0:
                continue
            block.begin(&cursor)
            while block.next(&cursor, &pair):
                if pair.value == NULL:
                    segment = &block.segments[pair.large]
                    task = <Task *>tasks.extend(sizeof(Task))
                    task.stored = block.lead + segment.position
                    value = block.plan_value(segment, task)
                    if value is not None:
                        block.loaded[pair.large] = value
                    count += 1
        self.source.run(<Task *>tasks.data, count)
        task = <Task *>tasks.data
        for block in blocks:
            if block.record.larges == 0:
                continue
            block.begin(&cursor)
            while block.next(&cursor, &pair):
                if pair.value == NULL:
                    block.check_value(&block.segments[pair.large], task)
                    task += 1
            block.checked = True
        return 0


cdef Format2 shown(Source source, str index_path, int codec, Index index, Tally tally):
    """A layout of what a writer of the same process writes, whose index and tally grow with it."""
    cdef Format2 layout = Format2.__new__(Format2)
    layout.source = source
    layout.index_path = index_path
    layout.index_place = os.path.abspath(index_path)
    layout.codec = codec
    layout.index = index
    layout.tally = tally
    layout.size = tally.end
    layout.whole = index.count
    return layout
