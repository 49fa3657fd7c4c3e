/*
 * A second plain model beside the oracle's: attempts, crashes, limits of queues and clients, what
 * attempts save for the next one, and results. It sees the same records.
 */
#include "rules.h"

#include "oracle.h"

#include "record.h"

#include <stdlib.h>
#include <string.h>

enum { JOBS_MAX = 65537, QUEUES_MAX = 8, HOLDERS_MAX = 1024, SAVES_MAX = 16384 };
enum phase { PHASE_NONE, PHASE_WAITING, PHASE_RUNNING, PHASE_OVER };

typedef struct rule_job {
    uint64_t client;
    uint64_t token;
    uint64_t ended_at; /* record that settled it as OK, 0: none */
    uint64_t ended_token;
    uint32_t ended_length;
    uint32_t saved; /* place in saves + 1 */
    uint16_t queue;
    uint16_t attempt;
    uint16_t max_attempts;
    uint8_t crashes;
    uint8_t max_crashes;
    uint8_t phase;
    bool copied; /* its result lies in a KEEP */
} rule_job;

typedef struct holder {
    uint64_t client;
    uint32_t credit; /* 0: any */
    uint32_t held;
    uint32_t suspects;
    bool spoiled;
} holder;

typedef struct known_save {
    uint64_t job;
    uint64_t token;
    uint32_t length;
} known_save;

static struct {
    rule_job *jobs;
    uint64_t job_count; /* ids below it were in use */
    hrt_queue_settings settings[QUEUES_MAX];
    bool paused[QUEUES_MAX];
    uint32_t running[QUEUES_MAX];
    uint32_t waiting[QUEUES_MAX];
    holder holders[HOLDERS_MAX];
    uint32_t holder_count;
    known_save *saves;
    uint32_t save_count;
    bool checking;
} rules;

#define RULE_CHECK(condition, ...)            \
    do {                                      \
        if (rules.checking && !(condition)) { \
            sim_violation(__VA_ARGS__);       \
        }                                     \
    } while (0)

static unsigned long long number(uint64_t value)
{
    return value;
}

void rules_reset(void)
{
    memset(rules.jobs, 0, rules.job_count * sizeof(*rules.jobs));
    memset(rules.paused, 0, sizeof(rules.paused));
    memset(rules.running, 0, sizeof(rules.running));
    memset(rules.waiting, 0, sizeof(rules.waiting));
    for (uint32_t i = 0; i < rules.holder_count; i++) {
        rules.holders[i].held = 0;
        rules.holders[i].suspects = 0;
    }
    rules.job_count = 0;
}

void rules_begin(void)
{
    if (rules.jobs == NULL) {
        rules.jobs = calloc(JOBS_MAX, sizeof(*rules.jobs));
        rules.saves = calloc(SAVES_MAX, sizeof(*rules.saves));
    }
    if (rules.jobs == NULL || rules.saves == NULL) {
        abort();
    }
    rules_reset();
    rules.holder_count = 0;
    rules.save_count = 0;
}

void rules_queue(uint16_t queue, const hrt_queue_settings *settings)
{
    rules.settings[queue] = *settings;
}

static rule_job *job_of(uint64_t id)
{
    uint64_t place = id < JOBS_MAX ? id : 0;
    rules.job_count = place >= rules.job_count ? place + 1 : rules.job_count;
    return &rules.jobs[place];
}

static holder *holder_of(uint64_t client)
{
    for (uint32_t i = 0; i < rules.holder_count; i++) {
        if (rules.holders[i].client == client) {
            return &rules.holders[i];
        }
    }
    if (rules.holder_count == HOLDERS_MAX) {
        abort();
    }
    rules.holders[rules.holder_count] = (holder){.client = client};
    return &rules.holders[rules.holder_count++];
}

void rules_credit(uint64_t client, uint32_t credit)
{
    holder_of(client)->credit = credit;
}

void rules_spoiled(uint64_t client)
{
    holder_of(client)->spoiled = true;
}

bool rules_is_spoiled(uint64_t client)
{
    return holder_of(client)->spoiled;
}

/* ---- records ---- */

static void enter(rule_job *job, enum phase next)
{
    rules.waiting[job->queue] -= job->phase == PHASE_WAITING;
    rules.running[job->queue] -= job->phase == PHASE_RUNNING;
    job->phase = (uint8_t)next;
    rules.waiting[job->queue] += next == PHASE_WAITING;
    rules.running[job->queue] += next == PHASE_RUNNING;
}

static void enqueue(const hrt_record *record)
{
    const hrt_enqueue_body *body = hrt_record_body(record);
    rule_job *job = job_of(record->sequence);
    uint32_t most = rules.settings[record->queue].max_jobs;
    RULE_CHECK(most == 0 || body->parent != 0 || rules.waiting[record->queue] < most,
               "job %llu enters queue %u, which holds %u and may hold %u", number(record->sequence),
               record->queue, rules.waiting[record->queue], most);
    *job = (rule_job){.queue = record->queue,
                      .max_attempts = body->max_attempts,
                      .max_crashes = body->max_crashes};
    enter(job, PHASE_WAITING);
    if (body->parent != 0) {
        sim_sight(SIGHT_FOLLOW_UP);
    }
}

static void lease_one(const hrt_record *record, uint64_t id)
{
    rule_job *job = job_of(id);
    holder *client = holder_of(((const hrt_lease_body *)hrt_record_body(record))->client);
    uint32_t most = rules.settings[job->queue].max_running;
    bool suspect = job->crashes > 0;
    enter(job, PHASE_RUNNING);
    job->attempt++;
    job->client = client->client;
    job->token = record->sequence;
    client->held++;
    client->suspects += suspect;
    RULE_CHECK(!rules.paused[job->queue], "job %llu of the paused queue %u is leased", number(id),
               job->queue);
    RULE_CHECK(most == 0 || rules.running[job->queue] <= most,
               "%u jobs of queue %u run, the limit is %u", rules.running[job->queue], job->queue,
               most);
    RULE_CHECK(client->suspects == 0 || client->held == 1,
               "client %llx holds a suspect among %u jobs", number(client->client), client->held);
    RULE_CHECK(client->credit == 0 || client->held <= client->credit,
               "client %llx holds %u jobs, its credit is %u", number(client->client), client->held,
               client->credit);
    if (suspect) {
        sim_sight(SIGHT_SUSPECT);
    }
}

static void let_go(rule_job *job)
{
    holder *client = holder_of(job->client);
    client->held--;
    client->suspects -= job->crashes > 0;
    job->client = 0;
    job->token = 0;
}

/* Whether the count of attempts and crashes allows this end, and asks for it. */
static void check_count(const rule_job *job, const hrt_settle_entry *entry)
{
    bool worn = job->max_attempts != 0 && job->attempt >= job->max_attempts;
    bool poison = job->crashes + 1u >= job->max_crashes;
    bool failed = entry->outcome == HRT_OUTCOME_RETRY || entry->outcome == HRT_OUTCOME_TIMEOUT;
    bool dead = entry->outcome == HRT_OUTCOME_DEAD;
    RULE_CHECK(!failed || !worn, "job %llu failed %u of %u times and is tried again",
               number(entry->job), job->attempt, job->max_attempts);
    RULE_CHECK(entry->outcome != HRT_OUTCOME_CRASHED || !(worn || poison),
               "job %llu crashed %u of %u times, was tried %u of %u, and is tried again",
               number(entry->job), job->crashes + 1u, job->max_crashes, job->attempt,
               job->max_attempts);
    RULE_CHECK(!dead || entry->cause != HRT_OUTCOME_RETRY || worn,
               "job %llu is dead after %u of %u attempts", number(entry->job), job->attempt,
               job->max_attempts);
    RULE_CHECK(!dead || entry->cause != HRT_OUTCOME_CRASHED || worn || poison,
               "job %llu is dead after %u of %u crashes", number(entry->job), job->crashes + 1u,
               job->max_crashes);
}

static void count_end(rule_job *job, const hrt_settle_entry *entry)
{
    bool crashed = entry->outcome == HRT_OUTCOME_CRASHED ||
                   (entry->outcome == HRT_OUTCOME_DEAD && entry->cause == HRT_OUTCOME_CRASHED);
    bool uncounted = entry->outcome == HRT_OUTCOME_SNOOZE || entry->outcome == HRT_OUTCOME_RETURNED;
    job->attempt = (uint16_t)(job->attempt - (uncounted && job->attempt > 0));
    job->crashes = (uint8_t)(job->crashes + crashed);
}

static enum phase phase_after(uint8_t outcome)
{
    switch (outcome) {
    case HRT_OUTCOME_RETRY:
    case HRT_OUTCOME_SNOOZE:
    case HRT_OUTCOME_RETURNED:
    case HRT_OUTCOME_CRASHED:
    case HRT_OUTCOME_LOST:
    case HRT_OUTCOME_TIMEOUT:
    case HRT_OUTCOME_REVIVED:
        return PHASE_WAITING;
    default:
        return PHASE_OVER;
    }
}

static void settle_one(const hrt_record *record, const hrt_settle_entry *entry)
{
    rule_job *job = job_of(entry->job);
    sim_sight(SIGHT_OUTCOME + entry->outcome);
    if (job->phase == PHASE_RUNNING) {
        check_count(job, entry);
        let_go(job);
        count_end(job, entry);
    }
    if (entry->outcome == HRT_OUTCOME_REVIVED && job->phase == PHASE_OVER) {
        job->attempt = 0;
        job->crashes = 0;
    }
    if (entry->outcome == HRT_OUTCOME_OK) {
        job->ended_at = record->sequence;
        job->ended_token = entry->token;
        job->ended_length = entry->data_length;
    }
    if (entry->outcome == HRT_OUTCOME_DEAD && entry->cause != 0) {
        sim_sight(SIGHT_CAUSE + entry->cause);
    }
    enter(job, phase_after(entry->outcome));
}

void rules_each_settle(const hrt_record *record, rules_settle_visit visit)
{
    const uint8_t *at = hrt_record_body(record);
    for (uint32_t i = 0; i < record->count; i++) {
        hrt_settle_entry entry;
        memcpy(&entry, at, sizeof(entry));
        visit(record, &entry);
        at += sizeof(entry) + (entry.data_length + 7u) / 8 * 8;
    }
}

static void control(const hrt_record *record)
{
    const hrt_control_body *body = hrt_record_body(record);
    if (body->verb == HRT_CONTROL_PAUSE || body->verb == HRT_CONTROL_RESUME) {
        rules.paused[body->id] = body->verb == HRT_CONTROL_PAUSE;
    }
}

/* ---- what attempts save ---- */

/* Other than a payload and a result of the same numbers. */
static uint8_t saved_byte(uint32_t place, uint32_t at)
{
    return (uint8_t)~oracle_byte(place, at);
}

void rules_save(uint64_t job, uint64_t token, uint8_t *data_out, uint32_t length)
{
    if (rules.save_count == SAVES_MAX) {
        abort();
    }
    uint32_t place = rules.save_count++;
    rules.saves[place] = (known_save){.job = job, .token = token, .length = length};
    memcpy(data_out, &place, sizeof(place));
    for (uint32_t i = sizeof(place); i < length; i++) {
        data_out[i] = saved_byte(place, i);
    }
}

/* Its place + 1; 0: nobody saved this. */
static uint32_t recognise(const uint8_t *data, uint32_t length)
{
    uint32_t place = UINT32_MAX;
    if (length >= sizeof(place)) {
        memcpy(&place, data, sizeof(place));
    }
    bool same = place < rules.save_count && rules.saves[place].length == length;
    for (uint32_t i = sizeof(place); same && i < length; i++) {
        same = data[i] == saved_byte(place, i);
    }
    return same ? place + 1 : 0;
}

static void take_saved(const hrt_record *record)
{
    const hrt_saved_body *body = hrt_record_body(record);
    rule_job *job = job_of(body->job);
    uint32_t place = recognise((const uint8_t *)(body + 1), body->length);
    RULE_CHECK(place != 0 && rules.saves[place - 1].job == body->job &&
                   rules.saves[place - 1].token == body->token,
               "job %llu saves under token %llu what its handler did not", number(body->job),
               number(body->token));
    RULE_CHECK(job->phase == PHASE_RUNNING && job->token == body->token,
               "job %llu saves under token %llu, which is not its own", number(body->job),
               number(body->token));
    job->saved = place;
}

static void check_copy(const hrt_record *record)
{
    const hrt_keep_body *body = hrt_record_body(record);
    hrt_parts parts = hrt_record_parts(record);
    rule_job *job = job_of(body->job);
    uint32_t length = hrt_keep_saved_length(record);
    uint32_t saved = length == 0 ? 0 : recognise((const uint8_t *)record + parts.saved, length);
    bool over = job->phase == PHASE_OVER;
    RULE_CHECK(over || body->attempt == job->attempt, "job %llu is kept with attempt %u, it is %u",
               number(body->job), body->attempt, job->attempt);
    RULE_CHECK(over || body->crashes == job->crashes, "job %llu is kept with %u crashes of %u",
               number(body->job), body->crashes, job->crashes);
    RULE_CHECK(over || saved == job->saved, "job %llu is kept without what it saved",
               number(body->job));
    job->copied = true;
}

void rules_apply(const hrt_record *record, bool checking)
{
    rules.checking = checking;
    if (checking) {
        sim_sight(SIGHT_RECORD + record->type);
    }
    switch (record->type) {
    case HRT_RECORD_ENQUEUE:
        enqueue(record);
        break;
    case HRT_RECORD_LEASE: {
        const hrt_lease_body *body = hrt_record_body(record);
        for (uint32_t i = 0; i < record->count; i++) {
            uint64_t id = 0;
            memcpy(&id, (const uint8_t *)(body + 1) + i * sizeof(id), sizeof(id));
            lease_one(record, id);
        }
        break;
    }
    case HRT_RECORD_SETTLE:
        rules_each_settle(record, settle_one);
        break;
    case HRT_RECORD_CONTROL:
        control(record);
        break;
    case HRT_RECORD_SAVED:
        take_saved(record);
        break;
    case HRT_RECORD_KEEP:
        check_copy(record);
        break;
    default:
        break;
    }
    rules.checking = true;
}

/* ---- told by clients ---- */

void rules_served(const hrt_job *job)
{
    const rule_job *known = job_of(job->id);
    if (known->phase != PHASE_RUNNING || known->token != job->token) {
        return; /* taken back meanwhile */
    }
    SIM_CHECK(job->attempt == known->attempt, "job %llu is served as attempt %u, it is %u",
              number(job->id), job->attempt, known->attempt);
    uint32_t saved = job->saved_length == 0 ? 0 : recognise(job->saved, job->saved_length);
    /* What this attempt itself has saved meanwhile is for the next one. */
    bool own = known->saved != 0 && rules.saves[known->saved - 1].token == job->token;
    SIM_CHECK(own || saved == known->saved, "job %llu does not find what it saved",
              number(job->id));
    if (saved != 0) {
        sim_sight(SIGHT_SAVED_READ);
    }
}

bool rules_still_holds(const hrt_job *job)
{
    const rule_job *known = job_of(job->id);
    return known->phase == PHASE_RUNNING && known->token == job->token;
}

void rules_result(uint64_t token, uint8_t *data_out, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        data_out[i] = oracle_byte((uint32_t)token, i);
    }
}

void rules_noticed(const hrt_notice *notice)
{
    if (notice->type != HRT_DELIVERY_RESULT || notice->code != HRT_JOB_COMPLETED) {
        return;
    }
    const rule_job *known = job_of(notice->job);
    bool sync = rules.settings[known->queue].durability == HRT_DURABILITY_SYNC;
    SIM_CHECK(known->ended_at != 0, "job %llu is said to be completed", number(notice->job));
    SIM_CHECK(!sync || oracle_is_durable(known->ended_at),
              "the end of job %llu is told before it is on the disk", number(notice->job));
    SIM_CHECK(notice->data_length == known->ended_length,
              "job %llu ended with a result of %u bytes, %u are told", number(notice->job),
              known->ended_length, notice->data_length);
    for (uint32_t i = 0; i < notice->data_length && !sim_over(); i++) {
        SIM_CHECK(notice->data[i] == oracle_byte((uint32_t)known->ended_token, i),
                  "the result of job %llu is not what its handler gave", number(notice->job));
    }
    if (notice->data_length > 0) {
        sim_sight(known->copied ? SIGHT_LATE_RESULT : SIGHT_RESULT_READ);
    }
}
