/* The log directory is unharmed by SIGKILL at each system call of open, append, rotate, recycle. */
#include "log_journey.h"
#include "tracer.h"

#define STOPS_MAX 100000u

typedef struct journey {
    fixture log;
    promise *promised;
} journey;

static void travel(void *context)
{
    journey *j = context;
    journey_run(&j->log, j->promised);
}

static void forget(journey *j)
{
    scratch_empty(j->log.directory);
    memset(j->promised, 0, sizeof(*j->promised));
}

/* Kills at stop after stop until a process gets through; the log is new each time, or grows on. */
static void kill_at_each_stop(bool anew, uint32_t segment_size)
{
    journey j = {.promised = journey_promise()};
    uint64_t stop = 0;
    bool killed = true;
    journey_make(&j.log);
    j.log.options.segment_size = segment_size;
    for (; killed && tap_failures == 0; stop++) {
        REQUIRE(stop < STOPS_MAX);
        killed = tracer_kill_at(stop, travel, &j);
        journey_check(&j.log, j.promised);
        if (tap_failures == 0) {
            journey_go_on(&j.log, j.promised);
        } else {
            printf("# killed at stop %" PRIu64 "\n", stop);
        }
        if (killed && anew) {
            forget(&j);
        }
    }
    printf("# %" PRIu64 " stops; the last log: %" PRIu64 " segments begun, %" PRIu64 " retired\n",
           stop, j.promised->segments_begun, j.promised->segments_retired);
    printf("# json {\"what\": \"SIGKILL at each system call of the log, %s, segments of %u\", "
           "\"faults\": {\"SIGKILLs\": %" PRIu64 "}, \"violations\": %d}\n",
           anew ? "a new one" : "one that was killed before", segment_size, stop, tap_failures);
    CHECK(stop > 200);
    CHECK(segment_size > SMALL_SEGMENT ||
          (j.promised->segments_begun > 3 && j.promised->segments_retired > 1));
    fixture_end(&j.log);
    (void)munmap(j.promised, sizeof(promise));
}

static void a_new_log_survives_a_kill_at_each_system_call(void)
{
    kill_at_each_stop(true, SMALL_SEGMENT);
}

static void a_log_that_was_killed_before_survives_it_too(void)
{
    kill_at_each_stop(false, SMALL_SEGMENT);
}

/* Files of this size take several writes until they are zeroed. */
static void a_file_that_was_half_made_is_made_anew(void)
{
    kill_at_each_stop(true, 4194304);
}

int main(void)
{
    TAP_LIST(TEST(a_new_log_survives_a_kill_at_each_system_call),
             TEST(a_log_that_was_killed_before_survives_it_too),
             TEST(a_file_that_was_half_made_is_made_anew));
}
