/* Attempts: leases in the hands of lanes. Hand over, settle, stop, take back. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- places: started indices of a lane ---- */

static uint16_t take_place(hrt_seat *seat, uint64_t job)
{
    HRT_ASSERT(seat->free_count > 0);
    uint16_t place = seat->free_places[seat->free_head++ & (HRT_CREDIT_MAX - 1)];
    if (HRT_UNLIKELY(hrt_lane_started(&seat->host, place) == job && seat->free_count > 1)) {
        /* The mark of an earlier attempt of this job: it would look started before it is. */
        uint16_t other = seat->free_places[seat->free_head++ & (HRT_CREDIT_MAX - 1)];
        seat->free_places[(seat->free_head + seat->free_count - 2) & (HRT_CREDIT_MAX - 1)] = place;
        place = other;
    }
    seat->free_count--;
    return place;
}

static void give_place(hrt_seat *seat, uint16_t place)
{
    seat->free_places[(seat->free_head + seat->free_count++) & (HRT_CREDIT_MAX - 1)] = place;
}

/* The attempt at the place that the state names, if it is the one that the state means. */
static hrt_attempt *attempt_at(hrt_seat *seat, const hrt_state_job *job)
{
    if (job->state != HRT_JOB_RUNNING || job->client != seat->incarnation ||
        job->place >= HRT_CREDIT_MAX) {
        return NULL;
    }
    hrt_attempt *attempt = &seat->attempts[job->place];
    return attempt->job == job->id && attempt->token == job->token ? attempt : NULL;
}

hrt_attempt *hrt_attempt_of(hrt_runtime *runtime, const hrt_state_job *job, uint32_t *lane_out)
{
    hrt_seat *seat = hrt_lanes_find(runtime, job->client, lane_out);
    return seat == NULL ? NULL : attempt_at(seat, job);
}

hrt_attempt *hrt_attempt_find(hrt_runtime *runtime, uint32_t lane, uint64_t job, uint64_t token)
{
    const hrt_state_job *known = hrt_state_find(runtime->state, job);
    hrt_attempt *attempt = known == NULL ? NULL : attempt_at(&runtime->seats[lane], known);
    return attempt != NULL && attempt->token == token ? attempt : NULL;
}

/* ---- handing over ---- */

/* Right before the lease, which the client joins it to: nothing else comes between the two. */
static void deliver_saved(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job, bool sync)
{
    hrt_delivery delivery = {.type = HRT_DELIVERY_SAVED,
                             .job = job->id,
                             .token = job->token,
                             .data_length = job->saved_length};
    hrt_log_place(runtime->log, job->saved_position, &delivery.slot, &delivery.data_offset);
    hrt_effect_deliver(runtime, lane, &delivery, sync);
}

static void begin_attempt(hrt_runtime *runtime, hrt_seat *seat, const hrt_state_job *job)
{
    seat->attempts[job->place] = (hrt_attempt){
        .job = job->id,
        .token = job->token,
        /* What it saved never lies in an older one: this one is enough to keep both. */
        .segment = job->leased_position / hrt_log_segment_size(runtime->log),
        .leased_ns = runtime->boot_ns,
        .index = hrt_state_index(runtime->state, job),
        .flags = job->suspect ? HRT_ATTEMPT_SUSPECT : 0,
    };
    seat->held++;
    runtime->room.running++;
}

void hrt_attempt_tell(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job, bool sync)
{
    hrt_delivery delivery = {
        .type = HRT_DELIVERY_LEASE,
        .job = job->id,
        .token = job->token,
        .data_length = job->payload_length,
        .kind = job->kind,
        .queue = job->queue,
        .attempt = job->attempt,
        .started_index = job->place,
    };
    hrt_log_place(runtime->log, job->position, &delivery.slot, &delivery.record_offset);
    delivery.data_offset = delivery.record_offset + job->data_offset;
    if (job->timeout_ms != 0) {
        delivery.deadline_ns = runtime->boot_ns + (uint64_t)job->timeout_ms * 1000000u;
        if (!hrt_scheduler_deadline(runtime->scheduler, job->id, delivery.deadline_ns)) {
            hrt_runtime_fail(runtime, HRT_ENOMEM);
        }
    }
    if (HRT_UNLIKELY(job->saved_length > 0)) {
        deliver_saved(runtime, lane, job, sync);
    }
    hrt_effect_deliver(runtime, lane, &delivery, sync);
}

static void hand_over(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job, bool sync)
{
    begin_attempt(runtime, &runtime->seats[lane], job);
    hrt_kind_counters *kind = &runtime->page->kind_counters[job->kind];
    uint64_t waited = runtime->wall_ns > job->ready_ns ? runtime->wall_ns - job->ready_ns : 0;
    hrt_counters_observe(&kind->wait, waited);
    hrt_attempt_tell(runtime, lane, job, sync);
}

bool hrt_attempt_restore(hrt_runtime *runtime, uint32_t lane, const hrt_state_job *job)
{
    hrt_seat *seat = &runtime->seats[lane];
    if (job->place >= HRT_CREDIT_MAX || seat->attempts[job->place].job != 0) {
        return false;
    }
    begin_attempt(runtime, seat, job);
    bool cancelled = hrt_stops_has(&runtime->stops, job->id, job->token);
    seat->attempts[job->place].stop = cancelled ? HRT_OUTCOME_CANCELLED : 0;
    seat->attempts[job->place].flags |= HRT_ATTEMPT_RESTORED;
    seat->strays = true;
    return true;
}

int hrt_attempt_lease(hrt_runtime *runtime, uint32_t lane, const uint64_t *jobs, uint32_t count)
{
    hrt_seat *seat = &runtime->seats[lane];
    hrt_record *record = NULL;
    int status = hrt_group_add(runtime, HRT_RECORD_LEASE, hrt_lease_length(count), HRT_LOG_OLD_WORK,
                               &record);
    if (status != HRT_OK) {
        return status;
    }
    record->count = count;
    hrt_lease_body *lease = hrt_record_body(record);
    lease->client = seat->incarnation;
    memcpy(lease + 1, jobs, count * sizeof(uint64_t));
    uint16_t *places = hrt_lease_places(record);
    for (uint32_t i = 0; i < count; i++) {
        places[i] = take_place(seat, jobs[i]);
    }
    status = hrt_group_apply(runtime, record);
    if (status != HRT_OK) {
        return status;
    }
    bool suspect = false;
    for (uint32_t i = 0; i < count; i++) {
        const hrt_state_job *job = hrt_state_find(runtime->state, jobs[i]);
        HRT_ASSERT(job != NULL && job->state == HRT_JOB_RUNNING);
        bool sync = hrt_effect_is_sync(runtime, job->queue);
        runtime->group_sync |= sync;
        suspect |= job->suspect;
        hand_over(runtime, lane, job, sync);
    }
    hrt_scheduler_leased(runtime->scheduler, lane, count, suspect);
    hrt_add_relaxed(&runtime->page->runtime.leases, count);
    return HRT_OK;
}

/* ---- letting go ---- */

static void release(hrt_runtime *runtime, uint32_t lane, hrt_attempt *attempt)
{
    hrt_seat *seat = &runtime->seats[lane];
    uint16_t place = (uint16_t)(attempt - seat->attempts);
    HRT_ASSERT(place < HRT_CREDIT_MAX && attempt->job != 0);
    if (attempt->stop != 0) {
        hrt_timer_clear(runtime->kills, lane * HRT_CREDIT_MAX + place);
    }
    if (seat->registered) {
        hrt_scheduler_released(runtime->scheduler, lane, 1,
                               (attempt->flags & HRT_ATTEMPT_SUSPECT) != 0, runtime->boot_ns);
    }
    free(attempt->note);
    attempt->note = NULL;
    attempt->job = 0;
    seat->held--;
    runtime->room.running--;
    give_place(seat, place);
}

static bool is_end(uint8_t outcome)
{
    return outcome == HRT_OUTCOME_OK || outcome == HRT_OUTCOME_DISCARD ||
           outcome == HRT_OUTCOME_DEAD || outcome == HRT_OUTCOME_CANCELLED ||
           outcome == HRT_OUTCOME_EXPIRED;
}

static uint8_t end_state(uint8_t outcome)
{
    switch (outcome) {
    case HRT_OUTCOME_OK:
        return HRT_JOB_COMPLETED;
    case HRT_OUTCOME_DEAD:
        return HRT_JOB_DEAD;
    case HRT_OUTCOME_CANCELLED:
        return HRT_JOB_CANCELLED;
    case HRT_OUTCOME_EXPIRED:
        return HRT_JOB_EXPIRED;
    default:
        return HRT_JOB_DISCARDED;
    }
}

/* A job that was asked to stop ends as that, whatever its handler called it; unless it had
 * finished. */
static uint8_t outcome_after_stop(const hrt_attempt *attempt, uint8_t outcome)
{
    if (attempt->stop == HRT_OUTCOME_CANCELLED && outcome != HRT_OUTCOME_OK &&
        outcome != HRT_OUTCOME_DEAD && outcome != HRT_OUTCOME_DISCARD) {
        return HRT_OUTCOME_CANCELLED;
    }
    if (attempt->stop == HRT_OUTCOME_TIMEOUT &&
        (outcome == HRT_OUTCOME_RETRY || outcome == HRT_OUTCOME_CRASHED)) {
        return HRT_OUTCOME_TIMEOUT;
    }
    return outcome;
}

static void tell_of_dead_letter(hrt_runtime *runtime, const hrt_state_job *job,
                                const hrt_settle_entry *entry, const char *why)
{
    hrt_event event = {.type = HRT_EVENT_DEAD,
                       .job = entry->job,
                       .code = entry->cause,
                       .incarnation = job->client,
                       .time_ns = runtime->wall_ns};
    (void)snprintf(event.text, sizeof(event.text), "%.*s", (int)entry->data_length, why);
    hrt_news_add(runtime->news, &event);
}

static void announce(hrt_runtime *runtime, const hrt_state_job *job, const hrt_settle_entry *entry,
                     const void *data, uint64_t position)
{
    bool sync = hrt_effect_is_sync(runtime, job->queue);
    runtime->group_sync |= sync;
    runtime->group_async |=
        hrt_state_settings(runtime->state, job->queue)->durability == HRT_DURABILITY_ASYNC;
    if (!is_end(entry->outcome)) {
        return;
    }
    bool given_up = data == NULL && entry->outcome == HRT_OUTCOME_OK;
    hrt_audience_tell(runtime, entry->job, given_up ? HRT_ENOTFOUND : end_state(entry->outcome),
                      position, entry->data_length, sync);
    if (entry->outcome == HRT_OUTCOME_DEAD) {
        tell_of_dead_letter(runtime, job, entry, entry->data_length > 0 ? data : "");
    }
}

/*
 * In a log full of living jobs none of them may take more: the error text goes, and the result is
 * not kept. Without data it was given up before.
 */
static void make_lean(hrt_settle_entry *entry, const void *data)
{
    bool leaves = is_end(entry->outcome) && entry->outcome != HRT_OUTCOME_DEAD;
    entry->due_ns = leaves ? 0 : entry->due_ns;
    entry->data_length = leaves && data != NULL ? entry->data_length : 0;
}

int hrt_attempt_settle(hrt_runtime *runtime, uint32_t lane, hrt_attempt *attempt, uint8_t outcome,
                       uint64_t delay_ns, const void *data, uint32_t length)
{
    const hrt_state_job *job = hrt_state_at(runtime->state, attempt->index);
    HRT_ASSERT(job->id == attempt->job && job->token == attempt->token);
    hrt_settle_entry entry = {.job = attempt->job, .token = attempt->token, .data_length = length};
    hrt_scheduler_judge(runtime->scheduler, job, outcome_after_stop(attempt, outcome), delay_ns,
                        runtime->wall_ns, &entry);
    if (HRT_UNLIKELY(data == NULL || hrt_room_pressed(runtime, length))) {
        make_lean(&entry, data);
    }
    uint64_t position = 0;
    int status = hrt_group_settle(runtime, &entry, data, HRT_LOG_END, &position);
    if (status != HRT_OK) {
        return status;
    }
    announce(runtime, job, &entry, data, position);
    hrt_kind_counters *kind = &runtime->page->kind_counters[job->kind];
    hrt_counters_observe(&kind->run, runtime->boot_ns - attempt->leased_ns);
    hrt_add_relaxed(&runtime->page->runtime.settles, 1);
    if (job->timeout_ms != 0) {
        (void)hrt_scheduler_deadline(runtime->scheduler, attempt->job, 0);
    }
    release(runtime, lane, attempt);
    return HRT_OK;
}

int hrt_attempt_lose(hrt_runtime *runtime, uint64_t id)
{
    static const char why[] = "the supervisor ended while this attempt was out";
    const hrt_state_job *job = hrt_state_find(runtime->state, id);
    HRT_ASSERT(job != NULL && job->state == HRT_JOB_RUNNING);
    bool cancelled = hrt_stops_has(&runtime->stops, id, job->token);
    uint8_t outcome = cancelled ? HRT_OUTCOME_CANCELLED : HRT_OUTCOME_LOST;
    hrt_settle_entry entry = {.job = id, .token = job->token, .data_length = sizeof(why) - 1};
    hrt_scheduler_judge(runtime->scheduler, job, outcome, 0, runtime->wall_ns, &entry);
    int status = hrt_group_settle(runtime, &entry, why, HRT_LOG_END, NULL);
    runtime->recovery.lost_leases += status == HRT_OK;
    return status;
}

/* ---- stopping ---- */

void hrt_attempt_stop(hrt_runtime *runtime, uint32_t lane, hrt_attempt *attempt, uint8_t why)
{
    bool asked = attempt->stop != 0;
    if (!asked || why == HRT_OUTCOME_CANCELLED) {
        attempt->stop = why;
    }
    if (!asked) {
        hrt_attempt_ask(runtime, lane, attempt);
    }
}

void hrt_attempt_ask(hrt_runtime *runtime, uint32_t lane, const hrt_attempt *attempt)
{
    hrt_delivery delivery = {.type = HRT_DELIVERY_CANCEL,
                             .code = attempt->stop,
                             .job = attempt->job,
                             .token = attempt->token,
                             .slot = UINT32_MAX};
    hrt_effect_deliver(runtime, lane, &delivery, false);
    uint32_t item = lane * HRT_CREDIT_MAX + (uint32_t)(attempt - runtime->seats[lane].attempts);
    if (!hrt_timer_set(runtime->kills, item, runtime->boot_ns + runtime->options.cancel_grace_ns)) {
        hrt_runtime_fail(runtime, HRT_ENOMEM);
    }
}

static bool stop_overdue(hrt_runtime *runtime)
{
    bool found = false;
    uint64_t id;
    while ((id = hrt_scheduler_overdue(runtime->scheduler, runtime->boot_ns)) != 0) {
        uint32_t lane = 0;
        const hrt_state_job *job = hrt_state_find(runtime->state, id);
        hrt_attempt *attempt = job == NULL ? NULL : hrt_attempt_of(runtime, job, &lane);
        if (attempt != NULL) {
            hrt_attempt_stop(runtime, lane, attempt, HRT_OUTCOME_TIMEOUT);
        }
        found = true;
    }
    return found;
}

static bool kill_unstoppable(hrt_runtime *runtime)
{
    hrt_timer_entry entry;
    bool found = false;
    while (hrt_timer_peek(runtime->kills, &entry) && entry.time_ns <= runtime->boot_ns) {
        hrt_timer_clear(runtime->kills, entry.item);
        uint32_t lane = entry.item / HRT_CREDIT_MAX;
        hrt_attempt *attempt = &runtime->seats[lane].attempts[entry.item % HRT_CREDIT_MAX];
        attempt->flags |= HRT_ATTEMPT_KILLING;
        hrt_news_lane(runtime, HRT_EVENT_KILL, lane, attempt->job, 1,
                      attempt->stop == HRT_OUTCOME_TIMEOUT
                          ? "a job went on past its time limit and did not stop when asked"
                          : "a cancelled job did not stop when asked");
        found = true;
    }
    return found;
}

bool hrt_attempt_overdue(hrt_runtime *runtime)
{
    bool stopped = stop_overdue(runtime);
    return kill_unstoppable(runtime) || stopped;
}

/* ---- taking back ---- */

static bool lane_is_being_killed(const hrt_seat *seat)
{
    for (uint32_t i = 0; i < HRT_CREDIT_MAX; i++) {
        if (seat->attempts[i].job != 0 && (seat->attempts[i].flags & HRT_ATTEMPT_KILLING)) {
            return true;
        }
    }
    return false;
}

/*
 * How one attempt ends when its worker is gone. What had not begun goes back uncounted; what was
 * killed on purpose ends as what it was stopped for, and takes no neighbour with it.
 */
static uint8_t reclaim_outcome(const hrt_seat *seat, uint32_t place, uint8_t why, bool killed)
{
    const hrt_attempt *attempt = &seat->attempts[place];
    if (attempt->stop != 0) {
        return attempt->stop;
    }
    if (killed || hrt_lane_started(&seat->host, place) != attempt->job) {
        return HRT_OUTCOME_RETURNED;
    }
    return why;
}

uint32_t hrt_attempt_reclaim(hrt_runtime *runtime, uint32_t lane, uint8_t why, const char *cause)
{
    hrt_seat *seat = &runtime->seats[lane];
    bool killed = lane_is_being_killed(seat);
    uint32_t count = 0;
    for (uint32_t place = 0; seat->held > 0 && place < HRT_CREDIT_MAX; place++) {
        hrt_attempt *attempt = &seat->attempts[place];
        if (attempt->job == 0) {
            continue;
        }
        uint8_t outcome = reclaim_outcome(seat, place, why, killed);
        uint32_t length = outcome == HRT_OUTCOME_RETURNED ? 0 : (uint32_t)strlen(cause);
        if (hrt_attempt_settle(runtime, lane, attempt, outcome, UINT64_MAX, cause, length) !=
            HRT_OK) {
            break;
        }
        count++;
    }
    return count;
}
