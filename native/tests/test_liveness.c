/* A process that holds words and is killed: each word says so and wakes its waiter. */
#include "atomic.h"
#include "liveness.h"
#include "park.h"
#include "tap.h"

#include <hybridrt/abi.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 40, PAGE = 4096 };

/* Words on pages of their own, as the lanes' are. */
static uint32_t *word_at(uint8_t *shared, int index)
{
    return (uint32_t *)(void *)(shared + (size_t)index * PAGE + 8 * (size_t)index);
}

static uint8_t *make_shared(void)
{
    void *shared =
        mmap(NULL, (size_t)WORDS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    return shared;
}

static void wait_until_not(uint32_t *word, uint32_t value)
{
    while (hrt_load_acquire_u32(word) == value) {
        const hrt_park_word words[] = {{word, value}};
        (void)hrt_park_wait_any(words, 1, -1);
    }
}

/* The child's body: holds `count` words, then sleeps until it is killed. */
static void hold_for_ever(uint8_t *shared, int count)
{
    hrt_hold hold;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* goes with the test, however that ends */
    if (hrt_hold_init(&hold, (uint32_t)count) != HRT_OK)
        _exit(1);
    for (int i = 0; i < count; i++)
        if (hrt_hold_take(&hold, word_at(shared, i)) != HRT_OK)
            _exit(2);
    for (;;)
        (void)pause();
}

static pid_t start_holder(uint8_t *shared, int count)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        hold_for_ever(shared, count);
    wait_until_not(word_at(shared, count - 1), 0);
    return child;
}

static void a_killed_holder_is_seen_at_once(void)
{
    uint8_t *shared = make_shared();
    const pid_t child = start_holder(shared, 1);
    uint32_t *word = word_at(shared, 0);
    const uint32_t held = hrt_load_acquire_u32(word);
    CHECK_EQ(held, (uint32_t)child | FUTEX_WAITERS);
    CHECK(!hrt_hold_died(held));
    CHECK_EQ(kill(child, SIGKILL), 0);
    wait_until_not(word, held);
    CHECK(hrt_hold_died(hrt_load_acquire_u32(word)));
    CHECK_EQ(waitpid(child, NULL, 0), child);
    (void)munmap(shared, (size_t)WORDS * PAGE);
}

static void all_words_of_one_holder_are_marked(void)
{
    uint8_t *shared = make_shared();
    const pid_t child = start_holder(shared, WORDS);
    hrt_park_word words[WORDS];
    for (int i = 0; i < WORDS; i++) {
        uint32_t *word = word_at(shared, i);
        words[i] = (hrt_park_word){word, hrt_load_acquire_u32(word)};
    }
    CHECK_EQ(kill(child, SIGKILL), 0);
    (void)hrt_park_wait_any(words, WORDS, -1);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    for (int i = 0; i < WORDS; i++)
        CHECK(hrt_hold_died(hrt_load_acquire_u32(words[i].word)));
    (void)munmap(shared, (size_t)WORDS * PAGE);
}

static void a_word_that_was_dropped_is_not_marked(void)
{
    uint8_t *shared = make_shared();
    uint32_t *dropped = word_at(shared, 0);
    uint32_t *kept = word_at(shared, 1);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        hrt_hold hold;
        if (hrt_hold_init(&hold, 2) != HRT_OK || hrt_hold_take(&hold, dropped) != HRT_OK)
            _exit(1);
        hrt_hold_drop(&hold, dropped);
        if (hrt_hold_take(&hold, kept) != HRT_OK)
            _exit(2);
        (void)raise(SIGKILL);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(hrt_load_acquire_u32(dropped), 0);
    CHECK(hrt_hold_died(hrt_load_acquire_u32(kept)));
    (void)munmap(shared, (size_t)WORDS * PAGE);
}

typedef struct thread_holder {
    uint8_t *shared;
    int status;
} thread_holder;

/* Takes more than there is room for, drops from the middle, takes again, and leaves politely. */
static void *hold_and_leave(void *context)
{
    thread_holder *holder = context;
    uint8_t *shared = holder->shared;
    hrt_hold hold;
    holder->status = hrt_hold_init(&hold, 3);
    for (int i = 0; i < 3 && holder->status == HRT_OK; i++)
        holder->status = hrt_hold_take(&hold, word_at(shared, i));
    if (holder->status != HRT_OK)
        return NULL;
    CHECK_EQ(hrt_hold_take(&hold, word_at(shared, 3)), HRT_ELIMIT);
    hrt_hold_drop(&hold, word_at(shared, 1));
    CHECK_EQ(hrt_load_acquire_u32(word_at(shared, 1)), 0);
    CHECK_EQ(hrt_hold_take(&hold, word_at(shared, 3)), HRT_OK);
    CHECK_EQ(hrt_load_acquire_u32(word_at(shared, 3)), (uint32_t)gettid() | FUTEX_WAITERS);
    hrt_hold_end(&hold);
    return NULL;
}

static void a_thread_that_leaves_marks_nothing(void)
{
    uint8_t *shared = make_shared();
    thread_holder holder = {.shared = shared};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, hold_and_leave, &holder) == 0);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(holder.status, HRT_OK);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(hrt_load_acquire_u32(word_at(shared, i)), 0);
    (void)munmap(shared, (size_t)WORDS * PAGE);
}

int main(void)
{
    TAP_LIST(TEST(a_killed_holder_is_seen_at_once), TEST(all_words_of_one_holder_are_marked),
             TEST(a_word_that_was_dropped_is_not_marked), TEST(a_thread_that_leaves_marks_nothing));
}
