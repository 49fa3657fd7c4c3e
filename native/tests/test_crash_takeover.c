/*
 * A standby is killed at its system calls while it takes over: entries wait in the lanes, a job is
 * under lease and its settle is on the way. The next one that takes over finds each entry once.
 * Every fifth stop; LONG=1: every one.
 */
#include "host.h"
#include "record.h"
#include "relay.h"
#include "tracer.h"

#include <sys/syscall.h>

enum { SEGMENTS = 64, SAMPLE = 5, STOPS_MAX = 100000, ROUND_JOBS = 3, JOBS_MAX = 1 << 20 };

typedef struct stage {
    relay r;
    hrt_client *producer;
    hrt_client *worker;
    host host;
    hrt_job held;
    uint32_t sent;
    uint32_t settled;
    int64_t ids[JOBS_MAX];
} stage;

/* In a process of its own: takes over, and lets go again. */
static void take_over_and_leave(void *context)
{
    const stage *s = context;
    hrt_standby *standby = relay_standby(&s->r);
    hrt_runtime *runtime = NULL;
    if (hrt_standby_run(standby) == HRT_ECLOSED &&
        hrt_standby_take_over(standby, RELAY_SECOND_NS, &runtime) == HRT_OK &&
        hrt_runtime_release(runtime) == HRT_OK) {
        return;
    }
    _exit(1);
}

static void settle_held(stage *s)
{
    if (s->held.id != 0) {
        const hrt_settlement end = {
            .job = s->held.id, .token = s->held.token, .outcome = HRT_OUTCOME_OK};
        CHECK_EQ(hrt_settle(s->worker, &end, 1), HRT_OK);
        s->settled++;
    }
}

/* While nobody is there: a settle, then some jobs. Returns the ticket of the first. */
static uint64_t submit(stage *s)
{
    uint32_t numbers[ROUND_JOBS][2];
    hrt_spec specs[ROUND_JOBS] = {0};
    uint64_t first = 0;
    settle_held(s);
    for (uint32_t i = 0; i < ROUND_JOBS; i++) {
        numbers[i][0] = s->sent + i;
        numbers[i][1] = 0;
        specs[i].payload = numbers[i];
        specs[i].payload_length = sizeof(numbers[i]);
    }
    CHECK_EQ(hrt_enqueue(s->producer, specs, ROUND_JOBS, RELAY_SECOND_NS, &first), HRT_OK);
    return first;
}

/* The next runtime answers, and leases the next job. */
static void go_on(stage *s, uint64_t first)
{
    uint32_t count = 0;
    hrt_standby *standby = relay_standby(&s->r);
    CHECK_EQ(hrt_standby_run(standby), HRT_ECLOSED);
    REQUIRE(hrt_standby_take_over(standby, RELAY_SECOND_NS, &s->host.runtime) == HRT_OK);
    hrt_runtime_standby(s->host.runtime, 1);
    host_start(&s->host);
    CHECK_EQ(hrt_wait(s->producer, first + ROUND_JOBS, 20 * RELAY_SECOND_NS), HRT_OK);
    CHECK_EQ(hrt_replies(s->producer, first, ROUND_JOBS, s->ids + s->sent), HRT_OK);
    s->sent += ROUND_JOBS;
    uint64_t before = s->held.id;
    CHECK_EQ(hrt_fetch(s->worker, &s->held, 1, 20 * RELAY_SECOND_NS, &count), HRT_OK);
    CHECK(count == 1 && s->held.id > before);
    hrt_job_started(&s->held);
    host_stop(&s->host);
    CHECK_EQ(hrt_runtime_release(s->host.runtime), HRT_OK);
}

static void begin(stage *s)
{
    static const char *const kinds[] = {"relay.job"};
    const hrt_register_options served = {
        .kinds = kinds, .kind_count = 1, .concurrency = 1, .credit = 1, .language = "c"};
    relay_begin(&s->r, SEGMENTS);
    s->producer = relay_attach(&s->r, 0);
    s->worker = relay_attach(&s->r, RELAY_PRODUCERS);
    REQUIRE(s->producer != NULL && s->worker != NULL);
    REQUIRE(hrt_register(s->worker, &served) == HRT_OK);
}

static void check_log(const stage *s)
{
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    uint32_t found = 0;
    uint32_t settled = 0;
    REQUIRE(hrt_scan_open(s->r.directory, &scan) == HRT_OK);
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        if (record->type == HRT_RECORD_ENQUEUE) {
            uint32_t number = 0;
            memcpy(&number, (const uint8_t *)record + hrt_record_parts(record).payload,
                   sizeof(number));
            CHECK_EQ(number, found); /* each once, in order */
            CHECK_EQ(record->sequence, s->ids[found]);
            found++;
        }
        settled += record->type == HRT_RECORD_SETTLE ? record->count : 0;
    }
    hrt_scan_close(scan);
    CHECK_EQ(s->r.page->runtime.recycled, 0);
    CHECK_EQ(found, s->sent);
    CHECK_EQ(settled, s->settled);
    CHECK_EQ(s->r.page->runtime.refused, 0);
}

static stage *new_stage(void)
{
    stage *s = calloc(1, sizeof(*s));
    REQUIRE(s != NULL);
    begin(s);
    return s;
}

static void end_stage(stage *s)
{
    hrt_detach(s->producer);
    hrt_detach(s->worker);
    check_log(s);
    relay_end(&s->r);
    free(s);
}

/* The instant at which the log has a group and the lanes do not say so yet. */
static void a_takeover_is_killed_right_after_each_write(void)
{
    stage *s = new_stage();
    uint32_t writes = 0;
    bool killed = true;
    while (killed && writes < STOPS_MAX && tap_failures == 0) {
        uint64_t first = submit(s);
        killed = tracer_kill_after(SYS_pwrite64, writes, take_over_and_leave, s);
        go_on(s, first);
        writes += killed;
    }
    printf("# %u writes\n", writes);
    CHECK(writes > 0);
    end_stage(s);
}

static void a_takeover_is_killed_at_each_system_call(void)
{
    stage *s = new_stage();
    const char *text = getenv("LONG");
    uint64_t step = text != NULL && text[0] == '1' ? 1 : SAMPLE;
    uint64_t stop = 0;
    bool killed = true;
    while (killed && stop < STOPS_MAX && tap_failures == 0) {
        uint64_t first = submit(s);
        killed = tracer_kill_at(stop, take_over_and_leave, s);
        go_on(s, first);
        stop += step;
    }
    printf("# %" PRIu64 " stops, %u jobs\n", stop, s->sent);
    CHECK(stop > 100);
    end_stage(s);
}

int main(void)
{
    TAP_LIST(TEST(a_takeover_is_killed_right_after_each_write),
             TEST(a_takeover_is_killed_at_each_system_call));
}
