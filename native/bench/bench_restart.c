/*
 * How long a restart takes: fills a log with jobs that nobody runs, closes it, and opens it again a
 * few times. Each opening reads the whole log; the page cache is warm unless it is told to drop the
 * files.
 */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <hybridrt/runtime.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 5, RECORD_OVERHEAD = 256, SEGMENT_SIZE = 16777216, SPARE_SEGMENTS = 16 };

static int open_log(const bench_options *options, hrt_runtime **runtime_out)
{
    const uint64_t bytes = options->jobs * (options->size + RECORD_OVERHEAD);
    const hrt_runtime_options wanted = {
        .struct_size = sizeof wanted,
        .abi_version = HRT_ABI_VERSION,
        .directory = options->directory,
        .segment_size = SEGMENT_SIZE,
        .snapshot = options->snapshot,
        .segments_max = (uint32_t)(bytes / SEGMENT_SIZE) * 4 / 3 + SPARE_SEGMENTS,
    };
    return hrt_runtime_open(&wanted, runtime_out);
}

static int declare(hrt_runtime *runtime, const bench_options *options, hrt_spec *like)
{
    hrt_queue_settings queue = {
        .weight = 1, .max_attempts = 1, .max_crashes = 1, .durability = options->durability};
    strncpy(queue.name, options->queue, sizeof queue.name - 1);
    const int status = hrt_runtime_queue(runtime, &queue, &like->queue);
    return status == HRT_OK ? hrt_runtime_kind(runtime, options->kind, &like->kind) : status;
}

static int fill(const bench_options *options)
{
    hrt_runtime *runtime = NULL;
    hrt_client *client = NULL;
    hrt_spec like = {0};
    int status = open_log(options, &runtime);
    if (status == HRT_OK)
        status = declare(runtime, options, &like);
    if (status == HRT_OK)
        status = hrt_runtime_client(runtime, &client);
    if (status == HRT_OK)
        status = bench_enqueue_all(client, &like, options);
    hrt_detach(client);
    hrt_runtime_close(runtime);
    return status == HRT_OK ? 0 : bench_fail("cannot fill the log", status);
}

/* The log is closed and synced, so the kernel can let go of it. */
static int drop_from_cache(const char *directory)
{
    DIR *entries = opendir(directory);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        const int fd = openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            (void)close(fd);
        }
    }
    return entries == NULL ? -1 : closedir(entries);
}

static int measure(const bench_options *options, uint32_t round)
{
    hrt_runtime *runtime = NULL;
    hrt_recovery found;
    if (options->cold && drop_from_cache(options->directory) != 0)
        return bench_fail("cannot list the log", HRT_ESYSTEM);
    const uint64_t begin_ns = bench_now_ns();
    const int status = open_log(options, &runtime);
    const uint64_t took_ns = bench_now_ns() - begin_ns;
    if (status != HRT_OK)
        return bench_fail("cannot open the log", status);
    hrt_runtime_recovery(runtime, &found);
    (void)printf("{\"round\":%u,\"jobs\":%" PRIu64 ",\"records\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"seconds\":%.6f,\"gigabytes_per_second\":%.3f}\n",
                 round, found.jobs, found.records, found.bytes, (double)took_ns / 1e9,
                 (double)found.bytes / (double)took_ns);
    hrt_runtime_close(runtime);
    return 0;
}

int bench_restart(const bench_options *options)
{
    int result = fill(options);
    for (uint32_t round = 1; round <= ROUNDS && result == 0; round++)
        result = measure(options, round);
    return result;
}
