/*
 * Being noticed when dying: robust futexes that the kernel marks and wakes before it frees memory.
 *
 * A hold belongs to one thread, which has to stay alive as long as its process is to count as
 * alive, and replaces the robust list that the C library gave that thread: the thread must not use
 * robust mutexes. A word that is held is (thread id | FUTEX_WAITERS), and when the thread dies the
 * kernel sets FUTEX_OWNER_DIED in it and wakes one waiter. A process may be seen dead a moment
 * before its other threads have stopped: fence first, then act.
 */
#ifndef HRT_LIVENESS_H
#define HRT_LIVENESS_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hrt_hold_place {
    const uint32_t *word;     /* as the caller named it; NULL: free */
    uint32_t *alias;          /* the same word, in the mapping behind the node's page */
    struct robust_list *node; /* in a private page */
} hrt_hold_place;

typedef struct hrt_hold {
    struct robust_list_head head; /* what the kernel walks */
    uint8_t *pages;               /* two for each place: the node's, and the word's */
    hrt_hold_place *places;
    size_t page_size;
    uint32_t place_count;
} hrt_hold;

/* Registers for the calling thread, with room for `words` held at a time. */
int hrt_hold_init(hrt_hold *hold, uint32_t words);
/*
 * Takes a word that lies in a MAP_SHARED mapping, and wakes whoever waits on it. HRT_ELIMIT: all
 * places are in use. Only in the thread of hrt_hold_init, as the two below.
 */
int hrt_hold_take(hrt_hold *hold, uint32_t *word);
/* Sets the word to 0 and wakes its waiters: left on purpose. Nothing if it is not held. */
void hrt_hold_drop(hrt_hold *hold, const uint32_t *word);
/* Drops all and gives the memory back. */
void hrt_hold_end(hrt_hold *hold);

/* Whether a word's value says that its holder died. */
static inline bool hrt_hold_died(uint32_t value)
{
    return (value & FUTEX_OWNER_DIED) != 0;
}

#endif
