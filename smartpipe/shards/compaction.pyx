"""Compaction: the records of some shards that count, in a new one that takes their place. docs/shards.md.

Everybody goes on meanwhile. What is put or deleted while a shard is copied has a higher stamp than what is copied, and
so it does not matter which of the two comes to the store first.
"""

import os

from libc.stdint cimport uint8_t, uint64_t

from smartpipe._codec cimport (
    SP_BLOCK, SP_FILE_HEADER, SP_OK, SP_RECORD_HEADER, SP_TOMBSTONE, Buffer, record_decode, sp_entry, sp_record,
)
from smartpipe.container.block cimport Block
from smartpipe.container.format2 cimport Format2
from smartpipe.shards.shard cimport Shard
from smartpipe.shards.shard_set cimport ShardSet

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


def compact(ShardSet store, double dead, progress):
    """Do what `ShardStore.compact` promises."""
    shards = records = before = after = 0
    done = 0
    tried = set()
    found, small = candidates(store, dead)
    total = sum([shard.layout.tally.end for shard in found + small])
    while True:
        inputs = _choose(store, dead, tried)
        if not inputs:
            break
        result = None
        try:
            result = _replace(store, inputs,
                              None if progress is None else lambda n: progress(min(done + n, total), total))
        except _Damaged as damage:
            errors.warn(f"{damage.shard.data}: it is damaged, and was not compacted: {damage.__cause__}")
            tried.difference_update([shard.id for shard, _ in inputs if shard.id != damage.shard.id])
            continue
        finally:
            for _, file in inputs:
                file.close()
        if result is not None:
            shards += len(inputs)
            records += result[0]
            before += result[1]
            after += result[2]
            tried.add(result[3])
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
    cdef uint64_t size = 0, bytes
    found, small = candidates(store, dead)
    for shard in found + small:
        if shard.id in tried or (chosen and shard.codec != (<Shard>chosen[0][0]).codec):
            continue
        bytes = store.catalog.at(shard.place).bytes
        if chosen and size + bytes > store.shard_size:
            continue
        tried.add(shard.id)
        try:
            file = disk.open(shard.data, APPEND)
        except FileNotFoundError:
            continue
        if not lock(file):
            file.close()
            continue
        size += bytes
        chosen.append((shard, file))
    if len(chosen) == 1 and chosen[0][0] in small:
        chosen[0][1].close()
        return _choose(store, dead, tried)  # alone it would stay as it is
    return chosen


def _replace(ShardSet store, list inputs, progress):
    """Copy what counts of some shards, and let the copy take their place; (records, bytes before, bytes after, id of
    the copy), None where others were faster."""
    cdef Shard shard, output
    cdef uint64_t records = 0, before = 0, after = 0
    manifests = store.folder.manifests
    with store.table:
        store._reload()  # nobody changes these any more, and what was done before the lock is seen now
        for shard, _ in inputs:
            if store.shards.get(shard.id) is not shard:
                if shard.id not in store.shards:
                    return None
                return _replace(store, [(store.shards[other.id], file) for other, file in inputs
                                        if other.id in store.shards], progress)
            store.look(shard)
        inputs = [(store.shards[shard.id], file) for shard, file in inputs]  # a look may open a shard anew
        plans = [(shard, store.catalog.numbers(shard.place, SP_BLOCK), store.catalog.numbers(shard.place, SP_TOMBSTONE))
                 for shard, _ in inputs]
    output = create_shard(store.path, (<Shard>inputs[0][0]).codec, 0xffffffff, True)
    try:
        output.output.keep("close", False)
        output.output.waits = True
        for shard, blocks, tombstones in plans:
            try:
                check_whole(shard.layout)
                records += copy(shard, output, blocks, progress, before)
                records += copy(shard, output, needed(store, shard, tombstones, inputs), None, 0)
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


cdef uint64_t copy(Shard shard, Shard output, list numbers, progress, uint64_t before) except? 0:
    """Append records of a shard, checked and inflated, as they are stored; returns how many."""
    cdef Format2 layout = shard.layout
    cdef Buffer memory = Buffer()
    cdef Py_ssize_t at = 0, i, stop, count = len(numbers)
    cdef uint64_t begin, end, stored = 0, raw
    cdef sp_entry entry
    cdef sp_record record
    cdef Block block
    cdef dict renumbered = {}
    cdef bytes key
    cdef const uint8_t *p
    while at < count:
        layout.extent(numbers[at], &entry, &stored)
        begin = entry.offset
        end = begin + stored
        stop = at + 1
        while stop < count:
            layout.extent(numbers[stop], &entry, &stored)
            if entry.offset != end or end + stored - begin > TOGETHER:
                break
            end += stored
            stop += 1
        memory.size = 0
        layout.source.read_into(begin, end - begin, memory.extend(end - begin), None)
        for i in range(at, stop):
            key = layout.key(layout.entry(numbers[i], &entry), numbers[i], &entry)
            p = memory.data + (entry.offset - begin)
            raw = entry.raw
            if entry.kind == SP_BLOCK:
                block = layout.open_block(p, entry.size, entry.offset, memory, &entry, key)
                block.load_all()
                record = block.record
                if record.dictionary > 0:
                    record.dictionary = carry(shard, output, block, renumbered)
            elif record_decode(p, entry.size, shard.id, entry.offset, &record) != SP_OK or record.kind != entry.kind:
                raise errors.CorruptError("the header of the record is not what the index lists", path=shard.data,
                                          block=key, offset=entry.offset)
            output.output.copy_record(p, &record, raw, key)
        at = stop
        if progress is not None:
            progress(before + end)
    output.output.hand_over()
    return count


cdef int carry(Shard shard, Shard output, Block block, dict renumbered) except -1:
    """The number that the dictionary of a block has in the new shard, where it is written before it is first needed."""
    cdef object number = renumbered.get(block.dictionary.number)
    if number is None:
        output.output.put_dictionary(block.dictionary.content)
        number = renumbered[block.dictionary.number] = output.output.dictionary.number
    return number
