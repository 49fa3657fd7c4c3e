/*
 * What the parts of the log share: the writer (log.c), the flusher (flusher.c), opening
 * (recover.c).
 *
 * Numbers of segments form one unbroken run:
 *   worn <= head <= current < ready
 * worn..head: retired, not yet recycled. head..current: in use. current+1..ready: waiting.
 * Numbers from hold on are not recycled, although retired: somebody still copies them.
 * Every other file is a spare, or put aside. Files are only renumbered while the log is open, and
 * deleted in one case: a relic, which clients of a life before may still read, is never written
 * again. Once it has left the log a new file takes its place.
 */
#ifndef HRT_LOG_STATE_H
#define HRT_LOG_STATE_H

#include "flusher.h"
#include "log.h"
#include "segment.h"

#include <pthread.h>

/* A file that has left the log, and that is still read. */
typedef struct hrt_log_aside {
    uint64_t number;
    uint32_t slot;
} hrt_log_aside;

typedef struct hrt_log_slot {
    const uint8_t *map; /* writer's; NULL until somebody reads */
    int fd;             /* flusher's, but for recover.c; -1: closed, all of it is synced */
    bool relic;         /* was read, or could be, before this log was opened */
} hrt_log_slot;

struct hrt_log {
    /* fixed after opening */
    int directory;
    int lock;
    uint8_t uuid[16];
    uint32_t segment_size;
    uint32_t segment_shift;
    uint32_t segments_max;
    uint32_t group_max;
    uint32_t mask; /* of order and retire_at: numbers that live at a time never collide */
    hrt_log_options options;
    hrt_log_slot *slots;
    uint32_t *order;     /* slot of a number */
    uint64_t *retire_at; /* a retired number may be recycled once durable has reached this */
    bool *aside_at;      /* under mutex: a retired number that is put aside */

    /* the writer's alone */
    uint8_t *staging;
    hrt_record *last; /* of the open group */
    size_t pending;
    uint64_t sequence; /* of the next record */
    uint64_t time_ns;
    uint64_t group_durable; /* durable, as the records of the open group will say */
    uint32_t epoch;
    int fd;                   /* of the current segment; the flusher closes none that is current */
    enum hrt_log_class least; /* that may go on in the current segment */
    bool inherited;           /* clients of the writer before read on */
    uint32_t *adopted;        /* epochs of theirs */
    uint32_t adopted_count;

    /* one writes, any thread reads, through atomic.h */
    uint64_t tail;    /* writer */
    uint64_t durable; /* flusher */
    uint32_t failed;  /* 0, or minus the status; under mutex */

    /* under mutex */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* for the writer: a segment is ready, or none will be */
    uint64_t worn;
    uint64_t head;
    uint64_t hold; /* UINT64_MAX: nothing is held */
    uint64_t current;
    uint64_t ready; /* the next number to be made ready */
    uint64_t sure;  /* the headers of those below it are on the disk; current < sure <= ready */
    uint32_t files;
    uint32_t slots_used; /* the slot of the next new file */
    uint32_t *spares;
    uint32_t spare_count;
    uint32_t kept[HRT_LOG_CLASSES]; /* files that each class leaves free */
    hrt_log_aside *asides;
    uint32_t aside_count;
    bool orphans;     /* there are clients of a life before, who know nothing of this one */
    uint32_t *relics; /* files that they may read and that have left the log */
    uint32_t relic_count;
    hrt_flusher flusher;
};

static inline uint32_t hrt_log_slot_of(const hrt_log *log, uint64_t number)
{
    return log->order[number & log->mask];
}

/* Retired numbers below it may be recycled, once they are durable. Mutex held. */
static inline uint64_t hrt_log_free_below(const hrt_log *log)
{
    return log->hold < log->head ? log->hold : log->head;
}

/* Files that have left the log and that only a new one can take the place of. Mutex held. */
static inline uint64_t hrt_log_relics(const hrt_log *log)
{
    uint64_t count = log->relic_count;
    for (uint64_t number = log->worn; log->orphans && number < hrt_log_free_below(log); number++) {
        bool aside = log->aside_at[number & log->mask];
        count += !aside && log->slots[hrt_log_slot_of(log, number)].relic;
    }
    return count;
}

/* Files that may be neither used nor recycled though they have left the log. Mutex held. */
static inline uint64_t hrt_log_asides(const hrt_log *log)
{
    uint64_t count = log->aside_count + hrt_log_relics(log);
    for (uint64_t number = log->worn; number < hrt_log_free_below(log); number++) {
        count += log->aside_at[number & log->mask];
    }
    return count;
}

/* A file that has left the log, and that no client of this life reads. Mutex held. */
static inline void hrt_log_put_by(hrt_log *log, uint32_t slot)
{
    if (log->orphans && log->slots[slot].relic) {
        log->relics[log->relic_count++] = slot;
    } else {
        log->spares[log->spare_count++] = slot;
    }
}

/* Files that hold a number from the oldest one held or in use up to the current one. Mutex held. */
static inline uint64_t hrt_log_used(const hrt_log *log)
{
    uint64_t free_below = hrt_log_free_below(log);
    return log->current - (free_below > log->worn ? free_below : log->worn) + 1;
}

/* Poisons the log for ever; the first status stays. Takes the mutex. Returns `status`. */
int hrt_log_poison(hrt_log *log, int status);
/* The header that `number` gets now. */
hrt_segment hrt_log_head_for(const hrt_log *log, uint64_t number, uint64_t head);

#endif
