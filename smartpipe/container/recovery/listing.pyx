"""What the index file of a pipe of format 2 says, read by somebody who does not trust it. FORMAT.md, «Index»."""

import mmap
from collections import namedtuple

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from smartpipe._codec cimport (
    SP_ENTRY, SP_FILE_HEADER, SP_GROUP, SP_FRAME_CLOSED, SP_FRAME_ENDED, SP_HASH_KEY, SP_INDEX_HEADER, SP_OK, SP_PAGE,
    SP_SLOT, SP_TOMBSTONE, SP_TRUNCATED, Buffer, crc32, frame_decode, index_decode, run_entry, run_place, siphash,
    sp_entry, sp_entry_follows, sp_frame, sp_frame_body, sp_frame_sums, sp_index, sp_load32, sp_load64, words,
)
from smartpipe.container.index cimport Index, Mapped, Run

from smartpipe._platform import open_reading

Listed = namedtuple("Listed", "key offset size fields", module=__name__)
Listed.__doc__ = """An entry: the key of a block, where its record lies, and its fields: size, lead size, raw size,
pairs, stamp, kind, codec, and its number in a group."""

Fault = namedtuple("Fault", "torn offset size reason", module=__name__)
Fault.__doc__ = """What is wrong with the index file itself, and where; `torn`, where it may be an unfinished write."""


cdef uint64_t LONGEST_SEARCH = 4096
cdef uint64_t NUMBER = (<uint64_t>1 << 48) - 1  # of the entry that a slot names, and one


cdef class Frame:
    """A frame whose header and sums are good; `good`, when its pages are too."""
    cdef sp_frame c
    cdef Run run
    cdef readonly uint64_t offset
    cdef readonly bint good

    def __init__(self):
        raise TypeError("frames come from a listing")

    @property
    def start(self):
        return self.c.start

    @property
    def to(self):
        return self.c.to

    @property
    def size(self):
        return self.c.size

    @property
    def synced(self):
        return self.c.synced

    @property
    def totals(self):
        """Blocks, pairs and raw bytes of the file up to `to`."""
        return self.c.blocks, self.c.pairs, self.c.raw

    @property
    def stamp(self):
        return self.c.stamp

    @property
    def metadata(self):
        return self.c.metadata

    @property
    def dictionaries(self):
        """The offsets of the dictionary records in what it covers."""
        cdef uint64_t i
        return [sp_load64(self.run.c.entries + SP_ENTRY * self.c.entries + 8 * i) for i in range(self.c.dictionaries)]

    @property
    def last_crc(self):
        return self.c.last_crc

    @property
    def closed(self):
        """Whether the pipe was closed here, with all of the data on the disk."""
        return bool(self.c.flags & SP_FRAME_CLOSED)

    @property
    def ended(self):
        """Whether the pipe was closed here."""
        return bool(self.c.flags & (SP_FRAME_CLOSED | SP_FRAME_ENDED))


cdef class Listing:
    """The frames of an index file as far as their headers are good; `faults` lists what is not as it should be.

    `complaint` tells why none of it can be used for the data file with an id: it is missing, stale or another's. That
    of a `shard` lists tombstones too, which are no blocks.
    """
    cdef readonly list frames
    cdef readonly list faults
    cdef readonly str complaint
    cdef readonly uint64_t size
    cdef Mapped mapped
    cdef bytes hash_key
    cdef bint shard

    def __init__(self, str path, uint64_t id, bint shard=False):
        self.shard = shard
        self.frames = []
        self.faults = []
        self.hash_key = bytes(SP_HASH_KEY)
        try:
            file = open_reading(path)
        except FileNotFoundError:
            self.complaint = "there is no index"
            return
        try:
            self.size = file.size()
            if self.size > 0:
                self.mapped = Mapped(mmap.mmap(file.number, self.size, access=mmap.ACCESS_READ))
        finally:
            file.close()
        if self.size == 0:
            self.complaint = "the index is empty"
            return
        self.read(id)

    cdef int read(self, uint64_t id) except -1:
        cdef const uint8_t *p = <const uint8_t *>self.mapped.view.buf
        cdef uint64_t offset = SP_INDEX_HEADER, covered = SP_FILE_HEADER
        cdef sp_index header
        cdef Frame frame
        cdef int status = index_decode(p, self.size, &header)
        if status != SP_OK:
            self.complaint = f"the index header: {words(status)}"
            return 0
        if header.id != id:
            self.complaint = "the index belongs to another data file"
            return 0
        self.hash_key = header.hash_key[:SP_HASH_KEY]
        while offset < self.size:
            frame = Frame.__new__(Frame)
            status = frame_decode(p + offset, self.size - offset, id, offset, &frame.c)
            if status != SP_OK:
                self.faults.append(Fault(status == SP_TRUNCATED, offset, self.size - offset,
                                         f"the frame header or the sums: {words(status)}"))
                break
            if frame.c.start != covered:
                self.faults.append(Fault(False, offset, frame.c.size,
                                         f"the frame covers data from {frame.c.start}, the one before up to {covered}"))
                break
            frame.offset = offset
            self.take(frame)
            self.frames.append(frame)
            covered = frame.c.to
            offset += frame.c.size
        return 0

    cdef int take(self, Frame frame) except -1:
        """Check the pages of a frame, and what they hold against each other."""
        cdef Index index = Index(self.hash_key)
        cdef uint64_t n
        index.map_frame(self.mapped, frame.offset, &frame.c, False)
        frame.run = index.runs[0]
        n = len(self.faults)
        self.check_pages(frame)
        if len(self.faults) == n:
            self.check_entries(frame)
        if len(self.faults) == n and frame.c.slots > 0:
            self.check_slots(frame)
        frame.good = len(self.faults) == n
        return 0

    cdef int fault(self, Frame frame, const uint8_t *at, uint64_t size, str reason) except -1:
        self.faults.append(Fault(False, <uint64_t>(at - <const uint8_t *>self.mapped.view.buf), size, reason))
        return 0

    cdef int check_pages(self, Frame frame) except -1:
        cdef const uint8_t *body = frame.run.c.body
        cdef const uint8_t *sums = frame.run.c.sums
        cdef uint64_t size = sp_frame_body(&frame.c), at = 0, n
        cdef uint64_t pages = (size + SP_PAGE - 1) // SP_PAGE, used
        while at < size:
            n = min(size - at, <uint64_t>SP_PAGE)
            if crc32(body + at, n) != sp_load32(sums + at // SP_PAGE * 4):
                self.fault(frame, body + at, n, "the checksum of a page does not match")
            at += SP_PAGE
        for at in range(4 * pages, sp_frame_sums(size)):
            if sums[at] != 0:
                self.fault(frame, sums + at, 1, "bytes behind the sums are not zero")
        used = <uint64_t>(frame.run.c.keys - body) + frame.c.key_bytes
        for at in range(used, size):
            if body[at] != 0:
                self.fault(frame, body + at, 1, "bytes behind the keys are not zero")
        return 0

    cdef int check_entries(self, Frame frame) except -1:
        """That entries lie behind one another within what the frame covers, and their keys within the frame."""
        cdef const uint8_t *p = frame.run.c.entries
        cdef uint64_t number, end = frame.c.start
        cdef sp_entry entry, before
        cdef str wrong
        memset(&before, 0, sizeof(before))
        before.offset = end
        for number in range(frame.c.entries):
            wrong = None
            if run_entry(&frame.run.c, number, &entry) != SP_OK:
                wrong = "the key of an entry lies outside of the frame"
            elif not sp_entry_follows(&before, &entry) or entry.offset > frame.c.to or (
                    entry.size > frame.c.to - entry.offset):
                wrong = f"an entry names bytes {entry.offset} to {entry.offset + entry.size}, not between {end} and " \
                        f"{frame.c.to}"
            elif entry.lead > entry.size or (entry.kind != SP_GROUP and (p[46] != 0 or p[47] != 0)):
                wrong = "an entry contradicts itself"
            if wrong is not None:
                return self.fault(frame, p, SP_ENTRY, wrong)
            before = entry
            end = entry.offset + entry.size
            p += SP_ENTRY
        return 0

    cdef int check_slots(self, Frame frame) except -1:
        """That the search for each key ends at the last entry that has it. Each slot is looked at once, as a table may
        have been made to be slow."""
        cdef const uint8_t *slots = frame.run.c.slots
        cdef uint64_t count = frame.c.slots, number, slot, step, at, first = 0, empty = 0, hashed, distance
        cdef Buffer named = Buffer()
        cdef Index last
        cdef sp_entry entry
        cdef const uint8_t *key
        while first < count and sp_load64(slots + SP_SLOT * first) != 0:
            first += 1
        if first == count:
            return self.slot_fault(frame, "there is no empty slot")
        memset(named.extend(frame.c.entries + 1), 0, frame.c.entries + 1)
        for step in range(1, count):
            at = (first + step) % count
            slot = sp_load64(slots + SP_SLOT * at)
            if slot == 0:
                empty = step
                continue
            number = (slot & NUMBER) - 1
            if number >= frame.c.entries or named.data[number]:
                return self.slot_fault(frame, f"slot {at} names entry {number}, which is not there or named before")
            named.data[number] = 1
            run_entry(&frame.run.c, number, &entry)
            hashed = siphash(self.hash_key, frame.run.c.keys + entry.key, entry.key_length)
            distance = (at + count - run_place(hashed, count)) % count
            if slot >> 48 != hashed & 0xffff or distance >= step - empty or distance >= LONGEST_SEARCH:
                return self.slot_fault(frame, f"no search for the key of entry {number} ends at slot {at}")
        last = None
        for number in range(frame.c.entries):
            if named.data[number]:
                continue
            if last is None:
                last = Index()
                for at in range(frame.c.entries):
                    run_entry(&frame.run.c, at, &entry)
                    key = frame.run.c.keys + entry.key
                    last.add(&entry, key)
            run_entry(&frame.run.c, number, &entry)
            found = last.find(frame.run.c.keys + entry.key, entry.key_length)
            if found < 0 or not named.data[<uint64_t>found]:
                return self.slot_fault(frame, f"no slot names entry {number}")
        return 0

    cdef int slot_fault(self, Frame frame, str reason) except -1:
        return self.fault(frame, frame.run.c.slots, SP_SLOT * frame.c.slots, reason)

    def entries(self):
        """Iterate over the entries of all frames that are good, in the order of the file."""
        cdef Frame frame
        cdef sp_entry entry
        cdef uint64_t number
        for frame in self.frames:
            if not frame.good:
                continue
            for number in range(frame.c.entries):
                run_entry(&frame.run.c, number, &entry)
                yield Listed(frame.run.c.keys[entry.key:entry.key + entry.key_length], entry.offset, entry.size,
                             (entry.size, entry.lead, entry.raw, entry.pairs, entry.stamp, entry.kind, entry.codec,
                              entry.member))

    def sums(self):
        """Iterate over the frames: each with blocks, pairs, raw bytes, largest stamp of the entries so far, and the
        offset of the last one; until one is not good."""
        cdef Frame frame
        cdef sp_entry entry
        cdef uint64_t number, blocks = 0, pairs = 0, raw = 0, stamp = 0, last = 0
        for frame in self.frames:
            if not frame.good:
                break
            for number in range(frame.c.entries):
                run_entry(&frame.run.c, number, &entry)
                if not self.shard or entry.kind != SP_TOMBSTONE:
                    blocks += 1
                    pairs += 1 if entry.kind == SP_GROUP else entry.pairs
                    raw += entry.raw
                stamp = max(stamp, entry.stamp)
                last = max(last, entry.offset)
            yield frame, (blocks, pairs, raw), stamp, last

    def disown(self, complaint):
        """Use nothing of it, for a reason."""
        self.complaint = complaint
        self.frames.clear()
        self.faults.clear()
