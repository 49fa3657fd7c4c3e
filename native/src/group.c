/* The open group: every record of the runtime is built, applied and sealed here. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "error.h"
#include "park.h"
#include "record.h"
#include "scan.h"

#include <string.h>
#include <unistd.h>

enum { PROLOGUE_TRIES = 2 }; /* the second one has a segment of its own */

static int add_prologue(hrt_runtime *runtime); /* reserves room in its turn */

int hrt_group_apply(hrt_runtime *runtime, const hrt_record *record)
{
    int status = hrt_state_apply(runtime->state, record);
    if (HRT_UNLIKELY(status != HRT_OK)) {
        /* Our own record did not apply: memory is out, or the code is wrong. Either way, stop. */
        hrt_runtime_fail(runtime, status);
    }
    return status;
}

int hrt_group_close(hrt_runtime *runtime)
{
    int status = HRT_OK;
    if (runtime->settle != NULL) {
        status = hrt_group_apply(runtime, runtime->settle);
        runtime->settle = NULL;
    }
    if (status == HRT_OK && runtime->due != NULL) {
        status = hrt_group_apply(runtime, runtime->due);
        runtime->due = NULL;
    }
    return status;
}

int hrt_group_seal(hrt_runtime *runtime)
{
    int status = hrt_group_close(runtime);
    if (status != HRT_OK || hrt_log_pending(runtime->log) == 0) {
        return status;
    }
    hrt_progress_record(runtime);
    hrt_runtime_counters *counters = &runtime->page->runtime;
    hrt_add_relaxed(&counters->groups, 1);
    hrt_add_relaxed(&counters->bytes, hrt_log_pending(runtime->log));
    status = hrt_log_seal(runtime->log);
    if (HRT_UNLIKELY(status != HRT_OK)) {
        hrt_runtime_fail(runtime, status);
        return status;
    }
    uint64_t end = hrt_log_tail(runtime->log);
    hrt_store_release(&counters->log_tail, end);
    hrt_progress_publish(runtime);
    hrt_effect_mark(runtime, end);
    if (runtime->group_sync) {
        hrt_log_want_sync(runtime->log, end);
    } else if (runtime->group_async) {
        hrt_log_want_async(runtime->log, end);
    }
    runtime->group_sync = false;
    runtime->group_async = false;
    (void)hrt_park_wake(&runtime->page->follow_park, -1);
    return HRT_OK;
}

/* What the disk has may have changed since the pass before, whose view the room is. */
static bool admits(hrt_runtime *runtime, size_t bytes)
{
    if (HRT_LIKELY(hrt_room_admits(runtime, bytes))) {
        return true;
    }
    hrt_room_look(runtime);
    return hrt_room_admits(runtime, bytes);
}

static bool is_declared(const hrt_runtime *runtime)
{
    return runtime->prologue_open || hrt_log_current(runtime->log) == runtime->prologue_segment;
}

static bool is_long(const hrt_runtime *runtime)
{
    return hrt_log_pending(runtime->log) > HRT_GROUP_SOFT && !runtime->unit_open;
}

/* A log that fails at the end of a segment has nothing in the group: no seal would notice it. */
static int reserve_in_log(hrt_runtime *runtime, size_t bytes, enum hrt_log_class class)
{
    int status = hrt_log_reserve(runtime->log, bytes, class);
    int failed = hrt_log_failed(runtime->log);
    if (failed != HRT_OK) {
        hrt_runtime_fail(runtime, failed);
        return failed;
    }
    return status;
}

/* What the open group does not take as it is. */
HRT_RARE static int reserve_anew(hrt_runtime *runtime, size_t bytes, enum hrt_log_class class)
{
    size_t whole = bytes + hrt_progress_room(runtime);
    if (is_long(runtime)) {
        int sealed = hrt_group_seal(runtime);
        if (sealed != HRT_OK) {
            return sealed;
        }
    }
    if (class == HRT_LOG_NEW_WORK && !admits(runtime, bytes)) {
        return hrt_room_refusal(runtime);
    }
    int status = reserve_in_log(runtime, whole, class);
    if (status == HRT_EAGAIN) {
        status = hrt_group_seal(runtime);
        if (status == HRT_OK) {
            status = reserve_in_log(runtime, whole, class);
        }
    }
    HRT_ASSERT(status != HRT_EAGAIN);
    if (status == HRT_ELOGFULL) {
        hrt_room_refused(runtime, class);
        if (class == HRT_LOG_NEW_WORK) {
            hrt_room_look(runtime);
            return hrt_room_refusal(runtime);
        }
    }
    if (status != HRT_OK || is_declared(runtime)) {
        return status;
    }
    /* A new segment: it has to begin with the declarations before anything may refer to them. */
    status = add_prologue(runtime);
    if (status == HRT_OK && runtime->room.segment != 0) {
        hrt_room_look(runtime);
    }
    return status != HRT_OK ? status : hrt_group_reserve(runtime, bytes, class);
}

int hrt_group_reserve(hrt_runtime *runtime, size_t bytes, enum hrt_log_class class)
{
    size_t whole = bytes + hrt_progress_room(runtime);
    bool admitted = class != HRT_LOG_NEW_WORK || hrt_room_admits(runtime, bytes);
    bool goes_on = admitted && !is_long(runtime) && is_declared(runtime);
    bool fits = goes_on && hrt_log_fits(runtime->log, whole, class);
    return HRT_LIKELY(fits) ? HRT_OK : reserve_anew(runtime, bytes, class);
}

int hrt_group_add(hrt_runtime *runtime, uint8_t type, size_t body_length, enum hrt_log_class class,
                  hrt_record **record_out)
{
    size_t span = hrt_record_span((uint32_t)(sizeof(hrt_record) + body_length));
    int status = hrt_group_close(runtime);
    if (status == HRT_OK) {
        status = hrt_group_reserve(runtime, span, class);
    }
    if (status == HRT_OK) {
        *record_out = hrt_log_add(runtime->log, type, body_length);
    }
    return status;
}

int hrt_group_settle(hrt_runtime *runtime, const hrt_settle_entry *entry, const void *data,
                     enum hrt_log_class class, uint64_t *position_out)
{
    size_t data_span = hrt_align_up(entry->data_length, 8);
    size_t body = sizeof(*entry) + data_span;
    /* Alignment can add up to one more unit when a record grows. */
    int status = hrt_group_reserve(runtime, sizeof(hrt_record) + body + HRT_RECORD_ALIGN, class);
    if (status != HRT_OK) {
        return status;
    }
    uint8_t *place;
    if (runtime->settle != NULL) {
        place = hrt_log_grow(runtime->log, runtime->settle, body);
    } else {
        status = hrt_group_close(runtime);
        if (status != HRT_OK) {
            return status;
        }
        runtime->settle = hrt_log_add(runtime->log, HRT_RECORD_SETTLE, body);
        place = hrt_record_body(runtime->settle);
    }
    runtime->settle->count++;
    memcpy(place, entry, sizeof(*entry));
    if (entry->data_length > 0) {
        memcpy(place + sizeof(*entry), data, entry->data_length);
    }
    if (position_out != NULL) {
        *position_out = runtime->settle->position +
                        (uint64_t)(place + sizeof(*entry) - (uint8_t *)runtime->settle);
    }
    return HRT_OK;
}

int hrt_group_due(hrt_runtime *runtime, uint64_t job)
{
    int status = hrt_group_reserve(runtime, sizeof(hrt_record) + sizeof(job) + HRT_RECORD_ALIGN,
                                   HRT_LOG_OLD_WORK);
    if (status != HRT_OK) {
        return status;
    }
    void *place;
    if (runtime->due != NULL) {
        place = hrt_log_grow(runtime->log, runtime->due, sizeof(job));
    } else {
        status = hrt_group_close(runtime);
        if (status != HRT_OK) {
            return status;
        }
        runtime->due = hrt_log_add(runtime->log, HRT_RECORD_DUE, sizeof(job));
        place = hrt_record_body(runtime->due);
    }
    runtime->due->count++;
    memcpy(place, &job, sizeof(job));
    return HRT_OK;
}

int hrt_group_control(hrt_runtime *runtime, uint32_t verb, uint32_t id, const void *data,
                      uint32_t length, enum hrt_log_class class)
{
    hrt_record *record = NULL;
    int status = hrt_group_add(runtime, HRT_RECORD_CONTROL, sizeof(hrt_control_body) + length,
                               class, &record);
    if (status != HRT_OK) {
        return status;
    }
    hrt_control_body *control = hrt_record_body(record);
    control->verb = verb;
    control->id = id;
    control->data_length = length;
    if (length > 0) {
        memcpy(control + 1, data, length);
    }
    if (!runtime->prologue_open) {
        runtime->group_sync = true; /* declarations and operators' actions are always durable */
    }
    return hrt_group_apply(runtime, record);
}

static int add_epoch(hrt_runtime *runtime)
{
    hrt_record *record = NULL;
    int status =
        hrt_group_add(runtime, HRT_RECORD_EPOCH, sizeof(hrt_epoch_body), HRT_LOG_END, &record);
    if (status != HRT_OK) {
        return status;
    }
    record->flags |= HRT_RECORD_MUST_UNDERSTAND;
    hrt_epoch_body *body = hrt_record_body(record);
    (void)hrt_boot_id(body->boot_id);
    body->instance = runtime->instance;
    body->format_version = HRT_FORMAT_VERSION;
    body->pid = (uint32_t)getpid();
    body->tail_lost = runtime->recovery.tail_position;
    return hrt_group_apply(runtime, record);
}

static int declare_all(hrt_runtime *runtime)
{
    const hrt_page *page = runtime->page;
    int status = add_epoch(runtime);
    for (uint32_t kind = 0; status == HRT_OK && kind < page->kind_count; kind++) {
        const char *name = page->kinds[kind].text;
        status = hrt_group_control(runtime, HRT_CONTROL_KIND, kind, name, (uint32_t)strlen(name),
                                   HRT_LOG_END);
    }
    for (uint32_t queue = 0; status == HRT_OK && queue < page->queue_count; queue++) {
        status = hrt_group_control(runtime, HRT_CONTROL_QUEUE, queue, &page->queues[queue],
                                   sizeof(page->queues[queue]), HRT_LOG_END);
        if (status == HRT_OK && hrt_state_queue_at(runtime->state, (uint16_t)queue)->paused) {
            status = hrt_group_control(runtime, HRT_CONTROL_PAUSE, queue, NULL, 0, HRT_LOG_END);
        }
    }
    return status;
}

/* Bytes of all declarations, at most. */
static size_t declarations_size(const hrt_page *page)
{
    size_t control = sizeof(hrt_record) + sizeof(hrt_control_body);
    size_t queue = hrt_record_span((uint32_t)(control + sizeof(hrt_queue_settings))) +
                   hrt_record_span((uint32_t)control);
    size_t kind = hrt_record_span((uint32_t)(control + HRT_KIND_NAME_MAX));
    return hrt_record_span(sizeof(hrt_record) + sizeof(hrt_epoch_body)) +
           page->queue_count * queue + page->kind_count * kind;
}

/*
 * A segment that began with the last of them only could not be read without the one before: room is
 * made for all at first. Where they are more than a group holds, and a segment ends amid them, the
 * next one has all of them again.
 */
static int declare_in_one_segment(hrt_runtime *runtime)
{
    uint64_t segment = 0;
    int room = hrt_group_reserve(runtime, declarations_size(runtime->page), HRT_LOG_END);
    if (room != HRT_OK && room != HRT_ETOOLARGE) {
        return room;
    }
    for (uint32_t tries = 0; tries < PROLOGUE_TRIES; tries++) {
        segment = hrt_log_current(runtime->log);
        int status = declare_all(runtime);
        if (status != HRT_OK || hrt_log_current(runtime->log) == segment) {
            return status;
        }
    }
    return hrt_fail(HRT_ELIMIT, "the declarations of %u kinds and %u queues do not fit a segment",
                    runtime->page->kind_count, runtime->page->queue_count);
}

/* The declarations at the start of a segment, so that older ones may go. */
static int add_prologue(hrt_runtime *runtime)
{
    HRT_ASSERT(hrt_log_pending(runtime->log) == 0 || runtime->settle == NULL);
    runtime->prologue_open = true;
    int status = declare_in_one_segment(runtime);
    if (status == HRT_OK) {
        runtime->prologue_segment = hrt_log_current(runtime->log);
    }
    runtime->prologue_open = false;
    return status;
}
