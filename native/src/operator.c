/* What an operator asks of a runtime: names and queues, jobs to look at, to retry, to cancel, to
 * drop. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "error.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

/* ---- names and queues ---- */

static int check_name(const char *what, const char *name, size_t max)
{
    size_t length = strnlen(name, max + 1);
    if (length == 0 || length > max) {
        return hrt_fail(HRT_ENAME, "a %s name has 1 to %zu bytes; this one has %s", what, max,
                        length == 0 ? "none" : "more");
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return hrt_fail(HRT_ENAME, "byte %zu of a %s name is the control character 0x%02x", i,
                            what, (unsigned char)name[i]);
        }
    }
    return HRT_OK;
}

/* Clients look names up in the page; a change count lets them notice new ones cheaply. */
static void tell_of_names(hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase == HRT_LANE_LIVE) {
            hrt_add_relaxed(&seat->host.lane->names, 1);
        }
    }
}

int hrt_runtime_kind_locked(hrt_runtime *runtime, const char *name, uint16_t *kind_out)
{
    const hrt_page *page = runtime->page;
    for (uint32_t kind = 0; kind < page->kind_count; kind++) {
        if (strcmp(page->kinds[kind].text, name) == 0) {
            *kind_out = (uint16_t)kind;
            return HRT_OK;
        }
    }
    int status = check_name("kind", name, HRT_KIND_NAME_MAX);
    if (status != HRT_OK) {
        return status;
    }
    if (page->kind_count == HRT_KINDS_MAX) {
        return hrt_fail(HRT_ELIMIT, "a log holds at most %d kinds; \"%s\" is one more",
                        HRT_KINDS_MAX, name);
    }
    uint32_t kind = page->kind_count;
    /* There are few, and a worker cannot register without them. */
    status = hrt_group_control(runtime, HRT_CONTROL_KIND, kind, name, (uint32_t)strlen(name),
                               HRT_LOG_COPY);
    if (status == HRT_OK) {
        tell_of_names(runtime);
        *kind_out = (uint16_t)kind;
    }
    return status;
}

int hrt_runtime_kind(hrt_runtime *runtime, const char *name, uint16_t *kind_out)
{
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    int status = hrt_runtime_kind_locked(runtime, name, kind_out);
    if (status == HRT_OK) {
        status = hrt_dispatch_finish(runtime);
    }
    hrt_runtime_unlock(runtime);
    return status;
}

static int check_settings(const hrt_queue_settings *settings)
{
    int status = check_name("queue", settings->name, HRT_QUEUE_NAME_MAX);
    if (status != HRT_OK) {
        return status;
    }
    if (settings->weight < 1 || settings->weight > 1000) {
        return hrt_fail(HRT_EINVAL, "queue \"%s\": weight is %u, it has to be 1 to 1000",
                        settings->name, settings->weight);
    }
    if (settings->durability > HRT_DURABILITY_MEMORY || settings->order > HRT_ORDER_SKIP) {
        return hrt_fail(HRT_EINVAL, "queue \"%s\": no such durability or order", settings->name);
    }
    return HRT_OK;
}

/* Old segments that somebody holds make no room, nor does it help to copy all of the log twice. */
static int make_room(hrt_runtime *runtime, uint64_t last)
{
    uint64_t oldest = hrt_log_oldest(runtime->log);
    bool vain = oldest >= last || hrt_log_held(runtime->log, oldest);
    return vain ? hrt_room_refusal(runtime) : hrt_retire_one(runtime);
}

/*
 * On a full log it makes room: before the dispatch loop runs nobody else does. Where there is none,
 * a declaration goes on all the same: there are few, and an archive that is behind would keep a
 * supervisor from starting.
 */
static int order(hrt_runtime *runtime, uint32_t verb, uint32_t queue, const void *data,
                 uint32_t length)
{
    const uint64_t last = hrt_log_current(runtime->log);
    int status = HRT_ELOGFULL;
    int room = HRT_OK;
    while (status == HRT_ELOGFULL && room == HRT_OK) {
        status = hrt_group_control(runtime, verb, queue, data, length, HRT_LOG_OLD_WORK);
        room = status == HRT_ELOGFULL ? make_room(runtime, last) : HRT_OK;
    }
    if (room == HRT_ELOGFULL && verb == HRT_CONTROL_QUEUE) {
        return hrt_group_control(runtime, verb, queue, data, length, HRT_LOG_END);
    }
    return room == HRT_OK ? status : hrt_fail(room, "%s", hrt_strerror(room));
}

static int declare_queue(hrt_runtime *runtime, const hrt_queue_settings *wanted,
                         uint16_t *queue_out)
{
    const hrt_page *page = runtime->page;
    hrt_queue_settings settings = *wanted;
    size_t length = strlen(settings.name);
    memset(settings.name + length, 0, sizeof(settings.name) - length);
    memset(settings.reserved, 0, sizeof(settings.reserved));
    settings.max_attempts = settings.max_attempts != 0 ? settings.max_attempts : HRT_MAX_ATTEMPTS;
    settings.max_crashes = settings.max_crashes != 0 ? settings.max_crashes : HRT_MAX_CRASHES;
    uint32_t queue = 0;
    while (queue < page->queue_count && strcmp(page->queues[queue].name, settings.name) != 0) {
        queue++;
    }
    if (queue == HRT_QUEUES_MAX) {
        return hrt_fail(HRT_ELIMIT, "a log holds at most %d queues; \"%s\" is one more",
                        HRT_QUEUES_MAX, settings.name);
    }
    *queue_out = (uint16_t)queue;
    if (queue < page->queue_count &&
        memcmp(&page->queues[queue], &settings, sizeof(settings)) == 0) {
        return HRT_OK;
    }
    int status = order(runtime, HRT_CONTROL_QUEUE, queue, &settings, sizeof(settings));
    if (status == HRT_OK) {
        tell_of_names(runtime);
    }
    return status;
}

int hrt_runtime_queue(hrt_runtime *runtime, const hrt_queue_settings *settings, uint16_t *queue_out)
{
    int status = check_settings(settings);
    if (status != HRT_OK) {
        return status;
    }
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    status = declare_queue(runtime, settings, queue_out);
    if (status == HRT_OK) {
        status = hrt_dispatch_finish(runtime);
    }
    hrt_runtime_unlock(runtime);
    return status;
}

int hrt_runtime_pause(hrt_runtime *runtime, uint16_t queue, int paused)
{
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    int status = HRT_OK;
    if (queue >= runtime->page->queue_count) {
        status = hrt_fail(HRT_EQUEUE, "there is no queue number %u", queue);
    } else if (hrt_state_queue_at(runtime->state, queue)->paused != (paused != 0)) {
        uint32_t verb = paused ? HRT_CONTROL_PAUSE : HRT_CONTROL_RESUME;
        status = order(runtime, verb, queue, NULL, 0);
        if (status == HRT_OK) {
            status = hrt_dispatch_finish(runtime);
        }
    }
    hrt_runtime_unlock(runtime);
    return status;
}

/* ---- lanes ---- */

static void describe_lane(hrt_runtime *runtime, uint32_t lane, hrt_lane_info *info)
{
    const hrt_seat *seat = &runtime->seats[lane];
    *info = seat->info;
    info->outstanding = seat->held;
    info->heartbeat_ns = hrt_load_relaxed(&seat->host.lane->heartbeat_ns);
    if (seat->registered) {
        info->credit = hrt_scheduler_appetite(runtime->scheduler, lane)->credit;
    }
    for (uint32_t place = 0; seat->held > 0 && place < HRT_CREDIT_MAX; place++) {
        uint64_t job = seat->attempts[place].job;
        info->started += job != 0 && hrt_lane_started(&seat->host, place) == job;
    }
}

int hrt_runtime_lanes(hrt_runtime *runtime, hrt_lane_info *lanes_out, uint32_t max,
                      uint32_t *count_out)
{
    uint32_t count = 0;
    hrt_runtime_lock(runtime);
    for (uint32_t lane = 0; lane < runtime->seat_count && count < max; lane++) {
        if (runtime->seats[lane].phase == HRT_LANE_LIVE) {
            describe_lane(runtime, lane, &lanes_out[count++]);
        }
    }
    hrt_runtime_unlock(runtime);
    *count_out = count;
    return HRT_OK;
}

/* ---- looking at jobs ---- */

static void describe_job(hrt_runtime *runtime, const hrt_state_job *job, hrt_job_info *info)
{
    uint32_t lane = 0;
    hrt_state_describe(runtime->state, job, info);
    const hrt_attempt *attempt = hrt_attempt_of(runtime, job, &lane);
    if (attempt != NULL) {
        info->progress = attempt->permille;
        if (attempt->note != NULL) {
            memcpy(info->note, attempt->note, strlen(attempt->note) + 1);
        }
    }
}

static int no_such_job(uint64_t job)
{
    return hrt_fail(HRT_ENOTFOUND,
                    "there is no job %llu: it never was, or has ended and is no longer kept",
                    (unsigned long long)job);
}

int hrt_runtime_job(hrt_runtime *runtime, uint64_t job, hrt_job_info *info_out)
{
    hrt_runtime_lock(runtime);
    const hrt_state_job *known = hrt_state_find(runtime->state, job);
    if (known != NULL) {
        describe_job(runtime, known, info_out);
    }
    hrt_runtime_unlock(runtime);
    return known != NULL ? HRT_OK : no_such_job(job);
}

typedef struct hrt_span {
    const void *bytes;
    size_t length;
} hrt_span;

static hrt_span find_part(hrt_runtime *runtime, const hrt_state_job *job, uint32_t part)
{
    hrt_span none = {NULL, 0};
    if (part == HRT_PART_ERROR) {
        return (hrt_span){job->error, job->error_length};
    }
    if (part == HRT_PART_RESULT) {
        const void *at =
            job->result_length == 0 ? NULL : hrt_log_at(runtime->log, job->result_position);
        return at == NULL ? none : (hrt_span){at, job->result_length};
    }
    if (part == HRT_PART_SAVED) {
        const void *at =
            job->saved_length == 0 ? NULL : hrt_log_at(runtime->log, job->saved_position);
        return at == NULL ? none : (hrt_span){at, job->saved_length};
    }
    const hrt_record *record = hrt_log_at(runtime->log, job->position);
    if (record == NULL || (record->type != HRT_RECORD_ENQUEUE && record->type != HRT_RECORD_KEEP)) {
        return none;
    }
    hrt_parts parts = hrt_record_parts(record);
    const uint8_t *base = (const uint8_t *)record;
    switch (part) {
    case HRT_PART_PAYLOAD:
        return (hrt_span){base + parts.payload, parts.enqueue->payload_length};
    case HRT_PART_KEY:
        return (hrt_span){base + parts.key, parts.enqueue->key_length};
    case HRT_PART_META:
        return (hrt_span){base + parts.meta, parts.enqueue->meta_length};
    case HRT_PART_TRACE:
        return parts.trace == 0 ? none : (hrt_span){base + parts.trace, HRT_TRACE_SIZE};
    default:
        return none;
    }
}

int hrt_runtime_job_part(hrt_runtime *runtime, uint64_t job, uint32_t part, void *buffer,
                         size_t size, size_t *length_out)
{
    int status = HRT_OK;
    hrt_runtime_lock(runtime);
    const hrt_state_job *known = hrt_state_find(runtime->state, job);
    if (known == NULL) {
        status = no_such_job(job);
    } else {
        hrt_span span = find_part(runtime, known, part);
        if (span.length > 0 && size > 0) {
            memcpy(buffer, span.bytes, span.length < size ? span.length : size);
        }
        *length_out = span.length;
    }
    hrt_runtime_unlock(runtime);
    return status;
}

enum { JOBS_LOOKED_AT = 100000 };

static bool passes(const hrt_job_filter *filter, const hrt_state_job *job)
{
    return job->id != 0 && job->id > filter->after &&
           (filter->states == 0 || ((filter->states >> job->state) & 1)) &&
           (filter->queue < 0 || job->queue == filter->queue) &&
           (filter->kind < 0 || job->kind == filter->kind) &&
           (filter->key_hash == 0 || job->key_hash == filter->key_hash);
}

/* Keeps the `max` smallest ids seen so far in a max-heap: one walk over the table, in any order. */
static void sift_down(uint64_t *ids, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && ids[child + 1] > ids[child]) {
            child++;
        }
        if (ids[at] >= ids[child]) {
            return;
        }
        uint64_t swap = ids[at];
        ids[at] = ids[child];
        ids[child] = swap;
        at = child;
    }
}

static int by_id(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* The smallest ids that pass the filter. *more: there are others behind them. */
static uint32_t smallest_ids(hrt_runtime *runtime, const hrt_job_filter *filter, uint64_t *ids,
                             uint32_t max, bool *more)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < hrt_state_capacity(runtime->state); index++) {
        const hrt_state_job *job = hrt_state_at(runtime->state, index);
        if (!passes(filter, job)) {
            continue;
        }
        if (count < max) {
            ids[count++] = job->id;
            for (uint32_t at = count / 2; count == max && at-- > 0;) {
                sift_down(ids, count, at);
            }
        } else {
            *more = true;
            if (job->id < ids[0]) {
                ids[0] = job->id;
                sift_down(ids, count, 0);
            }
        }
    }
    qsort(ids, count, sizeof(*ids), by_id);
    return count;
}

int hrt_runtime_jobs(hrt_runtime *runtime, const hrt_job_filter *filter, hrt_job_info *infos_out,
                     uint32_t max, uint32_t *count_out, uint64_t *next_out)
{
    if (max == 0 || max > JOBS_LOOKED_AT) {
        return hrt_fail(HRT_EINVAL, "max is %u, it has to be 1 to %d", max, JOBS_LOOKED_AT);
    }
    uint64_t *ids = malloc(max * sizeof(*ids));
    if (ids == NULL) {
        return HRT_ENOMEM;
    }
    bool more = false;
    hrt_runtime_lock(runtime);
    uint32_t count = smallest_ids(runtime, filter, ids, max, &more);
    for (uint32_t i = 0; i < count; i++) {
        describe_job(runtime, hrt_state_find(runtime->state, ids[i]), &infos_out[i]);
    }
    hrt_runtime_unlock(runtime);
    *count_out = count;
    *next_out = more && count > 0 ? ids[count - 1] : 0;
    free(ids);
    return HRT_OK;
}

/* ---- acting on jobs ---- */

static int wrong_state(const hrt_state_job *job, const char *action)
{
    static const char *const names[] = {"",         "scheduled", "ready", "running",
                                        "retrying", "completed", "dead",  "cancelled",
                                        "expired",  "discarded"};
    return hrt_fail(HRT_ESTATE, "job %llu is %s and cannot be %s", (unsigned long long)job->id,
                    names[job->state], action);
}

int hrt_runtime_cancel_locked(hrt_runtime *runtime, uint64_t id)
{
    int status = hrt_group_close(runtime);
    if (status != HRT_OK) {
        return status;
    }
    const hrt_state_job *job = hrt_state_find(runtime->state, id);
    if (job == NULL) {
        return no_such_job(id);
    }
    if (job->state == HRT_JOB_CANCELLED) {
        return HRT_OK;
    }
    if (job->state >= HRT_JOB_COMPLETED) {
        return wrong_state(job, "cancelled");
    }
    uint32_t lane = 0;
    hrt_attempt *attempt = hrt_attempt_of(runtime, job, &lane);
    if (attempt != NULL) {
        bool known = attempt->stop == HRT_OUTCOME_CANCELLED;
        status = known ? HRT_OK : hrt_stops_write(runtime, attempt);
        hrt_attempt_stop(runtime, lane, attempt, HRT_OUTCOME_CANCELLED);
        return status;
    }
    hrt_settle_entry entry = {.job = id};
    hrt_scheduler_judge(runtime->scheduler, job, HRT_OUTCOME_CANCELLED, 0, runtime->wall_ns,
                        &entry);
    entry.token = 0;
    return hrt_dispatch_end_job(runtime, &entry, "cancelled before it ran");
}

typedef int (*job_action)(hrt_runtime *runtime, uint64_t job);

static int act(hrt_runtime *runtime, uint64_t job, job_action action)
{
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    int status = action(runtime, job);
    if (status == HRT_OK) {
        runtime->group_sync = true;
        status = hrt_dispatch_finish(runtime);
    }
    hrt_runtime_unlock(runtime);
    return status;
}

int hrt_runtime_cancel(hrt_runtime *runtime, uint64_t job)
{
    return act(runtime, job, hrt_runtime_cancel_locked);
}

static int retry_locked(hrt_runtime *runtime, uint64_t id)
{
    const hrt_state_job *job = hrt_state_find(runtime->state, id);
    if (job == NULL) {
        return no_such_job(id);
    }
    if (job->state == HRT_JOB_READY || job->state == HRT_JOB_RUNNING) {
        return HRT_OK;
    }
    if (job->state == HRT_JOB_SCHEDULED || job->state == HRT_JOB_RETRYING) {
        return hrt_group_due(runtime, id);
    }
    if (job->state != HRT_JOB_DEAD) {
        return wrong_state(job, "retried");
    }
    hrt_settle_entry entry = {.job = id, .outcome = HRT_OUTCOME_REVIVED};
    return hrt_group_settle(runtime, &entry, NULL, HRT_LOG_OLD_WORK, NULL);
}

int hrt_runtime_retry(hrt_runtime *runtime, uint64_t job)
{
    return act(runtime, job, retry_locked);
}

static int discard_locked(hrt_runtime *runtime, uint64_t id)
{
    const hrt_state_job *job = hrt_state_find(runtime->state, id);
    if (job == NULL) {
        return no_such_job(id);
    }
    if (job->state < HRT_JOB_COMPLETED) {
        return wrong_state(job, "discarded; cancel it first");
    }
    hrt_settle_entry entry = {.job = id, .outcome = HRT_OUTCOME_FORGOTTEN};
    return hrt_group_settle(runtime, &entry, NULL, HRT_LOG_OLD_WORK, NULL);
}

int hrt_runtime_discard(hrt_runtime *runtime, uint64_t job)
{
    return act(runtime, job, discard_locked);
}

uint64_t hrt_runtime_state_hash(hrt_runtime *runtime)
{
    hrt_runtime_lock(runtime);
    uint64_t hash = hrt_state_hash(runtime->state);
    hrt_runtime_unlock(runtime);
    return hash;
}
