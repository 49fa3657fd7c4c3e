/* A 4-ary heap of (time, item) with handles, so that an entry can be moved or removed. Knows
 * nothing. */
#ifndef HRT_TIMER_H
#define HRT_TIMER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hrt_timer hrt_timer;

typedef struct hrt_timer_entry {
    uint64_t time_ns;
    uint32_t item; /* the owner's index; unique in the heap */
} hrt_timer_entry;

hrt_timer *hrt_timer_new(void);
void hrt_timer_free(hrt_timer *timer);
/* Adds item, or moves it to a new time. False: out of memory. */
bool hrt_timer_set(hrt_timer *timer, uint32_t item, uint64_t time_ns);
/* Removes item if it is there. */
void hrt_timer_clear(hrt_timer *timer, uint32_t item);
/* Earliest entry without removing it; false when empty. */
bool hrt_timer_peek(const hrt_timer *timer, hrt_timer_entry *entry_out);
/* Up to max entries at or before until_ns, in no order; removes nothing. Cost: what it returns. */
uint32_t hrt_timer_collect(const hrt_timer *timer, uint64_t until_ns, uint32_t *items_out,
                           uint32_t max);

#endif
