/* The lanes' appetite: what each serves, what it holds, and how much it is trusted to hold. */
#include "scheduler.h"

#include "check.h"
#include "plan.h"

#include <stdlib.h>

enum {
    HRT_CREDIT_GROW_NS = 1000000, /* settled all of its credit within this: double it */
    HRT_CREDIT_WINDOWS = 2,       /* else look at what it settles in so many of them */
    HRT_CREDIT_SYNCS = 2,         /* a window is longer by so many delays of the log */
    HRT_DELAY_SHARE = 4,          /* a new delay counts for a quarter */
};

hrt_scheduler *hrt_scheduler_new(const hrt_state *state, uint64_t random_seed)
{
    hrt_scheduler *scheduler = calloc(1, sizeof(*scheduler));
    if (scheduler == NULL) {
        return NULL;
    }
    scheduler->deadlines = hrt_timer_new();
    if (scheduler->deadlines == NULL) {
        free(scheduler);
        return NULL;
    }
    scheduler->state = state;
    scheduler->random = random_seed;
    scheduler->emptying = HRT_NIL;
    return scheduler;
}

void hrt_scheduler_free(hrt_scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    hrt_timer_free(scheduler->deadlines);
    free(scheduler->deadline_tokens);
    free(scheduler);
}

void hrt_scheduler_seed(hrt_scheduler *scheduler, uint64_t random_seed)
{
    scheduler->random = random_seed;
}

static uint32_t credit_between(const hrt_appetite *lane, uint64_t credit)
{
    uint64_t least = lane->concurrency < HRT_CREDIT_MAX ? lane->concurrency : HRT_CREDIT_MAX;
    credit = credit < least ? least : credit;
    return (uint32_t)(credit < HRT_CREDIT_MAX ? credit : HRT_CREDIT_MAX);
}

void hrt_scheduler_serve(hrt_scheduler *scheduler, uint32_t lane, const hrt_appetite *appetite)
{
    HRT_ASSERT(lane < HRT_LANES_MAX && appetite->incarnation != 0);
    hrt_appetite *known = &scheduler->lanes[lane];
    hrt_appetite next = *appetite;
    if (known->incarnation == appetite->incarnation) {
        next.outstanding = known->outstanding;
        next.exclusive = known->exclusive;
        next.credit = next.credit > known->credit ? next.credit : known->credit;
    } else {
        hrt_scheduler_leave(scheduler, lane);
    }
    if (next.credit_fixed != 0) {
        next.credit = next.credit_fixed < HRT_CREDIT_MAX ? next.credit_fixed : HRT_CREDIT_MAX;
    } else {
        next.credit = credit_between(&next, next.credit);
    }
    *known = next;
    scheduler->lane_end = scheduler->lane_end > lane ? scheduler->lane_end : lane + 1;
}

void hrt_scheduler_leave(hrt_scheduler *scheduler, uint32_t lane)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    scheduler->exclusive_count -= scheduler->lanes[lane].exclusive;
    scheduler->lanes[lane] = (hrt_appetite){0};
    if (scheduler->emptying == lane) {
        scheduler->emptying = HRT_NIL;
    }
}

void hrt_scheduler_draining(hrt_scheduler *scheduler, uint32_t lane)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    scheduler->lanes[lane].draining = true;
}

const hrt_appetite *hrt_scheduler_appetite(const hrt_scheduler *scheduler, uint32_t lane)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    return &scheduler->lanes[lane];
}

void hrt_scheduler_leased(hrt_scheduler *scheduler, uint32_t lane, uint32_t count, bool suspect)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    hrt_appetite *appetite = &scheduler->lanes[lane];
    appetite->outstanding += count;
    if (suspect && !appetite->exclusive) {
        appetite->exclusive = true;
        scheduler->exclusive_count++;
    }
}

/*
 * A lane that settles its whole credit within a window was about to run dry: it may hold twice as
 * much. A slower one sinks towards what it settles in two milliseconds, so that jobs do not wait in
 * front of a busy worker while another one is idle. On a slow disk a lease is under way for longer
 * than the handler runs, so the log's delay lengthens both: else a lane would sink to one job a
 * sync.
 */
static void adapt_credit(hrt_appetite *lane, uint64_t boot_ns)
{
    uint64_t elapsed_ns = boot_ns > lane->window_ns ? boot_ns - lane->window_ns : 0;
    uint64_t grow_ns = HRT_CREDIT_GROW_NS + HRT_CREDIT_SYNCS * lane->delay_ns;
    uint64_t window_ns = HRT_CREDIT_WINDOWS * grow_ns;
    HRT_ASSERT(window_ns > 0);
    if (elapsed_ns <= grow_ns && lane->window_settled >= lane->credit) {
        lane->credit = credit_between(lane, (uint64_t)lane->credit * 2);
    } else if (elapsed_ns >= window_ns) {
        uint64_t pace = (uint64_t)lane->window_settled * window_ns / elapsed_ns;
        uint64_t excess = lane->credit > pace ? lane->credit - pace : 0;
        lane->credit = credit_between(lane, lane->credit - (excess + 1) / 2);
    } else {
        return;
    }
    lane->window_ns = boot_ns;
    lane->window_settled = 0;
}

void hrt_scheduler_released(hrt_scheduler *scheduler, uint32_t lane, uint32_t count, bool suspect,
                            uint64_t boot_ns)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    hrt_appetite *appetite = &scheduler->lanes[lane];
    HRT_ASSERT(appetite->outstanding >= count);
    appetite->outstanding -= count;
    if (suspect && appetite->exclusive) {
        appetite->exclusive = false;
        scheduler->exclusive_count--;
    }
    if (appetite->credit_fixed == 0) {
        appetite->window_settled += count;
        adapt_credit(appetite, boot_ns);
    }
}

void hrt_scheduler_delayed(hrt_scheduler *scheduler, uint32_t lane, uint64_t delay_ns)
{
    HRT_ASSERT(lane < HRT_LANES_MAX);
    hrt_appetite *appetite = &scheduler->lanes[lane];
    appetite->delay_ns = (appetite->delay_ns * (HRT_DELAY_SHARE - 1) + delay_ns) / HRT_DELAY_SHARE;
}
