/* The runtime as a whole: a real log, the dispatch thread, clients of this process and of children.
 */
#include "atomic.h"
#include "host.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

typedef struct fixture {
    host host;
    bool running;
} fixture;

static hrt_queue_settings settings_of(const char *name, uint8_t durability)
{
    hrt_queue_settings settings = {.weight = 1,
                                   .retain_max = 100,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 5,
                                   .durability = durability,
                                   .max_attempts = 5,
                                   .result_ttl_ms = 60000,
                                   .max_crashes = 3};
    (void)snprintf(settings.name, sizeof(settings.name), "%s", name);
    return settings;
}

static void open_with(fixture *f, bool start, uint32_t segment_size, uint32_t segments_max)
{
    hrt_runtime_options options = host_options(&f->host);
    options.segment_size = segment_size;
    options.segments_max = segments_max;
    hrt_queue_settings settings = settings_of("default", HRT_DURABILITY_SYNC);
    host_open(&f->host, &options, &settings);
    f->running = start;
    if (start) {
        host_start(&f->host);
    }
}

static void reopen(fixture *f, bool start)
{
    open_with(f, start, 1 << 20, 16);
}

static void begin(fixture *f, bool start)
{
    host_make(&f->host);
    reopen(f, start);
}

static void stop(fixture *f)
{
    if (f->running) {
        host_stop(&f->host);
    }
    host_close(&f->host);
}

static void end(fixture *f)
{
    stop(f);
    scratch_remove();
}

static int64_t enqueue(fixture *f, const char *payload, const char *key)
{
    hrt_spec spec = {.payload = payload,
                     .payload_length = (uint32_t)strlen(payload),
                     .key = key,
                     .key_length = key == NULL ? 0 : (uint8_t)strlen(key),
                     .kind = f->host.kind,
                     .queue = f->host.queue};
    int64_t id = 0;
    CHECK_EQ(hrt_enqueue_wait(f->host.local, &spec, 1, 10 * SECOND_NS, &id), HRT_OK);
    return id;
}

static hrt_job fetch_one(hrt_client *client)
{
    hrt_job job = {0};
    uint32_t count = 0;
    CHECK_EQ(hrt_fetch(client, &job, 1, 10 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(count, 1);
    return job;
}

static void settle(hrt_client *client, const hrt_job *job, uint8_t outcome, const char *data)
{
    hrt_settlement settlement = {.job = job->id,
                                 .token = job->token,
                                 .outcome = outcome,
                                 .delay_ns = UINT64_MAX,
                                 .data = data,
                                 .data_length = (uint32_t)strlen(data)};
    CHECK_EQ(hrt_settle(client, &settlement, 1), HRT_OK);
}

static hrt_notice await_result(fixture *f, uint64_t job)
{
    hrt_notice notice = {0};
    uint32_t count = 0;
    CHECK_EQ(hrt_watch(f->host.local, job), HRT_OK);
    CHECK_EQ(hrt_poll(f->host.local, &notice, 1, 10 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(notice.type, HRT_DELIVERY_RESULT);
    CHECK_EQ(notice.job, job);
    return notice;
}

/* ---- tests ---- */

static void jobs_survive_a_restart(void)
{
    fixture f;
    begin(&f, true); /* an enqueue that meets the flusher is left to the dispatch thread */
    int64_t first = enqueue(&f, "one", NULL);
    int64_t second = enqueue(&f, "two", "key");
    CHECK(first > 0 && second > first);
    uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    stop(&f);
    reopen(&f, false);
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    hrt_job_info info;
    CHECK_EQ(hrt_runtime_job(f.host.runtime, (uint64_t)second, &info), HRT_OK);
    CHECK_EQ(info.state, HRT_JOB_READY);
    char payload[8] = {0};
    size_t length = 0;
    CHECK_EQ(hrt_runtime_job_part(f.host.runtime, (uint64_t)second, HRT_PART_PAYLOAD, payload,
                                  sizeof(payload), &length),
             HRT_OK);
    CHECK(length == 3 && memcmp(payload, "two", 3) == 0);
    end(&f);
}

static void a_second_supervisor_is_refused(void)
{
    fixture f;
    begin(&f, false);
    hrt_runtime_options options = host_options(&f.host);
    hrt_runtime *other = NULL;
    CHECK_EQ(hrt_runtime_open(&options, &other), HRT_EBUSY);
    end(&f);
}

static void a_job_runs_and_its_result_comes_back(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    int64_t id = enqueue(&f, "payload", NULL);
    hrt_job job = fetch_one(worker);
    CHECK_EQ(job.id, id);
    CHECK_EQ(job.attempt, 1);
    CHECK(job.payload_length == 7 && memcmp(job.payload, "payload", 7) == 0);
    hrt_job_started(&job);
    settle(worker, &job, HRT_OUTCOME_OK, "result");
    hrt_notice notice = await_result(&f, (uint64_t)id);
    CHECK_EQ(notice.code, HRT_JOB_COMPLETED);
    CHECK(notice.data_length == 6 && memcmp(notice.data, "result", 6) == 0);
    hrt_notice_free(&notice);
    hrt_detach(worker);
    end(&f);
}

static void a_failed_job_is_retried_and_its_key_waits(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    int64_t first = enqueue(&f, "a", "k");
    int64_t second = enqueue(&f, "b", "k");
    for (uint16_t attempt = 1; attempt <= 3; attempt++) {
        hrt_job job = fetch_one(worker);
        CHECK_EQ(job.id, first);
        CHECK_EQ(job.attempt, attempt);
        settle(worker, &job, attempt < 3 ? HRT_OUTCOME_RETRY : HRT_OUTCOME_OK, "again");
    }
    hrt_job job = fetch_one(worker);
    CHECK_EQ(job.id, second);
    settle(worker, &job, HRT_OUTCOME_OK, "");
    hrt_detach(worker);
    end(&f);
}

static void a_stale_token_is_refused(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    (void)enqueue(&f, "a", NULL);
    hrt_job job = fetch_one(worker);
    settle(worker, &job, HRT_OUTCOME_OK, "once");
    settle(worker, &job, HRT_OUTCOME_OK, "twice");
    hrt_notice notice = {0};
    uint32_t count = 0;
    CHECK_EQ(hrt_poll(worker, &notice, 1, 10 * SECOND_NS, &count), HRT_OK);
    CHECK_EQ(notice.type, HRT_DELIVERY_REFUSED);
    CHECK_EQ(notice.code, HRT_ESTALE);
    hrt_detach(worker);
    end(&f);
}

static void a_late_watcher_learns_why_a_job_is_dead(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    int64_t id = enqueue(&f, "a", NULL);
    hrt_job job = fetch_one(worker);
    settle(worker, &job, HRT_OUTCOME_DEAD, "beyond repair");
    hrt_notice early = await_result(&f, (uint64_t)id);
    hrt_notice late = await_result(&f, (uint64_t)id);
    CHECK_EQ(early.code, HRT_JOB_DEAD);
    CHECK_EQ(late.code, HRT_JOB_DEAD);
    CHECK(late.data_length == 13 && memcmp(late.data, "beyond repair", 13) == 0);
    hrt_notice_free(&early);
    hrt_notice_free(&late);
    hrt_event events[8];
    uint32_t count = 0;
    CHECK_EQ(hrt_runtime_events(f.host.runtime, events, 8, &count), HRT_OK);
    CHECK(count > 0 && events[count - 1].type == HRT_EVENT_DEAD);
    CHECK(count > 0 && strcmp(events[count - 1].text, "beyond repair") == 0);
    hrt_detach(worker);
    end(&f);
}

static void follow_ups_commit_with_the_settle(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    (void)enqueue(&f, "parent", NULL);
    hrt_job job = fetch_one(worker);
    hrt_spec follow[2] = {
        {.payload = "x", .payload_length = 1, .kind = f.host.kind, .queue = f.host.queue},
        {.payload = "y", .payload_length = 1, .kind = f.host.kind, .queue = f.host.queue}};
    hrt_settlement settlement = {.job = job.id,
                                 .token = job.token,
                                 .outcome = HRT_OUTCOME_OK,
                                 .follow = follow,
                                 .follow_count = 2};
    CHECK_EQ(hrt_settle(worker, &settlement, 1), HRT_OK);
    hrt_job x = fetch_one(worker);
    hrt_job y = fetch_one(worker);
    CHECK_EQ(x.parent, job.id);
    CHECK(x.payload[0] == 'x' && y.payload[0] == 'y');
    hrt_detach(worker);
    end(&f);
}

/* The child takes a job, begins it, says so through the pipe, and waits to be killed. */
static pid_t start_victim(int ready_fd)
{
    pid_t child = fork();
    if (child == 0) {
        hrt_client *worker = NULL;
        REQUIRE_OK(spawned_attach(&worker));
        host_serve(worker, 4, 0);
        hrt_job job = fetch_one(worker);
        hrt_job_started(&job);
        (void)!write(ready_fd, "r", 1);
        for (;;) {
            (void)pause();
        }
    }
    return child;
}

static void a_killed_worker_costs_an_attempt_and_nothing_else(void)
{
    fixture f;
    int ready[2];
    begin(&f, true);
    REQUIRE(pipe(ready) == 0);
    int64_t id = enqueue(&f, "victim", NULL);
    uint64_t incarnation = host_offer_lane(&f.host, 0);
    pid_t child = start_victim(ready[1]);
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    (void)kill(child, SIGKILL);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    hrt_job job = fetch_one(worker);
    CHECK_EQ(job.id, id);
    CHECK_EQ(job.attempt, 2);
    hrt_job_info info;
    CHECK_EQ(hrt_runtime_job(f.host.runtime, (uint64_t)id, &info), HRT_OK);
    CHECK_EQ(info.crashes, 1);
    settle(worker, &job, HRT_OUTCOME_OK, "");
    (void)waitpid(child, NULL, 0);
    CHECK_EQ(hrt_runtime_lane_gone(f.host.runtime, incarnation, 1), HRT_OK);
    hrt_detach(worker);
    (void)close(ready[0]);
    (void)close(ready[1]);
    end(&f);
}

static void a_delayed_job_comes_when_it_is_due(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    hrt_spec spec = {.kind = f.host.kind, .queue = f.host.queue, .delay_ns = 20000000};
    int64_t id = 0;
    uint64_t before = hrt_monotonic_ns();
    CHECK_EQ(hrt_enqueue_wait(f.host.local, &spec, 1, SECOND_NS, &id), HRT_OK);
    hrt_job job = fetch_one(worker);
    CHECK_EQ(job.id, id);
    CHECK(hrt_monotonic_ns() - before >= 19000000);
    hrt_detach(worker);
    end(&f);
}

static void many_jobs_lap_the_log(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    static uint8_t payloads[64 * 256];
    hrt_spec like = {.kind = f.host.kind, .queue = f.host.queue, .result_ttl_ms = HRT_NONE};
    hrt_job jobs[256];
    hrt_settlement settlements[256];
    uint64_t settled = 0;
    for (uint32_t round = 0; round < 400; round++) {
        uint64_t first = 0;
        uint32_t done = 0;
        CHECK_EQ(hrt_enqueue_packed(f.host.local, &like, payloads, NULL, 64, 256, 10 * SECOND_NS,
                                    &first, &done),
                 HRT_OK);
        for (uint32_t got = 0; got < 256;) {
            uint32_t count = 0;
            REQUIRE(hrt_fetch(worker, jobs, 256, 10 * SECOND_NS, &count) == HRT_OK);
            for (uint32_t i = 0; i < count; i++) {
                settlements[i] = (hrt_settlement){
                    .job = jobs[i].id, .token = jobs[i].token, .outcome = HRT_OUTCOME_OK};
            }
            REQUIRE(hrt_settle(worker, settlements, count) == HRT_OK);
            got += count;
        }
        settled += 256;
    }
    const hrt_page *page = hrt_runtime_page(f.host.runtime);
    CHECK(hrt_load_relaxed(&page->runtime.recycled) > 0);
    CHECK_EQ(hrt_load_relaxed(&page->runtime.refused), 0);
    CHECK_EQ(hrt_load_relaxed(&page->runtime.rescues), 0);
    CHECK_EQ(settled, 400 * 256);
    hrt_detach(worker);
    end(&f);
}

static void fill_with(uint32_t segment_size, uint32_t segments_max, uint32_t size, int jobs)
{
    static char payload[200001];
    fixture f;
    host_make(&f.host);
    open_with(&f, true, segment_size, segments_max);
    memset(payload, 'x', size);
    payload[size] = '\0';
    for (int i = 0; i < jobs; i++) {
        CHECK(enqueue(&f, payload, NULL) > 0);
    }
    const hrt_runtime_counters *counters = &hrt_runtime_page(f.host.runtime)->runtime;
    uint64_t length = hrt_load_relaxed(&counters->log_tail) - hrt_load_relaxed(&counters->log_head);
    CHECK(length >= (uint64_t)size * (uint64_t)jobs);
    CHECK_EQ(hrt_load_relaxed(&counters->kept), 0);
    end(&f);
}

/* A segment of large jobs holds few of them, or one, but nothing is won by copying it. */
static void a_backlog_of_large_jobs_is_not_copied_round_and_round(void)
{
    fill_with(1 << 20, 16, 200000, 35);
    fill_with(65536, 64, 30400, 20);
}

/* Files that a log has when no more of these jobs go into it. */
static uint64_t fill_up(fixture *f)
{
    static char payload[30001];
    memset(payload, 'x', sizeof(payload) - 1);
    hrt_spec spec = {.payload = payload,
                     .payload_length = sizeof(payload) - 1,
                     .kind = f->host.kind,
                     .queue = f->host.queue};
    int64_t id = 0;
    int status = HRT_OK;
    while (status == HRT_OK) {
        status = hrt_enqueue_wait(f->host.local, &spec, 1, 10 * SECOND_NS, &id);
    }
    CHECK_EQ(status, HRT_ELOGFULL);
    return hrt_load_relaxed(&hrt_runtime_page(f->host.runtime)->runtime.segments);
}

/* A log keeps the size of its segments; its limit is the one that is asked for, in bytes. */
static void a_limit_holds_for_segments_of_another_size(void)
{
    fixture f;
    host_make(&f.host);
    open_with(&f, false, 65536, 8);
    stop(&f);
    open_with(&f, true, 1 << 20, 4);
    uint64_t files = fill_up(&f);
    CHECK(files > 16 && files <= 64);
    end(&f);

    host_make(&f.host);
    open_with(&f, false, 1 << 20, 8);
    stop(&f);
    open_with(&f, true, 65536, 100);
    CHECK(fill_up(&f) <= 6);
    end(&f);
}

/* Fills a log whose old segments are all held, until no operator's action finds room any more. */
static void fill_held(fixture *f)
{
    int status = HRT_OK;
    for (int paused = 1; status == HRT_OK; paused = !paused) {
        status = hrt_runtime_pause(f->host.runtime, f->host.queue, paused);
    }
    CHECK_EQ(status, HRT_ELOGFULL);
}

/* Declares the queue with other settings than before. */
static int declare_anew(fixture *f)
{
    static uint32_t weight = 1;
    hrt_queue_settings settings = settings_of("default", HRT_DURABILITY_SYNC);
    weight = weight % 1000 + 1;
    settings.weight = weight;
    return hrt_runtime_queue(f->host.runtime, &settings, &f->host.queue);
}

/* An archive that is behind holds segments: that keeps nobody from starting with new settings. */
static void a_full_log_that_is_held_takes_new_settings(void)
{
    fixture f;
    host_make(&f.host);
    open_with(&f, false, 65536, 8);
    hrt_runtime_hold(f.host.runtime, 0);
    fill_held(&f);
    CHECK_EQ(declare_anew(&f), HRT_OK);
    end(&f);
}

/* A limit that was lowered below what lives: copying all of it once shows that it makes no room. */
static void a_log_over_its_limit_takes_new_settings(void)
{
    static char small[401];
    static char large[30001];
    fixture f;
    memset(small, 'x', sizeof(small) - 1);
    memset(large, 'x', sizeof(large) - 1);
    host_make(&f.host);
    open_with(&f, true, 65536, 32);
    const hrt_runtime_counters *counters = &hrt_runtime_page(f.host.runtime)->runtime;
    while (hrt_load_relaxed(&counters->segments) < 26) {
        CHECK(enqueue(&f, small, NULL) > 0);
    }
    CHECK(enqueue(&f, large, NULL) > 0); /* copies of all leave gaps of this size */
    stop(&f);
    open_with(&f, false, 65536, 5);
    for (int i = 0; i < 400; i++) { /* into the next segment, and the one behind it */
        CHECK_EQ(declare_anew(&f), HRT_OK);
    }
    end(&f);
}

/* Who reads the log too slowly is not given more to read: copies of what lives make no room. */
static void a_holder_that_is_behind_is_not_outrun_by_copies(void)
{
    enum { JOBS = 30, ROUNDS = 4, FILES = 16, BEHIND = 13, PASSES = 2000 };
    const uint32_t segment = 65536;
    static char payload[2800]; /* all of them take more than a segment */
    fixture f;
    memset(payload, 'x', sizeof(payload) - 1);
    host_make(&f.host);
    open_with(&f, true, segment, FILES);
    for (int i = 0; i < JOBS; i++) {
        CHECK(enqueue(&f, payload, NULL) > 0);
    }
    hrt_runtime_hold(f.host.runtime, 0);
    while (declare_anew(&f) == HRT_OK) {
    }
    hrt_client *worker = host_attach_worker(&f.host, 1, 1);
    const hrt_runtime_counters *counters = &hrt_runtime_page(f.host.runtime)->runtime;
    hrt_spec spec = {.kind = f.host.kind, .queue = f.host.queue};
    int64_t id = 0;
    for (int i = 0; i < PASSES; i++) { /* there is no room to give the worker a job */
        hrt_runtime_hold(f.host.runtime, hrt_load_relaxed(&counters->log_tail) / segment - BEHIND);
        int status = hrt_enqueue_wait(f.host.local, &spec, 1, 10 * SECOND_NS, &id);
        CHECK_EQ(status, HRT_ELOGFULL);
    }
    CHECK(hrt_load_relaxed(&counters->kept) <= ROUNDS * JOBS);
    hrt_detach(worker);
    end(&f);
}

/* What a life that ended left of its last segment may not hold all that the next one declares. */
static void a_log_without_a_file_to_spare_is_begun(void)
{
    fixture f;
    host_make(&f.host);
    open_with(&f, false, 65536, 8);
    hrt_runtime_hold(f.host.runtime, 0);
    fill_held(&f);
    while (declare_anew(&f) == HRT_OK) {
    }
    stop(&f);
    open_with(&f, true, 65536, 8);
    const hrt_runtime_counters *counters = &hrt_runtime_page(f.host.runtime)->runtime;
    CHECK_EQ(hrt_load_relaxed(&counters->segments), 9); /* one more than the limit says */
    hrt_spec spec = {.kind = f.host.kind, .queue = f.host.queue};
    int64_t id = 0;
    int status = HRT_ELOGFULL;
    while (status == HRT_ELOGFULL) { /* until old segments were given up */
        status = hrt_enqueue_wait(f.host.local, &spec, 1, 10 * SECOND_NS, &id);
    }
    CHECK_EQ(status, HRT_OK);
    end(&f);
}

/* Runs `count` jobs of 200 kB through the worker while it holds on to others. */
static void churn(fixture *f, hrt_client *worker, int count)
{
    static char payload[200001];
    memset(payload, 'x', sizeof(payload) - 1);
    for (int i = 0; i < count; i++) {
        int64_t id = enqueue(f, payload, NULL);
        hrt_job job = fetch_one(worker);
        CHECK_EQ(job.id, id);
        settle(worker, &job, HRT_OUTCOME_OK, "");
    }
}

/* The handler reads its payload where it lies: the segment stays until the job is settled. */
static void a_running_job_keeps_its_payload(void)
{
    fixture f;
    begin(&f, true);
    hrt_client *worker = host_attach_worker(&f.host, 4, 0);
    (void)enqueue(&f, "payload", NULL);
    hrt_job held = fetch_one(worker);
    const hrt_page *page = hrt_runtime_page(f.host.runtime);
    churn(&f, worker, 48);
    CHECK(held.payload_length == 7 && memcmp(held.payload, "payload", 7) == 0);
    uint64_t before = hrt_load_relaxed(&page->runtime.recycled);
    settle(worker, &held, HRT_OUTCOME_OK, "");
    churn(&f, worker, 48);
    CHECK(hrt_load_relaxed(&page->runtime.recycled) > before);
    hrt_detach(worker);
    end(&f);
}

/* Clients read the page; nobody but the runtime, and whoever it gives the page to, writes it. */
static void the_page_is_written_by_the_runtime_alone(void)
{
    fixture f;
    begin(&f, true);
    int fds[HRT_FD_COUNT];
    int own = -1;
    uint64_t incarnation = 0;
    REQUIRE(hrt_runtime_lane(f.host.runtime, 0, 0, "", "", fds, &incarnation) == HRT_OK);
    void *page = mmap(NULL, sizeof(hrt_page), PROT_READ, MAP_SHARED, fds[HRT_FD_PAGE], 0);
    REQUIRE(page != MAP_FAILED);
    CHECK(mprotect(page, sizeof(hrt_page), PROT_READ | PROT_WRITE) != 0);
    CHECK(mmap(NULL, sizeof(hrt_page), PROT_READ | PROT_WRITE, MAP_SHARED, fds[HRT_FD_PAGE], 0) ==
          MAP_FAILED);
    CHECK(ftruncate(fds[HRT_FD_PAGE], 0) != 0);
    REQUIRE(hrt_runtime_page_fd(f.host.runtime, &own) == HRT_OK);
    hrt_page *mine = mmap(NULL, sizeof(hrt_page), PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    REQUIRE(mine != MAP_FAILED);
    uint32_t writer = hrt_load_acquire_u32(&((hrt_page *)page)->writer_alive);
    CHECK(writer != 0 && (writer & FUTEX_OWNER_DIED) == 0);
    CHECK_EQ(hrt_load_acquire_u32(&mine->writer_alive), writer);
    stop(&f);
    CHECK_EQ(hrt_load_acquire_u32(&mine->writer_alive), 0);
    (void)munmap(page, sizeof(hrt_page));
    (void)munmap(mine, sizeof(hrt_page));
    (void)close(own);
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        (void)close(fds[i]);
    }
    scratch_remove();
}

/* Only where failpoints are compiled in; tests/system fails the real fdatasync of a supervisor. */
static void a_failing_sync_ends_the_run_and_acknowledges_nothing(void)
{
    fixture f;
    begin(&f, true);
    int64_t before = enqueue(&f, "acknowledged", NULL);
    int armed = hrt_failpoint("log.sync.before", "error", 0);
    if (armed == HRT_OK) {
        hrt_spec spec = {
            .payload = "x", .payload_length = 1, .kind = f.host.kind, .queue = f.host.queue};
        uint64_t ticket = 0;
        int64_t answer = 0;
        void *status = NULL;
        CHECK_EQ(hrt_enqueue(f.host.local, &spec, 1, SECOND_NS, &ticket), HRT_OK);
        (void)pthread_join(f.host.thread, &status);
        CHECK_EQ((intptr_t)status, HRT_EIO);
        CHECK_EQ(hrt_replies(f.host.local, ticket, 1, &answer), HRT_EAGAIN);
        CHECK_EQ(hrt_failpoint("log.sync.before", "off", 0), HRT_OK);
        f.running = false;
    }
    stop(&f);
    reopen(&f, true);
    hrt_job_info info;
    CHECK_EQ(hrt_runtime_job(f.host.runtime, (uint64_t)before, &info), HRT_OK);
    CHECK(enqueue(&f, "the next one goes on", NULL) > before);
    end(&f);
}

int main(void)
{
    TAP_LIST(TEST(jobs_survive_a_restart), TEST(a_second_supervisor_is_refused),
             TEST(a_job_runs_and_its_result_comes_back),
             TEST(a_failed_job_is_retried_and_its_key_waits), TEST(a_stale_token_is_refused),
             TEST(a_late_watcher_learns_why_a_job_is_dead), TEST(follow_ups_commit_with_the_settle),
             TEST(a_killed_worker_costs_an_attempt_and_nothing_else),
             TEST(a_delayed_job_comes_when_it_is_due), TEST(many_jobs_lap_the_log),
             TEST(a_backlog_of_large_jobs_is_not_copied_round_and_round),
             TEST(a_limit_holds_for_segments_of_another_size),
             TEST(a_full_log_that_is_held_takes_new_settings),
             TEST(a_log_over_its_limit_takes_new_settings),
             TEST(a_holder_that_is_behind_is_not_outrun_by_copies),
             TEST(a_log_without_a_file_to_spare_is_begun), TEST(a_running_job_keeps_its_payload),
             TEST(the_page_is_written_by_the_runtime_alone),
             TEST(a_failing_sync_ends_the_run_and_acknowledges_nothing));
}
