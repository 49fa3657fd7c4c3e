/*
 * The hash of the state: a sum of one digest for each job, kind and queue, so that the order in
 * which they lie in memory does not matter. docs/states.md has the recipe for other languages.
 */
#include "core.h"

#include <string.h>

enum digest_of {
    DIGEST_JOB = 1,
    DIGEST_KIND = 2,
    DIGEST_QUEUE = 3,
};

static uint64_t mix(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9u;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static uint64_t absorb(uint64_t digest, uint64_t word)
{
    return mix((digest ^ word) + 0x9e3779b97f4a7c15u);
}

static uint64_t absorb_bytes(uint64_t digest, const void *bytes, size_t length)
{
    for (size_t offset = 0; offset < length; offset += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)bytes + offset, sizeof(word));
        digest = absorb(digest, word);
    }
    return digest;
}

/* The last word is filled with zeros. */
static uint64_t absorb_text(uint64_t digest, const char *text, size_t length)
{
    size_t whole = length & ~(sizeof(uint64_t) - 1);
    uint64_t last = 0;
    digest = absorb_bytes(digest, text, whole);
    if (whole < length) {
        memcpy(&last, text + whole, length - whole);
        digest = absorb(digest, last);
    }
    return digest;
}

/* ready_order is left out: a log that has lost its beginning does not determine it. */
static uint64_t job_digest(const hrt_state_job *job)
{
    uint64_t counts = (uint64_t)job->state | (uint64_t)job->outcome << 8 |
                      (uint64_t)job->crashes << 16 | (uint64_t)job->cause << 24 |
                      (uint64_t)job->attempt << 32 | (uint64_t)job->max_attempts << 48;
    uint64_t place =
        (uint64_t)job->kind | (uint64_t)job->queue << 16 | (uint64_t)job->result_length << 32;
    uint64_t limits = (uint64_t)job->timeout_ms | (uint64_t)job->result_ttl_ms << 32;
    uint64_t lengths = (uint64_t)job->payload_length | (uint64_t)job->meta_length << 32 |
                       (uint64_t)job->key_length << 48 | (uint64_t)job->max_crashes << 56;
    const uint64_t words[] = {
        job->id, job->token,  job->due_ns,     job->key_hash,     counts,
        place,   job->client, job->parent,     job->enqueued_ns,  job->settled_ns,
        limits,  lengths,     job->expires_ns, job->error_length, job->saved_length};
    uint64_t digest = absorb_bytes(DIGEST_JOB, words, sizeof(words));
    return absorb_text(digest, job->error, job->error_length);
}

uint64_t hrt_state_hash(const hrt_state *state)
{
    uint64_t sum = 0;
    for (uint32_t index = 0; index < state->jobs.used; index++) {
        const hrt_state_job *job = hrt_jobs_at(&state->jobs, index);
        if (job->id != 0) {
            sum += job_digest(job);
        }
    }
    for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
        if (state->page->kinds[kind].text[0] != '\0') {
            sum += absorb_bytes(absorb(DIGEST_KIND, kind), &state->page->kinds[kind],
                                sizeof(hrt_name));
        }
    }
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        if (state->queues_declared >> queue & 1) {
            uint64_t digest = absorb(DIGEST_QUEUE, queue);
            digest = absorb(digest, state->queues[queue].paused);
            sum += absorb_bytes(digest, &state->page->queues[queue], sizeof(hrt_queue_settings));
        }
    }
    return sum;
}
