/* What a client receives: one thread sleeps on the lane for all, deliveries become queues. */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "handle.h"
#include "liveness.h"
#include "park.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* A lost wake-up costs no more than this; none has ever been seen, and they are counted. */
    INBOX_SLICE_NS = 1000000000,
    /* A wake that crosses with the end of a slice is given so long before it counts as lost. */
    INBOX_GRACE_NS = 10000000,
};

uint64_t hrt_deadline(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return UINT64_MAX;
    return timeout_ns == 0 ? 0 : hrt_clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ns;
}

int64_t hrt_deadline_left(uint64_t deadline)
{
    if (deadline == UINT64_MAX)
        return -1;
    const uint64_t now = deadline == 0 ? 0 : hrt_clock_ns(CLOCK_MONOTONIC);
    return now >= deadline ? 0 : (int64_t)(deadline - now);
}

static hrt_sight look(const hrt_client *client)
{
    const hrt_lane *lane = client->lane;
    const hrt_sight sight = {
        .deliver_tail = hrt_load_acquire(&lane->deliver_tail),
        .reply_tail = hrt_load_acquire(&lane->reply_tail),
        .submit_head = hrt_load_acquire(&lane->submit_head),
        .draining = hrt_load_acquire_u32(&lane->draining),
        .closed = hrt_load_acquire_u32(&lane->closed),
        .pokes = hrt_load_relaxed(&client->pokes),
    };
    return sight;
}

/* Whether the runtime, not this process, changed something. */
static bool lane_changed(const hrt_client *client, const hrt_sight *before)
{
    const hrt_sight now = look(client);
    return now.deliver_tail != before->deliver_tail || now.reply_tail != before->reply_tail ||
           now.submit_head != before->submit_head || now.draining != before->draining ||
           now.closed != before->closed;
}

static bool changed(const hrt_client *client, const hrt_sight *before)
{
    return hrt_load_relaxed(&client->pokes) != before->pokes || lane_changed(client, before);
}

void hrt_inbox_poke(hrt_client *client)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    hrt_add_relaxed(&client->pokes, 1);
    (void)pthread_cond_broadcast(&client->inbox_cond);
    (void)hrt_park_wake(&client->lane->deliver_park, client->event_fd);
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

static void push_notice(hrt_client *client, const hrt_delivery *delivery)
{
    hrt_notice notice = {
        .job = delivery->job,
        .token = delivery->token,
        .type = delivery->type,
        .code = delivery->code,
        .queue = delivery->queue,
    };
    if (delivery->type == HRT_DELIVERY_RESULT && delivery->slot != UINT32_MAX &&
        delivery->data_length > 0) {
        const uint8_t *bytes = NULL;
        /* Copied now: the segment may be recycled once the delivery is taken. */
        const int status = hrt_segments_at(client, delivery->slot, delivery->data_offset,
                                           delivery->data_length, &bytes);
        notice.data = status == HRT_OK ? malloc(delivery->data_length) : NULL;
        if (notice.data != NULL) {
            memcpy(notice.data, bytes, delivery->data_length);
            notice.data_length = delivery->data_length;
        } else {
            notice.code = status == HRT_OK ? HRT_ENOMEM : status;
        }
    }
    client->notices[client->notice_tail & (HRT_NOTICES_MAX - 1)] = notice;
    client->notice_tail++;
}

/*
 * A runtime that goes on with this lane delivers again what the last one leased, and cannot know
 * what came through. The place and the token tell exactly: one LEASE record uses a place once, a
 * place is given again only after its job was settled in the log, and tokens are never used twice.
 * So a lease that the log still holds was the last one at its place, if it came at all. Nothing is
 * cleared by a settle: one that the log does not hold yet lies in the submit ring, and is taken.
 */
static bool is_known(hrt_client *client, const hrt_delivery *lease)
{
    uint64_t *token = &client->tokens[lease->started_index & (client->started_capacity - 1)];
    const bool known = *token == lease->token;
    *token = lease->token;
    return known;
}

/* False: no place is free. */
static bool take_lease(hrt_client *client, const hrt_delivery *delivery)
{
    if (client->lease_tail - client->lease_head == client->deliver_capacity)
        return false;
    if (!is_known(client, delivery)) {
        hrt_lease lease = {.delivery = *delivery};
        if (client->saved.job == delivery->job && client->saved.token == delivery->token) {
            lease.saved_slot = client->saved.slot;
            lease.saved_offset = client->saved.data_offset;
            lease.saved_length = client->saved.data_length;
        }
        client->leases[client->lease_tail & (client->deliver_capacity - 1)] = lease;
        client->lease_tail++;
    }
    client->saved.job = 0;
    return true;
}

/* False: no place is free. */
static bool take_notice(hrt_client *client, const hrt_delivery *delivery)
{
    if (client->notice_tail - client->notice_head == HRT_NOTICES_MAX)
        return false;
    if (delivery->type != HRT_DELIVERY_RESULT) {
        if (client->others == HRT_OTHERS_MAX)
            return true;
        client->others++;
    } else if (hrt_map_find(&client->watched, delivery->job) == HRT_MAP_NONE) {
        return true; /* asked for twice, over a takeover, and answered before */
    } else {
        hrt_map_remove(&client->watched, delivery->job);
    }
    push_notice(client, delivery);
    return true;
}

/* False: its queue is full and it has to wait in the ring. */
static bool take_delivery(hrt_client *client, const hrt_delivery *delivery)
{
    switch (delivery->type) {
    case HRT_DELIVERY_LEASE:
        return take_lease(client, delivery);
    case HRT_DELIVERY_SAVED:
        client->saved = *delivery;
        return true;
    case HRT_DELIVERY_SPACE:
        if (delivery->queue < HRT_QUEUES_MAX)
            client->spaces[delivery->queue]++;
        return true;
    case HRT_DELIVERY_ADOPTED:
        hrt_renew_begin(client);
        return true;
    case HRT_DELIVERY_CANCEL:
        hrt_promise_stop(client, delivery);
        return take_notice(client, delivery);
    default:
        return take_notice(client, delivery);
    }
}

void hrt_inbox_drain(hrt_client *client)
{
    const uint64_t tail = hrt_load_acquire(&client->lane->deliver_tail);
    const uint64_t before = client->deliver_head;
    while (client->deliver_head != tail) {
        const uint64_t place = client->deliver_head & (client->deliver_capacity - 1);
        if (!take_delivery(client, &client->deliveries[place]))
            break;
        client->deliver_head++;
    }
    if (client->deliver_head == before)
        return;
    hrt_store_release(&client->lane->deliver_head, client->deliver_head);
    /* Only who found at least half of the ring in use can have kept the runtime waiting for room.
     */
    if (tail - before >= client->deliver_capacity / 2)
        hrt_submit_notify(client);
    /* What was taken may be what another thread of this client waits for. */
    (void)pthread_cond_broadcast(&client->inbox_cond);
}

static void sleep_as_follower(hrt_client *client, uint64_t deadline)
{
    if (deadline == UINT64_MAX) {
        (void)pthread_cond_wait(&client->inbox_cond, &client->inbox_lock);
        return;
    }
    const struct timespec until = {
        .tv_sec = (time_t)(deadline / 1000000000u),
        .tv_nsec = (long)(deadline % 1000000000u),
    };
    (void)pthread_cond_timedwait(&client->inbox_cond, &client->inbox_lock, &until);
}

/* Without the lock. True: something came without a wake, however long it was waited for, from a
 * runtime that did not die before the wake. */
static bool park(hrt_client *client, const hrt_sight *seen, uint64_t deadline)
{
    uint32_t *word = &client->lane->deliver_park;
    const int64_t left = hrt_deadline_left(deadline);
    const int64_t slice = left < 0 || left > INBOX_SLICE_NS ? INBOX_SLICE_NS : left;
    if (hrt_park_wait(word, slice) || !lane_changed(client, seen) ||
        hrt_hold_died(hrt_load_acquire_u32(&client->lane->runtime_alive)))
        return false;
    hrt_park_begin(word, HRT_PARK_FUTEX);
    return !hrt_park_wait(word, INBOX_GRACE_NS);
}

static void sleep_as_leader(hrt_client *client, const hrt_sight *seen, uint64_t deadline)
{
    uint32_t *word = &client->lane->deliver_park;
    client->parked = true;
    hrt_park_begin(word, HRT_PARK_FUTEX);
    if (changed(client, seen)) {
        hrt_park_cancel(word);
    } else {
        (void)pthread_mutex_unlock(&client->inbox_lock);
        const bool rescued = park(client, seen, deadline);
        (void)pthread_mutex_lock(&client->inbox_lock);
        client->rescues += rescued;
    }
    client->parked = false;
    (void)pthread_cond_broadcast(&client->inbox_cond);
}

/* Who polls for others looks at hrt_draining when a poll brought nothing. */
static void tell_of_drain(hrt_client *client)
{
    if (!client->drain_seen && hrt_load_acquire_u32(&client->lane->draining) != 0) {
        client->drain_seen = true;
        client->poll_interrupted = true;
    }
}

int hrt_inbox_wait(hrt_client *client, hrt_inbox_ready ready, void *context, uint64_t deadline)
{
    for (;;) {
        const hrt_sight seen = look(client);
        hrt_inbox_drain(client);
        if (hrt_renew_some(client))
            continue;
        tell_of_drain(client);
        if (ready(client, context))
            return HRT_OK;
        const int status = hrt_client_open(client);
        if (status != HRT_OK)
            return status;
        if (hrt_deadline_left(deadline) == 0)
            return HRT_ETIMEOUT;
        if (client->parked)
            sleep_as_follower(client, deadline);
        else
            sleep_as_leader(client, &seen, deadline);
    }
}

void hrt_inbox_tend(hrt_client *client)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    do {
        hrt_inbox_drain(client);
    } while (hrt_renew_some(client));
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

void hrt_interrupt(hrt_client *client)
{
    if (hrt_client_usable(client) != HRT_OK)
        return;
    (void)pthread_mutex_lock(&client->inbox_lock);
    client->interrupts++;
    client->fetch_interrupted = true;
    client->poll_interrupted = true;
    (void)pthread_mutex_unlock(&client->inbox_lock);
    hrt_inbox_poke(client);
}

int hrt_draining(const hrt_client *client)
{
    return hrt_client_usable(client) != HRT_OK ||
           hrt_load_acquire_u32(&client->lane->draining) != 0 ||
           hrt_load_acquire_u32(&client->lane->closed) != 0 ||
           hrt_load_acquire_u32(&client->gone) != 0;
}

int hrt_event_fd(const hrt_client *client)
{
    return client->event_fd;
}

static bool something_is_there(hrt_client *client)
{
    const bool news = changed(client, &client->told);
    client->told = look(client);
    hrt_inbox_drain(client);
    return news || client->lease_head != client->lease_tail ||
           client->notice_head != client->notice_tail;
}

int hrt_arm(hrt_client *client)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    (void)pthread_mutex_lock(&client->inbox_lock);
    bool there = client->parked || something_is_there(client);
    there |= hrt_renew_some(client);
    if (!there) {
        hrt_park_begin(&client->lane->deliver_park, HRT_PARK_EVENTFD);
        there = changed(client, &client->told);
        if (there)
            hrt_park_cancel(&client->lane->deliver_park);
    }
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return there ? HRT_EAGAIN : HRT_OK;
}
