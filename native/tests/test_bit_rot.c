/*
 * Bit rot: each bit of a full segment, of the one after it and of their headers is turned over in
 * its turn. What was synced is named as damaged, at the right place, in the last group too if the
 * log was closed; else that one may be taken for a torn tail. No record is ever handed out that is
 * not as it was written.
 *
 *   test_bit_rot                        one bit in 64; with LONG=1 all of them
 *   test_bit_rot all WORKER WORKERS     all of them: the share of one of an even number of workers
 *   test_bit_rot large FLIPS SEED       random ones in a log of 256 MiB
 */
#include "log_journey.h"

#include <malloc.h>
#include <sys/mman.h>

enum {
    RECORDS_MAX = 8192,
    HEADER_BYTES = sizeof(hrt_segment),
    FILES_MAX = 32,
    SHORT_STEP = 64, /* bits; the attack of this name turns over each of them */
    LARGE_SEGMENT = 16777216,
    LARGE_SEGMENTS = 16,
    LARGE_IDS = 20000, /* of a record */
    WINDOW_MAX = 8388608,
};

typedef struct place {
    uint64_t position;
    uint64_t end;  /* of what the checksum covers */
    uint64_t next; /* of the record after it */
    uint64_t group;
    uint32_t crc;
} place;

typedef struct rot {
    fixture f;
    uint64_t segment_size;
    uint8_t *files[FILES_MAX]; /* where bits are turned over: what scans read, they read anew */
    place places[RECORDS_MAX];
    uint32_t count;
    uint64_t last_group;
    bool closed; /* else killed */
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

/* Groups of different sizes, each synced before the next, until eight lie in the last segment. */
static void append_groups(rot *r, uint64_t segments, uint32_t ids_max)
{
    uint32_t in_last = 0; /* a PAD is synced with the group after it: one more has to follow */
    for (uint32_t i = 0; in_last < 8; i++) {
        REQUIRE(fixture_group(&r->f, 1 + i % 3, 5 + i * 17 % ids_max, i) == HRT_OK);
        fixture_sync(&r->f);
        in_last += hrt_log_current(r->f.log) == segments;
    }
}

static void map_files(rot *r, uint64_t segments)
{
    for (uint32_t slot = 0; slot < segments; slot++) {
        int fd = fixture_file(&r->f, slot, O_RDWR);
        r->files[slot] = mmap(NULL, r->segment_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        REQUIRE(r->files[slot] != MAP_FAILED);
        (void)close(fd);
    }
}

static rot *new_rot(bool reboot, bool closed, uint32_t segment_size, uint64_t segments,
                    uint32_t ids_max)
{
    rot *r = calloc(1, sizeof(*r));
    REQUIRE(r != NULL);
    /* A window of its own for each scan would be mapped, and faulted in, each time. */
    (void)mallopt(M_MMAP_THRESHOLD, WINDOW_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, 2 * WINDOW_MAX);
    journey_make(&r->f);
    r->segment_size = r->f.options.segment_size = segment_size;
    r->f.options.segments_max = FILES_MAX;
    REQUIRE(fixture_open(&r->f) == HRT_OK);
    REQUIRE(fixture_epoch(&r->f, reboot) == HRT_OK);
    REQUIRE(hrt_log_start(r->f.log) == HRT_OK);
    append_groups(r, segments, ids_max);
    r->closed = closed;
    if (closed) {
        fixture_close(&r->f);
    } else {
        fixture_die(&r->f);
    }
    map_files(r, segments);
    hrt_damage_report report;
    CHECK_EQ(read_all(r, true, &report), r->count);
    CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
    return r;
}

static void free_rot(rot *r)
{
    for (uint32_t slot = 0; slot < FILES_MAX && r->files[slot] != NULL; slot++) {
        (void)munmap(r->files[slot], r->segment_size);
    }
    fixture_end(&r->f);
    free(r);
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
    uint64_t offset = position % r->segment_size;
    if (offset < HEADER_BYTES) {
        CHECK_EQ(report->damage, HRT_DAMAGE_HEADER);
        CHECK_EQ(count, 0);
        r->committed++;
    } else if (hit == NULL) {
        CHECK_EQ(report->damage, HRT_DAMAGE_NONE);
        CHECK_EQ(count, r->count);
        r->harmless++;
    } else if (r->closed || hit->group < r->places[r->count - 1].group) {
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

/* Turns a bit over, lets all be read and judged, and turns it back. */
static void try_bit(rot *r, uint64_t bit)
{
    uint64_t position = bit / 8;
    uint8_t mask = (uint8_t)(1 << bit % 8);
    uint8_t *byte = &r->files[position / r->segment_size - 1][position % r->segment_size];
    hrt_damage_report report;
    *byte ^= mask;
    judge(r, position, read_all(r, false, &report), &report);
    *byte ^= mask;
    r->bits++;
    if (tap_failures > 0) {
        printf("# bit %" PRIu64 " of position %" PRIu64 ": %s\n", bit % 8, position, report.text);
    }
}

static uint64_t end_of(const rot *r)
{
    return (r->places[r->count - 1].next + 128) * 8;
}

static void print_counts(const rot *r)
{
    printf("# json {\"what\": \"bit rot\", \"faults\": {\"bits turned over\": %" PRIu64
           "}, \"counts\": {\"damage named\": %" PRIu64 ", \"in the last group\": %" PRIu64
           ", \"nothing depends on\": %" PRIu64 "}, \"violations\": %d}\n",
           r->bits, r->committed, r->torn, r->harmless, tap_failures);
}

static void turn_each_bit(bool reboot, bool closed, uint64_t first, uint64_t step)
{
    rot *r = new_rot(reboot, closed, SMALL_SEGMENT, 2, 90);
    uint64_t begin = (uint64_t)SMALL_SEGMENT * 8;
    for (uint64_t bit = begin + first; bit < end_of(r) && tap_failures == 0; bit += step) {
        /* Of 64, not always the same bit of a byte. */
        try_bit(r, step == SHORT_STEP ? bit + bit / step % step : bit);
    }
    print_counts(r);
    CHECK(r->committed > r->bits / 2 && (r->torn > 0) == !closed && r->harmless > 0);
    free_rot(r);
}

static void each_bit_that_rots_is_named(void)
{
    turn_each_bit(true, true, 0, getenv("LONG") != NULL ? 1 : SHORT_STEP);
}

static void each_bit_that_rots_after_a_kill_is_named(void)
{
    turn_each_bit(false, false, 0, getenv("LONG") != NULL ? 1 : SHORT_STEP);
}

/* Without the page cache as a witness: what later records say was synced tells. */
static void each_bit_that_rots_is_named_after_a_reboot(void)
{
    turn_each_bit(true, false, 0, getenv("LONG") != NULL ? 1 : SHORT_STEP);
}

static void turn_random_bits(uint64_t flips, uint64_t seed)
{
    rot *r = new_rot(seed % 2 == 0, seed % 4 < 2, LARGE_SEGMENT, LARGE_SEGMENTS + 1, LARGE_IDS);
    uint64_t begin = r->segment_size * 8;
    for (uint64_t i = 0; i < flips && tap_failures == 0; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        try_bit(r, begin + (seed >> 20) % (end_of(r) - begin));
    }
    print_counts(r);
    free_rot(r);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "all") == 0) {
        uint64_t worker = strtoull(argv[2], NULL, 10);
        uint64_t half = strtoull(argv[3], NULL, 10) / 2;
        turn_each_bit(worker % 2 == 1, false, worker / 2, half);
        turn_each_bit(true, true, worker, 2 * half);
        return tap_failures > 0;
    }
    if (argc == 4 && strcmp(argv[1], "large") == 0) {
        turn_random_bits(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
        return tap_failures > 0;
    }
    TAP_LIST(TEST(each_bit_that_rots_is_named), TEST(each_bit_that_rots_after_a_kill_is_named),
             TEST(each_bit_that_rots_is_named_after_a_reboot));
}
