/*
 * Bit rot: each bit of a full segment, of the one after it and of their headers is turned over in
 * its turn. What was synced is named as damaged, at the right place; the last group may be taken
 * for a torn tail; no record is ever handed out that is not as it was written. One bit in 16, or
 * with LONG=1 all of them.
 */
#include "log_journey.h"

enum { RECORDS_MAX = 512, HEADER_BYTES = sizeof(hrt_segment) };

typedef struct place {
    uint64_t position;
    uint64_t end;  /* of what the checksum covers */
    uint64_t next; /* of the record after it */
    uint64_t group;
    uint32_t crc;
} place;

typedef struct rot {
    fixture f;
    place places[RECORDS_MAX];
    uint32_t count;
    uint64_t last_group;
    uint64_t bits;
    uint64_t committed;
    uint64_t torn;
    uint64_t harmless;
} rot;

static void note(rot *r, const hrt_record *record)
{
    REQUIRE(r->count < RECORDS_MAX);
    bool follows = r->count > 0 && r->places[r->count - 1].next == record->position;
    bool begins = r->last_group == 0 || !follows;
    r->places[r->count] = (place){
        .position = record->position,
        .end =
            record->position + (record->type == HRT_RECORD_PAD ? sizeof(*record) : record->length),
        .next = record->position + hrt_record_span(record->length),
        .group = begins ? record->position : r->last_group,
        .crc = record->crc,
    };
    r->last_group =
        record->flags & HRT_RECORD_LAST ? r->places[r->count].next : r->places[r->count].group;
    r->count++;
}

/* Reads all that recovery would hand out; returns how many records that were. */
static uint32_t read_all(rot *r, bool first, hrt_damage_report *report)
{
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    uint32_t count = 0;
    REQUIRE(hrt_scan_open(r->f.directory, &scan) == HRT_OK);
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        if (first) {
            note(r, record);
        } else {
            REQUIRE(count < r->count);
            CHECK(record->crc == r->places[count].crc &&
                  record->position == r->places[count].position);
        }
        count++;
    }
    hrt_scan_report(scan, report);
    hrt_scan_close(scan);
    return count;
}

/* Groups of different sizes over two segments, each synced before the next. */
static void write_log(rot *r, bool reboot)
{
    journey_make(&r->f);
    REQUIRE(fixture_open(&r->f) == HRT_OK);
    REQUIRE(fixture_epoch(&r->f, reboot) == HRT_OK);
    REQUIRE(hrt_log_start(r->f.log) == HRT_OK);
    uint32_t in_second = 0; /* a PAD is synced with the group after it: one more has to follow */
    for (uint32_t i = 0; in_second < 8; i++) {
        REQUIRE(fixture_group(&r->f, 1 + i % 3, 5 + i % 90, i) == HRT_OK);
        fixture_sync(&r->f);
        in_second += hrt_log_current(r->f.log) == 2;
    }
    fixture_close(&r->f);
    hrt_damage_report report;
    CHECK_EQ(read_all(r, true, &report), r->count);
    CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
}

/* The record whose checksum covers a byte, or NULL. */
static const place *covering(const rot *r, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r->places[middle].end <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < r->count && r->places[low].position <= position ? &r->places[low] : NULL;
}

static uint32_t records_before(const rot *r, uint64_t position)
{
    uint32_t count = 0;
    while (count < r->count && r->places[count].position < position) {
        count++;
    }
    return count;
}

static void judge(rot *r, uint64_t position, uint32_t count, const hrt_damage_report *report)
{
    const place *hit = covering(r, position);
    uint64_t offset = position % SMALL_SEGMENT;
    if (offset < HEADER_BYTES) {
        CHECK_EQ(report->damage, HRT_DAMAGE_HEADER);
        CHECK_EQ(count, 0);
        r->committed++;
    } else if (hit == NULL) {
        CHECK_EQ(report->damage, HRT_DAMAGE_NONE);
        CHECK_EQ(count, r->count);
        r->harmless++;
    } else if (hit->group < r->places[r->count - 1].group) {
        CHECK_EQ(report->damage, HRT_DAMAGE_COMMITTED);
        CHECK_EQ(report->position, hit->position);
        CHECK_EQ(count, records_before(r, hit->group));
        r->committed++;
    } else {
        CHECK(report->damage == HRT_DAMAGE_TORN || report->damage == HRT_DAMAGE_NONE ||
              report->damage == HRT_DAMAGE_COMMITTED);
        CHECK_EQ(count, records_before(r, hit->group));
        r->torn++;
    }
}

static void turn(const rot *r, uint64_t position, uint8_t mask)
{
    uint32_t slot = (uint32_t)(position / SMALL_SEGMENT) - 1;
    uint8_t byte = 0;
    fixture_read(&r->f, slot, position % SMALL_SEGMENT, &byte, 1);
    byte ^= mask;
    fixture_write(&r->f, slot, position % SMALL_SEGMENT, &byte, 1);
}

static void turn_each_bit(bool reboot)
{
    rot *r = calloc(1, sizeof(*r));
    REQUIRE(r != NULL);
    write_log(r, reboot);
    uint64_t step = getenv("LONG") != NULL ? 1 : 16;
    uint64_t end = (r->places[r->count - 1].next + 128) * 8;
    for (uint64_t bit = (uint64_t)SMALL_SEGMENT * 8; bit < end && tap_failures == 0; bit += step) {
        hrt_damage_report report;
        uint64_t one = bit + bit / step % step; /* not always the same bit of a byte */
        uint8_t mask = (uint8_t)(1 << one % 8);
        turn(r, one / 8, mask);
        judge(r, one / 8, read_all(r, false, &report), &report);
        if (tap_failures > 0) {
            printf("# bit %" PRIu64 " of position %" PRIu64 ": %s\n", one % 8, one / 8,
                   report.text);
        }
        turn(r, one / 8, mask);
        r->bits++;
    }
    printf("# %" PRIu64 " bits: %" PRIu64 " damage, %" PRIu64 " in the last group, %" PRIu64
           " that nothing depends on\n",
           r->bits, r->committed, r->torn, r->harmless);
    CHECK(r->committed > r->bits / 2 && r->torn > 0 && r->harmless > 0);
    fixture_end(&r->f);
    free(r);
}

static void each_bit_that_rots_is_named(void)
{
    turn_each_bit(false);
}

/* Without the page cache as a witness: what later records say was synced tells. */
static void each_bit_that_rots_is_named_after_a_reboot(void)
{
    turn_each_bit(true);
}

int main(void)
{
    TAP_LIST(TEST(each_bit_that_rots_is_named), TEST(each_bit_that_rots_is_named_after_a_reboot));
}
