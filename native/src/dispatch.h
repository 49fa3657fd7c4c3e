/*
 * Inside the runtime: what its parts share. One lock guards all of it; the functions named here
 * run under that lock unless they say otherwise.
 *
 * A pass takes submissions, turns them into records, lets the scheduler decide leases, appends the
 * group, and releases what the durable position allows. The parts:
 *   group      records of the open group: reserve, build, apply, seal
 *   submission one entry of a lane, checked and turned into records
 *   progress   how far lanes were taken
 *   attempt    leases that lanes hold: hand over, settle, take back
 *   stops      which of them are to be cancelled, as the log has it
 *   effect     what lanes may be told, and when
 *   audience   who waits for the end of which job
 *   retire     old segments: copy the living forward, give up the rest
 *   room       what has to stay free so that they can
 *   checkpoint marks in the log
 *   lanes      the table of lanes: made, died, hung, gone
 *   sentinel   the thread that sleeps on the lanes' robust futexes
 *   event      news for the supervisor
 */
#ifndef HRT_DISPATCH_H
#define HRT_DISPATCH_H

#include "lane.h"
#include "log.h"
#include "scheduler.h"
#include "snapshot.h"
#include "timer.h"
#include <hybridrt/runtime.h>
#include <pthread.h>
#include <stdbool.h>

/* ---- an attempt: one lease in the hands of a lane ---- */

enum hrt_attempt_flag {
    HRT_ATTEMPT_SUSPECT = 1,
    HRT_ATTEMPT_KILLING = 2,  /* a KILL event was sent for it */
    HRT_ATTEMPT_RESTORED = 4, /* of the runtime before: what it reads may have left the log */
};

typedef struct hrt_attempt {
    uint64_t job; /* 0: free */
    uint64_t token;
    uint64_t segment;   /* its payload lies there, what it saved there or further on */
    uint64_t leased_ns; /* boot clock */
    uint32_t index;     /* of the job in the state */
    uint8_t flags;
    uint8_t stop; /* enum hrt_outcome it was asked to stop for: CANCELLED or TIMEOUT, else 0 */
    uint16_t permille;
    char *note; /* of the last progress, malloc'd, or NULL */
} hrt_attempt;

/* ---- a lane, as the runtime sees it ---- */

/* "Up to these indices, once the log is durable up to `need`." */
typedef struct hrt_mark {
    uint64_t need;
    uint64_t deliver_end;
    uint64_t reply_end;
    uint64_t made_ns; /* boot clock */
} hrt_mark;

/* A result that lies in the log while the client has not yet taken the delivery. */
typedef struct hrt_pin {
    uint64_t deliver_index;
    uint64_t segment;
} hrt_pin;

enum hrt_lane_phase {
    HRT_LANE_FREE = 0,
    HRT_LANE_LIVE = 1,
    HRT_LANE_SHUT = 2, /* fenced; its memory is kept until the process is certainly gone */
};

typedef struct hrt_seat {
    enum hrt_lane_phase phase;
    bool local;
    bool seen_alive;
    bool registered;
    bool draining;
    uint64_t drain_from; /* deliveries below it come before the client is told to drain */
    bool strays;         /* it has, or had, restored attempts */
    uint64_t inherited; /* deliveries below it are of the runtime before: they may point anywhere */
    bool pardoned;      /* is being stopped on purpose: its death counts no crash and no attempt */
    bool gone;          /* the supervisor said so, or the client detached: the memory may go */
    uint64_t incarnation;
    uint64_t death_seen_ns; /* boot clock, set by the sentinel, atomic */
    hrt_lane_host host;
    uint64_t released;      /* submit index up to which space was given back */
    uint32_t progress_turn; /* of the lane */
    uint32_t submit_capacity;
    int event_fd;
    int lane_fd;
    uint64_t pinned_from;  /* SHUT: its process may still read segments from this one on */
    uint64_t pinned_to;    /* SHUT: up to this one */
    uint8_t end_outcome;   /* SHUT: of what it had begun */
    const char *end_cause; /* SHUT: a text that is never freed */
    uint32_t held;         /* attempts below */
    hrt_attempt *attempts; /* HRT_CREDIT_MAX, by started index */
    uint16_t *free_places; /* FIFO of free started indices */
    uint32_t free_head, free_count;
    hrt_mark *marks; /* FIFO */
    uint32_t mark_head, mark_count, mark_capacity;
    hrt_delivery *overflow; /* deliveries that found the ring full, FIFO */
    uint32_t overflow_count, overflow_capacity;
    bool stalled; /* a settle waits in the ring until the log has room */
    bool over;    /* its client is gone, and says no more */
    bool flooded; /* the overflow has reached its limit: the client does not read */
    hrt_pin *pins;
    uint32_t pin_count, pin_capacity;
    uint64_t full_queues; /* bit: an enqueue that wants to wait found this queue full */
    hrt_lane_info info;
    uint64_t kinds[HRT_KINDS_MAX / 64];
} hrt_seat;

typedef struct hrt_audience hrt_audience;
typedef struct hrt_sentinel hrt_sentinel;
typedef struct hrt_news hrt_news;

enum hrt_default {
    HRT_PASS_BATCH = 256,        /* jobs of one LEASE record */
    HRT_PASS_BYTES = 512 * 1024, /* submissions of one lane taken in one pass */
    HRT_GROUP_SOFT = 256 * 1024, /* a group is sealed past this: keeps latency below two syncs */
    HRT_MAX_ATTEMPTS = 10,
    HRT_MAX_CRASHES = 3,
    HRT_END_TEXT_MAX = 64, /* bytes that every end of an attempt has room for */
};

/* Whether the living jobs of a segment are worth copying, as found when `live` were there. */
typedef struct hrt_verdict {
    uint64_t segment;
    uint32_t live;
    bool worth;
} hrt_verdict;

/* A file that was put aside because somebody may still read it. */
typedef struct hrt_aside {
    uint64_t segment;
} hrt_aside;

/* What room.c found at its last look. */
typedef struct hrt_room {
    hrt_log_room log;
    uint64_t segment;     /* bytes of a segment that records can have */
    uint64_t living_max;  /* new work is refused when copies of all living jobs would take more */
    uint64_t living_hard; /* and ends keep neither result nor error text */
    uint32_t reserve;     /* files that new work leaves free */
    uint32_t floor;       /* and old work: what copies need, and what is apart */
    uint32_t apart;       /* files that only ends of attempts may use */
    uint32_t running;     /* attempts in the hands of lanes */
    uint32_t ends_of_a_file; /* attempts whose ends fit one of them */
    uint32_t ends_max;       /* and all of them */
    bool starved;            /* old work was refused since then */
    bool waited;             /* old work was refused before the last look: new work stands back */
    uint64_t stuck_ns; /* boot clock: since then old work is refused and no copy helps; or 0 */
    hrt_aside *asides;
    uint32_t aside_count, aside_capacity;
    uint64_t asides_ns; /* boot clock: when they were looked at */
} hrt_room;

/* A lane in the hands of a standby. */
typedef struct hrt_legacy {
    hrt_grant grant;
    int fds[HRT_GRANT_FD_COUNT];
} hrt_legacy;

typedef struct hrt_stop {
    uint64_t job;
    uint64_t token;
} hrt_stop;

/* Requests to cancel attempts, as they were read. Some of these attempts may have ended. */
typedef struct hrt_stops {
    hrt_stop *all; /* malloc'd */
    uint32_t count, capacity;
} hrt_stops;

struct hrt_runtime {
    pthread_mutex_t lock;
    uint32_t wanting;  /* threads that wait for the lock, atomic */
    uint32_t doorbell; /* the dispatch thread sleeps on it, atomic */
    uint32_t parked;   /* the dispatch thread sleeps or is about to, atomic */
    uint32_t stopping;
    uint32_t durable_moved;       /* the flusher moved the position while somebody held the lock */
    uint32_t failed;              /* a status once the log failed, atomic */
    uint64_t parked_until_ns;     /* boot clock */
    pthread_mutex_t durable_lock; /* for hrt_runtime_sync: threads that wait for the position */
    pthread_cond_t durable_changed;

    hrt_runtime_options options;
    char *directory; /* the one of the options, our own copy */
    hrt_recovery recovery;
    hrt_log *log;
    hrt_state *state;
    hrt_scheduler *scheduler;
    hrt_page *page; /* written here, sealed against everybody else */
    int page_fd;
    uint64_t instance;
    uint64_t next_incarnation;

    uint64_t wall_ns; /* of this pass */
    uint64_t boot_ns;

    /* the open group */
    hrt_record *settle; /* SETTLE record that can still grow, or NULL */
    hrt_record *due;
    uint64_t touched[2]; /* lanes that get a mark when the group is sealed */
    uint64_t touched_sync[2];
    uint64_t taken[2]; /* lanes whose entries it holds, or that made no record */
    bool group_sync, group_async;
    bool unit_open;         /* a settle and its follow-ups: must not be parted */
    hrt_verdict retirement; /* about the oldest segment */
    hrt_room room;
    uint32_t pinning_lane;        /* that pointed into the oldest segment last */
    uint64_t prologue_segment;    /* this segment begins with the declarations */
    hrt_search *search;           /* for a snapshot to begin from; while it is opened */
    hrt_stops stops;              /* of the runtime before; while it is opened */
    int offshoot;                 /* of the standby that it was, killed and not collected; 0 */
    bool prologue_open;           /* they are being written */
    uint64_t checkpoint_sequence; /* of the record after the last CHECKPOINT */
    uint64_t checkpoint_ns;       /* boot clock: when one was last written because of the time */

    hrt_seat seats[HRT_LANES_MAX];
    uint32_t seat_count;                      /* high-water mark */
    uint32_t seat_turn;                       /* the lane to begin with */
    uint64_t space_wanted[HRT_QUEUES_MAX][2]; /* lanes to tell when the queue has room */
    uint64_t space_queues;
    hrt_timer *kills; /* item: lane * HRT_CREDIT_MAX + place; boot clock */
    hrt_audience *audience;
    hrt_sentinel *sentinel;
    hrt_news *news;
    bool refusing;
    bool standby_present; /* lanes are in the hands of a standby too */
    hrt_client *client;
};

/* ---- lock ---- */

void hrt_runtime_lock(hrt_runtime *runtime);
/* Also releases what became durable meanwhile. */
void hrt_runtime_unlock(hrt_runtime *runtime);
/* Any thread: there is something for the dispatch thread. */
void hrt_runtime_ring(hrt_runtime *runtime);
/* The flusher's call-back; context is the runtime. */
void hrt_runtime_durable(void *context);
/* Looks at the clocks; before anything that writes records. */
void hrt_runtime_tick(hrt_runtime *runtime);
bool hrt_runtime_has_failed(const hrt_runtime *runtime);
/* Fail-stop: nothing is acknowledged after this. Any thread. */
void hrt_runtime_fail(hrt_runtime *runtime, int status);

/* ---- dispatch ---- */

/* Seals and releases what a caller outside the dispatch thread has done, and rings for the rest. */
int hrt_dispatch_finish(hrt_runtime *runtime);
/* Ends a job that nobody holds. */
int hrt_dispatch_end_job(hrt_runtime *runtime, const hrt_settle_entry *entry, const char *why);
/* The local client's pump; takes the lock if it is free. */
void hrt_dispatch_inline(void *runtime);

/* ---- group ---- */

/* Room for a record of so many bytes in the open group; seals and begins anew as needed. */
int hrt_group_reserve(hrt_runtime *runtime, size_t bytes, enum hrt_log_class class);
/* A record of its own with body_length zeroed bytes, after everything that was still open. */
int hrt_group_add(hrt_runtime *runtime, uint8_t type, size_t body_length, enum hrt_log_class class,
                  hrt_record **record_out);
/* Adds one entry to the SETTLE record of the group. *position_out: of its data, for results. */
int hrt_group_settle(hrt_runtime *runtime, const hrt_settle_entry *entry, const void *data,
                     enum hrt_log_class class, uint64_t *position_out);
int hrt_group_due(hrt_runtime *runtime, uint64_t job);
int hrt_group_control(hrt_runtime *runtime, uint32_t verb, uint32_t id, const void *data,
                      uint32_t length, enum hrt_log_class class);
/* Applies records that were left open to grow. Before the state is read for a decision. */
int hrt_group_close(hrt_runtime *runtime);
int hrt_group_apply(hrt_runtime *runtime, const hrt_record *record);
/* Writes the group and queues its effects. */
int hrt_group_seal(hrt_runtime *runtime);

/* ---- submission ---- */

/* Takes what a lane has submitted, up to its share of a pass. True: there was something. */
bool hrt_submission_take(hrt_runtime *runtime, uint32_t lane);

/* ---- progress: how far lanes were taken, for whoever goes on with them ---- */

static inline void hrt_progress_touch(hrt_runtime *runtime, uint32_t lane)
{
    runtime->taken[lane >> 6] |= (uint64_t)1 << (lane & 63);
}
/* Room that the open group keeps for the record below. */
size_t hrt_progress_room(const hrt_runtime *runtime);
/* Adds the LANES record to the open group, if it holds entries of any lane. */
void hrt_progress_record(hrt_runtime *runtime);
/*
 * Says in the lanes how far they were taken and gives the ring space back. Only once the group that
 * holds the entries is written.
 */
void hrt_progress_publish(hrt_runtime *runtime);

/* ---- attempt ---- */

int hrt_attempt_lease(hrt_runtime *runtime, uint32_t lane, const uint64_t *jobs, uint32_t count);
hrt_attempt *hrt_attempt_find(hrt_runtime *runtime, uint32_t lane, uint64_t job, uint64_t token);
/*
 * Ends an attempt as `outcome`, after the scheduler judged it, and lets go of it. There is always
 * room for it with HRT_END_TEXT_MAX bytes of data; for more the caller has reserved some. NULL: the
 * data was given up for want of room.
 */
int hrt_attempt_settle(hrt_runtime *runtime, uint32_t lane, hrt_attempt *attempt, uint8_t outcome,
                       uint64_t delay_ns, const void *data, uint32_t length);
/* Takes everything back from a lane. why: CRASHED, LOST or RETURNED for the started ones. */
uint32_t hrt_attempt_reclaim(hrt_runtime *runtime, uint32_t lane, uint8_t why, const char *cause);
/* Ends the attempt of a running job that nobody here holds. */
int hrt_attempt_lose(hrt_runtime *runtime, uint64_t job);
/* Puts a running job back to its place in the lane that holds it. False: there is no such place. */
bool hrt_attempt_restore(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job);
/* Tells the lane of a job that it holds. */
void hrt_attempt_tell(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job, bool sync);
/* Asks the worker to stop the job, and sets the time of the kill. A cancel outranks a limit. */
void hrt_attempt_stop(hrt_runtime *runtime, uint32_t lane, hrt_attempt *attempt, uint8_t why);
/* The same for an attempt that was restored with its `stop`. */
void hrt_attempt_ask(hrt_runtime *runtime, uint32_t lane, const hrt_attempt *attempt);
/* Attempts over their limit, and those that did not stop in time. True: there was one. */
bool hrt_attempt_overdue(hrt_runtime *runtime);
/* Attempt of a running job, or NULL; *lane_out its lane. */
hrt_attempt *hrt_attempt_of(hrt_runtime *runtime, const hrt_state_job *job, uint32_t *lane_out);

/* ---- stops ---- */

/* Notes in the log that the attempt is to be cancelled; in one that is full it is left out. */
int hrt_stops_write(hrt_runtime *runtime, const hrt_attempt *attempt);
/* Takes a CONTROL record. HRT_ENOMEM. */
int hrt_stops_read(hrt_stops *stops, const hrt_record *record, const hrt_state *state);
bool hrt_stops_has(const hrt_stops *stops, uint64_t job, uint64_t token);
void hrt_stops_free(hrt_stops *stops);

/* ---- effect ---- */

void hrt_effect_touch(hrt_runtime *runtime, uint32_t lane, bool sync);
void hrt_effect_deliver(hrt_runtime *runtime, uint32_t lane, const hrt_delivery *delivery,
                        bool sync);
void hrt_effect_reply(hrt_runtime *runtime, uint32_t lane, int64_t value, bool sync);
/* Turns the touched lanes into marks that wait for `need`. Called by seal. */
void hrt_effect_mark(hrt_runtime *runtime, uint64_t end);
/* Publishes every mark that the durable position allows, then wakes. */
void hrt_effect_release(hrt_runtime *runtime);
/* Tells a draining client so, once it has been told of every lease. */
void hrt_effect_drain(hrt_seat *seat);
/* Whether lanes still point into a segment. */
bool hrt_effect_pinned(hrt_runtime *runtime, uint64_t segment);
/* Deliveries found the ring full, and now it has room. */
bool hrt_effect_can_go_on(hrt_seat *seat);
bool hrt_effect_is_sync(const hrt_runtime *runtime, uint16_t queue);

/* ---- audience ---- */

hrt_audience *hrt_audience_new(void);
void hrt_audience_free(hrt_audience *audience);
bool hrt_audience_add(hrt_audience *audience, uint64_t job, uint32_t lane);
bool hrt_audience_waits(hrt_audience *audience, uint64_t job);
void hrt_audience_leave(hrt_audience *audience, uint32_t lane);
/* Tells everybody who waits that a job ended: its state, or a status. position: of its data. */
void hrt_audience_tell(hrt_runtime *runtime, uint64_t job, int32_t code, uint64_t position,
                       uint32_t length, bool sync);

/* ---- retire ---- */

/* Gives up old segments, copying a few living jobs forward at a time. True: did something. */
bool hrt_retire_some(hrt_runtime *runtime);
/* Gives up the oldest segment, whatever it costs. Else: why that does not make room. */
int hrt_retire_one(hrt_runtime *runtime);
enum { HRT_RETIRE_STRAYS = 1024 }; /* files: more lie there until the next restart */
/* Files that the runtime before had put aside lie there until nobody reads them any more. */
int hrt_retire_inherit(hrt_runtime *runtime);

/* ---- room ---- */

/* Counts what is free and what has to stay so, and tells the log. */
void hrt_room_look(hrt_runtime *runtime);
/* Whether a new job of so many bytes may live in this log. */
bool hrt_room_admits(const hrt_runtime *runtime, size_t bytes);
/* Whether so many bytes more are too much for living jobs to have. */
bool hrt_room_pressed(const hrt_runtime *runtime, size_t more);
/* Attempts that may begin now: the end of each of them has its room. */
uint32_t hrt_room_leases(hrt_runtime *runtime);
/* Whether the log can do without one more file. */
bool hrt_room_spares_one(const hrt_runtime *runtime);
/* The log had no room for work of this class. */
void hrt_room_refused(hrt_runtime *runtime, enum hrt_log_class class);
/* What a refusal is told: which of its two limits was met, that of the log or that of the disk. */
int hrt_room_refusal(const hrt_runtime *runtime);
/* Old work is refused for long, and nothing makes room: ends of attempts do with less. */
bool hrt_room_stuck(const hrt_runtime *runtime);
/* Whether a full segment is worth copying too, for what lies behind it. */
bool hrt_room_worth_copying(const hrt_runtime *runtime);

/* ---- checkpoint ---- */

/* Before the first record of an epoch. */
void hrt_checkpoint_begin(hrt_runtime *runtime);
/* Writes a CHECKPOINT into the open group when one is due. True: it did. */
bool hrt_checkpoint_some(hrt_runtime *runtime);
/* The last one, at a clean close: always with the hash, and synced. Its position; 0: no room. */
uint64_t hrt_checkpoint_last(hrt_runtime *runtime);
uint64_t hrt_checkpoint_wait(const hrt_runtime *runtime); /* ns until one is due */

/* ---- snapshot ---- */

/* hrt_log_options.on_scan: begins from the newest snapshot that is good for anything. */
int hrt_snapshot_resume(void *runtime, hrt_scan *scan);
/* Of a log that was opened from one: the record is a CHECKPOINT. */
int hrt_snapshot_check_hash(const hrt_runtime *runtime, const hrt_record *record);
/* All has been read: every living job has its bytes in the log, and they are sound. */
int hrt_snapshot_check_living(const hrt_runtime *runtime);
/* The one that was used is to blame. */
void hrt_snapshot_blame(hrt_search *search, const char *why);
/* The log is open: what was refused is put aside and told. */
void hrt_snapshot_report(hrt_runtime *runtime, const hrt_search *search);
/* At a clean close: as the state is behind the last group, which has to be synced. */
int hrt_snapshot_close(hrt_runtime *runtime, uint64_t checkpoint);

/* ---- copier ---- */

/* When a standby writes snapshots. */
typedef struct hrt_copier {
    uint64_t every; /* bytes of log */
    uint64_t at;    /* position; UINT64_MAX: never */
    uint64_t position;
    uint64_t written_position;
    uint32_t written;
    uint32_t failures;
    int pid;     /* of the copy that writes, 0: none */
    int dropped; /* of the one that was killed, until it is collected */
} hrt_copier;

/* The log begins at `head`, and the state is whole from `tail` on. */
void hrt_copier_begin(hrt_copier *copier, uint64_t every, uint64_t head, uint64_t tail);
static inline bool hrt_copier_due(const hrt_copier *copier, uint64_t position)
{
    return position >= copier->at;
}
/* Fills in what is doomed. */
void hrt_copier_start(hrt_copier *copier, hrt_snapshot_order *order);
/* Notices the end of the copy. */
void hrt_copier_look(hrt_copier *copier);
/* Abandons what is being written, and writes no more. */
void hrt_copier_drop(hrt_copier *copier);

/* ---- offshoot ---- */

/* Of all descriptors it has only `kept`. */
int hrt_offshoot_start(int (*body)(const void *argument), const void *argument, int kept,
                       int *pid_out);
/* *done_out: it came to a good end. Collects it. */
bool hrt_offshoot_ended(int pid, bool *done_out);
void hrt_offshoot_kill(int pid);
/* Waits for the end of one that was killed. 0: there is none. */
void hrt_offshoot_collect(int pid);

/* ---- lanes ---- */

int hrt_lanes_make(hrt_runtime *runtime, uint32_t submit_capacity, bool local, uint32_t *lane_out,
                   int *fd_out);
/*
 * Sits down at a lane that another runtime has made. The descriptors are duplicated. HRT_EPEER: its
 * memory is not what was granted; HRT_ECLOSED: it was shut, and is shut here until its process is
 * gone.
 */
int hrt_lanes_inherit(hrt_runtime *runtime, const hrt_legacy *legacy, uint32_t *lane_out);
hrt_seat *hrt_lanes_find(hrt_runtime *runtime, uint64_t incarnation, uint32_t *lane_out);
/* Shut, with jobs that are still to be taken back: the log had no room. */
bool hrt_lanes_owes(const hrt_seat *seat);
/* Notices arrivals, deaths, departures and silence. True: something changed. */
bool hrt_lanes_watch(hrt_runtime *runtime);
/* Shuts a lane: takes its jobs back as `why`, tells the supervisor. */
void hrt_lanes_shut(hrt_runtime *runtime, uint32_t lane, int status, uint8_t why, uint32_t event,
                    const char *text);
void hrt_lanes_fault(hrt_runtime *runtime, uint32_t lane, const char *text);
/* Gives back what belongs to processes that are gone. Only the dispatch thread: it sleeps on lanes.
 */
void hrt_lanes_reap(hrt_runtime *runtime);
/* At close: tells every client, and frees all. */
void hrt_lanes_end(hrt_runtime *runtime);
/* At a handover: the same for the lanes of this process; the others stay open. */
void hrt_lanes_leave(hrt_runtime *runtime);
uint64_t hrt_lanes_wait(const hrt_runtime *runtime); /* ns until a heartbeat may be missed */

/* ---- life ---- */

/* What a runtime begins with that goes on for another one. */
typedef struct hrt_heritage {
    hrt_page *page;
    int page_fd;
    hrt_state *state;
    hrt_log_heritage log;
    hrt_log_visit visit; /* applies the rest of the log to the state */
    void *context;
    const hrt_legacy *lanes;
    uint32_t lane_count;
    const hrt_lanes_entry *taken; /* of the last LANES record */
    const uint32_t *taken_count;
    hrt_stops *stops; /* is emptied */
    hrt_sentinel *sentinel;
    int offshoot; /* of the standby, killed and not collected; 0: none */
} hrt_heritage;

/* Checks options, and puts in what is left to be decided. */
int hrt_runtime_complete(const hrt_runtime_options *options, hrt_runtime_options *copy);
/* An existing log keeps its segments; limits are of bytes, so they are counted anew, in these. */
void hrt_runtime_use_segments(hrt_runtime_options *options, uint32_t size);
/* Takes over page, state, sentinel and lock, whatever the outcome; descriptors of lanes stay the
 * caller's. */
int hrt_runtime_inherit(const hrt_runtime_options *options, const hrt_heritage *from,
                        hrt_runtime **runtime_out);
/* Frees all; the lanes stay open for whoever goes on with them. */
void hrt_runtime_leave(hrt_runtime *runtime);
/* Frees all; what the lanes are told was said before. */
void hrt_runtime_free(hrt_runtime *runtime);

/* ---- adopt ---- */

/*
 * Goes on with the lanes of the runtime before: takes what their clients submitted and the log does
 * not hold, and tells them of the jobs that they hold.
 */
int hrt_adopt_lanes(hrt_runtime *runtime, const hrt_heritage *from);

/* ---- sentinel ---- */

/* Its thread waits. A new thread is a while in coming where many want to run. */
int hrt_sentinel_new(hrt_sentinel **sentinel_out);
void hrt_sentinel_free(hrt_sentinel *sentinel);
/* Holds the page's writer_alive from now on, and watches for this runtime. */
int hrt_sentinel_begin(hrt_sentinel *sentinel, hrt_runtime *runtime);
/* Watches a lane from now on, and holds its runtime_alive word. Waits until that is so. */
int hrt_sentinel_add(hrt_sentinel *sentinel, uint32_t number, hrt_lane *lane);
void hrt_sentinel_remove(hrt_sentinel *sentinel, uint32_t number);

/* ---- event ---- */

int hrt_news_new(hrt_news **news_out);
void hrt_news_free(hrt_news *news);
/* Any thread. */
void hrt_news_add(hrt_news *news, const hrt_event *event);
void hrt_news_lane(hrt_runtime *runtime, uint32_t type, uint32_t lane, uint64_t value,
                   uint32_t count, const char *text);
int hrt_news_fd(const hrt_news *news);
uint32_t hrt_news_take(hrt_news *news, hrt_event *events_out, uint32_t max);

/* ---- operators' actions, with the lock held ---- */

int hrt_runtime_kind_locked(hrt_runtime *runtime, const char *name, uint16_t *kind_out);
int hrt_runtime_cancel_locked(hrt_runtime *runtime, uint64_t job);

/* ---- counters ---- */

int hrt_counters_page(uint64_t instance, hrt_page **page_out, int *fd_out);
void hrt_counters_release(hrt_page *page, int fd);
void hrt_counters_observe(hrt_histogram *histogram, uint64_t value_ns);
/* Gauges that are cheap to recompute, once a pass. */
void hrt_counters_refresh(hrt_runtime *runtime);

#endif
