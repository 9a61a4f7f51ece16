"""What the records of a pipe add up to: what index frames carry, and a writer needs to go on."""

from smartpipe._codec cimport SP_BLOCK, SP_DICTIONARY, SP_FILE_HEADER, SP_GROUP, SP_METADATA, SP_TOMBSTONE


cdef class Tally:
    def __init__(self):
        self.end = SP_FILE_HEADER
        self.dictionaries = []

    cdef int note(self, const sp_record *record, uint64_t offset, uint64_t raw) except -1:
        """Add a record; `raw` is the raw size of the block, or of the group."""
        if record.kind == SP_BLOCK:
            self.blocks += 1
            self.pairs += record.pairs
            self.raw += raw
        elif record.kind == SP_GROUP:
            self.blocks += record.pairs
            self.pairs += record.pairs
            self.raw += raw
        elif record.kind == SP_METADATA:
            self.metadata = offset
        elif record.kind == SP_DICTIONARY:
            self.dictionaries.append(offset)
        if record.kind in (SP_BLOCK, SP_TOMBSTONE, SP_METADATA, SP_DICTIONARY, SP_GROUP):
            # An index knows nothing of other records, and its last one is what it is held against.
            self.last = offset
            self.last_crc = record.crc
        self.end = offset + record.size
        self.synced = max(self.synced, record.synced)
        self.stamp = max(self.stamp, record.stamp)
        self.ordinal = record.ordinal + 1
        return 0

    def sync(self):
        """All that was noted has reached the disk."""
        self.synced = self.end
