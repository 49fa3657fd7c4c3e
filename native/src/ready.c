/* The jobs that may be leased: for each queue and kind one list of plain ones and one of suspects.
 */
#include "core.h"
#include "list.h"

static hrt_job_list *list_of(hrt_state_queue *queue, const hrt_state_job *job)
{
    return job->suspect ? &queue->suspects[job->kind] : &queue->ready[job->kind];
}

static bool in_order(const hrt_state_job *a, const hrt_state_job *b)
{
    return a->ready_order <= b->ready_order;
}

static uint32_t hint_for(const hrt_state *state, const hrt_state_job *job)
{
    if (state->ready_hint == HRT_NIL) {
        return HRT_NIL;
    }
    const hrt_state_job *hint = hrt_jobs_at(&state->jobs, state->ready_hint);
    bool same_list = hint->id != 0 && hint->in_ready && hint->queue == job->queue &&
                     hint->kind == job->kind && hint->suspect == job->suspect;
    return same_list ? state->ready_hint : HRT_NIL;
}

void hrt_ready_link(hrt_state *state, hrt_state_job *job)
{
    hrt_state_queue *queue = &state->queues[job->queue];
    hrt_job_list *list = list_of(queue, job);
    uint32_t after = hrt_list_place(&state->jobs, list, job, hint_for(state, job),
                                    offsetof(hrt_state_job, ready), in_order);
    if (after != list->tail) {
        state->ready_hint = job->index;
    }
    hrt_list_insert(&state->jobs, list, job, after, offsetof(hrt_state_job, ready));
    uint64_t *kinds = job->suspect ? queue->suspect_kinds : queue->ready_kinds;
    kinds[job->kind / 64] |= 1ull << (job->kind % 64);
    queue->suspect_count += job->suspect;
    queue->ready_count++;
    state->ready_queues |= 1ull << job->queue;
    job->in_ready = 1;
}

void hrt_ready_unlink(hrt_state *state, hrt_state_job *job)
{
    hrt_state_queue *queue = &state->queues[job->queue];
    hrt_job_list *list = list_of(queue, job);
    hrt_list_remove(&state->jobs, list, job, offsetof(hrt_state_job, ready));
    if (list->count == 0) {
        uint64_t *kinds = job->suspect ? queue->suspect_kinds : queue->ready_kinds;
        kinds[job->kind / 64] &= ~(1ull << (job->kind % 64));
    }
    queue->suspect_count -= job->suspect;
    queue->ready_count--;
    if (queue->ready_count == 0) {
        state->ready_queues &= ~(1ull << job->queue);
    }
    job->in_ready = 0;
}
