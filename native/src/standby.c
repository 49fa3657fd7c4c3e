/*
 * The standby: follows the log of a running runtime into a state of its own, and goes on as the
 * runtime when that one ends. docs/design.md, Takeover.
 */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "grow.h"
#include "park.h"
#include "record.h"
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GATHER_NS ((int64_t)3000000) /* the runtime wakes us at most once in so long */
#define SLEEP_NS ((int64_t)1000000000)
#define LOCK_RETRY_NS 100000 /* a lock cannot be waited for and given up at a time */

enum {
    LOOK_EVERY = 4096, /* records between two looks at what others ask */
    OWN_SHIFT = 8,     /* thread ids have 22 bits; below them stands enum hrt_park */
};

struct hrt_standby {
    hrt_runtime_options options;
    char *path; /* the directory of the options */
    int directory;
    int page_fd;
    hrt_page *page;
    hrt_scan *scan;
    hrt_state *state;                     /* with a page of its own, until it takes over */
    uint64_t applied;                     /* records since the last look */
    uint64_t whole_from;                  /* the state is whole from this position on */
    hrt_lanes_entry taken[HRT_LANES_MAX]; /* of the last LANES record */
    uint32_t taken_count;
    hrt_stops stops;
    uint32_t stopping; /* atomic; run sleeps on it */
    hrt_copier copier;
    hrt_sentinel *sentinel; /* begins when it takes over */

    pthread_mutex_t lock; /* for what follows */
    hrt_standby_info info;
    hrt_legacy *lanes;
    uint32_t lane_count, lane_capacity;
};

/* ---- lanes ---- */

static void close_fds(const int *fds)
{
    for (int i = 0; i < HRT_GRANT_FD_COUNT; i++) {
        (void)close(fds[i]);
    }
}

static bool make_room(hrt_standby *standby)
{
    return hrt_grow(&standby->lanes, &standby->lane_capacity, standby->lane_count + 1, 16,
                    sizeof(*standby->lanes));
}

/* A place that was given to another client since has ended for the one before. Lock held. */
static void drop_lane(hrt_standby *standby, uint32_t place)
{
    close_fds(standby->lanes[place].fds);
    standby->lanes[place] = standby->lanes[--standby->lane_count];
}

static void drop_where(hrt_standby *standby, uint64_t incarnation, uint32_t number)
{
    for (uint32_t place = standby->lane_count; place > 0; place--) {
        const hrt_grant *grant = &standby->lanes[place - 1].grant;
        if (grant->incarnation == incarnation || grant->number == number) {
            drop_lane(standby, place - 1);
        }
    }
}

int hrt_standby_grant(hrt_standby *standby, const hrt_grant *grant, const int *fds)
{
    (void)pthread_mutex_lock(&standby->lock);
    drop_where(standby, grant->incarnation, grant->number);
    bool room = make_room(standby);
    if (room) {
        hrt_legacy *legacy = &standby->lanes[standby->lane_count++];
        legacy->grant = *grant;
        memcpy(legacy->fds, fds, sizeof(legacy->fds));
    } else {
        close_fds(fds);
    }
    (void)pthread_mutex_unlock(&standby->lock);
    return room ? HRT_OK : HRT_ENOMEM;
}

void hrt_standby_forget(hrt_standby *standby, uint64_t incarnation)
{
    (void)pthread_mutex_lock(&standby->lock);
    drop_where(standby, incarnation, UINT32_MAX);
    (void)pthread_mutex_unlock(&standby->lock);
}

/* ---- applying ---- */

static int check_hash(hrt_standby *standby, const hrt_record *record)
{
    const hrt_checkpoint_body *checkpoint = hrt_record_body(record);
    if (checkpoint->state_hash == 0 || record->position < standby->whole_from) {
        return HRT_OK;
    }
    if (checkpoint->state_hash != hrt_state_hash(standby->state)) {
        return hrt_fail(HRT_ECORRUPT, "the checkpoint at sequence %llu names another state",
                        (unsigned long long)record->sequence);
    }
    (void)pthread_mutex_lock(&standby->lock);
    standby->info.state_hash_at = record->sequence;
    (void)pthread_mutex_unlock(&standby->lock);
    return HRT_OK;
}

static int remember_lanes(hrt_standby *standby, const hrt_record *record)
{
    if (record->count > HRT_LANES_MAX) {
        return HRT_ECORRUPT;
    }
    standby->taken_count = record->count;
    memcpy(standby->taken, hrt_record_body(record), record->count * sizeof(hrt_lanes_entry));
    return HRT_OK;
}

static int apply(void *context, const hrt_record *record)
{
    hrt_standby *standby = context;
    int status = HRT_OK;
    if (record->type == HRT_RECORD_CHECKPOINT) {
        status = check_hash(standby, record);
    } else if (record->type == HRT_RECORD_LANES) {
        status = remember_lanes(standby, record);
    }
    if (status != HRT_OK) {
        return status;
    }
    status = hrt_state_apply(standby->state, record);
    if (status == HRT_OK && record->type == HRT_RECORD_CONTROL) {
        status = hrt_stops_read(&standby->stops, record, standby->state);
    }
    standby->applied++;
    return status != HRT_ECORRUPT
               ? status
               : hrt_fail(status, "record %llu at position %llu does not fit the records before it",
                          (unsigned long long)record->sequence,
                          (unsigned long long)record->position);
}

/* ---- snapshots ---- */

static void plan_snapshots(hrt_standby *standby)
{
    uint64_t head = hrt_scan_catalog(standby->scan)->head * standby->options.segment_size;
    uint64_t tail = hrt_load_acquire(&standby->page->runtime.log_tail);
    if (standby->options.snapshot == 0) {
        standby->copier.at = UINT64_MAX;
    } else {
        hrt_copier_begin(&standby->copier, standby->options.snapshot_bytes, head, tail);
    }
}

static void copy_state(hrt_standby *standby, const hrt_record *record)
{
    hrt_snapshot_order order = {.directory = standby->directory,
                                .segment_size = standby->options.segment_size,
                                .state = standby->state,
                                .page = standby->page};
    if (hrt_scan_here(standby->scan, record, &order.start)) {
        hrt_copier_start(&standby->copier, &order);
    }
}

/* ---- following ---- */

/* A log that has lost its beginning has copied by now what still lives of it. */
static uint64_t find_whole(const hrt_standby *standby)
{
    bool from_the_start = hrt_scan_catalog(standby->scan)->head <= 1;
    return from_the_start ? 0 : hrt_load_acquire(&standby->page->runtime.log_tail);
}

static int begin_reading(hrt_standby *standby)
{
    hrt_scan_close(standby->scan);
    hrt_state_free(standby->state);
    standby->scan = NULL;
    standby->taken_count = 0;
    hrt_stops_free(&standby->stops);
    standby->state = hrt_state_new(NULL, standby->options.segment_size);
    int status = standby->state == NULL ? HRT_ENOMEM
                                        : hrt_scan_begin(standby->directory, true, &standby->scan);
    if (status == HRT_OK) {
        hrt_scan_keep_own(standby->scan);
        standby->whole_from = find_whole(standby);
        plan_snapshots(standby);
    }
    return status;
}

static void publish(hrt_standby *standby, uint64_t sequence)
{
    uint64_t position = standby->scan == NULL ? 0 : hrt_scan_position(standby->scan);
    hrt_copier_look(&standby->copier);
    (void)pthread_mutex_lock(&standby->lock);
    standby->info.position = position;
    standby->info.sequence = sequence != 0 ? sequence : standby->info.sequence;
    standby->info.jobs = hrt_state_jobs(standby->state);
    standby->info.snapshots = standby->copier.written;
    standby->info.snapshot_failures = standby->copier.failures;
    standby->info.snapshot_position = standby->copier.written_position;
    (void)pthread_mutex_unlock(&standby->lock);
}

static bool stops(const hrt_standby *standby)
{
    return hrt_load_acquire_u32(&standby->stopping) != 0;
}

static int status_of_end(const hrt_standby *standby)
{
    hrt_damage_report report;
    hrt_scan_report(standby->scan, &report);
    return report.damage == HRT_DAMAGE_NONE ? HRT_OK : hrt_fail(HRT_ECORRUPT, "%s", report.text);
}

/* Applies what the runtime has told of. *found_out: there was something. */
static int catch_up(hrt_standby *standby, bool *found_out)
{
    const hrt_record *record = NULL;
    uint64_t sequence = 0;
    int status = HRT_OK;
    *found_out = false;
    hrt_scan_follow(standby->scan, hrt_load_acquire(&standby->page->runtime.log_tail));
    /* Whether to stop is asked before a record is taken: one that was taken is applied. */
    while (status == HRT_OK && !stops(standby) &&
           (status = hrt_scan_next(standby->scan, &record)) == HRT_OK) {
        *found_out = true;
        sequence = record->sequence;
        status = apply(standby, record);
        if (status == HRT_OK && hrt_copier_due(&standby->copier, record->position)) {
            copy_state(standby, record);
        }
        if (status == HRT_OK && standby->applied >= LOOK_EVERY) {
            standby->applied = 0;
            publish(standby, sequence);
        }
    }
    publish(standby, sequence);
    return status == HRT_EEND ? status_of_end(standby) : status;
}

/* The runtime used files again that were not read yet. */
static int begin_anew(hrt_standby *standby)
{
    (void)pthread_mutex_lock(&standby->lock);
    standby->info.restarts++;
    (void)pthread_mutex_unlock(&standby->lock);
    return begin_reading(standby);
}

/* Lets more gather, so that the runtime need not wake us for each group. */
static void gather(hrt_standby *standby, uint32_t writer)
{
    const hrt_park_word words[] = {{&standby->page->writer_alive, writer}, {&standby->stopping, 0}};
    (void)hrt_park_wait_any(words, HRT_COUNT_OF(words), GATHER_NS);
}

/*
 * While an upgrade is under way two of them sleep on one word. The runtime wakes all whatever the
 * word says, unless it says that nobody sleeps: so only the runtime says that, at the price of a
 * needless wake, and each of them waits for a value of its own, so that it does not fall asleep
 * when the word was cleared and set again since.
 */
static void sleep_until_woken(hrt_standby *standby, uint32_t writer)
{
    hrt_page *page = standby->page;
    const uint32_t own = HRT_PARK_FUTEX | (uint32_t)gettid() << OWN_SHIFT;
    const hrt_park_word words[] = {
        {&page->follow_park, own}, {&page->writer_alive, writer}, {&standby->stopping, 0}};
    hrt_park_begin(&page->follow_park, own);
    if (hrt_load_acquire(&page->runtime.log_tail) <= hrt_scan_position(standby->scan)) {
        (void)hrt_park_wait_any(words, HRT_COUNT_OF(words), SLEEP_NS);
    }
}

static bool writer_lives(uint32_t word)
{
    return word != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

int hrt_standby_run(hrt_standby *standby)
{
    while (!stops(standby)) {
        bool found = false;
        uint32_t writer = hrt_load_acquire_u32(&standby->page->writer_alive);
        int status = standby->scan == NULL ? begin_reading(standby) : HRT_OK;
        status = status == HRT_OK ? catch_up(standby, &found) : status;
        if (status == HRT_EGONE) {
            status = begin_anew(standby);
        } else if (status == HRT_OK && !writer_lives(writer)) {
            hrt_park_wake_raw(&standby->page->writer_alive); /* the kernel has woken but one */
            status = HRT_ECLOSED;
        } else if (status == HRT_OK && found) {
            gather(standby, writer);
        } else if (status == HRT_OK) {
            sleep_until_woken(standby, writer);
        }
        if (status != HRT_OK && status != HRT_EGONE) {
            return status;
        }
    }
    hrt_store_release_u32(&standby->stopping, 0);
    return HRT_OK;
}

void hrt_standby_stop(hrt_standby *standby)
{
    hrt_store_release_u32(&standby->stopping, 1);
    hrt_park_wake_raw(&standby->stopping);
}

void hrt_standby_status(hrt_standby *standby, hrt_standby_info *info_out)
{
    uint64_t tail = hrt_load_acquire(&standby->page->runtime.log_tail);
    (void)pthread_mutex_lock(&standby->lock);
    *info_out = standby->info;
    info_out->lanes = standby->lane_count;
    (void)pthread_mutex_unlock(&standby->lock);
    info_out->behind = tail > info_out->position ? tail - info_out->position : 0;
}

/* ---- life ---- */

static int map_page(hrt_standby *standby, int page_fd)
{
    struct stat about;
    standby->page_fd = fcntl(page_fd, F_DUPFD_CLOEXEC, 3);
    if (standby->page_fd < 0 || fstat(standby->page_fd, &about) != 0 ||
        about.st_size != (off_t)sizeof(hrt_page)) {
        return hrt_fail(HRT_EVERSION, "descriptor %d is no page of this version", page_fd);
    }
    /* All of it is written to by who takes over: the tables are filled before there is haste. */
    void *page = mmap(NULL, sizeof(hrt_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                      standby->page_fd, 0);
    if (page == MAP_FAILED) {
        return hrt_fail(HRT_ESYSTEM, "cannot map the page for writing: %m");
    }
    standby->page = page;
    if (standby->page->magic != HRT_MAGIC_PAGE || standby->page->abi_version != HRT_ABI_VERSION) {
        return hrt_fail(HRT_EVERSION, "the running supervisor has ABI version %u, this one has %d",
                        standby->page->abi_version, HRT_ABI_VERSION);
    }
    return HRT_OK;
}

static int open_parts(hrt_standby *standby, const hrt_runtime_options *options, int page_fd)
{
    int status = hrt_runtime_complete(options, &standby->options);
    if (status != HRT_OK) {
        return status;
    }
    standby->path = strdup(options->directory);
    if (standby->path == NULL) {
        return HRT_ENOMEM;
    }
    standby->options.directory = standby->path;
    standby->directory = open(standby->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (standby->directory < 0) {
        return hrt_fail(HRT_ENOTFOUND, "cannot open the log directory %s: %m", standby->path);
    }
    status = map_page(standby, page_fd);
    if (status == HRT_OK) {
        hrt_runtime_use_segments(&standby->options, standby->page->segment_size);
        status = hrt_sentinel_new(&standby->sentinel);
    }
    return status;
}

int hrt_standby_open(const hrt_runtime_options *options, int page_fd, hrt_standby **standby_out)
{
    hrt_standby *standby = calloc(1, sizeof(*standby));
    if (standby == NULL) {
        return HRT_ENOMEM;
    }
    standby->directory = -1;
    standby->page_fd = -1;
    (void)pthread_mutex_init(&standby->lock, NULL);
    int status = open_parts(standby, options, page_fd);
    if (status != HRT_OK) {
        hrt_standby_close(standby);
        return status;
    }
    *standby_out = standby;
    return HRT_OK;
}

void hrt_standby_close(hrt_standby *standby)
{
    if (standby == NULL) {
        return;
    }
    hrt_copier_drop(&standby->copier);
    hrt_offshoot_collect(standby->copier.dropped);
    hrt_sentinel_free(standby->sentinel);
    for (uint32_t lane = 0; lane < standby->lane_count; lane++) {
        close_fds(standby->lanes[lane].fds);
    }
    hrt_scan_close(standby->scan);
    hrt_state_free(standby->state);
    hrt_stops_free(&standby->stops);
    if (standby->page != NULL) {
        (void)munmap(standby->page, sizeof(*standby->page));
    }
    if (standby->page_fd >= 0) {
        (void)close(standby->page_fd);
    }
    if (standby->directory >= 0) {
        (void)close(standby->directory);
    }
    (void)pthread_mutex_destroy(&standby->lock);
    free(standby->lanes);
    free(standby->path);
    free(standby);
}

/* ---- taking over ---- */

/*
 * The kernel gives the lock back when the process that held it is wholly gone: nobody writes the
 * log any more. A wait for a lock has no time limit, so it is asked for now and then.
 */
static int wait_for_lock(const hrt_standby *standby, int64_t timeout_ns, int *lock_out)
{
    const struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    int status = hrt_log_lock(standby->directory, standby->path, lock_out);
    while (status == HRT_EBUSY &&
           (timeout_ns < 0 || hrt_clock_ns(CLOCK_MONOTONIC) - began < (uint64_t)timeout_ns)) {
        (void)nanosleep(&pause, NULL);
        status = hrt_log_lock(standby->directory, standby->path, lock_out);
    }
    return status;
}

/* A standby that was never run, or was overrun, reads the log now. */
static int finish_reading(hrt_standby *standby)
{
    int status = standby->scan == NULL ? begin_reading(standby) : HRT_OK;
    bool found = false;
    hrt_store_release_u32(&standby->stopping, 0);
    status = status == HRT_OK ? catch_up(standby, &found) : status;
    if (status == HRT_EGONE) {
        status = begin_anew(standby);
        status = status == HRT_OK ? catch_up(standby, &found) : status;
    }
    return status;
}

int hrt_standby_take_over(hrt_standby *standby, int64_t timeout_ns, hrt_runtime **runtime_out)
{
    int lock = -1;
    hrt_copier_drop(&standby->copier);
    int status = wait_for_lock(standby, timeout_ns, &lock);
    if (status == HRT_EBUSY) {
        return status;
    }
    status = status == HRT_OK ? finish_reading(standby) : status;
    if (status == HRT_OK) {
        hrt_heritage from = {
            .page = standby->page,
            .page_fd = standby->page_fd,
            .state = standby->state,
            .log = {.directory = standby->directory, .lock = lock, .scan = standby->scan},
            .visit = apply,
            .context = standby,
            .lanes = standby->lanes,
            .lane_count = standby->lane_count,
            .taken = standby->taken,
            .taken_count = &standby->taken_count, /* as it is when all was read */
            .stops = &standby->stops,
            .sentinel = standby->sentinel,
            .offshoot = standby->copier.dropped, /* it may take a while to go */
        };
        standby->page = NULL;
        standby->page_fd = -1;
        standby->sentinel = NULL;
        standby->copier.dropped = 0;
        status = hrt_runtime_inherit(&standby->options, &from, runtime_out);
        standby->state = NULL;
    } else if (lock >= 0) {
        (void)close(lock);
    }
    hrt_standby_close(standby);
    return status;
}
