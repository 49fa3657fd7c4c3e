/*
 * Rings with one writer and one reader over shared memory. No system calls, no policy.
 *
 * The submit ring carries variable-length entries, 8-byte aligned, never wrapped: an entry that
 * does not fit before the end is preceded by a PAD. The deliver and reply rings carry fixed
 * entries. Writers publish with release, readers observe with acquire, each caches the other's
 * index.
 */
#ifndef HRT_RING_H
#define HRT_RING_H

#include <hybridrt/abi.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- submit ring, the client's side ---- */

typedef struct hrt_ring_writer {
    uint8_t *bytes;
    uint32_t capacity;
    uint64_t tail;      /* claimed so far, private */
    uint64_t head_seen; /* cached */
    uint64_t *shared_tail;
    const uint64_t *shared_head;
} hrt_ring_writer;

void hrt_ring_writer_init(hrt_ring_writer *writer, uint8_t *bytes, uint32_t capacity,
                          uint64_t *shared_tail, const uint64_t *shared_head);
/*
 * Room for one entry of `length` (multiple of 8, at most capacity / 2); NULL: full now. Its last 8
 * bytes are zeroed for the padding, the caller fills the rest. Entries claimed since the last
 * publish are invisible to the reader.
 */
void *hrt_ring_claim(hrt_ring_writer *writer, uint32_t length);
void hrt_ring_publish(hrt_ring_writer *writer);

/* ---- submit ring, the runtime's side: every byte is untrusted ---- */

typedef struct hrt_ring_reader {
    const uint8_t *bytes;
    uint32_t capacity;
    uint64_t head;      /* private; published by hrt_ring_release */
    uint64_t tail_seen; /* cached, checked */
    uint64_t *shared_head;
    const uint64_t *shared_tail;
} hrt_ring_reader;

void hrt_ring_reader_init(hrt_ring_reader *reader, const uint8_t *bytes, uint32_t capacity,
                          uint64_t *shared_head, const uint64_t *shared_tail);
/*
 * The next entry, with its header copied once into *head_out and checked: length within what is
 * published and within capacity / 2. HRT_EAGAIN: empty. HRT_EPEER: the peer broke the protocol.
 * *entry_out points at the entry (header included); its bytes may change under the reader, so copy
 * before checking. PADs are skipped.
 */
int hrt_ring_peek(hrt_ring_reader *reader, hrt_submit *head_out, const uint8_t **entry_out);
/* Moves past the entry that peek returned, privately. */
void hrt_ring_advance(hrt_ring_reader *reader, const hrt_submit *head);
/* Gives the space up to here back to the writer. */
void hrt_ring_release(hrt_ring_reader *reader);
/* Whether anything is published that was not advanced over. For the check before parking. */
bool hrt_ring_ready(const hrt_ring_reader *reader);

#endif
