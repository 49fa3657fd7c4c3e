/* The jobs under lease, by the client that holds them, in the order of their tokens. */
#include "check.h"
#include "core.h"
#include "grow.h"
#include "list.h"

#include <stdlib.h>

static uint32_t find(const hrt_holders *holders, uint64_t client)
{
    if (holders->last < holders->count && holders->clients[holders->last].client == client) {
        return holders->last;
    }
    for (uint32_t place = 0; place < holders->count; place++) {
        if (holders->clients[place].client == client) {
            return place;
        }
    }
    return HRT_NIL;
}

static uint32_t find_or_add(hrt_holders *holders, uint64_t client)
{
    uint32_t place = find(holders, client);
    if (place != HRT_NIL) {
        return place;
    }
    if (!hrt_grow(&holders->clients, &holders->capacity, holders->count + 1, HRT_LANES_MAX,
                  sizeof(*holders->clients))) {
        return HRT_NIL;
    }
    holders->clients[holders->count] = (hrt_holder){.client = client, .jobs = HRT_LIST_EMPTY};
    return holders->count++;
}

static bool by_token(const hrt_state_job *a, const hrt_state_job *b)
{
    return a->token <= b->token;
}

int hrt_holders_link(hrt_state *state, hrt_state_job *job)
{
    uint32_t place = find_or_add(&state->holders, job->client);
    if (place == HRT_NIL) {
        return HRT_ENOMEM;
    }
    state->holders.last = place;
    hrt_job_list *list = &state->holders.clients[place].jobs;
    uint32_t after =
        hrt_list_place(&state->jobs, list, job, HRT_NIL, offsetof(hrt_state_job, ready), by_token);
    hrt_list_insert(&state->jobs, list, job, after, offsetof(hrt_state_job, ready));
    return HRT_OK;
}

void hrt_holders_unlink(hrt_state *state, hrt_state_job *job)
{
    hrt_holders *holders = &state->holders;
    uint32_t place = find(holders, job->client);
    holders->last = place;
    hrt_job_list *list = &holders->clients[place].jobs;
    hrt_list_remove(&state->jobs, list, job, offsetof(hrt_state_job, ready));
    if (list->count == 0) {
        holders->clients[place] = holders->clients[--holders->count];
    }
}

uint32_t hrt_state_holders(const hrt_state *state)
{
    return state->holders.count;
}

uint64_t hrt_state_holder(const hrt_state *state, uint32_t place)
{
    HRT_ASSERT(place < state->holders.count);
    return state->holders.clients[place].client;
}

uint32_t hrt_state_leased_to(const hrt_state *state, uint64_t client, uint64_t *jobs_out,
                             uint32_t max)
{
    uint32_t place = find(&state->holders, client);
    uint32_t count = 0;
    uint32_t index = place == HRT_NIL ? HRT_NIL : state->holders.clients[place].jobs.head;
    while (index != HRT_NIL && count < max) {
        const hrt_state_job *job = hrt_jobs_at(&state->jobs, index);
        jobs_out[count++] = job->id;
        index = job->ready.next;
    }
    return count;
}
