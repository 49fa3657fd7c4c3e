/*
 * The state: a pure function of the records. hrt_state_apply is the only way it changes; no clock,
 * no I/O, no randomness. Live run, recovery and replay use it alike, and their hashes agree.
 *
 * Records come from a log that may begin in the middle of history: entries about jobs it does not
 * know are passed over, and KEEP records bring back the living ones.
 */
#ifndef HRT_STATE_H
#define HRT_STATE_H

#include <hybridrt/runtime.h>
#include <stdbool.h>

enum { HRT_NIL = 0xffffffff }; /* no job: end of an intrusive list */

/* One living job. Read by scheduler and dispatch, written by hrt_state_apply only. */
typedef struct hrt_state_job {
    uint64_t id; /* 0: slot not in use */
    uint64_t token;
    uint64_t client;
    uint64_t due_ns; /* SCHEDULED RETRYING: when it is ready; terminal: when it is forgotten, 0: on command */
    uint64_t expires_ns;
    uint64_t enqueued_ns;
    uint64_t ready_ns;   /* wall clock of becoming ready */
    uint64_t settled_ns;
    uint64_t parent;
    uint64_t key_hash;
    uint64_t ready_order; /* order within a queue: sequence of the record that made it ready */
    uint64_t position;    /* of the record that holds key, meta, payload (ENQUEUE or KEEP) or result */
    char *error;          /* last error, malloc'd, or NULL */
    uint32_t data_offset; /* from position: payload, or result once completed */
    uint32_t payload_length;
    uint32_t result_length;
    uint32_t timeout_ms;
    uint32_t result_ttl_ms;
    uint32_t ready_next, ready_prev;     /* in its (queue, kind) list */
    uint32_t key_next, key_prev;         /* in its key's list, by id */
    uint32_t segment_next, segment_prev; /* jobs whose position lies in one segment */
    uint32_t retain_next, retain_prev;   /* terminal jobs of a queue, oldest first */
    uint16_t kind;
    uint16_t queue;
    uint16_t attempt; /* counted ones; while running: the number of this one */
    uint16_t max_attempts;
    uint16_t meta_length;
    uint16_t error_length;
    uint8_t key_length;
    uint8_t state;
    uint8_t crashes;
    uint8_t max_crashes;
    uint8_t outcome;
    uint8_t cause;
    uint8_t in_ready; /* linked in a ready list: ready and the one of its key to go */
    uint8_t suspect;  /* was running when a worker crashed: run it alone */
    uint8_t traced;
    uint8_t has_timer;
    uint8_t reserved[2];
} hrt_state_job;

typedef struct hrt_ready_list {
    uint32_t head, tail;
    uint32_t count;
} hrt_ready_list;

typedef struct hrt_state_queue {
    hrt_ready_list ready[HRT_KINDS_MAX];
    uint64_t ready_kinds[HRT_KINDS_MAX / 64]; /* bit: the list of this kind is not empty */
    uint32_t ready_count;                     /* in the lists above */
    uint32_t waiting; /* scheduled + ready + retrying: what max_jobs limits */
    uint32_t running;
    uint32_t retained; /* terminal jobs but dead ones */
    uint32_t retain_head, retain_tail;
    bool paused;
} hrt_state_queue;

typedef struct hrt_state hrt_state;

/*
 * page: where names, settings, queue and kind counters are kept up to date; NULL: a private one.
 * segment_size: for hrt_state_live and the lists of jobs by segment.
 */
hrt_state *hrt_state_new(hrt_page *page, uint32_t segment_size);
void hrt_state_free(hrt_state *state);

/* Changes the state by one well-formed record. HRT_ENOMEM is fatal to the caller. */
int hrt_state_apply(hrt_state *state, const hrt_record *record);

uint64_t hrt_state_hash(const hrt_state *state);
const hrt_page *hrt_state_page(const hrt_state *state);
uint64_t hrt_state_jobs(const hrt_state *state); /* living, with retained and dead */

/* Lookup by id; NULL: not living. The pointer is good until the next apply. */
const hrt_state_job *hrt_state_find(const hrt_state *state, uint64_t job);
const hrt_state_job *hrt_state_at(const hrt_state *state, uint32_t index);
uint32_t hrt_state_index(const hrt_state *state, const hrt_state_job *job);
uint32_t hrt_state_capacity(const hrt_state *state); /* indices are below it; slots with id 0 are free */
const hrt_state_queue *hrt_state_queue_at(const hrt_state *state, uint16_t queue);
const hrt_queue_settings *hrt_state_settings(const hrt_state *state, uint16_t queue);
uint64_t hrt_state_ready_queues(const hrt_state *state); /* bit: the queue has ready jobs, paused or not */

/* Earliest due time among SCHEDULED, RETRYING, expiring and retained jobs; HRT_NIL index: none. */
uint32_t hrt_state_next_timer(const hrt_state *state, uint64_t *time_ns_out);

/* Living jobs whose position lies in the segment of this number, and the first of them. */
uint32_t hrt_state_live(const hrt_state *state, uint64_t segment);
uint32_t hrt_state_first_in(const hrt_state *state, uint64_t segment);

/* Jobs held under a lease by this client, for deaths: fills up to max ids in token order. */
uint32_t hrt_state_leased_to(const hrt_state *state, uint64_t client, uint64_t *jobs_out,
                             uint32_t max);

void hrt_state_describe(const hrt_state *state, const hrt_state_job *job, hrt_job_info *info_out);

/* Body bytes of the KEEP record of a job, and the filling of it. `bytes_of` gives the bytes at a position. */
size_t hrt_state_keep_length(const hrt_state_job *job);
void hrt_state_keep(const hrt_state_job *job, const void *record_at_position, hrt_record *keep);

#endif
