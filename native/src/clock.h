/*
 * The clocks. Wall time is for records and for what is due at a time of day; anybody may set it.
 * The boot clock is for leases, time limits and sleeps: it counts since the boot, only goes
 * forward, and stands still while the machine is suspended, since nobody can do his work or say
 * that he lives.
 */
#ifndef HRT_CLOCK_H
#define HRT_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t hrt_clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t hrt_wall_ns(void)
{
    return hrt_clock_ns(CLOCK_REALTIME);
}

static inline uint64_t hrt_boot_ns(void)
{
    return hrt_clock_ns(CLOCK_MONOTONIC);
}

#endif
