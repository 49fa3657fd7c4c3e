/*
 * The state: a pure function of the records. hrt_state_apply is the only way it changes; no clock,
 * no I/O, no randomness. Live run, recovery and replay use it alike, and their hashes agree.
 * docs/states.md has the transitions and the recipe of the hash.
 *
 * Records come from a log that may begin in the middle of history: entries about jobs it does not
 * know are passed over, and KEEP records bring back the living ones.
 */
#ifndef HRT_STATE_H
#define HRT_STATE_H

#include <hybridrt/runtime.h>
#include <stdbool.h>

enum { HRT_NIL = 0xffffffff }; /* no job: end of an intrusive list */

typedef struct hrt_links {
    uint32_t next, prev;
} hrt_links;

typedef struct hrt_job_list {
    uint32_t head, tail;
    uint32_t count;
} hrt_job_list;

/* One living job. Read by scheduler and dispatch, written by hrt_state_apply only. */
typedef struct hrt_state_job {
    uint64_t id;          /* 0: slot not in use */
    uint64_t token;       /* 0 unless running */
    uint64_t client;      /* 0 unless running */
    uint64_t ready_order; /* order within a queue: sequence that made it ready, or its id; of a
                             retained job the sequence of its end */
    uint64_t position;    /* of the ENQUEUE or KEEP record: key, meta, payload */
    uint64_t key_hash;
    uint64_t due_ns; /* SCHEDULED RETRYING: when it is ready; terminal: when forgotten, or 0 */
    uint64_t expires_ns;
    uint64_t ready_ns;    /* wall clock of becoming ready */
    hrt_links ready;      /* READY: in its (queue, kind) list; RUNNING: jobs of its client */
    hrt_links segment;    /* jobs whose position lies in one segment */
    uint32_t data_offset; /* of the payload, from position */
    uint32_t payload_length;
    uint16_t kind;
    uint16_t queue;
    uint16_t attempt; /* counted ones; while running: the number of this one */
    uint16_t max_attempts;
    uint32_t timeout_ms;
    uint8_t state;
    uint8_t in_ready;   /* linked in a ready list: ready and the one of its key to go */
    uint8_t suspect;    /* crashes > 0: run it alone */
    uint8_t has_timers; /* enum hrt_state_timer, inside the state only */
    uint32_t key;       /* slot of its key while it is in the key's list, else HRT_NIL */
    hrt_links of_key;   /* in its key's list, by id */
    hrt_links kept;     /* terminal jobs of a queue, oldest first */
    uint64_t enqueued_ns;
    uint64_t settled_ns; /* of the last settle entry */
    uint64_t parent;
    uint64_t result_position; /* of the result, else of the last error; in a SETTLE or KEEP */
    char *error;              /* last error, malloc'd, or NULL */
    uint64_t saved_position;  /* of what its attempts saved; in a SAVED, or in its own KEEP */
    uint64_t leased_position; /* `position` as it was when it was leased last */
    uint32_t saved_length;    /* 0: nothing */
    uint32_t result_length;
    uint32_t result_ttl_ms;
    uint16_t meta_length;
    uint16_t error_length;
    uint8_t key_length;
    uint8_t crashes;
    uint8_t max_crashes;
    uint8_t outcome;
    uint8_t cause;
    uint8_t traced;
    uint16_t place;       /* RUNNING: started index in the lane of its client */
    uint32_t index;       /* of this slot */
    uint32_t record_span; /* bytes of its ENQUEUE or KEEP record in the log */
    uint32_t keep_span;   /* bytes that a KEEP record of it would take now */
} hrt_state_job;

/* Whether a job in this state is kept for its result, as one of the `retained` of its queue. */
static inline bool hrt_state_retains(uint8_t job_state)
{
    return job_state >= HRT_JOB_COMPLETED && job_state != HRT_JOB_DEAD;
}

typedef struct hrt_state_queue {
    hrt_job_list ready[HRT_KINDS_MAX];        /* by ready_order, without suspects */
    hrt_job_list suspects[HRT_KINDS_MAX];     /* ready suspects */
    uint64_t ready_kinds[HRT_KINDS_MAX / 64]; /* bit: the list of this kind is not empty */
    uint64_t suspect_kinds[HRT_KINDS_MAX / 64];
    uint32_t ready_count;   /* in all lists above */
    uint32_t suspect_count; /* of these, suspects */
    hrt_job_list retained;  /* terminal jobs but dead ones, oldest first */
    uint64_t trimmed;       /* so many were dropped because more were retained */
    bool paused;
} hrt_state_queue;

typedef struct hrt_state hrt_state;

/*
 * page: where names, settings, queue and kind counters are kept up to date; NULL: a private one.
 * segment_size: power of two, for hrt_state_live and the lists of jobs by segment.
 */
hrt_state *hrt_state_new(hrt_page *page, uint32_t segment_size);
void hrt_state_free(hrt_state *state);

/*
 * Changes the state by one well-formed record. HRT_ECORRUPT: it names a kind or queue that is not
 * declared, or brings a job that is there. HRT_ENOMEM. Both are fatal to the caller.
 */
int hrt_state_apply(hrt_state *state, const hrt_record *record);

uint64_t hrt_state_hash(const hrt_state *state);
const hrt_page *hrt_state_page(const hrt_state *state);
uint64_t hrt_state_jobs(const hrt_state *state); /* living, with retained and dead */
/* Brings the gauges up to date that would cost too much at each record: oldest_ready_ns. */
void hrt_state_refresh(hrt_state *state);

/* Lookup by id; NULL: not living. The pointer is good until the next apply. */
const hrt_state_job *hrt_state_find(const hrt_state *state, uint64_t job);
const hrt_state_job *hrt_state_at(const hrt_state *state, uint32_t index);
uint32_t hrt_state_index(const hrt_state *state, const hrt_state_job *job);
uint32_t
hrt_state_capacity(const hrt_state *state); /* indices are below it; slots with id 0 are free */
const hrt_state_queue *hrt_state_queue_at(const hrt_state *state, uint16_t queue);
const hrt_queue_settings *hrt_state_settings(const hrt_state *state, uint16_t queue);
/* Jobs of a queue by the gauges of the page: what max_jobs and max_running limit. */
uint64_t hrt_state_waiting(const hrt_state *state, uint16_t queue); /* scheduled, ready, retrying */
uint64_t hrt_state_running(const hrt_state *state, uint16_t queue);
uint64_t
hrt_state_ready_queues(const hrt_state *state); /* bit: the queue has ready jobs, paused or not */

/* Earliest due time among SCHEDULED, RETRYING, expiring and retained jobs; HRT_NIL index: none. */
uint32_t hrt_state_next_timer(const hrt_state *state, uint64_t *time_ns_out);
/* Up to max indices of jobs whose delay is over at wall_ns, in no order. */
uint32_t hrt_state_due(const hrt_state *state, uint64_t wall_ns, uint32_t *indices_out,
                       uint32_t max);
/* Up to max indices of jobs that are to be expired or forgotten at wall_ns, in no order. */
uint32_t hrt_state_over(const hrt_state *state, uint64_t wall_ns, uint32_t *indices_out,
                        uint32_t max);

/* Living jobs whose position lies in the segment of this number, and the first of them. */
uint32_t hrt_state_live(const hrt_state *state, uint64_t segment);
uint32_t hrt_state_first_in(const hrt_state *state, uint64_t segment);

/* What the living jobs take in the log, and would take if all of them were copied forward. */
typedef struct hrt_state_room {
    uint64_t record_bytes;
    uint64_t keep_bytes;
    uint32_t keep_max; /* the largest copy that any job has ever asked for */
} hrt_state_room;
const hrt_state_room *hrt_state_room_now(const hrt_state *state);

/* Jobs held under a lease by this client, for deaths: fills up to max ids in token order. */
uint32_t hrt_state_leased_to(const hrt_state *state, uint64_t client, uint64_t *jobs_out,
                             uint32_t max);

/* Clients that hold jobs: so many, by a place that is good until the next apply. */
uint32_t hrt_state_holders(const hrt_state *state);
uint64_t hrt_state_holder(const hrt_state *state, uint32_t place);

/*
 * Goes on with a page that others have seen: names, settings and gauges are put right there, what
 * was counted there goes on.
 */
void hrt_state_move(hrt_state *state, hrt_page *page);

void hrt_state_describe(const hrt_state *state, const hrt_state_job *job, hrt_job_info *info_out);

/*
 * Body bytes of the KEEP record of a job, and the filling of it. `record` is the one at
 * job->position; `result` and `saved` are the bytes at job->result_position and saved_position,
 * NULL when there are none.
 */
size_t hrt_state_keep_length(const hrt_state_job *job);
void hrt_state_keep(const hrt_state_job *job, const hrt_record *record, const void *result,
                    const void *saved, hrt_record *keep);

/* ---- replay.c, for those who look at a replay from above the state ---- */

const hrt_state *hrt_replay_state(const hrt_replay *replay);
/* A checked copy of a record, valid until the next one is read or applied. */
int hrt_replay_read(hrt_replay *replay, const void *record, size_t length,
                    const hrt_record **record_out);

#endif
