/*
 * A runtime that a test hosts: with one kind and one queue, a client in this process, a dispatch
 * thread, and workers that attach as spawned ones do.
 */
#ifndef HRT_TEST_HOST_H
#define HRT_TEST_HOST_H

#include "scratch.h"
#include "spawned.h"

#include <hybridrt/runtime.h>
#include <pthread.h>

typedef struct host {
    char directory[SCRATCH_PATH];
    hrt_runtime *runtime;
    hrt_client *local;
    pthread_t thread;
    uint16_t kind; /* "test.job" */
    uint16_t queue;
} host;

/* Begins with an empty directory; `scratch_remove` ends it. */
static inline void host_make(host *h)
{
    *h = (host){0};
    scratch_make(h->directory);
}

/* A log of 1 MiB segments; the rest is for the test to say. */
static inline hrt_runtime_options host_options(const host *h)
{
    return (hrt_runtime_options){.struct_size = sizeof(hrt_runtime_options),
                                 .abi_version = HRT_ABI_VERSION,
                                 .directory = h->directory,
                                 .segment_size = 1 << 20};
}

static inline void host_declare(host *h, const hrt_queue_settings *settings)
{
    REQUIRE_OK(hrt_runtime_queue(h->runtime, settings, &h->queue));
    REQUIRE_OK(hrt_runtime_kind(h->runtime, "test.job", &h->kind));
    REQUIRE_OK(hrt_runtime_client(h->runtime, &h->local));
}

/* The dispatch thread is not started yet. */
static inline void host_open(host *h, const hrt_runtime_options *options,
                             const hrt_queue_settings *settings)
{
    REQUIRE_OK(hrt_runtime_open(options, &h->runtime));
    host_declare(h, settings);
}

static inline void *host_dispatch(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static inline void host_start(host *h)
{
    REQUIRE(pthread_create(&h->thread, NULL, host_dispatch, h->runtime) == 0);
}

static inline void host_stop(host *h)
{
    void *status = NULL;
    hrt_runtime_stop(h->runtime);
    REQUIRE(pthread_join(h->thread, &status) == 0);
    CHECK_EQ((intptr_t)status, HRT_OK);
}

static inline void host_close(host *h)
{
    hrt_detach(h->local);
    hrt_runtime_close(h->runtime);
}

/* ---- clients in lanes of their own ---- */

/* Makes a lane for who attaches next; returns its incarnation. */
static inline uint64_t host_offer_lane(const host *h, uint32_t submit_capacity)
{
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    REQUIRE_OK(
        hrt_runtime_lane(h->runtime, submit_capacity, 0, "pool", "worker", fds, &incarnation));
    spawned_leave(fds);
    return incarnation;
}

/* Serves the kind; credit 0: the runtime adapts it. */
static inline void host_serve(hrt_client *client, uint32_t concurrency, uint32_t credit)
{
    static const char *const kinds[] = {"test.job"};
    const hrt_register_options served = {.kinds = kinds,
                                         .kind_count = 1,
                                         .concurrency = concurrency,
                                         .credit = credit,
                                         .language = "c"};
    REQUIRE_OK(hrt_register(client, &served));
}

static inline hrt_client *host_attach(const host *h, uint32_t submit_capacity)
{
    hrt_client *client = NULL;
    (void)host_offer_lane(h, submit_capacity);
    REQUIRE_OK(spawned_attach(&client));
    return client;
}

static inline hrt_client *host_attach_worker(const host *h, uint32_t concurrency, uint32_t credit)
{
    hrt_client *client = host_attach(h, 0);
    host_serve(client, concurrency, credit);
    return client;
}

#endif
