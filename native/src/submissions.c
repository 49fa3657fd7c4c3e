/*
 * What lanes submit. Every byte comes from a process that is not trusted: a header is copied once,
 * checked in private memory, and only then believed.
 */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "park.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

/* A settle and its follow-ups share one group; this is what is left of the room reserved for them.
 */
typedef struct hrt_unit {
    uint64_t parent;
    size_t room;
    uint32_t left; /* follow-ups to come */
    int refusal;   /* HRT_OK: they are accepted */
} hrt_unit;

/* Before a job runs again whose follow-ups found no room. */
#define NO_ROOM_DELAY_NS ((uint64_t)1000000000)

static const uint32_t none_at_all = HRT_NONE;

static uint32_t or_default_ms(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value == none_at_all ? 0 : value;
}

/* ---- enqueue ---- */

static size_t variable_length(const hrt_submit_enqueue *submit)
{
    return ((submit->flags & HRT_ENQUEUE_TRACE) ? HRT_TRACE_SIZE : 0u) + submit->key_length +
           submit->meta_length + submit->payload_length;
}

static size_t enqueue_span(const hrt_submit_enqueue *submit)
{
    size_t length = sizeof(hrt_record) + sizeof(hrt_enqueue_body) + variable_length(submit);
    return hrt_record_span((uint32_t)length);
}

/* The client checks all this before it submits; a peer that did not is answered all the same. */
static int check_enqueue(const hrt_runtime *runtime, const hrt_submit_enqueue *submit)
{
    if (submit->kind >= runtime->page->kind_count) {
        return HRT_EKIND;
    }
    if (submit->queue >= runtime->page->queue_count) {
        return HRT_EQUEUE;
    }
    if (submit->payload_length > HRT_PAYLOAD_MAX || submit->meta_length > HRT_META_MAX) {
        return HRT_ETOOLARGE;
    }
    return HRT_OK;
}

/* The entry is known to hold the key. It may change until it is copied, but harms nobody then. */
static int check_key(const hrt_submit_enqueue *submit, const uint8_t *entry)
{
    size_t trace = (submit->flags & HRT_ENQUEUE_TRACE) ? HRT_TRACE_SIZE : 0;
    const uint8_t *key = entry + sizeof(*submit) + trace;
    return hrt_is_text(key, submit->key_length) ? HRT_OK : HRT_ENAME;
}

static int admit(hrt_runtime *runtime, hrt_seat *seat, const hrt_submit_enqueue *submit)
{
    if (runtime->refusing) {
        return HRT_EPAUSED;
    }
    if (hrt_state_jobs(runtime->state) >= runtime->options.jobs_max) {
        return HRT_ELIMIT;
    }
    uint64_t bit = (uint64_t)1 << submit->queue;
    if (submit->flags & HRT_ENQUEUE_AGAIN) {
        seat->full_queues &= ~bit;
    }
    const hrt_queue_settings *settings = hrt_state_settings(runtime->state, submit->queue);
    bool full = settings->max_jobs != 0 &&
                hrt_state_waiting(runtime->state, submit->queue) >= settings->max_jobs;
    bool waits = (submit->flags & HRT_ENQUEUE_BLOCK) != 0;
    /* Jobs behind one that waits for room must not overtake it. */
    if (full || (waits && (seat->full_queues & bit))) {
        if (waits) {
            seat->full_queues |= bit;
        }
        return HRT_EFULL;
    }
    return HRT_OK;
}

/* A delay beyond the end of time is for ever, not at once. */
static uint64_t later(uint64_t wall_ns, uint64_t delay_ns)
{
    return delay_ns < UINT64_MAX - wall_ns ? wall_ns + delay_ns : UINT64_MAX;
}

static void fill_enqueue(hrt_runtime *runtime, const hrt_submit_enqueue *submit, uint64_t parent,
                         hrt_record *record, const uint8_t *entry)
{
    const hrt_queue_settings *settings = hrt_state_settings(runtime->state, submit->queue);
    hrt_enqueue_body *body = hrt_record_body(record);
    record->kind = submit->kind;
    record->queue = submit->queue;
    uint64_t due = submit->due_ns != 0     ? submit->due_ns
                   : submit->delay_ns != 0 ? later(runtime->wall_ns, submit->delay_ns)
                                           : 0;
    body->due_ns = due > runtime->wall_ns ? due : 0;
    body->expires_ns =
        submit->expires_ms != 0 ? runtime->wall_ns + (uint64_t)submit->expires_ms * 1000000u : 0;
    body->parent = parent;
    body->timeout_ms = or_default_ms(submit->timeout_ms, settings->timeout_ms);
    body->result_ttl_ms = or_default_ms(submit->result_ttl_ms, settings->result_ttl_ms);
    body->payload_length = submit->payload_length;
    body->meta_length = submit->meta_length;
    body->max_attempts = submit->max_attempts != 0 ? submit->max_attempts : settings->max_attempts;
    body->key_length = submit->key_length;
    body->max_crashes = submit->max_crashes != 0 ? submit->max_crashes : settings->max_crashes;
    body->flags = submit->flags & HRT_ENQUEUE_TRACE;
    uint8_t *variable = (uint8_t *)(body + 1);
    memcpy(variable, entry + sizeof(*submit), variable_length(submit));
    if (submit->key_length > 0) {
        size_t trace = (submit->flags & HRT_ENQUEUE_TRACE) ? HRT_TRACE_SIZE : 0;
        record->key_hash = hrt_hash_key(variable + trace, submit->key_length);
    }
}

static int build_enqueue(hrt_runtime *runtime, const hrt_submit_enqueue *submit, uint64_t parent,
                         const uint8_t *entry, int64_t *job_out)
{
    size_t body = sizeof(hrt_enqueue_body) + variable_length(submit);
    hrt_record *record = NULL;
    int status = hrt_group_add(runtime, HRT_RECORD_ENQUEUE, body,
                               parent != 0 ? HRT_LOG_OLD_WORK : HRT_LOG_NEW_WORK, &record);
    if (status != HRT_OK) {
        return status;
    }
    fill_enqueue(runtime, submit, parent, record, entry);
    *job_out = (int64_t)record->sequence;
    return hrt_group_apply(runtime, record);
}

static void take_enqueue(hrt_runtime *runtime, uint32_t lane, const hrt_submit_enqueue *submit,
                         const uint8_t *entry)
{
    hrt_seat *seat = &runtime->seats[lane];
    int64_t answer = 0;
    int status = check_enqueue(runtime, submit);
    if (status == HRT_OK) {
        status = check_key(submit, entry);
    }
    if (status == HRT_OK) {
        /* Settles that are still open may have made room. */
        status = hrt_group_close(runtime);
    }
    if (status == HRT_OK) {
        status = admit(runtime, seat, submit);
    }
    if (status == HRT_OK) {
        status = build_enqueue(runtime, submit, 0, entry, &answer);
    }
    if (status != HRT_OK) {
        hrt_add_relaxed(&runtime->page->runtime.rejected, 1);
        if (submit->queue < runtime->page->queue_count) {
            hrt_add_relaxed(&runtime->page->queue_counters[submit->queue].rejected, 1);
        }
        hrt_effect_reply(runtime, lane, status, false);
        return;
    }
    uint8_t durability = hrt_state_settings(runtime->state, submit->queue)->durability;
    runtime->group_sync |= durability == HRT_DURABILITY_SYNC;
    runtime->group_async |= durability == HRT_DURABILITY_ASYNC;
    hrt_effect_reply(runtime, lane, answer, durability == HRT_DURABILITY_SYNC);
}

/* ---- settle ---- */

/* Sums the room that a settle's follow-ups need, looking ahead without taking them. */
static int measure_follow_ups(const hrt_runtime *runtime, const hrt_ring_reader *reader,
                              const hrt_submit_settle *settle, size_t *room_out)
{
    hrt_ring_reader ahead = *reader;
    hrt_ring_advance(&ahead, &settle->head);
    size_t room = 0;
    for (uint32_t i = 0; i < settle->follow_count; i++) {
        hrt_submit head;
        const uint8_t *entry = NULL;
        hrt_submit_enqueue submit;
        if (hrt_ring_peek(&ahead, &head, &entry) != HRT_OK || head.type != HRT_SUBMIT_ENQUEUE ||
            head.length < sizeof(submit)) {
            return HRT_EPEER;
        }
        memcpy(&submit, entry, sizeof(submit));
        if (!(submit.flags & HRT_ENQUEUE_FOLLOW) ||
            check_enqueue(runtime, &submit) == HRT_ETOOLARGE ||
            sizeof(submit) + variable_length(&submit) > head.length) {
            return HRT_EPEER;
        }
        room += enqueue_span(&submit);
        hrt_ring_advance(&ahead, &head);
    }
    *room_out = room;
    return HRT_OK;
}

static void refuse_settle(hrt_runtime *runtime, uint32_t lane, const hrt_submit_settle *submit,
                          int status)
{
    hrt_delivery delivery = {.type = HRT_DELIVERY_REFUSED,
                             .code = status,
                             .job = submit->job,
                             .token = submit->token,
                             .slot = UINT32_MAX};
    hrt_add_relaxed(&runtime->page->runtime.refused, 1);
    hrt_effect_deliver(runtime, lane, &delivery, false);
}

static bool handler_may_say(uint8_t outcome)
{
    return outcome >= HRT_OUTCOME_OK && outcome <= HRT_OUTCOME_RETURNED;
}

/* Nobody waits for the result now, and it is not kept for later. */
static bool is_unread(const hrt_runtime *runtime, const hrt_submit_settle *submit)
{
    const hrt_state_job *job = hrt_state_find(runtime->state, submit->job);
    return submit->outcome == HRT_OUTCOME_OK && job->result_ttl_ms == 0 &&
           !hrt_audience_waits(runtime->audience, submit->job);
}

/* The last words of a client are taken now or never. */
static bool waits_for_room(const hrt_runtime *runtime, uint32_t lane)
{
    return !runtime->seats[lane].over && !hrt_room_stuck(runtime);
}

/*
 * Room for a settle, its data and its follow-ups. In a full log the data goes: at once what nobody
 * reads, else when nothing makes room for it. What is left of the settle always has room, but
 * follow-ups wait.
 */
static int reserve_settle(hrt_runtime *runtime, uint32_t lane, const hrt_submit_settle *submit,
                          size_t room, bool *whole_out)
{
    size_t own = hrt_record_span(sizeof(hrt_record) + sizeof(hrt_settle_entry)) + room;
    size_t data = hrt_record_span(submit->data_length) + HRT_RECORD_ALIGN;
    bool bare = submit->follow_count == 0 && submit->data_length <= HRT_END_TEXT_MAX;
    *whole_out = true;
    int status = hrt_group_reserve(runtime, own + data, bare ? HRT_LOG_END : HRT_LOG_OLD_WORK);
    if (submit->follow_count > 0) {
        if (status == HRT_OK && hrt_room_pressed(runtime, room)) {
            hrt_room_refused(runtime, HRT_LOG_OLD_WORK);
            return HRT_ELOGFULL;
        }
        return status;
    }
    if (status == HRT_ELOGFULL && !bare &&
        (is_unread(runtime, submit) || !waits_for_room(runtime, lane))) {
        *whole_out = false;
        status = hrt_group_reserve(runtime, own + HRT_RECORD_ALIGN, HRT_LOG_END);
    }
    return status;
}

/* False: the peer broke the protocol. */
static bool take_settle(hrt_runtime *runtime, uint32_t lane, const hrt_submit_settle *submit,
                        const uint8_t *entry, hrt_unit *unit)
{
    hrt_seat *seat = &runtime->seats[lane];
    uint32_t limit = submit->outcome == HRT_OUTCOME_OK ? HRT_RESULT_MAX : HRT_ERROR_MAX;
    if (!handler_may_say(submit->outcome) || submit->data_length > limit ||
        sizeof(*submit) + submit->data_length > submit->head.length) {
        return false;
    }
    size_t room = 0;
    if (submit->follow_count > 0 &&
        measure_follow_ups(runtime, &seat->host.submit, submit, &room) != HRT_OK) {
        return false;
    }
    *unit = (hrt_unit){.parent = submit->job, .room = room, .left = submit->follow_count};
    hrt_attempt *attempt = hrt_attempt_find(runtime, lane, submit->job, submit->token);
    if (attempt == NULL) {
        unit->refusal = HRT_ESTALE;
        refuse_settle(runtime, lane, submit, HRT_ESTALE);
        return true;
    }
    bool whole = false;
    int status = reserve_settle(runtime, lane, submit, room, &whole);
    bool gives_way = submit->follow_count > 0 && !waits_for_room(runtime, lane);
    if (status == HRT_ELOGFULL && !gives_way) {
        unit->left = 0;
        seat->stalled = true; /* it stays in the ring until there is room */
        return true;
    }
    unit->refusal = status;
    if (status == HRT_ETOOLARGE) {
        static const char text[] = "the follow-up jobs do not fit one group of this log";
        status = hrt_attempt_settle(runtime, lane, attempt, HRT_OUTCOME_RETRY, UINT64_MAX, text,
                                    sizeof(text) - 1);
    } else if (status == HRT_ELOGFULL) {
        /* What would make room may lie behind it in the lane. */
        status = hrt_attempt_settle(runtime, lane, attempt, HRT_OUTCOME_SNOOZE, NO_ROOM_DELAY_NS,
                                    NULL, 0);
    } else if (status == HRT_OK) {
        runtime->unit_open = submit->follow_count > 0;
        status = hrt_attempt_settle(runtime, lane, attempt, submit->outcome, submit->delay_ns,
                                    whole ? entry + sizeof(*submit) : NULL, submit->data_length);
    }
    if (status != HRT_OK) {
        unit->refusal = status;
        refuse_settle(runtime, lane, submit, status);
    }
    return true;
}

/* False: the entry is not the one that was measured. */
static bool take_follow_up(hrt_runtime *runtime, uint32_t lane, const hrt_submit_enqueue *submit,
                           const uint8_t *entry, hrt_unit *unit)
{
    size_t span = enqueue_span(submit);
    if (!(submit->flags & HRT_ENQUEUE_FOLLOW) || span > unit->room) {
        return false;
    }
    unit->room -= span;
    unit->left--;
    runtime->unit_open = unit->left > 0;
    int64_t answer = unit->refusal;
    bool sync = false;
    if (unit->refusal == HRT_OK) {
        int status = check_enqueue(runtime, submit);
        if (status == HRT_OK) {
            status = check_key(submit, entry);
        }
        if (status == HRT_OK) {
            status = build_enqueue(runtime, submit, unit->parent, entry, &answer);
            sync = hrt_effect_is_sync(runtime, submit->queue);
            runtime->group_sync |= sync;
        }
        if (status != HRT_OK) {
            answer = status;
        }
    }
    hrt_effect_reply(runtime, lane, answer, sync);
    return true;
}

/* ---- register ---- */

static bool name_is_valid(const uint8_t *name, size_t length)
{
    return length > 0 && length <= HRT_KIND_NAME_MAX && hrt_is_text(name, length);
}

/* What an earlier entry of this lane said gives way to the one that is taken now. */
static void forget_kinds(hrt_runtime *runtime, hrt_seat *seat)
{
    for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
        if ((seat->kinds[kind >> 6] >> (kind & 63)) & 1) {
            hrt_add_relaxed(&runtime->page->kind_counters[kind].workers, (uint64_t)-1);
        }
    }
    memset(seat->kinds, 0, sizeof(seat->kinds));
    memset(seat->info.kinds, 0, sizeof(seat->info.kinds));
    seat->info.kind_count = 0;
}

static bool serve_names(hrt_runtime *runtime, hrt_seat *seat, const uint8_t *names, size_t length,
                        uint32_t count)
{
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (at >= length || at + 1 + names[at] > length ||
            !name_is_valid(names + at + 1, names[at])) {
            return false;
        }
        char name[HRT_KIND_NAME_MAX + 1] = {0};
        memcpy(name, names + at + 1, names[at]);
        at += 1u + names[at];
        uint16_t kind;
        if (hrt_runtime_kind_locked(runtime, name, &kind) != HRT_OK) {
            return false;
        }
        uint64_t bit = (uint64_t)1 << (kind & 63);
        if (!(seat->kinds[kind >> 6] & bit)) {
            seat->kinds[kind >> 6] |= bit;
            if (seat->info.kind_count < HRT_COUNT_OF(seat->info.kinds)) {
                seat->info.kinds[seat->info.kind_count] = kind;
            }
            seat->info.kind_count++;
            hrt_add_relaxed(&runtime->page->kind_counters[kind].workers, 1);
        }
    }
    return true;
}

static void copy_text(char *to, const char *from, size_t size)
{
    memcpy(to, from, size - 1);
    to[size - 1] = '\0';
}

/* A lane that was taken over holds jobs before it registers here. */
static void account_for_held(hrt_runtime *runtime, uint32_t lane)
{
    const hrt_seat *seat = &runtime->seats[lane];
    bool suspect = false;
    for (uint32_t place = 0; seat->held > 0 && place < HRT_CREDIT_MAX; place++) {
        const hrt_attempt *attempt = &seat->attempts[place];
        suspect |= attempt->job != 0 && (attempt->flags & HRT_ATTEMPT_SUSPECT) != 0;
    }
    hrt_scheduler_leased(runtime->scheduler, lane, seat->held, suspect);
}

static bool take_register(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                          const hrt_submit *head)
{
    hrt_seat *seat = &runtime->seats[lane];
    hrt_submit_register submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    uint32_t length = submit.names_length;
    if (length > head->length - sizeof(submit) || length > HRT_KINDS_MAX * 64 ||
        submit.kind_count == 0 || submit.kind_count > HRT_KINDS_MAX || submit.concurrency == 0 ||
        submit.concurrency > HRT_CREDIT_MAX || submit.credit > HRT_CREDIT_MAX) {
        return false;
    }
    uint8_t names[HRT_KINDS_MAX * 64];
    memcpy(names, entry + sizeof(submit), length);
    forget_kinds(runtime, seat);
    if (!serve_names(runtime, seat, names, length, submit.kind_count)) {
        return false;
    }
    if (submit.pool[0] != '\0') {
        copy_text(seat->info.pool, submit.pool, sizeof(seat->info.pool));
    }
    copy_text(seat->info.language, submit.language, sizeof(seat->info.language));
    copy_text(seat->info.version, submit.version, sizeof(seat->info.version));
    seat->info.concurrency = submit.concurrency;
    /* A client whose runtime was replaced cannot know whether its first entry was taken. */
    bool again = seat->registered;
    seat->info.registered = 1;
    seat->registered = true;
    hrt_appetite appetite = {.incarnation = seat->incarnation,
                             .concurrency = submit.concurrency,
                             .credit_fixed = submit.credit,
                             .credit = submit.credit != 0 ? submit.credit : submit.concurrency,
                             .draining = seat->draining,
                             .window_ns = runtime->boot_ns};
    memcpy(appetite.kinds, seat->kinds, sizeof(appetite.kinds));
    hrt_scheduler_serve(runtime->scheduler, lane, &appetite);
    if (!again) {
        account_for_held(runtime, lane);
        hrt_news_lane(runtime, HRT_EVENT_REGISTERED, lane, 0, submit.kind_count, "");
    }
    return true;
}

/* ---- the small ones ---- */

static void take_watch(hrt_runtime *runtime, uint32_t lane, uint64_t id)
{
    (void)hrt_group_close(runtime);
    const hrt_state_job *job = hrt_state_find(runtime->state, id);
    if (job != NULL && job->state < HRT_JOB_COMPLETED) {
        if (!hrt_audience_add(runtime->audience, id, lane)) {
            hrt_runtime_fail(runtime, HRT_ENOMEM);
        }
        return;
    }
    hrt_delivery delivery = {.type = HRT_DELIVERY_RESULT,
                             .code = job != NULL ? job->state : HRT_ENOTFOUND,
                             .job = id,
                             .slot = UINT32_MAX};
    if (job != NULL) {
        delivery.token = job->result_position;
        delivery.data_length =
            job->state == HRT_JOB_COMPLETED ? job->result_length : job->error_length;
    }
    hrt_effect_deliver(runtime, lane, &delivery,
                       job != NULL && hrt_effect_is_sync(runtime, job->queue));
}

static bool take_progress(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                          const hrt_submit *head)
{
    hrt_submit_progress submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    if (submit.note_length > HRT_NOTE_MAX || submit.note_length > head->length - sizeof(submit)) {
        return false;
    }
    hrt_attempt *attempt = hrt_attempt_find(runtime, lane, submit.job, submit.token);
    if (attempt == NULL) {
        return true;
    }
    attempt->permille = (uint16_t)(submit.permille > 1000 ? 1000 : submit.permille);
    free(attempt->note);
    attempt->note = calloc(1, submit.note_length + 1u);
    if (attempt->note != NULL) {
        memcpy(attempt->note, entry + sizeof(submit), submit.note_length);
    }
    return true;
}

/* Whether the job can still be copied forward whole, with the longest error it may get. */
static bool can_be_kept(const hrt_runtime *runtime, const hrt_state_job *job, uint32_t saved_length)
{
    size_t length = sizeof(hrt_record) + hrt_state_keep_length(job) - job->saved_length +
                    saved_length + HRT_ERROR_MAX;
    return hrt_record_span((uint32_t)length) <= hrt_log_group_max(runtime->log);
}

static int save(hrt_runtime *runtime, const hrt_submit_save *submit, const uint8_t *entry)
{
    const hrt_state_job *job = hrt_state_find(runtime->state, submit->job);
    size_t body = sizeof(hrt_saved_body) + submit->length;
    hrt_record *record = NULL;
    if (!can_be_kept(runtime, job, submit->length)) {
        return HRT_ETOOLARGE;
    }
    uint8_t durability = hrt_state_settings(runtime->state, job->queue)->durability;
    int status = hrt_group_add(runtime, HRT_RECORD_SAVED, body, HRT_LOG_NEW_WORK, &record);
    if (status != HRT_OK) {
        return status;
    }
    hrt_saved_body *saved = hrt_record_body(record);
    saved->job = submit->job;
    saved->token = submit->token;
    saved->length = submit->length;
    memcpy(saved + 1, entry + sizeof(*submit), submit->length);
    runtime->group_sync |= durability == HRT_DURABILITY_SYNC;
    runtime->group_async |= durability == HRT_DURABILITY_ASYNC;
    return hrt_group_apply(runtime, record);
}

/* One that is stale, or that a full log has no room for, changes nothing but a counter. */
static bool take_save(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                      const hrt_submit *head)
{
    hrt_submit_save submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    if (submit.length > HRT_SAVED_MAX || submit.length > head->length - sizeof(submit)) {
        return false;
    }
    if (hrt_attempt_find(runtime, lane, submit.job, submit.token) == NULL ||
        save(runtime, &submit, entry) != HRT_OK) {
        hrt_add_relaxed(&runtime->page->runtime.refused, 1);
    }
    return true;
}

static bool take_extend(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                        const hrt_submit *head)
{
    hrt_submit_extend submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    hrt_attempt *attempt = hrt_attempt_find(runtime, lane, submit.job, submit.token);
    if (attempt != NULL && attempt->stop == 0) {
        uint64_t limit = runtime->boot_ns + submit.more_ns;
        limit = limit < runtime->boot_ns ? UINT64_MAX : limit;
        if (!hrt_scheduler_deadline(runtime->scheduler, submit.job, limit)) {
            hrt_runtime_fail(runtime, HRT_ENOMEM);
        }
    }
    return true;
}

static bool take_space(hrt_runtime *runtime, uint32_t lane, uint64_t queue)
{
    if (queue >= runtime->page->queue_count) {
        return false;
    }
    runtime->space_wanted[queue][lane >> 6] |= (uint64_t)1 << (lane & 63);
    runtime->space_queues |= (uint64_t)1 << queue;
    return true;
}

static bool take_job_request(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                             const hrt_submit *head)
{
    hrt_submit_job submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    switch (head->type) {
    case HRT_SUBMIT_WATCH:
        take_watch(runtime, lane, submit.job);
        return true;
    case HRT_SUBMIT_CANCEL:
        (void)hrt_runtime_cancel_locked(runtime, submit.job);
        return true;
    case HRT_SUBMIT_SPACE:
        return take_space(runtime, lane, submit.job);
    default:
        return false;
    }
}

/* ---- one lane's turn ---- */

static bool take_enqueue_entry(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                               const hrt_submit *head, hrt_unit *unit)
{
    hrt_submit_enqueue submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    if (sizeof(submit) + variable_length(&submit) > head->length) {
        return false;
    }
    if (unit->left > 0) {
        return take_follow_up(runtime, lane, &submit, entry, unit);
    }
    if (submit.flags & HRT_ENQUEUE_FOLLOW) {
        return false;
    }
    take_enqueue(runtime, lane, &submit, entry);
    return true;
}

static bool take_settle_entry(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                              const hrt_submit *head, hrt_unit *unit)
{
    hrt_submit_settle submit;
    if (head->length < sizeof(submit)) {
        return false;
    }
    memcpy(&submit, entry, sizeof(submit));
    submit.head = *head;
    return take_settle(runtime, lane, &submit, entry, unit);
}

static bool take_entry(hrt_runtime *runtime, uint32_t lane, const uint8_t *entry,
                       const hrt_submit *head, hrt_unit *unit)
{
    if (unit->left > 0 && head->type != HRT_SUBMIT_ENQUEUE) {
        return false;
    }
    switch (head->type) {
    case HRT_SUBMIT_ENQUEUE:
        return take_enqueue_entry(runtime, lane, entry, head, unit);
    case HRT_SUBMIT_SETTLE:
        return take_settle_entry(runtime, lane, entry, head, unit);
    case HRT_SUBMIT_REGISTER:
        return take_register(runtime, lane, entry, head);
    case HRT_SUBMIT_PROGRESS:
        return take_progress(runtime, lane, entry, head);
    case HRT_SUBMIT_EXTEND:
        return take_extend(runtime, lane, entry, head);
    case HRT_SUBMIT_SAVE:
        return take_save(runtime, lane, entry, head);
    default:
        return take_job_request(runtime, lane, entry, head);
    }
}

bool hrt_submission_take(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    hrt_ring_reader *reader = &seat->host.submit;
    hrt_unit unit = {0};
    uint64_t begin = reader->head;
    uint64_t count = 0;
    seat->stalled = false;
    /* A settle's follow-ups are taken with it, even past the lane's share. */
    while (reader->head - begin < HRT_PASS_BYTES || unit.left > 0) {
        hrt_submit head;
        const uint8_t *entry = NULL;
        int status = hrt_ring_peek(reader, &head, &entry);
        if (status == HRT_EAGAIN && unit.left == 0) {
            break;
        }
        if (status != HRT_OK || !take_entry(runtime, lane, entry, &head, &unit)) {
            runtime->unit_open = false;
            hrt_lanes_fault(runtime, lane, "an entry in its submit ring is malformed");
            return true;
        }
        if (hrt_runtime_has_failed(runtime)) {
            return false; /* the entry stays: callers go on until there is nothing to take */
        }
        if (seat->stalled) {
            break;
        }
        hrt_ring_advance(reader, &head);
        hrt_progress_touch(runtime, lane);
        count++;
    }
    if (reader->head == begin) {
        return false;
    }
    hrt_add_relaxed(&runtime->page->runtime.submissions, count);
    return true;
}
