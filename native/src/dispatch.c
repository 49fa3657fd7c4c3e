/* The dispatch loop: one pass after another while there is work, asleep on every lane when there is
 * none. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "park.h"

#include <sched.h>
#include <string.h>

enum {
    LEASES_PER_PASS = 32,
    YIELDS_MAX = 100,
    RESCUE_STEPS = 100,       /* until a wake-up that has not come counts as lost */
    RESCUE_STEP_NS = 1000000, /* between two looks at whether the client lives */
};

#define STALL_RETRY_NS ((uint64_t)10 * 1000000) /* a full log may get room from the flusher */
#define LONGEST_SLEEP_NS ((uint64_t)60 * 1000000000)

/* ---- the lock, and what happens around it ---- */

static bool trylock(hrt_runtime *runtime)
{
    return pthread_mutex_trylock(&runtime->lock) == 0;
}

void hrt_runtime_lock(hrt_runtime *runtime)
{
    (void)hrt_fetch_add_u32(&runtime->wanting, 1);
    (void)pthread_mutex_lock(&runtime->lock);
    (void)hrt_fetch_add_u32(&runtime->wanting, (uint32_t)-1);
}

void hrt_runtime_unlock(hrt_runtime *runtime)
{
    (void)pthread_mutex_unlock(&runtime->lock);
    /*
     * The flusher moves the position, then tries the lock. If it failed because we held it, this
     * fence, paired with the one in hrt_runtime_durable, makes its flag visible here.
     */
    hrt_fence();
    while (hrt_load_relaxed_u32(&runtime->durable_moved) != 0 && trylock(runtime)) {
        (void)hrt_exchange_u32(&runtime->durable_moved, 0);
        hrt_effect_release(runtime);
        (void)pthread_mutex_unlock(&runtime->lock);
        hrt_fence();
    }
}

/* Flusher thread: tells the lanes at once, which saves a thread hop, unless a pass is about to. */
void hrt_runtime_durable(void *context)
{
    hrt_runtime *runtime = context;
    (void)pthread_mutex_lock(&runtime->durable_lock);
    (void)pthread_cond_broadcast(&runtime->durable_changed);
    (void)pthread_mutex_unlock(&runtime->durable_lock);
    hrt_store_release_u32(&runtime->durable_moved, 1);
    hrt_fence();
    if (trylock(runtime)) {
        (void)hrt_exchange_u32(&runtime->durable_moved, 0);
        hrt_effect_release(runtime);
        hrt_runtime_unlock(runtime);
    }
}

void hrt_runtime_ring(hrt_runtime *runtime)
{
    hrt_store_release_u32(&runtime->doorbell, 1);
    hrt_fence();
    if (hrt_load_relaxed_u32(&runtime->parked) != 0) {
        hrt_park_wake_raw(&runtime->doorbell);
    }
}

void hrt_runtime_tick(hrt_runtime *runtime)
{
    runtime->wall_ns = hrt_wall_ns();
    runtime->boot_ns = hrt_boot_ns();
    hrt_log_time(runtime->log, runtime->wall_ns);
}

bool hrt_runtime_has_failed(const hrt_runtime *runtime)
{
    return hrt_load_acquire_u32(&runtime->failed) != 0;
}

void hrt_runtime_fail(hrt_runtime *runtime, int status)
{
    if (!hrt_replace_u32(&runtime->failed, 0, (uint32_t)status)) {
        return; /* the first failure is the one that counts */
    }
    hrt_event event = {.type = HRT_EVENT_FAILED, .code = status, .time_ns = hrt_wall_ns()};
    (void)hrt_last_error(event.text, sizeof(event.text));
    hrt_news_add(runtime->news, &event);
    hrt_runtime_ring(runtime);
}

/* ---- the parts of a pass ---- */

int hrt_dispatch_end_job(hrt_runtime *runtime, const hrt_settle_entry *entry, const char *why)
{
    const hrt_state_job *job = hrt_state_find(runtime->state, entry->job);
    HRT_ASSERT(job != NULL);
    bool sync = hrt_effect_is_sync(runtime, job->queue);
    hrt_settle_entry whole = *entry;
    whole.data_length = (uint32_t)strlen(why);
    uint64_t position = 0;
    int status = hrt_group_settle(runtime, &whole, why, HRT_LOG_OLD_WORK, &position);
    if (status != HRT_OK) {
        return status;
    }
    runtime->group_sync |= sync;
    if (entry->outcome == HRT_OUTCOME_CANCELLED || entry->outcome == HRT_OUTCOME_EXPIRED) {
        uint8_t state =
            entry->outcome == HRT_OUTCOME_CANCELLED ? HRT_JOB_CANCELLED : HRT_JOB_EXPIRED;
        hrt_audience_tell(runtime, entry->job, state, position, whole.data_length, sync);
    }
    return HRT_OK;
}

static bool take_submissions(hrt_runtime *runtime)
{
    bool found = false;
    uint32_t count = runtime->seat_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lane = (runtime->seat_turn + i) % count;
        if (runtime->seats[lane].phase == HRT_LANE_LIVE) {
            found |= hrt_submission_take(runtime, lane);
        }
    }
    runtime->seat_turn = count == 0 ? 0 : (runtime->seat_turn + 1) % count;
    return found;
}

static bool promote_due_jobs(hrt_runtime *runtime)
{
    uint64_t jobs[HRT_PASS_BATCH];
    uint32_t count = hrt_scheduler_due(runtime->scheduler, runtime->wall_ns, jobs, HRT_PASS_BATCH);
    for (uint32_t i = 0; i < count; i++) {
        runtime->group_sync |=
            hrt_effect_is_sync(runtime, hrt_state_find(runtime->state, jobs[i])->queue);
        if (hrt_group_due(runtime, jobs[i]) != HRT_OK) {
            return false;
        }
    }
    (void)hrt_group_close(runtime);
    return count > 0;
}

static bool end_overdue_jobs(hrt_runtime *runtime)
{
    hrt_settle_entry entries[HRT_PASS_BATCH];
    uint32_t count =
        hrt_scheduler_over(runtime->scheduler, runtime->wall_ns, entries, HRT_PASS_BATCH);
    for (uint32_t i = 0; i < count; i++) {
        const char *why = entries[i].outcome == HRT_OUTCOME_EXPIRED ? "expired before it ran" : "";
        if (hrt_state_find(runtime->state, entries[i].job) == NULL) {
            continue; /* one before it made a queue drop its oldest result */
        }
        if (hrt_dispatch_end_job(runtime, &entries[i], why) != HRT_OK) {
            return false;
        }
    }
    (void)hrt_group_close(runtime);
    return count > 0;
}

static bool lease_ready_jobs(hrt_runtime *runtime)
{
    uint64_t jobs[HRT_PASS_BATCH];
    uint32_t lane = 0;
    bool found = false;
    for (uint32_t i = 0; i < LEASES_PER_PASS; i++) {
        uint32_t most = hrt_room_leases(runtime);
        if (HRT_UNLIKELY(most == 0)) {
            break;
        }
        uint32_t count = hrt_scheduler_pick(runtime->scheduler, &lane, jobs, most);
        if (count == 0 || hrt_attempt_lease(runtime, lane, jobs, count) != HRT_OK) {
            break;
        }
        found = true;
    }
    return found;
}

static void tell_of_space(hrt_runtime *runtime)
{
    uint64_t queues = runtime->space_queues;
    while (queues != 0) {
        uint16_t queue = (uint16_t)__builtin_ctzll(queues);
        queues &= queues - 1;
        uint32_t limit = hrt_state_settings(runtime->state, queue)->max_jobs;
        if (limit != 0 && hrt_state_waiting(runtime->state, queue) >= limit) {
            continue;
        }
        hrt_delivery delivery = {.type = HRT_DELIVERY_SPACE, .queue = queue, .slot = UINT32_MAX};
        for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
            if ((runtime->space_wanted[queue][lane >> 6] >> (lane & 63)) & 1) {
                hrt_effect_deliver(runtime, lane, &delivery, false);
            }
        }
        memset(runtime->space_wanted[queue], 0, sizeof(runtime->space_wanted[queue]));
        runtime->space_queues &= ~((uint64_t)1 << queue);
    }
}

/* Entries and deliveries without a record (refusals, cancels, space) have no group to go with. */
static void mark_what_has_no_group(hrt_runtime *runtime)
{
    hrt_progress_publish(runtime);
    if ((runtime->touched[0] | runtime->touched[1]) != 0) {
        hrt_effect_mark(runtime, hrt_log_tail(runtime->log));
    }
}

/* True: it found work. */
static bool one_pass(hrt_runtime *runtime)
{
    hrt_runtime_tick(runtime);
    bool found = hrt_lanes_watch(runtime);
    found |= take_submissions(runtime);
    (void)hrt_group_close(runtime);
    found |= promote_due_jobs(runtime);
    found |= end_overdue_jobs(runtime);
    found |= hrt_attempt_overdue(runtime);
    found |= lease_ready_jobs(runtime);
    found |= hrt_checkpoint_some(runtime);
    tell_of_space(runtime);
    if (hrt_runtime_has_failed(runtime) || hrt_group_seal(runtime) != HRT_OK) {
        return false;
    }
    mark_what_has_no_group(runtime);
    hrt_effect_release(runtime);
    found |= hrt_retire_some(runtime);
    if (found) {
        hrt_counters_refresh(runtime);
        hrt_add_relaxed(&runtime->page->runtime.passes, 1);
        hrt_counters_observe(&runtime->page->runtime.pass, hrt_boot_ns() - runtime->boot_ns);
    }
    return found;
}

int hrt_dispatch_finish(hrt_runtime *runtime)
{
    int status = hrt_group_seal(runtime);
    if (status == HRT_OK) {
        mark_what_has_no_group(runtime);
        hrt_effect_release(runtime);
        hrt_counters_refresh(runtime);
    }
    hrt_runtime_ring(runtime);
    return status;
}

static uint64_t time_to_sleep(const hrt_runtime *runtime)
{
    uint64_t wait = hrt_scheduler_wait(runtime->scheduler, runtime->wall_ns, runtime->boot_ns);
    uint64_t beat = hrt_lanes_wait(runtime);
    uint64_t checkpoint = hrt_checkpoint_wait(runtime);
    for (uint32_t i = 0; i < runtime->seat_count; i++) {
        bool stalled = runtime->seats[i].stalled || hrt_lanes_owes(&runtime->seats[i]);
        wait = stalled && wait > STALL_RETRY_NS ? STALL_RETRY_NS : wait;
    }
    wait = runtime->room.waited ? STALL_RETRY_NS : wait;
    wait = beat < wait ? beat : wait;
    wait = checkpoint < wait ? checkpoint : wait;
    hrt_timer_entry kill;
    if (hrt_timer_peek(runtime->kills, &kill)) {
        uint64_t left = kill.time_ns > runtime->boot_ns ? kill.time_ns - runtime->boot_ns : 0;
        wait = left < wait ? left : wait;
    }
    return wait < LONGEST_SLEEP_NS ? wait : LONGEST_SLEEP_NS;
}

void hrt_dispatch_inline(void *context)
{
    hrt_runtime *runtime = context;
    if (!trylock(runtime)) {
        /* Somebody dispatches; he may have passed our lane already. */
        hrt_runtime_ring(runtime);
        return;
    }
    bool found = one_pass(runtime);
    hrt_add_relaxed(&runtime->page->runtime.inline_pumps, 1);
    uint64_t wake_at = runtime->boot_ns + time_to_sleep(runtime);
    bool too_late = hrt_load_relaxed_u32(&runtime->parked) != 0 &&
                    hrt_load_relaxed(&runtime->parked_until_ns) > wake_at;
    /* One pass may leave work behind; it belongs to the dispatch thread, not to the caller. */
    bool more = found && (hrt_state_ready_queues(runtime->state) != 0);
    hrt_runtime_unlock(runtime);
    if (too_late || more) {
        hrt_runtime_ring(runtime);
    }
}

/* ---- the loop ---- */

typedef struct hrt_bed {
    hrt_park_word words[HRT_LANES_MAX + 1];
    uint32_t count;
    uint64_t sleep_ns;
} hrt_bed;

/* With the lock: says "asleep" on every lane, then looks once more. False: there is work after all.
 */
static bool lie_down(hrt_runtime *runtime, hrt_bed *bed)
{
    hrt_runtime_tick(runtime);
    bed->sleep_ns = time_to_sleep(runtime);
    bed->words[0] = (hrt_park_word){&runtime->doorbell, 0};
    bed->count = 1;
    hrt_store_relaxed(&runtime->parked_until_ns, runtime->boot_ns + bed->sleep_ns);
    hrt_store_release_u32(&runtime->parked, 1);
    hrt_fence();
    bool ready = hrt_load_acquire_u32(&runtime->doorbell) != 0;
    for (uint32_t i = 0; i < runtime->seat_count; i++) {
        hrt_seat *seat = &runtime->seats[i];
        if (seat->phase == HRT_LANE_LIVE) {
            uint32_t *word = &seat->host.lane->submit_park;
            hrt_park_begin(word, HRT_PARK_FUTEX);
            bed->words[bed->count++] = (hrt_park_word){word, HRT_PARK_FUTEX};
            ready |= (!seat->stalled && hrt_ring_ready(&seat->host.submit)) ||
                     hrt_lane_died(seat->host.lane) || hrt_effect_can_go_on(seat);
        }
    }
    return !ready && bed->sleep_ns > 0;
}

static void get_up(hrt_runtime *runtime, const hrt_bed *bed)
{
    for (uint32_t i = 1; i < bed->count; i++) {
        hrt_park_cancel(bed->words[i].word);
    }
    hrt_store_release_u32(&runtime->parked, 0);
}

/* No wake-up is lost while the client is between its publish and its wake, or when it died there.
 */
static bool wake_was_lost(const hrt_seat *seat)
{
    const hrt_park_word asleep = {&seat->host.lane->submit_park, HRT_PARK_FUTEX};
    for (uint32_t step = 0; step < RESCUE_STEPS; step++) {
        if (hrt_lane_died(seat->host.lane) || hrt_park_wait_any(&asleep, 1, RESCUE_STEP_NS) != -1) {
            return false;
        }
    }
    return true;
}

/* A wake-up was lost if work waits on a lane whose word goes on to say that nobody tried to wake
 * us. */
static void count_rescues(hrt_runtime *runtime, const hrt_bed *bed)
{
    hrt_runtime_lock(runtime);
    for (uint32_t i = 0; i < runtime->seat_count; i++) {
        const hrt_seat *seat = &runtime->seats[i];
        if (seat->phase == HRT_LANE_LIVE && !seat->local && !seat->stalled &&
            hrt_ring_ready(&seat->host.submit) &&
            hrt_load_acquire_u32(&seat->host.lane->submit_park) == HRT_PARK_FUTEX) {
            for (uint32_t word = 1; word < bed->count; word++) {
                if (bed->words[word].word == &seat->host.lane->submit_park && wake_was_lost(seat)) {
                    hrt_add_relaxed(&runtime->page->runtime.rescues, 1);
                }
            }
        }
    }
    hrt_runtime_unlock(runtime);
}

static void sleep_until_rung(hrt_runtime *runtime)
{
    hrt_bed bed;
    hrt_runtime_lock(runtime);
    bool asleep = lie_down(runtime, &bed);
    if (asleep) {
        hrt_add_relaxed(&runtime->page->runtime.parks, 1);
    }
    hrt_runtime_unlock(runtime);
    if (asleep && hrt_park_wait_any(bed.words, bed.count, (int64_t)bed.sleep_ns) == -1) {
        count_rescues(runtime, &bed);
    }
    get_up(runtime, &bed);
}

/* The lock is not fair: without this a busy loop would starve whoever waits for it. */
static void let_others_in(hrt_runtime *runtime)
{
    for (uint32_t i = 0; i < YIELDS_MAX && hrt_load_relaxed_u32(&runtime->wanting) != 0; i++) {
        (void)sched_yield();
    }
}

static bool goes_on(const hrt_runtime *runtime)
{
    return hrt_load_acquire_u32(&runtime->stopping) == 0 && !hrt_runtime_has_failed(runtime);
}

int hrt_runtime_run(hrt_runtime *runtime)
{
    while (goes_on(runtime)) {
        (void)hrt_exchange_u32(&runtime->doorbell, 0);
        hrt_runtime_lock(runtime);
        bool found = one_pass(runtime);
        hrt_lanes_reap(runtime);
        hrt_runtime_unlock(runtime);
        let_others_in(runtime);
        /* Asked again: the ring of a stop may be the one that was just taken off the doorbell. */
        if (!found && goes_on(runtime)) {
            sleep_until_rung(runtime);
        }
    }
    return (int)hrt_load_acquire_u32(&runtime->failed);
}

void hrt_runtime_stop(hrt_runtime *runtime)
{
    hrt_store_release_u32(&runtime->stopping, 1);
    hrt_runtime_ring(runtime);
}
