/*
 * The other end of a client's rings, driven by the test: a lane with its host, a page of names, and
 * a log directory with one segment that the test writes records into.
 */
#ifndef HRT_PEER_H
#define HRT_PEER_H

#include "atomic.h"
#include "lane.h"
#include "park.h"
#include "scratch.h"
#include "spawned.h"

#include <fcntl.h>
#include <hybridrt/hybridrt.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PEER_SUBMIT = HRT_LANE_SUBMIT_MIN,
    PEER_SEGMENT = 65536,
    PEER_RECORD = HRT_SEGMENT_HEADER, /* offset of the first record */
};

typedef struct peer {
    char directory[SCRATCH_PATH]; /* of the log */
    hrt_lane *lane;
    hrt_lane_host host;
    hrt_page *page;
    uint8_t *segment;
    int fds[HRT_FD_COUNT];
} peer;

static inline void peer_name(char *field, const char *name)
{
    (void)snprintf(field, HRT_KIND_NAME_MAX + 1, "%s", name);
}

static inline void peer_make_page(peer *end)
{
    const int fd = memfd_create("page", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)sizeof(hrt_page)) == 0);
    end->page = mmap(NULL, sizeof(hrt_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(end->page != MAP_FAILED);
    end->page->magic = HRT_MAGIC_PAGE;
    end->page->abi_version = HRT_ABI_VERSION;
    end->page->segment_size = PEER_SEGMENT;
    peer_name(end->page->kinds[0].text, "file.sniff");
    peer_name(end->page->kinds[1].text, "file.digest");
    peer_name(end->page->queues[0].name, "default");
    end->page->kind_count = 2;
    end->page->queue_count = 1;
    end->fds[HRT_FD_PAGE] = fd;
}

static inline void peer_make_log(peer *end)
{
    scratch_make(end->directory);
    const int directory = open(end->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fd = openat(directory, "00000000.seg", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(directory >= 0 && fd >= 0 && ftruncate(fd, PEER_SEGMENT) == 0);
    end->segment = mmap(NULL, PEER_SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(end->segment != MAP_FAILED);
    (void)close(fd);
    end->fds[HRT_FD_LOG] = directory;
}

static inline void peer_open(peer *end)
{
    memset(end, 0, sizeof(*end));
    const uint64_t lease_ns = 30000000000;
    REQUIRE(hrt_lane_create(1, 77, PEER_SUBMIT, lease_ns, &end->lane, &end->fds[HRT_FD_LANE]) ==
            HRT_OK);
    hrt_lane_host_init(&end->host, end->lane, PEER_SUBMIT);
    peer_make_page(end);
    peer_make_log(end);
    end->fds[HRT_FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(end->fds[HRT_FD_EVENT] >= 0);
}

static inline void peer_close(peer *end)
{
    scratch_remove();
    for (int i = 0; i < HRT_FD_COUNT; i++)
        (void)close(end->fds[i]);
    (void)munmap(end->segment, PEER_SEGMENT);
    (void)munmap(end->page, sizeof(hrt_page));
    hrt_lane_unmap(end->lane, hrt_lane_size(PEER_SUBMIT));
}

/* Attaches a client as a spawned worker does: by descriptors named in the environment. */
static inline hrt_client *peer_attach(const peer *end)
{
    int fds[HRT_FD_COUNT];
    for (int i = 0; i < HRT_FD_COUNT; i++)
        fds[i] = dup(end->fds[i]);
    hrt_client *client = NULL;
    spawned_leave(fds);
    REQUIRE_OK(spawned_attach(&client));
    return client;
}

/* The next submitted entry, copied to `entry_out`; its type, or a negative status. */
static inline int peer_take(peer *end, void *entry_out, size_t size)
{
    hrt_submit head;
    const uint8_t *entry = NULL;
    const int status = hrt_ring_peek(&end->host.submit, &head, &entry);
    if (status != HRT_OK)
        return status;
    REQUIRE(head.length <= size);
    memcpy(entry_out, entry, head.length);
    hrt_ring_advance(&end->host.submit, &head);
    hrt_ring_release(&end->host.submit);
    return head.type;
}

static inline void peer_publish(peer *end)
{
    (void)hrt_lane_publish(&end->host, end->host.deliver_tail, end->host.reply_next,
                           end->fds[HRT_FD_EVENT]);
}

static inline void peer_reply(peer *end, int64_t value)
{
    hrt_lane_reply(&end->host, value);
    peer_publish(end);
}

static inline void peer_deliver(peer *end, const hrt_delivery *delivery)
{
    REQUIRE(hrt_lane_deliver_room(&end->host) > 0);
    hrt_lane_deliver(&end->host, delivery);
    peer_publish(end);
}

/* Until the client sleeps on its lane: what it does next is an answer to a wake. */
static inline void peer_await_sleeper(const peer *end)
{
    AWAIT(hrt_load_acquire_u32(&end->lane->deliver_park) == HRT_PARK_FUTEX);
}

/* Until something was submitted. */
static inline void peer_await_submit(const peer *end)
{
    AWAIT(hrt_ring_ready(&end->host.submit));
}

/* Whether the calling thread's last sentence holds a text. */
static inline bool peer_error_says(const char *text)
{
    char sentence[512];
    (void)hrt_last_error(sentence, sizeof(sentence));
    return strstr(sentence, text) != NULL;
}

#endif
