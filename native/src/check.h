/* Assertions that stay on in release, and the small helpers every module uses. */
#ifndef HRT_CHECK_H
#define HRT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* For programmer errors only, never for bytes that came from a disk or a peer. */
#define HRT_ASSERT(condition)                                                          \
    do {                                                                               \
        if (__builtin_expect(!(condition), 0)) {                                       \
            (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, \
                          #condition);                                                 \
            abort();                                                                   \
        }                                                                              \
    } while (0)

#define HRT_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define HRT_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* A function that is seldom called: kept out of its callers, which then need no stack for it. */
#define HRT_RARE __attribute__((cold, noinline))

#define HRT_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t hrt_align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

/* Names and keys are shown to people: they hold no control characters. */
static inline bool hrt_is_text(const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++) {
        if (at[i] < 0x20 || at[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

#endif
