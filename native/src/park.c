/* Futexes that work across processes, and the sleep handshake on top of them. */
#include "park.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"

#include <errno.h>
#include <hybridrt/abi.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PARK_WORDS_MAX = 128 }; /* the kernel's limit for one futex_waitv */

static struct timespec to_timespec(uint64_t ns)
{
    const struct timespec time = {
        .tv_sec = (time_t)(ns / 1000000000u),
        .tv_nsec = (long)(ns % 1000000000u),
    };
    return time;
}

void hrt_park_begin(uint32_t *word, uint32_t how)
{
    hrt_store_release_u32(word, how);
    hrt_fence(); /* pairs with hrt_park_wake */
}

void hrt_park_cancel(uint32_t *word)
{
    hrt_store_release_u32(word, HRT_PARK_AWAKE);
}

bool hrt_park_wait(uint32_t *word, int64_t timeout_ns)
{
    const struct timespec limit = to_timespec(timeout_ns < 0 ? 0 : (uint64_t)timeout_ns);
    const long result = syscall(SYS_futex, word, FUTEX_WAIT, HRT_PARK_FUTEX,
                                timeout_ns < 0 ? NULL : &limit, NULL, 0);
    const bool timed_out = result == -1 && errno == ETIMEDOUT;
    const uint32_t before = hrt_exchange_u32(word, HRT_PARK_AWAKE);
    return !timed_out || before == HRT_PARK_AWAKE;
}

bool hrt_park_wake(uint32_t *word, int event_fd)
{
    hrt_fence(); /* pairs with hrt_park_begin */
    if (HRT_LIKELY(hrt_load_relaxed_u32(word) == HRT_PARK_AWAKE))
        return false;
    const uint32_t how = hrt_exchange_u32(word, HRT_PARK_AWAKE);
    if (how == HRT_PARK_AWAKE)
        return false;
    if (how == HRT_PARK_EVENTFD) {
        const uint64_t one = 1;
        /* A full counter is readable already, so a write that fails loses nothing. */
        if (event_fd >= 0 && write(event_fd, &one, sizeof(one)) < 0)
            HRT_ASSERT(errno != EINVAL);
        return true;
    }
    hrt_park_wake_raw(word);
    return true;
}

int hrt_park_wait_any(const hrt_park_word *words, uint32_t count, int64_t timeout_ns)
{
    HRT_ASSERT(count > 0 && count <= PARK_WORDS_MAX);
    struct futex_waitv waiters[PARK_WORDS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        waiters[i] = (struct futex_waitv){
            .val = words[i].expected,
            .uaddr = (uintptr_t)words[i].word,
            .flags = FUTEX_32,
        };
    }
    struct timespec deadline = {0};
    if (timeout_ns >= 0)
        deadline = to_timespec(hrt_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ns);
    const long result = syscall(SYS_futex_waitv, waiters, count, 0,
                                timeout_ns < 0 ? NULL : &deadline, CLOCK_MONOTONIC);
    if (result >= 0)
        return (int)result;
    return errno == ETIMEDOUT ? -1 : -2;
}

void hrt_park_wake_raw(uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
