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
        else if (client->watches > 0)
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

/* Each watch may bring a result that waits here until it is polled. */
static bool count_watch(hrt_client *client)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    const bool counted = client->watches < HRT_WATCHES_MAX;
    client->watches += counted;
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return counted;
}

int hrt_watch(hrt_client *client, uint64_t job)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (!count_watch(client))
        return hrt_fail(HRT_ELIMIT, "%d watched jobs have not been polled, which is the limit",
                        HRT_WATCHES_MAX);
    return submit_job(client, HRT_SUBMIT_WATCH, job);
}

int hrt_cancel(hrt_client *client, uint64_t job)
{
    const int status = hrt_client_usable(client);
    return status == HRT_OK ? submit_job(client, HRT_SUBMIT_CANCEL, job) : status;
}
