"""Reading a pipe."""

import os
from collections import namedtuple
from operator import index

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t

from smartpipe._codec cimport sp_entry
from smartpipe.container.block cimport Block, as_bytes
from smartpipe.container.format1 cimport Format1
from smartpipe.container.format2 cimport Format2
from smartpipe.container.layout cimport Batch, Layout

from smartpipe import errors
from smartpipe.container.headers import CODECS
from smartpipe.container.opening import open_layout
from smartpipe.container.paths import paths_of

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)

MAX_BLOCK_SIZE = 256 << 20

Entry = namedtuple("Entry", "key number offset stored raw pairs stamp", module=__name__)
Split = namedtuple("Split", "path id start stop", module=__name__)
Split.__doc__ = """The blocks from number ``start`` to before ``stop`` of the pipe with the data file ``path``.

It can be pickled; `smartpipe.open(split)` reads these blocks, in another process too. ``id`` is the pipe's file id, 0
in format 1.
"""
Entry.__doc__ = """What the index knows of a block.

``key``; ``number`` in the order of the file; ``offset`` and ``stored`` bytes in the data file; ``raw``, the bytes of
its pairs (8 and the lengths of key and value for each); number of ``pairs``; ``stamp``, nanoseconds since 1970 when it
was written. In format 1 ``pairs`` and ``stamp`` are None, and so is ``raw`` of the last block of a compressed pipe.
"""


def check_limit(limit):
    """Return max_block_size as it is used: formats and memory end at 4 GiB - 1."""
    if limit < 1:
        raise ValueError(f"max_block_size is {limit}, not at least 1")
    return min(limit, 0xffffffff)


cdef class Reader:
    """An open pipe, for reading: a mapping from block keys to blocks, in the order of the file.

    It shows the blocks that were whole when it was opened, never writes and takes no lock. It may be used by
    several threads. See `smartpipe.open`.

    >>> import smartpipe, tempfile
    >>> prefix = tempfile.mkdtemp() + "/pipe"
    >>> with smartpipe.open(prefix, "w") as pipe:
    ...     pipe.write(b"a", {b"raw": b"<html>"})
    >>> with smartpipe.open(prefix) as pipe:
    ...     len(pipe), b"a" in pipe, list(pipe), pipe[b"a"][b"raw"]
    (1, True, [b'a'], b'<html>')
    """

    def __cinit__(self):
        self.closed = True

    def __init__(self, path, *, max_block_size=MAX_BLOCK_SIZE):
        split = path if isinstance(path, Split) else None
        paths = paths_of(path if split is None else split.path)
        try:
            self.layout, self.data_path = open_layout(paths, check_limit(max_block_size))
        except errors.SmartPipeError:
            raise
        except OSError as error:
            path = error.filename or paths.prefix
            raise errors.StorageError(error.strerror, path=path, number=error.errno) from error
        self.layout.warn()
        self.closed = False
        self.path = paths.prefix
        self.index_path = paths.index
        if isinstance(self.layout, Format2):
            self.format = 2
            codec = (<Format2>self.layout).codec
            self.codec = CODECS.get(codec, f"codec {codec}")
        else:
            self.format = 1
            self.codec = CODECS[(<Format1>self.layout).compressed]
        self.stop = self.layout.index.count
        if split is not None:
            if split.id != self.layout.source.id or split.stop > self.stop:
                self.close()
                raise errors.FormatError(f"the split is of another pipe: it ends at block {split.stop} of the pipe "
                                         f"{split.id:016x}", path=self.data_path)
            self.first = self.cursor = split.start
            self.stop = split.stop

    def close(self):
        """Close the pipe. Blocks that were given out keep what they have; closing twice is fine."""
        if not self.closed:
            self.closed = True
            self.layout.close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *error):
        self.close()

    cdef int check_open(self) except -1:
        if self.closed:
            raise errors.ClosedError("the pipe was closed", path=self.data_path)
        return 0

    # By key

    cdef Block find_block(self, bytes key):
        self.check_open()
        cdef int64_t number = self.layout.find(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        if number < 0 or not self.first <= <uint64_t>number < self.stop:
            return None
        return self.layout.fetch(number, key)

    def __getitem__(self, key):
        cdef bytes wanted = as_bytes(key, "the key")
        cdef Block block = self.find_block(wanted)
        if block is None:
            raise errors.BlockNotFound("there is no such block", path=self.data_path, block=wanted)
        return block

    def get(self, key, default=None):
        """Return the block with a key, or the default where there is none."""
        cdef Block block = self.find_block(as_bytes(key, "the key"))
        return default if block is None else block

    def __contains__(self, key):
        self.check_open()
        cdef bytes wanted = as_bytes(key, "the key")
        cdef int64_t number = self.layout.find(<const uint8_t *>PyBytes_AS_STRING(wanted), PyBytes_GET_SIZE(wanted))
        return number >= 0 and self.first <= <uint64_t>number < self.stop

    def get_many(self, keys):
        """Iterate over (key, block or None) for many keys: those there are in file order, then the others."""
        self.check_open()
        found, absent = [], []
        for key in keys:
            wanted = as_bytes(key, "the key")
            number = self.layout.find(wanted, len(wanted))
            if number >= 0 and self.first <= <uint64_t>number < self.stop:
                found.append((number, wanted))
            else:
                absent.append(wanted)
        found.sort()
        return self._fetch_many(found, absent)

    def _fetch_many(self, found, absent):
        for number, key in found:
            self.check_open()
            yield key, self.layout.fetch(number, key)
        for key in absent:
            yield key, None

    # In order

    def __len__(self):
        return self.stop - self.first

    def __iter__(self):
        return self.keys()

    def keys(self):
        """Iterate over the block keys, in the order of the file."""
        self.check_open()
        return self._iterate_keys()

    def _iterate_keys(self):
        cdef uint64_t number = self.first
        cdef sp_entry entry
        while number < self.stop:
            self.check_open()
            self.layout.entry(number, &entry)
            yield self.layout.index.key(number, &entry)
            number += 1

    def items(self, select=None, start=None):
        """Iterate over (key, block), in the order of the file.

        Blocks are read and inflated many at a time. `select` is an iterable of pair keys: the blocks then show only
        these pairs, and no other large value is inflated. `start` is the number of the first block, or its key. The
        iterator's `position` is the number of the block that comes next. A block that was given was checked as far as
        it is selected. Keeping a block costs its own memory, not that of its neighbours.
        """
        self.check_open()
        cdef Items items = Items.__new__(Items)
        items.reader = self
        items.batch = Batch()
        items.number = items.careful = self._number_of(start)
        if select is not None:
            if isinstance(select, (bytes, str)):
                raise TypeError("select is an iterable of pair keys, not one key")
            items.select = frozenset([as_bytes(key, "the key") for key in select])
        return items

    def _number_of(self, start):
        if start is None:
            return self.first
        if hasattr(start, "__index__"):
            start = index(start)
            if not 0 <= start <= self.stop - self.first:
                raise ValueError(f"start is {start}, the pipe has {len(self)} blocks")
            return self.first + start
        wanted = as_bytes(start, "the key")
        number = self.layout.find(wanted, len(wanted))
        if number < 0 or not self.first <= <uint64_t>number < self.stop:
            raise errors.BlockNotFound("there is no such block to start at", path=self.data_path, block=wanted)
        return number

    def entries(self):
        """Iterate over what the index knows of each block, an `Entry` each, without reading the data."""
        self.check_open()
        return self._iterate_entries()

    def _iterate_entries(self):
        cdef uint64_t number = self.first
        cdef sp_entry entry
        while number < self.stop:
            self.check_open()
            self.layout.entry(number, &entry)
            key = self.layout.index.key(number, &entry)
            if self.format == 2:
                yield Entry(key, number - self.first, entry.offset, entry.size, entry.raw, entry.pairs, entry.stamp)
            else:
                offset, stored, raw = (<Format1>self.layout).sizes(number)
                yield Entry(key, number - self.first, offset, stored, raw, None, None)
            number += 1

    def splits(self, n):
        """Return at most n parts of about the same stored size; `smartpipe.open` reads one, in another process too."""
        cdef sp_entry entry
        self.check_open()
        if n < 1:
            raise ValueError(f"a pipe can not be split into {n} parts")
        count = len(self)
        parts = []
        if count == 0:
            return parts
        self.layout.entry(self.first, &entry)
        begin = entry.offset
        self.layout.entry(self.stop - 1, &entry)
        end = entry.offset + 1
        start = self.first
        for part in range(1, n + 1):
            stop = self.stop if part == n else self._first_at(begin + (end - begin) * part // n)
            if stop > start:
                parts.append(Split(os.path.abspath(self.data_path), self.layout.source.id, start, stop))
                start = stop
        return parts

    def _first_at(self, offset):
        """The number of the first block at or behind an offset of the data file."""
        cdef uint64_t low = self.first, high = self.stop, middle
        cdef sp_entry entry
        while low < high:
            middle = (low + high) // 2
            self.layout.entry(middle, &entry)
            if entry.offset < <uint64_t>offset:
                low = middle + 1
            else:
                high = middle
        return low

    # The original's way

    @property
    def position(self):
        """The number of the block that `pull_block()` reads next."""
        return self.cursor - self.first

    def get_next_block_key(self):
        """Return the key of the block that `pull_block()` reads next, None at the end."""
        cdef sp_entry entry
        self.check_open()
        if self.cursor >= self.stop:
            return None
        self.layout.entry(self.cursor, &entry)
        return self.layout.index.key(self.cursor, &entry)

    def pull_block(self, key=None):
        """Iterate over the pairs of the next block, or of the one with a key; the next is then the one behind it.

        An unknown key, and the end of the pipe, give no pairs.
        """
        cdef int64_t number
        self.check_open()
        if key is None:
            wanted = self.get_next_block_key()
            number = self.cursor
        else:
            wanted = as_bytes(key, "the key")
            number = self.layout.find(wanted, len(wanted))
        if wanted is None or number < 0 or not self.first <= <uint64_t>number < self.stop:
            return iter(())
        self.cursor = number + 1
        return iter(self.layout.fetch(number, wanted))

    # What it is

    @property
    def metadata(self):
        """The pairs that describe the pipe, a dict of bytes; empty in format 1."""
        self.check_open()
        return (<Format2>self.layout).metadata if self.format == 2 else {}

    def stats(self):
        """Return what the pipe holds and what was done with it, a dict of ints.

        `blocks`, `data_bytes`, `index_bytes` of the pipe, and in format 2 `pairs` and `raw_bytes`; `read_bytes` and
        `inflated_bytes` by this reader so far.
        """
        self.check_open()
        stats = {"blocks": len(self)}
        if self.format == 2:
            stats["pairs"] = (<Format2>self.layout).tally.pairs
            stats["raw_bytes"] = (<Format2>self.layout).tally.raw
        stats["data_bytes"] = self.layout.size
        try:
            stats["index_bytes"] = os.path.getsize(self.index_path)
        except FileNotFoundError:
            stats["index_bytes"] = 0
        stats["read_bytes"] = self.layout.source.read_bytes
        stats["inflated_bytes"] = self.layout.source.inflated_bytes
        return stats

    def __repr__(self):
        state = "closed" if self.closed else f"{len(self)} blocks"
        return f"<smartpipe.Reader {self.data_path!r}, {state}>"


cdef class Items:
    """The iterator over (key, block)."""
    cdef Reader reader
    cdef Batch batch
    cdef frozenset select
    cdef Py_ssize_t at             # of the next block in the batch
    cdef uint64_t number           # of the next block
    cdef uint64_t careful          # up to here blocks are read one at a time, as one of them is damaged
    cdef Block last
    cdef Block before
    cdef bint running

    def __iter__(self):
        return self

    @property
    def position(self):
        """The number of the block that comes next."""
        return self.number - self.reader.first

    def __next__(self):
        cdef Block block
        if self.running:
            raise ValueError("the iterator is used by another thread at this moment; give each thread its own")
        self.running = True
        try:
            self.reader.check_open()
            # The caller's loop variable still holds the last block; the one before it lives on only where somebody
            # keeps it.
            if self.before is not None and Py_REFCNT(<PyObject *>self.before) > 1:
                self.before.detach()
            self.before = self.last
            self.last = None
            if self.at == len(self.batch.blocks):
                self.fill()
            block = self.batch.blocks[self.at]
            self.batch.blocks[self.at] = None
            self.at += 1
            self.number += 1
            self.last = block
        finally:
            self.running = False
        return block.key, block

    def __del__(self):
        self._leave()

    def _leave(self):
        """At the end: what somebody keeps keeps no neighbours."""
        self.batch.blocks.clear()
        self.at = 0
        if self.before is not None and Py_REFCNT(<PyObject *>self.before) > 1:
            self.before.detach()
        if self.last is not None and Py_REFCNT(<PyObject *>self.last) > 1:
            self.last.detach()
        self.before = self.last = None

    cdef int fill(self) except -1:
        cdef Layout layout = self.reader.layout
        cdef bint single
        while self.number < self.reader.stop:
            # A batch with a damaged block is read again one by one, so that the good ones before it come first.
            single = self.number < self.careful
            try:
                layout.fill(self.batch, self.number, self.number + 1 if single else self.reader.stop, self.select)
                self.at = 0
                return 0
            except errors.SmartPipeError:
                self.batch.blocks.clear()
                self.at = 0
                if self.batch.next <= self.number + 1:
                    self.number += 1
                    raise
                self.careful = self.batch.next
        self._leave()
        raise StopIteration
