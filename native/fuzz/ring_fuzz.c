/*
 * Any bytes as a submit ring, and any index as its tail: the reader must stay inside the ring, make
 * progress, and end with "empty" or "broken peer".
 */
#include "ring.h"

#include "check.h"

#include <string.h>

enum {
    RING_CAPACITY = 512,
    TAILS_MAX = 16,     /* the peer moves its tail so often at most */
    STEPS_MAX = 100000, /* more than a ring can hold, over all tails */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads until the ring is empty or broken. */
static int read_all(hrt_ring_reader *reader, const uint8_t *bytes)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        hrt_submit head;
        const uint8_t *entry = NULL;
        const int status = hrt_ring_peek(reader, &head, &entry);
        if (status != HRT_OK)
            return status;
        HRT_ASSERT(head.type != HRT_SUBMIT_PAD);
        HRT_ASSERT(entry >= bytes && entry + head.length <= bytes + RING_CAPACITY);
        HRT_ASSERT(head.length >= sizeof(hrt_submit) && head.length <= RING_CAPACITY / 2);
        const uint64_t before = reader->head;
        hrt_ring_advance(reader, &head);
        HRT_ASSERT(reader->head > before && reader->head <= reader->tail_seen);
    }
    HRT_ASSERT(!"the reader ends");
    return HRT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _Alignas(8) uint8_t bytes[RING_CAPACITY] = {0};
    uint64_t head = 0;
    uint64_t tail = 0;
    if (size < 2 * sizeof(uint64_t))
        return 0;
    memcpy(&head, data, sizeof(head));
    head &= ~(uint64_t)7; /* the reader's own index is always aligned */
    const uint8_t *tails = data + sizeof(head);
    size_t count = (size - sizeof(head)) / sizeof(tail);
    count = count > TAILS_MAX ? TAILS_MAX : count;
    const size_t used = sizeof(head) + sizeof(tail);
    const size_t content = size - used < sizeof(bytes) ? size - used : sizeof(bytes);
    memcpy(bytes, data + used, content);
    hrt_ring_reader reader;
    hrt_ring_reader_init(&reader, bytes, RING_CAPACITY, &head, &tail);
    for (size_t i = 0; i < count; i++) {
        memcpy(&tail, tails + i * sizeof(tail), sizeof(tail));
        /* Half of them relative to the head, else nearly all would be out of reach. */
        if (i % 2 == 0)
            tail = reader.head + (tail & (2 * RING_CAPACITY - 1));
        const int status = read_all(&reader, bytes);
        HRT_ASSERT(status == HRT_EAGAIN || status == HRT_EPEER);
        hrt_ring_release(&reader);
        HRT_ASSERT(head == reader.head);
    }
    return 0;
}
