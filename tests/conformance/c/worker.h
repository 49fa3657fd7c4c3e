/*
 * A small worker on the C library: one thread fetches, some threads run handlers, one listens for
 * notices, one for signals. It stands where Go and Rust have their packages.
 */
#ifndef CONFORMANCE_WORKER_H
#define CONFORMANCE_WORKER_H

#include <hybridrt/hybridrt.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { WORKER_DATA_MAX = HRT_PAYLOAD_MAX, WORKER_FOLLOW_MAX = 64 };

/* What a handler gets, and what it fills for the settle. */
typedef struct worker_run {
    hrt_client *client;
    const hrt_job *job;
    atomic_bool *cancelled; /* true: stop soon */
    atomic_bool *stopping;  /* the program was told to stop; see worker_drains */
    uint8_t outcome;        /* preset: OK */
    uint64_t delay_ns;      /* preset: the queue's back-off */
    uint8_t *data;          /* room for WORKER_DATA_MAX bytes of result or reason */
    uint32_t length;
    hrt_spec follow[WORKER_FOLLOW_MAX];
    uint32_t follow_count;
} worker_run;

typedef void (*worker_handler)(worker_run *run);

typedef struct worker_kind {
    const char *name;
    worker_handler handler;
} worker_kind;

/* Whether the worker was told to stop: what takes long may save what it has, and say RETURNED. */
bool worker_drains(const worker_run *run);
/* Attaches, registers, works until told to stop, hands back what has not begun, detaches. */
int worker_main(const worker_kind *kinds, uint32_t kind_count, uint32_t concurrency);

#endif
