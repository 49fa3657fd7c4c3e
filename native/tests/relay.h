/*
 * A relay: one runtime after the other goes on with the same log and the same lanes, each in a
 * process of its own that can be killed at any time. Producers and workers are processes too; what
 * they saw is written into memory that all share. They number their jobs, so that afterwards each
 * can be looked for in the log.
 */
#ifndef HRT_RELAY_H
#define HRT_RELAY_H

#include "atomic.h"
#include "clock.h"
#include "scratch.h"
#include "spawned.h"
#include "tap.h"

#include <fcntl.h>
#include <hybridrt/runtime.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RELAY_SECOND_NS ((int64_t)1000000000)
#ifndef RELAY_SEGMENT
#define RELAY_SEGMENT (1u << 20)
#endif
#ifndef RELAY_LEASE_NS
#define RELAY_LEASE_NS 0 /* the library's own */
#endif

enum {
    RELAY_PRODUCERS = 2, /* one for each queue */
    RELAY_WORKERS = 2,
    RELAY_LANES = RELAY_PRODUCERS + RELAY_WORKERS,
    RELAY_KEYS = 8,          /* of each producer */
    RELAY_NUMBERS = 1 << 20, /* of each producer */
    RELAY_FOLLOW = 1u << 30, /* added to a number: its follow-up job */
    RELAY_BATCH = 8,
    RELAY_RETRY_EVERY = 97,  /* of the numbers fails at first */
    RELAY_FOLLOW_EVERY = 50, /* of the numbers brings a follow-up */
    RELAY_PAUSE_EVERY = 4,
    RELAY_WATCHES = 1000,   /* of each producer at a time */
    RELAY_BACKLOG = 2000,   /* ready jobs of a queue: its producer waits */
    RELAY_SLOW_EVERY = 997, /* of the numbers takes longer than a take-over */
};

/* What all processes see. */
typedef struct relay_ledger {
    uint32_t producers_stop;
    uint32_t workers_stop;
    uint32_t active;  /* number of the runner that has taken over */
    uint32_t refused; /* settles */
    uint32_t out_of_order;
    uint32_t unsaved; /* second attempts without what the first one saved */
    uint32_t broken;  /* calls that failed */
    uint64_t watched[RELAY_PRODUCERS];
    uint64_t answered[RELAY_PRODUCERS]; /* of the watched ones */
    uint64_t sent[RELAY_PRODUCERS];
    uint64_t took_ns[4096]; /* of each take-over, by runner */
    uint64_t last[RELAY_PRODUCERS][RELAY_KEYS];
    uint32_t busy[RELAY_PRODUCERS][RELAY_KEYS];
    uint32_t runs[RELAY_PRODUCERS][RELAY_NUMBERS];
    uint32_t follow_runs[RELAY_PRODUCERS][RELAY_NUMBERS];
    uint64_t ids[RELAY_PRODUCERS][RELAY_NUMBERS]; /* as acknowledged, 0: not */
} relay_ledger;

typedef struct relay {
    char directory[64];
    relay_ledger *ledger;
    int page_fd;
    const hrt_page *page;
    hrt_grant grants[RELAY_LANES];
    int grant_fds[RELAY_LANES][HRT_GRANT_FD_COUNT];
    int fds[RELAY_LANES][HRT_FD_COUNT];
    pid_t clients[RELAY_LANES];
    uint32_t runners;  /* started so far */
    uint32_t segments; /* for all that the producers send */
} relay;

static inline hrt_runtime_options relay_options(const relay *r)
{
    return (hrt_runtime_options){.struct_size = sizeof(hrt_runtime_options),
                                 .abi_version = HRT_ABI_VERSION,
                                 .directory = r->directory,
                                 .segment_size = RELAY_SEGMENT,
                                 .lease_ns = RELAY_LEASE_NS,
                                 .segments_min = r->segments, /* so that none is used again */
                                 .segments_max = r->segments};
}

static inline void relay_pause(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
                                  .tv_nsec = (long)(ns % 1000000000u)};
    (void)nanosleep(&time, NULL);
}

/* ---- clients ---- */

static inline hrt_client *relay_attach(const relay *r, uint32_t lane)
{
    hrt_client *client = NULL;
    spawned_leave(r->fds[lane]);
    return spawned_attach(&client) == HRT_OK ? client : NULL;
}

static inline void relay_break(relay *r, const char *what, int status)
{
    char text[512];
    (void)hrt_last_error(text, sizeof(text));
    printf("# %s: %s: %s\n", what, hrt_status_name(status), text);
    (void)hrt_fetch_add_u32(&r->ledger->broken, 1);
}

static inline int relay_send(relay *r, hrt_client *client, uint32_t producer, uint64_t first,
                             uint32_t count)
{
    hrt_spec specs[RELAY_BATCH] = {0};
    uint32_t numbers[RELAY_BATCH][2];
    char keys[RELAY_BATCH];
    int64_t ids[RELAY_BATCH];
    uint64_t ticket = 0;
    for (uint32_t i = 0; i < count; i++) {
        numbers[i][0] = (uint32_t)(first + i);
        numbers[i][1] = producer;
        keys[i] = (char)('a' + (first + i) % RELAY_KEYS + RELAY_KEYS * producer);
        specs[i] = (hrt_spec){.payload = numbers[i],
                              .payload_length = sizeof(numbers[i]),
                              .key = &keys[i],
                              .key_length = 1,
                              .queue = (uint16_t)producer};
    }
    int status = hrt_enqueue(client, specs, count, 30 * RELAY_SECOND_NS, &ticket);
    if (status != HRT_OK) {
        return status;
    }
    hrt_store_release(&r->ledger->sent[producer], first + count);
    status = hrt_wait(client, ticket + count, 30 * RELAY_SECOND_NS);
    status = status == HRT_OK ? hrt_replies(client, ticket, count, ids) : status;
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        status = ids[i] > 0 ? HRT_OK : (int)ids[i];
        r->ledger->ids[producer][first + i] = ids[i] > 0 ? (uint64_t)ids[i] : 0;
    }
    return status;
}

/* Takes the answers that are there, waiting for the first up to so long. */
static inline int relay_hear(relay *r, hrt_client *client, uint32_t producer, int64_t timeout_ns)
{
    hrt_notice notices[16];
    uint32_t count = 0;
    const int status = hrt_poll(client, notices, 16, timeout_ns, &count);
    for (uint32_t i = 0; i < count; i++) {
        r->ledger->answered[producer] += notices[i].type == HRT_DELIVERY_RESULT;
        hrt_notice_free(&notices[i]);
    }
    return status;
}

/* Asks for the end of the job that was sent last: it comes once, whichever runtime sees it. */
static inline int relay_watch(relay *r, hrt_client *client, uint32_t producer, uint64_t number)
{
    relay_ledger *ledger = r->ledger;
    int status = HRT_OK;
    if (ledger->watched[producer] - ledger->answered[producer] < RELAY_WATCHES) {
        status = hrt_watch(client, ledger->ids[producer][number]);
        ledger->watched[producer]++;
    }
    if (status == HRT_OK) {
        status = relay_hear(r, client, producer, 0);
    }
    return status == HRT_EAGAIN ? HRT_OK : status;
}

/* Beyond this position there is no room for the settles of all that was sent. */
static inline uint64_t relay_limit(const relay *r)
{
    return (uint64_t)r->segments / 4 * RELAY_SEGMENT;
}

static inline void relay_produce(relay *r, uint32_t producer)
{
    hrt_client *client = relay_attach(r, producer);
    int status = client == NULL ? HRT_EREACH : HRT_OK;
    for (uint64_t next = 0; status == HRT_OK && next + RELAY_BATCH < RELAY_NUMBERS &&
                            hrt_load_acquire_u32(&r->ledger->producers_stop) == 0;) {
        uint32_t count = 1 + (uint32_t)(next % RELAY_BATCH);
        status = relay_send(r, client, producer, next, count);
        next += count;
        status = status == HRT_OK ? relay_watch(r, client, producer, next - 1) : status;
        if (next % RELAY_PAUSE_EVERY == 0) {
            relay_pause(1000000);
        }
        if (hrt_load_relaxed(&r->page->runtime.log_tail) > relay_limit(r)) {
            break;
        }
        while (hrt_load_relaxed(&r->page->queue_counters[producer].ready) > RELAY_BACKLOG &&
               hrt_load_acquire_u32(&r->ledger->producers_stop) == 0) {
            relay_pause(1000000);
        }
    }
    while (status == HRT_OK && r->ledger->answered[producer] < r->ledger->watched[producer]) {
        status = relay_hear(r, client, producer, 600 * RELAY_SECOND_NS);
    }
    if (status != HRT_OK) {
        relay_break(r, "a producer", status);
    }
    hrt_detach(client);
}

/* Says so when a job of a key runs before, or beside, one that was enqueued earlier. */
static inline void relay_handle(relay *r, uint32_t number, uint32_t producer, bool ends)
{
    relay_ledger *ledger = r->ledger;
    uint32_t key = number % RELAY_KEYS;
    bool alone = hrt_exchange_u32(&ledger->busy[producer][key], 1) == 0;
    bool later = hrt_load_acquire(&ledger->last[producer][key]) <= number;
    if (!alone || !later) {
        (void)hrt_fetch_add_u32(&ledger->out_of_order, 1);
    }
    (void)hrt_fetch_add_u32(&ledger->runs[producer][number], 1);
    if (ends) {
        hrt_store_release(&ledger->last[producer][key], number + 1);
    }
    hrt_store_release_u32(&ledger->busy[producer][key], 0);
}

/* A first attempt saves the job's numbers, a second one has to find them. */
static inline int relay_save(relay *r, hrt_client *client, const hrt_job *job,
                             const uint32_t numbers[2])
{
    const size_t size = 2 * sizeof(*numbers);
    if (numbers[0] >= RELAY_FOLLOW || numbers[0] % RELAY_RETRY_EVERY != 3) {
        return HRT_OK;
    }
    if (job->attempt == 1) {
        return hrt_save(client, job->id, job->token, numbers, size);
    }
    if (job->saved_length != size || memcmp(job->saved, numbers, size) != 0) {
        (void)hrt_fetch_add_u32(&r->ledger->unsaved, 1);
    }
    return HRT_OK;
}

static inline int relay_work_one(relay *r, hrt_client *client, const hrt_job *job)
{
    uint32_t numbers[2];
    memcpy(numbers, job->payload, sizeof(numbers));
    hrt_job_started(job);
    if (numbers[0] % RELAY_SLOW_EVERY == 0) {
        relay_pause(60000000);
    }
    if (numbers[0] >= RELAY_FOLLOW) {
        (void)hrt_fetch_add_u32(&r->ledger->follow_runs[numbers[1]][numbers[0] - RELAY_FOLLOW], 1);
    } else {
        bool fails = job->attempt == 1 && numbers[0] % RELAY_RETRY_EVERY == 3;
        relay_handle(r, numbers[0], numbers[1], !fails);
    }
    int status = relay_save(r, client, job, numbers);
    if (status != HRT_OK) {
        return status;
    }
    uint32_t follow[2] = {numbers[0] + RELAY_FOLLOW, numbers[1]};
    hrt_spec spec = {.payload = follow, .payload_length = sizeof(follow), .queue = job->queue};
    bool plain = numbers[0] < RELAY_FOLLOW;
    bool fails = plain && job->attempt == 1 && numbers[0] % RELAY_RETRY_EVERY == 3;
    bool follows = plain && !fails && numbers[0] % RELAY_FOLLOW_EVERY == 7;
    hrt_settlement settlement = {.job = job->id,
                                 .token = job->token,
                                 .outcome = fails ? HRT_OUTCOME_RETRY : HRT_OUTCOME_OK,
                                 .follow = &spec,
                                 .follow_count = follows};
    return hrt_settle(client, &settlement, 1);
}

static inline void relay_count_refusals(relay *r, hrt_client *client)
{
    hrt_notice notice;
    uint32_t count = 0;
    while (hrt_poll(client, &notice, 1, 0, &count) == HRT_OK) {
        if (notice.type == HRT_DELIVERY_REFUSED) {
            (void)hrt_fetch_add_u32(&r->ledger->refused, 1);
        }
        hrt_notice_free(&notice);
    }
}

static inline void relay_work(relay *r, uint32_t lane)
{
    static const char *const kinds[] = {"relay.job"};
    const hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = 4, .language = "c"};
    hrt_client *client = relay_attach(r, lane);
    hrt_job jobs[16];
    uint32_t count = 0;
    int status = client == NULL ? HRT_EREACH : hrt_register(client, &served);
    while (status == HRT_OK && hrt_load_acquire_u32(&r->ledger->workers_stop) == 0) {
        status = hrt_fetch(client, jobs, 16, RELAY_SECOND_NS / 20, &count);
        for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
            status = relay_work_one(r, client, &jobs[i]);
        }
        relay_count_refusals(r, client);
        status = status == HRT_EAGAIN ? HRT_OK : status;
    }
    if (status != HRT_OK) {
        relay_break(r, "a worker", status);
    }
    hrt_detach(client);
}

static inline void relay_start_clients(relay *r)
{
    (void)fflush(stdout);
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        r->clients[lane] = fork();
        REQUIRE(r->clients[lane] >= 0);
        if (r->clients[lane] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (lane < RELAY_PRODUCERS) {
                relay_produce(r, lane);
            } else {
                relay_work(r, lane);
            }
            (void)fflush(stdout);
            _exit(0);
        }
    }
}

static inline void relay_reap(const relay *r, uint32_t from, uint32_t to)
{
    for (uint32_t lane = from; lane < to; lane++) {
        int status = 0;
        REQUIRE(waitpid(r->clients[lane], &status, 0) == r->clients[lane]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- runners ---- */

static inline hrt_standby *relay_standby(const relay *r)
{
    const hrt_runtime_options options = relay_options(r);
    hrt_standby *standby = NULL;
    REQUIRE(hrt_standby_open(&options, r->page_fd, &standby) == HRT_OK);
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        int fds[HRT_GRANT_FD_COUNT];
        for (int i = 0; i < HRT_GRANT_FD_COUNT; i++) {
            fds[i] = fcntl(r->grant_fds[lane][i], F_DUPFD_CLOEXEC, 3);
        }
        REQUIRE(hrt_standby_grant(standby, &r->grants[lane], fds) == HRT_OK);
    }
    return standby;
}

/* Follows until it can take over, then is the runtime. */
static inline int relay_run(relay *r, uint32_t number)
{
    hrt_standby *standby = relay_standby(r);
    hrt_runtime *runtime = NULL;
    int status = HRT_EBUSY;
    uint64_t began = 0;
    while (status == HRT_EBUSY) {
        status = hrt_standby_run(standby);
        if (status != HRT_ECLOSED) {
            return status;
        }
        began = hrt_clock_ns(CLOCK_MONOTONIC);
        status = hrt_standby_take_over(standby, RELAY_SECOND_NS / 100, &runtime);
    }
    if (status != HRT_OK) {
        return status;
    }
    hrt_runtime_standby(runtime, 1);
    r->ledger->took_ns[number % 4096] = hrt_clock_ns(CLOCK_MONOTONIC) - began;
    hrt_store_release_u32(&r->ledger->active, number);
    return hrt_runtime_run(runtime);
}

static inline pid_t relay_start_runner(relay *r)
{
    uint32_t number = ++r->runners;
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int status = relay_run(r, number);
        relay_break(r, "a runner", status);
        (void)fflush(stdout);
        _exit(1);
    }
    return child;
}

static inline void relay_kill(pid_t runner)
{
    int status = 0;
    CHECK_EQ(kill(runner, SIGKILL), 0);
    CHECK_EQ(waitpid(runner, &status, 0), runner);
    CHECK(WIFSIGNALED(status));
}

/* Until a runner of this number or a later one has taken over. */
static inline void relay_await(const relay *r, uint32_t number)
{
    while (hrt_load_acquire_u32(&r->ledger->active) < number &&
           hrt_load_acquire_u32(&r->ledger->broken) == 0) {
        relay_pause(200000);
    }
}

/* ---- the whole ---- */

static inline void relay_make_lanes(relay *r, hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        uint64_t incarnation = 0;
        REQUIRE(hrt_runtime_lane(runtime, 0, 0, "pool", "client", r->fds[lane], &incarnation) ==
                HRT_OK);
        REQUIRE(hrt_runtime_grant(runtime, incarnation, &r->grants[lane], r->grant_fds[lane]) ==
                HRT_OK);
    }
}

/* The first runtime declares all, makes the lanes, and lets go: in this process, without a run. */
static inline void relay_begin(relay *r, uint32_t segments)
{
    static const char *const names[RELAY_PRODUCERS] = {"safe", "fast"};
    *r = (relay){.segments = segments};
    scratch_make(r->directory);
    r->ledger = mmap(NULL, sizeof(relay_ledger), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(r->ledger != MAP_FAILED);
    const hrt_runtime_options options = relay_options(r);
    hrt_runtime *runtime = NULL;
    uint16_t number = 0;
    REQUIRE(hrt_runtime_open(&options, &runtime) == HRT_OK);
    REQUIRE(hrt_runtime_kind(runtime, "relay.job", &number) == HRT_OK);
    for (uint32_t queue = 0; queue < RELAY_PRODUCERS; queue++) {
        hrt_queue_settings settings = {.weight = 1,
                                       .durability =
                                           queue == 0 ? HRT_DURABILITY_SYNC : HRT_DURABILITY_MEMORY,
                                       .max_attempts = 20,
                                       .max_crashes = 3};
        (void)snprintf(settings.name, sizeof(settings.name), "%s", names[queue]);
        REQUIRE(hrt_runtime_queue(runtime, &settings, &number) == HRT_OK);
    }
    relay_make_lanes(r, runtime);
    hrt_runtime_standby(runtime, 1);
    REQUIRE(hrt_runtime_page_fd(runtime, &r->page_fd) == HRT_OK);
    r->page = mmap(NULL, sizeof(hrt_page), PROT_READ, MAP_SHARED, r->page_fd, 0);
    REQUIRE(r->page != MAP_FAILED);
    REQUIRE(hrt_runtime_release(runtime) == HRT_OK);
}

static inline bool relay_is_idle(const relay *r)
{
    uint64_t left = 0;
    for (uint32_t queue = 0; queue < RELAY_PRODUCERS; queue++) {
        const hrt_queue_counters *counters = &r->page->queue_counters[queue];
        left += hrt_load_relaxed(&counters->ready) + hrt_load_relaxed(&counters->running) +
                hrt_load_relaxed(&counters->scheduled) + hrt_load_relaxed(&counters->retrying);
    }
    return left == 0;
}

/* Producers end, the runtime works off what is there, workers end. */
static inline void relay_finish(relay *r, pid_t runner)
{
    hrt_store_release_u32(&r->ledger->producers_stop, 1);
    relay_reap(r, 0, RELAY_PRODUCERS);
    while (!relay_is_idle(r) && hrt_load_acquire_u32(&r->ledger->broken) == 0) {
        relay_pause(1000000);
    }
    hrt_store_release_u32(&r->ledger->workers_stop, 1);
    relay_reap(r, RELAY_PRODUCERS, RELAY_LANES);
    relay_kill(runner);
}

static inline void relay_end(relay *r)
{
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        for (int i = 0; i < HRT_FD_COUNT; i++) {
            (void)close(r->fds[lane][i]);
        }
        for (int i = 0; i < HRT_GRANT_FD_COUNT; i++) {
            (void)close(r->grant_fds[lane][i]);
        }
    }
    (void)munmap((void *)(uintptr_t)r->page, sizeof(hrt_page));
    (void)close(r->page_fd);
    (void)munmap(r->ledger, sizeof(relay_ledger));
    scratch_remove();
}

#endif
