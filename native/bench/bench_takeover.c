/*
 * How long a takeover takes: a runtime with many waiting jobs is killed while a worker runs one
 * after the other, and a standby goes on. Each round names the time from the kill until
 * the standby has noticed, until it has taken over (with the wait until the kernel has freed the
 * memory of the dead one), and until the worker has a job that the new runtime leased.
 */
#include "bench.h"

#include <hybridrt/runtime.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_DEFAULT = 5, RECORD_OVERHEAD = 256, SEGMENT_SIZE = 16777216, SPARE_SEGMENTS = 16 };
#define STEP_TIMEOUT_NS ((int64_t)30000000000)
#define LOOK_NS 200000
#define JOB_NS 200000 /* what the worker does for a job */
#define SETTLE_IN_NS ((uint64_t)300000000)

/* What all processes see. */
typedef struct stage {
    uint64_t noticed_ns;
    uint64_t took_over_ns;
    uint64_t epoch_sequence; /* tokens above it are of the newest runtime */
    uint64_t token;          /* of the job that the worker had last */
    uint64_t fetched_ns;     /* when it had its first of that runtime */
    uint32_t active;         /* number of the runner that has taken over */
    uint32_t ready;          /* and of the one that follows closely */
    uint32_t failed;
} stage;

typedef struct takeover {
    const bench_options *options;
    hrt_runtime_options log;
    stage *stage;
    int page_fd;
    hrt_grant grant;
    int grant_fds[HRT_GRANT_FD_COUNT];
    int fds[HRT_FD_COUNT];
} takeover;

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

static void rest(uint64_t ns)
{
    const struct timespec time = {.tv_nsec = (long)ns};
    (void)nanosleep(&time, NULL);
}

/* ---- the worker: one job at a time ---- */

static int work(const takeover *t)
{
    const char *kinds[] = {t->options->kind};
    const hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = 1, .credit = 1, .language = "c"};
    char text[64];
    (void)snprintf(text, sizeof text, "fds:%d,%d,%d,%d", t->fds[0], t->fds[1], t->fds[2],
                   t->fds[3]);
    (void)setenv("HYBRIDRT_ATTACH", text, 1);
    hrt_client *client = bench_attach("worker");
    int status = client == NULL ? HRT_EREACH : hrt_register(client, &served);
    while (status == HRT_OK) {
        hrt_job job;
        uint32_t count = 0;
        status = hrt_fetch(client, &job, 1, STEP_TIMEOUT_NS, &count);
        if (status != HRT_OK)
            break;
        if (LOAD(t->stage->token) <= LOAD(t->stage->epoch_sequence))
            STORE(t->stage->fetched_ns, bench_now_ns());
        STORE(t->stage->token, job.token);
        rest(JOB_NS);
        const hrt_settlement end = {.job = job.id, .token = job.token, .outcome = HRT_OUTCOME_OK};
        status = hrt_settle(client, &end, 1);
    }
    return bench_fail("the worker", status);
}

/* ---- runners ---- */

static void *watch_standby(void *context)
{
    const void **both = context;
    hrt_standby *standby = (hrt_standby *)(uintptr_t)both[0];
    const takeover *t = both[1];
    hrt_standby_info info;
    do {
        rest(LOOK_NS);
        hrt_standby_status(standby, &info);
    } while (info.jobs == 0 || info.behind > RECORD_OVERHEAD * 8);
    __atomic_fetch_add(&t->stage->ready, 1, __ATOMIC_RELEASE);
    return NULL;
}

static int follow(const takeover *t, bool first, hrt_runtime **runtime_out)
{
    hrt_standby *standby = NULL;
    pthread_t watcher;
    const int fds[] = {fcntl(t->grant_fds[0], F_DUPFD_CLOEXEC, 3),
                       fcntl(t->grant_fds[1], F_DUPFD_CLOEXEC, 3)};
    int status = hrt_standby_open(&t->log, t->page_fd, &standby);
    if (status != HRT_OK)
        return status;
    status = hrt_standby_grant(standby, &t->grant, fds);
    const void *both[] = {standby, t};
    if (!first && pthread_create(&watcher, NULL, watch_standby, both) != 0)
        return HRT_ESYSTEM;
    if (status == HRT_OK)
        status = hrt_standby_run(standby);
    STORE(t->stage->noticed_ns, bench_now_ns());
    if (!first)
        (void)pthread_join(watcher, NULL);
    return status == HRT_ECLOSED ? hrt_standby_take_over(standby, STEP_TIMEOUT_NS, runtime_out)
                                 : status;
}

static void *dispatch(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static int fill(const takeover *t, hrt_runtime *runtime)
{
    hrt_client *client = NULL;
    const hrt_spec like = {0}; /* the first kind, the first queue */
    int status = hrt_runtime_client(runtime, &client);
    if (status == HRT_OK)
        status = bench_enqueue_all(client, &like, t->options);
    hrt_detach(client);
    return status;
}

static int run(const takeover *t, uint32_t number)
{
    hrt_runtime *runtime = NULL;
    pthread_t thread;
    int status = follow(t, number == 1, &runtime);
    if (status != HRT_OK)
        return bench_fail("cannot take over", status);
    STORE(t->stage->took_over_ns, bench_now_ns());
    STORE(t->stage->epoch_sequence, hrt_runtime_page(runtime)->runtime.sequence);
    hrt_runtime_standby(runtime, 1);
    if (pthread_create(&thread, NULL, dispatch, runtime) != 0)
        return 1;
    if (number == 1 && fill(t, runtime) != 0)
        return 1;
    STORE(t->stage->active, number);
    void *ended = NULL;
    (void)pthread_join(thread, &ended);
    return bench_fail("the dispatch ended", (int)(intptr_t)ended);
}

static pid_t start(const takeover *t, uint32_t number)
{
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int failed = number == 0 ? work(t) : run(t, number);
        STORE(t->stage->failed, 1);
        _exit(failed);
    }
    return child;
}

static void end(pid_t child)
{
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

/* ---- rounds ---- */

static double ms(uint64_t from, uint64_t to)
{
    return (double)(to - from) / 1e6;
}

static bool await(const takeover *t, uint32_t *field, uint32_t value)
{
    while (LOAD(*field) < value && LOAD(t->stage->failed) == 0)
        rest(LOOK_NS);
    return LOAD(t->stage->failed) == 0;
}

static pid_t measure(const takeover *t, uint32_t round, pid_t active)
{
    const pid_t standby = start(t, round + 1);
    if (!await(t, &t->stage->ready, round))
        return standby;
    rest(SETTLE_IN_NS);
    const uint64_t killed = bench_now_ns();
    end(active);
    const uint64_t reaped = bench_now_ns();
    if (!await(t, &t->stage->active, round + 1))
        return standby;
    while (LOAD(t->stage->token) <= LOAD(t->stage->epoch_sequence) && LOAD(t->stage->failed) == 0)
        rest(LOOK_NS);
    (void)printf("{\"round\":%u,\"noticed_ms\":%.3f,\"reaped_ms\":%.3f,\"took_over_ms\":%.3f,"
                 "\"leased_ms\":%.3f}\n",
                 round, ms(killed, t->stage->noticed_ns), ms(killed, reaped),
                 ms(killed, t->stage->took_over_ns), ms(killed, t->stage->fetched_ns));
    return standby;
}

static int prepare(takeover *t)
{
    hrt_runtime *runtime = NULL;
    uint64_t incarnation = 0;
    uint16_t number = 0;
    hrt_queue_settings queue = {
        .weight = 1, .max_attempts = 1, .max_crashes = 1, .durability = t->options->durability};
    strncpy(queue.name, t->options->queue, sizeof queue.name - 1);
    int status = hrt_runtime_open(&t->log, &runtime);
    if (status != HRT_OK)
        return status;
    status = hrt_runtime_kind(runtime, t->options->kind, &number);
    if (status == HRT_OK)
        status = hrt_runtime_queue(runtime, &queue, &number);
    if (status == HRT_OK)
        status = hrt_runtime_lane(runtime, 0, 0, "", "worker", t->fds, &incarnation);
    if (status == HRT_OK)
        status = hrt_runtime_grant(runtime, incarnation, &t->grant, t->grant_fds);
    if (status == HRT_OK)
        status = hrt_runtime_page_fd(runtime, &t->page_fd);
    hrt_runtime_standby(runtime, 1);
    const int released = hrt_runtime_release(runtime);
    return status == HRT_OK ? released : status;
}

int bench_takeover(const bench_options *options)
{
    const uint64_t bytes = options->jobs * (options->size + RECORD_OVERHEAD);
    takeover t = {.options = options,
                  .log = {.struct_size = sizeof t.log,
                          .abi_version = HRT_ABI_VERSION,
                          .directory = options->directory,
                          .segment_size = SEGMENT_SIZE,
                          .snapshot = options->snapshot,
                          .snapshot_bytes = SEGMENT_SIZE,
                          .segments_max = (uint32_t)(bytes / SEGMENT_SIZE) * 2 + SPARE_SEGMENTS}};
    t.stage =
        mmap(NULL, sizeof *t.stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const int status = t.stage == MAP_FAILED ? HRT_ENOMEM : prepare(&t);
    if (status != HRT_OK)
        return bench_fail("cannot make the log", status);
    const uint32_t rounds = options->rounds != 0 ? options->rounds : ROUNDS_DEFAULT;
    pid_t active = start(&t, 1);
    const pid_t worker = await(&t, &t.stage->active, 1) ? start(&t, 0) : -1;
    for (uint32_t round = 1; round <= rounds && LOAD(t.stage->failed) == 0; round++)
        active = measure(&t, round, active);
    end(active);
    if (worker > 0)
        end(worker);
    return (int)LOAD(t.stage->failed);
}
