/*
 * A worker that was stopped beyond its lease wakes up and goes on as if nothing had happened: not
 * one of its settles may count, each is counted as refused, and it is told of each.
 */
#include "atomic.h"
#include "host.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)
#define LEASE_NS ((uint64_t)300000000)

enum {
    HELD = 1024,     /* jobs that the zombie holds */
    UNFINISHED = 64, /* of these, still running elsewhere when it wakes up */
    TRIES = 1000000,
    BATCH = 4096, /* settles between two looks at the notices */
};

/* Between the test and the zombie, which is a process of its own. */
typedef struct grave {
    uint64_t jobs[HELD];
    uint64_t tokens[HELD];
    uint64_t holding;    /* jobs fetched */
    uint64_t awake;      /* the test: go on */
    int64_t old_lane;    /* what the first settle through the lane of the lost lease returned */
    uint64_t told;       /* REFUSED notices */
    uint64_t told_wrong; /* with another status than HRT_ESTALE or HRT_ENOTFOUND */
} grave;

typedef struct fixture {
    host host;
    grave *grave;
} fixture;

static void begin(fixture *f)
{
    host_make(&f->host);
    hrt_runtime_options options = host_options(&f->host);
    options.lease_ns = LEASE_NS;
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .durability = HRT_DURABILITY_MEMORY,
                                   .max_attempts = 10,
                                   .max_crashes = 10,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 1};
    host_open(&f->host, &options, &settings);
    host_start(&f->host);
    f->grave =
        mmap(NULL, sizeof(*f->grave), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(f->grave != MAP_FAILED);
}

static void end(fixture *f)
{
    host_stop(&f->host);
    host_close(&f->host);
    (void)munmap(f->grave, sizeof(*f->grave));
    scratch_remove();
}

static void make_lane(fixture *f, int *fds)
{
    uint64_t incarnation = 0;
    REQUIRE(hrt_runtime_lane(f->host.runtime, 0, 0, "", "worker", fds, &incarnation) == HRT_OK);
}

static void close_lane(const int *fds)
{
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        (void)close(fds[i]);
    }
}

static hrt_client *attach(const int *fds)
{
    hrt_client *client = NULL;
    spawned_leave(fds);
    REQUIRE_OK(spawned_attach(&client));
    return client;
}

/* Fetches until `count` jobs are held. */
static void hold(hrt_client *client, hrt_job *jobs, uint32_t count)
{
    for (uint32_t held = 0; held < count;) {
        uint32_t got = 0;
        REQUIRE(hrt_fetch(client, jobs + held, count - held, 30 * SECOND_NS, &got) == HRT_OK);
        for (uint32_t i = 0; i < got; i++) {
            hrt_job_started(&jobs[held + i]);
        }
        held += got;
    }
}

/* ---- the zombie ---- */

static hrt_settlement stale_settle(const grave *memory, uint32_t number)
{
    static const uint8_t outcomes[] = {HRT_OUTCOME_OK, HRT_OUTCOME_RETRY, HRT_OUTCOME_DEAD,
                                       HRT_OUTCOME_SNOOZE, HRT_OUTCOME_RETURNED};
    return (hrt_settlement){.job = memory->jobs[number % HELD],
                            .token = memory->tokens[number % HELD],
                            .data = "late",
                            .data_length = 4,
                            .outcome = outcomes[number % sizeof(outcomes)]};
}

static void take_notices(hrt_client *client, grave *memory, uint64_t until)
{
    static hrt_notice notices[BATCH];
    while (memory->told < until) {
        uint32_t count = 0;
        REQUIRE(hrt_poll(client, notices, BATCH, 30 * SECOND_NS, &count) == HRT_OK);
        for (uint32_t i = 0; i < count; i++) {
            bool right = notices[i].type == HRT_DELIVERY_REFUSED &&
                         (notices[i].code == HRT_ESTALE || notices[i].code == HRT_ENOTFOUND);
            memory->told_wrong += !right;
            hrt_notice_free(&notices[i]);
        }
        memory->told += count;
    }
}

static void settle_again_and_again(hrt_client *client, grave *memory)
{
    static hrt_settlement settlements[BATCH];
    for (uint32_t done = 0; done < TRIES;) {
        uint32_t count = TRIES - done < BATCH ? TRIES - done : BATCH;
        for (uint32_t i = 0; i < count; i++) {
            settlements[i] = stale_settle(memory, done + i);
        }
        REQUIRE(hrt_settle(client, settlements, count) == HRT_OK);
        done += count;
        take_notices(client, memory, done);
    }
}

static void walk(grave *memory, const int *old_fds, const int *new_fds)
{
    static hrt_job jobs[HELD];
    hrt_client *before = attach(old_fds);
    host_serve(before, HELD, HELD);
    hold(before, jobs, HELD);
    for (uint32_t i = 0; i < HELD; i++) {
        memory->jobs[i] = jobs[i].id;
        memory->tokens[i] = jobs[i].token;
    }
    hrt_store_release(&memory->holding, HELD);
    AWAIT(hrt_load_acquire(&memory->awake) != 0); /* here it is stopped */
    hrt_settlement first = stale_settle(memory, 0);
    memory->old_lane = hrt_settle(before, &first, 1);
    hrt_client *after = attach(new_fds);
    settle_again_and_again(after, memory);
    hrt_detach(after);
    hrt_detach(before);
    _exit(0);
}

static pid_t raise_zombie(fixture *f)
{
    int old_fds[HRT_FD_COUNT];
    int new_fds[HRT_FD_COUNT];
    make_lane(f, old_fds);
    make_lane(f, new_fds);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        walk(f->grave, old_fds, new_fds);
    }
    close_lane(old_fds);
    close_lane(new_fds);
    return pid;
}

/* ---- the others ---- */

static void enqueue_all(fixture *f)
{
    hrt_spec specs[HELD];
    int64_t ids[HELD];
    for (uint32_t i = 0; i < HELD; i++) {
        specs[i] = (hrt_spec){
            .payload = "x", .payload_length = 1, .kind = f->host.kind, .queue = f->host.queue};
    }
    REQUIRE(hrt_enqueue_wait(f->host.local, specs, HELD, 30 * SECOND_NS, ids) == HRT_OK);
}

/* Takes events until one of this type. */
static bool happened(fixture *f, uint32_t type)
{
    hrt_event event;
    uint32_t count = 0;
    do {
        REQUIRE(hrt_runtime_events(f->host.runtime, &event, 1, &count) == HRT_OK);
    } while (count == 1 && event.type != type);
    return count == 1;
}

static void complete(hrt_client *client, const hrt_job *jobs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hrt_settlement settlement = {
            .job = jobs[i].id, .token = jobs[i].token, .outcome = HRT_OUTCOME_OK};
        REQUIRE(hrt_settle(client, &settlement, 1) == HRT_OK);
    }
}

static void await_completed(const fixture *f, uint64_t jobs)
{
    const hrt_queue_counters *counters =
        &hrt_runtime_page(f->host.runtime)->queue_counters[f->host.queue];
    AWAIT(hrt_load_relaxed(&counters->completed) == jobs);
}

static void check_verdict(const fixture *f, uint64_t ended)
{
    const hrt_page *page = hrt_runtime_page(f->host.runtime);
    const hrt_queue_counters *counters = &page->queue_counters[f->host.queue];
    CHECK_EQ(f->grave->old_lane, HRT_ECLOSED);
    CHECK_EQ(f->grave->told, TRIES);
    CHECK_EQ(f->grave->told_wrong, 0);
    CHECK_EQ(hrt_load_relaxed(&page->runtime.refused), TRIES);
    CHECK_EQ(hrt_load_relaxed(&counters->lost), HELD);
    CHECK_EQ(hrt_load_relaxed(&counters->completed), ended);
    CHECK_EQ(hrt_load_relaxed(&counters->running), HELD - ended);
    CHECK_EQ(hrt_load_relaxed(&counters->died), 0);
    CHECK_EQ(hrt_load_relaxed(&counters->retried), 0);
    CHECK_EQ(hrt_load_relaxed(&counters->snoozed), 0);
}

static void not_one_stale_token_is_accepted(void)
{
    static hrt_job jobs[HELD];
    fixture f;
    begin(&f);
    pid_t zombie = raise_zombie(&f);
    enqueue_all(&f);
    AWAIT(hrt_load_acquire(&f.grave->holding) == HELD);
    REQUIRE(kill(zombie, SIGSTOP) == 0);
    AWAIT(happened(&f, HRT_EVENT_HUNG));
    int fds[HRT_FD_COUNT];
    make_lane(&f, fds);
    hrt_client *heir = attach(fds);
    host_serve(heir, HELD, HELD);
    hold(heir, jobs, HELD);
    complete(heir, jobs + UNFINISHED, HELD - UNFINISHED);
    await_completed(&f, HELD - UNFINISHED);
    hrt_store_release(&f.grave->awake, 1);
    REQUIRE(kill(zombie, SIGCONT) == 0);
    int status = -1;
    REQUIRE(waitpid(zombie, &status, 0) == zombie);
    CHECK_EQ(status, 0);
    check_verdict(&f, HELD - UNFINISHED);
    complete(heir, jobs, UNFINISHED);
    await_completed(&f, HELD);
    hrt_detach(heir);
    printf("# json {\"what\": \"stale tokens after SIGSTOP\", \"command\": \"meson test zombie\", "
           "\"faults\": {\"stale tokens\": %d}, \"counts\": {\"refused\": %" PRIu64
           ", \"told\": %" PRIu64 "}, \"violations\": %d}\n",
           TRIES, hrt_load_relaxed(&hrt_runtime_page(f.host.runtime)->runtime.refused),
           f.grave->told, tap_failures);
    end(&f);
}

int main(void)
{
    TAP_LIST(TEST(not_one_stale_token_is_accepted));
}
