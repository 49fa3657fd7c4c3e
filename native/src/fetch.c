/* Leases become jobs: pointers into the read-only log. */
#include "atomic.h"
#include "check.h"
#include "error.h"
#include "handle.h"
#include "liveness.h"
#include "record.h"

#include <string.h>

static bool is_draining(const hrt_client *client)
{
    return hrt_load_acquire_u32(&client->lane->draining) != 0;
}

static bool may_fetch(hrt_client *client, void *context)
{
    (void)context;
    return client->lease_head != client->lease_tail || client->fetch_interrupted ||
           is_draining(client);
}

static void fill_from_record(hrt_job *job, const hrt_record *record)
{
    const hrt_parts parts = hrt_record_parts(record);
    const uint8_t *base = (const uint8_t *)record;
    const hrt_enqueue_body *body = parts.enqueue;
    job->key = body->key_length > 0 ? base + parts.key : NULL;
    job->meta = body->meta_length > 0 ? base + parts.meta : NULL;
    job->trace = parts.trace != 0 ? base + parts.trace : NULL;
    job->key_length = body->key_length;
    job->meta_length = body->meta_length;
    job->parent = body->parent;
    job->max_attempts = body->max_attempts;
    job->enqueued_ns = record->time_ns;
    if (record->type == HRT_RECORD_KEEP)
        job->enqueued_ns = ((const hrt_keep_body *)hrt_record_body(record))->enqueued_ns;
}

/* What earlier attempts saved lies in a record of its own. */
static int find_saved(hrt_client *client, const hrt_lease *held, hrt_job *job)
{
    if (held->saved_length == 0)
        return HRT_OK;
    job->saved_length = held->saved_length;
    return hrt_segments_at(client, held->saved_slot, held->saved_offset, held->saved_length,
                           &job->saved);
}

/* An ENQUEUE bears its job's id as its sequence, a copy of one in its body. */
static uint64_t job_of(const hrt_record *record)
{
    if (record->type == HRT_RECORD_KEEP)
        return ((const hrt_keep_body *)hrt_record_body(record))->job;
    return record->type == HRT_RECORD_ENQUEUE ? record->sequence : 0;
}

static int make_job(hrt_client *client, const hrt_lease *held, hrt_job *job_out)
{
    const hrt_delivery *lease = &held->delivery;
    const uint8_t *bytes = NULL;
    const uint8_t *payload = NULL;
    int status =
        hrt_segments_at(client, lease->slot, lease->record_offset, sizeof(hrt_record), &bytes);
    if (status == HRT_OK)
        status =
            hrt_segments_at(client, lease->slot, lease->data_offset, lease->data_length, &payload);
    if (status != HRT_OK)
        return status;
    const hrt_record *record = (const hrt_record *)(const void *)bytes;
    if (job_of(record) != lease->job)
        return hrt_fail(HRT_EPEER, "the lease of job %llu points to a record of type %u, job %llu",
                        (unsigned long long)lease->job, record->type,
                        (unsigned long long)job_of(record));
    hrt_job job = {
        .id = lease->job,
        .token = lease->token,
        .payload = payload,
        .payload_length = lease->data_length,
        .started = &client->started[lease->started_index & (client->started_capacity - 1)],
        .deadline_ns = lease->deadline_ns,
        .kind = lease->kind,
        .queue = lease->queue,
        .attempt = lease->attempt,
    };
    fill_from_record(&job, record);
    status = find_saved(client, held, &job);
    if (status == HRT_OK)
        *job_out = job;
    return status;
}

/* Without its runtime a client may find that another one, which does not know it, has used up what
 * it was to read. */
static int judge_unread(const hrt_client *client, const hrt_lease *held, int status)
{
    if (!hrt_hold_died(hrt_load_acquire_u32(&client->lane->runtime_alive)))
        return status;
    return hrt_fail(HRT_ECLOSED,
                    "the runtime's process has died, and job %llu can be read no more; attach "
                    "again once one is back",
                    (unsigned long long)held->delivery.job);
}

/* Under the lock. A lease that cannot be read stays first in line, and its error is told alone. */
static int take_leases(hrt_client *client, hrt_job *jobs_out, uint32_t max, uint32_t *count_out)
{
    uint32_t count = 0;
    while (count < max && client->lease_head != client->lease_tail) {
        const uint64_t place = client->lease_head & (client->deliver_capacity - 1);
        const int status = make_job(client, &client->leases[place], &jobs_out[count]);
        if (status != HRT_OK && count == 0)
            return judge_unread(client, &client->leases[place], status);
        if (status != HRT_OK)
            break;
        client->lease_head++;
        count++;
    }
    *count_out = count;
    return HRT_OK;
}

/* Under the lock, which it gives up while it settles. */
static int return_leases(hrt_client *client)
{
    int status = HRT_OK;
    hrt_inbox_drain(client); /* the last leases came before the word to drain */
    while (status == HRT_OK && client->lease_head != client->lease_tail) {
        hrt_lease leases[32];
        uint32_t count = 0;
        for (; count < HRT_COUNT_OF(leases) && client->lease_head != client->lease_tail; count++) {
            leases[count] = client->leases[client->lease_head & (client->deliver_capacity - 1)];
            client->lease_head++;
        }
        (void)pthread_mutex_unlock(&client->inbox_lock);
        status = hrt_settle_returned(client, leases, count);
        (void)pthread_mutex_lock(&client->inbox_lock);
        hrt_inbox_drain(client);
    }
    return status == HRT_OK ? hrt_fail(HRT_EDRAIN, "the runtime drains: settle, then detach")
                            : status;
}

/* Under the lock. */
static int fetch(hrt_client *client, hrt_job *jobs_out, uint32_t max, int64_t timeout_ns,
                 uint32_t *count_out)
{
    int status = hrt_inbox_wait(client, may_fetch, NULL, hrt_deadline(timeout_ns));
    if (status == HRT_ETIMEOUT)
        return hrt_fail(HRT_EAGAIN, "no job came within the time limit");
    if (status == HRT_OK)
        status = hrt_client_open(client);
    if (status != HRT_OK)
        return status;
    if (is_draining(client))
        return return_leases(client);
    if (client->lease_head != client->lease_tail)
        return take_leases(client, jobs_out, max, count_out);
    client->fetch_interrupted = false;
    return hrt_fail(HRT_EAGAIN, "the fetch was interrupted");
}

int hrt_fetch(hrt_client *client, hrt_job *jobs_out, uint32_t max, int64_t timeout_ns,
              uint32_t *count_out)
{
    int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (jobs_out == NULL || count_out == NULL || max == 0)
        return hrt_fail(HRT_EINVAL, "jobs_out and count_out must be set, and max at least 1");
    (void)pthread_mutex_lock(&client->inbox_lock);
    status = fetch(client, jobs_out, max, timeout_ns, count_out);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return status;
}

void hrt_job_started(const hrt_job *job)
{
    hrt_store_release(job->started, job->id);
}
