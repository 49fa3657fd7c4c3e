/* What an attempt's end comes to: attempts left, crashes, back-off. */
#include "plan.h"

enum {
    HRT_CRASHES_DEFAULT = 3,
    HRT_BACKOFF_DOUBLINGS = 31, /* beyond this the window has long met any cap */
};

static const uint64_t MILLISECOND_NS = 1000000;

/* splitmix64: enough to spread retries. */
static uint64_t next_random(hrt_scheduler *scheduler)
{
    scheduler->random += 0x9e3779b97f4a7c15u;
    uint64_t value = scheduler->random;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* Full jitter: anything up to min(cap, base * 2^(failures - 1)). */
static uint64_t back_off_ns(hrt_scheduler *scheduler, const hrt_state_job *job, uint32_t failures)
{
    const hrt_queue_settings *settings = hrt_state_settings(scheduler->state, job->queue);
    uint32_t doublings = failures > 0 ? failures - 1 : 0;
    doublings = doublings < HRT_BACKOFF_DOUBLINGS ? doublings : HRT_BACKOFF_DOUBLINGS;
    uint64_t window_ms = (uint64_t)settings->retry_base_ms << doublings;
    window_ms = window_ms < settings->retry_cap_ms ? window_ms : settings->retry_cap_ms;
    uint64_t window_ns = window_ms * MILLISECOND_NS;
    return next_random(scheduler) % (window_ns + 1);
}

static uint64_t later(uint64_t wall_ns, uint64_t delay_ns)
{
    return delay_ns < UINT64_MAX - wall_ns ? wall_ns + delay_ns : UINT64_MAX;
}

static uint64_t kept_until(const hrt_state_job *job, uint64_t wall_ns)
{
    return job->result_ttl_ms == 0 ? 0 : later(wall_ns, job->result_ttl_ms * MILLISECOND_NS);
}

static void judge_failure(hrt_scheduler *scheduler, const hrt_state_job *job, uint64_t delay_ns,
                          uint64_t wall_ns, hrt_settle_entry *entry)
{
    if (job->max_attempts != 0 && job->attempt >= job->max_attempts) {
        entry->cause = entry->outcome;
        entry->outcome = HRT_OUTCOME_DEAD;
        return;
    }
    bool given = delay_ns != UINT64_MAX;
    entry->due_ns = later(wall_ns, given ? delay_ns : back_off_ns(scheduler, job, job->attempt));
}

/* The first crash may have been the neighbour's fault: it runs again at once, alone. */
static void judge_crash(hrt_scheduler *scheduler, const hrt_state_job *job, uint64_t wall_ns,
                        hrt_settle_entry *entry)
{
    uint32_t crashes = job->crashes + 1u;
    uint32_t limit = job->max_crashes != 0 ? job->max_crashes : HRT_CRASHES_DEFAULT;
    uint64_t delay_ns = crashes == 1 ? 0 : back_off_ns(scheduler, job, crashes - 1);
    if (crashes >= limit) {
        entry->cause = HRT_OUTCOME_CRASHED;
        entry->outcome = HRT_OUTCOME_DEAD;
        return;
    }
    judge_failure(scheduler, job, delay_ns, wall_ns, entry);
}

void hrt_scheduler_judge(hrt_scheduler *scheduler, const hrt_state_job *job, uint8_t outcome,
                         uint64_t delay_ns, uint64_t wall_ns, hrt_settle_entry *entry)
{
    entry->outcome = outcome;
    entry->cause = 0;
    entry->due_ns = 0;
    switch (outcome) {
    case HRT_OUTCOME_OK:
    case HRT_OUTCOME_DISCARD:
    case HRT_OUTCOME_CANCELLED:
    case HRT_OUTCOME_EXPIRED:
        entry->due_ns = kept_until(job, wall_ns);
        break;
    case HRT_OUTCOME_RETRY:
    case HRT_OUTCOME_TIMEOUT:
        judge_failure(scheduler, job, delay_ns, wall_ns, entry);
        break;
    case HRT_OUTCOME_SNOOZE:
        entry->due_ns =
            later(wall_ns, delay_ns != UINT64_MAX ? delay_ns : back_off_ns(scheduler, job, 1));
        break;
    case HRT_OUTCOME_CRASHED:
        judge_crash(scheduler, job, wall_ns, entry);
        break;
    case HRT_OUTCOME_LOST:
        entry->due_ns = wall_ns; /* it goes on at once and is never dead for it */
        break;
    default:
        break;
    }
}
