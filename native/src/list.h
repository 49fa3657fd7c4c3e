/* Intrusive lists of jobs. `member` is the offset of the hrt_links in a job, a constant. */
#ifndef HRT_LIST_H
#define HRT_LIST_H

#include "jobs.h"

#include <stddef.h>

#define HRT_LIST_EMPTY ((hrt_job_list){.head = HRT_NIL, .tail = HRT_NIL})

static inline hrt_links *hrt_links_of(hrt_state_job *job, size_t member)
{
    return (hrt_links *)((char *)job + member);
}

static inline hrt_links *hrt_links_at(const hrt_jobs *jobs, uint32_t index, size_t member)
{
    return hrt_links_of(hrt_jobs_at(jobs, index), member);
}

/* Behind `after`; HRT_NIL: at the head. */
static inline void hrt_list_insert(const hrt_jobs *jobs, hrt_job_list *list, hrt_state_job *job,
                                   uint32_t after, size_t member)
{
    uint32_t next = after == HRT_NIL ? list->head : hrt_links_at(jobs, after, member)->next;
    *hrt_links_of(job, member) = (hrt_links){.next = next, .prev = after};
    if (after == HRT_NIL) {
        list->head = job->index;
    } else {
        hrt_links_at(jobs, after, member)->next = job->index;
    }
    if (next == HRT_NIL) {
        list->tail = job->index;
    } else {
        hrt_links_at(jobs, next, member)->prev = job->index;
    }
    list->count++;
}

static inline void hrt_list_remove(const hrt_jobs *jobs, hrt_job_list *list, hrt_state_job *job,
                                   size_t member)
{
    hrt_links links = *hrt_links_of(job, member);
    if (links.prev == HRT_NIL) {
        list->head = links.next;
    } else {
        hrt_links_at(jobs, links.prev, member)->next = links.next;
    }
    if (links.next == HRT_NIL) {
        list->tail = links.prev;
    } else {
        hrt_links_at(jobs, links.next, member)->prev = links.prev;
    }
    list->count--;
}

/* Whether a may stand before b. */
typedef bool (*hrt_list_order)(const hrt_state_job *a, const hrt_state_job *b);

/*
 * Where a job belongs in an ordered list: the one to insert it behind. Most belong at the tail. The
 * others come in runs, so the search begins at the hint: the last one inserted out of turn, if it
 * is still in this list, else HRT_NIL.
 */
static inline uint32_t hrt_list_place(const hrt_jobs *jobs, const hrt_job_list *list,
                                      const hrt_state_job *job, uint32_t hint, size_t member,
                                      hrt_list_order order)
{
    if (list->tail == HRT_NIL || order(hrt_jobs_at(jobs, list->tail), job)) {
        return list->tail;
    }
    uint32_t after = hint != HRT_NIL ? hint : list->head;
    while (after != HRT_NIL && !order(hrt_jobs_at(jobs, after), job)) {
        after = hrt_links_at(jobs, after, member)->prev;
    }
    uint32_t next = after == HRT_NIL ? HRT_NIL : hrt_links_at(jobs, after, member)->next;
    while (next != HRT_NIL && order(hrt_jobs_at(jobs, next), job)) {
        after = next;
        next = hrt_links_at(jobs, after, member)->next;
    }
    return after;
}

#endif
