/* What lanes may be told, and when: deliveries and replies wait in order for the durable position.
 */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "grow.h"
#include "park.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

enum { OVERFLOW_MAX = 1048576 }; /* deliveries that wait for a client that does not read */

bool hrt_effect_is_sync(const hrt_runtime *runtime, uint16_t queue)
{
    return hrt_state_settings(runtime->state, queue)->durability == HRT_DURABILITY_SYNC;
}

void hrt_effect_touch(hrt_runtime *runtime, uint32_t lane, bool sync)
{
    uint64_t bit = (uint64_t)1 << (lane & 63);
    runtime->touched[lane >> 6] |= bit;
    if (sync) {
        runtime->touched_sync[lane >> 6] |= bit;
    }
}

static void add_pin(hrt_runtime *runtime, hrt_seat *seat, uint64_t position)
{
    if (!hrt_grow(&seat->pins, &seat->pin_capacity, seat->pin_count + 1, 64, sizeof(*seat->pins))) {
        hrt_runtime_fail(runtime, HRT_ENOMEM);
        return;
    }
    uint64_t segment = position / hrt_log_segment_size(runtime->log);
    seat->pins[seat->pin_count++] = (hrt_pin){seat->host.deliver_tail, segment};
}

/* Its token field carries the position of its data until it is written into the ring. */
static void put_result(hrt_runtime *runtime, hrt_seat *seat, const hrt_delivery *result)
{
    hrt_delivery placed = *result;
    add_pin(runtime, seat, placed.token);
    hrt_log_place(runtime->log, placed.token, &placed.slot, &placed.data_offset);
    placed.token = 0;
    hrt_lane_deliver(&seat->host, &placed);
}

/* Only with room in the ring. */
static void put(hrt_runtime *runtime, hrt_seat *seat, const hrt_delivery *delivery)
{
    if (delivery->type == HRT_DELIVERY_RESULT && delivery->data_length > 0) {
        put_result(runtime, seat, delivery);
    } else {
        hrt_lane_deliver(&seat->host, delivery);
    }
}

/* The ring is full, or others wait for it. False: so many that it is of no use any more. */
HRT_RARE static bool put_off(hrt_runtime *runtime, hrt_seat *seat, const hrt_delivery *delivery)
{
    if (seat->overflow_count >= OVERFLOW_MAX && !seat->local) {
        seat->flooded = true; /* the lane is shut by the next pass, what it held is taken back */
        return false;
    }
    if (!hrt_grow(&seat->overflow, &seat->overflow_capacity, seat->overflow_count + 1, 64,
                  sizeof(*seat->overflow))) {
        hrt_runtime_fail(runtime, HRT_ENOMEM);
        return false;
    }
    seat->overflow[seat->overflow_count++] = *delivery;
    return true;
}

void hrt_effect_deliver(hrt_runtime *runtime, uint32_t lane, const hrt_delivery *delivery,
                        bool sync)
{
    hrt_seat *seat = &runtime->seats[lane];
    if (seat->overflow_count == 0 && hrt_lane_deliver_room(&seat->host) > 0) {
        put(runtime, seat, delivery);
    } else if (!put_off(runtime, seat, delivery)) {
        return;
    }
    hrt_effect_touch(runtime, lane, sync);
}

void hrt_effect_reply(hrt_runtime *runtime, uint32_t lane, int64_t value, bool sync)
{
    hrt_lane_reply(&runtime->seats[lane].host, value);
    hrt_effect_touch(runtime, lane, sync);
}

static void push_mark(hrt_runtime *runtime, hrt_seat *seat, uint64_t need)
{
    hrt_mark mark = {need, seat->host.deliver_tail, seat->host.reply_next, runtime->boot_ns};
    if (seat->mark_count > 0) {
        /* In order: nothing overtakes what waits. Marks with the same need are one mark. */
        hrt_mark *last =
            &seat->marks[(seat->mark_head + seat->mark_count - 1) & (seat->mark_capacity - 1)];
        if (last->need >= need) {
            mark.need = last->need;
            mark.made_ns = last->made_ns;
            *last = mark;
            return;
        }
    }
    if (seat->mark_count == seat->mark_capacity) {
        uint32_t capacity = seat->mark_capacity == 0 ? 64 : seat->mark_capacity * 2;
        hrt_mark *marks = malloc(capacity * sizeof(*marks));
        if (marks == NULL) {
            hrt_runtime_fail(runtime, HRT_ENOMEM);
            return;
        }
        for (uint32_t i = 0; i < seat->mark_count; i++) {
            marks[i] = seat->marks[(seat->mark_head + i) & (seat->mark_capacity - 1)];
        }
        free(seat->marks);
        seat->marks = marks;
        seat->mark_head = 0;
        seat->mark_capacity = capacity;
    }
    seat->marks[(seat->mark_head + seat->mark_count++) & (seat->mark_capacity - 1)] = mark;
}

void hrt_effect_mark(hrt_runtime *runtime, uint64_t end)
{
    for (uint32_t word = 0; word < 2; word++) {
        uint64_t lanes = runtime->touched[word];
        while (lanes != 0) {
            uint32_t bit = (uint32_t)__builtin_ctzll(lanes);
            lanes &= lanes - 1;
            bool sync = (runtime->touched_sync[word] >> bit) & 1;
            push_mark(runtime, &runtime->seats[word * 64 + bit], sync ? end : 0);
        }
        runtime->touched[word] = 0;
        runtime->touched_sync[word] = 0;
    }
}

static void refill_from_overflow(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    uint32_t room = hrt_lane_deliver_room(&seat->host);
    uint32_t count = seat->overflow_count < room ? seat->overflow_count : room;
    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        put(runtime, seat, &seat->overflow[i]);
    }
    seat->overflow_count -= count;
    memmove(seat->overflow, seat->overflow + count, seat->overflow_count * sizeof(*seat->overflow));
    /* What waited here is at least as old as the last sealed group. */
    push_mark(runtime, seat, hrt_log_tail(runtime->log));
    hrt_log_want_sync(runtime->log, hrt_log_tail(runtime->log));
}

void hrt_effect_drain(hrt_seat *seat)
{
    hrt_lane *lane = seat->host.lane;
    if (hrt_load_relaxed(&lane->deliver_tail) >= seat->drain_from &&
        hrt_load_relaxed_u32(&lane->draining) == 0) {
        hrt_store_release_u32(&lane->draining, 1);
        (void)hrt_park_wake(&lane->deliver_park, seat->event_fd);
    }
}

static bool release_lane(hrt_runtime *runtime, uint32_t lane, uint64_t durable)
{
    hrt_seat *seat = &runtime->seats[lane];
    hrt_mark ready = {0, 0, 0, 0};
    uint64_t oldest_ns = 0;
    bool found = false;
    if (HRT_UNLIKELY(seat->overflow_count > 0)) {
        refill_from_overflow(runtime, lane);
    }
    while (seat->mark_count > 0) {
        const hrt_mark *mark = &seat->marks[seat->mark_head & (seat->mark_capacity - 1)];
        if (mark->need > durable) {
            break;
        }
        oldest_ns = found ? oldest_ns : mark->made_ns;
        ready = *mark;
        found = true;
        seat->mark_head++;
        seat->mark_count--;
    }
    if (!found) {
        return false;
    }
    if (seat->registered) {
        hrt_scheduler_delayed(runtime->scheduler, lane, runtime->boot_ns - oldest_ns);
    }
    if (hrt_lane_publish(&seat->host, ready.deliver_end, ready.reply_end, seat->event_fd)) {
        hrt_add_relaxed(&runtime->page->runtime.wakes, 1);
    }
    if (HRT_UNLIKELY(seat->draining)) {
        hrt_effect_drain(seat);
    }
    return true;
}

void hrt_effect_release(hrt_runtime *runtime)
{
    if (HRT_UNLIKELY(hrt_runtime_has_failed(runtime))) {
        return;
    }
    uint64_t durable = hrt_log_durable(runtime->log);
    hrt_store_release(&runtime->page->runtime.log_durable, durable);
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase == HRT_LANE_LIVE && (seat->mark_count > 0 || seat->overflow_count > 0)) {
            (void)release_lane(runtime, lane, durable);
        }
    }
}

bool hrt_effect_can_go_on(hrt_seat *seat)
{
    return seat->overflow_count > 0 && hrt_lane_deliver_room(&seat->host) > 0;
}

static void drop_passed_pins(hrt_seat *seat)
{
    uint64_t head = hrt_load_acquire(&seat->host.lane->deliver_head);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < seat->pin_count; i++) {
        if (seat->pins[i].deliver_index >= head) {
            seat->pins[kept++] = seat->pins[i];
        }
    }
    seat->pin_count = kept;
}

static bool lane_points_into(hrt_seat *seat, uint64_t segment)
{
    if (HRT_UNLIKELY(seat->inherited > 0)) {
        if (hrt_load_acquire(&seat->host.lane->deliver_head) < seat->inherited) {
            return true;
        }
        seat->inherited = 0;
    }
    if (seat->pin_count > 0) {
        drop_passed_pins(seat);
        for (uint32_t i = 0; i < seat->pin_count; i++) {
            if (seat->pins[i].segment == segment) {
                return true;
            }
        }
    }
    return false;
}

/* A handler reads key, meta and payload where they lie until its job is settled. */
static bool attempt_points_into(const hrt_seat *seat, uint64_t segment)
{
    uint32_t left = seat->held;
    bool stray = segment >= HRT_LOG_STRAYS; /* any that was not begun here may be read there */
    if (stray && !seat->strays) {
        return false;
    }
    for (uint32_t place = 0; left > 0 && place < HRT_CREDIT_MAX; place++) {
        const hrt_attempt *attempt = &seat->attempts[place];
        bool here =
            stray ? (attempt->flags & HRT_ATTEMPT_RESTORED) != 0 : attempt->segment == segment;
        if (attempt->job != 0 && here) {
            return true;
        }
        left -= attempt->job != 0;
    }
    return false;
}

static bool seat_points_into(hrt_seat *seat, uint64_t segment)
{
    switch (seat->phase) {
    case HRT_LANE_SHUT: /* a zombie may still read there, until the supervisor saw it gone */
        return !seat->gone && ((segment >= seat->pinned_from && segment <= seat->pinned_to) ||
                               (segment >= HRT_LOG_STRAYS && seat->strays));
    case HRT_LANE_LIVE: /* a result that waits in the overflow may lie anywhere */
        return seat->overflow_count > 0 || lane_points_into(seat, segment) ||
               attempt_points_into(seat, segment);
    default:
        return false;
    }
}

/* The lane that held a segment last is asked first: asked in each pass, it answers at once. */
bool hrt_effect_pinned(hrt_runtime *runtime, uint64_t segment)
{
    for (uint32_t i = 0; i < runtime->seat_count; i++) {
        uint32_t lane = (runtime->pinning_lane + i) % runtime->seat_count;
        if (seat_points_into(&runtime->seats[lane], segment)) {
            runtime->pinning_lane = lane;
            return true;
        }
    }
    return false;
}
