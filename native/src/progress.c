/*
 * How far lanes were taken. Each group ends with a LANES record that says so, and the lanes say it
 * too once the group is written: then a successor knows exactly which entries the log holds.
 */
#include "dispatch.h"

#include "atomic.h"
#include "park.h"
#include "record.h"

enum {
    LARGEST_ENTRY = sizeof(hrt_submit_enqueue) + HRT_TRACE_SIZE + HRT_KEY_MAX + HRT_META_MAX +
                    HRT_PAYLOAD_MAX + 8, /* with its padding */
};

size_t hrt_progress_room(const hrt_runtime *runtime)
{
    size_t body = runtime->seat_count * sizeof(hrt_lanes_entry);
    return body == 0 ? 0 : hrt_record_span((uint32_t)(sizeof(hrt_record) + body));
}

/* Lanes of a bit set, one after the other; false: none is left. */
static bool next_lane(uint64_t lanes[2], uint32_t *lane_out)
{
    uint32_t word = lanes[0] != 0 ? 0 : 1;
    if (lanes[word] == 0) {
        return false;
    }
    *lane_out = word * 64 + (uint32_t)__builtin_ctzll(lanes[word]);
    lanes[word] &= lanes[word] - 1;
    return true;
}

/* The lane of this process itself ends with it: nobody goes on with that one. */
static uint32_t count_lanes(const hrt_runtime *runtime)
{
    uint64_t lanes[2] = {runtime->taken[0], runtime->taken[1]};
    uint32_t lane = 0;
    uint32_t count = 0;
    while (next_lane(lanes, &lane)) {
        count += !runtime->seats[lane].local;
    }
    return count;
}

void hrt_progress_record(hrt_runtime *runtime)
{
    uint32_t count = count_lanes(runtime);
    if (count == 0) {
        return;
    }
    hrt_record *record =
        hrt_log_add(runtime->log, HRT_RECORD_LANES, count * sizeof(hrt_lanes_entry));
    hrt_lanes_entry *entry = hrt_record_body(record);
    uint64_t lanes[2] = {runtime->taken[0], runtime->taken[1]};
    uint32_t lane = 0;
    record->count = count;
    while (next_lane(lanes, &lane)) {
        const hrt_seat *seat = &runtime->seats[lane];
        if (!seat->local) {
            *entry++ = (hrt_lanes_entry){.client = seat->incarnation,
                                         .submit = seat->host.submit.head,
                                         .reply = seat->host.reply_next};
        }
    }
}

/*
 * Whether the client can have met too little room while the ring was filled from `begin` on. It
 * waits until its batch, at most half the ring, and a PAD below its largest entry fit.
 */
static bool may_wait_for_room(const hrt_ring_reader *reader, uint64_t begin)
{
    uint32_t half = reader->capacity / 2;
    uint32_t pad = half < LARGEST_ENTRY ? half : LARGEST_ENTRY;
    hrt_fence(); /* pairs with hrt_park_begin: who sleeps has published before */
    return hrt_load_acquire(reader->shared_tail) - begin > half - pad;
}

/* The other slot is written, then named: there is a whole one at every instant. */
static void write_slot(hrt_seat *seat)
{
    hrt_lane *shared = seat->host.lane;
    uint32_t turn = ++seat->progress_turn;
    hrt_lane_progress *slot = &shared->progress[turn & 1];
    hrt_store_relaxed(&slot->submit, seat->host.submit.head);
    hrt_store_relaxed(&slot->reply, seat->host.reply_next);
    hrt_store_release_u32(&shared->progress_turn, turn);
}

static void publish_lane(hrt_seat *seat)
{
    hrt_ring_reader *reader = &seat->host.submit;
    uint64_t begin = seat->released;
    write_slot(seat); /* before the space is given back: what lies there may be needed till then */
    hrt_ring_release(reader);
    seat->released = reader->head;
    if (may_wait_for_room(reader, begin)) {
        (void)hrt_park_wake(&seat->host.lane->deliver_park, seat->event_fd);
    }
}

void hrt_progress_publish(hrt_runtime *runtime)
{
    uint32_t lane = 0;
    while (next_lane(runtime->taken, &lane)) {
        if (runtime->seats[lane].phase != HRT_LANE_FREE) {
            publish_lane(&runtime->seats[lane]);
        }
    }
}
