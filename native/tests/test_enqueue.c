/* What a producer sends arrives as it was meant; what cannot be sent is refused with a reason. */
#include "peer.h"

static void fill_spec(hrt_spec *spec, const char *payload)
{
    *spec = (hrt_spec){.payload = payload, .payload_length = (uint32_t)strlen(payload)};
}

static void a_job_arrives_as_it_was_given(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    static const uint8_t trace[HRT_TRACE_SIZE] = {0, 1, 2, 3};
    const hrt_spec spec = {
        .payload = "payload",
        .key = "key",
        .meta = "meta",
        .trace = trace,
        .delay_ns = 11,
        .due_ns = 12,
        .payload_length = 7,
        .timeout_ms = 13,
        .result_ttl_ms = HRT_NONE,
        .expires_ms = 14,
        .kind = 1,
        .meta_length = 4,
        .max_attempts = 15,
        .key_length = 3,
        .max_crashes = 2,
        .block = 1,
    };
    uint64_t ticket = 99;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 0, &ticket), HRT_OK);
    CHECK_EQ(ticket, 0);
    uint8_t entry[256];
    hrt_submit_enqueue got;
    CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_ENQUEUE);
    memcpy(&got, entry, sizeof(got));
    CHECK_EQ(got.head.length, (sizeof(got) + 32 + 3 + 4 + 7 + 7) / 8 * 8);
    CHECK_EQ(got.delay_ns, 11);
    CHECK_EQ(got.due_ns, 12);
    CHECK_EQ(got.timeout_ms, 13);
    CHECK_EQ(got.result_ttl_ms, HRT_NONE);
    CHECK_EQ(got.expires_ms, 14);
    CHECK_EQ(got.kind, 1);
    CHECK_EQ(got.max_attempts, 15);
    CHECK_EQ(got.max_crashes, 2);
    CHECK_EQ(got.flags, HRT_ENQUEUE_TRACE | HRT_ENQUEUE_BLOCK);
    CHECK(memcmp(entry + sizeof(got), trace, sizeof(trace)) == 0);
    CHECK(memcmp(entry + sizeof(got) + 32, "keymetapayload\0", 15) == 0);
    hrt_detach(client);
    peer_close(&end);
}

static void answers_come_in_the_order_of_tickets(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    hrt_spec specs[3];
    fill_spec(&specs[0], "a");
    fill_spec(&specs[1], "b");
    fill_spec(&specs[2], "c");
    uint64_t first = 0;
    int64_t ids[3] = {0};
    CHECK_EQ(hrt_enqueue(client, specs, 3, 0, &first), HRT_OK);
    CHECK_EQ(hrt_wait(client, 3, 0), HRT_ETIMEOUT);
    CHECK_EQ(hrt_replies(client, 0, 3, ids), HRT_EAGAIN);
    CHECK_EQ(hrt_wait(client, 4, 0), HRT_EINVAL);
    peer_reply(&end, 100);
    peer_reply(&end, HRT_EFULL);
    CHECK_EQ(hrt_wait(client, 2, 0), HRT_OK);
    CHECK_EQ(hrt_wait(client, 3, 1000000), HRT_ETIMEOUT);
    peer_reply(&end, 102);
    CHECK_EQ(hrt_wait(client, 3, -1), HRT_OK);
    CHECK_EQ(hrt_replies(client, 0, 3, ids), HRT_OK);
    CHECK_EQ(ids[0], 100);
    CHECK_EQ(ids[1], HRT_EFULL);
    CHECK_EQ(ids[2], 102);
    hrt_detach(client);
    peer_close(&end);
}

/* The status of enqueueing one good job and then this one: nothing may be submitted. */
static int refused(peer *end, hrt_client *client, const hrt_spec *bad)
{
    const uint64_t tail = end->lane->submit_tail;
    hrt_spec specs[2];
    fill_spec(&specs[0], "good");
    specs[1] = *bad;
    uint64_t first = 0;
    const int status = hrt_enqueue(client, specs, 2, 0, &first);
    CHECK_EQ(end->lane->submit_tail, tail);
    return status;
}

static void bad_jobs_are_refused_whole_with_a_reason(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const hrt_spec large = {.payload = "", .payload_length = HRT_PAYLOAD_MAX + 1};
    CHECK_EQ(refused(&end, client, &large), HRT_ETOOLARGE);
    CHECK(peer_error_says("job 1 of the batch: payload has 262145 bytes, the limit is 262144"));
    const hrt_spec over_lane = {.payload = "", .payload_length = 40000};
    CHECK_EQ(refused(&end, client, &over_lane), HRT_ETOOLARGE);
    CHECK(peer_error_says("submit_capacity"));
    const hrt_spec over_log = {.payload = "", .payload_length = 31000};
    CHECK_EQ(refused(&end, client, &over_log), HRT_ETOOLARGE);
    CHECK(peer_error_says("segments of 65536 bytes take at most 30720 at once"));
    const hrt_spec kind = {.kind = 9};
    CHECK_EQ(refused(&end, client, &kind), HRT_EKIND);
    CHECK(peer_error_says("kind 9"));
    const hrt_spec queue = {.queue = 1};
    CHECK_EQ(refused(&end, client, &queue), HRT_EQUEUE);
    const hrt_spec meta = {.meta = "", .meta_length = HRT_META_MAX + 1};
    CHECK_EQ(refused(&end, client, &meta), HRT_ETOOLARGE);
    const hrt_spec key = {.key_length = 1};
    CHECK_EQ(refused(&end, client, &key), HRT_EINVAL);
    const hrt_spec control = {.key = "a\nb", .key_length = 3};
    CHECK_EQ(refused(&end, client, &control), HRT_ENAME);
    CHECK(peer_error_says("job 1 of the batch: its key holds a control character"));
    const hrt_spec payload = {.payload_length = 1};
    CHECK_EQ(refused(&end, client, &payload), HRT_EINVAL);
    hrt_detach(client);
    peer_close(&end);
}

static void a_full_lane_times_out_with_nothing_sent(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    static const uint8_t bytes[8192];
    const hrt_spec spec = {.payload = bytes, .payload_length = sizeof(bytes)};
    uint64_t ticket = 0;
    int status = HRT_OK;
    uint64_t sent = 0;
    for (; status == HRT_OK; sent++)
        status = hrt_enqueue(client, &spec, 1, 0, &ticket);
    CHECK_EQ(status, HRT_ETIMEOUT);
    const uint64_t tail = end.lane->submit_tail;
    CHECK_EQ(hrt_enqueue(client, &spec, 1, 1000000, &ticket), HRT_ETIMEOUT);
    CHECK_EQ(end.lane->submit_tail, tail);
    CHECK(sent > 5);
    hrt_detach(client);
    peer_close(&end);
}

/* ---- with a thread at one end ---- */

typedef struct feeder {
    hrt_client *client;
    uint32_t count;
    int status;
    uint32_t done;
    uint64_t first;
} feeder;

static void *feed_packed(void *context)
{
    feeder *job = context;
    uint64_t *payloads = malloc(job->count * sizeof(uint64_t));
    REQUIRE(payloads != NULL);
    for (uint32_t i = 0; i < job->count; i++)
        payloads[i] = i;
    const hrt_spec like = {.key = "k", .key_length = 1};
    job->status = hrt_enqueue_packed(job->client, &like, payloads, NULL, sizeof(uint64_t),
                                     job->count, -1, &job->first, &job->done);
    free(payloads);
    return NULL;
}

/* Takes and answers `count` jobs whose payload is their number. */
static uint64_t take_numbered(peer *end, uint32_t count)
{
    uint64_t wrong = 0;
    for (uint32_t i = 0; i < count;) {
        uint8_t entry[128];
        const int type = peer_take(end, entry, sizeof(entry));
        if (type == HRT_EAGAIN) {
            peer_publish(end); /* space was released */
            (void)sched_yield();
            continue;
        }
        uint64_t number = 0;
        memcpy(&number, entry + sizeof(hrt_submit_enqueue) + 1, sizeof(number));
        wrong += type != HRT_SUBMIT_ENQUEUE || number != i;
        peer_reply(end, 1000 + (int64_t)i);
        i++;
    }
    return wrong;
}

static void packed_jobs_flow_through_a_small_ring(void)
{
    peer end;
    peer_open(&end);
    feeder job = {.client = peer_attach(&end), .count = 100000};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, feed_packed, &job) == 0);
    CHECK_EQ(take_numbered(&end, job.count), 0);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(job.status, HRT_OK);
    CHECK_EQ(job.done, job.count);
    CHECK_EQ(hrt_wait(job.client, job.first + job.count, -1), HRT_OK);
    int64_t id = 0;
    CHECK_EQ(hrt_replies(job.client, job.count - 1, 1, &id), HRT_OK);
    CHECK_EQ(id, 1000 + (int64_t)job.count - 1);
    CHECK_EQ(hrt_replies(job.client, 0, 1, &id), HRT_EGONE);
    hrt_detach(job.client);
    peer_close(&end);
}

static void packed_lengths_cut_the_payloads(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const uint32_t lengths[] = {1, 0, 3};
    const hrt_spec like = {.kind = 1};
    uint64_t first = 0;
    uint32_t done = 0;
    CHECK_EQ(hrt_enqueue_packed(client, &like, "abcd", lengths, 0, 3, 0, &first, &done), HRT_OK);
    CHECK_EQ(done, 3);
    static const char *const expected[] = {"a", "", "bcd"};
    for (int i = 0; i < 3; i++) {
        uint8_t entry[128];
        hrt_submit_enqueue got;
        CHECK_EQ(peer_take(&end, entry, sizeof(entry)), HRT_SUBMIT_ENQUEUE);
        memcpy(&got, entry, sizeof(got));
        CHECK_EQ(got.payload_length, lengths[i]);
        CHECK_EQ(got.kind, 1);
        CHECK(memcmp(entry + sizeof(got), expected[i], lengths[i]) == 0);
    }
    const uint32_t over[] = {1, HRT_PAYLOAD_MAX + 1};
    CHECK_EQ(hrt_enqueue_packed(client, &like, "", over, 0, 2, 0, &first, &done), HRT_ETOOLARGE);
    CHECK_EQ(done, 0);
    hrt_detach(client);
    peer_close(&end);
}

static void unanswered_tickets_are_bounded(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    const hrt_spec like = {.kind = 0};
    uint64_t first = 0;
    uint32_t done = 0;
    uint32_t total = 0;
    while (total < HRT_LANE_REPLY) {
        const int status = hrt_enqueue_packed(client, &like, NULL, NULL, 0, 1000, 0, &first, &done);
        CHECK(status == HRT_OK || status == HRT_ETIMEOUT);
        total += done;
        uint8_t entry[128];
        while (peer_take(&end, entry, sizeof(entry)) == HRT_SUBMIT_ENQUEUE)
            CHECK(total <= HRT_LANE_REPLY);
    }
    CHECK_EQ(total, HRT_LANE_REPLY);
    CHECK_EQ(hrt_enqueue(client, &like, 1, 1000000, &first), HRT_ETIMEOUT);
    peer_reply(&end, 1);
    CHECK_EQ(hrt_enqueue(client, &like, 1, 0, &first), HRT_OK);
    CHECK_EQ(first, HRT_LANE_REPLY);
    hrt_detach(client);
    peer_close(&end);
}

typedef struct waiter {
    hrt_client *client;
    int status;
    int64_t ids[3];
} waiter;

static void *enqueue_and_wait(void *context)
{
    waiter *job = context;
    hrt_spec specs[3];
    fill_spec(&specs[0], "a");
    fill_spec(&specs[1], "b");
    fill_spec(&specs[2], "c");
    specs[1].block = 1;
    specs[2].block = 1;
    job->status = hrt_enqueue_wait(job->client, specs, 3, -1, job->ids);
    return NULL;
}

/* The next entry, waited for: its flags if it is an ENQUEUE, else its negated type. */
static int await_entry(peer *end)
{
    uint8_t entry[128];
    hrt_submit_enqueue got;
    peer_await_submit(end);
    const int type = peer_take(end, entry, sizeof(entry));
    memcpy(&got, entry, sizeof(got));
    return type == HRT_SUBMIT_ENQUEUE ? got.flags : -type;
}

static void a_full_queue_is_waited_for_in_order(void)
{
    peer end;
    peer_open(&end);
    waiter job = {.client = peer_attach(&end)};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, enqueue_and_wait, &job) == 0);
    CHECK_EQ(await_entry(&end), 0);
    CHECK_EQ(await_entry(&end), HRT_ENQUEUE_BLOCK);
    CHECK_EQ(await_entry(&end), HRT_ENQUEUE_BLOCK);
    peer_reply(&end, HRT_EFULL); /* must not be sent again: it did not ask to block */
    peer_reply(&end, HRT_EFULL);
    peer_reply(&end, HRT_EFULL);
    CHECK_EQ(await_entry(&end), -HRT_SUBMIT_SPACE);
    peer_await_sleeper(&end);
    const hrt_delivery space = {.type = HRT_DELIVERY_SPACE, .slot = UINT32_MAX};
    peer_deliver(&end, &space);
    CHECK_EQ(await_entry(&end), HRT_ENQUEUE_BLOCK | HRT_ENQUEUE_AGAIN);
    CHECK_EQ(await_entry(&end), HRT_ENQUEUE_BLOCK);
    peer_reply(&end, 51);
    peer_reply(&end, 52);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(job.status, HRT_EFULL);
    CHECK_EQ(job.ids[0], HRT_EFULL);
    CHECK_EQ(job.ids[1], 51);
    CHECK_EQ(job.ids[2], 52);
    hrt_detach(job.client);
    peer_close(&end);
}

static void waiting_for_a_full_queue_ends_in_time(void)
{
    peer end;
    peer_open(&end);
    hrt_client *client = peer_attach(&end);
    hrt_spec spec;
    fill_spec(&spec, "a");
    spec.block = 1;
    int64_t id = 0;
    hrt_lane_reply(&end.host, HRT_EFULL);
    peer_publish(&end); /* the answer lies ready before the question */
    CHECK_EQ(hrt_enqueue_wait(client, &spec, 1, 2000000, &id), HRT_EFULL);
    CHECK_EQ(id, HRT_EFULL);
    spec.kind = 50;
    CHECK_EQ(hrt_enqueue_wait(client, &spec, 1, 0, &id), HRT_EKIND);
    CHECK_EQ(id, HRT_EKIND);
    hrt_detach(client);
    peer_close(&end);
}

int main(void)
{
    TAP_LIST(TEST(a_job_arrives_as_it_was_given), TEST(answers_come_in_the_order_of_tickets),
             TEST(bad_jobs_are_refused_whole_with_a_reason),
             TEST(a_full_lane_times_out_with_nothing_sent),
             TEST(packed_jobs_flow_through_a_small_ring), TEST(packed_lengths_cut_the_payloads),
             TEST(unanswered_tickets_are_bounded), TEST(a_full_queue_is_waited_for_in_order),
             TEST(waiting_for_a_full_queue_ends_in_time));
}
