/* The table of lanes: made, noticed, fenced when their process dies or hangs, given back when it is
 * gone. */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "park.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- making ---- */

static int find_free_seat(const hrt_runtime *runtime, uint32_t *lane_out)
{
    for (uint32_t lane = 0; lane < HRT_LANES_MAX; lane++) {
        if (runtime->seats[lane].phase == HRT_LANE_FREE) {
            *lane_out = lane;
            return HRT_OK;
        }
    }
    return hrt_fail(HRT_ELIMIT, "all %d client places are taken; detach a client or close one",
                    HRT_LANES_MAX);
}

static int furnish(hrt_seat *seat)
{
    seat->attempts = calloc(HRT_CREDIT_MAX, sizeof(*seat->attempts));
    seat->free_places = calloc(HRT_CREDIT_MAX, sizeof(*seat->free_places));
    if (seat->attempts == NULL || seat->free_places == NULL) {
        return HRT_ENOMEM;
    }
    for (uint32_t place = 0; place < HRT_CREDIT_MAX; place++) {
        seat->free_places[place] = (uint16_t)place;
    }
    seat->free_count = HRT_CREDIT_MAX;
    return HRT_OK;
}

/* The runtime keeps one descriptor of each lane, for a standby. */
static int make_descriptors(hrt_seat *seat, int lane_fd)
{
    seat->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    seat->lane_fd = fcntl(lane_fd, F_DUPFD_CLOEXEC, 3);
    if (seat->event_fd < 0 || seat->lane_fd < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot make the descriptors of a client: %m");
    }
    return HRT_OK;
}

static void clear_seat(hrt_seat *seat)
{
    if (seat->host.lane != NULL) {
        hrt_lane_unmap(seat->host.lane, hrt_lane_size(seat->submit_capacity));
    }
    if (seat->event_fd >= 0) {
        (void)close(seat->event_fd);
    }
    if (seat->lane_fd >= 0) {
        (void)close(seat->lane_fd);
    }
    free(seat->attempts);
    free(seat->free_places);
    free(seat->marks);
    free(seat->overflow);
    free(seat->pins);
    memset(seat, 0, sizeof(*seat));
}

/* A lane with all that belongs to it. Its descriptor is the caller's, on error too: -1 is none. */
static int fit_out(hrt_runtime *runtime, hrt_seat *seat, uint32_t number, int *fd_out)
{
    hrt_lane *lane = NULL;
    int status = hrt_lane_create(number, seat->incarnation, seat->submit_capacity,
                                 runtime->options.lease_ns, &lane, fd_out);
    if (status == HRT_OK) {
        hrt_lane_host_init(&seat->host, lane, seat->submit_capacity);
        status = furnish(seat);
    }
    if (status == HRT_OK) {
        hrt_store_relaxed_u32(&lane->standby, runtime->standby_present);
        status = make_descriptors(seat, *fd_out);
    }
    if (status == HRT_OK && !seat->local) {
        status = hrt_sentinel_add(runtime->sentinel, number, lane);
    }
    return status;
}

int hrt_lanes_make(hrt_runtime *runtime, uint32_t submit_capacity, bool local, uint32_t *lane_out,
                   int *fd_out)
{
    uint32_t number = 0;
    int status = find_free_seat(runtime, &number);
    if (status != HRT_OK) {
        return status;
    }
    hrt_seat *seat = &runtime->seats[number];
    memset(seat, 0, sizeof(*seat));
    seat->event_fd = -1;
    seat->lane_fd = -1;
    seat->incarnation = ((uint64_t)hrt_log_epoch(runtime->log) << 32) | ++runtime->next_incarnation;
    seat->submit_capacity = submit_capacity != 0 ? submit_capacity : HRT_LANE_SUBMIT;
    seat->local = local;
    int fd = -1;
    status = fit_out(runtime, seat, number, &fd);
    if (status != HRT_OK) {
        clear_seat(seat);
        if (fd >= 0) {
            (void)close(fd);
        }
        return status;
    }
    seat->info.incarnation = seat->incarnation;
    seat->info.number = number;
    seat->info.local = local;
    seat->info.attached_ns = hrt_wall_ns();
    seat->phase = HRT_LANE_LIVE;
    runtime->seat_count = number >= runtime->seat_count ? number + 1 : runtime->seat_count;
    hrt_add_relaxed(&runtime->page->runtime.lanes, 1);
    *lane_out = number;
    *fd_out = fd;
    return HRT_OK;
}

/* ---- going on with lanes of another runtime ---- */

static int keep_descriptors(hrt_seat *seat, const int *fds)
{
    seat->event_fd = fcntl(fds[HRT_GRANT_EVENT], F_DUPFD_CLOEXEC, 3);
    seat->lane_fd = fcntl(fds[HRT_GRANT_LANE], F_DUPFD_CLOEXEC, 3);
    if (seat->event_fd < 0 || seat->lane_fd < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot keep the descriptors of a client: %m");
    }
    return HRT_OK;
}

static int open_lane(hrt_seat *seat, const hrt_legacy *legacy)
{
    hrt_lane *lane = NULL;
    int status =
        hrt_lane_inherit(legacy->fds[HRT_GRANT_LANE], legacy->grant.submit_capacity, &lane);
    if (status != HRT_OK) {
        return status;
    }
    seat->submit_capacity = legacy->grant.submit_capacity;
    hrt_lane_host_init(&seat->host, lane, seat->submit_capacity);
    status = furnish(seat);
    if (status == HRT_OK) {
        status = keep_descriptors(seat, legacy->fds);
    }
    return status == HRT_OK && hrt_load_acquire_u32(&lane->closed) != 0 ? HRT_ECLOSED : status;
}

static void introduce(hrt_seat *seat, const hrt_grant *grant)
{
    seat->incarnation = grant->incarnation;
    seat->info.incarnation = grant->incarnation;
    seat->info.number = grant->number;
    seat->info.pid = grant->pid;
    seat->info.attached_ns = hrt_wall_ns();
    (void)snprintf(seat->info.pool, sizeof(seat->info.pool), "%.63s", grant->pool);
    (void)snprintf(seat->info.name, sizeof(seat->info.name), "%.63s", grant->name);
}

/*
 * The runtime before has shut it. What its process may still read is not known here: anything that
 * there is now. Unless that is dying it has to be killed, which may not have been done.
 */
static void keep_shut(hrt_runtime *runtime, uint32_t number)
{
    hrt_seat *seat = &runtime->seats[number];
    seat->phase = HRT_LANE_SHUT;
    seat->pinned_to = hrt_log_current(runtime->log);
    seat->strays = true;
    if (!hrt_lane_died(seat->host.lane)) {
        hrt_news_lane(runtime, HRT_EVENT_HUNG, number, 0, 0, "its lane was shut before a takeover");
    }
}

int hrt_lanes_inherit(hrt_runtime *runtime, const hrt_legacy *legacy, uint32_t *lane_out)
{
    uint32_t number = legacy->grant.number;
    if (number >= HRT_LANES_MAX || runtime->seats[number].phase != HRT_LANE_FREE) {
        return hrt_fail(HRT_ELIMIT, "there is no place %u for a client", number);
    }
    hrt_seat *seat = &runtime->seats[number];
    *seat = (hrt_seat){.event_fd = -1, .lane_fd = -1};
    int status = open_lane(seat, legacy);
    bool shut = status == HRT_ECLOSED && hrt_load_acquire_u32(&seat->host.lane->detached) == 0;
    if (status != HRT_OK && !shut) {
        clear_seat(seat);
        return status;
    }
    introduce(seat, &legacy->grant);
    runtime->seat_count = number >= runtime->seat_count ? number + 1 : runtime->seat_count;
    if (shut) {
        keep_shut(runtime, number);
        return HRT_ECLOSED;
    }
    seat->phase = HRT_LANE_LIVE;
    hrt_add_relaxed(&runtime->page->runtime.lanes, 1);
    *lane_out = number;
    return HRT_OK;
}

hrt_seat *hrt_lanes_find(hrt_runtime *runtime, uint64_t incarnation, uint32_t *lane_out)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        if (runtime->seats[lane].phase != HRT_LANE_FREE &&
            runtime->seats[lane].incarnation == incarnation) {
            *lane_out = lane;
            return &runtime->seats[lane];
        }
    }
    return NULL;
}

/* ---- shutting ---- */

static uint64_t first_segment_in_use(const hrt_seat *seat)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t place = 0; seat->held > 0 && place < HRT_CREDIT_MAX; place++) {
        if (seat->attempts[place].job != 0 && seat->attempts[place].segment < first) {
            first = seat->attempts[place].segment;
        }
    }
    return first;
}

static void leave_tables(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    if (seat->registered) {
        hrt_scheduler_leave(runtime->scheduler, lane);
        seat->registered = false;
    }
    /* A registration that failed half-way has counted some kinds too. */
    for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
        if ((seat->kinds[kind >> 6] >> (kind & 63)) & 1) {
            hrt_add_relaxed(&runtime->page->kind_counters[kind].workers, (uint64_t)-1);
        }
    }
    hrt_audience_leave(runtime->audience, lane);
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        runtime->space_wanted[queue][lane >> 6] &= ~((uint64_t)1 << (lane & 63));
    }
    if (!seat->local) {
        hrt_sentinel_remove(runtime->sentinel, lane);
    }
}

void hrt_lanes_shut(hrt_runtime *runtime, uint32_t lane, int status, uint8_t why, uint32_t event,
                    const char *text)
{
    hrt_seat *seat = &runtime->seats[lane];
    if (seat->phase != HRT_LANE_LIVE) {
        return;
    }
    seat->pinned_from = first_segment_in_use(seat);
    seat->pinned_to = hrt_log_current(runtime->log);
    seat->phase = HRT_LANE_SHUT;
    seat->stalled = false;
    seat->end_outcome = why;
    seat->end_cause = text;
    uint32_t count = hrt_attempt_reclaim(runtime, lane, why, text);
    leave_tables(runtime, lane);
    hrt_store_release_u32(&seat->host.lane->closed, (uint32_t)status);
    (void)hrt_park_wake(&seat->host.lane->deliver_park, seat->event_fd);
    (void)hrt_group_seal(runtime);
    hrt_add_relaxed(&runtime->page->runtime.lanes, (uint64_t)-1);
    uint64_t took = 0;
    uint64_t seen = hrt_load_acquire(&seat->death_seen_ns);
    if (event == HRT_EVENT_DIED) {
        took = seen != 0 ? hrt_boot_ns() - seen : 0;
        hrt_counters_observe(&runtime->page->runtime.recovery, took);
        hrt_add_relaxed(&runtime->page->runtime.lane_deaths, 1);
    }
    hrt_news_lane(runtime, event, lane, took, count, text);
}

void hrt_lanes_fault(hrt_runtime *runtime, uint32_t lane, const char *text)
{
    hrt_add_relaxed(&runtime->page->runtime.lane_faults, 1);
    hrt_lanes_shut(runtime, lane, HRT_EPEER, HRT_OUTCOME_CRASHED, HRT_EVENT_FAULT, text);
}

/* What a process published before it died or left still counts. */
static void take_the_rest(hrt_runtime *runtime, uint32_t lane)
{
    runtime->seats[lane].over = true;
    while (runtime->seats[lane].phase == HRT_LANE_LIVE && hrt_submission_take(runtime, lane)) {
    }
}

/* ---- noticing ---- */

static bool missed_its_heartbeat(const hrt_runtime *runtime, const hrt_seat *seat)
{
    uint64_t beat = hrt_load_relaxed(&seat->host.lane->heartbeat_ns);
    return seat->seen_alive && runtime->boot_ns > beat &&
           runtime->boot_ns - beat > runtime->options.lease_ns;
}

/* What a client does that no lease could ever end; NULL: nothing. */
static const char *broken_promise(const hrt_runtime *runtime, const hrt_seat *seat)
{
    uint64_t beat = hrt_load_relaxed(&seat->host.lane->heartbeat_ns);
    if (beat > runtime->boot_ns && beat - runtime->boot_ns > runtime->options.lease_ns) {
        return "its heartbeat lies in the future";
    }
    return seat->flooded ? "it does not read what is delivered" : NULL;
}

static bool watch_one(hrt_runtime *runtime, uint32_t lane)
{
    hrt_seat *seat = &runtime->seats[lane];
    const hrt_lane *shared = seat->host.lane;
    bool changed = false;
    if (!seat->seen_alive && hrt_load_acquire_u32(&shared->alive) != 0) {
        seat->seen_alive = true;
        hrt_news_lane(runtime, HRT_EVENT_ATTACHED, lane, 0, 0, "");
        changed = true;
    }
    if (hrt_load_acquire_u32(&shared->detached) != 0) {
        take_the_rest(runtime, lane);
        seat->gone = true;
        hrt_runtime_ring(runtime); /* whoever noticed: the dispatch thread gives its memory back */
        hrt_lanes_shut(runtime, lane, HRT_ECLOSED, HRT_OUTCOME_RETURNED, HRT_EVENT_DETACHED,
                       "detached");
        return true;
    }
    if (hrt_lane_died(shared)) {
        take_the_rest(runtime, lane);
        hrt_lanes_shut(runtime, lane, HRT_ECLOSED,
                       seat->pardoned ? HRT_OUTCOME_RETURNED : HRT_OUTCOME_CRASHED,
                       seat->pardoned ? HRT_EVENT_DETACHED : HRT_EVENT_DIED, "its worker died");
        return true;
    }
    const char *broken = broken_promise(runtime, seat);
    if (broken != NULL) {
        hrt_lanes_fault(runtime, lane, broken);
        return true;
    }
    if (missed_its_heartbeat(runtime, seat)) {
        hrt_lanes_shut(runtime, lane, HRT_ECLOSED, HRT_OUTCOME_LOST, HRT_EVENT_HUNG,
                       "its worker gave no sign of life within the lease");
        return true;
    }
    return changed;
}

bool hrt_lanes_owes(const hrt_seat *seat)
{
    return seat->phase == HRT_LANE_SHUT && seat->held > 0;
}

bool hrt_lanes_watch(hrt_runtime *runtime)
{
    bool changed = false;
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        const hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase == HRT_LANE_LIVE) {
            changed |= watch_one(runtime, lane);
        } else if (HRT_UNLIKELY(hrt_lanes_owes(seat))) {
            changed |= hrt_attempt_reclaim(runtime, lane, seat->end_outcome, seat->end_cause) > 0;
        }
    }
    return changed;
}

uint64_t hrt_lanes_wait(const hrt_runtime *runtime)
{
    uint64_t wait = UINT64_MAX;
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        const hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase != HRT_LANE_LIVE || seat->local || !seat->seen_alive) {
            continue;
        }
        uint64_t end = hrt_load_relaxed(&seat->host.lane->heartbeat_ns) + runtime->options.lease_ns;
        uint64_t left = end > runtime->boot_ns ? end - runtime->boot_ns + 1000000 : 0;
        wait = left < wait ? left : wait;
    }
    return wait;
}

/* ---- giving back ---- */

void hrt_lanes_reap(hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        hrt_seat *seat = &runtime->seats[lane];
        if (seat->phase == HRT_LANE_SHUT && seat->gone && !hrt_lanes_owes(seat)) {
            clear_seat(seat);
        }
    }
}

static void close_lane(hrt_runtime *runtime, uint32_t number)
{
    hrt_seat *seat = &runtime->seats[number];
    if (seat->phase == HRT_LANE_LIVE) {
        hrt_store_release_u32(&seat->host.lane->closed, (uint32_t)HRT_ECLOSED);
        (void)hrt_park_wake(&seat->host.lane->deliver_park, seat->event_fd);
        if (!seat->local) {
            hrt_sentinel_remove(runtime->sentinel, number);
        }
    }
}

static void free_all(hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        hrt_seat *seat = &runtime->seats[lane];
        for (uint32_t place = 0; seat->phase != HRT_LANE_FREE && place < HRT_CREDIT_MAX; place++) {
            free(seat->attempts[place].note);
        }
        if (seat->phase != HRT_LANE_FREE) {
            clear_seat(seat);
        }
    }
}

void hrt_lanes_end(hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        close_lane(runtime, lane);
    }
    free_all(runtime);
}

/* The sentinel lets go of its words when it ends; it must have ended before lanes are unmapped. */
void hrt_lanes_leave(hrt_runtime *runtime)
{
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        if (runtime->seats[lane].local) {
            close_lane(runtime, lane);
        }
    }
    hrt_sentinel_free(runtime->sentinel);
    runtime->sentinel = NULL;
    free_all(runtime);
}
