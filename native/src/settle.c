/* What an outcome does to a job. docs/states.md has the table. */
#include "atomic.h"
#include "core.h"

#include <stdlib.h>
#include <string.h>

#define BIT(outcome) (1u << (outcome))

/* Outcomes that a job in this state can meet; the others are passed over. */
static uint32_t outcomes_of(uint8_t job_state)
{
    const uint32_t operator_ends = BIT(HRT_OUTCOME_DISCARD) | BIT(HRT_OUTCOME_DEAD) |
                                   BIT(HRT_OUTCOME_CANCELLED) | BIT(HRT_OUTCOME_EXPIRED);
    switch (job_state) {
    case HRT_JOB_READY:
        return operator_ends;
    case HRT_JOB_SCHEDULED:
    case HRT_JOB_RETRYING:
        return operator_ends | BIT(HRT_OUTCOME_REVIVED);
    case HRT_JOB_RUNNING:
        return BIT(HRT_OUTCOME_FORGOTTEN) - BIT(HRT_OUTCOME_OK);
    case HRT_JOB_DEAD:
        return BIT(HRT_OUTCOME_FORGOTTEN) | BIT(HRT_OUTCOME_REVIVED);
    default:
        return BIT(HRT_OUTCOME_FORGOTTEN);
    }
}

static uint64_t *counter_of(hrt_queue_counters *counters, uint8_t outcome)
{
    switch (outcome) {
    case HRT_OUTCOME_OK:
        return &counters->completed;
    case HRT_OUTCOME_RETRY:
        return &counters->retried;
    case HRT_OUTCOME_SNOOZE:
        return &counters->snoozed;
    case HRT_OUTCOME_DISCARD:
        return &counters->discarded;
    case HRT_OUTCOME_DEAD:
        return &counters->died;
    case HRT_OUTCOME_RETURNED:
        return &counters->returned;
    case HRT_OUTCOME_CRASHED:
        return &counters->crashed;
    case HRT_OUTCOME_LOST:
        return &counters->lost;
    case HRT_OUTCOME_TIMEOUT:
        return &counters->timed_out;
    case HRT_OUTCOME_CANCELLED:
        return &counters->cancelled;
    case HRT_OUTCOME_EXPIRED:
        return &counters->expired;
    default:
        return NULL;
    }
}

static void count(hrt_state *state, const hrt_state_job *job, const hrt_settle_entry *entry)
{
    const uint32_t failures = BIT(HRT_OUTCOME_RETRY) | BIT(HRT_OUTCOME_DEAD) |
                              BIT(HRT_OUTCOME_CRASHED) | BIT(HRT_OUTCOME_TIMEOUT);
    uint64_t *counter = counter_of(&state->page->queue_counters[job->queue], entry->outcome);
    if (counter != NULL) {
        hrt_add_relaxed(counter, 1);
    }
    hrt_kind_counters *kind = &state->page->kind_counters[job->kind];
    if (entry->outcome == HRT_OUTCOME_OK) {
        hrt_add_relaxed(&kind->completed, 1);
    } else if (BIT(entry->outcome) & failures) {
        hrt_add_relaxed(&kind->failed, 1);
    }
}

static int keep_error(hrt_state_job *job, const void *text, uint32_t length)
{
    if (length == 0) {
        return HRT_OK; /* the last text stays */
    }
    uint16_t kept = (uint16_t)(length < HRT_ERROR_MAX ? length : HRT_ERROR_MAX);
    char *error = malloc(kept);
    if (error == NULL) {
        return HRT_ENOMEM;
    }
    memcpy(error, text, kept);
    free(job->error);
    job->error = error;
    job->error_length = kept;
    return HRT_OK;
}

static void drop_error(hrt_state_job *job)
{
    free(job->error);
    job->error = NULL;
    job->error_length = 0;
}

/* The job stays for its result's time to live, or leaves at once. */
static int end(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns)
{
    if (due_ns == 0) {
        hrt_life_end(state, job);
        return HRT_OK;
    }
    uint16_t queue = job->queue;
    job->ready_order = state->sequence;
    job->payload_length = 0;
    job->saved_length = 0;
    job->saved_position = 0;
    hrt_residents_measure(state, job);
    int status = hrt_life_move(state, job, next, due_ns);
    hrt_life_trim(state, queue);
    return status;
}

static int make_ready(hrt_state *state, hrt_state_job *job, uint64_t order)
{
    job->ready_order = order;
    job->ready_ns = state->time_ns;
    return hrt_life_move(state, job, HRT_JOB_READY, 0);
}

static int wait(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns)
{
    if (due_ns <= state->time_ns) {
        return make_ready(state, job, state->sequence);
    }
    return hrt_life_move(state, job, next, due_ns);
}

static int revive(hrt_state *state, hrt_state_job *job)
{
    if (job->state == HRT_JOB_DEAD) {
        job->attempt = 0;
        job->crashes = 0;
        job->outcome = 0;
        job->cause = 0;
    }
    return make_ready(state, job, state->sequence);
}

static void uncount(hrt_state_job *job)
{
    job->attempt = (uint16_t)(job->attempt - (job->attempt > 0));
}

static void count_crash(hrt_state_job *job)
{
    job->crashes = (uint8_t)(job->crashes + (job->crashes < UINT8_MAX));
}

static int complete(hrt_state *state, hrt_state_job *job, const hrt_settle_entry *entry,
                    uint64_t position)
{
    if (entry->due_ns != 0) {
        drop_error(job);
        job->result_length = entry->data_length;
        job->result_position = position;
    }
    return end(state, job, HRT_JOB_COMPLETED, entry->due_ns);
}

static int transition(hrt_state *state, hrt_state_job *job, const hrt_settle_entry *entry)
{
    switch (entry->outcome) {
    case HRT_OUTCOME_SNOOZE:
        uncount(job);
        return wait(state, job, HRT_JOB_SCHEDULED, entry->due_ns);
    case HRT_OUTCOME_RETURNED:
        uncount(job);
        return make_ready(state, job, job->id);
    case HRT_OUTCOME_CRASHED:
        count_crash(job);
        return wait(state, job, HRT_JOB_RETRYING, entry->due_ns);
    case HRT_OUTCOME_RETRY:
    case HRT_OUTCOME_LOST:
    case HRT_OUTCOME_TIMEOUT:
        return wait(state, job, HRT_JOB_RETRYING, entry->due_ns);
    case HRT_OUTCOME_DISCARD:
        return end(state, job, HRT_JOB_DISCARDED, entry->due_ns);
    case HRT_OUTCOME_CANCELLED:
        return end(state, job, HRT_JOB_CANCELLED, entry->due_ns);
    case HRT_OUTCOME_EXPIRED:
        return end(state, job, HRT_JOB_EXPIRED, entry->due_ns);
    default:
        return hrt_life_move(state, job, HRT_JOB_DEAD, 0);
    }
}

int hrt_settle_apply(hrt_state *state, const hrt_settle_entry *entry, const void *data,
                     uint64_t position)
{
    hrt_state_job *job = hrt_jobs_find(&state->jobs, entry->job);
    if (job == NULL) {
        return HRT_OK;
    }
    bool stale = entry->token != 0 && job->token != entry->token;
    bool known = entry->outcome <= HRT_OUTCOME_REVIVED;
    if (stale || !known || !(outcomes_of(job->state) & BIT(entry->outcome))) {
        return HRT_OK;
    }
    count(state, job, entry);
    if (entry->outcome == HRT_OUTCOME_FORGOTTEN) {
        hrt_life_end(state, job);
        return HRT_OK;
    }
    if (entry->outcome == HRT_OUTCOME_REVIVED) {
        return revive(state, job);
    }
    job->settled_ns = state->time_ns;
    if (entry->outcome != HRT_OUTCOME_RETURNED) {
        job->outcome = entry->outcome;
        job->cause = entry->cause;
    }
    if (entry->outcome == HRT_OUTCOME_OK) {
        return complete(state, job, entry, position);
    }
    if (entry->outcome == HRT_OUTCOME_DEAD && entry->cause == HRT_OUTCOME_CRASHED) {
        count_crash(job);
    }
    int status = keep_error(job, data, entry->data_length);
    if (entry->data_length > 0) {
        job->result_position = position;
        hrt_residents_measure(state, job);
    }
    return status == HRT_OK ? transition(state, job, entry) : status;
}
