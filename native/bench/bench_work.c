/*
 * The worker: fetches a batch, marks each job as started, settles the batch, and on the way records
 * the time from the producer's stamp to the start.
 */
#include "bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define FOREVER_NS ((int64_t)-1)

typedef struct worker {
    const bench_options *options;
    hrt_client *client;
    bench_histogram histogram;
    hrt_job jobs[BENCH_BATCH_MAX];
    hrt_settlement settlements[BENCH_BATCH_MAX];
    pthread_t signal_thread;
    bool stop; /* set by the signal thread, read by the loop: atomically */
} worker;

/* A thread that waits for SIGTERM or SIGINT, so that no library function runs in a handler. */
static void *await_signal(void *argument)
{
    worker *w = argument;
    sigset_t set;
    int signal_number;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigwait(&set, &signal_number) == 0) {
        __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
        hrt_interrupt(w->client);
    }
    return NULL;
}

static int block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void record_start(worker *w, const hrt_job *job)
{
    uint64_t stamp_ns;
    if (job->payload_length < BENCH_STAMP_SIZE)
        return;
    memcpy(&stamp_ns, job->payload, sizeof stamp_ns);
    if (stamp_ns != 0)
        bench_record(&w->histogram, bench_now_ns() - stamp_ns);
}

static int run_batch(worker *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const hrt_job *job = &w->jobs[i];
        hrt_job_started(job);
        if (w->options->latency)
            record_start(w, job);
        w->settlements[i] =
            (hrt_settlement){.job = job->id, .token = job->token, .outcome = HRT_OUTCOME_OK};
    }
    return hrt_settle(w->client, w->settlements, count);
}

static int work(worker *w)
{
    int status = HRT_OK;
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        uint32_t count = 0;
        status = hrt_fetch(w->client, w->jobs, w->options->batch, FOREVER_NS, &count);
        if (status == HRT_EAGAIN)
            continue;
        if (status == HRT_OK)
            status = run_batch(w, count);
        if (status != HRT_OK)
            break;
    }
    return status == HRT_EDRAIN || status == HRT_ECLOSED || status == HRT_EAGAIN ? HRT_OK : status;
}

static int enlist(worker *w)
{
    const hrt_register_options options = {
        .kinds = &w->options->kind,
        .pool = w->options->pool,
        .language = "c",
        .version = hrt_version(),
        .kind_count = 1,
        .concurrency = w->options->concurrency,
    };
    const int status = hrt_register(w->client, &options);
    if (status != HRT_OK)
        return status;
    return pthread_create(&w->signal_thread, NULL, await_signal, w) == 0 ? HRT_OK : HRT_ESYSTEM;
}

/* The signal thread uses the client, so it ends before the client is freed. */
static void join_signal_thread(const worker *w)
{
    (void)pthread_kill(w->signal_thread, SIGTERM);
    (void)pthread_join(w->signal_thread, NULL);
}

static int write_histogram(const worker *w)
{
    if (w->options->out == NULL)
        return 0;
    FILE *file = fopen(w->options->out, "w");
    if (file == NULL) {
        perror(w->options->out);
        return 1;
    }
    bench_histogram_print(&w->histogram, file);
    (void)fputc('\n', file);
    return fclose(file) == 0 ? 0 : 1;
}

int bench_work(const bench_options *options)
{
    if (block_signals() != 0)
        return bench_fail("cannot block signals", HRT_ESYSTEM);
    worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return bench_fail("cannot start", HRT_ENOMEM);
    w->options = options;
    w->client = bench_attach("hrt-bench work");
    int result = 1;
    if (w->client != NULL) {
        int status = enlist(w);
        if (status == HRT_OK) {
            status = work(w);
            join_signal_thread(w);
        }
        result = status == HRT_OK ? write_histogram(w) : bench_fail("the worker ended", status);
        hrt_detach(w->client);
    }
    free(w);
    return result;
}
