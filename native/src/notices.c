/* What a client asks about jobs, and what it is told. */
#include "error.h"
#include "handle.h"

#include <stdlib.h>

static bool may_poll(hrt_client *client, void *context)
{
    (void)context;
    return client->notice_head != client->notice_tail || client->poll_interrupted;
}

/* Under the lock. */
static int poll_notices(hrt_client *client, hrt_notice *notices_out, uint32_t max,
                        int64_t timeout_ns, uint32_t *count_out)
{
    const int status = hrt_inbox_wait(client, may_poll, NULL, hrt_deadline(timeout_ns));
    if (status == HRT_ETIMEOUT)
        return hrt_fail(HRT_EAGAIN, "no notice came within the time limit");
    if (status != HRT_OK)
        return status;
    if (client->notice_head == client->notice_tail) {
        client->poll_interrupted = false;
        return hrt_fail(HRT_EAGAIN, "the poll was interrupted");
    }
    uint32_t count = 0;
    while (count < max && client->notice_head != client->notice_tail) {
        const hrt_notice *notice = &client->notices[client->notice_head & (HRT_NOTICES_MAX - 1)];
        if (notice->type != HRT_DELIVERY_RESULT)
            client->others--;
        else
            client->watches--;
        notices_out[count] = *notice;
        client->notice_head++;
        count++;
    }
    *count_out = count;
    return HRT_OK;
}

int hrt_poll(hrt_client *client, hrt_notice *notices_out, uint32_t max, int64_t timeout_ns,
             uint32_t *count_out)
{
    int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (notices_out == NULL || count_out == NULL || max == 0)
        return hrt_fail(HRT_EINVAL, "notices_out and count_out must be set, and max at least 1");
    (void)pthread_mutex_lock(&client->inbox_lock);
    status = poll_notices(client, notices_out, max, timeout_ns, count_out);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return status;
}

void hrt_notice_free(hrt_notice *notice)
{
    free(notice->data);
    notice->data = NULL;
    notice->data_length = 0;
}

static int submit_job(hrt_client *client, uint16_t type, uint64_t job)
{
    const hrt_submit_job entry = {
        .head = {.length = sizeof(entry), .type = type},
        .job = job,
    };
    return hrt_submit_entry(client, &entry, sizeof(entry), NULL, 0);
}

/*
 * Each watch may bring a result that waits here until it is polled. Of a job that is watched
 * already, one result answers both.
 */
static int begin_watch(hrt_client *client, uint64_t job, bool *known_out)
{
    int status = HRT_OK;
    (void)pthread_mutex_lock(&client->inbox_lock);
    *known_out = hrt_map_find(&client->watched, job) != HRT_MAP_NONE;
    if (!*known_out && client->watches == HRT_WATCHES_MAX)
        status = HRT_ELIMIT;
    else if (!*known_out && !hrt_map_add(&client->watched, job, client->reign))
        status = HRT_ENOMEM;
    else
        client->watches += !*known_out;
    (void)pthread_mutex_unlock(&client->inbox_lock);
    if (status == HRT_ELIMIT)
        return hrt_fail(status, "%d watched jobs have not been polled, which is the limit",
                        HRT_WATCHES_MAX);
    return status == HRT_OK ? HRT_OK : hrt_fail(status, "no memory to watch one more job");
}

static void end_watch(hrt_client *client, uint64_t job)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    hrt_map_remove(&client->watched, job);
    client->watches--;
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

int hrt_watch(hrt_client *client, uint64_t job)
{
    int status = hrt_client_usable(client);
    if (status == HRT_OK && job == 0)
        status = hrt_fail(HRT_EINVAL, "job is 0, ids begin at 1");
    if (status != HRT_OK)
        return status;
    bool known = false;
    status = begin_watch(client, job, &known);
    if (status != HRT_OK || known)
        return status;
    status = submit_job(client, HRT_SUBMIT_WATCH, job);
    if (status != HRT_OK)
        end_watch(client, job);
    return status;
}

int hrt_cancel(hrt_client *client, uint64_t job)
{
    const int status = hrt_client_usable(client);
    return status == HRT_OK ? submit_job(client, HRT_SUBMIT_CANCEL, job) : status;
}
