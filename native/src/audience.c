/* Who waits for the end of which job: a small table, empty most of the time. */
#include "dispatch.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

typedef struct hrt_wish {
    uint64_t job; /* 0: free */
    uint64_t lanes[2];
} hrt_wish;

struct hrt_audience {
    hrt_wish *wishes; /* open addressing, linear probing */
    uint32_t capacity;
    uint32_t count;
};

hrt_audience *hrt_audience_new(void)
{
    return calloc(1, sizeof(hrt_audience));
}

void hrt_audience_free(hrt_audience *audience)
{
    if (audience != NULL) {
        free(audience->wishes);
        free(audience);
    }
}

static uint32_t home_of(const hrt_audience *audience, uint64_t job)
{
    return (uint32_t)((job * 0x9e3779b97f4a7c15u) >> 32) & (audience->capacity - 1);
}

static hrt_wish *find(const hrt_audience *audience, uint64_t job)
{
    uint32_t at = home_of(audience, job);
    while (audience->wishes[at].job != 0 && audience->wishes[at].job != job) {
        at = (at + 1) & (audience->capacity - 1);
    }
    return &audience->wishes[at];
}

static bool double_capacity(hrt_audience *audience)
{
    hrt_audience larger = {.capacity = audience->capacity == 0 ? 64 : audience->capacity * 2};
    larger.wishes = calloc(larger.capacity, sizeof(*larger.wishes));
    if (larger.wishes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < audience->capacity; i++) {
        if (audience->wishes[i].job != 0) {
            *find(&larger, audience->wishes[i].job) = audience->wishes[i];
        }
    }
    larger.count = audience->count;
    free(audience->wishes);
    *audience = larger;
    return true;
}

bool hrt_audience_add(hrt_audience *audience, uint64_t job, uint32_t lane)
{
    if (audience->count * 2 >= audience->capacity && !double_capacity(audience)) {
        return false;
    }
    hrt_wish *wish = find(audience, job);
    if (wish->job == 0) {
        wish->job = job;
        audience->count++;
    }
    wish->lanes[lane >> 6] |= (uint64_t)1 << (lane & 63);
    return true;
}

/* Closes the gap that a removed wish leaves in its run. */
static void remove_at(hrt_audience *audience, uint32_t at)
{
    uint32_t mask = audience->capacity - 1;
    uint32_t gap = at;
    for (uint32_t next = (at + 1) & mask; audience->wishes[next].job != 0;
         next = (next + 1) & mask) {
        uint32_t home = home_of(audience, audience->wishes[next].job);
        if (((next - home) & mask) >= ((next - gap) & mask)) {
            audience->wishes[gap] = audience->wishes[next];
            gap = next;
        }
    }
    audience->wishes[gap] = (hrt_wish){0};
    audience->count--;
}

bool hrt_audience_waits(hrt_audience *audience, uint64_t job)
{
    return audience->count > 0 && find(audience, job)->job != 0;
}

/* Takes the lanes that wait for a job out; false: nobody. */
static bool take(hrt_audience *audience, uint64_t job, uint64_t lanes_out[2])
{
    if (audience->count == 0) {
        return false;
    }
    hrt_wish *wish = find(audience, job);
    if (wish->job == 0) {
        return false;
    }
    memcpy(lanes_out, wish->lanes, sizeof(wish->lanes));
    remove_at(audience, (uint32_t)(wish - audience->wishes));
    return true;
}

void hrt_audience_leave(hrt_audience *audience, uint32_t lane)
{
    for (uint32_t i = 0; audience->count > 0 && i < audience->capacity; i++) {
        audience->wishes[i].lanes[lane >> 6] &= ~((uint64_t)1 << (lane & 63));
    }
}

void hrt_audience_tell(hrt_runtime *runtime, uint64_t job, int32_t code, uint64_t position,
                       uint32_t length, bool sync)
{
    uint64_t lanes[2];
    if (HRT_LIKELY(!take(runtime->audience, job, lanes))) {
        return;
    }
    hrt_delivery delivery = {.type = HRT_DELIVERY_RESULT,
                             .code = code,
                             .job = job,
                             .token = position,
                             .slot = UINT32_MAX,
                             .data_length = length};
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        if ((lanes[lane >> 6] >> (lane & 63)) & 1) {
            hrt_effect_deliver(runtime, lane, &delivery, sync);
        }
    }
}
