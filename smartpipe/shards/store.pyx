"""The store of many shards that many processes write, read, delete from and compact at the same time."""

import os
import threading
from collections.abc import Mapping

from libc.stdint cimport UINT64_MAX
from libc.string cimport memcpy

from smartpipe._codec cimport SP_GROUP, SP_HASH_KEY, SP_TOMBSTONE, sp_entry, sp_entry_share
from smartpipe._platform cimport generation, lock_range, unlock_range
from smartpipe.container.block cimport as_bytes
from smartpipe.container.format2 cimport Format2
from smartpipe.container.layout cimport Layout
from smartpipe.container.reader cimport Reader
from smartpipe.container.scattered cimport Scattered
from smartpipe.shards.shard cimport Shard
from smartpipe.shards.write_batch cimport encode, repeatable

from smartpipe import errors
from smartpipe._codec import require
from smartpipe._platform import disk, open_reading
from smartpipe.container.durability import check_durability
from smartpipe.container.opening import remove
from smartpipe.container.paths import paths_of
from smartpipe.container.reader import (
    MAX_BLOCK_SIZE, READAHEAD, Entry, check_count, check_limit, handler_of, selected, whole,
)
from smartpipe.container.writer import wanted_codec
from smartpipe.shards.collection import collect
from smartpipe.shards.compaction import Stopped, candidates, compact
from smartpipe.shards.copying import as_shard, back_up
from smartpipe.shards.folder import LEASES, open_folder
from smartpipe.shards.items import StoreItems
from smartpipe.shards.manifest import Listed
from smartpipe.shards.shard import adopt_shard, create_shard, index_of
from smartpipe.shards.verify import verify_store

SHARD_SIZE = 256 << 20
GRACE = 60.0  # s that a file stays which nobody seems to need any more

_MISSING = object()

# Of a forked child: its threads may come to a store at the same time.
_forked = threading.Lock()


def _renew_lock():
    global _forked
    _forked = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


cdef class ShardStore(ShardSet):
    """A folder of pipes as one mapping from block keys to blocks, which many processes write, read and delete from at
    the same time. docs/shards.md.

    `path` is the folder. `mode`: "a" reads and writes, and begins a store where nothing is; "r" reads, and writes to no
    file. All further options are those of this process, and other processes may have others.

    A process writes to a shard of its own, a pair of files, and takes another when that has `shard_size` bytes.
    `compress` (False for none, True or "zlib", "zstd", "lz4") and `level` (1 fastest to 9 smallest) are for what it
    writes; None is as the store began, and for a new one none. `durability` is that of `smartpipe.open`: with "close",
    the default, what `put` returned from survives the end of the process, and `sync` and `close` bring it to the disk;
    with "block" it is on the disk when `put` returns; with `Grouped` some time later; with "none" only `sync` syncs. In
    each of them other processes see it when `put` returns. With `auto_compact` of 0.5 a thread compacts shards of which
    half the bytes are dead, while the process writes. `max_block_size` is the largest number of bytes that the pairs of
    a block may have, for writing and reading.

    Threads may share a store. It can be pickled (what comes back is open on the same folder with the same options), and
    used in a forked child, which then has a shard of its own.

    Errors: PipeNotFoundError where there is no store to read, FormatError where something else is, or a store of a
    later version, CorruptError, StorageError, EngineError where the codec needs a package that is not installed;
    ValueError and TypeError for options that are none. A file system without locks that work is a PipeWarning: there a
    single process may write.

    >>> import tempfile
    >>> with ShardStore(tempfile.mkdtemp() + "/pages") as store:
    ...     store.put_bytes(b"a", b"<html>")
    ...     store.put(b"b", {b"raw": b"<html>", b"log": b"ok"})
    ...     store.get_bytes(b"a"), store[b"b"][b"log"], b"c" in store, len(store), sorted(store.keys())
    (b'<html>', b'ok', False, 2, [b'a', b'b'])
    """

    def __cinit__(self):
        self.closed = True

    def __init__(self, path, mode="a", *, shard_size=SHARD_SIZE, compress=None, level=6, durability="close",
                 auto_compact=None, max_block_size=MAX_BLOCK_SIZE):
        if mode not in ("r", "a"):
            raise ValueError(f"mode is {mode!r}, not r or a")
        self.options = {"shard_size": shard_size, "compress": compress, "level": level, "durability": durability,
                        "auto_compact": auto_compact, "max_block_size": max_block_size}
        self.mode = mode
        self.shard_size = check_count("shard_size", shard_size)
        self.limit = check_limit(max_block_size)
        level = whole("level", level)
        if not 1 <= level <= 9:
            raise ValueError(f"level is {level}, not from 1 (fastest) to 9 (smallest)")
        check_durability(durability)
        if auto_compact is not None and not 0 < auto_compact <= 1:
            raise ValueError(f"auto_compact is {auto_compact!r:.40}, not the part of a shard that has to be dead: over "
                             "0, up to 1, or None")
        self.auto_compact = auto_compact
        self.durability = durability
        self.each = durability == "block"
        codec = wanted_codec(paths_of("-"), compress)
        self.path = os.path.abspath(os.fsdecode(path))
        with errors.storage_errors(self.path):
            if codec is not None:
                require(codec)
            self.folder = open_folder(path, mode == "a", codec or 0)
            self.codec = self.folder.codec if codec is None else codec
            if mode == "a":
                require(self.codec, self.path)
                self.compressors = Compressors(self.codec, level)
                self.encoders = Encoders(2, self.limit, self.codec)
            memcpy(self.hash_key, <const uint8_t *>(<bytes>self.folder.hash_key), SP_HASH_KEY)
            self._begin_process()
        self.generation = generation()
        self.closed = False

    def _begin_process(self):
        """Open what belongs to this process alone, which is all but the folder."""
        self.writing = threading.RLock()
        self.compacting = None
        self._open_shared()
        self._reload()

    def __reduce__(self):
        return _reopened, (self.path, self.mode, self.options)

    # What holds at every call

    cdef int check(self) except -1:
        if self.closed:
            raise errors.ClosedError("the store was closed", path=self.path)
        if self.generation != generation():
            self._after_fork()
        return 0

    cdef int check_writable(self) except -1:
        self.check()
        if self.mode == "r":
            raise ValueError(f"the store {self.path} is open for reading: mode=\"a\" writes")
        return 0

    def _after_fork(self):
        """In a forked child: begin anew, as threads of the parent may have been in the middle of anything."""
        with _forked:
            if self.generation != generation():
                with errors.storage_errors(self.path):
                    self._begin_process()
                self.generation = generation()

    # Reading

    cdef Block find_block(self, bytes key):
        cdef uint32_t place = 0
        cdef uint64_t number = 0
        cdef sp_entry entry
        cdef Layout layout
        self.check()
        with self.table:
            self.catch_up()
            if not self.find(key, &place, &number, &entry) or entry.kind == SP_TOMBSTONE:
                return None
            layout = (<Shard>self.places[place]).layout
        return layout.fetch(number, key, None)

    def get(self, key, default=None):
        """Return the block with a key, or the default where there is none.

        It is a `Block`, as from a pipe, and stays good when the key is deleted or overwritten.
        """
        cdef Block block = self.find_block(as_bytes(key, "the key"))
        return default if block is None else block

    def __getitem__(self, key):
        cdef bytes wanted = as_bytes(key, "the key")
        cdef Block block = self.find_block(wanted)
        if block is None:
            raise errors.BlockNotFound("there is no such block", path=self.path, block=wanted)
        return block

    def get_bytes(self, key, default=_MISSING):
        """Return the value that `put_bytes` stored under a key; of a block of pairs the value of the empty pair key.

        BlockNotFound where there is no block and no default; PairNotFound where the block has no such pair.
        """
        cdef bytes wanted = as_bytes(key, "the key")
        cdef Block block = self.find_block(wanted)
        if block is not None:
            return block[b""]
        if default is _MISSING:
            raise errors.BlockNotFound("there is no such block", path=self.path, block=wanted)
        return default

    def __contains__(self, key):
        cdef bytes wanted = as_bytes(key, "the key")
        cdef uint32_t place = 0
        cdef uint64_t number = 0
        cdef sp_entry entry
        self.check()
        if self.is_current():
            return self.find(wanted, &place, &number, &entry) and entry.kind != SP_TOMBSTONE
        with self.table:
            self.catch_up()
            return self.find(wanted, &place, &number, &entry) and entry.kind != SP_TOMBSTONE

    def __len__(self):
        self.check()
        if self.is_current():
            return self.catalog.c.keys
        with self.table:
            self.catch_up()
            return self.catalog.c.keys

    def __iter__(self):
        return self.keys()

    def keys(self, prefix=b""):
        """Iterate over the keys that begin with `prefix`, in no order that means something.

        These are the keys that were there when it began.
        """
        wanted = as_bytes(prefix, "the prefix")
        return self._iterate(wanted, False)

    def entries(self, prefix=b""):
        """Iterate over what the indexes know of the blocks whose key begins with `prefix`, without reading the data.

        It is an `Entry` each, shard by shard; its `number` and `offset` are those in the shard. Of a block that was
        compressed together with others `offset` is that of them all, and `size` its part.
        """
        wanted = as_bytes(prefix, "the prefix")
        return self._iterate(wanted, True)

    def _iterate(self, bytes prefix, bint as_entries):
        """Iterate over the keys that begin with `prefix`, or over the whole entries."""
        cdef Layout layout
        cdef sp_entry entry
        cdef bytes key
        for layout, numbers in self._parts():
            for number in numbers:
                self.check()
                key = layout.key(layout.entry(number, &entry), number, &entry)
                if not key.startswith(prefix):
                    continue
                if not as_entries:
                    yield key
                else:
                    yield Entry(key, number, entry.offset, sp_entry_share(&entry), entry.raw,
                                1 if entry.kind == SP_GROUP else entry.pairs, entry.stamp)

    def _parts(self):
        """Iterate over (layout, numbers of the blocks that count) of the shards that there are now."""
        cdef Shard shard
        cdef list parts = []
        self.check()
        with self.table:
            self.catch_up()
            for shard in self.shards.values():
                parts.append((shard.layout, self.catalog.numbers(shard.place, False)))
        return iter(parts)

    def items(self, select=None, on_error="raise", *, threads=1, readahead=READAHEAD):
        """Iterate over (key, block), shard by shard, in the order of the files.

        It shows what was there when it began. `select` is an iterable of pair keys: the blocks then show only these
        pairs, and no other large value is inflated. `on_error` is what happens at a block that can not be read: "raise"
        raises its error, and the iterator can go on behind it; "skip" leaves it out; a function leaves it out and is
        called with the error. With `threads` of 2 or more, so many threads read, check and inflate what comes next
        while the loop works, up to `readahead` bytes. The order is the same.
        """
        handler = handler_of(on_error)
        threads, readahead = check_count("threads", threads), check_count("readahead", readahead)
        return StoreItems(self._parts(), self._stopped, selected(select), handler, threads, readahead)

    def _stopped(self):
        self.check()

    def get_many(self, keys, on_error="raise"):
        """Iterate over (key, block or None) for many keys: those there are in the order of the files, then the others.

        Blocks that lie near each other are read together. `on_error` is that of `items`; where it is not "raise", each
        block is read whole before it is given.
        """
        cdef uint32_t place = 0
        cdef uint64_t number = 0
        cdef sp_entry entry
        cdef bytes wanted
        cdef dict found = {}
        cdef list absent = []
        handler = handler_of(on_error)
        if isinstance(keys, (bytes, str)):
            raise TypeError(f"keys is {keys!r:.40}, one key, not an iterable of block keys: for one there is get()")
        self.check()
        with self.table:
            self.catch_up()
            for key in keys:
                wanted = as_bytes(key, "the key")
                if self.find(wanted, &place, &number, &entry) and entry.kind != SP_TOMBSTONE:
                    found.setdefault((<Shard>self.places[place]).layout, []).append(number)
                else:
                    absent.append(wanted)
        return self._fetch_many(found, absent, handler)

    def _fetch_many(self, dict found, list absent, handler):
        cdef Scattered scattered
        cdef Block block
        for layout, numbers in found.items():
            numbers.sort()
            scattered = Scattered(layout, numbers)
            for _ in numbers:
                self.check()
                try:
                    block = scattered.next()
                    if handler is not None:
                        block.load_all()
                except errors.SmartPipeError as error:
                    if handler is None or isinstance(error, (errors.ClosedError, errors.EngineError)):
                        raise
                    handler(error)
                else:
                    yield block.key, block
        for key in absent:
            yield key, None

    # Writing

    def put(self, key, pairs, *, overwrite=False):
        """Store a block of pairs, a mapping or a list of (key, value), under a key.

        Where the key is there already with the same pairs in the same order nothing happens, and with others
        CollisionError; with `overwrite` the latest counts. When it returns, other processes see the block. Errors:
        BlockTooLargeError; StorageError, after which the next one is tried anew, but none behind a sync that failed;
        ValueError where the store is open for reading.
        """
        self.add(as_bytes(key, "the key"), repeatable(pairs), overwrite)

    def put_bytes(self, key, data, *, overwrite=False):
        """Store a single value under a key, as a block with one pair whose key is empty. As `put` for the rest."""
        self.add(as_bytes(key, "the key"), ((b"", as_bytes(data, "the data")),), overwrite)

    cdef int add(self, bytes key, object pairs, bint overwrite) except -1:
        cdef Encoder2 encoder
        cdef uint64_t hash = self.hash(key) >> 1
        self.check_writable()
        encoder = self.encoders.take()
        try:
            encode(encoder, key, pairs, self.compressors, self.path)
            with self.writing:
                self.ready()
                self.lock_keys(hash, 1)
                try:
                    if self.settle(key, encoder, pairs, overwrite, False):
                        self.write(key, encoder)
                finally:
                    self.unlock_keys(hash, 1)
        finally:
            self.encoders.give(encoder)
        return 0

    def delete(self, key):
        """Remove the block with a key; BlockNotFound where there is none.

        Its bytes are dead from then on, and `compact` and `gc` give their room back.
        """
        cdef bytes wanted = as_bytes(key, "the key")
        cdef uint64_t hash = self.hash(wanted) >> 1
        cdef Encoder2 encoder
        self.check_writable()
        encoder = self.encoders.take()
        try:
            encode(encoder, wanted, (), self.compressors, self.path)
            encoder.record.kind = SP_TOMBSTONE
            with self.writing:
                self.ready()
                self.lock_keys(hash, 1)
                try:
                    if not self.settle(wanted, encoder, None, False, True):
                        raise errors.BlockNotFound("there is no such block to delete", path=self.path, block=wanted)
                    self.write(wanted, encoder)
                finally:
                    self.unlock_keys(hash, 1)
        finally:
            self.encoders.give(encoder)

    # The locks of keys are those of bytes, one for each hash: two processes never decide about the same key at the same
    # time. The bytes have no end, and so there may be one for each of 2^63 hashes.

    cdef int lock_keys(self, uint64_t first, uint64_t count) except -1:
        lock_range(self.key_locks, first, count, True, True)
        return 0

    cdef int unlock_keys(self, uint64_t first, uint64_t count) except -1:
        unlock_range(self.key_locks, first, count)
        return 0

    cdef bint settle(self, bytes key, Encoder2 encoder, object pairs, bint overwrite, bint removes) except -1:
        """Whether a record is to be written under a key whose lock this process has, and then give it its stamp.

        CollisionError where the key has another content.
        """
        cdef uint32_t place = 0
        cdef uint64_t number = 0
        cdef sp_entry entry
        cdef Shard shard
        with self.table:
            self.catch_up()
            if not self.find(key, &place, &number, &entry):
                return not removes
            shard = self.places[place]
        if entry.kind == SP_TOMBSTONE:
            if removes:
                return False
        elif not removes and not overwrite:
            if not same(shard.layout.fetch(number, key, None), pairs):
                raise errors.CollisionError("another content is stored under this key; overwrite=True lets the latest "
                                            "count", path=self.path, block=key)
            if self.each and shard is not self.own:
                shard.sync()  # who wrote it may not have promised that
            return False
        if entry.stamp == UINT64_MAX:
            raise errors.CorruptError("the record has the last stamp there is, and nothing can be later",
                                      path=shard.data, block=key, offset=entry.offset)
        encoder.record.stamp = max(encoder.record.stamp, entry.stamp + 1)
        self.died += sp_entry_share(&entry)
        return True

    cdef int write(self, bytes key, Encoder2 encoder) except -1:
        """Append a record to the shard of this process, and let the others know."""
        cdef Shard own = self.own
        with self.table:
            self.counters.begin(own.counter)
            try:
                own.output.put(key, encoder)
            finally:
                self._show_own()
        own.output.acknowledge()
        return 0

    def _show_own(self):
        """Let everybody see what this process has written."""
        cdef Shard own = self.own
        if own.output.failed is not None and not own.output.unsyncable:
            self._leave_shard()
            return
        own.layout.size = own.output.written
        own.layout.whole = own.layout.index.count
        self.catalog.enter(own.place, own.layout.whole)
        self.counters.end(own.counter)

    def _leave_shard(self):
        """Give back the shard in which a write did not end. Others may have seen whole blocks of it: whoever takes the
        shard over, perhaps this process, keeps these and cuts the rest."""
        cdef Shard own = self.own
        try:
            disk.sync(own.output.data)  # as `sync` of this process comes too late for it
        except OSError:
            own.output.unsyncable = True
            return
        own.output.release()
        self.own = None
        self.counters.end(own.counter)
        if own.id in self.manifest.shards:
            self.install(self._open(self.manifest.shards[own.id]))
        self.forget(own)

    cdef int ready(self) except -1:
        """Have a shard to write to that has room."""
        self.check_writable()
        if self.own is not None:
            self.own.output.check_usable()
            if self.auto_compact is not None and self.died > self.shard_size // 16:
                self._compact_aside()
            if self.own.output.size < self.shard_size:
                return 0
            self._finish_shard()
        with errors.storage_errors(self.path):
            self._begin_shard()
        return 0

    def _begin_shard(self):
        """Take over a shard whose writer is gone, or begin one."""
        cdef Shard shard = None
        manifests = self.folder.manifests
        with self.table:
            self._reload()  # also what nobody told of, who was killed before
        for listed in self.manifest.shards.values():
            if listed.counter > 0 and listed.codec == self.codec:
                shard = adopt_shard(self.path, listed, self.limit, self._is_open)
                if shard is not None:
                    disk.sync_folder(manifests.folder)
                    break
        if shard is None:
            shard = create_shard(self.path, self.codec, self.limit, self.durability != "none")
            data = os.path.basename(shard.data)
            try:
                manifest = manifests.commit(
                    self.manifest,
                    lambda last: None if shard.id in last.shards else last.with_shards(
                        Listed(shard.id, data, self.codec, last.free_counter())))
            except BaseException:
                if shard.id not in manifests.last().shards:
                    remove([index_of(shard.data), shard.data])
                raise
            self._check_counter(manifest.shards[shard.id].counter)
            shard.counter = manifest.shards[shard.id].counter
        shard.output.keep(self.durability, False)
        shard.output.waits = False  # others have to see what was acknowledged
        shard.output.shared = True
        self.counters.end(shard.counter)
        with self.table:
            old = self.shards.get(shard.id)
            self.install(shard)
            if old is not None:
                self.forget(old)
            self.own = shard
            self._tell()

    def _check_counter(self, counter):
        if counter >= self.counters.count:
            raise errors.StorageError(f"{self.counters.count} processes write at the same time, and no more can",
                                      path=self.path)

    def _is_open(self, listed):
        """Whether the shard is an open one still."""
        return self.folder.manifests.last().shards.get(listed.id) == listed

    def _finish_shard(self):
        """Close the shard that this process fills: it never changes again."""
        cdef Shard own = self.own
        manifests = self.folder.manifests
        with errors.storage_errors(self.path):
            own.output.sync_blocks()  # as `sync` of this process comes too late for it, whatever the durability
            own.output.seal()
            try:
                manifests.commit(
                    self.manifest,
                    lambda last: None if last.shards[own.id].counter == 0 else last.with_shards(
                        Listed(own.id, os.path.basename(own.data), own.codec, 0)))
            finally:
                # Also where an error came behind the commit: readers do not look at it any more.
                if manifests.last().shards[own.id].counter == 0:
                    own.output.release()
                    with self.table:
                        self.own = None
                        self._tell()

    def put_many(self, blocks, *, overwrite=False):
        """Store many blocks, (key, pairs) or (key, value) as of `put` and `put_bytes`, from a mapping or an iterable.

        About a megabyte of them is written at once, and then acknowledged: at an error those before may be stored, and
        all others are not. Other processes wait while so much is written. Returns how many were not there yet.

        >>> import tempfile
        >>> with ShardStore(tempfile.mkdtemp() + "/pages") as store:
        ...     store.put_many({b"a": b"1", b"b": b"2"}), store.put_many([(b"b", b"2"), (b"c", {b"raw": b"3"})])
        (2, 1)
        """
        cdef WriteBatch batch
        cdef bytes name
        self.check_writable()
        if isinstance(blocks, Mapping):
            blocks = blocks.items()
        batch = WriteBatch(self.path, self.encoders, self.compressors, self.codec, self.limit)
        count = 0
        try:
            for key, pairs in blocks:
                name = as_bytes(key, "the key")
                if name in batch.names:
                    count += self._write_many(batch, overwrite)
                batch.add(name, pairs)
                if batch.is_full():
                    count += self._write_many(batch, overwrite)
            count += self._write_many(batch, overwrite)
        finally:
            batch.clear()
        return count

    def _write_many(self, WriteBatch batch, bint overwrite):
        """Write a batch with one call, under the lock of all keys; returns how many blocks were not there yet."""
        cdef Encoder2 encoder
        cdef Shard own
        cdef bytes key
        cdef uint64_t count = 0
        batch.end_group()
        if not batch.records:
            return 0
        with self.writing:
            self.ready()
            own = self.own
            self.lock_keys(0, 0)
            try:
                own.output.waits = True
                try:
                    with self.table:
                        self.counters.begin(own.counter)
                        for encoder, key, content in batch.records:
                            if key is None:
                                count += self.write_group(batch, encoder, content, overwrite)
                            elif self.settle(key, encoder, content, overwrite, False):
                                own.output.put(key, encoder)
                                count += 1
                finally:
                    own.output.waits = False
                    with self.table:
                        try:
                            own.output.hand_over()
                        finally:
                            self._show_own()
                    own.output.acknowledge()
            finally:
                self.unlock_keys(0, 0)
        batch.clear()
        return count

    cdef uint64_t write_group(self, WriteBatch batch, Encoder2 encoder, list values, bint overwrite) except? 0:
        """Write those values of a group that are not there yet; returns how many these are."""
        cdef list missing = [value for value in values
                             if self.settle(value[0], encoder, ((b"", value[1]),), overwrite, False)]
        cdef uint64_t stamp = encoder.record.stamp
        if not missing:
            return 0
        if len(missing) < len(values):
            encoder.clear()
            batch.encode_members(encoder, missing)
            encoder.record.stamp = stamp
        self.own.output.put_group(encoder, True)
        return <uint64_t>len(missing)

    # Copies

    def backup(self, dst, *, progress=None):
        """Copy the store as it is now to the folder `dst`, while everybody goes on; returns a `BackupReport`.

        `dst` is new, empty, or an earlier backup of this store, of which only what came since is copied. The copy is a
        store, and on the disk when this returns. `progress` is called with (bytes done, bytes in all). FormatError
        where `dst` is something else, CorruptError where somebody wrote to the copy.
        """
        cdef Shard shard
        self.check()
        with errors.storage_errors(self.path):
            leases = None
            try:
                with self.table:
                    self.catch_up()
                    manifest = self.manifest
                    ends = {shard.id: shard.layout.totals().end for shard in self.shards.values()}
                    if self.leases is not None:
                        # A lease of its own, as that of the store moves on.
                        leases = open_reading(self.folder.file(LEASES))
                        lock_range(leases, manifest.number, 1, False, True)
                return back_up(self.folder, manifest, ends, dst, progress)
            finally:
                if leases is not None:
                    leases.close()

    def add_pipe(self, path):
        """Add all blocks of a pipe, which stays as it is; returns how many were not there yet.

        The data of a pipe of format 2 becomes a shard as it is, where no key of it was deleted later than the pipe has
        it; else its blocks are written one by one. CollisionError where the store has another content under a key.
        """
        self.check_writable()
        with Reader(path, max_block_size=self.limit) as reader:
            with errors.storage_errors(self.path):
                refused = self._refuses(reader)
                if reader.format == 2 and len(reader) > 0 and not refused and self._take_over(reader):
                    return len(reader)
            return self.put_many(reader.items())

    def _take_over(self, Reader reader):
        """Let the data of a pipe be a shard as it is; False where the store has it already, or deleted keys of it later
        than the pipe has them."""
        cdef Format2 layout = reader.opened()
        cdef uint64_t id = layout.source.id
        cdef Shard shard
        manifests = self.folder.manifests
        last = manifests.last()
        if id in last.shards or id in last.retired:
            return False
        try:
            listed, shard = as_shard(self.folder, layout.source.place, id, layout.codec)
        except FileExistsError:
            return False
        with self.writing:
            self.lock_keys(0, 0)
            try:
                try:
                    refused = self._refuses(reader)
                    if not refused:
                        manifests.commit(manifests.last(),
                                         lambda last: None if id in last.shards else last.with_shards(listed))
                except BaseException:
                    refused = id not in manifests.last().shards  # an error may come behind the commit
                    raise
                finally:
                    shard.output.release()
                    if refused:
                        remove([self.folder.file(listed.data), index_of(self.folder.file(listed.data))])
                with self.table:
                    self._tell()
            finally:
                self.unlock_keys(0, 0)
        return not refused

    def _refuses(self, Reader reader):
        """Whether a block of a pipe would not count as a record of a shard; CollisionError where the store has another
        content under its key."""
        cdef Layout layout = reader.opened()
        cdef uint32_t place = 0
        cdef uint64_t number = 0, i, count = len(reader)
        cdef sp_entry entry, other
        cdef Layout found
        cdef bytes key
        for i in range(count):
            key = layout.key(layout.entry(i, &entry), i, &entry)
            with self.table:
                if i == 0:
                    self.catch_up()
                if not self.find(key, &place, &number, &other):
                    continue
                found = (<Shard>self.places[place]).layout
            if other.kind == SP_TOMBSTONE:
                if other.stamp >= entry.stamp:
                    return True
            elif not same(found.fetch(number, key, None), list(layout.fetch(i, key, None))):
                raise errors.CollisionError("the store has another content under this key; nothing of the pipe was "
                                            "added", path=reader.data_path, block=key)
        return False

    # Making it smaller

    def compact(self, *, dead=0.0, progress=None):
        """Write shards anew without what is dead in them, and join small ones; returns a `CompactReport`.

        Taken are shards of which at least the part `dead` is dead, those with the most dead bytes first, but none that
        another process writes to. Everybody goes on meanwhile; what was compacted is removed by `gc`, or by a later
        `compact`, when no reader has it open. A damaged shard stays as it is, with a PipeWarning. `progress` is called
        with (bytes done, bytes in all).
        """
        if not 0 <= dead <= 1:
            raise ValueError(f"dead is {dead!r:.40}, not the part of a shard from 0 to 1")
        self.check_writable()
        with errors.storage_errors(self.path):
            with self.writing:
                if self.own is not None and (self.catalog.at(self.own.place).tombstones > 0
                                             or self.own in candidates(self, dead)[0]):
                    self._finish_shard()
            report = compact(self, dead, self.options["level"], progress)
            self._collect(GRACE)
        return report

    def _compact_aside(self):
        """Compact in the background what is dead enough."""
        self.died = 0
        if (self.compacting is None or not self.compacting.is_alive()) and candidates(self, self.auto_compact)[0]:
            self.compacting = threading.Thread(target=self._compact_now, name="smartpipe-compact", daemon=True)
            self.compacting.start()

    def _compact_now(self):
        try:
            with errors.storage_errors(self.path):
                compact(self, self.auto_compact, self.options["level"], self._stop_compacting)
                self._collect(GRACE)
        except Stopped:
            pass
        except (errors.SmartPipeError, RuntimeError) as error:
            errors.warn(f"{self.path}: the store was not compacted: {error}")

    def _stop_compacting(self, done, total):
        if self.stopping:
            raise Stopped

    def gc(self, *, grace=GRACE):
        """Remove files that nobody needs: compacted shards, and what killed processes left; returns a `GcReport`.

        What another process may still have open stays, and what is younger than `grace` seconds.
        """
        self.check_writable()
        with errors.storage_errors(self.path):
            with self.table:
                self._reload()
            return self._collect(grace)

    def _collect(self, grace):
        report = collect(self.folder, self.leases, grace)
        with self.table:
            self._tell()
        return report

    # Finishing

    def flush(self):
        """Hand to the system what waits in this process, and let the index list it; no other process needs that."""
        with self.writing:
            self.check()
            if self.own is not None:
                self.own.output.check_usable()
                self.own.output.flush()

    def sync(self):
        """Return when all that this process wrote is on the disk."""
        with self.writing:
            self.check()
            if self.own is not None:
                self.own.output.sync()

    def refresh(self):
        """Take in what others wrote, also where the counters do not tell: on another machine, or in a copy."""
        cdef Shard shard
        self.check()
        with self.table:
            if self.folder.manifests.numbers()[-1:] != [self.manifest.number]:
                self._reload()
            for shard in list(self.growing):
                self.look(shard)

    def verify(self, *, progress=None):
        """Look at every byte of the store, and return a `StoreReport` of what is whole and what is not.

        Damage is never an error, and does not end it. What others write meanwhile is verified as far as it was written
        when its shard's turn came. `progress` is called with (bytes done, bytes in all).

        >>> import tempfile
        >>> with ShardStore(tempfile.mkdtemp() + "/pages") as store:
        ...     store.put_bytes(b"https://a", b"<html>")
        ...     report = store.verify()
        >>> report.ok, report.keys, report.blocks
        (True, 1, 1)
        """
        with errors.storage_errors(self.path):
            self.refresh()
            return verify_store(self.folder, self.manifest, len(self), self.limit, progress)

    def stats(self):
        """Return numbers of what there is now.

        "keys"; "shards", of which "open_shards" are written to or wait for a writer; "retired_shards", compacted and
        not yet removed; "tombstones", records of deletes; "data_bytes" of all data files, "live_bytes" of them in
        records that count, "dead_bytes" the rest; "manifest", its number.
        """
        cdef Shard shard
        cdef uint64_t data = 0, live = 0, tombstones = 0, size
        self.check()
        with self.table:
            self.catch_up()
            for shard in self.shards.values():
                size = shard.layout.totals().end
                data += size
                live += self.catalog.at(shard.place).bytes
                tombstones += self.catalog.at(shard.place).tombstones
            return {
                "keys": self.catalog.c.keys,
                "shards": len(self.shards),
                "open_shards": sum([listed.counter > 0 for listed in self.manifest.shards.values()]),
                "retired_shards": len(self.manifest.retired),
                "tombstones": tombstones,
                "data_bytes": data,
                "live_bytes": live,
                "dead_bytes": data - live,
                "manifest": self.manifest.number,
            }

    def close(self):
        """Finish the shard of this process, which the next writer goes on with, and sync it as promised.

        Blocks that were given out keep what they have; closing twice is fine.
        """
        cdef Shard own = self.own
        if self.closed:
            return
        if self.generation != generation():
            # What the parent has is the parent's, its locks too.
            self.own = self.compacting = None
            self.closed = True
            return
        if self.compacting is not None:
            self.stopping = True
            self.compacting.join()
        with self.writing:
            self.closed = True
            self.own = None
            try:
                if own is not None:
                    try:
                        if own.output.failed is None:
                            own.output.seal()
                    finally:
                        own.output.release()
            finally:
                for file in (self.key_locks, self.leases):
                    if file is not None:
                        file.close()

    def __enter__(self):
        self.check()
        return self

    def __exit__(self, *error):
        self.close()

    def __repr__(self):
        state = "closed" if self.closed else f"{len(self)} keys in {len(self.shards)} shards"
        return f"<smartpipe.ShardStore {self.path!r}, {state}>"


def _reopened(path, mode, options):
    """Return the store that was pickled, open again."""
    return ShardStore(path, mode, **options)


cdef bint same(Block block, object pairs) except -1:
    """Whether a block has these pairs, in this order."""
    cdef list wanted = [(as_bytes(key, "the key of a pair"), as_bytes(value, "the value of a pair"))
                        for key, value in (pairs.items() if isinstance(pairs, dict) else pairs)]
    return len(block) == len(wanted) and list(block) == wanted
