/* The thread that syncs the log, publishes how far it is durable, and readies segments. */
#ifndef HRT_FLUSHER_H
#define HRT_FLUSHER_H

#include "segment.h"

#include <hybridrt/runtime.h>
#include <pthread.h>

struct hrt_log;

typedef struct hrt_flusher {
    pthread_t thread;
    pthread_cond_t wanted; /* the flusher sleeps on it */
    bool running;
    bool stop;
    bool demand;             /* the writer waits for a segment */
    bool numbering;          /* a file is neither spare nor ready: it gets its new header now */
    uint64_t sync_to;        /* somebody waits for this position */
    uint64_t async_to;       /* has to be durable at async_at */
    uint64_t async_at;       /* CLOCK_MONOTONIC ns, 0: no such wish */
    uint64_t unmarked_at;    /* CLOCK_MONOTONIC ns of a sync that no mark tells of; 0: none */
    uint64_t no_space_until; /* no new file is tried before; 0: there was room */
    hrt_segment_making making;
    hrt_runtime_counters *counters;
} hrt_flusher;

void hrt_flusher_init(struct hrt_log *log);
int hrt_flusher_start(struct hrt_log *log);
/* Lets it sync what is left, and waits for its end. */
void hrt_flusher_stop(struct hrt_log *log);
/*
 * One piece of work on segments: recycles one, numbers one, or writes some zeros. True: did
 * something. Called by the flusher, and by the writer while no flusher runs. Mutex held; it is
 * given up during I/O.
 */
bool hrt_flusher_ready_step(struct hrt_log *log);
/* Syncs everything up to the tail. Mutex held; given up during I/O. */
void hrt_flusher_sync(struct hrt_log *log);
/* Whether another file may be made now, in addition or in the place of a relic. Mutex held. */
bool hrt_flusher_may_grow(const struct hrt_log *log);

#endif
