/* What has to be true of attempts, limits, saved bytes and results, known from the records. */
#ifndef HRT_SIM_RULES_H
#define HRT_SIM_RULES_H

#include "sim.h"

#include <hybridrt/runtime.h>

void rules_begin(void);
/* Forgets the records, to see those that are left of them again. */
void rules_reset(void);
/* The next record of the log. Not checking: it was seen before. */
void rules_apply(const hrt_record *record, bool checking);
void rules_queue(uint16_t queue, const hrt_queue_settings *settings);

typedef void (*rules_settle_visit)(const hrt_record *record, const hrt_settle_entry *entry);
/* Visits the entries of a SETTLE. */
void rules_each_settle(const hrt_record *record, rules_settle_visit visit);

/* A client asks for no more than so many jobs at a time; 0: any number. */
void rules_credit(uint64_t client, uint32_t credit);
/* It has written garbage: what it said before may go with it. */
void rules_spoiled(uint64_t client);
bool rules_is_spoiled(uint64_t client);
/* What a handler saves: four bytes at least. */
void rules_save(uint64_t job, uint64_t token, uint8_t *data_out, uint32_t length);
void rules_result(uint64_t token, uint8_t *data_out, uint32_t length);
void rules_served(const hrt_job *job);
/* Whether the job is still leased under this token. */
bool rules_still_holds(const hrt_job *job);
void rules_noticed(const hrt_notice *notice);

#endif
