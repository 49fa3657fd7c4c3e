/*
 * Any bytes as a submit ring, and any index as its tail: the reader must stay inside the ring, make
 * progress, and end with "empty" or "broken peer".
 *
 * Input: a byte for each place of the ring that becomes a header, a byte for where the reader
 * stands, then a byte for each tail. Wholly random words would be refused at the first look.
 */
#include "ring.h"

#include "check.h"

#include <string.h>

enum {
    RING_CAPACITY = 512,
    PLACES = RING_CAPACITY / 8,
    STEPS_MAX = 2 * PLACES, /* more than a ring can hold */
    RAW = 240,              /* bytes from here on become values that no peer should send */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 is a sound entry, so that inputs of zeros go deep. */
static hrt_submit header_from(uint8_t byte)
{
    hrt_submit header = {.length = 16, .type = HRT_SUBMIT_WATCH};
    if (byte >= RAW) {
        header.length = (uint32_t)byte * 0x01020304u;
        header.type = (uint16_t)(byte % 3);
    } else if (byte > 0) {
        header.length = (uint32_t)(byte % 40) * 8;
        header.type = (uint16_t)(byte / 40);
    }
    return header;
}

static uint64_t tail_from(uint8_t byte, uint64_t head)
{
    return byte >= RAW ? byte * 0x0102030405060708u : head + (uint64_t)byte * 4;
}

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
    _Alignas(8) uint8_t bytes[RING_CAPACITY];
    if (size <= PLACES)
        return 0;
    for (size_t i = 0; i < PLACES; i++) {
        const hrt_submit header = header_from(data[i]);
        memcpy(bytes + i * sizeof(header), &header, sizeof(header));
    }
    uint64_t head = (uint64_t)data[PLACES] * 8;
    uint64_t tail = head;
    hrt_ring_reader reader;
    hrt_ring_reader_init(&reader, bytes, RING_CAPACITY, &head, &tail);
    for (size_t i = PLACES + 1; i < size; i++) {
        tail = tail_from(data[i], reader.head);
        const int status = read_all(&reader, bytes);
        HRT_ASSERT(status == HRT_EAGAIN || status == HRT_EPEER);
        hrt_ring_release(&reader);
        HRT_ASSERT(head == reader.head);
    }
    return 0;
}
