/*
 * What the files of the state share. Nothing but them includes this.
 *
 * state.c  questions about the state      apply.c  one function for each type of record
 * life.c   a job's way through its states settle.c what an outcome does to a job
 * ready.c  jobs that may be leased        keys.c   order within a key
 * holders.c jobs under lease by client    residents.c jobs by segment of the log
 * keep.c   copying a job forward          digest.c the hash
 */
#ifndef HRT_CORE_H
#define HRT_CORE_H

#include "jobs.h"
#include "timer.h"

enum hrt_state_timer {
    HRT_TIMER_DUE = 1,
    HRT_TIMER_OVER = 2,
};

/* The jobs of one key in one queue that wait or run. */
typedef struct hrt_key {
    uint64_t hash; /* 0: slot not in use */
    hrt_job_list jobs;
    uint32_t candidate; /* the one in a ready list, or HRT_NIL */
    uint32_t running;
    uint16_t queue;
} hrt_key;

typedef struct hrt_keys {
    hrt_key *slots;
    uint32_t capacity;
    uint32_t used;
    uint32_t free_count;
    uint32_t free_head;
    uint32_t hint; /* see hrt_list_place */
    hrt_map by_hash[HRT_QUEUES_MAX];
} hrt_keys;

typedef struct hrt_holder {
    uint64_t client;
    hrt_job_list jobs;
} hrt_holder;

typedef struct hrt_holders {
    hrt_holder *clients;
    uint32_t count;
    uint32_t capacity;
    uint32_t last; /* place of the client asked for last */
} hrt_holders;

typedef struct hrt_resident {
    uint64_t segment;
    hrt_job_list jobs;
} hrt_resident;

typedef struct hrt_residents {
    hrt_resident *segments;
    uint32_t count;
    uint32_t capacity;
    uint32_t last;     /* place of the segment asked for last */
    hrt_map by_number; /* segment number + 1 -> place */
    hrt_state_room room;
} hrt_residents;

struct hrt_state {
    hrt_page *page;
    hrt_page *page_owned; /* the same, when private */
    uint32_t segment_shift;
    uint32_t ready_hint; /* see hrt_list_place */
    uint32_t retained_hint;
    uint64_t sequence; /* of the record being applied */
    uint64_t time_ns;  /* its time */
    uint64_t ready_queues;
    uint64_t queues_declared;
    hrt_jobs jobs;
    hrt_keys keys;
    hrt_holders holders;
    hrt_residents residents;
    hrt_timer *due;
    hrt_timer *over;
    hrt_state_queue queues[HRT_QUEUES_MAX];
};

/* ready.c */
void hrt_ready_link(hrt_state *state, hrt_state_job *job);
void hrt_ready_unlink(hrt_state *state, hrt_state_job *job);

/* keys.c: after a job changed from state `was`, or is about to leave with state 0. */
int hrt_keys_follow(hrt_state *state, hrt_state_job *job, uint8_t was);
/* After the order of a queue changed between block and skip. */
int hrt_keys_reorder(hrt_state *state, uint16_t queue);
void hrt_keys_free(hrt_keys *keys);

/* holders.c */
int hrt_holders_link(hrt_state *state, hrt_state_job *job);
void hrt_holders_unlink(hrt_state *state, hrt_state_job *job);

/* residents.c */
int hrt_residents_link(hrt_state *state, hrt_state_job *job);
void hrt_residents_unlink(hrt_state *state, hrt_state_job *job);
/* After what a copy of the job would hold has changed. */
void hrt_residents_measure(hrt_state *state, hrt_state_job *job);
void hrt_residents_free(hrt_residents *residents);

/* life.c */
int hrt_life_begin(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns);
int hrt_life_move(hrt_state *state, hrt_state_job *job, uint8_t next, uint64_t due_ns);
void hrt_life_end(hrt_state *state, hrt_state_job *job);
void hrt_life_trim(hrt_state *state, uint16_t queue);

/* settle.c: `data` is the record's data of the entry, at `position` in the log. */
int hrt_settle_apply(hrt_state *state, const hrt_settle_entry *entry, const void *data,
                     uint64_t position);

#endif
