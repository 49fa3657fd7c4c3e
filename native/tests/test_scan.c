/* Scanning: the same records as recovery sees, also beside a writer, and never a change. */
#include "atomic.h"
#include "log_fixture.h"

static uint64_t scan_all(const char *directory, hrt_damage_report *report, int *status_out)
{
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    uint64_t count = 0;
    uint64_t sequence = 0;
    int status = hrt_scan_open(directory, &scan);
    *report = (hrt_damage_report){0};
    *status_out = status;
    if (status != HRT_OK) {
        return 0;
    }
    status = hrt_scan_next(scan, &record);
    for (; status == HRT_OK; status = hrt_scan_next(scan, &record)) {
        CHECK(sequence == 0 || record->sequence == sequence + 1);
        CHECK(hrt_record_well_formed(record));
        sequence = record->sequence;
        count++;
    }
    *status_out = status;
    hrt_scan_report(scan, report);
    hrt_scan_close(scan);
    return count;
}

static void write_some(fixture *f, uint64_t segments)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    REQUIRE(fixture_epoch(f, true) == HRT_OK);
    while (hrt_log_current(f->log) < segments) {
        REQUIRE(fixture_group(f, 7, 12, 1) == HRT_OK);
    }
}

static void a_scan_sees_what_recovery_sees(void)
{
    fixture f;
    fixture_make(&f);
    hrt_damage_report report;
    int status = 0;
    write_some(&f, 4);
    fixture_close(&f);
    uint64_t count = scan_all(f.directory, &report, &status);
    CHECK_EQ(status, HRT_EEND);
    CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(count, f.visited);
    CHECK_EQ(report.sequence, f.last);
    fixture_end(&f);
}

/* A follower that knows what it has read goes on there, without reading what lies before. */
static void a_scan_begins_at_a_segment_that_is_named(void)
{
    fixture f;
    fixture_make(&f);
    write_some(&f, 4);
    fixture_close(&f);
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    REQUIRE(hrt_scan_open(f.directory, &scan) == HRT_OK);
    CHECK_EQ(hrt_scan_seek(scan, 99), HRT_EGONE);
    REQUIRE(hrt_scan_seek(scan, 2) == HRT_OK);
    REQUIRE(hrt_scan_next(scan, &record) == HRT_OK);
    CHECK_EQ(record->position, 2 * f.options.segment_size + HRT_SEGMENT_HEADER);
    CHECK_EQ(hrt_scan_seek(scan, 2), HRT_EINVAL);
    uint64_t sequence = record->sequence;
    while (hrt_scan_next(scan, &record) == HRT_OK) {
        CHECK_EQ(record->sequence, ++sequence);
    }
    hrt_damage_report report;
    hrt_scan_report(scan, &report);
    CHECK_EQ(report.sequence, sequence);
    hrt_scan_close(scan);
    fixture_end(&f);
}

static void an_empty_directory_and_a_missing_one_are_told_apart(void)
{
    fixture f;
    fixture_make(&f);
    hrt_damage_report report;
    int status = 0;
    CHECK_EQ(scan_all(f.directory, &report, &status), 0);
    CHECK_EQ(status, HRT_EEND);
    hrt_scan *scan = NULL;
    CHECK_EQ(hrt_scan_open("/nowhere/at/all", &scan), HRT_ENOTFOUND);
    CHECK(scan == NULL);
    fixture_end(&f);
}

static void a_scan_stops_at_damage_and_names_it(void)
{
    fixture f;
    fixture_make(&f);
    hrt_damage_report report;
    int status = 0;
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(fixture_epoch(&f, false) == HRT_OK);
    for (int i = 0; i < 20; i++) {
        REQUIRE(fixture_group(&f, 1, 12, 1) == HRT_OK);
    }
    fixture_close(&f);
    uint64_t offset = HRT_SEGMENT_HEADER + 128 + 4 * 192;
    fixture_flip(&f, 0, offset + 100);
    CHECK_EQ(scan_all(f.directory, &report, &status), 5);
    CHECK_EQ(status, HRT_EEND);
    CHECK_EQ(report.damage, HRT_DAMAGE_COMMITTED);
    CHECK_EQ(report.position, SMALL_SEGMENT + offset);
    CHECK_EQ(report.sequence, 5);
    CHECK(strstr(report.text, "segment 00000000.seg") != NULL);
    fixture_end(&f);
}

/* Also while the supervisor goes on: what is damaged before its tail is not taken for the tail. */
static void damage_is_named_beside_a_writer(void)
{
    fixture f;
    fixture_make(&f);
    hrt_damage_report report;
    int status = 0;
    write_some(&f, 3);
    CHECK(scan_all(f.directory, &report, &status) + 1 == hrt_log_next_sequence(f.log));
    CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
    fixture_flip(&f, 0, HRT_SEGMENT_HEADER + 128 + 100);
    CHECK_EQ(scan_all(f.directory, &report, &status), 1);
    CHECK_EQ(report.damage, HRT_DAMAGE_COMMITTED);
    fixture_end(&f);
}

typedef struct writing {
    fixture *f;
    uint32_t done;
    bool recycles;
} writing;

static void *write_on(void *context)
{
    writing *w = context;
    for (int i = 0; i < 3000; i++) {
        REQUIRE(fixture_group(w->f, 7, 12, 1) == HRT_OK);
        while (w->recycles && hrt_log_current(w->f->log) - hrt_log_oldest(w->f->log) > 6) {
            REQUIRE(hrt_log_retire(w->f->log, 0, false) == HRT_OK);
        }
    }
    hrt_store_release_u32(&w->done, 1);
    return NULL;
}

static void check_beside_writer(bool recycles)
{
    fixture f;
    fixture_make(&f);
    f.options.segments_max = 128;
    write_some(&f, 2);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    writing w = {.f = &f, .recycles = recycles};
    pthread_t writer;
    REQUIRE(pthread_create(&writer, NULL, write_on, &w) == 0);
    uint64_t before = 0;
    while (hrt_load_acquire_u32(&w.done) == 0) {
        hrt_damage_report report;
        int status = 0;
        (void)scan_all(f.directory, &report, &status);
        CHECK(status == HRT_EEND || (recycles && status == HRT_EGONE));
        CHECK_EQ(report.damage, HRT_DAMAGE_NONE);
        CHECK(recycles || report.sequence >= before);
        before = report.sequence;
    }
    REQUIRE(pthread_join(writer, NULL) == 0);
    fixture_end(&f);
}

static void a_scan_beside_a_writer_ends_at_its_tail(void)
{
    check_beside_writer(false);
}

static void a_scan_that_is_overtaken_says_so(void)
{
    check_beside_writer(true);
}

/* The end beside a writer is the end of the moment: one reader sees the whole log go by. */
static void a_scan_goes_on_where_a_writer_went_on(void)
{
    fixture f;
    fixture_make(&f);
    f.options.segments_max = 128;
    write_some(&f, 1);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    REQUIRE(hrt_scan_open(f.directory, &scan) == HRT_OK);
    writing w = {.f = &f};
    pthread_t writer;
    REQUIRE(pthread_create(&writer, NULL, write_on, &w) == 0);
    uint64_t sequence = 0;
    bool last_round = false;
    while (!last_round) {
        last_round = hrt_load_acquire_u32(&w.done) == 1;
        int status = hrt_scan_next(scan, &record);
        for (; status == HRT_OK; status = hrt_scan_next(scan, &record)) {
            CHECK_EQ(record->sequence, sequence + 1);
            sequence = record->sequence;
        }
        REQUIRE(status == HRT_EEND);
    }
    REQUIRE(pthread_join(writer, NULL) == 0);
    CHECK(hrt_log_current(f.log) > 4);
    CHECK_EQ(sequence + 1, hrt_log_next_sequence(f.log));
    hrt_scan_close(scan);
    fixture_end(&f);
}

static void who_follows_into_a_segment_that_was_only_begun_finds_no_damage(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK && fixture_epoch(&f, false) == HRT_OK);
    uint64_t current = hrt_log_current(f.log);
    uint64_t written = hrt_log_next_sequence(f.log);
    while (hrt_log_current(f.log) == current) {
        REQUIRE(hrt_log_reserve(f.log, hrt_log_group_max(f.log), HRT_LOG_OLD_WORK) == HRT_OK);
        written = hrt_log_next_sequence(f.log) - 1;
        REQUIRE(hrt_log_current(f.log) != current || fixture_group(&f, 50, 12, 1) == HRT_OK);
    }
    hrt_scan *scan = NULL;
    const hrt_record *record = NULL;
    REQUIRE(hrt_scan_begin(hrt_log_directory(f.log), true, &scan) == HRT_OK);
    hrt_scan_follow(scan, hrt_log_tail(f.log));
    int status = hrt_scan_next(scan, &record);
    uint64_t last = 0;
    for (; status == HRT_OK; status = hrt_scan_next(scan, &record)) {
        last = record->sequence;
    }
    CHECK_EQ(status, HRT_EEND);
    CHECK_EQ(last, written);
    hrt_scan_report(scan, &f.report);
    CHECK_EQ(f.report.damage, HRT_DAMAGE_NONE);
    REQUIRE(fixture_group(&f, 1, 12, 1) == HRT_OK);
    hrt_scan_follow(scan, hrt_log_tail(f.log));
    CHECK_EQ(hrt_scan_next(scan, &record), HRT_OK);
    CHECK_EQ(record->sequence, written + 1);
    hrt_scan_close(scan);
    fixture_end(&f);
}

int main(void)
{
    TAP_LIST(TEST(a_scan_sees_what_recovery_sees), TEST(a_scan_begins_at_a_segment_that_is_named),
             TEST(an_empty_directory_and_a_missing_one_are_told_apart),
             TEST(a_scan_stops_at_damage_and_names_it), TEST(damage_is_named_beside_a_writer),
             TEST(a_scan_beside_a_writer_ends_at_its_tail), TEST(a_scan_that_is_overtaken_says_so),
             TEST(a_scan_goes_on_where_a_writer_went_on),
             TEST(who_follows_into_a_segment_that_was_only_begun_finds_no_damage));
}
