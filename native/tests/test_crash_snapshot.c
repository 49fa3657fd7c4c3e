/*
 * Snapshots and the death of those who write them. A runtime with a standby beside it is killed
 * while jobs pass through: the restart from the newest snapshot and the rest of the log ends in the
 * state of the whole log. And the writing of one is killed at each system call: what is there
 * afterwards is the one before or the new one, whole.
 */
#include "dump.h"
#include "pump.h"
#include "scratch.h"
#include "snapshot.h"
#include "tracer.h"

#include <hybridrt/runtime.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SECOND_NS ((int64_t)1000000000)

enum {
    LIVES = 24,
    LIVES_LONG = 400,
    JOBS_A_LIFE = 700,
    PAYLOAD_MAX = 600,
    SNAPSHOT_BYTES = 40000,
    STOPS_MAX = 1000,
    MANY_JOBS = 500, /* several pieces of a snapshot */
    DUMP_ROOM = 1 << 20,
    LEFT_MAX = 4096,
    LIVING_MAX = 500,
    LOOK_US = 200,
};

typedef struct promises {
    uint64_t id;         /* of the last job that was acknowledged */
    uint32_t kill_after; /* so many jobs */
    uint32_t jobs;
} promises;

typedef struct life {
    char directory[SCRATCH_PATH];
    promises *promised;
    hrt_runtime *runtime;
    hrt_client *local;
    hrt_standby *standby;
    uint64_t random;
    uint16_t kind;
    uint16_t queues[2];
} life;

static uint64_t draw(life *l, uint64_t limit)
{
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    return (l->random >> 33) % limit;
}

static hrt_runtime_options options_of(const life *l, uint32_t snapshot)
{
    return (hrt_runtime_options){.struct_size = sizeof(hrt_runtime_options),
                                 .abi_version = HRT_ABI_VERSION,
                                 .directory = l->directory,
                                 .segment_size = 65536,
                                 .segments_max = 64,
                                 .checkpoint_ns = 10000000,
                                 .snapshot = snapshot,
                                 .snapshot_bytes = SNAPSHOT_BYTES};
}

static void open_log(life *l, uint32_t snapshot)
{
    hrt_runtime_options options = options_of(l, snapshot);
    int status = HRT_OK;
    /* Here it is one process that follows and writes: its copy has the lock for a moment. */
    AWAIT((status = hrt_runtime_open(&options, &l->runtime)) != HRT_EBUSY);
    REQUIRE_OK(status);
    for (uint32_t i = 0; i < 2; i++) {
        hrt_queue_settings settings = {.weight = 1,
                                       .retain_max = 20,
                                       .durability =
                                           i == 0 ? HRT_DURABILITY_ASYNC : HRT_DURABILITY_MEMORY,
                                       .order = i == 0 ? HRT_ORDER_BLOCK : HRT_ORDER_SKIP,
                                       .max_attempts = 5,
                                       .max_crashes = 3};
        (void)snprintf(settings.name, sizeof(settings.name), "queue-%u", i);
        REQUIRE(hrt_runtime_queue(l->runtime, &settings, &l->queues[i]) == HRT_OK);
    }
    REQUIRE(hrt_runtime_kind(l->runtime, "test.job", &l->kind) == HRT_OK);
    REQUIRE(hrt_runtime_client(l->runtime, &l->local) == HRT_OK);
}

static void close_log(life *l)
{
    hrt_detach(l->local);
    hrt_runtime_close(l->runtime);
}

/* ---- work, in one thread ---- */

static void add_job(life *l)
{
    char payload[PAYLOAD_MAX];
    char key[16];
    memset(payload, 'p', sizeof(payload));
    (void)snprintf(key, sizeof(key), "key-%u", (unsigned)draw(l, 5));
    hrt_spec spec = {.payload = payload,
                     .payload_length = (uint32_t)draw(l, sizeof(payload)),
                     .key = key,
                     .key_length = draw(l, 3) == 0 ? (uint8_t)strlen(key) : 0,
                     .kind = l->kind,
                     .queue = l->queues[draw(l, 2)],
                     .delay_ns = draw(l, 4) == 0 ? 3600 * (uint64_t)SECOND_NS : 0,
                     .expires_ms = draw(l, 9) == 0 ? 3600000 : 0,
                     .result_ttl_ms = draw(l, 2) == 0 ? 3600000 : 0};
    uint64_t id = pump_enqueue(l->runtime, l->local, &spec);
    __atomic_store_n(&l->promised->id, id, __ATOMIC_RELEASE);
}

/* Most jobs do not live long, so that segments retire. */
static void operate(life *l)
{
    uint64_t newest = l->promised->id;
    uint64_t job = newest - draw(l, newest < 2000 ? newest : 2000);
    switch (draw(l, 8)) {
    case 0:
        (void)!hrt_runtime_pause(l->runtime, l->queues[draw(l, 2)], (int)draw(l, 2));
        break;
    case 1:
        (void)!hrt_runtime_retry(l->runtime, job);
        break;
    case 2:
        (void)!hrt_runtime_discard(l->runtime, job);
        break;
    default:
        (void)!hrt_runtime_cancel(l->runtime, job);
        break;
    }
}

/* Most of what lives goes, so that there is room. */
static void clear(life *l)
{
    static hrt_job_info jobs[LEFT_MAX];
    hrt_job_filter all = {.queue = -1, .kind = -1};
    uint32_t count = 0;
    uint64_t next = 0;
    REQUIRE(hrt_runtime_jobs(l->runtime, &all, jobs, LEFT_MAX, &count, &next) == HRT_OK);
    for (uint32_t i = 0; i < count; i++) {
        if (draw(l, 4) > 0) {
            (void)!hrt_runtime_cancel(l->runtime, jobs[i].id);
            (void)!hrt_runtime_discard(l->runtime, jobs[i].id);
        }
    }
}

static void *follow(void *standby)
{
    return (void *)(intptr_t)hrt_standby_run(standby);
}

/* The log goes round many times while a busy machine lets the standby wait. */
static bool has_snapshot_in_log(const life *l)
{
    hrt_standby_info info;
    hrt_standby_status(l->standby, &info);
    return info.snapshots > 0 &&
           info.snapshot_position >= hrt_runtime_page(l->runtime)->runtime.log_head;
}

/* A patient one dies when there is a snapshot to begin from, the others at any moment. */
static void live(life *l, bool patient)
{
    pthread_t thread;
    int page = -1;
    open_log(l, 1);
    clear(l);
    hrt_runtime_options options = options_of(l, 1);
    REQUIRE(hrt_runtime_page_fd(l->runtime, &page) == HRT_OK);
    REQUIRE(hrt_standby_open(&options, page, &l->standby) == HRT_OK);
    REQUIRE(pthread_create(&thread, NULL, follow, l->standby) == 0);
    for (;;) {
        add_job(l);
        operate(l);
        if (hrt_runtime_page(l->runtime)->runtime.jobs > LIVING_MAX) {
            clear(l);
        }
        uint32_t jobs = __atomic_add_fetch(&l->promised->jobs, 1, __ATOMIC_RELEASE);
        if (patient && jobs >= l->promised->kill_after && has_snapshot_in_log(l)) {
            (void)kill(getpid(), SIGKILL);
        }
    }
}

static void end_life(const life *l, pid_t child, bool patient)
{
    const promises *p = l->promised;
    int status = 0;
    while (!patient && __atomic_load_n(&p->jobs, __ATOMIC_ACQUIRE) < p->kill_after) {
        REQUIRE(waitpid(child, &status, WNOHANG) == 0);
        (void)usleep(LOOK_US);
    }
    REQUIRE(patient || kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
            WTERMSIG(status) == SIGKILL);
}

/* ---- judging ---- */

/* Of all records, from the oldest segment on. */
static uint64_t hash_of_log(const life *l)
{
    hrt_scan *scan = NULL;
    hrt_replay *replay = NULL;
    const hrt_record *record = NULL;
    REQUIRE(hrt_scan_open(l->directory, &scan) == HRT_OK);
    REQUIRE(hrt_replay_new(&replay) == HRT_OK);
    int status = hrt_scan_next(scan, &record);
    while (status == HRT_OK) {
        REQUIRE(hrt_replay_apply(replay, record, record->length) == HRT_OK);
        status = hrt_scan_next(scan, &record);
    }
    CHECK_EQ(status, HRT_EEND);
    uint64_t hash = hrt_replay_hash(replay);
    hrt_replay_free(replay);
    hrt_scan_close(scan);
    return hash;
}

/* True: it began from a snapshot. */
static bool judge(life *l)
{
    hrt_recovery found;
    hrt_event event = {.text = ""};
    uint32_t count = 0;
    open_log(l, 1);
    hrt_runtime_recovery(l->runtime, &found);
    CHECK(hrt_runtime_state_hash(l->runtime) == hash_of_log(l));
    REQUIRE(hrt_runtime_events(l->runtime, &event, 1, &count) == HRT_OK);
    if (count > 0 && strstr(event.text, "given up what followed it") == NULL) {
        printf("# %s\n", event.text); /* they may get old, but none of them is wrong */
        CHECK_EQ(count, 0);
    }
    /* Killed again, without a clean end. */
    return found.snapshot == 1;
}

static bool judge_in_a_process(life *l)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool used = judge(l);
        (void)fflush(stdout);
        _exit(tap_failures > 0 ? 2 : used);
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

static void make_promises(life *l)
{
    l->promised =
        mmap(NULL, sizeof(promises), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(l->promised != MAP_FAILED);
}

static void snapshot_and_rest_are_the_whole_log(void)
{
    life l = {.random = 20261122};
    const char *longer = getenv("LONG");
    uint32_t lives = longer != NULL && longer[0] == '1' ? LIVES_LONG : LIVES;
    uint32_t used = 0;
    scratch_make(l.directory);
    make_promises(&l);
    for (uint32_t i = 0; i < lives && tap_failures == 0; i++) {
        *l.promised =
            (promises){.id = l.promised->id, .kill_after = 1 + (uint32_t)draw(&l, JOBS_A_LIFE)};
        (void)draw(&l, 2); /* each life draws others */
        bool patient = i % 2 == 0;
        (void)fflush(stdout);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            live(&l, patient);
        }
        end_life(&l, child, patient);
        used += judge_in_a_process(&l);
    }
    printf("# json {\"what\": \"a runtime and its standby killed while it writes snapshots\", "
           "\"counts\": {\"restarts from a snapshot\": %u}, \"faults\": {\"SIGKILLs\": %u}, "
           "\"violations\": %d}\n",
           used, lives, tap_failures);
    CHECK(used >= lives / 3); /* patient ones, less those whose snapshot is given up */
    (void)munmap(l.promised, sizeof(promises));
    scratch_remove();
}

/* ---- killed at each system call of writing one ---- */

/* A snapshot that was read, to be written once more. */
typedef struct copy {
    life l;
    char path[128];
    uint8_t *bytes;
    size_t size;
    hrt_snapshot_order order;
} copy;

static void take_away(copy *c)
{
    hrt_snapshot_names names;
    hrt_snapshot_head head;
    hrt_state *state = hrt_state_new(NULL, 65536);
    c->order.directory = open(c->l.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(state != NULL && c->order.directory >= 0);
    hrt_snapshot_list(c->order.directory, &names);
    REQUIRE(names.count == 1);
    (void)snprintf(c->path, sizeof(c->path), "%s/%s", c->l.directory, names.names[0]);
    FILE *file = fopen(c->path, "r");
    c->bytes = malloc(DUMP_ROOM);
    REQUIRE(file != NULL && c->bytes != NULL);
    c->size = fread(c->bytes, 1, DUMP_ROOM, file);
    (void)fclose(file);
    REQUIRE(hrt_snapshot_judge(c->bytes, c->size, &head) == NULL);
    size_t around = sizeof(head) + sizeof(hrt_snapshot_tail);
    REQUIRE(hrt_state_load(state, c->bytes + sizeof(head), c->size - around) == HRT_OK);
    c->order.start = head.start;
    c->order.segment_size = head.segment_size;
    c->order.state = state;
    REQUIRE(unlink(c->path) == 0);
}

static void write_again(void *context)
{
    const copy *c = context;
    REQUIRE(hrt_snapshot_write(&c->order) == HRT_OK);
}

/* What a writer that was killed leaves behind is gone after the next one is written. */
static void leave_remains(copy *c)
{
    int fd = openat(c->order.directory, "snapshot.1.new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && close(fd) == 0);
    (void)unlink(c->path);
    hrt_snapshot_doom(c->order.directory, &c->order.doomed);
    CHECK(c->order.doomed.count > 0);
}

static void a_kill_at_each_system_call_leaves_a_whole_one_or_none(void)
{
    copy c = {.l = {.random = 7}};
    uint64_t stop = 0;
    uint64_t whole = 0;
    bool killed = true;
    scratch_make(c.l.directory);
    make_promises(&c.l);
    open_log(&c.l, 1);
    for (uint32_t i = 0; i < MANY_JOBS; i++) {
        add_job(&c.l);
    }
    close_log(&c.l);
    take_away(&c);
    for (; killed && tap_failures == 0; stop++) {
        REQUIRE(stop < STOPS_MAX);
        leave_remains(&c);
        killed = tracer_kill_at(stop, write_again, &c);
        bool there = access(c.path, F_OK) == 0;
        CHECK(there == judge_in_a_process(&c.l));
        CHECK(there || killed);
        whole += there;
    }
    CHECK(faccessat(c.order.directory, "snapshot.1.new", F_OK, 0) != 0);
    printf("# json {\"what\": \"SIGKILL at each system call of writing a snapshot\", \"counts\": "
           "{\"left whole\": %llu}, \"faults\": {\"SIGKILLs\": %llu}, \"violations\": %d}\n",
           (unsigned long long)whole, (unsigned long long)stop, tap_failures);
    CHECK(stop > 20 && whole > 2 && whole < stop);
    hrt_state_free((hrt_state *)(uintptr_t)c.order.state);
    free(c.bytes);
    (void)close(c.order.directory);
    (void)munmap(c.l.promised, sizeof(promises));
    scratch_remove();
}

int main(void)
{
    TAP_LIST(TEST(snapshot_and_rest_are_the_whole_log),
             TEST(a_kill_at_each_system_call_leaves_a_whole_one_or_none));
}
