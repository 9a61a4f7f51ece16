"""One table over the entries of all shards: which record of a key counts, the one with the highest stamp."""

from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy, memset

from smartpipe._codec cimport (
    SP_ABSENT, SP_HASH_KEY, SP_OK, SP_PLACES, catalog_drop, catalog_enter, catalog_find, catalog_numbers, sp_run, words,
)
from smartpipe._platform cimport spread
from smartpipe.container.index cimport Run

from smartpipe import errors

# The numbers of so many entries are fetched at once.
cdef uint64_t SOME = 4096


cdef class Catalog:
    def __init__(self, bytes hash_key):
        memcpy(self.c.hash_key, <const uint8_t *>hash_key, SP_HASH_KEY)
        self.indexes = [None]  # places begin with 1
        self.runs = [None]
        self.listed = Buffer()
        self.add_place()
        self.rebuild(0)

    cdef int add_place(self) except -1:
        memset(self.listed.extend(sizeof(sp_listed)), 0, sizeof(sp_listed))
        self.c.listed = <sp_listed *>self.listed.data
        return 0

    cdef int take(self, Index index, uint64_t count) except -1:
        """Give an index a place, with the first `count` of its entries; returns the place."""
        cdef int place
        for place in range(1, len(self.indexes)):
            if self.indexes[place] is None:
                break
        else:
            place = len(self.indexes)
            if place > SP_PLACES:
                raise errors.StorageError(f"the store has more than {SP_PLACES} shards: a larger shard_size, and "
                                          "compacting, make fewer of them")
            self.indexes.append(None)
            self.runs.append(None)
            self.add_place()
        self.indexes[place] = index
        try:
            self.enter(place, count)
        except BaseException:
            # What it took the place of counts again.
            self.drop(place)
            self.rebuild(0)
            raise
        return place

    cdef int enter(self, int place, uint64_t count) except -1:
        """Take the entries of a shard in up to `count` of them."""
        cdef int status
        cdef uint64_t entered = self.at(place).entered
        if count > (<Index>self.indexes[place]).count:
            raise errors.CorruptError(f"{count} entries of a shard were expected, and its index has "
                                      f"{(<Index>self.indexes[place]).count}")
        if count > UINT32_MAX:
            raise errors.StorageError(f"a shard has {count} entries, more than {UINT32_MAX}")
        if count <= entered:
            return 0
        self.show(place)
        self.make_room(count - entered)
        if self.at(place).entered >= count:
            return 0  # a larger table was made, with these
        status = catalog_enter(&self.c, place, count)
        return check(status)

    cdef int show(self, int place) except -1:
        """Let the table see the runs of an index, which has more when it has grown."""
        cdef Index index = self.indexes[place]
        cdef sp_listed *listed = self.at(place)
        cdef Buffer runs, firsts
        cdef Run run
        if listed.count == <uint64_t>len(index.runs):
            return 0
        runs = Buffer()
        firsts = Buffer()
        for run in index.runs:
            (<const sp_run **>runs.extend(sizeof(sp_run *)))[0] = &run.c
            (<uint64_t *>firsts.extend(8))[0] = run.first
        self.runs[place] = runs, firsts, list(index.runs)
        listed.runs = <const sp_run *const *>runs.data
        listed.firsts = <const uint64_t *>firsts.data
        listed.count = <uint64_t>len(index.runs)
        return 0

    cdef int drop(self, int place) except -1:
        """Forget a shard. Its keys are then those of no shard: of equal ones another has to be taken in before."""
        check(catalog_drop(&self.c, place))
        self.indexes[place] = self.runs[place] = None
        return 0

    cdef int make_room(self, uint64_t count) except -1:
        if 4 * (self.c.used + count) <= 3 * self.c.slot_count:
            return 0
        return self.rebuild(count)

    cdef int rebuild(self, uint64_t count) except -1:
        """Make the table anew, with room for so many entries besides what is there, and no graves."""
        cdef uint64_t keys = count, slots = 1 << 10
        cdef uint64_t entered
        cdef int place
        for place in range(1, len(self.indexes)):
            keys += self.at(place).keys + self.at(place).tombstones
        while slots < 2 * keys:
            slots *= 2
        self.slots = Buffer()
        self.slots.reserve(8 * slots)
        spread(self.slots.data, 8 * slots)
        memset(self.slots.extend(8 * slots), 0, 8 * slots)
        self.c.slots = <uint64_t *>self.slots.data
        self.c.slot_count = slots
        self.c.used = self.c.keys = 0
        for place in range(1, len(self.indexes)):
            entered = self.at(place).entered
            self.at(place).entered = self.at(place).keys = self.at(place).bytes = 0
            self.at(place).tombstones = self.at(place).tombstone_bytes = 0
            check(catalog_enter(&self.c, place, entered))
        return 0

    cdef bint find(self, uint64_t hash, const uint8_t *key, size_t n, uint32_t *place, uint64_t *number,
                   sp_entry *entry) except -1:
        """The entry that counts for a key, also a tombstone's; False where there is none."""
        cdef int status = catalog_find(&self.c, hash, key, n, place, number, entry)
        if status == SP_OK:
            return True
        check(status)
        return False

    cdef list numbers(self, int place, bint tombstones):
        """The numbers of the entries of a shard that count, blocks or tombstones, in the order of the file."""
        cdef Buffer some = Buffer()
        cdef uint64_t *numbers = <uint64_t *>some.extend(8 * SOME)
        cdef uint64_t found = 0, following = 0, i
        cdef list result = []
        while following < self.at(place).entered:
            check(catalog_numbers(&self.c, place, tombstones, following, SOME, numbers, &found, &following))
            for i in range(found):
                result.append(numbers[i])
        return result

    cdef sp_listed *at(self, int place) noexcept:
        return self.c.listed + place


cdef int check(int status) except -1:
    if status != SP_OK and status != SP_ABSENT:
        raise errors.CorruptError(f"the index of a shard, in memory: {words(status)}")
    return 0
