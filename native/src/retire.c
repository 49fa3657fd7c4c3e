/* Old segments: the few jobs that still live there are copied forward, then the segment is given
 * up. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "grow.h"
#include "record.h"

#define ASIDES_PAUSE_NS ((uint64_t)10 * 1000000) /* between two looks at who still reads them */

enum {
    KEEP_PER_PASS = 64,
    KEEP_SHARE = 1024, /* more jobs than one for so many bytes fill a segment in any case */
};

static bool any_queue_needs_the_disk(const hrt_runtime *runtime)
{
    for (uint32_t queue = 0; queue < runtime->page->queue_count; queue++) {
        if (runtime->page->queues[queue].durability != HRT_DURABILITY_MEMORY) {
            return true;
        }
    }
    return false;
}

static bool copy_forward(hrt_runtime *runtime, uint32_t index)
{
    const hrt_state_job *job = hrt_state_at(runtime->state, index);
    hrt_record *keep = NULL;
    if (hrt_group_add(runtime, HRT_RECORD_KEEP, hrt_state_keep_length(job), HRT_LOG_COPY, &keep) !=
        HRT_OK) {
        return false;
    }
    const void *result =
        job->result_length == 0 ? NULL : hrt_log_at(runtime->log, job->result_position);
    const void *saved =
        job->saved_length == 0 ? NULL : hrt_log_at(runtime->log, job->saved_position);
    hrt_state_keep(job, hrt_log_at(runtime->log, job->position), result, saved, keep);
    /* The job's only copy will be this one. */
    runtime->group_sync |= any_queue_needs_the_disk(runtime);
    hrt_add_relaxed(&runtime->page->runtime.kept, 1);
    return hrt_group_apply(runtime, keep) == HRT_OK;
}

static bool copy_some_forward(hrt_runtime *runtime, uint64_t segment)
{
    for (uint32_t i = 0; i < KEEP_PER_PASS; i++) {
        uint32_t index = hrt_state_first_in(runtime->state, segment);
        if (index == HRT_NIL) {
            break;
        }
        if (!copy_forward(runtime, index)) {
            return false;
        }
    }
    return hrt_group_seal(runtime) == HRT_OK;
}

/*
 * A log that begins behind the oldest segment does not tell of its jobs, so a replay would keep
 * results that were dropped for theirs. Two declarations drop them there too: one that retains as
 * many as there are, and the right one, both or none.
 */
static int restate_retained(hrt_runtime *runtime, uint16_t queue)
{
    const hrt_state_queue *known = hrt_state_queue_at(runtime->state, queue);
    hrt_queue_settings right = *hrt_state_settings(runtime->state, queue);
    hrt_queue_settings narrow = right;
    narrow.retain_max = known->retained.count;
    uint32_t length = sizeof(hrt_record) + sizeof(hrt_control_body) + sizeof(right);
    bool sync = runtime->group_sync;
    int status = hrt_group_reserve(runtime, 2 * hrt_record_span(length), HRT_LOG_COPY);
    runtime->unit_open = true;
    if (status == HRT_OK) {
        status = hrt_group_control(runtime, HRT_CONTROL_QUEUE, queue, &narrow, sizeof(narrow),
                                   HRT_LOG_COPY);
    }
    if (status == HRT_OK) {
        status = hrt_group_control(runtime, HRT_CONTROL_QUEUE, queue, &right, sizeof(right),
                                   HRT_LOG_COPY);
    }
    runtime->unit_open = false;
    runtime->group_sync = sync;
    return status;
}

static bool restate_all_retained(hrt_runtime *runtime)
{
    uint16_t count = (uint16_t)runtime->page->queue_count;
    for (uint16_t queue = 0; queue < count; queue++) {
        bool trimmed = hrt_state_queue_at(runtime->state, queue)->trimmed > 0;
        if (trimmed && restate_retained(runtime, queue) != HRT_OK) {
            return false;
        }
    }
    return hrt_group_seal(runtime) == HRT_OK;
}

static bool give_up_oldest(hrt_runtime *runtime)
{
    if (!restate_all_retained(runtime)) {
        return false;
    }
    return hrt_log_retire(runtime->log, hrt_log_tail(runtime->log),
                          any_queue_needs_the_disk(runtime)) == HRT_OK;
}

/* ---- files that are still read ---- */

static bool remember_aside(hrt_runtime *runtime, uint64_t segment)
{
    hrt_room *room = &runtime->room;
    if (!hrt_grow(&room->asides, &room->aside_capacity, room->aside_count + 1, 16,
                  sizeof(*room->asides))) {
        return false;
    }
    room->asides[room->aside_count++] = (hrt_aside){.segment = segment};
    return true;
}

int hrt_retire_inherit(hrt_runtime *runtime)
{
    uint64_t numbers[HRT_RETIRE_STRAYS];
    uint32_t count = hrt_log_strays(runtime->log, numbers, HRT_RETIRE_STRAYS);
    for (uint32_t i = 0; i < count; i++) {
        if (!remember_aside(runtime, numbers[i])) {
            return HRT_ENOMEM;
        }
    }
    return HRT_OK;
}

/*
 * Somebody still reads what lies in the oldest segment: a handler its payload, a client a result.
 * Its jobs are copied, so the log can go on without it; the file waits until nobody reads it any
 * more.
 */
static bool put_oldest_aside(hrt_runtime *runtime, uint64_t oldest)
{
    if (!hrt_room_spares_one(runtime) || !restate_all_retained(runtime) ||
        !remember_aside(runtime, oldest)) {
        return false;
    }
    return hrt_log_retire_aside(runtime->log, hrt_log_tail(runtime->log),
                                any_queue_needs_the_disk(runtime)) == HRT_OK;
}

/* Files that nobody reads any more go back to the log. */
static bool let_go_of_asides(hrt_runtime *runtime)
{
    hrt_room *room = &runtime->room;
    uint32_t before = room->aside_count;
    bool early = runtime->boot_ns - room->asides_ns < ASIDES_PAUSE_NS;
    if (HRT_LIKELY(before == 0) || (early && !room->starved)) {
        return false;
    }
    room->asides_ns = runtime->boot_ns;
    for (uint32_t i = before; i-- > 0;) {
        if (!hrt_effect_pinned(runtime, room->asides[i].segment)) {
            hrt_log_let_go(runtime->log, room->asides[i].segment);
            room->asides[i] = room->asides[--room->aside_count];
        }
    }
    return room->aside_count < before;
}

/* ---- what is worth its bytes ---- */

/*
 * Whether copies of what lives in a segment take at most half of what one surely holds: it ends
 * where the next record does not fit, so the largest one may be missing.
 */
static bool is_half_empty(const hrt_runtime *runtime, uint64_t segment)
{
    uint64_t size = hrt_log_segment_size(runtime->log);
    uint64_t bytes = 0;
    uint64_t largest = 0;
    uint32_t index = hrt_state_first_in(runtime->state, segment);
    while (index != HRT_NIL) {
        const hrt_state_job *job = hrt_state_at(runtime->state, index);
        largest = job->keep_span > largest ? job->keep_span : largest;
        bytes += job->keep_span;
        index = job->segment.next;
    }
    return 2 * bytes + largest <= size;
}

/*
 * Copying is worth it while at most half of the segment lives: what is copied is dense, and is left
 * in peace until half of it has gone. So a backlog is never copied round and round. A segment that
 * was found too full is looked at again once half of its jobs have left. It is copied all the same
 * when room is short, and what lies behind it gives some.
 */
static bool worth_copying(hrt_runtime *runtime, uint64_t segment, uint32_t live)
{
    hrt_verdict *verdict = &runtime->retirement;
    if (verdict->segment != segment || (!verdict->worth && live <= verdict->live / 2)) {
        uint32_t size = hrt_log_segment_size(runtime->log);
        bool worth = live <= size / KEEP_SHARE && is_half_empty(runtime, segment);
        *verdict = (hrt_verdict){.segment = segment, .live = live, .worth = worth};
    }
    verdict->worth = verdict->worth || hrt_room_worth_copying(runtime);
    return verdict->worth;
}

static bool is_read(hrt_runtime *runtime, uint64_t segment)
{
    return hrt_effect_pinned(runtime, segment) || hrt_log_bound(runtime->log, segment);
}

static bool retire_oldest(hrt_runtime *runtime)
{
    uint64_t oldest = hrt_log_oldest(runtime->log);
    if (oldest >= hrt_log_current(runtime->log) || oldest >= runtime->prologue_segment) {
        return false;
    }
    /* To copy one that somebody reads takes room and gives none back. */
    if (!hrt_room_spares_one(runtime) && is_read(runtime, oldest)) {
        return false;
    }
    uint32_t live = hrt_state_live(runtime->state, oldest);
    if (live > 0) {
        return worth_copying(runtime, oldest, live) && copy_some_forward(runtime, oldest);
    }
    return is_read(runtime, oldest) ? put_oldest_aside(runtime, oldest) : give_up_oldest(runtime);
}

bool hrt_retire_some(hrt_runtime *runtime)
{
    HRT_ASSERT(hrt_log_pending(runtime->log) == 0);
    hrt_room *room = &runtime->room;
    bool found = let_go_of_asides(runtime);
    hrt_room_look(runtime);
    if (HRT_UNLIKELY(room->log.tight)) {
        found |= retire_oldest(runtime);
        hrt_room_look(runtime);
    }
    bool stuck = HRT_UNLIKELY(room->starved) && !found;
    room->stuck_ns = !stuck ? 0 : room->stuck_ns == 0 ? runtime->boot_ns : room->stuck_ns;
    room->waited = room->starved;
    room->starved = false;
    return found;
}

int hrt_retire_one(hrt_runtime *runtime)
{
    int status = hrt_group_seal(runtime);
    bool found = true;
    uint64_t oldest = hrt_log_oldest(runtime->log);
    while (status == HRT_OK && found && hrt_log_oldest(runtime->log) == oldest) {
        hrt_room_refused(runtime, HRT_LOG_OLD_WORK);
        found = hrt_retire_some(runtime);
        status = hrt_runtime_has_failed(runtime) ? HRT_EIO : HRT_OK;
    }
    return status == HRT_OK && !found ? hrt_room_refusal(runtime) : status;
}
