/* The state, fed with records made by hand. */
#include "state.h"

#include "records.h"

static uint8_t state_of(const history *log, uint64_t job)
{
    const hrt_state_job *found = hrt_state_find(log->state, job);
    return found == NULL ? 0 : found->state;
}

static bool may_go(const history *log, uint64_t job)
{
    const hrt_state_job *found = hrt_state_find(log->state, job);
    return found != NULL && found->in_ready;
}

static const hrt_queue_counters *counters(const history *log, uint32_t queue)
{
    return &hrt_state_page(log->state)->queue_counters[queue];
}

static uint64_t in(const history *log, uint64_t seconds)
{
    return log->now_ns + seconds * SECOND;
}

static void a_job_goes_from_ready_to_running_and_leaves(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.payload = "hello"});
    CHECK_EQ(state_of(log, job), HRT_JOB_READY);
    CHECK_EQ(counters(log, 0)->ready, 1);
    uint64_t token = lease_one(log, job);
    CHECK_EQ(state_of(log, job), HRT_JOB_RUNNING);
    CHECK_EQ(hrt_state_find(log->state, job)->token, token);
    CHECK_EQ(hrt_state_find(log->state, job)->attempt, 1);
    CHECK_EQ(hrt_state_running(log->state, 0), 1);
    settle(log, job, HRT_OUTCOME_OK, 0);
    CHECK_EQ(state_of(log, job), 0);
    CHECK_EQ(hrt_state_jobs(log->state), 0);
    CHECK_EQ(counters(log, 0)->completed, 1);
    CHECK_EQ(counters(log, 0)->running, 0);
    CHECK_EQ(hrt_state_page(log->state)->kind_counters[0].completed, 1);
    free_history(log);
}

static void a_stale_token_changes_nothing(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){0});
    uint64_t old = lease_one(log, job);
    settle(log, job, HRT_OUTCOME_RETURNED, 0);
    uint64_t token = lease_one(log, job);
    uint64_t hash = hrt_state_hash(log->state);
    settle_with(log, (hrt_settle_entry){.job = job, .token = old, .outcome = HRT_OUTCOME_OK}, "");
    CHECK(hrt_state_hash(log->state) == hash);
    CHECK_EQ(hrt_state_find(log->state, job)->token, token);
    free_history(log);
}

static void a_delayed_job_waits_for_its_due_record(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.due_ns = in(log, 5)});
    CHECK_EQ(state_of(log, job), HRT_JOB_SCHEDULED);
    uint64_t due_ns;
    CHECK(hrt_state_next_timer(log->state, &due_ns) != HRT_NIL);
    CHECK(due_ns == in(log, 5));
    lease_one(log, job);
    CHECK_EQ(state_of(log, job), HRT_JOB_SCHEDULED);
    make_due(log, job);
    CHECK_EQ(state_of(log, job), HRT_JOB_READY);
    CHECK_EQ(hrt_state_next_timer(log->state, &due_ns), HRT_NIL);
    CHECK_EQ(counters(log, 0)->scheduled, 0);
    CHECK_EQ(counters(log, 0)->ready, 1);
    free_history(log);
}

static void attempts_are_counted_for_failures_only(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){0});
    const uint8_t uncounted[] = {HRT_OUTCOME_SNOOZE, HRT_OUTCOME_RETURNED};
    const uint8_t counted[] = {HRT_OUTCOME_RETRY, HRT_OUTCOME_TIMEOUT, HRT_OUTCOME_LOST,
                               HRT_OUTCOME_CRASHED};
    for (uint32_t i = 0; i < 2; i++) {
        lease_one(log, job);
        settle(log, job, uncounted[i], 0);
        CHECK_EQ(hrt_state_find(log->state, job)->attempt, 0);
        CHECK_EQ(state_of(log, job), HRT_JOB_READY);
    }
    for (uint32_t i = 0; i < 4; i++) {
        lease_one(log, job);
        settle(log, job, counted[i], in(log, 1));
        CHECK_EQ(hrt_state_find(log->state, job)->attempt, i + 1);
        CHECK_EQ(state_of(log, job), HRT_JOB_RETRYING);
        make_due(log, job);
    }
    CHECK_EQ(hrt_state_find(log->state, job)->crashes, 1);
    CHECK(hrt_state_find(log->state, job)->suspect);
    CHECK_EQ(hrt_state_queue_at(log->state, 0)->suspect_count, 1);
    free_history(log);
}

static void a_blocked_key_holds_its_jobs_in_order(void)
{
    history *log = new_history();
    uint64_t jobs[4];
    for (uint32_t i = 0; i < 4; i++) {
        jobs[i] = enqueue(log, (new_job){.key = "k"});
    }
    CHECK(may_go(log, jobs[0]) && !may_go(log, jobs[1]));
    lease_one(log, jobs[0]);
    CHECK(!may_go(log, jobs[1]));
    settle(log, jobs[0], HRT_OUTCOME_RETRY, in(log, 1));
    CHECK(!may_go(log, jobs[1]));
    make_due(log, jobs[0]);
    CHECK(may_go(log, jobs[0]) && !may_go(log, jobs[1]));
    lease_one(log, jobs[0]);
    settle(log, jobs[0], HRT_OUTCOME_DEAD, 0);
    CHECK(may_go(log, jobs[1]) && !may_go(log, jobs[2]));
    settle(log, jobs[2], HRT_OUTCOME_CANCELLED, 0);
    lease_one(log, jobs[1]);
    settle(log, jobs[1], HRT_OUTCOME_OK, 0);
    CHECK(may_go(log, jobs[3]));
    CHECK_EQ(hrt_state_waiting(log->state, 0), 1);
    free_history(log);
}

static void a_delayed_head_holds_a_blocked_key(void)
{
    history *log = new_history();
    uint64_t head = enqueue(log, (new_job){.key = "k", .due_ns = in(log, 9)});
    uint64_t next = enqueue(log, (new_job){.key = "k"});
    uint64_t other = enqueue(log, (new_job){.key = "k", .queue = 1});
    CHECK(!may_go(log, next));
    CHECK(may_go(log, other));
    settle(log, head, HRT_OUTCOME_EXPIRED, 0);
    CHECK(may_go(log, next));
    free_history(log);
}

static void a_skipping_key_passes_what_is_not_ready(void)
{
    history *log = new_history();
    uint64_t late = enqueue(log, (new_job){.queue = 1, .key = "k", .due_ns = in(log, 9)});
    uint64_t first = enqueue(log, (new_job){.queue = 1, .key = "k"});
    uint64_t second = enqueue(log, (new_job){.queue = 1, .key = "k"});
    CHECK(may_go(log, first) && !may_go(log, second));
    lease_one(log, first);
    make_due(log, late);
    CHECK(!may_go(log, late) && !may_go(log, second));
    settle(log, first, HRT_OUTCOME_RETRY, in(log, 5));
    CHECK(may_go(log, late) && !may_go(log, second));
    lease_one(log, late);
    settle(log, late, HRT_OUTCOME_OK, 0);
    CHECK(may_go(log, second));
    make_due(log, first);
    CHECK(may_go(log, first) && !may_go(log, second));
    free_history(log);
}

static void a_revived_job_goes_first_but_never_beside_another(void)
{
    history *log = new_history();
    uint64_t first = enqueue(log, (new_job){.key = "k"});
    uint64_t second = enqueue(log, (new_job){.key = "k"});
    lease_one(log, first);
    settle_with(
        log,
        (hrt_settle_entry){.job = first, .outcome = HRT_OUTCOME_DEAD, .cause = HRT_OUTCOME_CRASHED},
        "it fell");
    CHECK_EQ(hrt_state_find(log->state, first)->crashes, 1);
    CHECK_EQ(hrt_state_find(log->state, first)->error_length, 7);
    lease_one(log, second);
    settle(log, first, HRT_OUTCOME_REVIVED, 0);
    CHECK_EQ(hrt_state_find(log->state, first)->attempt, 0);
    CHECK_EQ(hrt_state_find(log->state, first)->crashes, 0);
    CHECK(!may_go(log, first));
    settle(log, second, HRT_OUTCOME_RETURNED, 0);
    CHECK(may_go(log, first) && !may_go(log, second));
    free_history(log);
}

static void a_ready_job_may_be_ended_as_crashed(void)
{
    history *log = new_history();
    uint64_t first = enqueue(log, (new_job){0});
    uint64_t second = enqueue(log, (new_job){0});
    settle_with(
        log,
        (hrt_settle_entry){.job = first, .outcome = HRT_OUTCOME_DEAD, .cause = HRT_OUTCOME_CRASHED},
        "");
    const hrt_state_queue *queue = hrt_state_queue_at(log->state, 0);
    CHECK_EQ(queue->ready[0].count, 1);
    CHECK_EQ(hrt_state_at(log->state, queue->ready[0].head)->id, second);
    CHECK_EQ(queue->suspect_count, 0);
    settle(log, first, HRT_OUTCOME_REVIVED, 0);
    CHECK_EQ(queue->ready[0].count, 2);
    free_history(log);
}

static void a_change_of_order_regroups_the_keys(void)
{
    history *log = new_history();
    uint64_t late = enqueue(log, (new_job){.key = "k", .due_ns = in(log, 9)});
    uint64_t first = enqueue(log, (new_job){.key = "k"});
    hrt_queue_settings settings = plain_settings("block");
    settings.order = HRT_ORDER_SKIP;
    declare_queue(log, 0, &settings);
    CHECK(may_go(log, first));
    settings.order = HRT_ORDER_BLOCK;
    declare_queue(log, 0, &settings);
    CHECK(!may_go(log, first));
    make_due(log, late);
    CHECK(may_go(log, late) && !may_go(log, first));
    free_history(log);
}

static void returned_jobs_go_back_to_their_place(void)
{
    history *log = new_history();
    uint64_t jobs[6];
    for (uint32_t i = 0; i < 6; i++) {
        jobs[i] = enqueue(log, (new_job){0});
    }
    lease(log, 1, jobs, 4);
    const uint64_t back[] = {jobs[2], jobs[0], jobs[3], jobs[1]};
    for (uint32_t i = 0; i < 4; i++) {
        settle(log, back[i], HRT_OUTCOME_RETURNED, 0);
    }
    uint32_t index = hrt_state_queue_at(log->state, 0)->ready[0].head;
    for (uint32_t i = 0; i < 6; i++) {
        REQUIRE(index != HRT_NIL);
        CHECK_EQ(hrt_state_at(log->state, index)->id, jobs[i]);
        index = hrt_state_at(log->state, index)->ready.next;
    }
    CHECK_EQ(index, HRT_NIL);
    CHECK_EQ(hrt_state_ready_queues(log->state), 1);
    free_history(log);
}

/* Whether a job has saved exactly this. */
static bool has_saved(const history *log, uint64_t id, const char *text)
{
    const hrt_state_job *job = hrt_state_find(log->state, id);
    return job != NULL && job->saved_length == strlen(text) &&
           (job->saved_length == 0 ||
            memcmp(bytes_at(log, job->saved_position), text, strlen(text)) == 0);
}

static void what_a_job_saved_stays_until_it_ends(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.result_ttl_ms = 1000});
    save(log, job, 0, "not while it waits");
    CHECK(has_saved(log, job, ""));
    uint64_t first = lease_one(log, job);
    save(log, job, first, "one");
    save(log, job, first, "two");
    CHECK(has_saved(log, job, "two"));
    settle(log, job, HRT_OUTCOME_RETRY, 0);
    uint64_t second = lease_one(log, job);
    save(log, job, first, "stale");
    save(log, UINT64_MAX, second, "unknown");
    CHECK(has_saved(log, job, "two"));
    settle(log, job, HRT_OUTCOME_CRASHED, 0);
    (void)lease_one(log, job);
    settle(log, job, HRT_OUTCOME_RETURNED, 0);
    (void)lease_one(log, job);
    settle(log, job, HRT_OUTCOME_DEAD, 0);
    CHECK(has_saved(log, job, "two"));
    keep(log, job);
    CHECK(has_saved(log, job, "two"));
    settle(log, job, HRT_OUTCOME_REVIVED, 0);
    uint64_t third = lease_one(log, job);
    CHECK(has_saved(log, job, "two"));
    keep(log, job);
    CHECK(has_saved(log, job, "two"));
    uint64_t hash = hrt_state_hash(log->state);
    save(log, job, third, "");
    CHECK(has_saved(log, job, ""));
    CHECK(hrt_state_hash(log->state) != hash);
    save(log, job, third, "three");
    settle(log, job, HRT_OUTCOME_OK, in(log, 10));
    CHECK(has_saved(log, job, ""));
    free_history(log);
}

static void results_are_kept_up_to_the_queues_limit(void)
{
    history *log = new_history();
    hrt_queue_settings settings = plain_settings("block");
    settings.retain_max = 2;
    declare_queue(log, 0, &settings);
    uint64_t jobs[4];
    for (uint32_t i = 0; i < 4; i++) {
        jobs[i] = enqueue(log, (new_job){.result_ttl_ms = 5000, .payload = "in"});
        uint64_t token = lease_one(log, jobs[i]);
        settle_with(
            log,
            (hrt_settle_entry){
                .job = jobs[i], .token = token, .outcome = HRT_OUTCOME_OK, .due_ns = in(log, 5)},
            "result");
    }
    CHECK_EQ(state_of(log, jobs[1]), 0);
    CHECK_EQ(state_of(log, jobs[2]), HRT_JOB_COMPLETED);
    const hrt_state_job *kept = hrt_state_find(log->state, jobs[3]);
    CHECK_EQ(kept->result_length, 6);
    CHECK_EQ(kept->payload_length, 0);
    CHECK(memcmp(bytes_at(log, kept->result_position), "result", 6) == 0);
    CHECK_EQ(counters(log, 0)->retained, 2);
    settle(log, jobs[2], HRT_OUTCOME_FORGOTTEN, 0);
    CHECK_EQ(hrt_state_jobs(log->state), 1);
    settings.retain_max = 0;
    declare_queue(log, 0, &settings);
    CHECK_EQ(hrt_state_jobs(log->state), 0);
    free_history(log);
}

static void leased_jobs_are_listed_by_client_and_token(void)
{
    history *log = new_history();
    uint64_t jobs[5];
    for (uint32_t i = 0; i < 5; i++) {
        jobs[i] = enqueue(log, (new_job){0});
    }
    lease(log, 7, &jobs[3], 2);
    lease(log, 8, &jobs[0], 1);
    lease(log, 7, &jobs[1], 1);
    uint64_t held[5];
    CHECK_EQ(hrt_state_leased_to(log->state, 7, held, 5), 3);
    CHECK_EQ(held[0], jobs[3]);
    CHECK_EQ(held[1], jobs[4]);
    CHECK_EQ(held[2], jobs[1]);
    CHECK_EQ(hrt_state_leased_to(log->state, 7, held, 1), 1);
    settle(log, jobs[0], HRT_OUTCOME_OK, 0);
    CHECK_EQ(hrt_state_leased_to(log->state, 8, held, 5), 0);
    CHECK_EQ(hrt_state_leased_to(log->state, 7, held, 5), 3);
    free_history(log);
}

static void undeclared_names_and_known_jobs_are_corrupt(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){0});
    hrt_record *record = begin_record(log, HRT_RECORD_ENQUEUE, sizeof(hrt_enqueue_body));
    record->queue = 9;
    CHECK_EQ(end_record(log), HRT_ECORRUPT);
    record = begin_record(log, HRT_RECORD_ENQUEUE, sizeof(hrt_enqueue_body));
    record->kind = 9;
    CHECK_EQ(end_record(log), HRT_ECORRUPT);
    record = begin_record(log, HRT_RECORD_ENQUEUE, sizeof(hrt_enqueue_body));
    record->sequence = job;
    CHECK_EQ(end_record(log), HRT_ECORRUPT);
    free_history(log);
}

static void segments_know_their_living_jobs(void)
{
    history *log = new_history();
    uint64_t first = enqueue(log, (new_job){.payload = "a"});
    uint64_t second = enqueue(log, (new_job){.payload = "b"});
    log->position += 3ull * SEGMENT_SIZE;
    size_t gap = log->position - log->size;
    log->bytes = realloc(log->bytes, log->size + gap);
    REQUIRE(log->bytes != NULL);
    log->size += gap;
    CHECK_EQ(hrt_state_live(log->state, 0), 2);
    CHECK_EQ(hrt_state_live(log->state, 3), 0);
    CHECK_EQ(hrt_state_at(log->state, hrt_state_first_in(log->state, 0))->id, first);
    uint64_t hash = hrt_state_hash(log->state);
    keep(log, first);
    CHECK_EQ(hrt_state_live(log->state, 0), 1);
    CHECK_EQ(hrt_state_live(log->state, 3), 1);
    CHECK_EQ(hrt_state_at(log->state, hrt_state_first_in(log->state, 0))->id, second);
    CHECK(hrt_state_hash(log->state) == hash);
    const hrt_state_job *moved = hrt_state_find(log->state, first);
    CHECK(*(char *)bytes_at(log, moved->position + moved->data_offset) == 'a');
    settle(log, first, HRT_OUTCOME_DISCARD, 0);
    settle(log, second, HRT_OUTCOME_DISCARD, 0);
    CHECK_EQ(hrt_state_first_in(log->state, 0), HRT_NIL);
    CHECK_EQ(hrt_state_live(log->state, 3), 0);
    free_history(log);
}

/* Its handler goes on reading where the lease pointed to, whoever asks for the place later. */
static void a_lease_remembers_where_the_record_lay(void)
{
    history *log = new_history();
    uint64_t job = enqueue(log, (new_job){.payload = "a"});
    uint64_t enqueued = hrt_state_find(log->state, job)->position;
    (void)lease_one(log, job);
    keep(log, job);
    uint64_t kept = hrt_state_find(log->state, job)->position;
    CHECK(kept > enqueued);
    CHECK_EQ(hrt_state_find(log->state, job)->leased_position, enqueued);
    settle(log, job, HRT_OUTCOME_RETURNED, 0);
    (void)lease_one(log, job);
    CHECK_EQ(hrt_state_find(log->state, job)->leased_position, kept);
    free_history(log);
}

/* One job in each state, so that a KEEP of each has to bring it back. */
static uint32_t one_of_each(history *log, uint64_t *jobs)
{
    const uint8_t ends[] = {HRT_OUTCOME_OK, HRT_OUTCOME_CANCELLED, HRT_OUTCOME_RETRY,
                            HRT_OUTCOME_DEAD, HRT_OUTCOME_CRASHED};
    uint32_t count = 0;
    for (uint32_t i = 0; i < 5; i++) {
        jobs[count] = enqueue(log, (new_job){.key = "k", .queue = 1, .payload = "data"});
        uint64_t token = lease_one(log, jobs[count]);
        settle_with(
            log,
            (hrt_settle_entry){
                .job = jobs[count], .token = token, .outcome = ends[i], .due_ns = in(log, 5 + i)},
            "told");
        count++;
    }
    jobs[count++] = enqueue(log, (new_job){.key = "k", .queue = 1, .due_ns = in(log, 3)});
    jobs[count++] = enqueue(log, (new_job){.key = "k", .queue = 1, .payload = "x"});
    jobs[count] = enqueue(log, (new_job){.key = "l", .payload = "runs"});
    save(log, jobs[count], lease_one(log, jobs[count]), "so far");
    count++;
    jobs[count++] = enqueue(log, (new_job){.key = "l", .payload = "waits"});
    return count;
}

static void keeps_bring_back_every_state(void)
{
    history *log = new_history();
    uint64_t jobs[16];
    uint32_t count = one_of_each(log, jobs);
    history *second = new_history();
    uint64_t from = log->size;
    for (uint32_t i = count; i > 0; i--) {
        keep(log, jobs[i - 1]);
    }
    replay_from(log, from, second->state);
    CHECK_EQ(hrt_state_jobs(second->state), count);
    CHECK(hrt_state_hash(second->state) == hrt_state_hash(log->state));
    for (uint32_t i = 0; i < count; i++) {
        hrt_job_info kept;
        hrt_job_info live;
        REQUIRE(hrt_state_find(second->state, jobs[i]) != NULL);
        hrt_state_describe(second->state, hrt_state_find(second->state, jobs[i]), &kept);
        hrt_state_describe(log->state, hrt_state_find(log->state, jobs[i]), &live);
        CHECK(memcmp(&kept, &live, sizeof(kept)) == 0);
    }
    CHECK_EQ(counters(second, 1)->enqueued, 0);
    CHECK_EQ(counters(second, 1)->ready, counters(log, 1)->ready);
    CHECK_EQ(counters(second, 1)->retained, counters(log, 1)->retained);
    free_history(second);
    free_history(log);
}

static void the_same_records_make_the_same_state(void)
{
    history *log = new_history();
    uint64_t jobs[16];
    (void)one_of_each(log, jobs);
    pause_queue(log, 1, HRT_CONTROL_PAUSE);
    hrt_state *second = hrt_state_new(NULL, SEGMENT_SIZE);
    REQUIRE(second != NULL);
    CHECK(hrt_state_hash(second) != hrt_state_hash(log->state));
    replay_from(log, 0, second);
    CHECK(hrt_state_hash(second) == hrt_state_hash(log->state));
    CHECK(hrt_state_queue_at(second, 1)->paused);
    pause_queue(log, 1, HRT_CONTROL_RESUME);
    CHECK(hrt_state_hash(second) != hrt_state_hash(log->state));
    hrt_state_free(second);
    free_history(log);
}

static void many_jobs_come_and_go(void)
{
    enum { JOBS = 20000 };
    history *log = new_history();
    uint64_t *jobs = calloc(JOBS, sizeof(*jobs));
    REQUIRE(jobs != NULL);
    uint64_t empty = hrt_state_hash(log->state);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < JOBS; i++) {
            log->size = 0; /* this history is too long to be remembered */
            jobs[i] = enqueue(log, (new_job){.key = i % 3 == 0 ? "k" : NULL,
                                             .due_ns = i % 5 == 0 ? in(log, i) : 0});
        }
        CHECK_EQ(hrt_state_jobs(log->state), JOBS);
        for (uint32_t i = 0; i < JOBS; i++) {
            log->size = 0;
            settle(log, jobs[(i * 7919u) % JOBS], HRT_OUTCOME_DISCARD, 0);
        }
        CHECK_EQ(hrt_state_jobs(log->state), 0);
        CHECK_EQ(hrt_state_ready_queues(log->state), 0);
        CHECK(hrt_state_hash(log->state) == empty);
    }
    CHECK_EQ(hrt_state_capacity(log->state), JOBS);
    free(jobs);
    free_history(log);
}

static void the_oldest_ready_job_is_in_the_counters(void)
{
    history *log = new_history();
    uint64_t since_ns = log->now_ns;
    uint64_t job = enqueue(log, (new_job){.kind = 1});
    log->now_ns += SECOND;
    (void)enqueue(log, (new_job){0});
    hrt_state_refresh(log->state);
    CHECK(counters(log, 0)->oldest_ready_ns == since_ns);
    lease_one(log, job);
    hrt_state_refresh(log->state);
    CHECK(counters(log, 0)->oldest_ready_ns == log->now_ns);
    CHECK_EQ(counters(log, 1)->oldest_ready_ns, 0);
    free_history(log);
}

int main(void)
{
    TAP_LIST(TEST(a_job_goes_from_ready_to_running_and_leaves), TEST(a_stale_token_changes_nothing),
             TEST(a_delayed_job_waits_for_its_due_record),
             TEST(attempts_are_counted_for_failures_only),
             TEST(a_blocked_key_holds_its_jobs_in_order), TEST(a_delayed_head_holds_a_blocked_key),
             TEST(a_skipping_key_passes_what_is_not_ready),
             TEST(a_revived_job_goes_first_but_never_beside_another),
             TEST(a_ready_job_may_be_ended_as_crashed), TEST(a_change_of_order_regroups_the_keys),
             TEST(returned_jobs_go_back_to_their_place), TEST(what_a_job_saved_stays_until_it_ends),
             TEST(results_are_kept_up_to_the_queues_limit),
             TEST(leased_jobs_are_listed_by_client_and_token),
             TEST(undeclared_names_and_known_jobs_are_corrupt),
             TEST(segments_know_their_living_jobs), TEST(a_lease_remembers_where_the_record_lay),
             TEST(keeps_bring_back_every_state), TEST(the_same_records_make_the_same_state),
             TEST(many_jobs_come_and_go), TEST(the_oldest_ready_job_is_in_the_counters));
}
