/*
 * CHECKPOINT records: marks in the log at which others can begin, compare or sign. One after so
 * many records, or after so long if anything was written since; an idle log gets none.
 */
#include "dispatch.h"

#include "record.h"

/*
 * Hashing takes about 40 ns for each slot that jobs have ever taken: less than a millisecond for so
 * many. A larger state is hashed at the end only.
 */
enum { HASHED_SLOTS_MAX = 16384 };

static uint64_t records_since(const hrt_runtime *runtime)
{
    return hrt_log_next_sequence(runtime->log) - runtime->checkpoint_sequence;
}

static bool interval_over(const hrt_runtime *runtime)
{
    return runtime->boot_ns - runtime->checkpoint_ns >= runtime->options.checkpoint_ns;
}

/* Counting begins anew, also when the log had no room: the next one is not due before its time. */
static int write_one(hrt_runtime *runtime, enum hrt_log_class class, bool hashed)
{
    hrt_record *record = NULL;
    int status =
        hrt_group_add(runtime, HRT_RECORD_CHECKPOINT, sizeof(hrt_checkpoint_body), class, &record);
    if (status == HRT_OK) {
        hrt_checkpoint_body *checkpoint = hrt_record_body(record);
        checkpoint->state_hash = hashed ? hrt_state_hash(runtime->state) : 0;
        checkpoint->jobs = hrt_state_jobs(runtime->state);
        status = hrt_group_apply(runtime, record);
    }
    runtime->checkpoint_sequence = hrt_log_next_sequence(runtime->log);
    return status;
}

void hrt_checkpoint_begin(hrt_runtime *runtime)
{
    runtime->checkpoint_sequence = hrt_log_next_sequence(runtime->log);
    runtime->checkpoint_ns = runtime->boot_ns;
}

/* A takeover does not wait for it. */
static void collect_offshoot(hrt_runtime *runtime)
{
    bool done = false;
    if (runtime->offshoot != 0 && hrt_offshoot_ended(runtime->offshoot, &done)) {
        runtime->offshoot = 0;
    }
}

bool hrt_checkpoint_some(hrt_runtime *runtime)
{
    uint64_t records = records_since(runtime);
    bool timely = interval_over(runtime);
    if (records == 0 || (records < runtime->options.checkpoint_records && !timely)) {
        return false;
    }
    /* At most one hash an interval, however many records there are. */
    bool hashed = timely && hrt_state_capacity(runtime->state) <= HASHED_SLOTS_MAX;
    if (timely) {
        runtime->checkpoint_ns = runtime->boot_ns;
        /* A snapshot waits until the log is durable, whatever the queues ask for. */
        runtime->group_async |= runtime->options.snapshot != 0;
        collect_offshoot(runtime);
    }
    return write_one(runtime, HRT_LOG_NEW_WORK, hashed) == HRT_OK;
}

uint64_t hrt_checkpoint_last(hrt_runtime *runtime)
{
    hrt_runtime_tick(runtime);
    if (write_one(runtime, HRT_LOG_COPY, true) != HRT_OK) {
        return 0;
    }
    uint64_t position = hrt_log_tail(runtime->log) + hrt_log_pending(runtime->log) -
                        hrt_record_span(sizeof(hrt_record) + sizeof(hrt_checkpoint_body));
    runtime->group_sync = true;
    return hrt_group_seal(runtime) == HRT_OK ? position : 0;
}

uint64_t hrt_checkpoint_wait(const hrt_runtime *runtime)
{
    uint64_t due_ns = runtime->checkpoint_ns + runtime->options.checkpoint_ns;
    if (records_since(runtime) == 0) {
        return UINT64_MAX;
    }
    return due_ns > runtime->boot_ns ? due_ns - runtime->boot_ns : 0;
}
