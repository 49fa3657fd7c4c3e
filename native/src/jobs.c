/* The living jobs: a slab addressed by u32 indices, found by id. */
#include "jobs.h"

#include "grow.h"
#include "pages.h"

/* Chunks that are made and freed together with the one at `place`, the first of them. */
static uint32_t run_at(uint32_t place)
{
    return place < HRT_JOBS_RUN ? 1 : HRT_JOBS_RUN;
}

static bool add_chunks(hrt_jobs *jobs)
{
    uint32_t run = run_at(jobs->chunk_count);
    if (!hrt_grow(&jobs->chunks, &jobs->chunk_capacity, jobs->chunk_count + run, HRT_JOBS_RUN,
                  sizeof(*jobs->chunks))) {
        return false;
    }
    hrt_state_job *first = hrt_pages_new(run * HRT_JOBS_CHUNK * sizeof(*first));
    if (first == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < run; i++) {
        jobs->chunks[jobs->chunk_count++] = first + (size_t)i * HRT_JOBS_CHUNK;
    }
    return true;
}

static uint32_t take_slot(hrt_jobs *jobs)
{
    if (jobs->free_count > 0) {
        uint32_t index = jobs->free_head;
        jobs->free_head = hrt_jobs_at(jobs, index)->ready.next;
        jobs->free_count--;
        return index;
    }
    if (jobs->used >> HRT_JOBS_CHUNK_BITS == jobs->chunk_count && !add_chunks(jobs)) {
        return HRT_NIL;
    }
    return jobs->used++;
}

static void give_slot(hrt_jobs *jobs, uint32_t index)
{
    hrt_state_job *job = hrt_jobs_at(jobs, index);
    job->id = 0;
    job->ready.next = jobs->free_head;
    jobs->free_head = index;
    jobs->free_count++;
}

hrt_state_job *hrt_jobs_add(hrt_jobs *jobs, uint64_t id)
{
    uint32_t index = take_slot(jobs);
    if (index == HRT_NIL) {
        return NULL;
    }
    if (!hrt_map_add(&jobs->by_id, id, index)) {
        give_slot(jobs, index);
        return NULL;
    }
    hrt_state_job *job = hrt_jobs_at(jobs, index);
    *job = (hrt_state_job){.id = id, .key = HRT_NIL, .index = index};
    return job;
}

void hrt_jobs_drop(hrt_jobs *jobs, hrt_state_job *job)
{
    hrt_map_remove(&jobs->by_id, job->id);
    free(job->error);
    job->error = NULL;
    give_slot(jobs, job->index);
}

void hrt_jobs_free(hrt_jobs *jobs)
{
    for (uint32_t index = 0; index < jobs->used; index++) {
        free(hrt_jobs_at(jobs, index)->error);
    }
    for (uint32_t chunk = 0; chunk < jobs->chunk_count; chunk += run_at(chunk)) {
        hrt_pages_free(jobs->chunks[chunk], run_at(chunk) * HRT_JOBS_CHUNK * sizeof(hrt_state_job));
    }
    free(jobs->chunks);
    hrt_map_free(&jobs->by_id);
    *jobs = (hrt_jobs){0};
}
