/* One record: its checksum, its validity, and where its parts lie. Knows nothing else. */
#ifndef HRT_RECORD_H
#define HRT_RECORD_H

#include <hybridrt/abi.h>
#include <stddef.h>
#include <stdbool.h>

/* Segment files that a log can ever have: their names are not given twice. */
#define HRT_SLOTS_MAX 1048576u

/* CRC32C, hardware where there is one, else slicing-by-8. */
uint32_t hrt_crc32c_update(uint32_t crc, const void *data, size_t length);
/* The same by tables alone, so that a test can hold the two against each other. */
uint32_t hrt_crc32c_portable(uint32_t seed, const void *data, size_t length);
/* Fills record->crc. The body has to be complete. */
void hrt_record_seal(hrt_record *record, const uint8_t uuid[16]);

/* Bytes a record takes in the log. */
static inline size_t hrt_record_span(uint32_t length)
{
    return ((size_t)length + HRT_RECORD_ALIGN - 1) & ~(size_t)(HRT_RECORD_ALIGN - 1);
}

/* The largest group, and so the largest record, of a log with segments of this size. */
static inline uint32_t hrt_group_limit(uint32_t segment_size)
{
    const uint32_t half = (segment_size - HRT_SEGMENT_HEADER) / 2;
    const uint32_t whole = half & ~(uint32_t)(HRT_RECORD_ALIGN - 1);
    return whole < HRT_GROUP_MAX ? whole : HRT_GROUP_MAX;
}

/*
 * Whether `bytes` (at least `available` readable) hold a whole, unharmed record of this log at this
 * position. Untrusted input: reads nothing past `available`. Says nothing about epoch or sequence.
 */
bool hrt_record_valid(const void *bytes, size_t available, const uint8_t uuid[16],
                      uint64_t position);
/*
 * Whether the body of a valid record is well-formed for its type (counts, lengths, enums within
 * limits). Everything that apply() and readers rely on. An unknown type is well-formed unless it
 * has HRT_RECORD_MUST_UNDERSTAND.
 */
bool hrt_record_well_formed(const hrt_record *record);

static inline void *hrt_record_body(const hrt_record *record)
{
    return (void *)((uintptr_t)record + sizeof(hrt_record));
}

/* Body bytes of a LEASE of so many jobs. */
static inline size_t hrt_lease_length(uint32_t count)
{
    return sizeof(hrt_lease_body) + count * (sizeof(uint64_t) + sizeof(uint16_t));
}

static inline uint64_t *hrt_lease_jobs(const hrt_record *lease)
{
    return (uint64_t *)((uintptr_t)hrt_record_body(lease) + sizeof(hrt_lease_body));
}

/* The started index of each job; NULL in a LEASE of format 1. */
static inline uint16_t *hrt_lease_places(const hrt_record *lease)
{
    if (lease->length < sizeof(hrt_record) + hrt_lease_length(lease->count)) {
        return NULL;
    }
    return (uint16_t *)(hrt_lease_jobs(lease) + lease->count);
}

/* Where the parts of an ENQUEUE or KEEP lie, as offsets from the start of the record. */
typedef struct hrt_parts {
    uint32_t trace; /* 0: none */
    uint32_t key;
    uint32_t meta;
    uint32_t payload;
    uint32_t error;  /* KEEP only */
    uint32_t result; /* KEEP only */
    uint32_t saved;  /* KEEP only */
    uint32_t end;
    const hrt_enqueue_body *enqueue;
} hrt_parts;

hrt_parts hrt_record_parts(const hrt_record *record);
/* Bytes that the job of a KEEP has saved; 0 in one of format 1. */
uint32_t hrt_keep_saved_length(const hrt_record *keep);

/* FNV-1a, folded so that it is never 0 for a key of one byte or more. */
uint64_t hrt_hash_key(const void *key, size_t length);

#endif
