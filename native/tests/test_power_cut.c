/*
 * Power cuts: a runtime lives over several laps of a small log while each write and sync is
 * recorded. Then the power is cut at each point, with any part of what was not synced on the disk,
 * and each time recovery has to find what was promised, unharmed, and the state it stands for.
 * Some of these logs live on and lose their power again. LONG=1 looks at many more of them.
 */
#include "record.h"
#include "log.h"
#include "recorder.h"
#include "scan.h"
#include "state.h"

#include <dirent.h>
#include <hybridrt/runtime.h>
#include <time.h>

#define SECOND_NS ((int64_t)1000000000)

enum { FETCH_MAX = 16, QUEUES = 4, MEMORY_QUEUE = 3 };

/* ---- what was ever written: the records by sequence, and the state after each ---- */

typedef struct line {
    hrt_record *record;
    uint64_t hash; /* of the state, after the last record of a group */
} line;

typedef struct history {
    line *lines; /* of sequence 1, 2, ... */
    uint64_t count;
    uint64_t capacity;
} history;

static void history_cut(history *past, uint64_t count)
{
    while (past->count > count) {
        free(past->lines[--past->count].record);
    }
}

static void history_add(history *past, const hrt_record *record)
{
    size_t length = record->type == HRT_RECORD_PAD ? sizeof(*record) : record->length;
    if (past->count == past->capacity) {
        past->capacity = past->capacity == 0 ? 4096 : 2 * past->capacity;
        past->lines = realloc(past->lines, past->capacity * sizeof(line));
        REQUIRE(past->lines != NULL);
    }
    line *added = &past->lines[past->count++];
    *added = (line){.record = malloc(length)};
    REQUIRE(added->record != NULL);
    memcpy(added->record, record, length);
    CHECK_EQ(record->sequence, past->count);
}

/* Adds what a life has written, in the order of its writing. */
static void history_go_on(history *past, const event *events, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (events[i].type != EVENT_WRITE || events[i].offset < HRT_SEGMENT_HEADER) {
            continue;
        }
        for (uint64_t offset = 0; offset < events[i].length;) {
            const hrt_record *record = (const void *)(events[i].bytes + offset);
            REQUIRE(record->length >= sizeof(*record));
            history_add(past, record);
            offset += hrt_record_span(record->length);
        }
    }
}

static history history_copy(const history *past, uint64_t count)
{
    history copy = {0};
    for (uint64_t i = 0; i < count; i++) {
        history_add(&copy, past->lines[i].record);
    }
    return copy;
}

/* The state after each group, from the very first record on: nothing has ever been retired here. */
static void history_replay(history *past)
{
    hrt_state *state = hrt_state_new(NULL, DISK_SEGMENT);
    REQUIRE(state != NULL);
    for (uint64_t i = 0; i < past->count; i++) {
        const hrt_record *record = past->lines[i].record;
        REQUIRE(hrt_state_apply(state, record) == HRT_OK);
        if (record->flags & HRT_RECORD_LAST) {
            past->lines[i].hash = hrt_state_hash(state);
        }
    }
    hrt_state_free(state);
}

/* ---- a life: a supervisor, a producer and a worker ---- */

typedef struct life {
    hrt_runtime *runtime;
    hrt_client *local;
    hrt_client *worker;
    pthread_t thread;
    uint16_t kinds[2];
    uint16_t queues[QUEUES];
    bool memory_only;
} life;

static void *run(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static void declare_queue(life *l, uint32_t queue, uint32_t retain_max, uint8_t order)
{
    static const uint8_t durability[QUEUES] = {HRT_DURABILITY_SYNC, HRT_DURABILITY_SYNC,
                                               HRT_DURABILITY_ASYNC, HRT_DURABILITY_MEMORY};
    hrt_queue_settings settings = {.weight = 1,
                                   .retain_max = retain_max,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 2,
                                   .durability =
                                       l->memory_only ? HRT_DURABILITY_MEMORY : durability[queue],
                                   .order = order,
                                   .max_attempts = 3,
                                   .result_ttl_ms = 600000,
                                   .max_crashes = 3};
    (void)snprintf(settings.name, sizeof(settings.name), "queue%u", queue);
    REQUIRE(hrt_runtime_queue(l->runtime, &settings, &l->queues[queue]) == HRT_OK);
}

static void attach_worker(life *l)
{
    static const char *const kinds[] = {"kind0", "kind1"};
    hrt_attach_options options = {.struct_size = sizeof(options), .abi_version = HRT_ABI_VERSION};
    hrt_register_options served = {
        .kinds = kinds, .kind_count = 2, .concurrency = 4, .credit = 8, .language = "c"};
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    char text[64];
    REQUIRE(hrt_runtime_lane(l->runtime, 0, 0, "pool", "worker", fds, &incarnation) == HRT_OK);
    (void)snprintf(text, sizeof(text), "fds:%d,%d,%d,%d", fds[0], fds[1], fds[2], fds[3]);
    (void)setenv("HYBRIDRT_ATTACH", text, 1);
    REQUIRE(hrt_attach(&options, &l->worker) == HRT_OK);
    REQUIRE(hrt_register(l->worker, &served) == HRT_OK);
}

static void life_begin(life *l, const char *directory, bool memory_only)
{
    *l = (life){.memory_only = memory_only};
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = directory,
                                   .segment_size = DISK_SEGMENT,
                                   .segments_max = 10};
    REQUIRE(hrt_runtime_open(&options, &l->runtime) == HRT_OK);
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        declare_queue(l, queue, 3, queue == 1 ? HRT_ORDER_SKIP : HRT_ORDER_BLOCK);
    }
    REQUIRE(hrt_runtime_kind(l->runtime, "kind0", &l->kinds[0]) == HRT_OK);
    REQUIRE(hrt_runtime_kind(l->runtime, "kind1", &l->kinds[1]) == HRT_OK);
    REQUIRE(hrt_runtime_client(l->runtime, &l->local) == HRT_OK);
    REQUIRE(pthread_create(&l->thread, NULL, run, l->runtime) == 0);
    attach_worker(l);
}

static void life_end(life *l)
{
    hrt_detach(l->worker);
    hrt_runtime_stop(l->runtime);
    (void)pthread_join(l->thread, NULL);
    hrt_detach(l->local);
    hrt_runtime_close(l->runtime);
}

static void enqueue_some(life *l, uint32_t round)
{
    static uint8_t payload[2048];
    static const uint8_t trace[HRT_TRACE_SIZE] = {1};
    char key[8];
    memset(payload, (int)round, sizeof(payload));
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t turn = round * 6 + i;
        (void)snprintf(key, sizeof(key), "key%u", turn % 5);
        hrt_spec spec = {.payload = payload,
                         .payload_length = turn % 7 * 300,
                         .key = turn % 3 == 0 ? key : NULL,
                         .key_length = turn % 3 == 0 ? 4 : 0,
                         .trace = turn % 4 == 0 ? trace : NULL,
                         .delay_ns = turn % 11 == 0  ? 3600 * (uint64_t)SECOND_NS
                                     : turn % 5 == 0 ? 1000000
                                                     : 0,
                         .expires_ms = turn % 13 == 0 ? 2 : 0,
                         .result_ttl_ms = turn % 4 == 0 ? 3 : 0,
                         .kind = l->kinds[turn % 2],
                         .queue = l->queues[i % QUEUES]};
        int64_t id = 0;
        int status = hrt_enqueue_wait(l->local, &spec, 1, 10 * SECOND_NS, &id);
        REQUIRE(status == HRT_OK);
        REQUIRE(id > 0);
        if (!l->memory_only && i % QUEUES < 2) {
            recorder_promise((uint64_t)id);
        }
    }
}

static void settle_some(life *l, uint32_t round)
{
    static const uint8_t outcomes[] = {HRT_OUTCOME_OK,     HRT_OUTCOME_RETRY, HRT_OUTCOME_OK,
                                       HRT_OUTCOME_SNOOZE, HRT_OUTCOME_OK,    HRT_OUTCOME_DISCARD,
                                       HRT_OUTCOME_OK,     HRT_OUTCOME_OK,    HRT_OUTCOME_DEAD};
    hrt_job jobs[FETCH_MAX];
    uint32_t count = 0;
    int status = hrt_fetch(l->worker, jobs, FETCH_MAX, 2000000, &count);
    REQUIRE(status == HRT_OK || status == HRT_EAGAIN);
    for (uint32_t i = 0; status == HRT_OK && i < count; i++) {
        hrt_spec follow = {
            .payload = "follow", .payload_length = 6, .kind = l->kinds[0], .queue = l->queues[0]};
        hrt_settlement settlement = {.job = jobs[i].id,
                                     .token = jobs[i].token,
                                     .outcome = outcomes[(jobs[i].id + round) % 9],
                                     .delay_ns = round % 2 == 0 ? 0 : 1000000,
                                     .data = "what there is to say",
                                     .data_length = round % 3 == 0 ? 0 : 20,
                                     .follow = &follow,
                                     .follow_count = jobs[i].id % 8 == 0};
        CHECK_EQ(hrt_settle(l->worker, &settlement, 1), HRT_OK);
    }
}

/* Lets an operator act on some of the jobs in a state. */
static void operate_on(life *l, uint8_t state, int (*action)(hrt_runtime *, uint64_t))
{
    hrt_job_filter filter = {.states = 1u << state, .queue = -1, .kind = -1};
    hrt_job_info found[64];
    uint32_t count = 0;
    uint64_t next = 0;
    REQUIRE(hrt_runtime_jobs(l->runtime, &filter, found, 64, &count, &next) == HRT_OK);
    for (uint32_t i = 0; i < count; i++) {
        (void)!action(l->runtime, found[i].id);
    }
}

static void operate(life *l, uint32_t round)
{
    switch (round % 12) {
    case 3:
        CHECK_EQ(hrt_runtime_pause(l->runtime, l->queues[1], 1), HRT_OK);
        break;
    case 5:
        declare_queue(l, 1, 2, HRT_ORDER_BLOCK);
        break;
    case 7:
        CHECK_EQ(hrt_runtime_pause(l->runtime, l->queues[1], 0), HRT_OK);
        break;
    case 8:
        operate_on(l, HRT_JOB_DEAD, hrt_runtime_retry);
        break;
    case 9:
        operate_on(l, HRT_JOB_SCHEDULED, hrt_runtime_cancel);
        break;
    case 10:
        operate_on(l, HRT_JOB_DEAD, hrt_runtime_discard);
        break;
    case 11:
        declare_queue(l, 1, 4, HRT_ORDER_SKIP);
        break;
    default:
        break;
    }
}

static event *live(const char *directory, uint32_t rounds, bool memory_only, uint64_t *count_out)
{
    life l;
    recorder_begin();
    life_begin(&l, directory, memory_only);
    for (uint32_t round = 0; round < rounds; round++) {
        enqueue_some(&l, round);
        settle_some(&l, round);
        operate(&l, round);
    }
    life_end(&l);
    return recorder_end(count_out);
}

/* ---- recovery ---- */

typedef struct universe {
    char directory[64];
    int fd;
    bool memory_only;
    uint64_t random;
    uint64_t states;
    uint64_t torn;
    disk cut;
} universe;

typedef struct witness {
    const history *past;
    hrt_state *state;
    uint64_t first;
    uint64_t last;
} witness;

static int witness_record(void *context, const hrt_record *record)
{
    witness *w = context;
    CHECK(w->last == 0 || record->sequence == w->last + 1);
    w->first = w->first == 0 ? record->sequence : w->first;
    w->last = record->sequence;
    REQUIRE(record->sequence <= w->past->count);
    const hrt_record *written = w->past->lines[record->sequence - 1].record;
    size_t length = record->type == HRT_RECORD_PAD ? sizeof(*record) : record->length;
    CHECK(written->length == record->length && memcmp(written, record, length) == 0);
    return hrt_state_apply(w->state, record);
}

/* Opens the log of the world and holds it against what was written and promised. */
static witness recover(universe *world, const history *past, uint64_t promised)
{
    hrt_log_options options = {
        .directory = world->directory, .segment_size = DISK_SEGMENT, .segments_max = 10};
    witness w = {.past = past, .state = hrt_state_new(NULL, DISK_SEGMENT)};
    REQUIRE(w.state != NULL);
    hrt_log *log = NULL;
    hrt_recovery recovery = {0};
    hrt_damage_report report = {0};
    int status = hrt_log_open(&options, witness_record, &w, &log, &recovery, &report);
    CHECK_EQ(status, HRT_OK);
    if (status != HRT_OK) {
        printf("# %s\n", report.text);
    } else {
        world->torn += report.damage == HRT_DAMAGE_TORN;
        CHECK(report.damage == HRT_DAMAGE_NONE || report.damage == HRT_DAMAGE_TORN);
        CHECK(w.last >= promised);
        CHECK_EQ(hrt_log_next_sequence(log), w.last + 1);
        /* Jobs in memory may be gone whose segment was used again before their copy was synced. */
        CHECK(world->memory_only || w.last == 0 ||
              hrt_state_hash(w.state) == past->lines[w.last - 1].hash);
    }
    hrt_log_close(log);
    hrt_state_free(w.state);
    world->states++;
    return w;
}

static const universe *world_left; /* to be removed if a test bails out */

static void world_remove(const universe *world)
{
    static const disk nothing;
    disk_store(&nothing, world->fd);
    (void)unlinkat(world->fd, "lock", 0);
    (void)unlinkat(world->fd, "unsynced", 0);
    (void)close(world->fd);
    CHECK_EQ(rmdir(world->directory), 0);
}

static void world_bail(void)
{
    if (world_left != NULL) {
        world_remove(world_left);
        world_left = NULL;
    }
}

static void world_begin(universe *world, bool memory_only)
{
    memset(world, 0, sizeof(*world));
    bool shared = access("/dev/shm", W_OK) == 0;
    (void)snprintf(world->directory, sizeof(world->directory), "%s/hrt_power_XXXXXX",
                   shared ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(world->directory) != NULL);
    world->fd = open(world->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(world->fd >= 0);
    world->memory_only = memory_only;
    world->random = 1;
    REQUIRE(atexit(world_bail) == 0);
    world_left = world;
}

static void world_end(const universe *world)
{
    world_remove(world);
    world_left = NULL;
}

/* ---- exploring ---- */

typedef struct story {
    history past;
    event *events;
    uint64_t count;
    disk before;
} story;

static uint64_t promised_at(const story *s, uint64_t cut)
{
    uint64_t promised = 0;
    for (uint64_t i = 0; i < cut; i++) {
        promised = s->events[i].type == EVENT_PROMISE ? s->events[i].value : promised;
    }
    return promised;
}

static witness cut_power(universe *world, const story *s, uint64_t cut, fate *f)
{
    int before = tap_failures;
    fate chosen = *f;
    disk_cut(&s->before, s->events, cut, f, &world->cut);
    disk_store(&world->cut, world->fd);
    witness w = recover(world, &s->past, promised_at(s, cut));
    if (tap_failures > before) {
        printf("# cut before event %" PRIu64 " of %" PRIu64 ", chance %u, piece %u, chosen %" PRIx64
               "\n",
               cut, s->count, chosen.chance, chosen.piece, chosen.chosen);
    }
    return w;
}

static fate some_fate(universe *world)
{
    static const uint32_t chances[] = {128, 128, 224, 32};
    uint64_t random = fate_random(&world->random);
    return (fate){.random = random,
                  .chance = chances[random >> 32 & 3],
                  .piece = random >> 40 & 1 ? PAGE : SECTOR};
}

/* All subsets of few pieces, else some: none, all, and random ones. */
static void cut_at(universe *world, const story *s, uint64_t cut, uint32_t subsets)
{
    fate none = {.piece = SECTOR};
    fate all = {.piece = SECTOR, .chance = 256};
    (void)cut_power(world, s, cut, &none);
    uint64_t pieces = none.pieces;
    if (pieces > 0) {
        (void)cut_power(world, s, cut, &all);
    }
    bool few = pieces < 32 && (1ull << pieces) <= subsets;
    uint64_t count = few ? (1ull << pieces) : pieces > 0 ? subsets : 0;
    for (uint64_t i = few ? 1 : 0; i + few < count && tap_failures == 0; i++) {
        fate f = few ? (fate){.piece = SECTOR, .exhaustive = true, .chosen = i} : some_fate(world);
        (void)cut_power(world, s, cut, &f);
    }
}

static void explore(universe *world, const story *s, uint64_t step, uint32_t subsets)
{
    for (uint64_t cut = 1; cut <= s->count && tap_failures == 0; cut += step) {
        cut_at(world, s, cut, subsets);
    }
}

static void tell_story(universe *world, story *s, uint32_t rounds)
{
    s->events = live(world->directory, rounds, world->memory_only, &s->count);
    history_go_on(&s->past, s->events, s->count);
    history_replay(&s->past);
}

static void free_story(story *s)
{
    recorder_free(s->events, s->count);
    history_cut(&s->past, 0);
    free(s->past.lines);
    free(s);
}

/* The power is cut somewhere; the log lives on and loses its power again. */
static void live_on(universe *world, const story *s, uint32_t lives, uint64_t step,
                    uint32_t subsets)
{
    for (uint32_t i = 0; i < lives && tap_failures == 0; i++) {
        uint64_t cut = 1 + fate_random(&world->random) % s->count;
        fate f = some_fate(world);
        witness w = cut_power(world, s, cut, &f);
        story *next = calloc(1, sizeof(*next));
        REQUIRE(next != NULL);
        /* Recovery may have numbered files and removed blank ones; the crash state is what counts.
         */
        memcpy(&next->before, &world->cut, sizeof(next->before));
        disk_store(&world->cut, world->fd);
        next->past = history_copy(&s->past, w.last);
        tell_story(world, next, 12);
        explore(world, next, step, subsets);
        if (lives > 4 && tap_failures == 0) {
            live_on(world, next, 2, step, subsets);
        }
        free_story(next);
    }
}

static bool is_long(void)
{
    return getenv("LONG") != NULL;
}

static void cut_the_power_of(bool memory_only, uint32_t rounds)
{
    universe *world = malloc(sizeof(*world));
    story *s = calloc(1, sizeof(*s));
    REQUIRE(world != NULL && s != NULL);
    world_begin(world, memory_only);
    tell_story(world, s, rounds);
    printf("# %" PRIu64 " records, %" PRIu64 " events\n", s->past.count, s->count);
    explore(world, s, 1, is_long() ? 16 : 2);
    if (!memory_only) {
        live_on(world, s, is_long() ? 12 : 5, is_long() ? 1 : 5, is_long() ? 6 : 2);
    }
    printf("# %" PRIu64 " states, %" PRIu64 " of them torn\n", world->states, world->torn);
    CHECK(world->states > 1000 && world->torn > 0);
    world_end(world);
    free_story(s);
    free(world);
}

static void what_was_promised_outlives_a_power_cut(void)
{
    cut_the_power_of(false, is_long() ? 180 : 90);
}

/* Nothing was promised, but the log has to open again, with whatever is left of it. */
static void a_log_in_memory_opens_again_after_a_power_cut(void)
{
    cut_the_power_of(true, is_long() ? 120 : 60);
}

/* ---- a disk that fails to write, once ---- */

static int count_record(void *context, const hrt_record *record)
{
    *(uint64_t *)context = record->sequence;
    return HRT_OK;
}

/* Opens the log, appends some groups, closes it; returns the last sequence that it had found. */
static uint64_t append_some(const universe *world, uint32_t groups, bool failing)
{
    hrt_log_options options = {
        .directory = world->directory, .segment_size = DISK_SEGMENT, .segments_max = 10};
    hrt_log *log = NULL;
    hrt_damage_report report = {0};
    uint64_t found = 0;
    REQUIRE(hrt_log_open(&options, count_record, &found, &log, NULL, &report) == HRT_OK);
    CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
    for (uint32_t i = 0; i < groups; i++) {
        size_t body = hrt_lease_length(2000);
        size_t span = hrt_record_span((uint32_t)(sizeof(hrt_record) + body));
        REQUIRE(hrt_log_reserve(log, span, HRT_LOG_OLD_WORK) == HRT_OK);
        hrt_log_add(log, HRT_RECORD_LEASE, body)->count = 2000;
        REQUIRE(hrt_log_seal(log) == HRT_OK);
    }
    recording.failing = failing;
    hrt_log_close(log);
    recording.failing = false;
    return found;
}

/* The kernel keeps pages that it has failed to write, calls them clean, and never tries again. */
static void what_a_failed_sync_left_is_written_again(void)
{
    universe *world = malloc(sizeof(*world));
    disk *before = calloc(1, sizeof(*before));
    REQUIRE(world != NULL && before != NULL);
    world_begin(world, false);
    uint64_t counts[2];
    fate none = {.piece = SECTOR};
    recorder_begin();
    (void)append_some(world, 2, false);
    CHECK(append_some(world, 6, true) >= 2);
    event *events = recorder_end(&counts[0]);
    disk_cut(before, events, counts[0], &none, &world->cut);
    memcpy(before, &world->cut, sizeof(*before));
    recorder_begin();
    uint64_t seen = append_some(world, 2, false);
    CHECK(seen >= 8);
    event *later = recorder_end(&counts[1]);
    disk_cut(before, later, counts[1], &none, &world->cut);
    disk_store(&world->cut, world->fd);
    CHECK(append_some(world, 0, false) >= seen + 2);
    recorder_free(events, counts[0]);
    recorder_free(later, counts[1]);
    world_end(world);
    free(before);
    free(world);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    if (!is_long()) {
        puts("1..0 # SKIP takes minutes under TSan, and is about the disk; LONG=1 runs it");
        return 0;
    }
#endif
    TAP_LIST(TEST(what_was_promised_outlives_a_power_cut),
             TEST(a_log_in_memory_opens_again_after_a_power_cut),
             TEST(what_a_failed_sync_left_is_written_again));
}
