/* The living jobs: a slab addressed by u32 indices, found by id. Knows the layout of a job only. */
#ifndef HRT_JOBS_H
#define HRT_JOBS_H

#include "map.h"
#include "state.h"

enum {
    HRT_JOBS_CHUNK_BITS = 12,
    HRT_JOBS_CHUNK = 1 << HRT_JOBS_CHUNK_BITS,
    HRT_JOBS_RUN = 16, /* chunks that are taken from the kernel at a time, once there are as many */
};

/* All zeros is an empty slab. Chunks never move, so it grows without copying a job. */
typedef struct hrt_jobs {
    hrt_state_job **chunks;
    uint32_t chunk_count;
    uint32_t chunk_capacity;
    uint32_t used;       /* slots ever in use */
    uint32_t free_count; /* slots in the free list */
    uint32_t free_head;  /* last freed, first used again: it is warm */
    hrt_map by_id;
} hrt_jobs;

/* A zeroed job with this id and its links cut; NULL: out of memory. */
hrt_state_job *hrt_jobs_add(hrt_jobs *jobs, uint64_t id);
void hrt_jobs_drop(hrt_jobs *jobs, hrt_state_job *job);
void hrt_jobs_free(hrt_jobs *jobs);

static inline hrt_state_job *hrt_jobs_at(const hrt_jobs *jobs, uint32_t index)
{
    return &jobs->chunks[index >> HRT_JOBS_CHUNK_BITS][index & (HRT_JOBS_CHUNK - 1)];
}

/* Ids come and go in runs, and each is looked up cold: one that comes soon is on its way then. */
enum { HRT_JOBS_AHEAD = 8 };

/* NULL: there is none. */
static inline hrt_state_job *hrt_jobs_find(const hrt_jobs *jobs, uint64_t id)
{
    hrt_map_expect(&jobs->by_id, id + HRT_JOBS_AHEAD);
    uint32_t index = hrt_map_find(&jobs->by_id, id);
    return index == HRT_MAP_NONE ? NULL : hrt_jobs_at(jobs, index);
}

#endif
