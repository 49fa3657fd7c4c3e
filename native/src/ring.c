/* The submit ring: entries of any length from one writer to one reader who does not trust it. */
#include "ring.h"

#include "atomic.h"
#include "check.h"

#include <string.h>

enum { RING_ALIGN = 8 };

void hrt_ring_writer_init(hrt_ring_writer *writer, uint8_t *bytes, uint32_t capacity,
                          uint64_t *shared_tail, const uint64_t *shared_head)
{
    HRT_ASSERT(capacity >= RING_ALIGN && (capacity & (capacity - 1)) == 0);
    *writer = (hrt_ring_writer){
        .bytes = bytes,
        .capacity = capacity,
        .tail = hrt_load_relaxed(shared_tail),
        .head_seen = hrt_load_acquire(shared_head),
        .shared_tail = shared_tail,
        .shared_head = shared_head,
    };
}

/* Whether `need` bytes are free; asks the reader's line only when the cached index says no. */
static bool has_room(hrt_ring_writer *writer, uint64_t need)
{
    if (HRT_LIKELY(writer->tail + need - writer->head_seen <= writer->capacity))
        return true;
    writer->head_seen = hrt_load_acquire(writer->shared_head); /* pairs with hrt_ring_release */
    return writer->tail + need - writer->head_seen <= writer->capacity;
}

static void write_header(uint8_t *at, uint32_t length, uint16_t type)
{
    const hrt_submit header = {.length = length, .type = type};
    memcpy(at, &header, sizeof(header));
}

void *hrt_ring_claim(hrt_ring_writer *writer, uint32_t length)
{
    HRT_ASSERT(length >= sizeof(hrt_submit) && length % RING_ALIGN == 0);
    HRT_ASSERT(length <= writer->capacity / 2);
    const uint32_t place = (uint32_t)(writer->tail & (writer->capacity - 1));
    const uint32_t rest = writer->capacity - place;
    const uint32_t skip = rest < length ? rest : 0;
    if (!has_room(writer, (uint64_t)skip + length))
        return NULL;
    if (skip > 0)
        write_header(writer->bytes + place, skip, HRT_SUBMIT_PAD);
    uint8_t *entry = writer->bytes + (skip > 0 ? 0 : place);
    writer->tail += skip + length;
    memset(entry + length - RING_ALIGN, 0, RING_ALIGN);
    return entry;
}

void hrt_ring_publish(hrt_ring_writer *writer)
{
    hrt_store_release(writer->shared_tail, writer->tail); /* pairs with hrt_ring_peek */
}

void hrt_ring_reader_init(hrt_ring_reader *reader, const uint8_t *bytes, uint32_t capacity,
                          uint64_t *shared_head, const uint64_t *shared_tail)
{
    HRT_ASSERT(capacity >= RING_ALIGN && (capacity & (capacity - 1)) == 0);
    const uint64_t head = hrt_load_relaxed(shared_head);
    *reader = (hrt_ring_reader){
        .bytes = bytes,
        .capacity = capacity,
        .head = head,
        .tail_seen = head,
        .shared_head = shared_head,
        .shared_tail = shared_tail,
    };
}

/* Takes over the peer's tail if it can be one: aligned, not behind, not a ring ahead. */
static int look_at_tail(hrt_ring_reader *reader)
{
    const uint64_t tail = hrt_load_acquire(reader->shared_tail); /* pairs with hrt_ring_publish */
    const uint64_t filled = tail - reader->head;
    if (filled > reader->capacity || tail % RING_ALIGN != 0)
        return HRT_EPEER;
    reader->tail_seen = tail;
    return filled == 0 ? HRT_EAGAIN : HRT_OK;
}

/* One load, so that the peer cannot change the header between its check and its use. */
static hrt_submit copy_header(const uint8_t *at)
{
    const uint64_t word = hrt_load_relaxed((const uint64_t *)(const void *)at);
    hrt_submit header;
    memcpy(&header, &word, sizeof(header));
    return header;
}

static bool header_is_sound(const hrt_ring_reader *reader, const hrt_submit *head, uint32_t place)
{
    const uint32_t rest = reader->capacity - place;
    if (head->length < sizeof(hrt_submit) || head->length % RING_ALIGN != 0)
        return false;
    if (head->length > reader->capacity / 2 || head->length > rest)
        return false;
    if (head->length > reader->tail_seen - reader->head)
        return false;
    /* A PAD that did not end at the end of the ring could be followed by others without limit. */
    return head->type != HRT_SUBMIT_PAD || head->length == rest;
}

int hrt_ring_peek(hrt_ring_reader *reader, hrt_submit *head_out, const uint8_t **entry_out)
{
    for (;;) {
        if (reader->head == reader->tail_seen) {
            const int status = look_at_tail(reader);
            if (status != HRT_OK)
                return status;
        }
        const uint32_t place = (uint32_t)(reader->head & (reader->capacity - 1));
        const hrt_submit head = copy_header(reader->bytes + place);
        if (HRT_UNLIKELY(!header_is_sound(reader, &head, place)))
            return HRT_EPEER;
        if (HRT_LIKELY(head.type != HRT_SUBMIT_PAD)) {
            *head_out = head;
            *entry_out = reader->bytes + place;
            return HRT_OK;
        }
        reader->head += head.length;
    }
}

void hrt_ring_advance(hrt_ring_reader *reader, const hrt_submit *head)
{
    HRT_ASSERT(head->length <= reader->tail_seen - reader->head);
    reader->head += head->length;
}

void hrt_ring_release(hrt_ring_reader *reader)
{
    hrt_store_release(reader->shared_head, reader->head); /* pairs with has_room */
}

bool hrt_ring_ready(const hrt_ring_reader *reader)
{
    return hrt_load_acquire(reader->shared_tail) != reader->head;
}
