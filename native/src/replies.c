/* Tickets and their answers. */
#include "atomic.h"
#include "error.h"
#include "handle.h"

typedef struct reply_wait {
    uint64_t end;
    uint64_t interrupts; /* seen before; more of them end the wait */
    bool interruptible;
} reply_wait;

static bool answered(const hrt_client *client, uint64_t end)
{
    return hrt_load_acquire(&client->lane->reply_tail) >= end;
}

static bool answered_or_interrupted(hrt_client *client, void *context)
{
    const reply_wait *wait = context;
    return answered(client, wait->end) ||
           (wait->interruptible && client->interrupts != wait->interrupts);
}

static int check_end(const hrt_client *client, uint64_t end)
{
    const uint64_t next = hrt_load_acquire(&client->next_ticket);
    if (end > next)
        return hrt_fail(HRT_EINVAL, "ticket %llu was not given out yet, the next one is %llu",
                        (unsigned long long)end - 1, (unsigned long long)next);
    return HRT_OK;
}

int hrt_replies_wait(hrt_client *client, uint64_t end, uint64_t deadline, bool interruptible)
{
    if (answered(client, end))
        return HRT_OK;
    (void)pthread_mutex_lock(&client->inbox_lock);
    reply_wait wait = {
        .end = end,
        .interrupts = client->interrupts,
        .interruptible = interruptible,
    };
    const int status = hrt_inbox_wait(client, answered_or_interrupted, &wait, deadline);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    if (status == HRT_ETIMEOUT && hrt_client_late(client) == HRT_ECLOSED)
        return HRT_ECLOSED;
    if (status == HRT_ETIMEOUT)
        return hrt_fail(HRT_ETIMEOUT, "not all tickets below %llu were answered in time",
                        (unsigned long long)end);
    if (status == HRT_OK && !answered(client, end))
        return hrt_fail(HRT_EAGAIN, "the wait was interrupted");
    return status;
}

int hrt_wait(hrt_client *client, uint64_t end, int64_t timeout_ns)
{
    int status = hrt_client_usable(client);
    if (status == HRT_OK)
        status = check_end(client, end);
    return status == HRT_OK ? hrt_replies_wait(client, end, hrt_deadline(timeout_ns), true)
                            : status;
}

/* The runtime may write over a reply once reply_capacity further tickets were given out. */
static bool overtaken(const hrt_client *client, uint64_t first)
{
    return hrt_load_acquire(&client->next_ticket) - first > client->reply_capacity;
}

int hrt_replies(hrt_client *client, uint64_t first, uint32_t count, int64_t *ids_out)
{
    int status = hrt_client_usable(client);
    if (status == HRT_OK)
        status = check_end(client, first + count);
    if (status != HRT_OK || count == 0)
        return status;
    if (!answered(client, first + count))
        return hrt_fail(HRT_EAGAIN, "not all tickets below %llu are answered",
                        (unsigned long long)(first + count));
    bool gone = overtaken(client, first);
    for (uint32_t i = 0; i < count && !gone; i++) {
        const uint64_t place = (first + i) & (client->reply_capacity - 1);
        ids_out[i] = (int64_t)hrt_load_acquire((const uint64_t *)&client->replies[place]);
    }
    if (gone || overtaken(client, first))
        return hrt_fail(HRT_EGONE, "the reply to ticket %llu is gone, only the last %u are kept",
                        (unsigned long long)first, client->reply_capacity);
    return HRT_OK;
}
