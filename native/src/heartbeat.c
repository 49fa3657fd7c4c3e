/*
 * The liveness thread: it holds the lane's robust futex, says "alive" within each lease, and
 * watches the runtime's own word, so that either side knows of the other's death at once.
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

enum { BEATS_PER_LEASE = 3 };

static void tell_started(hrt_client *client, int status)
{
    (void)pthread_mutex_lock(&client->inbox_lock);
    client->heart_status = status;
    (void)pthread_cond_broadcast(&client->inbox_cond);
    (void)pthread_mutex_unlock(&client->inbox_lock);
}

static void beat_until_stopped(hrt_client *client)
{
    hrt_lane *lane = client->lane;
    const int64_t pause_ns = (int64_t)(lane->lease_ns / BEATS_PER_LEASE);
    while (hrt_load_acquire_u32(&client->heart_stop) == 0) {
        const uint32_t runtime = hrt_load_acquire_u32(&lane->runtime_alive);
        if (hrt_hold_died(runtime) && hrt_load_relaxed_u32(&client->gone) == 0) {
            hrt_store_release_u32(&client->gone, 1);
            hrt_inbox_poke(client);
        }
        const hrt_park_word words[] = {
            {.word = &client->heart_stop, .expected = 0},
            {.word = &lane->runtime_alive, .expected = runtime},
        };
        (void)hrt_park_wait_any(words, HRT_COUNT_OF(words), pause_ns);
        hrt_store_relaxed(&lane->heartbeat_ns, hrt_boot_ns());
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
