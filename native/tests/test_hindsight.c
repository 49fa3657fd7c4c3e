/* The scheduler asked again about histories made by hand: decided rightly, and otherwise. */
#include "records.h"

enum { ANSWER_MAX = 64 };

static uint64_t answer[ANSWER_MAX];

/* Asks about each record before it is applied; returns the length of the last answer. */
static uint32_t ask_about_the_last(const history *log)
{
    hrt_replay *replay = NULL;
    hrt_hindsight *hindsight = NULL;
    REQUIRE(hrt_replay_new(&replay) == HRT_OK);
    REQUIRE(hrt_hindsight_new(replay, &hindsight) == HRT_OK);
    uint32_t count = 0;
    for (size_t offset = 0; offset < log->size;) {
        const hrt_record *record = (const hrt_record *)(log->bytes + offset);
        int status =
            hrt_hindsight_ask(hindsight, record, record->length, answer, ANSWER_MAX, &count);
        CHECK_EQ(status, HRT_OK);
        CHECK_EQ(hrt_replay_apply(replay, record, record->length), HRT_OK);
        offset += hrt_record_span(record->length);
    }
    CHECK_EQ(hrt_replay_hash(replay), hrt_state_hash(log->state));
    hrt_hindsight_free(hindsight);
    hrt_replay_free(replay);
    return count;
}

static void a_lease_in_order_is_given_again(void)
{
    history *log = new_history();
    uint64_t jobs[3];
    for (uint32_t i = 0; i < 3; i++) {
        jobs[i] = enqueue(log, (new_job){0});
    }
    lease(log, 7, jobs, 2);
    CHECK_EQ(ask_about_the_last(log), 2);
    CHECK_EQ(answer[0], jobs[0]);
    CHECK_EQ(answer[1], jobs[1]);
    free_history(log);
}

static void a_lease_out_of_order_is_not(void)
{
    history *log = new_history();
    uint64_t first = enqueue(log, (new_job){0});
    lease_one(log, enqueue(log, (new_job){0}));
    CHECK_EQ(ask_about_the_last(log), 1);
    CHECK_EQ(answer[0], first);
    free_history(log);
}

static void jobs_of_other_kinds_are_left_to_others(void)
{
    history *log = new_history();
    enqueue(log, (new_job){.kind = 0});
    uint64_t served = enqueue(log, (new_job){.kind = 1});
    lease_one(log, served);
    CHECK_EQ(ask_about_the_last(log), 1);
    CHECK_EQ(answer[0], served);
    free_history(log);
}

static void a_suspect_is_asked_for_when_one_was_leased(void)
{
    history *log = new_history();
    uint64_t suspect = enqueue(log, (new_job){0});
    lease_one(log, suspect);
    settle(log, suspect, HRT_OUTCOME_CRASHED, 0);
    uint64_t plain = enqueue(log, (new_job){0});
    lease_one(log, plain);
    CHECK_EQ(ask_about_the_last(log), 1);
    CHECK_EQ(answer[0], plain);
    lease_one(log, suspect);
    CHECK_EQ(ask_about_the_last(log), 1);
    CHECK_EQ(answer[0], suspect);
    free_history(log);
}

static void an_end_is_judged_again(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.max_attempts = 2});
    lease_one(log, job);
    settle(log, job, HRT_OUTCOME_RETRY, log->now_ns);
    CHECK_EQ(ask_about_the_last(log), 3);
    CHECK_EQ(answer[0], HRT_OUTCOME_RETRY);
    CHECK_EQ(answer[1], 0);
    CHECK(answer[2] >= log->now_ns);
    uint64_t drawn = answer[2];
    CHECK_EQ(ask_about_the_last(log), 3);
    CHECK_EQ(answer[2], drawn);
    free_history(log);
}

/* A history whose scheduler tried a job once more than it may. */
static void one_attempt_too_many_is_seen(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.max_attempts = 1});
    lease_one(log, job);
    settle(log, job, HRT_OUTCOME_RETRY, log->now_ns);
    CHECK_EQ(ask_about_the_last(log), 3);
    CHECK_EQ(answer[0], HRT_OUTCOME_DEAD);
    CHECK_EQ(answer[1], HRT_OUTCOME_RETRY);
    CHECK_EQ(answer[2], 0);
    free_history(log);
}

static void what_is_due_is_named_again(void)
{
    history *log = new_history();
    uint64_t early = enqueue(log, (new_job){.due_ns = log->now_ns + SECOND});
    uint64_t late = enqueue(log, (new_job){.due_ns = log->now_ns + (uint64_t)60 * SECOND});
    log->now_ns += (uint64_t)2 * SECOND;
    make_due(log, late); /* too early */
    CHECK_EQ(ask_about_the_last(log), 1);
    CHECK_EQ(answer[0], early);
    free_history(log);
}

static void what_decides_nothing_has_no_answer(void)
{
    history *log = new_history();
    enqueue(log, (new_job){0});
    CHECK_EQ(ask_about_the_last(log), 0);
    free_history(log);
}

static void an_answer_that_does_not_fit_is_refused(void)
{
    history *log = new_history();
    lease_one(log, enqueue(log, (new_job){0}));
    hrt_replay *replay = NULL;
    hrt_hindsight *hindsight = NULL;
    REQUIRE(hrt_replay_new(&replay) == HRT_OK);
    REQUIRE(hrt_hindsight_new(replay, &hindsight) == HRT_OK);
    uint32_t count = 99;
    const hrt_record *record = (const hrt_record *)log->room;
    CHECK_EQ(hrt_hindsight_ask(hindsight, record, record->length, answer, 0, &count), HRT_EINVAL);
    CHECK_EQ(hrt_hindsight_ask(hindsight, record, 10, answer, ANSWER_MAX, &count), HRT_EINVAL);
    CHECK_EQ(count, 99);
    hrt_hindsight_free(hindsight);
    hrt_replay_free(replay);
    free_history(log);
}

int main(void)
{
    TAP_LIST(TEST(a_lease_in_order_is_given_again), TEST(a_lease_out_of_order_is_not),
             TEST(jobs_of_other_kinds_are_left_to_others),
             TEST(a_suspect_is_asked_for_when_one_was_leased), TEST(an_end_is_judged_again),
             TEST(one_attempt_too_many_is_seen), TEST(what_is_due_is_named_again),
             TEST(what_decides_nothing_has_no_answer),
             TEST(an_answer_that_does_not_fit_is_refused));
}
