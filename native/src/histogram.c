/* Log-linear buckets: 16 of width 16 below 2^8 ns, then 16 for each power of two. */
#include "check.h"

#include <hybridrt/hybridrt.h>

enum {
    LINEAR_BITS = 8, /* values below 2^8 ns share one scale */
    STEP_BITS = 4,   /* 16 buckets a power of two: at most 6.25 % wide */
    STEPS = 1 << STEP_BITS,
};

uint32_t hrt_histogram_bucket(uint64_t value_ns)
{
    if (value_ns < (1u << LINEAR_BITS))
        return (uint32_t)(value_ns >> (LINEAR_BITS - STEP_BITS));
    const uint32_t power = 63 - (uint32_t)__builtin_clzll(value_ns);
    const uint32_t step = (uint32_t)(value_ns >> (power - STEP_BITS)) & (STEPS - 1);
    const uint32_t bucket = (power - LINEAR_BITS + 1) * STEPS + step;
    return bucket < HRT_HISTOGRAM_BUCKETS ? bucket : HRT_HISTOGRAM_BUCKETS - 1;
}

uint64_t hrt_histogram_value(uint32_t bucket)
{
    const uint32_t place = bucket < HRT_HISTOGRAM_BUCKETS ? bucket : HRT_HISTOGRAM_BUCKETS - 1;
    const uint64_t step = place % STEPS;
    if (place < STEPS)
        return step << (LINEAR_BITS - STEP_BITS);
    const uint32_t power = place / STEPS + LINEAR_BITS - 1;
    return (STEPS + step) << (power - STEP_BITS);
}
