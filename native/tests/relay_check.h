/* After a relay: holds the log against what its producers and workers saw. */
#ifndef HRT_RELAY_CHECK_H
#define HRT_RELAY_CHECK_H

#include "record.h"
#include "relay.h"
#include "scan.h"

enum { IDS_MAX = 1 << 23 };

/* What the log says of the jobs. */
typedef struct findings {
    uint64_t *ids[RELAY_PRODUCERS]; /* of each number */
    uint64_t *follows[RELAY_PRODUCERS];
    uint64_t *tokens; /* by id: the last one settled */
    uint64_t enqueued, settled, ended, lost;
} findings;

static inline void note_enqueue(findings *found, const hrt_record *record)
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

static inline void note_settle(findings *found, const hrt_record *record)
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

/* `free_findings` gives back what it allocates. */
static inline findings read_log(const relay *r)
{
    findings found = {.tokens = calloc(IDS_MAX, sizeof(uint64_t))};
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        found.ids[producer] = calloc(RELAY_NUMBERS, sizeof(uint64_t));
        found.follows[producer] = calloc(RELAY_NUMBERS, sizeof(uint64_t));
    }
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    hrt_damage_report report;
    REQUIRE(hrt_scan_open(r->directory, &scan) == HRT_OK);
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        if (record->type == HRT_RECORD_ENQUEUE) {
            note_enqueue(&found, record);
        } else if (record->type == HRT_RECORD_SETTLE) {
            note_settle(&found, record);
        }
    }
    hrt_scan_report(scan, &report);
    CHECK(report.damage == HRT_DAMAGE_NONE || report.damage == HRT_DAMAGE_TORN);
    hrt_scan_close(scan);
    return found;
}

static inline void free_findings(findings *found)
{
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        free(found->ids[producer]);
        free(found->follows[producer]);
    }
    free(found->tokens);
}

static inline void compare(const relay *r, const findings *found, uint32_t producer)
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

static inline void check_all(relay *r)
{
    findings found = read_log(r);
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        compare(r, &found, producer);
        CHECK(r->ledger->watched[producer] > 0);
        CHECK_EQ(r->ledger->answered[producer], r->ledger->watched[producer]);
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
    free_findings(&found);
}

#endif
