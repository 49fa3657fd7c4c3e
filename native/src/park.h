/*
 * Sleeping and waking across processes, with no wake-up lost.
 *
 *   sleeper: hrt_park_begin(word, how); if work is there: hrt_park_cancel; else wait
 *   waker:   publish with release; hrt_park_wake(word, eventfd)
 *
 * begin and wake both hold a seq_cst fence between their store and their load: acquire and release
 * alone lose wake-ups. docs/design.md has the numbers.
 */
#ifndef HRT_PARK_H
#define HRT_PARK_H

#include <stdbool.h>
#include <stdint.h>

/* Says "asleep" and fences. The caller then looks for work once more. */
void hrt_park_begin(uint32_t *word, uint32_t how);
void hrt_park_cancel(uint32_t *word);
/*
 * Sleeps while *word is HRT_PARK_FUTEX, at most timeout_ns (negative: no limit). False: the time
 * passed and nobody woke it. Leaves the word awake. A word has one sleeper at a time.
 */
bool hrt_park_wait(uint32_t *word, int64_t timeout_ns);
/* Fences, and wakes the peer if it sleeps. True: it slept. event_fd may be -1. */
bool hrt_park_wake(uint32_t *word, int event_fd);

typedef struct hrt_park_word {
    uint32_t *word;
    uint32_t expected; /* sleep only while the word has this value */
} hrt_park_word;

/*
 * Sleeps until one of up to 128 words (shared, across processes) differs from what is expected of
 * it or is woken, at most timeout_ns. Returns the index woken, -1 on time-out, -2 when a word
 * differed at once or a signal came. futex_waitv.
 */
int hrt_park_wait_any(const hrt_park_word *words, uint32_t count, int64_t timeout_ns);
/* Wakes everybody who sleeps on a word in wait_any, whatever its value. */
void hrt_park_wake_raw(uint32_t *word);

#endif
