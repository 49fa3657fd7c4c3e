/* CHECKPOINT records: how often they come, and that a replay agrees with the hash they carry. */
#include "host.h"

#define SECOND_NS ((int64_t)1000000000)
#define NEVER_NS ((uint64_t)3600 * 1000000000)

enum { JOBS = 40, EVERY = 10 };

static void begin(host *h, uint32_t records, uint64_t interval_ns)
{
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .durability = HRT_DURABILITY_MEMORY,
                                   .max_attempts = 5,
                                   .max_crashes = 3};
    host_make(h);
    hrt_runtime_options options = host_options(h);
    options.checkpoint_records = records;
    options.checkpoint_ns = interval_ns;
    host_open(h, &options, &settings);
    host_start(h);
}

static uint64_t enqueue(host *h, uint64_t delay_ns)
{
    hrt_spec spec = {.kind = h->kind, .queue = h->queue, .delay_ns = delay_ns};
    int64_t id = 0;
    REQUIRE(hrt_enqueue_wait(h->local, &spec, 1, 10 * SECOND_NS, &id) == HRT_OK);
    REQUIRE(id > 0);
    return (uint64_t)id;
}

static void stop(host *h)
{
    host_stop(h);
    host_close(h);
}

typedef struct tally {
    uint32_t checkpoints;
    uint32_t hashed;
    uint64_t furthest;   /* most records from one checkpoint to the next */
    uint64_t before_due; /* checkpoints between the last ENQUEUE and the first DUE */
    uint8_t last_type;
} tally;

/* Reads the whole log and replays it; every hash in it has to be that of the replay. */
static tally read_log(const host *h)
{
    tally found = {0};
    hrt_scan *scan = NULL;
    hrt_replay *replay = NULL;
    const hrt_record *record = NULL;
    uint64_t last = 0;
    REQUIRE(hrt_scan_open(h->directory, &scan) == HRT_OK);
    REQUIRE(hrt_replay_new(&replay) == HRT_OK);
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        found.last_type = record->type;
        found.before_due = record->type == HRT_RECORD_ENQUEUE ? 0 : found.before_due;
        if (record->type == HRT_RECORD_CHECKPOINT) {
            const hrt_checkpoint_body *body = (const void *)(record + 1);
            uint64_t distance = record->sequence - last;
            found.furthest = distance > found.furthest ? distance : found.furthest;
            last = record->sequence;
            found.checkpoints++;
            found.before_due++;
            found.hashed += body->state_hash != 0;
            CHECK(body->state_hash == 0 || body->state_hash == hrt_replay_hash(replay));
            CHECK_EQ(body->jobs, hrt_replay_jobs(replay));
        }
        CHECK_EQ(hrt_replay_apply(replay, record, record->length), HRT_OK);
        if (record->type == HRT_RECORD_DUE) {
            break;
        }
    }
    hrt_replay_free(replay);
    hrt_scan_close(scan);
    return found;
}

static void one_comes_after_so_many_records(void)
{
    host h;
    begin(&h, EVERY, NEVER_NS);
    for (uint32_t i = 0; i < JOBS; i++) {
        (void)enqueue(&h, 0);
    }
    stop(&h);
    tally found = read_log(&h);
    CHECK(found.checkpoints >= JOBS / (EVERY + 1));
    CHECK(found.furthest <= 2 * EVERY); /* a group is not parted for it */
    CHECK_EQ(found.hashed, 1);          /* the last one */
    CHECK_EQ(found.last_type, HRT_RECORD_CHECKPOINT);
    scratch_remove();
}

/* Ready is what the delayed job becomes by a DUE record: time passes, and nothing else is written.
 */
static void a_quiet_log_gets_one_and_no_more(void)
{
    host h;
    hrt_job_info info = {0};
    begin(&h, 1000000, 2000000);
    uint64_t job = enqueue(&h, 100000000);
    AWAIT(hrt_runtime_job(h.runtime, job, &info) != HRT_OK || info.state == HRT_JOB_READY);
    CHECK_EQ(info.state, HRT_JOB_READY);
    stop(&h);
    tally found = read_log(&h);
    CHECK_EQ(found.before_due, 1);
    CHECK(found.hashed >= 1);
    scratch_remove();
}

int main(void)
{
    TAP_LIST(TEST(one_comes_after_so_many_records), TEST(a_quiet_log_gets_one_and_no_more));
}
