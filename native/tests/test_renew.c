/* When the runtime dies and another one goes on with the lane, the client's program sees a pause.
 */
#include "clock.h"
#include "liveness.h"
#include "peer.h"
#include "standin.h"

static uint32_t record_of(uint64_t job)
{
    return PEER_RECORD + (uint32_t)(job % 8) * 256;
}

/* An ENQUEUE without key, meta and payload. */
static void write_record(peer *end, uint64_t job)
{
    const hrt_record record = {
        .length = sizeof(hrt_record) + sizeof(hrt_enqueue_body),
        .sequence = job,
        .type = HRT_RECORD_ENQUEUE,
    };
    memcpy(end->segment + record_of(job), &record, sizeof(record));
}

static void deliver_lease(peer *end, uint64_t job, uint64_t token, uint32_t place)
{
    const hrt_delivery lease = {
        .type = HRT_DELIVERY_LEASE,
        .job = job,
        .token = token,
        .record_offset = record_of(job),
        .data_offset = record_of(job),
        .attempt = 1,
        .started_index = place,
    };
    write_record(end, job);
    peer_deliver(end, &lease);
}

static void deliver_saved(peer *end, uint64_t job, uint64_t token, const char *text)
{
    const uint32_t offset = 9000;
    const hrt_delivery saved = {
        .type = HRT_DELIVERY_SAVED,
        .job = job,
        .token = token,
        .data_offset = offset,
        .data_length = (uint32_t)strlen(text),
    };
    memcpy(end->segment + offset, text, strlen(text));
    peer_deliver(end, &saved);
}

static void deliver_adopted(peer *end)
{
    const hrt_delivery adopted = {.type = HRT_DELIVERY_ADOPTED, .slot = UINT32_MAX};
    hrt_store_release_u32(&end->lane->takeovers, end->lane->takeovers + 1);
    peer_deliver(end, &adopted);
}

static hrt_client *begin(peer *end)
{
    peer_open(end);
    return peer_attach(end);
}

static void finish(peer *end, hrt_client *client)
{
    hrt_detach(client);
    peer_close(end);
}

static uint32_t fetch_now(hrt_client *client, hrt_job *jobs_out, uint32_t max)
{
    uint32_t count = 0;
    const int status = hrt_fetch(client, jobs_out, max, 0, &count);
    CHECK(status == HRT_OK || status == HRT_EAGAIN);
    return status == HRT_OK ? count : 0;
}

/* ---- leases that come again ---- */

static void a_lease_that_came_is_not_taken_again(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_job jobs[8];
    deliver_lease(&end, 5, 100, 0);
    deliver_lease(&end, 6, 100, 1);
    CHECK_EQ(fetch_now(client, jobs, 1), 1); /* one is with a handler, one waits here */
    deliver_lease(&end, 5, 100, 0);
    deliver_lease(&end, 6, 100, 1);
    deliver_lease(&end, 7, 100, 2); /* this one had not come through */
    CHECK_EQ(fetch_now(client, jobs, 8), 2);
    CHECK(jobs[0].id == 6 && jobs[1].id == 7);
    const hrt_settlement settlement = {.job = 5, .token = 100, .outcome = HRT_OUTCOME_OK};
    CHECK_EQ(hrt_settle(client, &settlement, 1), HRT_OK);
    deliver_lease(&end, 5, 100, 0); /* the settle is still under way */
    CHECK_EQ(fetch_now(client, jobs, 8), 0);
    deliver_lease(&end, 5, 101, 0); /* the next attempt, at the same place */
    CHECK_EQ(fetch_now(client, jobs, 8), 1);
    CHECK(jobs[0].id == 5 && jobs[0].token == 101);
    finish(&end, client);
}

static void what_was_saved_comes_with_its_lease(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_job jobs[4];
    deliver_saved(&end, 5, 100, "page 7");
    deliver_lease(&end, 5, 100, 0);
    deliver_lease(&end, 6, 100, 1);
    CHECK_EQ(fetch_now(client, jobs, 4), 2);
    REQUIRE(jobs[0].saved_length == 6);
    CHECK(memcmp(jobs[0].saved, "page 7", 6) == 0);
    CHECK(jobs[1].saved == NULL && jobs[1].saved_length == 0);
    deliver_saved(&end, 5, 100, "page 7");
    deliver_lease(&end, 5, 100, 0); /* known: what came with it goes too */
    deliver_lease(&end, 5, 101, 2);
    CHECK_EQ(fetch_now(client, jobs, 4), 1);
    CHECK(jobs[0].token == 101 && jobs[0].saved == NULL);
    finish(&end, client);
}

/* ---- a runtime that is missed ---- */

typedef struct sleeper {
    hrt_client *client;
    pthread_t thread;
    uint64_t job;
    int status;
} sleeper;

static void *sleep_in_fetch(void *context)
{
    sleeper *self = context;
    hrt_job job = {0};
    uint32_t count = 0;
    self->status = hrt_fetch(self->client, &job, 1, -1, &count);
    self->job = job.id;
    return NULL;
}

static void begin_to_sleep(sleeper *self, peer *end, hrt_client *client)
{
    *self = (sleeper){.client = client};
    REQUIRE(pthread_create(&self->thread, NULL, sleep_in_fetch, self) == 0);
    peer_await_sleeper(end);
}

/* Until the liveness thread has looked at the runtime's word as it is now. */
static void await_looks(peer *end)
{
    for (int look = 0; look < 2; look++) {
        const uint64_t before = hrt_load_relaxed(&end->lane->heartbeat_ns);
        while (hrt_load_relaxed(&end->lane->heartbeat_ns) == before) {
            hrt_park_wake_raw(&end->lane->runtime_alive);
            (void)sched_yield();
        }
    }
}

static void a_standby_is_waited_for(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_store_release_u32(&end.lane->standby, 1);
    const pid_t first = standin_start(&end);
    sleeper self;
    begin_to_sleep(&self, &end, client);
    standin_kill(first);
    await_looks(&end);
    CHECK_EQ(hrt_draining(client), 0);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(hrt_wait(client, ticket + 1, 1), HRT_ETIMEOUT); /* its own limit still holds */
    const pid_t second = standin_start(&end);
    await_looks(&end);
    deliver_adopted(&end);
    deliver_lease(&end, 7, 100, 0);
    (void)pthread_join(self.thread, NULL);
    CHECK_EQ(self.status, HRT_OK);
    CHECK_EQ(self.job, 7);
    hrt_store_release_u32(&end.lane->standby, 0);
    standin_kill(second); /* nobody stands by for this one */
    CHECK_EQ(hrt_wait(client, ticket + 1, -1), HRT_ECLOSED);
    CHECK_EQ(hrt_draining(client), 1);
    finish(&end, client);
}

static void a_runtime_that_lets_go_is_waited_for(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_store_release_u32(&end.lane->standby, 1);
    hrt_hold hold;
    REQUIRE(hrt_hold_init(&hold, 1) == HRT_OK);
    REQUIRE(hrt_hold_take(&hold, &end.lane->runtime_alive) == HRT_OK);
    sleeper self;
    begin_to_sleep(&self, &end, client);
    await_looks(&end);
    hrt_hold_drop(&hold, &end.lane->runtime_alive);
    await_looks(&end);
    CHECK_EQ(hrt_draining(client), 0);
    REQUIRE(hrt_hold_take(&hold, &end.lane->runtime_alive) == HRT_OK);
    deliver_lease(&end, 7, 100, 0);
    (void)pthread_join(self.thread, NULL);
    CHECK_EQ(self.status, HRT_OK);
    finish(&end, client);
    hrt_hold_end(&hold);
}

/* Also when nobody had said that there is a standby: somebody let go, and failed to close. */
static void a_runtime_that_lets_go_for_good_is_given_up(void)
{
    peer end;
    peer_open(&end);
    end.lane->lease_ns = 200000000;
    hrt_client *client = peer_attach(&end);
    hrt_hold hold;
    REQUIRE(hrt_hold_init(&hold, 1) == HRT_OK);
    REQUIRE(hrt_hold_take(&hold, &end.lane->runtime_alive) == HRT_OK);
    await_looks(&end);
    hrt_hold_drop(&hold, &end.lane->runtime_alive);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(hrt_wait(client, ticket + 1, -1), HRT_ECLOSED);
    finish(&end, client);
    hrt_hold_end(&hold);
}

static void a_standby_that_does_not_come_is_given_up(void)
{
    peer end;
    peer_open(&end);
    end.lane->lease_ns = 200000000;
    hrt_client *client = peer_attach(&end);
    hrt_store_release_u32(&end.lane->standby, 1);
    const pid_t runtime = standin_start(&end);
    sleeper self;
    begin_to_sleep(&self, &end, client);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    const uint64_t killed_ns = hrt_boot_ns();
    standin_kill(runtime);
    await_looks(&end);
    /* Whichever ends first, its own limit or the wait for a standby: it is told the same. */
    CHECK_EQ(hrt_wait(client, ticket + 1, (int64_t)end.lane->lease_ns / 2), HRT_ECLOSED);
    (void)pthread_join(self.thread, NULL);
    CHECK_EQ(self.status, HRT_ECLOSED);
    CHECK(hrt_boot_ns() - killed_ns >= end.lane->lease_ns);
    CHECK(hrt_load_relaxed(&end.lane->heartbeat_ns) > killed_ns); /* it went on beating */
    CHECK_EQ(hrt_draining(client), 1);
    finish(&end, client);
}

/* ---- what is asked for again ---- */

static void register_one(hrt_client *client)
{
    const char *kinds[] = {"file.sniff"};
    const hrt_register_options options = {.kinds = kinds, .kind_count = 1, .concurrency = 3};
    CHECK_EQ(hrt_register(client, &options), HRT_OK);
}

/* Takes the next entry, which has to be of this type and, for a watch, about this job. */
static void expect(peer *end, int type, uint64_t job)
{
    uint8_t entry[512];
    hrt_submit_job asked;
    CHECK_EQ(peer_take(end, entry, sizeof(entry)), type);
    memcpy(&asked, entry, sizeof(asked));
    CHECK(job == 0 || asked.job == job);
}

static void expect_nothing(peer *end)
{
    uint8_t entry[512];
    CHECK_EQ(peer_take(end, entry, sizeof(entry)), HRT_EAGAIN);
}

static void deliver_result(peer *end, uint64_t job)
{
    const hrt_delivery result = {
        .type = HRT_DELIVERY_RESULT, .code = HRT_JOB_COMPLETED, .job = job, .slot = UINT32_MAX};
    peer_deliver(end, &result);
}

static uint32_t poll_now(hrt_client *client, uint64_t *jobs_out)
{
    hrt_notice notices[16];
    uint32_t count = 0;
    const int status = hrt_poll(client, notices, 16, 0, &count);
    for (uint32_t i = 0; i < count; i++)
        jobs_out[i] = notices[i].job;
    return status == HRT_OK ? count : 0;
}

static void the_next_runtime_is_told_again(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_job job;
    uint64_t polled[16];
    register_one(client);
    CHECK_EQ(hrt_watch(client, 2), HRT_OK);
    CHECK_EQ(hrt_watch(client, 3), HRT_OK);
    CHECK_EQ(hrt_watch(client, 3), HRT_OK); /* one result answers both */
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    expect(&end, HRT_SUBMIT_WATCH, 2);
    expect(&end, HRT_SUBMIT_WATCH, 3);
    expect_nothing(&end);
    deliver_result(&end, 2);
    deliver_adopted(&end);
    CHECK_EQ(fetch_now(client, &job, 1), 0);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    expect(&end, HRT_SUBMIT_WATCH, 3);
    expect_nothing(&end);
    deliver_result(&end, 3);
    deliver_result(&end, 3); /* both runtimes took one of the two */
    CHECK_EQ(poll_now(client, polled), 2);
    CHECK(polled[0] == 2 && polled[1] == 3);
    deliver_adopted(&end);
    CHECK_EQ(poll_now(client, polled), 0);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    expect_nothing(&end);
    CHECK_EQ(hrt_watch(client, 3), HRT_OK); /* answered before: asked anew */
    expect(&end, HRT_SUBMIT_WATCH, 3);
    finish(&end, client);
}

static void an_armed_client_tells_it_too(void)
{
    peer end;
    hrt_client *client = begin(&end);
    register_one(client);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    deliver_adopted(&end);
    CHECK_EQ(hrt_arm(client), HRT_EAGAIN);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    CHECK_EQ(hrt_arm(client), HRT_EAGAIN); /* the ring moved: that is news */
    CHECK_EQ(hrt_arm(client), HRT_OK);
    finish(&end, client);
}

/* Its threads may all be with handlers for hours. */
static void the_liveness_thread_tells_it_in_any_case(void)
{
    peer end;
    hrt_client *client = begin(&end);
    register_one(client);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    deliver_adopted(&end);
    await_looks(&end);
    peer_await_submit(&end);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    finish(&end, client);
}

static void a_full_ring_delays_it(void)
{
    peer end;
    hrt_client *client = begin(&end);
    hrt_job job;
    register_one(client);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    uint32_t filled = 0;
    while (hrt_enqueue(client, &spec, 1, 0, &ticket) == HRT_OK)
        filled++;
    deliver_adopted(&end);
    CHECK_EQ(fetch_now(client, &job, 1), 0);
    for (uint32_t i = 0; i < filled; i++) {
        expect(&end, HRT_SUBMIT_ENQUEUE, 0);
        peer_reply(&end, i + 1);
    }
    expect_nothing(&end);
    CHECK_EQ(fetch_now(client, &job, 1), 0);
    expect(&end, HRT_SUBMIT_REGISTER, 0);
    expect_nothing(&end);
    finish(&end, client);
}

static void many_watches_are_told_again_once_each(void)
{
    enum { MANY = 1500 };
    static bool told[MANY + 1];
    peer end;
    hrt_client *client = begin(&end);
    uint64_t polled[16];
    uint8_t entry[64];
    for (uint64_t job = 1; job <= MANY; job++) {
        CHECK_EQ(hrt_watch(client, job), HRT_OK);
        expect(&end, HRT_SUBMIT_WATCH, job);
    }
    deliver_adopted(&end);
    CHECK_EQ(poll_now(client, polled), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        hrt_submit_job asked;
        REQUIRE(peer_take(&end, entry, sizeof(entry)) == HRT_SUBMIT_WATCH);
        memcpy(&asked, entry, sizeof(asked));
        REQUIRE(asked.job >= 1 && asked.job <= MANY);
        CHECK(!told[asked.job]);
        told[asked.job] = true;
    }
    expect_nothing(&end);
    finish(&end, client);
}

static void deliver_stop(peer *end, uint64_t job, uint64_t token, uint8_t why)
{
    const hrt_delivery stop = {
        .type = HRT_DELIVERY_CANCEL, .code = why, .job = job, .token = token, .slot = UINT32_MAX};
    peer_deliver(end, &stop);
}

/* Takes the next entry, which has to move the limit of this job to between these times from now. */
static void expect_limit(peer *end, uint64_t job, uint64_t least_ns, uint64_t most_ns)
{
    uint8_t entry[64];
    hrt_submit_extend limit;
    CHECK_EQ(peer_take(end, entry, sizeof(entry)), HRT_SUBMIT_EXTEND);
    memcpy(&limit, entry, sizeof(limit));
    CHECK_EQ(limit.job, job);
    CHECK(limit.more_ns >= least_ns && limit.more_ns <= most_ns);
}

static void what_was_agreed_about_a_job_is_told_again(void)
{
    const uint64_t minute_ns = (uint64_t)60 * 1000000000;
    peer end;
    hrt_client *client = begin(&end);
    uint64_t polled[16];
    CHECK_EQ(hrt_extend(client, 5, 100, 2 * minute_ns), HRT_OK);
    expect_limit(&end, 5, 2 * minute_ns, 2 * minute_ns);
    deliver_stop(&end, 6, 100, HRT_OUTCOME_CANCELLED);
    deliver_stop(&end, 7, 100, HRT_OUTCOME_TIMEOUT);
    CHECK_EQ(poll_now(client, polled), 2);
    expect_nothing(&end);
    for (int takeover = 0; takeover < 2; takeover++) {
        deliver_adopted(&end);
        CHECK_EQ(poll_now(client, polled), 0);
        expect_limit(&end, 5, minute_ns, 2 * minute_ns);
        expect(&end, HRT_SUBMIT_CANCEL, 6);
        expect_limit(&end, 7, 0, 0);
        expect_nothing(&end);
    }
    const hrt_settlement ends[] = {{.job = 5, .token = 100, .outcome = HRT_OUTCOME_RETRY},
                                   {.job = 6, .token = 100, .outcome = HRT_OUTCOME_RETRY},
                                   {.job = 7, .token = 100, .outcome = HRT_OUTCOME_RETRY}};
    CHECK_EQ(hrt_settle(client, ends, 3), HRT_OK);
    expect(&end, HRT_SUBMIT_SETTLE, 5);
    expect(&end, HRT_SUBMIT_SETTLE, 6);
    expect(&end, HRT_SUBMIT_SETTLE, 7);
    expect(&end, HRT_SUBMIT_CANCEL, 6); /* whoever takes it may not know */
    deliver_adopted(&end);
    CHECK_EQ(poll_now(client, polled), 0);
    expect_nothing(&end);
    finish(&end, client);
}

typedef struct producer {
    hrt_client *client;
    pthread_t thread;
    int64_t id;
    int status;
} producer;

static void *enqueue_and_wait(void *context)
{
    producer *self = context;
    const hrt_spec spec = {.block = 1};
    self->status = hrt_enqueue_wait(self->client, &spec, 1, -1, &self->id);
    return NULL;
}

static hrt_submit_enqueue take_enqueue(peer *end)
{
    uint8_t entry[256];
    hrt_submit_enqueue job;
    peer_await_submit(end);
    CHECK_EQ(peer_take(end, entry, sizeof(entry)), HRT_SUBMIT_ENQUEUE);
    memcpy(&job, entry, sizeof(job));
    return job;
}

static void who_waits_for_room_tries_again(void)
{
    peer end;
    hrt_client *client = begin(&end);
    producer self = {.client = client};
    REQUIRE(pthread_create(&self.thread, NULL, enqueue_and_wait, &self) == 0);
    (void)take_enqueue(&end);
    peer_reply(&end, HRT_EFULL);
    peer_await_submit(&end);
    expect(&end, HRT_SUBMIT_SPACE, 0);
    deliver_adopted(&end); /* nobody will tell of room now */
    CHECK(take_enqueue(&end).flags & HRT_ENQUEUE_AGAIN);
    peer_reply(&end, 44);
    (void)pthread_join(self.thread, NULL);
    CHECK_EQ(self.status, HRT_OK);
    CHECK_EQ(self.id, 44);
    finish(&end, client);
}

int main(void)
{
    TAP_LIST(TEST(a_lease_that_came_is_not_taken_again), TEST(what_was_saved_comes_with_its_lease),
             TEST(a_standby_is_waited_for), TEST(a_runtime_that_lets_go_is_waited_for),
             TEST(a_runtime_that_lets_go_for_good_is_given_up),
             TEST(a_standby_that_does_not_come_is_given_up), TEST(the_next_runtime_is_told_again),
             TEST(an_armed_client_tells_it_too), TEST(the_liveness_thread_tells_it_in_any_case),
             TEST(a_full_ring_delays_it), TEST(many_watches_are_told_again_once_each),
             TEST(what_was_agreed_about_a_job_is_told_again), TEST(who_waits_for_room_tries_again));
}
