/* Threads, locks, futexes, clocks and random bytes, as the library asks for them. */
#include "calls.h"
#include "failpoint.h"
#include "sim.h"

#include <errno.h>
#include <hybridrt/abi.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { WAKE_FALSELY = 20000 };

/* What lies in the memory of a pthread_mutex_t, and of a pthread_cond_t. */
typedef struct lock {
    uint32_t holder; /* 0: nobody */
    uint32_t waiters;
} lock;

typedef struct condition {
    uint32_t waiters;
} condition;

static uint64_t to_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * SIM_SECOND + (uint64_t)time->tv_nsec;
}

/* ---- threads ---- */

int sim_thread_create(pthread_t *thread, void *(*entry)(void *), void *argument)
{
    uint32_t number = 0;
    sim_point();
    (void)sim_spawn(sim_self(), entry, argument, &number);
    *thread = number + 1;
    sim_point();
    return 0;
}

int sim_thread_join(pthread_t thread, void **result)
{
    sim_point();
    sim_join((uint32_t)thread - 1, result);
    return 0;
}

int sim_thread_yield(void)
{
    sim_point();
    sim_yield();
    return 0;
}

pid_t sim_gettid(void)
{
    return (pid_t)sim_fiber_number();
}

pid_t sim_getpid(void)
{
    const sim_process *self = sim_self();
    return self == NULL ? 1 : (pid_t)self->number;
}

/* ---- locks ---- */

int sim_mutex_init(pthread_mutex_t *mutex)
{
    memset(mutex, 0, sizeof(*mutex));
    return 0;
}

int sim_mutex_lock(pthread_mutex_t *mutex)
{
    lock *held = (lock *)mutex;
    sim_point();
    while (sim_self() != NULL && held->holder != 0) {
        const void *address = held;
        held->waiters++;
        (void)sim_wait(&address, 1, SIM_NEVER);
        held->waiters--;
    }
    held->holder = sim_fiber_number();
    return 0;
}

int sim_mutex_trylock(pthread_mutex_t *mutex)
{
    lock *held = (lock *)mutex;
    sim_point();
    if (held->holder != 0) {
        return EBUSY;
    }
    held->holder = sim_fiber_number();
    return 0;
}

static void unlock(pthread_mutex_t *mutex)
{
    lock *held = (lock *)mutex;
    SIM_CHECK(held->holder == sim_fiber_number(), "a lock is given back by who does not hold it");
    held->holder = 0;
    if (held->waiters > 0) {
        (void)sim_wake(held, 1);
    }
}

int sim_mutex_unlock(pthread_mutex_t *mutex)
{
    unlock(mutex);
    sim_point();
    return 0;
}

int sim_cond_init(pthread_cond_t *cond)
{
    memset(cond, 0, sizeof(*cond));
    return 0;
}

static int cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until)
{
    const void *address = cond;
    condition *awaited = (condition *)cond;
    sim_point();
    unlock(mutex);
    if (sim_strikes(FAULT_SPURIOUS_WAKE, WAKE_FALSELY / 100)) {
        until = sim_now();
    }
    awaited->waiters++;
    int woken = sim_wait(&address, 1, until);
    awaited->waiters--;
    (void)sim_mutex_lock(mutex);
    return woken < 0 && sim_now() >= until ? ETIMEDOUT : 0;
}

int sim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    (void)cond_wait_until(cond, mutex, SIM_NEVER);
    return 0;
}

/* Every condition that waits with a limit was made for CLOCK_MONOTONIC. */
int sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    uint64_t end = to_ns(until);
    int status = cond_wait_until(cond, mutex, end);
    return status == ETIMEDOUT && sim_now() < end ? 0 : status;
}

static void wake_waiters(const pthread_cond_t *cond, uint32_t most)
{
    if (((const condition *)cond)->waiters > 0) {
        (void)sim_wake(cond, most);
    }
}

int sim_cond_signal(pthread_cond_t *cond)
{
    wake_waiters(cond, 1);
    sim_point();
    return 0;
}

int sim_cond_broadcast(pthread_cond_t *cond)
{
    wake_waiters(cond, UINT32_MAX);
    sim_point();
    return 0;
}

/* ---- futexes ---- */

static int fail_with(int error)
{
    errno = error;
    return -1;
}

static long futex_wait(const uint32_t *word, uint32_t expected, const struct timespec *limit)
{
    const void *address = word;
    sim_point();
    if (*word != expected) {
        return fail_with(EAGAIN);
    }
    if (sim_strikes(FAULT_SPURIOUS_WAKE, WAKE_FALSELY / 100)) {
        return fail_with(EINTR);
    }
    uint64_t until = limit == NULL ? SIM_NEVER : sim_now() + to_ns(limit);
    int woken = sim_wait(&address, 1, until);
    return woken < 0 ? fail_with(ETIMEDOUT) : 0;
}

static long futex_wait_any(const struct futex_waitv *waiters, uint32_t count,
                           const struct timespec *until)
{
    const void *addresses[SIM_WAITS_MAX];
    sim_point();
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *word = (const uint32_t *)(uintptr_t)waiters[i].uaddr;
        addresses[i] = word;
        if (*word != (uint32_t)waiters[i].val) {
            return fail_with(EAGAIN);
        }
    }
    if (sim_strikes(FAULT_SPURIOUS_WAKE, WAKE_FALSELY / 100)) {
        return fail_with(EINTR);
    }
    int woken = sim_wait(addresses, count, until == NULL ? SIM_NEVER : to_ns(until));
    return woken < 0 ? fail_with(ETIMEDOUT) : woken;
}

static long futex(va_list arguments)
{
    uint32_t *word = va_arg(arguments, uint32_t *);
    int operation = va_arg(arguments, int);
    uint32_t value = va_arg(arguments, uint32_t);
    if (operation == FUTEX_WAIT) {
        return futex_wait(word, value, va_arg(arguments, const struct timespec *));
    }
    long count = sim_wake(word, value);
    sim_point();
    return count;
}

long sim_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    long result = 0;
    switch (number) {
    case SYS_futex:
        result = futex(arguments);
        break;
    case SYS_futex_waitv: {
        const struct futex_waitv *waiters = va_arg(arguments, const struct futex_waitv *);
        uint32_t count = va_arg(arguments, uint32_t);
        (void)va_arg(arguments, int);
        result = futex_wait_any(waiters, count, va_arg(arguments, const struct timespec *));
        break;
    }
    case SYS_set_robust_list:
        sim_set_robust(va_arg(arguments, const void *));
        break;
    default:
        (void)fprintf(stderr, "hrt-sim: no system call %ld\n", number);
        abort();
    }
    va_end(arguments);
    return result;
}

/* ---- clocks, chance, environment ---- */

int sim_clock_gettime(clockid_t clock, struct timespec *now)
{
    uint64_t ns = sim_clock(clock);
    *now =
        (struct timespec){.tv_sec = (time_t)(ns / SIM_SECOND), .tv_nsec = (long)(ns % SIM_SECOND)};
    return 0;
}

int sim_nanosleep(const struct timespec *time)
{
    sim_sleep(to_ns(time));
    return 0;
}

ssize_t sim_getrandom(void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)bytes)[i] = (uint8_t)sim_random(CHANCE_ENTROPY);
    }
    return (ssize_t)size;
}

char *sim_getenv(const char *name)
{
    sim_process *self = sim_self();
    bool known = self != NULL && strcmp(name, "HYBRIDRT_ATTACH") == 0 && self->attach[0] != '\0';
    return known ? self->attach : NULL;
}

int sim_unsetenv(const char *name)
{
    (void)name;
    sim_self()->attach[0] = '\0';
    return 0;
}

/* ---- failpoints: each place of the library registers itself in this section ---- */

extern hrt_failpoint_site __start_hrt_failpoints[];
extern hrt_failpoint_site __stop_hrt_failpoints[];

enum { CALL_FAILS_ONE_IN = 400 };

int hrt_failpoint_hit(hrt_failpoint_site *site)
{
    site->hits++;
    sim_point();
    if (sim_self() != NULL && sim_strikes(FAULT_CALL_FAILS, CALL_FAILS_ONE_IN)) {
        sim_say("failpoint %s fails", site->name);
        return sim_one_in(CHANCE_FAULT + FAULT_CALL_FAILS, 2) ? HRT_EIO : HRT_ENOSPC;
    }
    return HRT_OK;
}

uint32_t sim_failpoints(void)
{
    return (uint32_t)(__stop_hrt_failpoints - __start_hrt_failpoints);
}

const char *sim_failpoint_name(uint32_t index)
{
    return __start_hrt_failpoints[index].name;
}

uint64_t sim_failpoint_hits(uint32_t index)
{
    return __start_hrt_failpoints[index].hits;
}
