/* What is due, over or late. */
#include "plan.h"

#include <stdlib.h>

enum { HRT_AGENDA_BATCH = 1024 };

static int by_due(const void *left, const void *right)
{
    const hrt_state_job *a = *(const hrt_state_job *const *)left;
    const hrt_state_job *b = *(const hrt_state_job *const *)right;
    if (a->due_ns != b->due_ns) {
        return a->due_ns < b->due_ns ? -1 : 1;
    }
    return a->id < b->id ? -1 : 1;
}

/* Jobs whose expiry has come too are left to hrt_scheduler_over. */
uint32_t hrt_scheduler_due(hrt_scheduler *scheduler, uint64_t wall_ns, uint64_t *jobs_out,
                           uint32_t max)
{
    uint32_t indices[HRT_AGENDA_BATCH];
    const hrt_state_job *jobs[HRT_AGENDA_BATCH];
    max = max < HRT_AGENDA_BATCH ? max : HRT_AGENDA_BATCH;
    uint32_t found = hrt_state_due(scheduler->state, wall_ns, indices, max);
    uint32_t count = 0;
    for (uint32_t i = 0; i < found; i++) {
        const hrt_state_job *job = hrt_state_at(scheduler->state, indices[i]);
        if (job->expires_ns == 0 || job->expires_ns > wall_ns) {
            jobs[count++] = job;
        }
    }
    if (count > 1) {
        qsort(jobs, count, sizeof(jobs[0]), by_due);
    }
    for (uint32_t i = 0; i < count; i++) {
        jobs_out[i] = jobs[i]->id;
    }
    return count;
}

uint32_t hrt_scheduler_over(hrt_scheduler *scheduler, uint64_t wall_ns,
                            hrt_settle_entry *entries_out, uint32_t max)
{
    uint32_t indices[HRT_AGENDA_BATCH];
    max = max < HRT_AGENDA_BATCH ? max : HRT_AGENDA_BATCH;
    uint32_t count = hrt_state_over(scheduler->state, wall_ns, indices, max);
    for (uint32_t i = 0; i < count; i++) {
        const hrt_state_job *job = hrt_state_at(scheduler->state, indices[i]);
        bool terminal = job->state >= HRT_JOB_COMPLETED;
        entries_out[i] = (hrt_settle_entry){.job = job->id};
        hrt_scheduler_judge(scheduler, job, terminal ? HRT_OUTCOME_FORGOTTEN : HRT_OUTCOME_EXPIRED,
                            0, wall_ns, &entries_out[i]);
    }
    return count;
}

static bool room_for_deadline(hrt_scheduler *scheduler, uint32_t index)
{
    if (index < scheduler->deadline_capacity) {
        return true;
    }
    uint64_t capacity = ((uint64_t)index + 1) * 2;
    capacity = capacity < HRT_NIL ? capacity : HRT_NIL;
    uint64_t *tokens = realloc(scheduler->deadline_tokens, (size_t)capacity * sizeof(*tokens));
    if (tokens == NULL) {
        return false;
    }
    scheduler->deadline_tokens = tokens;
    scheduler->deadline_capacity = (uint32_t)capacity;
    return true;
}

bool hrt_scheduler_deadline(hrt_scheduler *scheduler, uint64_t job, uint64_t boot_ns)
{
    const hrt_state_job *found = hrt_state_find(scheduler->state, job);
    if (found == NULL) {
        return true;
    }
    uint32_t index = hrt_state_index(scheduler->state, found);
    if (boot_ns == 0) {
        hrt_timer_clear(scheduler->deadlines, index);
        return true;
    }
    if (!room_for_deadline(scheduler, index)) {
        return false;
    }
    scheduler->deadline_tokens[index] = found->token;
    return hrt_timer_set(scheduler->deadlines, index, boot_ns);
}

/* The slot of a job that left is used again: its deadline is dropped when its token is not the one.
 */
uint64_t hrt_scheduler_overdue(hrt_scheduler *scheduler, uint64_t boot_ns)
{
    hrt_timer_entry entry;
    while (hrt_timer_peek(scheduler->deadlines, &entry) && entry.time_ns <= boot_ns) {
        hrt_timer_clear(scheduler->deadlines, entry.item);
        const hrt_state_job *job = hrt_state_at(scheduler->state, entry.item);
        bool running = job->id != 0 && job->state == HRT_JOB_RUNNING;
        if (running && job->token == scheduler->deadline_tokens[entry.item]) {
            return job->id;
        }
    }
    return 0;
}

/* Nobody is woken when the wall clock is set: what is due by it is looked for that often at least.
 */
#define WALL_LOOK_NS ((uint64_t)1000000000)

uint64_t hrt_scheduler_wait(const hrt_scheduler *scheduler, uint64_t wall_ns, uint64_t boot_ns)
{
    uint64_t wait_ns = UINT64_MAX;
    uint64_t timer_ns;
    if (hrt_state_next_timer(scheduler->state, &timer_ns) != HRT_NIL) {
        wait_ns = timer_ns > wall_ns ? timer_ns - wall_ns : 0;
        wait_ns = wait_ns < WALL_LOOK_NS ? wait_ns : WALL_LOOK_NS;
    }
    hrt_timer_entry deadline;
    if (hrt_timer_peek(scheduler->deadlines, &deadline)) {
        uint64_t left_ns = deadline.time_ns > boot_ns ? deadline.time_ns - boot_ns : 0;
        wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
    }
    return wait_ns;
}
