"""The shards of a store, as one process has them open."""

import os
import threading

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from smartpipe._codec cimport siphash
from smartpipe._platform cimport lock_range, unlock_range

from smartpipe import errors
from smartpipe._platform import disk, leave_to_parent, open_reading
from smartpipe.shards.folder import COUNTERS, KEYS, LEASES
from smartpipe.shards.rebuild import current
from smartpipe.shards.shard import open_shard

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define ONE_AT_A_TIME 0
    #else
    #define ONE_AT_A_TIME 1
    #endif
    """
    const bint ONE_AT_A_TIME


cdef class ShardSet:
    def _open_shared(self):
        """Begin with no shards, and the files over which the processes agree. For reading some may be missing, in a
        copy."""
        self.table = threading.RLock()
        self.own = None
        self.shards = {}
        self.growing = []
        self.watched = Buffer()
        self.places = [None]
        self.catalog = Catalog(self.folder.hash_key)
        writes = self.mode == "a"
        flags = os.O_RDWR if writes else os.O_RDONLY
        opened = []
        for name in (KEYS, LEASES, COUNTERS):
            try:
                file = self.folder.file(name)
                opened.append(leave_to_parent(disk.open(file, flags) if writes else open_reading(file)))
            except FileNotFoundError:
                opened.append(None)
        self.key_locks, self.leases, counters = opened
        if self.counters is None and counters is not None and counters.size() > 0:
            self.counters = Counters(counters, writes)

    cdef uint64_t hash(self, bytes key) noexcept:
        return siphash(self.hash_key, <const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef int catch_up(self) except -1:
        """Take in what other processes of this machine have acknowledged."""
        cdef Shard shard
        cdef uint64_t counter
        cdef bint changed = False
        if self.counters is None:
            return 0
        if self.counters.get(0) != self.seen:
            self._reload()
        for shard in self.growing:
            counter = self.counters.get(shard.counter)
            if counter != shard.seen or counter & 1:
                self.looking += 1
                try:
                    shard.seen = counter
                    self.look(shard)
                finally:
                    self.looking -= 1
                changed = True
        if changed:
            self.watch()
        return 0

    cdef int watch(self) except -1:
        """Note which counters tell of news, with what they were when these were looked for last."""
        cdef Buffer watched = Buffer()
        cdef uint64_t *pair
        cdef Shard shard
        for shard in self.growing:
            pair = <uint64_t *>watched.extend(2 * sizeof(uint64_t))
            pair[0] = shard.counter
            pair[1] = shard.seen
        self.watched = watched
        return 0

    cdef bint is_current(self) except -1:
        """Whether the catalog has all that others acknowledged, and, where there is a GIL, stays as it is until the
        caller runs Python: then it may be looked at without `table`, which costs more than a look."""
        cdef Buffer watched = self.watched
        if not ONE_AT_A_TIME or self.looking:
            return False
        if self.counters is None:
            return True
        return self.counters.get(0) == self.seen and self.counters.are(<const uint64_t *>watched.data,
                                                                       watched.size // (2 * sizeof(uint64_t)))

    cdef int look(self, Shard shard) except -1:
        if shard.look() and shard.layout.index is self.catalog.indexes[shard.place]:
            self.catalog.enter(shard.place, shard.layout.whole)
            shard.layout.warn()
        else:
            self.install(self._open(self.manifest.shards[shard.id]))
            self.forget(shard)
            self.catalog.rebuild(0)  # of keys of what was cut, a record with a lower stamp counts again
        return 0

    def _open(self, listed):
        # In this order: what is written meanwhile is looked at again.
        cdef uint64_t seen = 0 if self.counters is None else self.counters.get(listed.counter)
        cdef Shard shard = open_shard(self.path, listed, self.limit)
        shard.seen = seen
        return shard

    cdef int install(self, Shard shard) except -1:
        try:
            shard.place = self.catalog.take(shard.layout.index, shard.layout.whole)
        except errors.CorruptError as damage:
            # A page of a large index. Nobody has numbers of its entries yet.
            shard.layout.index = None
            shard.layout.rebuild(damage)
            shard.place = self.catalog.take(shard.layout.index, shard.layout.whole)
        if shard.place == len(self.places):
            self.places.append(None)
        self.places[shard.place] = shard
        self.shards[shard.id] = shard
        if shard.counter > 0 and shard.output is None:
            self.growing.append(shard)
            self.watch()
        return 0

    cdef int forget(self, Shard shard) except -1:
        """Iterators that still read the shard keep its file open."""
        self.catalog.drop(shard.place)
        self.places[shard.place] = None
        self.growing = [other for other in self.growing if other is not shard]
        self.watch()
        if self.shards.get(shard.id) is shard:
            del self.shards[shard.id]
        return 0

    def _reload(self):
        """Have the shards open that the current manifest lists, and a lease of it."""
        with self.table:
            while True:
                seen = 0 if self.counters is None else self.counters.get(0)
                manifest = current(self.folder, self.mode == "a", seen, self.manifest)
                if manifest.number > seen and self.counters is not None and self.mode == "a":
                    self.counters.lift(0, manifest.number)  # whoever committed it was killed, or is just doing so
                    seen = manifest.number
                if self._lease(manifest.number):
                    try:
                        self._take(manifest)
                        break
                    except FileNotFoundError as error:
                        if isinstance(error, errors.SmartPipeError):
                            raise
                        if 0 < manifest.number == self.folder.manifests.last().number:
                            raise errors.CorruptError("the shard is missing: all that it held is lost, if no copy of "
                                                      "the file comes back", path=error.filename) from error
            self.seen = seen
            if self.leases is not None and manifest.number > 0:
                unlock_range(self.leases, 0, manifest.number)

    def _lease(self, number):
        """Keep the shards of a manifest from being removed; False where they may be already."""
        if self.leases is None or number == 0:
            return True
        lock_range(self.leases, number, 1, False, True)
        if self.folder.manifests.exists(number):
            return True
        unlock_range(self.leases, number, 1)
        return False

    def _take(self, manifest):
        """Open what a manifest lists and is not open yet, and forget what it does not list any more."""
        cdef Shard shard
        cdef list opened = []
        for listed in manifest.shards.values():
            shard = self.shards.get(listed.id)
            if shard is None or (shard.counter != <uint64_t>listed.counter and shard is not self.own):
                opened.append(self._open(listed))
        self.manifest = manifest
        gone = [shard for shard in self.shards.values() if shard.id not in manifest.shards]
        self.catalog.make_room(sum([shard.layout.whole for shard in opened]))
        for shard in opened:
            # First what is new: a record that lies in both is found at each moment.
            old = self.shards.get(shard.id)
            self.install(shard)
            if old is not None:
                gone.append(old)
        for shard in gone:
            self.forget(shard)
        if self.own is not None and self.own.id in manifest.shards:
            # In a manifest that was made anew it may be another.
            self.own.counter = manifest.shards[self.own.id].counter

    cdef bint find(self, bytes key, uint32_t *place, uint64_t *number, sp_entry *entry) except -1:
        """The record that counts for a key, also a tombstone; False where there is none."""
        return self.catalog.find(self.hash(key), <const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), place,
                                 number, entry)

    def _tell(self):
        """Let other processes know that there is a new manifest, and take it in."""
        self.counters.lift(0, self.folder.manifests.numbers()[-1])
        self._reload()
