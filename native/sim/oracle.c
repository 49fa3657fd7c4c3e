/* The oracle: the history of the log, a plain model of its jobs, and the rules both have to obey.
 */
#include "oracle.h"

#include "record.h"
#include "rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUES_MAX = 8,
    SUBMISSIONS_MAX = 16384,
    SAID_MAX = 32768,
    LINES_MAX = 65536,
    FILES_MAX = 96
};
enum { STATE_NONE = 0, STATE_GONE = 10 };

typedef struct line {
    hrt_record *record;
    uint32_t length;
} line;

typedef struct model_job {
    uint8_t state; /* enum hrt_job_state, or the two above */
    uint16_t queue;
    uint32_t serial;
    uint64_t key_hash;
    uint64_t token;
    uint64_t client;
    uint64_t served; /* token of the last lease that a handler saw */
    uint64_t due_ns;
    bool hurried;  /* by an operator */
    uint32_t said; /* place of the last answer + 1 */
} model_job;

typedef struct said {
    uint64_t token;
    uint32_t follow_count;
    uint8_t outcome;
    bool heard;
    uint32_t before; /* of the same job + 1 */
} said;

typedef struct known_submission {
    oracle_submission asked;
    uint64_t job; /* its record, 0: none yet */
    bool acknowledged;
} known_submission;

typedef struct healthy_file {
    hrt_segment head;
    const uint8_t *cache;
} healthy_file;

static struct {
    sim_outcome *outcome;
    line *lines; /* of sequence 1, 2, ... */
    uint64_t count;
    uint64_t durable_count; /* lines known to be on the disk, all of them up to here */
    model_job *jobs;        /* by id, which is a sequence */
    bool restarted;
    bool torn; /* harm took the end of the log, and what jobs were copied to with it */
    uint64_t cuts;
    uint64_t least; /* lines that a restart has to find */
    uint32_t epoch;
    uint64_t end; /* position after the last record */
    known_submission *submissions;
    uint32_t submission_count;
    said *answers;
    uint32_t answer_count;
    uint8_t durability[QUEUES_MAX];
    uint8_t order[QUEUES_MAX];
    bool rebuilding;
    uint64_t group_first; /* line of the group that is being written */
    hrt_replay *replay;
    uint64_t replayed;
    healthy_file healthy[FILES_MAX];
    uint32_t healthy_count;
    uint64_t head;   /* number of the oldest segment that counts */
    uint64_t harmed; /* line that the disk has spoiled */
    bool proven;     /* later records say that it was synced */
    bool compare;
    uint64_t compare_hash;
    uint64_t compare_count;
} oracle;

static void *table(void *old, size_t count, size_t size)
{
    void *made = old == NULL ? malloc(count * size) : old;
    if (made == NULL) {
        abort();
    }
    return made;
}

void oracle_begin(sim_outcome *outcome)
{
    oracle.outcome = outcome;
    oracle.lines = table(oracle.lines, LINES_MAX, sizeof(line));
    oracle.jobs = table(oracle.jobs, LINES_MAX + 1, sizeof(model_job));
    oracle.submissions = table(oracle.submissions, SUBMISSIONS_MAX, sizeof(known_submission));
    oracle.answers = table(oracle.answers, SAID_MAX, sizeof(said));
    oracle.count = 0;
    oracle.durable_count = 0;
    oracle.restarted = true;
    oracle.torn = false;
    oracle.least = 0;
    oracle.epoch = 0;
    oracle.end = SIM_SEGMENT + HRT_SEGMENT_HEADER;
    oracle.submission_count = 0;
    oracle.answer_count = 0;
    oracle.rebuilding = false;
    oracle.cuts = 0;
    oracle.replay = NULL;
    oracle.replayed = 0;
    oracle.compare = false;
    rules_begin();
}

static void drop_replay(void)
{
    if (oracle.replay != NULL) {
        hrt_replay_free(oracle.replay);
    }
    oracle.replay = NULL;
    oracle.replayed = 0;
}

void oracle_end(void)
{
    drop_replay();
    while (oracle.count > 0) {
        free(oracle.lines[--oracle.count].record);
    }
}

uint64_t oracle_records(void)
{
    return oracle.count;
}

uint64_t oracle_cuts(void)
{
    return oracle.cuts;
}

void oracle_queue(uint16_t queue, const hrt_queue_settings *settings)
{
    oracle.durability[queue] = settings->durability;
    oracle.order[queue] = settings->order;
    rules_queue(queue, settings);
}

/* ---- payloads: a serial number, and bytes that follow from it ---- */

uint8_t oracle_byte(uint32_t serial, uint32_t at)
{
    return (uint8_t)((serial * 2654435761u + at * 40503u) >> 13);
}

uint32_t oracle_submit(const oracle_submission *submission, uint8_t *payload_out)
{
    if (oracle.submission_count == SUBMISSIONS_MAX) {
        abort();
    }
    uint32_t serial = oracle.submission_count++;
    oracle.submissions[serial] = (known_submission){.asked = *submission};
    memcpy(payload_out, &serial, sizeof(serial));
    for (uint32_t i = sizeof(serial); i < submission->payload_length; i++) {
        payload_out[i] = oracle_byte(serial, i);
    }
    return serial;
}

uint32_t oracle_submissions(void)
{
    return oracle.submission_count;
}

/* The submission that this payload belongs to, or NULL: it is nobody's. */
static known_submission *recognise(const uint8_t *payload, uint32_t length, uint32_t *serial_out)
{
    uint32_t serial = UINT32_MAX;
    if (length >= ORACLE_PAYLOAD_MIN) {
        memcpy(&serial, payload, sizeof(serial));
    }
    if (serial >= oracle.submission_count ||
        oracle.submissions[serial].asked.payload_length != length) {
        return NULL;
    }
    for (uint32_t i = sizeof(serial); i < length; i++) {
        if (payload[i] != oracle_byte(serial, i)) {
            return NULL;
        }
    }
    *serial_out = serial;
    return &oracle.submissions[serial];
}

/* ---- the model ---- */

#define MODEL_CHECK(condition, ...)               \
    do {                                          \
        if (!oracle.rebuilding && !(condition)) { \
            sim_violation(__VA_ARGS__);           \
        }                                         \
    } while (0)

static unsigned long long number(uint64_t value)
{
    return value;
}

static void begin_job(const hrt_record *record)
{
    const hrt_enqueue_body *body = hrt_record_body(record);
    hrt_parts parts = hrt_record_parts(record);
    model_job *job = &oracle.jobs[record->sequence];
    uint32_t serial = UINT32_MAX;
    known_submission *from =
        recognise((const uint8_t *)record + parts.payload, body->payload_length, &serial);
    MODEL_CHECK(from != NULL, "job %llu holds a payload that nobody submitted",
                number(record->sequence));
    if (from == NULL) {
        return;
    }
    MODEL_CHECK(from->job == 0, "submission %u became job %llu and then job %llu", serial,
                number(from->job), number(record->sequence));
    MODEL_CHECK(
        from->asked.queue == record->queue && from->asked.kind == record->kind &&
            from->asked.key_length == body->key_length &&
            memcmp(from->asked.key, (const uint8_t *)record + parts.key, body->key_length) == 0,
        "job %llu is not what was submitted", number(record->sequence));
    from->job = record->sequence;
    *job = (model_job){.state = body->due_ns != 0 ? HRT_JOB_SCHEDULED : HRT_JOB_READY,
                       .queue = record->queue,
                       .serial = serial,
                       .key_hash = record->key_hash,
                       .due_ns = body->due_ns};
    oracle.outcome->jobs += !oracle.rebuilding;
}

/* The order within a key, and one at a time. */
static void check_key(const model_job *job, uint64_t id)
{
    for (uint64_t other = 1; job->key_hash != 0 && other <= oracle.count; other++) {
        const model_job *one = &oracle.jobs[other];
        if (other == id || one->key_hash != job->key_hash || one->queue != job->queue) {
            continue;
        }
        MODEL_CHECK(one->state != HRT_JOB_RUNNING,
                    "job %llu is leased while job %llu of the same key runs", number(id),
                    number(other));
        bool holds = oracle.order[job->queue] == HRT_ORDER_BLOCK
                         ? one->state >= HRT_JOB_SCHEDULED && one->state <= HRT_JOB_RETRYING
                         : one->state == HRT_JOB_READY;
        MODEL_CHECK(other > id || !holds, "job %llu overtakes job %llu of the same key", number(id),
                    number(other));
    }
}

static void lease_jobs(const hrt_record *record)
{
    const hrt_lease_body *body = hrt_record_body(record);
    for (uint32_t i = 0; i < record->count; i++) {
        uint64_t id = 0;
        memcpy(&id, (const uint8_t *)(body + 1) + i * sizeof(id), sizeof(id));
        MODEL_CHECK(id <= oracle.count, "a lease names job %llu, which is not yet", number(id));
        model_job *job = &oracle.jobs[id <= oracle.count ? id : 0];
        MODEL_CHECK(job->state == HRT_JOB_READY, "job %llu is leased in state %u", number(id),
                    job->state);
        check_key(job, id);
        job->state = HRT_JOB_RUNNING;
        job->token = record->sequence;
        job->client = body->client;
        oracle.outcome->leases += !oracle.rebuilding;
    }
}

static const said *find_answer(const model_job *job, uint64_t token, uint8_t outcome)
{
    for (uint32_t at = job->said; at != 0; at = oracle.answers[at - 1].before) {
        const said *one = &oracle.answers[at - 1];
        if (one->token == token && one->outcome == outcome) {
            return one;
        }
    }
    return NULL;
}

/* A settle whose follow-ups find no room in a full log becomes a snooze. */
static bool may_give_way(const model_job *job, const hrt_settle_entry *entry)
{
    const said *answer = find_answer(job, entry->token, HRT_OUTCOME_OK);
    return entry->outcome == HRT_OUTCOME_SNOOZE && answer != NULL && answer->follow_count > 0;
}

static uint32_t follow_ups_in_group(uint64_t parent)
{
    uint32_t count = 0;
    for (uint64_t i = oracle.group_first; i < oracle.count; i++) {
        const hrt_record *record = oracle.lines[i].record;
        if (record->type == HRT_RECORD_ENQUEUE) {
            const hrt_enqueue_body *body = hrt_record_body(record);
            count += body->parent == parent;
        }
    }
    return count;
}

static uint8_t wait_or_ready(uint64_t due_ns, uint64_t now_ns, uint8_t waiting)
{
    return due_ns <= now_ns ? HRT_JOB_READY : waiting;
}

static uint8_t state_after(const hrt_settle_entry *entry, uint64_t now_ns)
{
    switch (entry->outcome) {
    case HRT_OUTCOME_OK:
        return entry->due_ns == 0 ? STATE_GONE : HRT_JOB_COMPLETED;
    case HRT_OUTCOME_DISCARD:
        return entry->due_ns == 0 ? STATE_GONE : HRT_JOB_DISCARDED;
    case HRT_OUTCOME_CANCELLED:
        return entry->due_ns == 0 ? STATE_GONE : HRT_JOB_CANCELLED;
    case HRT_OUTCOME_EXPIRED:
        return entry->due_ns == 0 ? STATE_GONE : HRT_JOB_EXPIRED;
    case HRT_OUTCOME_DEAD:
        return HRT_JOB_DEAD;
    case HRT_OUTCOME_FORGOTTEN:
        return STATE_GONE;
    case HRT_OUTCOME_RETURNED:
    case HRT_OUTCOME_REVIVED:
        return HRT_JOB_READY;
    case HRT_OUTCOME_SNOOZE:
        return wait_or_ready(entry->due_ns, now_ns, HRT_JOB_SCHEDULED);
    default:
        return wait_or_ready(entry->due_ns, now_ns, HRT_JOB_RETRYING);
    }
}

static bool only_handlers_say(uint8_t outcome)
{
    return outcome == HRT_OUTCOME_OK || outcome == HRT_OUTCOME_SNOOZE ||
           outcome == HRT_OUTCOME_RETRY;
}

/* A crash counts for a handler that has begun, and that has not said how it ends. */
static void check_crash(const model_job *job, const hrt_settle_entry *entry)
{
    MODEL_CHECK(job->served == entry->token, "job %llu crashed under token %llu, no handler had it",
                number(entry->job), number(entry->token));
    for (uint32_t at = job->said; at != 0; at = oracle.answers[at - 1].before) {
        const said *one = &oracle.answers[at - 1];
        MODEL_CHECK(one->token != entry->token || !one->heard || rules_is_spoiled(job->client),
                    "job %llu crashed under token %llu after its handler had said %u",
                    number(entry->job), number(entry->token), one->outcome);
    }
}

static void settle_one(const hrt_record *record, const hrt_settle_entry *entry)
{
    uint64_t id = entry->job;
    model_job *job = &oracle.jobs[id <= oracle.count ? id : 0];
    MODEL_CHECK(job->state != STATE_NONE && job->state != STATE_GONE,
                "job %llu is settled as %u and is not there", number(id), entry->outcome);
    if (entry->token != 0) {
        MODEL_CHECK(job->state == HRT_JOB_RUNNING && job->token == entry->token,
                    "job %llu in state %u with token %llu is settled as %u with token %llu",
                    number(id), job->state, number(job->token), entry->outcome,
                    number(entry->token));
    } else {
        MODEL_CHECK(job->state != HRT_JOB_RUNNING, "job %llu runs and is settled without a token",
                    number(id));
    }
    bool ended = job->state >= HRT_JOB_COMPLETED;
    bool revival = entry->outcome == HRT_OUTCOME_REVIVED && job->state == HRT_JOB_DEAD;
    MODEL_CHECK(!ended || revival || entry->outcome == HRT_OUTCOME_FORGOTTEN,
                "job %llu ended in state %u and is settled again as %u", number(id), job->state,
                entry->outcome);
    if (only_handlers_say(entry->outcome)) {
        bool was_said = find_answer(job, entry->token, entry->outcome) != NULL;
        MODEL_CHECK(was_said || may_give_way(job, entry),
                    "job %llu is settled as %u under token %llu, which no handler said", number(id),
                    entry->outcome, number(entry->token));
        if (!was_said) {
            sim_sight(SIGHT_GAVE_WAY);
        }
    }
    if (entry->outcome == HRT_OUTCOME_CRASHED) {
        check_crash(job, entry);
    }
    job->state = state_after(entry, record->time_ns);
    job->due_ns = entry->due_ns;
    job->token = 0;
    oracle.outcome->settles += !oracle.rebuilding;
}

/* A settle and its follow-ups are one: all of them are in the group, or none is. */
static void check_unit(const hrt_record *record, const hrt_settle_entry *entry)
{
    (void)record;
    if (entry->outcome != HRT_OUTCOME_OK && entry->outcome != HRT_OUTCOME_SNOOZE) {
        return;
    }
    const said *answer = find_answer(&oracle.jobs[entry->job], entry->token, entry->outcome);
    uint32_t wanted = answer == NULL ? 0 : answer->follow_count;
    uint32_t found = follow_ups_in_group(entry->job);
    MODEL_CHECK(found == wanted, "job %llu was settled with %u follow-ups, its group holds %u",
                number(entry->job), wanted, found);
}

static void promote(const hrt_record *record)
{
    for (uint32_t i = 0; i < record->count; i++) {
        uint64_t id = 0;
        memcpy(&id, (const uint8_t *)hrt_record_body(record) + i * sizeof(id), sizeof(id));
        model_job *job = &oracle.jobs[id <= oracle.count ? id : 0];
        MODEL_CHECK(job->state == HRT_JOB_SCHEDULED || job->state == HRT_JOB_RETRYING,
                    "job %llu is due in state %u", number(id), job->state);
        MODEL_CHECK(job->due_ns <= record->time_ns || job->hurried,
                    "job %llu is made ready %llu ns before its time", number(id),
                    number(job->due_ns - record->time_ns));
        job->state = HRT_JOB_READY;
    }
}

static void check_keep(const hrt_record *record)
{
    const hrt_keep_body *body = hrt_record_body(record);
    const model_job *job = &oracle.jobs[body->job <= oracle.count ? body->job : 0];
    MODEL_CHECK(job->state == body->state, "job %llu is kept in state %u and is in state %u",
                number(body->job), body->state, job->state);
    MODEL_CHECK(job->state != HRT_JOB_RUNNING || job->token == body->token,
                "job %llu is kept with a wrong token", number(body->job));
}

/* The state that it names was before it. */
static void check_point(const hrt_record *record)
{
    const hrt_checkpoint_body *body = hrt_record_body(record);
    if (body->state_hash != 0 && !oracle.rebuilding) {
        oracle_compare_state(body->state_hash, record->sequence - 1);
    }
}

static void apply(const hrt_record *record)
{
    oracle.jobs[record->sequence].said = oracle.rebuilding ? oracle.jobs[record->sequence].said : 0;
    rules_apply(record, !oracle.rebuilding);
    switch (record->type) {
    case HRT_RECORD_ENQUEUE: {
        uint32_t answers = oracle.jobs[record->sequence].said;
        begin_job(record);
        oracle.jobs[record->sequence].said = answers;
        break;
    }
    case HRT_RECORD_LEASE:
        lease_jobs(record);
        break;
    case HRT_RECORD_SETTLE:
        rules_each_settle(record, settle_one);
        break;
    case HRT_RECORD_DUE:
        promote(record);
        break;
    case HRT_RECORD_KEEP:
        check_keep(record);
        break;
    case HRT_RECORD_CHECKPOINT:
        check_point(record);
        break;
    default:
        break;
    }
}

/* ---- the history ---- */

static uint32_t stored_length(const hrt_record *record)
{
    return record->type == HRT_RECORD_PAD ? (uint32_t)sizeof(*record) : record->length;
}

static uint64_t end_of(const hrt_record *record)
{
    if (record->type == HRT_RECORD_PAD) {
        return (record->position / SIM_SEGMENT + 1) * SIM_SEGMENT + HRT_SEGMENT_HEADER;
    }
    return record->position + hrt_record_span(record->length);
}

static bool on_disk(const line *one)
{
    sim_file file;
    uint64_t position = one->record->position;
    if (!sim_disk_find(position / SIM_SEGMENT, &file)) {
        return true; /* given up and used again: what counted of it was copied forward */
    }
    const hrt_segment *head = (const void *)file.disk;
    return head->number == position / SIM_SEGMENT &&
           memcmp(file.disk + position % SIM_SEGMENT, one->record, one->length) == 0;
}

static uint64_t durable_count(void)
{
    while (oracle.durable_count < oracle.count && on_disk(&oracle.lines[oracle.durable_count])) {
        oracle.durable_count++;
    }
    return oracle.durable_count;
}

bool oracle_is_durable(uint64_t sequence)
{
    return durable_count() >= sequence;
}

/* Lines of whole groups among the first `count`. */
static uint64_t whole_groups(uint64_t count)
{
    while (count > 0 && !(oracle.lines[count - 1].record->flags & HRT_RECORD_LAST)) {
        count--;
    }
    return count;
}

static void rebuild(void)
{
    uint64_t count = oracle.count;
    for (uint64_t id = 0; id <= count; id++) {
        oracle.jobs[id].state = STATE_NONE;
    }
    for (uint32_t i = 0; i < oracle.submission_count; i++) {
        oracle.submissions[i].job = 0;
    }
    rules_reset();
    oracle.rebuilding = true;
    for (uint64_t i = 0; i < count; i++) {
        apply(oracle.lines[i].record);
    }
    oracle.rebuilding = false;
}

static void cut_history(uint64_t count)
{
    if (count == oracle.count) {
        return;
    }
    sim_say("%llu records are lost", number(oracle.count - count));
    oracle.cuts++;
    while (oracle.count > count) {
        oracle.jobs[oracle.count].said = 0;
        oracle.jobs[oracle.count].state = STATE_NONE;
        free(oracle.lines[--oracle.count].record);
    }
    oracle.durable_count = oracle.durable_count < count ? oracle.durable_count : count;
    oracle.epoch = count == 0 ? 0 : oracle.lines[count - 1].record->epoch;
    oracle.end =
        count == 0 ? SIM_SEGMENT + HRT_SEGMENT_HEADER : end_of(oracle.lines[count - 1].record);
    drop_replay();
    rebuild();
}

/* The first record of a new writer says how much it has found. */
static void begin_life(const hrt_record *record)
{
    uint64_t found = record->sequence - 1;
    oracle.restarted = false;
    SIM_CHECK(record->sequence > 0 && found <= oracle.count,
              "a new writer goes on with sequence %llu, there were %llu", number(record->sequence),
              number(oracle.count));
    SIM_CHECK(found >= oracle.least,
              "a new writer has found %llu records, %llu were there for certain", number(found),
              number(oracle.least));
    oracle.outcome->unprovable |= oracle.torn;
    if (found <= oracle.count) {
        SIM_CHECK(whole_groups(found) == found, "a new writer has kept a part of a group");
        cut_history(found);
    }
    SIM_CHECK(record->epoch > oracle.epoch, "a new writer goes on in epoch %u after %u",
              record->epoch, oracle.epoch);
}

static void check_record(const hrt_record *record, uint64_t position)
{
    SIM_CHECK(record->sequence == oracle.count + 1, "record %llu follows record %llu",
              number(record->sequence), number(oracle.count));
    SIM_CHECK(record->position == position && position == oracle.end,
              "record %llu says position %llu, lies at %llu, and the log ended at %llu",
              number(record->sequence), number(record->position), number(position),
              number(oracle.end));
    SIM_CHECK(record->epoch >= oracle.epoch, "record %llu is of epoch %u, after %u",
              number(record->sequence), record->epoch, oracle.epoch);
    uint64_t synced = durable_count();
    uint64_t end = synced == oracle.count ? oracle.end : oracle.lines[synced].record->position;
    SIM_CHECK(record->durable <= end || sim_disk_is_blurred(),
              "record %llu says that %llu is durable, the disk holds all up to %llu",
              number(record->sequence), number(record->durable), number(end));
}

/* With --loud: what a settle, a lease and a declaration are about. */
static void say_settle(const hrt_record *record, const hrt_settle_entry *entry)
{
    (void)record;
    sim_say("  job %llu token %llu outcome %u cause %u due %llu", number(entry->job),
            number(entry->token), entry->outcome, entry->cause, number(entry->due_ns));
}

static void say_record(const hrt_record *record)
{
    sim_say("record %llu type %u queue %u key %llx count %u%s", number(record->sequence),
            record->type, record->queue, number(record->key_hash), record->count,
            record->flags & HRT_RECORD_LAST ? " last" : "");
    if (record->type == HRT_RECORD_SETTLE) {
        rules_each_settle(record, say_settle);
    } else if (record->type == HRT_RECORD_LEASE) {
        const hrt_lease_body *body = hrt_record_body(record);
        for (uint32_t i = 0; i < record->count; i++) {
            uint64_t id = 0;
            memcpy(&id, (const uint8_t *)(body + 1) + i * sizeof(id), sizeof(id));
            sim_say("  job %llu to %llx", number(id), number(body->client));
        }
    } else if (record->type == HRT_RECORD_CONTROL) {
        const hrt_control_body *body = hrt_record_body(record);
        sim_say("  verb %u id %u", body->verb, body->id);
    }
}

static void add_line(const hrt_record *record)
{
    say_record(record);
    if (oracle.count + 1 >= LINES_MAX) {
        (void)fprintf(stderr, "hrt-sim: too many records\n");
        abort();
    }
    line *added = &oracle.lines[oracle.count++];
    added->length = stored_length(record);
    added->record = malloc(added->length);
    if (added->record == NULL) {
        abort();
    }
    memcpy(added->record, record, added->length);
    oracle.jobs[oracle.count] = (model_job){0};
    oracle.epoch = record->epoch;
    oracle.end = end_of(record);
    oracle.outcome->records++;
    apply(added->record);
}

void oracle_written(const uint8_t *file, uint32_t offset, uint32_t length)
{
    const hrt_segment *head = (const void *)file;
    oracle.group_first = oracle.count;
    for (uint32_t at = 0; at < length && !sim_over();) {
        const hrt_record *record = (const void *)(file + offset + at);
        SIM_CHECK(record->length >= sizeof(*record), "what is written is no record");
        if (oracle.restarted) {
            begin_life(record);
            oracle.group_first = oracle.count;
        }
        if (sim_over()) {
            return;
        }
        check_record(record, head->number * SIM_SEGMENT + offset + at);
        if (sim_over()) {
            return;
        }
        add_line(record);
        at += (uint32_t)hrt_record_span(stored_length(record));
    }
    for (uint64_t i = oracle.group_first; i < oracle.count; i++) {
        if (oracle.lines[i].record->type == HRT_RECORD_SETTLE) {
            rules_each_settle(oracle.lines[i].record, check_unit);
        }
    }
}

/* ---- restarts ---- */

void oracle_restarts(bool power_was_cut)
{
    uint64_t least = power_was_cut ? whole_groups(durable_count()) : oracle.count;
    /* A writer that wrote nothing changes nothing of what the one before it has left. */
    oracle.least = oracle.restarted && oracle.least < least ? oracle.least : least;
    oracle.restarted = true;
}

/* Which file holds which segment, before the disk does harm. */
void oracle_before_harm(void)
{
    sim_file files[FILES_MAX];
    uint32_t count = sim_disk_segments(files, FILES_MAX);
    (void)durable_count();
    oracle.healthy_count = 0;
    oracle.head = 0;
    for (uint32_t i = 0; i < count; i++) {
        const hrt_segment *head = (const void *)files[i].cache;
        if (head->magic == HRT_MAGIC_SEGMENT && files[i].size == SIM_SEGMENT) {
            oracle.healthy[oracle.healthy_count++] =
                (healthy_file){.head = *head, .cache = files[i].cache};
            oracle.head = head->head > oracle.head ? head->head : oracle.head;
        }
    }
}

/* A line that the log still needs, and that no longer lies where it lay. */
static bool is_harmed(const line *one)
{
    uint64_t position = one->record->position;
    for (uint32_t i = 0; i < oracle.healthy_count; i++) {
        const healthy_file *file = &oracle.healthy[i];
        if (file->head.number == position / SIM_SEGMENT && file->head.number >= oracle.head) {
            return memcmp(file->cache, &file->head, sizeof(file->head)) != 0 ||
                   memcmp(file->cache + position % SIM_SEGMENT, one->record, one->length) != 0;
        }
    }
    return false;
}

/* Count: none. */
static uint64_t first_harmed(void)
{
    for (uint64_t i = 0; i < oracle.count; i++) {
        if (is_harmed(&oracle.lines[i])) {
            return i;
        }
    }
    return oracle.count;
}

/* Whether a record behind the harmed one is whole and says that the harmed one was synced. */
static bool is_proven(uint64_t harmed)
{
    uint64_t position = oracle.lines[harmed].record->position;
    for (uint64_t i = harmed + 1; i < oracle.least; i++) {
        const line *one = &oracle.lines[i];
        if (one->record->durable > position && !is_harmed(one)) {
            return true;
        }
    }
    return false;
}

static bool heads_are_whole(void)
{
    sim_file files[FILES_MAX];
    uint32_t count = sim_disk_segments(files, FILES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const hrt_segment *head = (const void *)files[i].cache;
        if (files[i].size == SIM_SEGMENT &&
            (head->magic != HRT_MAGIC_SEGMENT || head->segment_size != SIM_SEGMENT)) {
            return false;
        }
    }
    return true;
}

/* The first harmed line that nothing on the disk tells from a torn tail. Count: none. */
static uint64_t first_unproven(void)
{
    uint64_t i = oracle.harmed;
    while (i < oracle.least && (!is_harmed(&oracle.lines[i]) || is_proven(i))) {
        i++;
    }
    return i < oracle.least ? i : oracle.count;
}

void oracle_harmed(void)
{
    oracle.harmed = first_harmed();
    oracle.proven = oracle.harmed < oracle.least && is_proven(oracle.harmed);
    uint64_t torn = first_unproven();
    oracle.torn = false;
    if (torn < oracle.least) {
        oracle.least = whole_groups(torn);
        /* Copies of older jobs may lie behind it. Who begins behind what is proven finds a torn
         * tail there; who reads all does not come so far. */
        oracle.torn = oracle.head > 1;
        oracle.outcome->unprovable |= oracle.torn && !oracle.proven;
    }
}

void oracle_judge_open(int status, const char *sentence, uint64_t read_from)
{
    if (!sim_disk_is_harmed()) {
        SIM_CHECK(status != HRT_ECORRUPT && status != HRT_EVERSION,
                  "a log that nobody harmed is called damaged: %s", sentence);
        return;
    }
    uint64_t harmed = oracle.harmed;
    if (status == HRT_OK) {
        SIM_CHECK(!oracle.proven || oracle.lines[harmed].record->position < read_from,
                  "record %llu is harmed, later ones prove that it was synced, and the log opens",
                  number(harmed + 1));
        return;
    }
    if (status != HRT_ECORRUPT && status != HRT_EVERSION) {
        return; /* something else went wrong before */
    }
    oracle.outcome->damages_named++;
    oracle.torn = false; /* a backup is put in its place */
    unsigned long long named = 0;
    const char *at = strstr(sentence, "record at position ");
    bool in_record = at != NULL && sscanf(at, "record at position %llu", &named) == 1;
    if (in_record && harmed < oracle.least && heads_are_whole()) {
        SIM_CHECK(named == oracle.lines[harmed].record->position,
                  "the record at %llu is harmed, and this is said: %s",
                  number(oracle.lines[harmed].record->position), sentence);
    }
}

/* ---- states ---- */

void oracle_compare_state(uint64_t hash, uint64_t count)
{
    oracle.compare = true;
    oracle.compare_hash = hash;
    oracle.compare_count = count;
}

static bool replay_to(uint64_t count)
{
    if (oracle.replay == NULL || oracle.replayed > count) {
        drop_replay();
        if (hrt_replay_new(&oracle.replay) != HRT_OK) {
            abort();
        }
    }
    for (; oracle.replayed < count; oracle.replayed++) {
        const line *one = &oracle.lines[oracle.replayed];
        if (one->record->type == HRT_RECORD_PAD) {
            continue;
        }
        int status = hrt_replay_apply(oracle.replay, one->record, one->length);
        if (status != HRT_OK) {
            sim_violation("record %llu does not replay: %s", number(oracle.replayed + 1),
                          hrt_strerror(status));
            return false;
        }
    }
    return true;
}

void oracle_work(void)
{
    if (!oracle.compare || oracle.outcome->unprovable) {
        return;
    }
    oracle.compare = false;
    if (oracle.compare_count <= oracle.count && replay_to(oracle.compare_count)) {
        oracle.outcome->states_compared++;
        SIM_CHECK(hrt_replay_hash(oracle.replay) == oracle.compare_hash,
                  "after record %llu the live state is not the replayed one",
                  number(oracle.compare_count));
    }
}

void oracle_read_again(const char *directory, uint64_t hash)
{
    hrt_scan *scan = NULL;
    hrt_replay *replay = NULL;
    const hrt_record *record = NULL;
    uint64_t last = 0;
    if (hrt_scan_open(directory, &scan) != HRT_OK || hrt_replay_new(&replay) != HRT_OK) {
        sim_violation("a log that was closed cleanly does not open");
        return;
    }
    while (!sim_over() && hrt_scan_next(scan, &record) == HRT_OK) {
        uint32_t length = stored_length(record);
        bool known =
            record->sequence <= oracle.count && (last == 0 || record->sequence == last + 1);
        last = record->sequence;
        SIM_CHECK(known && memcmp(oracle.lines[last - 1].record, record, length) == 0,
                  "record %llu is read otherwise than it was written", number(last));
        SIM_CHECK(record->type == HRT_RECORD_PAD ||
                      hrt_replay_apply(replay, record, length) == HRT_OK,
                  "record %llu does not replay from the oldest segment on", number(last));
    }
    SIM_CHECK(sim_over() || last == oracle.count, "a scan ends after record %llu of %llu",
              number(last), number(oracle.count));
    SIM_CHECK(sim_over() || hrt_replay_hash(replay) == hash,
              "the log from its oldest segment on gives another state than it had");
    hrt_replay_free(replay);
    hrt_scan_close(scan);
}

/* ---- clients ---- */

void oracle_acknowledged(uint32_t serial, uint64_t job)
{
    known_submission *from = &oracle.submissions[serial];
    SIM_CHECK(job <= oracle.count && from->job == job,
              "submission %u is acknowledged as job %llu, its record is %llu", serial, number(job),
              number(from->job));
    bool sync = oracle.durability[from->asked.queue] == HRT_DURABILITY_SYNC;
    SIM_CHECK(!sync || durable_count() >= job,
              "job %llu is acknowledged, the disk holds %llu records", number(job),
              number(oracle.durable_count));
    from->acknowledged = true;
    oracle.outcome->acknowledged++;
}

void oracle_served(const hrt_job *job, uint64_t incarnation)
{
    uint32_t serial = 0;
    model_job *known = &oracle.jobs[job->id <= oracle.count ? job->id : 0];
    SIM_CHECK(known->served != job->token, "job %llu is served twice under token %llu",
              number(job->id), number(job->token));
    known->served = job->token > known->served ? job->token : known->served;
    SIM_CHECK(known->state != STATE_NONE, "job %llu is served and is not there", number(job->id));
    known_submission *from = recognise(job->payload, job->payload_length, &serial);
    SIM_CHECK(from != NULL && serial == known->serial, "job %llu is served with a wrong payload",
              number(job->id));
    SIM_CHECK(job->token <= oracle.count &&
                  oracle.lines[job->token - 1].record->type == HRT_RECORD_LEASE,
              "job %llu is served under token %llu, which is no lease", number(job->id),
              number(job->token));
    if (sim_over()) {
        return;
    }
    const hrt_lease_body *lease = hrt_record_body(oracle.lines[job->token - 1].record);
    SIM_CHECK(lease->client == incarnation, "job %llu is served to another client than leased",
              number(job->id));
    rules_served(job);
    bool sync = oracle.durability[known->queue] == HRT_DURABILITY_SYNC;
    SIM_CHECK(!sync || durable_count() >= job->token,
              "job %llu is served before its lease is on the disk", number(job->id));
}

void oracle_intact(const hrt_job *job)
{
    uint32_t serial = 0;
    SIM_CHECK(!rules_still_holds(job) ||
                  recognise(job->payload, job->payload_length, &serial) != NULL,
              "the payload of job %llu has changed under its handler", number(job->id));
}

bool oracle_rots(void)
{
    const uint64_t *faults = oracle.outcome->faults;
    return faults[FAULT_BIT_ROT] + faults[FAULT_SECTOR_FORGOTTEN] +
               faults[FAULT_SECTOR_MISDIRECTED] >
           0;
}

void oracle_untouched(const hrt_job *job)
{
    uint32_t serial = 0;
    const known_submission *from = recognise(job->payload, job->payload_length, &serial);
    SIM_CHECK(oracle_rots() || (from != NULL && from->job == job->id),
              "job %llu was taken back, and its handler reads other bytes", number(job->id));
}

void oracle_said(uint64_t job, uint64_t token, uint8_t outcome, uint32_t follow_count)
{
    if (oracle.answer_count == SAID_MAX || job > oracle.count) {
        return;
    }
    oracle.answers[oracle.answer_count] = (said){.token = token,
                                                 .outcome = outcome,
                                                 .follow_count = follow_count,
                                                 .before = oracle.jobs[job].said};
    oracle.jobs[job].said = ++oracle.answer_count;
}

uint64_t oracle_any(uint8_t state)
{
    uint64_t chosen = 0;
    uint64_t count = 0;
    for (uint64_t id = 1; id <= oracle.count; id++) {
        if (oracle.jobs[id].state == state && sim_one_in(CHANCE_WORK, ++count)) {
            chosen = id;
        }
    }
    return chosen;
}

void oracle_heard(uint64_t job, uint64_t token)
{
    if (job <= oracle.count && oracle.jobs[job].said != 0) {
        said *last = &oracle.answers[oracle.jobs[job].said - 1];
        last->heard = last->token == token;
    }
}

void oracle_hurried(uint64_t job)
{
    if (job <= oracle.count) {
        oracle.jobs[job].hurried = true;
    }
}

/* ---- the end ---- */

/* A job that is due far ahead holds those of its key that came later. */
static bool is_held(uint64_t id, uint64_t wall_ns)
{
    const model_job *job = &oracle.jobs[id];
    for (uint64_t before = 1; job->key_hash != 0 && before < id; before++) {
        const model_job *one = &oracle.jobs[before];
        bool waits = one->state == HRT_JOB_SCHEDULED || one->state == HRT_JOB_RETRYING;
        if (waits && one->key_hash == job->key_hash && one->queue == job->queue &&
            one->due_ns > wall_ns && oracle.order[job->queue] == HRT_ORDER_BLOCK) {
            return true;
        }
    }
    return false;
}

uint32_t oracle_waiting(void)
{
    uint32_t count = 0;
    for (uint64_t id = 1; id <= oracle.count; id++) {
        uint8_t state = oracle.jobs[id].state;
        count += state == HRT_JOB_READY || state == HRT_JOB_RUNNING || state == HRT_JOB_SCHEDULED ||
                 state == HRT_JOB_RETRYING;
    }
    return count;
}

uint32_t oracle_unfinished(uint64_t wall_ns)
{
    uint32_t count = 0;
    for (uint64_t id = 1; id <= oracle.count; id++) {
        const model_job *job = &oracle.jobs[id];
        bool waits = job->state == HRT_JOB_SCHEDULED || job->state == HRT_JOB_RETRYING;
        bool open = job->state == HRT_JOB_READY || job->state == HRT_JOB_RUNNING ||
                    (waits && job->due_ns <= wall_ns);
        if (open && !is_held(id, wall_ns)) {
            sim_say("job %llu is in state %u of queue %u, key %llx, due %llu", number(id),
                    job->state, job->queue, number(job->key_hash), number(job->due_ns));
            count++;
        }
    }
    return count;
}

bool oracle_dump(const char *path, uint64_t hash)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    bool good = fwrite(&hash, sizeof(hash), 1, file) == 1;
    for (uint64_t i = 0; i < oracle.count && good; i++) {
        const line *one = &oracle.lines[i];
        good = fwrite(&one->length, sizeof(one->length), 1, file) == 1 &&
               fwrite(one->record, one->length, 1, file) == 1;
    }
    return fclose(file) == 0 && good;
}
