/* Clock, histogram and error sentences of hrt-bench. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define STEP_TIMEOUT_NS ((int64_t)30000000000)

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void bench_record(bench_histogram *histogram, uint64_t value_ns)
{
    histogram->count++;
    histogram->buckets[hrt_histogram_bucket(value_ns)]++;
}

void bench_histogram_print(const bench_histogram *histogram, FILE *file)
{
    (void)fprintf(file, "{\"count\":%" PRIu64 ",\"buckets\":{", histogram->count);
    const char *comma = "";
    for (uint32_t i = 0; i < HRT_HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        (void)fprintf(file, "%s\"%" PRIu32 "\":%" PRIu64, comma, i, histogram->buckets[i]);
        comma = ",";
    }
    (void)fprintf(file, "}}");
}

int bench_fail(const char *what, int status)
{
    char sentence[512];
    (void)hrt_last_error(sentence, sizeof sentence);
    (void)fprintf(stderr, "hrt-bench: %s: %s (%s): %s\n", what, hrt_status_name(status),
                  hrt_strerror(status), sentence);
    return 1;
}

hrt_client *bench_attach(const char *name)
{
    const hrt_attach_options options = {
        .struct_size = sizeof options,
        .abi_version = HRT_ABI_VERSION,
        .name = name,
    };
    hrt_client *client = NULL;
    const int status = hrt_attach(&options, &client);
    if (status != HRT_OK) {
        (void)bench_fail("cannot attach", status);
        return NULL;
    }
    return client;
}

int bench_enqueue_all(hrt_client *client, const hrt_spec *like, const bench_options *options)
{
    int status = HRT_OK;
    uint8_t *payloads = calloc(options->batch, options->size);
    if (payloads == NULL)
        return HRT_ENOMEM;
    for (uint64_t sent = 0; sent < options->jobs && status == HRT_OK;) {
        const uint64_t left = options->jobs - sent;
        const uint32_t count = left < options->batch ? (uint32_t)left : options->batch;
        uint64_t first;
        uint32_t done = 0;
        status = hrt_enqueue_packed(client, like, payloads, NULL, options->size, count,
                                    STEP_TIMEOUT_NS, &first, &done);
        sent += done;
    }
    free(payloads);
    return status;
}
