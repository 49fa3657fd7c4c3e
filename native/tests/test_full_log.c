/*
 * A log at its limit: random jobs, some of them held for long, in a few tiny segments. Whatever
 * happens, an enqueue is accepted or refused with its reason, what a handler reads stays as it is
 * until it settles, and in the end every accepted job has ended.
 */
#include "atomic.h"
#include "host.h"

#include <stdlib.h>

#define SECOND_NS ((int64_t)1000000000)
#define PATIENCE_NS ((uint64_t)20 * 1000000000) /* until it counts as stuck */

enum {
    SEGMENT = 65536,
    HELD_MAX = 64,
    STEPS = 4000,
    STEPS_LONG = 200000,
    PAYLOAD_MAX = 6000,
    RESULT_MAX = 3000,
    RESULT_LARGE_MAX = 16000,
    HELD_FEW = 4,
    HOLD_STEPS = 1500,
};

typedef struct held {
    hrt_job job;
    uint32_t until; /* step */
} held;

typedef struct shape {
    uint32_t segments_max;
    uint32_t held_max; /* jobs that the worker has at a time */
    uint32_t result_max;
    uint32_t follow_max; /* bytes of a follow-up job; 0: there are none */
    uint8_t durability;
} shape;

typedef struct world {
    shape shape;
    host host;
    hrt_client *worker;
    uint64_t random;
    uint32_t step;
    held jobs[HELD_MAX];
    uint32_t held_count;
    uint64_t accepted;
    uint64_t refused;
} world;

static uint32_t roll(world *w, uint32_t sides)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % sides;
}

static void open_world(world *w)
{
    hrt_runtime_options options = host_options(&w->host);
    options.segment_size = SEGMENT;
    options.segments_max = w->shape.segments_max;
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retain_max = 20,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 2,
                                   .durability = w->shape.durability,
                                   .max_attempts = 4,
                                   .max_crashes = 3};
    host_open(&w->host, &options, &settings);
    host_start(&w->host);
    w->worker = host_attach_worker(&w->host, w->shape.held_max, 0);
}

static void close_world(world *w)
{
    hrt_detach(w->worker);
    host_stop(&w->host);
    host_close(&w->host);
}

/* ---- what producers and handlers do ---- */

static void enqueue(world *w)
{
    static uint8_t payload[PAYLOAD_MAX];
    uint32_t length = roll(w, 4) == 0 ? roll(w, PAYLOAD_MAX) : roll(w, 200);
    memset(payload, (int)roll(w, 256), length);
    hrt_spec spec = {.payload = payload,
                     .payload_length = length,
                     .kind = w->host.kind,
                     .queue = w->host.queue,
                     .delay_ns = roll(w, 10) == 0 ? roll(w, 5000000) : 0,
                     .result_ttl_ms = roll(w, 3) == 0 ? 20 : HRT_NONE};
    int64_t id = 0;
    int status = hrt_enqueue_wait(w->host.local, &spec, 1, (int64_t)PATIENCE_NS, &id);
    REQUIRE(status == HRT_OK || status == HRT_ELOGFULL); /* a time-out: nobody answers */
    w->accepted += status == HRT_OK;
    w->refused += status == HRT_ELOGFULL;
}

static void check_payload(const hrt_job *job)
{
    const uint8_t *bytes = job->payload;
    CHECK(job->payload_length < 2 || memcmp(bytes, bytes + 1, job->payload_length - 1) == 0);
}

static void settle(world *w, uint32_t place, uint8_t outcome, bool more)
{
    static const uint8_t data[RESULT_LARGE_MAX];
    hrt_spec follow = {.payload = data,
                       .payload_length = w->shape.follow_max,
                       .kind = w->host.kind,
                       .queue = w->host.queue,
                       .result_ttl_ms = HRT_NONE};
    hrt_job job = w->jobs[place].job;
    w->jobs[place] = w->jobs[--w->held_count];
    check_payload(&job);
    hrt_settlement settlement = {.job = job.id,
                                 .token = job.token,
                                 .outcome = outcome,
                                 .delay_ns = UINT64_MAX,
                                 .follow = &follow,
                                 .follow_count = w->shape.follow_max > 0 && more,
                                 .data = data,
                                 .data_length = roll(w, w->shape.result_max)};
    CHECK_EQ(hrt_settle(w->worker, &settlement, 1), HRT_OK);
}

static void settle_what_is_over(world *w)
{
    static const uint8_t outcomes[] = {HRT_OUTCOME_OK, HRT_OUTCOME_OK, HRT_OUTCOME_RETRY,
                                       HRT_OUTCOME_DISCARD, HRT_OUTCOME_RETURNED};
    for (uint32_t place = w->held_count; place-- > 0;) {
        if (w->jobs[place].until <= w->step) {
            settle(w, place, outcomes[roll(w, sizeof(outcomes))], roll(w, 2) == 0);
        }
    }
}

static uint32_t fetch(world *w, int64_t timeout_ns)
{
    hrt_job job;
    uint32_t count = 0;
    if (w->held_count == w->shape.held_max) {
        return 0;
    }
    int status = hrt_fetch(w->worker, &job, 1, timeout_ns, &count);
    CHECK(status == HRT_OK || status == HRT_ETIMEOUT || status == HRT_EAGAIN);
    if (status != HRT_OK || count == 0) {
        return 0;
    }
    hrt_job_started(&job);
    uint32_t hold = roll(w, 40) == 0 ? HOLD_STEPS + roll(w, HOLD_STEPS) : roll(w, 4);
    w->jobs[w->held_count++] = (held){.job = job, .until = w->step + hold};
    return 1;
}

/* A dead letter waits for an operator, who has no use for it. */
static uint64_t discard_dead(world *w)
{
    hrt_job_filter filter = {.states = 1u << HRT_JOB_DEAD, .queue = -1, .kind = -1};
    hrt_job_info infos[16];
    uint32_t count = 0;
    uint64_t next = 0;
    CHECK_EQ(hrt_runtime_jobs(w->host.runtime, &filter, infos, 16, &count, &next), HRT_OK);
    for (uint32_t i = 0; i < count; i++) {
        int status = hrt_runtime_discard(w->host.runtime, infos[i].id);
        CHECK(status == HRT_OK || status == HRT_ELOGFULL);
    }
    return count;
}

static uint64_t living(const world *w)
{
    return hrt_load_relaxed(&hrt_runtime_page(w->host.runtime)->runtime.jobs);
}

/* Everything that was accepted comes to its end: something ends all the time. */
static void finish(world *w)
{
    uint64_t least = living(w);
    uint64_t until_ns = hrt_monotonic_ns() + PATIENCE_NS;
    while (living(w) > 0 && hrt_monotonic_ns() < until_ns) {
        if (living(w) < least) {
            least = living(w);
            until_ns = hrt_monotonic_ns() + PATIENCE_NS;
        }
        while (w->held_count > 0) {
            settle(w, w->held_count - 1, HRT_OUTCOME_OK, false);
        }
        (void)fetch(w, SECOND_NS / 100);
        (void)discard_dead(w);
    }
    CHECK_EQ(living(w), 0);
}

static void soak(uint64_t seed, shape given)
{
    static world w;
    uint32_t steps = getenv("LONG") == NULL ? STEPS : STEPS_LONG;
    memset(&w, 0, sizeof(w));
    w.random = seed;
    w.shape = given;
    scratch_make(w.host.directory);
    open_world(&w);
    for (w.step = 0; w.step < steps; w.step++) {
        enqueue(&w);
        if (roll(&w, 3) != 0) {
            (void)fetch(&w, 0);
        }
        settle_what_is_over(&w);
        if (w.step % 256 == 0) {
            (void)discard_dead(&w);
        }
    }
    uint64_t files = hrt_load_relaxed(&hrt_runtime_page(w.host.runtime)->runtime.segments);
    finish(&w);
    CHECK(files <= given.segments_max);
    CHECK(w.accepted > 0);
    printf("# %u segments, seed %llu: %llu accepted, %llu refused, %llu copied\n",
           given.segments_max, (unsigned long long)seed, (unsigned long long)w.accepted,
           (unsigned long long)w.refused,
           (unsigned long long)hrt_load_relaxed(&hrt_runtime_page(w.host.runtime)->runtime.kept));
    close_world(&w);
    scratch_remove();
}

/* A log of so many files, and a worker that sits on many jobs. */
static shape of_files(uint32_t segments_max)
{
    return (shape){.segments_max = segments_max,
                   .held_max = HELD_MAX,
                   .result_max = RESULT_MAX,
                   .durability = HRT_DURABILITY_MEMORY};
}

static void the_smallest_log_never_wedges(void)
{
    soak(1, of_files(4));
    soak(2, of_files(4));
    soak(3, of_files(5));
}

static void a_small_log_never_wedges(void)
{
    soak(4, of_files(8));
    soak(5, of_files(16));
    soak(6, of_files(40));
}

static void nor_does_one_that_is_synced(void)
{
    shape synced = of_files(6);
    synced.durability = HRT_DURABILITY_SYNC;
    soak(7, synced);
}

/* Results are as large as a quarter of a segment, and few jobs run that could end. */
static void nor_does_one_of_large_results(void)
{
    shape large = of_files(40);
    large.held_max = HELD_FEW;
    large.result_max = RESULT_LARGE_MAX;
    soak(8, large);
}

/* One worker, and what makes room lies in its lane behind a settle that needs some. */
static void nor_does_one_of_jobs_that_make_more(void)
{
    shape growing = of_files(8);
    growing.follow_max = PAYLOAD_MAX;
    soak(9, growing);
}

int main(void)
{
    TAP_LIST(TEST(the_smallest_log_never_wedges), TEST(a_small_log_never_wedges),
             TEST(nor_does_one_that_is_synced), TEST(nor_does_one_of_large_results),
             TEST(nor_does_one_of_jobs_that_make_more));
}
