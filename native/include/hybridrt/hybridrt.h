/*
 * hybridrt/hybridrt.h: the client half, used by every producer and every worker.
 *
 * A client attaches to a runtime, enqueues jobs, and, if it registered kinds, fetches jobs and
 * settles them. One client is one lane: a sealed memory region of its own, so a client can harm
 * nobody else, and its death is noticed by the kernel and leaves nothing half-written.
 *
 * Threads. Every function may be called from any thread. Enqueue and settle take one short lock;
 * fetch, wait and poll may block and may run at the same time as the others. hrt_detach must be
 * the last call. After fork() a handle works only in the process that attached (HRT_EFORK).
 *
 * Errors. A function returns HRT_OK (0) or a negative enum hrt_status; out-parameters are last,
 * are named *_out, and are left alone on error. hrt_last_error gives the calling thread's
 * sentence: what, where, why, what to do next.
 *
 * The runtime's end. A call fails with HRT_ECLOSED once the runtime is gone, unless another one
 * stands by and goes on with the lane: then calls that block go on within their time limits, and
 * the library registers and watches again by itself.
 *
 * Times. *_ns durations are nanoseconds. A timeout of 0 never blocks, a negative one has no limit.
 *
 * Memory. A pointer inside hrt_job points into the read-only log; it stays valid until the job is
 * settled. Nothing else is borrowed: arguments are copied before a function returns.
 */
#ifndef HYBRIDRT_HYBRIDRT_H
#define HYBRIDRT_HYBRIDRT_H

#include <hybridrt/abi.h>

#ifdef HRT_CDEF
#define HRT_API
#define HRT_MUST_CHECK
#else
#include <stddef.h>
#define HRT_API __attribute__((visibility("default")))
#define HRT_MUST_CHECK __attribute__((warn_unused_result))
#ifdef __cplusplus
extern "C" {
#endif
#endif

typedef struct hrt_client hrt_client;

/* ---- about the library ---- */

HRT_API uint32_t hrt_abi_version(void);
HRT_API const char *hrt_version(void);           /* "0.1.0" */
HRT_API const char *hrt_strerror(int status);    /* "the queue is full" */
HRT_API const char *hrt_status_name(int status); /* "HRT_EFULL" */
/* Copies the calling thread's last sentence, zero-terminated, cut to size. Returns its length. */
HRT_API size_t hrt_last_error(char *buffer, size_t size);
/* CRC32C of data, continuing from seed. */
HRT_API uint32_t hrt_crc32c(uint32_t seed, const void *data, size_t length);

/* ---- attach and detach ---- */

typedef struct hrt_attach_options {
    uint32_t struct_size;     /* sizeof(hrt_attach_options) of the caller */
    uint32_t abi_version;     /* HRT_ABI_VERSION of the caller's headers */
    const char *address;      /* path of the attach socket; NULL: see hrt_attach */
    const char *name;         /* shown to operators; NULL: the program's name */
    int64_t timeout_ns;       /* for connecting; 0: 5 s */
    uint32_t submit_capacity; /* bytes of the submit ring, a power of two; 0: 1 MiB */
    uint32_t reserved;
} hrt_attach_options;

/*
 * Joins a runtime. With address NULL: the descriptors named in $HYBRIDRT_ATTACH ("fds:3,4,5,6",
 * set for workers that the supervisor spawned; usable once), else the socket in $HYBRIDRT_SOCKET,
 * else $XDG_RUNTIME_DIR/hybridrt/attach.sock, else /tmp/hybridrt-<uid>/attach.sock.
 * Starts the library's liveness thread, which holds the lane's robust futex and renews leases.
 * Errors: HRT_EREACH, HRT_EVERSION (the sentence names both versions), HRT_EPERM, HRT_ELIMIT,
 * HRT_ETIMEOUT. The caller frees *client_out with hrt_detach.
 */
HRT_API HRT_MUST_CHECK int hrt_attach(const hrt_attach_options *options, hrt_client **client_out);
/* Leaves: jobs held go back uncounted. Frees the client; NULL is allowed. */
HRT_API void hrt_detach(hrt_client *client);
/* The runtime's process-unique number of this client. */
HRT_API uint64_t hrt_incarnation(const hrt_client *client);

/* ---- names ---- */

/* Looks a name up; HRT_EKIND / HRT_EQUEUE when it is not known, HRT_ENAME when it cannot be one. */
HRT_API HRT_MUST_CHECK int hrt_kind(hrt_client *client, const char *name, size_t length,
                                    uint16_t *kind_out);
HRT_API HRT_MUST_CHECK int hrt_queue(hrt_client *client, const char *name, size_t length,
                                     uint16_t *queue_out);
/* Zero-terminated names, valid until detach; NULL when there is no such number. */
HRT_API const char *hrt_kind_name(hrt_client *client, uint16_t kind);
HRT_API const char *hrt_queue_name(hrt_client *client, uint16_t queue);
/* The shared page of counters and names, read-only, valid until detach. */
HRT_API const hrt_page *hrt_client_page(const hrt_client *client);

/* ---- enqueue ---- */

enum hrt_unset { HRT_NONE = 0xffffffff }; /* for timeout_ms and result_ttl_ms: none at all */

/* One new job. Zero in a field means the queue's default. */
typedef struct hrt_spec {
    const void *payload;  /* bytes */
    const void *key;      /* order; NULL: none */
    const void *meta;     /* the caller's own, carried along */
    const uint8_t *trace; /* HRT_TRACE_SIZE bytes of W3C trace context; NULL: none */
    uint64_t delay_ns;
    uint64_t due_ns; /* wall clock, instead of delay_ns */
    uint32_t payload_length;
    uint32_t timeout_ms;
    uint32_t result_ttl_ms;
    uint32_t expires_ms;
    uint16_t kind;
    uint16_t queue;
    uint16_t meta_length;
    uint16_t max_attempts;
    uint8_t key_length;
    uint8_t max_crashes;
    uint8_t block; /* 1: when the queue is full, hrt_enqueue_wait keeps trying within its timeout */
    uint8_t reserved[5];
} hrt_spec;

/*
 * Publishes count jobs in one step. *first_out is the ticket of the first; the others follow.
 * Blocks up to timeout_ns for room in the lane. All or nothing: on error none was submitted.
 * One step holds up to half the submit ring and reply_capacity jobs, else HRT_ETOOLARGE.
 * Errors: HRT_ETOOLARGE, HRT_ENAME (key), HRT_EINVAL, HRT_ETIMEOUT, HRT_ECLOSED.
 */
HRT_API HRT_MUST_CHECK int hrt_enqueue(hrt_client *client, const hrt_spec *specs, uint32_t count,
                                       int64_t timeout_ns, uint64_t *first_out);
/*
 * The same for jobs that differ only in their payload: payloads lie back to back, each lengths[i]
 * bytes long, or each `stride` bytes when lengths is NULL. May publish in several steps; on
 * HRT_ETIMEOUT *done_out jobs are in. done_out is always set.
 */
HRT_API HRT_MUST_CHECK int hrt_enqueue_packed(hrt_client *client, const hrt_spec *like,
                                              const void *payloads, const uint32_t *lengths,
                                              uint32_t stride, uint32_t count, int64_t timeout_ns,
                                              uint64_t *first_out, uint32_t *done_out);
/* Waits until every ticket below `end` is answered, at the durability of its queue. */
HRT_API HRT_MUST_CHECK int hrt_wait(hrt_client *client, uint64_t end, int64_t timeout_ns);
/*
 * Reads the answers to tickets first..first+count: job ids, or negative statuses (HRT_EFULL,
 * HRT_ELOGFULL, HRT_ENOSPC, HRT_EPAUSED ...). HRT_EAGAIN: not all are in; HRT_EGONE: too old, only
 * the last reply_capacity answers are kept.
 */
HRT_API HRT_MUST_CHECK int hrt_replies(hrt_client *client, uint64_t first, uint32_t count,
                                       int64_t *ids_out);
/*
 * Enqueue, wait, read, and resend those with `block` set that found the queue full, until
 * timeout_ns. ids_out has count entries and is always filled. Returns the first error, or HRT_OK.
 */
HRT_API HRT_MUST_CHECK int hrt_enqueue_wait(hrt_client *client, const hrt_spec *specs,
                                            uint32_t count, int64_t timeout_ns, int64_t *ids_out);

/* ---- work ---- */

typedef struct hrt_register_options {
    const char *const *kinds; /* zero-terminated names */
    const char *pool;         /* NULL: $HYBRIDRT_POOL or "" */
    const char *language;     /* "c", "go", "rust", "python" */
    const char *version;      /* of the worker, for operators; NULL: "" */
    uint32_t kind_count;
    uint32_t concurrency; /* handlers run at a time, at least 1 */
    uint32_t credit;      /* most jobs held; 0: the runtime adapts it to the pace */
    uint32_t reserved;
} hrt_register_options;

/* Says which kinds this client serves. Until then it is a producer only. Call it once. */
HRT_API HRT_MUST_CHECK int hrt_register(hrt_client *client, const hrt_register_options *options);

typedef struct hrt_job {
    uint64_t id;
    uint64_t token; /* of the lease: unique, increasing; fit for fencing */
    const uint8_t *payload;
    const uint8_t *key;
    const uint8_t *meta;
    const uint8_t *trace; /* HRT_TRACE_SIZE bytes or NULL */
    uint64_t *started;    /* store id here with release when the handler begins */
    uint64_t enqueued_ns; /* wall clock */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC end of this attempt, 0: none */
    uint64_t parent;
    const uint8_t *saved; /* what an earlier attempt saved with hrt_save, or NULL */
    uint32_t payload_length;
    uint32_t saved_length;
    uint16_t meta_length;
    uint16_t kind;
    uint16_t queue;
    uint16_t attempt; /* from 1 */
    uint16_t max_attempts;
    uint8_t key_length;
    uint8_t reserved[5];
} hrt_job;

/*
 * Takes up to max jobs, waiting for the first up to timeout_ns. HRT_EAGAIN: none came in time.
 * HRT_EDRAIN: the runtime drains and this client holds no unfetched job: finish, settle, detach.
 * HRT_ECLOSED: the runtime is gone. HRT_EINTR is never returned; hrt_interrupt gives HRT_EAGAIN.
 */
HRT_API HRT_MUST_CHECK int hrt_fetch(hrt_client *client, hrt_job *jobs_out, uint32_t max,
                                     int64_t timeout_ns, uint32_t *count_out);
/* Marks the job as started: after this a crash counts. Same as the store described in hrt_job. */
HRT_API void hrt_job_started(const hrt_job *job);

typedef struct hrt_settlement {
    uint64_t job;
    uint64_t token;
    const void *data; /* result for OK, else the reason or error text in UTF-8, cut to its limit */
    const hrt_spec *follow; /* follow-up jobs, committed with this settle or not at all */
    uint64_t delay_ns;      /* RETRY, SNOOZE; UINT64_MAX with RETRY: the queue's back-off */
    uint32_t data_length;
    uint32_t follow_count;
    uint8_t outcome; /* enum hrt_outcome: OK RETRY SNOOZE DISCARD DEAD RETURNED */
    uint8_t reserved[7];
} hrt_settlement;

/*
 * Ends count attempts, published in one step, or in several when they are over half the submit
 * ring; one settle and its follow-ups always stay together. A settle whose token is not current is
 * refused by the runtime and comes back as a REFUSED notice. Each follow-up takes a ticket. When a
 * full log has no room for them and none comes, the attempt is snoozed for a second instead. Errors
 * as hrt_enqueue; HRT_ETOOLARGE also when one settle with its follow-ups does not fit hrt_unit_max
 * bytes.
 */
HRT_API HRT_MUST_CHECK int hrt_settle(hrt_client *client, const hrt_settlement *settlements,
                                      uint32_t count);
/* Bytes that one settle with its follow-ups may need in the lane (each follow-up: 64 + data). */
HRT_API uint32_t hrt_unit_max(const hrt_client *client);
/* Moves the attempt's time limit to more_ns from now. Leases need no renewal by handlers. */
HRT_API HRT_MUST_CHECK int hrt_extend(hrt_client *client, uint64_t job, uint64_t token,
                                      uint64_t more_ns);
/* Reports progress, 0 to 1000, with a short note. Kept in memory, not in the log. */
HRT_API HRT_MUST_CHECK int hrt_progress(hrt_client *client, uint64_t job, uint64_t token,
                                        uint32_t permille, const char *note, size_t note_length);
/*
 * Saves up to HRT_SAVED_MAX bytes for the next attempt of a job that this client runs, in place of
 * what was saved before; no bytes take it away. Written in order with the other submissions, at the
 * durability of the job's queue. One with a stale token, or that a full log has no room for,
 * changes nothing and counts in the page's `refused`. HRT_ETOOLARGE.
 */
HRT_API HRT_MUST_CHECK int hrt_save(hrt_client *client, uint64_t job, uint64_t token,
                                    const void *data, size_t length);

/* ---- notices ---- */

/*
 * Asks for a RESULT notice when the job ends; comes at once if it has ended and is still kept. One
 * notice answers all that asked before it came.
 */
HRT_API HRT_MUST_CHECK int hrt_watch(hrt_client *client, uint64_t job);
/* Asks the runtime to cancel a job of any client. A running one gets a CANCEL notice. */
HRT_API HRT_MUST_CHECK int hrt_cancel(hrt_client *client, uint64_t job);

typedef struct hrt_notice {
    uint64_t job;
    uint64_t token;
    uint8_t *data; /* RESULT: a copy the caller frees with hrt_notice_free; else NULL */
    uint32_t data_length;
    uint32_t type; /* enum hrt_delivery_type, never LEASE */
    int32_t
        code; /* RESULT: enum hrt_job_state, or HRT_ENOTFOUND; REFUSED: status; CANCEL: outcome */
    uint32_t queue;
} hrt_notice;

/*
 * Takes up to max notices, waiting for the first up to timeout_ns; HRT_EAGAIN: none. One poll that
 * would block ends so as soon as the runtime asks to drain: look at hrt_draining.
 */
HRT_API HRT_MUST_CHECK int hrt_poll(hrt_client *client, hrt_notice *notices_out, uint32_t max,
                                    int64_t timeout_ns, uint32_t *count_out);
HRT_API void hrt_notice_free(hrt_notice *notice);
/*
 * Makes a blocked hrt_fetch and a blocked hrt_poll of this client return HRT_EAGAIN, or else the
 * next one of each that would block; and every hrt_wait that blocks now.
 */
HRT_API void hrt_interrupt(hrt_client *client);
/* 1 once the runtime asked this client to drain, or is gone. */
HRT_API int hrt_draining(const hrt_client *client);

/*
 * For event loops: a descriptor that becomes readable (an eventfd: read 8 bytes) after hrt_arm
 * returned HRT_OK and something new came. HRT_EAGAIN from hrt_arm: something is there already, or
 * changed since the last hrt_arm: look at everything, then arm again.
 * Do not block in hrt_fetch, hrt_poll or hrt_wait while armed.
 */
HRT_API int hrt_event_fd(const hrt_client *client);
HRT_API HRT_MUST_CHECK int hrt_arm(hrt_client *client);

/* ---- time ---- */

HRT_API uint64_t hrt_monotonic_ns(void); /* CLOCK_MONOTONIC, as deadlines use it */

/* ---- histograms ---- */

/* Place of a value in a hrt_histogram, and the lowest value that falls into a place. */
HRT_API uint32_t hrt_histogram_bucket(uint64_t value_ns);
HRT_API uint64_t hrt_histogram_value(uint32_t bucket);

#ifndef HRT_CDEF
#ifdef __cplusplus
}
#endif
#endif
#endif
