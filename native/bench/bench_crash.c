/*
 * How long a restart takes after a SIGKILL: jobs that nobody runs wait at the beginning of a long
 * log, in whose rest others have come and gone. With --snapshot a standby follows meanwhile and
 * writes snapshots. Each opening is killed too, so none of them finds a clean end.
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
#include <time.h>
#include <unistd.h>

enum {
    ROUNDS = 5,
    SEGMENT_SIZE = 16777216,
    SPARE_SEGMENTS = 64,
    PASSING_SIZE = 4096,
    PASSING_BATCH = 256
};
#define LOOK_NS 1000000
#define GIGABYTE ((uint64_t)1 << 30)
#define STEP (GIGABYTE / 8)
#define LAG (GIGABYTE * 9 / 8) /* that a standby may be behind with its snapshots */

/* What a life tells before it is killed. */
typedef struct report {
    hrt_recovery found;
    uint64_t took_ns;
    uint64_t cpu_ns; /* of these; the rest it waited for a core or the disk */
    uint32_t ready;
} report;

static hrt_runtime_options log_of(const bench_options *options)
{
    return (hrt_runtime_options){
        .struct_size = sizeof(hrt_runtime_options),
        .abi_version = HRT_ABI_VERSION,
        .directory = options->directory,
        .segment_size = SEGMENT_SIZE,
        .segments_min = (uint32_t)(options->gigabytes * GIGABYTE / SEGMENT_SIZE) + SPARE_SEGMENTS,
        .segments_max =
            (uint32_t)(options->gigabytes * GIGABYTE / SEGMENT_SIZE) * 4 / 3 + SPARE_SEGMENTS * 2,
        .snapshot = options->snapshot,
    };
}

static void *dispatch(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static void *follow(void *standby)
{
    return (void *)(intptr_t)hrt_standby_run(standby);
}

static int begin_to_follow(hrt_runtime *runtime, const hrt_runtime_options *log,
                           hrt_standby **standby_out)
{
    int page = -1;
    pthread_t thread;
    int status = hrt_runtime_page_fd(runtime, &page);
    if (status == HRT_OK)
        status = hrt_standby_open(log, page, standby_out);
    if (status == HRT_OK && pthread_create(&thread, NULL, follow, *standby_out) != 0)
        status = HRT_ESYSTEM;
    return status;
}

static void rest(void)
{
    const struct timespec look = {.tv_nsec = LOOK_NS};
    (void)nanosleep(&look, NULL);
}

/* Jobs that expire at once, until the log is so long. */
static int let_pass(hrt_runtime *runtime, hrt_client *client, const bench_options *options,
                    uint64_t bytes)
{
    const hrt_spec like = {.expires_ms = 1};
    const uint64_t *tail = &hrt_runtime_page(runtime)->runtime.log_tail;
    bench_options passing = *options;
    int status = HRT_OK;
    passing.size = PASSING_SIZE;
    passing.jobs = PASSING_BATCH;
    while (status == HRT_OK && __atomic_load_n(tail, __ATOMIC_ACQUIRE) < bytes)
        status = bench_enqueue_all(client, &like, &passing);
    return status;
}

static bool lags(hrt_standby *standby, uint64_t bytes)
{
    hrt_standby_info info;
    hrt_standby_status(standby, &info);
    return info.snapshot_position + LAG < bytes;
}

static int fill(const bench_options *options)
{
    const hrt_runtime_options log = log_of(options);
    hrt_runtime *runtime = NULL;
    hrt_standby *standby = NULL;
    hrt_client *client = NULL;
    pthread_t thread;
    uint16_t number;
    hrt_queue_settings queue = {
        .weight = 1, .max_attempts = 1, .max_crashes = 1, .durability = options->durability};
    const hrt_spec like = {0};
    strncpy(queue.name, options->queue, sizeof queue.name - 1);
    int status = hrt_runtime_open(&log, &runtime);
    if (status == HRT_OK)
        status = hrt_runtime_queue(runtime, &queue, &number);
    if (status == HRT_OK)
        status = hrt_runtime_kind(runtime, options->kind, &number);
    if (status == HRT_OK && pthread_create(&thread, NULL, dispatch, runtime) != 0)
        status = HRT_ESYSTEM;
    if (status == HRT_OK && options->snapshot)
        status = begin_to_follow(runtime, &log, &standby);
    if (status == HRT_OK)
        status = hrt_runtime_client(runtime, &client);
    if (status == HRT_OK)
        status = bench_enqueue_all(client, &like, options);
    const uint64_t most = options->gigabytes * GIGABYTE;
    for (uint64_t bytes = STEP; bytes <= most && status == HRT_OK; bytes += STEP) {
        status = let_pass(runtime, client, options, bytes);
        /* The log grows faster here than two busy cores can follow and write, so it slows down. */
        while (status == HRT_OK && standby != NULL && lags(standby, bytes)) {
            rest();
            bytes += PASSING_SIZE;
            status = let_pass(runtime, client, options, bytes);
        }
    }
    return status;
}

static uint64_t cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static int reopen(const bench_options *options, report *told)
{
    const hrt_runtime_options log = log_of(options);
    hrt_runtime *runtime = NULL;
    const uint64_t begin_ns = bench_now_ns();
    const int status = hrt_runtime_open(&log, &runtime);
    told->took_ns = bench_now_ns() - begin_ns;
    told->cpu_ns = cpu_ns();
    if (status == HRT_OK)
        hrt_runtime_recovery(runtime, &told->found);
    return status;
}

/* One life in a process of its own, until it has told and is killed. */
static bool live(const bench_options *options, bool first, report *told)
{
    memset(told, 0, sizeof *told);
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int status = first ? fill(options) : reopen(options, told);
        if (status != HRT_OK)
            _exit(bench_fail("a life", status));
        __atomic_store_n(&told->ready, 1, __ATOMIC_RELEASE);
        (void)pause();
    }
    bool lives = child > 0;
    while (lives && __atomic_load_n(&told->ready, __ATOMIC_ACQUIRE) == 0) {
        rest();
        lives = waitpid(child, NULL, WNOHANG) == 0;
    }
    if (lives) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    return lives;
}

int bench_crash(const bench_options *options)
{
    report *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED)
        return bench_fail("no memory", HRT_ENOMEM);
    bool lives = live(options, true, told);
    for (uint32_t round = 1; round <= ROUNDS && lives; round++) {
        lives = live(options, false, told);
        (void)printf(
            "{\"round\":%u,\"jobs\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"records\":%" PRIu64
            ",\"bytes\":%" PRIu64 ",\"snapshot\":%u,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
            round, told->found.jobs, told->found.segments, told->found.records, told->found.bytes,
            told->found.snapshot, (double)told->took_ns / 1e9, (double)told->cpu_ns / 1e9);
    }
    return lives ? 0 : 1;
}
