/*
 * hybridrt/abi.h: every layout that two processes, or a process and a disk, share.
 *
 * Layout only, no functions. Plain fixed-width little-endian fields, explicit padding, named
 * enums, so that C, cgo, bindgen and cffi all read this one file. docs/layout.md explains it.
 *
 * To change this file:
 *   1. Change the struct or enum here, and the assertion on its size in src/abi.c.
 *   2. Raise HRT_ABI_VERSION (shared memory) or HRT_FORMAT_VERSION (bytes on disk).
 *   3. `make layout bindings` rewrites tests/abi/layout.txt and the Rust bindings.
 *   4. Add a byte vector of the new form to tests/vectors/.
 *   5. Describe the change in docs/layout.md and CHANGELOG.md. One commit holds all of it.
 */
#ifndef HYBRIDRT_ABI_H
#define HYBRIDRT_ABI_H

#ifndef HRT_CDEF
#include <stdint.h>
#endif

/* ---- versions and limits ---- */

enum hrt_version_number {
    HRT_ABI_VERSION = 2,    /* lanes, page, hello: checked at attach */
    HRT_FORMAT_VERSION = 2, /* segments and records: checked when a log is opened */
};

enum hrt_limit {
    HRT_LINE = 128, /* bytes between fields with different writers */
    HRT_KIND_NAME_MAX = 63,
    HRT_QUEUE_NAME_MAX = 63,
    HRT_POOL_NAME_MAX = 63,
    HRT_KEY_MAX = 255,
    HRT_META_MAX = 4096,
    HRT_PAYLOAD_MAX = 262144,
    HRT_RESULT_MAX = 65536,
    HRT_ERROR_MAX = 4096,
    HRT_SAVED_MAX = 65536, /* what a running job saves for its next attempt */
    HRT_NOTE_MAX = 255,    /* progress note */
    HRT_KINDS_MAX = 256,
    HRT_QUEUES_MAX = 64,
    HRT_LANES_MAX = 120, /* one futex_waitv holds 128 words */
    HRT_CREDIT_MAX = 4096,
    HRT_FOLLOW_MAX = 65535, /* follow-up jobs of one settle */
    HRT_KEEP_BODY_1 = 112,  /* hrt_keep_body of format 1, which ended before saved_length */
    HRT_RECORD_ALIGN = 64,
    HRT_SEGMENT_HEADER = 4096, /* bytes before the first record of a segment */
    HRT_SEGMENT_MARK = 512,    /* where the hrt_durable_mark lies among them */
    HRT_GROUP_MAX = 1048576,   /* bytes of one group, the hard limit */
    HRT_HISTOGRAM_BUCKETS = 512,
};

/* ---- status codes: the one list ---- */

#define HRT_STATUS_MAP(X)                                                                \
    X(HRT_OK, 0, "ok")                                                                   \
    X(HRT_EINVAL, -1, "an argument is out of its range")                                 \
    X(HRT_ENOMEM, -2, "out of memory")                                                   \
    X(HRT_EIO, -3, "the disk reported an error")                                         \
    X(HRT_ENOSPC, -4, "no space is left on the device")                                  \
    X(HRT_EFULL, -5, "the queue is full")                                                \
    X(HRT_ELOGFULL, -6, "the log has reached its size limit")                            \
    X(HRT_ETIMEOUT, -7, "the time limit passed")                                         \
    X(HRT_ETOOLARGE, -8, "the payload is over the limit")                                \
    X(HRT_EKIND, -9, "no such kind is known")                                            \
    X(HRT_EQUEUE, -10, "no such queue is declared")                                      \
    X(HRT_ENAME, -11, "a name is empty, too long or holds control characters")           \
    X(HRT_EVERSION, -12, "the ABI or format version does not match")                     \
    X(HRT_ECORRUPT, -13, "committed data is damaged")                                    \
    X(HRT_EBUSY, -14, "another supervisor holds this log")                               \
    X(HRT_ECLOSED, -15, "the runtime is gone or the handle is closed")                   \
    X(HRT_EDRAIN, -16, "the runtime is draining and hands out no more")                  \
    X(HRT_ENOTFOUND, -17, "no such job")                                                 \
    X(HRT_ESTALE, -18, "the lease token is not the current one")                         \
    X(HRT_ESTATE, -19, "the job is not in a state that allows this")                     \
    X(HRT_EPERM, -20, "the peer belongs to another user")                                \
    X(HRT_EPEER, -21, "the peer broke the lane protocol")                                \
    X(HRT_EREACH, -22, "cannot reach the runtime")                                       \
    X(HRT_ELIMIT, -23, "a fixed limit is reached")                                       \
    X(HRT_EAGAIN, -24, "nothing is ready, try again")                                    \
    X(HRT_EEND, -25, "the end was reached")                                              \
    X(HRT_EGONE, -26, "the answer is no longer kept")                                    \
    X(HRT_EPAUSED, -27, "the runtime takes no new jobs")                                 \
    X(HRT_EFORK, -28, "the handle was made by another process, attach again after fork") \
    X(HRT_ESYSTEM, -29, "a system call failed")

enum hrt_status {
#define HRT_STATUS_ENUM(name, value, text) name = value,
    HRT_STATUS_MAP(HRT_STATUS_ENUM)
#undef HRT_STATUS_ENUM
};

/* ---- vocabulary ---- */

enum hrt_durability {
    HRT_DURABILITY_SYNC = 0,   /* fdatasync returned before the acknowledgement */
    HRT_DURABILITY_ASYNC = 1,  /* flushed within the log's async interval */
    HRT_DURABILITY_MEMORY = 2, /* survives every process, not the host */
};

enum hrt_order {
    HRT_ORDER_BLOCK = 0, /* a failed head holds its key until it is settled */
    HRT_ORDER_SKIP = 1,  /* a failed head lets its key pass while it waits to be retried */
};

enum hrt_job_state {
    HRT_JOB_SCHEDULED = 1,
    HRT_JOB_READY = 2,
    HRT_JOB_RUNNING = 3,
    HRT_JOB_RETRYING = 4,
    HRT_JOB_COMPLETED = 5, /* the last five are terminal */
    HRT_JOB_DEAD = 6,
    HRT_JOB_CANCELLED = 7,
    HRT_JOB_EXPIRED = 8,
    HRT_JOB_DISCARDED = 9,
};

/* How an attempt, or a job, came to an end. The first five are what a handler may say. */
enum hrt_outcome {
    HRT_OUTCOME_OK = 1,       /* completed, with an optional result */
    HRT_OUTCOME_RETRY = 2,    /* failed; run again at due_ns */
    HRT_OUTCOME_SNOOZE = 3,   /* not a failure; run again at due_ns, no attempt used */
    HRT_OUTCOME_DISCARD = 4,  /* drop it, with a reason */
    HRT_OUTCOME_DEAD = 5,     /* dead letter, with a reason */
    HRT_OUTCOME_RETURNED = 6, /* handed back unstarted or drained; no attempt used */
    HRT_OUTCOME_CRASHED = 7,  /* its worker died while it ran: a counted attempt and a crash */
    HRT_OUTCOME_LOST = 8, /* lease lost with the supervisor or a hung worker: counted, never dead */
    HRT_OUTCOME_TIMEOUT = 9, /* over its time limit: a counted, failed attempt */
    HRT_OUTCOME_CANCELLED = 10,
    HRT_OUTCOME_EXPIRED = 11,
    HRT_OUTCOME_FORGOTTEN = 12, /* a terminal job leaves the state: its retention is over */
    HRT_OUTCOME_REVIVED = 13,   /* an operator sends a dead job back to ready, attempts reset */
};

/* ---- the log ---- */

enum hrt_magic {
    HRT_MAGIC_SEGMENT = 0x53545248, /* "HRTS" */
    HRT_MAGIC_LANE = 0x4c545248,    /* "HRTL" */
    HRT_MAGIC_PAGE = 0x50545248,    /* "HRTP" */
    HRT_MAGIC_HELLO = 0x48545248,   /* "HRTH" */
    HRT_MAGIC_DURABLE = 0x44545248, /* "HRTD" */
};

/*
 * Start of a segment file; zeros up to HRT_SEGMENT_HEADER, but for an hrt_durable_mark. A position
 * is number * segment_size + offset in the file, so it never repeats. Rewritten when recycled.
 * Number UINT64_MAX: a spare file, not part of the log for now.
 */
typedef struct hrt_segment {
    uint32_t magic;
    uint32_t crc; /* CRC32C of this struct with crc = 0 */
    uint16_t format_version;
    uint16_t must_understand; /* feature bits a reader has to know, else refuse */
    uint32_t segment_size;    /* bytes, power of two, 64 KiB to 1 GiB */
    uint64_t number;          /* place of this segment in the log */
    uint8_t uuid[16];         /* of the log */
    uint64_t created_ns;      /* wall clock */
    uint64_t head;            /* lowest number in the log once this header is written */
    uint64_t aside;           /* 1: a spare whose bytes are still read by those who held leases */
} hrt_segment;

/*
 * How far the log was on the disk, in a sector of its own of the segment that it had come to:
 * written without a sync when the log comes to rest, synced when it is closed. Rot in the last
 * group would look like a torn tail without it. It stays true when the log goes on, and when the
 * file is used again: positions do not repeat.
 */
typedef struct hrt_durable_mark {
    uint32_t magic;
    uint32_t crc; /* CRC32C of this struct with crc = 0 */
    uint8_t uuid[16];
    uint64_t position; /* all before it was on the disk */
    uint64_t sequence; /* of the last record before it; 0: not said */
    uint32_t epoch;    /* of the log then; 0: not said */
    uint32_t reserved;
} hrt_durable_mark;

enum hrt_record_type {
    HRT_RECORD_ENQUEUE = 1, /* one new job: hrt_enqueue_body, trace, key, meta, payload */
    HRT_RECORD_LEASE = 2,   /* hrt_lease_body, count job ids (u64), count started indices (u16) */
    HRT_RECORD_SETTLE = 3,  /* count hrt_settle_entry, each with its data */
    HRT_RECORD_CONTROL = 4, /* one hrt_control_body with its data */
    HRT_RECORD_CHECKPOINT = 5,
    HRT_RECORD_EPOCH = 6, /* hrt_epoch_body: a writer took over */
    HRT_RECORD_PAD = 7,   /* ends a segment; only its header is covered by the CRC. key_hash repeats
                             length; count 1: the next segment's header is on the disk */
    HRT_RECORD_DUE = 8,   /* count job ids (u64): scheduled or retrying became ready */
    HRT_RECORD_KEEP = 9,  /* a living job copied forward: hrt_keep_body and its bytes */
    HRT_RECORD_SAVED = 10, /* a running job saved bytes for its next attempt: hrt_saved_body */
    HRT_RECORD_LANES = 11, /* count hrt_lanes_entry: how far lanes were taken by this group */
    HRT_RECORD_VOID = 12,  /* stands where a record was whose loss an operator has accepted */
};

enum hrt_record_flag {
    HRT_RECORD_LAST = 1,            /* ends its group */
    HRT_RECORD_MUST_UNDERSTAND = 2, /* a reader that does not know the type has to stop */
};

/*
 * Every record starts with this and with its position a multiple of HRT_RECORD_ALIGN.
 * crc is CRC32C over bytes 8..length, seeded with CRC32C(uuid, position).
 */
typedef struct hrt_record {
    uint32_t length; /* header and body, without the zeros up to the next alignment */
    uint32_t crc;
    uint64_t sequence; /* dense, from 1 */
    uint64_t position;
    uint64_t durable; /* everything below this position was synced when the group was written */
    uint64_t time_ns; /* wall clock, the same for a whole group */
    uint32_t epoch;
    uint8_t type;  /* enum hrt_record_type */
    uint8_t flags; /* enum hrt_record_flag */
    uint16_t kind;
    uint16_t queue;
    uint16_t reserved;
    uint32_t count;    /* entries of a LEASE, SETTLE or DUE */
    uint64_t key_hash; /* 0: no key */
} hrt_record;

enum hrt_enqueue_flag {
    HRT_ENQUEUE_TRACE = 1,  /* 32 bytes of W3C trace context follow the body */
    HRT_ENQUEUE_BLOCK = 2,  /* lane only: the producer waits when the queue is full */
    HRT_ENQUEUE_AGAIN = 4,  /* lane only: first entry of a resend after EFULL */
    HRT_ENQUEUE_FOLLOW = 8, /* lane only: belongs to the settle before it */
};

enum hrt_trace { HRT_TRACE_SIZE = 32 }; /* version, trace id 16, span id 8, flags, 6 zeros */

/* ENQUEUE: then [trace] key meta payload, packed. The job id is the record's sequence. */
typedef struct hrt_enqueue_body {
    uint64_t due_ns;     /* wall clock; 0: at once */
    uint64_t expires_ns; /* wall clock; 0: never */
    uint64_t parent;     /* job whose settle brought this one, or 0 */
    uint32_t timeout_ms; /* of one attempt; 0: none */
    uint32_t result_ttl_ms;
    uint32_t payload_length;
    uint16_t meta_length;
    uint16_t max_attempts;
    uint8_t key_length;
    uint8_t max_crashes;
    uint8_t flags; /* HRT_ENQUEUE_TRACE */
    uint8_t reserved[5];
} hrt_enqueue_body;

typedef struct hrt_lease_body {
    uint64_t client; /* incarnation of the lane the jobs go to */
} hrt_lease_body;

/* SAVED: then the bytes. Replaces what the job saved before; gone when the job ends. */
typedef struct hrt_saved_body {
    uint64_t job;
    uint64_t token;
    uint32_t length;
    uint32_t reserved;
} hrt_saved_body;

/*
 * LANES: whoever takes a lane over goes on behind these indices, or behind the ones in the lane
 * itself if they are further on. Changes nothing in the state.
 */
typedef struct hrt_lanes_entry {
    uint64_t client; /* incarnation */
    uint64_t submit; /* index in the submit ring of the first entry that this group does not hold */
    uint64_t reply;  /* index of the next reply */
} hrt_lanes_entry;

/* SETTLE: data follows each entry, padded with zeros to 8 bytes. token 0: no lease is asked for. */
typedef struct hrt_settle_entry {
    uint64_t job;
    uint64_t token;
    uint64_t due_ns; /* RETRY SNOOZE CRASHED LOST TIMEOUT: when to run; OK: when to forget, 0 = at
                        once */
    uint32_t data_length; /* result, or error text in UTF-8 */
    uint8_t outcome; /* enum hrt_outcome, final: a RETRY with no attempts left is logged as DEAD */
    uint8_t cause;   /* enum hrt_outcome behind a DEAD that the runtime decided, else 0 */
    uint16_t reserved;
} hrt_settle_entry;

enum hrt_control_verb {
    HRT_CONTROL_KIND = 1,  /* declare kind `id` by the name in data */
    HRT_CONTROL_QUEUE = 2, /* declare or change queue `id`: data is hrt_queue_settings */
    HRT_CONTROL_PAUSE = 3, /* queue `id` */
    HRT_CONTROL_RESUME = 4,
    HRT_CONTROL_NOTE = 5, /* an operator's action, data is JSON; changes nothing */
};

typedef struct hrt_control_body {
    uint32_t verb; /* enum hrt_control_verb */
    uint32_t id;
    uint32_t data_length;
    uint32_t reserved;
} hrt_control_body;

typedef struct hrt_queue_settings {
    char name[64];          /* zero-terminated */
    uint32_t weight;        /* share of the workers, 1 to 1000 */
    uint32_t max_jobs;      /* waiting jobs; 0: no limit but the log's */
    uint32_t retain_max;    /* terminal jobs kept for their result */
    uint32_t retry_base_ms; /* full jitter over min(cap, base * 2^(attempt-1)) */
    uint32_t retry_cap_ms;
    uint32_t max_running;   /* jobs leased at a time; 0: no limit */
    uint8_t durability;     /* enum hrt_durability */
    uint8_t order;          /* enum hrt_order */
    uint16_t max_attempts;  /* default for its jobs */
    uint32_t timeout_ms;    /* default for its jobs */
    uint32_t result_ttl_ms; /* default for its jobs */
    uint8_t max_crashes;    /* default for its jobs */
    uint8_t reserved[11];
} hrt_queue_settings;

typedef struct hrt_epoch_body {
    uint8_t boot_id[16];
    uint64_t instance; /* random, of this writer */
    uint32_t format_version;
    uint32_t pid;
    uint64_t tail_lost; /* position of the torn tail that this epoch begins over, or 0 */
    uint64_t reserved;
} hrt_epoch_body;

typedef struct hrt_checkpoint_body {
    uint64_t state_hash; /* of the state before this record; 0: not computed */
    uint64_t jobs;       /* living jobs */
} hrt_checkpoint_body;

/*
 * KEEP: the whole of one job; then [trace] key meta payload error result saved, packed. Format 1
 * had no place and nothing saved, and a LEASE no started indices: their lengths tell.
 */
typedef struct hrt_keep_body {
    hrt_enqueue_body enqueue; /* result_length > 0 means payload_length = 0 */
    uint64_t job;
    uint64_t token;
    uint64_t enqueued_ns;
    uint64_t settled_ns;
    uint64_t due_ns; /* of the state it is in */
    uint64_t client; /* holder of the lease, if running; sequence of its end, if retained */
    uint32_t error_length;
    uint32_t result_length;
    uint16_t attempt;
    uint8_t crashes;
    uint8_t state;   /* enum hrt_job_state */
    uint8_t outcome; /* last outcome, 0: none yet */
    uint8_t cause;
    uint16_t place; /* started index in the lane of its client, if running */
    uint32_t saved_length;
    uint32_t reserved;
} hrt_keep_body;

/* ---- lanes ---- */

enum hrt_park {
    HRT_PARK_AWAKE = 0,
    HRT_PARK_FUTEX = 1,   /* sleeps in a futex wait on this word */
    HRT_PARK_EVENTFD = 2, /* sleeps elsewhere: write 1 to its eventfd */
};

/* How far the runtime has taken a lane; entries below `submit` got the replies below `reply`. */
typedef struct hrt_lane_progress {
    uint64_t submit;
    uint64_t reply;
} hrt_lane_progress;

/*
 * Start of a lane, one sealed memfd for every incarnation of a client. The four regions follow,
 * at the offsets named. Each line below has one writer; park words are set by their sleeper and
 * cleared by the peer. All indices count up for ever: place = index & (capacity - 1).
 */
typedef struct hrt_lane {
    /* written once by the runtime */
    uint32_t magic;
    uint32_t abi_version;
    uint64_t incarnation; /* unique in a log, never reused */
    uint32_t number;      /* below HRT_LANES_MAX */
    uint32_t size;        /* bytes of the whole mapping */
    uint32_t submit_offset;
    uint32_t submit_capacity; /* bytes, power of two */
    uint32_t deliver_offset;
    uint32_t deliver_capacity; /* entries, power of two */
    uint32_t reply_offset;
    uint32_t reply_capacity; /* entries, power of two */
    uint32_t started_offset;
    uint32_t started_capacity; /* entries, power of two */
    uint64_t lease_ns;         /* the client beats at a third of this */
    uint8_t pad_0[64];

    uint64_t submit_tail; /* client */
    uint8_t pad_1[120];
    uint64_t submit_head; /* runtime */
    uint8_t pad_2[120];
    uint32_t submit_park; /* runtime sleeps on it */
    uint8_t pad_3[124];
    uint64_t deliver_tail;  /* runtime */
    uint64_t reply_tail;    /* runtime: replies below it are final, at their durability */
    uint32_t draining;      /* runtime: 1 = finish, hand back, detach */
    uint32_t closed;        /* runtime: a negative hrt_status once the lane is shut, else 0 */
    uint64_t names;         /* runtime: counts changes of the page's names */
    uint32_t runtime_alive; /* runtime: robust futex of its watcher thread, 0: not held */
    uint32_t standby;       /* runtime: 1 = when it dies, another one goes on with this lane */
    uint32_t progress_turn; /* runtime: progress[progress_turn & 1] is whole */
    uint32_t takeovers;     /* runtime: times that another one went on with this lane */
    hrt_lane_progress progress[2]; /* runtime */
    uint8_t pad_4[48];
    uint64_t deliver_head; /* client */
    uint8_t pad_5[120];
    uint32_t deliver_park; /* client sleeps on it */
    uint8_t pad_6[124];
    uint32_t alive;        /* client: robust futex of its liveness thread */
    uint32_t detached;     /* client: 1 = left on purpose */
    uint64_t heartbeat_ns; /* client: CLOCK_MONOTONIC */
    uint8_t pad_7[112];
} hrt_lane;

enum hrt_submit_type {
    HRT_SUBMIT_PAD = 0, /* skip to the start of the ring */
    HRT_SUBMIT_ENQUEUE = 1,
    HRT_SUBMIT_SETTLE = 2,
    HRT_SUBMIT_REGISTER = 3,
    HRT_SUBMIT_WATCH = 4,    /* hrt_submit_job: tell me when it ends */
    HRT_SUBMIT_SPACE = 5,    /* hrt_submit_space: tell me when the queue has room */
    HRT_SUBMIT_PROGRESS = 6, /* hrt_submit_progress */
    HRT_SUBMIT_EXTEND = 7,   /* hrt_submit_extend */
    HRT_SUBMIT_CANCEL = 8,   /* hrt_submit_job */
    HRT_SUBMIT_SAVE = 9,     /* hrt_submit_save */
};

/* Submit entries: 8-byte aligned, variable length, never wrapped. */
typedef struct hrt_submit {
    uint32_t length; /* with this header, a multiple of 8 */
    uint16_t type;   /* enum hrt_submit_type */
    uint16_t reserved;
} hrt_submit;

/* Then [trace 32] key meta payload, packed, zeros to 8. */
typedef struct hrt_submit_enqueue {
    hrt_submit head;
    uint64_t delay_ns;
    uint64_t due_ns; /* wall clock; used instead of delay_ns when not 0 */
    uint32_t payload_length;
    uint32_t timeout_ms;    /* 0: the queue's; UINT32_MAX: none */
    uint32_t result_ttl_ms; /* 0: the queue's; UINT32_MAX: none */
    uint32_t expires_ms;    /* from now; 0: never */
    uint16_t kind;
    uint16_t queue;
    uint16_t meta_length;
    uint16_t max_attempts; /* 0: the queue's */
    uint8_t key_length;
    uint8_t max_crashes; /* 0: the queue's */
    uint8_t flags;       /* enum hrt_enqueue_flag */
    uint8_t reserved[5];
} hrt_submit_enqueue;

/* Then data, zeros to 8; then follow_count ENQUEUE entries with HRT_ENQUEUE_FOLLOW. */
typedef struct hrt_submit_settle {
    hrt_submit head;
    uint64_t job;
    uint64_t token;
    uint64_t delay_ns; /* RETRY, SNOOZE; UINT64_MAX: the queue's back-off */
    uint32_t data_length;
    uint16_t follow_count;
    uint8_t outcome; /* OK RETRY SNOOZE DISCARD DEAD RETURNED */
    uint8_t reserved;
} hrt_submit_settle;

/* Then kind_count names, each one length byte and its bytes, zeros to 8. */
typedef struct hrt_submit_register {
    hrt_submit head;
    uint32_t kind_count;
    uint32_t concurrency; /* handlers it runs at a time */
    uint32_t credit;      /* most jobs it wants to hold; 0: the runtime decides */
    uint32_t names_length;
    char pool[64];
    char language[16];
    char version[32];
} hrt_submit_register;

typedef struct hrt_submit_job {
    hrt_submit head;
    uint64_t job;
} hrt_submit_job;

typedef struct hrt_submit_space {
    hrt_submit head;
    uint64_t queue;
} hrt_submit_space;

typedef struct hrt_submit_progress {
    hrt_submit head;
    uint64_t job;
    uint64_t token;
    uint32_t permille; /* 0 to 1000 */
    uint32_t note_length;
} hrt_submit_progress; /* then the note, zeros to 8 */

typedef struct hrt_submit_extend {
    hrt_submit head;
    uint64_t job;
    uint64_t token;
    uint64_t more_ns; /* moves the attempt's time limit to now + more_ns */
} hrt_submit_extend;

typedef struct hrt_submit_save {
    hrt_submit head;
    uint64_t job;
    uint64_t token;
    uint32_t length;
    uint32_t reserved;
} hrt_submit_save; /* then the bytes, zeros to 8 */

enum hrt_delivery_type {
    HRT_DELIVERY_LEASE = 1,
    HRT_DELIVERY_CANCEL = 2,  /* stop this job: job, token; code = enum hrt_outcome why */
    HRT_DELIVERY_REFUSED = 3, /* a settle was not accepted: job, token; code = hrt_status */
    HRT_DELIVERY_RESULT = 4,  /* a watched job ended; code = enum hrt_job_state; data in the log */
    HRT_DELIVERY_SPACE = 5,   /* queue has room again */
    HRT_DELIVERY_SAVED = 6, /* right before the LEASE of this job: what it saved; data in the log */
    HRT_DELIVERY_ADOPTED = 7, /* another runtime goes on with this lane: register and watch again */
};

/* What the runtime tells a client. Data lies in the log: segment file `slot`, bytes
 * offset..+length. */
typedef struct hrt_delivery {
    uint32_t type; /* enum hrt_delivery_type */
    int32_t code;
    uint64_t job;
    uint64_t token;
    uint64_t deadline_ns;   /* CLOCK_MONOTONIC end of the attempt, 0: none */
    uint32_t slot;          /* segment file; UINT32_MAX: no data */
    uint32_t record_offset; /* LEASE: of the ENQUEUE or KEEP record */
    uint32_t data_offset;   /* LEASE: payload; RESULT: result or error text */
    uint32_t data_length;
    uint16_t kind;
    uint16_t queue;
    uint16_t attempt; /* from 1 */
    uint16_t reserved;
    uint32_t started_index; /* LEASE: store the job id here when the handler begins */
    uint32_t pad;
} hrt_delivery;

/*
 * Replies: one int64 for each ENQUEUE entry, follow-ups too, in submit order: the job id, or a
 * negative status (of a follow-up: what its settle was refused with).
 * A reply is final once reply_tail has passed it.
 */

/* ---- the page: counters and names, read-only for everybody but the dispatch thread ---- */

/* Log-linear: 16 buckets for each power of two from 2^8 ns up; docs/layout.md gives the formula. */
typedef struct hrt_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t reserved;
    uint64_t buckets[HRT_HISTOGRAM_BUCKETS];
} hrt_histogram;

typedef struct hrt_queue_counters {
    uint64_t enqueued;
    uint64_t rejected;
    uint64_t leased;
    uint64_t completed;
    uint64_t retried;
    uint64_t snoozed;
    uint64_t discarded;
    uint64_t died;
    uint64_t cancelled;
    uint64_t expired;
    uint64_t returned;
    uint64_t crashed;
    uint64_t lost;
    uint64_t timed_out;
    /* gauges */
    uint64_t scheduled;
    uint64_t ready; /* with those that wait behind their key */
    uint64_t running;
    uint64_t retrying;
    uint64_t dead;
    uint64_t retained; /* terminal, kept for the result */
    uint64_t paused;
    uint64_t oldest_ready_ns; /* wall clock of the longest waiting ready job, 0: none */
    uint64_t reserved[10];
} hrt_queue_counters;

typedef struct hrt_kind_counters {
    uint64_t leased;
    uint64_t completed;
    uint64_t failed;  /* retried, dead, crashed, timed out */
    uint64_t workers; /* gauge: lanes that serve it */
    uint64_t reserved[4];
    hrt_histogram wait; /* ready to handed over, ns */
    hrt_histogram run;  /* handed over to settled, ns */
} hrt_kind_counters;

typedef struct hrt_runtime_counters {
    uint64_t passes;
    uint64_t groups;
    uint64_t records;
    uint64_t bytes;
    uint64_t submissions; /* lane entries taken */
    uint64_t leases;
    uint64_t settles;
    uint64_t refused;  /* settles with a stale token; saves likewise, or without room */
    uint64_t rejected; /* enqueues answered with an error */
    uint64_t parks;
    uint64_t wakes;   /* times a sleeping peer was woken */
    uint64_t rescues; /* a park timeout found work: a lost wake-up, must stay 0 */
    uint64_t inline_pumps;
    uint64_t syncs;
    uint64_t sync_ns;
    uint64_t sync_max_ns;
    uint64_t lanes; /* gauge */
    uint64_t lane_deaths;
    uint64_t lane_faults; /* lanes shut for breaking the protocol */
    uint64_t recycled;    /* segments */
    uint64_t kept;        /* jobs copied forward */
    uint64_t log_head;    /* gauges: positions */
    uint64_t log_tail;
    uint64_t log_durable;
    uint64_t segments;
    uint64_t jobs; /* living */
    uint64_t sequence;
    uint64_t epoch;
    uint64_t state_hash_unused;
    uint64_t started_ns;
    uint64_t draining;
    uint64_t reserved[9];
    hrt_histogram sync;     /* ns of each fdatasync */
    hrt_histogram pass;     /* ns of each pass that found work */
    hrt_histogram recovery; /* ns from a worker's death to its jobs being ready */
} hrt_runtime_counters;

typedef struct hrt_name {
    char text[64]; /* zero-terminated; empty: not in use */
} hrt_name;

typedef struct hrt_page {
    uint32_t magic;
    uint32_t abi_version;
    uint32_t size;
    uint32_t segment_size;
    uint8_t uuid[16];
    uint64_t incarnation; /* of the supervisor */
    uint32_t kind_count;  /* published with release after the name */
    uint32_t queue_count;
    uint32_t writer_alive; /* robust futex of the runtime's watcher thread, 0: not held */
    uint32_t follow_park;  /* the standby sleeps on it: woken when the log has grown */
    uint8_t pad_0[72];
    hrt_name kinds[HRT_KINDS_MAX];
    hrt_queue_settings queues[HRT_QUEUES_MAX];
    hrt_runtime_counters runtime;
    hrt_queue_counters queue_counters[HRT_QUEUES_MAX];
    hrt_kind_counters kind_counters[HRT_KINDS_MAX];
} hrt_page;

/* ---- attach over AF_UNIX: the client sends a hello, the runtime answers once ---- */

typedef struct hrt_hello {
    uint32_t magic;
    uint32_t abi_version;
    uint32_t submit_capacity; /* bytes, 0: default */
    uint32_t reserved;
    char name[64]; /* for people */
    uint8_t pad[48];
} hrt_hello;

/* With status 0 the descriptors come along, in this order: lane, page, log directory, eventfd. */
typedef struct hrt_welcome {
    uint32_t magic;
    uint32_t abi_version;
    int32_t status;
    uint32_t number;
    uint64_t incarnation;
    char text[232]; /* why not, in words */
} hrt_welcome;

enum hrt_attach_fd {
    HRT_FD_LANE = 0,
    HRT_FD_PAGE = 1,
    HRT_FD_LOG = 2,
    HRT_FD_EVENT = 3,
    HRT_FD_COUNT = 4,
};

#endif
