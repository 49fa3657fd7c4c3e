/*
 * A process that is meant to be killed on its way: it opens a log, appends groups over several
 * segments, retires the oldest ones, and writes into shared memory what it was promised. Whoever
 * killed it checks afterwards that the log keeps these promises and can be gone on with.
 */
#ifndef HRT_LOG_JOURNEY_H
#define HRT_LOG_JOURNEY_H

#include "log_fixture.h"

#include <sys/mman.h>

enum {
    JOURNEY_RECORDS = 3, /* in a group */
    JOURNEY_IDS = 320,   /* in a record: nine groups fill a segment */
    JOURNEY_GROUPS = 32,
    JOURNEY_SYNC_EVERY = 3,
    JOURNEY_SEGMENTS = 4096, /* segment numbers that can be told apart */
};

/* Survives its process: what a reopened log has to hold. */
typedef struct promise {
    uint64_t sealed;      /* sequence: every record up to it was written */
    uint64_t durable;     /* position that was synced */
    uint64_t needed_from; /* sequence: records below it were given up */
    uint64_t epochs;
    uint64_t segments_begun;
    uint64_t segments_retired;
    uint64_t first_in[JOURNEY_SEGMENTS]; /* sequence of a segment's first record */
} promise;

static inline promise *journey_promise(void)
{
    promise *made =
        mmap(NULL, sizeof(promise), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(made != MAP_FAILED);
    return made;
}

/* Page cache outlives a process wherever the files lie, so memory will do, and is quicker. */
static inline void journey_make(fixture *f)
{
    fixture_make(f);
    if (getenv("LONG") == NULL && access("/dev/shm", W_OK) == 0) {
        REQUIRE(rmdir(f->directory) == 0);
        (void)snprintf(f->directory, sizeof(f->directory), "/dev/shm/hrt_log_XXXXXX");
        REQUIRE(mkdtemp(f->directory) != NULL);
        memcpy(fixture_left, f->directory, sizeof(fixture_left));
    }
    f->options.segments_max = 6;
}

static inline void journey_note_segment(const fixture *f, promise *promised, uint64_t first)
{
    uint64_t number = hrt_log_current(f->log);
    REQUIRE(number < JOURNEY_SEGMENTS);
    if (promised->first_in[number] == 0) {
        promised->first_in[number] = first;
        promised->segments_begun++;
    }
}

static inline void journey_retire(fixture *f, promise *promised, bool must_sync)
{
    uint64_t oldest = hrt_log_oldest(f->log);
    if (hrt_log_room_now(f->log).tight && oldest < hrt_log_current(f->log)) {
        /* Before the call: from then on the file may be written over at any time. */
        promised->needed_from = promised->first_in[oldest + 1];
        REQUIRE(hrt_log_retire(f->log, hrt_log_tail(f->log), must_sync) == HRT_OK);
        promised->segments_retired++;
    }
}

/* Each record carries the sequence of the first one of its group. */
static inline void journey_append(fixture *f, promise *promised, uint32_t groups)
{
    for (uint32_t i = 0; i < groups; i++) {
        size_t span = JOURNEY_RECORDS * hrt_record_span(72 + 10 * JOURNEY_IDS);
        REQUIRE(hrt_log_reserve(f->log, span, HRT_LOG_OLD_WORK) == HRT_OK);
        uint64_t first = hrt_log_next_sequence(f->log);
        REQUIRE(fixture_group(f, JOURNEY_RECORDS, JOURNEY_IDS, first) == HRT_OK);
        promised->sealed = first + JOURNEY_RECORDS - 1;
        journey_note_segment(f, promised, first);
        if (i % JOURNEY_SYNC_EVERY == 0) {
            fixture_sync(f);
            promised->durable = hrt_log_tail(f->log);
        }
        journey_retire(f, promised, i % 2 == 0);
    }
}

static inline void journey_begin(fixture *f, promise *promised)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    uint64_t first = hrt_log_next_sequence(f->log);
    REQUIRE(fixture_epoch(f, false) == HRT_OK);
    promised->epochs++;
    promised->sealed = first;
    journey_note_segment(f, promised, first);
    REQUIRE(hrt_log_start(f->log) == HRT_OK);
}

/* The whole way of a process: open, append, retire, close. */
static inline void journey_run(fixture *f, promise *promised)
{
    journey_begin(f, promised);
    journey_append(f, promised, JOURNEY_GROUPS);
    fixture_close(f);
}

static inline int journey_visit(void *context, const hrt_record *record)
{
    if (record->type == HRT_RECORD_LEASE) {
        const hrt_lease_body *lease = hrt_record_body(record);
        CHECK(record->sequence - lease->client < JOURNEY_RECORDS);
    }
    return fixture_visit(context, record);
}

/* Opens what a killed process left; leaves it open for writing. */
static inline void journey_check(fixture *f, const promise *promised)
{
    f->visited = f->first = f->last = f->sum = 0;
    int status = hrt_log_open(&f->options, journey_visit, f, &f->log, &f->recovery, &f->report);
    CHECK_EQ(status, HRT_OK);
    if (status != HRT_OK) {
        printf("# %s\n", f->report.text);
        return;
    }
    /* A thread may have been amid its write: then the last group is torn, and was never sealed. */
    CHECK(f->report.damage == HRT_DAMAGE_NONE || f->report.damage == HRT_DAMAGE_TORN);
    CHECK(f->last >= promised->sealed);
    CHECK(f->last <= promised->sealed + JOURNEY_RECORDS + 1); /* one group and a PAD on the way */
    CHECK(f->visited == 0 || f->first <= (promised->needed_from == 0 ? 1 : promised->needed_from));
    CHECK(hrt_log_tail(f->log) >= promised->durable);
}

/* The log is as good as any other: it takes more records, and they are there later. */
static inline void journey_go_on(fixture *f, promise *promised)
{
    hrt_log_close(f->log);
    journey_begin(f, promised);
    journey_append(f, promised, JOURNEY_GROUPS / 3);
    fixture_close(f);
    journey_check(f, promised);
    CHECK_EQ(f->last, promised->sealed);
    fixture_close(f);
}

#endif
