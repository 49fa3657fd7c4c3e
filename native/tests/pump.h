/* Enqueueing in a runtime that no thread runs. */
#ifndef HRT_TEST_PUMP_H
#define HRT_TEST_PUMP_H

#include "dispatch.h"
#include "tap.h"

enum { PUMP_WAIT_NS = 1000000 };

/*
 * Returns the job's id. Each call is its own pump, unless the flusher holds the lock just then to
 * tell what is durable: in a runtime that runs, its thread would take the job a moment later.
 */
static inline uint64_t pump_enqueue(hrt_runtime *runtime, hrt_client *local, const hrt_spec *spec)
{
    uint64_t ticket = 0;
    int64_t id = 0;
    REQUIRE(hrt_enqueue(local, spec, 1, PUMP_WAIT_NS, &ticket) == HRT_OK);
    while (hrt_wait(local, ticket + 1, PUMP_WAIT_NS) == HRT_ETIMEOUT) {
        hrt_dispatch_inline(runtime);
    }
    REQUIRE(hrt_replies(local, ticket, 1, &id) == HRT_OK);
    if (id <= 0) {
        printf("# enqueue: %s\n", hrt_status_name((int)id));
    }
    REQUIRE(id > 0);
    return (uint64_t)id;
}

#endif
