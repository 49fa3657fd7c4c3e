/*
 * When a standby writes a snapshot: after so many bytes of log, since they are what a restart would
 * have to read, and not before the log has grown by four times what the snapshot itself takes. It
 * is written by a copy of the process (offshoot.c); the standby goes on following, and a takeover
 * kills the copy.
 */
#include "dispatch.h"

#include "snapshot.h"

enum { GROWTH = 4, AGAIN_PARTS = 8 };

void hrt_copier_begin(hrt_copier *copier, uint64_t every, uint64_t head, uint64_t tail)
{
    copier->every = every;
    copier->at = head + every > tail ? head + every : tail;
}

static uint64_t pause_after(const hrt_copier *copier, const hrt_state *state)
{
    uint64_t growth = hrt_state_jobs(state) * HRT_SNAPSHOT_JOB_SIZE * GROWTH;
    return growth > copier->every ? growth : copier->every;
}

static int write_snapshot(const void *order)
{
    return hrt_snapshot_write(order);
}

void hrt_copier_start(hrt_copier *copier, hrt_snapshot_order *order)
{
    uint64_t position = order->start.position;
    if (copier->pid != 0) {
        copier->at = position + copier->every / AGAIN_PARTS; /* the log grows faster than it is */
        return;
    }
    copier->at = position + pause_after(copier, order->state);
    hrt_snapshot_doom(order->directory, &order->doomed);
    if (hrt_offshoot_start(write_snapshot, order, order->directory, &copier->pid) == HRT_OK) {
        copier->position = position;
    } else {
        copier->pid = 0;
        copier->failures++;
    }
}

void hrt_copier_look(hrt_copier *copier)
{
    bool done = false;
    if (copier->pid == 0 || !hrt_offshoot_ended(copier->pid, &done)) {
        return;
    }
    copier->pid = 0;
    if (done) {
        copier->written++;
        copier->written_position = copier->position;
    } else {
        uint64_t soon = copier->position + copier->every / AGAIN_PARTS;
        copier->at = soon < copier->at ? soon : copier->at;
        copier->failures++;
    }
}

void hrt_copier_drop(hrt_copier *copier)
{
    if (copier->pid != 0) {
        hrt_offshoot_kill(copier->pid);
        copier->dropped = copier->pid;
    }
    copier->pid = 0;
    copier->at = UINT64_MAX;
}
