"""Writing a pipe."""

import os
import threading
import warnings

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint64_t

from smartpipe._codec cimport Dictionary, sp_offset_at
from smartpipe.container.background cimport Background, placed
from smartpipe.container.block cimport as_bytes
from smartpipe.container.compressor cimport Compressor, Compressors
from smartpipe.container.encoder cimport Encoder, Encoders
from smartpipe.container.output cimport Output, Output2
from smartpipe.container.rows cimport Rows, Strings
from smartpipe.container.source cimport is_too_large

from smartpipe import errors
from smartpipe._codec import require
from smartpipe.container import opening
from smartpipe.container.durability import check_durability
from smartpipe.container.headers import CODECS, CODECS_OF_FORMAT1, DICTIONARY_MAGIC, ZSTD
from smartpipe.container.incoming import Incoming
from smartpipe.container.index import DamagedIndex
from smartpipe.container.paths import EXTENSIONS, missing, paths_of
from smartpipe.container.reader import MAX_BLOCK_SIZE, Reader, check_count, check_limit, whole

# What the option `compress` stands for.
_COMPRESS = {None: None, False: 0, True: 1, **{name: codec for codec, name in CODECS.items() if codec > 0}}


cdef class Writer:
    """A pipe that is written; it may be shared by threads. See `smartpipe.open`.

    When `write` returns, the system has the block: it survives the end of this process. `close` lets everything reach
    the disk. Other promises are chosen with `durability`. After an error of the system nothing more is written, and
    what was written before is whole.

    >>> import smartpipe, tempfile
    >>> prefix = tempfile.mkdtemp() + "/pipe"
    >>> with smartpipe.open(prefix, "w", compress=True) as pipe:
    ...     pipe.write(b"a", {b"raw": b"<html>", b"log": b"ok"})
    ...     with pipe.block(b"b") as block:
    ...         block.append(b"raw", b"<html>")
    ...     len(pipe), b"b" in pipe
    (2, True)
    """
    cdef Output output
    cdef object lock
    cdef object paths
    cdef list guards               # locks of the pipe that is replaced
    cdef bint replacing
    cdef bint fresh                # no pipe was here before
    cdef uint64_t limit
    cdef bint verify               # inflate each block before it is written
    cdef Background background     # compresses in threads; None: each call does
    cdef bint each                 # `write` returns when the block is on the disk
    cdef Encoders encoders
    cdef Compressors compressors
    cdef bint together             # blocks are put together where they wait to be written
    cdef set open_keys             # of blocks that are being put together
    cdef BlockWriter current       # of checkpoint and append
    cdef readonly object recovered
    cdef readonly bint closed
    cdef bint foreign              # closed in a forked child, where only the parent's threads may give the lock back

    def __cinit__(self):
        self.closed = True

    def __init__(self, path, mode, *, format=None, compress=None, level=6, durability="close",
                 max_block_size=MAX_BLOCK_SIZE, bint verify=False, metadata=None, threads=1, dictionary=None):
        self.lock = threading.RLock()
        self.guards = []
        self.open_keys = set()
        # Absolute, as the files are named again on close, perhaps from another folder.
        self.paths = paths_of(path).absolute()
        self.limit = check_limit(max_block_size)
        if format not in (None, 1, 2):
            raise ValueError(f"format is {format!r}, not 1 or 2")
        level = whole("level", level)
        if not 1 <= level <= 9:
            raise ValueError(f"level is {level}, not from 1 (fastest) to 9 (smallest)")
        check_durability(durability)
        threads = check_count("threads", threads)
        self.verify = verify
        if isinstance(metadata, (bytes, str)):
            raise TypeError(f"metadata is {metadata!r:.40}, a {type(metadata).__name__}, not a mapping of bytes to "
                            "bytes")
        pairs = None if metadata is None else {
            as_bytes(key, "a key of metadata"): as_bytes(value, "a value of metadata")
            for key, value in dict(metadata).items()}
        try:
            codec = wanted_codec(self.paths, compress)
            if codec is not None:
                if format == 1 and codec not in CODECS_OF_FORMAT1:
                    raise ValueError(f"format 1 has no codec {compress}")
                require(codec)
            default = self.paths.data is not None and self.paths.data.endswith(EXTENSIONS[1])
            asked = opening.Asked(format, codec, default, self.limit, durability != "none")
            self._open_files(mode, asked, bool(pairs))
            self.output.keep(durability, self.replacing)
            self.compressors = Compressors(self.output.codec, level, self._take_dictionary(dictionary))
            self.encoders = Encoders(self.output.format, self.limit, self.output.codec)
            self.each = durability == "block"
            if self.output.codec == 0 and not verify:
                threads = 1  # to hand blocks over would cost more than what there is to do
            self.together = self.output.waits and self.output.codec == 0 and self.output.format == 2 and not verify
            self.closed = False
            if pairs:
                self._write_metadata(pairs)
            if threads > 1:
                try:
                    self.background = Background(self.output, threading.Condition(self.lock), threads, verify,
                                                 self.open_keys, self.encoders, self.compressors)
                except (RuntimeError, ImportError):
                    pass  # the interpreter ends, and gives no threads
        except BaseException as error:
            self._release()
            if self.fresh:
                opening.remove([self.output.index_path, self.output.data_path])
            if isinstance(error, OSError) and not isinstance(error, errors.SmartPipeError):
                path = error.filename or self.path
                raise errors.StorageError(error.strerror, path=path, number=error.errno) from error
            raise

    def _open_files(self, mode, asked, has_metadata):
        opening.refuse_folder(self.paths)
        if mode != "x":
            opening.finish_replacement(self.paths)
        if mode == "a":
            existing = opening.data_file(self.paths)
            if existing is not None:
                self.output, self.recovered = opening.append(self.paths, existing, asked)
                if self.recovered is not None:
                    self.recovered = f"cut off: {self.recovered}"
                    errors.warn(f"{existing}: {self.recovered}")
                if has_metadata and self.output.format == 1:
                    raise ValueError("format 1 has no metadata")
                return
            if self.paths.existing():
                raise ValueError(f"{self.paths.data} is not there, and {self.paths.existing()[0]} is: name the pipe "
                                 f"{self.path}")
            if os.path.exists(self.paths.index):
                raise missing(self.paths)
        if has_metadata and asked.format == 1:
            raise ValueError("format 1 has no metadata")
        present = self.paths.existing()
        if mode == "x" and os.path.exists(self.paths.index):
            present.append(self.paths.index)
        if mode == "x" and present:
            raise errors.PipeExistsError(f"there is a pipe already: {present[0]}", path=self.path)
        if mode == "w" and present:
            self.guards = opening.begin_replacement(self.paths)
            self.replacing = True
        try:
            self.output = opening.create(self.paths.new if self.replacing else self.paths, asked)
        except FileExistsError as error:
            # Somebody else created it since.
            raise errors.PipeExistsError(f"there is a pipe already: {error.filename}", path=self.path) from error
        self.fresh = True

    def _take_dictionary(self, dictionary):
        """Return what blocks are compressed with: the pipe's own dictionary, none, or another, which is written first.
        """
        cdef Dictionary own = (<Output2>self.output).dictionary if self.output.format == 2 else None
        if dictionary is None:
            return own
        if dictionary is False:
            return None
        if isinstance(dictionary, str):
            raise TypeError("the dictionary is a str, not bytes: read the file, as in "
                            f"open({dictionary[:80]!r}, 'rb').read()")
        content = as_bytes(dictionary, "the dictionary")
        if self.output.codec != ZSTD:
            raise ValueError(f"a dictionary is for the codec zstd, and the pipe has {self.codec}: with "
                             "compress=\"zstd\", --compress zstd, a new one can have it")
        if own is None or own.content != content:
            if not content.startswith(DICTIONARY_MAGIC):
                raise ValueError(f"this is not a dictionary of zstd: {len(content)} bytes that begin with "
                                 f"{content[:8]!r}, not with {DICTIONARY_MAGIC!r}; smartpipe.train or zstd --train "
                                 "makes one")
            (<Output2>self.output).put_dictionary(content)
        return (<Output2>self.output).dictionary

    def _write_metadata(self, pairs):
        cdef Encoder encoder = self.encoders.take()
        cdef Compressor compressor = self.compressors.take()
        if not self.fresh:
            with Reader(self.data_path, max_block_size=self.limit) as reader:
                pairs = {**reader.metadata, **pairs}
        encoder.fill(pairs)
        encoder.encode(b"", compressor)
        (<Output2>self.output).put_metadata(encoder)
        self.output.acknowledge()
        self.compressors.give(compressor)
        self.encoders.give(encoder)

    # Writing

    def write(self, key, pairs):
        """Write a block: a mapping, or an iterable of (key, value) pairs, under a key that the pipe does not have yet.

        Keys and values are anything with the buffer protocol. Errors: DuplicateKeyError, BlockTooLargeError, TypeError
        (str), and StorageError where the system could not write; in each case nothing of this block is in the pipe.
        """
        cdef bytes block = as_bytes(key, "the block key")
        cdef Encoder encoder = None
        if self.together:
            self.write_together(block, pairs)
            return
        self.claim(block)
        try:
            encoder = self.encoders.take()
            encoder.fill(pairs)
        except BaseException as error:
            self.release(block, encoder)
            raise placed(error, self.data_path, block)
        self.commit(encoder, block)

    cdef int write_together(self, bytes block, pairs) except -1:
        """Write a block that is neither compressed nor handed to the system yet: so little is left to do that reserving
        its key would take as long."""
        cdef Compressor compressor
        cdef Encoder encoder
        self.check_key(block)
        compressor = self.compressors.take()
        encoder = self.encoders.take()
        try:
            self.output.index.expect(<const uint8_t *>PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
            encoder.fill(pairs)
            with self.lock:
                self.check_free(block)
                (<Output2>self.output).put_together(block, encoder, compressor)
                self.output.acknowledge()
        except BaseException as error:
            raise placed(error, self.data_path, block)
        finally:
            self.encoders.give(encoder)
            self.compressors.give(compressor)
        return 0

    cdef int release(self, bytes block, Encoder encoder) except -1:
        """Give back the key of a block, and what it was put together in, which is used again."""
        self.open_keys.discard(block)
        if encoder is not None:
            self.encoders.give(encoder)
        return 0

    def write_columns(self, block_keys, block_pairs, keys, values):
        """Write many blocks, whose pairs lie in columns, without a Python object per pair; returns how many.

        `block_keys`, `keys` and `values` are tuples (offsets, data): string i goes from `offsets[i]` to
        `offsets[i + 1]` of the data. Block b has the pairs from number `block_pairs[b]` to before `block_pairs[b + 1]`;
        these offsets begin with 0 and end with the number of pairs. Offsets are int64 or int32; numpy arrays, or
        anything with the buffer protocol, which nobody changes meanwhile.

        Offsets that do not fit are ValueError, before anything is written. Errors of a block are those of `write`; the
        blocks before it are written then.

        >>> import array, smartpipe, tempfile
        >>> offsets = lambda *numbers: array.array("q", numbers)
        >>> with smartpipe.open(tempfile.mkdtemp() + "/pipe", "w") as pipe:
        ...     pipe.write_columns((offsets(0, 1, 2), b"ab"), offsets(0, 2, 3),
        ...                        (offsets(0, 3, 6, 9), b"rawlograw"), (offsets(0, 6, 8, 11), b"<html>ok<p>"))
        2
        """
        cdef Strings names = Strings(block_keys, "block_keys"), ends = Strings(block_pairs, "block_pairs", False)
        cdef Strings pair_keys = Strings(keys, "keys"), pair_values = Strings(values, "values")
        cdef uint64_t i, count = names.count
        cdef Rows rows
        for what, column, other, of in (("block_pairs", ends, names, "block_keys"),
                                        ("values", pair_values, pair_keys, "keys")):
            if (<Strings>column).count != (<Strings>other).count:
                raise ValueError(f"{what} has {(<Strings>column).count} rows, and the number of {of} is "
                                 f"{(<Strings>other).count}")
        if sp_offset_at(&ends.c, 0) != 0 or sp_offset_at(&ends.c, ends.count) != <int64_t>pair_keys.count:
            raise ValueError(f"block_pairs goes from {sp_offset_at(&ends.c, 0)} to "
                             f"{sp_offset_at(&ends.c, ends.count)}, not from 0 to {pair_keys.count}, the number of "
                             "pairs")
        self.check_open()
        self.check_owner()
        owners = pair_keys, pair_values
        try:
            for i in range(names.count):
                PyErr_CheckSignals()  # as no bytecode runs here
                rows = Rows()
                rows.add(&pair_keys.c, &pair_values.c, sp_offset_at(&ends.c, i), sp_offset_at(&ends.c, i + 1), owners)
                Writer.write(self, names.at(i), rows)
        finally:
            # The caller may change this memory when we return, and threads look at it until a block is written.
            with self.lock:
                self.finish_background()
        with self.lock:
            self.raise_late_error()
        return count

    def write_arrow(self, data):
        """Write the rows of a table with columns block, key and value, in any order; returns the number of blocks.

        `data` is anything with `__arrow_c_stream__`: a pyarrow Table or RecordBatchReader, a polars DataFrame, a
        relation of duckdb, a `Reader`. Neighbouring rows with the same block key are one block. The columns are binary
        or strings, also large ones or views; strings are written as UTF-8.

        Other columns are ValueError and other types TypeError, before anything is written. A null is a ValueError that
        names its row, and an error of the stream an OSError; errors of a block are those of `write`, as a
        DuplicateKeyError where a key comes again later. The blocks before are written then, and the one under way is
        not.

        >>> import smartpipe, tempfile
        >>> old, new = tempfile.mkdtemp() + "/old", tempfile.mkdtemp() + "/new"
        >>> with smartpipe.open(old, "w") as pipe:
        ...     pipe.write(b"a", {b"raw": b"<html>"})
        >>> with smartpipe.open(old) as source, smartpipe.open(new, "w", compress=True) as pipe:
        ...     pipe.write_arrow(source)
        1
        """
        count = 0
        self.check_open()
        for key, rows in Incoming(data, self.limit):
            PyErr_CheckSignals()  # as no bytecode runs here
            Writer.write(self, key, rows)
            count += 1
        return count

    def block(self, key):
        """Return a block to be put together step by step in a `with` statement: `append(key, value)` adds a pair.

        The block is written when the `with` statement ends; an exception drops it.
        """
        cdef BlockWriter block = BlockWriter.__new__(BlockWriter)
        block.key = as_bytes(key, "the block key")
        self.claim(block.key)
        block.writer = self
        block.encoder = self.encoders.take()
        return block

    def checkpoint(self, key):
        """Finish the block that `append` fills, and begin one under a new key."""
        self.check_owner()
        cdef BlockWriter block
        with self.lock:
            self._finish_current()
            block = self.block(key)
            with cython.critical_section(self):
                self.current = block

    def append(self, key, value):
        """Add a pair to the block that `checkpoint` began."""
        cdef BlockWriter current
        with cython.critical_section(self):
            current = self.current
        if current is None:
            self.check_open()
            raise ValueError("append before the first checkpoint: a pair belongs to a block")
        current.append(key, value)

    def _finish_current(self):
        cdef BlockWriter current = self.take_current()
        if current is not None:
            current._finish(True)

    cdef BlockWriter take_current(self):
        """The block that `checkpoint` began, which is forgotten."""
        cdef BlockWriter current
        with cython.critical_section(self):
            current = self.current
            self.current = None
        return current

    cdef int commit(self, Encoder encoder, bytes block) except -1:
        """Compress and write a block that was claimed, or let threads do so."""
        self.check_open()
        self.check_owner()
        if self.background is not None:
            with self.lock:
                try:
                    self.background.make_room(encoder.raw)
                    self.check_open()
                    if self.output.failed is not None:  # the error of another block is none of this one
                        self.raise_late_error()
                    self.output.check_usable()
                except BaseException:
                    self.release(block, encoder)
                    raise
                self.background.add(block, encoder, self.each)
            return 0
        cdef Compressor compressor = self.compressors.take()
        try:
            if not self.together:
                encoder.encode(block, compressor)
                if self.verify:
                    encoder.prove(compressor)
            with self.lock:
                self.check_open()
                self.output.check_usable()
                if self.together:
                    (<Output2>self.output).put_together(block, encoder, compressor)
                else:
                    self.output.put(block, encoder)
                self.output.acknowledge()
        except BaseException as error:
            raise placed(error, self.data_path, block)
        finally:
            self.compressors.give(compressor)
            self.release(block, encoder)
        return 0

    cdef int claim(self, bytes block) except -1:
        """Reserve a block key."""
        self.check_key(block)
        with self.lock:
            self.check_free(block)
            self.open_keys.add(block)
        return 0

    cdef int check_key(self, bytes block) except -1:
        if is_too_large(PyBytes_GET_SIZE(block), self.limit):
            raise errors.BlockTooLargeError(f"a key of {len(block)} bytes, with a max_block_size of {self.limit}",
                                            path=self.data_path, block=block)
        return self.check_owner()

    cdef int check_free(self, bytes block) except -1:
        """DuplicateKeyError where the pipe has a key, or a block under it is being put together."""
        self.check_ready()
        if (self.open_keys and block in self.open_keys) or self.has(block):
            raise errors.DuplicateKeyError("the pipe has this block already", path=self.data_path, block=block)
        return 0

    cdef bint has(self, bytes block) except -1:
        cdef const uint8_t *key = <const uint8_t *>PyBytes_AS_STRING(block)
        try:
            return self.output.index.find(key, PyBytes_GET_SIZE(block)) >= 0
        except DamagedIndex:
            # All pages were checked when it was opened: it is a table that was made to be slow.
            self.output.index.copy_tables()
            return self.output.index.find(key, PyBytes_GET_SIZE(block)) >= 0

    cdef int check_owner(self) except -1:
        """Refuse a copy in a forked child. There a thread that only the parent has may hold the lock for ever."""
        if self.foreign:
            self.check_open()
        return 0 if self.closed else self.output.check_owner()

    cdef int check_ready(self) except -1:
        """Refuse to go on after the end, after an error, and once after that of a block which threads took over."""
        self.check_open()
        self.raise_late_error()
        self.output.check_usable()
        return 0

    cdef int raise_late_error(self) except -1:
        """Raise the error of a block that threads took over."""
        if self.background is not None:
            self.background.check()
        return 0

    cdef int finish_blocks(self) except -1:
        """See to it that every block that was given is written."""
        self.check_ready()
        self.finish_background()
        self.check_ready()
        return 0

    cdef int finish_background(self) except -1:
        """Let threads write what they took over."""
        if self.background is not None:
            self.background.drain()
        return 0

    # Finishing

    def flush(self):
        """Hand everything to the system, the index too, so that a reader that opens the pipe now finds it listed."""
        self.check_owner()
        with self.lock:
            self.finish_blocks()
            self.output.flush()

    def sync(self):
        """Let everything that was written reach the disk. A failure is final: nothing more is written after it."""
        self.check_owner()
        with self.lock:
            self.finish_blocks()
            self.output.sync()

    def close(self):
        """Write the open block of `checkpoint`, sync, finish the index, and take the place of a pipe to be replaced.

        After an error of the system only what was written before is synced; that nothing is replaced then is a
        StorageError. Of several errors that threads met the first is raised, and the others are warnings. Closing
        twice is fine.
        """
        if self.inherited():
            return
        with self.lock:
            if self.closed:
                return
            try:
                if self.output.failed is None:
                    self.output.check_usable()
                    self.finish_background()
                    self._finish_current()
                    self.finish_background()
                if self.output.failed is not None and not self.replacing:
                    # What was written before the error is whole, and readers find it without the rest of the index.
                    self.output.sync_after_failure()
                    self.raise_late_error()
                    return
                if self.replacing:
                    self.raise_late_error()
                self.output.check_usable()
                self.output.seal()
                if self.replacing:
                    opening.publish(self.paths, self.output.data_path, self.output.index_path, self.output.format)
                    self.output.index_path = self.paths.index
                    self.output.data_path = self.paths.data_path(self.output.codec > 0)
                self.raise_late_error()
            except OSError as error:
                if isinstance(error, errors.SmartPipeError):
                    raise
                raise self.output.fail(error, "the pipe could not be finished") from error
            finally:
                self._release()

    def abort(self):
        """End without publishing: a pipe that this one was to replace stays, a new one is removed.

        In a pipe that was opened for appending the open block is dropped, and what was written before stays.
        """
        if self.inherited():
            return
        with self.lock:
            if self.closed:
                return
            self.take_current()
            try:
                if self.fresh:
                    opening.remove([self.output.index_path, self.output.data_path])
                    return
                self.finish_background()
                if self.output.failed is None:
                    self.output.seal()
            finally:
                self._release()

    cdef bint inherited(self) except -1:
        """Whether this is a copy in a forked child, which has no part in the pipe: closing it does nothing."""
        if not self.closed and self.output.data.number < 0:
            self.foreign = self.closed = True
        return self.foreign

    def _release(self):
        self.closed = True
        self.take_current()
        if self.background is not None:
            self.background.drop()
        if self.output is not None:
            self.output.release()
        for guard in self.guards:
            guard.close()
        self.guards.clear()
        if self.background is not None:
            self.background.warn()

    cdef int check_open(self) except -1:
        if self.closed:
            raise errors.ClosedError("the pipe was closed", path=self.path)
        return 0

    def __del__(self):
        if not self.closed and not self.inherited():
            try:
                if warnings is not None:  # as it is when the interpreter ends
                    warnings.warn(f"a writer was not closed: {self.path}", ResourceWarning, source=self)
            finally:
                self._release()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, kind, error, traceback):
        """Close. After an exception the open block of `checkpoint` is dropped, and nothing is replaced: the unfinished
        new pipe stays beside the old one, under its prefix with .new."""
        if kind is None:
            self.close()
            return
        if self.inherited():
            return
        with self.lock:
            if self.closed:
                return
            self.take_current()
            try:
                self.finish_background()
                if self.output.failed is None:
                    self.output.seal()
            except errors.StorageError:
                pass  # the exception that is under way tells more; readers scan what the index lacks
            finally:
                self._release()

    # What it is

    def __contains__(self, key):
        cdef bytes block = as_bytes(key, "the key")
        self.check_owner()
        with self.lock:
            self.check_open()
            return self.has(block) or (self.background is not None and block in self.background.keys)

    def __len__(self):
        if self.background is None or self.output.data.number < 0:
            return self.output.index.count
        with self.lock:
            return self.output.index.count + len(self.background.keys)

    @property
    def path(self):
        return self.paths.prefix

    @property
    def data_path(self):
        return self.output.data_path

    @property
    def index_path(self):
        return self.output.index_path

    @property
    def format(self):
        return self.output.format

    @property
    def codec(self):
        return CODECS[self.output.codec]

    def __repr__(self):
        state = "closed" if self.closed else f"{len(self)} blocks"
        return f"<smartpipe.Writer {self.path!r}, {state}>"


cdef class BlockWriter:
    """A block that is being put together; see `Writer.block`."""
    cdef Writer writer
    cdef readonly bytes key
    cdef Encoder encoder           # None when the block is finished

    def __init__(self):
        raise TypeError("blocks come from a writer")

    def append(self, key, value):
        """Add a pair: anything with the buffer protocol."""
        cdef bytes name, content
        self.check_unfinished()
        # Before it is looked at: other code may run here, and another thread finish the block.
        name = as_bytes(key, "the key of a pair")
        content = as_bytes(value, "the value of a pair")
        try:
            with cython.critical_section(self):
                self.check_unfinished()
                self.encoder.add(name, content)
        except errors.BlockTooLargeError as error:
            raise placed(error, self.writer.data_path, self.key)

    cdef int check_unfinished(self) except -1:
        if self.encoder is None:
            raise errors.ClosedError("the block was finished", path=self.writer.path, block=self.key)
        return 0

    def _finish(self, keep):
        cdef Encoder encoder
        with cython.critical_section(self):
            encoder = self.encoder
            self.encoder = None
        if encoder is None:
            return
        if keep:
            self.writer.commit(encoder, self.key)
        else:
            self.writer.release(self.key, encoder)

    def __del__(self):
        # Never finished: the key is free again.
        if self.encoder is not None:
            self.writer.open_keys.discard(self.key)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self._finish(kind is None)


class SmartPipeWriter(Writer):
    """The original's writer: format 1, replacing a pipe that is there.

    >>> import tempfile
    >>> writer = SmartPipeWriter(tempfile.mkdtemp() + "/my_data", compress=True)
    >>> writer.checkpoint(b"block-1")
    >>> writer.append(b"info", b"value")
    >>> writer.close()
    """

    def __init__(self, path_prefix, compress=False):
        super().__init__(path_prefix, "w", format=1, compress=bool(compress))


class SmartPipeReader(Reader):
    """The original's reader. It reads format 2 as well."""

    def __init__(self, path_prefix):
        super().__init__(path_prefix)


def wanted_codec(paths, compress):
    """The codec, from what was asked and the name that was given; None where neither tells. A .datz may have any."""
    if compress not in _COMPRESS:
        raise ValueError(f"compress is {compress!r}, not False, True, 'zlib', 'zstd' or 'lz4'")
    asked = _COMPRESS[compress]
    if paths.data is None:
        return asked
    named = paths.data.endswith(EXTENSIONS[1])
    if asked is not None and (asked > 0) != named:
        raise ValueError(f"compress={compress!r} contradicts the name {paths.data}")
    return asked if named else 0


def carried(dictionary):
    """The option `dictionary` for a pipe that is made of one which has a dictionary, or None. A raw one, of bytes that
    a writer would refuse, is left behind."""
    return dictionary if dictionary is not None and dictionary.startswith(DICTIONARY_MAGIC) else None


def codec_of(source, format):
    """The option `compress` for a pipe of a format with the codec of another, as far as the format has it."""
    if source == "none":
        return False
    return source if format != 1 else True
