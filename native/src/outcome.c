/* Ends of attempts, and what a worker says while one runs. */
#include "check.h"
#include "error.h"
#include "handle.h"

#include <string.h>

uint32_t hrt_unit_max(const hrt_client *client)
{
    return client->writer.capacity / 4;
}

/* Cuts error text to its limit, not inside a UTF-8 character. */
static uint32_t data_to_send(const hrt_settlement *settlement)
{
    if (settlement->outcome == HRT_OUTCOME_OK || settlement->data_length <= HRT_ERROR_MAX)
        return settlement->data_length;
    const uint8_t *text = settlement->data;
    uint32_t length = HRT_ERROR_MAX;
    while (length > HRT_ERROR_MAX - 4 && (text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static uint32_t settle_length(const hrt_settlement *settlement)
{
    return (uint32_t)hrt_align_up(sizeof(hrt_submit_settle) + data_to_send(settlement), 8);
}

static int check_settlement(const hrt_settlement *settlement, uint32_t index)
{
    if (settlement->outcome < HRT_OUTCOME_OK || settlement->outcome > HRT_OUTCOME_RETURNED)
        return hrt_fail(HRT_EINVAL,
                        "settlement %u: outcome %u is not one of 1 (ok) to 6 (returned)", index,
                        settlement->outcome);
    if (settlement->data == NULL && settlement->data_length > 0)
        return hrt_fail(HRT_EINVAL, "settlement %u: data is NULL but has a length", index);
    if (settlement->outcome == HRT_OUTCOME_OK && settlement->data_length > HRT_RESULT_MAX)
        return hrt_fail(HRT_ETOOLARGE, "settlement %u: the result has %u bytes, the limit is %d",
                        index, settlement->data_length, HRT_RESULT_MAX);
    if (settlement->follow_count > HRT_FOLLOW_MAX)
        return hrt_fail(HRT_ETOOLARGE, "settlement %u: %u follow-up jobs, the limit is %d", index,
                        settlement->follow_count, HRT_FOLLOW_MAX);
    if (settlement->follow == NULL && settlement->follow_count > 0)
        return hrt_fail(HRT_EINVAL, "settlement %u: follow is NULL but has a count", index);
    return HRT_OK;
}

/* Checks a settlement with its follow-ups, and says what it needs. */
static int check_unit(hrt_client *client, const hrt_settlement *settlement, uint32_t index,
                      hrt_need *need_out)
{
    int status = check_settlement(settlement, index);
    if (status != HRT_OK)
        return status;
    hrt_need need = {.bytes = settle_length(settlement), .largest = settle_length(settlement)};
    for (uint32_t i = 0; i < settlement->follow_count && status == HRT_OK; i++)
        status = hrt_spec_check(client, &settlement->follow[i], i, &need);
    if (status == HRT_OK && need.bytes > hrt_unit_max(client))
        status = hrt_fail(HRT_ETOOLARGE,
                          "settlement %u needs %llu bytes with its %u follow-up jobs, the limit of "
                          "this lane is %u",
                          index, (unsigned long long)need.bytes, settlement->follow_count,
                          hrt_unit_max(client));
    if (status == HRT_OK)
        *need_out = need;
    return status;
}

typedef struct settle_batch {
    const hrt_settlement *settlements;
    uint32_t count;
} settle_batch;

static void write_settle(hrt_client *client, const hrt_settlement *settlement)
{
    const hrt_submit_settle entry = {
        .head = {.length = settle_length(settlement), .type = HRT_SUBMIT_SETTLE},
        .job = settlement->job,
        .token = settlement->token,
        .delay_ns = settlement->delay_ns,
        .data_length = data_to_send(settlement),
        .follow_count = (uint16_t)settlement->follow_count,
        .outcome = settlement->outcome,
    };
    uint8_t *place = hrt_ring_claim(&client->writer, entry.head.length);
    HRT_ASSERT(place != NULL);
    memcpy(place, &entry, sizeof(entry));
    if (entry.data_length > 0)
        memcpy(place + sizeof(entry), settlement->data, entry.data_length);
    for (uint32_t i = 0; i < settlement->follow_count; i++)
        hrt_spec_write(client, &settlement->follow[i], HRT_ENQUEUE_FOLLOW);
}

static void write_batch(hrt_client *client, void *context)
{
    const settle_batch *batch = context;
    for (uint32_t i = 0; i < batch->count; i++)
        write_settle(client, &batch->settlements[i]);
}

static bool joins(const hrt_client *client, const hrt_need *batch, const hrt_need *unit)
{
    return batch->bytes + unit->bytes <= hrt_submit_limit(client) &&
           batch->tickets + unit->tickets <= client->reply_capacity / 2;
}

/* How many settlements make one step, and what it needs. At least one: a unit always fits. */
static uint32_t next_step(hrt_client *client, const hrt_settlement *settlements, uint32_t count,
                          hrt_need *need_out)
{
    hrt_need need = {0};
    uint32_t taken = 0;
    for (; taken < count; taken++) {
        hrt_need unit = {0};
        const int status = check_unit(client, &settlements[taken], taken, &unit);
        HRT_ASSERT(status == HRT_OK);
        if (taken > 0 && !joins(client, &need, &unit))
            break;
        need.bytes += unit.bytes;
        need.tickets += unit.tickets;
        need.largest = unit.largest > need.largest ? unit.largest : need.largest;
    }
    *need_out = need;
    return taken;
}

static bool is_end(uint8_t outcome)
{
    return outcome == HRT_OUTCOME_OK || outcome == HRT_OUTCOME_DISCARD ||
           outcome == HRT_OUTCOME_DEAD;
}

/*
 * A runtime that takes over may take the settle without knowing that the job was cancelled; then
 * it would run again. Told once more it does not, and one that knew it has nothing to do.
 */
static int keep_promise(hrt_client *client, const hrt_settlement *settlement)
{
    const bool cancelled = hrt_promise_end(client, settlement->job, settlement->token);
    return cancelled && !is_end(settlement->outcome) ? hrt_cancel(client, settlement->job) : HRT_OK;
}

int hrt_settle(hrt_client *client, const hrt_settlement *settlements, uint32_t count)
{
    int status = hrt_client_usable(client);
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        hrt_need unit;
        status = check_unit(client, &settlements[i], i, &unit);
    }
    uint32_t done = 0;
    while (done < count && status == HRT_OK) {
        hrt_need need;
        settle_batch batch = {.settlements = settlements + done};
        batch.count = next_step(client, batch.settlements, count - done, &need);
        status = hrt_submit_batch(client, &need, write_batch, &batch, -1, NULL, NULL);
        done += batch.count;
    }
    for (uint32_t i = 0; i < done && status == HRT_OK; i++)
        status = keep_promise(client, &settlements[i]);
    return status;
}

int hrt_settle_returned(hrt_client *client, const hrt_lease *leases, uint32_t count)
{
    int status = HRT_OK;
    hrt_settlement settlements[64];
    uint32_t done = 0;
    while (done < count && status == HRT_OK) {
        uint32_t taken = 0;
        for (; taken < HRT_COUNT_OF(settlements) && done < count; taken++, done++) {
            settlements[taken] = (hrt_settlement){
                .job = leases[done].delivery.job,
                .token = leases[done].delivery.token,
                .outcome = HRT_OUTCOME_RETURNED,
            };
        }
        status = hrt_settle(client, settlements, taken);
    }
    return status;
}

int hrt_extend(hrt_client *client, uint64_t job, uint64_t token, uint64_t more_ns)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    const hrt_submit_extend entry = {
        .head = {.length = sizeof(entry), .type = HRT_SUBMIT_EXTEND},
        .job = job,
        .token = token,
        .more_ns = more_ns,
    };
    hrt_promise_limit(client, job, token, more_ns);
    return hrt_submit_entry(client, &entry, sizeof(entry), NULL, 0);
}

int hrt_save(hrt_client *client, uint64_t job, uint64_t token, const void *data, size_t length)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (data == NULL && length > 0)
        return hrt_fail(HRT_EINVAL, "data is NULL but has a length");
    if (length > HRT_SAVED_MAX)
        return hrt_fail(HRT_ETOOLARGE, "job %llu wants to save %zu bytes, the limit is %d",
                        (unsigned long long)job, length, HRT_SAVED_MAX);
    const hrt_submit_save entry = {
        .head = {.length = (uint32_t)hrt_align_up(sizeof(entry) + length, 8),
                 .type = HRT_SUBMIT_SAVE},
        .job = job,
        .token = token,
        .length = (uint32_t)length,
    };
    if (entry.head.length > hrt_submit_limit(client))
        return hrt_fail(HRT_ETOOLARGE,
                        "job %llu wants to save %zu bytes, half of the submit ring is %u; attach "
                        "with a larger submit_capacity",
                        (unsigned long long)job, length, hrt_submit_limit(client));
    return hrt_submit_entry(client, &entry, sizeof(entry), data, (uint32_t)length);
}

int hrt_progress(hrt_client *client, uint64_t job, uint64_t token, uint32_t permille,
                 const char *note, size_t note_length)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (permille > 1000)
        return hrt_fail(HRT_EINVAL, "permille is %u, the limit is 1000", permille);
    if (note_length > HRT_NOTE_MAX)
        return hrt_fail(HRT_ETOOLARGE, "the note has %zu bytes, the limit is %d", note_length,
                        HRT_NOTE_MAX);
    if (note == NULL && note_length > 0)
        return hrt_fail(HRT_EINVAL, "note is NULL but has a length");
    const hrt_submit_progress entry = {
        .head = {.length = (uint32_t)hrt_align_up(sizeof(entry) + note_length, 8),
                 .type = HRT_SUBMIT_PROGRESS},
        .job = job,
        .token = token,
        .permille = permille,
        .note_length = (uint32_t)note_length,
    };
    return hrt_submit_entry(client, &entry, sizeof(entry), note, (uint32_t)note_length);
}
