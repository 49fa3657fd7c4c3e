/* The flusher: durable moves when asked, failures stop everything, a full disk only the growth. */
#include "log_fixture.h"
#include "log_state.h"

static void nothing_is_durable_before_it_is_asked_for(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    CHECK_EQ(hrt_log_durable(f.log), 0);
    fixture_sync(&f);
    CHECK_EQ(hrt_log_durable(f.log), hrt_log_tail(f.log));
    fixture_end(&f);
}

/* Waits, without asking for a sync, until the log is durable to `position` or failed. */
static void await(fixture *f, uint64_t position)
{
    (void)pthread_mutex_lock(&f->mutex);
    while (hrt_log_durable(f->log) < position && f->failure == 0) {
        (void)pthread_cond_wait(&f->changed, &f->mutex);
    }
    (void)pthread_mutex_unlock(&f->mutex);
}

static void an_async_wish_is_kept_within_its_time(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    for (int i = 0; i < 20; i++) {
        REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
        hrt_log_want_async(f.log, hrt_log_tail(f.log));
        await(&f, hrt_log_tail(f.log));
        CHECK_EQ(hrt_log_durable(f.log), hrt_log_tail(f.log));
    }
    fixture_end(&f);
}

static void records_name_what_was_durable_before_them(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    fixture_sync(&f);
    uint64_t tail = hrt_log_tail(f.log);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    CHECK_EQ(((const hrt_record *)hrt_log_at(f.log, tail))->durable, tail);
    fixture_end(&f);
}

static void syncs_go_across_segments_and_are_counted(void)
{
    fixture f;
    fixture_make(&f);
    static hrt_runtime_counters counters;
    REQUIRE(fixture_open(&f) == HRT_OK);
    hrt_log_counters(f.log, &counters);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    while (hrt_log_current(f.log) < 6) {
        REQUIRE(fixture_group(&f, 50, 1, 1) == HRT_OK);
    }
    fixture_sync(&f);
    CHECK_EQ(hrt_log_durable(f.log), hrt_log_tail(f.log));
    fixture_close(&f);
    CHECK(counters.syncs >= 6);
    CHECK_EQ(counters.syncs, counters.sync.count);
    CHECK(counters.sync_ns >= counters.sync_max_ns && counters.sync_max_ns > 0);
    fixture_end(&f);
}

/* Returns with segments that wait behind the current one. */
static void await_waiting(hrt_log *log, const uint64_t *mark)
{
    (void)pthread_mutex_lock(&log->mutex);
    while (*mark <= log->current + 1) {
        (void)pthread_cond_wait(&log->changed, &log->mutex);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

/* Nobody who opens a log waits until the disk has the headers of files that wait once more. */
static void headers_that_wait_are_written_again_before_the_log_needs_them(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    await_waiting(f.log, &f.log->ready);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    uint64_t current = hrt_log_current(f.log);
    CHECK_EQ(f.log->sure, current + 1);
    CHECK(f.log->ready > f.log->sure);
    while (hrt_log_current(f.log) == current) { /* without a flusher */
        REQUIRE(fixture_group(&f, 50, 1, 1) == HRT_OK);
    }
    CHECK(f.log->sure > current + 1);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    await_waiting(f.log, &f.log->sure);
    fixture_end(&f);
}

static void *ask_for_syncs(void *context)
{
    fixture *f = context;
    for (int i = 0; i < 2000; i++) {
        hrt_log_want_sync(f->log, hrt_log_tail(f->log));
        CHECK(hrt_log_durable(f->log) <= hrt_log_tail(f->log));
        CHECK_EQ(hrt_log_failed(f->log), HRT_OK);
    }
    return NULL;
}

static void other_threads_may_ask_while_the_log_is_written(void)
{
    fixture f;
    fixture_make(&f);
    pthread_t asker;
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(pthread_create(&asker, NULL, ask_for_syncs, &f) == 0);
    for (int i = 0; i < 2000; i++) {
        REQUIRE(fixture_group(&f, 10, 1, 1) == HRT_OK);
        while (hrt_log_current(f.log) - hrt_log_oldest(f.log) > 3) {
            REQUIRE(hrt_log_retire(f.log, hrt_log_tail(f.log), true) == HRT_OK);
        }
    }
    REQUIRE(pthread_join(asker, NULL) == 0);
    fixture_end(&f);
}

#ifdef HRT_WITH_FAILPOINTS

static void check_poisoned(const char *name)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    uint64_t tail = hrt_log_tail(f.log);
    REQUIRE(hrt_failpoint(name, "error", 0) == HRT_OK);
    int status = fixture_group(&f, 1, 1, 1);
    CHECK(status == HRT_OK || status == HRT_EIO);
    hrt_log_want_sync(f.log, hrt_log_tail(f.log));
    await(&f, UINT64_MAX);
    CHECK_EQ(f.failure, HRT_EIO);
    CHECK_EQ(hrt_log_failed(f.log), HRT_EIO);
    REQUIRE(hrt_failpoint(name, "off", 0) == HRT_OK);
    CHECK_EQ(fixture_group(&f, 1, 1, 1), HRT_EIO); /* for ever */
    CHECK(hrt_log_durable(f.log) <= tail);
    fixture_end(&f);
}

static void the_first_error_of_the_disk_is_the_last_word(void)
{
    check_poisoned("log.append.before");
    check_poisoned("log.append.after");
    check_poisoned("log.sync.before");
    check_poisoned("log.sync.after");
}

/* The page cache forgets what the disk refused, as when it is mounted again in the same boot. */
static void what_a_failed_sync_loses_is_no_damage(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    REQUIRE(fixture_epoch(&f, false) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 1) == HRT_OK);
    fixture_sync(&f);
    uint64_t lost = hrt_log_tail(f.log) % SMALL_SEGMENT;
    REQUIRE(fixture_group(&f, 1, 1, 10) == HRT_OK);
    REQUIRE(fixture_group(&f, 1, 1, 100) == HRT_OK);
    REQUIRE(hrt_failpoint("log.sync.before", "error", 0) == HRT_OK);
    fixture_sync(&f);
    CHECK_EQ(f.failure, HRT_EIO);
    REQUIRE(hrt_failpoint("log.sync.before", "off", 0) == HRT_OK);
    fixture_close(&f);
    uint8_t zeros[128] = {0};
    fixture_write(&f, 0, lost, zeros, sizeof(zeros));
    CHECK_EQ(fixture_open(&f), HRT_OK);
    CHECK_EQ(f.report.damage, HRT_DAMAGE_TORN);
    CHECK_EQ(f.sum, 1); /* what was synced, and not what lies behind the loss */
    fixture_end(&f);
}

static int fill(fixture *f, enum hrt_log_class class)
{
    int status = HRT_OK;
    while (status == HRT_OK) {
        status = fixture_add(f, 100, 1, class);
        status = status == HRT_OK ? hrt_log_seal(f->log) : status;
    }
    return status;
}

static void check_full_disk(const char *name)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_failpoint(name, "full", 0) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    CHECK_EQ(fill(&f, HRT_LOG_NEW_WORK), HRT_ELOGFULL);
    CHECK_EQ(hrt_log_failed(f.log), HRT_OK);
    CHECK_EQ(fixture_group(&f, 1, 1, 1), HRT_OK);
    uint32_t files = hrt_log_segments(f.log);
    fixture_sync(&f);
    REQUIRE(hrt_failpoint(name, "off", 0) == HRT_OK);
    fixture_close(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    CHECK_EQ(f.report.damage, HRT_DAMAGE_NONE);
    CHECK_EQ(hrt_log_segments(f.log), files); /* nothing half made is left */
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    CHECK_EQ(fill(&f, HRT_LOG_NEW_WORK), HRT_ELOGFULL);
    CHECK_EQ(hrt_log_segments(f.log), 16);
    fixture_end(&f);
}

static void a_full_disk_stops_the_growth_only(void)
{
    check_full_disk("log.segment.create");
    check_full_disk("log.segment.zero");
    check_full_disk("log.segment.fsync");
    check_full_disk("log.directory.fsync");
}

static void an_error_while_recycling_poisons(void)
{
    fixture f;
    fixture_make(&f);
    REQUIRE(fixture_open(&f) == HRT_OK);
    REQUIRE(hrt_failpoint("log.recycle.before", "error", 3) == HRT_OK);
    REQUIRE(hrt_log_start(f.log) == HRT_OK);
    CHECK_EQ(fill(&f, HRT_LOG_OLD_WORK), HRT_EIO);
    await(&f, UINT64_MAX);
    CHECK_EQ(f.failure, HRT_EIO);
    REQUIRE(hrt_failpoint("log.recycle.before", "off", 0) == HRT_OK);
    fixture_end(&f);
}

static void failpoints_are_listed_with_their_hits(void)
{
    char names[4096];
    size_t length = hrt_failpoints(names, sizeof(names));
    REQUIRE(length < sizeof(names));
    CHECK(strstr(names, "log.append.before ") != NULL);
    CHECK(strstr(names, "log.sync.after ") != NULL);
    CHECK_EQ(hrt_failpoints(NULL, 0), length);
    CHECK_EQ(hrt_failpoint("no.such.place", "off", 0), HRT_ENOTFOUND);
    CHECK_EQ(hrt_failpoint("log.append.before", "explode", 0), HRT_EINVAL);
}

#else

static void without_failpoints_none_is_known(void)
{
    char names[4] = "xyz";
    CHECK_EQ(hrt_failpoints(names, sizeof(names)), 0);
    CHECK_EQ(names[0], 0);
    CHECK_EQ(hrt_failpoint("log.append.before", "off", 0), HRT_ENOTFOUND);
}

#endif

int main(void)
{
    TAP_LIST(TEST(nothing_is_durable_before_it_is_asked_for),
             TEST(an_async_wish_is_kept_within_its_time),
             TEST(records_name_what_was_durable_before_them),
             TEST(syncs_go_across_segments_and_are_counted),
             TEST(headers_that_wait_are_written_again_before_the_log_needs_them),
             TEST(other_threads_may_ask_while_the_log_is_written),
#ifdef HRT_WITH_FAILPOINTS
             TEST(the_first_error_of_the_disk_is_the_last_word),
             TEST(what_a_failed_sync_loses_is_no_damage), TEST(a_full_disk_stops_the_growth_only),
             TEST(an_error_while_recycling_poisons), TEST(failpoints_are_listed_with_their_hits));
#else
             TEST(without_failpoints_none_is_known));
#endif
}
