/*
 * Order within a key: of the jobs of one key in one queue at most one is in a ready list or runs.
 *
 * A key's list is in the order of ids. With `block` it holds every job that waits or runs, so a
 * delayed or failed head holds the key; with `skip` only those that are ready or run. The candidate
 * is always the head, so nothing ever searches past blocked jobs.
 */
#include "core.h"
#include "grow.h"
#include "list.h"

#include <stdlib.h>

static bool belongs(const hrt_state *state, const hrt_state_job *job)
{
    switch (job->state) {
    case HRT_JOB_READY:
    case HRT_JOB_RUNNING:
        return true;
    case HRT_JOB_SCHEDULED:
    case HRT_JOB_RETRYING:
        return state->page->queues[job->queue].order == HRT_ORDER_BLOCK;
    default:
        return false;
    }
}

static bool by_id(const hrt_state_job *a, const hrt_state_job *b)
{
    return a->id <= b->id;
}

static uint32_t take_slot(hrt_keys *keys)
{
    if (keys->free_count > 0) {
        uint32_t slot = keys->free_head;
        keys->free_head = keys->slots[slot].jobs.head;
        keys->free_count--;
        return slot;
    }
    if (!hrt_grow(&keys->slots, &keys->capacity, (uint64_t)keys->used + 1, 1024,
                  sizeof(*keys->slots))) {
        return HRT_NIL;
    }
    return keys->used++;
}

static void give_slot(hrt_keys *keys, uint32_t slot)
{
    keys->slots[slot].hash = 0;
    keys->slots[slot].jobs.head = keys->free_head;
    keys->free_head = slot;
    keys->free_count++;
}

static uint32_t slot_of(hrt_keys *keys, uint16_t queue, uint64_t hash)
{
    hrt_map *map = &keys->by_hash[queue];
    uint32_t slot = hrt_map_find(map, hash);
    if (slot != HRT_MAP_NONE) {
        return slot;
    }
    slot = take_slot(keys);
    if (slot == HRT_NIL) {
        return HRT_NIL;
    }
    if (!hrt_map_add(map, hash, slot)) {
        give_slot(keys, slot);
        return HRT_NIL;
    }
    keys->slots[slot] =
        (hrt_key){.hash = hash, .jobs = HRT_LIST_EMPTY, .candidate = HRT_NIL, .queue = queue};
    return slot;
}

static int join(hrt_state *state, hrt_state_job *job)
{
    hrt_keys *keys = &state->keys;
    uint32_t slot = slot_of(keys, job->queue, job->key_hash);
    if (slot == HRT_NIL) {
        return HRT_ENOMEM;
    }
    bool hinted = keys->hint != HRT_NIL && hrt_jobs_at(&state->jobs, keys->hint)->id != 0 &&
                  hrt_jobs_at(&state->jobs, keys->hint)->key == slot;
    hrt_job_list *list = &keys->slots[slot].jobs;
    uint32_t after = hrt_list_place(&state->jobs, list, job, hinted ? keys->hint : HRT_NIL,
                                    offsetof(hrt_state_job, of_key), by_id);
    if (after != list->tail) {
        keys->hint = job->index;
    }
    hrt_list_insert(&state->jobs, list, job, after, offsetof(hrt_state_job, of_key));
    job->key = slot;
    return HRT_OK;
}

static void part(hrt_state *state, hrt_state_job *job)
{
    hrt_list_remove(&state->jobs, &state->keys.slots[job->key].jobs, job,
                    offsetof(hrt_state_job, of_key));
    job->key = HRT_NIL;
}

/* Brings the head into the ready lists when it may go; frees a key that has no jobs. */
static void advance(hrt_state *state, uint32_t slot, const hrt_state_job *changed)
{
    hrt_key *key = &state->keys.slots[slot];
    if (key->jobs.count == 0) {
        hrt_map_remove(&state->keys.by_hash[key->queue], key->hash);
        give_slot(&state->keys, slot);
        return;
    }
    hrt_state_job *head = hrt_jobs_at(&state->jobs, key->jobs.head);
    uint32_t wanted = key->running == 0 && head->state == HRT_JOB_READY ? head->index : HRT_NIL;
    if (wanted == key->candidate) {
        return;
    }
    if (key->candidate != HRT_NIL) {
        hrt_ready_unlink(state, hrt_jobs_at(&state->jobs, key->candidate));
    }
    key->candidate = wanted;
    if (wanted != HRT_NIL) {
        if (head != changed) {
            head->ready_order = state->sequence;
        }
        hrt_ready_link(state, head);
    }
}

int hrt_keys_follow(hrt_state *state, hrt_state_job *job, uint8_t was)
{
    bool belongs_now = belongs(state, job);
    if (job->key == HRT_NIL) {
        int status = belongs_now ? join(state, job) : HRT_OK;
        if (!belongs_now || status != HRT_OK) {
            return status;
        }
    }
    uint32_t slot = job->key;
    hrt_key *key = &state->keys.slots[slot];
    key->running -= was == HRT_JOB_RUNNING;
    key->running += job->state == HRT_JOB_RUNNING;
    if (key->candidate == job->index && !job->in_ready) {
        key->candidate = HRT_NIL;
    }
    if (!belongs_now) {
        part(state, job);
    }
    advance(state, slot, job);
    return HRT_OK;
}

int hrt_keys_reorder(hrt_state *state, uint16_t queue)
{
    for (uint32_t index = 0; index < state->jobs.used; index++) {
        hrt_state_job *job = hrt_jobs_at(&state->jobs, index);
        if (job->id == 0 || job->queue != queue || job->key_hash == 0) {
            continue;
        }
        int status = hrt_keys_follow(state, job, job->state);
        if (status != HRT_OK) {
            return status;
        }
    }
    return HRT_OK;
}

void hrt_keys_free(hrt_keys *keys)
{
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        hrt_map_free(&keys->by_hash[queue]);
    }
    free(keys->slots);
    *keys = (hrt_keys){0};
}
