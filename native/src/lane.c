/* A lane's memory: made and sealed by the runtime, checked and mapped by the client. */
#include "lane.h"

#include "atomic.h"
#include "check.h"
#include "error.h"
#include "park.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LANE_PAGE = 4096, /* regions begin on pages, so that sides never share one by accident */
    LANE_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
    LANE_SIZE_MAX = 67108864,
};

/* Where everything lies follows from the submit capacity alone. */
typedef struct lane_layout {
    uint32_t submit_offset;
    uint32_t deliver_offset;
    uint32_t reply_offset;
    uint32_t started_offset;
    uint32_t size;
} lane_layout;

static uint32_t after(uint32_t offset, uint32_t bytes)
{
    return (uint32_t)hrt_align_up((uint64_t)offset + bytes, LANE_PAGE);
}

static lane_layout layout_for(uint32_t submit_capacity)
{
    lane_layout layout;
    layout.submit_offset = after(0, sizeof(hrt_lane));
    layout.deliver_offset = after(layout.submit_offset, submit_capacity);
    layout.reply_offset = after(layout.deliver_offset, HRT_LANE_DELIVER * sizeof(hrt_delivery));
    layout.started_offset = after(layout.reply_offset, HRT_LANE_REPLY * sizeof(int64_t));
    layout.size = after(layout.started_offset, HRT_LANE_STARTED * sizeof(uint64_t));
    return layout;
}

static bool power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static bool submit_capacity_is_valid(uint32_t capacity)
{
    return power_of_two(capacity) && capacity >= HRT_LANE_SUBMIT_MIN &&
           capacity <= HRT_LANE_SUBMIT_MAX;
}

static void write_constants(hrt_lane *lane, const lane_layout *layout, uint32_t submit_capacity)
{
    lane->magic = HRT_MAGIC_LANE;
    lane->abi_version = HRT_ABI_VERSION;
    lane->size = layout->size;
    lane->submit_offset = layout->submit_offset;
    lane->submit_capacity = submit_capacity;
    lane->deliver_offset = layout->deliver_offset;
    lane->deliver_capacity = HRT_LANE_DELIVER;
    lane->reply_offset = layout->reply_offset;
    lane->reply_capacity = HRT_LANE_REPLY;
    lane->started_offset = layout->started_offset;
    lane->started_capacity = HRT_LANE_STARTED;
}

/* Allocates every page now: a store into a lane must never meet a full /dev/shm. */
static int make_memory(uint32_t size, int *fd_out, void **memory_out)
{
    const int fd = memfd_create("hybridrt-lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return hrt_fail(HRT_ESYSTEM, "memfd_create for a lane: %s", strerror(errno));
    const int full = posix_fallocate(fd, 0, (off_t)size);
    if (full != 0) {
        (void)close(fd);
        return hrt_fail(HRT_ENOMEM, "a lane needs %u bytes of shared memory: %s", size,
                        strerror(full));
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED || fcntl(fd, F_ADD_SEALS, LANE_SEALS) != 0) {
        const int status = hrt_fail(HRT_ESYSTEM, "map and seal a lane: %s", strerror(errno));
        if (memory != MAP_FAILED)
            (void)munmap(memory, size);
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    *memory_out = memory;
    return HRT_OK;
}

int hrt_lane_create(uint32_t number, uint64_t incarnation, uint32_t submit_capacity,
                    uint64_t lease_ns, hrt_lane **lane_out, int *fd_out)
{
    const uint32_t capacity = submit_capacity == 0 ? HRT_LANE_SUBMIT : submit_capacity;
    if (!submit_capacity_is_valid(capacity))
        return hrt_fail(HRT_EINVAL,
                        "submit_capacity is %u bytes, it has to be a power of two from %d to %d",
                        capacity, HRT_LANE_SUBMIT_MIN, HRT_LANE_SUBMIT_MAX);
    const lane_layout layout = layout_for(capacity);
    int fd = -1;
    void *memory = NULL;
    const int status = make_memory(layout.size, &fd, &memory);
    if (status != HRT_OK)
        return status;
    hrt_lane *lane = memory;
    write_constants(lane, &layout, capacity);
    lane->number = number;
    lane->incarnation = incarnation;
    lane->lease_ns = lease_ns;
    *lane_out = lane;
    *fd_out = fd;
    return HRT_OK;
}

/* Bytes of a region that begins on a page after the header and ends within the lane. */
static bool region_fits(const hrt_lane *lane, uint32_t offset, uint64_t bytes)
{
    return offset >= sizeof(hrt_lane) && offset % LANE_PAGE == 0 &&
           (uint64_t)offset + bytes <= lane->size;
}

static int check_constants(const hrt_lane *lane, uint64_t size)
{
    if (lane->magic != HRT_MAGIC_LANE)
        return hrt_fail(HRT_EVERSION, "the descriptor holds no lane: magic is %08x, not %08x",
                        lane->magic, (uint32_t)HRT_MAGIC_LANE);
    if (lane->abi_version != HRT_ABI_VERSION)
        return hrt_fail(HRT_EVERSION,
                        "the runtime speaks ABI version %u, this program was built with %d; "
                        "build it with the runtime's library",
                        lane->abi_version, HRT_ABI_VERSION);
    if (lane->size != size)
        return hrt_fail(HRT_EVERSION, "the lane says it has %u bytes, but has %llu", lane->size,
                        (unsigned long long)size);
    const bool sound =
        submit_capacity_is_valid(lane->submit_capacity) && power_of_two(lane->deliver_capacity) &&
        power_of_two(lane->reply_capacity) && power_of_two(lane->started_capacity) &&
        lane->lease_ns > 0 && region_fits(lane, lane->submit_offset, lane->submit_capacity) &&
        region_fits(lane, lane->deliver_offset,
                    (uint64_t)lane->deliver_capacity * sizeof(hrt_delivery)) &&
        region_fits(lane, lane->reply_offset, (uint64_t)lane->reply_capacity * sizeof(int64_t)) &&
        region_fits(lane, lane->started_offset,
                    (uint64_t)lane->started_capacity * sizeof(uint64_t));
    if (!sound)
        return hrt_fail(HRT_EVERSION, "the lane's regions do not lie within its %u bytes",
                        lane->size);
    return HRT_OK;
}

int hrt_lane_map(int fd, hrt_lane **lane_out)
{
    struct stat status;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || fstat(fd, &status) != 0)
        return hrt_fail(HRT_EINVAL, "descriptor %d is no lane: %s", fd, strerror(errno));
    if ((seals & LANE_SEALS) != LANE_SEALS)
        return hrt_fail(HRT_EINVAL, "the lane in descriptor %d is not sealed: its size may change",
                        fd);
    if (status.st_size < (off_t)sizeof(hrt_lane) || status.st_size > LANE_SIZE_MAX)
        return hrt_fail(HRT_EVERSION, "a lane of %lld bytes cannot be one",
                        (long long)status.st_size);
    const size_t size = (size_t)status.st_size;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return hrt_fail(HRT_ESYSTEM, "map a lane of %zu bytes: %s", size, strerror(errno));
    const int result = check_constants(memory, size);
    if (result != HRT_OK) {
        (void)munmap(memory, size);
        return result;
    }
    *lane_out = memory;
    return HRT_OK;
}

int hrt_lane_inherit(int fd, uint32_t submit_capacity, hrt_lane **lane_out)
{
    struct stat status;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (!submit_capacity_is_valid(submit_capacity) || seals < 0 || fstat(fd, &status) != 0 ||
        (seals & LANE_SEALS) != LANE_SEALS ||
        (size_t)status.st_size != hrt_lane_size(submit_capacity))
        return hrt_fail(HRT_EPEER, "descriptor %d is no lane with a submit ring of %u bytes", fd,
                        submit_capacity);
    void *memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return hrt_fail(HRT_ESYSTEM, "map a lane: %s", strerror(errno));
    *lane_out = memory;
    return HRT_OK;
}

void hrt_lane_unmap(hrt_lane *lane, size_t size)
{
    if (lane != NULL)
        (void)munmap(lane, size);
}

size_t hrt_lane_size(uint32_t submit_capacity)
{
    return layout_for(submit_capacity == 0 ? HRT_LANE_SUBMIT : submit_capacity).size;
}

void hrt_lane_host_init(hrt_lane_host *host, hrt_lane *lane, uint32_t submit_capacity)
{
    HRT_ASSERT(submit_capacity_is_valid(submit_capacity));
    const lane_layout layout = layout_for(submit_capacity);
    uint8_t *base = (uint8_t *)lane;
    *host = (hrt_lane_host){
        .lane = lane,
        .deliveries = (hrt_delivery *)(void *)(base + layout.deliver_offset),
        .deliver_tail = hrt_load_relaxed(&lane->deliver_tail),
        .replies = (int64_t *)(void *)(base + layout.reply_offset),
        .reply_next = hrt_load_relaxed(&lane->reply_tail),
        .started = (uint64_t *)(void *)(base + layout.started_offset),
    };
    hrt_ring_reader_init(&host->submit, base + layout.submit_offset, submit_capacity,
                         &lane->submit_head, &lane->submit_tail);
}

uint32_t hrt_lane_deliver_room(hrt_lane_host *host)
{
    const uint64_t head = hrt_load_acquire(&host->lane->deliver_head);
    const uint64_t filled = host->deliver_tail - head;
    return filled > HRT_LANE_DELIVER ? 0 : HRT_LANE_DELIVER - (uint32_t)filled;
}

void hrt_lane_deliver(hrt_lane_host *host, const hrt_delivery *delivery)
{
    host->deliveries[host->deliver_tail & (HRT_LANE_DELIVER - 1)] = *delivery;
    host->deliver_tail++;
}

bool hrt_lane_publish(hrt_lane_host *host, uint64_t deliver_end, uint64_t reply_end, int event_fd)
{
    HRT_ASSERT(deliver_end <= host->deliver_tail && reply_end <= host->reply_next);
    hrt_store_release(&host->lane->deliver_tail, deliver_end);
    hrt_store_release(&host->lane->reply_tail, reply_end);
    return hrt_park_wake(&host->lane->deliver_park, event_fd);
}

void hrt_lane_reply(hrt_lane_host *host, int64_t value)
{
    int64_t *place = &host->replies[host->reply_next & (HRT_LANE_REPLY - 1)];
    hrt_store_relaxed((uint64_t *)place, (uint64_t)value);
    host->reply_next++;
}

uint64_t hrt_lane_started(const hrt_lane_host *host, uint32_t index)
{
    return hrt_load_acquire(&host->started[index & (HRT_LANE_STARTED - 1)]);
}

bool hrt_lane_died(const hrt_lane *lane)
{
    return (hrt_load_acquire_u32(&lane->alive) & FUTEX_OWNER_DIED) != 0;
}
