/*
 * The inside of a client, for the files that make up the client half.
 *
 * Two locks, never held together. submit_lock: the submit ring and the tickets. inbox_lock: what
 * came from the runtime. Of all threads that wait for the runtime, one sleeps on the lane's park
 * word and the others on inbox_cond, so the word has one sleeper at a time.
 */
#ifndef HRT_HANDLE_H
#define HRT_HANDLE_H

#include "client.h"
#include "map.h"
#include "ring.h"

#include <pthread.h>
#include <stdbool.h>

enum hrt_handle_limit {
    HRT_BEATS_PER_LEASE = 3, /* signs of life of a client */
    HRT_NOTICES_MAX = 65536, /* unread notices, power of two */
    HRT_WATCHES_MAX = 32768, /* watched jobs whose result was not polled yet */
    HRT_OTHERS_MAX = 32768,  /* unread notices that are no results: newer ones are dropped */
    HRT_PROMISES_MAX = HRT_CREDIT_MAX, /* a client holds no more jobs at a time */
};

/* What the runtime changes in the lane, as last looked at. */
typedef struct hrt_sight {
    uint64_t deliver_tail;
    uint64_t reply_tail;
    uint64_t submit_head;
    uint32_t draining;
    uint32_t closed;
    uint64_t pokes; /* of this process: interrupts, a dead runtime */
} hrt_sight;

/* A job that came and was not fetched, with what its earlier attempts saved. */
typedef struct hrt_lease {
    hrt_delivery delivery;
    uint32_t saved_slot;
    uint32_t saved_offset;
    uint32_t saved_length; /* 0: nothing */
    uint32_t unused;
} hrt_lease;

/* What only the runtime's memory knows of a running job, and this client. */
typedef struct hrt_promise {
    uint64_t job;
    uint64_t token;
    uint64_t limit_ns; /* boot clock: where its time limit was moved to, 0: it was not */
    uint32_t reign;    /* that was told last */
    bool cancelled;    /* it was asked to stop */
} hrt_promise;

/* Tickets whose replies someone will still read: the ring may not lap them. */
typedef struct hrt_pin {
    uint64_t first;
    struct hrt_pin *previous;
    struct hrt_pin *next;
} hrt_pin;

struct hrt_client {
    hrt_lane *lane;
    size_t lane_size;
    const hrt_page *page;
    int log_directory;
    int event_fd;
    uint64_t incarnation;
    uint32_t deliver_capacity;
    uint32_t reply_capacity;
    uint32_t started_capacity;
    const hrt_delivery *deliveries;
    const int64_t *replies;
    uint64_t *started;
    uint8_t *own;                /* a page that fork wipes: 1 in the process that attached */
    void (*pump)(void *context); /* local clients only, else NULL */
    void *pump_context;

    pthread_mutex_t submit_lock;
    hrt_ring_writer writer;
    uint64_t next_ticket; /* stored under the lock, read by all */
    uint64_t pinned;      /* oldest ticket that a pin keeps, UINT64_MAX: none; as next_ticket */
    hrt_pin *pins_first;
    hrt_pin *pins_last;

    pthread_mutex_t inbox_lock;
    pthread_cond_t inbox_cond;
    bool parked; /* a thread sleeps on the lane's park word, or is about to */
    uint64_t deliver_head;
    hrt_lease *leases; /* unfetched; deliver_capacity places */
    uint64_t lease_head;
    uint64_t lease_tail;
    uint64_t *tokens;    /* of the last lease at each started index, 0: none */
    hrt_delivery saved;  /* belongs to the lease behind it; job 0: none */
    hrt_notice *notices; /* HRT_NOTICES_MAX places */
    uint64_t notice_head;
    uint64_t notice_tail;
    uint32_t others;    /* unread notices that are no results */
    uint32_t watches;   /* asked for, not polled */
    hrt_map watched;    /* those not answered -> the reign in which they were asked for last */
    uint32_t reign;     /* counts the runtimes that went on with this lane */
    bool owes_register; /* this reign does not know yet which kinds it serves ... */
    bool owes_watches;  /* ... and what it watches */
    bool owes_promises; /* ... and what was agreed about the jobs that run */
    uint32_t adoptions; /* takeovers of the lane that were answered, also read without the lock */
    hrt_promise promises[HRT_PROMISES_MAX];
    uint32_t promise_count; /* also read without the lock */
    bool renewing;          /* a thread submits some of that just now */
    void *registration;     /* the REGISTER entry, once there was one; never changed */
    uint32_t registration_length;
    uint64_t pokes; /* changed under the lock, also read without */
    uint64_t interrupts;
    bool fetch_interrupted;
    bool poll_interrupted;
    bool drain_seen;                 /* and one poll told of it */
    uint64_t spaces[HRT_QUEUES_MAX]; /* SPACE deliveries seen of each queue */
    hrt_sight told;                  /* what hrt_arm reported last */
    uint64_t rescues;                /* sleeps that only their time limit ended: must stay 0 */
    const uint8_t **segments;        /* mapped, by slot; NULL: not yet */
    uint32_t segment_count;

    pthread_t heart; /* the liveness thread */
    bool heart_runs;
    int heart_status; /* HRT_EAGAIN until the thread holds the lane, under inbox_lock */
    uint32_t heart_stop;
    uint32_t gone; /* the runtime's process died */
    uint64_t
        missed_ns; /* boot clock since when nobody holds the runtime's word, 0: somebody does */
};

/* client.c */

/* HRT_OK, HRT_EFORK, or HRT_EINVAL for NULL: every public function asks first. */
int hrt_client_usable(const hrt_client *client);
/* HRT_OK, or HRT_ECLOSED with a sentence when the runtime is gone or has shut the lane. */
int hrt_client_open(const hrt_client *client);
/* A time limit has passed: HRT_ETIMEOUT, or HRT_ECLOSED with a sentence when there is no runtime.
 */
int hrt_client_late(const hrt_client *client);

/* hello.c: fds_out gets HRT_FD_COUNT descriptors, close-on-exec. */
int hrt_hello_exchange(const hrt_attach_options *options, int *fds_out);

/* heartbeat.c */
int hrt_heartbeat_start(hrt_client *client);
void hrt_heartbeat_stop(hrt_client *client);

/* names.c */
bool hrt_name_valid(const char *name, size_t length);

/* submit.c */

/* Writes what was counted before, into claimed entries. Called under submit_lock. */
typedef void (*hrt_submit_write)(hrt_client *client, void *context);

typedef struct hrt_need {
    uint64_t bytes;   /* of all entries */
    uint32_t largest; /* of one entry: what a PAD may cost */
    uint32_t tickets;
} hrt_need;

/* Largest entry, and largest batch published in one step. */
uint32_t hrt_submit_limit(const hrt_client *client);
/* Waits for room, writes, publishes in one step, wakes the runtime. pin and first_out may be NULL.
 */
int hrt_submit_batch(hrt_client *client, const hrt_need *need, hrt_submit_write write,
                     void *context, int64_t timeout_ns, hrt_pin *pin, uint64_t *first_out);
/* Sleeps until `need` fits. */
int hrt_submit_wait_room(hrt_client *client, const hrt_need *need, int64_t timeout_ns);
/* After a publish, with no lock held. */
void hrt_submit_notify(hrt_client *client);
void hrt_submit_unpin(hrt_client *client, hrt_pin *pin);
/* The same for a batch without tickets if it fits right now. False: it does not. */
bool hrt_submit_try(hrt_client *client, const hrt_need *need, hrt_submit_write write,
                    void *context);
/* One entry of a fixed struct, its head included; the tail behind it is copied and padded. */
int hrt_submit_entry(hrt_client *client, const void *entry, uint32_t size, const void *tail,
                     uint32_t tail_size);

/* enqueue.c */

/* Checks one spec; adds its entry to the need. `index` is for the sentence. */
int hrt_spec_check(hrt_client *client, const hrt_spec *spec, uint32_t index, hrt_need *need);
void hrt_spec_write(hrt_client *client, const hrt_spec *spec, uint8_t flags);

/* outcome.c: hands leases back that nobody fetched. */
int hrt_settle_returned(hrt_client *client, const hrt_lease *leases, uint32_t count);

/* replies.c: until every ticket below `end` is answered; hrt_interrupt ends it if it may. */
int hrt_replies_wait(hrt_client *client, uint64_t end, uint64_t deadline, bool interruptible);

/* inbox.c: all under inbox_lock, but for poke, gone and deadline. */

typedef bool (*hrt_inbox_ready)(hrt_client *client, void *context);

uint64_t hrt_deadline(int64_t timeout_ns); /* CLOCK_MONOTONIC; 0: do not block; UINT64_MAX: none */
int64_t hrt_deadline_left(uint64_t deadline);
/* Waits until ready says so: HRT_OK, HRT_ETIMEOUT or HRT_ECLOSED. */
int hrt_inbox_wait(hrt_client *client, hrt_inbox_ready ready, void *context, uint64_t deadline);
/* Wakes all waiters of this client; whatever they wait for is looked at again. */
void hrt_inbox_poke(hrt_client *client);
/* Moves what was delivered to the private queues. */
void hrt_inbox_drain(hrt_client *client);

/* What no other thread may be there to do: takes what came after a takeover, and answers it. With
 * no lock held. */
void hrt_inbox_tend(hrt_client *client);

/* renew.c: under inbox_lock. */

/* Another runtime goes on with this lane and knows nothing of what this client asked the last one.
 */
void hrt_renew_begin(hrt_client *client);
/* Asks it again for some of that, if there is room; gives the lock up meanwhile. True: it did. */
bool hrt_renew_some(hrt_client *client);

/* promises.c: under inbox_lock, but for limit and end, which take it. */

/* The time limit of a running job was moved to so long from now. */
void hrt_promise_limit(hrt_client *client, uint64_t job, uint64_t token, uint64_t more_ns);
/* A running job was asked to stop. */
void hrt_promise_stop(hrt_client *client, const hrt_delivery *request);
/* The attempt was settled. True: it had been cancelled. */
bool hrt_promise_end(hrt_client *client, uint64_t job, uint64_t token);
/* The runtime of this reign knows it too. */
void hrt_promise_told(hrt_client *client, uint64_t job, uint64_t token, uint32_t reign);

/* segments.c: bytes of a segment file, mapped at the first use. Under inbox_lock. */
int hrt_segments_at(hrt_client *client, uint32_t slot, uint64_t offset, uint64_t length,
                    const uint8_t **bytes_out);
void hrt_segments_free(hrt_client *client);

#endif
