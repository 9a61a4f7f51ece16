from libc.stdint cimport uint8_t, uint32_t, uint64_t

from smartpipe._codec cimport Buffer, Dictionary, sp_record
from smartpipe._platform cimport Descriptor
from smartpipe.container.compressor cimport Compressor
from smartpipe.container.encoder cimport Encoder, Encoder2
from smartpipe.container.index cimport Index
from smartpipe.container.tally cimport Tally


cdef class Output:
    """The open files of a pipe that is written, of either format. Everything here happens under the writer's lock."""
    cdef readonly Index index
    cdef readonly str data_path
    cdef readonly str index_path
    cdef readonly int format
    cdef readonly int codec
    cdef Descriptor data           # with the lock
    cdef Descriptor index_file
    cdef readonly uint64_t size    # of the data: whole blocks only
    cdef uint64_t written          # how much of that the system has
    cdef uint64_t allocated        # up to here the file has room on the disk
    cdef bint cramped              # the system has no room ahead to give
    cdef uint64_t synced           # how much of that this writer brought to the disk
    cdef bint each                 # each block is synced
    cdef bint syncs                # blocks are synced at the end
    cdef bint waits                # blocks may wait in the process
    cdef uint64_t group            # bytes that wait at most for a sync, 0: there is no limit
    cdef object timer              # that syncs some time after a write; None: there is none
    cdef readonly uint64_t index_size
    cdef bint unsyncable
    cdef bint shared               # other processes see what is written at once: nothing of it is taken back
    cdef object failed_number      # of the system for that; None: it was an interrupt
    cdef readonly str failed       # why nothing more is written; None while all is well
    cdef int put(self, bytes key, Encoder encoder) except -1
    cdef int give_room_back(self) except -1
    cdef int make_room(self, uint64_t n) except -1
    cdef int check_owner(self) except -1
    cdef int check_usable(self) except -1
    cdef int acknowledge(self) except -1


cdef class Output1(Output):
    cdef uint64_t raw_size
    cdef bint guarded              # the blocks before are on the disk, and where the last one ends perhaps not
    cdef long rounds               # of the timer, when that was last looked at


cdef class Output2(Output):
    cdef readonly Tally tally
    cdef public uint64_t numbered  # dictionaries that the pipe has or had
    cdef public Dictionary dictionary  # what is written is compressed with; None for none
    cdef readonly uint64_t id
    cdef bytes hash_key            # of the index file
    cdef Buffer waiting            # blocks that the system does not have yet
    cdef uint64_t flushed          # entries that frames in the index file list
    cdef uint64_t flushed_to       # the data that they cover
    cdef uint64_t loose            # entries in frames without a table
    cdef uint64_t frames
    cdef uint64_t flush_time
    cdef bint appendable           # the index file holds good frames and nothing else
    cdef bint sealed               # and the last one says closed
    cdef bint write_frame(self, bint table, uint32_t flags) except -1
    cdef int put_record(self, bytes key, Encoder2 encoder) except -1
    cdef int put_together(self, bytes key, Encoder2 encoder, Compressor compressor) except -1
    cdef int list_record(self, bytes key, Encoder2 encoder, uint64_t offset) except -1
    cdef int list_header(self, bytes key, const sp_record *record, uint64_t raw, uint64_t offset) except -1
    cdef int put_group(self, Encoder2 encoder, bint is_new) except -1
    cdef int list_when_due(self) except -1
    cdef int copy_record(self, const uint8_t *p, sp_record *record, uint64_t raw, bytes key) except -1
    cdef int complete(self, Encoder2 encoder, bytes key, uint8_t *out) except -1
    cdef int write_data(self, Buffer data, bytes key) except -1
