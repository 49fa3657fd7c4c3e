/* The scheduler on a state fed by hand, with clocks that are plain numbers. */
#include "scheduler.h"

#include "records.h"

enum { BATCH = 256, MILLISECOND = 1000000 };

typedef struct test_bench {
    history *log;
    hrt_scheduler *scheduler;
    uint32_t lane; /* of the last pick */
    uint64_t jobs[BATCH];
} test_bench;

static test_bench new_bench(void)
{
    test_bench made = {.log = new_history()};
    made.scheduler = hrt_scheduler_new(made.log->state, 42);
    REQUIRE(made.scheduler != NULL);
    return made;
}

static void free_bench(test_bench *bench)
{
    hrt_scheduler_free(bench->scheduler);
    free_history(bench->log);
}

static void serve(test_bench *bench, uint32_t lane, uint64_t kinds, uint32_t concurrency,
                  uint32_t credit)
{
    hrt_appetite appetite = {.incarnation = 100 + lane,
                             .kinds = {kinds},
                             .concurrency = concurrency,
                             .credit_fixed = credit};
    hrt_scheduler_serve(bench->scheduler, lane, &appetite);
}

/* Picks and leases, as dispatch does. */
static uint32_t pick(test_bench *bench, uint32_t max)
{
    uint32_t count = hrt_scheduler_pick(bench->scheduler, &bench->lane, bench->jobs, max);
    if (count > 0) {
        const hrt_state_job *first = hrt_state_find(bench->log->state, bench->jobs[0]);
        hrt_scheduler_leased(bench->scheduler, bench->lane, count, first->suspect);
        (void)lease(bench->log, 100 + bench->lane, bench->jobs, count);
    }
    return count;
}

static void end_job(test_bench *bench, uint32_t lane, uint64_t job, uint8_t outcome,
                    uint64_t boot_ns)
{
    bool suspect = hrt_state_find(bench->log->state, job)->suspect;
    settle(bench->log, job, outcome, 0);
    hrt_scheduler_released(bench->scheduler, lane, 1, suspect, boot_ns);
}

static uint64_t make_suspect(test_bench *bench, new_job job)
{
    uint64_t id = enqueue(bench->log, job);
    lease_one(bench->log, id);
    settle(bench->log, id, HRT_OUTCOME_CRASHED, 0);
    return id;
}

static void nothing_is_picked_without_jobs_or_lanes(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 4, 0);
    CHECK_EQ(pick(&bench, BATCH), 0);
    hrt_scheduler_leave(bench.scheduler, 0);
    enqueue(bench.log, (new_job){0});
    CHECK_EQ(pick(&bench, BATCH), 0);
    serve(&bench, 0, 2, 4, 0);
    CHECK_EQ(pick(&bench, BATCH), 0);
    serve(&bench, 1, 1, 4, 0);
    CHECK_EQ(pick(&bench, BATCH), 1);
    CHECK_EQ(bench.lane, 1);
    free_bench(&bench);
}

static void jobs_go_in_order_across_the_kinds_of_a_lane(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 3, 64, 64);
    uint64_t jobs[20];
    for (uint16_t i = 0; i < 20; i++) {
        jobs[i] = enqueue(bench.log, (new_job){.kind = (uint16_t)(i / 3 % 2)});
    }
    CHECK_EQ(pick(&bench, 7), 7);
    CHECK(memcmp(bench.jobs, jobs, 7 * sizeof(jobs[0])) == 0);
    CHECK_EQ(pick(&bench, BATCH), 13);
    CHECK(memcmp(bench.jobs, jobs + 7, 13 * sizeof(jobs[0])) == 0);
    free_bench(&bench);
}

static void a_lane_gets_no_more_than_its_credit(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 2, 5);
    for (uint32_t i = 0; i < 20; i++) {
        enqueue(bench.log, (new_job){0});
    }
    CHECK_EQ(pick(&bench, BATCH), 5);
    CHECK_EQ(pick(&bench, BATCH), 0);
    end_job(&bench, 0, bench.jobs[0], HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 1);
    hrt_scheduler_draining(bench.scheduler, 0);
    end_job(&bench, 0, bench.jobs[0], HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 0);
    free_bench(&bench);
}

static void idle_handlers_come_before_free_credit(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 2, 100);
    serve(&bench, 1, 1, 2, 100);
    for (uint32_t i = 0; i < 4; i++) {
        enqueue(bench.log, (new_job){0});
    }
    while (pick(&bench, BATCH) > 0) {
        CHECK(bench.lane <= 1);
    }
    CHECK_EQ(hrt_scheduler_appetite(bench.scheduler, 0)->outstanding, 2);
    CHECK_EQ(hrt_scheduler_appetite(bench.scheduler, 1)->outstanding, 2);
    free_bench(&bench);
}

static void queues_share_by_weight(void)
{
    test_bench bench = new_bench();
    hrt_queue_settings settings = plain_settings("block");
    settings.weight = 3;
    declare_queue(bench.log, 0, &settings);
    serve(&bench, 0, 1, 1000, 1000);
    for (uint32_t i = 0; i < 400; i++) {
        enqueue(bench.log, (new_job){.queue = (uint16_t)(i % 2)});
    }
    uint32_t taken[2] = {0};
    for (uint32_t turn = 0; turn < 10; turn++) {
        CHECK_EQ(pick(&bench, 16), 16);
        for (uint32_t i = 0; i < 16; i++) {
            taken[hrt_state_find(bench.log->state, bench.jobs[i])->queue]++;
        }
    }
    CHECK_EQ(taken[0], 120);
    CHECK_EQ(taken[1], 40);
    free_bench(&bench);
}

static void an_idle_queue_saves_up_no_share(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 2000, 2000);
    for (uint32_t i = 0; i < 600; i++) {
        enqueue(bench.log, (new_job){.queue = 0});
    }
    CHECK_EQ(pick(&bench, BATCH), BATCH);
    for (uint32_t i = 0; i < 200; i++) {
        enqueue(bench.log, (new_job){.queue = 1});
    }
    uint32_t late = 0;
    CHECK_EQ(pick(&bench, 100), 100);
    for (uint32_t i = 0; i < 100; i++) {
        late += hrt_state_find(bench.log->state, bench.jobs[i])->queue;
    }
    CHECK(late >= 45 && late <= 55);
    free_bench(&bench);
}

static void paused_queues_and_limits_are_held(void)
{
    test_bench bench = new_bench();
    hrt_queue_settings settings = plain_settings("block");
    settings.max_running = 3;
    declare_queue(bench.log, 0, &settings);
    serve(&bench, 0, 1, 100, 100);
    for (uint32_t i = 0; i < 10; i++) {
        enqueue(bench.log, (new_job){.queue = 0});
        enqueue(bench.log, (new_job){.queue = 1});
    }
    pause_queue(bench.log, 1, HRT_CONTROL_PAUSE);
    CHECK_EQ(pick(&bench, BATCH), 3);
    uint64_t first = bench.jobs[0];
    CHECK_EQ(pick(&bench, BATCH), 0);
    end_job(&bench, 0, first, HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 1);
    pause_queue(bench.log, 1, HRT_CONTROL_RESUME);
    CHECK_EQ(pick(&bench, BATCH), 10);
    free_bench(&bench);
}

static void one_job_of_a_key_is_picked_at_a_time(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 100, 100);
    uint64_t keyed[3];
    for (uint32_t i = 0; i < 3; i++) {
        keyed[i] = enqueue(bench.log, (new_job){.key = "k"});
    }
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(pick(&bench, BATCH), 1);
        CHECK_EQ(bench.jobs[0], keyed[i]);
        CHECK_EQ(pick(&bench, BATCH), 0);
        end_job(&bench, 0, keyed[i], HRT_OUTCOME_OK, 0);
    }
    free_bench(&bench);
}

static void a_suspect_runs_alone_on_an_empty_lane(void)
{
    test_bench bench = new_bench();
    uint64_t suspect = make_suspect(&bench, (new_job){0});
    serve(&bench, 0, 1, 4, 4);
    serve(&bench, 1, 1, 4, 4);
    for (uint32_t i = 0; i < 8; i++) {
        enqueue(bench.log, (new_job){0});
    }
    CHECK_EQ(pick(&bench, BATCH), 1);
    CHECK_EQ(bench.jobs[0], suspect);
    uint32_t alone = bench.lane;
    CHECK_EQ(pick(&bench, BATCH), 4);
    CHECK(bench.lane != alone);
    CHECK_EQ(pick(&bench, BATCH), 0);
    end_job(&bench, alone, suspect, HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 4);
    CHECK_EQ(bench.lane, alone);
    free_bench(&bench);
}

static void a_busy_lane_is_emptied_for_a_suspect(void)
{
    test_bench bench = new_bench();
    uint64_t held[6];
    serve(&bench, 0, 1, 3, 3);
    serve(&bench, 1, 1, 3, 3);
    for (uint32_t i = 0; i < 6; i++) {
        enqueue(bench.log, (new_job){0});
    }
    CHECK_EQ(pick(&bench, BATCH), 3);
    memcpy(held + 3 * bench.lane, bench.jobs, 3 * sizeof(held[0]));
    CHECK_EQ(pick(&bench, BATCH), 3);
    memcpy(held + 3 * bench.lane, bench.jobs, 3 * sizeof(held[0]));
    uint64_t suspect = make_suspect(&bench, (new_job){0});
    for (uint32_t i = 0; i < 6; i++) {
        enqueue(bench.log, (new_job){0});
    }
    end_job(&bench, 0, held[0], HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 0); /* lane 0 is being emptied, lane 1 is full */
    end_job(&bench, 1, held[3], HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 1); /* the others go on */
    CHECK_EQ(bench.lane, 1);
    end_job(&bench, 0, held[1], HRT_OUTCOME_OK, 0);
    end_job(&bench, 0, held[2], HRT_OUTCOME_OK, 0);
    CHECK_EQ(pick(&bench, BATCH), 1);
    CHECK_EQ(bench.jobs[0], suspect);
    CHECK_EQ(bench.lane, 0);
    CHECK(hrt_scheduler_appetite(bench.scheduler, 0)->exclusive);
    free_bench(&bench);
}

static void suspects_leave_half_of_the_lanes_to_the_others(void)
{
    test_bench bench = new_bench();
    for (uint32_t lane = 0; lane < 4; lane++) {
        serve(&bench, lane, 1, 2, 2);
    }
    for (uint32_t i = 0; i < 6; i++) {
        (void)make_suspect(&bench, (new_job){0});
    }
    for (uint32_t i = 0; i < 20; i++) {
        enqueue(bench.log, (new_job){0});
    }
    uint32_t exclusive = 0;
    while (pick(&bench, BATCH) > 0) {
        exclusive += hrt_scheduler_appetite(bench.scheduler, bench.lane)->exclusive;
    }
    CHECK_EQ(exclusive, 2);
    CHECK_EQ(hrt_state_running(bench.log->state, 0), 2 + 4);
    free_bench(&bench);
}

static void credit_follows_the_pace_of_a_lane(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 4, 0);
    const hrt_appetite *lane = hrt_scheduler_appetite(bench.scheduler, 0);
    uint64_t boot_ns = 50ull * SECOND;
    hrt_scheduler_leased(bench.scheduler, 0, 4, false);
    hrt_scheduler_released(bench.scheduler, 0, 4, false, boot_ns);
    CHECK_EQ(lane->credit, 4);
    for (uint32_t step = 0; step < 20; step++) {
        boot_ns += MILLISECOND / 4;
        hrt_scheduler_leased(bench.scheduler, 0, lane->credit, false);
        hrt_scheduler_released(bench.scheduler, 0, lane->credit, false, boot_ns);
    }
    CHECK_EQ(lane->credit, HRT_CREDIT_MAX);
    for (uint32_t step = 0; step < 40; step++) {
        boot_ns += 3 * MILLISECOND;
        hrt_scheduler_leased(bench.scheduler, 0, 30, false);
        hrt_scheduler_released(bench.scheduler, 0, 30, false, boot_ns);
    }
    CHECK_EQ(lane->credit, 20);
    for (uint32_t step = 0; step < 40; step++) {
        boot_ns += 500ull * MILLISECOND;
        hrt_scheduler_leased(bench.scheduler, 0, 1, false);
        hrt_scheduler_released(bench.scheduler, 0, 1, false, boot_ns);
    }
    CHECK_EQ(lane->credit, 4);
    free_bench(&bench);
}

static hrt_settle_entry judged(test_bench *bench, uint64_t job, uint8_t outcome, uint64_t delay_ns)
{
    hrt_settle_entry entry = {.job = job};
    hrt_scheduler_judge(bench->scheduler, hrt_state_find(bench->log->state, job), outcome, delay_ns,
                        bench->log->now_ns, &entry);
    return entry;
}

static void a_slow_log_does_not_starve_a_quick_lane(void)
{
    test_bench bench = new_bench();
    serve(&bench, 0, 1, 1, 0);
    const hrt_appetite *lane = hrt_scheduler_appetite(bench.scheduler, 0);
    uint64_t boot_ns = 50ull * SECOND;
    for (uint32_t step = 0; step < 40; step++) {
        boot_ns += 5 * MILLISECOND; /* one sync: all that it holds is settled in each */
        hrt_scheduler_delayed(bench.scheduler, 0, 5 * MILLISECOND);
        hrt_scheduler_leased(bench.scheduler, 0, lane->credit, false);
        hrt_scheduler_released(bench.scheduler, 0, lane->credit, false, boot_ns);
    }
    CHECK_EQ(lane->credit, HRT_CREDIT_MAX);
    free_bench(&bench);
}

static void failures_back_off_and_end_with_the_attempts(void)
{
    test_bench bench = new_bench();
    uint64_t now_ns = bench.log->now_ns;
    uint64_t job = enqueue(bench.log, (new_job){.max_attempts = 4});
    for (uint64_t attempt = 1; attempt <= 3; attempt++) {
        lease_one(bench.log, job);
        uint64_t most_ns = 0;
        for (uint32_t i = 0; i < 200; i++) {
            hrt_settle_entry entry = judged(&bench, job, HRT_OUTCOME_RETRY, UINT64_MAX);
            CHECK_EQ(entry.outcome, HRT_OUTCOME_RETRY);
            uint64_t delay_ns = entry.due_ns - now_ns;
            most_ns = delay_ns > most_ns ? delay_ns : most_ns;
        }
        uint64_t window_ns = (100ull * MILLISECOND) << (attempt - 1);
        CHECK(most_ns <= window_ns && most_ns > window_ns / 2);
        CHECK_EQ(judged(&bench, job, HRT_OUTCOME_TIMEOUT, 7).due_ns, now_ns + 7);
        settle(bench.log, job, HRT_OUTCOME_RETRY, 0);
    }
    lease_one(bench.log, job);
    hrt_settle_entry last = judged(&bench, job, HRT_OUTCOME_TIMEOUT, 0);
    CHECK_EQ(last.outcome, HRT_OUTCOME_DEAD);
    CHECK_EQ(last.cause, HRT_OUTCOME_TIMEOUT);
    CHECK_EQ(judged(&bench, job, HRT_OUTCOME_LOST, 0).outcome, HRT_OUTCOME_LOST);
    CHECK_EQ(judged(&bench, job, HRT_OUTCOME_SNOOZE, 9).due_ns, now_ns + 9);
    free_bench(&bench);
}

static void crashes_end_in_a_dead_letter(void)
{
    test_bench bench = new_bench();
    uint64_t now_ns = bench.log->now_ns;
    uint64_t job = enqueue(bench.log, (new_job){.max_crashes = 2});
    lease_one(bench.log, job);
    hrt_settle_entry first = judged(&bench, job, HRT_OUTCOME_CRASHED, UINT64_MAX);
    CHECK_EQ(first.outcome, HRT_OUTCOME_CRASHED);
    CHECK_EQ(first.due_ns, now_ns);
    settle(bench.log, job, HRT_OUTCOME_CRASHED, 0);
    lease_one(bench.log, job);
    hrt_settle_entry second = judged(&bench, job, HRT_OUTCOME_CRASHED, UINT64_MAX);
    CHECK_EQ(second.outcome, HRT_OUTCOME_DEAD);
    CHECK_EQ(second.cause, HRT_OUTCOME_CRASHED);
    free_bench(&bench);
}

static void results_are_kept_for_their_time(void)
{
    test_bench bench = new_bench();
    uint64_t now_ns = bench.log->now_ns;
    uint64_t kept = enqueue(bench.log, (new_job){.result_ttl_ms = 1500});
    uint64_t plain = enqueue(bench.log, (new_job){0});
    CHECK_EQ(judged(&bench, kept, HRT_OUTCOME_OK, 0).due_ns, now_ns + 1500ull * MILLISECOND);
    CHECK_EQ(judged(&bench, kept, HRT_OUTCOME_CANCELLED, 0).due_ns, now_ns + 1500ull * MILLISECOND);
    CHECK_EQ(judged(&bench, plain, HRT_OUTCOME_OK, 0).due_ns, 0);
    CHECK_EQ(judged(&bench, kept, HRT_OUTCOME_DEAD, 0).due_ns, 0);
    free_bench(&bench);
}

static void due_jobs_come_by_time_and_expired_ones_apart(void)
{
    test_bench bench = new_bench();
    uint64_t now_ns = bench.log->now_ns;
    uint64_t late = enqueue(bench.log, (new_job){.due_ns = now_ns + 20});
    uint64_t soon = enqueue(bench.log, (new_job){.due_ns = now_ns + 10});
    uint64_t gone = enqueue(bench.log, (new_job){.due_ns = now_ns + 5, .expires_ns = now_ns + 9});
    uint64_t jobs[8];
    hrt_settle_entry entries[8];
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, now_ns, 0), 5);
    CHECK_EQ(hrt_scheduler_due(bench.scheduler, now_ns, jobs, 8), 0);
    CHECK_EQ(hrt_scheduler_due(bench.scheduler, now_ns + 20, jobs, 8), 2);
    CHECK_EQ(jobs[0], soon);
    CHECK_EQ(jobs[1], late);
    CHECK_EQ(hrt_scheduler_over(bench.scheduler, now_ns + 20, entries, 8), 1);
    CHECK_EQ(entries[0].job, gone);
    CHECK_EQ(entries[0].outcome, HRT_OUTCOME_EXPIRED);
    settle(bench.log, gone, HRT_OUTCOME_EXPIRED, now_ns + 30);
    CHECK_EQ(hrt_scheduler_over(bench.scheduler, now_ns + 29, entries, 8), 0);
    CHECK_EQ(hrt_scheduler_over(bench.scheduler, now_ns + 30, entries, 8), 1);
    CHECK_EQ(entries[0].outcome, HRT_OUTCOME_FORGOTTEN);
    free_bench(&bench);
}

/* The wall clock may be set while the dispatch loop sleeps, and nothing wakes it then. */
static void no_sleep_until_a_time_of_day_is_longer_than_a_second(void)
{
    test_bench bench = new_bench();
    uint64_t now_ns = bench.log->now_ns;
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, now_ns, 0), UINT64_MAX);
    (void)enqueue(bench.log, (new_job){.due_ns = now_ns + 3600ull * SECOND});
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, now_ns, 0), SECOND);
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, now_ns + 7200ull * SECOND, 0), 0);
    free_bench(&bench);
}

static void deadlines_belong_to_one_attempt(void)
{
    test_bench bench = new_bench();
    uint64_t job = enqueue(bench.log, (new_job){0});
    uint64_t other = enqueue(bench.log, (new_job){0});
    lease_one(bench.log, job);
    lease_one(bench.log, other);
    CHECK(hrt_scheduler_deadline(bench.scheduler, job, 500));
    CHECK(hrt_scheduler_deadline(bench.scheduler, other, 400));
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, 0, 100), 300);
    CHECK_EQ(hrt_scheduler_overdue(bench.scheduler, 399), 0);
    CHECK_EQ(hrt_scheduler_overdue(bench.scheduler, 500), other);
    settle(bench.log, job, HRT_OUTCOME_RETURNED, 0);
    lease_one(bench.log, job);
    CHECK_EQ(hrt_scheduler_overdue(bench.scheduler, 500), 0);
    CHECK(hrt_scheduler_deadline(bench.scheduler, job, 600));
    CHECK(hrt_scheduler_deadline(bench.scheduler, job, 0));
    CHECK_EQ(hrt_scheduler_wait(bench.scheduler, 0, 100), -1);
    free_bench(&bench);
}

int main(void)
{
    TAP_LIST(
        TEST(nothing_is_picked_without_jobs_or_lanes),
        TEST(jobs_go_in_order_across_the_kinds_of_a_lane),
        TEST(a_lane_gets_no_more_than_its_credit), TEST(idle_handlers_come_before_free_credit),
        TEST(queues_share_by_weight), TEST(an_idle_queue_saves_up_no_share),
        TEST(paused_queues_and_limits_are_held), TEST(one_job_of_a_key_is_picked_at_a_time),
        TEST(a_suspect_runs_alone_on_an_empty_lane), TEST(a_busy_lane_is_emptied_for_a_suspect),
        TEST(suspects_leave_half_of_the_lanes_to_the_others),
        TEST(credit_follows_the_pace_of_a_lane), TEST(a_slow_log_does_not_starve_a_quick_lane),
        TEST(failures_back_off_and_end_with_the_attempts), TEST(crashes_end_in_a_dead_letter),
        TEST(results_are_kept_for_their_time), TEST(due_jobs_come_by_time_and_expired_ones_apart),
        TEST(no_sleep_until_a_time_of_day_is_longer_than_a_second),
        TEST(deadlines_belong_to_one_attempt));
}
