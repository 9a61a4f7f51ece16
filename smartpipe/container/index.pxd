from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, sp_entry, sp_frame, sp_run


cdef class Mapped:
    """The bytes of an index file, mapped; what keeps its runs valid."""
    cdef object source
    cdef Py_buffer view


cdef class Run:
    """Entries in file order: a frame with a table as it is mapped, or what is in memory only and may grow.

    What is mapped never changes, and threads look at it side by side. What is in memory moves when it grows, and its
    table is made when a key is first looked for: there one thread at a time does anything.
    """
    cdef sp_run c
    cdef uint64_t first            # the number of its first entry in the pipe
    cdef object mapped             # what keeps a mapped frame alive; None in memory
    cdef Buffer entries
    cdef Buffer keys
    cdef Buffer slots
    cdef Buffer checked
    cdef uint64_t hashed           # how many of its entries are in the table, of a run in memory
    cdef int entry(self, uint64_t number, sp_entry *entry) except -1
    cdef bytes key(self, sp_entry *entry)
    cdef int find(self, const uint8_t *hash_key, uint64_t hash, const uint8_t *key, size_t n,
                  uint64_t *number) except -1
    cdef int append(self, sp_entry *entry, const uint8_t *key) except -1
    cdef int take(self, Run other, uint64_t first) except -1
    cdef size_t take1(self, const uint8_t *p, size_t n, uint8_t codec, uint64_t offset, uint64_t stamp) except? 0
    cdef int trim(self) except -1
    cdef int cut(self, uint64_t count) except -1
    cdef int hash(self, const uint8_t *hash_key) except -1
    cdef Buffer table(self, uint64_t slot_count, const uint8_t *hash_key)


cdef class Index:
    """Where the blocks of a pipe are: entries by number in the order of the file, and by key."""
    cdef list runs
    cdef uint8_t[16] hash_key      # of the index file, which its author chose
    cdef uint8_t[16] own_key       # of what is in memory
    cdef readonly uint64_t count
    cdef Run own(self)
    cdef int add(self, sp_entry *entry, const uint8_t *key) except -1
    cdef size_t add1(self, const uint8_t *p, size_t n, uint8_t codec, sp_entry *last) except? 0
    cdef int expect(self, const uint8_t *key, size_t n) except -1
    cdef int64_t find(self, const uint8_t *key, size_t n) except -2
    cdef Run run_of(self, uint64_t number)
    cdef Run entry(self, uint64_t number, sp_entry *entry)
    cdef int entry_and_before(self, uint64_t number, sp_entry *entry, sp_entry *before) except -1
    cdef int map_frame(self, Mapped mapped, uint64_t offset, sp_frame *frame, bint checked) except -1
    cdef int copy_frame(self, Mapped mapped, uint64_t offset, sp_frame *frame) except -1
    cdef uint64_t listed_end(self, Mapped mapped, uint64_t offset, sp_frame *frame, uint64_t data_size) except? 0
    cdef Run run_from(self, uint64_t first)
