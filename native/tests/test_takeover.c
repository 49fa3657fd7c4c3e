/*
 * Runtimes die at random moments, also while they take over, and others go on with their log and
 * their lanes. Afterwards the log is asked: each number that was sent is there exactly once, with
 * the id that was acknowledged; no attempt was settled twice; no handler ran once too often.
 * LONG=1: more kills.
 */
#include "dispatch.h"
#include "host.h"
#include "lane.h"
#include "log_state.h"
#include "park.h"
#include "relay_check.h"

enum {
    KILLS = 40,
    KILLS_LONG = 1000,
    SEGMENTS = 64,
    SEGMENTS_LONG = 1024,
    LIMIT_MS = 500,
};

static void nothing_is_lost_or_done_twice_when_runtimes_die(void)
{
    relay r;
    const char *text = getenv("LONG");
    bool longer = text != NULL && text[0] == '1';
    uint32_t kills = longer ? KILLS_LONG : KILLS;
    unsigned seed = (unsigned)hrt_clock_ns(CLOCK_MONOTONIC);
    printf("# seed %u, %u kills\n", seed, kills);
    relay_begin(&r, longer ? SEGMENTS_LONG : SEGMENTS);
    relay_start_clients(&r);
    pid_t active = relay_start_runner(&r);
    for (uint32_t i = 0; i < kills && r.ledger->broken == 0; i++) {
        pid_t standby = relay_start_runner(&r);
        /* Every third one is killed on the way: before, in or right after its take-over. */
        if (rand_r(&seed) % 3 != 0) {
            relay_await(&r, r.runners - 1);
            relay_pause((uint64_t)rand_r(&seed) % 30000000);
        } else {
            relay_pause((uint64_t)rand_r(&seed) % 5000000);
        }
        relay_kill(active);
        active = standby;
    }
    relay_await(&r, r.runners);
    relay_finish(&r, active);
    check_all(&r);
    relay_end(&r);
}

/* ---- one step at a time: clients of this process, runtimes that come and go ---- */

typedef struct desk {
    relay r;
    host host;
    hrt_client *producer; /* of lane 0 */
    hrt_client *worker;   /* of the first lane that a worker may have */
} desk;

static void desk_take_over(desk *d)
{
    hrt_standby *standby = relay_standby(&d->r);
    CHECK_EQ(hrt_standby_run(standby), HRT_ECLOSED);
    REQUIRE(hrt_standby_take_over(standby, RELAY_SECOND_NS, &d->host.runtime) == HRT_OK);
}

static void desk_leave(desk *d)
{
    host_stop(&d->host);
    CHECK_EQ(hrt_runtime_release(d->host.runtime), HRT_OK);
}

static void desk_close(desk *d)
{
    hrt_runtime_close(d->host.runtime);
    relay_end(&d->r);
}

static hrt_client *desk_worker(const desk *d, uint32_t lane)
{
    static const char *const kinds[] = {"relay.job"};
    const hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = 1, .credit = 1, .language = "c"};
    hrt_client *client = relay_attach(&d->r, lane);
    REQUIRE(client != NULL && hrt_register(client, &served) == HRT_OK);
    return client;
}

static void desk_staff(desk *d)
{
    relay_begin(&d->r, SEGMENTS);
    d->producer = relay_attach(&d->r, 0);
    d->worker = desk_worker(d, RELAY_PRODUCERS);
}

static void desk_dismiss(desk *d)
{
    hrt_detach(d->producer);
    hrt_detach(d->worker);
}

static uint64_t send_one(hrt_client *client, uint32_t number)
{
    const uint32_t numbers[2] = {number, 0};
    const hrt_spec spec = {.payload = numbers, .payload_length = sizeof(numbers)};
    uint64_t ticket = 0;
    REQUIRE(hrt_enqueue(client, &spec, 1, RELAY_SECOND_NS, &ticket) == HRT_OK);
    return ticket;
}

static int64_t answer_of(hrt_client *client, uint64_t ticket)
{
    int64_t id = 0;
    CHECK_EQ(hrt_wait(client, ticket + 1, 10 * RELAY_SECOND_NS), HRT_OK);
    CHECK_EQ(hrt_replies(client, ticket, 1, &id), HRT_OK);
    return id;
}

static hrt_job fetch_one(hrt_client *client)
{
    hrt_job job = {0};
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, &job, 1, 10 * RELAY_SECOND_NS, &count), HRT_OK);
    return job;
}

static void settle_ok(hrt_client *client, const hrt_job *job)
{
    const hrt_settlement end = {.job = job->id, .token = job->token, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(client, &end, 1), HRT_OK);
}

/* Whether the job has left the state when it runs no more. */
static bool ends_for_good(hrt_runtime *runtime, uint64_t job)
{
    hrt_job_info info;
    int status;
    while ((status = hrt_runtime_job(runtime, job, &info)) == HRT_OK &&
           info.state == HRT_JOB_RUNNING) {
        relay_pause(200000);
    }
    return status == HRT_ENOTFOUND;
}

static void await_gone(hrt_runtime *runtime, uint64_t job)
{
    hrt_job_info info;
    while (hrt_runtime_job(runtime, job, &info) == HRT_OK) {
        relay_pause(200000);
    }
}

static void a_running_job_stays_where_it_is(void)
{
    desk d;
    desk_staff(&d);
    uint64_t ticket = send_one(d.producer, 1); /* while nobody is there */
    desk_take_over(&d);
    host_start(&d.host);
    int64_t id = answer_of(d.producer, ticket);
    hrt_job job = fetch_one(d.worker);
    CHECK_EQ(job.id, id);
    hrt_job_started(&job);
    desk_leave(&d);
    uint64_t later = send_one(d.producer, 2);
    desk_take_over(&d);
    hrt_job_info info;
    CHECK_EQ(hrt_runtime_job(d.host.runtime, job.id, &info), HRT_OK);
    CHECK_EQ(info.state, HRT_JOB_RUNNING);
    CHECK_EQ(info.token, job.token);
    hrt_recovery recovery;
    hrt_runtime_recovery(d.host.runtime, &recovery);
    CHECK_EQ(recovery.lost_leases, 0);
    host_start(&d.host);
    settle_ok(d.worker, &job);
    await_gone(d.host.runtime, job.id);
    hrt_job next = fetch_one(d.worker);
    CHECK_EQ(next.id, answer_of(d.producer, later));
    CHECK_EQ(hrt_runtime_page(d.host.runtime)->runtime.refused, 0);
    desk_dismiss(&d);
    host_stop(&d.host);
    desk_close(&d);
}

/* A worker that no standby knew of is gone with its runtime: its job goes to another one. */
static void jobs_of_lanes_that_were_not_handed_over_are_lost(void)
{
    desk d;
    desk_staff(&d);
    uint64_t ticket = send_one(d.producer, 1);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_job job = fetch_one(d.worker);
    CHECK_EQ(job.id, answer_of(d.producer, ticket));
    desk_leave(&d);
    hrt_standby *standby = relay_standby(&d.r);
    hrt_standby_forget(standby, d.r.grants[RELAY_PRODUCERS].incarnation);
    CHECK_EQ(hrt_standby_run(standby), HRT_ECLOSED);
    REQUIRE(hrt_standby_take_over(standby, RELAY_SECOND_NS, &d.host.runtime) == HRT_OK);
    hrt_recovery recovery;
    hrt_job_info info;
    hrt_runtime_recovery(d.host.runtime, &recovery);
    CHECK_EQ(recovery.lost_leases, 1);
    CHECK_EQ(hrt_runtime_job(d.host.runtime, job.id, &info), HRT_OK);
    CHECK_EQ(info.outcome, HRT_OUTCOME_LOST);
    CHECK_EQ(info.attempt, 1);
    desk_dismiss(&d);
    desk_close(&d);
}

static hrt_lane *map_lane(const relay *r, uint32_t lane)
{
    hrt_lane *shared =
        mmap(NULL, hrt_lane_size(r->grants[lane].submit_capacity), PROT_READ | PROT_WRITE,
             MAP_SHARED, r->grant_fds[lane][HRT_GRANT_LANE], 0);
    REQUIRE(shared != MAP_FAILED);
    return shared;
}

static void shut(const relay *r, uint32_t lane)
{
    size_t size = hrt_lane_size(r->grants[lane].submit_capacity);
    hrt_lane *shared = map_lane(r, lane);
    shared->closed = (uint32_t)HRT_ECLOSED;
    (void)munmap(shared, size);
}

static uint32_t count_events(hrt_runtime *runtime, uint32_t type, uint64_t incarnation)
{
    hrt_event events[64];
    uint32_t count = 0;
    uint32_t found = 0;
    CHECK_EQ(hrt_runtime_events(runtime, events, 64, &count), HRT_OK);
    for (uint32_t i = 0; i < count; i++) {
        found += events[i].type == type && events[i].incarnation == incarnation;
    }
    return found;
}

/* Whether this lane keeps a segment, whoever else does: it is asked first. */
static bool pins(hrt_runtime *runtime, uint32_t lane, uint64_t segment)
{
    runtime->pinning_lane = lane;
    return hrt_effect_pinned(runtime, segment) && runtime->pinning_lane == lane;
}

/* Its process may be stopped amid its handler: what it reads there must not be written over. */
static void what_a_shut_lane_reads_stays_until_its_process_is_gone(void)
{
    desk d;
    desk_staff(&d);
    uint64_t incarnation = d.r.grants[RELAY_PRODUCERS].incarnation;
    uint64_t ticket = send_one(d.producer, 1);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_job job = fetch_one(d.worker);
    CHECK_EQ(job.id, answer_of(d.producer, ticket));
    desk_leave(&d);
    shut(&d.r, RELAY_PRODUCERS);
    desk_take_over(&d);
    CHECK_EQ(count_events(d.host.runtime, HRT_EVENT_HUNG, incarnation), 1);
    hrt_job_info info;
    CHECK_EQ(hrt_runtime_job(d.host.runtime, job.id, &info), HRT_OK);
    CHECK_EQ(info.outcome, HRT_OUTCOME_LOST);
    uint32_t lane = d.r.grants[RELAY_PRODUCERS].number;
    CHECK(pins(d.host.runtime, lane, hrt_log_current(d.host.runtime->log)));
    CHECK(!pins(d.host.runtime, lane, hrt_log_current(d.host.runtime->log) + 1));
    CHECK_EQ(hrt_runtime_lane_gone(d.host.runtime, incarnation, 1), HRT_OK);
    CHECK(!pins(d.host.runtime, lane, hrt_log_current(d.host.runtime->log)));
    desk_dismiss(&d);
    desk_close(&d);
}

/* Returns whether the worker is asked to stop the job within so long. */
static bool is_stopped(hrt_client *worker, uint64_t job, int64_t timeout_ns)
{
    hrt_notice notice = {0};
    uint32_t count = 0;
    int status = hrt_poll(worker, &notice, 1, timeout_ns, &count);
    CHECK(status == HRT_OK || status == HRT_EAGAIN);
    return status == HRT_OK && count == 1 && notice.type == HRT_DELIVERY_CANCEL &&
           notice.job == job;
}

static void a_cancelled_job_is_stopped_by_the_next_runtime_too(void)
{
    desk d;
    desk_staff(&d);
    (void)send_one(d.producer, 1);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_job job = fetch_one(d.worker);
    hrt_job_started(&job);
    CHECK_EQ(hrt_runtime_cancel(d.host.runtime, job.id), HRT_OK);
    CHECK(is_stopped(d.worker, job.id, 10 * RELAY_SECOND_NS));
    desk_leave(&d);
    desk_take_over(&d);
    host_start(&d.host);
    CHECK(is_stopped(d.worker, job.id, 10 * RELAY_SECOND_NS));
    desk_leave(&d);
    const hrt_settlement end = {.job = job.id, .token = job.token, .outcome = HRT_OUTCOME_RETRY};
    CHECK_EQ(hrt_settle(d.worker, &end, 1), HRT_OK); /* the next one takes it before it knows */
    desk_take_over(&d);
    host_start(&d.host);
    await_gone(d.host.runtime, job.id);
    desk_dismiss(&d);
    host_stop(&d.host);
    desk_close(&d);
}

/* Not tried again for an hour, unless it is over. */
static void settle_retry(hrt_client *worker, const hrt_job *job)
{
    const hrt_settlement end = {.job = job->id,
                                .token = job->token,
                                .outcome = HRT_OUTCOME_RETRY,
                                .delay_ns = 3600 * RELAY_SECOND_NS};
    CHECK_EQ(hrt_settle(worker, &end, 1), HRT_OK);
}

/*
 * Until the next takeover the client's own thread takes no deliveries: it does not begin to, and
 * one that it had begun with is over after the second beat.
 */
static void keep_from_reading(hrt_lane *lane)
{
    enum { BEATS = 2 };
    hrt_store_release_u32(&lane->takeovers, 0);
    for (uint32_t i = 0; i < BEATS; i++) {
        uint64_t beat = hrt_load_acquire(&lane->heartbeat_ns);
        while (hrt_load_acquire(&lane->heartbeat_ns) == beat) {
            hrt_park_wake_raw(&lane->runtime_alive);
            relay_pause(1000000);
        }
    }
}

/* A runtime in a process of its own dies with a request that its worker has not seen. */
static hrt_job cancel_unseen(desk *d)
{
    (void)send_one(d->producer, 1);
    pid_t runner = relay_start_runner(&d->r);
    relay_await(&d->r, d->r.runners);
    hrt_job job = fetch_one(d->worker);
    hrt_job_started(&job);
    hrt_lane *lane = map_lane(&d->r, RELAY_PRODUCERS);
    keep_from_reading(lane);
    uint64_t seen = hrt_load_acquire(&lane->deliver_tail);
    CHECK_EQ(hrt_cancel(d->producer, job.id), HRT_OK);
    while (hrt_load_acquire(&lane->deliver_tail) == seen) {
        relay_pause(1000000);
    }
    /* As it is while what was delivered before waits for the disk. */
    hrt_store_release(&lane->deliver_tail, seen);
    REQUIRE(hrt_load_acquire(&lane->deliver_head) <= seen);
    relay_kill(runner);
    (void)munmap(lane, hrt_lane_size(d->r.grants[RELAY_PRODUCERS].submit_capacity));
    return job;
}

static void a_cancel_that_its_worker_never_saw_holds(void)
{
    desk d;
    desk_staff(&d);
    hrt_job job = cancel_unseen(&d);
    desk_take_over(&d);
    host_start(&d.host);
    CHECK(is_stopped(d.worker, job.id, 10 * RELAY_SECOND_NS));
    desk_leave(&d);
    settle_retry(d.worker, &job);
    desk_take_over(&d);
    host_start(&d.host);
    CHECK(ends_for_good(d.host.runtime, job.id));
    desk_dismiss(&d);
    host_stop(&d.host);
    desk_close(&d);
}

/* The worker of a cancelled job failed, and then the runtime died: it is not tried again. */
static void a_cancel_holds_for_what_its_worker_says_meanwhile(void)
{
    desk d;
    hrt_job_info info;
    desk_staff(&d);
    hrt_job job = cancel_unseen(&d);
    settle_retry(d.worker, &job);
    desk_take_over(&d);
    CHECK_EQ(hrt_runtime_job(d.host.runtime, job.id, &info), HRT_ENOTFOUND);
    desk_dismiss(&d);
    desk_close(&d);
}

/* Its lane is gone too: what nobody can be asked to stop any more has ended. */
static void a_cancel_holds_when_nobody_goes_on_with_the_lane(void)
{
    desk d;
    hrt_job_info info;
    desk_staff(&d);
    hrt_job job = cancel_unseen(&d);
    const hrt_runtime_options options = relay_options(&d.r);
    REQUIRE(hrt_runtime_open(&options, &d.host.runtime) == HRT_OK);
    CHECK_EQ(hrt_runtime_job(d.host.runtime, job.id, &info), HRT_ENOTFOUND);
    desk_dismiss(&d);
    desk_close(&d);
}

/* A job that is over its limit is asked to stop, and a cancel comes: it is not tried again. */
static void a_cancel_outranks_a_time_limit(void)
{
    desk d;
    desk_staff(&d);
    (void)send_one(d.producer, 1);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_job job = fetch_one(d.worker);
    hrt_job_started(&job);
    CHECK_EQ(hrt_extend(d.worker, job.id, job.token, 0), HRT_OK);
    CHECK(is_stopped(d.worker, job.id, 10 * RELAY_SECOND_NS));
    CHECK_EQ(hrt_runtime_cancel(d.host.runtime, job.id), HRT_OK);
    settle_retry(d.worker, &job);
    CHECK(ends_for_good(d.host.runtime, job.id));
    desk_dismiss(&d);
    host_stop(&d.host);
    desk_close(&d);
}

static void a_moved_limit_holds_under_the_next_runtime(void)
{
    desk d;
    desk_staff(&d);
    const uint32_t numbers[2] = {1, 0};
    const hrt_spec spec = {
        .payload = numbers, .payload_length = sizeof(numbers), .timeout_ms = LIMIT_MS};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(d.producer, &spec, 1, RELAY_SECOND_NS, &ticket), HRT_OK);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_job job = fetch_one(d.worker);
    hrt_job_started(&job);
    CHECK_EQ(hrt_extend(d.worker, job.id, job.token, (uint64_t)600 * 1000000000), HRT_OK);
    desk_leave(&d);
    desk_take_over(&d);
    host_start(&d.host);
    CHECK(!is_stopped(d.worker, job.id, (int64_t)3 * LIMIT_MS * 1000000));
    CHECK_EQ(hrt_extend(d.worker, job.id, job.token, 0), HRT_OK);
    CHECK(is_stopped(d.worker, job.id, 10 * RELAY_SECOND_NS));
    settle_ok(d.worker, &job);
    await_gone(d.host.runtime, job.id);
    desk_dismiss(&d);
    host_stop(&d.host);
    desk_close(&d);
}

static void limit(hrt_runtime *runtime, uint32_t max_jobs)
{
    hrt_queue_settings settings = {
        .name = "safe", .weight = 1, .max_jobs = max_jobs, .max_attempts = 20, .max_crashes = 3};
    uint16_t queue = 0;
    REQUIRE(hrt_runtime_queue(runtime, &settings, &queue) == HRT_OK && queue == 0);
}

static int64_t send_blocking(hrt_client *client, uint32_t number, bool wait)
{
    const uint32_t numbers[2] = {number, 0};
    const hrt_spec spec = {.payload = numbers, .payload_length = sizeof(numbers), .block = 1};
    uint64_t ticket = 0;
    int64_t id = 0;
    if (wait) {
        CHECK_EQ(hrt_enqueue_wait(client, &spec, 1, 10 * RELAY_SECOND_NS, &id), HRT_OK);
        return id;
    }
    REQUIRE(hrt_enqueue(client, &spec, 1, RELAY_SECOND_NS, &ticket) == HRT_OK);
    return (int64_t)ticket;
}

/* What a producer sent behind a job that waits for room must not overtake it. */
static void a_job_that_waits_for_room_keeps_its_turn(void)
{
    desk d;
    relay_begin(&d.r, SEGMENTS);
    hrt_client *producer = relay_attach(&d.r, 0);
    desk_take_over(&d);
    limit(d.host.runtime, 1);
    host_start(&d.host);
    int64_t first = answer_of(producer, send_one(producer, 1));
    CHECK_EQ(answer_of(producer, (uint64_t)send_blocking(producer, 2, false)), HRT_EFULL);
    CHECK_EQ(hrt_runtime_cancel(d.host.runtime, (uint64_t)first), HRT_OK);
    desk_leave(&d);
    uint64_t behind = (uint64_t)send_blocking(producer, 3, false);
    desk_take_over(&d);
    host_start(&d.host);
    CHECK_EQ(answer_of(producer, behind), HRT_EFULL);
    CHECK(send_blocking(producer, 4, true) > first);
    hrt_detach(producer);
    host_stop(&d.host);
    desk_close(&d);
}

static void only_one_has_the_lock(void)
{
    desk d;
    relay_begin(&d.r, SEGMENTS);
    const hrt_runtime_options options = relay_options(&d.r);
    hrt_standby *late = relay_standby(&d.r);
    hrt_runtime *other = NULL;
    desk_take_over(&d);
    CHECK_EQ(hrt_standby_take_over(late, 1000000, &other), HRT_EBUSY);
    CHECK_EQ(hrt_runtime_open(&options, &other), HRT_EBUSY);
    CHECK(other == NULL);
    hrt_runtime_close(d.host.runtime);
    REQUIRE(hrt_standby_take_over(late, RELAY_SECOND_NS, &d.host.runtime) == HRT_OK);
    desk_close(&d);
}

/* ---- following ---- */

static void *follow(void *standby)
{
    return (void *)(intptr_t)hrt_standby_run(standby);
}

/* Until the standby has applied all and has compared a checkpoint from `sequence` on. */
static hrt_standby_info await_followed(hrt_standby *standby, uint64_t jobs, uint64_t sequence)
{
    hrt_standby_info info = {0};
    do {
        relay_pause(1000000);
        hrt_standby_status(standby, &info);
    } while (info.jobs != jobs || info.behind > 0 || info.state_hash_at < sequence);
    return info;
}

static void a_standby_has_the_same_state(void)
{
    enum { JOBS = 2000 };
    desk d;
    pthread_t follower;
    void *status = NULL;
    relay_begin(&d.r, SEGMENTS);
    hrt_client *producer = relay_attach(&d.r, 0);
    desk_take_over(&d);
    host_start(&d.host);
    hrt_standby *standby = relay_standby(&d.r);
    REQUIRE(pthread_create(&follower, NULL, follow, standby) == 0);
    uint64_t last = 0;
    for (uint32_t number = 0; number < JOBS; number++) {
        last = send_one(producer, number);
    }
    uint64_t id = (uint64_t)answer_of(producer, last);
    hrt_standby_info info = await_followed(standby, JOBS, id);
    CHECK(info.sequence >= info.state_hash_at);
    CHECK_EQ(info.lanes, RELAY_LANES);
    CHECK_EQ(info.restarts, 0);
    hrt_standby_stop(standby);
    (void)pthread_join(follower, &status);
    CHECK_EQ((intptr_t)status, HRT_OK);
    hrt_standby_close(standby);
    hrt_detach(producer);
    host_stop(&d.host);
    desk_close(&d);
}

typedef struct follower {
    hrt_standby *standby;
    pthread_t thread;
} follower;

static follower follow_along(const relay *r)
{
    follower f = {.standby = relay_standby(r)};
    REQUIRE(pthread_create(&f.thread, NULL, follow, f.standby) == 0);
    return f;
}

static void await_end(const follower *f, int expected)
{
    void *status = NULL;
    (void)pthread_join(f->thread, &status);
    CHECK_EQ((intptr_t)status, expected);
}

static uint64_t applied(hrt_standby *standby)
{
    hrt_standby_info info;
    hrt_standby_status(standby, &info);
    return info.sequence;
}

/* Returns the last one. */
static uint64_t fill(hrt_client *producer, uint32_t jobs)
{
    enum { BATCH = 100 };
    static hrt_spec specs[BATCH]; /* without a payload, key or queue */
    uint64_t ticket = 0;
    for (uint32_t sent = 0; sent < jobs; sent += BATCH) {
        REQUIRE(hrt_enqueue(producer, specs, BATCH, 10 * RELAY_SECOND_NS, &ticket) == HRT_OK);
    }
    return (uint64_t)answer_of(producer, ticket + BATCH - 1);
}

/* Stopped amid the log, again and again, it passes over nothing. */
static void a_standby_that_was_stopped_goes_on_where_it_was(void)
{
    enum { JOBS = 30000 };
    desk d;
    relay_begin(&d.r, SEGMENTS);
    hrt_client *producer = relay_attach(&d.r, 0);
    desk_take_over(&d);
    host_start(&d.host);
    uint64_t last = fill(producer, JOBS);
    follower f = {.standby = relay_standby(&d.r)};
    hrt_standby_info info = {0};
    do {
        uint64_t before = applied(f.standby);
        REQUIRE(pthread_create(&f.thread, NULL, follow, f.standby) == 0);
        do {
            hrt_standby_status(f.standby, &info);
        } while (info.sequence == before);
        hrt_standby_stop(f.standby);
        await_end(&f, HRT_OK);
        hrt_standby_status(f.standby, &info);
    } while (info.sequence < last);
    CHECK_EQ(info.jobs, JOBS);
    hrt_standby_close(f.standby);
    hrt_detach(producer);
    host_stop(&d.host);
    desk_close(&d);
}

enum { ASLEEP_MS = 100 }; /* after so long without news a standby sleeps */

static uint64_t ms_since(uint64_t ns)
{
    return (hrt_clock_ns(CLOCK_MONOTONIC) - ns) / 1000000;
}

/* While an upgrade is under way there are two of them: one that leaves takes no wake-up along. */
static void a_standby_that_leaves_takes_no_wake_from_another(void)
{
    desk d;
    relay_begin(&d.r, SEGMENTS);
    hrt_client *producer = relay_attach(&d.r, 0);
    desk_take_over(&d);
    host_start(&d.host);
    follower stays = follow_along(&d.r);
    follower leaves = follow_along(&d.r);
    relay_pause(ASLEEP_MS * 1000000);
    hrt_standby_stop(leaves.standby);
    await_end(&leaves, HRT_OK);
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    uint64_t id = (uint64_t)answer_of(producer, send_one(producer, 1));
    while (applied(stays.standby) < id) {
        relay_pause(1000000);
    }
    CHECK(ms_since(began) < 2000);
    hrt_standby_stop(stays.standby);
    await_end(&stays, HRT_OK);
    hrt_standby_close(leaves.standby);
    hrt_standby_close(stays.standby);
    hrt_detach(producer);
    host_stop(&d.host);
    desk_close(&d);
}

/* The kernel wakes one sleeper of a robust futex. */
static void all_that_follow_notice_the_death(void)
{
    relay r;
    enum { FOLLOWERS = 3 };
    follower followers[FOLLOWERS];
    relay_begin(&r, SEGMENTS);
    pid_t active = relay_start_runner(&r);
    relay_await(&r, r.runners);
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        followers[i] = follow_along(&r);
    }
    relay_pause(ASLEEP_MS * 1000000);
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    relay_kill(active);
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        await_end(&followers[i], HRT_ECLOSED);
        hrt_standby_close(followers[i].standby);
    }
    CHECK(ms_since(began) < 2000);
    relay_end(&r);
}

/* ---- lanes that were scribbled over ---- */

typedef void (*scribble)(hrt_lane *lane);

static void slot_ahead(hrt_lane *lane)
{
    lane->progress[0].submit = lane->progress[1].submit = 1 << 20;
}

static void slot_odd(hrt_lane *lane)
{
    lane->progress[0].submit = lane->progress[1].submit = 3;
}

static void slot_at_the_end_of_time(hrt_lane *lane)
{
    lane->progress[0].submit = lane->progress[1].submit = UINT64_MAX - 7;
}

static void replies_far_ahead(hrt_lane *lane)
{
    lane->progress[0].reply = lane->progress[1].reply = 1 << 20;
}

static void tail_far_ahead(hrt_lane *lane)
{
    lane->submit_tail = (uint64_t)1 << 40;
}

static void tail_behind(hrt_lane *lane)
{
    lane->submit_head = 4096;
}

static void deliveries_far_ahead(hrt_lane *lane)
{
    lane->deliver_head = 1 << 20;
}

static void constants_gone(hrt_lane *lane)
{
    memset(lane, 0xff, offsetof(hrt_lane, pad_0));
    lane->deliver_tail = lane->reply_tail = UINT64_MAX;
}

static void scribble_over(const relay *r, uint32_t lane, scribble how)
{
    size_t size = hrt_lane_size(r->grants[lane].submit_capacity);
    hrt_lane *shared = map_lane(r, lane);
    how(shared);
    (void)munmap(shared, size);
}

static void a_spoiled_lane_harms_nobody(void)
{
    static const scribble ways[] = {slot_ahead,           slot_odd,       slot_at_the_end_of_time,
                                    replies_far_ahead,    tail_far_ahead, tail_behind,
                                    deliveries_far_ahead, constants_gone};
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
        desk d;
        relay_begin(&d.r, SEGMENTS);
        hrt_client *producer = relay_attach(&d.r, 0);
        uint64_t ticket = send_one(producer, 1);
        scribble_over(&d.r, RELAY_PRODUCERS, ways[way]);
        desk_take_over(&d);
        uint64_t incarnation = d.r.grants[RELAY_PRODUCERS].incarnation;
        uint32_t faults = count_events(d.host.runtime, HRT_EVENT_FAULT, incarnation);
        if (faults != 1) {
            printf("# way %zu\n", way);
        }
        CHECK_EQ(faults, 1);
        CHECK_EQ(hrt_runtime_page(d.host.runtime)->runtime.lanes, RELAY_LANES - 1);
        host_start(&d.host);
        CHECK(answer_of(producer, ticket) > 0);
        hrt_detach(producer);
        host_stop(&d.host);
        desk_close(&d);
    }
}

/* The group is empty then, so that no seal would notice: the next runtime has to find the entry. */
static void an_entry_stays_in_its_lane_when_a_segment_cannot_be_ended(void)
{
    static char payload[25000]; /* of which a segment holds two */
    const hrt_queue_settings settings = {
        .name = "default", .weight = 1, .durability = HRT_DURABILITY_MEMORY};
    host h;
    host_make(&h);
    hrt_runtime_options options = host_options(&h);
    options.segment_size = 65536;
    host_open(&h, &options, &settings);
    const hrt_spec spec = {
        .payload = payload, .payload_length = sizeof(payload), .kind = h.kind, .queue = h.queue};
    const hrt_seat *seat = &h.runtime->seats[0];
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(h.local, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(hrt_enqueue(h.local, &spec, 1, 0, &ticket), HRT_OK);
    const uint64_t taken = hrt_load_acquire(&seat->host.lane->submit_head);
    CHECK(taken > 2 * sizeof(payload));
    struct hrt_log *log = h.runtime->log;
    const int segment = log->fd;
    log->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(log->fd >= 0);
    CHECK_EQ(hrt_enqueue(h.local, &spec, 1, 0, &ticket), HRT_OK);
    CHECK(hrt_runtime_has_failed(h.runtime));
    CHECK_EQ(hrt_load_acquire(&seat->host.lane->submit_head), taken);
    (void)close(log->fd);
    log->fd = segment;
    host_close(&h);
    scratch_remove();
}

int main(void)
{
    TAP_LIST(TEST(nothing_is_lost_or_done_twice_when_runtimes_die),
             TEST(a_running_job_stays_where_it_is),
             TEST(jobs_of_lanes_that_were_not_handed_over_are_lost),
             TEST(what_a_shut_lane_reads_stays_until_its_process_is_gone),
             TEST(a_cancelled_job_is_stopped_by_the_next_runtime_too),
             TEST(a_moved_limit_holds_under_the_next_runtime), TEST(only_one_has_the_lock),
             TEST(a_job_that_waits_for_room_keeps_its_turn), TEST(a_standby_has_the_same_state),
             TEST(an_entry_stays_in_its_lane_when_a_segment_cannot_be_ended),
             TEST(a_cancel_that_its_worker_never_saw_holds),
             TEST(a_cancel_holds_for_what_its_worker_says_meanwhile),
             TEST(a_cancel_holds_when_nobody_goes_on_with_the_lane),
             TEST(a_cancel_outranks_a_time_limit),
             TEST(a_standby_that_was_stopped_goes_on_where_it_was),
             TEST(a_standby_that_leaves_takes_no_wake_from_another),
             TEST(all_that_follow_notice_the_death), TEST(a_spoiled_lane_harms_nobody));
}
