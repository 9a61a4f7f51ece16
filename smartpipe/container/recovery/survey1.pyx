"""The index of a pipe of format 1 read as far as it can be, and blocks where it says that they are.

FORMAT.md, «Format 1». There are no checksums: what can be found wrong are offsets, lengths and streams.
"""

from collections import namedtuple

from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from smartpipe._codec cimport (
    SP_ENTRY1, SP_FULL, SP_OK, SP_TRUNCATED, SP_ZLIB, Buffer, entry1_decode, most_raw, pairs_check, sp_entry1,
    sp_load32, sp_load64,
)
from smartpipe.container.block cimport Block
from smartpipe.container.source cimport SLACK, Source, Task

from smartpipe import errors

Entry1 = namedtuple("Entry1", "at key offset raw_offset good follows", module=__name__)
Entry1.__doc__ = """An entry, and where it lies in the index file.

`good` where its offsets agree with its neighbours', `follows` where it begins right behind the entry before it.
"""

cdef uint8_t BAD = 1, BEHIND_GAP = 2


cdef class Entries:
    """The entries of an index file for so many bytes of data, as far as they can be told from damage.

    `gaps` lists (start, end) of what is no entry, the last to the end of the file where that ends within one.
    """
    cdef bytes data
    cdef bint compressed
    cdef uint64_t end
    cdef Buffer places             # of the entries in the file, a u64 each
    cdef Buffer flags              # a byte each
    cdef Buffer leads              # for each byte of the file how many entries follow from there exactly to its end
    cdef size_t zeros              # where the zeros begin with which the file ends
    cdef readonly uint64_t count
    cdef readonly list gaps

    def __init__(self, bytes data, bint compressed, uint64_t end):
        self.data = data
        self.compressed = compressed
        self.end = end
        self.places = Buffer()
        self.flags = Buffer()
        self.leads = Buffer()
        self.gaps = []
        self.zeros = len(data.rstrip(b"\0"))
        self.find_leads()
        self.walk()
        self.judge()

    @property
    def sound(self):
        """Whether nothing is wrong with them."""
        cdef uint64_t number
        for number in range(self.count):
            if self.flags.data[number]:
                return False
        return not self.gaps

    cdef bint decode(self, size_t at, sp_entry1 *entry) noexcept:
        cdef const uint8_t *p = self.data
        return entry1_decode(p + at, <size_t>len(self.data) - at, entry) == SP_OK

    cdef bint follows(self, sp_entry1 *before, sp_entry1 *entry) noexcept:
        return before.offset <= entry.offset and before.raw_offset <= entry.raw_offset

    cdef bint agrees(self, sp_entry1 *entry) noexcept:
        return self.compressed or entry.offset == entry.raw_offset

    cdef int find_leads(self) except -1:
        cdef size_t n = len(self.data), at = n, next
        cdef uint32_t *leads
        cdef sp_entry1 entry, behind
        leads = <uint32_t *>self.leads.extend(4 * (n + 1))
        memset(leads, 0, 4 * (n + 1))
        while at > 0:
            at -= 1
            if self.decode(at, &entry) and self.agrees(&entry):
                next = at + SP_ENTRY1 + entry.key_length
                if next == n:
                    leads[at] = 1
                elif leads[next]:
                    self.decode(next, &behind)
                    if self.follows(&entry, &behind):
                        leads[at] = leads[next] + 1
        return 0

    cdef int walk(self) except -1:
        """Note entries, and step over what is none."""
        cdef size_t n = len(self.data), at = 0, next, found = 0
        cdef uint8_t flags = 0
        cdef sp_entry1 last, entry
        last.offset = last.raw_offset = 0
        while at < n:
            if self.zeros_begin(at, last.offset > 0):
                self.gaps.append((at, n))
                break
            if self.leading(at) > 0 or self.plausible(at, &last, &entry):
                self.decode(at, &entry)
                self.note(at, flags)
                flags = 0
                last = entry
                at += SP_ENTRY1 + entry.key_length
                continue
            if self.decode(at, &entry):
                next = at + SP_ENTRY1 + entry.key_length
                if next == n or self.leading(next) > 0:
                    # It has its length, and only its offsets are wrong.
                    self.note(at, flags | BAD)
                    flags = 0
                    at = next
                    continue
            if found <= at:
                found = self.next_lead(at + 1)
            next = found
            if next == n and self.decode(at, &entry) and self.agrees(&entry) and self.follows(&last, &entry):
                # Nothing that is more plausible comes behind it.
                self.note(at, flags)
                flags = 0
                last = entry
                at += SP_ENTRY1 + entry.key_length
                continue
            self.gaps.append((at, next))
            flags = BEHIND_GAP
            at = next
        return 0

    cdef bint zeros_begin(self, size_t at, bint behind) noexcept:
        """Whether from within the entry at a place on all is zeros, which never arrived on the disk.

        20 zeros are also the entry of a block at 0 with an empty key, which there can be once, and not `behind` another
        place.
        """
        cdef const uint8_t *p = self.data
        cdef size_t n = len(self.data), key_length
        if n - at < SP_ENTRY1:
            return False
        key_length = sp_load32(p + at)
        if n - at - SP_ENTRY1 < key_length or (not behind and (key_length > 0 or n - at == SP_ENTRY1)):
            return False
        return at + 4 + key_length >= self.zeros

    cdef int note(self, size_t at, uint8_t flags) except -1:
        (<uint64_t *>self.places.extend(8))[0] = at
        self.flags.extend(1)[0] = flags
        self.count += 1
        return 0

    cdef bint plausible(self, size_t at, sp_entry1 *last, sp_entry1 *entry) noexcept:
        """Whether an entry behind another is within the data, and says no more raw bytes than that can have."""
        return (self.decode(at, entry) and self.agrees(entry) and self.follows(last, entry)
                and entry.offset <= self.end
                and entry.raw_offset // 1032 <= most_raw(SP_ZLIB, entry.offset) // 1032 + 64 * self.count)

    cdef uint32_t leading(self, size_t at) noexcept:
        return (<uint32_t *>self.leads.data)[at]

    cdef size_t next_lead(self, size_t at) noexcept:
        """The place behind `at` from which the most entries follow to the end, the first of them within the data.

        Bytes of a key may look like an entry too, but that leads past others.
        """
        cdef size_t n = len(self.data), best = n
        cdef sp_entry1 entry
        while at < n:
            if self.leading(at) > 0 and self.leading(at) >= self.leading(best):
                self.decode(at, &entry)
                if entry.offset <= self.end:
                    best = at
            at += 1
        return best

    cdef int judge(self) except -1:
        """Find the entries with bad offsets: where two contradict each other, the first if without it all is well."""
        cdef Buffer kept = Buffer()  # numbers of those that rise
        cdef uint64_t *stack
        cdef size_t top = 0
        cdef uint64_t number
        cdef sp_entry1 entry, before
        kept.reserve(8 * self.count + 1)
        stack = <uint64_t *>kept.data
        for number in range(self.count):
            if self.flags.data[number] & BAD:
                continue
            self.decode((<uint64_t *>self.places.data)[number], &entry)
            if top > 0:
                self.decode((<uint64_t *>self.places.data)[stack[top - 1]], &before)
                if not self.follows(&before, &entry):
                    if self.flags.data[number] & BEHIND_GAP and not self.is_confirmed(number, &before, &entry):
                        self.flags.data[number] |= BAD
                        continue
                    if top > 1:
                        self.decode((<uint64_t *>self.places.data)[stack[top - 2]], &before)
                    else:
                        before.offset = before.raw_offset = 0
                    if not self.follows(&before, &entry):
                        self.flags.data[number] |= BAD
                        continue
                    top -= 1
                    self.flags.data[stack[top]] |= BAD
            stack[top] = number
            top += 1
        return 0

    cdef bint is_confirmed(self, uint64_t number, sp_entry1 *before, sp_entry1 *entry) noexcept:
        """Whether the entry behind one that follows a gap is against the one before the gap, too."""
        cdef sp_entry1 next
        if number + 1 == self.count or self.flags.data[number + 1]:
            return False
        self.decode((<uint64_t *>self.places.data)[number + 1], &next)
        return next.offset <= self.end and self.follows(entry, &next) and not self.follows(before, &next)

    def torn_offset(self):
        """Return the offset that the entry has within which the index ends, though not all of it is there; None where
        that is not."""
        cdef const uint8_t *p
        cdef size_t n, key_length
        start = self.gaps[-1][0]
        p = <const uint8_t *>self.data + <size_t>start
        n = <size_t>len(self.data) - <size_t>start
        if n < 4:
            return None
        key_length = sp_load32(p)
        if key_length > n or n - key_length < 12:
            return None
        return sp_load64(p + 4 + key_length)

    def __iter__(self):
        """Iterate over the entries, in the order of the file."""
        cdef sp_entry1 entry
        cdef uint64_t number, at
        for number in range(self.count):
            at = (<uint64_t *>self.places.data)[number]
            self.decode(at, &entry)
            yield Entry1(at, entry.key[:entry.key_length], entry.offset, entry.raw_offset,
                         not self.flags.data[number] & BAD, not self.flags.data[number] & BEHIND_GAP)


cdef class Survey1:
    """The data file of a pipe of format 1."""
    cdef Source source
    cdef bint compressed

    def __init__(self, Source source, bint compressed):
        self.source = source
        self.compressed = compressed

    def block(self, bytes key, uint64_t offset, uint64_t size, raw):
        """Return the block of so many stored bytes at an offset, all of which were looked at; `raw` is how many it has
        when inflated, None where the index does not tell. CorruptError and its kin where that is not so."""
        cdef uint64_t limit = min(self.source.limit, <uint64_t>UINT32_MAX)
        cdef Buffer stored = Buffer(), data
        if raw is not None and raw > limit:
            raise errors.BlockTooLargeError(f"{raw} bytes, more than max_block_size, {limit}", path=self.source.path,
                                            block=key, offset=offset)
        if raw is not None and raw != size and (
                not self.compressed or size == 0 or raw > most_raw(SP_ZLIB, size)):
            raise errors.CorruptError(f"{size} stored bytes for {raw} raw ones", path=self.source.path, block=key,
                                      offset=offset)
        if size > most_stored(limit) or (not self.compressed and size > limit):
            raise errors.BlockTooLargeError(f"{size} stored bytes, more than max_block_size, {limit}, allows",
                                            path=self.source.path, block=key, offset=offset)
        self.source.read_into(offset, size, stored.extend(size), key)
        data = stored
        if self.compressed and size > 0:
            data = self.inflate(stored, key, offset, limit if raw is None else <uint64_t>raw, raw is not None)
        return self.open(data, key, offset)

    cdef Buffer inflate(self, Buffer stored, bytes key, uint64_t offset, uint64_t most, bint exact):
        """One stream of `most` bytes, or of no more than that; memory grows with what comes out."""
        cdef Buffer out
        cdef uint64_t room = most if exact else min(max(4 * <uint64_t>stored.size, <uint64_t>(64 << 10)), most)
        cdef Task task
        while True:
            out = Buffer()
            task.stored = stored.data
            task.size = stored.size
            task.out = out.extend(room + SLACK)
            task.raw = room
            task.codec = SP_ZLIB
            task.dictionary = NULL
            task.slack = SLACK if exact else 0
            task.check = False
            task.exact = exact
            self.source.run(&task, 1)
            if task.status != SP_FULL or exact or room == most:
                break
            room = min(2 * room, most)
        if task.status == SP_FULL and not exact:
            raise errors.BlockTooLargeError(f"more bytes than max_block_size, {most}", path=self.source.path, block=key,
                                            offset=offset)
        if task.status != SP_OK:
            raise self.source.failure(task.status, "the compressed block", key, offset)
        out.size = task.raw
        return out

    cdef Block open(self, Buffer data, bytes key, uint64_t offset):
        cdef Block block = Block.__new__(Block)
        cdef uint64_t good
        cdef int status = pairs_check(data.data, data.size, &block.record.pairs, &good)
        if status != SP_OK:
            kind = errors.TruncatedError if status == SP_TRUNCATED else errors.BlockTooLargeError
            raise kind(f"the pairs of the block end after {good} of {data.size} bytes", path=self.source.path,
                       block=key, offset=offset)
        block.key = key
        block.source = self.source
        block.offset = offset
        block.head = data.data
        block.memory = data
        block.record.head_raw = <uint32_t>data.size
        return block


cdef uint64_t most_stored(uint64_t raw) noexcept nogil:
    """More than a stream of so many bytes ever takes."""
    return raw + raw // 512 + 1024
