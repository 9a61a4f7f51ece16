from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry, sp_record
from smartpipe.container.block cimport Block
from smartpipe.container.compressor cimport Compressor
from smartpipe.container.encoder cimport Encoder2
from smartpipe.container.index cimport Index
from smartpipe.container.source cimport Source


cdef class Group:
    """A group, read, inflated and found good; threads may share it."""
    cdef Block record              # with a pair for each member; keeps what was read
    cdef const uint8_t *table      # of its members
    cdef Buffer places             # of the keys in the table and of the values in the head
    cdef Block member(self, sp_entry *entry, bytes key)


cdef Group open_group(Source source, uint64_t offset, sp_record *record, Buffer memory, bytes key)
cdef int encode_group(Encoder2 encoder, list members, Compressor compressor) except -1
cdef int stamp_members(Encoder2 encoder, uint64_t stamp) except -1
cdef int list_members(Index index, const uint8_t *lead, const sp_record *record, uint64_t offset) except -1
