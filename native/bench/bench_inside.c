/*
 * Both ends and the runtime between them: this process dispatches and enqueues, as a supervisor
 * would, and a worker that it spawned records when its handlers start.
 */
#include "bench.h"

#include <fcntl.h>
#include <hybridrt/runtime.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LANE_FDS = 4,
    ATTACH_SIZE = 64,
    SEGMENTS_MAX = 128, /* 2 GiB, as `hybridrt bench` has: the backlog fits at any size of job */
};

static void *dispatch(void *runtime)
{
    const int status = hrt_runtime_run(runtime);
    if (status != HRT_OK)
        (void)bench_fail("the runtime ended", status);
    return NULL;
}

static int declare(hrt_runtime *runtime, const bench_options *options)
{
    hrt_queue_settings queue = {
        .weight = 1, .max_attempts = 1, .max_crashes = 1, .durability = options->durability};
    strncpy(queue.name, options->queue, sizeof queue.name - 1);
    uint16_t number;
    const int status = hrt_runtime_queue(runtime, &queue, &number);
    return status == HRT_OK ? hrt_runtime_kind(runtime, options->kind, &number) : status;
}

/* The worker is this program again, with the descriptors of a lane of its own. */
static int spawn_worker(const bench_options *options, const int *fds, pid_t *pid_out)
{
    char attach[ATTACH_SIZE];
    (void)snprintf(attach, sizeof attach, "fds:%d,%d,%d,%d", fds[0], fds[1], fds[2], fds[3]);
    const char *out = options->out != NULL ? options->out : "/dev/null";
    char *arguments[] = {"hrt-bench", "work",  "--kind",    (char *)options->kind,
                         "--latency", "--out", (char *)out, NULL};
    posix_spawn_file_actions_t actions;
    if (setenv("HYBRIDRT_ATTACH", attach, 1) != 0 || posix_spawn_file_actions_init(&actions) != 0)
        return HRT_ENOMEM;
    int failed = 0;
    for (int i = 0; i < LANE_FDS; i++) /* onto itself: no longer closed by exec */
        failed |= posix_spawn_file_actions_adddup2(&actions, fds[i], fds[i]);
    if (failed == 0)
        failed = posix_spawn(pid_out, "/proc/self/exe", &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return failed == 0 ? HRT_OK : HRT_ESYSTEM;
}

static int start_worker(hrt_runtime *runtime, const bench_options *options, pid_t *pid_out)
{
    int fds[LANE_FDS];
    uint64_t incarnation;
    int status = hrt_runtime_lane(runtime, 0, 0, "bench", "bench/0", fds, &incarnation);
    if (status != HRT_OK)
        return status;
    status = spawn_worker(options, fds, pid_out);
    for (int i = 0; i < LANE_FDS; i++)
        (void)close(fds[i]);
    return status == HRT_OK ? hrt_runtime_lane_pid(runtime, incarnation, (uint32_t)*pid_out)
                            : status;
}

/* Feeds the worker, then has it drain: it writes its histogram when it ends. */
static int feed(hrt_runtime *runtime, const bench_options *options)
{
    pid_t worker = 0;
    int status = start_worker(runtime, options, &worker);
    if (status != HRT_OK)
        return bench_fail("cannot start a worker", status);
    hrt_client *client = NULL;
    int result = 1;
    status = hrt_runtime_client(runtime, &client);
    if (status == HRT_OK)
        result = bench_feed(client, options);
    hrt_detach(client);
    if (status == HRT_OK)
        status = hrt_runtime_drain(runtime, 0);
    if (status != HRT_OK)
        result = bench_fail("cannot reach the runtime", status);
    int ended = 0;
    if (waitpid(worker, &ended, 0) != worker || ended != 0)
        result = 1;
    return result;
}

int bench_inside(const bench_options *options)
{
    const hrt_runtime_options wanted = {
        .struct_size = sizeof wanted,
        .abi_version = HRT_ABI_VERSION,
        .directory = options->directory,
        .segments_max = SEGMENTS_MAX,
    };
    hrt_runtime *runtime = NULL;
    int status = hrt_runtime_open(&wanted, &runtime);
    if (status != HRT_OK)
        return bench_fail("cannot open the log", status);
    int result = 1;
    pthread_t thread;
    status = declare(runtime, options);
    if (status == HRT_OK && pthread_create(&thread, NULL, dispatch, runtime) != 0)
        status = HRT_ESYSTEM;
    if (status == HRT_OK) {
        result = feed(runtime, options);
        hrt_runtime_stop(runtime);
        (void)pthread_join(thread, NULL);
    } else {
        (void)bench_fail("cannot start the runtime", status);
    }
    hrt_runtime_close(runtime);
    return result;
}
