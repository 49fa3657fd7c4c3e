/*
 * A runtime with a producer and a worker, for attacks in which its system calls fail. It does what
 * a supervisor has to: when the runtime says that its log failed, the process ends at once.
 *
 *   fault_life live DIRECTORY LEDGER     jobs pass through; what was acknowledged goes to LEDGER
 *   fault_life check DIRECTORY LEDGER    all of that is there, and the log takes more jobs
 *   fault_life reboot DIRECTORY LEDGER   the same, as after a reboot
 *   fault_life full DIRECTORY BALLOON    fills the disk; BALLOON is removed; it goes on
 *   fault_life idle DIRECTORY BALLOON    the same, but nobody asks before a second has passed
 *
 * Exit status: 0; 3 and 4: the log failed with HRT_EIO, HRT_ENOSPC; 5: with another status that has
 * a name; else something is wrong.
 */
#include "atomic.h"
#include "clock.h"
#include "spawned.h"

#include <fcntl.h>
#include <hybridrt/runtime.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

enum {
    SEGMENT = 65536,
    SMALL_LOG = 12,  /* segments: it is recycled */
    LARGE_LOG = 256, /* the disk is full before */
    ROUNDS = 16,
    ROUND_JOBS = 4,
    PAYLOAD = 3000,
    LEDGER_JOBS = 256,
    RUNNING_JOBS = 8,
    FILL_MAX = 10000,
    PAUSE_US = 1000,
    LOOKS_MAX = 10000,
};

typedef struct entry {
    uint64_t id;
    uint64_t asked_ns;
    uint64_t answered_ns;
    uint64_t settled; /* its worker has sent OK */
} entry;

/* In a file that outlives the process; it is there before, with room, so that no call fails here.
 */
typedef struct ledger {
    uint64_t count;
    uint64_t refused;
    entry jobs[LEDGER_JOBS];
} ledger;

typedef struct life {
    const char *directory;
    uint32_t segments_max;
    uint64_t checkpoint_ns;
    ledger *book;
    hrt_runtime *runtime;
    hrt_client *local;
    hrt_client *worker;
    pthread_t thread;
    uint16_t kind;
    uint16_t queue;
} life;

static bool rebooted;

/* In place of libc's: after a reboot the boot has another id. */
int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    bool asks = rebooted && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0;
    const char *other = asks ? "/proc/sys/kernel/random/uuid" : path;
    return (int)syscall(SYS_openat, AT_FDCWD, other, flags, mode);
}

static _Noreturn void end(int status)
{
    printf("# the log ended with %s\n", hrt_status_name(status));
    (void)fflush(stdout);
    _exit(status == HRT_EIO ? 3 : status == HRT_ENOSPC ? 4 : 5);
}

static void need(int status)
{
    if (status != HRT_OK) {
        end(status);
    }
}

static void *run(void *runtime)
{
    int status = hrt_runtime_run(runtime);
    need(status);
    return NULL;
}

static void begin(life *l)
{
    static const char *const kinds[] = {"test.job"};
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = l->directory,
                                   .segment_size = SEGMENT,
                                   .segments_max = l->segments_max,
                                   .checkpoint_ns = l->checkpoint_ns};
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .durability = HRT_DURABILITY_SYNC,
                                   .max_attempts = 100,
                                   .max_crashes = 100};
    hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = RUNNING_JOBS, .language = "c"};
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    need(hrt_runtime_open(&options, &l->runtime));
    need(hrt_runtime_queue(l->runtime, &settings, &l->queue));
    need(hrt_runtime_kind(l->runtime, kinds[0], &l->kind));
    REQUIRE(pthread_create(&l->thread, NULL, run, l->runtime) == 0);
    need(hrt_runtime_client(l->runtime, &l->local));
    need(hrt_runtime_lane(l->runtime, 0, 0, "pool", "worker", fds, &incarnation));
    spawned_leave(fds);
    need(spawned_attach(&l->worker));
    need(hrt_register(l->worker, &served));
}

static void finish(life *l)
{
    hrt_detach(l->worker);
    hrt_runtime_stop(l->runtime);
    (void)pthread_join(l->thread, NULL);
    hrt_detach(l->local);
    hrt_runtime_close(l->runtime);
}

/* Returns the status; a job that was acknowledged stands in the ledger. */
static int enqueue(life *l)
{
    static const uint8_t payload[PAYLOAD];
    hrt_spec spec = {
        .payload = payload, .payload_length = PAYLOAD, .kind = l->kind, .queue = l->queue};
    ledger *book = l->book;
    entry *one = &book->jobs[book->count];
    int64_t id = 0;
    REQUIRE(book->count < LEDGER_JOBS);
    *one = (entry){.asked_ns = hrt_clock_ns(CLOCK_MONOTONIC)};
    int status = hrt_enqueue_wait(l->local, &spec, 1, 10 * SECOND_NS, &id);
    if (status == HRT_OK) {
        one->id = (uint64_t)id;
        one->answered_ns = hrt_clock_ns(CLOCK_MONOTONIC);
        hrt_store_release(&book->count, book->count + 1);
    } else {
        book->refused++;
    }
    return status;
}

static void settle(life *l, const hrt_job *job)
{
    hrt_settlement settlement = {.job = job->id, .token = job->token, .outcome = HRT_OUTCOME_OK};
    for (uint64_t i = 0; i < l->book->count; i++) {
        l->book->jobs[i].settled |= l->book->jobs[i].id == job->id;
    }
    need(hrt_settle(l->worker, &settlement, 1));
}

static uint32_t fetch(life *l, hrt_job *jobs, uint32_t max)
{
    uint32_t count = 0;
    int status = hrt_fetch(l->worker, jobs, max, SECOND_NS / 10, &count);
    need(status == HRT_EAGAIN ? HRT_OK : status);
    return status == HRT_OK ? count : 0;
}

static void work(life *l)
{
    hrt_job jobs[RUNNING_JOBS];
    uint32_t count = fetch(l, jobs, RUNNING_JOBS);
    for (uint32_t i = 0; i < count; i++) {
        hrt_job_started(&jobs[i]);
        settle(l, &jobs[i]);
    }
}

/* A full log is no failure: jobs end, and make room. */
static void live(life *l)
{
    begin(l);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < ROUND_JOBS; i++) {
            int status = enqueue(l);
            need(status == HRT_ELOGFULL || status == HRT_ENOSPC ? HRT_OK : status);
        }
        work(l);
    }
    finish(l);
}

static bool is_gone(const life *l, uint64_t job)
{
    hrt_job_info info;
    return hrt_runtime_job(l->runtime, job, &info) == HRT_ENOTFOUND;
}

static void await_gone(const life *l, uint64_t job)
{
    AWAIT(is_gone(l, job));
}

static void check(life *l)
{
    uint64_t before = l->book->count;
    begin(l);
    for (uint64_t i = 0; i < before; i++) {
        CHECK(l->book->jobs[i].settled || !is_gone(l, l->book->jobs[i].id));
    }
    CHECK_EQ(enqueue(l), HRT_OK);
    for (uint32_t i = 0; i < LEDGER_JOBS && !is_gone(l, l->book->jobs[before].id); i++) {
        work(l);
    }
    CHECK(is_gone(l, l->book->jobs[before].id));
    finish(l);
    printf("# json {\"acknowledged\": %" PRIu64 ", \"refused\": %" PRIu64 "}\n", before,
           l->book->refused);
}

/* ---- a full disk ---- */

static double milliseconds_since(uint64_t then_ns)
{
    return (double)(hrt_clock_ns(CLOCK_MONOTONIC) - then_ns) / 1e6;
}

/* Leaves the ledger with its last entry free. */
static uint32_t fill(life *l)
{
    uint32_t accepted = 0;
    int status = HRT_OK;
    while (status == HRT_OK && accepted < FILL_MAX) {
        l->book->count = RUNNING_JOBS;
        status = enqueue(l);
        accepted += status == HRT_OK;
    }
    printf("# %u jobs until %s\n", accepted, hrt_status_name(status));
    CHECK_EQ(status, HRT_ENOSPC);
    return accepted;
}

/* The first job is taken that comes a second after there is space again. */
static void ask_once(life *l)
{
    const struct timespec second = {.tv_sec = 1};
    REQUIRE(nanosleep(&second, NULL) == 0);
    CHECK_EQ(enqueue(l), HRT_OK);
}

/* Asks until a job is taken; returns how often none was. */
static uint32_t ask_on(life *l)
{
    uint32_t refused = 0;
    while (enqueue(l) != HRT_OK) {
        REQUIRE(++refused < LOOKS_MAX);
        (void)usleep(PAUSE_US);
    }
    return refused;
}

static void full(life *l, const char *balloon, bool idle)
{
    hrt_job running[RUNNING_JOBS];
    uint32_t held = 0;
    begin(l);
    for (uint32_t i = 0; i < RUNNING_JOBS; i++) {
        need(enqueue(l));
    }
    while (held < RUNNING_JOBS) {
        held += fetch(l, running + held, RUNNING_JOBS - held);
    }
    uint32_t accepted = fill(l);
    for (uint32_t i = 0; i < RUNNING_JOBS; i++) {
        settle(l, &running[i]);
        await_gone(l, running[i].id);
    }
    accepted += fill(l); /* what the settled jobs made room for */
    REQUIRE(unlink(balloon) == 0);
    uint64_t given_ns = hrt_clock_ns(CLOCK_MONOTONIC);
    uint32_t refused = 1;
    l->book->count = RUNNING_JOBS;
    if (idle) {
        ask_once(l);
    } else {
        refused += ask_on(l);
    }
    printf("# json {\"accepted\": %u, \"refused\": %u, \"running jobs settled\": %u, "
           "\"resumed_ms\": %.3f}\n",
           accepted, refused, held, milliseconds_since(given_ns));
    finish(l);
}

static ledger *map_ledger(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(path == NULL || fd >= 0);
    int flags = path == NULL ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *book = mmap(NULL, sizeof(ledger), PROT_READ | PROT_WRITE, flags, fd, 0);
    REQUIRE(book != MAP_FAILED);
    return book;
}

int main(int argc, char **argv)
{
    life l = {0};
    REQUIRE(argc == 4);
    setvbuf(stdout, NULL, _IOLBF, 0);
    bool idle = strcmp(argv[1], "idle") == 0;
    bool fills = idle || strcmp(argv[1], "full") == 0;
    l.directory = argv[2];
    l.segments_max = fills ? LARGE_LOG : SMALL_LOG;
    l.checkpoint_ns = idle ? 3600 * SECOND_NS : 0; /* nothing is to wake it up meanwhile */
    l.book = map_ledger(fills ? NULL : argv[3]);
    if (fills) {
        full(&l, argv[3], idle);
    } else if (strcmp(argv[1], "live") != 0) {
        rebooted = strcmp(argv[1], "reboot") == 0;
        check(&l);
    } else {
        live(&l);
    }
    return tap_failures > 0;
}
