/* Opening a log: lock it, read all of it, decide how it ended, and get ready to append there. */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "log_state.h"
#include "orphans.h"
#include "record.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum default_option {
    SEGMENT_SIZE = 16777216,
    SEGMENTS_MIN = 3,
    SEGMENTS_MAX = 256,
    SEGMENTS_RESERVE = 2,
    ASYNC_NS = 10000000,
    TO_BEGIN = 2,       /* files to spare: the next one, and what it may cost to begin */
    REST_MAX = 4194304, /* bytes behind the durable position that are written again at no cost */
};

static int check_options(hrt_log_options *options)
{
    options->segment_size = options->segment_size == 0 ? SEGMENT_SIZE : options->segment_size;
    options->segments_min = options->segments_min == 0 ? SEGMENTS_MIN : options->segments_min;
    options->segments_max = options->segments_max == 0 ? SEGMENTS_MAX : options->segments_max;
    options->segments_reserve =
        options->segments_reserve == 0 ? SEGMENTS_RESERVE : options->segments_reserve;
    options->async_ns = options->async_ns == 0 ? ASYNC_NS : options->async_ns;
    if (!hrt_segment_size_valid(options->segment_size)) {
        return hrt_fail(HRT_EINVAL, "segment_size is %u; it has to be a power of two from %d to %d",
                        options->segment_size, HRT_SEGMENT_SIZE_MIN, HRT_SEGMENT_SIZE_MAX);
    }
    if (options->segments_max < options->segments_reserve + 2 ||
        options->segments_max < options->segments_min) {
        return hrt_fail(HRT_EINVAL,
                        "segments_max is %u; it has to be at least segments_min (%u) and "
                        "segments_reserve + 2 (%u)",
                        options->segments_max, options->segments_min,
                        options->segments_reserve + 2);
    }
    return HRT_OK;
}

int hrt_log_lock(int directory, const char *path, int *lock_out)
{
    int lock = openat(directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        return hrt_fail(hrt_status_of(errno), "cannot open the log's lock: %s", strerror(errno));
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        int status = errno == EWOULDBLOCK ? HRT_EBUSY : hrt_status_of(errno);
        (void)close(lock);
        return hrt_fail(status,
                        "another process holds the log in %s; stop it or choose another directory",
                        path);
    }
    *lock_out = lock;
    return HRT_OK;
}

static int open_directory(hrt_log *log)
{
    const char *path = log->options.directory;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return hrt_fail(hrt_status_of(errno), "cannot make the log directory %s: %s", path,
                        strerror(errno));
    }
    log->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->directory < 0) {
        return hrt_fail(hrt_status_of(errno), "cannot open the log directory %s: %s", path,
                        strerror(errno));
    }
    int status = hrt_log_lock(log->directory, path, &log->lock);
    log->orphans = status == HRT_OK && hrt_orphans_live(log->directory, NULL, 0);
    return status;
}

/* ---- tables ---- */

static int make_tables(hrt_log *log, const hrt_catalog *catalog)
{
    uint32_t files = log->options.segments_max + catalog->count;
    uint32_t slots = files + catalog->slots + 1;
    uint32_t places = 1;
    while (places < files + 1) {
        places *= 2;
    }
    log->segments_max = log->options.segments_max;
    log->mask = places - 1;
    log->segment_shift = (uint32_t)__builtin_ctz(log->segment_size);
    log->group_max = hrt_group_limit(log->segment_size);
    log->slots = calloc(slots, sizeof(*log->slots));
    log->spares = calloc(slots, sizeof(*log->spares));
    log->order = calloc(places, sizeof(*log->order));
    log->retire_at = calloc(places, sizeof(*log->retire_at));
    log->aside_at = calloc(places, sizeof(*log->aside_at));
    log->asides = calloc(slots, sizeof(*log->asides));
    log->relics = calloc(slots, sizeof(*log->relics));
    log->kept[HRT_LOG_NEW_WORK] = log->options.segments_reserve;
    log->staging = aligned_alloc(4096, hrt_align_up(log->group_max, 4096));
    bool made = log->slots != NULL && log->spares != NULL && log->order != NULL &&
                log->retire_at != NULL && log->aside_at != NULL && log->asides != NULL &&
                log->relics != NULL && log->staging != NULL;
    if (!made) {
        return hrt_fail(HRT_ENOMEM, "out of memory for the log's tables");
    }
    for (uint32_t i = 0; i < slots; i++) {
        log->slots[i] = (hrt_log_slot){.fd = -1};
    }
    return HRT_OK;
}

/* A file whose making was cut short holds nothing. It is made anew when it is needed. */
static void remove_blank(const hrt_log *log, uint32_t slot)
{
    char name[HRT_SEGMENT_NAME_SIZE];
    hrt_segment_name(slot, name);
    (void)unlinkat(log->directory, name, 0);
}

/*
 * Whoever begins an epoch declares everything once more, before it can give up a segment; and
 * segments that were given up come back, for what a header says of the head is as old as its
 * number. So a log that was left with no file to spare may have one more than its limit says.
 */
static void leave_room_to_begin(hrt_log *log)
{
    uint64_t used = log->current - log->head + 1;
    if (log->files < used + TO_BEGIN && log->segments_max < log->files + 1) {
        log->segments_max = log->files + 1;
    }
}

/* Sorts the files into the run of numbers around the tail, and the spares. */
static void adopt_files(hrt_log *log, const hrt_catalog *catalog, uint64_t tail_number)
{
    log->ready = tail_number;
    for (uint32_t i = 0; i < catalog->count; i++) {
        const hrt_catalog_entry *entry = &catalog->entries[i];
        if (entry->blank) {
            remove_blank(log, entry->slot);
            continue;
        }
        log->files++;
        log->slots[entry->slot].relic = entry->number <= tail_number || entry->aside;
        if (entry->number < tail_number || entry->number == log->ready) {
            log->order[entry->number & log->mask] = entry->slot;
            log->ready += entry->number == log->ready;
        } else if (entry->aside && log->inherited) {
            log->asides[log->aside_count++] =
                (hrt_log_aside){.number = HRT_LOG_STRAYS + entry->slot, .slot = entry->slot};
        } else {
            hrt_log_put_by(log, entry->slot);
        }
    }
    log->slots_used = catalog->slots;
    log->worn = catalog->head;
    log->head = catalog->head;
    log->current = tail_number;
    log->sure = log->ready > tail_number ? tail_number + 1 : log->ready;
    leave_room_to_begin(log);
}

/* The first file of a log is made here and now; its header makes the directory a log. */
static int make_first(hrt_log *log)
{
    hrt_segment_making making;
    hrt_segment head = hrt_log_head_for(log, 1, 1);
    int status = hrt_segment_begin(log->directory, 0, log->segment_size, &making);
    if (status != HRT_OK) {
        return hrt_fail(status, "cannot make the first segment in %s: %s", log->options.directory,
                        hrt_strerror(status));
    }
    do {
        status = hrt_segment_step(log->directory, &making, &head);
    } while (status == HRT_EAGAIN);
    if (status != HRT_OK) {
        hrt_segment_abandon(log->directory, &making);
        return hrt_fail(status, "cannot write the first segment in %s: %s", log->options.directory,
                        hrt_strerror(status));
    }
    log->slots[0] = (hrt_log_slot){.fd = making.fd};
    log->files = 1;
    log->slots_used = 1;
    log->worn = 1;
    log->head = 1;
    log->current = 1;
    log->ready = 2;
    log->sure = 2;
    return HRT_OK;
}

/* A tail in a segment that has no file yet: it was lost with the power and is readied again. */
static int ready_current(hrt_log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
    log->current = log->ready - 1;
    bool going = true;
    uint64_t wanted = log->ready;
    while (going && log->failed == 0 && log->ready == wanted) {
        going = hrt_flusher_ready_step(log);
    }
    bool made = log->ready > wanted;
    log->current = wanted;
    (void)pthread_mutex_unlock(&log->mutex);
    int status = hrt_log_failed(log);
    status = status == HRT_OK && !made ? HRT_ENOSPC : status;
    return status == HRT_OK ? status
                            : hrt_fail(status, "cannot make the segment that the log goes on in");
}

static int open_current(hrt_log *log)
{
    uint32_t index = hrt_log_slot_of(log, log->current);
    hrt_log_slot *slot = &log->slots[index];
    if (slot->fd < 0) {
        slot->fd = hrt_segment_open(log->directory, index, O_RDWR);
    }
    if (slot->fd < 0) {
        return hrt_fail(hrt_status_of(errno), "cannot open segment %08x.seg for writing: %s", index,
                        strerror(errno));
    }
    log->fd = slot->fd;
    /* What waits needs open files too: the writer takes them over as they are. */
    for (uint64_t number = log->current + 1; number < log->ready; number++) {
        uint32_t waiting = hrt_log_slot_of(log, number);
        log->slots[waiting].fd = hrt_segment_open(log->directory, waiting, O_RDWR);
        if (log->slots[waiting].fd < 0) {
            return hrt_fail(hrt_status_of(errno), "cannot open segment %08x.seg for writing: %s",
                            waiting, strerror(errno));
        }
    }
    return HRT_OK;
}

static int write_head_of(const hrt_log *log, uint32_t slot, const hrt_segment *head)
{
    int fd = hrt_segment_open(log->directory, slot, O_RDWR);
    if (fd < 0) {
        return hrt_status_of(errno);
    }
    int status = hrt_segment_write_head(fd, head);
    (void)close(fd);
    return status;
}

/* A number that the run does not reach, since the disk has forgotten one before it, is taken off:
 * the run will come to it with another file. */
static int unnumber_strays(const hrt_log *log, const hrt_catalog *catalog)
{
    hrt_segment head = hrt_log_head_for(log, HRT_SEGMENT_SPARE, log->head);
    int status = HRT_OK;
    for (uint32_t i = 0; i < catalog->count && status == HRT_OK; i++) {
        const hrt_catalog_entry *entry = &catalog->entries[i];
        if (!entry->blank && entry->number != HRT_SEGMENT_SPARE && entry->number >= log->ready) {
            status = write_head_of(log, entry->slot, &head);
        }
    }
    return status == HRT_OK ? status : hrt_fail(status, "cannot renumber a segment file");
}

/* Bytes from `position` on are written over themselves; *position moves behind them. */
static int write_piece_again(hrt_log *log, uint64_t *position)
{
    uint32_t index = hrt_log_slot_of(log, *position >> log->segment_shift);
    hrt_log_slot *slot = &log->slots[index];
    uint64_t offset = *position & (log->segment_size - 1);
    uint64_t rest = log->segment_size - offset;
    rest = rest < log->tail - *position ? rest : log->tail - *position;
    size_t length = rest < log->group_max ? (size_t)rest : log->group_max;
    size_t got = 0;
    if (slot->fd < 0) {
        slot->fd = hrt_segment_open(log->directory, index, O_RDWR);
    }
    if (slot->fd < 0) {
        return hrt_status_of(errno);
    }
    int status = hrt_read_at(slot->fd, log->staging, length, offset, &got);
    if (status == HRT_OK) {
        status = hrt_write_at(slot->fd, log->staging, got, offset);
    }
    *position += length;
    return status;
}

/* The header as it reads now. */
static int write_head_again(const hrt_log *log, uint32_t slot)
{
    hrt_segment head;
    size_t got = 0;
    int fd = hrt_segment_open(log->directory, slot, O_RDWR);
    int status = fd < 0 ? hrt_status_of(errno) : hrt_read_at(fd, &head, sizeof(head), 0, &got);
    if (status == HRT_OK && got == sizeof(head)) {
        status = hrt_segment_write_head(fd, &head);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

static int write_heads_again(const hrt_log *log, const hrt_catalog *catalog)
{
    int status = HRT_OK;
    for (uint32_t i = 0; i < catalog->count && status == HRT_OK; i++) {
        if (!catalog->entries[i].blank) {
            status = write_head_again(log, catalog->entries[i].slot);
        }
    }
    return status;
}

/*
 * After a failed sync the page cache may hold records that are not on the disk and that no later
 * sync would write: they are there for us, but the next power cut would tear a hole into the log.
 * A short rest is written again in any case: who met the failure may have died before he said so.
 */
static int write_again(hrt_log *log, const hrt_catalog *catalog)
{
    uint64_t head = log->head << log->segment_shift;
    uint64_t position = log->durable > head ? log->durable : head;
    bool failed = faccessat(log->directory, HRT_LOG_UNSYNCED, F_OK, 0) == 0;
    bool records = failed || position + REST_MAX >= log->tail;
    int status = failed ? write_heads_again(log, catalog) : HRT_OK;
    while (status == HRT_OK && records && position < log->tail) {
        status = write_piece_again(log, &position);
    }
    if (status != HRT_OK) {
        return hrt_fail(status, "cannot write again what a failed sync has left");
    }
    if (failed) {
        (void)unlinkat(log->directory, HRT_LOG_UNSYNCED, 0);
    }
    return HRT_OK;
}

static int take_over(hrt_log *log, const hrt_scan *scan)
{
    const hrt_catalog *catalog = hrt_scan_catalog(scan);
    hrt_scan_end end = hrt_scan_ending(scan);
    memcpy(log->uuid, catalog->uuid, sizeof(log->uuid));
    log->segment_size = catalog->segment_size;
    int status = make_tables(log, catalog);
    if (status != HRT_OK) {
        return status;
    }
    adopt_files(log, catalog, end.number);
    if (log->ready == log->current) {
        status = ready_current(log);
    }
    log->sequence = end.sequence + 1;
    log->epoch = end.epoch_max;
    log->tail = end.position;
    log->durable = end.durable;
    status = status == HRT_OK ? open_current(log) : status;
    status = status == HRT_OK ? write_again(log, catalog) : status;
    return status == HRT_OK ? unnumber_strays(log, catalog) : status;
}

static int create(hrt_log *log, const hrt_catalog *catalog)
{
    log->segment_size = log->options.segment_size;
    if (getrandom(log->uuid, sizeof(log->uuid), 0) != sizeof(log->uuid)) {
        return hrt_fail(HRT_ESYSTEM, "cannot get random bytes for the log's uuid");
    }
    for (uint32_t i = 0; i < catalog->count; i++) {
        remove_blank(log, catalog->entries[i].slot);
    }
    hrt_catalog nothing = {0};
    int status = make_tables(log, &nothing);
    status = status == HRT_OK ? make_first(log) : status;
    log->sequence = 1;
    log->tail = (1ull << log->segment_shift) + HRT_SEGMENT_HEADER;
    log->fd = log->slots == NULL ? -1 : log->slots[0].fd;
    return status;
}

/* ---- opening ---- */

static int visit_all(hrt_scan *scan, hrt_log_visit visit, void *context)
{
    const hrt_record *record = NULL;
    int status = hrt_scan_next(scan, &record);
    while (status == HRT_OK) {
        status = visit == NULL ? HRT_OK : visit(context, record);
        status = status == HRT_OK ? hrt_scan_next(scan, &record) : status;
    }
    return status == HRT_EEND ? HRT_OK : status;
}

static int status_of_damage(const hrt_damage_report *report)
{
    switch (report->damage) {
    case HRT_DAMAGE_NONE:
    case HRT_DAMAGE_TORN:
        return HRT_OK;
    case HRT_DAMAGE_VERSION:
        return hrt_fail(HRT_EVERSION, "%s", report->text);
    default:
        return hrt_fail(HRT_ECORRUPT, "%s", report->text);
    }
}

static void tell(hrt_recovery *recovery, const hrt_scan *scan, const hrt_damage_report *report)
{
    hrt_scan_end end = hrt_scan_ending(scan);
    recovery->segments = hrt_scan_catalog(scan)->numbered;
    recovery->bytes = end.bytes;
    recovery->records = end.records;
    if (report->damage == HRT_DAMAGE_TORN) {
        recovery->tail_position = report->position;
        recovery->tail_bytes = report->bytes;
    }
}

/* Reads to the end, judges it, and gets the log ready to go on there. */
static int conclude(hrt_log *log, hrt_scan *scan, hrt_log_visit visit, void *context,
                    hrt_recovery *recovery, hrt_damage_report *report)
{
    const hrt_catalog *catalog = hrt_scan_catalog(scan);
    int status = visit_all(scan, visit, context);
    hrt_scan_report(scan, report);
    status = status == HRT_OK ? status_of_damage(report) : status;
    if (status == HRT_OK) {
        recovery->created = catalog->segment_size == 0;
        tell(recovery, scan, report);
        status = recovery->created ? create(log, catalog) : take_over(log, scan);
    }
    return status;
}

static int recover(hrt_log *log, hrt_log_visit visit, void *context, hrt_recovery *recovery,
                   hrt_damage_report *report)
{
    hrt_scan *scan = NULL;
    int status = hrt_scan_begin(log->directory, false, &scan);
    if (status == HRT_OK) {
        status = log->options.on_scan == NULL ? HRT_OK
                                              : log->options.on_scan(log->options.context, scan);
        status = status == HRT_OK ? conclude(log, scan, visit, context, recovery, report) : status;
        hrt_scan_close(scan);
    }
    return status;
}

static hrt_log *new_log(const hrt_log_options *options)
{
    hrt_log *log = calloc(1, sizeof(*log));
    if (log == NULL) {
        return NULL;
    }
    log->options = *options;
    log->directory = -1;
    log->hold = UINT64_MAX;
    log->lock = -1;
    log->fd = -1;
    (void)pthread_mutex_init(&log->mutex, NULL);
    (void)pthread_cond_init(&log->changed, NULL);
    hrt_flusher_init(log);
    return log;
}

static void close_slots(hrt_log *log)
{
    for (uint32_t i = 0; log->slots != NULL && i < log->slots_used; i++) {
        if (log->slots[i].fd >= 0) {
            (void)close(log->slots[i].fd);
        }
        if (log->slots[i].map != NULL) {
            (void)munmap((void *)(uintptr_t)log->slots[i].map, log->segment_size);
        }
    }
}

static void free_log(hrt_log *log)
{
    if (log->flusher.making.fd >= 0) {
        hrt_segment_abandon(log->directory, &log->flusher.making);
    }
    close_slots(log);
    if (log->directory >= 0) {
        (void)close(log->directory);
    }
    if (log->lock >= 0) {
        (void)close(log->lock);
    }
    (void)pthread_cond_destroy(&log->flusher.wanted);
    (void)pthread_cond_destroy(&log->changed);
    (void)pthread_mutex_destroy(&log->mutex);
    free(log->staging);
    free(log->retire_at);
    free(log->aside_at);
    free(log->asides);
    free(log->relics);
    free(log->adopted);
    free(log->order);
    free(log->spares);
    free(log->slots);
    free(log);
}

int hrt_log_open(const hrt_log_options *options, hrt_log_visit visit, void *visit_context,
                 hrt_log **log_out, hrt_recovery *recovery_out, hrt_damage_report *report_out)
{
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    hrt_recovery recovery = {0};
    hrt_damage_report report = {0};
    hrt_log *log = new_log(options);
    if (log == NULL) {
        return hrt_fail(HRT_ENOMEM, "out of memory for the log");
    }
    int status = check_options(&log->options);
    status = status == HRT_OK ? open_directory(log) : status;
    status = status == HRT_OK ? recover(log, visit, visit_context, &recovery, &report) : status;
    recovery.duration_ns = hrt_clock_ns(CLOCK_MONOTONIC) - began;
    if (report_out != NULL) {
        *report_out = report;
    }
    if (status != HRT_OK) {
        free_log(log);
        return status;
    }
    if (recovery_out != NULL) {
        *recovery_out = recovery;
    }
    log->time_ns = hrt_wall_ns();
    *log_out = log;
    return HRT_OK;
}

/* What a standby's log begins with: the lock, and a directory of its own. */
static int inherit(hrt_log *log, const hrt_log_heritage *from)
{
    log->lock = from->lock;
    log->inherited = true;
    int status = check_options(&log->options);
    if (status != HRT_OK) {
        return status;
    }
    log->directory = fcntl(from->directory, F_DUPFD_CLOEXEC, 3);
    if (log->directory < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot keep the directory: %m");
    }
    log->adopted = calloc(from->adopted_count + 1, sizeof(*log->adopted));
    if (log->adopted == NULL) {
        return hrt_fail(HRT_ENOMEM, "out of memory for the log's tables");
    }
    for (uint32_t i = 0; i < from->adopted_count; i++) {
        log->adopted[log->adopted_count++] = from->adopted[i];
    }
    log->orphans = hrt_orphans_live(log->directory, log->adopted, log->adopted_count);
    return HRT_OK;
}

int hrt_log_take_over(const hrt_log_options *options, const hrt_log_heritage *from,
                      hrt_log_visit visit, void *visit_context, hrt_log **log_out,
                      hrt_recovery *recovery_out, hrt_damage_report *report_out)
{
    uint64_t began = hrt_clock_ns(CLOCK_MONOTONIC);
    hrt_log *log = new_log(options);
    if (log == NULL) {
        (void)close(from->lock);
        return hrt_fail(HRT_ENOMEM, "out of memory for the log");
    }
    int status = inherit(log, from);
    status = status == HRT_OK ? hrt_scan_finish(from->scan) : status;
    status = status == HRT_OK
                 ? conclude(log, from->scan, visit, visit_context, recovery_out, report_out)
                 : status;
    recovery_out->duration_ns = hrt_clock_ns(CLOCK_MONOTONIC) - began;
    if (status != HRT_OK) {
        free_log(log);
        return status;
    }
    log->time_ns = hrt_wall_ns();
    *log_out = log;
    return HRT_OK;
}

int hrt_log_start(hrt_log *log)
{
    return hrt_flusher_start(log);
}

/* Best effort: without it the log is as good, but rot in its last group is taken for a torn tail.
 */
static void mark_closed(const hrt_log *log)
{
    hrt_durable_mark mark = {
        .position = hrt_log_tail(log), .sequence = log->sequence - 1, .epoch = log->epoch};
    memcpy(mark.uuid, log->uuid, sizeof(mark.uuid));
    if (hrt_log_failed(log) == HRT_OK && hrt_log_durable(log) == mark.position) {
        (void)hrt_segment_write_mark(log->fd, &mark, true);
    }
}

void hrt_log_close(hrt_log *log)
{
    if (log == NULL) {
        return;
    }
    bool synced = log->flusher.running;
    hrt_flusher_stop(log);
    if (!synced && hrt_log_failed(log) == HRT_OK) {
        (void)pthread_mutex_lock(&log->mutex);
        hrt_flusher_sync(log);
        (void)pthread_mutex_unlock(&log->mutex);
    }
    mark_closed(log);
    free_log(log);
}
