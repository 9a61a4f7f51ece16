"""The files of a pipe as a writer fills them: whole blocks behind one another, and the index along with them."""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport UINT32_MAX, uint16_t, uint32_t

from smartpipe._codec cimport (
    SP_BLOCK, SP_DICTIONARY, SP_ENTRY, SP_FILE_HEADER, SP_FRAME_CLOSED, SP_FRAME_ENDED, SP_GROUP, SP_HASH_KEY,
    SP_METADATA, SP_NONE, SP_ZLIB,
    Buffer, record_encode, sp_entry, sp_entry1_offsets, sp_lead_size, sp_record, sp_store32,
)
from smartpipe._platform cimport clock, date
from smartpipe.container.frames cimport frame_bytes, frame_parts, header_bytes
from smartpipe.container.group cimport list_members, stamp_members
from smartpipe.container.source cimport MOST_DICTIONARY

from smartpipe import errors
from smartpipe._platform import disk
from smartpipe.container.durability import Grouped, Timer
from smartpipe.container.headers import file_header_bytes
from smartpipe.container.index import DamagedIndex

cdef extern from "Python.h":
    int PyBUF_READ

# FORMAT.md, «Index»: when a frame is written, and when the index is made anew as one.
cdef uint64_t FRAME_ENTRIES = (64 << 10) // SP_ENTRY
cdef uint64_t FRAME_TIME = 1_000_000_000  # ns
cdef uint64_t MOST_LOOSE = 16384
cdef uint64_t MOST_FRAMES = 16
# So many bytes are gathered before they are handed to the system, where blocks may wait in the process.
cdef uint64_t WAITING = 1 << 20
# A file that a writer makes longer than this gets room on the disk ahead: as much as a quarter of what it has, within
# these bounds. Writing 72 MB to ext4 in pieces of 41 KB and of 1 MiB took 8 % and 15 % less time with it.
cdef uint64_t LONG = 4 << 20
cdef uint64_t LEAST_ROOM = 4 << 20
cdef uint64_t MOST_ROOM = 64 << 20
cdef uint64_t BLOCK = 64 << 10  # what a file system may give beyond the end of any file


def unpublished(index_path):
    """Return where an index is written that takes the place of another."""
    return index_path + ".tmp"


cdef object view(Buffer buffer):
    return PyMemoryView_FromMemory(<char *>buffer.data, <Py_ssize_t>buffer.size, PyBUF_READ)


cdef class Output:
    def __cinit__(self):
        self.syncs = True

    def release(self):
        """Close the files, and with the data file give the lock back."""
        try:
            if self.timer is not None:
                self.timer.stop()
            self.give_room_back()
        finally:
            self.index_file.close()
            self.data.close()

    cdef int give_room_back(self) except -1:
        """Behind the last block the file has no room on the disk any more."""
        if self.allocated >= self.written + BLOCK and self.failed is None:
            try:
                disk.truncate(self.data, self.written)
            except OSError:
                pass  # room that nobody has asked for stays allocated
            self.allocated = 0
        return 0

    cdef int make_room(self, uint64_t n) except -1:
        """Before n bytes are written to the data file. Where the system has no room ahead to give, writing tells."""
        cdef uint64_t end = self.written + n
        if end < LONG or end <= self.allocated or self.cramped:
            return 0
        try:
            disk.allocate(self.data, self.written, n + min(max(self.written // 4, LEAST_ROOM), MOST_ROOM))
            self.allocated = end + min(max(self.written // 4, LEAST_ROOM), MOST_ROOM)
        except OSError:
            self.cramped = True
        return 0

    cdef int check_owner(self) except -1:
        if self.data.number < 0:
            raise errors.ClosedError("the writer belongs to the process that this one was forked from",
                                     path=self.data_path)
        return 0

    cdef int check_usable(self) except -1:
        self.check_owner()
        if self.timer is not None and self.timer.error is not None and self.failed is None:
            self.unsyncable = True
            self.fail(self.timer.error, "the data could not be synced")
        if self.failed is not None:
            raise errors.StorageError(f"nothing more is written after an error: {self.failed}", path=self.data_path,
                                      number=self.failed_number)
        return 0

    def fail(self, error, what, block=None):
        """Let an OSError be the last thing that happens to these files; returns what to raise."""
        self.failed = f"{what}: {error.strerror}"
        self.failed_number = error.errno
        self.lose_waiting()
        return errors.StorageError(f"{self.failed}; {self.index.count} blocks are whole", path=self.data_path,
                                   block=block, offset=self.written, number=error.errno)

    def broken(self, error, block):
        """After a write that did not end: cut off what there is of it; returns what to raise.

        After an error of the system nothing more is written. After an interrupt the writer goes on, if nothing is left
        of the unfinished block. Where others may have seen blocks of what was written, these stay, and whoever goes on
        with the file cuts what is not whole.
        """
        whole = not self.shared and self.cut()
        if isinstance(error, OSError):
            return self.fail(error, "a block could not be written", block)
        if not whole:
            self.failed = "a write was interrupted, and what there is of it was not cut off"
            self.lose_waiting()
        return error

    def lose_waiting(self):
        """Forget the blocks that the system did not get."""

    cdef int put(self, bytes key, Encoder encoder) except -1:
        """Write an encoded block. An error leaves whole blocks only, and the files are not written to any more."""
        raise TypeError("an output is of a format")

    def keep(self, durability, replaces):
        """Sync as a durability asks: after each block, by groups, or at the end. A replaced pipe is always safe."""
        self.each = durability == "block"
        self.syncs = durability != "none" or replaces
        self.waits = durability == "none"
        if self.written > 0:
            self.allocated = self.written + <uint64_t>self.data.room()  # a killed writer leaves some
        if isinstance(durability, Grouped):
            self.group = durability.bytes or 0
            if durability.milliseconds is not None:
                self.timer = Timer(self.files(), durability.milliseconds)

    def files(self):
        """What has to be synced for a block to be on the disk, in this order."""
        raise TypeError("an output is of a format")

    cdef int acknowledge(self) except -1:
        """After a block was written: sync, where that is due."""
        if self.each or (self.group > 0 and self.size - self.synced >= self.group):
            self.sync_blocks()
        elif self.timer is not None:
            self.timer.wrote(self.size)
        return 0

    def cut(self):
        """After a failed write: back to the last whole block; False where the system does not let us.

        Readers then tell the unfinished block from a whole one, and the next append cuts it.
        """
        try:
            disk.truncate(self.data, self.written)
        except BaseException:  # also an interrupt: who called this is about to raise another error
            return False
        return True

    def hand_over(self):
        """Let the system have every block."""

    def sync_blocks(self):
        """Let every block reach the disk. A failure is final: the system may have forgotten what it could not write."""
        self.check_usable()
        self.hand_over()
        try:
            for file in self.files():
                disk.sync(file)
        except OSError as error:
            self.unsyncable = True
            raise self.fail(error, "the data could not be synced") from error
        self.synced = self.size
        if self.timer is not None:
            self.timer.rest()

    def sync_after_failure(self):
        """Let the blocks that were written before an error reach the disk. A sync that failed is not tried again."""
        if self.unsyncable:
            self.check_usable()
        if self.syncs:
            for file in self.files():
                disk.sync(file)


cdef class Output1(Output):
    """Format 1: an entry of the index before the data of each block."""

    def __init__(self, str data_path, str index_path, Descriptor data, Descriptor index_file, index, uint64_t size,
                 uint64_t index_size, uint64_t raw_size):
        self.format = 1
        self.codec = SP_ZLIB if data_path.endswith(".datz") else SP_NONE
        self.data_path = data_path
        self.index_path = index_path
        self.data = data
        self.index_file = index_file
        self.index = index
        self.size = self.written = self.synced = size
        self.guarded = size > 0 or index_size > 0
        self.index_size = index_size
        self.raw_size = raw_size

    def files(self):
        # Data that no entry lists would belong to the block before it.
        return [self.index_file, self.data]

    def cut(self):
        if not Output.cut(self):
            return False  # the entry stays too: what no entry lists would belong to the block before it
        try:
            disk.truncate(self.index_file, self.index_size)
        except OSError:
            return False
        return True

    cdef int put(self, bytes key, Encoder encoder) except -1:
        cdef Buffer line = Buffer()
        cdef sp_entry entry
        cdef uint32_t n = <uint32_t>PyBytes_GET_SIZE(key)
        sp_store32(line.extend(4), n)
        line.append(PyBytes_AS_STRING(key), n)
        sp_entry1_offsets(line.extend(16), self.size, self.raw_size)
        try:
            disk.write(self.index_file, view(line))
            self.guard()
            self.make_room(encoder.out.size)
            disk.write(self.data, view(encoder.out))
        except BaseException as error:
            raise self.broken(error, key) from error
        entry.offset = self.size
        entry.stamp = self.raw_size
        entry.size = entry.lead = entry.raw = entry.pairs = 0
        entry.key_length = n
        entry.kind = SP_BLOCK
        entry.codec = self.codec
        entry.member = 0
        self.index.add(&entry, <const uint8_t *>PyBytes_AS_STRING(key))
        self.size += encoder.out.size
        self.written = self.size
        self.raw_size += encoder.raw
        self.index_size += line.size
        return 0

    def flush(self):
        """Nothing waits: every block was handed to the system."""

    def guard(self):
        """Before anything lies behind blocks that are on the disk, where they end has to be there too."""
        if self.timer is not None and self.timer.rounds != self.rounds:
            self.rounds = self.timer.rounds
            self.guarded = True
        if self.guarded:
            try:
                if self.timer is not None and self.timer.error is not None:
                    raise self.timer.error  # a sync that failed is not tried again
                disk.sync(self.index_file)
            except OSError:
                self.unsyncable = True
                raise
            self.guarded = False

    def sync_blocks(self):
        Output.sync_blocks(self)
        self.guarded = True

    def sync(self):
        self.sync_blocks()

    def seal(self):
        """Finish the files."""
        if self.syncs:
            self.sync_blocks()


cdef class Output2(Output):
    """Format 2: records, and frames of the index that follow them."""

    def __init__(self, str data_path, str index_path, Descriptor data, Descriptor index_file, uint64_t id,
                 int codec, index, tally):
        self.format = 2
        self.codec = codec
        self.data_path = data_path
        self.index_path = index_path
        self.data = data
        self.index_file = index_file
        self.id = id
        self.index = index
        self.hash_key = self.index.file_key()
        self.tally = tally
        self.size = self.written = self.synced = self.tally.end
        self.waiting = Buffer()
        self.flushed_to = SP_FILE_HEADER
        self.flush_time = clock()

    def files(self):
        # The index is a cache, which no block needs.
        return [self.data]

    def begin(self, syncs, shard=False):
        """Write the header of the data file, and the index file with its header.

        The first is on the disk before the second is written: without it nothing tells what records the file has.
        """
        cdef Buffer out = header_bytes(self.id, self.hash_key)
        disk.write(self.data, file_header_bytes(self.id, self.codec, shard))
        if syncs:
            disk.sync(self.data)
        disk.write(self.index_file, view(out))
        self.index_size = out.size
        self.appendable = True

    def go_on(self, uint64_t index_size, uint64_t frames, uint64_t loose, uint64_t flushed, uint64_t flushed_to,
              bint sealed):
        """Continue an index file whose frames are good."""
        self.index_size = index_size
        self.frames = frames
        self.loose = loose
        self.flushed = flushed
        self.flushed_to = flushed_to
        self.sealed = sealed
        self.appendable = True

    cdef int put(self, bytes key, Encoder encoder) except -1:
        cdef Encoder2 record = encoder
        cdef uint64_t offset = self.size
        self.put_record(key, record)
        return self.list_record(key, record, offset)

    cdef int put_group(self, Encoder2 encoder, bint is_new) except -1:
        """Append a group, whose members get a stamp of now if they are new, and else keep theirs."""
        cdef uint64_t offset = self.size
        if is_new:
            stamp_members(encoder, max(date(), self.tally.stamp + 1, encoder.record.stamp))
        self.put_record(None, encoder)
        list_members(self.index, encoder.out.data, &encoder.record, offset)
        return self.list_when_due()

    cdef int copy_record(self, const uint8_t *p, sp_record *record, uint64_t raw, bytes key) except -1:
        """Append a record of another file as it is stored there, with its stamp: only its header is made anew. The
        number of its dictionary is one of this file."""
        cdef uint64_t offset = self.size
        cdef size_t before
        if self.tally.ordinal > UINT32_MAX:
            raise errors.BlockTooLargeError(f"the file has {self.tally.ordinal} records, and no room for more",
                                            path=self.data_path, block=key)
        if self.waiting.size >= WAITING:
            self.hand_over()
        before = self.waiting.size
        self.waiting.append(p, record.size)
        record.synced = self.tally.synced
        record.ordinal = <uint32_t>self.tally.ordinal
        record_encode(record, self.id, offset, self.waiting.data + before)
        self.tally.note(record, offset, raw)
        self.size = self.tally.end
        if record.kind == SP_GROUP:
            list_members(self.index, p, record, offset)
            return self.list_when_due()
        return self.list_header(key, record, raw, offset)

    cdef int put_together(self, bytes key, Encoder2 encoder, Compressor compressor) except -1:
        """Encode a block where blocks wait, and so without a copy."""
        cdef uint64_t offset = self.size
        cdef size_t before
        if self.waiting.size >= WAITING:
            self.hand_over()
        before = self.waiting.size
        encoder.encode_to(self.waiting, key, compressor)
        try:
            self.complete(encoder, key, self.waiting.data + before)
        except BaseException:
            self.waiting.size = before
            raise
        self.tally.note(&encoder.record, self.size, encoder.raw)
        self.size = self.tally.end
        return self.list_record(key, encoder, offset)

    cdef int list_record(self, bytes key, Encoder2 encoder, uint64_t offset) except -1:
        """Take a block into the index."""
        return self.list_header(key, &encoder.record, encoder.raw, offset)

    cdef int list_header(self, bytes key, const sp_record *record, uint64_t raw, uint64_t offset) except -1:
        cdef sp_entry entry
        entry.offset = offset
        entry.stamp = record.stamp
        entry.size = record.size
        entry.lead = <uint32_t>sp_lead_size(record)
        entry.raw = <uint32_t>raw
        entry.pairs = record.pairs
        entry.key_length = record.key_length
        entry.codec = record.codec
        entry.kind = record.kind
        entry.member = 0
        self.index.add(&entry, <const uint8_t *>PyBytes_AS_STRING(key))
        return self.list_when_due()

    cdef int list_when_due(self) except -1:
        """List in the index file what has gathered; never in the middle of a group."""
        if (self.index.count - self.flushed >= FRAME_ENTRIES
                or clock() - self.flush_time >= FRAME_TIME):
            self.write_frame(False, 0)
        return 0

    def put_metadata(self, Encoder2 encoder):
        """Write an encoded block as the metadata record."""
        encoder.record.kind = SP_METADATA
        self.put_record(b"", encoder)

    def put_dictionary(self, bytes content):
        """Write a dictionary, twice, so that damage of one copy loses no block, and compress with it from now on."""
        cdef Encoder2 encoder = Encoder2(UINT32_MAX, SP_NONE)
        # Never the number of one that was lost: its blocks would be inflated to something else.
        cdef Dictionary dictionary = Dictionary(self.numbered + 1, content)
        if len(content) > MOST_DICTIONARY:
            raise ValueError(f"the dictionary has {len(content)} bytes, more than {MOST_DICTIONARY}")
        if dictionary.number > 0xffff:
            raise ValueError("the pipe has 65,535 dictionaries, and no room for more")
        encoder.add(b"", content)
        encoder.encode(b"", Compressor(SP_NONE, 1))
        encoder.record.kind = SP_DICTIONARY
        encoder.record.dictionary = <uint16_t>dictionary.number
        for _ in range(2):
            self.put_record(b"", encoder)
        self.dictionary = dictionary
        self.numbered = dictionary.number

    cdef int put_record(self, bytes key, Encoder2 encoder) except -1:
        self.complete(encoder, key, encoder.out.data)
        if not self.waits:
            self.hand_over()  # what an interrupt has left waiting comes first
            self.write_data(encoder.out, key)
        else:
            if self.waiting.size >= WAITING:
                self.hand_over()
            self.waiting.append(encoder.out.data, encoder.out.size)
        self.tally.note(&encoder.record, self.size, encoder.raw)
        self.size = self.tally.end
        return 0

    cdef int complete(self, Encoder2 encoder, bytes key, uint8_t *out) except -1:
        """Write the header of an encoded record, which tells its place."""
        cdef sp_record *record = &encoder.record
        if self.tally.ordinal > UINT32_MAX:
            raise errors.BlockTooLargeError(f"the file has {self.tally.ordinal} records, and no room for more",
                                            path=self.data_path, block=key)
        if self.timer is not None:
            self.tally.synced = max(self.tally.synced, <uint64_t>self.timer.synced)
        record.stamp = max(date(), self.tally.stamp + 1, record.stamp)
        record.synced = self.tally.synced
        record.ordinal = <uint32_t>self.tally.ordinal
        record_encode(record, self.id, self.size, out)
        return 0

    cdef int write_data(self, Buffer data, bytes key) except -1:
        try:
            self.make_room(data.size)
            disk.write(self.data, view(data))
        except BaseException as error:
            raise self.broken(error, key) from error
        self.written += data.size
        return 0

    def hand_over(self):
        if self.waiting.size > 0:
            self.write_data(self.waiting, None)
            self.waiting.size = 0

    def lose_waiting(self):
        cdef sp_entry entry
        cdef uint64_t count = self.index.count
        while count > 0:
            self.index.entry(count - 1, &entry)
            if entry.offset < self.written:
                break
            count -= 1
        self.index.cut(count)
        self.waiting.size = 0

    cdef bint write_frame(self, bint table, uint32_t flags) except -1:
        """List in the index file what it does not list yet. A failure is no loss: the data has it all."""
        cdef Buffer out
        self.hand_over()
        self.flush_time = clock()
        if not self.appendable:
            return False
        try:
            out = frame_bytes(self.id, self.index, self.tally, self.flushed, self.flushed_to, self.index_size, table,
                              flags, self.hash_key)
            disk.write(self.index_file, view(out))
        except (OSError, DamagedIndex):
            self.appendable = False  # made anew on close
            return False
        except BaseException:
            self.appendable = False  # interrupted in the middle of it
            raise
        if not table:
            self.loose += self.index.count - self.flushed
        self.index_size += out.size
        self.frames += 1
        self.flushed = self.index.count
        self.flushed_to = self.tally.end
        self.sealed = flags & SP_FRAME_CLOSED
        return True

    def flush(self):
        """Let the system have every block, and the index list it."""
        self.hand_over()
        if self.tally.end > self.flushed_to:
            self.write_frame(False, 0)

    def sync_blocks(self):
        Output.sync_blocks(self)
        self.tally.sync()

    def sync(self):
        self.sync_blocks()
        self.flush()

    def seal(self):
        """Finish the index; the data is synced before."""
        if self.sealed and self.appendable and self.flushed_to == self.tally.end:
            return
        if self.syncs:
            self.sync_blocks()
        else:
            self.hand_over()
        self.give_room_back()  # the index may need it
        flags = SP_FRAME_CLOSED if self.syncs else SP_FRAME_ENDED
        try:
            if self.loose <= MOST_LOOSE and self.frames < MOST_FRAMES and self.write_frame(True, flags):
                if self.syncs:
                    disk.sync(self.index_file)
            else:
                self.rewrite_index(flags)
        except OSError as error:
            raise self.fail(error, "the index could not be written; the data is whole") from error

    def rewrite_index(self, uint32_t flags):
        """Make the index anew as one frame, and rename it over the old one."""
        cdef bytes hash_key = os.urandom(SP_HASH_KEY)
        cdef Buffer header = header_bytes(self.id, hash_key), part
        cdef uint64_t size = header.size
        cdef list frame
        path = unpublished(self.index_path)
        # In parts: of millions of blocks nothing is copied.
        frame = frame_parts(self.id, self.index, self.tally, 0, SP_FILE_HEADER, size, True, flags, hash_key)
        file = disk.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
        try:
            disk.write(file, view(header))
            for part in frame:
                disk.write(file, view(part))
                size += part.size
            if self.syncs:
                disk.sync(file)
            disk.rename(path, self.index_path)
            if self.syncs:
                disk.sync_folder(os.path.dirname(self.index_path))
        except BaseException:
            file.close()
            raise
        self.index_file.close()
        self.index_file = file
        self.hash_key = hash_key
        self.index_size = size
        self.frames = 1
        self.loose = 0
        self.flushed = self.index.count
        self.flushed_to = self.tally.end
        self.appendable = True
        self.sealed = flags & SP_FRAME_CLOSED
