/* One lane: its memory, made by the runtime and mapped by both sides. Knows nothing of records. */
#ifndef HRT_LANE_H
#define HRT_LANE_H

#include <hybridrt/hybridrt.h>
#include "ring.h"
#include <stdbool.h>
#include <stddef.h>

enum hrt_lane_default {
    HRT_LANE_SUBMIT = 1048576, /* bytes */
    HRT_LANE_SUBMIT_MIN = 65536,
    HRT_LANE_SUBMIT_MAX = 16777216,
    HRT_LANE_DELIVER = 8192, /* entries: more than HRT_CREDIT_MAX plus notices */
    HRT_LANE_REPLY = 65536,  /* entries */
    HRT_LANE_STARTED = 8192, /* entries: more than HRT_CREDIT_MAX */
};

/* Makes the sealed memfd (fixed size, fully allocated) and maps it. */
int hrt_lane_create(uint32_t number, uint64_t incarnation, uint32_t submit_capacity,
                    uint64_t lease_ns, hrt_lane **lane_out, int *fd_out);
/* Maps a received lane after checking seals, size, magic, versions and every offset. */
int hrt_lane_map(int fd, hrt_lane **lane_out);
/* Maps a lane that another runtime made, and believes nothing that is written there. */
int hrt_lane_inherit(int fd, uint32_t submit_capacity, hrt_lane **lane_out);
/* `size` is the caller's own copy: the one in the lane may have been changed by the peer. */
void hrt_lane_unmap(hrt_lane *lane, size_t size);
/* Bytes of a lane with this submit ring (0: the default). */
size_t hrt_lane_size(uint32_t submit_capacity);

/* The runtime's view: constants are copied out at creation, so the peer cannot change them. */
typedef struct hrt_lane_host {
    hrt_lane *lane;
    hrt_ring_reader submit;
    hrt_delivery *deliveries;
    uint64_t deliver_tail; /* private; published by hrt_lane_publish */
    int64_t *replies;
    uint64_t reply_next; /* replies written, not all published */
    uint64_t *started;
} hrt_lane_host;

void hrt_lane_host_init(hrt_lane_host *host, hrt_lane *lane, uint32_t submit_capacity);
/* Free places in the deliver ring. A head that makes no sense counts as 0 free. */
uint32_t hrt_lane_deliver_room(hrt_lane_host *host);
/* Writes one delivery at the private tail. Only with room. */
void hrt_lane_deliver(hrt_lane_host *host, const hrt_delivery *delivery);
/* Publishes deliveries below deliver_end and replies below reply_end (both count up for ever);
 * wakes the client if it sleeps. True: it did. */
bool hrt_lane_publish(hrt_lane_host *host, uint64_t deliver_end, uint64_t reply_end, int event_fd);
/* Writes the next reply; it stays invisible until published. */
void hrt_lane_reply(hrt_lane_host *host, int64_t value);
/* The job id that the client stored as started at this index. */
uint64_t hrt_lane_started(const hrt_lane_host *host, uint32_t index);
/* Death of the liveness thread: the kernel set the owner-died bit. */
bool hrt_lane_died(const hrt_lane *lane);

#endif
