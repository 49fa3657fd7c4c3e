/* Prints tests/vectors/records.json: records of every type, good and spoiled, and the verdicts. */
#include "record.h"

#include <hybridrt/hybridrt.h>
#include <stdio.h>
#include <string.h>

#define POSITION 69632u /* first record of segment 1 of 64 KiB */

static const uint8_t uuid[16] = {0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87,
                                 0x98, 0xa9, 0xba, 0xcb, 0xdc, 0xed, 0xfe, 0x0f};

static union {
    hrt_record record;
    uint8_t bytes[512];
} space;

static int printed;

static void print_hex(const char *name, size_t length)
{
    printf("\"%s\": \"", name);
    for (size_t i = 0; i < length; i++) {
        printf("%02x", space.bytes[i]);
    }
    printf("\"");
}

static void print(const char *name, size_t length)
{
    bool valid = hrt_record_valid(&space, length, uuid, POSITION);
    bool formed = valid && hrt_record_well_formed(&space.record);
    printf("%s    {\"name\": \"%s\", \"valid\": %s, \"well_formed\": %s,\n     ",
           printed++ > 0 ? ",\n" : "", name, valid ? "true" : "false", formed ? "true" : "false");
    print_hex("bytes", length);
    printf("}");
}

static void *start(uint8_t type, size_t body)
{
    memset(&space, 0, sizeof(space));
    space.record = (hrt_record){.length = (uint32_t)(sizeof(hrt_record) + body),
                                .sequence = 41,
                                .position = POSITION,
                                .durable = POSITION - 64,
                                .time_ns = 1700000000123456789u,
                                .epoch = 3,
                                .type = type,
                                .flags = HRT_RECORD_LAST};
    return hrt_record_body(&space.record);
}

static void finish(const char *name)
{
    hrt_record_seal(&space.record, uuid);
    print(name, space.record.type == HRT_RECORD_PAD ? sizeof(hrt_record) : space.record.length);
}

static void enqueue(void)
{
    hrt_enqueue_body *body = start(HRT_RECORD_ENQUEUE, sizeof(*body) + 32 + 4 + 2 + 5);
    *body = (hrt_enqueue_body){.due_ns = 1700000001000000000u,
                               .parent = 7,
                               .timeout_ms = 1500,
                               .payload_length = 5,
                               .meta_length = 2,
                               .max_attempts = 4,
                               .key_length = 4,
                               .max_crashes = 3,
                               .flags = HRT_ENQUEUE_TRACE};
    uint8_t *data = (uint8_t *)(body + 1);
    memset(data, 0xab, 26);
    memcpy(data + 32, "key1{}hello", 11);
    space.record.kind = 2;
    space.record.queue = 1;
    space.record.key_hash = hrt_hash_key("key1", 4);
    finish("enqueue");
}

static void make_lease(void)
{
    hrt_lease_body *body = start(HRT_RECORD_LEASE, hrt_lease_length(2));
    body->client = 0x300000001u;
    memcpy(body + 1, (const uint64_t[]){39, 40}, 16);
    space.record.count = 2;
    memcpy(hrt_lease_places(&space.record), (const uint16_t[]){4, 5}, 4);
    hrt_record_seal(&space.record, uuid);
}

static void settle(void)
{
    uint8_t *body = start(HRT_RECORD_SETTLE, 2 * sizeof(hrt_settle_entry) + 8);
    hrt_settle_entry good = {.job = 39, .token = 40, .data_length = 6, .outcome = HRT_OUTCOME_OK};
    hrt_settle_entry dead = {
        .job = 38, .token = 37, .outcome = HRT_OUTCOME_DEAD, .cause = HRT_OUTCOME_CRASHED};
    memcpy(body, &good, sizeof(good));
    memcpy(body + sizeof(good), "result", 6);
    memcpy(body + sizeof(good) + 8, &dead, sizeof(dead));
    space.record.count = 2;
    finish("settle");
}

static void control(void)
{
    hrt_control_body *body = start(HRT_RECORD_CONTROL, sizeof(*body) + 5);
    *body = (hrt_control_body){.verb = HRT_CONTROL_KIND, .id = 2, .data_length = 5};
    memcpy(body + 1, "email", 5);
    finish("control");
}

static void checkpoint(void)
{
    hrt_checkpoint_body *body = start(HRT_RECORD_CHECKPOINT, sizeof(*body));
    *body = (hrt_checkpoint_body){.state_hash = 0x1122334455667788u, .jobs = 12};
    finish("checkpoint");
}

static void epoch(void)
{
    hrt_epoch_body *body = start(HRT_RECORD_EPOCH, sizeof(*body));
    *body = (hrt_epoch_body){
        .boot_id = {1, 2, 3}, .instance = 99, .format_version = HRT_FORMAT_VERSION, .pid = 1234};
    finish("epoch");
}

static void pad(void)
{
    (void)start(HRT_RECORD_PAD, 0);
    space.record.length = 61440;
    space.record.count = 1;
    finish("pad");
}

static void due(void)
{
    memcpy(start(HRT_RECORD_DUE, 8), (const uint64_t[]){38}, 8);
    space.record.count = 1;
    finish("due");
}

static void keep(void)
{
    hrt_keep_body *body = start(HRT_RECORD_KEEP, sizeof(*body) + 3 + 5);
    body->enqueue.payload_length = 3;
    body->job = 5;
    body->attempt = 2;
    body->state = HRT_JOB_DEAD;
    body->outcome = HRT_OUTCOME_DEAD;
    body->error_length = 5;
    memcpy(body + 1, "abcwrong", 8);
    finish("keep");
}

static void keep_saved(void)
{
    hrt_keep_body *body = start(HRT_RECORD_KEEP, sizeof(*body) + 3 + 6);
    body->enqueue.payload_length = 3;
    body->job = 5;
    body->token = 40;
    body->client = 0x300000001u;
    body->attempt = 2;
    body->state = HRT_JOB_RUNNING;
    body->place = 4;
    body->saved_length = 6;
    memcpy(body + 1, "abcpage 7", 9);
    finish("keep of a running job that has saved something");
}

static void saved(void)
{
    hrt_saved_body *body = start(HRT_RECORD_SAVED, sizeof(*body) + 6);
    *body = (hrt_saved_body){.job = 39, .token = 40, .length = 6};
    memcpy(body + 1, "page 7", 6);
    finish("saved");
}

static void lanes(void)
{
    hrt_lanes_entry *entries = start(HRT_RECORD_LANES, 2 * sizeof(*entries));
    entries[0] = (hrt_lanes_entry){.client = 0x300000001u, .submit = 4096, .reply = 7};
    entries[1] = (hrt_lanes_entry){.client = 0x300000002u, .submit = 104};
    space.record.count = 2;
    finish("lanes");
}

static void spoiled(void)
{
    make_lease();
    space.bytes[70] ^= 1;
    print("lease with a flipped bit in its body", space.record.length);
    space.bytes[70] ^= 1;
    print("lease cut short by one byte", space.record.length - 1u);
    space.record.position += 64;
    hrt_record_seal(&space.record, uuid);
    print("lease from another position", space.record.length);
    (void)start(HRT_RECORD_DUE, 8);
    space.record.count = 2;
    finish("due with a count beyond its length");
    (void)start(HRT_RECORD_LEASE, sizeof(hrt_lease_body) + 16);
    space.record.count = 2;
    finish("lease without the started indices");
    hrt_saved_body *body = start(HRT_RECORD_SAVED, sizeof(*body) + 6);
    body->length = 7;
    finish("saved with a length beyond its record");
    (void)start(200, 0);
    finish("unknown type that may be passed over");
    (void)start(200, 0);
    space.record.flags |= HRT_RECORD_MUST_UNDERSTAND;
    finish("unknown type that must be understood");
}

int main(void)
{
    memcpy(space.bytes, uuid, sizeof(uuid));
    printf("{\n  \"position\": %u,\n  ", POSITION);
    print_hex("uuid", sizeof(uuid));
    printf(",\n  \"crc32c\": [{\"text\": \"123456789\", \"crc\": %u}],\n  \"records\": [\n",
           hrt_crc32c(0, "123456789", 9));
    enqueue();
    make_lease();
    print("lease", space.record.length);
    settle();
    control();
    checkpoint();
    epoch();
    pad();
    due();
    keep();
    keep_saved();
    saved();
    lanes();
    spoiled();
    printf("\n  ]\n}\n");
    return 0;
}
