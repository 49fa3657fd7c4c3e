/* What the producer and the worker of hrt-bench share: options, the stamp, the histogram file. */
#ifndef HRT_BENCH_H
#define HRT_BENCH_H

#include <hybridrt/hybridrt.h>
#include <stdbool.h>
#include <stdio.h>

enum bench_limit {
    BENCH_BATCH_MAX = 256,
    BENCH_STAMP_SIZE = 8, /* little-endian CLOCK_MONOTONIC ns at the start of a payload; 0: none */
};

typedef struct bench_options {
    const char *kind;
    const char *queue;
    const char *out;       /* worker: where the histogram goes */
    const char *pool;      /* worker: NULL: from the environment */
    const char *directory; /* inside, restart, crash, takeover: of the log */
    uint64_t jobs;         /* producer: how many; 0: until `seconds` have passed */
    uint64_t rate;         /* producer: jobs a second; 0: as fast as it goes */
    uint64_t warmup;       /* producer: first jobs without a stamp */
    uint64_t gigabytes;    /* crash: of log */
    uint64_t backlog;      /* producer: pauses while more jobs than this are ready; 0: never */
    uint32_t size;         /* producer: bytes of a payload */
    uint32_t batch;        /* producer: jobs of one enqueue; worker: of one fetch */
    uint32_t seconds;      /* producer */
    uint32_t concurrency;  /* worker */
    uint32_t rounds;       /* takeover */
    uint8_t durability;    /* inside: enum hrt_durability */
    bool latency;          /* worker: record stamp to start */
    bool settled;          /* producer: wait for the end of each job and record enqueue to end */
    bool cold;             /* restart: the log is not in the page cache */
    bool snapshot;         /* restart, crash: from a snapshot; takeover: while one is written */
} bench_options;

typedef struct bench_histogram {
    uint64_t count;
    uint64_t buckets[HRT_HISTOGRAM_BUCKETS];
} bench_histogram;

uint64_t bench_now_ns(void); /* CLOCK_MONOTONIC: the same clock in both processes */
void bench_record(bench_histogram *histogram, uint64_t value_ns);
/* Writes {"count":n,"buckets":{"index":count}}. */
void bench_histogram_print(const bench_histogram *histogram, FILE *file);
/* Prints what failed and the library's sentence to stderr; returns 1, the exit status. */
int bench_fail(const char *what, int status);
/* Attaches or explains why not; NULL then. */
hrt_client *bench_attach(const char *name);

int bench_produce(const bench_options *options);
int bench_work(const bench_options *options);
int bench_inside(const bench_options *options);
int bench_restart(const bench_options *options);
int bench_crash(const bench_options *options);
int bench_takeover(const bench_options *options);
/* Enqueues options->jobs jobs of zeros, as fast as it goes. */
int bench_enqueue_all(hrt_client *client, const hrt_spec *like, const bench_options *options);
/* Produces over a client that is there already. */
int bench_feed(hrt_client *client, const bench_options *options);

#endif
