from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry
from smartpipe.container.block cimport Block
from smartpipe.container.group cimport Group
from smartpipe.container.index cimport Index
from smartpipe.container.layout cimport Layout, Near
from smartpipe.container.scan cimport Scan
from smartpipe.container.source cimport Source
from smartpipe.container.tally cimport Tally


cdef class Format2(Layout):
    cdef readonly Tally tally      # for threads: `totals`, as it goes with the index
    cdef readonly int codec
    cdef bint blank                # nothing was written yet when it was opened
    cdef Group last_group          # that was inflated
    cdef int grow(self, uint64_t size) except -1
    cdef Tally totals(self)
    cdef Block open_block(self, const uint8_t *record, size_t present, uint64_t offset, Buffer memory, sp_entry *entry,
                          bytes key)
    cdef Group group(self, sp_entry *entry, bytes key, Near near)
    cdef Group read_group(self, sp_entry *entry, bytes key, Near near)
    cdef int scan(self, Index index, Tally tally, uint64_t floor, complaint, bint indexed) except -1
    cdef int complain_of_damage(self, Scan scan) except -1
    cdef bint same_end(self) except -1
    cdef int inflate_heads(self, list blocks, Buffer tasks, Buffer memory) except -1
    cdef int inflate_values(self, list blocks, Buffer tasks) except -1


cdef Format2 shown(Source source, str index_path, int codec, Index index, Tally tally)
