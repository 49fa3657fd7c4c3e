/*
 * The whole state as bytes, and back: for a snapshot that a restart begins from. docs/layout.md has
 * the form. What is read is untrusted; the state is of no use after it was refused.
 */
#include "atomic.h"
#include "core.h"
#include "dump.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

enum { DUMP_VERSION = 1, COUNTERS = offsetof(hrt_queue_counters, scheduled) / sizeof(uint64_t) };

typedef struct dump_head {
    uint32_t version;
    uint32_t kinds;
    uint32_t queues;
    uint32_t reserved;
    uint64_t jobs;
    uint64_t sequence; /* of the last record applied, and its time */
    uint64_t time_ns;
} dump_head;

typedef struct dump_kind {
    uint64_t id;
    hrt_name name;
    uint64_t leased;
    uint64_t completed;
    uint64_t failed;
} dump_kind;

typedef struct dump_queue {
    uint32_t id;
    uint32_t paused;
    uint64_t trimmed;
    hrt_queue_settings settings;
    uint64_t counters[COUNTERS];
} dump_queue;

/* Then the error text, zeros to 8. */
typedef struct dump_job {
    uint64_t id, token, client, ready_order, position, key_hash, due_ns, expires_ns, ready_ns;
    uint64_t enqueued_ns, settled_ns, parent, result_position, saved_position, leased_position;
    uint32_t data_offset, payload_length, timeout_ms, saved_length, result_length, result_ttl_ms;
    uint32_t record_span;
    uint16_t kind, queue, attempt, max_attempts, meta_length, error_length, place;
    uint8_t state, key_length, crashes, max_crashes, outcome, cause, traced, reserved[3];
} dump_job;

_Static_assert(sizeof(dump_head) == 40 && sizeof(dump_kind) == 96, "no holes");
_Static_assert(sizeof(dump_queue) == 240 && sizeof(dump_job) == 176, "no holes");

/* ---- writing ---- */

typedef struct writer {
    const hrt_state *state;
    hrt_dump_sink sink;
    void *context;
    int status;
} writer;

static void put(writer *to, const void *bytes, size_t length)
{
    if (to->status == HRT_OK && length > 0) {
        to->status = to->sink(to->context, bytes, length);
    }
}

static void put_job(writer *to, const hrt_state_job *job)
{
    static const uint8_t zeros[8];
#define SAME(name) .name = job->name
    const dump_job dumped = {
        SAME(id),
        SAME(token),
        SAME(client),
        SAME(ready_order),
        SAME(position),
        SAME(key_hash),
        SAME(due_ns),
        SAME(expires_ns),
        SAME(ready_ns),
        SAME(enqueued_ns),
        SAME(settled_ns),
        SAME(parent),
        SAME(saved_length),
        SAME(saved_position),
        SAME(leased_position),
        SAME(result_position),
        SAME(data_offset),
        SAME(payload_length),
        SAME(timeout_ms),
        SAME(result_length),
        SAME(record_span),
        SAME(result_ttl_ms),
        SAME(kind),
        SAME(queue),
        SAME(attempt),
        SAME(max_attempts),
        SAME(meta_length),
        SAME(error_length),
        SAME(place),
        SAME(state),
        SAME(key_length),
        SAME(crashes),
        SAME(max_crashes),
        SAME(outcome),
        SAME(cause),
        SAME(traced),
    };
#undef SAME
    put(to, &dumped, sizeof(dumped));
    put(to, job->error, job->error_length);
    put(to, zeros, -(size_t)job->error_length & 7);
}

static void put_list(writer *to, const hrt_job_list *list)
{
    uint32_t index = list->head;
    while (index != HRT_NIL) {
        const hrt_state_job *job = hrt_jobs_at(&to->state->jobs, index);
        put_job(to, job);
        index = job->ready.next;
    }
}

/* Those that may be leased come first and in their order, of which ready_order is only a part. */
static void put_jobs(writer *to)
{
    for (uint32_t queue = 0; queue < HRT_QUEUES_MAX; queue++) {
        for (uint32_t kind = 0; kind < HRT_KINDS_MAX; kind++) {
            put_list(to, &to->state->queues[queue].ready[kind]);
            put_list(to, &to->state->queues[queue].suspects[kind]);
        }
    }
    for (uint32_t index = 0; index < to->state->jobs.used; index++) {
        const hrt_state_job *job = hrt_jobs_at(&to->state->jobs, index);
        if (job->id != 0 && !job->in_ready) {
            put_job(to, job);
        }
    }
}

static void put_names(writer *to)
{
    const hrt_page *page = to->state->page;
    for (uint32_t id = 0; id < page->kind_count; id++) {
        const hrt_kind_counters *counters = &page->kind_counters[id];
        const dump_kind kind = {.id = id,
                                .name = page->kinds[id],
                                .leased = counters->leased,
                                .completed = counters->completed,
                                .failed = counters->failed};
        put(to, &kind, sizeof(kind));
    }
    for (uint32_t id = 0; id < page->queue_count; id++) {
        const hrt_state_queue *known = &to->state->queues[id];
        dump_queue queue = {.id = id,
                            .paused = known->paused,
                            .trimmed = known->trimmed,
                            .settings = page->queues[id]};
        memcpy(queue.counters, &page->queue_counters[id], sizeof(queue.counters));
        put(to, &queue, sizeof(queue));
    }
}

int hrt_state_dump(const hrt_state *state, hrt_dump_sink sink, void *context)
{
    writer to = {.state = state, .sink = sink, .context = context};
    const dump_head head = {.version = DUMP_VERSION,
                            .kinds = state->page->kind_count,
                            .queues = state->page->queue_count,
                            .jobs = state->jobs.by_id.count,
                            .sequence = state->sequence,
                            .time_ns = state->time_ns};
    put(&to, &head, sizeof(head));
    put_names(&to);
    put_jobs(&to);
    return to.status;
}

/* ---- reading ---- */

typedef struct reader {
    const uint8_t *bytes;
    size_t left;
} reader;

static bool get(reader *from, void *out, size_t length)
{
    if (from->left < length) {
        return false;
    }
    if (length > 0) {
        memcpy(out, from->bytes, length);
    }
    from->bytes += length;
    from->left -= length;
    return true;
}

static bool get_kind(reader *from, hrt_state *state, uint32_t id)
{
    dump_kind kind;
    if (!get(from, &kind, sizeof(kind)) || kind.id != id ||
        memchr(kind.name.text, '\0', sizeof(kind.name.text)) == NULL) {
        return false;
    }
    hrt_page *page = state->page;
    page->kinds[id] = kind.name;
    page->kind_counters[id].leased = kind.leased;
    page->kind_counters[id].completed = kind.completed;
    page->kind_counters[id].failed = kind.failed;
    hrt_store_release_u32(&page->kind_count, id + 1);
    return true;
}

static bool get_queue(reader *from, hrt_state *state, uint32_t id)
{
    dump_queue queue;
    if (!get(from, &queue, sizeof(queue)) || queue.id != id || queue.settings.name[0] == '\0' ||
        memchr(queue.settings.name, '\0', sizeof(queue.settings.name)) == NULL ||
        queue.settings.durability > HRT_DURABILITY_MEMORY ||
        queue.settings.order > HRT_ORDER_SKIP) {
        return false;
    }
    hrt_page *page = state->page;
    page->queues[id] = queue.settings;
    memcpy(&page->queue_counters[id], queue.counters, sizeof(queue.counters));
    page->queue_counters[id].paused = queue.paused != 0;
    state->queues[id].paused = queue.paused != 0;
    state->queues[id].trimmed = queue.trimmed;
    state->queues_declared |= 1ull << id;
    hrt_store_release_u32(&page->queue_count, id + 1);
    return true;
}

static bool declared(const hrt_state *state, const dump_job *job)
{
    return job->kind < state->page->kind_count && job->queue < state->page->queue_count &&
           state->page->kinds[job->kind].text[0] != '\0';
}

static bool within_limits(const dump_job *job)
{
    bool running = job->state == HRT_JOB_RUNNING;
    return job->id != 0 && job->state >= HRT_JOB_SCHEDULED && job->state <= HRT_JOB_DISCARDED &&
           running == (job->token != 0) && (running || job->client == 0) &&
           job->payload_length <= HRT_PAYLOAD_MAX && job->meta_length <= HRT_META_MAX &&
           job->error_length <= HRT_ERROR_MAX && job->result_length <= HRT_RESULT_MAX &&
           job->saved_length <= HRT_SAVED_MAX && job->outcome <= HRT_OUTCOME_REVIVED &&
           job->cause <= HRT_OUTCOME_REVIVED && job->traced <= 1 &&
           (job->key_length > 0) == (job->key_hash != 0) &&
           job->record_span >= sizeof(hrt_record) && job->record_span <= HRT_GROUP_MAX &&
           job->data_offset <= job->record_span && job->position % HRT_RECORD_ALIGN == 0;
}

static void fill_job(hrt_state_job *job, const dump_job *from)
{
#define SAME(name) job->name = from->name
    SAME(token), SAME(client), SAME(ready_order), SAME(position), SAME(key_hash);
    SAME(expires_ns), SAME(ready_ns), SAME(enqueued_ns), SAME(settled_ns), SAME(parent);
    SAME(result_position), SAME(saved_position), SAME(leased_position), SAME(data_offset);
    SAME(payload_length), SAME(timeout_ms), SAME(saved_length), SAME(result_length);
    SAME(result_ttl_ms), SAME(record_span), SAME(kind), SAME(queue), SAME(attempt);
    SAME(max_attempts), SAME(meta_length), SAME(error_length), SAME(place), SAME(key_length);
    SAME(crashes), SAME(max_crashes), SAME(outcome), SAME(cause), SAME(traced);
#undef SAME
}

static int get_error(reader *from, hrt_state_job *job)
{
    char padding[8];
    job->error = job->error_length > 0 ? malloc(job->error_length) : NULL;
    if (job->error == NULL && job->error_length > 0) {
        job->error_length = 0;
        return HRT_ENOMEM;
    }
    bool whole = get(from, job->error, job->error_length) &&
                 get(from, padding, -(size_t)job->error_length & 7);
    return whole ? HRT_OK : HRT_ECORRUPT;
}

static int get_job(reader *from, hrt_state *state)
{
    dump_job dumped;
    if (!get(from, &dumped, sizeof(dumped)) || !within_limits(&dumped) ||
        !declared(state, &dumped) || hrt_jobs_find(&state->jobs, dumped.id) != NULL) {
        return HRT_ECORRUPT;
    }
    hrt_state_job *job = hrt_jobs_add(&state->jobs, dumped.id);
    if (job == NULL) {
        return HRT_ENOMEM;
    }
    fill_job(job, &dumped);
    int status = get_error(from, job);
    return status == HRT_OK ? hrt_life_begin(state, job, dumped.state, dumped.due_ns) : status;
}

int hrt_state_load(hrt_state *state, const void *bytes, size_t size)
{
    reader from = {.bytes = bytes, .left = size};
    dump_head head;
    if (!get(&from, &head, sizeof(head)) || head.version != DUMP_VERSION ||
        head.kinds > HRT_KINDS_MAX || head.queues > HRT_QUEUES_MAX) {
        return HRT_ECORRUPT;
    }
    bool whole = true;
    for (uint32_t id = 0; whole && id < head.kinds; id++) {
        whole = get_kind(&from, state, id);
    }
    for (uint32_t id = 0; whole && id < head.queues; id++) {
        whole = get_queue(&from, state, id);
    }
    state->sequence = head.sequence;
    state->time_ns = head.time_ns;
    int status = whole ? HRT_OK : HRT_ECORRUPT;
    for (uint64_t i = 0; status == HRT_OK && i < head.jobs; i++) {
        status = get_job(&from, state);
    }
    return status == HRT_OK && from.left > 0 ? HRT_ECORRUPT : status;
}
