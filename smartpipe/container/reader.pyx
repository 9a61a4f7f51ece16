"""Reading a pipe."""

import os
import time
from collections import namedtuple
from operator import index

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

from smartpipe._codec cimport sp_entry
from smartpipe.container.arrow cimport export
from smartpipe.container.block cimport Block, as_bytes
from smartpipe.container.columns cimport Batches
from smartpipe.container.format1 cimport Format1
from smartpipe.container.format2 cimport Format2
from smartpipe.container.gather cimport Gatherer
from smartpipe.container.items cimport Items, check_handled
from smartpipe.container.readahead cimport Readahead
from smartpipe.container.scattered cimport Scattered
from smartpipe.container.tally cimport Tally

from smartpipe import errors
from smartpipe.container.gather import BATCH
from smartpipe.container.headers import CODECS
from smartpipe.container.opening import open_layout
from smartpipe.container.paths import paths_of
from smartpipe.container.position import Position

MAX_BLOCK_SIZE = 256 << 20
ARROW_BATCH = 4 << 20  # bytes of a batch of an Arrow stream
READAHEAD = 64 << 20
POLL = 0.02  # s between two looks at a pipe that is followed

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
    limit = whole("max_block_size", limit)
    if limit < 1:
        raise ValueError(f"max_block_size is {limit}, not at least 1")
    return min(limit, 0xffffffff)


def whole(what, number):
    """Return an argument that is a whole number as an int."""
    try:
        return index(number)
    except TypeError:
        raise TypeError(f"{what} is {number!r:.40}, a {type(number).__name__}, not a whole number") from None


def check_count(what, number):
    """Return a number that is at least 1, as it is used: nobody has more threads, or memory for more bytes."""
    number = whole(what, number)
    if number < 1:
        raise ValueError(f"{what} is {number}, not at least 1")
    return min(number, 0xffff if what == "threads" else 1 << 62)


def reopened(kind, split, confined, cursor, limit):
    """Return the reader that was pickled, open again."""
    reader = kind.__new__(kind)
    Reader.__init__(reader, split, max_block_size=limit)
    (<Reader>reader).confined = confined
    (<Reader>reader).cursor = cursor
    return reader


def handler_of(on_error):
    """Return what is called with the error of a block; None where it is raised."""
    if on_error == "raise":
        return None
    if on_error == "skip":
        return no_more_than_counted
    if callable(on_error):
        return on_error
    raise ValueError(f"on_error is {on_error!r}, not 'raise', 'skip' or a function")


def selected(select):
    """Return the pair keys that are selected as a frozenset; None for all there are."""
    if select is None:
        return None
    if isinstance(select, (bytes, str)):
        raise TypeError("select is an iterable of pair keys, not one key")
    return frozenset([as_bytes(key, "the key") for key in select])


def no_more_than_counted(error):
    """Skip a block."""


cdef str part_of(first):
    """What a reader with a first block shows, in words."""
    return "the whole pipe" if first == 0 else f"a split that begins with block {first}"


cdef str order_of(seed):
    return "the order of the file" if seed is None else f"the random order of shuffle={seed}"


cdef bytes key_of(Layout layout, uint64_t number):
    """The key of a block."""
    cdef sp_entry entry
    return layout.key(layout.entry(number, &entry), number, &entry)


cdef class Reader:
    """An open pipe, for reading: a mapping from block keys to blocks, in the order of the file.

    It shows the blocks that were whole when it was opened, and after `refresh` those that were written since. It never
    writes and takes no lock. It may be used by several threads, pickled (what comes back shows the same blocks), and
    used in a forked child. See `smartpipe.open`.

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
        self.limit = check_limit(max_block_size)
        self.path = paths.prefix
        self.index_path = paths.index
        self.place = paths.absolute()
        self.layout = self.open_files(paths)
        self.layout.warn()
        self.stop = self.layout.whole
        self.closed = False
        if split is not None:
            self.confine(split)

    def open_files(self, paths):
        """Open the pipe that has the name now; returns its layout."""
        with errors.storage_errors(paths.prefix):
            return open_layout(paths, self.limit)

    def confine(self, split):
        """Show only the blocks of a split."""
        if split.id != self.layout.source.id or not 0 <= split.start <= split.stop <= self.stop:
            self.close()
            raise errors.FormatError(f"blocks {split.start} to {split.stop} of the pipe {split.id:016x} were expected, "
                                     f"and this is another pipe, or has only {self.stop}", path=self.data_path)
        self.first = self.cursor = split.start
        self.stop = split.stop
        self.confined = True

    def __reduce__(self):
        cdef uint64_t stop = self.stop
        cdef Layout layout = self.opened()
        here = Split(layout.source.place, layout.source.id, self.first, stop)
        return reopened, (type(self), here, self.confined, self.cursor, self.limit)

    def close(self):
        """Close the pipe. Blocks that were given out keep what they have; closing twice is fine."""
        if not self.closed:
            self.closed = True
            self.current().close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *error):
        self.close()

    cdef int check_open(self) except -1:
        if self.closed:
            raise errors.ClosedError("the pipe was closed", path=self.data_path)
        return 0

    @cython.critical_section
    cdef Layout current(self):
        """The layout as it is now. It stays as soon as there is a block; so whether there is one is asked before."""
        return self.layout

    cdef Layout opened(self):
        """The layout as it is now, of a reader that was not closed."""
        self.check_open()
        with cython.critical_section(self):
            return self.layout

    # By key

    cdef Block find_block(self, bytes key):
        cdef Layout layout = self.opened()
        cdef int64_t number = self.number_of_key(layout, key)
        return None if number < 0 else layout.fetch(number, key, None)

    cdef int64_t number_of_key(self, Layout layout, bytes key) except -2:
        """The number of the block with a key, -1 where this reader shows none."""
        cdef int64_t number = layout.find(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        return number if number >= 0 and self.first <= <uint64_t>number < self.stop else -1

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
        cdef Layout layout = self.opened()
        return self.number_of_key(layout, as_bytes(key, "the key")) >= 0

    def get_many(self, keys, on_error="raise"):
        """Iterate over (key, block or None) for many keys: those there are in file order, then the others.

        Blocks that lie near each other are read together. `on_error` is that of `items`; where it is not "raise", each
        block is read whole before it is given.
        """
        cdef Layout layout = self.opened()
        handler = handler_of(on_error)
        cdef list found = [], absent = []
        cdef int64_t number
        cdef bytes wanted
        if isinstance(keys, (bytes, str)):
            raise TypeError(f"keys is {keys!r:.40}, one key, not an iterable of block keys: for one there is get()")
        for key in keys:
            wanted = as_bytes(key, "the key")
            number = self.number_of_key(layout, wanted)
            if number >= 0:
                found.append(number)
            else:
                absent.append(wanted)
        found.sort()
        return self._fetch_many(Scattered(layout, found), len(found), absent, handler)

    def _fetch_many(self, Scattered scattered, count, absent, handler):
        cdef Block block
        for _ in range(count):
            self.check_open()
            try:
                block = scattered.next()
                if handler is not None:
                    block.load_all()
            except errors.SmartPipeError as error:
                self.skip(error, handler)
            else:
                yield block.key, block
        for key in absent:
            yield key, None

    cdef int skip(self, error, handler) except -1:
        """Count a block that can not be read, and tell the handler; without one, raise the error."""
        check_handled(error, handler)
        with cython.critical_section(self):
            self.skipped += 1
        handler(error)
        return 0

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
        cdef Layout layout = None
        while number < self.stop:
            self.check_open()
            if layout is None:
                layout = self.current()  # which stays, as there is a block
            yield key_of(layout, number)
            number += 1

    def items(self, select=None, start=None, on_error="raise", *, threads=1, readahead=READAHEAD, ordered=True,
              shuffle=None):
        """Iterate over (key, block), in the order of the file.

        Blocks are read and inflated many at a time. `select` is an iterable of pair keys: the blocks then show only
        these pairs, and no other large value is inflated. `start` is the number of the first block, its key, or a
        `Position` or its token; FormatError where that is of another pipe, split or order. The iterator's `position` is
        the block that comes next. A block that was given was checked as far as it is selected. Keeping a block costs
        its own memory, not that of its neighbours.

        `on_error` is what happens at a block that can not be read: "raise" raises its error, and the iterator can go on
        behind it; "skip" leaves it out; a function leaves it out and is called with the error. What was left out is
        counted in `stats()["skipped_blocks"]`. That a codec has no engine here, an EngineError, is always raised.

        With `threads` of 2 or more, so many threads read, check and inflate what comes next while the loop works on
        what it has; `readahead` bounds the bytes that are there at a time, stored and inflated, but for a block that is
        larger. Without `ordered` blocks come as they are ready. With `shuffle`, a number, they come in a random order,
        the same one for the same number and the same blocks; `start` and `position` are then places in that order.
        """
        self.check_open()
        handler = handler_of(on_error)
        threads, readahead = check_count("threads", threads), check_count("readahead", readahead)
        if shuffle is not None:
            if isinstance(shuffle, bool):
                raise TypeError(f"shuffle is a number, which gives the order, or None, not {shuffle}")
            shuffle = whole("shuffle", shuffle) & 0xffffffffffffffff
        cdef PipeItems items = PipeItems.__new__(PipeItems)
        items.reader = self
        items.handler = handler
        items.place = items.careful = self._number_of(start, shuffle)
        items.select = selected(select)
        if threads > 1 or shuffle is not None:
            items.stop = self.stop
            items.ahead = Readahead(self.opened(), items.select, threads, readahead, ordered, shuffle, self.first,
                                    items.place)
        return items

    def _number_of(self, start, seed):
        if start is None:
            return self.first
        if isinstance(start, str) and start.startswith("smartpipe:"):
            start = Position.of_token(start)
        if isinstance(start, Position):
            self._check_position(start, seed)
        if hasattr(start, "__index__"):
            start = index(start)
            if not 0 <= start <= self.stop - self.first:
                raise ValueError(f"start is {start}, the pipe has {len(self)} blocks")
            return self.first + start
        wanted = as_bytes(start, "the key")
        number = self.number_of_key(self.opened(), wanted)
        if number < 0:
            raise errors.BlockNotFound("there is no such block to start at", path=self.data_path, block=wanted)
        return number

    def _check_position(self, position, seed):
        """See to it that the blocks before a position are those of this reader, in the same order."""
        cdef Layout layout = self.opened()
        cdef uint64_t number
        cdef sp_entry entry
        cdef str why = None
        known = position.id == layout.source.id or (position.id == 0 and position == 0)
        if known and position.first != self.first:
            why = f"in {part_of(position.first)}, and this is {part_of(self.first)}"
        elif known and position.seed != seed:
            why = f"in {order_of(position.seed)}, and this is {order_of(seed)}"
        elif known and seed is not None and position.blocks != len(self):
            why = f"in the random order of {position.blocks} blocks, and these are {len(self)}, whose order is another"
        if why is not None:
            raise errors.FormatError(f"{position.token} is a position {why}", path=self.data_path)
        if known and position.offset > 0 and 0 < position <= len(self):
            number = self.first + <uint64_t>int(position) - 1
            layout.entry(number, &entry)
            known = entry.offset == position.offset and entry.stamp == position.stamp
        if not known or position > len(self):
            raise errors.FormatError(f"{position.token} is a position in another pipe, or behind where this one was "
                                     "cut", path=self.data_path)

    cdef object position_at(self, uint64_t number):
        cdef Layout layout = self.current()
        cdef sp_entry entry
        if number > 0:
            try:
                layout.entry(number - 1, &entry)
            except errors.SmartPipeError:
                pass  # of the index; what the place says is only held against it
            else:
                return Position(number - self.first, id=layout.source.id, offset=entry.offset, stamp=entry.stamp,
                                first=self.first)
        return Position(number - self.first, id=layout.source.id, first=self.first)

    # As columns

    def columns(self, batch=BATCH, select=None, start=None, on_error="raise", *, threads=1, readahead=READAHEAD,
                ordered=True, shuffle=None):
        """Iterate over all pairs as batches of numpy arrays, `Columns`, without a Python object per pair.

        A batch has whole blocks, and ends with the one that makes its arrays reach `batch` bytes. Their memory is used
        again for a later batch, unless somebody keeps one of them. The other arguments, and the `position` of the
        iterator, are those of `items`. The iterator is also an Arrow stream, once. Needs numpy.

        >>> import smartpipe, tempfile
        >>> prefix = tempfile.mkdtemp() + "/pipe"
        >>> with smartpipe.open(prefix, "w") as pipe:
        ...     pipe.write(b"a", {b"raw": b"<html>", b"log": b"ok"})
        >>> with smartpipe.open(prefix) as pipe:
        ...     for batch in pipe.columns():
        ...         print(batch, batch.value_offsets, batch.values.tobytes(), batch[1])
        <smartpipe.Columns of 1 blocks, 2 pairs> [0 6 8] b'<html>ok' (b'a', b'log', b'ok')
        """
        try:
            import numpy
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("columns need numpy: pip install 'smartpipe[columns]'", name="numpy") from error
        items = self.items(select, start, on_error, threads=threads, readahead=readahead, ordered=ordered,
                           shuffle=shuffle)
        return Batches(items, numpy, whole("batch", batch))

    def to_arrow(self, select=None, on_error="raise", *, threads=1):
        """Return all pairs as a `pyarrow.Table` with columns block, key and value of type large_binary, one row a pair.

        A block without pairs has no row. `select`, `on_error` and `threads` are those of `items`. Needs pyarrow.
        """
        try:
            import pyarrow
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("to_arrow needs pyarrow: pip install 'smartpipe[arrow]'",
                                      name="pyarrow") from error
        cdef Batches source = Batches(self.items(select, None, on_error, threads=threads), None, ARROW_BATCH)
        try:
            return pyarrow.RecordBatchReader.from_stream(source).read_all()
        except Exception:
            if source.failure is not None:
                raise source.failure from None
            raise

    def __arrow_c_stream__(self, requested_schema=None):
        """All pairs as an Arrow stream, read batch by batch; of a schema that is asked for nothing is taken over."""
        return export(Gatherer(self.items(), ARROW_BATCH, True))

    def refresh(self):
        """Take in the blocks that were written since the pipe was opened or refreshed; returns how many.

        Only blocks that are there to their end count. ReplacedError where another pipe took the place of this one, or
        where its end was cut; what was taken in before can still be read.
        """
        cdef Layout layout = self.opened()
        cdef uint64_t count
        if self.confined:
            raise ValueError("a split of a pipe does not grow")
        try:
            layout.refresh()
        except errors.ReplacedError:
            if not self.reopen(layout):
                self.check_open()
                raise
        self.current().warn()
        with cython.critical_section(self):
            count = self.layout.whole - self.stop
            self.stop += count
        return count

    cdef bint reopen(self, Layout old) except -1:
        """Open what has the name now, for a reader that has shown no block; False where it has, or that is no pipe.

        So a pipe may be opened in the moment in which it is begun.
        """
        cdef Layout new
        if self.stop > 0:
            return False
        try:
            new = self.open_files(self.place)
        except errors.SmartPipeError:
            return False
        with cython.critical_section(self):
            # Another thread may have been quicker. The files of the old one are closed when nobody uses them any more.
            if self.layout is old and self.stop == 0 and not self.closed:
                self.layout = new
            return self.layout is not old

    def follow(self, timeout=None, select=None, start=None, on_error="raise"):
        """Iterate over (key, block) as blocks are written; ends when the writer has closed the pipe.

        It begins with the blocks that are there, or at `start`. With a `timeout` it ends also when so many seconds have
        passed without a block. A killed writer does not end it: another may go on with the pipe. The last block of a
        pipe of format 1 comes when the next is begun. `select`, `start` and `on_error` are those of `items`, errors
        those of `refresh`.
        """
        if self.confined:
            raise ValueError("a split of a pipe does not grow")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout}, not at least 0")
        return self._follow(self.items(select, start, on_error), timeout)

    def _follow(self, PipeItems items, timeout):
        last = time.monotonic()
        while True:
            for pair in items:
                yield pair
                last = time.monotonic()
            ended = self.opened().ended()  # asked before looking again: what is written in between is not missed
            self.refresh()
            if items.place >= self.stop:  # also what another thread has taken in is there
                if ended:
                    return
                wait = POLL
                if timeout is not None:
                    left = last + timeout - time.monotonic()
                    if left <= 0:
                        return
                    wait = min(wait, left)
                time.sleep(wait)

    def entries(self):
        """Iterate over what the index knows of each block, an `Entry` each, without reading the data."""
        self.check_open()
        return self._iterate_entries()

    def _iterate_entries(self):
        cdef uint64_t number = self.first
        cdef Layout layout
        cdef sp_entry entry
        while number < self.stop:
            layout = self.opened()
            key = layout.key(layout.entry(number, &entry), number, &entry)
            if isinstance(layout, Format2):
                yield Entry(key, number - self.first, entry.offset, entry.size, entry.raw, entry.pairs, entry.stamp)
            else:
                offset, stored, raw = (<Format1>layout).sizes(number)
                yield Entry(key, number - self.first, offset, stored, raw, None, None)
            number += 1

    def splits(self, n):
        """Return at most n parts of about the same stored size; `smartpipe.open` reads one, in another process too."""
        cdef uint64_t last = self.stop
        cdef Layout layout = self.opened()
        n = whole("n", n)
        if n < 1:
            raise ValueError(f"a pipe can not be split into {n} parts")
        parts = []
        start, begin, end = self.first, self.offset_of(layout, self.first), self.offset_of(layout, last)
        for left in range(n, 0, -1):
            if start == last:
                break
            # What is left is shared anew: a block that is larger than a part leaves less to the others.
            stop = last if left == 1 else self._boundary(layout, start, last, begin + (end - begin) // left)
            parts.append(Split(layout.source.place, layout.source.id, start, stop))
            start, begin = stop, self.offset_of(layout, stop)
        return parts

    cdef uint64_t offset_of(self, Layout layout, uint64_t number) except? 0:
        """Where a block begins in the data file, or the last one ends."""
        cdef sp_entry entry
        if number < layout.current().count:
            layout.entry(number, &entry)
            return entry.offset
        if isinstance(layout, Format1) or number == 0:
            return layout.size
        layout.entry(number - 1, &entry)
        return entry.offset + entry.size

    def _boundary(self, Layout layout, start, last, offset):
        """The number of the block behind `start`, `last` at most, that begins nearest to an offset of the data file."""
        stop = self._first_at(layout, last, offset)
        if stop - 1 > start and offset - self.offset_of(layout, stop - 1) < self.offset_of(layout, stop) - offset:
            stop -= 1
        return max(stop, start + 1)

    def _first_at(self, Layout layout, uint64_t high, offset):
        """The number of the first block at or behind an offset of the data file, `high` where there is none before."""
        cdef uint64_t low = self.first, middle
        cdef sp_entry entry
        while low < high:
            middle = (low + high) // 2
            layout.entry(middle, &entry)
            if entry.offset < <uint64_t>offset:
                low = middle + 1
            else:
                high = middle
        return low

    # The original's way

    @property
    def position(self):
        """The `Position` of the block that `pull_block()` reads next, which is also its number."""
        return self.position_at(self.cursor)

    def get_next_block_key(self):
        """Return the key of the block that `pull_block()` reads next, None at the end."""
        cdef uint64_t number = self.cursor
        self.check_open()
        return key_of(self.current(), number) if number < self.stop else None

    def pull_block(self, key=None):
        """Iterate over the pairs of the next block, or of the one with a key; the next is then the one behind it.

        An unknown key, and the end of the pipe, give no pairs.
        """
        cdef Layout layout = self.opened()
        cdef int64_t number = -1
        cdef bytes wanted = None
        if key is not None:
            wanted = as_bytes(key, "the key")
            number = self.number_of_key(layout, wanted)
        with cython.critical_section(self):
            # Each thread that asks for the next one gets another.
            if key is None and self.cursor < self.stop:
                number = self.cursor
            if number >= 0:
                self.cursor = number + 1
                layout = self.layout
        return iter(()) if number < 0 else iter(layout.fetch(number, wanted, None))

    # What it is

    @property
    def data_path(self):
        cdef Layout layout = self.current()
        return None if layout is None else layout.source.path

    @property
    def format(self):
        return 2 if isinstance(self.current(), Format2) else 1

    @property
    def codec(self):
        cdef Layout layout = self.current()
        cdef int codec
        if isinstance(layout, Format1):
            return CODECS[(<Format1>layout).compressed]
        codec = (<Format2>layout).codec
        return CODECS.get(codec, f"codec {codec}")

    @property
    def metadata(self):
        """The pairs that describe the pipe, a dict of bytes; empty in format 1."""
        cdef Layout layout = self.opened()
        return (<Format2>layout).metadata if isinstance(layout, Format2) else {}

    @property
    def dictionary(self):
        """The dictionary that a writer goes on with, for `smartpipe.open(…, dictionary=)`; None where there is none.

        Of several it is the last one that is whole.
        """
        dictionary = self.opened().source.last_dictionary()
        return None if dictionary is None else dictionary.content

    def stats(self):
        """Return what the pipe holds and what was done with it, a dict of ints.

        `blocks`, `data_bytes`, `index_bytes` of the pipe, and in format 2 `pairs` and `raw_bytes`; by this reader so
        far `read_bytes`, `inflated_bytes`, and `skipped_blocks`, which its iterators left out because of errors.
        """
        cdef Layout layout = self.opened()
        cdef Tally tally
        stats = {"blocks": len(self)}
        if isinstance(layout, Format2):
            tally = (<Format2>layout).totals()
            stats["pairs"] = tally.pairs
            stats["raw_bytes"] = tally.raw
        stats["data_bytes"] = layout.size
        try:
            stats["index_bytes"] = os.path.getsize(self.index_path)
        except FileNotFoundError:
            stats["index_bytes"] = 0
        stats["read_bytes"] = layout.source.read_bytes
        stats["inflated_bytes"] = layout.source.inflated_bytes
        stats["skipped_blocks"] = self.skipped
        return stats

    def __repr__(self):
        state = "closed" if self.closed else f"{len(self)} blocks"
        return f"<smartpipe.Reader {self.data_path!r}, {state}>"


cdef class PipeItems(Items):
    """The iterator over (key, block) of a pipe."""
    cdef Reader reader

    @property
    def position(self):
        """The `Position` of the block that comes next, which is also its number."""
        if self.ahead is not None and not self.ahead.ordered:
            raise ValueError("without order there is no position: keep the order (ordered=True), or remember the keys "
                             "of the blocks that are done")
        if self.ahead is not None and self.ahead.seed is not None:
            return Position(self.place - self.reader.first, id=self.reader.current().source.id,
                            first=self.reader.first, seed=self.ahead.seed, blocks=self.stop - self.reader.first)
        return self.reader.position_at(self.place)

    cdef int check_open(self) except -1:
        return self.reader.check_open()

    cdef bint read_now(self, bint single) except -1:
        cdef uint64_t number = self.place
        if number >= self.reader.stop:
            return False
        if self.ahead is not None:
            number = self.ahead.number_at(number, self.stop)
        self.reader.opened().fill(self.batch, number, number + 1 if single else self.reader.stop, self.select)
        return True

    cdef int skip(self, error) except -1:
        return self.reader.skip(error, self.handler)
