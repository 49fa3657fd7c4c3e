/* What each type of record does to the state. */
#include "atomic.h"
#include "core.h"
#include "list.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

static bool declared(const hrt_state *state, const hrt_record *record)
{
    return record->queue < HRT_QUEUES_MAX && (state->queues_declared >> record->queue & 1) &&
           record->kind < HRT_KINDS_MAX && state->page->kinds[record->kind].text[0] != '\0';
}

/* A job with what ENQUEUE and KEEP have in common. */
static int add_job(hrt_state *state, const hrt_record *record, uint64_t id, hrt_state_job **job_out)
{
    if (!declared(state, record) || hrt_jobs_find(&state->jobs, id) != NULL) {
        return HRT_ECORRUPT;
    }
    hrt_state_job *job = hrt_jobs_add(&state->jobs, id);
    if (job == NULL) {
        return HRT_ENOMEM;
    }
    hrt_parts parts = hrt_record_parts(record);
    job->kind = record->kind;
    job->queue = record->queue;
    job->key_hash = record->key_hash;
    job->position = record->position;
    job->record_span = (uint32_t)hrt_record_span(record->length);
    job->data_offset = parts.payload;
    job->expires_ns = parts.enqueue->expires_ns;
    job->parent = parts.enqueue->parent;
    job->timeout_ms = parts.enqueue->timeout_ms;
    job->result_ttl_ms = parts.enqueue->result_ttl_ms;
    job->payload_length = parts.enqueue->payload_length;
    job->meta_length = parts.enqueue->meta_length;
    job->key_length = parts.enqueue->key_length;
    job->max_attempts = parts.enqueue->max_attempts;
    job->max_crashes = parts.enqueue->max_crashes;
    job->traced = parts.trace != 0;
    *job_out = job;
    return HRT_OK;
}

static int apply_enqueue(hrt_state *state, const hrt_record *record)
{
    hrt_state_job *job = NULL;
    int status = add_job(state, record, record->sequence, &job);
    if (status != HRT_OK) {
        return status;
    }
    const hrt_enqueue_body *body = hrt_record_body(record);
    job->enqueued_ns = record->time_ns;
    job->ready_order = record->sequence;
    hrt_add_relaxed(&state->page->queue_counters[record->queue].enqueued, 1);
    if (body->due_ns > record->time_ns) {
        return hrt_life_begin(state, job, HRT_JOB_SCHEDULED, body->due_ns);
    }
    job->ready_ns = record->time_ns;
    return hrt_life_begin(state, job, HRT_JOB_READY, 0);
}

static int apply_lease(hrt_state *state, const hrt_record *record)
{
    const hrt_lease_body *body = hrt_record_body(record);
    const uint64_t *ids = hrt_lease_jobs(record);
    const uint16_t *places = hrt_lease_places(record);
    for (uint32_t i = 0; i < record->count; i++) {
        hrt_state_job *job = hrt_jobs_find(&state->jobs, ids[i]);
        if (job == NULL || job->state != HRT_JOB_READY) {
            continue;
        }
        job->token = record->sequence;
        job->client = body->client;
        job->leased_position = job->position;
        job->place = places == NULL ? HRT_CREDIT_MAX : places[i]; /* format 1: nowhere */
        job->attempt = (uint16_t)(job->attempt + (job->attempt < UINT16_MAX));
        hrt_add_relaxed(&state->page->queue_counters[job->queue].leased, 1);
        hrt_add_relaxed(&state->page->kind_counters[job->kind].leased, 1);
        int status = hrt_life_move(state, job, HRT_JOB_RUNNING, 0);
        if (status != HRT_OK) {
            return status;
        }
    }
    return HRT_OK;
}

static int apply_settle(hrt_state *state, const hrt_record *record)
{
    const uint8_t *bytes = (const uint8_t *)record;
    uint64_t offset = sizeof(hrt_record);
    for (uint32_t i = 0; i < record->count; i++) {
        const hrt_settle_entry *entry = (const hrt_settle_entry *)(bytes + offset);
        offset += sizeof(*entry);
        int status = hrt_settle_apply(state, entry, bytes + offset, record->position + offset);
        if (status != HRT_OK) {
            return status;
        }
        offset += ((uint64_t)entry->data_length + 7) & ~(uint64_t)7;
    }
    return HRT_OK;
}

static int apply_due(hrt_state *state, const hrt_record *record)
{
    const uint64_t *ids = hrt_record_body(record);
    for (uint32_t i = 0; i < record->count; i++) {
        hrt_state_job *job = hrt_jobs_find(&state->jobs, ids[i]);
        if (job == NULL) {
            continue;
        }
        if (job->state != HRT_JOB_SCHEDULED && job->state != HRT_JOB_RETRYING) {
            continue;
        }
        job->ready_order = record->sequence;
        job->ready_ns = record->time_ns;
        int status = hrt_life_move(state, job, HRT_JOB_READY, 0);
        if (status != HRT_OK) {
            return status;
        }
    }
    return HRT_OK;
}

static int declare_kind(hrt_state *state, const hrt_control_body *body)
{
    hrt_page *page = state->page;
    if (body->id >= HRT_KINDS_MAX || body->data_length == 0 ||
        body->data_length > HRT_KIND_NAME_MAX) {
        return HRT_ECORRUPT;
    }
    char *name = page->kinds[body->id].text;
    if (name[0] != '\0') {
        bool same =
            strlen(name) == body->data_length && memcmp(name, body + 1, body->data_length) == 0;
        return same ? HRT_OK : HRT_ECORRUPT;
    }
    memcpy(name, body + 1, body->data_length);
    if (body->id >= page->kind_count) {
        hrt_store_release_u32(&page->kind_count, body->id + 1);
    }
    return HRT_OK;
}

static int declare_queue(hrt_state *state, const hrt_control_body *body)
{
    hrt_page *page = state->page;
    if (body->id >= HRT_QUEUES_MAX || body->data_length != sizeof(hrt_queue_settings)) {
        return HRT_ECORRUPT;
    }
    hrt_queue_settings *settings = &page->queues[body->id];
    uint8_t order = settings->order;
    memcpy(settings, body + 1, sizeof(*settings));
    settings->name[sizeof(settings->name) - 1] = '\0';
    if (!(state->queues_declared >> body->id & 1)) {
        state->queues_declared |= 1ull << body->id;
        if (body->id >= page->queue_count) {
            hrt_store_release_u32(&page->queue_count, body->id + 1);
        }
        return HRT_OK;
    }
    hrt_life_trim(state, (uint16_t)body->id);
    return order == settings->order ? HRT_OK : hrt_keys_reorder(state, (uint16_t)body->id);
}

static int apply_control(hrt_state *state, const hrt_record *record)
{
    const hrt_control_body *body = hrt_record_body(record);
    switch (body->verb) {
    case HRT_CONTROL_KIND:
        return declare_kind(state, body);
    case HRT_CONTROL_QUEUE:
        return declare_queue(state, body);
    case HRT_CONTROL_PAUSE:
    case HRT_CONTROL_RESUME:
        if (body->id >= HRT_QUEUES_MAX || !(state->queues_declared >> body->id & 1)) {
            return HRT_ECORRUPT;
        }
        state->queues[body->id].paused = body->verb == HRT_CONTROL_PAUSE;
        hrt_store_relaxed(&state->page->queue_counters[body->id].paused,
                          state->queues[body->id].paused);
        return HRT_OK;
    default:
        return HRT_OK;
    }
}

/* Where a KEEP holds what a job's end has to say. */
static uint64_t said_at(const hrt_state_job *job, const hrt_record *keep, const hrt_parts *parts)
{
    if (job->result_length > 0) {
        return keep->position + parts->result;
    }
    return job->error_length > 0 ? keep->position + parts->error : 0;
}

static void find_saved(hrt_state_job *job, const hrt_record *keep, const hrt_parts *parts)
{
    job->saved_length = hrt_keep_saved_length(keep);
    job->saved_position = job->saved_length > 0 ? keep->position + parts->saved : 0;
}

/* A job that is known only moves: its KEEP says what the state says already. */
static int move_home(hrt_state *state, hrt_state_job *job, const hrt_record *record)
{
    hrt_parts parts = hrt_record_parts(record);
    hrt_residents_unlink(state, job);
    job->position = record->position;
    job->record_span = (uint32_t)hrt_record_span(record->length);
    job->data_offset = parts.payload;
    job->result_position = said_at(job, record, &parts);
    find_saved(job, record, &parts);
    return hrt_residents_link(state, job);
}

static int restore(hrt_state *state, hrt_state_job *job, const hrt_record *record)
{
    const hrt_keep_body *body = hrt_record_body(record);
    hrt_parts parts = hrt_record_parts(record);
    bool retained = hrt_state_retains(body->state);
    job->token = body->token;
    job->client = retained ? 0 : body->client;
    job->leased_position = record->position; /* of the oldest copy that is left */
    job->place = body->place;
    job->enqueued_ns = body->enqueued_ns;
    job->settled_ns = body->settled_ns;
    job->ready_ns = body->enqueued_ns;
    job->ready_order = retained ? body->client : body->job;
    job->attempt = body->attempt;
    job->crashes = body->crashes;
    job->outcome = body->outcome;
    job->cause = body->cause;
    job->result_length = body->result_length;
    if (body->error_length > 0) {
        job->error_length = (uint16_t)body->error_length;
        job->error = malloc(body->error_length);
        if (job->error == NULL) {
            return HRT_ENOMEM;
        }
        memcpy(job->error, (const uint8_t *)record + parts.error, body->error_length);
    }
    job->result_position = said_at(job, record, &parts);
    find_saved(job, record, &parts);
    return hrt_life_begin(state, job, body->state, body->due_ns);
}

static int apply_keep(hrt_state *state, const hrt_record *record)
{
    const hrt_keep_body *body = hrt_record_body(record);
    hrt_state_job *job = hrt_jobs_find(&state->jobs, body->job);
    if (job != NULL) {
        return move_home(state, job, record);
    }
    if (body->state < HRT_JOB_SCHEDULED || body->state > HRT_JOB_DISCARDED ||
        body->error_length > HRT_ERROR_MAX) {
        return HRT_ECORRUPT;
    }
    int status = add_job(state, record, body->job, &job);
    status = status == HRT_OK ? restore(state, job, record) : status;
    if (status == HRT_OK) {
        hrt_life_trim(state, record->queue);
    }
    return status;
}

/* In place of what the job saved before. */
static int apply_saved(hrt_state *state, const hrt_record *record)
{
    const hrt_saved_body *body = hrt_record_body(record);
    hrt_state_job *job = hrt_jobs_find(&state->jobs, body->job);
    if (job == NULL) {
        return HRT_OK;
    }
    if (job->state == HRT_JOB_RUNNING && job->token == body->token) {
        job->saved_length = body->length;
        job->saved_position =
            body->length > 0 ? record->position + sizeof(*record) + sizeof(*body) : 0;
        hrt_residents_measure(state, job);
    }
    return HRT_OK;
}

int hrt_state_apply(hrt_state *state, const hrt_record *record)
{
    state->sequence = record->sequence;
    state->time_ns = record->time_ns;
    switch (record->type) {
    case HRT_RECORD_ENQUEUE:
        return apply_enqueue(state, record);
    case HRT_RECORD_LEASE:
        return apply_lease(state, record);
    case HRT_RECORD_SETTLE:
        return apply_settle(state, record);
    case HRT_RECORD_DUE:
        return apply_due(state, record);
    case HRT_RECORD_KEEP:
        return apply_keep(state, record);
    case HRT_RECORD_CONTROL:
        return apply_control(state, record);
    case HRT_RECORD_SAVED:
        return apply_saved(state, record);
    default:
        return HRT_OK; /* CHECKPOINT, EPOCH and PAD change nothing */
    }
}
