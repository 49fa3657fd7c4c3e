/*
 * What the scheduler would have decided where a history has its decisions. A log tells what was
 * decided and not who else asked for work, so each lease is asked for again by its client alone,
 * beside another one that runs a suspect when this one got none: no more than one of two may.
 */
#include "error.h"
#include "record.h"
#include "scheduler.h"

#include <stdlib.h>
#include <string.h>

enum {
    HRT_ASKING_LANE = 0,
    HRT_SUSPECT_LANE = 1,
    HRT_VERDICT_NUMBERS = 3, /* outcome, cause, due_ns */
    HRT_KIND_WORDS = HRT_KINDS_MAX / 64,
};

/* The kinds that a client was handed jobs of. */
typedef struct served {
    uint64_t client; /* 0: none */
    uint64_t kinds[HRT_KIND_WORDS];
} served;

struct hrt_hindsight {
    hrt_replay *replay;
    hrt_scheduler *scheduler;
    served clients[HRT_LANES_MAX];
    uint32_t turn; /* the one that makes room for the next */
};

int hrt_hindsight_new(hrt_replay *replay, hrt_hindsight **hindsight_out)
{
    hrt_hindsight *hindsight = calloc(1, sizeof(*hindsight));
    if (hindsight == NULL) {
        return hrt_fail(HRT_ENOMEM, "no memory for a scheduler");
    }
    hindsight->replay = replay;
    hindsight->scheduler = hrt_scheduler_new(hrt_replay_state(replay), 0);
    if (hindsight->scheduler == NULL) {
        free(hindsight);
        return hrt_fail(HRT_ENOMEM, "no memory for a scheduler");
    }
    *hindsight_out = hindsight;
    return HRT_OK;
}

void hrt_hindsight_free(hrt_hindsight *hindsight)
{
    if (hindsight == NULL) {
        return;
    }
    hrt_scheduler_free(hindsight->scheduler);
    free(hindsight);
}

static served *client_of(hrt_hindsight *hindsight, uint64_t client)
{
    for (uint32_t i = 0; i < HRT_LANES_MAX; i++) {
        if (hindsight->clients[i].client == client) {
            return &hindsight->clients[i];
        }
    }
    served *made = &hindsight->clients[hindsight->turn];
    hindsight->turn = (hindsight->turn + 1) % HRT_LANES_MAX;
    *made = (served){.client = client};
    return made;
}

/* Returns whether the client was handed a suspect. */
static bool learn_kinds(const hrt_hindsight *hindsight, const hrt_record *lease, served *client)
{
    const uint64_t *jobs = hrt_lease_jobs(lease);
    bool suspect = false;
    for (uint32_t i = 0; i < lease->count; i++) {
        const hrt_state_job *job = hrt_state_find(hrt_replay_state(hindsight->replay), jobs[i]);
        if (job != NULL) {
            client->kinds[job->kind / 64] |= (uint64_t)1 << (job->kind % 64);
            suspect |= job->suspect;
        }
    }
    return suspect;
}

static void serve(hrt_hindsight *hindsight, const served *client, uint32_t count, bool suspect)
{
    hrt_appetite asking = {
        .incarnation = client->client, .concurrency = count, .credit_fixed = count};
    memcpy(asking.kinds, client->kinds, sizeof(asking.kinds));
    hrt_scheduler_serve(hindsight->scheduler, HRT_ASKING_LANE, &asking);
    if (!suspect) {
        const hrt_appetite other = {.incarnation = UINT64_MAX, .concurrency = 1};
        hrt_scheduler_serve(hindsight->scheduler, HRT_SUSPECT_LANE, &other);
        hrt_scheduler_leased(hindsight->scheduler, HRT_SUSPECT_LANE, 1, true);
    }
}

static uint32_t pick_again(hrt_hindsight *hindsight, const hrt_record *lease, uint64_t *answer_out)
{
    const hrt_lease_body *body = hrt_record_body(lease);
    if (body->client == 0 || lease->count == 0) {
        return 0;
    }
    served *client = client_of(hindsight, body->client);
    bool suspect = learn_kinds(hindsight, lease, client);
    serve(hindsight, client, lease->count, suspect);
    uint32_t lane = 0;
    uint32_t count = hrt_scheduler_pick(hindsight->scheduler, &lane, answer_out, lease->count);
    hrt_scheduler_leave(hindsight->scheduler, HRT_ASKING_LANE);
    hrt_scheduler_leave(hindsight->scheduler, HRT_SUSPECT_LANE);
    return count;
}

static void judge_again(hrt_hindsight *hindsight, const hrt_record *settle, uint64_t *answer_out)
{
    const hrt_state *state = hrt_replay_state(hindsight->replay);
    const uint8_t *bytes = hrt_record_body(settle);
    uint64_t offset = 0;
    hrt_scheduler_seed(hindsight->scheduler, settle->sequence);
    for (uint32_t i = 0; i < settle->count; i++) {
        const hrt_settle_entry *entry = (const hrt_settle_entry *)(bytes + offset);
        const hrt_state_job *job = hrt_state_find(state, entry->job);
        uint8_t reported = entry->cause != 0 ? entry->cause : entry->outcome;
        hrt_settle_entry made = {.job = entry->job};
        if (job != NULL) {
            hrt_scheduler_judge(hindsight->scheduler, job, reported, UINT64_MAX, settle->time_ns,
                                &made);
        }
        const uint64_t verdict[HRT_VERDICT_NUMBERS] = {made.outcome, made.cause, made.due_ns};
        memcpy(answer_out + (size_t)i * HRT_VERDICT_NUMBERS, verdict, sizeof(verdict));
        offset += sizeof(*entry) + ((entry->data_length + UINT64_C(7)) & ~UINT64_C(7));
    }
}

static uint64_t numbers_for(const hrt_record *record)
{
    switch (record->type) {
    case HRT_RECORD_LEASE:
    case HRT_RECORD_DUE:
        return record->count;
    case HRT_RECORD_SETTLE:
        return (uint64_t)record->count * HRT_VERDICT_NUMBERS;
    default:
        return 0;
    }
}

int hrt_hindsight_ask(hrt_hindsight *hindsight, const void *record, size_t length,
                      uint64_t *answer_out, uint32_t max, uint32_t *count_out)
{
    const hrt_record *copy = NULL;
    int status = hrt_replay_read(hindsight->replay, record, length, &copy);
    if (status != HRT_OK) {
        return status;
    }
    uint64_t numbers = numbers_for(copy);
    if (numbers > max) {
        return hrt_fail(HRT_EINVAL, "the answer about record %llu is longer than %u numbers",
                        (unsigned long long)copy->sequence, max);
    }
    uint32_t count = (uint32_t)numbers;
    if (copy->type == HRT_RECORD_LEASE) {
        count = pick_again(hindsight, copy, answer_out);
    } else if (copy->type == HRT_RECORD_DUE) {
        count = hrt_scheduler_due(hindsight->scheduler, copy->time_ns, answer_out, count);
    } else if (copy->type == HRT_RECORD_SETTLE) {
        judge_again(hindsight, copy, answer_out);
    }
    *count_out = count;
    return HRT_OK;
}
