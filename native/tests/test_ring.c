/* The submit ring: order over the wrap, fullness, and a peer that writes nonsense. */
#include "atomic.h"
#include "ring.h"
#include "tap.h"

#include <pthread.h>
#include <sched.h>

enum { CAPACITY = 1024 };

typedef struct ring {
    _Alignas(8) uint8_t bytes[CAPACITY];
    uint64_t tail;
    uint64_t head;
    hrt_ring_writer writer;
    hrt_ring_reader reader;
} ring;

static void init(ring *both)
{
    memset(both, 0, sizeof(*both));
    hrt_ring_writer_init(&both->writer, both->bytes, CAPACITY, &both->tail, &both->head);
    hrt_ring_reader_init(&both->reader, both->bytes, CAPACITY, &both->head, &both->tail);
}

/* An entry of `length` bytes that carries a number. */
static bool put(hrt_ring_writer *writer, uint32_t length, uint64_t number)
{
    uint8_t *entry = hrt_ring_claim(writer, length);
    if (entry == NULL)
        return false;
    const hrt_submit header = {.length = length, .type = HRT_SUBMIT_WATCH};
    memcpy(entry, &header, sizeof(header));
    memcpy(entry + 8, &number, sizeof(number));
    return true;
}

static int take(hrt_ring_reader *reader, uint32_t *length_out, uint64_t *number_out)
{
    hrt_submit head;
    const uint8_t *entry = NULL;
    const int status = hrt_ring_peek(reader, &head, &entry);
    if (status != HRT_OK)
        return status;
    *length_out = head.length;
    memcpy(number_out, entry + 8, sizeof(*number_out));
    hrt_ring_advance(reader, &head);
    return HRT_OK;
}

static void entries_keep_order_over_the_wrap(void)
{
    ring both;
    init(&both);
    uint64_t next_read = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        const uint32_t length = 16 + 8 * (uint32_t)(i % 40);
        REQUIRE(put(&both.writer, length, i));
        hrt_ring_publish(&both.writer);
        if (i % 2 == 0)
            continue;
        uint32_t got = 0;
        uint64_t number = 0;
        while (take(&both.reader, &got, &number) == HRT_OK) {
            CHECK_EQ(number, next_read);
            CHECK_EQ(got, 16 + 8 * (next_read % 40));
            next_read++;
        }
        hrt_ring_release(&both.reader);
    }
    CHECK_EQ(next_read, 10000);
}

static void what_is_not_published_is_not_seen(void)
{
    ring both;
    init(&both);
    uint32_t length = 0;
    uint64_t number = 0;
    CHECK(put(&both.writer, 16, 1));
    CHECK(!hrt_ring_ready(&both.reader));
    CHECK_EQ(take(&both.reader, &length, &number), HRT_EAGAIN);
    hrt_ring_publish(&both.writer);
    CHECK(hrt_ring_ready(&both.reader));
    CHECK_EQ(take(&both.reader, &length, &number), HRT_OK);
    CHECK_EQ(number, 1);
    CHECK(!hrt_ring_ready(&both.reader));
}

static void a_full_ring_refuses_until_released(void)
{
    ring both;
    init(&both);
    for (uint64_t i = 0; i < 8; i++)
        CHECK(put(&both.writer, CAPACITY / 8, i));
    CHECK(!put(&both.writer, 16, 9));
    hrt_ring_publish(&both.writer);
    uint32_t length = 0;
    uint64_t number = 0;
    CHECK_EQ(take(&both.reader, &length, &number), HRT_OK);
    CHECK(!put(&both.writer, 16, 9));
    hrt_ring_release(&both.reader);
    CHECK(put(&both.writer, CAPACITY / 8, 8));
    CHECK(!put(&both.writer, 16, 9));
}

static void the_padding_of_an_entry_is_zero(void)
{
    ring both;
    init(&both);
    memset(both.bytes, 0xff, sizeof(both.bytes));
    const uint8_t *entry = hrt_ring_claim(&both.writer, 32);
    REQUIRE(entry != NULL);
    for (int i = 24; i < 32; i++)
        CHECK_EQ(entry[i], 0);
}

/* ---- a peer that breaks the protocol ---- */

static int peek_with(ring *both, uint64_t tail, hrt_submit first)
{
    hrt_submit head;
    const uint8_t *entry = NULL;
    init(both);
    memcpy(both->bytes, &first, sizeof(first));
    both->tail = tail;
    return hrt_ring_peek(&both->reader, &head, &entry);
}

static hrt_submit header(uint32_t length, uint16_t type)
{
    return (hrt_submit){.length = length, .type = type};
}

static void impossible_tails_are_a_broken_peer(void)
{
    ring both;
    const hrt_submit good = header(16, HRT_SUBMIT_WATCH);
    CHECK_EQ(peek_with(&both, 16, good), HRT_OK);
    CHECK_EQ(peek_with(&both, 12, good), HRT_EPEER);
    CHECK_EQ(peek_with(&both, CAPACITY + 8, good), HRT_EPEER);
    CHECK_EQ(peek_with(&both, UINT64_MAX - 7, good), HRT_EPEER);
    init(&both);
    both.head = 64;
    hrt_ring_reader_init(&both.reader, both.bytes, CAPACITY, &both.head, &both.tail);
    both.tail = 56; /* behind the head */
    hrt_submit head;
    const uint8_t *entry = NULL;
    CHECK_EQ(hrt_ring_peek(&both.reader, &head, &entry), HRT_EPEER);
}

static void impossible_lengths_are_a_broken_peer(void)
{
    ring both;
    const uint16_t type = HRT_SUBMIT_WATCH;
    CHECK_EQ(peek_with(&both, CAPACITY, header(0, type)), HRT_EPEER);
    CHECK_EQ(peek_with(&both, CAPACITY, header(4, type)), HRT_EPEER);
    CHECK_EQ(peek_with(&both, CAPACITY, header(20, type)), HRT_EPEER);
    CHECK_EQ(peek_with(&both, CAPACITY, header(CAPACITY / 2 + 8, type)), HRT_EPEER);
    CHECK_EQ(peek_with(&both, CAPACITY, header(UINT32_MAX - 7, type)), HRT_EPEER);
    CHECK_EQ(peek_with(&both, 16, header(24, type)), HRT_EPEER); /* past the tail */
    CHECK_EQ(peek_with(&both, CAPACITY, header(CAPACITY / 2, type)), HRT_OK);
}

static void a_pad_must_end_at_the_end_of_the_ring(void)
{
    ring both;
    CHECK_EQ(peek_with(&both, 64, header(32, HRT_SUBMIT_PAD)), HRT_EPEER);
    init(&both);
    both.head = CAPACITY - 64;
    both.tail = CAPACITY + 16;
    hrt_ring_reader_init(&both.reader, both.bytes, CAPACITY, &both.head, &both.tail);
    const hrt_submit pad = header(64, HRT_SUBMIT_PAD);
    const hrt_submit next = header(16, HRT_SUBMIT_WATCH);
    memcpy(both.bytes + CAPACITY - 64, &pad, sizeof(pad));
    memcpy(both.bytes, &next, sizeof(next));
    hrt_submit head;
    const uint8_t *entry = NULL;
    CHECK_EQ(hrt_ring_peek(&both.reader, &head, &entry), HRT_OK);
    CHECK(entry == both.bytes);
}

static void an_entry_must_not_cross_the_end_of_the_ring(void)
{
    ring both;
    init(&both);
    both.head = CAPACITY - 16;
    both.tail = CAPACITY + 48;
    hrt_ring_reader_init(&both.reader, both.bytes, CAPACITY, &both.head, &both.tail);
    const hrt_submit long_one = header(32, HRT_SUBMIT_WATCH);
    memcpy(both.bytes + CAPACITY - 16, &long_one, sizeof(long_one));
    hrt_submit head;
    const uint8_t *entry = NULL;
    CHECK_EQ(hrt_ring_peek(&both.reader, &head, &entry), HRT_EPEER);
}

/* ---- two threads ---- */

enum { STREAM = 200000 };

static void *write_stream(void *context)
{
    ring *both = context;
    for (uint64_t i = 0; i < STREAM; i++) {
        while (!put(&both->writer, 16 + 8 * (uint32_t)(i % 9), i)) {
            hrt_ring_publish(&both->writer);
            (void)sched_yield();
        }
        if (i % 7 == 0)
            hrt_ring_publish(&both->writer);
    }
    hrt_ring_publish(&both->writer);
    return NULL;
}

static void a_stream_between_threads_arrives_whole(void)
{
    ring both;
    init(&both);
    pthread_t writer;
    REQUIRE(pthread_create(&writer, NULL, write_stream, &both) == 0);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < STREAM;) {
        uint32_t length = 0;
        uint64_t number = 0;
        const int status = take(&both.reader, &length, &number);
        if (status == HRT_OK) {
            wrong += number != i || length != 16 + 8 * (uint32_t)(i % 9);
            i++;
            continue;
        }
        REQUIRE(status == HRT_EAGAIN);
        hrt_ring_release(&both.reader);
        (void)sched_yield();
    }
    (void)pthread_join(writer, NULL);
    CHECK_EQ(wrong, 0);
}

int main(void)
{
    TAP_LIST(TEST(entries_keep_order_over_the_wrap), TEST(what_is_not_published_is_not_seen),
             TEST(a_full_ring_refuses_until_released), TEST(the_padding_of_an_entry_is_zero),
             TEST(impossible_tails_are_a_broken_peer), TEST(impossible_lengths_are_a_broken_peer),
             TEST(a_pad_must_end_at_the_end_of_the_ring),
             TEST(an_entry_must_not_cross_the_end_of_the_ring),
             TEST(a_stream_between_threads_arrives_whole));
}
