/*
 * A job's way through its states. Each state decides which lists, timers and gauges hold the job;
 * a move takes it out of those of the old state and puts it into those of the new one.
 */
#include "atomic.h"
#include "core.h"
#include "list.h"

#define GAUGE(name) offsetof(hrt_queue_counters, name)

static const uint16_t gauge_offset[] = {
    [HRT_JOB_SCHEDULED] = GAUGE(scheduled), [HRT_JOB_READY] = GAUGE(ready),
    [HRT_JOB_RUNNING] = GAUGE(running),     [HRT_JOB_RETRYING] = GAUGE(retrying),
    [HRT_JOB_COMPLETED] = GAUGE(retained),  [HRT_JOB_DEAD] = GAUGE(dead),
    [HRT_JOB_CANCELLED] = GAUGE(retained),  [HRT_JOB_EXPIRED] = GAUGE(retained),
    [HRT_JOB_DISCARDED] = GAUGE(retained),
};

static uint64_t *gauge_of(hrt_queue_counters *counters, uint8_t job_state)
{
    return (uint64_t *)((uint8_t *)counters + gauge_offset[job_state]);
}

static bool waits(uint8_t job_state)
{
    const uint32_t waiting = 1u << HRT_JOB_SCHEDULED | 1u << HRT_JOB_READY | 1u << HRT_JOB_RETRYING;
    return waiting >> job_state & 1;
}

static void count(hrt_state *state, const hrt_state_job *job, uint64_t change)
{
    hrt_add_relaxed(gauge_of(&state->page->queue_counters[job->queue], job->state), change);
}

static int set_timers(hrt_state *state, hrt_state_job *job)
{
    bool waiting = waits(job->state);
    uint64_t over_ns = waiting ? job->expires_ns : hrt_state_retains(job->state) ? job->due_ns : 0;
    if (over_ns != 0) {
        if (!hrt_timer_set(state->over, job->index, over_ns)) {
            return HRT_ENOMEM;
        }
        job->has_timers |= HRT_TIMER_OVER;
    }
    if (waiting && job->state != HRT_JOB_READY) {
        if (!hrt_timer_set(state->due, job->index, job->due_ns)) {
            return HRT_ENOMEM;
        }
        job->has_timers |= HRT_TIMER_DUE;
    }
    return HRT_OK;
}

static void clear_timers(hrt_state *state, hrt_state_job *job)
{
    if (job->has_timers & HRT_TIMER_DUE) {
        hrt_timer_clear(state->due, job->index);
    }
    if (job->has_timers & HRT_TIMER_OVER) {
        hrt_timer_clear(state->over, job->index);
    }
    job->has_timers = 0;
}

/*
 * Oldest is what ended first in the log, the lower id among those of one record: a KEEP carries
 * both. Not by time, which a clock that is set back repeats. A KEEP of an older version has no
 * sequence: these come first, by time.
 */
static bool ended_in_order(const hrt_state_job *a, const hrt_state_job *b)
{
    if (a->ready_order != b->ready_order) {
        return a->ready_order < b->ready_order;
    }
    return a->settled_ns != b->settled_ns ? a->settled_ns < b->settled_ns : a->id <= b->id;
}

static void retain(hrt_state *state, hrt_state_job *job)
{
    hrt_job_list *list = &state->queues[job->queue].retained;
    uint32_t hint = state->retained_hint;
    bool hinted = hint != HRT_NIL && hrt_jobs_at(&state->jobs, hint)->id != 0 &&
                  hint != job->index && hrt_jobs_at(&state->jobs, hint)->queue == job->queue &&
                  hrt_state_retains(hrt_jobs_at(&state->jobs, hint)->state);
    uint32_t after = hrt_list_place(&state->jobs, list, job, hinted ? hint : HRT_NIL,
                                    offsetof(hrt_state_job, kept), ended_in_order);
    state->retained_hint = job->index;
    hrt_list_insert(&state->jobs, list, job, after, offsetof(hrt_state_job, kept));
}

static int link_state(hrt_state *state, hrt_state_job *job)
{
    count(state, job, 1);
    if (job->state == HRT_JOB_RUNNING) {
        return hrt_holders_link(state, job);
    }
    if (job->state == HRT_JOB_READY && job->key_hash == 0) {
        hrt_ready_link(state, job);
    }
    if (hrt_state_retains(job->state)) {
        retain(state, job);
    }
    return set_timers(state, job);
}

static void unlink_state(hrt_state *state, hrt_state_job *job)
{
    count(state, job, UINT64_MAX);
    if (job->has_timers != 0) {
        clear_timers(state, job);
    }
    if (job->in_ready) {
        hrt_ready_unlink(state, job);
    } else if (job->state == HRT_JOB_RUNNING) {
        hrt_holders_unlink(state, job);
        job->token = 0;
        job->client = 0;
    } else if (hrt_state_retains(job->state)) {
        hrt_list_remove(&state->jobs, &state->queues[job->queue].retained, job,
                        offsetof(hrt_state_job, kept));
    }
}

static int enter(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns, uint8_t was)
{
    job->state = next;
    job->due_ns = due_ns;
    job->suspect = job->crashes > 0; /* chooses the ready list, so it changes between two lists */
    int status = link_state(state, job);
    if (status == HRT_OK && job->key_hash != 0) {
        status = hrt_keys_follow(state, job, was);
    }
    return status;
}

/* A job that has just come into the slab gets its first state. */
int hrt_life_begin(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns)
{
    int status = hrt_residents_link(state, job);
    return status == HRT_OK ? enter(state, job, next, due_ns, 0) : status;
}

int hrt_life_move(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns)
{
    uint8_t was = job->state;
    unlink_state(state, job);
    return enter(state, job, next, due_ns, was);
}

/* The job leaves the state. */
void hrt_life_end(hrt_state *state, hrt_state_job *job)
{
    uint8_t was = job->state;
    unlink_state(state, job);
    job->state = 0;
    if (job->key != HRT_NIL) {
        (void)hrt_keys_follow(state, job, was); /* leaving takes no memory */
    }
    hrt_residents_unlink(state, job);
    hrt_jobs_drop(&state->jobs, job);
}

/* Drops the oldest retained jobs beyond the queue's limit. */
void hrt_life_trim(hrt_state *state, uint16_t queue)
{
    hrt_job_list *list = &state->queues[queue].retained;
    while (list->count > state->page->queues[queue].retain_max) {
        hrt_life_end(state, hrt_jobs_at(&state->jobs, list->head));
        state->queues[queue].trimmed++;
    }
}
