"""Everything that lies in a data file of format 2, good or not, one piece after another.

Unlike a scan it reads the whole file, without its index, and damage is never an error but a piece of what there is.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from smartpipe._codec cimport (
    SP_BLOCK, SP_DICTIONARY, SP_DIRECTORY_ENTRY, SP_FILE_HEADER, SP_GROUP, SP_KIND_OPTIONAL, SP_MEMBER, SP_METADATA,
    SP_MOST_GROUP, SP_MOST_MEMBERS, SP_OK, SP_PAIR_LENGTHS, SP_RECORD_HEADER, SP_TOMBSTONE, Buffer, crc32, group_check,
    record_decode, sp_entry, sp_key_position, sp_lead_size, sp_load32, sp_member, sp_member_decode, sp_record,
)
from smartpipe.container.block cimport Block
from smartpipe.container.group cimport open_group
from smartpipe.container.index cimport Index
from smartpipe.container.source cimport Source
from smartpipe.container.walk cimport Walk

from smartpipe import errors
from smartpipe.container.recovery.listing import Listed

START = SP_FILE_HEADER
# A record up to this size is read whole at once; of a larger one each large value by itself.
cdef uint32_t WHOLE = 64 << 10


cdef class Piece:
    """Bytes of the data file that are no record: "damage", with a valid header behind it; the "rest" without one;
    "zeros" to the end.

    A rest may begin with the valid header of a record that reaches beyond the end: `synced` is then what it says.
    """
    cdef readonly str what
    cdef readonly uint64_t offset, end, synced

    def __init__(self, what, uint64_t offset, uint64_t end, uint64_t synced=0):
        self.what = what
        self.offset = offset
        self.end = end
        self.synced = synced


cdef class Record:
    """A record with a valid header. `key` is None, and `raw` 0, where directory and key do not match their crc; that of
    a group, which has none, is empty."""
    cdef sp_record c
    cdef readonly uint64_t offset, end, raw
    cdef readonly bytes key
    cdef bytes members             # of a group: their table

    def __init__(self):
        raise TypeError("records come from a survey")

    @property
    def blocks(self):
        """How many blocks it is: one, or as many as a group has members."""
        return max(min(self.c.pairs, <uint32_t>SP_MOST_MEMBERS), <uint32_t>1) if self.c.kind == SP_GROUP else 1

    def entries(self):
        """Return what an index lists of it, with None for what nobody knows where `key` is None."""
        cdef sp_member member
        cdef const uint8_t *p
        cdef size_t at
        cdef uint32_t i
        if self.c.kind != SP_GROUP:
            return [self.entry(self.key, None if self.key is None else self.raw, self.c.stamp, 0)]
        if self.key is None:
            return [self.entry(None, None, None, i) for i in range(self.blocks)]
        p = self.members
        at = SP_MEMBER * <size_t>self.c.pairs
        entries = []
        for i in range(self.c.pairs):
            sp_member_decode(p + SP_MEMBER * <size_t>i, &member)
            entries.append(self.entry(self.members[at:at + member.key_length], SP_PAIR_LENGTHS + member.value_length,
                                      member.stamp, i))
            at += member.key_length
        return entries

    cdef object entry(self, key, raw, stamp, member):
        return Listed(key, self.offset, self.c.size, (self.c.size, sp_lead_size(&self.c), raw, self.c.pairs, stamp,
                                                      self.c.kind, self.c.codec, member))

    @property
    def stamp(self):
        return self.c.stamp

    @property
    def synced(self):
        return self.c.synced

    @property
    def ordinal(self):
        return self.c.ordinal

    @property
    def crc(self):
        return self.c.crc

    @property
    def kind(self):
        return self.c.kind

    @property
    def codec(self):
        return self.c.codec

    @property
    def dictionary(self):
        """The number of the dictionary that it is, or is compressed with; 0 for none."""
        return self.c.dictionary

    @property
    def is_block(self):
        return self.c.kind == SP_BLOCK

    @property
    def is_tombstone(self):
        return self.c.kind == SP_TOMBSTONE

    @property
    def is_group(self):
        return self.c.kind == SP_GROUP

    @property
    def is_metadata(self):
        return self.c.kind == SP_METADATA

    @property
    def is_dictionary(self):
        return self.c.kind == SP_DICTIONARY

    @property
    def is_optional(self):
        """Whether a reader that does not know its kind skips it."""
        return self.c.kind >= SP_KIND_OPTIONAL


cdef class Survey(Walk):
    """An iterator over the records and pieces of a data file, up to `size`, without a gap, with memory for a block."""
    cdef readonly uint64_t position

    def __init__(self, Source source, uint64_t size):
        Walk.__init__(self, source, size)
        self.position = SP_FILE_HEADER

    def __iter__(self):
        return self

    def __next__(self):
        cdef uint64_t offset = self.position, found
        cdef Record record = Record.__new__(Record)
        cdef size_t n
        if offset >= self.size:
            raise StopIteration
        n = min(<uint64_t>SP_RECORD_HEADER, self.size - offset)
        if record_decode(self.need(offset, n), n, self.source.id, offset, &record.c) == SP_OK:
            if record.c.size > self.size - offset:
                self.position = self.size
                return Piece("rest", offset, self.size, record.c.synced)
            record.offset = offset
            self.position = record.end = offset + record.c.size
            self.read_key(record)
            if record.c.kind == SP_DICTIONARY:
                self.source.note_dictionary(offset)
            return record
        if self.zeros(offset):
            self.position = self.size
            return Piece("zeros", offset, self.size)
        self.position = found = self.next_header(offset + 1)
        return Piece("damage" if found < self.size else "rest", offset, found)

    def at(self, uint64_t offset):
        """Return the record with a valid header at an offset, None where there is none."""
        cdef Record record = Record.__new__(Record)
        if offset > self.size or self.size - offset < SP_RECORD_HEADER:
            return None
        if record_decode(self.need(offset, SP_RECORD_HEADER), SP_RECORD_HEADER, self.source.id, offset,
                         &record.c) != SP_OK:
            return None
        record.offset = offset
        record.end = offset + record.c.size
        return record

    cdef int read_key(self, Record record) except -1:
        cdef size_t at = sp_key_position(&record.c), n = at + record.c.key_length
        cdef const uint8_t *lead
        cdef uint32_t i
        if not self.fits(&record.c):
            return 0
        lead = self.need(record.offset, n)
        if crc32(lead + SP_RECORD_HEADER, n - SP_RECORD_HEADER) != record.c.lead_crc:
            return 0
        record.raw = record.c.head_raw
        for i in range(record.c.larges):
            record.raw += sp_load32(lead + SP_RECORD_HEADER + SP_DIRECTORY_ENTRY * <size_t>i + 4)
        if record.c.kind != SP_GROUP:
            record.key = PyBytes_FromStringAndSize(<char *>lead + at, record.c.key_length)
        elif group_check(lead + at, &record.c) == SP_OK:
            record.key = b""
            record.members = PyBytes_FromStringAndSize(<char *>lead + at, record.c.key_length)
        return 0

    def block(self, Record record, bytes key=None):
        """Return a record as a block of which every byte was checked and inflated; CorruptError and its kin where one
        is not good. With `key`, that stands in the place of the key that lies there."""
        cdef Buffer memory = Buffer()
        cdef Block block = Block.__new__(Block)
        cdef uint64_t raw
        cdef size_t n = record.c.size if record.c.size <= WHOLE else sp_lead_size(&record.c)
        if record.c.kind == SP_GROUP:
            if record.c.size > SP_RECORD_HEADER + 2 * SP_MOST_GROUP:
                raise errors.CorruptError("a group of more bytes than one can have", path=self.source.path,
                                          offset=record.offset)
            memory.append(self.need(record.offset, record.c.size), record.c.size)
            return open_group(self.source, record.offset, &record.c, memory, key).record
        if not self.fits(&record.c) or record.c.head_raw > self.source.limit:
            raise errors.BlockTooLargeError(f"key, directory or head are over max_block_size, {self.source.limit}",
                                            path=self.source.path, offset=record.offset)
        memory.append(self.need(record.offset, n), n)
        if key is not None and <uint64_t>PyBytes_GET_SIZE(key) == record.c.key_length:
            memcpy(memory.data + sp_key_position(&record.c), PyBytes_AS_STRING(key), record.c.key_length)
        block.open_record(self.source, record.offset, &record.c, memory.data, n, memory, &raw)
        if record.c.kind == SP_METADATA and record.c.key_length > 0:
            raise errors.CorruptError("a metadata record with a key", path=self.source.path, offset=record.offset)
        if record.c.kind == SP_TOMBSTONE and record.c.pairs > 0:
            raise errors.CorruptError("a tombstone with pairs", path=self.source.path, offset=record.offset)
        block.load_all()
        if record.c.kind == SP_DICTIONARY and self.source.dictionary_at(record.offset) is None:
            raise errors.CorruptError("a dictionary record that is none", path=self.source.path, offset=record.offset)
        return block


cdef class Keys:
    """The block keys that were met, each with the offset where it was met last."""
    cdef Index index

    def __init__(self):
        self.index = Index()

    def meet(self, bytes key, uint64_t offset):
        """Note a key at an offset; returns the offset where it was met before, None where it was not."""
        cdef sp_entry entry
        cdef object before = None
        number = self.index.find(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        if number >= 0:
            self.index.entry(number, &entry)
            before = entry.offset
        entry.offset = offset
        entry.stamp = 0
        entry.size = entry.lead = entry.raw = entry.pairs = 0
        entry.key_length = <uint32_t>min(<uint64_t>PyBytes_GET_SIZE(key), <uint64_t>UINT32_MAX)
        entry.kind = entry.codec = entry.member = 0
        self.index.add(&entry, <const uint8_t *>PyBytes_AS_STRING(key))
        return before
