/* What a runtime hands to a standby: the page, its lanes, and at the end the log. */
#include "dispatch.h"

#include "atomic.h"
#include "clock.h"
#include "error.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int hrt_runtime_page_fd(const hrt_runtime *runtime, int *fd_out)
{
    int fd = fcntl(runtime->page_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot duplicate the descriptor of the page: %m");
    }
    *fd_out = fd;
    return HRT_OK;
}

static int duplicate(const hrt_seat *seat, int *fds_out)
{
    int lane = fcntl(seat->lane_fd, F_DUPFD_CLOEXEC, 3);
    int event = fcntl(seat->event_fd, F_DUPFD_CLOEXEC, 3);
    if (lane < 0 || event < 0) {
        int status = hrt_fail(HRT_ESYSTEM, "cannot duplicate the descriptors of a client: %m");
        (void)(lane >= 0 && close(lane));
        (void)(event >= 0 && close(event));
        return status;
    }
    fds_out[HRT_GRANT_LANE] = lane;
    fds_out[HRT_GRANT_EVENT] = event;
    return HRT_OK;
}

int hrt_runtime_grant(hrt_runtime *runtime, uint64_t incarnation, hrt_grant *grant_out,
                      int *fds_out)
{
    uint32_t number = 0;
    hrt_runtime_lock(runtime);
    const hrt_seat *seat = hrt_lanes_find(runtime, incarnation, &number);
    int status = HRT_ENOTFOUND;
    if (seat != NULL && seat->phase == HRT_LANE_LIVE && !seat->local) {
        status = duplicate(seat, fds_out);
        *grant_out = (hrt_grant){.incarnation = incarnation,
                                 .number = number,
                                 .submit_capacity = seat->submit_capacity,
                                 .pid = seat->info.pid};
        memcpy(grant_out->pool, seat->info.pool, sizeof(grant_out->pool));
        memcpy(grant_out->name, seat->info.name, sizeof(grant_out->name));
    }
    hrt_runtime_unlock(runtime);
    return status == HRT_ENOTFOUND ? hrt_fail(status, "no such client") : status;
}

void hrt_runtime_standby(hrt_runtime *runtime, int present)
{
    hrt_runtime_lock(runtime);
    runtime->standby_present = present != 0;
    for (uint32_t lane = 0; lane < runtime->seat_count; lane++) {
        if (runtime->seats[lane].phase == HRT_LANE_LIVE) {
            hrt_store_release_u32(&runtime->seats[lane].host.lane->standby, present != 0);
        }
    }
    hrt_runtime_unlock(runtime);
}

/* Everything that was taken is in the log, and all who wait for it are told. */
static int finish(hrt_runtime *runtime)
{
    hrt_runtime_lock(runtime);
    hrt_runtime_tick(runtime);
    int status = hrt_dispatch_finish(runtime);
    hrt_runtime_unlock(runtime);
    if (status == HRT_OK) {
        status = hrt_runtime_sync(runtime, -1);
    }
    hrt_runtime_lock(runtime);
    hrt_effect_release(runtime);
    hrt_runtime_unlock(runtime);
    return status;
}

void hrt_runtime_leave(hrt_runtime *runtime)
{
    hrt_runtime_lock(runtime); /* the flusher may be telling the lanes just now */
    hrt_lanes_leave(runtime);
    hrt_runtime_unlock(runtime);
    hrt_runtime_free(runtime);
}

int hrt_runtime_release(hrt_runtime *runtime)
{
    int failed = (int)hrt_load_acquire_u32(&runtime->failed);
    int status = failed != 0 ? failed : finish(runtime);
    hrt_runtime_leave(runtime);
    return status;
}
