/*
 * What the files of the scheduler share. Nothing but them includes this.
 *
 * scheduler.c lanes and their credit   pick.c   who runs what next
 * judge.c     what an outcome comes to agenda.c what is due, over or late
 */
#ifndef HRT_PLAN_H
#define HRT_PLAN_H

#include "scheduler.h"
#include "timer.h"

struct hrt_scheduler {
    const hrt_state *state;
    uint64_t random;
    hrt_appetite lanes[HRT_LANES_MAX];
    uint32_t lane_end;        /* lanes in use are below it */
    uint32_t lane_turn;       /* the lane that is asked first among equals */
    uint32_t exclusive_count; /* lanes that run a suspect */
    uint32_t emptying; /* lane that gets nothing new until a suspect can have it, or HRT_NIL */
    uint64_t passes[HRT_QUEUES_MAX]; /* virtual time of each queue: jobs taken over its weight */
    uint64_t virtual_now;            /* of the queue that was served last */
    uint64_t queues_active;          /* bit: had jobs to give at the last pick */
    hrt_timer *deadlines;
    uint64_t *deadline_tokens; /* by job index: the attempt that a deadline belongs to */
    uint32_t deadline_capacity;
};

#endif
