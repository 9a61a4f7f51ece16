from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry
from smartpipe.container.block cimport Block
from smartpipe.container.layout cimport Layout
from smartpipe.container.source cimport Task


cdef class Format1(Layout):
    cdef readonly bint compressed
    cdef readonly bint torn        # the index ends within an entry
    cdef uint64_t end              # where that entry says the data before it ends
    cdef bint written              # a writer had the pipe open when the index was read last
    cdef readonly uint64_t index_good  # bytes of the index that are whole entries
    cdef bytes last_entry          # of them
    cdef uint64_t finished(self) except? 0
    cdef uint64_t last_offset(self) except? 0
    cdef int plan_task(self, sp_entry *entry, uint64_t number, uint64_t stored, Task *task, bytes key) except -1
    cdef uint64_t raw_size(self, uint64_t number, sp_entry *entry, uint64_t stored) except? 0
    cdef Buffer inflate_last(self, const uint8_t *stored, uint64_t n, bytes key, uint64_t offset)
    cdef Block open_block(self, const uint8_t *data, uint64_t n, uint64_t offset, Buffer memory, bytes key)
