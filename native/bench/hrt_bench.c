/*
 * hrt-bench: the producer and the worker that `hybridrt bench` measures with, in C.
 *
 *   hrt-bench produce --kind bench.noop --queue bench --size 64 --jobs N [--rate R] [--settled]
 *   hrt-bench work [--latency --out FILE]
 *   hrt-bench inside --directory LOG --out FILE --jobs N --rate R [--durability sync]
 *   hrt-bench restart --directory LOG --jobs N --size BYTES [--cold] [--snapshot]
 *   hrt-bench crash --directory LOG --jobs N --size BYTES --gigabytes N [--snapshot]
 *   hrt-bench takeover --directory LOG --jobs N --size BYTES [--rounds N]
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
    USAGE = 2,
    SIZE_DEFAULT = 64,
    BACKLOG_DEFAULT = 5000, /* what waits without a limit fills the log, and measures memory */
};

static const char usage_text[] =
    "usage: hrt-bench produce [--kind K] [--queue Q] [--size BYTES] [--jobs N | --seconds S]\n"
    "                         [--rate PER_SECOND] [--batch N] [--warmup N] [--backlog N]\n"
    "                         [--settled]\n"
    "       hrt-bench work    [--kind K] [--batch N] [--concurrency N] [--pool NAME]\n"
    "                         [--latency --out FILE]\n"
    "       hrt-bench inside  --directory LOG [--durability memory|async|sync] [--out FILE]\n"
    "                         and the options of produce: both ends, the runtime in this process\n"
    "       hrt-bench restart --directory LOG --jobs N [--size BYTES] [--cold] [--snapshot]\n"
    "       hrt-bench crash --directory LOG --jobs N --gigabytes N [--size BYTES] [--snapshot]\n"
    "       hrt-bench takeover --directory LOG --jobs N [--size BYTES] [--rounds N] [--snapshot]\n"
    "                         fills a new log, then opens it again and again\n"
    "Both attach to $HYBRIDRT_ATTACH or $HYBRIDRT_SOCKET.\n";

static const struct option long_options[] = {
    {"backlog", required_argument, NULL, 'b'},
    {"batch", required_argument, NULL, 'n'},
    {"cold", no_argument, NULL, 'x'},
    {"concurrency", required_argument, NULL, 'c'},
    {"directory", required_argument, NULL, 'd'},
    {"durability", required_argument, NULL, 'y'},
    {"gigabytes", required_argument, NULL, 'g'},
    {"jobs", required_argument, NULL, 'j'},
    {"kind", required_argument, NULL, 'k'},
    {"latency", no_argument, NULL, 'l'},
    {"out", required_argument, NULL, 'o'},
    {"pool", required_argument, NULL, 'p'},
    {"queue", required_argument, NULL, 'q'},
    {"rate", required_argument, NULL, 'r'},
    {"rounds", required_argument, NULL, 't'},
    {"seconds", required_argument, NULL, 's'},
    {"settled", no_argument, NULL, 'e'},
    {"size", required_argument, NULL, 'z'},
    {"snapshot", no_argument, NULL, 'a'},
    {"warmup", required_argument, NULL, 'w'},
    {NULL, 0, NULL, 0},
};

/* A whole number from lowest to highest; exits with a sentence when `text` is none. */
static uint64_t number(const char *text, uint64_t lowest, uint64_t highest)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || value < lowest || value > highest) {
        (void)fprintf(stderr, "hrt-bench: %s is not a number from %llu to %llu\n", text,
                      (unsigned long long)lowest, (unsigned long long)highest);
        exit(USAGE);
    }
    return value;
}

static uint8_t durability(const char *text)
{
    static const char *const names[] = {"sync", "async", "memory"};
    for (uint8_t value = 0; value < sizeof names / sizeof *names; value++)
        if (strcmp(text, names[value]) == 0)
            return value;
    (void)fprintf(stderr, "hrt-bench: %s is not memory, async or sync\n", text);
    exit(USAGE);
}

static void read_text_option(bench_options *options, int option, const char *text)
{
    switch (option) {
    case 'k':
        options->kind = text;
        break;
    case 'q':
        options->queue = text;
        break;
    case 'o':
        options->out = text;
        break;
    case 'p':
        options->pool = text;
        break;
    case 'd':
        options->directory = text;
        break;
    case 'y':
        options->durability = durability(text);
        break;
    case 'l':
        options->latency = true;
        break;
    case 'e':
        options->settled = true;
        break;
    case 'x':
        options->cold = true;
        break;
    case 'a':
        options->snapshot = true;
        break;
    default:
        (void)fputs(usage_text, stderr);
        exit(USAGE);
    }
}

static void read_option(bench_options *options, int option, const char *text)
{
    switch (option) {
    case 'b':
        options->backlog = number(text, 0, UINT64_MAX);
        break;
    case 'n':
        options->batch = (uint32_t)number(text, 1, BENCH_BATCH_MAX);
        break;
    case 'c':
        options->concurrency = (uint32_t)number(text, 1, HRT_CREDIT_MAX);
        break;
    case 'g':
        options->gigabytes = number(text, 1, 1000);
        break;
    case 'j':
        options->jobs = number(text, 1, UINT32_MAX);
        break;
    case 'r':
        options->rate = number(text, 0, 100000000);
        break;
    case 't':
        options->rounds = (uint32_t)number(text, 1, 1000);
        break;
    case 's':
        options->seconds = (uint32_t)number(text, 1, 86400);
        break;
    case 'w':
        options->warmup = number(text, 0, UINT32_MAX);
        break;
    case 'z':
        options->size = (uint32_t)number(text, BENCH_STAMP_SIZE, HRT_PAYLOAD_MAX);
        break;
    default:
        read_text_option(options, option, text);
    }
}

int main(int argc, char **argv)
{
    bench_options options = {
        .kind = "bench.noop",
        .queue = "bench",
        .size = SIZE_DEFAULT,
        .batch = BENCH_BATCH_MAX,
        .concurrency = 1,
        .durability = HRT_DURABILITY_MEMORY,
        .backlog = BACKLOG_DEFAULT,
    };
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        read_option(&options, option, optarg);
    if (optind + 1 != argc) {
        (void)fputs(usage_text, stderr);
        return USAGE;
    }
    if (strcmp(argv[optind], "work") == 0)
        return bench_work(&options);
    if (strcmp(argv[optind], "inside") == 0 && options.directory != NULL && options.jobs > 0)
        return bench_inside(&options);
    if (strcmp(argv[optind], "restart") == 0 && options.directory != NULL && options.jobs > 0)
        return bench_restart(&options);
    if (strcmp(argv[optind], "crash") == 0 && options.directory != NULL && options.jobs > 0 &&
        options.gigabytes > 0)
        return bench_crash(&options);
    if (strcmp(argv[optind], "takeover") == 0 && options.directory != NULL && options.jobs > 0)
        return bench_takeover(&options);
    if (strcmp(argv[optind], "produce") == 0 && (options.jobs > 0 || options.seconds > 0))
        return bench_produce(&options);
    (void)fputs(usage_text, stderr);
    return USAGE;
}
