/* Records: checksums against published vectors, every flipped bit found, bodies judged. */
#include "record.h"
#include "tap.h"

#include <hybridrt/hybridrt.h>

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

typedef union buffer {
    hrt_record record;
    uint8_t bytes[1024];
} buffer;

static hrt_record *start(buffer *space, uint8_t type, size_t body)
{
    memset(space, 0, sizeof(*space));
    space->record.length = (uint32_t)(sizeof(hrt_record) + body);
    space->record.position = 4096;
    space->record.sequence = 1;
    space->record.type = type;
    return &space->record;
}

/* Vectors of RFC 3720, appendix B.4. */
static void crc_agrees_with_published_vectors(void)
{
    uint8_t data[32];
    memset(data, 0, sizeof(data));
    CHECK_EQ(hrt_crc32c(0, data, 32), 0x8a9136aau);
    memset(data, 0xff, sizeof(data));
    CHECK_EQ(hrt_crc32c(0, data, 32), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++) {
        data[i] = i;
    }
    CHECK_EQ(hrt_crc32c(0, data, 32), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++) {
        data[i] = (uint8_t)(31 - i);
    }
    CHECK_EQ(hrt_crc32c(0, data, 32), 0x113fdb5cu);
    CHECK_EQ(hrt_crc32c(0, "123456789", 9), 0xe3069283u);
    CHECK_EQ(hrt_crc32c(hrt_crc32c(0, "12345", 5), "6789", 4), 0xe3069283u);
}

static void crc_by_tables_equals_crc_by_hardware(void)
{
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 151 + (i >> 3));
    }
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t length = 0; length + begin <= sizeof(data); length++) {
            CHECK_EQ(hrt_crc32c_update(7, data + begin, length),
                     hrt_crc32c_portable(7, data + begin, length));
        }
    }
}

static hrt_record *lease(buffer *space)
{
    hrt_record *record = start(space, HRT_RECORD_LEASE, hrt_lease_length(2));
    record->count = 2;
    hrt_record_seal(record, uuid);
    return record;
}

static void every_flipped_bit_is_found(void)
{
    buffer space;
    hrt_record *record = lease(&space);
    CHECK(hrt_record_valid(record, sizeof(space), uuid, 4096));
    for (size_t bit = 0; bit < record->length * 8; bit++) {
        space.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK(!hrt_record_valid(&space, sizeof(space), uuid, 4096));
        space.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    CHECK(hrt_record_valid(record, sizeof(space), uuid, 4096));
}

static void every_flipped_bit_of_a_pad_is_found(void)
{
    buffer space;
    hrt_record *record = start(&space, HRT_RECORD_PAD, 64000);
    hrt_record_seal(record, uuid);
    CHECK(hrt_record_valid(record, 64, uuid, 4096));
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        space.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK(!hrt_record_valid(&space, 64, uuid, 4096));
        space.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void moved_foreign_and_cut_records_fail(void)
{
    buffer space;
    hrt_record *record = lease(&space);
    uint8_t other[16] = {0};
    CHECK(!hrt_record_valid(record, sizeof(space), uuid, 8192));
    CHECK(!hrt_record_valid(record, sizeof(space), other, 4096));
    for (size_t available = 0; available < record->length; available++) {
        CHECK(!hrt_record_valid(record, available, uuid, 4096));
    }
    record->position = 8192; /* moved, and made to look as if it belonged there */
    CHECK(!hrt_record_valid(record, sizeof(space), uuid, 8192));
}

static void parts_lie_one_behind_the_other(void)
{
    buffer space;
    hrt_record *record = start(&space, HRT_RECORD_KEEP, sizeof(hrt_keep_body) + 32 + 21);
    hrt_keep_body *body = hrt_record_body(record);
    body->enqueue.flags = HRT_ENQUEUE_TRACE;
    body->enqueue.key_length = 1;
    body->enqueue.meta_length = 2;
    body->enqueue.payload_length = 3;
    body->error_length = 4;
    body->result_length = 5;
    body->saved_length = 6;
    body->state = HRT_JOB_DEAD;
    record->key_hash = 9;
    CHECK(hrt_record_well_formed(record));
    hrt_parts parts = hrt_record_parts(record);
    CHECK_EQ(parts.trace, sizeof(hrt_record) + sizeof(hrt_keep_body));
    CHECK_EQ(parts.key, parts.trace + 32);
    CHECK_EQ(parts.meta, parts.key + 1);
    CHECK_EQ(parts.payload, parts.meta + 2);
    CHECK_EQ(parts.error, parts.payload + 3);
    CHECK_EQ(parts.result, parts.error + 4);
    CHECK_EQ(parts.saved, parts.result + 5);
    CHECK_EQ(parts.end, record->length);
}

static void enqueue_lengths_have_to_add_up(void)
{
    buffer space;
    hrt_record *record = start(&space, HRT_RECORD_ENQUEUE, sizeof(hrt_enqueue_body) + 10);
    hrt_enqueue_body *body = hrt_record_body(record);
    body->payload_length = 10;
    CHECK(hrt_record_well_formed(record));
    body->payload_length = 9;
    CHECK(!hrt_record_well_formed(record));
    body->payload_length = UINT32_MAX;
    CHECK(!hrt_record_well_formed(record));
    body->payload_length = 10;
    record->queue = HRT_QUEUES_MAX;
    CHECK(!hrt_record_well_formed(record));
    record->queue = 0;
    record->key_hash = 5; /* a hash without a key */
    CHECK(!hrt_record_well_formed(record));
}

static void settle_entries_stay_inside_the_record(void)
{
    buffer space;
    hrt_record *record = start(&space, HRT_RECORD_SETTLE, 2 * sizeof(hrt_settle_entry) + 8);
    hrt_settle_entry *entry = hrt_record_body(record);
    record->count = 2;
    entry[0].outcome = HRT_OUTCOME_OK;
    entry[1].outcome = HRT_OUTCOME_RETRY;
    entry[1].data_length = 5;
    CHECK(hrt_record_well_formed(record));
    entry[1].data_length = 9;
    CHECK(!hrt_record_well_formed(record));
    entry[1].data_length = UINT32_MAX;
    CHECK(!hrt_record_well_formed(record));
    entry[1].data_length = 5;
    entry[0].outcome = HRT_OUTCOME_REVIVED + 1;
    CHECK(!hrt_record_well_formed(record));
    entry[0].outcome = HRT_OUTCOME_OK;
    record->count = 3;
    CHECK(!hrt_record_well_formed(record));
}

static void what_is_saved_has_to_fill_its_record(void)
{
    static union {
        hrt_record record;
        uint8_t bytes[sizeof(hrt_record) + sizeof(hrt_saved_body) + HRT_SAVED_MAX + 1];
    } large;
    hrt_record *record = &large.record;
    hrt_saved_body *body = hrt_record_body(record);
    record->type = HRT_RECORD_SAVED;
    for (uint32_t length = 0; length <= HRT_SAVED_MAX + 1; length += HRT_SAVED_MAX / 2) {
        record->length = (uint32_t)(sizeof(*record) + sizeof(*body) + length);
        body->length = length;
        CHECK(hrt_record_well_formed(record));
        body->length = length + 1;
        CHECK(!hrt_record_well_formed(record));
    }
    record->length = sizeof(large);
    body->length = HRT_SAVED_MAX + 1;
    CHECK(!hrt_record_well_formed(record));
    record->length = sizeof(*record) + sizeof(*body) - 1;
    CHECK(!hrt_record_well_formed(record));
}

static void unknown_types_pass_unless_they_must_be_understood(void)
{
    buffer space;
    hrt_record *record = start(&space, 77, 0);
    CHECK(hrt_record_well_formed(record));
    record->flags = HRT_RECORD_MUST_UNDERSTAND;
    CHECK(!hrt_record_well_formed(record));
}

static void key_hash_is_zero_for_no_key_only(void)
{
    CHECK_EQ(hrt_hash_key("", 0), 0);
    CHECK(hrt_hash_key("a", 1) == 0xaf63dc4c8601ec8cu);
    CHECK(hrt_hash_key("a", 1) != hrt_hash_key("b", 1));
}

int main(void)
{
    TAP_LIST(TEST(crc_agrees_with_published_vectors), TEST(crc_by_tables_equals_crc_by_hardware),
             TEST(every_flipped_bit_is_found), TEST(every_flipped_bit_of_a_pad_is_found),
             TEST(moved_foreign_and_cut_records_fail), TEST(parts_lie_one_behind_the_other),
             TEST(enqueue_lengths_have_to_add_up), TEST(settle_entries_stay_inside_the_record),
             TEST(what_is_saved_has_to_fill_its_record),
             TEST(unknown_types_pass_unless_they_must_be_understood),
             TEST(key_hash_is_zero_for_no_key_only));
}
