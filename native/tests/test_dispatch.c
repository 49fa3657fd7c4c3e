/*
 * Dispatch at its edges: clients that come and go, rings that overflow, times beyond any calendar,
 * a log without room, a runtime that closes while its disk is at work.
 */
#include "scratch.h"
#include "tap.h"

#include "atomic.h"
#include "handle.h"
#include "lane.h"

#include <hybridrt/runtime.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

enum { RESULT_SIZE = 28000, RESULT_BYTE = 0x5a };

typedef struct fixture {
    char directory[64];
    hrt_runtime *runtime;
    hrt_client *local;
    pthread_t thread;
    uint16_t kind;
    uint16_t queue;
} fixture;

static void *run(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static void start(fixture *f)
{
    REQUIRE(pthread_create(&f->thread, NULL, run, f->runtime) == 0);
}

/* Everything but the dispatch thread. */
static void prepare(fixture *f, uint8_t durability, uint32_t segment_size, uint32_t segments_max)
{
    memset(f, 0, sizeof(*f));
    scratch_make(f->directory);
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = f->directory,
                                   .segment_size = segment_size,
                                   .segments_max = segments_max};
    REQUIRE(hrt_runtime_open(&options, &f->runtime) == HRT_OK);
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retain_max = 100000,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 1,
                                   .durability = durability,
                                   .max_attempts = UINT16_MAX,
                                   .max_crashes = 3};
    REQUIRE(hrt_runtime_queue(f->runtime, &settings, &f->queue) == HRT_OK);
    REQUIRE(hrt_runtime_kind(f->runtime, "test.job", &f->kind) == HRT_OK);
    REQUIRE(hrt_runtime_client(f->runtime, &f->local) == HRT_OK);
}

static void begin(fixture *f, uint8_t durability)
{
    prepare(f, durability, 1 << 20, 16);
    start(f);
}

static void stop(fixture *f)
{
    void *status = NULL;
    hrt_runtime_stop(f->runtime);
    (void)pthread_join(f->thread, &status);
    CHECK_EQ((intptr_t)status, HRT_OK);
    hrt_detach(f->local);
}

static void end(fixture *f)
{
    stop(f);
    hrt_runtime_close(f->runtime);
    scratch_remove();
}

static hrt_client *attach(fixture *f, uint32_t submit_capacity)
{
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    char text[64];
    hrt_attach_options options = {.struct_size = sizeof(options), .abi_version = HRT_ABI_VERSION};
    hrt_client *client = NULL;
    REQUIRE(hrt_runtime_lane(f->runtime, submit_capacity, 0, "pool", "client", fds, &incarnation) ==
            HRT_OK);
    (void)snprintf(text, sizeof(text), "fds:%d,%d,%d,%d", fds[0], fds[1], fds[2], fds[3]);
    (void)setenv("HYBRIDRT_ATTACH", text, 1);
    REQUIRE(hrt_attach(&options, &client) == HRT_OK);
    return client;
}

static hrt_client *attach_worker(fixture *f)
{
    static const char *const kinds[] = {"test.job"};
    hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = 1, .language = "c"};
    hrt_client *worker = attach(f, 0);
    REQUIRE(hrt_register(worker, &served) == HRT_OK);
    return worker;
}

static int64_t enqueue(fixture *f, hrt_spec spec)
{
    int64_t id = 0;
    spec.kind = f->kind;
    spec.queue = f->queue;
    int status = hrt_enqueue_wait(f->local, &spec, 1, 30 * SECOND_NS, &id);
    return status == HRT_OK ? id : status;
}

static hrt_job_info look_at(fixture *f, int64_t id)
{
    hrt_job_info info = {0};
    CHECK_EQ(hrt_runtime_job(f->runtime, (uint64_t)id, &info), HRT_OK);
    return info;
}

/* ---- tests ---- */

/* Replies wait for the disk while everything they would be written to is taken down. */
static void closing_while_the_disk_is_at_work_is_safe(void)
{
    for (int round = 0; round < 30; round++) {
        fixture f;
        begin(&f, HRT_DURABILITY_SYNC);
        hrt_client *producer = attach(&f, 0);
        hrt_spec spec = {.kind = f.kind, .queue = f.queue};
        uint64_t first = 0;
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(hrt_enqueue(producer, &spec, 1, SECOND_NS, &first), HRT_OK);
        }
        stop(&f);
        hrt_runtime_close(f.runtime);
        hrt_detach(producer);
        scratch_remove();
    }
}

static void a_delay_beyond_all_time_does_not_run_at_once(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    int64_t forever = enqueue(&f, (hrt_spec){.delay_ns = UINT64_MAX});
    int64_t centuries = enqueue(&f, (hrt_spec){.delay_ns = UINT64_MAX / 2});
    CHECK_EQ(look_at(&f, forever).state, HRT_JOB_SCHEDULED);
    CHECK_EQ(look_at(&f, centuries).state, HRT_JOB_SCHEDULED);
    CHECK_EQ(hrt_runtime_cancel(f.runtime, (uint64_t)forever), HRT_OK);
    end(&f);
}

static void local_clients_come_and_go_without_end(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    const hrt_runtime_counters *counters = &hrt_runtime_page(f.runtime)->runtime;
    for (int i = 0; i < 2 * HRT_LANES_MAX; i++) {
        hrt_client *client = NULL;
        int status;
        while ((status = hrt_runtime_client(f.runtime, &client)) == HRT_ELIMIT &&
               hrt_load_relaxed(&counters->lanes) < HRT_LANES_MAX) {
            (void)sched_yield(); /* the dispatch thread gives the place back */
        }
        CHECK_EQ(status, HRT_OK);
        if (status != HRT_OK) {
            break;
        }
        hrt_detach(client);
    }
    end(&f);
}

static void await_lanes(fixture *f, uint64_t lanes)
{
    const hrt_runtime_counters *counters = &hrt_runtime_page(f->runtime)->runtime;
    while (hrt_load_relaxed(&counters->lanes) != lanes) {
        (void)sched_yield();
    }
}

/* The second name cannot be one: the lane is shut, and the first kind has no worker by it. */
static void a_registration_that_fails_leaves_no_worker_behind(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    hrt_client *client = attach(&f, 0);
    static const char names[] = "\x08test.job\x01\x07";
    hrt_submit_register entry = {.head = {.type = HRT_SUBMIT_REGISTER},
                                 .kind_count = 2,
                                 .concurrency = 1,
                                 .names_length = sizeof(names) - 1};
    entry.head.length = (uint32_t)((sizeof(entry) + sizeof(names) - 1 + 7) & ~(size_t)7);
    CHECK_EQ(hrt_submit_entry(client, &entry, sizeof(entry), names, sizeof(names) - 1), HRT_OK);
    await_lanes(&f, 1);
    CHECK_EQ(hrt_load_relaxed(&hrt_runtime_page(f.runtime)->kind_counters[f.kind].workers), 0);
    hrt_detach(client);
    end(&f);
}

static void complete_one(hrt_client *worker)
{
    hrt_job job;
    uint32_t count = 0;
    REQUIRE(hrt_fetch(worker, &job, 1, 30 * SECOND_NS, &count) == HRT_OK);
    const hrt_settlement settlement = {
        .job = job.id, .token = job.token, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(worker, &settlement, 1), HRT_OK);
}

/* After a takeover a client registers again, perhaps twice, whatever it holds. */
static void a_second_registration_takes_the_place_of_the_first(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    const hrt_page *page = hrt_runtime_page(f.runtime);
    hrt_client *worker = attach_worker(&f);
    hrt_job job;
    uint32_t count = 0;
    REQUIRE(enqueue(&f, (hrt_spec){0}) > 0);
    REQUIRE(hrt_fetch(worker, &job, 1, 30 * SECOND_NS, &count) == HRT_OK);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(
            hrt_submit_entry(worker, worker->registration, worker->registration_length, NULL, 0),
            HRT_OK);
    }
    const hrt_settlement settlement = {
        .job = job.id, .token = job.token, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(worker, &settlement, 1), HRT_OK);
    REQUIRE(enqueue(&f, (hrt_spec){0}) > 0);
    complete_one(worker);
    CHECK_EQ(hrt_load_relaxed(&page->kind_counters[f.kind].workers), 1);
    CHECK_EQ(hrt_load_relaxed(&page->runtime.lane_faults), 0);
    hrt_detach(worker);
    await_lanes(&f, 1);
    CHECK_EQ(hrt_load_relaxed(&page->kind_counters[f.kind].workers), 0);
    end(&f);
}

static void counters_count_once_and_gauges_are_set(void)
{
    static char payload[200001];
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    const hrt_page *page = hrt_runtime_page(f.runtime);
    for (int i = 0; i < 100; i++) {
        int64_t id = enqueue(&f, (hrt_spec){.payload = payload, .payload_length = 200000});
        CHECK_EQ(hrt_runtime_cancel(f.runtime, (uint64_t)id), HRT_OK);
    }
    uint64_t recycled = hrt_load_relaxed(&page->runtime.recycled);
    CHECK(recycled > 0);
    CHECK(recycled <= hrt_load_relaxed(&page->runtime.log_head) >> 20);
    int64_t id = enqueue(&f, (hrt_spec){0});
    CHECK_EQ(hrt_load_relaxed(&page->queue_counters[f.queue].oldest_ready_ns),
             look_at(&f, id).enqueued_ns);
    end(&f);
}

enum { WATCHED = 20000 };

/* More results than the deliver ring holds: the rest follows as soon as there is room. */
static void results_beyond_the_ring_follow_when_it_is_read(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_MEMORY);
    hrt_client *watcher = attach(&f, 0);
    static int64_t ids[WATCHED];
    for (int i = 0; i < WATCHED; i++) {
        ids[i] = enqueue(&f, (hrt_spec){0});
        REQUIRE(hrt_watch(watcher, (uint64_t)ids[i]) == HRT_OK);
    }
    /* An answer from the lane itself: what it submitted before has been taken. */
    hrt_spec spec = {.kind = f.kind, .queue = f.queue};
    int64_t last = 0;
    CHECK_EQ(hrt_enqueue_wait(watcher, &spec, 1, 30 * SECOND_NS, &last), HRT_OK);
    for (int i = 0; i < WATCHED; i++) {
        REQUIRE(hrt_runtime_cancel(f.runtime, (uint64_t)ids[i]) == HRT_OK);
    }
    static hrt_notice notices[256];
    uint32_t got = 0;
    uint32_t count = 0;
    while (got < WATCHED && hrt_poll(watcher, notices, 256, 5 * SECOND_NS, &count) == HRT_OK) {
        got += count;
        for (uint32_t i = 0; i < count; i++) {
            hrt_notice_free(&notices[i]);
        }
    }
    CHECK_EQ(got, WATCHED);
    hrt_detach(watcher);
    end(&f);
}

typedef struct large_send {
    fixture *f;
    hrt_client *client;
} large_send;

static void *send_large(void *context)
{
    static char payload[HRT_LANE_SUBMIT_MIN];
    large_send *send = context;
    hrt_spec spec = {.payload = payload,
                     .payload_length = HRT_LANE_SUBMIT_MIN / 2 - sizeof(hrt_submit_enqueue),
                     .kind = send->f->kind,
                     .queue = send->f->queue};
    uint64_t first = 0;
    CHECK_EQ(hrt_enqueue(send->client, &spec, 1, 30 * SECOND_NS, &first), HRT_OK);
    return NULL;
}

/* An entry of half the ring needs nearly all of it: it waits even while little is in the way. */
static void who_waits_for_room_is_woken_however_little_was_in_the_way(void)
{
    fixture f;
    prepare(&f, HRT_DURABILITY_MEMORY, 1 << 20, 16);
    hrt_client *client = attach(&f, HRT_LANE_SUBMIT_MIN);
    large_send send = {.f = &f, .client = client};
    pthread_t sender;
    CHECK_EQ(hrt_cancel(client, UINT64_MAX), HRT_OK);
    REQUIRE(pthread_create(&sender, NULL, send_large, &send) == 0);
    while (hrt_load_acquire_u32(&client->lane->deliver_park) != HRT_PARK_FUTEX) {
        (void)sched_yield();
    }
    start(&f);
    (void)pthread_join(sender, NULL);
    CHECK_EQ(client->rescues, 0);
    hrt_detach(client);
    end(&f);
}

/* Whatever is small: until not even that has room. */
static void fill_log(fixture *f)
{
    static char payload[4096];
    while (enqueue(f, (hrt_spec){.payload = payload, .payload_length = sizeof(payload)}) > 0) {
    }
    int paused = 1;
    while (hrt_runtime_pause(f->runtime, f->queue, paused) == HRT_OK) {
        paused = !paused;
    }
}

static void await_state(fixture *f, int64_t id, uint8_t state)
{
    uint64_t limit_ns = hrt_monotonic_ns() + 5 * (uint64_t)SECOND_NS;
    while (look_at(f, id).state != state && hrt_monotonic_ns() < limit_ns) {
        (void)sched_yield();
    }
    CHECK_EQ(look_at(f, id).state, state);
}

/* The lease is on its way, and waits for the disk, while the worker is told to drain. */
static void a_draining_worker_gives_back_what_was_under_way(void)
{
    fixture f;
    begin(&f, HRT_DURABILITY_SYNC);
    for (int round = 0; round < 10; round++) {
        hrt_client *worker = attach_worker(&f);
        hrt_spec spec = {.kind = f.kind, .queue = f.queue};
        hrt_job job;
        uint64_t ticket = 0;
        uint32_t count = 0;
        int64_t id = 0;
        while (hrt_load_relaxed(&hrt_runtime_page(f.runtime)->kind_counters[f.kind].workers) == 0) {
            (void)sched_yield();
        }
        CHECK_EQ(hrt_enqueue(f.local, &spec, 1, SECOND_NS, &ticket), HRT_OK);
        CHECK_EQ(hrt_runtime_drain(f.runtime, hrt_incarnation(worker)), HRT_OK);
        while (hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count) == HRT_OK) {
            const hrt_settlement back = {
                .job = job.id, .token = job.token, .outcome = HRT_OUTCOME_RETURNED};
            CHECK_EQ(hrt_settle(worker, &back, 1), HRT_OK);
        }
        CHECK(hrt_draining(worker));
        CHECK_EQ(hrt_wait(f.local, ticket + 1, 5 * SECOND_NS), HRT_OK);
        CHECK_EQ(hrt_replies(f.local, ticket, 1, &id), HRT_OK);
        await_state(&f, id, HRT_JOB_READY);
        CHECK_EQ(hrt_runtime_cancel(f.runtime, (uint64_t)id), HRT_OK);
        hrt_detach(worker);
        await_lanes(&f, 1);
    }
    end(&f);
}

/* A job whose result nobody has polled yet: it lies in the oldest segment and keeps it. */
static void leave_result(fixture *f, hrt_client *watcher, hrt_client *worker)
{
    static char result[RESULT_SIZE];
    memset(result, RESULT_BYTE, sizeof(result));
    int64_t watched = enqueue(f, (hrt_spec){0});
    hrt_spec spec = {.kind = f->kind, .queue = f->queue};
    int64_t next = 0;
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_watch(watcher, (uint64_t)watched), HRT_OK);
    /* Its answer says that the watch has been taken. */
    CHECK_EQ(hrt_enqueue_wait(watcher, &spec, 1, 5 * SECOND_NS, &next), HRT_OK);
    CHECK_EQ(hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(job.id, watched);
    const hrt_settlement ok = {.job = job.id,
                               .token = job.token,
                               .outcome = HRT_OUTCOME_OK,
                               .data = result,
                               .data_length = sizeof(result)};
    CHECK_EQ(hrt_settle(worker, &ok, 1), HRT_OK);
    CHECK_EQ(hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(job.id, next);
    const hrt_settlement done = {.job = job.id, .token = job.token, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(worker, &done, 1), HRT_OK);
}

/* The oldest segments hold results that nobody has read yet: they are put aside, unharmed. */
static void jobs_of_a_worker_that_left_a_full_log_come_back(void)
{
    fixture f;
    prepare(&f, HRT_DURABILITY_MEMORY, 65536, 6);
    start(&f);
    hrt_client *watcher = attach(&f, 0);
    hrt_client *worker = attach_worker(&f);
    leave_result(&f, watcher, worker);
    leave_result(&f, watcher, worker);
    int64_t held = enqueue(&f, (hrt_spec){0});
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(job.id, held);
    fill_log(&f);
    hrt_detach(worker);
    await_lanes(&f, 2);
    await_state(&f, held, HRT_JOB_READY);
    hrt_notice notices[2];
    CHECK_EQ(hrt_poll(watcher, notices, 2, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(count, 2);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(notices[i].data_length, RESULT_SIZE);
        CHECK(((const uint8_t *)notices[i].data)[0] == RESULT_BYTE);
        CHECK(memcmp(notices[i].data, (const uint8_t *)notices[i].data + 1, RESULT_SIZE - 1) == 0);
        hrt_notice_free(&notices[i]);
    }
    hrt_detach(watcher);
    end(&f);
}

/* Jobs far ahead fill the oldest segments; what comes and goes behind them must not fill the log.
 */
static void jobs_far_ahead_do_not_hold_up_the_log(void)
{
    fixture f;
    static char payload[1000];
    prepare(&f, HRT_DURABILITY_MEMORY, 65536, 16);
    start(&f);
    const uint64_t day_ns = 86400 * (uint64_t)SECOND_NS;
    for (int i = 0; i < 100; i++) {
        CHECK(enqueue(&f, (hrt_spec){
                              .payload = payload, .payload_length = 1000, .delay_ns = day_ns}) > 0);
    }
    int refused = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t id = enqueue(&f, (hrt_spec){.payload = payload, .payload_length = 1000});
        refused += id < 0;
        if (id > 0) {
            CHECK_EQ(hrt_runtime_cancel(f.runtime, (uint64_t)id), HRT_OK);
        }
    }
    CHECK_EQ(refused, 0);
    end(&f);
}

int main(void)
{
    TAP_LIST(TEST(a_delay_beyond_all_time_does_not_run_at_once),
             TEST(local_clients_come_and_go_without_end),
             TEST(a_registration_that_fails_leaves_no_worker_behind),
             TEST(a_second_registration_takes_the_place_of_the_first),
             TEST(counters_count_once_and_gauges_are_set),
             TEST(results_beyond_the_ring_follow_when_it_is_read),
             TEST(who_waits_for_room_is_woken_however_little_was_in_the_way),
             TEST(a_draining_worker_gives_back_what_was_under_way),
             TEST(jobs_of_a_worker_that_left_a_full_log_come_back),
             TEST(jobs_far_ahead_do_not_hold_up_the_log),
             TEST(closing_while_the_disk_is_at_work_is_safe));
}
