/* Records in a row outside a log: taken as far as they are sound, found behind harm, sealed anew.
 */
#include "log_fixture.h"

#include <sched.h>
#include <stdlib.h>

#define SEGMENT 1u

/* The first segment of a log of a few full ones, as bytes. */
typedef struct image {
    fixture f;
    hrt_segment head;
    _Alignas(64) uint8_t bytes[SMALL_SEGMENT];
} image;

static image shared;

static void make(image *made)
{
    fixture_make(&made->f);
    REQUIRE(fixture_open(&made->f) == HRT_OK);
    REQUIRE(fixture_epoch(&made->f, false) == HRT_OK);
    while (hrt_log_current(made->f.log) < 3) {
        REQUIRE(fixture_group(&made->f, 5, 12, 1) == HRT_OK);
    }
    fixture_close(&made->f);
    fixture_read(&made->f, 0, 0, made->bytes, sizeof(made->bytes));
    memcpy(&made->head, made->bytes, sizeof(made->head));
    fixture_end(&made->f);
}

static hrt_run begin(const image *made)
{
    hrt_run run = {.position = (uint64_t)SEGMENT * SMALL_SEGMENT + HRT_SEGMENT_HEADER};
    memcpy(run.uuid, made->head.uuid, sizeof(run.uuid));
    return run;
}

static const uint8_t *at(const image *made, const hrt_run *run)
{
    return made->bytes + (run->position - (uint64_t)SEGMENT * SMALL_SEGMENT);
}

static size_t rest(const hrt_run *run)
{
    return (size_t)((uint64_t)(SEGMENT + 1) * SMALL_SEGMENT - run->position);
}

static void a_full_segment_is_taken_whole_and_in_pieces(void)
{
    hrt_run whole = begin(&shared);
    hrt_run_check(&whole, at(&shared, &whole), rest(&whole));
    CHECK_EQ(whole.end, HRT_RUN_PAD);
    CHECK_EQ(whole.position, (uint64_t)(SEGMENT + 1) * SMALL_SEGMENT);
    CHECK_EQ(whole.first_sequence, 1);
    CHECK_EQ(whole.sequence, whole.records);
    CHECK_EQ(whole.group_position, whole.position);
    for (size_t piece = 300; piece < 5000; piece += 1111) {
        hrt_run run = begin(&shared);
        while (run.end == HRT_RUN_MORE) {
            uint64_t before = run.position;
            hrt_run_check(&run, at(&shared, &run), rest(&run) < piece ? rest(&run) : piece);
            REQUIRE(run.position > before || run.end != HRT_RUN_MORE);
        }
        CHECK_EQ(run.end, HRT_RUN_PAD);
        CHECK(memcmp(&run, &whole, sizeof(run)) == 0);
    }
}

static void every_flipped_bit_ends_the_run_where_it_is(void)
{
    static image harmed;
    harmed = shared;
    for (size_t offset = HRT_SEGMENT_HEADER; offset < 8192; offset += 3) {
        harmed.bytes[offset] ^= (uint8_t)(1u << (offset % 8));
        hrt_run run = begin(&harmed);
        hrt_run_check(&run, at(&harmed, &run), rest(&run));
        uint64_t place = (uint64_t)SEGMENT * SMALL_SEGMENT + offset;
        if (run.end == HRT_RUN_PAD) {
            CHECK_EQ(shared.bytes[offset], 0); /* between two records, where nothing is said */
        } else {
            CHECK(run.position <= place && place - run.position < 4096);
        }
        harmed.bytes[offset] = shared.bytes[offset];
    }
}

static void what_lies_behind_the_harm_is_found(void)
{
    static image harmed;
    harmed = shared;
    memset(harmed.bytes + 8192, 0xff, 1000);
    hrt_run run = begin(&harmed);
    hrt_run_check(&run, at(&harmed, &run), rest(&run));
    CHECK_EQ(run.end, HRT_RUN_BAD);
    size_t offset = 0;
    uint64_t position = run.position;
    REQUIRE(hrt_run_find(&run, position, at(&harmed, &run), rest(&run), &offset) == HRT_OK);
    hrt_record found;
    memcpy(&found, at(&harmed, &run) + offset, sizeof(found));
    CHECK(found.position >= (uint64_t)SEGMENT * SMALL_SEGMENT + 8192);
    CHECK(found.sequence > run.sequence + 1);
    memset(harmed.bytes + 8192, 0, SMALL_SEGMENT - 8192);
    CHECK_EQ(hrt_run_find(&run, position, at(&harmed, &run), rest(&run), &offset), HRT_EEND);
}

static void sealing_moves_records_into_another_log(void)
{
    static image moved;
    moved = shared;
    uint8_t uuid[16];
    memset(uuid, 7, sizeof(uuid));
    hrt_run run = begin(&moved);
    size_t length = rest(&run);
    REQUIRE(hrt_run_seal(uuid, moved.bytes + HRT_SEGMENT_HEADER, length) == HRT_OK);
    hrt_run_check(&run, at(&moved, &run), length);
    CHECK_EQ(run.records, 0);
    run = begin(&moved);
    memcpy(run.uuid, uuid, sizeof(uuid));
    hrt_run_check(&run, at(&moved, &run), length);
    CHECK_EQ(run.end, HRT_RUN_PAD);
    moved.bytes[HRT_SEGMENT_HEADER] = 1; /* a length below that of a header */
    moved.bytes[HRT_SEGMENT_HEADER + 1] = 0;
    CHECK_EQ(hrt_run_seal(uuid, moved.bytes + HRT_SEGMENT_HEADER, length), HRT_EINVAL);
}

/* ---- holding segments ---- */

static void retire_while_tight(const fixture *f)
{
    while (hrt_log_room_now(f->log).tight && hrt_log_oldest(f->log) < hrt_log_current(f->log)) {
        REQUIRE(hrt_log_retire(f->log, hrt_log_tail(f->log), true) == HRT_OK);
    }
}

static int fill(fixture *f, enum hrt_log_class class)
{
    int status = HRT_OK;
    while (status == HRT_OK) {
        status = fixture_add(f, 100, 1, class);
        status = status == HRT_OK ? hrt_log_seal(f->log) : status;
        retire_while_tight(f);
    }
    return status;
}

static uint64_t number_in(const fixture *f, uint32_t slot)
{
    hrt_segment head;
    fixture_read(f, slot, 0, &head, sizeof(head));
    return head.number;
}

static void held_segments_stay_and_count_towards_the_limit(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    hrt_log_hold(f.log, 2);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    CHECK_EQ(fill(&f, HRT_LOG_NEW_WORK), HRT_ELOGFULL);
    CHECK_EQ(hrt_log_failed(f.log), HRT_OK);
    CHECK_EQ(hrt_log_segments(f.log), f.options.segments_max);
    CHECK(hrt_log_oldest(f.log) > 3); /* retired, but not used again */
    CHECK_EQ(number_in(&f, 1), 2);
    CHECK_EQ(number_in(&f, 2), 3);
    CHECK_EQ(fixture_group(&f, 1, 1, 1), HRT_OK); /* settles have their reserve */
    CHECK_EQ(fill(&f, HRT_LOG_OLD_WORK), HRT_ELOGFULL);
    CHECK_EQ(number_in(&f, 1), 2);
    hrt_log_hold(f.log, 8);
    uint64_t current = hrt_log_current(f.log);
    for (int i = 0; i < 300; i++) { /* goes on with what was given back */
        retire_while_tight(&f);
        REQUIRE(fixture_group(&f, 1, 100, 1) == HRT_OK);
    }
    CHECK(hrt_log_current(f.log) > current);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK); /* what was held is still part of the log */
    CHECK_EQ(f.report.damage, HRT_DAMAGE_NONE);
    CHECK(f.first > 1);
    fixture_end(&f);
}

static void *let_go(void *context)
{
    fixture *f = context;
    for (uint64_t segment = 1; segment < 200; segment++) {
        hrt_log_hold(f->log, segment);
        sched_yield();
    }
    hrt_log_hold(f->log, UINT64_MAX);
    return NULL;
}

static void a_hold_may_move_while_the_log_is_written(void)
{
    fixture f;
    fixture_make(&f);
    pthread_t holder;
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(pthread_create(&holder, NULL, let_go, &f) == 0);
    while (hrt_log_current(f.log) < 100) {
        int status = fixture_group(&f, 10, 100, 1);
        REQUIRE(status == HRT_OK || status == HRT_ELOGFULL);
        while (hrt_log_room_now(f.log).tight && hrt_log_oldest(f.log) < hrt_log_current(f.log)) {
            REQUIRE(hrt_log_retire(f.log, hrt_log_tail(f.log), true) == HRT_OK);
        }
    }
    REQUIRE(pthread_join(holder, NULL) == 0);
    CHECK_EQ(fixture_group(&f, 10, 100, 1), HRT_OK);
    CHECK_EQ(hrt_log_failed(f.log), HRT_OK);
    fixture_end(&f);
}

int main(void)
{
    make(&shared);
    TAP_LIST(TEST(a_full_segment_is_taken_whole_and_in_pieces),
             TEST(every_flipped_bit_ends_the_run_where_it_is),
             TEST(what_lies_behind_the_harm_is_found), TEST(sealing_moves_records_into_another_log),
             TEST(held_segments_stay_and_count_towards_the_limit),
             TEST(a_hold_may_move_while_the_log_is_written));
}
