/*
 * hybridrt/runtime.h: the runtime half, used by the supervisor. It owns a log directory, the state
 * that the log describes, and the lanes. Go and Rust programs never need this header.
 *
 * Threads. hrt_runtime_run is the dispatch loop: give it a thread of its own. Every other function
 * takes the dispatch lock for a short time and may be called from any thread.
 * Errors and out-parameters are as in hybridrt.h.
 */
#ifndef HYBRIDRT_RUNTIME_H
#define HYBRIDRT_RUNTIME_H

#include <hybridrt/hybridrt.h>

#ifndef HRT_CDEF
#ifdef __cplusplus
extern "C" {
#endif
#endif

typedef struct hrt_runtime hrt_runtime;
typedef struct hrt_scan hrt_scan;
typedef struct hrt_replay hrt_replay;
typedef struct hrt_hindsight hrt_hindsight;

/* ---- life ---- */

typedef struct hrt_runtime_options {
    uint32_t struct_size;
    uint32_t abi_version;
    const char *directory; /* the log; made with mode 0700 if missing */
    uint32_t segment_size; /* bytes, power of two, 64 KiB to 1 GiB; only for a new log; 0: 16 MiB */
    uint32_t segments_min; /* files to have before one is used again; 0: 3 */
    uint32_t segments_max; /* the log's size limit; 0: 256 */
    uint32_t segments_reserve;   /* of these, only for settles and leases; 0: 2 */
    uint64_t async_ns;           /* flush interval of `async`; 0: 10 ms */
    uint64_t lease_ns;           /* a client silent for so long is hung; 0: 30 s */
    uint64_t cancel_grace_ns;    /* from CANCEL to a KILL event; 0: 5 s */
    uint32_t jobs_max;           /* living jobs; 0: 20 million */
    uint32_t checkpoint_records; /* a CHECKPOINT record after so many others; 0: 10,000 */
    uint64_t checkpoint_ns;      /* and after so long, if anything was written; 0: 1 s */
    uint32_t snapshot; /* 1: a restart begins from the newest snapshot, and of what lies before it
                          reads only where a job lives; 0: it reads and checks the whole log */
    uint32_t reserved;
    uint64_t snapshot_bytes; /* a standby writes one after so many bytes of log; 0: 512 MiB */
} hrt_runtime_options;

typedef struct hrt_recovery {
    uint64_t segments;
    uint64_t bytes; /* scanned */
    uint64_t records;
    uint64_t jobs; /* living */
    uint64_t lost_leases;
    uint64_t duration_ns;
    uint64_t tail_position; /* of a torn tail, 0: the log ended cleanly */
    uint64_t tail_bytes;    /* torn off: never acknowledged as durable */
    uint64_t epoch;         /* the new one */
    uint8_t created;        /* 1: the directory held no log */
    uint8_t snapshot;       /* 1: began from one; 2: refused all there were, read the whole log */
    uint8_t reserved[6];
    uint64_t snapshot_position; /* behind it the log was read; 0: all of it was */
} hrt_recovery;

/*
 * Locks the directory, recovers the log, starts a new epoch and the flusher. HRT_EBUSY: another
 * supervisor holds it. HRT_ECORRUPT: committed data is damaged; the sentence names segment and
 * position; nothing was changed. HRT_EVERSION, HRT_ENOSPC, HRT_EIO.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_open(const hrt_runtime_options *options,
                                            hrt_runtime **runtime_out);
HRT_API void hrt_runtime_recovery(const hrt_runtime *runtime, hrt_recovery *recovery_out);
/*
 * Dispatches until hrt_runtime_stop. Returns HRT_OK after a stop; HRT_EIO or HRT_ENOSPC when the
 * log failed: nothing was acknowledged after the failure and the process has to exit.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_run(hrt_runtime *runtime);
HRT_API void hrt_runtime_stop(hrt_runtime *runtime);
/* Syncs, frees. Only after hrt_runtime_run has returned. */
HRT_API void hrt_runtime_close(hrt_runtime *runtime);
HRT_API const hrt_page *hrt_runtime_page(const hrt_runtime *runtime);

/* ---- a standby: follows the log, and goes on with the lanes when the runtime ends ---- */

typedef struct hrt_standby hrt_standby;

/* One lane in the hands of a standby; goes along with its two descriptors. */
typedef struct hrt_grant {
    uint64_t incarnation;
    uint32_t number;
    uint32_t submit_capacity;
    uint32_t pid;
    uint32_t reserved;
    char pool[64];
    char name[64];
} hrt_grant;

enum hrt_grant_fd {
    HRT_GRANT_LANE = 0,
    HRT_GRANT_EVENT = 1,
    HRT_GRANT_FD_COUNT = 2,
};

/* A duplicate of the page's descriptor, for reading and writing; the caller owns it. */
HRT_API HRT_MUST_CHECK int hrt_runtime_page_fd(const hrt_runtime *runtime, int *fd_out);
/* What a standby needs to go on with a lane. HRT_ENOTFOUND. The caller owns the descriptors. */
HRT_API HRT_MUST_CHECK int hrt_runtime_grant(hrt_runtime *runtime, uint64_t incarnation,
                                             hrt_grant *grant_out, int *fds_out);
/*
 * Tells the clients of all lanes, also of those to come, whether a standby holds their descriptors.
 * If so, they wait for it when this process dies instead of giving the lane up.
 */
HRT_API void hrt_runtime_standby(hrt_runtime *runtime, int present);
/*
 * Starts a process that shares this one's memory and holds nothing else. When this process is
 * killed, its files, and with them the log's lock, are free at once, not only when the kernel has
 * freed its memory. It ends with this process, or when it is killed; the caller collects it.
 */
HRT_API HRT_MUST_CHECK int hrt_keep_memory(int *pid_out);
/*
 * The polite handover, in place of hrt_runtime_close: seals, syncs, lets go of the log and frees,
 * while the lanes stay open for whoever takes them over. Only after hrt_runtime_run has returned.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_release(hrt_runtime *runtime);

/*
 * Follows the log that a runtime writes just now. `options` as for hrt_runtime_open; page_fd is
 * from hrt_runtime_page_fd and stays the caller's.
 */
HRT_API HRT_MUST_CHECK int hrt_standby_open(const hrt_runtime_options *options, int page_fd,
                                            hrt_standby **standby_out);
/* Takes HRT_GRANT_FD_COUNT descriptors over, whatever the outcome. Any thread. */
HRT_API HRT_MUST_CHECK int hrt_standby_grant(hrt_standby *standby, const hrt_grant *grant,
                                             const int *fds);
/* The lane has ended. Any thread. */
HRT_API void hrt_standby_forget(hrt_standby *standby, uint64_t incarnation);
/*
 * Applies the log until hrt_standby_stop (HRT_OK) or until the runtime died or let go
 * (HRT_ECLOSED). Sleeps while the log does not grow. HRT_ECORRUPT, HRT_ENOMEM.
 */
HRT_API HRT_MUST_CHECK int hrt_standby_run(hrt_standby *standby);
HRT_API void hrt_standby_stop(hrt_standby *standby);

typedef struct hrt_standby_info {
    uint64_t position; /* applied up to here */
    uint64_t sequence;
    uint64_t jobs;
    uint64_t behind;        /* bytes of the log not yet applied */
    uint64_t state_hash_at; /* sequence of the last CHECKPOINT whose hash was equal */
    uint32_t lanes;
    uint32_t restarts;  /* times it fell so far behind that it began anew */
    uint32_t snapshots; /* written */
    uint32_t snapshot_failures;
    uint64_t snapshot_position; /* of the last one */
} hrt_standby_info;

/* Any thread. */
HRT_API void hrt_standby_status(hrt_standby *standby, hrt_standby_info *info_out);
/*
 * Goes on as the runtime: waits until the log's lock is free (HRT_EBUSY after timeout_ns: its owner
 * lives), applies the rest, begins an epoch, and adopts the lanes: what their clients submitted and
 * the log does not hold is taken, running jobs stay leased where they are. Only after
 * hrt_standby_run has returned. Frees the standby, but for HRT_EBUSY. Clients are told that there
 * is a standby until hrt_runtime_standby says otherwise.
 */
HRT_API HRT_MUST_CHECK int hrt_standby_take_over(hrt_standby *standby, int64_t timeout_ns,
                                                 hrt_runtime **runtime_out);
HRT_API void hrt_standby_close(hrt_standby *standby);

/* ---- names and queues ---- */

/* Declares a kind; known ones keep their number. */
HRT_API HRT_MUST_CHECK int hrt_runtime_kind(hrt_runtime *runtime, const char *name,
                                            uint16_t *kind_out);
/* Declares a queue, or changes the settings of the one with this name. */
HRT_API HRT_MUST_CHECK int
hrt_runtime_queue(hrt_runtime *runtime, const hrt_queue_settings *settings, uint16_t *queue_out);
HRT_API HRT_MUST_CHECK int hrt_runtime_pause(hrt_runtime *runtime, uint16_t queue, int paused);

/* ---- clients ---- */

/* The lane of this process itself: its enqueues are dispatched by the calling thread. */
HRT_API HRT_MUST_CHECK int hrt_runtime_client(hrt_runtime *runtime, hrt_client **client_out);
/*
 * Makes a lane for a process to be spawned, or for an accepted peer. fds_out receives HRT_FD_COUNT
 * descriptors (close-on-exec) that the caller owns and closes after passing them on. pid 0: not
 * known yet, see hrt_runtime_lane_pid. pool may be "".
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_lane(hrt_runtime *runtime, uint32_t submit_capacity,
                                            uint32_t pid, const char *pool, const char *name,
                                            int *fds_out, uint64_t *incarnation_out);
HRT_API HRT_MUST_CHECK int hrt_runtime_lane_pid(hrt_runtime *runtime, uint64_t incarnation,
                                                uint32_t pid);
/*
 * Judges an hrt_hello read from a peer of user `uid`: fills *welcome_out (also on error, to be sent
 * back as it is) and, on HRT_OK, makes the lane as hrt_runtime_lane.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_admit(hrt_runtime *runtime, const void *hello,
                                             size_t hello_length, uint32_t pid, uint32_t uid,
                                             hrt_welcome *welcome_out, int *fds_out);
/* Asks a client to drain: no new leases, unstarted jobs come back. 0: all clients. */
HRT_API HRT_MUST_CHECK int hrt_runtime_drain(hrt_runtime *runtime, uint64_t incarnation);
/* Its process is about to be stopped on purpose: when it dies, its jobs go back uncounted. */
HRT_API HRT_MUST_CHECK int hrt_runtime_pardon(hrt_runtime *runtime, uint64_t incarnation);
/*
 * The process is certainly gone (reaped): fence its lane and take its jobs back. Safe to call
 * after the runtime has noticed by itself. counted 0: its started jobs were interrupted on
 * purpose and count no crash and no attempt.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_lane_gone(hrt_runtime *runtime, uint64_t incarnation,
                                                 int counted);
/* New enqueues from lanes are answered HRT_EPAUSED while 1 (shutting down); settles go on. */
HRT_API void hrt_runtime_refuse(hrt_runtime *runtime, int refuse);

typedef struct hrt_lane_info {
    uint64_t incarnation;
    uint32_t number;
    uint32_t pid;
    char name[64];
    char pool[64];
    char language[16];
    char version[32];
    uint32_t concurrency;
    uint32_t credit;      /* as adapted just now */
    uint32_t outstanding; /* jobs it holds */
    uint32_t started;     /* of these, begun */
    uint64_t settled;
    uint64_t heartbeat_ns; /* CLOCK_MONOTONIC */
    uint64_t attached_ns;  /* wall clock */
    uint32_t kind_count;
    uint16_t kinds[32]; /* the first ones */
    uint8_t registered;
    uint8_t draining;
    uint8_t local; /* the supervisor's own */
    uint8_t reserved[5];
} hrt_lane_info;

HRT_API HRT_MUST_CHECK int hrt_runtime_lanes(hrt_runtime *runtime, hrt_lane_info *lanes_out,
                                             uint32_t max, uint32_t *count_out);

/* ---- events for the supervisor ---- */

enum hrt_event_type {
    HRT_EVENT_ATTACHED = 1, /* a lane's client came to life */
    HRT_EVENT_REGISTERED = 2,
    HRT_EVENT_DETACHED = 3, /* left on purpose */
    HRT_EVENT_DIED = 4,   /* value: ns from death to its jobs being ready; count: jobs taken back */
    HRT_EVENT_FAULT = 5,  /* broke the protocol, lane shut; kill it. text says how */
    HRT_EVENT_HUNG = 6,   /* no heartbeat within the lease: its leases are lost. kill it */
    HRT_EVENT_KILL = 7,   /* job is over its limit or cancelled and goes on: kill the process */
    HRT_EVENT_DEAD = 8,   /* a job became a dead letter */
    HRT_EVENT_FAILED = 9, /* the log failed; code; the run function returns */
    HRT_EVENT_SNAPSHOT = 10, /* one was refused and put aside; text names it and says why */
};

typedef struct hrt_event {
    uint32_t type;
    int32_t code;
    uint64_t incarnation;
    uint64_t job;
    uint64_t value;
    uint64_t time_ns; /* wall clock */
    uint32_t pid;
    uint32_t count;
    char text[128];
} hrt_event;

/* An eventfd, readable when hrt_runtime_events has something. */
HRT_API int hrt_runtime_event_fd(const hrt_runtime *runtime);
/* Takes up to max events, never blocks; *count_out may be 0. Overflow drops the oldest DEAD events.
 */
HRT_API HRT_MUST_CHECK int hrt_runtime_events(hrt_runtime *runtime, hrt_event *events_out,
                                              uint32_t max, uint32_t *count_out);

/* ---- jobs, for operators ---- */

typedef struct hrt_job_info {
    uint64_t id;
    uint64_t token;
    uint64_t parent;
    uint64_t client;      /* that runs it */
    uint64_t enqueued_ns; /* wall clock, as all below */
    uint64_t due_ns;
    uint64_t expires_ns;
    uint64_t settled_ns;
    uint64_t key_hash;
    uint32_t timeout_ms;
    uint32_t result_ttl_ms;
    uint32_t payload_length;
    uint32_t result_length;
    uint32_t saved_length;
    uint32_t progress; /* permille */
    uint16_t kind;
    uint16_t queue;
    uint16_t attempt;
    uint16_t max_attempts;
    uint16_t meta_length;
    uint16_t error_length;
    uint8_t key_length;
    uint8_t crashes;
    uint8_t max_crashes;
    uint8_t state;   /* enum hrt_job_state */
    uint8_t outcome; /* of the last attempt, 0: none */
    uint8_t cause;
    uint8_t blocked; /* 1: ready, but waits behind its key */
    uint8_t suspect; /* 1: will be run alone */
    char note[256];  /* of the progress, zero-terminated */
} hrt_job_info;

/* One job; HRT_ENOTFOUND when it is not (any more) in the state. */
HRT_API HRT_MUST_CHECK int hrt_runtime_job(hrt_runtime *runtime, uint64_t job,
                                           hrt_job_info *info_out);
enum hrt_job_part {
    HRT_PART_PAYLOAD = 1,
    HRT_PART_KEY = 2,
    HRT_PART_META = 3,
    HRT_PART_ERROR = 4,
    HRT_PART_RESULT = 5,
    HRT_PART_TRACE = 6,
    HRT_PART_SAVED = 7,
};
/* Copies up to size bytes of a part; *length_out is its whole length. */
HRT_API HRT_MUST_CHECK int hrt_runtime_job_part(hrt_runtime *runtime, uint64_t job, uint32_t part,
                                                void *buffer, size_t size, size_t *length_out);

typedef struct hrt_job_filter {
    uint64_t after;  /* only ids above */
    uint32_t states; /* bit (1 << state), 0: all */
    int32_t queue;   /* -1: all */
    int32_t kind;    /* -1: all */
    uint32_t reserved;
    uint64_t key_hash; /* 0: all; see hrt_key_hash */
} hrt_job_filter;

/* Living jobs in the order of their ids, at most max (1 to 100,000) of them: *next_out is the
 * `after` of the following call, 0 when the end was reached. */
HRT_API HRT_MUST_CHECK int hrt_runtime_jobs(hrt_runtime *runtime, const hrt_job_filter *filter,
                                            hrt_job_info *infos_out, uint32_t max,
                                            uint32_t *count_out, uint64_t *next_out);
HRT_API uint64_t hrt_key_hash(const void *key, size_t length); /* never 0 for length > 0 */
/* Cancels a waiting job at once; a running one is asked to stop, and killed after the grace. */
HRT_API HRT_MUST_CHECK int hrt_runtime_cancel(hrt_runtime *runtime, uint64_t job);
/* Sends a dead, retrying or scheduled job to ready now; a dead one starts its attempts anew. */
HRT_API HRT_MUST_CHECK int hrt_runtime_retry(hrt_runtime *runtime, uint64_t job);
/* Drops a terminal job (a dead letter, a kept result). */
HRT_API HRT_MUST_CHECK int hrt_runtime_discard(hrt_runtime *runtime, uint64_t job);
/* Hash over jobs, names and settings; equal for live, replayed and modelled state. */
HRT_API uint64_t hrt_runtime_state_hash(hrt_runtime *runtime);
/* Waits until everything acknowledged so far is synced. */
HRT_API HRT_MUST_CHECK int hrt_runtime_sync(hrt_runtime *runtime, int64_t timeout_ns);
/*
 * Segments with this number and above are not to be used again yet: somebody still copies them.
 * UINT64_MAX, the default: all may be. What they hold counts towards the log's size limit, so new
 * work is refused with HRT_ELOGFULL when a hold keeps too much.
 */
HRT_API void hrt_runtime_hold(hrt_runtime *runtime, uint64_t segment);

/* ---- reading a log without running it ---- */

enum hrt_damage {
    HRT_DAMAGE_NONE = 0,
    HRT_DAMAGE_TORN = 1,      /* a torn tail: never acknowledged as durable, safe to begin after */
    HRT_DAMAGE_COMMITTED = 2, /* a record that was synced, or has valid successors, is bad */
    HRT_DAMAGE_MISSING = 3,   /* a segment file is missing */
    HRT_DAMAGE_HEADER = 4,    /* a segment's first page is bad */
    HRT_DAMAGE_FOREIGN = 5,   /* a segment of another log */
    HRT_DAMAGE_VERSION = 6,   /* written by a newer format */
};

typedef struct hrt_damage_report {
    uint32_t damage; /* enum hrt_damage */
    uint32_t slot;   /* segment file */
    uint64_t position;
    uint64_t sequence; /* of the last good record */
    uint64_t bytes;    /* of a torn tail */
    char text[256];    /* what, where, what follows from it */
} hrt_damage_report;

/* Opens a directory read-only; works beside a running supervisor up to its tail of the moment. */
HRT_API HRT_MUST_CHECK int hrt_scan_open(const char *directory, hrt_scan **scan_out);
/* Begins at a segment instead of the oldest one; before the first record. HRT_EGONE. */
HRT_API HRT_MUST_CHECK int hrt_scan_seek(hrt_scan *scan, uint64_t segment);
/*
 * Next record of a complete group, valid until the next call; HRT_EEND at the end or at damage.
 * Beside a running supervisor, a call after HRT_EEND gives what was written since.
 */
HRT_API HRT_MUST_CHECK int hrt_scan_next(hrt_scan *scan, const hrt_record **record_out);
/* After HRT_EEND: how the log ended. */
HRT_API void hrt_scan_report(const hrt_scan *scan, hrt_damage_report *report_out);
HRT_API void hrt_scan_close(hrt_scan *scan);

enum {
    HRT_LEAF_VERSION = 1,
    HRT_LEAF_ENTRY = 96, /* what stands at a leaf of the proof: docs/layout.md */
    HRT_LEAF_ITEM = 98,  /* the same behind its length, as in a bundle of entries */
    HRT_LEAF_HASH = 32,
};
/*
 * Up to max records as leaves: HRT_LEAF_ITEM bytes each in items_out, HRT_LEAF_HASH in hashes_out.
 * *durable_out is the highest position that they name durable. Ends as hrt_scan_next does.
 */
HRT_API HRT_MUST_CHECK int hrt_scan_leaves(hrt_scan *scan, uint8_t *items_out, uint8_t *hashes_out,
                                           uint32_t max, uint32_t *count_out,
                                           uint64_t *durable_out);
/* The root (RFC 6962) over 1 to 256 hashes of one height. */
HRT_API HRT_MUST_CHECK int hrt_tree_root(const uint8_t *hashes, uint32_t count, uint8_t *root_out);

/* A state fed by records, for tests, verification and replay. */
HRT_API HRT_MUST_CHECK int hrt_replay_new(hrt_replay **replay_out);
/* `record` is the whole record, header first, of `length` bytes. */
HRT_API HRT_MUST_CHECK int hrt_replay_apply(hrt_replay *replay, const void *record, size_t length);
HRT_API uint64_t hrt_replay_hash(const hrt_replay *replay);
HRT_API uint64_t hrt_replay_jobs(const hrt_replay *replay);
/*
 * Living jobs with ids above `after`, in the order of their ids, at most max of them: *next_out is
 * the `after` of the following call, 0 at the end.
 */
HRT_API HRT_MUST_CHECK int hrt_replay_list(const hrt_replay *replay, uint64_t after,
                                           hrt_job_info *infos_out, uint32_t max,
                                           uint32_t *count_out, uint64_t *next_out);
/* Names, settings and counters as the records have made them; valid as long as the replay. */
HRT_API const hrt_page *hrt_replay_page(const hrt_replay *replay);
HRT_API HRT_MUST_CHECK int hrt_replay_job(const hrt_replay *replay, uint64_t job,
                                          hrt_job_info *info_out);
HRT_API void hrt_replay_free(hrt_replay *replay);

/*
 * The scheduler of this library, asked what it would have decided where a history has its
 * decisions. It reads the state of a replay, which has to outlive it.
 */
HRT_API HRT_MUST_CHECK int hrt_hindsight_new(hrt_replay *replay, hrt_hindsight **hindsight_out);
/*
 * Asks about one whole record, before it is applied to the replay. Answers at most max numbers:
 * LEASE: the jobs for that client, as many as it was handed, of the kinds that it was handed so
 *        far; a suspect if it was handed one.
 * DUE: the jobs whose time has come, as many as became ready.
 * SETTLE: of each entry outcome, cause and due_ns (three numbers), by the end that was reported,
 * and without the delay that a handler may have named. Back-offs are drawn alike each time. Any
 * other: none.
 */
HRT_API HRT_MUST_CHECK int hrt_hindsight_ask(hrt_hindsight *hindsight, const void *record,
                                             size_t length, uint64_t *answer_out, uint32_t max,
                                             uint32_t *count_out);
HRT_API void hrt_hindsight_free(hrt_hindsight *hindsight);

/* ---- bytes of a log in memory: for archives, backups, repair and scrubbing ---- */

enum hrt_run_end {
    HRT_RUN_MORE = 0, /* the bytes ended before the next record did */
    HRT_RUN_BAD = 1,  /* what comes next is no valid record, or does not follow */
    HRT_RUN_PAD = 2,  /* the segment is full */
};

/* Records in a row. Set uuid and position (of the first), the rest to 0, before the first call. */
typedef struct hrt_run {
    uint8_t uuid[16];
    uint64_t position; /* after the last record */
    uint64_t sequence; /* of the last record, 0: any may come */
    uint64_t durable;  /* the highest that a record names */
    uint64_t records;
    uint64_t group_position; /* after the last record that ended a group */
    uint64_t group_sequence;
    uint64_t first_sequence;
    uint64_t first_time_ns;
    uint64_t last_time_ns;
    uint32_t epoch; /* of the last record; lower ones do not follow */
    uint32_t end;   /* enum hrt_run_end */
} hrt_run;

/*
 * Takes the records at the start of `bytes`, which stand at run->position in the log, as far as
 * they are valid and follow. Call it again with the bytes from run->position on.
 */
HRT_API void hrt_run_check(hrt_run *run, const void *bytes, size_t length);
/*
 * Looks for the first valid record with a sequence above run->sequence in `bytes`, which stand at
 * `position`: its offset in *offset_out. HRT_EEND: there is none.
 */
HRT_API HRT_MUST_CHECK int hrt_run_find(const hrt_run *run, uint64_t position, const void *bytes,
                                        size_t length, size_t *offset_out);
/* Gives every record in a row its checksum under `uuid`. HRT_EINVAL: lengths lead astray. */
HRT_API HRT_MUST_CHECK int hrt_run_seal(const uint8_t *uuid, void *bytes, size_t length);

/* ---- failpoints, compiled in with -Dfailpoints=true only ---- */

/* HRT_ENOTFOUND when there is no such name or the library has none. action: off, error, kill,
 * pause. */
HRT_API HRT_MUST_CHECK int hrt_failpoint(const char *name, const char *action, uint64_t after);
/* Names, one a line, with the times each was passed; returns the length needed. */
HRT_API size_t hrt_failpoints(char *buffer, size_t size);

#ifndef HRT_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
