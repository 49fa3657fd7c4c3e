/*
 * Another runtime goes on with a lane: what the log does not hold, its client asks for again. The
 * program notices nothing of it.
 */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "handle.h"

#include <string.h>

enum {
    RENEW_WATCHES = 256, /* in one step; with a REGISTER they fit the smallest ring */
    RENEW_PROMISES = 64, /* in a step of their own */
};

typedef struct renewal {
    const void *registration; /* NULL: not in this step */
    uint32_t registration_length;
    uint32_t count;
    uint64_t jobs[RENEW_WATCHES];
    uint32_t promise_count;
    hrt_promise promises[RENEW_PROMISES];
} renewal;

void hrt_renew_begin(hrt_client *client)
{
    client->reign++;
    hrt_store_relaxed_u32(&client->adoptions, hrt_load_acquire_u32(&client->lane->takeovers));
    client->owes_promises = client->promise_count > 0;
    client->owes_register = client->registration != NULL;
    client->owes_watches = client->watched.count > 0;
    /* Who waits for room in a queue tries again: if there is none it asks to be told. */
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++)
        client->spaces[queue]++;
}

/* The next ones to ask for. */
static void collect(hrt_client *client, renewal *step)
{
    step->registration = client->owes_register ? client->registration : NULL;
    step->registration_length = client->owes_register ? client->registration_length : 0;
    step->count = 0;
    const hrt_map *watched = &client->watched;
    for (uint32_t i = 0; client->owes_watches && watched->count > 0 && i <= watched->mask; i++) {
        const hrt_map_entry *entry = &watched->entries[i];
        if (entry->key != 0 && entry->value != client->reign && step->count < RENEW_WATCHES)
            step->jobs[step->count++] = entry->key;
    }
    client->owes_watches = step->count > 0;
}

static void collect_promises(hrt_client *client, renewal *step)
{
    step->promise_count = 0;
    if (step->registration != NULL || step->count > 0 || !client->owes_promises)
        return;
    for (uint32_t i = 0; i < client->promise_count && step->promise_count < RENEW_PROMISES; i++)
        if (client->promises[i].reign != client->reign)
            step->promises[step->promise_count++] = client->promises[i];
    client->owes_promises = step->promise_count > 0;
}

/* A limit that has passed is told too: the job is to stop at once. */
static void write_promise(hrt_client *client, const hrt_promise *promise)
{
    const uint64_t now = hrt_boot_ns();
    const hrt_submit_extend limit = {
        .head = {.length = sizeof(limit), .type = HRT_SUBMIT_EXTEND},
        .job = promise->job,
        .token = promise->token,
        .more_ns = promise->limit_ns > now ? promise->limit_ns - now : 0,
    };
    const hrt_submit_job stop = {
        .head = {.length = sizeof(stop), .type = HRT_SUBMIT_CANCEL},
        .job = promise->job,
    };
    if (promise->limit_ns != 0)
        memcpy(hrt_ring_claim(&client->writer, sizeof(limit)), &limit, sizeof(limit));
    if (promise->cancelled)
        memcpy(hrt_ring_claim(&client->writer, sizeof(stop)), &stop, sizeof(stop));
}

static void write_step(hrt_client *client, void *context)
{
    const renewal *step = context;
    if (step->registration != NULL)
        memcpy(hrt_ring_claim(&client->writer, step->registration_length), step->registration,
               step->registration_length);
    for (uint32_t i = 0; i < step->count; i++) {
        const hrt_submit_job entry = {
            .head = {.length = sizeof(entry), .type = HRT_SUBMIT_WATCH},
            .job = step->jobs[i],
        };
        memcpy(hrt_ring_claim(&client->writer, sizeof(entry)), &entry, sizeof(entry));
    }
    for (uint32_t i = 0; i < step->promise_count; i++)
        write_promise(client, &step->promises[i]);
}

static bool submit(hrt_client *client, renewal *step)
{
    const uint32_t watch = sizeof(hrt_submit_job);
    const uint32_t promise = sizeof(hrt_submit_extend) + sizeof(hrt_submit_job);
    const hrt_need need = {
        .bytes = step->registration_length + (uint64_t)step->count * watch +
                 (uint64_t)step->promise_count * promise,
        .largest = step->registration_length > watch ? step->registration_length : watch,
    };
    return hrt_submit_try(client, &need, write_step, step);
}

/* Another takeover may have come meanwhile: then all of it is owed once more. */
static void note_done(hrt_client *client, const renewal *step, uint32_t reign)
{
    if (step->registration != NULL && client->reign == reign)
        client->owes_register = false;
    for (uint32_t i = 0; i < step->count; i++) {
        if (hrt_map_find(&client->watched, step->jobs[i]) == HRT_MAP_NONE)
            continue; /* answered already */
        hrt_map_remove(&client->watched, step->jobs[i]);
        const bool added = hrt_map_add(&client->watched, step->jobs[i], reign);
        HRT_ASSERT(added); /* in the place that has just become free */
    }
    for (uint32_t i = 0; i < step->promise_count; i++)
        hrt_promise_told(client, step->promises[i].job, step->promises[i].token, reign);
}

bool hrt_renew_some(hrt_client *client)
{
    const bool owes = client->owes_register || client->owes_watches || client->owes_promises;
    if (HRT_LIKELY(!owes) || client->renewing)
        return false;
    renewal step;
    collect(client, &step);
    collect_promises(client, &step);
    if (step.registration == NULL && step.count == 0 && step.promise_count == 0)
        return false;
    const uint32_t reign = client->reign;
    client->renewing = true;
    (void)pthread_mutex_unlock(&client->inbox_lock);
    const bool done = submit(client, &step);
    (void)pthread_mutex_lock(&client->inbox_lock);
    client->renewing = false;
    if (done)
        note_done(client, &step, reign);
    return done;
}
