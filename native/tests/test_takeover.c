/*
 * Runtimes die at random moments, also while they take over, and others go on with their log and
 * their lanes. Afterwards the log is asked: each number that was sent is there exactly once, with
 * the id that was acknowledged; no attempt was settled twice; no handler ran once too often.
 * LONG=1: more kills.
 */
#include "record.h"
#include "relay.h"

enum {
    KILLS = 40,
    KILLS_LONG = 1000,
    SEGMENTS = 64,
    SEGMENTS_LONG = 1024,
    IDS_MAX = 1 << 23,
};

/* What the log says of the jobs. */
typedef struct findings {
    uint64_t *ids[RELAY_PRODUCERS]; /* of each number */
    uint64_t *follows[RELAY_PRODUCERS];
    uint64_t *tokens; /* by id: the last one settled */
    uint64_t enqueued, settled, ended, lost;
} findings;

static void note_enqueue(findings *found, const hrt_record *record)
{
    uint32_t numbers[2];
    hrt_parts parts = hrt_record_parts(record);
    memcpy(numbers, (const uint8_t *)record + parts.payload, sizeof(numbers));
    REQUIRE(numbers[1] < RELAY_PRODUCERS && record->sequence < IDS_MAX);
    bool follows = numbers[0] >= RELAY_FOLLOW;
    uint64_t *ids = follows ? found->follows[numbers[1]] : found->ids[numbers[1]];
    uint32_t number = follows ? numbers[0] - RELAY_FOLLOW : numbers[0];
    REQUIRE(number < RELAY_NUMBERS);
    CHECK_EQ(ids[number], 0); /* taken twice */
    ids[number] = record->sequence;
    found->enqueued++;
}

static void note_settle(findings *found, const hrt_record *record)
{
    const uint8_t *bytes = hrt_record_body(record);
    for (uint32_t i = 0; i < record->count; i++) {
        hrt_settle_entry entry;
        memcpy(&entry, bytes, sizeof(entry));
        bytes += sizeof(entry) + ((entry.data_length + 7u) & ~7u);
        REQUIRE(entry.job < IDS_MAX);
        CHECK(entry.token > found->tokens[entry.job]); /* each attempt ends once */
        found->tokens[entry.job] = entry.token;
        found->settled++;
        found->ended += entry.outcome == HRT_OUTCOME_OK;
        found->lost += entry.outcome == HRT_OUTCOME_LOST || entry.outcome == HRT_OUTCOME_CRASHED;
    }
}

static void read_log(const relay *r, findings *found)
{
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    hrt_damage_report report;
    REQUIRE(hrt_scan_open(r->directory, &scan) == HRT_OK);
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        if (record->type == HRT_RECORD_ENQUEUE) {
            note_enqueue(found, record);
        } else if (record->type == HRT_RECORD_SETTLE) {
            note_settle(found, record);
        }
    }
    hrt_scan_report(scan, &report);
    CHECK(report.damage == HRT_DAMAGE_NONE || report.damage == HRT_DAMAGE_TORN);
    hrt_scan_close(scan);
}

static void compare(const relay *r, const findings *found, uint32_t producer)
{
    const relay_ledger *ledger = r->ledger;
    uint64_t before = 0;
    for (uint64_t number = 0; number < ledger->sent[producer]; number++) {
        bool fails = number % RELAY_RETRY_EVERY == 3;
        bool follows = number % RELAY_FOLLOW_EVERY == 7;
        CHECK_EQ(found->ids[producer][number], ledger->ids[producer][number]);
        CHECK(found->ids[producer][number] > before);
        CHECK_EQ(ledger->runs[producer][number], fails ? 2 : 1);
        CHECK_EQ(found->follows[producer][number] != 0, follows);
        CHECK_EQ(ledger->follow_runs[producer][number], follows);
        before = found->ids[producer][number];
        if (tap_failures > 20) {
            return;
        }
    }
}

static void check_all(relay *r)
{
    findings found = {.tokens = calloc(IDS_MAX, sizeof(uint64_t))};
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        found.ids[producer] = calloc(RELAY_NUMBERS, sizeof(uint64_t));
        found.follows[producer] = calloc(RELAY_NUMBERS, sizeof(uint64_t));
    }
    read_log(r, &found);
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        compare(r, &found, producer);
        CHECK(r->ledger->watched[producer] > 0);
        CHECK_EQ(r->ledger->answered[producer], r->ledger->watched[producer]);
        free(found.ids[producer]);
        free(found.follows[producer]);
    }
    CHECK_EQ(r->page->runtime.recycled, 0); /* else the log is not there as a whole */
    CHECK_EQ(r->ledger->broken, 0);
    CHECK_EQ(r->ledger->refused, 0);
    CHECK_EQ(r->ledger->unsaved, 0);
    CHECK_EQ(r->ledger->out_of_order, 0);
    CHECK_EQ(found.ended, found.enqueued);
    CHECK_EQ(found.lost, 0);
    printf("# %" PRIu64 " jobs, %" PRIu64 " settles, up to position %" PRIu64 "\n", found.enqueued,
           found.settled, hrt_load_relaxed(&r->page->runtime.log_tail));
    free(found.tokens);
}

static void nothing_is_lost_or_done_twice_when_runtimes_die(void)
{
    relay r;
    const char *text = getenv("LONG");
    bool longer = text != NULL && text[0] == '1';
    uint32_t kills = longer ? KILLS_LONG : KILLS;
    unsigned seed = (unsigned)hrt_clock_ns(CLOCK_MONOTONIC);
    printf("# seed %u, %u kills\n", seed, kills);
    relay_begin(&r, longer ? SEGMENTS_LONG : SEGMENTS);
    relay_start_clients(&r);
    pid_t active = relay_start_runner(&r);
    for (uint32_t i = 0; i < kills && r.ledger->broken == 0; i++) {
        pid_t standby = relay_start_runner(&r);
        /* Every third one is killed on the way: before, in or right after its take-over. */
        if (rand_r(&seed) % 3 != 0) {
            relay_await(&r, r.runners - 1);
            relay_pause((uint64_t)rand_r(&seed) % 30000000);
        } else {
            relay_pause((uint64_t)rand_r(&seed) % 5000000);
        }
        relay_kill(active);
        active = standby;
    }
    relay_await(&r, r.runners);
    relay_finish(&r, active);
    check_all(&r);
    relay_end(&r);
}

int main(void)
{
    TAP_LIST(TEST(nothing_is_lost_or_done_twice_when_runtimes_die));
}
