/* The timer against a plain array of times. */
#include "timer.h"

#include "tap.h"

enum { ITEMS = 500, STEPS = 20000 };

static uint64_t times[ITEMS]; /* 0: not set */

static uint32_t next_random(void)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static uint64_t earliest(void)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t item = 0; item < ITEMS; item++) {
        least = times[item] != 0 && times[item] < least ? times[item] : least;
    }
    return least;
}

static void an_empty_timer_has_no_entry(void)
{
    hrt_timer *timer = hrt_timer_new();
    hrt_timer_entry entry;
    uint32_t items[4];
    REQUIRE(timer != NULL);
    CHECK(!hrt_timer_peek(timer, &entry));
    CHECK_EQ(hrt_timer_collect(timer, UINT64_MAX, items, 4), 0);
    hrt_timer_clear(timer, 7);
    CHECK(!hrt_timer_peek(timer, &entry));
    hrt_timer_free(timer);
}

static void entries_come_out_by_time(void)
{
    hrt_timer *timer = hrt_timer_new();
    for (uint32_t item = 0; item < ITEMS; item++) {
        CHECK(hrt_timer_set(timer, item, next_random()));
    }
    uint64_t last_ns = 0;
    hrt_timer_entry entry;
    for (uint32_t count = ITEMS; count > 0; count--) {
        REQUIRE(hrt_timer_peek(timer, &entry));
        CHECK(entry.time_ns >= last_ns);
        last_ns = entry.time_ns;
        hrt_timer_clear(timer, entry.item);
    }
    CHECK(!hrt_timer_peek(timer, &entry));
    hrt_timer_free(timer);
}

static void moving_and_clearing_keeps_the_earliest_first(void)
{
    hrt_timer *timer = hrt_timer_new();
    memset(times, 0, sizeof(times));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t item = next_random() % ITEMS;
        times[item] = next_random() % 3 == 0 ? 0 : 1 + next_random() % 10000;
        if (times[item] == 0) {
            hrt_timer_clear(timer, item);
        } else {
            CHECK(hrt_timer_set(timer, item, times[item]));
        }
        hrt_timer_entry entry = {.time_ns = UINT64_MAX};
        (void)hrt_timer_peek(timer, &entry);
        CHECK_EQ(entry.time_ns, earliest());
    }
    hrt_timer_free(timer);
}

static void collect_finds_what_is_due_and_nothing_else(void)
{
    hrt_timer *timer = hrt_timer_new();
    for (uint32_t item = 0; item < ITEMS; item++) {
        times[item] = 1 + next_random() % 1000;
        CHECK(hrt_timer_set(timer, item, times[item]));
    }
    uint32_t items[ITEMS];
    for (uint64_t until_ns = 0; until_ns <= 1000; until_ns += 50) {
        uint32_t expected = 0;
        for (uint32_t item = 0; item < ITEMS; item++) {
            expected += times[item] <= until_ns;
        }
        uint32_t found = hrt_timer_collect(timer, until_ns, items, ITEMS);
        CHECK_EQ(found, expected);
        for (uint32_t i = 0; i < found; i++) {
            CHECK(times[items[i]] <= until_ns);
        }
        CHECK_EQ(hrt_timer_collect(timer, until_ns, items, 3), expected < 3 ? expected : 3);
    }
    CHECK_EQ(hrt_timer_collect(timer, UINT64_MAX, items, ITEMS), ITEMS);
    hrt_timer_free(timer);
}

static void items_may_be_far_apart(void)
{
    hrt_timer *timer = hrt_timer_new();
    CHECK(hrt_timer_set(timer, 1000000, 5));
    CHECK(hrt_timer_set(timer, 3, 9));
    hrt_timer_entry entry;
    REQUIRE(hrt_timer_peek(timer, &entry));
    CHECK_EQ(entry.item, 1000000);
    hrt_timer_clear(timer, 1000000);
    REQUIRE(hrt_timer_peek(timer, &entry));
    CHECK_EQ(entry.item, 3);
    hrt_timer_free(timer);
}

int main(void)
{
    TAP_LIST(TEST(an_empty_timer_has_no_entry), TEST(entries_come_out_by_time),
             TEST(moving_and_clearing_keeps_the_earliest_first),
             TEST(collect_finds_what_is_due_and_nothing_else), TEST(items_may_be_far_apart));
}
