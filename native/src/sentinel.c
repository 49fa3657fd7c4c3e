/*
 * The sentinel: one thread that sleeps on the liveness word of every lane, and holds in each lane
 * the word by which clients notice that the supervisor died, and in the page the one by which a
 * standby does. It never takes the dispatch lock.
 */
#include "dispatch.h"

#include "atomic.h"
#include "check.h"
#include "clock.h"
#include "error.h"
#include "liveness.h"
#include "park.h"

#include <stdlib.h>

enum sentinel_request {
    REQUEST_NONE = 0,
    REQUEST_ADD = 1,
    REQUEST_REMOVE = 2,
    REQUEST_STOP = 3,
    REQUEST_BEGIN = 4,
};

#define SENTINEL_SLEEP_NS ((int64_t)3600 * 1000000000)

struct hrt_sentinel {
    hrt_runtime *runtime; /* NULL until it begins */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    uint32_t bell; /* counts requests; the thread sleeps on it too */
    enum sentinel_request request;
    uint32_t number;
    hrt_lane *lane;
    int status;
    /* the thread's own */
    hrt_hold hold;
    hrt_lane *lanes[HRT_LANES_MAX];
    uint32_t seen[HRT_LANES_MAX]; /* last value of each alive word */
};

static void look_at(hrt_sentinel *sentinel, uint32_t number)
{
    uint32_t value = hrt_load_acquire_u32(&sentinel->lanes[number]->alive);
    if (value == sentinel->seen[number]) {
        return;
    }
    sentinel->seen[number] = value;
    if (hrt_hold_died(value)) {
        hrt_store_release(&sentinel->runtime->seats[number].death_seen_ns, hrt_boot_ns());
    }
    hrt_runtime_ring(sentinel->runtime);
}

static void sleep_on_all(hrt_sentinel *sentinel, uint32_t bell)
{
    hrt_park_word words[HRT_LANES_MAX + 1] = {{&sentinel->bell, bell}};
    uint32_t count = 1;
    for (uint32_t i = 0; i < HRT_LANES_MAX; i++) {
        if (sentinel->lanes[i] != NULL) {
            words[count++] = (hrt_park_word){&sentinel->lanes[i]->alive, sentinel->seen[i]};
        }
    }
    (void)hrt_park_wait_any(words, count, SENTINEL_SLEEP_NS);
}

/* True: stop. */
static bool answer_request(hrt_sentinel *sentinel)
{
    bool stop = false;
    (void)pthread_mutex_lock(&sentinel->lock);
    switch (sentinel->request) {
    case REQUEST_BEGIN:
        sentinel->status = hrt_hold_take(&sentinel->hold, &sentinel->runtime->page->writer_alive);
        break;
    case REQUEST_ADD:
        sentinel->status = hrt_hold_take(&sentinel->hold, &sentinel->lane->runtime_alive);
        if (sentinel->status == HRT_OK) {
            sentinel->lanes[sentinel->number] = sentinel->lane;
            sentinel->seen[sentinel->number] = 0;
        }
        break;
    case REQUEST_REMOVE:
        if (sentinel->lanes[sentinel->number] != NULL) {
            hrt_hold_drop(&sentinel->hold, &sentinel->lanes[sentinel->number]->runtime_alive);
            sentinel->lanes[sentinel->number] = NULL;
        }
        break;
    case REQUEST_STOP:
        stop = true;
        break;
    case REQUEST_NONE:
        break;
    }
    if (sentinel->request != REQUEST_NONE) {
        sentinel->request = REQUEST_NONE;
        (void)pthread_cond_broadcast(&sentinel->answered);
    }
    (void)pthread_mutex_unlock(&sentinel->lock);
    return stop;
}

static void *watch_lanes(void *argument)
{
    hrt_sentinel *sentinel = argument;
    (void)pthread_mutex_lock(&sentinel->lock);
    sentinel->status = hrt_hold_init(&sentinel->hold, HRT_LANES_MAX + 1);
    sentinel->request = REQUEST_NONE;
    (void)pthread_cond_broadcast(&sentinel->answered);
    bool stop = sentinel->status != HRT_OK;
    (void)pthread_mutex_unlock(&sentinel->lock);
    if (stop) {
        return NULL;
    }
    while (!stop) {
        uint32_t bell = hrt_load_acquire_u32(&sentinel->bell);
        stop = answer_request(sentinel);
        for (uint32_t i = 0; !stop && i < HRT_LANES_MAX; i++) {
            if (sentinel->lanes[i] != NULL) {
                look_at(sentinel, i);
            }
        }
        if (!stop) {
            sleep_on_all(sentinel, bell);
        }
    }
    hrt_hold_end(&sentinel->hold);
    return NULL;
}

/* Callers hold the dispatch lock or are the only ones, so there is one request at a time. */
static int ask(hrt_sentinel *sentinel, enum sentinel_request request, uint32_t number,
               hrt_lane *lane)
{
    (void)pthread_mutex_lock(&sentinel->lock);
    sentinel->request = request;
    sentinel->number = number;
    sentinel->lane = lane;
    sentinel->status = HRT_OK;
    hrt_store_release_u32(&sentinel->bell, sentinel->bell + 1);
    hrt_park_wake_raw(&sentinel->bell);
    while (sentinel->request != REQUEST_NONE) {
        (void)pthread_cond_wait(&sentinel->answered, &sentinel->lock);
    }
    int status = sentinel->status;
    (void)pthread_mutex_unlock(&sentinel->lock);
    return status;
}

int hrt_sentinel_new(hrt_sentinel **sentinel_out)
{
    hrt_sentinel *sentinel = calloc(1, sizeof(*sentinel));
    if (sentinel == NULL) {
        return HRT_ENOMEM;
    }
    (void)pthread_mutex_init(&sentinel->lock, NULL);
    (void)pthread_cond_init(&sentinel->answered, NULL);
    (void)pthread_mutex_lock(&sentinel->lock);
    sentinel->request = REQUEST_STOP; /* until the thread has answered for the first time */
    int failed = pthread_create(&sentinel->thread, NULL, watch_lanes, sentinel);
    while (failed == 0 && sentinel->request != REQUEST_NONE) {
        (void)pthread_cond_wait(&sentinel->answered, &sentinel->lock);
    }
    (void)pthread_mutex_unlock(&sentinel->lock);
    if (failed != 0 || sentinel->status != HRT_OK) {
        if (failed == 0) {
            (void)pthread_join(sentinel->thread, NULL);
        }
        free(sentinel);
        return hrt_fail(HRT_ESYSTEM, "cannot start the thread that watches clients");
    }
    *sentinel_out = sentinel;
    return HRT_OK;
}

void hrt_sentinel_free(hrt_sentinel *sentinel)
{
    if (sentinel == NULL) {
        return;
    }
    (void)ask(sentinel, REQUEST_STOP, 0, NULL);
    (void)pthread_join(sentinel->thread, NULL);
    (void)pthread_cond_destroy(&sentinel->answered);
    (void)pthread_mutex_destroy(&sentinel->lock);
    free(sentinel);
}

int hrt_sentinel_begin(hrt_sentinel *sentinel, hrt_runtime *runtime)
{
    sentinel->runtime = runtime;
    return ask(sentinel, REQUEST_BEGIN, 0, NULL);
}

int hrt_sentinel_add(hrt_sentinel *sentinel, uint32_t number, hrt_lane *lane)
{
    HRT_ASSERT(number < HRT_LANES_MAX);
    return ask(sentinel, REQUEST_ADD, number, lane);
}

void hrt_sentinel_remove(hrt_sentinel *sentinel, uint32_t number)
{
    HRT_ASSERT(number < HRT_LANES_MAX);
    (void)ask(sentinel, REQUEST_REMOVE, number, NULL);
}
