"""The index file of format 2: its frames read into an index, and the bytes of a new frame. FORMAT.md, «Index»."""

import mmap

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from smartpipe._codec cimport (
    SP_ENTRY, SP_FRAME_CLOSED, SP_FRAME_ENDED, SP_FRAME_HEADER, SP_HASH_KEY, SP_INDEX_HEADER, SP_OK, SP_PAGE,
    SP_RECORD_HEADER, crc32, frame_decode, frame_encode, frame_header_decode, index_decode, index_encode, record_decode,
    sp_entry, sp_frame, sp_frame_body, sp_frame_sums, sp_index, sp_load32, sp_load64, sp_part, sp_record, sp_store64,
    sums_encode, words,
)
from smartpipe.container.index cimport Mapped, Run
from smartpipe.container.source cimport Source

from smartpipe import errors
from smartpipe._platform import open_reading
from smartpipe.container.index import DamagedIndex


# An index up to this size is checked whole when it is opened: it takes less than a millisecond, and damage that is
# found then is mended before anybody has counted blocks.
cdef uint64_t SMALL = 4 << 20
# Each frame with a table is asked in turn. A writer makes one of them long before there are so many.
cdef uint64_t MOST_MAPPED = 64


cdef class Frames:
    def __init__(self):
        self.index = Index()
        self.tally = Tally()


def read_frames(str path, Source source, bint check):
    """Read the index file of a data file; what is missing or bad there is left to a scan.

    With `check`, and in a small index, every page of it is checked now, otherwise when it is touched. A shard that was
    cut is read without `check`: the store has to know which of its keys are lost.
    """
    cdef Frames frames = Frames()
    try:
        file = open_reading(path)
    except FileNotFoundError:
        frames.complaint = "there is no index"
        frames.data_size = source.size()
        return frames
    try:
        size = file.size()
        mapped = Mapped(mmap.mmap(file.number, size, access=mmap.ACCESS_READ)) if size > 0 else None
    finally:
        file.close()
    # A writer writes data before it lists it: asked in this order, there is no less data than the index says.
    frames.data_size = source.size()
    if mapped is None:
        frames.complaint = "the index is empty"
        return frames
    frames.may_be_cut = source.shard and not check
    take(frames, path, mapped, size, source, check or size <= SMALL)
    if frames.tally.end > source_start and not same_history(frames, source):
        return without_index(frames, "the index belongs to another history of this data")
    return frames


def closed_at(path, Source source):
    """Return where the data ended when its writer closed it, synced or not, from the last frame of the index; None
    where the index does not say so."""
    cdef bytes header
    cdef sp_index index
    cdef sp_frame frame
    cdef uint64_t offset = SP_INDEX_HEADER, size
    cdef bint found = False
    try:
        file = open_reading(path)
    except FileNotFoundError:
        return None
    try:
        header = file.read_at(0, SP_INDEX_HEADER)
        if index_decode(header, len(header), &index) != SP_OK or index.id != source.id:
            return None
        size = file.size()
        while offset < size:
            header = file.read_at(offset, SP_FRAME_HEADER)
            if size - offset < SP_FRAME_HEADER or (
                    frame_header_decode(header, size - offset, source.id, offset, &frame) != SP_OK):
                return None
            found = True
            offset += frame.size
    finally:
        file.close()
    return frame.to if found and frame.flags & (SP_FRAME_CLOSED | SP_FRAME_ENDED) else None


cdef Frames without_index(Frames frames, str complaint):
    cdef Frames none = Frames()
    none.data_size = frames.data_size
    none.complaint = complaint
    return none


cdef uint64_t source_start = Tally().end


cdef int take(Frames frames, str path, Mapped mapped, uint64_t size, Source source, bint check) except -1:
    cdef const uint8_t *p = <const uint8_t *>mapped.view.buf
    cdef Tally tally = frames.tally
    cdef sp_index header
    cdef sp_frame frame
    cdef uint64_t offset = SP_INDEX_HEADER
    cdef int status = index_decode(p, size, &header)
    if status != SP_OK:
        frames.complaint = f"the index is not usable: {words(status)}"
        return 0
    if header.id != source.id:
        frames.complaint = "the index is stale: it belongs to another data file"
        return 0
    frames.index = Index(header.hash_key[:SP_HASH_KEY])
    frames.size = SP_INDEX_HEADER
    while offset < size:
        status = frame_decode(p + offset, size - offset, source.id, offset, &frame)
        if status != SP_OK:
            frames.complaint = f"the index is damaged at offset {offset}: {words(status)}"
            break
        if not frames.may_be_cut and frame.to > frames.data_size and (
                frame.flags & SP_FRAME_CLOSED or frames.data_size < frame.synced):
            raise errors.TruncatedError(f"the file has {frames.data_size} bytes, its index covers {frame.to}: it was "
                                        "cut; smartpipe recover reads what is left",
                                        path=source.path, offset=frames.data_size)
        tally.synced = max(tally.synced, frame.synced)
        if frames.complaint is None:
            take_frame(frames, mapped, offset, &frame, source, check)
        offset += frame.size
        if frames.complaint is None:
            frames.size = offset
    frames.whole = frames.complaint is None
    return 0


cdef int take_frame(Frames frames, Mapped mapped, uint64_t offset, sp_frame *frame, Source source,
                    bint check) except -1:
    """Take over a frame; where it can not be used, or not all of it, there is a complaint, and it was the last."""
    cdef Tally tally = frames.tally
    if frame.start != tally.end:
        frames.complaint = (f"the frame at offset {offset} of the index covers the data from {frame.start}, "
                            f"not {tally.end}")
        return 0
    try:
        if frame.to > frames.data_size and not (
                frames.may_be_cut and (frame.flags & SP_FRAME_CLOSED or frames.data_size < frame.synced)):
            # The power failed before all of the data arrived: the data is asked, and what is listed here is not cut.
            frames.complaint = f"the index covers {frame.to} bytes of data, of which {frames.data_size} are there"
            frames.floor = frames.index.listed_end(mapped, offset, frame, frames.data_size)
            return 0
        listed = dictionaries(mapped, offset, frame)
        if frame.slots > 0 and frames.mapped < MOST_MAPPED:
            frames.index.map_frame(mapped, offset, frame, check)
            frames.mapped += 1
        else:
            frames.index.copy_frame(mapped, offset, frame)
            frames.loose += frame.entries
    except DamagedIndex as damage:
        frames.complaint = f"the index is damaged in the frame at offset {offset}: {damage.args[0]}"
        return 0
    for place in listed:
        tally.dictionaries.append(place)
        source.note_dictionary(place)
    tally.end = frame.to
    tally.blocks = frame.blocks
    tally.pairs = frame.pairs
    tally.raw = frame.raw
    tally.stamp = frame.stamp
    tally.metadata = frame.metadata
    tally.last_crc = frame.last_crc
    frames.closed = frame.flags & SP_FRAME_CLOSED
    frames.count += 1
    return 0


cdef list dictionaries(Mapped mapped, uint64_t offset, const sp_frame *frame):
    """The offsets of dictionary records that a frame names, whose pages are checked; DamagedIndex where they are not
    good."""
    cdef const uint8_t *sums = <const uint8_t *>mapped.view.buf + offset + SP_FRAME_HEADER
    cdef uint64_t size = sp_frame_body(frame), begin = SP_ENTRY * frame.entries, at, page, place = frame.start
    cdef const uint8_t *body = sums + sp_frame_sums(size)
    cdef list found = []
    if frame.dictionaries == 0:
        return found
    for page in range(begin // SP_PAGE, (begin + 8 * <uint64_t>frame.dictionaries - 1) // SP_PAGE + 1):
        if crc32(body + page * SP_PAGE, min(<uint64_t>SP_PAGE, size - page * SP_PAGE)) != sp_load32(sums + 4 * page):
            raise DamagedIndex("the page of the dictionaries does not match its sum")
    for at in range(frame.dictionaries):
        if sp_load64(body + begin + 8 * at) < place or sp_load64(body + begin + 8 * at) >= frame.to:
            raise DamagedIndex("a dictionary lies outside of what the frame covers")
        place = sp_load64(body + begin + 8 * at)
        found.append(place)
    return found


cdef bint same_history(Frames frames, Source source) except -1:
    """Whether the last record that the index knows is the one that lies in the data; notes its place and ordinal."""
    cdef Tally tally = frames.tally
    cdef sp_entry entry
    cdef sp_record record
    cdef bytes header
    tally.last = max([tally.metadata] + tally.dictionaries)
    try:
        if frames.index.count > 0:
            frames.index.entry(frames.index.count - 1, &entry)
            tally.last = max(tally.last, entry.offset)
    except DamagedIndex:
        return False
    if tally.last == 0:
        return tally.last_crc == 0
    header = source.read(tally.last, SP_RECORD_HEADER)
    # Only a good header with another crc shows another history. A bad one is damage, which is no reason to forget where
    # the blocks are; its ordinal is then a guess, which only serves to count what is lost.
    tally.ordinal = tally.blocks + 1
    if record_decode(header, len(header), source.id, tally.last, &record) == SP_OK:
        tally.ordinal = <uint64_t>record.ordinal + 1
        return record.crc == tally.last_crc
    return True


cdef Buffer header_bytes(uint64_t id, bytes hash_key):
    """The header of an index file."""
    cdef Buffer out = Buffer()
    cdef sp_index header
    header.id = id
    memcpy(header.hash_key, <const uint8_t *>hash_key, SP_HASH_KEY)
    index_encode(&header, out.extend(SP_INDEX_HEADER))
    return out


cdef list frame_parts(uint64_t id, Index index, Tally tally, uint64_t first, uint64_t start, uint64_t offset,
                      bint table, uint32_t flags, bytes hash_key):
    """The frame with the entries from number `first` on, that covers the data from `start` to where the tally ends, for
    an offset of the index file: buffers, which follow each other."""
    cdef Buffer head = Buffer(), places = Buffer(), slots = Buffer(), padding = Buffer()
    cdef Run run = index.run_from(first)
    cdef sp_frame frame
    cdef sp_part[5] parts
    cdef uint64_t body
    cdef Buffer part
    memset(&frame, 0, sizeof(frame))
    frame.entries = run.c.count
    frame.key_bytes = run.c.key_bytes
    for place in tally.dictionaries:
        if place >= start:
            sp_store64(places.extend(8), place)
    frame.dictionaries = <uint32_t>(places.size // 8)
    if table and frame.entries > 0:
        frame.slots = frame.entries + frame.entries // 3 + 1
        slots = run.table(frame.slots, <const uint8_t *>hash_key)
    body = sp_frame_body(&frame)
    padding.append(b"\0" * 8, body - (run.entries.size + places.size + slots.size + run.keys.size))
    frame.size = SP_FRAME_HEADER + sp_frame_sums(body) + body
    head.extend(SP_FRAME_HEADER + sp_frame_sums(body))
    for i, part in enumerate((run.entries, places, slots, run.keys, padding)):
        parts[i].bytes = part.data
        parts[i].size = part.size
    frame.sums_crc = sums_encode(parts, 5, head.data + SP_FRAME_HEADER)
    frame.start = start
    frame.to = tally.end
    frame.synced = tally.synced
    frame.blocks = tally.blocks
    frame.pairs = tally.pairs
    frame.raw = tally.raw
    frame.stamp = tally.stamp
    frame.metadata = tally.metadata
    frame.last_crc = tally.last_crc
    frame.flags = flags
    frame_encode(&frame, id, offset, head.data)
    return [part for part in (head, run.entries, places, slots, run.keys, padding) if part.size > 0]


cdef Buffer frame_bytes(uint64_t id, Index index, Tally tally, uint64_t first, uint64_t start, uint64_t offset,
                        bint table, uint32_t flags, bytes hash_key):
    """The same in one buffer, so that one write gives readers the whole frame."""
    cdef Buffer whole = Buffer(), part
    cdef list parts = frame_parts(id, index, tally, first, start, offset, table, flags, hash_key)
    whole.reserve(sum([part.size for part in parts]))
    for part in parts:
        whole.append(part.data, part.size)
    return whole
