/* The life of a runtime: opened on a log, recovered, run, closed. And its clients' admission. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "client.h"
#include "clock.h"
#include "error.h"
#include "park.h"
#include "record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options ---- */

enum {
    SEGMENTS_MIN = 3,
    LEAST_IN_USE = 2, /* the segment that is written, and the next */
};

int hrt_runtime_complete(const hrt_runtime_options *options, hrt_runtime_options *copy)
{
    if (options->abi_version != HRT_ABI_VERSION || options->struct_size != sizeof(*options)) {
        return hrt_fail(
            HRT_EVERSION,
            "the caller was built for ABI %u, this library has ABI %u; rebuild the caller",
            options->abi_version, HRT_ABI_VERSION);
    }
    *copy = *options;
#define DEFAULT(field, value) copy->field = copy->field != 0 ? copy->field : (value)
    DEFAULT(segment_size, 16u << 20);
    DEFAULT(segments_min, SEGMENTS_MIN);
    DEFAULT(segments_max, 256);
    DEFAULT(segments_reserve, 2);
    DEFAULT(async_ns, (uint64_t)10 * 1000000);
    DEFAULT(lease_ns, (uint64_t)30 * 1000000000);
    DEFAULT(cancel_grace_ns, (uint64_t)5 * 1000000000);
    DEFAULT(jobs_max, 20000000);
    DEFAULT(checkpoint_records, 10000);
    DEFAULT(checkpoint_ns, (uint64_t)1000000000);
    DEFAULT(snapshot_bytes, (uint64_t)512 << 20);
#undef DEFAULT
    if ((copy->segment_size & (copy->segment_size - 1)) != 0 || copy->segment_size < 65536 ||
        copy->segment_size > (1u << 30)) {
        return hrt_fail(HRT_EINVAL,
                        "segment_size is %u; it has to be a power of two from 64 KiB to 1 GiB",
                        copy->segment_size);
    }
    uint32_t least = copy->segments_reserve + LEAST_IN_USE;
    least = copy->segments_min > least ? copy->segments_min : least;
    if (copy->segments_max < least) {
        return hrt_fail(HRT_EINVAL, "segments_max is %u; it has to be at least %u",
                        copy->segments_max, least);
    }
    return HRT_OK;
}

static uint32_t scale_segments(uint32_t count, uint32_t from, uint32_t to, uint32_t least)
{
    uint64_t scaled = (uint64_t)count * from / to;
    return scaled < least ? least : scaled > UINT32_MAX ? UINT32_MAX : (uint32_t)scaled;
}

void hrt_runtime_use_segments(hrt_runtime_options *options, uint32_t size)
{
    uint32_t asked = options->segment_size;
    uint32_t least = options->segments_reserve + LEAST_IN_USE;
    options->segments_min = scale_segments(options->segments_min, asked, size, SEGMENTS_MIN);
    options->segments_max = scale_segments(options->segments_max, asked, size,
                                           least > SEGMENTS_MIN ? least : SEGMENTS_MIN);
    options->segment_size = size;
}

/* 0: there is no log yet. */
static uint32_t segment_size_on_disk(const char *directory)
{
    DIR *entries = opendir(directory);
    uint32_t size = 0;
    const struct dirent *entry;
    while (entries != NULL && size == 0 && (entry = readdir(entries)) != NULL) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot == NULL || strcmp(dot, ".seg") != 0) {
            continue;
        }
        int fd = openat(dirfd(entries), entry->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        hrt_segment header;
        if (fd >= 0 && read(fd, &header, sizeof(header)) == (ssize_t)sizeof(header) &&
            header.magic == HRT_MAGIC_SEGMENT) {
            size = header.segment_size;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
    bool sensible = size >= 65536 && size <= (1u << 30) && (size & (size - 1)) == 0;
    return sensible ? size : 0;
}

/* ---- opening ---- */

static int apply_recovered(void *context, const hrt_record *record)
{
    hrt_runtime *runtime = context;
    bool compares = runtime->search->used[0] != '\0' && record->type == HRT_RECORD_CHECKPOINT;
    int status = compares ? hrt_snapshot_check_hash(runtime, record) : HRT_OK;
    if (status != HRT_OK) {
        return status;
    }
    status = hrt_state_apply(runtime->state, record);
    if (status == HRT_OK && record->type == HRT_RECORD_CONTROL) {
        status = hrt_stops_read(&runtime->stops, record, runtime->state);
    }
    if (status == HRT_ECORRUPT) {
        return hrt_fail(status, "record %llu at position %llu does not fit the records before it",
                        (unsigned long long)record->sequence, (unsigned long long)record->position);
    }
    return status;
}

static void flusher_failed(void *context, int status)
{
    hrt_runtime *runtime = context;
    hrt_runtime_fail(runtime, status);
    (void)pthread_mutex_lock(&runtime->durable_lock);
    (void)pthread_cond_broadcast(&runtime->durable_changed);
    (void)pthread_mutex_unlock(&runtime->durable_lock);
}

/* The log has one epoch for each time it is opened; the page says which it is. */
static void take_next_epoch(hrt_runtime *runtime)
{
    uint32_t epoch = hrt_log_epoch(runtime->log) + 1;
    hrt_log_set_epoch(runtime->log, epoch);
    hrt_log_counters(runtime->log, &runtime->page->runtime);
    runtime->recovery.epoch = epoch;
    runtime->recovery.jobs = hrt_state_jobs(runtime->state);
    memcpy(runtime->page->uuid, hrt_log_uuid(runtime->log), sizeof(runtime->page->uuid));
    runtime->page->segment_size = hrt_log_segment_size(runtime->log);
    hrt_store_relaxed(&runtime->page->runtime.epoch, epoch);
    hrt_store_relaxed(&runtime->page->runtime.started_ns, hrt_wall_ns());
}

/* The epochs in which the lanes were made that come along: their clients hold those marks. */
static hrt_log_heritage log_of(const hrt_heritage *from, uint32_t epochs[HRT_LANES_MAX])
{
    hrt_log_heritage log = from->log;
    for (uint32_t i = 0; i < from->lane_count && i < HRT_LANES_MAX; i++) {
        epochs[log.adopted_count++] = (uint32_t)(from->lanes[i].grant.incarnation >> 32);
    }
    log.adopted = epochs;
    return log;
}

static int take_over_log(hrt_runtime *runtime, const hrt_log_options *options,
                         const hrt_heritage *from, hrt_damage_report *report)
{
    uint32_t epochs[HRT_LANES_MAX];
    const hrt_log_heritage log = log_of(from, epochs);
    return hrt_log_take_over(options, &log, from->visit, from->context, &runtime->log,
                             &runtime->recovery, report);
}

static int open_log(hrt_runtime *runtime, const hrt_heritage *from)
{
    hrt_log_options options = {
        .directory = runtime->options.directory,
        .segment_size = runtime->options.segment_size,
        .segments_min = runtime->options.segments_min,
        .segments_max = runtime->options.segments_max,
        .segments_reserve = runtime->options.segments_reserve,
        .async_ns = runtime->options.async_ns,
        .on_durable = hrt_runtime_durable,
        .on_failure = flusher_failed,
        .on_scan = runtime->options.snapshot == 0 ? NULL : hrt_snapshot_resume,
        .context = runtime,
    };
    hrt_damage_report report = {0};
    uint64_t begin = hrt_boot_ns();
    int status = from != NULL ? take_over_log(runtime, &options, from, &report)
                              : hrt_log_open(&options, apply_recovered, runtime, &runtime->log,
                                             &runtime->recovery, &report);
    if (from != NULL) {
        runtime->stops = *from->stops;
        *from->stops = (hrt_stops){0};
    }
    bool resumed = from == NULL && runtime->search->used[0] != '\0';
    if (status == HRT_OK && resumed) {
        status = hrt_snapshot_check_living(runtime);
    }
    if (status != HRT_OK) {
        return status;
    }
    if (resumed) {
        runtime->recovery.snapshot = 1;
        runtime->recovery.snapshot_position = runtime->search->position;
    } else if (from == NULL && runtime->search->refusal_count > 0) {
        runtime->recovery.snapshot = 2;
    }
    take_next_epoch(runtime);
    runtime->recovery.duration_ns = hrt_boot_ns() - begin;
    status = hrt_log_mark(runtime->log);
    return status == HRT_OK ? hrt_log_start(runtime->log) : status;
}

/* A client that holds jobs and has no lane here, or one that was shut before; 0: none. */
static uint64_t absent_holder(hrt_runtime *runtime)
{
    for (uint32_t place = 0; place < hrt_state_holders(runtime->state); place++) {
        uint64_t client = hrt_state_holder(runtime->state, place);
        uint32_t lane = 0;
        const hrt_seat *seat = hrt_lanes_find(runtime, client, &lane);
        if (seat == NULL || (seat->phase == HRT_LANE_SHUT && seat->held == 0)) {
            return client;
        }
    }
    return 0;
}

/* The supervisor died with these leases out: whether their jobs had begun is not known. */
static int take_back_lost_leases(hrt_runtime *runtime)
{
    uint64_t jobs[HRT_PASS_BATCH];
    uint64_t client;
    int status = HRT_OK;
    while (status == HRT_OK && (client = absent_holder(runtime)) != 0) {
        uint32_t count = hrt_state_leased_to(runtime->state, client, jobs, HRT_PASS_BATCH);
        for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
            status = hrt_attempt_lose(runtime, jobs[i]);
            if (status == HRT_ELOGFULL) {
                status = hrt_retire_one(runtime);
                status = status == HRT_OK ? hrt_attempt_lose(runtime, jobs[i]) : status;
            }
        }
        status = status == HRT_OK ? hrt_group_close(runtime) : status;
    }
    return status;
}

static int begin_epoch(hrt_runtime *runtime, const hrt_heritage *from)
{
    hrt_runtime_tick(runtime);
    hrt_checkpoint_begin(runtime);
    runtime->prologue_segment = UINT64_MAX; /* so that the first group declares everything */
    if (from != NULL) {
        hrt_state_move(runtime->state, runtime->page);
    }
    int status = hrt_group_reserve(runtime, hrt_record_span(sizeof(hrt_record)), HRT_LOG_COPY);
    if (status == HRT_OK && from != NULL) {
        status = hrt_adopt_lanes(runtime, from);
    }
    if (status == HRT_OK) {
        status = take_back_lost_leases(runtime);
    }
    if (status == HRT_OK) {
        runtime->group_sync = true;
        status = hrt_group_seal(runtime);
    }
    if (status == HRT_OK) {
        hrt_room_look(runtime);
        hrt_effect_release(runtime);
        hrt_counters_refresh(runtime);
    }
    return status;
}

/* A page and a state: new ones, or those of the runtime before. */
static int furnish(hrt_runtime *runtime, const hrt_heritage *from)
{
    if (from == NULL) {
        int status = hrt_counters_page(runtime->instance, &runtime->page, &runtime->page_fd);
        if (status != HRT_OK) {
            return status;
        }
        runtime->state = hrt_state_new(runtime->page, runtime->options.segment_size);
        return runtime->state == NULL ? HRT_ENOMEM : HRT_OK;
    }
    hrt_store_relaxed(&runtime->page->incarnation, runtime->instance);
    hrt_store_relaxed(&runtime->page->runtime.lanes, 0);
    hrt_store_relaxed(&runtime->page->runtime.draining, 0);
    for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
        hrt_store_relaxed(&runtime->page->kind_counters[kind].workers, 0);
    }
    return HRT_OK;
}

static int make_parts(hrt_runtime *runtime, const hrt_heritage *from)
{
    uint64_t seed = 0;
    if (getrandom(&runtime->instance, sizeof(runtime->instance), 0) < 0 ||
        getrandom(&seed, sizeof(seed), 0) < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot get random bytes: %m");
    }
    int status = hrt_news_new(&runtime->news);
    if (status == HRT_OK) {
        status = furnish(runtime, from);
    }
    if (status != HRT_OK) {
        return status;
    }
    runtime->audience = hrt_audience_new();
    runtime->kills = hrt_timer_new();
    if (runtime->audience == NULL || runtime->kills == NULL) {
        return HRT_ENOMEM;
    }
    runtime->scheduler = hrt_scheduler_new(runtime->state, seed);
    if (runtime->scheduler == NULL) {
        return HRT_ENOMEM;
    }
    status = runtime->sentinel == NULL ? hrt_sentinel_new(&runtime->sentinel) : HRT_OK;
    return status == HRT_OK ? hrt_sentinel_begin(runtime->sentinel, runtime) : status;
}

void hrt_runtime_free(hrt_runtime *runtime)
{
    hrt_offshoot_collect(runtime->offshoot);
    hrt_sentinel_free(runtime->sentinel);
    if (runtime->log != NULL) {
        hrt_log_close(runtime->log);
    }
    hrt_scheduler_free(runtime->scheduler);
    hrt_state_free(runtime->state);
    hrt_audience_free(runtime->audience);
    hrt_timer_free(runtime->kills);
    hrt_news_free(runtime->news);
    hrt_stops_free(&runtime->stops);
    free(runtime->room.asides);
    hrt_counters_release(runtime->page, runtime->page_fd);
    (void)pthread_cond_destroy(&runtime->durable_changed);
    (void)pthread_mutex_destroy(&runtime->durable_lock);
    (void)pthread_mutex_destroy(&runtime->lock);
    free(runtime->directory);
    free(runtime);
}

static void make_locks(hrt_runtime *runtime)
{
    pthread_condattr_t monotonic;
    (void)pthread_mutex_init(&runtime->lock, NULL);
    (void)pthread_mutex_init(&runtime->durable_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&runtime->durable_changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

static int find_directory(hrt_runtime *runtime)
{
    const char *directory = runtime->options.directory;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        return hrt_fail(errno == ENOSPC ? HRT_ENOSPC : HRT_ESYSTEM,
                        "cannot make the log directory %s: %m", directory);
    }
    uint32_t existing = segment_size_on_disk(directory);
    if (existing != 0) {
        hrt_runtime_use_segments(&runtime->options, existing);
    }
    return HRT_OK;
}

/* Takes over what the heritage names, also when it fails later. NULL: nothing was taken. */
static hrt_runtime *new_runtime(const hrt_runtime_options *options, const hrt_heritage *from)
{
    hrt_runtime *runtime = calloc(1, sizeof(*runtime));
    char *directory = strdup(options->directory);
    if (runtime == NULL || directory == NULL) {
        free(runtime);
        free(directory);
        return NULL;
    }
    runtime->options = *options;
    runtime->options.directory = directory;
    runtime->directory = directory;
    make_locks(runtime);
    if (from != NULL) {
        runtime->page = from->page;
        runtime->page_fd = from->page_fd;
        runtime->state = from->state;
        runtime->sentinel = from->sentinel;
        runtime->offshoot = from->offshoot;
    }
    return runtime;
}

static int start(hrt_runtime *runtime, const hrt_heritage *from)
{
    int status = make_parts(runtime, from);
    if (status == HRT_OK) {
        status = open_log(runtime, from);
    } else if (from != NULL) {
        (void)close(from->log.lock);
    }
    if (status == HRT_OK) {
        hrt_runtime_lock(runtime); /* the flusher runs, and tells lanes what is durable */
        status = begin_epoch(runtime, from);
        hrt_stops_free(&runtime->stops);
        hrt_runtime_unlock(runtime);
    }
    return status;
}

int hrt_runtime_inherit(const hrt_runtime_options *options, const hrt_heritage *from,
                        hrt_runtime **runtime_out)
{
    hrt_runtime *runtime = new_runtime(options, from);
    if (runtime == NULL) {
        hrt_state_free(from->state);
        hrt_counters_release(from->page, from->page_fd);
        hrt_sentinel_free(from->sentinel);
        (void)close(from->log.lock);
        return HRT_ENOMEM;
    }
    int status = start(runtime, from);
    if (status != HRT_OK) {
        hrt_runtime_leave(runtime);
        return status;
    }
    *runtime_out = runtime;
    return HRT_OK;
}

/* *again_out: it failed with a snapshot, so it may be the snapshot's fault. */
static int open_once(const hrt_runtime_options *options, hrt_search *search,
                     hrt_runtime **runtime_out, bool *again_out)
{
    hrt_runtime *runtime = new_runtime(options, NULL);
    if (runtime == NULL) {
        return HRT_ENOMEM;
    }
    runtime->search = search;
    int status = find_directory(runtime);
    status = status == HRT_OK ? start(runtime, NULL) : status;
    if (status != HRT_OK) {
        *again_out = search->used[0] != '\0' && (status == HRT_ECORRUPT || status == HRT_EVERSION);
        hrt_runtime_free(runtime);
        return status;
    }
    *runtime_out = runtime;
    return HRT_OK;
}

int hrt_runtime_open(const hrt_runtime_options *options, hrt_runtime **runtime_out)
{
    hrt_runtime_options whole;
    hrt_search search = {0};
    bool again = false;
    int status = hrt_runtime_complete(options, &whole);
    if (status != HRT_OK) {
        return status;
    }
    do {
        if (again) {
            char why[HRT_SNAPSHOT_WHY_SIZE];
            (void)hrt_last_error(why, sizeof(why));
            hrt_snapshot_blame(&search, why);
        }
        again = false;
        status = open_once(&whole, &search, runtime_out, &again);
    } while (again);
    if (status == HRT_OK) {
        hrt_snapshot_report(*runtime_out, &search);
        (*runtime_out)->search = NULL;
    }
    return status;
}

void hrt_runtime_recovery(const hrt_runtime *runtime, hrt_recovery *recovery_out)
{
    *recovery_out = runtime->recovery;
}

const hrt_page *hrt_runtime_page(const hrt_runtime *runtime)
{
    return runtime->page;
}

/* ---- closing ---- */

/* Tells the lanes, and frees all. */
static void end(hrt_runtime *runtime)
{
    hrt_runtime_lock(runtime); /* the flusher may be telling the lanes just now */
    hrt_lanes_end(runtime);
    hrt_runtime_unlock(runtime);
    hrt_runtime_free(runtime);
}

void hrt_runtime_close(hrt_runtime *runtime)
{
    if (runtime == NULL) {
        return;
    }
    if (!hrt_runtime_has_failed(runtime)) {
        hrt_runtime_lock(runtime);
        uint64_t checkpoint = hrt_checkpoint_last(runtime);
        hrt_runtime_unlock(runtime);
        bool wanted = checkpoint != 0 && runtime->options.snapshot != 0;
        if (wanted && hrt_runtime_sync(runtime, -1) == HRT_OK) {
            hrt_runtime_lock(runtime);
            (void)hrt_snapshot_close(runtime, checkpoint); /* without one a restart reads more */
            hrt_runtime_unlock(runtime);
        }
    }
    end(runtime);
}

/* ---- clients ---- */

int hrt_runtime_client(hrt_runtime *runtime, hrt_client **client_out)
{
    uint32_t number = 0;
    int fd = -1;
    hrt_runtime_lock(runtime);
    int status = hrt_lanes_make(runtime, 0, true, &number, &fd);
    if (status == HRT_OK) {
        hrt_seat *seat = &runtime->seats[number];
        seat->info.pid = (uint32_t)getpid();
        (void)snprintf(seat->info.name, sizeof(seat->info.name), "supervisor");
        hrt_client_local local = {.lane = seat->host.lane,
                                  .page = runtime->page,
                                  .log_directory = hrt_log_directory(runtime->log),
                                  .event_fd = seat->event_fd,
                                  .pump = hrt_dispatch_inline,
                                  .context = runtime};
        status = hrt_client_local_new(&local, client_out);
    }
    hrt_runtime_unlock(runtime);
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

static void close_all(int *fds)
{
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
        fds[i] = -1;
    }
}

/* What a client needs besides its lane. The page is opened anew, read-only. */
static int gather_descriptors(const hrt_runtime *runtime, const hrt_seat *seat, int lane_fd,
                              int *fds)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", runtime->page_fd);
    fds[HRT_FD_LANE] = lane_fd;
    fds[HRT_FD_PAGE] = open(path, O_RDONLY | O_CLOEXEC);
    fds[HRT_FD_LOG] = fcntl(hrt_log_directory(runtime->log), F_DUPFD_CLOEXEC, 3);
    fds[HRT_FD_EVENT] = fcntl(seat->event_fd, F_DUPFD_CLOEXEC, 3);
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        if (fds[i] < 0) {
            int status = hrt_fail(HRT_ESYSTEM, "cannot open descriptors for a client: %m");
            close_all(fds);
            return status;
        }
    }
    return HRT_OK;
}

int hrt_runtime_lane(hrt_runtime *runtime, uint32_t submit_capacity, uint32_t pid, const char *pool,
                     const char *name, int *fds_out, uint64_t *incarnation_out)
{
    uint32_t number = 0;
    int lane_fd = -1;
    int fds[HRT_FD_COUNT] = {-1, -1, -1, -1};
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    int status = hrt_lanes_make(runtime, submit_capacity, false, &number, &lane_fd);
    if (status == HRT_OK) {
        hrt_seat *seat = &runtime->seats[number];
        status = gather_descriptors(runtime, seat, lane_fd, fds);
        if (status != HRT_OK) {
            seat->gone = true;
            hrt_lanes_shut(runtime, number, HRT_ECLOSED, HRT_OUTCOME_RETURNED, HRT_EVENT_DETACHED,
                           "no descriptors");
        } else {
            seat->info.pid = pid;
            (void)snprintf(seat->info.pool, sizeof(seat->info.pool), "%s", pool);
            (void)snprintf(seat->info.name, sizeof(seat->info.name), "%s", name);
            memcpy(fds_out, fds, sizeof(fds));
            *incarnation_out = seat->incarnation;
        }
    }
    hrt_runtime_unlock(runtime);
    hrt_runtime_ring(runtime);
    return status;
}

int hrt_runtime_lane_pid(hrt_runtime *runtime, uint64_t incarnation, uint32_t pid)
{
    uint32_t number = 0;
    hrt_runtime_lock(runtime);
    hrt_seat *seat = hrt_lanes_find(runtime, incarnation, &number);
    if (seat != NULL) {
        seat->info.pid = pid;
    }
    hrt_runtime_unlock(runtime);
    return seat != NULL ? HRT_OK : hrt_fail(HRT_ENOTFOUND, "no such client");
}

static int judge_hello(const void *bytes, size_t length, uint32_t uid, hrt_hello *hello)
{
    if (uid != geteuid() && uid != 0) {
        return hrt_fail(HRT_EPERM,
                        "this runtime belongs to user %u, you are user %u; run as that user, or "
                        "start a runtime of your own",
                        geteuid(), uid);
    }
    if (length >= 8) {
        memcpy(hello, bytes, length < sizeof(*hello) ? length : sizeof(*hello));
    }
    if (length < 8 || hello->magic != HRT_MAGIC_HELLO) {
        return hrt_fail(
            HRT_EPEER,
            "this is the attach socket of hybridrt, and the hello of %zu bytes is not that "
            "of its client library",
            length);
    }
    if (hello->abi_version != HRT_ABI_VERSION || length != sizeof(*hello)) {
        return hrt_fail(HRT_EVERSION,
                        "the client has ABI version %u, this supervisor has %u; rebuild the client "
                        "against the installed hybridrt",
                        hello->abi_version, HRT_ABI_VERSION);
    }
    uint32_t capacity = hello->submit_capacity;
    if (capacity != 0 && (capacity < HRT_LANE_SUBMIT_MIN || capacity > HRT_LANE_SUBMIT_MAX ||
                          (capacity & (capacity - 1)) != 0)) {
        return hrt_fail(HRT_EINVAL,
                        "submit_capacity is %u; it has to be a power of two from %d to %d",
                        capacity, HRT_LANE_SUBMIT_MIN, HRT_LANE_SUBMIT_MAX);
    }
    hello->name[sizeof(hello->name) - 1] = '\0';
    return HRT_OK;
}

int hrt_runtime_admit(hrt_runtime *runtime, const void *hello_bytes, size_t hello_length,
                      uint32_t pid, uint32_t uid, hrt_welcome *welcome_out, int *fds_out)
{
    hrt_hello hello = {0};
    uint64_t incarnation = 0;
    int status = judge_hello(hello_bytes, hello_length, uid, &hello);
    if (status == HRT_OK) {
        status = hrt_runtime_lane(runtime, hello.submit_capacity, pid, "", hello.name, fds_out,
                                  &incarnation);
    }
    *welcome_out = (hrt_welcome){.magic = HRT_MAGIC_HELLO,
                                 .abi_version = HRT_ABI_VERSION,
                                 .status = status,
                                 .incarnation = incarnation};
    if (status != HRT_OK) {
        (void)hrt_last_error(welcome_out->text, sizeof(welcome_out->text));
    }
    return status;
}

static void drain_one(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    if (seat->phase != HRT_LANE_LIVE || seat->local || seat->draining) {
        return;
    }
    seat->draining = true;
    seat->info.draining = 1;
    if (seat->registered) {
        hrt_scheduler_draining(runtime->scheduler, lane);
    }
    /* A lease that waits for the disk would come after the client's last look. */
    seat->drain_from = seat->host.deliver_tail + seat->overflow_count;
    hrt_effect_drain(seat);
}

int hrt_runtime_drain(hrt_runtime *runtime, uint64_t incarnation)
{
    uint32_t number = 0;
    int status = HRT_OK;
    hrt_runtime_lock(runtime);
    if (incarnation == 0) {
        for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
            drain_one(runtime, lane);
        }
    } else if (hrt_lanes_find(runtime, incarnation, &number) != NULL) {
        drain_one(runtime, number);
    } else {
        status = hrt_fail(HRT_ENOTFOUND, "no such client");
    }
    hrt_runtime_unlock(runtime);
    return status;
}

int hrt_runtime_pardon(hrt_runtime *runtime, uint64_t incarnation)
{
    uint32_t number = 0;
    hrt_runtime_lock(runtime);
    hrt_seat *seat = hrt_lanes_find(runtime, incarnation, &number);
    if (seat != NULL) {
        seat->pardoned = true;
    }
    hrt_runtime_unlock(runtime);
    return seat != NULL ? HRT_OK : hrt_fail(HRT_ENOTFOUND, "no such client");
}

int hrt_runtime_lane_gone(hrt_runtime *runtime, uint64_t incarnation, int counted)
{
    uint32_t number = 0;
    int status = HRT_OK;
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    hrt_seat *seat = hrt_lanes_find(runtime, incarnation, &number);
    if (seat != NULL) {
        while (seat->phase == HRT_LANE_LIVE && hrt_submission_take(runtime, number)) {
        }
        hrt_lanes_shut(runtime, number, HRT_ECLOSED,
                       counted ? HRT_OUTCOME_CRASHED : HRT_OUTCOME_RETURNED,
                       counted ? HRT_EVENT_DIED : HRT_EVENT_DETACHED, "its worker ended");
        seat->gone = true;
        status = hrt_dispatch_finish(runtime);
    }
    hrt_runtime_unlock(runtime);
    return status;
}

void hrt_runtime_refuse(hrt_runtime *runtime, int refuse)
{
    hrt_runtime_lock(runtime);
    runtime->refusing = refuse != 0;
    hrt_store_relaxed(&runtime->page->runtime.draining, refuse != 0);
    hrt_runtime_unlock(runtime);
}

/* ---- events ---- */

int hrt_runtime_event_fd(const hrt_runtime *runtime)
{
    return hrt_news_fd(runtime->news);
}

int hrt_runtime_events(hrt_runtime *runtime, hrt_event *events_out, uint32_t max,
                       uint32_t *count_out)
{
    *count_out = hrt_news_take(runtime->news, events_out, max);
    return HRT_OK;
}

/* ---- durability ---- */

static struct timespec deadline_after(int64_t timeout_ns)
{
    uint64_t end = hrt_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ns;
    return (struct timespec){.tv_sec = (time_t)(end / 1000000000u),
                             .tv_nsec = (long)(end % 1000000000u)};
}

void hrt_runtime_hold(hrt_runtime *runtime, uint64_t segment)
{
    hrt_log_hold(runtime->log, segment);
}

int hrt_runtime_sync(hrt_runtime *runtime, int64_t timeout_ns)
{
    hrt_runtime_lock(runtime);
    uint64_t position = hrt_log_tail(runtime->log);
    hrt_runtime_unlock(runtime);
    int64_t longest = (int64_t)24 * 3600 * 1000000000;
    struct timespec deadline =
        deadline_after(timeout_ns < 0 || timeout_ns > longest ? longest : timeout_ns);
    hrt_log_want_sync(runtime->log, position);
    int waited = 0;
    (void)pthread_mutex_lock(&runtime->durable_lock);
    while (hrt_log_durable(runtime->log) < position && hrt_log_failed(runtime->log) == HRT_OK &&
           waited == 0) {
        waited =
            pthread_cond_timedwait(&runtime->durable_changed, &runtime->durable_lock, &deadline);
    }
    (void)pthread_mutex_unlock(&runtime->durable_lock);
    if (hrt_log_durable(runtime->log) >= position) {
        return HRT_OK;
    }
    return waited != 0 ? hrt_fail(HRT_ETIMEOUT, "the disk did not sync in time") : HRT_EIO;
}
