/* What a running job saves: back with its next attempt, whatever ended the one before. */
#include "host.h"

#include "atomic.h"
#include "handle.h"
#include "lane.h"

#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

enum { SEGMENT = 1 << 20 };

typedef struct fixture {
    host host;
    hrt_client *worker;
} fixture;

static void reopen(fixture *f, uint32_t credit)
{
    hrt_runtime_options options = host_options(&f->host);
    options.segments_max = 16;
    const hrt_queue_settings settings = {.name = "default",
                                         .weight = 1,
                                         .retain_max = 100,
                                         .durability = HRT_DURABILITY_MEMORY,
                                         .max_attempts = 1000,
                                         .result_ttl_ms = 60000,
                                         .max_crashes = 3};
    host_open(&f->host, &options, &settings);
    host_start(&f->host);
    f->worker = host_attach_worker(&f->host, 1, credit);
}

static void begin(fixture *f, uint32_t credit)
{
    host_make(&f->host);
    reopen(f, credit);
}

static void stop(fixture *f)
{
    host_stop(&f->host);
    host_close(&f->host);
    hrt_detach(f->worker);
}

static void end(fixture *f)
{
    stop(f);
    scratch_remove();
}

static uint64_t enqueue(fixture *f, uint32_t payload_length)
{
    static const uint8_t payload[HRT_PAYLOAD_MAX];
    const hrt_spec spec = {.payload = payload,
                           .payload_length = payload_length,
                           .kind = f->host.kind,
                           .queue = f->host.queue};
    int64_t id = 0;
    CHECK_EQ(hrt_enqueue_wait(f->host.local, &spec, 1, 30 * SECOND_NS, &id), HRT_OK);
    return (uint64_t)id;
}

static hrt_job fetch_one(fixture *f)
{
    hrt_job job = {0};
    uint32_t count = 0;
    REQUIRE(hrt_fetch(f->worker, &job, 1, 30 * SECOND_NS, &count) == HRT_OK);
    hrt_job_started(&job);
    return job;
}

static void save(fixture *f, const hrt_job *job, const char *text)
{
    CHECK_EQ(hrt_save(f->worker, job->id, job->token, text, strlen(text)), HRT_OK);
}

static void settle(fixture *f, const hrt_job *job, uint8_t outcome)
{
    const hrt_settlement settlement = {.job = job->id, .token = job->token, .outcome = outcome};
    CHECK_EQ(hrt_settle(f->worker, &settlement, 1), HRT_OK);
}

static bool brings(const hrt_job *job, const char *text)
{
    return job->saved_length == strlen(text) &&
           (text[0] == '\0' ? job->saved == NULL
                            : memcmp(job->saved, text, job->saved_length) == 0);
}

static hrt_job_info look_at(fixture *f, uint64_t job)
{
    hrt_job_info info = {0};
    CHECK_EQ(hrt_runtime_job(f->host.runtime, job, &info), HRT_OK);
    return info;
}

static void await_state(fixture *f, uint64_t job, uint8_t state)
{
    AWAIT(look_at(f, job).state == state);
}

static void the_last_one_comes_back(void)
{
    fixture f;
    begin(&f, 1);
    const uint64_t id = enqueue(&f, 10);
    hrt_job job = fetch_one(&f);
    CHECK(brings(&job, ""));
    save(&f, &job, "one");
    save(&f, &job, "two");
    settle(&f, &job, HRT_OUTCOME_RETRY);
    job = fetch_one(&f);
    CHECK(brings(&job, "two"));
    CHECK_EQ(job.attempt, 2);
    settle(&f, &job, HRT_OUTCOME_RETURNED);
    job = fetch_one(&f);
    CHECK(brings(&job, "two"));
    CHECK_EQ(job.attempt, 2); /* handing back counts nothing */
    save(&f, &job, "");
    settle(&f, &job, HRT_OUTCOME_SNOOZE);
    job = fetch_one(&f);
    CHECK(brings(&job, ""));
    save(&f, &job, "three");
    settle(&f, &job, HRT_OUTCOME_DEAD);
    await_state(&f, id, HRT_JOB_DEAD);
    CHECK_EQ(look_at(&f, id).saved_length, 5);
    char part[8] = {0};
    size_t length = 0;
    CHECK_EQ(hrt_runtime_job_part(f.host.runtime, id, HRT_PART_SAVED, part, sizeof(part), &length),
             HRT_OK);
    CHECK(length == 5 && memcmp(part, "three", 5) == 0);
    CHECK_EQ(hrt_runtime_retry(f.host.runtime, id), HRT_OK);
    job = fetch_one(&f);
    CHECK(brings(&job, "three"));
    CHECK_EQ(job.attempt, 1);
    settle(&f, &job, HRT_OUTCOME_OK);
    await_state(&f, id, HRT_JOB_COMPLETED);
    CHECK_EQ(look_at(&f, id).saved_length, 0);
    end(&f);
}

static void a_stale_or_too_large_one_changes_nothing(void)
{
    static uint8_t bytes[HRT_SAVED_MAX + 1];
    fixture f;
    begin(&f, 1);
    const uint64_t *refused = &hrt_runtime_page(f.host.runtime)->runtime.refused;
    (void)enqueue(&f, 10);
    hrt_job first = fetch_one(&f);
    CHECK_EQ(hrt_save(f.worker, first.id, first.token, bytes, sizeof(bytes)), HRT_ETOOLARGE);
    CHECK_EQ(hrt_save(f.worker, first.id, first.token, NULL, 1), HRT_EINVAL);
    CHECK_EQ(hrt_save(f.worker, first.id, first.token, bytes, HRT_SAVED_MAX), HRT_OK);
    settle(&f, &first, HRT_OUTCOME_RETRY);
    hrt_job second = fetch_one(&f);
    CHECK_EQ(second.saved_length, HRT_SAVED_MAX);
    CHECK_EQ(hrt_load_relaxed(refused), 0);
    save(&f, &second, "good");
    save(&f, &first, "from an attempt that is over");
    settle(&f, &second, HRT_OUTCOME_RETRY);
    save(&f, &second, "after the end");
    hrt_job third = fetch_one(&f);
    CHECK(brings(&third, "good"));
    settle(&f, &third, HRT_OUTCOME_OK);
    await_state(&f, third.id, HRT_JOB_COMPLETED);
    CHECK_EQ(hrt_load_relaxed(refused), 2);
    CHECK_EQ(hrt_load_relaxed(&hrt_runtime_page(f.host.runtime)->runtime.lane_faults), 0);
    end(&f);
}

static void it_survives_a_restart(void)
{
    fixture f;
    begin(&f, 1);
    (void)enqueue(&f, 10);
    hrt_job job = fetch_one(&f);
    save(&f, &job, "so far");
    AWAIT(look_at(&f, job.id).saved_length > 0);
    const uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    stop(&f);
    reopen(&f, 1);
    CHECK(hrt_runtime_state_hash(f.host.runtime) != hash); /* the lease is lost */
    job = fetch_one(&f);
    CHECK(brings(&job, "so far"));
    settle(&f, &job, HRT_OUTCOME_OK);
    end(&f);
}

/* Goes on by so many segments. */
static void write_log(fixture *f, uint32_t segments)
{
    const uint64_t from = hrt_load_relaxed(&hrt_runtime_page(f->host.runtime)->runtime.log_tail);
    while (hrt_load_relaxed(&hrt_runtime_page(f->host.runtime)->runtime.log_tail) - from <
           (uint64_t)segments * SEGMENT)
        CHECK_EQ(hrt_runtime_cancel(f->host.runtime, enqueue(f, 200000)), HRT_OK);
}

static void it_is_copied_forward_with_its_job(void)
{
    fixture f;
    begin(&f, 1);
    (void)enqueue(&f, 10);
    hrt_job job = fetch_one(&f);
    save(&f, &job, "so far");
    settle(&f, &job, HRT_OUTCOME_RETRY);
    hrt_detach(f.worker); /* what it was leased again goes back */
    await_state(&f, job.id, HRT_JOB_READY);
    write_log(&f, 20); /* more than the log holds: its oldest segments are given up */
    CHECK(hrt_load_relaxed(&hrt_runtime_page(f.host.runtime)->runtime.kept) > 0);
    f.worker = host_attach_worker(&f.host, 1, 1);
    job = fetch_one(&f);
    CHECK(brings(&job, "so far"));
    settle(&f, &job, HRT_OUTCOME_OK);
    end(&f);
}

/* A handler reads it where it lies, however far the log goes on, and whatever it saves anew. */
static void it_stays_in_place_while_the_job_runs(void)
{
    fixture f;
    begin(&f, 1);
    (void)enqueue(&f, 10);
    hrt_job job = fetch_one(&f);
    save(&f, &job, "so far");
    settle(&f, &job, HRT_OUTCOME_RETRY);
    job = fetch_one(&f);
    save(&f, &job, "further");
    AWAIT(look_at(&f, job.id).saved_length == 7);
    write_log(&f, 12);
    CHECK(hrt_load_relaxed(&hrt_runtime_page(f.host.runtime)->runtime.kept) > 0);
    CHECK(brings(&job, "so far"));
    settle(&f, &job, HRT_OUTCOME_RETRY);
    job = fetch_one(&f);
    CHECK(brings(&job, "further"));
    settle(&f, &job, HRT_OUTCOME_OK);
    end(&f);
}

/* Each lease comes with what its own job saved, also where the deliver ring ends between both. */
static void a_full_ring_does_not_part_it_from_its_lease(void)
{
    enum { STRANGERS = 4001 };
    fixture f;
    begin(&f, HRT_CREDIT_MAX);
    hrt_client *worker = f.worker;
    static hrt_job jobs[HRT_CREDIT_MAX];
    for (uint32_t i = 0; i < HRT_CREDIT_MAX; i++)
        (void)enqueue(&f, 0);
    for (uint32_t i = 0; i < HRT_CREDIT_MAX; i++) {
        jobs[i] = fetch_one(&f);
        CHECK_EQ(hrt_save(worker, jobs[i].id, jobs[i].token, &jobs[i].id, sizeof(jobs[i].id)),
                 HRT_OK);
    }
    for (uint64_t i = 0; i < STRANGERS; i++)
        CHECK_EQ(hrt_watch(worker, UINT64_MAX - i), HRT_OK); /* answered, and not read */
    for (uint32_t i = 0; i < HRT_CREDIT_MAX; i++)
        settle(&f, &jobs[i], HRT_OUTCOME_RETURNED);
    const hrt_lane *lane = worker->lane;
    AWAIT(hrt_load_acquire(&lane->deliver_tail) - hrt_load_relaxed(&lane->deliver_head) ==
          HRT_LANE_DELIVER);
    for (uint32_t i = 0; i < HRT_CREDIT_MAX; i++) {
        const hrt_job job = fetch_one(&f);
        REQUIRE(job.saved_length == sizeof(job.id));
        CHECK(memcmp(job.saved, &job.id, sizeof(job.id)) == 0);
        settle(&f, &job, HRT_OUTCOME_OK);
    }
    end(&f);
}

int main(void)
{
    TAP_LIST(TEST(the_last_one_comes_back), TEST(a_stale_or_too_large_one_changes_nothing),
             TEST(it_survives_a_restart), TEST(it_is_copied_forward_with_its_job),
             TEST(it_stays_in_place_while_the_job_runs),
             TEST(a_full_ring_does_not_part_it_from_its_lease));
}
