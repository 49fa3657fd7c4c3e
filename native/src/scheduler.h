/*
 * The scheduler: reads the state and the time and says what should happen next. It changes nothing;
 * dispatch turns its answers into records. It also knows the lanes' appetite (credit) and the
 * deadlines of running attempts.
 */
#ifndef HRT_SCHEDULER_H
#define HRT_SCHEDULER_H

#include "state.h"

typedef struct hrt_scheduler hrt_scheduler;

hrt_scheduler *hrt_scheduler_new(const hrt_state *state, uint64_t random_seed);
void hrt_scheduler_free(hrt_scheduler *scheduler);
/* Back-offs are drawn from this number on. */
void hrt_scheduler_seed(hrt_scheduler *scheduler, uint64_t random_seed);

/* ---- lanes ---- */

typedef struct hrt_appetite {
    uint64_t incarnation; /* 0: no such lane */
    uint64_t kinds[HRT_KINDS_MAX / 64];
    uint32_t concurrency;
    uint32_t credit_fixed; /* 0: adapt */
    uint32_t credit;       /* now */
    uint32_t outstanding;
    bool draining;
    bool exclusive; /* runs a suspect: nothing else until it is settled */
    /* pace, for adapting the credit */
    uint64_t window_ns;
    uint32_t window_settled;
    uint64_t delay_ns; /* what it is told waits so long for the log, smoothed */
} hrt_appetite;

void hrt_scheduler_serve(hrt_scheduler *scheduler, uint32_t lane, const hrt_appetite *appetite);
void hrt_scheduler_leave(hrt_scheduler *scheduler, uint32_t lane);
void hrt_scheduler_draining(hrt_scheduler *scheduler, uint32_t lane);
const hrt_appetite *hrt_scheduler_appetite(const hrt_scheduler *scheduler, uint32_t lane);
/* Bookkeeping of what a lane holds. boot_ns feeds the adapting of its credit. */
void hrt_scheduler_leased(hrt_scheduler *scheduler, uint32_t lane, uint32_t count, bool suspect);
void hrt_scheduler_released(hrt_scheduler *scheduler, uint32_t lane, uint32_t count, bool suspect,
                            uint64_t boot_ns);
/* What the lane was to be told waited so long for the log: that time is not the worker's. */
void hrt_scheduler_delayed(hrt_scheduler *scheduler, uint32_t lane, uint64_t delay_ns);

/* ---- decisions ---- */

/*
 * The next batch for one lane: up to max ready jobs that it serves, all unpaused, within its credit
 * and the queues' max_running, queues shared by weight, lanes in turn, a suspect alone on an empty
 * lane. Returns the count, 0 when nobody can take anything. The caller leases them (record, apply,
 * hrt_scheduler_leased) before it asks again.
 */
uint32_t hrt_scheduler_pick(hrt_scheduler *scheduler, uint32_t *lane_out, uint64_t *jobs_out,
                            uint32_t max);

/* What an attempt's end comes to. Fills outcome, cause and due_ns of *entry (job, token and the
 * reported outcome and delay are given) by attempts left, crashes, back-off. */
void hrt_scheduler_judge(hrt_scheduler *scheduler, const hrt_state_job *job, uint8_t outcome,
                         uint64_t delay_ns, uint64_t wall_ns, hrt_settle_entry *entry);

/* Timers on the wall clock, kept by the state. Each returns the count of jobs; call until 0. */
uint32_t hrt_scheduler_due(hrt_scheduler *scheduler, uint64_t wall_ns, uint64_t *jobs_out,
                           uint32_t max); /* to become ready: a DUE record */
uint32_t hrt_scheduler_over(hrt_scheduler *scheduler, uint64_t wall_ns,
                            hrt_settle_entry *entries_out,
                            uint32_t max); /* EXPIRED or FORGOTTEN: a SETTLE record */

/* Deadlines of running attempts on the boot clock; 0: clear. They go with the attempt that they
 * were set for. False: out of memory. */
bool hrt_scheduler_deadline(hrt_scheduler *scheduler, uint64_t job, uint64_t boot_ns);
/* A job whose attempt is over its deadline; it is cleared. 0: none. */
uint64_t hrt_scheduler_overdue(hrt_scheduler *scheduler, uint64_t boot_ns);

/* ns from now until something above may be due, UINT64_MAX: never. */
uint64_t hrt_scheduler_wait(const hrt_scheduler *scheduler, uint64_t wall_ns, uint64_t boot_ns);

#endif
