/*
 * Adoption: a runtime goes on with the lanes of the one before. Their clients have gone on filling
 * them; the log and the lanes say together which entries were taken. docs/design.md, Takeover.
 */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"

#include <stdio.h>
#include <string.h>

enum { REPLIES_LOOKED_AT = 1024 }; /* jobs of one batch that may wait for room */

/* ---- where a lane goes on ---- */

/* The slot in the lane, or what the log said last, whichever is further on. */
static hrt_lane_progress find_start(const hrt_seat *seat, const hrt_heritage *from)
{
    const hrt_lane *lane = seat->host.lane;
    const hrt_lane_progress *slot = &lane->progress[seat->progress_turn & 1];
    hrt_lane_progress start = {hrt_load_relaxed(&slot->submit), hrt_load_relaxed(&slot->reply)};
    for (uint32_t i = 0; i < *from->taken_count; i++) {
        const hrt_lanes_entry *taken = &from->taken[i];
        if (taken->client == seat->incarnation && taken->submit > start.submit) {
            start = (hrt_lane_progress){taken->submit, taken->reply};
        }
    }
    return start;
}

static bool within(uint64_t from, uint64_t to, uint64_t most)
{
    return to - from <= most;
}

/* All of the lane is in the client's reach: nothing is believed that could not be so. */
static bool indices_are_sound(const hrt_seat *seat, hrt_lane_progress start)
{
    const hrt_lane *lane = seat->host.lane;
    uint64_t tail = hrt_load_acquire(&lane->submit_tail);
    uint64_t released = hrt_load_relaxed(&lane->submit_head);
    return (start.submit | tail | released) % sizeof(hrt_submit) == 0 &&
           within(released, start.submit, seat->submit_capacity) &&
           within(start.submit, tail, seat->submit_capacity) &&
           within(released, tail, seat->submit_capacity) &&
           within(seat->host.reply_next, start.reply, HRT_LANE_REPLY) &&
           within(hrt_load_acquire(&lane->deliver_head), seat->host.deliver_tail, HRT_LANE_DELIVER);
}

/*
 * A producer that waits for room has jobs in the ring behind the one that was refused, and they
 * must not overtake it. Which queue it was is not known any more; who resends says so.
 */
static bool waits_for_room(const hrt_seat *seat, uint64_t reply)
{
    for (uint64_t i = 0; i < REPLIES_LOOKED_AT && i < reply; i++) {
        const int64_t *place = &seat->host.replies[(reply - 1 - i) & (HRT_LANE_REPLY - 1)];
        if ((int64_t)hrt_load_relaxed((const uint64_t *)place) == HRT_EFULL) {
            return true;
        }
    }
    return false;
}

/* False: the lane is spoiled. */
static bool find_place(hrt_runtime *runtime, uint32_t lane, const hrt_heritage *from)
{
    hrt_seat *seat = &runtime->seats[lane];
    seat->progress_turn = hrt_load_acquire_u32(&seat->host.lane->progress_turn);
    seat->inherited = seat->host.deliver_tail;
    seat->released = hrt_load_relaxed(&seat->host.lane->submit_head);
    hrt_lane_progress start = find_start(seat, from);
    if (!indices_are_sound(seat, start)) {
        return false;
    }
    /* Replies that the client has not seen may be of groups that are not on the disk yet. */
    hrt_effect_touch(runtime, lane, start.reply != seat->host.reply_next);
    seat->host.submit.head = start.submit;
    seat->host.submit.tail_seen = start.submit;
    seat->host.reply_next = start.reply;
    seat->full_queues = waits_for_room(seat, start.reply) ? UINT64_MAX : 0;
    seat->draining = hrt_load_acquire_u32(&seat->host.lane->draining) != 0;
    seat->info.draining = seat->draining;
    hrt_progress_touch(runtime, lane);
    return true;
}

/* ---- what a lane holds ---- */

static void list_free_places(hrt_seat *seat)
{
    seat->free_head = 0;
    seat->free_count = 0;
    for (uint32_t place = 0; place < HRT_CREDIT_MAX; place++) {
        if (seat->attempts[place].job == 0) {
            seat->free_places[seat->free_count++] = (uint16_t)place;
        }
    }
}

/* Jobs that do not fit are lost to the lane, as they were with its runtime. */
static int restore_attempts(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    uint64_t jobs[HRT_CREDIT_MAX];
    uint32_t count = hrt_state_leased_to(runtime->state, seat->incarnation, jobs, HRT_CREDIT_MAX);
    int status = HRT_OK;
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        const hrt_state_job *job = hrt_state_find(runtime->state, jobs[i]);
        if (!hrt_attempt_restore(runtime, lane, job)) {
            status = hrt_attempt_lose(runtime, jobs[i]);
        }
    }
    list_free_places(seat);
    return status;
}

/* What was there when we came; what the client adds meanwhile is for the passes to come. */
static void take_submitted(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    uint64_t tail = hrt_load_acquire(&seat->host.lane->submit_tail);
    while (seat->phase == HRT_LANE_LIVE && seat->host.submit.head < tail &&
           hrt_submission_take(runtime, lane)) {
    }
}

/* The client passes over leases that it knows; ones that it was never told of it begins. */
static void tell(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    const hrt_delivery adopted = {.type = HRT_DELIVERY_ADOPTED, .slot = UINT32_MAX};
    uint64_t jobs[HRT_CREDIT_MAX];
    uint32_t takeovers = hrt_load_relaxed_u32(&seat->host.lane->takeovers);
    hrt_store_release_u32(&seat->host.lane->takeovers, takeovers + 1);
    hrt_effect_deliver(runtime, lane, &adopted, false);
    uint32_t count = hrt_state_leased_to(runtime->state, seat->incarnation, jobs, HRT_CREDIT_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const hrt_state_job *job = hrt_state_find(runtime->state, jobs[i]);
        const hrt_attempt *attempt = hrt_attempt_find(runtime, lane, jobs[i], job->token);
        if (attempt != NULL) {
            hrt_attempt_tell(runtime, lane, job, hrt_effect_is_sync(runtime, job->queue));
        }
        if (attempt != NULL && attempt->stop != 0) {
            hrt_attempt_ask(runtime, lane, attempt);
        }
    }
}

/* ---- all of it ---- */

static void refuse(hrt_runtime *runtime, const hrt_grant *grant)
{
    hrt_event event = {.type = HRT_EVENT_FAULT,
                       .code = HRT_EPEER,
                       .incarnation = grant->incarnation,
                       .pid = grant->pid,
                       .time_ns = hrt_wall_ns()};
    (void)hrt_last_error(event.text, sizeof(event.text));
    hrt_news_add(runtime->news, &event);
}

/*
 * Nothing may be written before all of them have found their start: our first LANES record takes
 * the place of the last one of the runtime before, and has to name every lane that it named.
 */
static int sit_down(hrt_runtime *runtime, const hrt_heritage *from, uint64_t spoiled[2])
{
    for (uint32_t i = 0; i < from->lane_count; i++) {
        uint32_t lane = 0;
        int status = hrt_lanes_inherit(runtime, &from->lanes[i], &lane);
        if (status == HRT_ENOMEM) {
            return status;
        }
        if (status != HRT_OK && status != HRT_ECLOSED) {
            refuse(runtime, &from->lanes[i].grant);
        } else if (status == HRT_OK && !find_place(runtime, lane, from)) {
            spoiled[lane >> 6] |= (uint64_t)1 << (lane & 63);
        }
    }
    return HRT_OK;
}

int hrt_adopt_lanes(hrt_runtime *runtime, const hrt_heritage *from)
{
    uint64_t spoiled[2] = {0};
    int status = sit_down(runtime, from, spoiled);
    status = status == HRT_OK ? hrt_retire_inherit(runtime) : status;
    for (uint32_t lane = 0; lane < runtime->seat_count && status == HRT_OK; lane++) {
        if (runtime->seats[lane].phase == HRT_LANE_LIVE) {
            status = restore_attempts(runtime, lane);
        }
    }
    hrt_room_look(runtime); /* what is submitted may not take the room of those that run */
    for (uint32_t lane = 0; lane < runtime->seat_count && status == HRT_OK; lane++) {
        if ((spoiled[lane >> 6] >> (lane & 63)) & 1) {
            hrt_lanes_fault(runtime, lane, "its indices make no sense");
        } else if (runtime->seats[lane].phase == HRT_LANE_LIVE) {
            take_submitted(runtime, lane);
        }
    }
    status = status == HRT_OK ? hrt_group_close(runtime) : status;
    for (uint32_t lane = 0; lane < runtime->seat_count && status == HRT_OK; lane++) {
        hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase == HRT_LANE_LIVE) {
            tell(runtime, lane);
            status = hrt_sentinel_add(runtime->sentinel, lane, seat->host.lane);
        }
    }
    return hrt_runtime_has_failed(runtime) ? HRT_EIO : status;
}
