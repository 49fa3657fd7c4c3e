/*
 * The producer: enqueues stamped payloads in batches, at a pace or flat out, and reports when the
 * last of them was settled. Waits by clock_nanosleep and by the library, never by spinning.
 */
#include "bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum {
    SECOND_NS = 1000000000,
    TICK_NS = 1000000,       /* between paced batches, when a batch holds more than one job */
    SINGLE_RATE_MAX = 5000,  /* up to here paced jobs go one by one */
    BACKLOG_NAP_NS = 100000, /* while the queue holds more than options->backlog */
    RESULT_TTL_MS = 60000,   /* with `settled`: the result is kept until it was told */
    WINDOW = 32768,          /* unread answers, half of what a lane keeps */
};
#define STEP_TIMEOUT_NS ((int64_t)30 * SECOND_NS)
#define SETTLE_TIMEOUT_NS ((uint64_t)300 * SECOND_NS)

typedef struct producer {
    const bench_options *options;
    hrt_client *client;
    const hrt_page *page;
    uint8_t *payloads;
    hrt_spec like;
    uint64_t sent;
    uint64_t accepted;
    uint64_t base;    /* ticket of the first job */
    uint64_t checked; /* jobs whose answers were read */
    uint64_t completed_before;
    uint64_t started_ns;
    uint64_t enqueued_ns; /* when the last answer was in */
    bench_histogram acknowledged;
    bench_histogram settled;
} producer;

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static const hrt_queue_counters *counters(const producer *p)
{
    return &p->page->queue_counters[p->like.queue];
}

static uint64_t finished(const producer *p)
{
    const hrt_queue_counters *c = counters(p);
    return load(&c->completed) + load(&c->died) + load(&c->discarded) + load(&c->expired) +
           load(&c->cancelled);
}

static void sleep_until(uint64_t when_ns)
{
    const struct timespec when = {.tv_sec = (time_t)(when_ns / SECOND_NS),
                                  .tv_nsec = (long)(when_ns % SECOND_NS)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

static void stamp(producer *p, uint32_t count)
{
    const uint64_t now_ns = p->options->settled ? 0 : bench_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t value = p->sent + i < p->options->warmup ? 0 : now_ns;
        memcpy(p->payloads + (size_t)i * p->options->size, &value, sizeof value);
    }
}

/* A run of which some jobs were refused has measured something else than it says. */
static int refused(const producer *p, int64_t answer)
{
    (void)fprintf(stderr,
                  "hrt-bench: of %" PRIu64 " jobs %" PRIu64 " were taken, the next was not\n",
                  p->sent, p->accepted);
    return (int)answer;
}

/* Reads the answers to the first `end` jobs, waiting for them. */
static int read_replies(producer *p, uint64_t end)
{
    int64_t ids[BENCH_BATCH_MAX];
    int status = hrt_wait(p->client, p->base + end, STEP_TIMEOUT_NS);
    while (status == HRT_OK && p->checked < end) {
        const uint64_t left = end - p->checked;
        const uint32_t count = left < BENCH_BATCH_MAX ? (uint32_t)left : BENCH_BATCH_MAX;
        status = hrt_replies(p->client, p->base + p->checked, count, ids);
        for (uint32_t i = 0; status == HRT_OK && i < count; i++) {
            if (ids[i] < 0)
                return refused(p, ids[i]);
            p->accepted++;
        }
        p->checked += count;
    }
    return status;
}

static int send_batch(producer *p, uint32_t count)
{
    stamp(p, count);
    uint64_t first;
    uint32_t done;
    const int status = hrt_enqueue_packed(p->client, &p->like, p->payloads, NULL, p->options->size,
                                          count, STEP_TIMEOUT_NS, &first, &done);
    if (status != HRT_OK)
        return status;
    if (p->sent == 0)
        p->base = first;
    p->sent += count;
    /* A lane keeps so many answers only: read the older half before the newer ones push it out. */
    return p->sent - p->checked >= WINDOW ? read_replies(p, p->checked + WINDOW / 2) : HRT_OK;
}

/* Keeps the number of waiting jobs bounded, so that a long run measures a steady state. */
static int hold_backlog(const producer *p)
{
    const uint64_t limit_ns = bench_now_ns() + SETTLE_TIMEOUT_NS;
    while (p->options->backlog > 0 && load(&counters(p)->ready) > p->options->backlog) {
        if (bench_now_ns() > limit_ns)
            return HRT_ETIMEOUT;
        sleep_until(bench_now_ns() + BACKLOG_NAP_NS);
    }
    return HRT_OK;
}

static bool wanted(const producer *p)
{
    if (p->options->jobs > 0)
        return p->sent < p->options->jobs;
    return bench_now_ns() - p->started_ns < (uint64_t)p->options->seconds * SECOND_NS;
}

static uint32_t next_batch(const producer *p, uint32_t batch)
{
    const uint64_t left = p->options->jobs > 0 ? p->options->jobs - p->sent : batch;
    return left < batch ? (uint32_t)left : batch;
}

static int produce_flat_out(producer *p)
{
    int status = HRT_OK;
    while (status == HRT_OK && wanted(p)) {
        status = hold_backlog(p);
        if (status == HRT_OK)
            status = send_batch(p, next_batch(p, p->options->batch));
    }
    return status;
}

static int produce_paced(producer *p)
{
    const uint64_t rate = p->options->rate;
    const uint64_t per_tick = rate <= SINGLE_RATE_MAX ? 1 : rate * TICK_NS / SECOND_NS;
    const uint32_t batch = per_tick < BENCH_BATCH_MAX ? (uint32_t)per_tick : BENCH_BATCH_MAX;
    int status = HRT_OK;
    for (uint64_t due = 0; status == HRT_OK && wanted(p); due += batch) {
        sleep_until(p->started_ns + due * SECOND_NS / rate);
        status = send_batch(p, next_batch(p, batch));
    }
    return status;
}

/* Waits for the end of `job`; the notice comes at once when it has ended already. */
static int await_end(producer *p, uint64_t job)
{
    int status = hrt_watch(p->client, job);
    while (status == HRT_OK) {
        hrt_notice notice;
        uint32_t count;
        status = hrt_poll(p->client, &notice, 1, STEP_TIMEOUT_NS, &count);
        if (status != HRT_OK)
            break;
        const bool ours = notice.type == HRT_DELIVERY_RESULT && notice.job == job;
        hrt_notice_free(&notice);
        if (ours)
            break;
    }
    return status;
}

/* One job at a time: enqueue, acknowledgement, end; the pace leaves the machine idle between. */
static int produce_closed(producer *p)
{
    int status = HRT_OK;
    p->like.result_ttl_ms = RESULT_TTL_MS;
    for (uint64_t turn = 0; status == HRT_OK && wanted(p); turn++) {
        if (p->options->rate > 0)
            sleep_until(p->started_ns + turn * SECOND_NS / p->options->rate);
        const bool warm = p->sent >= p->options->warmup;
        stamp(p, 1);
        const uint64_t begin_ns = bench_now_ns();
        int64_t id;
        p->like.payload = p->payloads;
        p->like.payload_length = p->options->size;
        status = hrt_enqueue_wait(p->client, &p->like, 1, STEP_TIMEOUT_NS, &id);
        p->sent++;
        if (status == HRT_OK && id < 0)
            status = refused(p, id);
        if (status != HRT_OK)
            break;
        p->accepted++;
        if (warm)
            bench_record(&p->acknowledged, bench_now_ns() - begin_ns);
        status = await_end(p, (uint64_t)id);
        if (warm && status == HRT_OK)
            bench_record(&p->settled, bench_now_ns() - begin_ns);
    }
    return status;
}

static int await_all_settled(producer *p)
{
    const uint64_t limit_ns = bench_now_ns() + SETTLE_TIMEOUT_NS;
    while (finished(p) - p->completed_before < p->accepted) {
        if (bench_now_ns() > limit_ns)
            return HRT_ETIMEOUT;
        sleep_until(bench_now_ns() + BACKLOG_NAP_NS);
    }
    return HRT_OK;
}

static int prepare(producer *p)
{
    const bench_options *options = p->options;
    uint16_t kind;
    int status = hrt_kind(p->client, options->kind, strlen(options->kind), &kind);
    if (status != HRT_OK)
        return status;
    uint16_t queue;
    status = hrt_queue(p->client, options->queue, strlen(options->queue), &queue);
    if (status != HRT_OK)
        return status;
    p->like = (hrt_spec){.kind = kind, .queue = queue};
    p->page = hrt_client_page(p->client);
    p->payloads = calloc(BENCH_BATCH_MAX, options->size);
    if (p->payloads == NULL)
        return HRT_ENOMEM;
    /* The kernel may delay a sleep by its slack; 1 ns is the least it takes. */
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    p->completed_before = finished(p);
    p->started_ns = bench_now_ns();
    return HRT_OK;
}

static int produce(producer *p)
{
    int status;
    if (p->options->settled)
        status = produce_closed(p);
    else
        status = p->options->rate > 0 ? produce_paced(p) : produce_flat_out(p);
    if (status == HRT_OK && !p->options->settled && p->sent > 0)
        status = read_replies(p, p->sent);
    p->enqueued_ns = bench_now_ns();
    return status == HRT_OK ? await_all_settled(p) : status;
}

static void report(const producer *p)
{
    const double seconds = (double)(bench_now_ns() - p->started_ns) / SECOND_NS;
    const double enqueue_seconds = (double)(p->enqueued_ns - p->started_ns) / SECOND_NS;
    printf("{\"sent\":%" PRIu64 ",\"accepted\":%" PRIu64
           ",\"seconds\":%.6f,\"enqueue_seconds\":%.6f,\"acknowledged\":",
           p->sent, p->accepted, seconds, enqueue_seconds);
    bench_histogram_print(&p->acknowledged, stdout);
    printf(",\"settled\":");
    bench_histogram_print(&p->settled, stdout);
    printf("}\n");
}

int bench_feed(hrt_client *client, const bench_options *options)
{
    producer *p = calloc(1, sizeof *p);
    if (p == NULL)
        return bench_fail("cannot start", HRT_ENOMEM);
    p->options = options;
    p->client = client;
    int status = prepare(p);
    if (status == HRT_OK)
        status = produce(p);
    if (status == HRT_OK)
        report(p);
    free(p->payloads);
    free(p);
    return status == HRT_OK ? 0 : bench_fail("the run ended early", status);
}

int bench_produce(const bench_options *options)
{
    hrt_client *client = bench_attach("hrt-bench produce");
    if (client == NULL)
        return 1;
    const int result = bench_feed(client, options);
    hrt_detach(client);
    return result;
}
