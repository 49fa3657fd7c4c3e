/* The life of a client's handle: attach, the local client, detach. */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "handle.h"
#include "lane.h"
#include "park.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWN_PAGE = 4096 };

/* What a handle is made of. An attached client owns it, a local one does not. */
typedef struct client_parts {
    hrt_lane *lane;
    size_t lane_size;
    const hrt_page *page;
    int log_directory;
    int event_fd;
} client_parts;

int hrt_client_usable(const hrt_client *client)
{
    if (client == NULL)
        return hrt_fail(HRT_EINVAL, "client is NULL");
    if (HRT_UNLIKELY(*client->own != 1))
        return hrt_fail(HRT_EFORK, "this handle was made before fork by the parent process; "
                                   "attach again in this one");
    return HRT_OK;
}

int hrt_client_open(const hrt_client *client)
{
    const int closed = (int)hrt_load_acquire_u32(&client->lane->closed);
    if (HRT_UNLIKELY(closed != 0))
        return hrt_fail(HRT_ECLOSED, "the runtime shut this lane: %s", hrt_strerror(closed));
    if (HRT_UNLIKELY(hrt_load_acquire_u32(&client->gone) != 0))
        return hrt_fail(HRT_ECLOSED,
                        "the runtime's process has died; attach again once it is back");
    return HRT_OK;
}

int hrt_client_late(const hrt_client *client)
{
    const uint64_t missed_ns = hrt_load_relaxed(&client->missed_ns);
    const uint64_t waited_ns = missed_ns == 0 ? 0 : hrt_boot_ns() - missed_ns;
    if (waited_ns <= client->lane->lease_ns / HRT_BEATS_PER_LEASE)
        return HRT_ETIMEOUT; /* one may be about to go on */
    return hrt_fail(HRT_ECLOSED,
                    "the runtime's process has died, and for %llu ms no other has gone on; attach "
                    "again once one is back",
                    (unsigned long long)waited_ns / 1000000);
}

static int init_locks(hrt_client *client)
{
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed == 0)
        failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (failed == 0)
        failed = pthread_cond_init(&client->inbox_cond, &attributes);
    if (failed == 0)
        failed = pthread_mutex_init(&client->inbox_lock, NULL);
    if (failed == 0)
        failed = pthread_mutex_init(&client->submit_lock, NULL);
    return failed == 0 ? HRT_OK : HRT_ENOMEM;
}

static int make_own_page(hrt_client *client)
{
    void *own = mmap(NULL, OWN_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (own == MAP_FAILED)
        return HRT_ENOMEM;
    client->own = own;
    if (madvise(own, OWN_PAGE, MADV_WIPEONFORK) != 0)
        return HRT_ENOMEM;
    *client->own = 1;
    return HRT_OK;
}

static void copy_constants(hrt_client *client)
{
    hrt_lane *lane = client->lane;
    uint8_t *base = (uint8_t *)lane;
    client->incarnation = lane->incarnation;
    client->deliver_capacity = lane->deliver_capacity;
    client->reply_capacity = lane->reply_capacity;
    client->started_capacity = lane->started_capacity;
    client->deliveries = (const hrt_delivery *)(void *)(base + lane->deliver_offset);
    client->replies = (const int64_t *)(void *)(base + lane->reply_offset);
    client->started = (uint64_t *)(void *)(base + lane->started_offset);
    client->deliver_head = hrt_load_relaxed(&lane->deliver_head);
    client->next_ticket = hrt_load_acquire(&lane->reply_tail);
    client->pinned = UINT64_MAX;
    hrt_ring_writer_init(&client->writer, base + lane->submit_offset, lane->submit_capacity,
                         &lane->submit_tail, &lane->submit_head);
}

/* Gives the handle's memory back, and nothing else. */
static void free_client(hrt_client *client)
{
    while (client->notice_head != client->notice_tail) {
        /* A ring that could not be allocated never held a notice. */
        /* NOLINTNEXTLINE(clang-analyzer-core.*) */
        free(client->notices[client->notice_head & (HRT_NOTICES_MAX - 1)].data);
        client->notice_head++;
    }
    hrt_segments_free(client);
    if (client->own != NULL)
        (void)munmap(client->own, OWN_PAGE);
    hrt_map_free(&client->watched);
    free(client->registration);
    free(client->leases);
    free(client->tokens);
    free(client->notices);
    free(client);
}

static int new_client(const client_parts *parts, hrt_client **client_out)
{
    hrt_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return hrt_fail(HRT_ENOMEM, "no memory for a client");
    client->lane = parts->lane;
    client->lane_size = parts->lane_size;
    client->page = parts->page;
    client->log_directory = parts->log_directory;
    client->event_fd = parts->event_fd;
    client->heart_status = HRT_EAGAIN;
    copy_constants(client);
    client->leases = malloc((size_t)client->deliver_capacity * sizeof(*client->leases));
    client->tokens = calloc(client->started_capacity, sizeof(*client->tokens));
    client->notices = malloc((size_t)HRT_NOTICES_MAX * sizeof(*client->notices));
    if (client->leases == NULL || client->tokens == NULL || client->notices == NULL ||
        make_own_page(client) != HRT_OK || init_locks(client) != HRT_OK) {
        free_client(client);
        return hrt_fail(HRT_ENOMEM, "no memory for a client's queues");
    }
    *client_out = client;
    return HRT_OK;
}

int hrt_client_local_new(const hrt_client_local *local, hrt_client **client_out)
{
    const client_parts parts = {
        .lane = local->lane,
        .page = local->page,
        .log_directory = local->log_directory,
        .event_fd = local->event_fd,
    };
    hrt_client *client = NULL;
    const int status = new_client(&parts, &client);
    if (status != HRT_OK)
        return status;
    client->pump = local->pump;
    client->pump_context = local->context;
    *client_out = client;
    return HRT_OK;
}

/* ---- leaving ---- */

static void return_unfetched(hrt_client *client)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    hrt_inbox_drain(client);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    while (client->lease_head != client->lease_tail) {
        const uint64_t place = client->lease_head & (client->deliver_capacity - 1);
        const uint64_t left = client->lease_tail - client->lease_head;
        const uint64_t straight = client->deliver_capacity - place;
        const uint32_t count = (uint32_t)(left < straight ? left : straight);
        if (hrt_settle_returned(client, &client->leases[place], count) != HRT_OK)
            return;
        client->lease_head += count;
    }
}

static void give_back(const client_parts *parts)
{
    if (parts->lane != NULL)
        hrt_lane_unmap(parts->lane, parts->lane_size);
    if (parts->page != NULL)
        (void)munmap((void *)(uintptr_t)parts->page, sizeof(hrt_page));
    if (parts->log_directory >= 0)
        (void)close(parts->log_directory);
    if (parts->event_fd >= 0)
        (void)close(parts->event_fd);
}

void hrt_detach(hrt_client *client)
{
    if (client == NULL)
        return;
    const client_parts parts = {
        .lane = client->lane,
        .lane_size = client->lane_size,
        .page = client->page,
        .log_directory = client->log_directory,
        .event_fd = client->event_fd,
    };
    const bool local = client->pump != NULL;
    if (*client->own == 1) {
        return_unfetched(client);
        hrt_store_release_u32(&client->lane->detached, 1);
        hrt_submit_notify(client);
        hrt_heartbeat_stop(client);
        (void)pthread_mutex_destroy(&client->submit_lock);
        (void)pthread_mutex_destroy(&client->inbox_lock);
        (void)pthread_cond_destroy(&client->inbox_cond);
    }
    free_client(client);
    if (!local)
        give_back(&parts);
}

/* ---- attaching ---- */

static int parse_descriptors(const char *text, int *fds_out)
{
    int fds[HRT_FD_COUNT];
    static const char prefix[] = "fds:";
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return hrt_fail(HRT_EINVAL, "HYBRIDRT_ATTACH is \"%s\", it has to be \"fds:A,B,C,D\"",
                        text);
    const char *rest = text + sizeof(prefix) - 1;
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        char *end = NULL;
        errno = 0;
        const long value = strtol(rest, &end, 10);
        const char expected = i + 1 < HRT_FD_COUNT ? ',' : '\0';
        if (end == rest || *end != expected || errno != 0 || value < 0 || value > 1048576)
            return hrt_fail(HRT_EINVAL, "HYBRIDRT_ATTACH is \"%s\", it has to be \"fds:A,B,C,D\"",
                            text);
        fds[i] = (int)value;
        rest = end + 1;
    }
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) != 0)
            return hrt_fail(HRT_EINVAL,
                            "HYBRIDRT_ATTACH names descriptor %d, which is not open: %s. Was it "
                            "inherited by the program that the supervisor started?",
                            fds[i], strerror(errno));
    }
    memcpy(fds_out, fds, sizeof(fds));
    return HRT_OK;
}

static int find_descriptors(const hrt_attach_options *options, int *fds_out)
{
    const char *inherited = options->address == NULL ? getenv("HYBRIDRT_ATTACH") : NULL;
    if (inherited == NULL)
        return hrt_hello_exchange(options, fds_out);
    const int status = parse_descriptors(inherited, fds_out);
    /* A lane has one client: whoever is started by this process must not find it. */
    (void)unsetenv("HYBRIDRT_ATTACH");
    return status;
}

static int map_page(int fd, const hrt_page **page_out)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size < (off_t)sizeof(hrt_page))
        return hrt_fail(HRT_EVERSION,
                        "the page of counters is smaller than the %zu bytes of ABI %d",
                        sizeof(hrt_page), HRT_ABI_VERSION);
    void *memory = mmap(NULL, sizeof(hrt_page), PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return hrt_fail(HRT_ESYSTEM, "map the page of counters: %s", strerror(errno));
    const hrt_page *page = memory;
    if (page->magic != HRT_MAGIC_PAGE || page->abi_version != HRT_ABI_VERSION) {
        const int result =
            hrt_fail(HRT_EVERSION,
                     "the page of counters has magic %08x and ABI version %u, not "
                     "%08x and %d",
                     page->magic, page->abi_version, (uint32_t)HRT_MAGIC_PAGE, HRT_ABI_VERSION);
        (void)munmap(memory, sizeof(hrt_page));
        return result;
    }
    *page_out = page;
    return HRT_OK;
}

/* Takes the descriptors over, whatever the outcome. */
static int join(const int *fds, hrt_client **client_out)
{
    client_parts parts = {.log_directory = fds[HRT_FD_LOG], .event_fd = fds[HRT_FD_EVENT]};
    hrt_client *client = NULL;
    int status = hrt_lane_map(fds[HRT_FD_LANE], &parts.lane);
    if (status == HRT_OK) {
        parts.lane_size = parts.lane->size;
        status = map_page(fds[HRT_FD_PAGE], &parts.page);
    }
    (void)close(fds[HRT_FD_LANE]);
    (void)close(fds[HRT_FD_PAGE]);
    if (status == HRT_OK)
        status = new_client(&parts, &client);
    if (status == HRT_OK)
        status = hrt_heartbeat_start(client);
    if (status == HRT_OK) {
        *client_out = client;
        return HRT_OK;
    }
    if (client != NULL)
        free_client(client);
    give_back(&parts);
    return status;
}

int hrt_attach(const hrt_attach_options *options, hrt_client **client_out)
{
    if (options == NULL || client_out == NULL)
        return hrt_fail(HRT_EINVAL, "options and client_out must not be NULL");
    if (options->abi_version != HRT_ABI_VERSION)
        return hrt_fail(HRT_EVERSION,
                        "the program was built with headers of ABI version %u, the library has %d; "
                        "build both from one release",
                        options->abi_version, HRT_ABI_VERSION);
    if (options->struct_size < sizeof(*options))
        return hrt_fail(HRT_EVERSION, "hrt_attach_options has %u bytes, at least %zu are needed",
                        options->struct_size, sizeof(*options));
    int fds[HRT_FD_COUNT];
    const int status = find_descriptors(options, fds);
    return status == HRT_OK ? join(fds, client_out) : status;
}

uint64_t hrt_incarnation(const hrt_client *client)
{
    return client->incarnation;
}

const hrt_page *hrt_client_page(const hrt_client *client)
{
    return client->page;
}

uint64_t hrt_monotonic_ns(void)
{
    return hrt_boot_ns();
}
