/* The log: what was appended is found again, torn tails are passed, damage is named. */
#include "log_fixture.h"

#include <signal.h>
#include <sys/wait.h>

#define IDS 12u /* a LEASE of 12 jobs: 192 bytes, three blocks of 64 */
#define SPAN 192u
#define START HRT_SEGMENT_HEADER /* offset of the first record of a segment */

static void a_new_log_is_empty_and_keeps_what_is_appended(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.recovery.created, 1);
    CHECK_EQ(hrt_log_next_sequence(f.log), 1);
    CHECK_EQ(fixture_epoch(&f, false), HRT_OK);
    CHECK_EQ(fixture_group(&f, 3, IDS, 5), HRT_OK);
    uint64_t tail = hrt_log_tail(f.log);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.recovery.created, 0);
    CHECK_EQ(f.visited, 4);
    CHECK_EQ(f.sum, 15);
    CHECK_EQ(hrt_log_tail(f.log), tail);
    CHECK_EQ(hrt_log_next_sequence(f.log), 5);
    CHECK_EQ(hrt_log_epoch(f.log), 1);
    CHECK_EQ(f.recovery.tail_position, 0);
    fixture_end(&f);
}

static void a_second_opener_is_told_that_the_log_is_held(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    hrt_log *second = NULL;
    CHECK_EQ(hrt_log_open(&f.options, NULL, NULL, &second, NULL, NULL), HRT_EBUSY);
    CHECK(second == NULL);
    fixture_end(&f);
}

static void a_record_can_grow_until_it_is_sealed(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_reserve(f.log, 4096, HRT_LOG_NEW_WORK) == HRT_OK);
    hrt_record *record = hrt_log_add(f.log, HRT_RECORD_DUE, 0);
    uint64_t position = record->position;
    for (uint64_t job = 1; job <= 100; job++) {
        uint64_t *place = hrt_log_grow(f.log, record, sizeof(job));
        CHECK_EQ(*place, 0);
        *place = job;
        record->count++;
    }
    CHECK_EQ(record->length, 64 + 800);
    CHECK(hrt_log_at(f.log, position) == record);
    CHECK_EQ(hrt_log_seal(f.log), HRT_OK);
    const hrt_record *mapped = hrt_log_at(f.log, position);
    REQUIRE(mapped != NULL && mapped != record);
    CHECK_EQ(((const uint64_t *)hrt_record_body(mapped))[99], 100);
    CHECK(hrt_record_valid(mapped, mapped->length, hrt_log_uuid(f.log), position));
    CHECK_EQ(mapped->flags, HRT_RECORD_LAST);
    fixture_end(&f);
}

static void a_group_has_a_limit(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    size_t max = hrt_log_group_max(f.log);
    CHECK_EQ(hrt_log_reserve(f.log, max + 64, HRT_LOG_NEW_WORK), HRT_ETOOLARGE);
    CHECK_EQ(hrt_log_reserve(f.log, max, HRT_LOG_NEW_WORK), HRT_OK);
    CHECK_EQ(fixture_add(&f, IDS, 1, HRT_LOG_NEW_WORK), HRT_OK);
    CHECK_EQ(hrt_log_reserve(f.log, max, HRT_LOG_NEW_WORK), HRT_EAGAIN);
    fixture_end(&f);
}

/* ---- torn tails ---- */

/* Epoch, a good group, and one of four records that a loss of power tears. Returns its offset. */
static uint64_t make_torn(fixture *f, bool reboot)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    REQUIRE(fixture_epoch(f, reboot) == HRT_OK);
    REQUIRE(fixture_group(f, 2, IDS, 1) == HRT_OK);
    uint64_t offset = hrt_log_tail(f->log) % SMALL_SEGMENT;
    REQUIRE(fixture_group(f, 4, IDS, 1000) == HRT_OK);
    fixture_die(f);
    return offset;
}

/* Opens, goes on in a new epoch, opens again: exactly the good records and the new ones are there.
 */
static void check_goes_on(fixture *f, uint64_t tail)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    CHECK_EQ(f->visited, 3);
    CHECK_EQ(f->sum, 2);
    CHECK_EQ(hrt_log_tail(f->log) % SMALL_SEGMENT, tail);
    CHECK_EQ(fixture_epoch(f, true), HRT_OK);
    CHECK_EQ(fixture_group(f, 1, IDS, 10), HRT_OK);
    fixture_close(f);
    REQUIRE(fixture_open(f) == HRT_OK);
    CHECK_EQ(f->recovery.tail_position, 0);
    CHECK_EQ(f->visited, 5);
    CHECK_EQ(f->sum, 12);
    CHECK_EQ(fixture_group(f, 3, IDS, 100), HRT_OK);
    fixture_close(f);
    REQUIRE(fixture_open(f) == HRT_OK);
    CHECK_EQ(f->visited, 8);
    CHECK_EQ(f->sum, 312);
    fixture_close(f);
}

static void a_group_torn_at_any_block_is_passed(void)
{
    for (uint64_t cut = 0; cut < 4 * SPAN; cut += 64) {
        for (int fill = 0; fill < 256; fill += 165) {
            fixture f;
            fixture_make(&f);
            uint64_t offset = make_torn(&f, true);
            uint8_t rest[4 * SPAN];
            memset(rest, fill, sizeof(rest));
            fixture_write(&f, 0, offset + cut, rest, sizeof(rest) - cut);
            check_goes_on(&f, offset);
            fixture_end(&f);
        }
    }
}

static void a_group_with_any_block_lost_is_passed(void)
{
    for (uint64_t lost = 0; lost < 4 * SPAN; lost += 64) {
        fixture f;
        fixture_make(&f);
        uint64_t offset = make_torn(&f, true);
        uint8_t zeros[64] = {0};
        fixture_write(&f, 0, offset + lost, zeros, sizeof(zeros));
        check_goes_on(&f, offset);
        fixture_end(&f);
    }
}

static void a_torn_tail_is_reported(void)
{
    fixture f;
    fixture_make(&f);
    uint64_t offset = make_torn(&f, true);
    fixture_flip(&f, 0, offset + SPAN + 70);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.report.damage, HRT_DAMAGE_TORN);
    CHECK_EQ(f.recovery.tail_position, SMALL_SEGMENT + offset);
    CHECK_EQ(f.recovery.tail_bytes, 4 * SPAN);
    CHECK_EQ(f.report.sequence, 3);
    CHECK(strstr(f.report.text, "torn tail") != NULL);
    fixture_end(&f);
}

/* A lost EPOCH record with a surviving group behind it must not give its number away again. */
static void an_epoch_is_never_used_twice(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(fixture_epoch(&f, true) == HRT_OK);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    uint64_t offset = hrt_log_tail(f.log) % SMALL_SEGMENT;
    REQUIRE(fixture_epoch(&f, true) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, IDS, 1000) == HRT_OK);
    fixture_die(&f);
    uint8_t zeros[128] = {0};
    fixture_write(&f, 0, offset, zeros, sizeof(zeros));
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.visited, 1);
    CHECK_EQ(hrt_log_epoch(f.log), 2);
    REQUIRE(fixture_epoch(&f, true) == HRT_OK);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.visited, 2);
    CHECK_EQ(f.sum, 0);
    fixture_end(&f);
}

/* ---- damage ---- */

static void check_damaged(fixture *f, enum hrt_damage damage, int status)
{
    CHECK_EQ(fixture_open(f), status);
    CHECK_EQ(f->report.damage, damage);
    CHECK(f->log == NULL);
    char text[512];
    CHECK(hrt_last_error(text, sizeof(text)) > 40);
    CHECK(strstr(text, "nothing was changed") != NULL);
}

static void without_a_reboot_a_bad_record_before_good_ones_is_damage(void)
{
    fixture f;
    fixture_make(&f);
    uint64_t offset = make_torn(&f, false);
    fixture_flip(&f, 0, offset + 70);
    check_damaged(&f, HRT_DAMAGE_COMMITTED, HRT_ECORRUPT);
    CHECK_EQ(f.report.position, SMALL_SEGMENT + offset);
    fixture_end(&f);
}

/* A disk that failed to write and was mounted again has lost what no reboot has. */
static void after_a_failed_sync_the_same_boot_may_have_lost_records(void)
{
    fixture f;
    fixture_make(&f);
    uint64_t offset = make_torn(&f, false);
    uint8_t zeros[64] = {0};
    fixture_write(&f, 0, offset + 64, zeros, sizeof(zeros));
    fixture_touch(&f, HRT_LOG_UNSYNCED);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.report.damage, HRT_DAMAGE_TORN);
    CHECK_EQ(f.recovery.tail_position, SMALL_SEGMENT + offset);
    CHECK_EQ(f.visited, 3);
    CHECK(!fixture_has(&f, HRT_LOG_UNSYNCED));
    fixture_end(&f);
}

/* Epoch and nine groups, the last written when the others were synced. */
static void make_synced(fixture *f)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    REQUIRE(hrt_log_start(f->log) == HRT_OK);
    REQUIRE(fixture_epoch(f, true) == HRT_OK);
    for (int i = 0; i < 8; i++) {
        REQUIRE(fixture_group(f, 1, IDS, 1) == HRT_OK);
    }
    fixture_sync(f);
    REQUIRE(fixture_group(f, 1, IDS, 1) == HRT_OK);
    fixture_die(f);
}

static uint64_t marked(const fixture *f)
{
    hrt_durable_mark mark = {0};
    int fd = fixture_file(f, 0, O_RDONLY);
    REQUIRE(hrt_segment_read_mark(fd, &mark) == HRT_OK);
    (void)close(fd);
    return mark.position;
}

/* Nothing is written behind it, and the process ends without closing the log. */
static void what_rested_on_the_disk_is_no_torn_tail_after_a_kill(void)
{
    fixture f;
    fixture_make(&f);
    pid_t child = fork();
    if (child == 0) {
        REQUIRE(fixture_open(&f) == HRT_OK && fixture_epoch(&f, true) == HRT_OK);
        REQUIRE(hrt_log_start(f.log) == HRT_OK && fixture_group(&f, 1, IDS, 1) == HRT_OK);
        fixture_sync(&f);
        AWAIT(marked(&f) >= hrt_log_durable(f.log));
        (void)kill(getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    fixture_flip(&f, 0, START + 128 + 9); /* its sequence: not even torn without the mark */
    check_damaged(&f, HRT_DAMAGE_COMMITTED, HRT_ECORRUPT);
    CHECK_EQ(f.report.position, SMALL_SEGMENT + START + 128);
    fixture_end(&f);
}

static void a_closed_log_has_no_torn_tail(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(fixture_epoch(&f, true) == HRT_OK);
    uint64_t offset = hrt_log_tail(f.log) % SMALL_SEGMENT;
    REQUIRE(fixture_group(&f, 1, IDS, 1) == HRT_OK);
    fixture_close(&f);
    fixture_flip(&f, 0, offset + 70);
    check_damaged(&f, HRT_DAMAGE_COMMITTED, HRT_ECORRUPT);
    CHECK_EQ(f.report.position, SMALL_SEGMENT + offset);
    CHECK(strstr(f.report.text, "the log was on the disk up to position") != NULL);
    fixture_end(&f);
}

static void check_every_synced_flip(bool unsynced)
{
    fixture f;
    fixture_make(&f);
    make_synced(&f);
    if (unsynced) {
        fixture_touch(&f, HRT_LOG_UNSYNCED);
    }
    for (uint64_t offset = START; offset < START + 128 + 8 * SPAN; offset += 8) {
        uint64_t inside = offset < START + 128 ? offset - START : (offset - START - 128) % SPAN;
        uint64_t length = offset < START + 128 ? 112 : 168;
        if (inside >= length) {
            continue; /* zeros up to the next record */
        }
        fixture_flip(&f, 0, offset);
        check_damaged(&f, HRT_DAMAGE_COMMITTED, HRT_ECORRUPT);
        CHECK_EQ(f.report.position, SMALL_SEGMENT + offset - inside);
        fixture_flip(&f, 0, offset);
    }
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.visited, 10);
    fixture_end(&f);
}

/* A log of about five segments, two of them full, all synced. */
static void make_long(fixture *f)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    REQUIRE(hrt_log_start(f->log) == HRT_OK);
    REQUIRE(fixture_epoch(f, true) == HRT_OK);
    while (hrt_log_current(f->log) < 5) {
        REQUIRE(fixture_group(f, 10, IDS, 1) == HRT_OK);
    }
    fixture_sync(f);
    fixture_close(f);
}

static uint32_t slot_of_number(const fixture *f, uint64_t number)
{
    hrt_segment head;
    for (uint32_t slot = 0; slot < 16; slot++) {
        fixture_read(f, slot, 0, &head, sizeof(head));
        if (head.number == number) {
            return slot;
        }
    }
    return UINT32_MAX;
}

static void every_flip_in_synced_records_is_damage(void)
{
    check_every_synced_flip(false);
    check_every_synced_flip(true);
}

static void a_missing_segment_is_named(void)
{
    for (uint64_t number = 1; number <= 5; number++) {
        fixture f;
        fixture_make(&f);
        make_long(&f);
        fixture_remove(&f, slot_of_number(&f, number));
        check_damaged(&f, HRT_DAMAGE_MISSING, HRT_ECORRUPT);
        CHECK_EQ(f.report.position / SMALL_SEGMENT, number);
        fixture_end(&f);
    }
}

static void a_segment_of_another_log_is_named(void)
{
    fixture f;
    fixture_make(&f);
    make_long(&f);
    uint32_t slot = slot_of_number(&f, 3);
    hrt_segment head;
    fixture_read(&f, slot, 0, &head, sizeof(head));
    head.uuid[0] ^= 1;
    hrt_segment_seal(&head);
    fixture_write(&f, slot, 0, &head, sizeof(head));
    check_damaged(&f, HRT_DAMAGE_FOREIGN, HRT_ECORRUPT);
    CHECK_EQ(f.report.slot, slot);
    fixture_end(&f);
}

static void a_newer_format_is_named(void)
{
    fixture f;
    fixture_make(&f);
    make_long(&f);
    hrt_segment head;
    fixture_read(&f, 0, 0, &head, sizeof(head));
    head.format_version = HRT_FORMAT_VERSION + 1;
    hrt_segment_seal(&head);
    fixture_write(&f, 0, 0, &head, sizeof(head));
    check_damaged(&f, HRT_DAMAGE_VERSION, HRT_EVERSION);
    fixture_end(&f);
}

static void every_flip_in_a_header_is_found(void)
{
    fixture f;
    fixture_make(&f);
    make_long(&f);
    for (uint64_t offset = 0; offset < sizeof(hrt_segment); offset++) {
        fixture_flip(&f, 1, offset);
        check_damaged(&f, HRT_DAMAGE_HEADER, HRT_ECORRUPT);
        fixture_flip(&f, 1, offset);
    }
    fixture_end(&f);
}

static void a_wiped_header_over_records_is_damage(void)
{
    fixture f;
    fixture_make(&f);
    make_long(&f);
    uint8_t zeros[HRT_SEGMENT_HEADER] = {0};
    fixture_write(&f, slot_of_number(&f, 2), 0, zeros, sizeof(zeros));
    check_damaged(&f, HRT_DAMAGE_HEADER, HRT_ECORRUPT);
    fixture_end(&f);
}

static void a_file_cut_short_is_damage(void)
{
    fixture f;
    fixture_make(&f);
    make_long(&f);
    int fd = fixture_file(&f, slot_of_number(&f, 2), O_RDWR);
    REQUIRE(ftruncate(fd, SMALL_SEGMENT / 2) == 0);
    (void)close(fd);
    check_damaged(&f, HRT_DAMAGE_HEADER, HRT_ECORRUPT);
    fixture_end(&f);
}

static void a_file_whose_making_was_cut_short_is_made_again(void)
{
    fixture f;
    fixture_make(&f);
    make_torn(&f, false);
    int fd = fixture_file(&f, 1, O_RDWR | O_CREAT);
    REQUIRE(ftruncate(fd, SMALL_SEGMENT / 2) == 0);
    (void)close(fd);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.visited, 7);
    while (hrt_log_current(f.log) < 3) {
        REQUIRE(fixture_group(&f, 10, IDS, 1) == HRT_OK);
    }
    fixture_end(&f);
}

/* ---- the ring ---- */

static void recycling_goes_on_for_many_laps(void)
{
    fixture f;
    fixture_make(&f);
    uint64_t number = 0;
    for (int life = 0; life < 4; life++) {
        REQUIRE(fixture_open(&f) == HRT_OK);
        REQUIRE(hrt_log_start(f.log) == HRT_OK);
        REQUIRE(fixture_epoch(&f, false) == HRT_OK);
        number = hrt_log_current(f.log) + 60;
        while (hrt_log_current(f.log) < number) {
            REQUIRE(fixture_group(&f, 20, IDS, 1) == HRT_OK);
            bool sync = life % 2 == 1;
            while (hrt_log_current(f.log) - hrt_log_oldest(f.log) > 2) {
                REQUIRE(hrt_log_retire(f.log, hrt_log_tail(f.log), sync) == HRT_OK);
            }
        }
        CHECK(hrt_log_segments(f.log) <= 8);
        uint64_t next = hrt_log_next_sequence(f.log);
        fixture_close(&f);
        REQUIRE(fixture_open(&f) == HRT_OK);
        CHECK_EQ(hrt_log_next_sequence(f.log), next);
        CHECK_EQ(hrt_log_current(f.log), number);
        CHECK(f.visited > 0 && f.last == next - 1);
        fixture_close(&f);
    }
    CHECK_EQ(number, 241);
    fixture_end(&f);
}

static void a_full_log_keeps_its_reserve_for_old_work(void)
{
    fixture f;
    fixture_make(&f);
    f.options.segments_max = 6;
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    int status = HRT_OK;
    while (status == HRT_OK) {
        status = fixture_add(&f, IDS, 1, HRT_LOG_NEW_WORK);
        status = status == HRT_OK ? hrt_log_seal(f.log) : status;
    }
    CHECK_EQ(status, HRT_ELOGFULL);
    CHECK_EQ(hrt_log_current(f.log) - hrt_log_oldest(f.log) + 1, 4);
    CHECK_EQ(fixture_group(&f, 1, IDS, 1), HRT_OK);
    CHECK_EQ(fixture_add(&f, IDS, 1, HRT_LOG_NEW_WORK), HRT_ELOGFULL);
    while ((status = fixture_group(&f, 1, IDS, 1)) == HRT_OK) {
    }
    CHECK_EQ(status, HRT_ELOGFULL);
    CHECK_EQ(hrt_log_current(f.log) - hrt_log_oldest(f.log) + 1, 6);
    CHECK_EQ(hrt_log_segments(f.log), 6);
    CHECK(hrt_log_room_now(f.log).tight);
    for (int i = 0; i < 3; i++) {
        REQUIRE(hrt_log_retire(f.log, hrt_log_tail(f.log), true) == HRT_OK);
    }
    CHECK_EQ(fixture_add(&f, IDS, 1, HRT_LOG_NEW_WORK), HRT_OK);
    CHECK_EQ(hrt_log_seal(f.log), HRT_OK);
    CHECK_EQ(hrt_log_segments(f.log), 6);
    fixture_end(&f);
}

/* Old work that took the last files is no reason to refuse new work while more can be made. */
static void new_work_waits_for_files_that_can_still_be_made(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    uint64_t segment = hrt_log_current(f.log);
    while (hrt_log_current(f.log) < segment + 3) {
        REQUIRE(fixture_group(&f, 4, IDS, 1) == HRT_OK);
    }
    CHECK(hrt_log_segments(f.log) < f.options.segments_max);
    CHECK_EQ(fixture_add(&f, IDS, 1, HRT_LOG_NEW_WORK), HRT_OK);
    CHECK_EQ(hrt_log_seal(f.log), HRT_OK);
    fixture_end(&f);
}

static void the_current_segment_cannot_be_retired(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(hrt_log_retire(f.log, 0, false), HRT_ESTATE);
    fixture_end(&f);
}

static void odd_options_are_refused(void)
{
    fixture f;
    fixture_make(&f);
    f.options.segment_size = 65536 + 64;
    CHECK_EQ(fixture_open(&f), HRT_EINVAL);
    f.options.segment_size = SMALL_SEGMENT;
    f.options.segments_max = 3;
    CHECK_EQ(fixture_open(&f), HRT_EINVAL);
    fixture_end(&f);
}

int main(void)
{
    TAP_LIST(TEST(a_new_log_is_empty_and_keeps_what_is_appended),
             TEST(a_second_opener_is_told_that_the_log_is_held),
             TEST(a_record_can_grow_until_it_is_sealed), TEST(a_group_has_a_limit),
             TEST(a_group_torn_at_any_block_is_passed), TEST(a_group_with_any_block_lost_is_passed),
             TEST(a_torn_tail_is_reported), TEST(an_epoch_is_never_used_twice),
             TEST(without_a_reboot_a_bad_record_before_good_ones_is_damage),
             TEST(after_a_failed_sync_the_same_boot_may_have_lost_records),
             TEST(every_flip_in_synced_records_is_damage), TEST(a_closed_log_has_no_torn_tail),
             TEST(what_rested_on_the_disk_is_no_torn_tail_after_a_kill),
             TEST(a_missing_segment_is_named), TEST(a_segment_of_another_log_is_named),
             TEST(a_newer_format_is_named), TEST(every_flip_in_a_header_is_found),
             TEST(a_wiped_header_over_records_is_damage), TEST(a_file_cut_short_is_damage),
             TEST(a_file_whose_making_was_cut_short_is_made_again),
             TEST(recycling_goes_on_for_many_laps), TEST(a_full_log_keeps_its_reserve_for_old_work),
             TEST(new_work_waits_for_files_that_can_still_be_made),
             TEST(the_current_segment_cannot_be_retired), TEST(odd_options_are_refused));
}
