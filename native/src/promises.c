/*
 * What was agreed about a running job and only the runtime's memory holds: a time limit that was
 * moved, a request to stop that was passed on. The client keeps it too, for a runtime that goes on
 * with the lane.
 */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "handle.h"

static hrt_promise *find(hrt_client *client, uint64_t job, uint64_t token)
{
    for (uint32_t i = 0; i < client->promise_count; i++)
        if (client->promises[i].job == job && client->promises[i].token == token)
            return &client->promises[i];
    return NULL;
}

static void drop(hrt_client *client, hrt_promise *promise)
{
    *promise = client->promises[client->promise_count - 1];
    hrt_store_relaxed_u32(&client->promise_count, client->promise_count - 1);
}

/* A program that speaks of jobs which it never ends loses some promise, not its memory. */
static hrt_promise *find_or_add(hrt_client *client, uint64_t job, uint64_t token)
{
    hrt_promise *promise = find(client, job, token);
    if (promise != NULL)
        return promise;
    if (client->promise_count == HRT_PROMISES_MAX)
        drop(client, &client->promises[0]);
    promise = &client->promises[client->promise_count];
    *promise = (hrt_promise){.job = job, .token = token};
    hrt_store_relaxed_u32(&client->promise_count, client->promise_count + 1);
    return promise;
}

void hrt_promise_limit(hrt_client *client, uint64_t job, uint64_t token, uint64_t more_ns)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    hrt_promise *promise = find_or_add(client, job, token);
    const uint64_t now = hrt_boot_ns();
    promise->limit_ns = more_ns < UINT64_MAX - now ? now + more_ns : UINT64_MAX;
    promise->reign = client->reign;
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

void hrt_promise_stop(hrt_client *client, const hrt_delivery *request)
{
    hrt_promise *promise = find_or_add(client, request->job, request->token);
    promise->reign = client->reign;
    if (request->code == HRT_OUTCOME_CANCELLED)
        promise->cancelled = true;
    else
        promise->limit_ns = hrt_boot_ns(); /* its limit has passed */
}

bool hrt_promise_end(hrt_client *client, uint64_t job, uint64_t token)
{
    if (HRT_LIKELY(hrt_load_relaxed_u32(&client->promise_count) == 0))
        return false;
    (void)pthread_mutex_lock(&client->inbox_lock);
    hrt_promise *promise = find(client, job, token);
    const bool cancelled = promise != NULL && promise->cancelled;
    if (promise != NULL)
        drop(client, promise);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return cancelled;
}

void hrt_promise_told(hrt_client *client, uint64_t job, uint64_t token, uint32_t reign)
{
    hrt_promise *promise = find(client, job, token);
    if (promise != NULL)
        promise->reign = reign;
}
