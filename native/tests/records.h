/* Records made by hand, for tests that feed a state. */
#ifndef HRT_RECORDS_H
#define HRT_RECORDS_H

#include "record.h"
#include "state.h"
#include "tap.h"

enum { SEGMENT_SIZE = 65536, SECOND = 1000000000, RECORD_ROOM = 65536 };

/* A log of one writer: every record made is applied at once and remembered for a second state. */
typedef struct history {
    hrt_state *state;
    uint64_t sequence;
    uint64_t position;
    uint64_t now_ns;
    uint8_t *bytes;
    size_t size;
    _Alignas(64) uint8_t room[RECORD_ROOM];
} history;

typedef struct new_job {
    uint16_t queue;
    uint16_t kind;
    const char *key;
    uint64_t due_ns;
    uint64_t expires_ns;
    uint32_t result_ttl_ms;
    uint16_t max_attempts;
    uint8_t max_crashes;
    const char *payload;
} new_job;

static inline hrt_record *begin_record(history *log, uint8_t type, size_t body)
{
    REQUIRE(sizeof(hrt_record) + body <= RECORD_ROOM);
    memset(log->room, 0, sizeof(hrt_record) + body);
    hrt_record *record = (hrt_record *)log->room;
    record->length = (uint32_t)(sizeof(hrt_record) + body);
    record->type = type;
    record->sequence = ++log->sequence;
    record->position = log->position;
    record->time_ns = log->now_ns;
    return record;
}

static inline int end_record(history *log)
{
    const hrt_record *record = (const hrt_record *)log->room;
    REQUIRE(hrt_record_well_formed(record));
    size_t span = hrt_record_span(record->length);
    uint8_t *bytes = realloc(log->bytes, log->size + span);
    REQUIRE(bytes != NULL);
    memset(bytes + log->size, 0, span);
    memcpy(bytes + log->size, record, record->length);
    log->bytes = bytes;
    log->size += span;
    log->position += span;
    return hrt_state_apply(log->state, record);
}

static inline void declare_kind(history *log, uint32_t id, const char *name)
{
    hrt_record *record =
        begin_record(log, HRT_RECORD_CONTROL, sizeof(hrt_control_body) + strlen(name));
    hrt_control_body *body = hrt_record_body(record);
    *body = (hrt_control_body){
        .verb = HRT_CONTROL_KIND, .id = id, .data_length = (uint32_t)strlen(name)};
    memcpy(body + 1, name, strlen(name));
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void declare_queue(history *log, uint32_t id, const hrt_queue_settings *settings)
{
    hrt_record *record =
        begin_record(log, HRT_RECORD_CONTROL, sizeof(hrt_control_body) + sizeof(*settings));
    hrt_control_body *body = hrt_record_body(record);
    *body =
        (hrt_control_body){.verb = HRT_CONTROL_QUEUE, .id = id, .data_length = sizeof(*settings)};
    memcpy(body + 1, settings, sizeof(*settings));
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void pause_queue(history *log, uint32_t id, uint32_t verb)
{
    hrt_record *record = begin_record(log, HRT_RECORD_CONTROL, sizeof(hrt_control_body));
    *(hrt_control_body *)hrt_record_body(record) = (hrt_control_body){.verb = verb, .id = id};
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline uint64_t enqueue(history *log, new_job job)
{
    size_t key_length = job.key == NULL ? 0 : strlen(job.key);
    size_t payload_length = job.payload == NULL ? 0 : strlen(job.payload);
    hrt_record *record = begin_record(log, HRT_RECORD_ENQUEUE,
                                      sizeof(hrt_enqueue_body) + key_length + payload_length);
    record->kind = job.kind;
    record->queue = job.queue;
    record->key_hash = hrt_hash_key(job.key, key_length);
    hrt_enqueue_body *body = hrt_record_body(record);
    body->due_ns = job.due_ns;
    body->expires_ns = job.expires_ns;
    body->result_ttl_ms = job.result_ttl_ms;
    body->max_attempts = job.max_attempts;
    body->max_crashes = job.max_crashes;
    body->key_length = (uint8_t)key_length;
    body->payload_length = (uint32_t)payload_length;
    if (key_length > 0) {
        memcpy(body + 1, job.key, key_length);
    }
    if (payload_length > 0) {
        memcpy((uint8_t *)(body + 1) + key_length, job.payload, payload_length);
    }
    uint64_t id = record->sequence;
    CHECK_EQ(end_record(log), HRT_OK);
    return id;
}

/* Returns the token. */
static inline uint64_t lease(history *log, uint64_t client, const uint64_t *jobs, uint32_t count)
{
    hrt_record *record = begin_record(log, HRT_RECORD_LEASE, hrt_lease_length(count));
    record->count = count;
    hrt_lease_body *body = hrt_record_body(record);
    body->client = client;
    memcpy(body + 1, jobs, count * sizeof(uint64_t));
    for (uint32_t i = 0; i < count; i++) {
        hrt_lease_places(record)[i] = (uint16_t)(jobs[i] + 1);
    }
    CHECK_EQ(end_record(log), HRT_OK);
    return log->sequence;
}

static inline uint64_t lease_one(history *log, uint64_t job)
{
    return lease(log, 1, &job, 1);
}

static inline void settle_with(history *log, hrt_settle_entry entry, const char *data)
{
    entry.data_length = (uint32_t)strlen(data);
    size_t padded = (entry.data_length + 7u) & ~7u;
    hrt_record *record = begin_record(log, HRT_RECORD_SETTLE, sizeof(entry) + padded);
    record->count = 1;
    hrt_settle_entry *body = hrt_record_body(record);
    *body = entry;
    memcpy(body + 1, data, entry.data_length);
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void settle(history *log, uint64_t job, uint8_t outcome, uint64_t due_ns)
{
    const hrt_state_job *known = hrt_state_find(log->state, job);
    uint64_t token = known == NULL ? 0 : known->token;
    settle_with(
        log, (hrt_settle_entry){.job = job, .token = token, .due_ns = due_ns, .outcome = outcome},
        "");
}

static inline void make_due(history *log, uint64_t job)
{
    hrt_record *record = begin_record(log, HRT_RECORD_DUE, sizeof(uint64_t));
    record->count = 1;
    *(uint64_t *)hrt_record_body(record) = job;
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void *bytes_at(const history *log, uint64_t position)
{
    return log->bytes + position;
}

/* Saves a text under a token that may be stale. */
static inline void save(history *log, uint64_t job, uint64_t token, const char *text)
{
    hrt_record *record = begin_record(log, HRT_RECORD_SAVED, sizeof(hrt_saved_body) + strlen(text));
    hrt_saved_body *body = hrt_record_body(record);
    *body = (hrt_saved_body){.job = job, .token = token, .length = (uint32_t)strlen(text)};
    memcpy(body + 1, text, strlen(text));
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void keep(history *log, uint64_t id)
{
    const hrt_state_job *job = hrt_state_find(log->state, id);
    REQUIRE(job != NULL);
    hrt_record *record = begin_record(log, HRT_RECORD_KEEP, hrt_state_keep_length(job));
    const void *result = job->result_length > 0 ? bytes_at(log, job->result_position) : NULL;
    const void *saved = job->saved_length > 0 ? bytes_at(log, job->saved_position) : NULL;
    hrt_state_keep(job, bytes_at(log, job->position), result, saved, record);
    CHECK_EQ(end_record(log), HRT_OK);
}

static inline void replay_from(const history *log, uint64_t position, hrt_state *state)
{
    while (position < log->size) {
        const hrt_record *record = (const hrt_record *)(log->bytes + position);
        CHECK_EQ(hrt_state_apply(state, record), HRT_OK);
        position += hrt_record_span(record->length);
    }
}

static inline hrt_queue_settings plain_settings(const char *name)
{
    hrt_queue_settings settings = {.weight = 1,
                                   .retain_max = 1000,
                                   .retry_base_ms = 100,
                                   .retry_cap_ms = 10000,
                                   .max_attempts = 5,
                                   .max_crashes = 3};
    (void)snprintf(settings.name, sizeof(settings.name), "%s", name);
    return settings;
}

/* Kinds 0 and 1, queue 0 with `block` and queue 1 with `skip`. */
static inline history *new_history(void)
{
    history *log = calloc(1, sizeof(*log));
    REQUIRE(log != NULL);
    log->state = hrt_state_new(NULL, SEGMENT_SIZE);
    REQUIRE(log->state != NULL);
    log->now_ns = 1000ull * SECOND;
    hrt_queue_settings block = plain_settings("block");
    hrt_queue_settings skip = plain_settings("skip");
    skip.order = HRT_ORDER_SKIP;
    declare_kind(log, 0, "first");
    declare_kind(log, 1, "second");
    declare_queue(log, 0, &block);
    declare_queue(log, 1, &skip);
    return log;
}

static inline void free_history(history *log)
{
    hrt_state_free(log->state);
    free(log->bytes);
    free(log);
}

#endif
