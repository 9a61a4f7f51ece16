"""Compaction: the records of some shards that count, in a new one that takes their place. docs/shards.md.

Everybody goes on meanwhile. What is put or deleted while a shard is copied has a higher stamp than what is copied, and
so it does not matter which of the two comes to the store first.
"""

import os

from libc.stdint cimport UINT32_MAX, uint8_t, uint64_t

from smartpipe._codec cimport (
    SP_FILE_HEADER, SP_GROUP, SP_NONE, SP_OK, SP_RECORD_HEADER, SP_TOMBSTONE, record_decode, sp_entry, sp_record,
)
from smartpipe.container.block cimport Block
from smartpipe.container.compressor cimport Compressor
from smartpipe.container.encoder cimport Encoder2
from smartpipe.container.format2 cimport Format2
from smartpipe.container.group cimport Group, encode_group
from smartpipe.container.index cimport Index
from smartpipe.container.layout cimport Near
from smartpipe.shards.shard cimport Shard
from smartpipe.shards.shard_set cimport ShardSet
from smartpipe.shards.write_batch cimport Members

from smartpipe import errors
from smartpipe._platform import disk, lock
from smartpipe.container.opening import APPEND, remove
from smartpipe.shards.manifest import Listed
from smartpipe.shards.reports import CompactReport
from smartpipe.shards.shard import create_shard, index_of

# Records that lie behind one another are read together, up to so many bytes.
cdef uint64_t TOGETHER = 1 << 20


class Stopped(Exception):
    """Nobody waits for the compaction any more."""


class _Damaged(Exception):
    """A shard can not be copied whole; the cause is the error."""

    def __init__(self, shard):
        self.shard = shard


class _Overtaken(Exception):
    """A shard that is compacted is not of the store any more."""


def compact(ShardSet store, double dead, int level, progress):
    """Do what `ShardStore.compact` promises."""
    shards = records = before = after = 0
    done = 0
    tried = set()
    looked = set()  # for tombstones, also at what was just written
    written = {}
    found, small = candidates(store, dead)
    total = sum([shard.layout.tally.end for shard in found + small])
    while True:
        inputs = _choose(store, dead, tried) or _choose_tombstones(store, dead, looked)
        if not inputs:
            break
        result = None
        try:
            result = _replace(store, inputs, level,
                              None if progress is None else lambda n: progress(min(done + n, total), total))
        except _Damaged as damage:
            errors.warn(f"{damage.shard.data}: it is damaged, and was not compacted: {damage.__cause__}")
            tried.difference_update([shard.id for shard, _ in inputs if shard.id != damage.shard.id])
            continue
        finally:
            for _, file in inputs:
                file.close()
        if result is not None:
            for shard, _ in inputs:
                if shard.id in written:  # compacted once more, and counted once
                    again = written.pop(shard.id)
                    shards -= 1
                    records -= again[0]
                    before -= again[2]
                    after -= again[2]
            shards += len(inputs)
            records += result[0]
            before += result[1]
            after += result[2]
            tried.add(result[3])
            written[result[3]] = result
        done += sum([shard.layout.tally.end for shard, _ in inputs])
    return CompactReport(shards, records, before, after)


def candidates(ShardSet store, double dead):
    """Return the shards that compaction would make smaller, those with the most dead bytes first, and then those that
    are small, of which it would make fewer."""
    cdef Shard shard
    cdef list found = [], small = []
    cdef uint64_t size, needed
    with store.table:
        store.catch_up()
        for shard in store.shards.values():
            size = shard.layout.totals().end
            needed = store.catalog.at(shard.place).bytes + store.catalog.at(shard.place).tombstone_bytes
            if size > needed + SP_RECORD_HEADER and <double>(size - needed) >= dead * <double>size:
                found.append((size - needed, shard))
            elif shard.counter == 0 and size < store.shard_size // 2:
                small.append(shard)
    found.sort(key=lambda pair: pair[0], reverse=True)
    return [shard for _, shard in found], small


def _choose(ShardSet store, double dead, set tried):
    """Shards that fit into one together, each with its locked file; those that somebody writes are left alone."""
    cdef Shard shard
    cdef list chosen = []
    cdef uint64_t size = 0, bytes = 0
    found, small = candidates(store, dead)
    for shard in found + small:
        if shard is store.own or shard.id in tried or (chosen and shard.codec != (<Shard>chosen[0][0]).codec):
            continue
        with store.table:
            if store.shards.get(shard.id) is not shard:  # its place may be another's now
                continue
            bytes = store.catalog.at(shard.place).bytes
        if chosen and size + bytes > store.shard_size:
            continue
        tried.add(shard.id)
        try:
            file = disk.open(shard.data, APPEND)
        except FileNotFoundError:
            continue
        if not lock(file, required=False):
            file.close()
            continue
        size += bytes
        chosen.append((shard, file))
    if len(chosen) == 1 and chosen[0][0] in small:
        chosen[0][1].close()
        return _choose(store, dead, tried)  # alone it would stay as it is
    return chosen


def _choose_tombstones(ShardSet store, double dead, set looked):
    """A shard of which enough are tombstones that hide nothing any more, with its locked file. To know that, each of
    them is looked for in all other shards; so this is for shards that would be left as they are."""
    cdef Shard shard
    cdef uint64_t size, bytes = 0, count = 0, kept
    for shard in list(store.shards.values()):
        with store.table:
            if shard is store.own or shard.id in looked or store.shards.get(shard.id) is not shard:
                continue  # if it is gone, its place may be another's now
            count = store.catalog.at(shard.place).tombstones
            if count == 0:
                continue
            bytes = store.catalog.at(shard.place).tombstone_bytes
            numbers = store.catalog.numbers(shard.place, True)
        looked.add(shard.id)
        size = shard.layout.totals().end
        kept = len(needed(store, shard, numbers, [(shard, None)]))
        if kept == count or <double>(bytes // count * (count - kept)) < dead * <double>size:
            continue
        try:
            file = disk.open(shard.data, APPEND)
        except FileNotFoundError:
            continue
        if lock(file, required=False):
            return [(shard, file)]
        file.close()
    return []


def _replace(ShardSet store, list inputs, int level, progress):
    """Copy what counts of some shards, and let the copy take their place; (records, bytes before, bytes after, id of
    the copy), None where others were faster."""
    cdef Shard shard, output
    cdef Copying copying
    cdef uint64_t records = 0, before = 0, after = 0
    manifests = store.folder.manifests
    with store.table:
        store._reload()  # nobody changes these any more, and what was done before the lock is seen now
        if any([shard.id not in store.shards for shard, _ in inputs]):
            return None
        for shard, _ in inputs:
            store.look(store.shards[shard.id])
        inputs = [(store.shards[shard.id], file) for shard, file in inputs]  # it may have been opened anew
        plans = [(shard, store.catalog.numbers(shard.place, False), store.catalog.numbers(shard.place, True))
                 for shard, _ in inputs]
    output = create_shard(store.path, (<Shard>inputs[0][0]).codec, 0xffffffff, True)
    try:
        output.output.keep("close", False)
        output.output.waits = True
        for shard, blocks, tombstones in plans:
            try:
                check_whole(shard.layout)
                copying = Copying(shard, output, level)
                records += copying.copy(blocks, progress, before)
                records += copying.copy(needed(store, shard, tombstones, inputs), None, 0)
            except errors.CorruptError as error:
                raise _Damaged(shard) from error
            before += shard.layout.totals().end
        output.output.seal()
        after = output.output.size
        ids = tuple([shard.id for shard, _ in inputs])
        listed = Listed(output.id, os.path.basename(output.data), output.codec, 0)

        def change(last):
            if records > 0 and listed.id in last.shards:
                return None
            if any([id not in last.shards for id in ids]):
                if records == 0:
                    return None
                raise _Overtaken
            return last.with_shards(*([listed] if records > 0 else []), without=ids)

        manifests.commit(manifests.last(), change)
    except BaseException as error:
        output.output.release()
        if output.id not in manifests.last().shards:  # an error may come behind the commit
            remove([index_of(output.data), output.data])
        if isinstance(error, _Overtaken):
            return None
        raise
    output.output.release()
    if records == 0:
        remove([index_of(output.data), output.data])
        after = 0
    with store.table:
        store._tell()
    return records, before, after, output.id


cdef list needed(ShardSet store, Shard shard, list tombstones, list inputs):
    """The tombstones behind which an older record of their key may lie in a shard that is not compacted with them."""
    cdef Format2 layout
    cdef sp_entry entry
    cdef bytes key
    cdef list kept = []
    ids = {(<Shard>other).id for other, _ in inputs}
    with store.table:
        store.catch_up()
        others = [(<Shard>other).layout for other in store.shards.values() if (<Shard>other).id not in ids]
    for number in tombstones:
        key = shard.layout.key(shard.layout.entry(number, &entry), number, &entry)
        for layout in others:
            with store.table:
                if layout.find(<const uint8_t *>key, len(key)) >= 0:
                    kept.append(number)
                    break
    return kept


cdef int check_whole(Format2 layout) except -1:
    """CorruptError where bytes of a shard are no record: what can not be read now may be one day, and is not thrown
    away."""
    cdef uint64_t number, at = SP_FILE_HEADER
    cdef sp_entry entry
    for number in range(layout.whole):
        layout.entry(number, &entry)
        if entry.member == 0:
            at = skip_unlisted(layout, at, entry.offset) + entry.size
    skip_unlisted(layout, at, layout.totals().end)
    return 0


cdef uint64_t skip_unlisted(Format2 layout, uint64_t at, uint64_t stop) except? 0:
    """Go on behind records that no index lists, metadata and dictionaries."""
    cdef sp_record record
    cdef bytes header
    while at < stop:
        header = layout.source.read(at, SP_RECORD_HEADER)
        if record_decode(header, len(header), layout.source.id, at, &record) != SP_OK or record.size > stop - at:
            raise errors.CorruptError(f"the {stop - at} bytes here are no record", path=layout.source.path, offset=at)
        at += record.size
    return at


cdef class Copying:
    """The records of a shard that count, on their way into another: checked and inflated, and then taken over as they
    are stored. Only small values that were compressed alone, or with others that are dead now, are compressed again."""
    cdef Format2 layout
    cdef Shard output
    cdef dict renumbered           # dictionaries, by their numbers in the shard
    cdef Members members           # small values that wait to become a group
    cdef Compressor compressor
    cdef Encoder2 encoder

    def __init__(self, Shard shard, Shard output, int level):
        self.layout = shard.layout
        self.output = output
        self.renumbered = {}
        self.members = Members(UINT32_MAX)
        self.compressor = Compressor(shard.codec, level)
        self.encoder = Encoder2(UINT32_MAX, shard.codec)

    cdef uint64_t copy(self, list numbers, progress, uint64_t before) except? 0:
        """Copy the records of entries; returns how many there are. `progress` is called with the bytes that are done,
        those `before` the shard included."""
        cdef Near near = Near()
        cdef Py_ssize_t at = 0, stop, count = len(numbers)
        cdef uint64_t end, stored = 0
        cdef sp_entry entry
        while at < count:
            self.layout.extent(numbers[at], &entry, &stored)
            near.begin = entry.offset
            end = near.begin + stored
            stop = at + 1
            while stop < count:
                self.layout.extent(numbers[stop], &entry, &stored)
                if entry.offset + stored > end:  # not a further member of the last group
                    if entry.offset != end or end + stored - near.begin > TOGETHER:
                        break
                    end += stored
                stop += 1
            near.memory.size = 0
            self.layout.source.read_into(near.begin, end - near.begin, near.memory.extend(end - near.begin), None)
            while at < stop:
                at += self.copy_record(numbers, at, near)
            if progress is not None:
                progress(before + end)
        self.end_group()
        self.output.output.hand_over()
        return count

    cdef Py_ssize_t copy_record(self, list numbers, Py_ssize_t at, Near near) except -1:
        """Copy the record of an entry; returns how many of those that follow are of it."""
        cdef Format2 layout = self.layout
        cdef uint64_t number = numbers[at]
        cdef sp_entry entry
        cdef sp_record record
        cdef Block block
        cdef bytes key = layout.key(layout.entry(number, &entry), number, &entry), value
        cdef const uint8_t *p = near.memory.data + (entry.offset - near.begin)
        if entry.kind == SP_GROUP:
            return self.copy_group(numbers, at, near)
        if entry.kind == SP_TOMBSTONE:
            if record_decode(p, entry.size, layout.source.id, entry.offset, &record) != SP_OK or (
                    record.kind != SP_TOMBSTONE):
                raise errors.CorruptError("the header of the record is not what the index lists",
                                          path=layout.source.path, block=key, offset=entry.offset)
        else:
            block = layout.open_block(p, entry.size, entry.offset, near.memory, &entry, key)
            block.load_all()
            if entry.pairs == 1 and entry.codec != SP_NONE and (<tuple>block[0])[0] == b"":
                value = block[b""]
                if self.members.is_small(key, value):
                    self.gather(key, value, entry.stamp)
                    return 1
            record = block.record
            self.carry(block, &record)
        self.output.output.copy_record(p, &record, entry.raw, key)
        return 1

    cdef Py_ssize_t copy_group(self, list numbers, Py_ssize_t at, Near near) except -1:
        """Copy a group as it is where all of its members count, and otherwise those that do."""
        cdef Format2 layout = self.layout
        cdef Py_ssize_t stop = at
        cdef uint64_t offset
        cdef sp_entry entry
        cdef sp_record record
        cdef Group group
        cdef Index index = layout.entry(numbers[at], &entry)
        cdef bytes key, value
        offset = entry.offset
        group = layout.read_group(&entry, layout.key(index, numbers[at], &entry), near)
        while stop < len(numbers):
            layout.entry(numbers[stop], &entry)
            if entry.offset != offset:
                break
            stop += 1
        record = group.record.record
        if <uint64_t>(stop - at) == record.pairs and 2 * <uint64_t>record.head_raw >= self.members.most:
            self.carry(group.record, &record)
            self.output.output.copy_record(near.memory.data + (offset - near.begin), &record, record.head_raw, None)
            return stop - at
        for number in numbers[at:stop]:
            index = layout.entry(number, &entry)
            key = layout.key(index, number, &entry)
            value = group.member(&entry, key)[b""]
            if self.members.is_small(key, value):
                self.gather(key, value, entry.stamp)
            else:
                self.put_alone(key, value, entry.stamp)
        return stop - at

    cdef int put_alone(self, bytes key, bytes value, uint64_t stamp) except -1:
        """Make a record of a value that is not small. Writers of ours have none in their groups."""
        self.encoder.clear()
        self.encoder.add(b"", value)
        self.encoder.encode(key, self.compressor)
        self.encoder.record.stamp = stamp
        self.output.output.copy_record(self.encoder.out.data, &self.encoder.record, self.encoder.raw, key)
        return 0

    cdef int gather(self, bytes key, bytes value, uint64_t stamp) except -1:
        if not self.members.has_room(key, value):
            self.end_group()
        return self.members.add(key, value, stamp)

    cdef int end_group(self) except -1:
        cdef list values = self.members.take()
        if values:
            self.encoder.clear()
            encode_group(self.encoder, values, self.compressor)
            self.output.output.put_group(self.encoder, False)
        return 0

    cdef int carry(self, Block block, sp_record *record) except -1:
        """Give a record the number that its dictionary has in the new shard, where that is written before it is first
        needed."""
        if record.dictionary == 0:
            return 0
        number = self.renumbered.get(record.dictionary)
        if number is None:
            self.output.output.put_dictionary(block.dictionary.content)
            number = self.renumbered[record.dictionary] = self.output.output.dictionary.number
        record.dictionary = number
        return 0
