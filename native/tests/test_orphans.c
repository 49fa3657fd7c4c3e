/* Files that clients of a life before may still read: never written again, replaced, and set free.
 */
#include "log_fixture.h"
#include "log_state.h"
#include "orphans.h"

#include <sys/mman.h>

enum { FILES_MAX = 8, SLOTS = 64 };

/* A client that lives on: it holds what it was given at attach, and maps all that there is. */
typedef struct orphan {
    int directory;
    const uint8_t *maps[SLOTS];
    uint8_t *copies[SLOTS];
    size_t ends[SLOTS]; /* behind the last byte that a lease can name */
} orphan;

/* A supervisor starts, for the first time or anew. */
static void start(fixture *f)
{
    REQUIRE(fixture_open(f) == HRT_OK);
    REQUIRE(fixture_epoch(f, false) == HRT_OK);
    REQUIRE(hrt_log_mark(f->log) == HRT_OK);
}

static void begin(fixture *f)
{
    fixture_make(f);
    f->options.segments_max = FILES_MAX;
    start(f);
}

/* Writes on until so many segments more have begun, of which it keeps the last ones. */
static int write_round(fixture *f, uint64_t segments, uint64_t kept)
{
    uint64_t end = hrt_log_current(f->log) + segments;
    int status = HRT_OK;
    while (status == HRT_OK && hrt_log_current(f->log) < end) {
        status = fixture_group(f, 16, 12, 1);
        while (hrt_log_oldest(f->log) + kept < hrt_log_current(f->log)) {
            CHECK(hrt_log_at(f->log, hrt_log_head(f->log)) != NULL); /* as who copies from it */
            CHECK_EQ(hrt_log_retire(f->log, hrt_log_tail(f->log), false), HRT_OK);
        }
    }
    return status;
}

static void attach(const fixture *f, orphan *one)
{
    *one = (orphan){.directory = fcntl(hrt_log_directory(f->log), F_DUPFD_CLOEXEC, 3)};
    REQUIRE(one->directory >= 0);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        int fd = hrt_segment_open(one->directory, slot, O_RDONLY);
        if (fd < 0) {
            continue;
        }
        struct stat status;
        REQUIRE(fstat(fd, &status) == 0);
        if (status.st_size < SMALL_SEGMENT) {
            (void)close(fd); /* the flusher is making it */
            continue;
        }
        void *map = mmap(NULL, SMALL_SEGMENT, PROT_READ, MAP_SHARED, fd, 0);
        one->copies[slot] = malloc(SMALL_SEGMENT);
        REQUIRE(map != MAP_FAILED && one->copies[slot] != NULL);
        (void)close(fd);
        one->maps[slot] = map;
        memcpy(one->copies[slot], map, SMALL_SEGMENT);
        const hrt_segment *head = map;
        bool used =
            head->number >= hrt_log_oldest(f->log) && head->number <= hrt_log_current(f->log);
        bool current = head->number == hrt_log_current(f->log);
        one->ends[slot] = current ? hrt_log_tail(f->log) % SMALL_SEGMENT : used ? SMALL_SEGMENT : 0;
    }
}

static void check_reads_the_same(const orphan *one)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        size_t from = HRT_SEGMENT_HEADER;
        bool reads = one->ends[slot] > from;
        CHECK(!reads || memcmp(one->maps[slot] + from, one->copies[slot] + from,
                               one->ends[slot] - from) == 0);
    }
}

/* A client lives on that was attached to a log of so many segments, none of them retired. */
static void outlive(fixture *f, orphan *one, uint64_t segments)
{
    REQUIRE(write_round(f, segments, segments) == HRT_OK);
    attach(f, one);
    fixture_close(f);
}

static void end(orphan *one)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        if (one->maps[slot] != NULL) {
            (void)munmap((void *)(uintptr_t)one->maps[slot], SMALL_SEGMENT);
        }
        free(one->copies[slot]);
    }
    (void)close(one->directory);
}

/* A bit for each segment file that the directory names. */
static uint64_t files_of(const fixture *f)
{
    uint64_t files = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        char name[HRT_SEGMENT_NAME_SIZE];
        hrt_segment_name(slot, name);
        files |= fixture_has(f, name) ? (uint64_t)1 << slot : 0;
    }
    return files;
}

static uint32_t count_files(const fixture *f)
{
    return (uint32_t)__builtin_popcountll(files_of(f));
}

static void what_an_orphan_reads_is_replaced_and_not_written_over(void)
{
    fixture f;
    orphan one;
    begin(&f);
    outlive(&f, &one, 4);
    uint64_t before = files_of(&f);
    start(&f);
    CHECK(f.log->orphans);
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    check_reads_the_same(&one);
    CHECK(count_files(&f) <= FILES_MAX);
    CHECK((before & ~files_of(&f)) != 0); /* some had to make way */
    end(&one);
    REQUIRE(write_round(&f, 8, 2) == HRT_OK);
    uint64_t settled = files_of(&f);
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    CHECK_EQ(files_of(&f), settled); /* used again, as ever */
    CHECK_EQ(hrt_log_segments(f.log), count_files(&f));
    fixture_end(&f);
}

static void files_are_used_again_once_the_orphan_has_ended(void)
{
    fixture f;
    orphan one;
    begin(&f);
    outlive(&f, &one, 4);
    uint64_t before = files_of(&f);
    start(&f);
    REQUIRE(write_round(&f, 1, 5) == HRT_OK);
    end(&one);
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    CHECK(!f.log->orphans);
    CHECK_EQ(before & ~files_of(&f), 0);
    fixture_end(&f);
}

static void without_orphans_files_are_used_again_at_once(void)
{
    fixture f;
    begin(&f);
    REQUIRE(write_round(&f, 4, 4) == HRT_OK);
    fixture_close(&f);
    start(&f);
    CHECK(!f.log->orphans);
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    uint64_t files = files_of(&f);
    CHECK_EQ(files & (files + 1), 0); /* the lowest names, without a gap */
    fixture_end(&f);
}

static void beside_the_flushers_thread_it_is_the_same(void)
{
    fixture f;
    orphan one;
    begin(&f);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    outlive(&f, &one, 4);
    start(&f);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(write_round(&f, 40, 2) == HRT_OK);
    check_reads_the_same(&one);
    end(&one);
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    CHECK(hrt_log_segments(f.log) <= FILES_MAX);
    fixture_end(&f);
}

/* The second life has used none of the files that the first one's client reads, and dies. */
static void an_orphan_is_heeded_over_several_lives(void)
{
    fixture f;
    orphan one;
    begin(&f);
    REQUIRE(write_round(&f, 4, 4) == HRT_OK);
    attach(&f, &one);
    for (uint32_t life = 0; life < 4; life++) {
        fixture_close(&f);
        start(&f);
        CHECK(f.log->orphans);
        REQUIRE(write_round(&f, 3, 2) == HRT_OK);
        check_reads_the_same(&one);
    }
    REQUIRE(write_round(&f, 20, 2) == HRT_OK);
    check_reads_the_same(&one);
    end(&one);
    fixture_end(&f);
}

/* What the flusher's thread does when it has waited for a while. */
static void ready(fixture *f)
{
    (void)pthread_mutex_lock(&f->log->mutex);
    while (hrt_flusher_ready_step(f->log)) {
    }
    (void)pthread_mutex_unlock(&f->log->mutex);
}

/* The disk is full when the supervisor starts anew: nothing can take the place of what is read. */
static void stand_still(fixture *f, orphan *one)
{
    begin(f);
    outlive(f, one, 5);
    start(f);
    f->log->flusher.no_space_until = UINT64_MAX;
    CHECK_EQ(write_round(f, 20, 1), HRT_ELOGFULL);
}

static void a_full_disk_makes_the_log_wait_for_the_orphan(void)
{
    fixture f;
    orphan one;
    stand_still(&f, &one);
    check_reads_the_same(&one);
    end(&one);
    ready(&f);
    CHECK_EQ(write_round(&f, 20, 2), HRT_OK);
    uint64_t next = hrt_log_next_sequence(f.log);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.last + 1, next); /* without a gap, which each visit looks for */
    fixture_end(&f);
}

static void room_on_the_disk_makes_it_go_on_beside_the_orphan(void)
{
    fixture f;
    orphan one;
    stand_still(&f, &one);
    CHECK(hrt_log_bound(f.log, hrt_log_oldest(f.log)));
    f.log->flusher.no_space_until = 1; /* it is asked again */
    CHECK_EQ(write_round(&f, 20, 2), HRT_OK);
    CHECK(!hrt_log_bound(f.log, hrt_log_oldest(f.log)));
    check_reads_the_same(&one);
    CHECK(count_files(&f) <= FILES_MAX);
    end(&one);
    fixture_end(&f);
}

static int open_directory(const fixture *f)
{
    int fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static void clients_that_come_along_are_no_orphans(void)
{
    fixture f;
    fixture_make(&f);
    int lives[] = {open_directory(&f), open_directory(&f), open_directory(&f)};
    REQUIRE(hrt_orphans_mark(lives[0], 3) == HRT_OK && hrt_orphans_mark(lives[1], 7) == HRT_OK);
    uint32_t both[] = {7, 3, 7};
    uint32_t last[] = {7};
    CHECK(!hrt_orphans_live(lives[2], both, 3));
    CHECK(hrt_orphans_live(lives[2], last, 1));
    CHECK(hrt_orphans_live(lives[2], NULL, 0));
    int copy = fcntl(lives[0], F_DUPFD_CLOEXEC, 3);
    (void)close(lives[0]);
    CHECK(hrt_orphans_live(lives[2], last, 1)); /* its client has a duplicate */
    (void)close(copy);
    CHECK(!hrt_orphans_live(lives[2], last, 1));
    REQUIRE(hrt_orphans_mark(lives[2], 8) == HRT_OK);
    CHECK(!hrt_orphans_live(lives[2], last, 1)); /* nor is who asks */
    (void)close(lives[1]);
    (void)close(lives[2]);
    fixture_end(&f);
}

int main(void)
{
    TAP_LIST(TEST(what_an_orphan_reads_is_replaced_and_not_written_over),
             TEST(files_are_used_again_once_the_orphan_has_ended),
             TEST(without_orphans_files_are_used_again_at_once),
             TEST(an_orphan_is_heeded_over_several_lives),
             TEST(beside_the_flushers_thread_it_is_the_same),
             TEST(a_full_disk_makes_the_log_wait_for_the_orphan),
             TEST(room_on_the_disk_makes_it_go_on_beside_the_orphan),
             TEST(clients_that_come_along_are_no_orphans));
}
