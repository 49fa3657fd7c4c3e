/* The state: making it, and questions about it. */
#include "state.h"

#include "atomic.h"
#include "check.h"
#include "core.h"
#include "list.h"

#include <stdlib.h>
#include <string.h>

hrt_state *hrt_state_new(hrt_page *page, uint32_t segment_size)
{
    HRT_ASSERT(segment_size > 0 && (segment_size & (segment_size - 1)) == 0);
    hrt_state *state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return NULL;
    }
    state->page_owned = page == NULL ? calloc(1, sizeof(hrt_page)) : NULL;
    state->page = page == NULL ? state->page_owned : page;
    state->due = hrt_timer_new();
    state->over = hrt_timer_new();
    if (state->page == NULL || state->due == NULL || state->over == NULL) {
        hrt_state_free(state);
        return NULL;
    }
    state->segment_shift = (uint32_t)__builtin_ctz(segment_size);
    state->ready_hint = HRT_NIL;
    state->retained_hint = HRT_NIL;
    state->keys.hint = HRT_NIL;
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        state->queues[queue].retained = HRT_LIST_EMPTY;
        for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
            state->queues[queue].ready[kind] = HRT_LIST_EMPTY;
            state->queues[queue].suspects[kind] = HRT_LIST_EMPTY;
        }
    }
    return state;
}

void hrt_state_free(hrt_state *state)
{
    if (state == NULL) {
        return;
    }
    hrt_jobs_free(&state->jobs);
    hrt_keys_free(&state->keys);
    hrt_residents_free(&state->residents);
    free(state->holders.clients);
    hrt_timer_free(state->due);
    hrt_timer_free(state->over);
    free(state->page_owned);
    free(state);
}

const hrt_page *hrt_state_page(const hrt_state *state)
{
    return state->page;
}

static void move_names(const hrt_page *from, hrt_page *to)
{
    for (uint32_t kind = 0; kind < from->kind_count; kind++) {
        if (memcmp(&to->kinds[kind], &from->kinds[kind], sizeof(hrt_name)) != 0) {
            to->kinds[kind] = from->kinds[kind];
        }
    }
    for (uint32_t queue = 0; queue < from->queue_count; queue++) {
        if (memcmp(&to->queues[queue], &from->queues[queue], sizeof(hrt_queue_settings)) != 0) {
            to->queues[queue] = from->queues[queue];
        }
    }
    if (to->kind_count < from->kind_count) {
        hrt_store_release_u32(&to->kind_count, from->kind_count);
    }
    if (to->queue_count < from->queue_count) {
        hrt_store_release_u32(&to->queue_count, from->queue_count);
    }
}

static void move_gauges(const hrt_queue_counters *from, hrt_queue_counters *to)
{
    hrt_store_relaxed(&to->scheduled, from->scheduled);
    hrt_store_relaxed(&to->ready, from->ready);
    hrt_store_relaxed(&to->running, from->running);
    hrt_store_relaxed(&to->retrying, from->retrying);
    hrt_store_relaxed(&to->dead, from->dead);
    hrt_store_relaxed(&to->retained, from->retained);
    hrt_store_relaxed(&to->paused, from->paused);
}

void hrt_state_move(hrt_state *state, hrt_page *page)
{
    move_names(state->page, page);
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        move_gauges(&state->page->queue_counters[queue], &page->queue_counters[queue]);
    }
    free(state->page_owned);
    state->page_owned = NULL;
    state->page = page;
}

uint64_t hrt_state_jobs(const hrt_state *state)
{
    return state->jobs.by_id.count;
}

const hrt_state_job *hrt_state_find(const hrt_state *state, uint64_t job)
{
    return hrt_jobs_find(&state->jobs, job);
}

const hrt_state_job *hrt_state_at(const hrt_state *state, uint32_t index)
{
    return hrt_jobs_at(&state->jobs, index);
}

uint32_t hrt_state_index(const hrt_state *state, const hrt_state_job *job)
{
    (void)state;
    return job->index;
}

uint32_t hrt_state_capacity(const hrt_state *state)
{
    return state->jobs.used;
}

const hrt_state_queue *hrt_state_queue_at(const hrt_state *state, uint16_t queue)
{
    HRT_ASSERT(queue < HRT_QUEUES_MAX);
    return &state->queues[queue];
}

const hrt_queue_settings *hrt_state_settings(const hrt_state *state, uint16_t queue)
{
    HRT_ASSERT(queue < HRT_QUEUES_MAX);
    return &state->page->queues[queue];
}

uint64_t hrt_state_waiting(const hrt_state *state, uint16_t queue)
{
    HRT_ASSERT(queue < HRT_QUEUES_MAX);
    const hrt_queue_counters *gauges = &state->page->queue_counters[queue];
    return gauges->scheduled + gauges->ready + gauges->retrying;
}

uint64_t hrt_state_running(const hrt_state *state, uint16_t queue)
{
    HRT_ASSERT(queue < HRT_QUEUES_MAX);
    return state->page->queue_counters[queue].running;
}

uint64_t hrt_state_ready_queues(const hrt_state *state)
{
    return state->ready_queues;
}

uint32_t hrt_state_next_timer(const hrt_state *state, uint64_t *time_ns_out)
{
    hrt_timer_entry due = {.time_ns = UINT64_MAX, .item = HRT_NIL};
    hrt_timer_entry over = {.time_ns = UINT64_MAX, .item = HRT_NIL};
    (void)hrt_timer_peek(state->due, &due);
    (void)hrt_timer_peek(state->over, &over);
    hrt_timer_entry next = due.time_ns <= over.time_ns ? due : over;
    *time_ns_out = next.time_ns;
    return next.item;
}

uint32_t hrt_state_due(const hrt_state *state, uint64_t wall_ns, uint32_t *indices_out,
                       uint32_t max)
{
    return hrt_timer_collect(state->due, wall_ns, indices_out, max);
}

uint32_t hrt_state_over(const hrt_state *state, uint64_t wall_ns, uint32_t *indices_out,
                        uint32_t max)
{
    return hrt_timer_collect(state->over, wall_ns, indices_out, max);
}

static uint64_t oldest_in(const hrt_state *state, const hrt_job_list *lists, const uint64_t *kinds)
{
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t word = 0; word < HRT_KINDS_MAX / 64; word++) {
        for (uint64_t bits = kinds[word]; bits != 0; bits &= bits - 1) {
            uint32_t kind = word * 64 + (uint32_t)__builtin_ctzll(bits);
            uint64_t ready_ns = hrt_jobs_at(&state->jobs, lists[kind].head)->ready_ns;
            oldest_ns = ready_ns < oldest_ns ? ready_ns : oldest_ns;
        }
    }
    return oldest_ns;
}

void hrt_state_refresh(hrt_state *state)
{
    for (uint32_t i = 0; i < state->page->queue_count; i++) {
        const hrt_state_queue *queue = &state->queues[i];
        uint64_t plain_ns = oldest_in(state, queue->ready, queue->ready_kinds);
        uint64_t suspect_ns = oldest_in(state, queue->suspects, queue->suspect_kinds);
        uint64_t oldest_ns = plain_ns < suspect_ns ? plain_ns : suspect_ns;
        hrt_store_relaxed(&state->page->queue_counters[i].oldest_ready_ns,
                          queue->ready_count == 0 ? 0 : oldest_ns);
    }
}

void hrt_state_describe(const hrt_state *state, const hrt_state_job *job, hrt_job_info *info_out)
{
    (void)state;
    *info_out = (hrt_job_info){
        .id = job->id,
        .token = job->token,
        .parent = job->parent,
        .client = job->client,
        .enqueued_ns = job->enqueued_ns,
        .due_ns = job->due_ns,
        .expires_ns = job->expires_ns,
        .settled_ns = job->settled_ns,
        .key_hash = job->key_hash,
        .timeout_ms = job->timeout_ms,
        .result_ttl_ms = job->result_ttl_ms,
        .payload_length = job->payload_length,
        .result_length = job->result_length,
        .saved_length = job->saved_length,
        .kind = job->kind,
        .queue = job->queue,
        .attempt = job->attempt,
        .max_attempts = job->max_attempts,
        .meta_length = job->meta_length,
        .error_length = job->error_length,
        .key_length = job->key_length,
        .crashes = job->crashes,
        .max_crashes = job->max_crashes,
        .state = job->state,
        .outcome = job->outcome,
        .cause = job->cause,
        .blocked = job->state == HRT_JOB_READY && !job->in_ready,
        .suspect = job->suspect,
    };
}
