/* Clients: producers and workers, most of them badly behaved now and then. */
#include "actors.h"
#include "handle.h"
#include "oracle.h"
#include "rules.h"

#include <stdio.h>
#include <string.h>

enum {
    BATCH_MAX = 4,
    TICKETS_MAX = 256,
    JOBS_MAX = 8,
    FOLLOW_MAX = 2,
    KEYS = 5,
    DATA_MAX = 300,
    DATA_HELD_MAX = 3000, /* in a log that is to go round */
    HALF_ONE_IN = 60,
    HANG_ONE_IN = 60,
    LATE_ONE_IN = 30,
    TWICE_ONE_IN = 15,
    STALE_ONE_IN = 15,
    GARBAGE_ONE_IN = 150,
    SILENT_ONE_IN = 40,
    SAVE_ONE_IN = 5,
    SAVED_MIN = 4,
    SAVED_MAX = 200,
    EXTEND_ONE_IN = 20,
    WATCH_ONE_IN = 5,
    WAIT_ONE_IN = 4,
    HOLD_ONE_IN = 8,
    HELD_MAX = 2,
    WAITING_MAX = 60,
};

#define HOLD_NS_MAX (20 * SIM_SECOND)

static bool attach(hrt_client **client_out)
{
    hrt_attach_options options = {.struct_size = sizeof(options), .abi_version = HRT_ABI_VERSION};
    return hrt_attach(&options, client_out) == HRT_OK;
}

/* ---- jobs ---- */

typedef struct wish {
    hrt_spec spec;
    oracle_submission submission;
    uint32_t serial;
    uint8_t payload[ORACLE_PAYLOAD_MAX];
} wish;

static uint32_t payload_length(void)
{
    switch (sim_below(CHANCE_WORK, scene.plan.holds ? 2 : 8)) {
    case 0:
        return ORACLE_PAYLOAD_MIN + (uint32_t)sim_below(CHANCE_WORK, 4000);
    case 1:
        return ORACLE_PAYLOAD_MIN;
    default:
        return ORACLE_PAYLOAD_MIN + (uint32_t)sim_below(CHANCE_WORK, 200);
    }
}

static void choose_times(hrt_spec *spec)
{
    if (sim_one_in(CHANCE_WORK, 8)) {
        spec->delay_ns = sim_below(CHANCE_WORK, 2 * SIM_SECOND);
    } else if (sim_one_in(CHANCE_WORK, 40)) {
        spec->delay_ns = 3600 * SIM_SECOND;
    }
    if (sim_one_in(CHANCE_WORK, 20)) {
        spec->expires_ms = 1 + (uint32_t)sim_below(CHANCE_WORK, 500);
    }
    if (sim_one_in(CHANCE_WORK, 10)) {
        spec->timeout_ms = 50 + (uint32_t)sim_below(CHANCE_WORK, 500);
    }
}

static void wish_for(wish *made)
{
    oracle_submission *asked = &made->submission;
    memset(&made->spec, 0, sizeof(made->spec));
    *asked = (oracle_submission){.queue = scene.queues[sim_below(CHANCE_WORK, SCENE_QUEUES)],
                                 .kind = scene.kinds[sim_below(CHANCE_WORK, SCENE_KINDS)],
                                 .payload_length = payload_length()};
    if (sim_one_in(CHANCE_WORK, 2)) {
        (void)snprintf(asked->key, sizeof(asked->key), "key%u",
                       (unsigned)sim_below(CHANCE_WORK, KEYS));
        asked->key_length = (uint8_t)strlen(asked->key);
    }
    made->serial = oracle_submit(asked, made->payload);
    made->spec.payload = made->payload;
    made->spec.payload_length = asked->payload_length;
    made->spec.key = asked->key_length > 0 ? asked->key : NULL;
    made->spec.key_length = asked->key_length;
    made->spec.kind = asked->kind;
    made->spec.queue = asked->queue;
    choose_times(&made->spec);
}

/* ---- a producer ---- */

/* Now and then for ever: who is not woken then is found out when it gets calm. */
static int64_t patience(uint64_t ns)
{
    return sim_calm() || sim_one_in(CHANCE_WORK, 4) ? -1 : (int64_t)ns;
}

typedef struct tickets {
    uint64_t first; /* of those not answered yet */
    uint32_t count;
    uint32_t serials[TICKETS_MAX];
} tickets;

/* A disk that turned back time without proof has cut off what this client was told of. */
static bool is_cut_off(const scene_client *self)
{
    return self->cuts != oracle_cuts();
}

/*
 * A supervisor was started anew meanwhile, not by a takeover: it knows nothing of this client, and
 * the disk may have rotted before.
 */
static bool is_orphan(const scene_client *self)
{
    return self->starts != scene.outcome->restarts;
}

static void take_answer(hrt_client *client, uint32_t serial, int64_t id, const scene_client *self)
{
    if (id > 0) {
        if (!is_cut_off(self)) {
            oracle_acknowledged(serial, (uint64_t)id);
        }
        if (sim_one_in(CHANCE_WORK, WATCH_ONE_IN)) {
            (void)!hrt_watch(client, (uint64_t)id);
        }
    } else {
        sim_sight(SIGHT_ANSWER + (uint32_t)-id);
    }
}

static void read_replies(hrt_client *client, tickets *open, const scene_client *self)
{
    int64_t id = 0;
    while (open->count > 0 && hrt_replies(client, open->first, 1, &id) == HRT_OK) {
        uint32_t serial = open->serials[open->first % TICKETS_MAX];
        sim_trace(7, serial, (uint64_t)id);
        take_answer(client, serial, id, self);
        open->first++;
        open->count--;
    }
}

/* Waits where a queue is full, too. What is not answered in time may be a job all the same. */
static int submit_and_wait(hrt_client *client, const wish *wishes, const hrt_spec *specs,
                           uint32_t count, const scene_client *self)
{
    int64_t ids[BATCH_MAX] = {0};
    int status = hrt_enqueue_wait(client, specs, count, (int64_t)(200 * SIM_MS), ids);
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        take_answer(client, wishes[i].serial, ids[i], self);
    }
    return status;
}

static int submit(hrt_client *client, tickets *open, const scene_client *self)
{
    wish wishes[BATCH_MAX];
    hrt_spec specs[BATCH_MAX];
    uint32_t count = 1 + (uint32_t)sim_below(CHANCE_WORK, BATCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        wish_for(&wishes[i]);
        specs[i] = wishes[i].spec;
    }
    if (open->count == 0 && !sim_calm() && sim_one_in(CHANCE_WORK, WAIT_ONE_IN)) {
        return submit_and_wait(client, wishes, specs, count, self);
    }
    uint64_t first = 0;
    int status = hrt_enqueue(client, specs, count, patience(100 * SIM_MS), &first);
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        open->first = open->count == 0 ? first : open->first;
        open->serials[(first + i) % TICKETS_MAX] = wishes[i].serial;
        open->count++;
    }
    return status;
}

/* Dies with an entry claimed and half written, not published. */
static void die_half_way(hrt_client *client)
{
    uint8_t *place = hrt_ring_claim(&client->writer, 256);
    if (place != NULL) {
        hrt_submit head = {.length = 256, .type = HRT_SUBMIT_ENQUEUE};
        memcpy(place, &head, sizeof(head));
        memset(place + sizeof(head), 0x5a, sim_below(CHANCE_WORK, 200));
    }
    sim_process_kill(sim_self());
}

static void read_notices(hrt_client *client, const scene_client *self)
{
    hrt_notice notices[JOBS_MAX];
    uint32_t count = 0;
    if (hrt_poll(client, notices, JOBS_MAX, 0, &count) != HRT_OK) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        sim_trace(8, notices[i].job, notices[i].type);
        sim_sight(SIGHT_NOTICE + notices[i].type);
        if (notices[i].type == HRT_DELIVERY_REFUSED) {
            sim_sight(SIGHT_ANSWER + (uint32_t)-notices[i].code);
        }
        if (!is_orphan(self)) {
            rules_noticed(&notices[i]);
        }
        hrt_notice_free(&notices[i]);
    }
}

/* A log that goes round under jobs that are held is not to be full, too: few others wait in it. */
static bool wants_more(void)
{
    bool enough = scene.plan.holds && oracle_waiting() >= WAITING_MAX;
    return !enough && oracle_submissions() < scene.plan.jobs_most;
}

static void produce_for(hrt_client *client, scene_client *self)
{
    tickets open = {0};
    int status = HRT_OK;
    while (status != HRT_ECLOSED && !hrt_draining(client)) {
        bool more = sim_calm() ? !self->answered && open.count == 0 : wants_more();
        if (more && open.count + BATCH_MAX < TICKETS_MAX) {
            status = submit(client, &open, self);
        }
        if (sim_one_in(CHANCE_WORK, 2)) {
            sim_sleep(sim_below(CHANCE_WORK, 20 * SIM_MS));
        } else if (open.count > 0) {
            int waited = hrt_wait(client, open.first + open.count, patience(20 * SIM_MS));
            status = waited == HRT_ECLOSED ? waited : status; /* nothing more to submit */
        }
        bool asked = open.count > 0;
        read_replies(client, &open, self);
        self->open = open.count;
        self->answered |= sim_calm() && asked && open.count == 0;
        read_notices(client, self);
        if (sim_strikes(FAULT_PRODUCER_HALF, HALF_ONE_IN)) {
            die_half_way(client);
        }
        if (sim_calm()) {
            sim_sleep(SIM_SECOND);
        }
    }
}

void *produce(void *argument)
{
    hrt_client *client = NULL;
    if (attach(&client)) {
        produce_for(client, argument);
        hrt_detach(client);
    }
    sim_process_kill(sim_self());
    return NULL;
}

/* ---- a worker ---- */

typedef struct settling {
    hrt_settlement settlement;
    wish follow[FOLLOW_MAX];
    hrt_spec specs[FOLLOW_MAX];
    uint8_t data[DATA_HELD_MAX];
} settling;

static uint8_t choose_outcome(void)
{
    static const uint8_t outcomes[] = {HRT_OUTCOME_RETRY, HRT_OUTCOME_SNOOZE, HRT_OUTCOME_DISCARD,
                                       HRT_OUTCOME_DEAD, HRT_OUTCOME_RETURNED};
    bool good = sim_calm() || !sim_one_in(CHANCE_WORK, 4);
    return good ? HRT_OUTCOME_OK : outcomes[sim_below(CHANCE_WORK, sizeof(outcomes))];
}

static int settle(hrt_client *client, const hrt_job *job, const scene_client *self)
{
    settling answer = {.settlement = {.job = job->id,
                                      .token = job->token,
                                      .outcome = choose_outcome(),
                                      .data = answer.data,
                                      .delay_ns = sim_one_in(CHANCE_WORK, 2)
                                                      ? UINT64_MAX
                                                      : sim_below(CHANCE_WORK, 300 * SIM_MS)}};
    hrt_settlement *said = &answer.settlement;
    said->data_length =
        (uint32_t)sim_below(CHANCE_WORK, scene.plan.holds ? DATA_HELD_MAX : DATA_MAX);
    rules_result(job->token, answer.data, said->data_length);
    if (said->outcome == HRT_OUTCOME_OK && !sim_calm() && sim_one_in(CHANCE_WORK, 5)) {
        said->follow_count = 1 + (uint32_t)sim_below(CHANCE_WORK, FOLLOW_MAX);
        for (uint32_t i = 0; i < said->follow_count; i++) {
            wish_for(&answer.follow[i]);
            answer.specs[i] = answer.follow[i].spec;
        }
        said->follow = answer.specs;
    }
    oracle_said(job->id, job->token, said->outcome, said->follow_count);
    int status = hrt_settle(client, said, 1);
    /* Where jobs are held it may still wait for room when its worker dies. */
    if (status == HRT_OK && !self->bad && !is_cut_off(self) && !scene.plan.holds) {
        oracle_heard(job->id, job->token);
    }
    if (status == HRT_OK && sim_strikes(FAULT_WORKER_TWICE, TWICE_ONE_IN)) {
        said->follow_count = 0;
        said->outcome = choose_outcome();
        status = hrt_settle(client, said, 1);
    }
    return status;
}

static int settle_stale(hrt_client *client, const hrt_job *job)
{
    hrt_settlement said = {.job = job->id,
                           .token = job->token - 1 - sim_below(CHANCE_WORK, job->token - 1),
                           .outcome = HRT_OUTCOME_OK};
    return said.token == 0 ? HRT_OK : hrt_settle(client, &said, 1);
}

/* What a broken or hostile program may leave in its own lane. */
static void write_garbage(hrt_client *client)
{
    hrt_lane *lane = client->lane;
    hrt_submit_settle settle_entry = {
        .head = {.length = sizeof(settle_entry), .type = HRT_SUBMIT_SETTLE},
        .job = 1,
        .outcome = 200};
    hrt_submit unknown = {.length = 64, .type = 77};
    hrt_submit endless = {.length = UINT32_MAX - 7, .type = HRT_SUBMIT_ENQUEUE};
    uint8_t *place = hrt_ring_claim(&client->writer, 64);
    if (place == NULL) {
        return;
    }
    uint64_t which = sim_below(CHANCE_WORK, 5);
    sim_sight(SIGHT_GARBAGE + (uint32_t)which);
    switch (which) {
    case 0:
        memcpy(place, &settle_entry, sizeof(settle_entry));
        break;
    case 1:
        memcpy(place, &unknown, sizeof(unknown));
        break;
    case 2:
        memcpy(place, &endless, sizeof(endless));
        break;
    case 3:
        lane->deliver_head += 1u << 20;
        break;
    default:
        lane->submit_tail += sim_random(CHANCE_WORK) | 1;
        return;
    }
    hrt_ring_publish(&client->writer);
    hrt_submit_notify(client);
}

static void hang(void)
{
    sim_process *self = sim_self();
    self->frozen_until =
        sim_now() + scene.lease_ns / 2 + sim_below(CHANCE_WORK, 3 * scene.lease_ns);
    self->stood_still = true;
    sim_yield();
}

static bool serves(uint16_t kind, uint32_t kind_count)
{
    for (uint32_t i = 0; i < kind_count; i++) {
        if (scene.kinds[i] == kind) {
            return true;
        }
    }
    return false;
}

/* What a handler may say before it is done. */
static void talk(hrt_client *client, const hrt_job *job)
{
    if (sim_one_in(CHANCE_WORK, SAVE_ONE_IN)) {
        uint8_t data[SAVED_MAX];
        uint32_t length = SAVED_MIN + (uint32_t)sim_below(CHANCE_WORK, SAVED_MAX - SAVED_MIN);
        rules_save(job->id, job->token, data, length);
        (void)!hrt_save(client, job->id, job->token, data, length);
    }
    if (sim_one_in(CHANCE_WORK, EXTEND_ONE_IN)) {
        (void)!hrt_extend(client, job->id, job->token, sim_below(CHANCE_WORK, SIM_SECOND));
        (void)!hrt_progress(client, job->id, job->token, 500, "half", 4);
    }
}

static void begin(hrt_client *client, const hrt_job *job, uint32_t kind_count,
                  const scene_client *self)
{
    if (!is_orphan(self)) {
        oracle_served(job, hrt_incarnation(client));
    }
    SIM_CHECK(serves(job->kind, kind_count), "job %llu is of kind %u, which was not registered",
              (unsigned long long)job->id, job->kind);
    sim_trace(9, job->id, job->token);
    hrt_job_started(job);
}

/* Whatever becomes of its runtime and of the log, a handler reads what it read at first. */
static void check_intact(const hrt_job *job, const scene_client *self)
{
    if (is_orphan(self)) {
        oracle_untouched(job);
    } else {
        oracle_intact(job);
    }
}

static int handle(hrt_client *client, const hrt_job *job, uint32_t kind_count, scene_client *self)
{
    begin(client, job, kind_count, self);
    if (sim_strikes(FAULT_WORKER_HANGS, HANG_ONE_IN)) {
        hang();
    }
    if (sim_strikes(FAULT_WORKER_LATE, LATE_ONE_IN)) {
        sim_sleep(sim_below(CHANCE_WORK, 3 * SIM_SECOND));
    } else {
        sim_sleep(sim_below(CHANCE_WORK, 3 * SIM_MS));
    }
    check_intact(job, self);
    talk(client, job);
    if (sim_strikes(FAULT_WORKER_GARBAGE, GARBAGE_ONE_IN)) {
        self->bad = true;
        rules_spoiled(hrt_incarnation(client));
        write_garbage(client);
    }
    if (sim_strikes(FAULT_WORKER_STALE, STALE_ONE_IN)) {
        (void)settle_stale(client, job);
    }
    if (sim_strikes(FAULT_WORKER_SILENT, SILENT_ONE_IN)) {
        self->bad = true;
        return HRT_OK;
    }
    return settle(client, job, self);
}

/* ---- jobs that a worker sits on while others go on ---- */

typedef struct held {
    hrt_job job;
    uint64_t until;
} held;

typedef struct lap {
    held jobs[HELD_MAX];
    uint32_t count;
} lap;

static bool may_hold(const lap *mine, const hrt_job *job)
{
    return scene.plan.holds && !sim_calm() && mine->count < HELD_MAX && job->deadline_ns == 0 &&
           sim_one_in(CHANCE_WORK, HOLD_ONE_IN);
}

static void hold(lap *mine, const hrt_job *job)
{
    uint64_t until = sim_now() + sim_below(CHANCE_WORK, HOLD_NS_MAX);
    mine->jobs[mine->count++] = (held){.job = *job, .until = until};
}

static int settle_held(hrt_client *client, lap *mine, const scene_client *self)
{
    int status = HRT_OK;
    for (uint32_t i = mine->count; i-- > 0 && status == HRT_OK;) {
        held one = mine->jobs[i];
        if (one.until <= sim_now()) {
            mine->jobs[i] = mine->jobs[--mine->count];
            check_intact(&one.job, self);
            status = settle(client, &one.job, self);
        }
    }
    return status;
}

/* Handlers that nobody can stop go on when their runtime is gone. */
static void sit_out(lap *mine, const scene_client *self)
{
    while (mine->count > 0 && !sim_calm()) {
        sim_sleep(sim_below(CHANCE_WORK, SIM_SECOND));
        for (uint32_t i = mine->count; i-- > 0;) {
            check_intact(&mine->jobs[i].job, self);
            if (mine->jobs[i].until <= sim_now()) {
                mine->jobs[i] = mine->jobs[--mine->count];
            }
        }
    }
}

static void work_for(hrt_client *client, scene_client *self)
{
    lap mine = {.count = 0};
    static const char *const kinds[SCENE_KINDS] = {"kind0", "kind1"};
    uint32_t kind_count = 1 + (uint32_t)sim_below(CHANCE_WORK, SCENE_KINDS);
    hrt_register_options served = {
        .kinds = kinds,
        .kind_count = sim_calm() ? SCENE_KINDS : kind_count,
        .concurrency = (scene.plan.holds ? HELD_MAX : 1) + (uint32_t)sim_below(CHANCE_WORK, 4),
        .credit = sim_one_in(CHANCE_WORK, 2) ? 0 : 1 + (uint32_t)sim_below(CHANCE_WORK, 8),
        .language = "c"};
    self->bad = served.kind_count < SCENE_KINDS;
    rules_credit(hrt_incarnation(client), served.credit);
    int status = hrt_register(client, &served);
    while (status == HRT_OK || status == HRT_EAGAIN) {
        hrt_job jobs[JOBS_MAX];
        uint32_t count = 0;
        int64_t wait_ns = mine.count > 0 ? (int64_t)(50 * SIM_MS) : patience(50 * SIM_MS);
        status = hrt_fetch(client, jobs, 1 + (uint32_t)sim_below(CHANCE_WORK, JOBS_MAX), wait_ns,
                           &count);
        for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
            if (may_hold(&mine, &jobs[i])) {
                begin(client, &jobs[i], served.kind_count, self);
                hold(&mine, &jobs[i]);
            } else {
                status = handle(client, &jobs[i], served.kind_count, self);
            }
        }
        if (status == HRT_OK || status == HRT_EAGAIN) {
            int settled = settle_held(client, &mine, self);
            status = settled == HRT_OK ? status : settled;
        }
        read_notices(client, self);
    }
    sit_out(&mine, self);
}

void *work(void *argument)
{
    hrt_client *client = NULL;
    if (attach(&client)) {
        work_for(client, argument);
        hrt_detach(client);
    }
    sim_process_kill(sim_self());
    return NULL;
}
