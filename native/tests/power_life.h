/*
 * The life of a small log: a supervisor, a producer, a worker and an operator act on it, while all
 * that is written is recorded. Whoever cuts its power afterwards finds here what was ever written,
 * what was promised when, and the state after each group.
 */
#ifndef HRT_POWER_LIFE_H
#define HRT_POWER_LIFE_H

#include "log.h"
#include "record.h"
#include "recorder.h"
#include "spawned.h"
#include "state.h"

#include <hybridrt/runtime.h>
#include <time.h>

#define SECOND_NS ((int64_t)1000000000)

enum {
    FETCH_MAX = 16,
    QUEUES = 4,
    MEMORY_QUEUE = 3,
    BURST_EVERY = 3, /* rounds */
    BURST_JOBS = 24, /* nearly a segment of them */
    BURST_PAYLOAD = 2000,
    BURST_SETTLES = 5,
    WRITE_BACK_EVERY = 8, /* jobs */
};

static uint32_t segments_max = 40;
/* Others may look there, while the life goes on, at what was promised; NULL: nobody does. */
static uint64_t *promise_place;

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

static inline void history_cut(history *past, uint64_t count)
{
    while (past->count > count) {
        free(past->lines[--past->count].record);
    }
}

static inline void history_add(history *past, const hrt_record *record)
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

/* An opening writes again what the one before it left unsynced, in pieces of any kind. */
static inline bool is_repetition(const history *past, const event *write)
{
    hrt_record first;
    if (write->length < sizeof(first)) {
        return true;
    }
    memcpy(&first, write->bytes, sizeof(first));
    return first.position % DISK_SEGMENT != write->offset || first.sequence <= past->count;
}

static inline void history_compare(const history *past, const hrt_record *record)
{
    REQUIRE(record->sequence > 0);
    const hrt_record *written = past->lines[record->sequence - 1].record;
    size_t length = record->type == HRT_RECORD_PAD ? sizeof(*record) : record->length;
    CHECK(written->length == record->length && memcmp(written, record, length) == 0);
}

/* Adds what a life has written, in the order of its writing. */
static inline void history_go_on(history *past, const event *events, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (events[i].type != EVENT_WRITE || events[i].offset < HRT_SEGMENT_HEADER ||
            is_repetition(past, &events[i])) {
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

static inline history history_copy(const history *past, uint64_t count)
{
    history copy = {0};
    for (uint64_t i = 0; i < count; i++) {
        history_add(&copy, past->lines[i].record);
    }
    return copy;
}

/* The state after each group, from the very first record on: nothing has ever been retired here. */
static inline void history_replay(history *past)
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

/* ---- on paper: for other processes ---- */

/* A record after another, each behind its length. */
static inline void history_store(const history *past, const char *path)
{
    FILE *file = fopen(path, "we");
    REQUIRE(file != NULL);
    for (uint64_t i = 0; i < past->count; i++) {
        const hrt_record *record = past->lines[i].record;
        uint32_t length = record->type == HRT_RECORD_PAD ? sizeof(*record) : record->length;
        REQUIRE(fwrite(&length, sizeof(length), 1, file) == 1);
        REQUIRE(fwrite(record, length, 1, file) == 1);
    }
    REQUIRE(fclose(file) == 0);
}

static inline void history_load(history *past, const char *path)
{
    static _Alignas(hrt_record) uint8_t bytes[DISK_SEGMENT];
    uint32_t length = 0;
    FILE *file = fopen(path, "re");
    REQUIRE(file != NULL);
    while (fread(&length, sizeof(length), 1, file) == 1) {
        REQUIRE(length <= sizeof(bytes) && fread(bytes, length, 1, file) == 1);
        history_add(past, (const hrt_record *)bytes);
    }
    (void)fclose(file);
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

static inline void *run(void *runtime)
{
    return (void *)(intptr_t)hrt_runtime_run(runtime);
}

static inline void declare_queue(life *l, uint32_t queue, uint32_t retain_max, uint8_t order)
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

static inline void attach_worker(life *l)
{
    static const char *const kinds[] = {"kind0", "kind1"};
    hrt_register_options served = {
        .kinds = kinds, .kind_count = 2, .concurrency = 4, .credit = 8, .language = "c"};
    int fds[HRT_FD_COUNT];
    uint64_t incarnation = 0;
    REQUIRE(hrt_runtime_lane(l->runtime, 0, 0, "pool", "worker", fds, &incarnation) == HRT_OK);
    spawned_leave(fds);
    REQUIRE_OK(spawned_attach(&l->worker));
    REQUIRE(hrt_register(l->worker, &served) == HRT_OK);
}

static inline void life_begin(life *l, const char *directory, bool memory_only)
{
    *l = (life){.memory_only = memory_only};
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = directory,
                                   .segment_size = DISK_SEGMENT,
                                   .segments_max = segments_max};
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

static inline void life_end(life *l)
{
    hrt_detach(l->worker);
    hrt_runtime_stop(l->runtime);
    (void)pthread_join(l->thread, NULL);
    hrt_detach(l->local);
    hrt_runtime_close(l->runtime);
}

static inline void promise(uint64_t id)
{
    recorder_promise(id);
    if (promise_place != NULL) {
        __atomic_store_n(promise_place, id, __ATOMIC_SEQ_CST);
    }
}

static inline void enqueue_some(life *l, uint32_t round)
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
            promise((uint64_t)id);
        }
    }
}

static inline void settle_some(life *l, uint32_t round)
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
static inline void operate_on(life *l, uint8_t state, int (*action)(hrt_runtime *, uint64_t))
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

static inline void operate(life *l, uint32_t round)
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

/* As the kernel does now and then: what was written goes to the device, and no flush behind it. */
static inline void write_back(const char *directory)
{
    for (uint32_t slot = 0; slot < segments_max; slot++) {
        char name[HRT_SEGMENT_NAME_SIZE];
        char path[320];
        hrt_segment_name(slot, name);
        (void)snprintf(path, sizeof(path), "%s/%s", directory, name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            CHECK_EQ(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
            (void)close(fd);
        }
    }
}

/* Many jobs that wait for no sync: the next one finds a lot unsynced, in more than one file. */
static inline void burst(life *l, const char *directory, uint32_t round)
{
    static const uint8_t payload[BURST_PAYLOAD];
    for (uint32_t i = 0; i < BURST_JOBS; i++) {
        hrt_spec spec = {.payload = payload,
                         .payload_length = BURST_PAYLOAD,
                         .kind = l->kinds[0],
                         .queue = l->queues[MEMORY_QUEUE]};
        int64_t id = 0;
        REQUIRE(hrt_enqueue_wait(l->local, &spec, 1, 10 * SECOND_NS, &id) == HRT_OK);
        if (i % WRITE_BACK_EVERY == 0) {
            write_back(directory);
        }
    }
    for (uint32_t i = 0; i < BURST_SETTLES; i++) {
        settle_some(l, round);
    }
}

static inline event *live(const char *directory, uint32_t rounds, bool memory_only,
                          uint64_t *count_out)
{
    life l;
    recorder_begin();
    life_begin(&l, directory, memory_only);
    for (uint32_t round = 0; round < rounds; round++) {
        enqueue_some(&l, round);
        settle_some(&l, round);
        operate(&l, round);
        if (round % BURST_EVERY == 0) {
            burst(&l, directory, round);
        }
    }
    life_end(&l);
    return recorder_end(count_out);
}

/* ---- recovery ---- */

typedef struct witness {
    const history *past;
    hrt_state *state;
    uint64_t first;
    uint64_t last;
} witness;

static inline int witness_record(void *context, const hrt_record *record)
{
    witness *w = context;
    CHECK(w->last == 0 || record->sequence == w->last + 1);
    w->first = w->first == 0 ? record->sequence : w->first;
    w->last = record->sequence;
    REQUIRE(record->sequence <= w->past->count);
    history_compare(w->past, record);
    return hrt_state_apply(w->state, record);
}

static inline void tell_job(const char *where, const hrt_state_job *job)
{
    printf("# %s: job %" PRIu64
           " state %d queue %d kind %d attempt %d outcome %d cause %d due %" PRIu64
           " settled %" PRIu64 " result %u error %u crashes %d\n",
           where, job->id, job->state, job->queue, job->kind, job->attempt, job->outcome,
           job->cause, job->due_ns, job->settled_ns, job->result_length, job->error_length,
           job->crashes);
}

/* Says which jobs the recovered state has that the records do not make, and the other way round. */
static inline void tell_difference(const witness *w)
{
    hrt_state *state = hrt_state_new(NULL, DISK_SEGMENT);
    REQUIRE(state != NULL);
    for (uint64_t i = 0; i < w->last; i++) {
        REQUIRE(hrt_state_apply(state, w->past->lines[i].record) == HRT_OK);
    }
    printf("# the log has sequences %" PRIu64 " to %" PRIu64 "\n", w->first, w->last);
    for (uint64_t id = 1; id <= w->last; id++) {
        const hrt_state_job *found = hrt_state_find(w->state, id);
        const hrt_state_job *right = hrt_state_find(state, id);
        bool same = found != NULL && right != NULL && found->state == right->state &&
                    found->attempt == right->attempt && found->due_ns == right->due_ns &&
                    found->settled_ns == right->settled_ns && found->outcome == right->outcome;
        if (found != NULL && !same) {
            tell_job("recovered", found);
        }
        if (right != NULL && !same) {
            tell_job("right", right);
        }
    }
    hrt_state_free(state);
}

/* Opens the log and holds it against what was written and promised. */
static inline witness recover_log(const char *directory, const history *past, uint64_t promised,
                                  bool memory_only, bool *torn_out)
{
    hrt_log_options options = {
        .directory = directory, .segment_size = DISK_SEGMENT, .segments_max = segments_max};
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
        *torn_out = report.damage == HRT_DAMAGE_TORN;
        CHECK(report.damage == HRT_DAMAGE_NONE || report.damage == HRT_DAMAGE_TORN);
        CHECK(w.last >= promised);
        CHECK_EQ(hrt_log_next_sequence(log), w.last + 1);
        /* Jobs in memory may be gone whose segment was used again before their copy was synced. */
        bool right = w.last == 0 || hrt_state_hash(w.state) == past->lines[w.last - 1].hash;
        CHECK(memory_only || right);
        if (!memory_only && !right) {
            tell_difference(&w);
        }
    }
    hrt_log_close(log);
    hrt_state_free(w.state);
    return w;
}

#endif
