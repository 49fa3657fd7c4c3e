/* What a run of many seeds has to have met at least once, beside all faults and failpoints. */
#include "sim.h"

#include <hybridrt/abi.h>
#include <hybridrt/runtime.h>
#include <stdlib.h>

static const char *const names[SIGHTS] = {
    [SIGHT_RECORD + HRT_RECORD_ENQUEUE] = "record ENQUEUE",
    [SIGHT_RECORD + HRT_RECORD_LEASE] = "record LEASE",
    [SIGHT_RECORD + HRT_RECORD_SETTLE] = "record SETTLE",
    [SIGHT_RECORD + HRT_RECORD_CONTROL] = "record CONTROL",
    [SIGHT_RECORD + HRT_RECORD_EPOCH] = "record EPOCH",
    [SIGHT_RECORD + HRT_RECORD_PAD] = "record PAD",
    [SIGHT_RECORD + HRT_RECORD_DUE] = "record DUE",
    [SIGHT_RECORD + HRT_RECORD_KEEP] = "record KEEP",
    [SIGHT_RECORD + HRT_RECORD_SAVED] = "record SAVED",
    [SIGHT_RECORD + HRT_RECORD_LANES] = "record LANES",
    [SIGHT_OUTCOME + HRT_OUTCOME_OK] = "outcome OK",
    [SIGHT_OUTCOME + HRT_OUTCOME_RETRY] = "outcome RETRY",
    [SIGHT_OUTCOME + HRT_OUTCOME_SNOOZE] = "outcome SNOOZE",
    [SIGHT_OUTCOME + HRT_OUTCOME_DISCARD] = "outcome DISCARD",
    [SIGHT_OUTCOME + HRT_OUTCOME_DEAD] = "outcome DEAD",
    [SIGHT_OUTCOME + HRT_OUTCOME_RETURNED] = "outcome RETURNED",
    [SIGHT_OUTCOME + HRT_OUTCOME_CRASHED] = "outcome CRASHED",
    [SIGHT_OUTCOME + HRT_OUTCOME_LOST] = "outcome LOST",
    [SIGHT_OUTCOME + HRT_OUTCOME_TIMEOUT] = "outcome TIMEOUT",
    [SIGHT_OUTCOME + HRT_OUTCOME_CANCELLED] = "outcome CANCELLED",
    [SIGHT_OUTCOME + HRT_OUTCOME_EXPIRED] = "outcome EXPIRED",
    [SIGHT_OUTCOME + HRT_OUTCOME_FORGOTTEN] = "outcome FORGOTTEN",
    [SIGHT_OUTCOME + HRT_OUTCOME_REVIVED] = "outcome REVIVED",
    [SIGHT_CAUSE + HRT_OUTCOME_RETRY] = "dead of too many failures",
    [SIGHT_CAUSE + HRT_OUTCOME_CRASHED] = "dead of too many crashes",
    [SIGHT_CAUSE + HRT_OUTCOME_TIMEOUT] = "dead of too many time limits",
    [SIGHT_EVENT + HRT_EVENT_ATTACHED] = "event ATTACHED",
    [SIGHT_EVENT + HRT_EVENT_REGISTERED] = "event REGISTERED",
    [SIGHT_EVENT + HRT_EVENT_DETACHED] = "event DETACHED",
    [SIGHT_EVENT + HRT_EVENT_DIED] = "event DIED",
    [SIGHT_EVENT + HRT_EVENT_FAULT] = "event FAULT",
    [SIGHT_EVENT + HRT_EVENT_HUNG] = "event HUNG",
    [SIGHT_EVENT + HRT_EVENT_KILL] = "event KILL",
    [SIGHT_EVENT + HRT_EVENT_DEAD] = "event DEAD",
    [SIGHT_NOTICE + HRT_DELIVERY_CANCEL] = "notice CANCEL",
    [SIGHT_NOTICE + HRT_DELIVERY_REFUSED] = "notice REFUSED",
    [SIGHT_NOTICE + HRT_DELIVERY_RESULT] = "notice RESULT",
    [SIGHT_ANSWER - HRT_ENOSPC] = "answer ENOSPC",
    [SIGHT_ANSWER - HRT_EFULL] = "answer EFULL",
    [SIGHT_ANSWER - HRT_ELOGFULL] = "answer ELOGFULL",
    [SIGHT_ANSWER - HRT_ESTALE] = "answer ESTALE",
    [SIGHT_GARBAGE + 0] = "garbage: an outcome that is none",
    [SIGHT_GARBAGE + 1] = "garbage: an entry of no type",
    [SIGHT_GARBAGE + 2] = "garbage: an endless entry",
    [SIGHT_GARBAGE + 3] = "garbage: a head of deliveries",
    [SIGHT_GARBAGE + 4] = "garbage: a tail of submissions",
    [SIGHT_SAVED_READ] = "an attempt reads what the one before saved",
    [SIGHT_RESULT_READ] = "a result is read",
    [SIGHT_LATE_RESULT] = "a result is read that was copied forward",
    [SIGHT_SUSPECT] = "a suspect is leased",
    [SIGHT_FOLLOW_UP] = "a follow-up job",
    [SIGHT_GAVE_WAY] = "a settle gives way, since its follow-up jobs find no room",
    [SIGHT_OVERRUN] = "a standby is overrun and begins anew",
    [SIGHT_CUT_AT_HEAD] = "power is cut right after a file got a new number",
    [SIGHT_DEATH_IN_TAKEOVER] = "a standby dies amid its takeover",
};

const char *sim_sight_name(uint32_t index)
{
    return names[index];
}
