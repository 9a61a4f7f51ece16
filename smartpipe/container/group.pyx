"""Groups: records of a shard with the values of many keys, compressed together. FORMAT.md, «Groups»."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

from smartpipe._codec cimport (
    SP_BLOCK, SP_GROUP, SP_KEY, SP_LISTED, SP_MEMBER, SP_OK, SP_PAIR_LENGTHS, SP_RECORD_HEADER, crc32, group_check,
    group_places, sp_key_position, sp_lead_size, sp_member, sp_member_decode, sp_member_encode, sp_member_place,
    sp_store32,
)

from smartpipe import errors


cdef class Group:
    cdef Block member(self, sp_entry *entry, bytes key):
        """The block of a member, as an index lists it; CorruptError where the group has another there."""
        cdef sp_record *record = &self.record.record
        cdef Source source = self.record.source
        cdef uint64_t offset = self.record.offset
        cdef sp_member member
        cdef sp_member_place *place
        cdef Block block
        cdef Buffer own
        if (entry.member >= record.pairs or entry.pairs != record.pairs or entry.size != record.size
                or entry.lead != sp_lead_size(record) or entry.codec != record.codec):
            raise source.failure(SP_LISTED, "the group", key, offset)
        sp_member_decode(self.table + SP_MEMBER * <size_t>entry.member, &member)
        place = <sp_member_place *>self.places.data + entry.member
        if member.key_length != entry.key_length or (
                member.key_length > 0 and memcmp(self.table + place.key, PyBytes_AS_STRING(key),
                                                 member.key_length) != 0):
            raise source.failure(SP_KEY, "the group", key, offset)
        if member.stamp != entry.stamp or SP_PAIR_LENGTHS + member.value_length != entry.raw:
            raise source.failure(SP_LISTED, "the group", key, offset)
        if entry.raw > source.limit:
            raise errors.BlockTooLargeError(f"{entry.raw} bytes, more than max_block_size, {source.limit}",
                                            path=source.path, block=key, offset=offset)
        # A head of one pair without a key, of its own: who keeps a member does not keep the others.
        own = Buffer()
        own.reserve(entry.raw)
        sp_store32(own.extend(4), 0)
        sp_store32(own.extend(4), member.value_length)
        own.append(self.record.head + place.value, member.value_length)
        block = Block.__new__(Block)
        block.key = key
        block.source = source
        block.offset = offset
        block.record.kind = SP_BLOCK
        block.record.pairs = 1
        block.record.head_raw = block.record.head_stored = entry.raw
        block.table = True
        block.memory = own
        block.head = own.data
        return block


cdef Group open_group(Source source, uint64_t offset, sp_record *record, Buffer memory, bytes key):
    """The group of a record header that is good, whose record lies in `memory`; every byte of it is checked. Errors
    name `key`, as the record has none of its own."""
    cdef Group group = Group.__new__(Group)
    cdef Block block
    cdef uint64_t raw
    cdef int status
    group.table = memory.data + sp_key_position(record)
    status = group_check(group.table, record)
    if status != SP_OK:
        raise source.failure(status, "the members of the group", key, offset)
    group.record = block = Block.__new__(Block)
    block.key = b"" if key is None else key
    block.open_record(source, offset, record, memory.data, memory.size, memory, &raw)
    block.prepare()
    group.places = Buffer()
    status = group_places(group.table, block.head, record, <sp_member_place *>group.places.extend(
        record.pairs * sizeof(sp_member_place)))
    if status != SP_OK:
        raise source.failure(status, "the values of the group", key, offset)
    return group


cdef int encode_group(Encoder2 encoder, list members, Compressor compressor) except -1:
    """Make the record of a group of (key, value, stamp). Its stamp is the largest of them."""
    cdef bytes key, value, table
    cdef size_t size = 0
    cdef uint64_t stamp, largest = 0
    cdef uint8_t *entry
    cdef uint8_t *to
    cdef sp_member member
    for key, value, _ in members:
        encoder.add(b"", value)
        size += SP_MEMBER + PyBytes_GET_SIZE(key)
    table = PyBytes_FromStringAndSize(NULL, size)
    entry = <uint8_t *>PyBytes_AS_STRING(table)
    to = entry + SP_MEMBER * len(members)
    for key, value, stamp in members:
        member.stamp = stamp
        member.key_length = <uint32_t>PyBytes_GET_SIZE(key)
        member.value_length = <uint32_t>PyBytes_GET_SIZE(value)
        sp_member_encode(&member, entry)
        memcpy(to, PyBytes_AS_STRING(key), member.key_length)
        entry += SP_MEMBER
        to += member.key_length
        largest = max(largest, stamp)
    encoder.encode(table, compressor)
    encoder.record.kind = SP_GROUP
    encoder.record.stamp = largest
    return 0


cdef int stamp_members(Encoder2 encoder, uint64_t stamp) except -1:
    """Give an encoded group and all its members a stamp."""
    cdef uint8_t *table = encoder.out.data + sp_key_position(&encoder.record)
    cdef sp_member member
    cdef uint32_t i
    for i in range(encoder.record.pairs):
        sp_member_decode(table + SP_MEMBER * <size_t>i, &member)
        member.stamp = stamp
        sp_member_encode(&member, table + SP_MEMBER * <size_t>i)
    encoder.record.stamp = stamp
    encoder.record.lead_crc = crc32(encoder.out.data + SP_RECORD_HEADER, encoder.record.key_length)
    return 0


cdef int list_members(Index index, const uint8_t *lead, const sp_record *record, uint64_t offset) except -1:
    """Add the members of a group to an index, from its lead."""
    cdef const uint8_t *table = lead + sp_key_position(record)
    cdef const uint8_t *key = table + SP_MEMBER * <size_t>record.pairs
    cdef sp_member member
    cdef sp_entry entry
    cdef uint32_t i
    entry.offset = offset
    entry.size = record.size
    entry.lead = <uint32_t>sp_lead_size(record)
    entry.pairs = record.pairs
    entry.kind = record.kind
    entry.codec = record.codec
    for i in range(record.pairs):
        sp_member_decode(table + SP_MEMBER * <size_t>i, &member)
        entry.stamp = member.stamp
        entry.raw = SP_PAIR_LENGTHS + member.value_length
        entry.key_length = member.key_length
        entry.member = <uint16_t>i
        index.add(&entry, key)
        key += member.key_length
    return 0
