/*
 * The counter of lost wake-ups: a client that is slow, or dies, between its publish and its wake
 * has lost none; one that never wakes has. The client here is the test, on the bare lane.
 */
#include "atomic.h"
#include "host.h"
#include "lane.h"
#include "park.h"
#include "ring.h"

#include <fcntl.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)
#define MILLISECOND_NS ((uint64_t)1000000)

enum {
    TIMERS = 400, /* one ends the sleep of the dispatch thread each millisecond */
    ENTRIES = 20,
    LOOK_US = 200,
    LOOKS_SHORT = 50, /* 10 ms */
};

typedef struct bench {
    host host;
    hrt_lane *lane;
    hrt_ring_writer writer;
} bench;

static void open_lane(bench *b)
{
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    REQUIRE(hrt_runtime_lane(b->host.runtime, 0, 0, "", "bare", fds, &incarnation) == HRT_OK);
    REQUIRE(hrt_lane_map(fds[HRT_FD_LANE], &b->lane) == HRT_OK);
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        (void)close(fds[i]);
    }
    hrt_ring_writer_init(&b->writer, (uint8_t *)b->lane + b->lane->submit_offset,
                         b->lane->submit_capacity, &b->lane->submit_tail, &b->lane->submit_head);
}

static void begin(bench *b)
{
    host_make(&b->host);
    hrt_runtime_options options = host_options(&b->host);
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .durability = HRT_DURABILITY_MEMORY,
                                   .max_attempts = 1,
                                   .max_crashes = 1};
    host_open(&b->host, &options, &settings);
    open_lane(b);
    host_start(&b->host);
}

static void end(bench *b)
{
    host_stop(&b->host);
    hrt_lane_unmap(b->lane, b->lane->size);
    host_close(&b->host);
    scratch_remove();
}

/* Jobs that become due one after another: each ends the sleep of the dispatch thread. */
static void set_timers(bench *b)
{
    hrt_spec specs[TIMERS];
    int64_t ids[TIMERS];
    for (uint32_t i = 0; i < TIMERS; i++) {
        specs[i] = (hrt_spec){
            .kind = b->host.kind, .queue = b->host.queue, .delay_ns = (i + 1) * MILLISECOND_NS};
    }
    REQUIRE(hrt_enqueue_wait(b->host.local, specs, TIMERS, 10 * SECOND_NS, ids) == HRT_OK);
}

static void publish_one(bench *b)
{
    hrt_submit_space *entry = hrt_ring_claim(&b->writer, sizeof(*entry));
    REQUIRE(entry != NULL);
    *entry = (hrt_submit_space){.head = {.length = sizeof(*entry), .type = HRT_SUBMIT_SPACE},
                                .queue = b->host.queue};
    hrt_ring_publish(&b->writer);
}

static uint64_t rescues(const bench *b)
{
    return hrt_load_relaxed(&hrt_runtime_page(b->host.runtime)->runtime.rescues);
}

static bool taken(const bench *b)
{
    return hrt_load_acquire(&b->lane->submit_head) == hrt_load_relaxed(&b->lane->submit_tail);
}

static void await_sleep(const bench *b)
{
    AWAIT(hrt_load_acquire_u32(&b->lane->submit_park) == HRT_PARK_FUTEX);
}

static void a_late_wake_up_is_not_a_lost_one(void)
{
    bench b;
    begin(&b);
    set_timers(&b);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        await_sleep(&b);
        publish_one(&b);
        for (uint32_t look = 0; look < LOOKS_SHORT && !taken(&b); look++) {
            (void)usleep(LOOK_US);
        }
        (void)hrt_park_wake(&b.lane->submit_park, -1);
    }
    CHECK_EQ(rescues(&b), 0);
    end(&b);
}

/* Now and then the dispatch thread looks by itself at the right moment; then nothing was lost. */
static void a_wake_up_that_never_comes_is_counted(void)
{
    bench b;
    begin(&b);
    set_timers(&b);
    for (uint32_t i = 0; i < ENTRIES && rescues(&b) == 0; i++) {
        await_sleep(&b);
        publish_one(&b);
        AWAIT(taken(&b));
    }
    CHECK_EQ(rescues(&b), 1);
    end(&b);
}

int main(void)
{
    TAP_LIST(TEST(a_late_wake_up_is_not_a_lost_one), TEST(a_wake_up_that_never_comes_is_counted));
}
