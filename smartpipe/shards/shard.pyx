"""A shard: a pipe whose header says that it belongs to a store. FORMAT.md, «Stores»."""

import os
import time

from smartpipe._codec cimport SP_FILE_HEADER
from smartpipe._platform cimport Descriptor
from smartpipe.container.format2 cimport shown
from smartpipe.container.source cimport Source

from smartpipe import errors
from smartpipe._platform import disk, lock, open_reading
from smartpipe.container.headers import shard_header
from smartpipe.container.index import Index
from smartpipe.container.opening import APPEND, CREATE, WAIT, Found, append2, remove, still_named
from smartpipe.container.paths import EXTENSIONS, Paths
from smartpipe.container.tally import Tally


cdef class Shard:
    def __init__(self, uint64_t id, str data, int codec, uint64_t counter):
        self.id = id
        self.data = data
        self.codec = codec
        self.counter = counter

    cdef bint look(self) except -1:
        """Take in what its writer wrote since; False where its end was cut and perhaps written anew, so that it has to
        be opened again."""
        cdef uint64_t size = self.layout.source.size(), end = self.layout.tally.end
        if size < end or not self.layout.same_end():
            return False
        if size > end:
            self.layout.grow(size)
        return True

    cdef int sync(self) except -1:
        """Let all that was taken in reach the disk, whoever wrote it."""
        self.layout.source.enter()
        try:
            disk.sync(self.layout.source.file)
        except OSError as error:
            raise errors.StorageError(f"the data could not be synced: {error.strerror}", path=self.data,
                                      number=error.errno) from error
        finally:
            self.layout.source.leave(0)
        return 0


def index_of(data):
    """Return the path of the index that belongs to a data file."""
    return os.path.splitext(data)[0] + ".idx"


cdef Source source_of(str path, uint64_t id, uint64_t limit):
    """The data file of a shard, open for reading. A damaged header is no reason not to read what is behind it."""
    cdef Source source
    file = open_reading(path)
    try:
        try:
            found, _ = shard_header(file, path)
        except errors.CorruptError as error:
            errors.warn(f"{error}; its records are read nevertheless")
        else:
            if found != id:
                raise errors.CorruptError(f"the store has the shard {id:016x} here, and this file is {found:016x}",
                                          path=path)
    except BaseException:
        file.close()
        raise
    source = Source(path, file, id, limit)
    source.shard = True
    return source


def open_shard(folder, listed, limit):
    """Open a shard that a manifest lists, for reading. FileNotFoundError where its file is not there."""
    cdef Shard shard = Shard(listed.id, os.path.join(folder, listed.data), listed.codec, listed.counter)
    cdef Source source
    for wait in WAIT:
        source = source_of(shard.data, shard.id, limit)
        written = source.writer()  # who may be gone when the files were read
        shard.layout = Format2(source, index_of(shard.data), shard.codec, False)
        if not shard.layout.complaints or not (written or source.writer()):
            break
        time.sleep(wait)  # the frame of the index that is not whole is perhaps just being written
    if shard.layout.tally.end > shard.layout.size:
        shard.layout.complaints.append(
            f"{shard.data}: the file was cut: it has {shard.layout.size} bytes, and its index lists "
            f"{shard.layout.tally.end}; the blocks behind them are lost")
    shard.layout.warn()
    return shard


def create_shard(folder, codec, limit, syncs):
    """Begin a shard, whose lock this process has then; no manifest lists it yet."""
    cdef uint64_t id
    cdef Shard shard
    cdef Output2 output
    cdef Source source
    while True:
        id = int.from_bytes(os.urandom(8), "little")
        shard = Shard(id, os.path.join(folder, f"{id:016x}") + EXTENSIONS[codec > 0], codec, 0)
        file = disk.open(shard.data, CREATE)
        if lock(file, required=False) and still_named(file, shard.data):
            break
        file.close()  # it was collected before it was locked
    index = index_of(shard.data)
    try:
        output = Output2(shard.data, index, file, disk.open(index, CREATE), id, codec, Index(), Tally())
        output.begin(syncs, True)
        disk.sync_folder(folder)
        source = source_of(shard.data, id, limit)
    except BaseException:
        file.close()
        remove([index, shard.data])
        raise
    shard.output = output
    shard.layout = shown(source, index, codec, output.index, output.tally)
    return shard


cdef Output2 begin_again(Shard shard, Descriptor file):
    """Make a shard of an empty file, or of one that ends within its header."""
    cdef Output2 output
    index = index_of(shard.data)
    disk.truncate(file, 0)
    remove([index])  # not cut: a reader may have mapped it
    output = Output2(shard.data, index, file, disk.open(index, CREATE), shard.id, shard.codec, Index(), Tally())
    output.begin(True, True)
    return output


def adopt_shard(folder, listed, limit, is_open):
    """Take over an open shard whose writer is gone: what it left unfinished is cut, and all else kept. None where it
    has a writer, or `is_open`, which is asked when this process has its lock, says that it is not an open shard."""
    cdef Shard shard = Shard(listed.id, os.path.join(folder, listed.data), listed.codec, listed.counter)
    cdef Output2 output
    cdef Source source
    try:
        file = disk.open(shard.data, APPEND)
    except FileNotFoundError:
        return None
    try:
        if not lock(file, required=False) or not is_open(listed):
            file.close()
            return None
        if <uint64_t>file.size() < SP_FILE_HEADER:
            # It did not reach the disk before the power failed, and so nothing behind it was ever synced.
            output, cut = begin_again(shard, file), None
            source = source_of(shard.data, shard.id, limit)
        else:
            source = source_of(shard.data, shard.id, limit)
            output, cut = append2(Paths(os.path.splitext(shard.data)[0], None), source, file,
                                  Found(2, shard.id, shard.codec))
    except errors.CorruptError as error:
        file.close()
        errors.warn(f"{error}; nothing is appended to this shard")
        return None
    except BaseException:
        file.close()
        raise
    if cut is not None:
        errors.warn(f"{shard.data}: cut off: {cut}, which a process left that was killed")
    # Whoever made these names may have been killed before they reached the disk.
    disk.sync_folder(folder)
    shard.output = output
    shard.layout = shown(source, output.index_path, shard.codec, output.index, output.tally)
    return shard
