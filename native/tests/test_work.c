/* A worker's side: leases become jobs, settles arrive whole, and every wait ends when it should. */
#include "peer.h"
#include "standin.h"

#include <errno.h>
#include <poll.h>

static const char record_text[] = "keymetapayload";

static uint32_t record_of(uint64_t job)
{
    return PEER_RECORD + (uint32_t)(job % 128) * 256;
}

/* An ENQUEUE record with key, meta and payload, as the log would hold it. */
static void write_record(peer *end, uint64_t job)
{
    uint8_t *at = end->segment + record_of(job);
    const hrt_record record = {
        .length = sizeof(hrt_record) + sizeof(hrt_enqueue_body) + 14,
        .sequence = job,
        .time_ns = 123456,
        .type = HRT_RECORD_ENQUEUE,
    };
    const hrt_enqueue_body body = {
        .parent = 4,
        .payload_length = 7,
        .meta_length = 4,
        .max_attempts = 9,
        .key_length = 3,
    };
    memcpy(at, &record, sizeof(record));
    memcpy(at + sizeof(record), &body, sizeof(body));
    memcpy(at + sizeof(record) + sizeof(body), record_text, 14);
}

static hrt_delivery lease_of(uint64_t job)
{
    const hrt_delivery lease = {
        .type = HRT_DELIVERY_LEASE,
        .job = job,
        .token = job + 1000,
        .deadline_ns = 77,
        .record_offset = record_of(job),
        .data_offset =
            record_of(job) + (uint32_t)(sizeof(hrt_record) + sizeof(hrt_enqueue_body)) + 7,
        .data_length = 7,
        .kind = 1,
        .attempt = 2,
        .started_index = (uint32_t)job,
    };
    return lease;
}

static void deliver_lease(peer *end, uint64_t job)
{
    const hrt_delivery lease = lease_of(job);
    write_record(end, job);
    peer_deliver(end, &lease);
}

static void a_lease_becomes_a_job(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    hrt_job jobs[4];
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, jobs, 4, 0, &count), HRT_EAGAIN);
    deliver_lease(&end, 5);
    deliver_lease(&end, 6);
    CHECK_EQ(hrt_fetch(client, jobs, 4, -1, &count), HRT_OK);
    CHECK_EQ(count, 2);
    CHECK_EQ(jobs[0].id, 5);
    CHECK_EQ(jobs[0].token, 1005);
    CHECK_EQ(jobs[0].attempt, 2);
    CHECK_EQ(jobs[0].max_attempts, 9);
    CHECK_EQ(jobs[0].parent, 4);
    CHECK_EQ(jobs[0].enqueued_ns, 123456);
    CHECK_EQ(jobs[0].deadline_ns, 77);
    CHECK(jobs[0].trace == NULL);
    CHECK(jobs[0].payload_length == 7 && memcmp(jobs[0].payload, "payload", 7) == 0);
    CHECK(jobs[0].key_length == 3 && memcmp(jobs[0].key, "key", 3) == 0);
    CHECK(jobs[0].meta_length == 4 && memcmp(jobs[0].meta, "meta", 4) == 0);
    CHECK_EQ(hrt_lane_started(&end.host, 6), 0);
    hrt_job_started(&jobs[1]);
    CHECK_EQ(hrt_lane_started(&end.host, 6), 6);
    hrt_detach(client);
    peer_close(&end);
}

static void unfetched_leases_wait_for_the_next_fetch(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    for (uint64_t job = 1; job <= 5; job++)
        deliver_lease(&end, job);
    hrt_job job;
    uint32_t count = 0;
    for (uint64_t expected = 1; expected <= 5; expected++) {
        CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_OK);
        CHECK_EQ(job.id, expected);
    }
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_EAGAIN);
    CHECK_EQ(end.lane->deliver_head, 5);
    hrt_detach(client);
    peer_close(&end);
}

/* Its file was used again: other bytes are never taken for the job's. */
static void a_lease_of_bytes_that_are_not_the_job_is_an_error(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    deliver_lease(&end, 5);
    write_record(&end, 5 + 128);
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_EPEER);
    hrt_store_release_u32(&end.lane->standby, 1); /* so it is not given up at once */
    standin_kill(standin_start(&end));
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_ECLOSED);
    char sentence[512];
    (void)hrt_last_error(sentence, sizeof(sentence));
    CHECK(strstr(sentence, "job 5 can be read no more") != NULL);
    write_record(&end, 5);
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_OK);
    hrt_detach(client);
    peer_close(&end);
}

static void a_lease_outside_the_log_is_an_error(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    hrt_delivery lease = lease_of(1);
    lease.record_offset = PEER_SEGMENT;
    peer_deliver(&end, &lease);
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_EPEER);
    hrt_detach(client);
    peer_close(&end);
}

/* ---- settling ---- */

static void a_settle_and_its_follow_ups_arrive_together(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const hrt_spec follow[2] = {{.payload = "x", .payload_length = 1}, {.kind = 1}};
    const hrt_settlement settlement = {
        .job = 5,
        .token = 6,
        .data = "result",
        .follow = follow,
        .data_length = 6,
        .follow_count = 2,
        .outcome = HRT_OUTCOME_OK,
    };
    CHECK_EQ(hrt_settle(client, &settlement, 1), HRT_OK);
    uint8_t entry[256];
    hrt_submit_settle settle;
    hrt_submit_enqueue job;
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_SETTLE);
    memcpy(&settle, entry, sizeof(settle));
    CHECK_EQ(settle.job, 5);
    CHECK_EQ(settle.token, 6);
    CHECK_EQ(settle.follow_count, 2);
    CHECK_EQ(settle.data_length, 6);
    CHECK(memcmp(entry + sizeof(settle), "result\0", 8) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_ENQUEUE);
        memcpy(&job, entry, sizeof(job));
        CHECK_EQ(job.flags, HRT_ENQUEUE_FOLLOW);
        CHECK_EQ(job.kind, i);
    }
    hrt_detach(client);
    peer_close(&end);
}

static void bad_settlements_are_refused(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    static uint8_t bytes[HRT_RESULT_MAX + 1];
    const hrt_settlement outcome = {.outcome = HRT_OUTCOME_CRASHED};
    CHECK_EQ(hrt_settle(client, &outcome, 1), HRT_EINVAL);
    const hrt_settlement large = {
        .outcome = HRT_OUTCOME_OK, .data = bytes, .data_length = sizeof(bytes)};
    CHECK_EQ(hrt_settle(client, &large, 1), HRT_ETOOLARGE);
    CHECK(peer_error_says("65537 bytes, the limit is 65536"));
    const hrt_settlement unit = {
        .outcome = HRT_OUTCOME_OK, .data = bytes, .data_length = hrt_unit_max(client)};
    CHECK_EQ(hrt_settle(client, &unit, 1), HRT_ETOOLARGE);
    CHECK(peer_error_says("the limit of this lane is 16384"));
    const hrt_spec bad = {.kind = 99};
    const hrt_settlement follow = {.outcome = HRT_OUTCOME_OK, .follow = &bad, .follow_count = 1};
    CHECK_EQ(hrt_settle(client, &follow, 1), HRT_EKIND);
    CHECK_EQ(end.lane->submit_tail, 0);
    hrt_detach(client);
    peer_close(&end);
}

static void long_error_texts_are_cut_between_characters(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    static uint8_t text[HRT_ERROR_MAX + 100];
    memset(text, 'x', sizeof(text));
    memcpy(text + HRT_ERROR_MAX - 1, "\xe2\x82\xac", 3); /* a euro sign over the limit */
    const hrt_settlement settlement = {
        .outcome = HRT_OUTCOME_RETRY, .data = text, .data_length = sizeof(text)};
    CHECK_EQ(hrt_settle(client, &settlement, 1), HRT_OK);
    static uint8_t entry[8192];
    hrt_submit_settle settle;
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_SETTLE);
    memcpy(&settle, entry, sizeof(settle));
    CHECK_EQ(settle.data_length, HRT_ERROR_MAX - 1);
    hrt_detach(client);
    peer_close(&end);
}

static void what_a_worker_says_is_encoded(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    uint8_t entry[512];
    hrt_submit_register registration;
    const char *const kinds[] = {"file.sniff", "x"};
    const hrt_register_options options = {
        .kinds = kinds, .pool = "go", .language = "c", .kind_count = 2, .concurrency = 4};
    CHECK_EQ(hrt_register(client, &options), HRT_OK);
    CHECK_EQ(hrt_register(client, &options), HRT_EINVAL);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_REGISTER);
    memcpy(&registration, entry, sizeof(registration));
    CHECK_EQ(registration.kind_count, 2);
    CHECK_EQ(registration.concurrency, 4);
    CHECK_EQ(registration.names_length, 13);
    CHECK(memcmp(entry + sizeof(registration),
                 "\x0a"
                 "file.sniff\x01x",
                 13) == 0);
    CHECK(strcmp(registration.pool, "go") == 0);
    CHECK_EQ(hrt_extend(client, 1, 2, 3), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_EXTEND);
    CHECK_EQ(hrt_progress(client, 1, 2, 1001, NULL, 0), HRT_EINVAL);
    CHECK_EQ(hrt_progress(client, 1, 2, 500, "half", 4), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_PROGRESS);
    CHECK(memcmp(entry + sizeof(hrt_submit_progress), "half", 4) == 0);
    CHECK_EQ(hrt_save(client, 1, 2, "so far", 6), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_SAVE);
    CHECK(memcmp(entry + sizeof(hrt_submit_save), "so far", 7) == 0);
    static uint8_t half_the_ring[PEER_SUBMIT / 2];
    CHECK_EQ(hrt_save(client, 1, 2, half_the_ring, sizeof(half_the_ring)), HRT_ETOOLARGE);
    CHECK(peer_error_says("attach with a larger submit_capacity"));
    CHECK_EQ(hrt_watch(client, 0), HRT_EINVAL);
    CHECK_EQ(hrt_watch(client, 1), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_WATCH);
    CHECK_EQ(hrt_cancel(client, 1), HRT_OK);
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_CANCEL);
    hrt_detach(client);
    peer_close(&end);
}

/* ---- leaving ---- */

/* Counts the RETURNED settles that lie in the submit ring. */
static uint32_t count_returned(peer *end)
{
    uint8_t entry[256];
    hrt_submit_settle settle;
    uint32_t count = 0;
    while (peer_take(end, entry, sizeof(entry)) == HRT_SUBMIT_SETTLE) {
        memcpy(&settle, entry, sizeof(settle));
        CHECK_EQ(settle.token, settle.job + 1000);
        count += settle.outcome == HRT_OUTCOME_RETURNED;
    }
    return count;
}

static void a_drain_hands_unfetched_jobs_back(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    hrt_job job;
    uint32_t count = 0;
    for (uint64_t id = 1; id <= 100; id++)
        deliver_lease(&end, id);
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_OK);
    CHECK_EQ(hrt_draining(client), 0);
    hrt_store_release_u32(&end.lane->draining, 1);
    peer_publish(&end);
    CHECK_EQ(hrt_draining(client), 1);
    CHECK_EQ(hrt_fetch(client, &job, 1, -1, &count), HRT_EDRAIN);
    CHECK_EQ(count_returned(&end), 99);
    hrt_detach(client);
    CHECK_EQ(count_returned(&end), 0);
    peer_close(&end);
}

static void detaching_hands_unfetched_jobs_back(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    deliver_lease(&end, 1);
    deliver_lease(&end, 2);
    CHECK(hrt_load_acquire_u32(&end.lane->alive) != 0);
    CHECK(end.lane->heartbeat_ns > 0);
    end.lane->submit_park = HRT_PARK_FUTEX;
    hrt_detach(client);
    CHECK_EQ(count_returned(&end), 2);
    CHECK_EQ(end.lane->detached, 1);
    CHECK_EQ(end.lane->submit_park, HRT_PARK_AWAKE);
    CHECK_EQ(end.lane->alive, 0);
    peer_close(&end);
}

/* ---- waiting ---- */

typedef struct sleeper {
    hrt_client *client;
    int fetch_status;
    int poll_status;
    uint64_t job;
    int32_t code;
} sleeper;

static void *sleep_in_fetch(void *context)
{
    sleeper *self = context;
    hrt_job job;
    uint32_t count = 0;
    self->fetch_status = hrt_fetch(self->client, &job, 1, -1, &count);
    self->job = self->fetch_status == HRT_OK ? job.id : 0;
    return NULL;
}

static void *sleep_in_poll(void *context)
{
    sleeper *self = context;
    hrt_notice notice;
    uint32_t count = 0;
    self->poll_status = hrt_poll(self->client, &notice, 1, -1, &count);
    self->code = self->poll_status == HRT_OK ? notice.code : 0;
    return NULL;
}

static void start(pthread_t *thread, void *(*body)(void *), sleeper *context)
{
    REQUIRE(pthread_create(thread, NULL, body, context) == 0);
}

static void two_sleepers_each_get_their_own(void)
{
    peer end;
    peer_open(&end);
    sleeper self = {.client = peer_attach(&end)};
    for (uint64_t round = 1; round <= 2000; round++) {
        pthread_t threads[2];
        start(&threads[0], sleep_in_fetch, &self);
        start(&threads[1], sleep_in_poll, &self);
        const hrt_delivery cancel = {
            .type = HRT_DELIVERY_CANCEL, .code = (int32_t)round, .slot = UINT32_MAX};
        if (round % 3 == 0)
            peer_await_sleeper(&end);
        if (round % 2 == 0)
            peer_deliver(&end, &cancel);
        deliver_lease(&end, round);
        if (round % 2 != 0)
            peer_deliver(&end, &cancel);
        (void)pthread_join(threads[0], NULL);
        (void)pthread_join(threads[1], NULL);
        CHECK(self.fetch_status == HRT_OK && self.job == round);
        CHECK(self.poll_status == HRT_OK && self.code == (int32_t)round);
    }
    hrt_detach(self.client);
    peer_close(&end);
}

static void a_drain_ends_one_poll(void)
{
    peer end;
    peer_open(&end);
    sleeper self = {.client = peer_attach(&end)};
    pthread_t thread;
    start(&thread, sleep_in_poll, &self);
    peer_await_sleeper(&end);
    CHECK_EQ(hrt_draining(self.client), 0);
    hrt_store_release_u32(&end.lane->draining, 1);
    peer_publish(&end);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(self.poll_status, HRT_EAGAIN);
    CHECK_EQ(hrt_draining(self.client), 1);
    start(&thread, sleep_in_poll, &self);
    peer_await_sleeper(&end); /* the next one sleeps */
    const hrt_delivery cancel = {.type = HRT_DELIVERY_CANCEL, .code = 1, .slot = UINT32_MAX};
    peer_deliver(&end, &cancel);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(self.poll_status, HRT_OK);
    hrt_detach(self.client);
    peer_close(&end);
}

static void an_interrupt_ends_the_sleep(void)
{
    peer end;
    peer_open(&end);
    sleeper self = {.client = peer_attach(&end)};
    pthread_t thread;
    start(&thread, sleep_in_fetch, &self);
    peer_await_sleeper(&end);
    hrt_interrupt(self.client);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(self.fetch_status, HRT_EAGAIN);
    hrt_interrupt(self.client); /* before the fetch: not lost either */
    (void)sleep_in_fetch(&self);
    CHECK_EQ(self.fetch_status, HRT_EAGAIN);
    hrt_detach(self.client);
    peer_close(&end);
}

static void a_shut_lane_wakes_and_says_why(void)
{
    peer end;
    peer_open(&end);
    sleeper self = {.client = peer_attach(&end)};
    pthread_t thread;
    start(&thread, sleep_in_fetch, &self);
    peer_await_sleeper(&end);
    hrt_store_release_u32(&end.lane->closed, (uint32_t)HRT_EPEER);
    peer_publish(&end);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(self.fetch_status, HRT_ECLOSED);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(self.client, &spec, 1, -1, &ticket), HRT_ECLOSED);
    CHECK(peer_error_says("the peer broke the lane protocol"));
    CHECK_EQ(hrt_draining(self.client), 1);
    hrt_detach(self.client);
    peer_close(&end);
}

static void the_death_of_the_runtime_wakes_sleepers(void)
{
    peer end;
    peer_open(&end);
    const pid_t runtime = standin_start(&end);
    sleeper self = {.client = peer_attach(&end)};
    pthread_t threads[2];
    start(&threads[0], sleep_in_fetch, &self);
    start(&threads[1], sleep_in_poll, &self);
    peer_await_sleeper(&end);
    standin_kill(runtime);
    (void)pthread_join(threads[0], NULL);
    (void)pthread_join(threads[1], NULL);
    CHECK_EQ(self.fetch_status, HRT_ECLOSED);
    CHECK_EQ(self.poll_status, HRT_ECLOSED);
    CHECK_EQ(hrt_wait(self.client, 0, 0), HRT_OK);
    hrt_detach(self.client);
    peer_close(&end);
}

static bool readable(int fd)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    return poll(&ask, 1, 0) == 1;
}

static void an_armed_client_gets_its_eventfd_written(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const int fd = hrt_event_fd(client);
    const hrt_spec spec = {.kind = 0};
    uint64_t ticket = 0;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(hrt_arm(client), HRT_OK);
    CHECK(!readable(fd));
    peer_reply(&end, 9);
    CHECK(readable(fd));
    uint64_t value = 0;
    CHECK_EQ(read(fd, &value, sizeof(value)), (ssize_t)sizeof(value));
    CHECK_EQ(hrt_arm(client), HRT_EAGAIN); /* the reply is news */
    CHECK_EQ(hrt_arm(client), HRT_OK);
    CHECK(!readable(fd));
    hrt_interrupt(client);
    CHECK(readable(fd));
    hrt_detach(client);
    peer_close(&end);
}

/* ---- notices ---- */

static void notices_bring_results_along(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    memcpy(end.segment + 8000, "result", 6);
    const hrt_delivery result = {.type = HRT_DELIVERY_RESULT,
                                 .code = HRT_JOB_COMPLETED,
                                 .job = 3,
                                 .data_offset = 8000,
                                 .data_length = 6};
    const hrt_delivery refused = {
        .type = HRT_DELIVERY_REFUSED, .code = HRT_ESTALE, .job = 4, .slot = UINT32_MAX};
    const hrt_delivery space = {.type = HRT_DELIVERY_SPACE, .slot = UINT32_MAX};
    CHECK_EQ(hrt_watch(client, 3), HRT_OK);
    peer_deliver(&end, &result);
    peer_deliver(&end, &space);
    peer_deliver(&end, &refused);
    hrt_notice notices[4];
    uint32_t count = 0;
    CHECK_EQ(hrt_poll(client, notices, 4, 0, &count), HRT_OK);
    REQUIRE(count == 2); /* who waits for space is told otherwise */
    CHECK_EQ(notices[0].job, 3);
    CHECK_EQ(notices[0].code, HRT_JOB_COMPLETED);
    CHECK(notices[0].data_length == 6 && memcmp(notices[0].data, "result", 6) == 0);
    CHECK_EQ(notices[1].code, HRT_ESTALE);
    CHECK(notices[1].data == NULL);
    hrt_notice_free(&notices[0]);
    CHECK_EQ(hrt_poll(client, notices, 4, 1000000, &count), HRT_EAGAIN);
    CHECK_EQ(hrt_watch(client, 3), HRT_OK);
    peer_deliver(&end, &result); /* not polled: freed with the client */
    CHECK_EQ(hrt_wait(client, 0, 0), HRT_OK);
    hrt_detach(client);
    peer_close(&end);
}

static void a_forked_child_cannot_use_the_handle(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        hrt_job job;
        uint32_t count = 0;
        const int status = hrt_fetch(client, &job, 1, -1, &count);
        hrt_detach(client); /* frees, and touches nothing of the parent's */
        _exit(status == HRT_EFORK ? 0 : 1);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(end.lane->detached, 0);
    hrt_job job;
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, &job, 1, 0, &count), HRT_EAGAIN);
    hrt_detach(client);
    peer_close(&end);
}

int main(void)
{
    TAP_LIST(TEST(a_lease_becomes_a_job), TEST(unfetched_leases_wait_for_the_next_fetch),
             TEST(a_lease_of_bytes_that_are_not_the_job_is_an_error),
             TEST(a_lease_outside_the_log_is_an_error),
             TEST(a_settle_and_its_follow_ups_arrive_together), TEST(bad_settlements_are_refused),
             TEST(long_error_texts_are_cut_between_characters), TEST(what_a_worker_says_is_encoded),
             TEST(a_drain_hands_unfetched_jobs_back), TEST(detaching_hands_unfetched_jobs_back),
             TEST(two_sleepers_each_get_their_own), TEST(a_drain_ends_one_poll),
             TEST(an_interrupt_ends_the_sleep), TEST(a_shut_lane_wakes_and_says_why),
             TEST(the_death_of_the_runtime_wakes_sleepers),
             TEST(an_armed_client_gets_its_eventfd_written), TEST(notices_bring_results_along),
             TEST(a_forked_child_cannot_use_the_handle));
}
