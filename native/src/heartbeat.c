/*
 * The liveness thread: it holds the lane's robust futex, says "alive" within each lease, and
 * watches the runtime's own word, so that either side knows of the other's death at once. When
 * another runtime stands by, a dead one is only missed: nobody notices more than a pause.
 */
#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "handle.h"
#include "liveness.h"
#include "park.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

enum { TEND_NS = 10000000 }; /* between looks for the word of a runtime that goes on */

static void tell_started(hrt_client *client, int status)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    client->heart_status = status;
    (void)pthread_cond_broadcast(&client->inbox_cond);
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

/* The runtime's word, as this thread knows it. */
typedef struct hrt_vigil {
    bool held;          /* once, by whoever */
    uint64_t missed_ns; /* boot clock since when nobody holds it, 0: somebody does */
} hrt_vigil;

/* How long a lane waits for another runtime: within a lease it would be given up for hung. */
static int64_t patience_left(const hrt_client *client, const hrt_vigil *vigil)
{
    const uint64_t waited = hrt_boot_ns() - vigil->missed_ns;
    return waited < client->lane->lease_ns ? (int64_t)(client->lane->lease_ns - waited) : 0;
}

static void give_up(hrt_client *client)
{
    hrt_store_release_u32(&client->gone, 1);
    hrt_inbox_poke(client);
}

/*
 * A word that died had a runtime that was killed; one that went back to 0 had one that let go, for
 * another to go on: who closes a lane says so in the lane. That one, or the standby, has a lease's
 * time to hold the word.
 */
static void watch_runtime(hrt_client *client, hrt_vigil *vigil, uint32_t runtime)
{
    const bool died = hrt_hold_died(runtime);
    const bool standby = hrt_load_acquire_u32(&client->lane->standby) != 0;
    if (runtime != 0 && !died) {
        *vigil = (hrt_vigil){.held = true};
    } else if (hrt_load_relaxed_u32(&client->gone) != 0) {
        return;
    } else if (died && !standby) {
        give_up(client);
    } else if (died || vigil->held) {
        if (vigil->missed_ns == 0)
            vigil->missed_ns = hrt_boot_ns();
        if (patience_left(client, vigil) == 0)
            give_up(client);
    }
}

static int64_t next_beat(const hrt_client *client, const hrt_vigil *vigil)
{
    const uint32_t takeovers = hrt_load_acquire_u32(&client->lane->takeovers);
    if (takeovers != hrt_load_relaxed_u32(&client->adoptions) &&
        hrt_load_relaxed_u32(&client->gone) == 0)
        return TEND_NS; /* its word is under way, and the other threads may all be with handlers */
    const int64_t pause_ns = (int64_t)(client->lane->lease_ns / HRT_BEATS_PER_LEASE);
    if (vigil->missed_ns == 0 || hrt_load_relaxed_u32(&client->gone) != 0)
        return pause_ns;
    const int64_t left_ns = patience_left(client, vigil);
    return left_ns < pause_ns ? left_ns : pause_ns;
}

static void beat_until_stopped(hrt_client *client)
{
    hrt_lane *lane = client->lane;
    hrt_vigil vigil = {0};
    while (hrt_load_acquire_u32(&client->heart_stop) == 0) {
        const uint32_t runtime = hrt_load_acquire_u32(&lane->runtime_alive);
        watch_runtime(client, &vigil, runtime);
        hrt_store_relaxed(&client->missed_ns, vigil.missed_ns);
        const hrt_park_word words[] = {
            {.word = &client->heart_stop, .expected = 0},
            {.word = &lane->runtime_alive, .expected = runtime},
        };
        (void)hrt_park_wait_any(words, HRT_COUNT_OF(words), next_beat(client, &vigil));
        hrt_store_relaxed(&lane->heartbeat_ns, hrt_boot_ns());
        if (hrt_load_acquire_u32(&lane->takeovers) != 0)
            hrt_inbox_tend(client);
    }
}

static void *live(void *context)
{
    hrt_client *client = context;
    (void)prctl(PR_SET_NAME, "hrt-liveness");
    hrt_hold hold;
    int status = hrt_hold_init(&hold, 1);
    if (status != HRT_OK) {
        tell_started(client, status);
        return NULL;
    }
    hrt_store_relaxed(&client->lane->heartbeat_ns, hrt_boot_ns());
    status = hrt_hold_take(&hold, &client->lane->alive);
    tell_started(client, status);
    if (status == HRT_OK)
        beat_until_stopped(client);
    hrt_hold_end(&hold);
    return NULL;
}

int hrt_heartbeat_start(hrt_client *client)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    /* The program's signals belong to its own threads. */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&client->heart, NULL, live, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        return hrt_fail(HRT_ESYSTEM, "start the liveness thread: %s", strerror(failed));
    client->heart_runs = true;
    (void)pthread_mutex_lock(&client->inbox_lock);
    while (client->heart_status == HRT_EAGAIN)
        (void)pthread_cond_wait(&client->inbox_cond, &client->inbox_lock);
    const int status = client->heart_status;
    (void)pthread_mutex_unlock(&client->inbox_lock);
    if (status == HRT_OK)
        return HRT_OK;
    hrt_heartbeat_stop(client);
    return hrt_fail(status, "the liveness thread cannot hold the lane: %s", hrt_strerror(status));
}

void hrt_heartbeat_stop(hrt_client *client)
{
    if (!client->heart_runs)
        return;
    hrt_store_release_u32(&client->heart_stop, 1);
    hrt_park_wake_raw(&client->heart_stop);
    (void)pthread_join(client->heart, NULL);
    client->heart_runs = false;
}
