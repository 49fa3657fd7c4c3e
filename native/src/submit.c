/* What a client sends: room in the submit ring, tickets, one publish a batch, one wake. */
#include "atomic.h"
#include "check.h"
#include "error.h"
#include "handle.h"
#include "park.h"

#include <string.h>

uint32_t hrt_submit_limit(const hrt_client *client)
{
    return client->writer.capacity / 2;
}

/*
 * A batch needs its bytes and perhaps one PAD below its largest entry. Both are at most half the
 * ring, so what passes here can be claimed without a further look.
 */
static bool has_room(hrt_client *client, const hrt_need *need)
{
    const uint64_t head = hrt_load_acquire(&client->lane->submit_head);
    const uint64_t filled = hrt_load_relaxed(&client->lane->submit_tail) - head;
    if (need->bytes + need->largest > client->writer.capacity - filled)
        return false;
    const uint64_t answered = hrt_load_acquire(&client->lane->reply_tail);
    const uint64_t pinned = hrt_load_acquire(&client->pinned);
    const uint64_t oldest = pinned < answered ? pinned : answered;
    const uint64_t next = hrt_load_relaxed(&client->next_ticket);
    return need->tickets == 0 || next - oldest + need->tickets <= client->reply_capacity;
}

static bool room_is_there(hrt_client *client, void *context)
{
    return has_room(client, context);
}

int hrt_submit_wait_room(hrt_client *client, const hrt_need *need, int64_t timeout_ns)
{
    hrt_need wanted = *need;
    (void)pthread_mutex_lock(&client->inbox_lock);
    const int status = hrt_inbox_wait(client, room_is_there, &wanted, hrt_deadline(timeout_ns));
    (void)pthread_mutex_unlock(&client->inbox_lock);
    if (status == HRT_ETIMEOUT && hrt_client_late(client) == HRT_ECLOSED)
        return HRT_ECLOSED;
    if (status == HRT_ETIMEOUT)
        return hrt_fail(HRT_ETIMEOUT,
                        "the lane had no room for %llu bytes and %u replies within the time limit",
                        (unsigned long long)need->bytes, need->tickets);
    return status;
}

void hrt_submit_notify(hrt_client *client)
{
    if (client->pump != NULL)
        client->pump(client->pump_context);
    else
        (void)hrt_park_wake(&client->lane->submit_park, -1);
}

static void add_pin(hrt_client *client, hrt_pin *pin, uint64_t first)
{
    *pin = (hrt_pin){.first = first, .previous = client->pins_last};
    if (client->pins_last != NULL)
        client->pins_last->next = pin;
    else
        client->pins_first = pin;
    client->pins_last = pin;
    hrt_store_release(&client->pinned, client->pins_first->first);
}

void hrt_submit_unpin(hrt_client *client, hrt_pin *pin)
{
    (void)pthread_mutex_lock(&client->submit_lock);
    if (pin->previous != NULL)
        pin->previous->next = pin->next;
    else
        client->pins_first = pin->next;
    if (pin->next != NULL)
        pin->next->previous = pin->previous;
    else
        client->pins_last = pin->previous;
    hrt_store_release(&client->pinned,
                      client->pins_first == NULL ? UINT64_MAX : client->pins_first->first);
    (void)pthread_mutex_unlock(&client->submit_lock);
    hrt_inbox_poke(client);
}

/* Writes and publishes a batch if it fits right now. False: it does not. */
static bool publish(hrt_client *client, const hrt_need *need, hrt_submit_write write, void *context,
                    hrt_pin *pin, uint64_t *first_out)
{
    (void)pthread_mutex_lock(&client->submit_lock);
    if (!has_room(client, need)) {
        (void)pthread_mutex_unlock(&client->submit_lock);
        return false;
    }
    const uint64_t first = hrt_load_relaxed(&client->next_ticket);
    write(client, context);
    if (pin != NULL)
        add_pin(client, pin, first);
    /* Before the publish: a reply may be written as soon as the runtime sees the entry. */
    hrt_store_release(&client->next_ticket, first + need->tickets);
    hrt_ring_publish(&client->writer);
    (void)pthread_mutex_unlock(&client->submit_lock);
    hrt_submit_notify(client);
    if (first_out != NULL)
        *first_out = first;
    return true;
}

bool hrt_submit_try(hrt_client *client, const hrt_need *need, hrt_submit_write write, void *context)
{
    return publish(client, need, write, context, NULL, NULL);
}

int hrt_submit_batch(hrt_client *client, const hrt_need *need, hrt_submit_write write,
                     void *context, int64_t timeout_ns, hrt_pin *pin, uint64_t *first_out)
{
    HRT_ASSERT(need->bytes <= hrt_submit_limit(client));
    const uint64_t deadline = hrt_deadline(timeout_ns);
    int status = hrt_client_open(client);
    while (status == HRT_OK && !publish(client, need, write, context, pin, first_out)) {
        status = hrt_submit_wait_room(client, need, hrt_deadline_left(deadline));
        if (status == HRT_OK)
            status = hrt_client_open(client);
    }
    return status;
}

typedef struct fixed_entry {
    const void *entry;
    const void *tail;
    uint32_t size;
    uint32_t tail_size;
    uint32_t length;
} fixed_entry;

static void write_fixed(hrt_client *client, void *context)
{
    const fixed_entry *fixed = context;
    uint8_t *place = hrt_ring_claim(&client->writer, fixed->length);
    HRT_ASSERT(place != NULL);
    memcpy(place, fixed->entry, fixed->size);
    if (fixed->tail_size > 0)
        memcpy(place + fixed->size, fixed->tail, fixed->tail_size);
}

int hrt_submit_entry(hrt_client *client, const void *entry, uint32_t size, const void *tail,
                     uint32_t tail_size)
{
    fixed_entry fixed = {
        .entry = entry,
        .tail = tail,
        .size = size,
        .tail_size = tail_size,
        .length = (uint32_t)hrt_align_up((uint64_t)size + tail_size, 8),
    };
    const hrt_need need = {.bytes = fixed.length, .largest = fixed.length};
    return hrt_submit_batch(client, &need, write_fixed, &fixed, -1, NULL, NULL);
}
