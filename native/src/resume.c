/*
 * Beginning from a snapshot. It is a convenience and never believed: where it does not fit the log
 * in every way that can be told, it is refused by name, and an older one, or the whole log, is
 * read. What it leaves out is checked as far as anything living lies there.
 */
#include "dispatch.h"

#include "clock.h"
#include "dump.h"
#include "error.h"
#include "record.h"
#include "segment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE_MAX_BITS = 40, PIECE_SIZE = 4 << 20 };

/* ---- refusing ---- */

static void refuse(hrt_search *search, const char *name, const char *why)
{
    if (search->refusal_count < HRT_SNAPSHOT_NAMES_MAX) {
        hrt_refusal *refusal = &search->refusals[search->refusal_count++];
        (void)snprintf(refusal->name, sizeof(refusal->name), "%s", name);
        (void)snprintf(refusal->why, sizeof(refusal->why), "%s", why);
    }
}

static bool is_refused(const hrt_search *search, const char *name)
{
    for (uint32_t i = 0; i < search->refusal_count; i++) {
        if (strcmp(search->refusals[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void hrt_snapshot_blame(hrt_search *search, const char *why)
{
    refuse(search, search->used, why);
    search->used[0] = '\0';
}

void hrt_snapshot_report(hrt_runtime *runtime, const hrt_search *search)
{
    for (uint32_t i = 0; i < search->refusal_count; i++) {
        const hrt_refusal *refusal = &search->refusals[i];
        hrt_event event = {.type = HRT_EVENT_SNAPSHOT, .time_ns = hrt_wall_ns()};
        (void)snprintf(event.text, sizeof(event.text), "%s: %s", refusal->name, refusal->why);
        hrt_snapshot_put_aside(hrt_log_directory(runtime->log), refusal->name);
        hrt_news_add(runtime->news, &event);
    }
}

/* ---- reading ---- */

/* NULL: it was read. */
static const char *read_file(int directory, const char *name, uint8_t **bytes_out, size_t *size_out)
{
    struct stat about;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const char *why = fd < 0 || fstat(fd, &about) != 0 ? "it cannot be opened" : NULL;
    uint64_t size = why == NULL ? (uint64_t)about.st_size : 0;
    if (why == NULL && size >> SIZE_MAX_BITS != 0) {
        why = "it is too large";
    }
    *bytes_out = why == NULL ? malloc(size + 1) : NULL;
    *size_out = 0;
    if (why == NULL && *bytes_out == NULL) {
        why = "there is no memory for it";
    } else if (why == NULL && hrt_read_at(fd, *bytes_out, size, 0, size_out) != HRT_OK) {
        why = "it cannot be read";
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return why;
}

/* Fills the state; after a refusal it may be half full. */
static const char *fill_state(hrt_state *state, const hrt_snapshot_head *head, const uint8_t *bytes,
                              size_t size)
{
    size_t around = sizeof(*head) + sizeof(hrt_snapshot_tail);
    int status = hrt_state_load(state, bytes + sizeof(*head), size - around);
    if (status != HRT_OK) {
        return status == HRT_ENOMEM ? "there is no memory for its state"
                                    : "its state makes no sense";
    }
    return hrt_state_hash(state) == head->state_hash ? NULL : "its state has another hash";
}

/* *filled_out: the state was touched. */
static const char *try_one(hrt_runtime *runtime, hrt_scan *scan, const char *name, bool *filled_out)
{
    hrt_snapshot_head head;
    uint8_t *bytes = NULL;
    size_t size = 0;
    const char *why = read_file(hrt_scan_directory(scan), name, &bytes, &size);
    why = why == NULL ? hrt_snapshot_judge(bytes, size, &head) : why;
    if (why == NULL && head.segment_size != runtime->options.segment_size) {
        why = "it is of a log with another segment_size";
    }
    if (why == NULL && !hrt_snapshot_is_named(name, head.start.sequence)) {
        why = "it is another one than its name says";
    }
    why = why == NULL ? hrt_scan_resume(scan, &head.start) : why;
    if (why == NULL) {
        *filled_out = true;
        runtime->search->position = head.start.position;
        why = fill_state(runtime->state, &head, bytes, size);
    }
    free(bytes);
    return why;
}

int hrt_snapshot_resume(void *context, hrt_scan *scan)
{
    hrt_runtime *runtime = context;
    hrt_search *search = runtime->search;
    hrt_snapshot_names names;
    hrt_snapshot_list(hrt_scan_directory(scan), &names);
    for (uint32_t i = 0; i < names.count; i++) {
        bool filled = false;
        if (is_refused(search, names.names[i])) {
            continue;
        }
        const char *why = try_one(runtime, scan, names.names[i], &filled);
        if (filled) {
            (void)snprintf(search->used, sizeof(search->used), "%s", names.names[i]);
            return why == NULL ? HRT_OK : hrt_fail(HRT_ECORRUPT, "%s", why);
        }
        refuse(search, names.names[i], why);
    }
    return HRT_OK;
}

/* ---- what came of it ---- */

int hrt_snapshot_check_hash(const hrt_runtime *runtime, const hrt_record *record)
{
    const hrt_checkpoint_body *checkpoint = hrt_record_body(record);
    bool fits =
        checkpoint->state_hash == 0 || checkpoint->state_hash == hrt_state_hash(runtime->state);
    return fits ? HRT_OK
                : hrt_fail(HRT_ECORRUPT, "the checkpoint at sequence %llu has another state",
                           (unsigned long long)record->sequence);
}

static bool lies_in_log(const hrt_runtime *runtime, uint64_t position, uint64_t length)
{
    uint64_t size = hrt_log_segment_size(runtime->log);
    uint64_t offset = position % size;
    return position >= hrt_log_head(runtime->log) && position < hrt_log_tail(runtime->log) &&
           offset >= HRT_SEGMENT_HEADER && length <= size - offset;
}

static bool record_fits(const hrt_runtime *runtime, const hrt_state_job *job)
{
    const hrt_record *record = hrt_log_at(runtime->log, job->position);
    return record != NULL && record->position == job->position &&
           hrt_record_span(record->length) == job->record_span &&
           (record->type == HRT_RECORD_KEEP || record->sequence == job->id);
}

/* Segments that something living lies in, before the place that the log was read from. */
typedef struct wanted {
    uint64_t first; /* number */
    uint64_t count;
    uint8_t *segments;
} wanted;

static bool want(const hrt_runtime *runtime, wanted *all, uint64_t position, uint64_t length)
{
    if (length == 0) {
        return true;
    }
    if (!lies_in_log(runtime, position, length)) {
        return false;
    }
    if (position < runtime->search->position) {
        all->segments[position / hrt_log_segment_size(runtime->log) - all->first] = 1;
    }
    return true;
}

static bool want_living(const hrt_runtime *runtime, wanted *all)
{
    for (uint32_t index = 0; index < hrt_state_capacity(runtime->state); index++) {
        const hrt_state_job *job = hrt_state_at(runtime->state, index);
        if (job->id != 0 && (!want(runtime, all, job->position, job->record_span) ||
                             !want(runtime, all, job->result_position, job->result_length) ||
                             !want(runtime, all, job->saved_position, job->saved_length))) {
            return false;
        }
    }
    return true;
}

/* Reads the records of a segment with their checksums, up to where the log was read from. */
static bool is_sound(const hrt_runtime *runtime, uint64_t number, uint8_t *piece)
{
    uint64_t size = hrt_log_segment_size(runtime->log);
    uint64_t begin = number * size;
    hrt_run run = {.position = begin + HRT_SEGMENT_HEADER};
    uint32_t slot;
    uint32_t offset;
    memcpy(run.uuid, hrt_log_uuid(runtime->log), sizeof(run.uuid));
    hrt_log_place(runtime->log, begin, &slot, &offset);
    int fd = hrt_segment_open(hrt_log_directory(runtime->log), slot, O_RDONLY);
    bool going = fd >= 0;
    while (going && run.position < runtime->search->position && run.end != HRT_RUN_PAD) {
        uint64_t before = run.position;
        uint64_t rest = size - (before - begin);
        size_t got = 0;
        going = hrt_read_at(fd, piece, rest < PIECE_SIZE ? rest : PIECE_SIZE, before - begin,
                            &got) == HRT_OK;
        hrt_run_check(&run, piece, got);
        going = going && run.position > before;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return going;
}

static int check_living(const hrt_runtime *runtime, wanted *all, uint8_t *piece)
{
    if (!want_living(runtime, all)) {
        return hrt_fail(HRT_ECORRUPT, "a living job has its bytes elsewhere");
    }
    for (uint64_t i = 0; i < all->count; i++) {
        if (all->segments[i] != 0 && !is_sound(runtime, all->first + i, piece)) {
            return hrt_fail(HRT_ECORRUPT, "segment number %llu, where a job lives, is damaged",
                            (unsigned long long)(all->first + i));
        }
    }
    for (uint32_t index = 0; index < hrt_state_capacity(runtime->state); index++) {
        const hrt_state_job *job = hrt_state_at(runtime->state, index);
        if (job->id != 0 && !record_fits(runtime, job)) {
            return hrt_fail(HRT_ECORRUPT, "job %llu has another record at its place",
                            (unsigned long long)job->id);
        }
    }
    return HRT_OK;
}

int hrt_snapshot_check_living(const hrt_runtime *runtime)
{
    uint64_t size = hrt_log_segment_size(runtime->log);
    wanted all = {.first = hrt_log_oldest(runtime->log)};
    all.count = hrt_log_tail(runtime->log) / size - all.first + 1;
    all.segments = calloc(all.count, 1);
    uint8_t *piece = aligned_alloc(4096, size < PIECE_SIZE ? size : PIECE_SIZE);
    int status =
        all.segments == NULL || piece == NULL ? HRT_ENOMEM : check_living(runtime, &all, piece);
    free(piece);
    free(all.segments);
    return status;
}

/* ---- at a clean close ---- */

/* The last record of the group that the checkpoint is in. */
static const hrt_record *find_last(const hrt_runtime *runtime, uint64_t position)
{
    const hrt_record *record = hrt_log_at(runtime->log, position);
    while (record != NULL && (record->flags & HRT_RECORD_LAST) == 0) {
        position += hrt_record_span(record->length);
        record = hrt_log_at(runtime->log, position);
    }
    return record;
}

int hrt_snapshot_close(hrt_runtime *runtime, uint64_t checkpoint)
{
    const hrt_record *mark = find_last(runtime, checkpoint);
    uint64_t tail = hrt_log_tail(runtime->log);
    if (mark == NULL || mark->position + hrt_record_span(mark->length) != tail) {
        return HRT_ESYSTEM;
    }
    hrt_snapshot_order order = {.directory = hrt_log_directory(runtime->log),
                                .segment_size = hrt_log_segment_size(runtime->log),
                                .start = {.mark = mark->position,
                                          .mark_crc = mark->crc,
                                          .epoch = mark->epoch,
                                          .position = tail,
                                          .sequence = mark->sequence,
                                          .durable = mark->durable},
                                .state = runtime->state};
    memcpy(order.start.uuid, hrt_log_uuid(runtime->log), sizeof(order.start.uuid));
    hrt_snapshot_doom(order.directory, &order.doomed);
    int status = hrt_boot_id(order.start.boot_id);
    return status == HRT_OK ? hrt_snapshot_write(&order) : status;
}
