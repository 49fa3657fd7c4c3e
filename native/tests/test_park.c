/* The park handshake between threads and between processes: no wake-up is ever lost. */
#include "atomic.h"
#include "park.h"
#include "tap.h"

#include <errno.h>
#include <hybridrt/abi.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ROUNDS = 100000, /* each is two handshakes */
    LOOKS_MAX = 997,
};

static const int64_t patience_ns = 30000000000;

/* Two players count up in turn: one makes it odd, the other makes it even. */
typedef struct table {
    uint32_t park[2];
    uint8_t pad[HRT_LINE];
    uint64_t turn;
    uint64_t lost[2];
} table;

/* Looks for a while, each time another one, so that going to sleep and waking often coincide. */
static bool look_for(const table *shared, uint64_t mine)
{
    for (uint64_t looks = mine % LOOKS_MAX; looks > 0; looks--)
        if (hrt_load_acquire(&shared->turn) == mine)
            return true;
    return false;
}

static void play(table *shared, uint32_t me)
{
    for (uint64_t i = 0; i < ROUNDS; i++) {
        const uint64_t mine = 2 * i + me;
        while (!look_for(shared, mine) && hrt_load_acquire(&shared->turn) != mine) {
            hrt_park_begin(&shared->park[me], HRT_PARK_FUTEX);
            if (hrt_load_acquire(&shared->turn) == mine)
                hrt_park_cancel(&shared->park[me]);
            else if (!hrt_park_wait(&shared->park[me], patience_ns))
                shared->lost[me]++;
        }
        hrt_store_release(&shared->turn, mine + 1);
        (void)hrt_park_wake(&shared->park[1 - me], -1);
    }
}

static table *make_table(void)
{
    table *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    return shared;
}

static void *play_second(void *context)
{
    play(context, 1);
    return NULL;
}

static void two_threads_lose_no_wake(void)
{
    table *shared = make_table();
    pthread_t second;
    REQUIRE(pthread_create(&second, NULL, play_second, shared) == 0);
    play(shared, 0);
    (void)pthread_join(second, NULL);
    CHECK_EQ(shared->turn, 2 * ROUNDS);
    CHECK_EQ(shared->lost[0] + shared->lost[1], 0);
    (void)munmap(shared, sizeof(*shared));
}

static void two_processes_lose_no_wake(void)
{
    table *shared = make_table();
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        play(shared, 1);
        _exit(0);
    }
    play(shared, 0);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(shared->turn, 2 * ROUNDS);
    CHECK_EQ(shared->lost[0] + shared->lost[1], 0);
    (void)munmap(shared, sizeof(*shared));
}

static void waking_nobody_says_so(void)
{
    uint32_t word = HRT_PARK_AWAKE;
    CHECK(!hrt_park_wake(&word, -1));
}

static void a_sleeper_wakes_after_its_time(void)
{
    uint32_t word = 0;
    hrt_park_begin(&word, HRT_PARK_FUTEX);
    CHECK(!hrt_park_wait(&word, 1000000));
    CHECK_EQ(word, HRT_PARK_AWAKE);
}

static void a_wake_before_the_wait_is_not_lost(void)
{
    uint32_t word = 0;
    hrt_park_begin(&word, HRT_PARK_FUTEX);
    CHECK(hrt_park_wake(&word, -1));
    CHECK(hrt_park_wait(&word, -1));
}

static void an_eventfd_sleeper_gets_one_write(void)
{
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(fd >= 0);
    uint32_t word = 0;
    uint64_t value = 0;
    hrt_park_begin(&word, HRT_PARK_EVENTFD);
    CHECK(hrt_park_wake(&word, fd));
    CHECK(!hrt_park_wake(&word, fd));
    CHECK_EQ(read(fd, &value, sizeof(value)), (ssize_t)sizeof(value));
    CHECK_EQ(value, 1);
    (void)close(fd);
}

static void wait_any_tells_time_outs_from_changes(void)
{
    uint32_t words[2] = {0, 7};
    const hrt_park_word asleep[] = {{&words[0], 0}, {&words[1], 7}};
    const hrt_park_word differs[] = {{&words[0], 0}, {&words[1], 8}};
    CHECK_EQ(hrt_park_wait_any(asleep, 2, 1000000), -1);
    CHECK_EQ(hrt_park_wait_any(differs, 2, -1), -2);
}

static void *change_third(void *context)
{
    uint32_t *words = context;
    hrt_store_release_u32(&words[2], 1);
    hrt_park_wake_raw(&words[2]);
    return NULL;
}

static void wait_any_names_the_word_woken(void)
{
    uint32_t words[128] = {0};
    hrt_park_word waits[128];
    for (int i = 0; i < 128; i++)
        waits[i] = (hrt_park_word){&words[i], 0};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, change_third, words) == 0);
    const int woken = hrt_park_wait_any(waits, 128, -1);
    CHECK(woken == 2 || woken == -2); /* -2: it changed before the sleep */
    CHECK_EQ(hrt_load_acquire_u32(&words[2]), 1);
    (void)pthread_join(thread, NULL);
}

int main(void)
{
    TAP_LIST(TEST(two_threads_lose_no_wake), TEST(two_processes_lose_no_wake),
             TEST(waking_nobody_says_so), TEST(a_sleeper_wakes_after_its_time),
             TEST(a_wake_before_the_wait_is_not_lost), TEST(an_eventfd_sleeper_gets_one_write),
             TEST(wait_any_tells_time_outs_from_changes), TEST(wait_any_names_the_word_woken));
}
