/* Copying a living job forward, so that the segment of its record can be retired. */
#include "record.h"
#include "state.h"

#include <string.h>

size_t hrt_state_keep_length(const hrt_state_job *job)
{
    return sizeof(hrt_keep_body) + (job->traced ? HRT_TRACE_SIZE : 0) + (size_t)job->key_length +
           job->meta_length + job->payload_length + job->error_length + job->result_length +
           job->saved_length;
}

static void fill_body(const hrt_state_job *job, const hrt_enqueue_body *enqueue,
                      hrt_keep_body *body)
{
    body->enqueue = *enqueue;
    body->enqueue.payload_length = job->payload_length;
    body->job = job->id;
    body->token = job->token;
    body->enqueued_ns = job->enqueued_ns;
    body->settled_ns = job->settled_ns;
    body->due_ns = job->due_ns;
    body->client = hrt_state_retains(job->state) ? job->ready_order : job->client;
    body->error_length = job->error_length;
    body->result_length = job->result_length;
    body->attempt = job->attempt;
    body->crashes = job->crashes;
    body->state = job->state;
    body->outcome = job->outcome;
    body->cause = job->cause;
    body->saved_length = job->saved_length;
    body->place = job->place;
}

static uint8_t *append(uint8_t *to, const void *bytes, size_t length)
{
    if (length > 0) {
        memcpy(to, bytes, length);
    }
    return to + length;
}

void hrt_state_keep(const hrt_state_job *job, const hrt_record *record, const void *result,
                    const void *saved, hrt_record *keep)
{
    const uint8_t *bytes = (const uint8_t *)record;
    hrt_parts parts = hrt_record_parts(record);
    hrt_keep_body *body = hrt_record_body(keep);
    keep->kind = job->kind;
    keep->queue = job->queue;
    keep->key_hash = job->key_hash;
    fill_body(job, parts.enqueue, body);
    uint8_t *to = (uint8_t *)(body + 1);
    to = append(to, bytes + parts.trace, job->traced ? HRT_TRACE_SIZE : 0);
    to = append(to, bytes + parts.key, job->key_length);
    to = append(to, bytes + parts.meta, job->meta_length);
    to = append(to, bytes + parts.payload, job->payload_length);
    to = append(to, job->error, job->error_length);
    to = append(to, result, job->result_length);
    (void)append(to, saved, job->saved_length);
}
