/*
 * What has to be true, known from what was written, said and answered, never from the code under
 * test. It sees each record as it is written, and keeps a plain model of the jobs.
 */
#ifndef HRT_SIM_ORACLE_H
#define HRT_SIM_ORACLE_H

#include "sim.h"

#include <hybridrt/runtime.h>

void oracle_begin(sim_outcome *outcome);
void oracle_end(void);

/* ---- told by the disk ---- */

/* Bytes of a segment file that have just changed: whole records. */
void oracle_written(const uint8_t *file, uint32_t offset, uint32_t length);

/* ---- told by the supervisor ---- */

/* A new writer begins; after a power cut, what was not on the disk may be gone. */
void oracle_restarts(bool power_was_cut);
/* The disk does harm between these two, before the opening. */
void oracle_before_harm(void);
void oracle_harmed(void);
/* What was harmed on the disk has to be found by the opening that follows, or to be harmless. */
void oracle_judge_open(int status, const char *sentence, uint64_t read_from);
/* The hash of the live state, read while the log had `count` records. */
void oracle_compare_state(uint64_t hash, uint64_t count);
uint64_t oracle_records(void);
/* How often records were lost so far: who was told of them before has to be forgiven. */
uint64_t oracle_cuts(void);
/* Does what was put off until no fiber runs. */
void oracle_work(void);
/* A log that was closed cleanly: reads it again with the library, from its oldest record on. */
void oracle_read_again(const char *directory, uint64_t hash);

/* ---- told by the clients ---- */

typedef struct oracle_submission {
    uint16_t queue;
    uint16_t kind;
    uint32_t payload_length;
    uint8_t key_length;
    char key[16];
} oracle_submission;

enum { ORACLE_PAYLOAD_MIN = 8, ORACLE_PAYLOAD_MAX = 4096 };

/* Gives the job a serial number and writes its payload. */
uint32_t oracle_submit(const oracle_submission *submission, uint8_t *payload_out);
uint32_t oracle_submissions(void);
void oracle_acknowledged(uint32_t serial, uint64_t job);
void oracle_served(const hrt_job *job, uint64_t incarnation);
void oracle_said(uint64_t job, uint64_t token, uint8_t outcome, uint32_t follow_count);
/* The library has taken what was said last: it counts, even if its client dies now. */
void oracle_heard(uint64_t job, uint64_t token);
/* Any job that is in this state; 0: none is. */
uint64_t oracle_any(uint8_t state);
/* An operator wants it to run now. */
void oracle_hurried(uint64_t job);
void oracle_queue(uint16_t queue, const hrt_queue_settings *settings);
/* What a handler reads has to stay there as long as it holds the lease. */
void oracle_intact(const hrt_job *job);
/* Whether the disk has ever harmed the log. */
bool oracle_rots(void);
/* Nor does it change under a handler whose job was taken back, unless the disk rots. */
void oracle_untouched(const hrt_job *job);

/* ---- for rules.c ---- */

uint8_t oracle_byte(uint32_t serial, uint32_t at);
/* Whether the record of this sequence and all before it are on the disk. */
bool oracle_is_durable(uint64_t sequence);

/* ---- for the end ---- */

/* Jobs that should have come to an end by now: due before `wall_ns`. */
uint32_t oracle_unfinished(uint64_t wall_ns);
/* Jobs that have not ended, whatever they wait for. */
uint32_t oracle_waiting(void);
bool oracle_dump(const char *path, uint64_t hash);

#endif
