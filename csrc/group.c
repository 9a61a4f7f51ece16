#include "group.h"

#include "status.h"

int sp_group_check(const uint8_t *table, const sp_record *record) {
    uint64_t lengths = (uint64_t)SP_MEMBER * record->pairs, keys = 0, values = 0;
    if (record->pairs == 0 || record->pairs > SP_MOST_MEMBERS || record->larges != 0)
        return SP_SIZES;
    if (lengths > record->key_length || record->key_length > SP_MOST_GROUP || record->head_raw > SP_MOST_GROUP)
        return SP_SIZES;
    for (uint32_t i = 0; i < record->pairs; i++) {
        sp_member member;
        sp_member_decode(table + (size_t)SP_MEMBER * i, &member);
        if (member.stamp > record->stamp)
            return SP_SIZES;
        keys += member.key_length;
        values += member.value_length;
    }
    if (lengths + keys != record->key_length || (uint64_t)SP_PAIR_LENGTHS * record->pairs + values != record->head_raw)
        return SP_SIZES;
    return SP_OK;
}

int sp_group_places(const uint8_t *table, const uint8_t *head, const sp_record *record, sp_member_place *places) {
    uint32_t key = SP_MEMBER * record->pairs, value = SP_PAIR_LENGTHS * record->pairs;
    for (uint32_t i = 0; i < record->pairs; i++) {
        sp_member member;
        sp_member_decode(table + (size_t)SP_MEMBER * i, &member);
        uint32_t key_length = sp_load32(head + 4 * (size_t)i);
        uint32_t value_length = sp_load32(head + 4 * ((size_t)record->pairs + i));
        if (key_length != 0 || value_length != member.value_length)
            return SP_SIZES;
        places[i].key = key;
        places[i].value = value;
        key += member.key_length;
        value += member.value_length;
    }
    return SP_OK;
}
