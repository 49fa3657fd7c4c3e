/*
 * A runtime is killed at its system calls while jobs pass through it and living ones are copied
 * forward out of old segments: what was acknowledged is there afterwards, with its payload.
 * Every third stop; LONG=1: every one.
 */
#include "atomic.h"
#include "host.h"
#include "tracer.h"

#include <sys/mman.h>

#define SECOND_NS ((int64_t)1000000000)

enum {
    SEGMENT = 65536,
    ROUNDS = 14,
    ROUND_JOBS = 6,
    RETRY_EVERY = 5, /* of the jobs stays alive: its segment is copied forward from */
    PAYLOAD = 2500,
    JOBS_MAX = 256,
    SAMPLE = 3,
    STOPS_MAX = 100000,
    RESTARTS = 600,
    SPREAD = 512,
    MORE_KINDS = 8,
};

typedef struct promised_job {
    uint64_t id;
    uint8_t sent; /* enum hrt_outcome that its worker settled it with, 0: not yet */
    uint8_t mark; /* every byte of its payload */
} promised_job;

/* Survives its process. */
typedef struct promises {
    uint32_t count;
    uint32_t retired; /* segments */
    uint32_t kept;
    promised_job jobs[JOBS_MAX];
} promises;

typedef struct voyage {
    host host;
    promises *promised;
    hrt_client *worker;
} voyage;

/* ---- a runtime with one client of each sort ---- */

static int open_runtime(voyage *v)
{
    hrt_runtime_options options = host_options(&v->host);
    options.segment_size = SEGMENT;
    options.segments_max = 12;
    int status = hrt_runtime_open(&options, &v->host.runtime);
    if (status != HRT_OK) {
        char text[512];
        (void)hrt_last_error(text, sizeof(text));
        printf("# open: %s: %s\n", hrt_status_name(status), text);
    }
    return status;
}

static void declare(voyage *v)
{
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retry_base_ms = 3600000,
                                   .retry_cap_ms = 3600000,
                                   .durability = HRT_DURABILITY_SYNC,
                                   .max_attempts = 100,
                                   .max_crashes = 100};
    host_declare(&v->host, &settings);
}

static void start(voyage *v)
{
    host_start(&v->host);
    v->worker = host_attach_worker(&v->host, 4, 0);
}

static void close_runtime(voyage *v)
{
    hrt_detach(v->worker);
    host_stop(&v->host);
    host_close(&v->host);
}

/* ---- jobs ---- */

static void enqueue_some(voyage *v)
{
    static uint8_t payload[PAYLOAD];
    promises *promised = v->promised;
    hrt_spec specs[ROUND_JOBS];
    int64_t ids[ROUND_JOBS];
    uint8_t mark = (uint8_t)(promised->count / ROUND_JOBS + 1);
    memset(payload, mark, sizeof(payload));
    for (uint32_t i = 0; i < ROUND_JOBS; i++) {
        specs[i] = (hrt_spec){.payload = payload,
                              .payload_length = PAYLOAD,
                              .key = "key",
                              .key_length = i % 2 == 0 ? 3 : 0,
                              .kind = v->host.kind,
                              .queue = v->host.queue};
    }
    REQUIRE(hrt_enqueue_wait(v->host.local, specs, ROUND_JOBS, 10 * SECOND_NS, ids) == HRT_OK);
    for (uint32_t i = 0; i < ROUND_JOBS; i++) {
        REQUIRE(promised->count < JOBS_MAX);
        promised->jobs[promised->count] = (promised_job){.id = (uint64_t)ids[i], .mark = mark};
        promised->count++;
    }
}

static promised_job *find(promises *promised, uint64_t id)
{
    for (uint32_t i = 0; i < promised->count; i++) {
        if (promised->jobs[i].id == id) {
            return &promised->jobs[i];
        }
    }
    return NULL;
}

/* Keyless jobs are retried in an hour now and then; a job with the key would hold it. */
static void work_once(voyage *v)
{
    hrt_job job;
    uint32_t count = 0;
    REQUIRE(hrt_fetch(v->worker, &job, 1, 10 * SECOND_NS, &count) == HRT_OK);
    promised_job *known = find(v->promised, job.id);
    uint8_t outcome =
        job.key_length == 0 && job.id % RETRY_EVERY == 0 ? HRT_OUTCOME_RETRY : HRT_OUTCOME_OK;
    hrt_settlement settlement = {
        .job = job.id, .token = job.token, .outcome = outcome, .delay_ns = UINT64_MAX};
    hrt_job_started(&job);
    if (known != NULL) {
        known->sent = outcome;
    }
    REQUIRE(hrt_settle(v->worker, &settlement, 1) == HRT_OK);
}

static void travel(void *context)
{
    voyage *v = context;
    REQUIRE(open_runtime(v) == HRT_OK);
    declare(v);
    start(v);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        enqueue_some(v);
        for (uint32_t i = 0; i < ROUND_JOBS; i++) {
            work_once(v);
        }
    }
    const hrt_runtime_counters *counters = &hrt_runtime_page(v->host.runtime)->runtime;
    v->promised->retired = (uint32_t)hrt_load_relaxed(&counters->recycled);
    v->promised->kept = (uint32_t)hrt_load_relaxed(&counters->kept);
    close_runtime(v);
}

/* ---- afterwards ---- */

static void check_living(voyage *v, const promised_job *job)
{
    hrt_job_info info;
    uint8_t payload[PAYLOAD];
    size_t length = 0;
    int status = hrt_runtime_job(v->host.runtime, job->id, &info);
    if (job->sent == HRT_OUTCOME_OK && status == HRT_ENOTFOUND) {
        return; /* completed, and nobody keeps its result */
    }
    CHECK_EQ(status, HRT_OK);
    if (status != HRT_OK) {
        printf("# job %" PRIu64 " is lost\n", job->id);
        return;
    }
    CHECK(info.state == HRT_JOB_READY ||
          (info.state == HRT_JOB_RETRYING && job->sent == HRT_OUTCOME_RETRY));
    REQUIRE(hrt_runtime_job_part(v->host.runtime, job->id, HRT_PART_PAYLOAD, payload,
                                 sizeof(payload), &length) == HRT_OK);
    CHECK_EQ(length, PAYLOAD);
    for (uint32_t i = 0; i < PAYLOAD; i++) {
        if (payload[i] != job->mark) {
            CHECK_EQ(payload[i], job->mark);
            return;
        }
    }
}

static void check_all(voyage *v)
{
    hrt_recovery recovery;
    hrt_runtime_recovery(v->host.runtime, &recovery);
    CHECK(recovery.jobs <= v->promised->count + ROUND_JOBS);
    for (uint32_t i = 0; i < v->promised->count; i++) {
        check_living(v, &v->promised->jobs[i]);
    }
}

/* The jobs of a worker that left are back once its lane is gone. */
static void detach_worker(voyage *v)
{
    const uint64_t *lanes = &hrt_runtime_page(v->host.runtime)->runtime.lanes;
    hrt_detach(v->worker);
    AWAIT(hrt_load_relaxed(lanes) == 1);
}

/* What was left works on, and comes back with the same state when nothing was killed. */
static void go_on(voyage *v)
{
    declare(v);
    start(v);
    enqueue_some(v);
    work_once(v);
    detach_worker(v);
    host_stop(&v->host);
    uint64_t hash = hrt_runtime_state_hash(v->host.runtime);
    host_close(&v->host);
    REQUIRE(open_runtime(v) == HRT_OK);
    CHECK_EQ(hrt_runtime_state_hash(v->host.runtime), hash);
    check_all(v);
    hrt_runtime_close(v->host.runtime);
}

/* ---- tests ---- */

static void make_directory(voyage *v)
{
    scratch_make_in(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", v->host.directory);
}

static void acknowledged_jobs_survive_a_kill_at_each_system_call(void)
{
    voyage v = {.promised = mmap(NULL, sizeof(promises), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
    uint64_t step = getenv("LONG") == NULL ? SAMPLE : 1;
    uint64_t stop = 0;
    bool killed = true;
    REQUIRE(v.promised != MAP_FAILED);
    make_directory(&v);
    for (; killed && tap_failures == 0; stop += step) {
        REQUIRE(stop < STOPS_MAX);
        memset(v.promised, 0, sizeof(*v.promised));
        killed = tracer_kill_at(stop, travel, &v);
        int status = open_runtime(&v);
        CHECK_EQ(status, HRT_OK);
        if (status == HRT_OK) {
            check_all(&v);
            go_on(&v);
        }
        if (tap_failures > 0) {
            printf("# killed at stop %" PRIu64 "\n", stop);
        }
        scratch_empty(v.host.directory);
    }
    printf("# %" PRIu64 " stops; undisturbed: %u segments retired, %u jobs copied forward\n", stop,
           v.promised->retired, v.promised->kept);
    printf("# json {\"what\": \"SIGKILL at system calls of a runtime, one in %" PRIu64
           "\", \"faults\": {\"SIGKILLs\": %" PRIu64 "}, \"violations\": %d}\n",
           step, stop / step, tap_failures);
    CHECK(v.promised->retired > 0 && v.promised->kept > 0);
    scratch_remove();
    (void)munmap(v.promised, sizeof(promises));
}

static void declare_many_kinds(voyage *v)
{
    for (uint32_t i = 0; i < MORE_KINDS; i++) {
        char name[32];
        uint16_t kind = 0;
        (void)snprintf(name, sizeof(name), "test.more-%u", i);
        REQUIRE(hrt_runtime_kind(v->host.runtime, name, &kind) == HRT_OK);
    }
}

/* Wherever in a segment a runtime begins, every segment it leaves behind begins with the names of
 * kinds and queues: older ones that had them are retired. */
static void restarts_near_the_end_of_a_segment_keep_the_declarations(void)
{
    voyage v = {0};
    uint64_t head = 0;
    static const uint8_t payload[SPREAD];
    make_directory(&v);
    for (uint32_t restart = 0; restart < RESTARTS; restart++) {
        REQUIRE(open_runtime(&v) == HRT_OK);
        declare(&v);
        declare_many_kinds(&v);
        host_start(&v.host);
        /* One job lives on in an hour; the others only move the end of the log. */
        hrt_spec spec = {.payload = payload,
                         .payload_length = restart * 64 % SPREAD,
                         .kind = v.host.kind,
                         .queue = v.host.queue,
                         .delay_ns = 3600 * (uint64_t)SECOND_NS};
        int64_t id = 0;
        REQUIRE(hrt_enqueue_wait(v.host.local, &spec, 1, 10 * SECOND_NS, &id) == HRT_OK);
        if (restart > 0) {
            REQUIRE(hrt_runtime_cancel(v.host.runtime, (uint64_t)id) == HRT_OK);
        }
        host_stop(&v.host);
        head = hrt_load_relaxed(&hrt_runtime_page(v.host.runtime)->runtime.log_head);
        host_close(&v.host);
    }
    CHECK(head > 4 * SEGMENT); /* so older ones were retired */
    scratch_remove();
}

int main(void)
{
    TAP_LIST(TEST(acknowledged_jobs_survive_a_kill_at_each_system_call),
             TEST(restarts_near_the_end_of_a_segment_keep_the_declarations));
}
