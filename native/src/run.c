/*
 * Records in a row, as bytes in memory that came from a file, an archive or a backup. Nothing here
 * is trusted: every length is checked before it is followed.
 */
#include "check.h"
#include "error.h"
#include "record.h"

#include <hybridrt/runtime.h>
#include <string.h>

static bool follows(const hrt_run *run, const hrt_record *record)
{
    bool dense = run->sequence == 0 ? record->sequence > 0 : record->sequence == run->sequence + 1;
    return dense && record->epoch >= run->epoch;
}

/* Whether the bytes only end too early for what may well be a record. */
static bool cut_short(const hrt_run *run, const void *bytes, size_t available)
{
    hrt_record head;
    if (available < sizeof(head)) {
        return true;
    }
    memcpy(&head, bytes, sizeof(head));
    return head.position == run->position && head.type != HRT_RECORD_PAD &&
           head.length > available && head.length <= HRT_GROUP_MAX;
}

static void take(hrt_run *run, const hrt_record *record)
{
    if (run->records++ == 0) {
        run->first_sequence = record->sequence;
        run->first_time_ns = record->time_ns;
    }
    run->position += hrt_record_span(record->length);
    run->sequence = record->sequence;
    run->epoch = record->epoch;
    run->durable = record->durable > run->durable ? record->durable : run->durable;
    run->last_time_ns = record->time_ns;
    if (record->flags & HRT_RECORD_LAST) {
        run->group_position = run->position;
        run->group_sequence = run->sequence;
    }
    if (record->type == HRT_RECORD_PAD) {
        run->end = HRT_RUN_PAD;
    }
}

void hrt_run_check(hrt_run *run, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    size_t offset = 0;
    run->end = HRT_RUN_MORE;
    while (offset < length && run->end == HRT_RUN_MORE) {
        hrt_record record;
        if (!hrt_record_valid(from + offset, length - offset, run->uuid, run->position)) {
            run->end = cut_short(run, from + offset, length - offset) ? HRT_RUN_MORE : HRT_RUN_BAD;
            return;
        }
        memcpy(&record, from + offset, sizeof(record));
        if (!follows(run, &record)) {
            run->end = HRT_RUN_BAD;
            return;
        }
        take(run, &record);
        offset += hrt_record_span(record.length);
    }
}

int hrt_run_find(const hrt_run *run, uint64_t position, const void *bytes, size_t length,
                 size_t *offset_out)
{
    const uint8_t *from = bytes;
    for (size_t offset = 0; offset + sizeof(hrt_record) <= length; offset += HRT_RECORD_ALIGN) {
        hrt_record record;
        memcpy(&record, from + offset, sizeof(record));
        if (record.position == position + offset && record.sequence > run->sequence &&
            record.epoch >= run->epoch &&
            hrt_record_valid(from + offset, length - offset, run->uuid, position + offset)) {
            *offset_out = offset;
            return HRT_OK;
        }
    }
    return HRT_EEND;
}

int hrt_run_seal(const uint8_t *uuid, void *bytes, size_t length)
{
    uint8_t *from = bytes;
    HRT_ASSERT((uintptr_t)bytes % _Alignof(hrt_record) == 0);
    for (size_t offset = 0; offset < length;) {
        hrt_record *record = (hrt_record *)(void *)(from + offset);
        size_t rest = length - offset;
        if (rest < sizeof(*record) || record->length < sizeof(*record) || record->length > rest) {
            return hrt_fail(HRT_EINVAL, "no whole record at offset %zu", offset);
        }
        hrt_record_seal(record, uuid);
        offset += hrt_record_span(record->length);
    }
    return HRT_OK;
}
