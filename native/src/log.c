/* Appending: groups are built in private memory and written with one pwrite. */
#include "log.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "failpoint.h"
#include "log_state.h"
#include "orphans.h"
#include "record.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t segment_end(const hrt_log *log)
{
    return (log->current + 1) << log->segment_shift;
}

static uint64_t offset_of(const hrt_log *log, uint64_t position)
{
    return position & (log->segment_size - 1);
}

int hrt_log_poison(hrt_log *log, int status)
{
    (void)pthread_mutex_lock(&log->mutex);
    if (log->failed == 0) {
        hrt_store_release_u32(&log->failed, (uint32_t)-status);
    }
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->mutex);
    return status;
}

hrt_segment hrt_log_head_for(const hrt_log *log, uint64_t number, uint64_t head)
{
    hrt_segment segment = {.magic = HRT_MAGIC_SEGMENT,
                           .format_version = HRT_FORMAT_VERSION,
                           .segment_size = log->segment_size,
                           .number = number,
                           .created_ns = hrt_wall_ns(),
                           .head = head};
    memcpy(segment.uuid, log->uuid, sizeof(segment.uuid));
    hrt_segment_seal(&segment);
    return segment;
}

/* ---- room ---- */

/* Whether `more` further segments leave free what has to be. Mutex held. */
static bool leaves_enough(const hrt_log *log, enum hrt_log_class class, uint64_t more)
{
    uint64_t taken = hrt_log_used(log) + hrt_log_asides(log) + more;
    return log->files >= taken + log->kept[class];
}

/* What is left of the current segment is for those only whose files are free. Mutex held. */
static enum hrt_log_class least_class(const hrt_log *log)
{
    enum hrt_log_class class = HRT_LOG_NEW_WORK;
    while (class < HRT_LOG_END && !leaves_enough(log, class, 0)) {
        class ++;
    }
    return class;
}

/* Whether waiting can bring what is missing. Mutex held. */
static bool can_come(const hrt_log *log, enum hrt_log_class class)
{
    bool coming = log->flusher.making.fd >= 0 || hrt_flusher_may_grow(log);
    if (!leaves_enough(log, class, 1)) {
        return coming;
    }
    return coming || log->sure < log->ready || log->flusher.numbering || log->spare_count > 0 ||
           log->worn < hrt_log_free_below(log);
}

static bool has_next(const hrt_log *log, enum hrt_log_class class)
{
    return log->sure > log->current + 1 && leaves_enough(log, class, 1);
}

/* Without a flusher, before hrt_log_start, its work is done here. */
static void wait_step(hrt_log *log)
{
    if (log->flusher.running) {
        (void)pthread_cond_signal(&log->flusher.wanted);
        (void)pthread_cond_wait(&log->changed, &log->mutex);
    } else if (!hrt_flusher_ready_step(log)) {
        hrt_flusher_sync(log);
    }
}

/* Mutex held. */
static int await_next(hrt_log *log, enum hrt_log_class class)
{
    int status = HRT_OK;
    log->flusher.demand = true;
    while (status == HRT_OK && !has_next(log, class)) {
        if (log->failed != 0) {
            status = hrt_log_failed(log);
        } else if (!can_come(log, class)) {
            status = HRT_ELOGFULL;
        } else {
            wait_step(log);
        }
    }
    log->flusher.demand = false;
    return status;
}

static int write_group(hrt_log *log, const void *bytes, size_t length)
{
    int status = hrt_log_failed(log); /* after a failure nothing more is written */
    if (status == HRT_OK) {
        status = HRT_FAILPOINT("log.append.before");
    }
    if (status == HRT_OK) {
        status = hrt_write_at(log->fd, bytes, length, offset_of(log, log->tail));
    }
    if (status == HRT_OK) {
        status = HRT_FAILPOINT("log.append.after");
    }
    return status == HRT_OK ? status : hrt_log_poison(log, status);
}

/* Every segment ends with a PAD, so a log that stops right after one has lost a file. */
static int write_pad(hrt_log *log)
{
    hrt_record pad = {.length = (uint32_t)(segment_end(log) - log->tail),
                      .sequence = log->sequence,
                      .position = log->tail,
                      .durable = hrt_log_durable(log),
                      .time_ns = log->time_ns,
                      .epoch = log->epoch,
                      .type = HRT_RECORD_PAD,
                      .flags = HRT_RECORD_LAST,
                      .count = 1};
    hrt_record_seal(&pad, log->uuid);
    int status = write_group(log, &pad, sizeof(pad));
    log->sequence += status == HRT_OK;
    return status;
}

/* Ends the current segment and goes on in the next. The group is empty. */
static int advance(hrt_log *log, enum hrt_log_class class)
{
    (void)pthread_mutex_lock(&log->mutex);
    int status = await_next(log, class);
    int fd = log->slots[hrt_log_slot_of(log, log->current + 1)].fd;
    (void)pthread_mutex_unlock(&log->mutex);
    if (status == HRT_OK) {
        status = write_pad(log);
    }
    if (status != HRT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&log->mutex);
    log->current++;
    log->fd = fd;
    log->least = least_class(log);
    hrt_store_release(&log->tail, (log->current << log->segment_shift) + HRT_SEGMENT_HEADER);
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_mutex_unlock(&log->mutex);
    return HRT_OK;
}

/* Others are in what this class leaves free: it waits while files are made, else the log is full.
 */
static int check_kept(hrt_log *log, enum hrt_log_class class)
{
    int status = HRT_OK;
    (void)pthread_mutex_lock(&log->mutex);
    log->flusher.demand = true;
    while (status == HRT_OK && !leaves_enough(log, class, 0)) {
        if (log->failed != 0) {
            status = hrt_log_failed(log);
        } else if (log->flusher.making.fd < 0 && !hrt_flusher_may_grow(log)) {
            status = HRT_ELOGFULL;
        } else {
            wait_step(log);
        }
    }
    log->flusher.demand = false;
    log->least = least_class(log);
    (void)pthread_mutex_unlock(&log->mutex);
    return status;
}

bool hrt_log_fits(const hrt_log *log, size_t bytes, enum hrt_log_class class)
{
    size_t needed = log->pending + bytes;
    /* Below the end, not up to it: a PAD has to fit behind. */
    return class >= log->least && needed <= log->group_max && log->tail + needed < segment_end(log);
}

int hrt_log_reserve(hrt_log *log, size_t bytes, enum hrt_log_class class)
{
    if (HRT_UNLIKELY(bytes > log->group_max)) {
        return HRT_ETOOLARGE;
    }
    if (HRT_UNLIKELY(class < log->least)) {
        int status = log->pending > 0 ? HRT_EAGAIN : check_kept(log, class);
        if (status != HRT_OK) {
            return status;
        }
    }
    if (hrt_log_fits(log, bytes, class)) {
        return HRT_OK;
    }
    return log->pending > 0 ? HRT_EAGAIN : advance(log, class);
}

/* ---- the open group ---- */

hrt_record *hrt_log_add(hrt_log *log, uint8_t type, size_t body_length)
{
    size_t length = sizeof(hrt_record) + body_length;
    size_t span = hrt_record_span((uint32_t)length);
    HRT_ASSERT(log->pending + span <= log->group_max);
    if (log->pending == 0) {
        log->group_durable = hrt_log_durable(log);
    }
    hrt_record *record = (hrt_record *)(void *)(log->staging + log->pending);
    memset(record, 0, span);
    record->length = (uint32_t)length;
    record->sequence = log->sequence++;
    record->position = log->tail + log->pending;
    record->durable = log->group_durable;
    record->time_ns = log->time_ns;
    record->epoch = log->epoch;
    record->type = type;
    log->last = record;
    log->pending += span;
    return record;
}

void *hrt_log_grow(hrt_log *log, hrt_record *record, size_t more)
{
    HRT_ASSERT(record == log->last);
    uint32_t length = record->length;
    size_t before = hrt_record_span(length);
    size_t after = hrt_record_span(length + (uint32_t)more);
    HRT_ASSERT(log->pending + (after - before) <= log->group_max);
    memset((uint8_t *)record + before, 0, after - before);
    record->length = length + (uint32_t)more;
    log->pending += after - before;
    return (uint8_t *)record + length;
}

void hrt_log_time(hrt_log *log, uint64_t wall_ns)
{
    log->time_ns = wall_ns;
}

size_t hrt_log_pending(const hrt_log *log)
{
    return log->pending;
}

int hrt_log_seal(hrt_log *log)
{
    int status = hrt_log_failed(log);
    if (status != HRT_OK || log->pending == 0) {
        return status;
    }
    HRT_ASSERT(log->tail + log->pending < segment_end(log));
    log->last->flags |= HRT_RECORD_LAST;
    for (size_t offset = 0; offset < log->pending;) {
        hrt_record *record = (hrt_record *)(void *)(log->staging + offset);
        hrt_record_seal(record, log->uuid);
        offset += hrt_record_span(record->length);
    }
    status = write_group(log, log->staging, log->pending);
    if (status == HRT_OK) {
        hrt_store_release(&log->tail, log->tail + log->pending);
        log->pending = 0;
    }
    return status;
}

/* ---- what there is ---- */

uint64_t hrt_log_next_sequence(const hrt_log *log)
{
    return log->sequence;
}

uint64_t hrt_log_tail(const hrt_log *log)
{
    return hrt_load_acquire(&log->tail);
}

uint64_t hrt_log_head(const hrt_log *log)
{
    return (log->head << log->segment_shift) + HRT_SEGMENT_HEADER;
}

uint32_t hrt_log_epoch(const hrt_log *log)
{
    return log->epoch;
}

void hrt_log_set_epoch(hrt_log *log, uint32_t epoch)
{
    HRT_ASSERT(log->pending == 0);
    log->epoch = epoch;
}

int hrt_log_mark(const hrt_log *log)
{
    return hrt_orphans_mark(log->directory, log->epoch);
}

size_t hrt_log_group_max(const hrt_log *log)
{
    return log->group_max;
}

uint32_t hrt_log_segment_size(const hrt_log *log)
{
    return log->segment_size;
}

const uint8_t *hrt_log_uuid(const hrt_log *log)
{
    return log->uuid;
}

int hrt_log_directory(const hrt_log *log)
{
    return log->directory;
}

uint32_t hrt_log_segments(const hrt_log *log)
{
    hrt_log *shared = (hrt_log *)(uintptr_t)log; /* only its mutex changes */
    (void)pthread_mutex_lock(&shared->mutex);
    uint32_t files = log->files;
    (void)pthread_mutex_unlock(&shared->mutex);
    return files;
}

/* ---- durability ---- */

uint64_t hrt_log_durable(const hrt_log *log)
{
    return hrt_load_acquire(&log->durable);
}

void hrt_log_want_sync(hrt_log *log, uint64_t position)
{
    if (hrt_log_durable(log) >= position) {
        return;
    }
    (void)pthread_mutex_lock(&log->mutex);
    if (position > log->flusher.sync_to) {
        log->flusher.sync_to = position;
        (void)pthread_cond_signal(&log->flusher.wanted);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

void hrt_log_want_async(hrt_log *log, uint64_t position)
{
    if (hrt_log_durable(log) >= position) {
        return;
    }
    (void)pthread_mutex_lock(&log->mutex);
    hrt_flusher *flusher = &log->flusher;
    flusher->async_to = position > flusher->async_to ? position : flusher->async_to;
    if (flusher->async_at == 0) {
        flusher->async_at = hrt_clock_ns(CLOCK_MONOTONIC) + log->options.async_ns;
        (void)pthread_cond_signal(&flusher->wanted);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

int hrt_log_failed(const hrt_log *log)
{
    return -(int)hrt_load_acquire_u32(&log->failed);
}

void hrt_log_counters(hrt_log *log, hrt_runtime_counters *counters)
{
    (void)pthread_mutex_lock(&log->mutex);
    log->flusher.counters = counters;
    (void)pthread_mutex_unlock(&log->mutex);
}

/* ---- reading ---- */

static const uint8_t *map_slot(const hrt_log *log, uint32_t index)
{
    int fd = hrt_segment_open(log->directory, index, O_RDONLY);
    if (fd < 0) {
        return NULL;
    }
    void *map = mmap(NULL, log->segment_size, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    log->slots[index].map = map == MAP_FAILED ? NULL : map;
    return log->slots[index].map;
}

const void *hrt_log_at(const hrt_log *log, uint64_t position)
{
    if (position >= log->tail) {
        HRT_ASSERT(position - log->tail < log->pending);
        return log->staging + (position - log->tail);
    }
    HRT_ASSERT(position >> log->segment_shift >= log->head);
    uint32_t index = hrt_log_slot_of(log, position >> log->segment_shift);
    const uint8_t *map = log->slots[index].map;
    if (HRT_UNLIKELY(map == NULL)) {
        map = map_slot(log, index);
    }
    return map == NULL ? NULL : map + offset_of(log, position);
}

/* A file that was put aside is found by its old number. */
HRT_RARE static uint32_t slot_behind(const hrt_log *log, uint64_t number)
{
    hrt_log *shared = (hrt_log *)(uintptr_t)log; /* only its mutex changes */
    (void)pthread_mutex_lock(&shared->mutex);
    uint32_t slot = hrt_log_slot_of(log, number);
    for (uint32_t i = 0; i < log->aside_count; i++) {
        slot = log->asides[i].number == number ? log->asides[i].slot : slot;
    }
    (void)pthread_mutex_unlock(&shared->mutex);
    return slot;
}

void hrt_log_place(const hrt_log *log, uint64_t position, uint32_t *slot_out, uint32_t *offset_out)
{
    uint64_t number = position >> log->segment_shift;
    bool inside = HRT_LIKELY(number >= log->head);
    *slot_out = inside ? hrt_log_slot_of(log, number) : slot_behind(log, number);
    *offset_out = (uint32_t)offset_of(log, position);
}

/* ---- retirement ---- */

uint64_t hrt_log_oldest(const hrt_log *log)
{
    return log->head;
}

uint64_t hrt_log_current(const hrt_log *log)
{
    return log->current;
}

/* Files that may be neither used nor recycled, and that no new one can take the place of. */
static uint64_t lasting_asides(const hrt_log *log)
{
    bool replaced = log->flusher.no_space_until == 0;
    return hrt_log_asides(log) - (replaced ? hrt_log_relics(log) : 0);
}

/*
 * What is retired and held comes back once its holder is done: to copy more jobs meanwhile would
 * only fill the log faster than a holder that is behind can read it. Mutex held.
 */
static bool is_tight(const hrt_log *log)
{
    /* Files that are still to be made leave time to those who read the old ones. While some are
     * held, retiring more gives nothing back: the log grows as far as it may. */
    bool wanted = log->files < log->options.segments_min || log->hold < log->head;
    bool growing = wanted && hrt_flusher_may_grow(log);
    uint64_t taken = log->current - log->head + 1 + lasting_asides(log);
    return !growing && taken + 2 + log->kept[HRT_LOG_NEW_WORK] > log->files;
}

hrt_log_room hrt_log_room_now(const hrt_log *log)
{
    hrt_log *shared = (hrt_log *)(uintptr_t)log; /* only its mutex changes */
    (void)pthread_mutex_lock(&shared->mutex);
    bool below = log->files < log->segments_max;
    bool disk_full = (below || log->relic_count > 0) && log->flusher.no_space_until != 0;
    hrt_log_room room = {.most = below && !disk_full ? log->segments_max : log->files,
                         .used = hrt_log_used(log),
                         .asides = lasting_asides(log),
                         .tight = is_tight(log),
                         .disk_full = disk_full};
    (void)pthread_mutex_unlock(&shared->mutex);
    return room;
}

void hrt_log_keep_free(hrt_log *log, const uint32_t kept[HRT_LOG_CLASSES])
{
    if (memcmp(log->kept, kept, sizeof(log->kept)) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&log->mutex);
    memcpy(log->kept, kept, sizeof(log->kept));
    log->least = least_class(log);
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_mutex_unlock(&log->mutex);
}

static int retire(hrt_log *log, uint64_t position, bool must_sync, bool aside)
{
    HRT_ASSERT(position <= log->tail + log->pending);
    if (log->head == log->current) {
        return HRT_ESTATE;
    }
    (void)pthread_mutex_lock(&log->mutex);
    log->retire_at[log->head & log->mask] = must_sync ? position : 0;
    log->aside_at[log->head & log->mask] = aside;
    log->head++;
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_mutex_unlock(&log->mutex);
    return HRT_OK;
}

int hrt_log_retire(hrt_log *log, uint64_t position, bool must_sync)
{
    return retire(log, position, must_sync, false);
}

int hrt_log_retire_aside(hrt_log *log, uint64_t position, bool must_sync)
{
    return retire(log, position, must_sync, true);
}

/* The flusher may be at work on the file just now: it looks at the flag when it has done. */
void hrt_log_let_go(hrt_log *log, uint64_t number)
{
    (void)pthread_mutex_lock(&log->mutex);
    if (number < log->head && number + log->mask >= log->head) {
        log->aside_at[number & log->mask] = false;
    }
    for (uint32_t i = log->aside_count; i-- > 0;) {
        if (log->asides[i].number == number) {
            hrt_log_put_by(log, log->asides[i].slot);
            log->asides[i] = log->asides[--log->aside_count];
        }
    }
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->mutex);
}

bool hrt_log_bound(const hrt_log *log, uint64_t number)
{
    hrt_log *shared = (hrt_log *)(uintptr_t)log; /* only its mutex changes */
    (void)pthread_mutex_lock(&shared->mutex);
    bool bound = log->orphans && log->flusher.no_space_until != 0 &&
                 log->slots[hrt_log_slot_of(log, number)].relic;
    (void)pthread_mutex_unlock(&shared->mutex);
    return bound;
}

uint32_t hrt_log_strays(hrt_log *log, uint64_t *numbers_out, uint32_t max)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&log->mutex);
    for (uint32_t i = 0; i < log->aside_count && count < max; i++) {
        if (log->asides[i].number >= HRT_LOG_STRAYS) {
            numbers_out[count++] = log->asides[i].number;
        }
    }
    (void)pthread_mutex_unlock(&log->mutex);
    return count;
}

void hrt_log_hold(hrt_log *log, uint64_t segment)
{
    (void)pthread_mutex_lock(&log->mutex);
    log->hold = segment;
    (void)pthread_cond_signal(&log->flusher.wanted);
    (void)pthread_cond_broadcast(&log->changed);
    (void)pthread_mutex_unlock(&log->mutex);
}

bool hrt_log_held(const hrt_log *log, uint64_t segment)
{
    hrt_log *shared = (hrt_log *)(uintptr_t)log; /* only its mutex changes */
    (void)pthread_mutex_lock(&shared->mutex);
    bool held = log->hold <= segment;
    (void)pthread_mutex_unlock(&shared->mutex);
    return held;
}
