/* A 4-ary heap of (time, item) with handles, so that an entry can be moved or removed. */
#include "timer.h"

#include "grow.h"

#include <stdlib.h>
#include <string.h>

enum {
    HRT_TIMER_FIRST = 64, /* entries and items of the first allocation */
    /* Places a collect can have open: 3 for each of at most 16 levels, and 4. */
    HRT_TIMER_PENDING = 64,
};

struct hrt_timer {
    hrt_timer_entry *heap;
    uint32_t count;
    uint32_t capacity;
    uint32_t *places; /* item -> its place in the heap + 1; 0: not there */
    uint32_t items;   /* length of places */
};

hrt_timer *hrt_timer_new(void)
{
    return calloc(1, sizeof(hrt_timer));
}

void hrt_timer_free(hrt_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    free(timer->heap);
    free(timer->places);
    free(timer);
}

static bool room_for_item(hrt_timer *timer, uint32_t item)
{
    if (item < timer->items) {
        return true;
    }
    uint32_t before = timer->items;
    if (!hrt_grow(&timer->places, &timer->items, (uint64_t)item + 1, HRT_TIMER_FIRST,
                  sizeof(*timer->places))) {
        return false;
    }
    memset(timer->places + before, 0, (timer->items - before) * sizeof(*timer->places));
    return true;
}

static bool room_for_entry(hrt_timer *timer)
{
    return hrt_grow(&timer->heap, &timer->capacity, (uint64_t)timer->count + 1, HRT_TIMER_FIRST,
                    sizeof(*timer->heap));
}

static void put(hrt_timer *timer, uint32_t place, hrt_timer_entry entry)
{
    timer->heap[place] = entry;
    timer->places[entry.item] = place + 1;
}

static void sift_up(hrt_timer *timer, uint32_t place, hrt_timer_entry entry)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / 4;
        if (timer->heap[parent].time_ns <= entry.time_ns) {
            break;
        }
        put(timer, place, timer->heap[parent]);
        place = parent;
    }
    put(timer, place, entry);
}

static uint32_t earliest_child(const hrt_timer *timer, uint32_t place)
{
    uint32_t first = place * 4 + 1;
    uint32_t last = first + 4 < timer->count ? first + 4 : timer->count;
    uint32_t earliest = first;
    for (uint32_t child = first + 1; child < last; child++) {
        if (timer->heap[child].time_ns < timer->heap[earliest].time_ns) {
            earliest = child;
        }
    }
    return earliest;
}

static void sift_down(hrt_timer *timer, uint32_t place, hrt_timer_entry entry)
{
    while ((uint64_t)place * 4 + 1 < timer->count) {
        uint32_t child = earliest_child(timer, place);
        if (timer->heap[child].time_ns >= entry.time_ns) {
            break;
        }
        put(timer, place, timer->heap[child]);
        place = child;
    }
    put(timer, place, entry);
}

/* Puts an entry where it belongs, beginning at a place that is free. */
static void settle(hrt_timer *timer, uint32_t place, hrt_timer_entry entry)
{
    bool rises = place > 0 && timer->heap[(place - 1) / 4].time_ns > entry.time_ns;
    if (rises) {
        sift_up(timer, place, entry);
    } else {
        sift_down(timer, place, entry);
    }
}

bool hrt_timer_set(hrt_timer *timer, uint32_t item, uint64_t time_ns)
{
    if (!room_for_item(timer, item)) {
        return false;
    }
    hrt_timer_entry entry = {.time_ns = time_ns, .item = item};
    if (timer->places[item] != 0) {
        settle(timer, timer->places[item] - 1, entry);
        return true;
    }
    if (!room_for_entry(timer)) {
        return false;
    }
    timer->count++;
    sift_up(timer, timer->count - 1, entry);
    return true;
}

void hrt_timer_clear(hrt_timer *timer, uint32_t item)
{
    if (item >= timer->items || timer->places[item] == 0) {
        return;
    }
    uint32_t place = timer->places[item] - 1;
    timer->places[item] = 0;
    timer->count--;
    if (place < timer->count) {
        settle(timer, place, timer->heap[timer->count]);
    }
}

bool hrt_timer_peek(const hrt_timer *timer, hrt_timer_entry *entry_out)
{
    if (timer->count == 0) {
        return false;
    }
    *entry_out = timer->heap[0];
    return true;
}

uint32_t hrt_timer_collect(const hrt_timer *timer, uint64_t until_ns, uint32_t *items_out,
                           uint32_t max)
{
    uint32_t pending[HRT_TIMER_PENDING];
    uint32_t pending_count = 0;
    uint32_t found = 0;
    if (timer->count > 0 && timer->heap[0].time_ns <= until_ns) {
        pending[pending_count++] = 0;
    }
    while (pending_count > 0 && found < max) {
        uint32_t place = pending[--pending_count];
        items_out[found++] = timer->heap[place].item;
        uint64_t first = (uint64_t)place * 4 + 1;
        for (uint64_t child = first; child < first + 4 && child < timer->count; child++) {
            if (timer->heap[child].time_ns <= until_ns) {
                pending[pending_count++] = (uint32_t)child;
            }
        }
    }
    return found;
}
