/* The thread that syncs the log, publishes how far it is durable, and readies segments. */
#include "flusher.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "log_state.h"
#include "orphans.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READY_AHEAD 2u               /* numbered segments that wait behind the current one */
#define MARK_PAUSE_NS 5000000u       /* of rest, until what is durable is marked */
#define NO_SPACE_PAUSE_NS 250000000u /* until a full disk is asked again */

void hrt_flusher_init(hrt_log *log)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&log->flusher.wanted, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    log->flusher.making.fd = -1;
}

static void give_up(hrt_log *log)
{
    (void)pthread_mutex_unlock(&log->mutex);
}

static void take_back(hrt_log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
}

/* Mutex held. */
static void fail(hrt_log *log, int status)
{
    give_up(log);
    (void)hrt_log_poison(log, status);
    take_back(log);
}

/* ---- syncing ---- */

static void count_sync(hrt_log *log, uint64_t took_ns)
{
    hrt_runtime_counters *counters = log->flusher.counters;
    if (counters == NULL) {
        return;
    }
    hrt_add_relaxed(&counters->syncs, 1);
    hrt_add_relaxed(&counters->sync_ns, took_ns);
    hrt_add_relaxed(&counters->sync.count, 1);
    hrt_add_relaxed(&counters->sync.sum_ns, took_ns);
    hrt_add_relaxed(&counters->sync.buckets[hrt_histogram_bucket(took_ns)], 1);
    if (took_ns > hrt_load_relaxed(&counters->sync_max_ns)) {
        hrt_store_relaxed(&counters->sync_max_ns, took_ns);
        hrt_store_relaxed(&counters->sync.max_ns, took_ns);
    }
}

static int sync_file(hrt_log *log, int fd)
{
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    int status = HRT_FAILPOINT("log.sync.before");
    if (status == HRT_OK && fdatasync(fd) != 0) {
        status = hrt_fail(hrt_status_of(errno), "fdatasync of the log in %s: %s",
                          log->options.directory, strerror(errno));
    }
    if (status == HRT_OK) {
        status = HRT_FAILPOINT("log.sync.after");
    }
    if (status == HRT_OK) {
        count_sync(log, hrt_clock_ns(CLOCK_MONOTONIC) - began);
    }
    return status;
}

/* Syncs the segment of `number`; a segment that is left behind is closed: all of it is synced. */
static int sync_segment(hrt_log *log, uint64_t number, bool left)
{
    uint32_t index = hrt_log_slot_of(log, number);
    hrt_log_slot *slot = &log->slots[index];
    if (slot->fd < 0) {
        slot->fd = hrt_segment_open(log->directory, index, O_RDWR);
    }
    int fd = slot->fd;
    if (fd < 0) {
        return hrt_status_of(errno);
    }
    give_up(log);
    int status = sync_file(log, fd);
    take_back(log);
    if (status == HRT_OK) {
        if (left) {
            slot->fd = -1;
            (void)close(fd);
        }
    }
    return status;
}

/* The kernel may call clean what it has failed to write. Who opens the log next, writes it again.
 */
static void mark_unsynced(const hrt_log *log)
{
    int fd =
        openat(log->directory, HRT_LOG_UNSYNCED, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)close(fd);
    }
}

void hrt_flusher_sync(hrt_log *log)
{
    uint64_t target = hrt_load_acquire(&log->tail);
    uint64_t number = hrt_load_relaxed(&log->durable) >> log->segment_shift;
    uint64_t last = (target - 1) >> log->segment_shift;
    number = number < log->worn ? log->worn : number;
    for (; number <= last; number++) {
        int status = sync_segment(log, number, number < last);
        if (status != HRT_OK) {
            mark_unsynced(log);
            fail(log, status);
            return;
        }
    }
    hrt_store_release(&log->durable, target);
    log->flusher.unmarked_at = hrt_clock_ns(CLOCK_MONOTONIC);
    if (log->flusher.async_to <= target) {
        log->flusher.async_at = 0;
    }
    if (log->options.on_durable != NULL) {
        give_up(log);
        log->options.on_durable(log->options.context);
        take_back(log);
    }
}

/*
 * What was synced last stands behind all that says so. The mark does, once the log rests: whoever
 * kills the process then leaves it in the page cache, and later on the disk. It is worth no sync.
 */
static bool mark_step(hrt_log *log)
{
    uint64_t at = log->flusher.unmarked_at;
    if (at == 0 || hrt_clock_ns(CLOCK_MONOTONIC) < at + MARK_PAUSE_NS) {
        return false;
    }
    hrt_durable_mark mark = {.position = hrt_load_relaxed(&log->durable)};
    memcpy(mark.uuid, log->uuid, sizeof(mark.uuid));
    int fd = log->slots[hrt_log_slot_of(log, log->current)].fd;
    log->flusher.unmarked_at = 0;
    give_up(log);
    (void)hrt_segment_write_mark(fd, &mark, false);
    take_back(log);
    return true;
}

/* ---- readying segments ---- */

static uint32_t waiting(const hrt_log *log)
{
    return (uint32_t)(log->ready - log->current - 1);
}

/* A file that leaves the log, but not those who read it, says so for whoever takes over. */
static hrt_segment head_of(const hrt_log *log, uint64_t number, uint64_t head, bool aside)
{
    hrt_segment segment = hrt_log_head_for(log, number, head);
    segment.aside = aside;
    hrt_segment_seal(&segment);
    return segment;
}

/* Gives a file a new header, which is on the disk before anything may be written behind it: no
 * power cut can show the new bytes under the old number. */
static int renumber(hrt_log *log, uint32_t index, uint64_t number, uint64_t head, bool aside)
{
    hrt_log_slot *slot = &log->slots[index];
    if (slot->fd < 0) {
        slot->fd = hrt_segment_open(log->directory, index, O_RDWR);
    }
    if (slot->fd < 0) {
        return hrt_status_of(errno);
    }
    hrt_segment segment = head_of(log, number, head, aside);
    int fd = slot->fd;
    log->flusher.numbering = true;
    give_up(log);
    int status = HRT_FAILPOINT("log.recycle.before");
    if (status == HRT_OK) {
        status = hrt_segment_write_head(fd, &segment);
        if (status != HRT_OK) {
            mark_unsynced(log);
        }
    }
    if (status == HRT_OK) {
        status = HRT_FAILPOINT("log.recycle.after");
    }
    take_back(log);
    log->flusher.numbering = false;
    return status;
}

static void number_file(hrt_log *log, uint32_t index, uint64_t head)
{
    uint64_t number = log->ready;
    int status = renumber(log, index, number, head, false);
    if (status != HRT_OK) {
        fail(log, status);
        return;
    }
    log->order[number & log->mask] = index;
    log->ready = number + 1;
    log->sure = number + 1;
    (void)pthread_cond_broadcast(&log->changed);
}

/*
 * The next file that waits was numbered by a runtime that may have died before its header was on
 * the disk. A takeover does not wait for the disk to write it again: the log does not need it yet.
 */
static void make_sure(hrt_log *log)
{
    uint64_t number = log->sure;
    int fd = log->slots[hrt_log_slot_of(log, number)].fd;
    hrt_segment head;
    size_t got = 0;
    give_up(log);
    int status = hrt_read_at(fd, &head, sizeof(head), 0, &got);
    if (status == HRT_OK && got == sizeof(head)) {
        status = hrt_segment_write_head(fd, &head);
    }
    if (status != HRT_OK) {
        mark_unsynced(log);
    }
    take_back(log);
    if (status != HRT_OK) {
        fail(log, status);
        return;
    }
    log->sure = number + 1;
    (void)pthread_cond_broadcast(&log->changed);
}

/*
 * Clients of a life before end, and none come: once there are none, the files that were kept for
 * them are as good as others.
 */
static bool orphans_gone(hrt_log *log)
{
    if (log->orphans && !hrt_orphans_live(log->directory, log->adopted, log->adopted_count)) {
        log->orphans = false;
        while (log->relic_count > 0) {
            hrt_log_put_by(log, log->relics[--log->relic_count]);
        }
        (void)pthread_cond_broadcast(&log->changed);
    }
    return !log->orphans;
}

static bool may_recycle(const hrt_log *log)
{
    return log->worn < hrt_log_free_below(log) &&
           hrt_load_relaxed(&log->durable) >= log->retire_at[log->worn & log->mask];
}

/* It may have been let go of while its header was written: then it is a spare like others. */
static void store(hrt_log *log, uint32_t index, uint64_t number)
{
    if (log->aside_at[number & log->mask]) {
        log->asides[log->aside_count++] = (hrt_log_aside){.number = number, .slot = index};
        log->aside_at[number & log->mask] = false;
    } else {
        hrt_log_put_by(log, index);
    }
    (void)pthread_cond_broadcast(&log->changed); /* this one may not come */
}

/* The worn file becomes the next segment, or a spare, so that no restart reads it again. */
static void recycle(hrt_log *log)
{
    uint64_t number = log->worn;
    uint32_t index = hrt_log_slot_of(log, number);
    bool aside =
        log->aside_at[number & log->mask] || (log->slots[index].relic && !orphans_gone(log));
    log->worn = number + 1;
    if (!aside && waiting(log) < READY_AHEAD) {
        number_file(log, index, number + 1);
    } else {
        int status = renumber(log, index, HRT_SEGMENT_SPARE, number + 1, aside);
        if (status != HRT_OK) {
            fail(log, status);
            return;
        }
        store(log, index, number);
    }
    if (log->flusher.counters != NULL) {
        hrt_add_relaxed(&log->flusher.counters->recycled, 1);
    }
}

bool hrt_flusher_may_grow(const hrt_log *log)
{
    return (log->files < log->segments_max || hrt_log_relics(log) > 0) &&
           (log->flusher.no_space_until == 0 ||
            hrt_clock_ns(CLOCK_MONOTONIC) >= log->flusher.no_space_until);
}

/* The files that there should be: the next segment and the reserve beyond those in use. */
static bool wants_file(const hrt_log *log)
{
    uint64_t target = hrt_log_used(log) + hrt_log_asides(log) + 1 + log->kept[HRT_LOG_NEW_WORK];
    return log->files < target || log->files < log->options.segments_min;
}

/* Whether a full disk is to be asked again some time: a log that could grow plans for more. */
static bool space_awaited(const hrt_log *log)
{
    return log->flusher.no_space_until != 0 &&
           (log->files < log->segments_max || log->relic_count > 0);
}

static void no_space(hrt_log *log)
{
    log->flusher.no_space_until = hrt_clock_ns(CLOCK_MONOTONIC) + NO_SPACE_PAUSE_NS;
    (void)pthread_cond_broadcast(&log->changed);
}

/*
 * A new file has taken its place, whose header says what this one's may be the last to say: where
 * the log begins. Who still maps it reads on, and the kernel frees it with the last of them.
 */
static void drop_relic(hrt_log *log)
{
    char name[HRT_SEGMENT_NAME_SIZE];
    uint32_t index = log->relics[--log->relic_count];
    hrt_log_slot slot = log->slots[index];
    log->slots[index] = (hrt_log_slot){.fd = -1};
    log->files--;
    give_up(log);
    hrt_segment_name(index, name);
    (void)unlinkat(log->directory, name, 0);
    if (slot.fd >= 0) {
        (void)close(slot.fd);
    }
    if (slot.map != NULL) {
        (void)munmap((void *)(uintptr_t)slot.map, log->segment_size);
    }
    take_back(log);
}

/* The relics whose place it was to take are used again, now that nobody reads them. */
static void abandon_making(hrt_log *log)
{
    hrt_segment_making making = log->flusher.making;
    log->flusher.making.fd = -1;
    (void)pthread_cond_broadcast(&log->changed); /* this one will not come */
    give_up(log);
    hrt_segment_abandon(log->directory, &making);
    take_back(log);
}

static void add_spare(hrt_log *log, uint32_t index, int fd)
{
    log->slots[index] = (hrt_log_slot){.fd = fd};
    log->slots_used = index + 1;
    log->files++;
    log->spares[log->spare_count++] = index;
    log->flusher.no_space_until = 0;
    (void)pthread_cond_broadcast(&log->changed);
    if (log->files > log->segments_max && log->relic_count > 0) {
        drop_relic(log);
    }
}

/* A full disk stops the growth, not the log. */
static void grow(hrt_log *log)
{
    hrt_segment_making making = log->flusher.making;
    hrt_segment head = hrt_log_head_for(log, HRT_SEGMENT_SPARE, log->worn);
    uint32_t index = log->slots_used;
    give_up(log);
    int status = HRT_EAGAIN;
    if (making.fd < 0) {
        status = hrt_segment_begin(log->directory, index, log->segment_size, &making);
        status = status == HRT_OK ? HRT_EAGAIN : status;
    } else {
        status = hrt_segment_step(log->directory, &making, &head);
        if (status != HRT_EAGAIN && status != HRT_OK) {
            hrt_segment_abandon(log->directory, &making);
        }
    }
    take_back(log);
    int fd = making.fd;
    making.fd = status == HRT_OK ? -1 : fd;
    log->flusher.making = making;
    if (status == HRT_ENOSPC) {
        no_space(log);
    } else if (status == HRT_OK) {
        add_spare(log, index, fd);
    } else if (status != HRT_EAGAIN) {
        fail(log, status);
    }
}

/* Room for one more file, or a relic that it takes the place of. */
static bool may_finish(const hrt_log *log)
{
    return log->files < log->segments_max || log->relic_count > 0;
}

bool hrt_flusher_ready_step(hrt_log *log)
{
    if (log->sure < log->ready) {
        make_sure(log);
    } else if (may_recycle(log)) {
        recycle(log);
    } else if (waiting(log) < READY_AHEAD && log->spare_count > 0) {
        number_file(log, log->spares[--log->spare_count], log->worn);
    } else if (log->relic_count > 0 && (wants_file(log) || space_awaited(log)) &&
               orphans_gone(log)) {
        return true;
    } else if (log->flusher.making.fd >= 0 && !may_finish(log)) {
        abandon_making(log);
    } else if (log->flusher.making.fd >= 0 || ((wants_file(log) || space_awaited(log)) &&
                                               hrt_flusher_may_grow(log) && may_finish(log))) {
        grow(log);
    } else {
        return false;
    }
    return true;
}

/* ---- the thread ---- */

static bool sync_due(const hrt_log *log)
{
    const hrt_flusher *flusher = &log->flusher;
    uint64_t durable = hrt_load_relaxed(&log->durable);
    if (flusher->sync_to > durable || (flusher->stop && hrt_load_acquire(&log->tail) > durable)) {
        return true;
    }
    bool blocked = flusher->demand && log->worn < hrt_log_free_below(log) && !may_recycle(log);
    return blocked ||
           (flusher->async_at != 0 && hrt_clock_ns(CLOCK_MONOTONIC) >= flusher->async_at);
}

static void wait_for_work(hrt_log *log)
{
    uint64_t at = log->flusher.async_at;
    if (space_awaited(log) && (at == 0 || log->flusher.no_space_until < at)) {
        at = log->flusher.no_space_until;
    }
    uint64_t unmarked_at = log->flusher.unmarked_at;
    if (unmarked_at != 0 && (at == 0 || unmarked_at + MARK_PAUSE_NS < at)) {
        at = unmarked_at + MARK_PAUSE_NS;
    }
    if (at == 0) {
        (void)pthread_cond_wait(&log->flusher.wanted, &log->mutex);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(at / 1000000000u),
                             .tv_nsec = (long)(at % 1000000000u)};
    (void)pthread_cond_timedwait(&log->flusher.wanted, &log->mutex, &until);
}

static void tell_failure(hrt_log *log)
{
    (void)pthread_cond_broadcast(&log->changed);
    if (log->options.on_failure != NULL) {
        give_up(log);
        log->options.on_failure(log->options.context, hrt_log_failed(log));
        take_back(log);
    }
}

static void *run(void *context)
{
    hrt_log *log = context;
    take_back(log);
    while (log->failed == 0) {
        if (sync_due(log)) {
            hrt_flusher_sync(log);
        } else if (log->flusher.stop) {
            break;
        } else if (!hrt_flusher_ready_step(log) && !mark_step(log)) {
            wait_for_work(log);
        }
    }
    if (log->failed != 0) {
        tell_failure(log);
    }
    give_up(log);
    return NULL;
}

int hrt_flusher_start(hrt_log *log)
{
    HRT_ASSERT(!log->flusher.running);
    log->flusher.running = true; /* before the thread, which reads it without asking */
    int error = pthread_create(&log->flusher.thread, NULL, run, log);
    if (error != 0) {
        log->flusher.running = false;
        return hrt_fail(HRT_ESYSTEM, "cannot start the flusher thread: %s", strerror(error));
    }
    (void)pthread_setname_np(log->flusher.thread, "hrt-flusher");
    return HRT_OK;
}

void hrt_flusher_stop(hrt_log *log)
{
    take_back(log);
    log->flusher.stop = true;
    (void)pthread_cond_signal(&log->flusher.wanted);
    give_up(log);
    if (log->flusher.running) {
        (void)pthread_join(log->flusher.thread, NULL);
        log->flusher.running = false;
    }
}
