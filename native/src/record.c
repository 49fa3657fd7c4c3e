/* One record: its checksum, its validity, and where its parts lie. Knows nothing else. */
#include "record.h"

#include "check.h"

#include <string.h>

#define CRC_BEGINS offsetof(hrt_record, sequence) /* length and crc itself come before */

/* What a CRC starts from: makes stale, moved and foreign bytes fail. */
static uint32_t crc_seed(const uint8_t uuid[16], uint64_t position)
{
    uint8_t origin[24];
    memcpy(origin, uuid, 16);
    memcpy(origin + 16, &position, sizeof(position));
    return hrt_crc32c_update(0, origin, sizeof(origin));
}

static uint32_t checksum(const hrt_record *head, const void *bytes, const uint8_t uuid[16])
{
    size_t end = head->type == HRT_RECORD_PAD ? sizeof(hrt_record) : head->length;
    return hrt_crc32c_update(crc_seed(uuid, head->position), (const uint8_t *)bytes + CRC_BEGINS,
                             end - CRC_BEGINS);
}

void hrt_record_seal(hrt_record *record, const uint8_t uuid[16])
{
    HRT_ASSERT(record->length >= sizeof(hrt_record));
    if (record->type == HRT_RECORD_PAD) {
        record->key_hash = record->length; /* the CRC covers this copy, not the body */
    }
    record->crc = checksum(record, record, uuid);
}

bool hrt_record_valid(const void *bytes, size_t available, const uint8_t uuid[16],
                      uint64_t position)
{
    hrt_record head;
    if (available < sizeof(head)) {
        return false;
    }
    memcpy(&head, bytes, sizeof(head));
    if (head.position != position || head.length < sizeof(head)) {
        return false;
    }
    if (head.type == HRT_RECORD_PAD ? head.key_hash != head.length : head.length > available) {
        return false;
    }
    return head.crc == checksum(&head, bytes, uuid);
}

/* ---- well-formed bodies: lengths in 64 bits, so that no sum of untrusted fields can wrap ---- */

static uint64_t enqueue_data(const hrt_enqueue_body *body)
{
    uint64_t trace = body->flags & HRT_ENQUEUE_TRACE ? HRT_TRACE_SIZE : 0;
    return trace + body->key_length + body->meta_length + body->payload_length;
}

static bool enqueue_within_limits(const hrt_record *record, const hrt_enqueue_body *body)
{
    return body->meta_length <= HRT_META_MAX && body->payload_length <= HRT_PAYLOAD_MAX &&
           (body->flags & ~HRT_ENQUEUE_TRACE) == 0 && record->kind < HRT_KINDS_MAX &&
           record->queue < HRT_QUEUES_MAX && (body->key_length > 0) == (record->key_hash != 0);
}

static bool enqueue_well_formed(const hrt_record *record, uint64_t size)
{
    const hrt_enqueue_body *body = hrt_record_body(record);
    return size >= sizeof(*body) && enqueue_within_limits(record, body) &&
           size == sizeof(*body) + enqueue_data(body);
}

/* All that a KEEP of format 1 could hold behind its body. */
static uint64_t keep_data_1(const hrt_keep_body *body)
{
    return enqueue_data(&body->enqueue) + body->error_length + body->result_length;
}

/* With the same fields a KEEP of today is longer, so its length tells which of both it is. */
static bool keep_is_format_1(const hrt_record *record)
{
    const hrt_keep_body *body = hrt_record_body(record);
    uint64_t size = record->length - sizeof(hrt_record);
    return size == HRT_KEEP_BODY_1 + keep_data_1(body);
}

/* Where the data of a KEEP begins in its body. */
static uint32_t keep_head(const hrt_record *record)
{
    return keep_is_format_1(record) ? HRT_KEEP_BODY_1 : (uint32_t)sizeof(hrt_keep_body);
}

uint32_t hrt_keep_saved_length(const hrt_record *keep)
{
    const hrt_keep_body *body = hrt_record_body(keep);
    return keep_is_format_1(keep) ? 0 : body->saved_length;
}

static bool keep_well_formed(const hrt_record *record, uint64_t size)
{
    const hrt_keep_body *body = hrt_record_body(record);
    if (size < HRT_KEEP_BODY_1 || size < keep_head(record)) {
        return false;
    }
    uint32_t saved_length = hrt_keep_saved_length(record);
    return enqueue_within_limits(record, &body->enqueue) && body->error_length <= HRT_ERROR_MAX &&
           body->result_length <= HRT_RESULT_MAX && saved_length <= HRT_SAVED_MAX &&
           body->state >= HRT_JOB_SCHEDULED && body->state <= HRT_JOB_DISCARDED &&
           body->outcome <= HRT_OUTCOME_REVIVED && body->cause <= HRT_OUTCOME_REVIVED &&
           size == keep_head(record) + keep_data_1(body) + saved_length;
}

static bool settle_well_formed(const hrt_record *record, uint64_t size)
{
    const uint8_t *body = hrt_record_body(record);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < record->count; i++) {
        if (size - offset < sizeof(hrt_settle_entry)) {
            return false;
        }
        const hrt_settle_entry *entry = (const void *)(body + offset);
        uint64_t data = hrt_align_up(entry->data_length, 8);
        offset += sizeof(*entry);
        if (entry->outcome < HRT_OUTCOME_OK || entry->outcome > HRT_OUTCOME_REVIVED ||
            entry->cause > HRT_OUTCOME_REVIVED || entry->data_length > HRT_RESULT_MAX ||
            size - offset < data) {
            return false;
        }
        offset += data;
    }
    return record->count > 0 && offset == size;
}

static bool saved_well_formed(const hrt_record *record, uint64_t size)
{
    const hrt_saved_body *body = hrt_record_body(record);
    return size >= sizeof(*body) && body->length <= HRT_SAVED_MAX &&
           size == sizeof(*body) + (uint64_t)body->length;
}

static bool settings_well_formed(const hrt_queue_settings *settings)
{
    return settings->name[0] != '\0' &&
           memchr(settings->name, '\0', sizeof(settings->name)) != NULL &&
           settings->durability <= HRT_DURABILITY_MEMORY && settings->order <= HRT_ORDER_SKIP;
}

static bool control_well_formed(const hrt_record *record, uint64_t size)
{
    const hrt_control_body *body = hrt_record_body(record);
    if (size < sizeof(*body) || size != sizeof(*body) + (uint64_t)body->data_length) {
        return false;
    }
    const uint8_t *data = (const uint8_t *)(body + 1);
    switch (body->verb) {
    case HRT_CONTROL_KIND:
        return body->id < HRT_KINDS_MAX && body->data_length > 0 &&
               body->data_length <= HRT_KIND_NAME_MAX &&
               memchr(data, '\0', body->data_length) == NULL;
    case HRT_CONTROL_QUEUE:
        return body->id < HRT_QUEUES_MAX && body->data_length == sizeof(hrt_queue_settings) &&
               settings_well_formed((const void *)data);
    case HRT_CONTROL_PAUSE:
    case HRT_CONTROL_RESUME:
        return body->id < HRT_QUEUES_MAX && body->data_length == 0;
    default:
        return body->verb == HRT_CONTROL_NOTE;
    }
}

bool hrt_record_well_formed(const hrt_record *record)
{
    uint64_t size = record->length - sizeof(hrt_record);
    uint64_t ids = (uint64_t)record->count * sizeof(uint64_t);
    switch (record->type) {
    case HRT_RECORD_ENQUEUE:
        return enqueue_well_formed(record, size);
    case HRT_RECORD_LEASE:
        return record->count > 0 && (size == sizeof(hrt_lease_body) + ids + ids / 4 ||
                                     size == sizeof(hrt_lease_body) + ids); /* format 1 */
    case HRT_RECORD_SETTLE:
        return settle_well_formed(record, size);
    case HRT_RECORD_CONTROL:
        return control_well_formed(record, size);
    case HRT_RECORD_CHECKPOINT:
        return size == sizeof(hrt_checkpoint_body);
    case HRT_RECORD_EPOCH:
        return size == sizeof(hrt_epoch_body);
    case HRT_RECORD_PAD:
        return record->length % HRT_RECORD_ALIGN == 0;
    case HRT_RECORD_DUE:
        return record->count > 0 && size == ids;
    case HRT_RECORD_KEEP:
        return keep_well_formed(record, size);
    case HRT_RECORD_SAVED:
        return saved_well_formed(record, size);
    case HRT_RECORD_LANES:
        return record->count > 0 && size == (uint64_t)record->count * sizeof(hrt_lanes_entry);
    default:
        return (record->flags & HRT_RECORD_MUST_UNDERSTAND) == 0;
    }
}

hrt_parts hrt_record_parts(const hrt_record *record)
{
    HRT_ASSERT(record->type == HRT_RECORD_ENQUEUE || record->type == HRT_RECORD_KEEP);
    bool keep = record->type == HRT_RECORD_KEEP;
    const hrt_keep_body *body = hrt_record_body(record);
    const hrt_enqueue_body *enqueue = hrt_record_body(record); /* a KEEP begins with one */
    size_t head = keep ? keep_head(record) : sizeof(hrt_enqueue_body);
    uint32_t begin = (uint32_t)(sizeof(hrt_record) + head);
    bool traced = (enqueue->flags & HRT_ENQUEUE_TRACE) != 0;
    hrt_parts parts = {.enqueue = enqueue, .trace = traced ? begin : 0};
    parts.key = begin + (traced ? HRT_TRACE_SIZE : 0);
    parts.meta = parts.key + enqueue->key_length;
    parts.payload = parts.meta + enqueue->meta_length;
    parts.end = parts.payload + enqueue->payload_length;
    if (keep) {
        parts.error = parts.end;
        parts.result = parts.error + body->error_length;
        parts.saved = parts.result + body->result_length;
        parts.end = parts.saved + hrt_keep_saved_length(record);
    }
    return parts;
}

uint64_t hrt_hash_key(const void *key, size_t length)
{
    const uint8_t *bytes = key;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    if (length == 0) {
        return 0;
    }
    return hash == 0 ? 1 : hash;
}
