/*
 * Another runtime goes on with a lane: what the log does not hold, its client asks for again. The
 * program notices nothing of it.
 */
#include "check.h"
#include "handle.h"

#include <string.h>

enum { RENEW_WATCHES = 256 }; /* in one step; with a REGISTER they fit the smallest ring */

typedef struct renewal {
    const void *registration; /* NULL: not in this step */
    uint32_t registration_length;
    uint32_t count;
    uint64_t jobs[RENEW_WATCHES];
} renewal;

void hrt_renew_begin(hrt_client *client)
{
    client->reign++;
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
}

static bool submit(hrt_client *client, renewal *step)
{
    const uint32_t watch = sizeof(hrt_submit_job);
    const hrt_need need = {
        .bytes = step->registration_length + (uint64_t)step->count * watch,
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
}

bool hrt_renew_some(hrt_client *client)
{
    if (HRT_LIKELY(!client->owes_register && !client->owes_watches) || client->renewing)
        return false;
    renewal step;
    collect(client, &step);
    if (step.registration == NULL && step.count == 0)
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
