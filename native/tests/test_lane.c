/* A lane's memory: its seals hold, a wrong one is refused, and the host trusts no index in it. */
#include "lane.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint64_t lease_ns = 3000000000;

static hrt_lane *make_lane(int *fd_out)
{
    hrt_lane *lane = NULL;
    REQUIRE(hrt_lane_create(3, 42, HRT_LANE_SUBMIT_MIN, lease_ns, &lane, fd_out) == HRT_OK);
    return lane;
}

static void drop_lane(hrt_lane *lane, int fd)
{
    hrt_lane_unmap(lane, hrt_lane_size(HRT_LANE_SUBMIT_MIN));
    (void)close(fd);
}

static void both_sides_see_one_memory(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    hrt_lane *mapped = NULL;
    CHECK_EQ(hrt_lane_map(fd, &mapped), HRT_OK);
    CHECK_EQ(mapped->incarnation, 42);
    CHECK_EQ(mapped->number, 3);
    CHECK_EQ(mapped->size, hrt_lane_size(HRT_LANE_SUBMIT_MIN));
    mapped->submit_tail = 64;
    CHECK_EQ(lane->submit_tail, 64);
    hrt_lane_unmap(mapped, mapped->size);
    drop_lane(lane, fd);
}

static void its_size_is_sealed(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    CHECK_EQ(ftruncate(fd, 4096), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(ftruncate(fd, 1 << 26), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    drop_lane(lane, fd);
}

static void odd_capacities_are_refused(void)
{
    hrt_lane *lane = NULL;
    int fd = -1;
    CHECK_EQ(hrt_lane_create(0, 1, 100000, lease_ns, &lane, &fd), HRT_EINVAL);
    CHECK_EQ(hrt_lane_create(0, 1, 4096, lease_ns, &lane, &fd), HRT_EINVAL);
    CHECK_EQ(hrt_lane_create(0, 1, 1u << 30, lease_ns, &lane, &fd), HRT_EINVAL);
    CHECK_EQ(fd, -1);
    CHECK_EQ(hrt_lane_create(0, 1, 0, lease_ns, &lane, &fd), HRT_OK);
    CHECK_EQ(lane->submit_capacity, HRT_LANE_SUBMIT);
    hrt_lane_unmap(lane, hrt_lane_size(0));
    (void)close(fd);
}

/* What hrt_lane_map says after one field of a good lane was changed. */
static int map_after(uint32_t *field, uint32_t value, int fd)
{
    const uint32_t before = *field;
    hrt_lane *mapped = NULL;
    *field = value;
    const int status = hrt_lane_map(fd, &mapped);
    *field = before;
    return status;
}

static void a_lane_that_is_none_is_refused(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    char text[512];
    CHECK_EQ(map_after(&lane->magic, 1, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->abi_version, 77, fd), HRT_EVERSION);
    (void)hrt_last_error(text, sizeof(text));
    CHECK(strstr(text, "version 77") != NULL);
    char built[32];
    (void)snprintf(built, sizeof(built), "built with %d", HRT_ABI_VERSION);
    CHECK(strstr(text, built) != NULL);
    CHECK_EQ(map_after(&lane->size, lane->size + 4096, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->submit_capacity, 65535, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->submit_offset, 64, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->reply_offset, lane->size, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->deliver_capacity, 0, fd), HRT_EVERSION);
    CHECK_EQ(map_after(&lane->started_capacity, 1u << 31, fd), HRT_EVERSION);
    drop_lane(lane, fd);
}

static void a_descriptor_without_seals_is_refused(void)
{
    hrt_lane *mapped = NULL;
    const int fd = memfd_create("bare", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    CHECK_EQ(hrt_lane_map(fd, &mapped), HRT_EINVAL);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    CHECK_EQ(hrt_lane_map(fd, &mapped), HRT_EVERSION); /* zeros are no lane */
    (void)close(fd);
    CHECK_EQ(hrt_lane_map(fd, &mapped), HRT_EINVAL);
    CHECK(mapped == NULL);
}

static void deliveries_need_room_and_a_publish(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    hrt_lane_host host;
    hrt_lane_host_init(&host, lane, HRT_LANE_SUBMIT_MIN);
    CHECK_EQ(hrt_lane_deliver_room(&host), HRT_LANE_DELIVER);
    const hrt_delivery delivery = {.type = HRT_DELIVERY_SPACE, .queue = 2};
    hrt_lane_deliver(&host, &delivery);
    CHECK_EQ(hrt_lane_deliver_room(&host), HRT_LANE_DELIVER - 1);
    CHECK_EQ(lane->deliver_tail, 0);
    hrt_lane_reply(&host, 7);
    hrt_lane_reply(&host, HRT_EFULL);
    CHECK(!hrt_lane_publish(&host, 1, 1, -1));
    CHECK_EQ(lane->deliver_tail, 1);
    CHECK_EQ(lane->reply_tail, 1);
    const int64_t *replies = (const int64_t *)(const void *)((uint8_t *)lane + lane->reply_offset);
    CHECK_EQ(replies[0], 7);
    CHECK_EQ(replies[1], HRT_EFULL);
    lane->deliver_park = HRT_PARK_FUTEX;
    CHECK(hrt_lane_publish(&host, 1, 2, -1));
    CHECK_EQ(lane->deliver_park, HRT_PARK_AWAKE);
    drop_lane(lane, fd);
}

static void a_head_that_makes_no_sense_leaves_no_room(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    hrt_lane_host host;
    hrt_lane_host_init(&host, lane, HRT_LANE_SUBMIT_MIN);
    lane->deliver_head = 1; /* ahead of the tail */
    CHECK_EQ(hrt_lane_deliver_room(&host), 0);
    lane->deliver_head = UINT64_MAX - HRT_LANE_DELIVER;
    CHECK_EQ(hrt_lane_deliver_room(&host), 0);
    drop_lane(lane, fd);
}

static void the_host_keeps_its_own_constants(void)
{
    int fd = -1;
    hrt_lane *lane = make_lane(&fd);
    hrt_lane_host host;
    hrt_lane_host_init(&host, lane, HRT_LANE_SUBMIT_MIN);
    memset(lane, 0xff, HRT_LINE); /* a client may write all of its lane */
    CHECK_EQ(host.submit.capacity, HRT_LANE_SUBMIT_MIN);
    (void)hrt_lane_started(&host, UINT32_MAX);
    hrt_lane_reply(&host, 1);
    CHECK_EQ(hrt_lane_deliver_room(&host), HRT_LANE_DELIVER);
    CHECK(!hrt_lane_died(lane));
    lane->alive = FUTEX_OWNER_DIED;
    CHECK(hrt_lane_died(lane));
    drop_lane(lane, fd);
}

int main(void)
{
    TAP_LIST(TEST(both_sides_see_one_memory), TEST(its_size_is_sealed),
             TEST(odd_capacities_are_refused), TEST(a_lane_that_is_none_is_refused),
             TEST(a_descriptor_without_seals_is_refused), TEST(deliveries_need_room_and_a_publish),
             TEST(a_head_that_makes_no_sense_leaves_no_room),
             TEST(the_host_keeps_its_own_constants));
}
