/*
 * Any bytes as a record: judging them reads nothing outside, and what passes as well-formed can be
 * taken apart without leaving the record.
 */
#include "check.h"
#include "record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_apart(const hrt_record *record)
{
    if (record->type == HRT_RECORD_ENQUEUE || record->type == HRT_RECORD_KEEP) {
        hrt_parts parts = hrt_record_parts(record);
        HRT_ASSERT(parts.end == record->length);
        HRT_ASSERT(parts.key <= parts.meta && parts.meta <= parts.payload);
        HRT_ASSERT(parts.payload <= parts.end);
        HRT_ASSERT(record->type == HRT_RECORD_ENQUEUE ||
                   (parts.payload <= parts.error && parts.error <= parts.result &&
                    parts.result <= parts.saved && parts.saved <= parts.end));
    }
    if (record->type == HRT_RECORD_SAVED) {
        const hrt_saved_body *body = hrt_record_body(record);
        HRT_ASSERT(sizeof(*record) + sizeof(*body) + body->length == record->length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t uuid[16] = {7};
    (void)hrt_record_valid(data, size, uuid, 4096);
    if (size < sizeof(hrt_record)) {
        return 0;
    }
    hrt_record *record = malloc(size);
    HRT_ASSERT(record != NULL);
    memcpy(record, data, size);
    record->type = (uint8_t)(record->type % 12);
    record->length = (uint32_t)size;
    record->position = 4096;
    hrt_record_seal(record, uuid);
    HRT_ASSERT(hrt_record_valid(record, size, uuid, 4096));
    if (hrt_record_well_formed(record)) {
        take_apart(record);
    }
    free(record);
    return 0;
}
