/*
 * Dispatch at its edges: clients that come and go, rings that overflow, times beyond any calendar,
 * a log without room, a runtime that closes while its disk is at work.
 */
#include "host.h"

#include "atomic.h"
#include "handle.h"
#include "lane.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

enum { RESULT_SIZE = 28000, RESULT_BYTE = 0x5a };

/* Everything but the dispatch thread. */
static void prepare(host *h, uint8_t durability, uint32_t segment_size, uint32_t segments_max)
{
    host_make(h);
    hrt_runtime_options options = host_options(h);
    options.segment_size = segment_size;
    options.segments_max = segments_max;
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retain_max = 100000,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 1,
                                   .durability = durability,
                                   .max_attempts = UINT16_MAX,
                                   .max_crashes = 3};
    host_open(h, &options, &settings);
}

static void begin(host *h, uint8_t durability)
{
    prepare(h, durability, 1 << 20, 16);
    host_start(h);
}

static void stop(host *h)
{
    host_stop(h);
    hrt_detach(h->local);
}

static void end(host *h)
{
    stop(h);
    hrt_runtime_close(h->runtime);
    scratch_remove();
}

static int64_t enqueue(host *h, hrt_spec spec)
{
    int64_t id = 0;
    spec.kind = h->kind;
    spec.queue = h->queue;
    int status = hrt_enqueue_wait(h->local, &spec, 1, 30 * SECOND_NS, &id);
    return status == HRT_OK ? id : status;
}

static hrt_job_info look_at(host *h, int64_t id)
{
    hrt_job_info info = {0};
    CHECK_EQ(hrt_runtime_job(h->runtime, (uint64_t)id, &info), HRT_OK);
    return info;
}

/* ---- tests ---- */

/* Replies wait for the disk while everything they would be written to is taken down. */
static void closing_while_the_disk_is_at_work_is_safe(void)
{
    for (int round = 0; round < 30; round++) {
        host h;
        begin(&h, HRT_DURABILITY_SYNC);
        hrt_client *producer = host_attach(&h, 0);
        hrt_spec spec = {.kind = h.kind, .queue = h.queue};
        uint64_t first = 0;
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(hrt_enqueue(producer, &spec, 1, SECOND_NS, &first), HRT_OK);
        }
        stop(&h);
        hrt_runtime_close(h.runtime);
        hrt_detach(producer);
        scratch_remove();
    }
}

static void a_delay_beyond_all_time_does_not_run_at_once(void)
{
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    int64_t forever = enqueue(&h, (hrt_spec){.delay_ns = UINT64_MAX});
    int64_t centuries = enqueue(&h, (hrt_spec){.delay_ns = UINT64_MAX / 2});
    CHECK_EQ(look_at(&h, forever).state, HRT_JOB_SCHEDULED);
    CHECK_EQ(look_at(&h, centuries).state, HRT_JOB_SCHEDULED);
    CHECK_EQ(hrt_runtime_cancel(h.runtime, (uint64_t)forever), HRT_OK);
    end(&h);
}

static void local_clients_come_and_go_without_end(void)
{
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    const hrt_runtime_counters *counters = &hrt_runtime_page(h.runtime)->runtime;
    for (int i = 0; i < 2 * HRT_LANES_MAX; i++) {
        hrt_client *client = NULL;
        int status;
        while ((status = hrt_runtime_client(h.runtime, &client)) == HRT_ELIMIT &&
               hrt_load_relaxed(&counters->lanes) < HRT_LANES_MAX) {
            (void)sched_yield(); /* the dispatch thread gives the place back */
        }
        CHECK_EQ(status, HRT_OK);
        if (status != HRT_OK) {
            break;
        }
        hrt_detach(client);
    }
    end(&h);
}

static void await_lanes(host *h, uint64_t lanes)
{
    const hrt_runtime_counters *counters = &hrt_runtime_page(h->runtime)->runtime;
    AWAIT(hrt_load_relaxed(&counters->lanes) == lanes);
}

/* The second name cannot be one: the lane is shut, and the first kind has no worker by it. */
static void a_registration_that_fails_leaves_no_worker_behind(void)
{
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    hrt_client *client = host_attach(&h, 0);
    static const char names[] = "\x08test.job\x01\x07";
    hrt_submit_register entry = {.head = {.type = HRT_SUBMIT_REGISTER},
                                 .kind_count = 2,
                                 .concurrency = 1,
                                 .names_length = sizeof(names) - 1};
    entry.head.length = (uint32_t)((sizeof(entry) + sizeof(names) - 1 + 7) & ~(size_t)7);
    CHECK_EQ(hrt_submit_entry(client, &entry, sizeof(entry), names, sizeof(names) - 1), HRT_OK);
    await_lanes(&h, 1);
    CHECK_EQ(hrt_load_relaxed(&hrt_runtime_page(h.runtime)->kind_counters[h.kind].workers), 0);
    hrt_detach(client);
    end(&h);
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
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    const hrt_page *page = hrt_runtime_page(h.runtime);
    hrt_client *worker = host_attach_worker(&h, 1, 0);
    hrt_job job;
    uint32_t count = 0;
    REQUIRE(enqueue(&h, (hrt_spec){0}) > 0);
    REQUIRE(hrt_fetch(worker, &job, 1, 30 * SECOND_NS, &count) == HRT_OK);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(
            hrt_submit_entry(worker, worker->registration, worker->registration_length, NULL, 0),
            HRT_OK);
    }
    const hrt_settlement settlement = {
        .job = job.id, .token = job.token, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(worker, &settlement, 1), HRT_OK);
    REQUIRE(enqueue(&h, (hrt_spec){0}) > 0);
    complete_one(worker);
    CHECK_EQ(hrt_load_relaxed(&page->kind_counters[h.kind].workers), 1);
    CHECK_EQ(hrt_load_relaxed(&page->runtime.lane_faults), 0);
    hrt_detach(worker);
    await_lanes(&h, 1);
    CHECK_EQ(hrt_load_relaxed(&page->kind_counters[h.kind].workers), 0);
    end(&h);
}

static void counters_count_once_and_gauges_are_set(void)
{
    static char payload[200001];
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    const hrt_page *page = hrt_runtime_page(h.runtime);
    for (int i = 0; i < 100; i++) {
        int64_t id = enqueue(&h, (hrt_spec){.payload = payload, .payload_length = 200000});
        CHECK_EQ(hrt_runtime_cancel(h.runtime, (uint64_t)id), HRT_OK);
    }
    uint64_t recycled = hrt_load_relaxed(&page->runtime.recycled);
    CHECK(recycled > 0);
    CHECK(recycled <= hrt_load_relaxed(&page->runtime.log_head) >> 20);
    int64_t id = enqueue(&h, (hrt_spec){0});
    CHECK_EQ(hrt_load_relaxed(&page->queue_counters[h.queue].oldest_ready_ns),
             look_at(&h, id).enqueued_ns);
    end(&h);
}

enum { WATCHED = 20000 };

/* More results than the deliver ring holds: the rest follows as soon as there is room. */
static void results_beyond_the_ring_follow_when_it_is_read(void)
{
    host h;
    begin(&h, HRT_DURABILITY_MEMORY);
    hrt_client *watcher = host_attach(&h, 0);
    static int64_t ids[WATCHED];
    for (int i = 0; i < WATCHED; i++) {
        ids[i] = enqueue(&h, (hrt_spec){0});
        REQUIRE(hrt_watch(watcher, (uint64_t)ids[i]) == HRT_OK);
    }
    /* An answer from the lane itself: what it submitted before has been taken. */
    hrt_spec spec = {.kind = h.kind, .queue = h.queue};
    int64_t last = 0;
    CHECK_EQ(hrt_enqueue_wait(watcher, &spec, 1, 30 * SECOND_NS, &last), HRT_OK);
    for (int i = 0; i < WATCHED; i++) {
        REQUIRE(hrt_runtime_cancel(h.runtime, (uint64_t)ids[i]) == HRT_OK);
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
    end(&h);
}

typedef struct large_send {
    host *h;
    hrt_client *client;
} large_send;

static void *send_large(void *context)
{
    static char payload[HRT_LANE_SUBMIT_MIN];
    large_send *send = context;
    hrt_spec spec = {.payload = payload,
                     .payload_length = HRT_LANE_SUBMIT_MIN / 2 - sizeof(hrt_submit_enqueue),
                     .kind = send->h->kind,
                     .queue = send->h->queue};
    uint64_t first = 0;
    CHECK_EQ(hrt_enqueue(send->client, &spec, 1, 30 * SECOND_NS, &first), HRT_OK);
    return NULL;
}

/* An entry of half the ring needs nearly all of it: it waits even while little is in the way. */
static void who_waits_for_room_is_woken_however_little_was_in_the_way(void)
{
    host h;
    prepare(&h, HRT_DURABILITY_MEMORY, 1 << 20, 16);
    hrt_client *client = host_attach(&h, HRT_LANE_SUBMIT_MIN);
    large_send send = {.h = &h, .client = client};
    pthread_t sender;
    CHECK_EQ(hrt_cancel(client, UINT64_MAX), HRT_OK);
    REQUIRE(pthread_create(&sender, NULL, send_large, &send) == 0);
    AWAIT(hrt_load_acquire_u32(&client->lane->deliver_park) == HRT_PARK_FUTEX);
    host_start(&h);
    (void)pthread_join(sender, NULL);
    CHECK_EQ(client->rescues, 0);
    hrt_detach(client);
    end(&h);
}

/* Whatever is small: until a segment has to go for not even that has room. */
static void fill_log(host *h)
{
    static char payload[4096];
    const uint64_t *head = &hrt_runtime_page(h->runtime)->runtime.log_head;
    const uint64_t before = hrt_load_relaxed(head);
    while (enqueue(h, (hrt_spec){.payload = payload, .payload_length = sizeof(payload)}) > 0) {
    }
    int paused = 1;
    while (hrt_load_relaxed(head) == before) {
        REQUIRE(hrt_runtime_pause(h->runtime, h->queue, paused) == HRT_OK);
        paused = !paused;
    }
}

static void await_state(host *h, int64_t id, uint8_t state)
{
    AWAIT(look_at(h, id).state == state);
}

/* The lease is on its way, and waits for the disk, while the worker is told to drain. */
static void a_draining_worker_gives_back_what_was_under_way(void)
{
    host h;
    begin(&h, HRT_DURABILITY_SYNC);
    for (int round = 0; round < 10; round++) {
        hrt_client *worker = host_attach_worker(&h, 1, 0);
        hrt_spec spec = {.kind = h.kind, .queue = h.queue};
        hrt_job job;
        uint64_t ticket = 0;
        uint32_t count = 0;
        int64_t id = 0;
        AWAIT(hrt_load_relaxed(&hrt_runtime_page(h.runtime)->kind_counters[h.kind].workers) > 0);
        CHECK_EQ(hrt_enqueue(h.local, &spec, 1, SECOND_NS, &ticket), HRT_OK);
        CHECK_EQ(hrt_runtime_drain(h.runtime, hrt_incarnation(worker)), HRT_OK);
        while (hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count) == HRT_OK) {
            const hrt_settlement back = {
                .job = job.id, .token = job.token, .outcome = HRT_OUTCOME_RETURNED};
            CHECK_EQ(hrt_settle(worker, &back, 1), HRT_OK);
        }
        CHECK(hrt_draining(worker));
        CHECK_EQ(hrt_wait(h.local, ticket + 1, 5 * SECOND_NS), HRT_OK);
        CHECK_EQ(hrt_replies(h.local, ticket, 1, &id), HRT_OK);
        await_state(&h, id, HRT_JOB_READY);
        CHECK_EQ(hrt_runtime_cancel(h.runtime, (uint64_t)id), HRT_OK);
        hrt_detach(worker);
        await_lanes(&h, 1);
    }
    end(&h);
}

/* A job whose result nobody has polled yet: it lies in the oldest segment and keeps it. */
static void leave_result(host *h, hrt_client *watcher, hrt_client *worker)
{
    static char result[RESULT_SIZE];
    memset(result, RESULT_BYTE, sizeof(result));
    int64_t watched = enqueue(h, (hrt_spec){0});
    hrt_spec spec = {.kind = h->kind, .queue = h->queue};
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
    host h;
    prepare(&h, HRT_DURABILITY_MEMORY, 65536, 6);
    host_start(&h);
    hrt_client *watcher = host_attach(&h, 0);
    hrt_client *worker = host_attach_worker(&h, 1, 0);
    leave_result(&h, watcher, worker);
    leave_result(&h, watcher, worker);
    int64_t held = enqueue(&h, (hrt_spec){0});
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(job.id, held);
    fill_log(&h);
    hrt_detach(worker);
    await_lanes(&h, 2);
    await_state(&h, held, HRT_JOB_READY);
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
    end(&h);
}

/* Nothing is used again, and what is small finds no room either. */
static void stop_up_log(host *h)
{
    static char payload[4096];
    int status = HRT_OK;
    hrt_runtime_hold(h->runtime, 0);
    while (enqueue(h, (hrt_spec){.payload = payload, .payload_length = sizeof(payload)}) > 0) {
    }
    for (int paused = 1; status == HRT_OK; paused = !paused) {
        status = hrt_runtime_pause(h->runtime, h->queue, paused);
    }
    CHECK_EQ(status, HRT_ELOGFULL);
}

/* Its result would wait for room; that its job is done is written down. */
static void what_a_worker_said_before_it_left_a_full_log_holds(void)
{
    static char result[RESULT_SIZE];
    host h;
    prepare(&h, HRT_DURABILITY_MEMORY, 65536, 6);
    host_start(&h);
    hrt_client *worker = host_attach_worker(&h, 1, 0);
    int64_t held = enqueue(&h, (hrt_spec){.result_ttl_ms = 3600000});
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(worker, &job, 1, 5 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(job.id, held);
    stop_up_log(&h);
    const hrt_settlement done = {.job = job.id,
                                 .token = job.token,
                                 .outcome = HRT_OUTCOME_OK,
                                 .data = result,
                                 .data_length = sizeof(result)};
    CHECK_EQ(hrt_settle(worker, &done, 1), HRT_OK);
    hrt_detach(worker);
    await_lanes(&h, 1);
    hrt_job_info info;
    AWAIT(hrt_runtime_job(h.runtime, (uint64_t)held, &info) == HRT_ENOTFOUND); /* no result */
    end(&h);
}

/* Jobs far ahead fill the oldest segments; what comes and goes behind them must not fill the log.
 */
static void jobs_far_ahead_do_not_hold_up_the_log(void)
{
    host h;
    static char payload[1000];
    prepare(&h, HRT_DURABILITY_MEMORY, 65536, 16);
    host_start(&h);
    const uint64_t day_ns = 86400 * (uint64_t)SECOND_NS;
    for (int i = 0; i < 100; i++) {
        CHECK(enqueue(&h, (hrt_spec){
                              .payload = payload, .payload_length = 1000, .delay_ns = day_ns}) > 0);
    }
    int refused = 0;
    for (int i = 0; i < 2000; i++) {
        int64_t id = enqueue(&h, (hrt_spec){.payload = payload, .payload_length = 1000});
        refused += id < 0;
        if (id > 0) {
            CHECK_EQ(hrt_runtime_cancel(h.runtime, (uint64_t)id), HRT_OK);
        }
    }
    CHECK_EQ(refused, 0);
    end(&h);
}

static int64_t enqueue_bytes(host *h, const uint8_t *payload, uint32_t length)
{
    return enqueue(h, (hrt_spec){.payload = payload, .payload_length = length});
}

/* So that nobody is told of a limit that there is not, or only after the fact. */
static void clients_know_what_a_log_of_small_segments_takes(void)
{
    static const uint8_t payload[30720];
    const uint32_t taken = 30000; /* the rest of a group says how far the lanes were taken */
    const uint32_t over = 30720 - sizeof(hrt_record) - sizeof(hrt_enqueue_body) + 1;
    host h;
    prepare(&h, HRT_DURABILITY_MEMORY, 1 << 16, 16);
    host_start(&h);
    CHECK(enqueue_bytes(&h, payload, taken) > 0);
    CHECK_EQ(enqueue_bytes(&h, payload, over), HRT_ETOOLARGE);
    char sentence[200];
    (void)hrt_last_error(sentence, sizeof(sentence));
    CHECK(strstr(sentence, "take at most 30720 at once") != NULL);
    end(&h);
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
             TEST(what_a_worker_said_before_it_left_a_full_log_holds),
             TEST(jobs_far_ahead_do_not_hold_up_the_log),
             TEST(clients_know_what_a_log_of_small_segments_takes),
             TEST(closing_while_the_disk_is_at_work_is_safe));
}
