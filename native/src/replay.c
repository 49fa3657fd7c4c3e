/* A state fed by records from outside, for tests, verification and replay. */
#include "error.h"
#include "record.h"
#include "state.h"

#include <stdlib.h>
#include <string.h>

enum { HRT_REPLAY_SEGMENT = 1 << 24 }; /* only orders jobs by place; any size would do */

struct hrt_replay {
    hrt_state *state;
    void *record; /* aligned copy of the record at hand */
    size_t capacity;
};

int hrt_replay_new(hrt_replay **replay_out)
{
    hrt_replay *replay = calloc(1, sizeof(*replay));
    if (replay == NULL) {
        return hrt_fail(HRT_ENOMEM, "no memory for a replay");
    }
    replay->state = hrt_state_new(NULL, HRT_REPLAY_SEGMENT);
    if (replay->state == NULL) {
        free(replay);
        return hrt_fail(HRT_ENOMEM, "no memory for a replay");
    }
    *replay_out = replay;
    return HRT_OK;
}

static int copy_record(hrt_replay *replay, const void *bytes, size_t length)
{
    if (length > replay->capacity) {
        void *record = realloc(replay->record, length);
        if (record == NULL) {
            return hrt_fail(HRT_ENOMEM, "no memory for a record of %zu bytes", length);
        }
        replay->record = record;
        replay->capacity = length;
    }
    memcpy(replay->record, bytes, length);
    return HRT_OK;
}

int hrt_replay_read(hrt_replay *replay, const void *record, size_t length,
                    const hrt_record **record_out)
{
    if (length < sizeof(hrt_record)) {
        return hrt_fail(HRT_EINVAL, "a record has at least %zu bytes", sizeof(hrt_record));
    }
    int status = copy_record(replay, record, length);
    if (status != HRT_OK) {
        return status;
    }
    const hrt_record *copy = replay->record;
    if (copy->length > length || !hrt_record_well_formed(copy)) {
        return hrt_fail(HRT_EINVAL, "record %llu is not well-formed",
                        (unsigned long long)copy->sequence);
    }
    *record_out = copy;
    return HRT_OK;
}

int hrt_replay_apply(hrt_replay *replay, const void *record, size_t length)
{
    const hrt_record *copy = NULL;
    int status = hrt_replay_read(replay, record, length, &copy);
    if (status != HRT_OK) {
        return status;
    }
    status = hrt_state_apply(replay->state, copy);
    if (status == HRT_ECORRUPT) {
        return hrt_fail(status, "record %llu does not fit the records before it",
                        (unsigned long long)copy->sequence);
    }
    return status;
}

const hrt_state *hrt_replay_state(const hrt_replay *replay)
{
    return replay->state;
}

uint64_t hrt_replay_hash(const hrt_replay *replay)
{
    return hrt_state_hash(replay->state);
}

uint64_t hrt_replay_jobs(const hrt_replay *replay)
{
    return hrt_state_jobs(replay->state);
}

int hrt_replay_job(const hrt_replay *replay, uint64_t job, hrt_job_info *info_out)
{
    const hrt_state_job *found = hrt_state_find(replay->state, job);
    if (found == NULL) {
        return hrt_fail(HRT_ENOTFOUND, "job %llu is not in the state", (unsigned long long)job);
    }
    hrt_state_describe(replay->state, found, info_out);
    return HRT_OK;
}

const hrt_page *hrt_replay_page(const hrt_replay *replay)
{
    return hrt_state_page(replay->state);
}

static int by_id(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* All ids at once, in order: a list is asked for once a replay, not once a record. */
static uint64_t *sorted_ids(const hrt_state *state, uint64_t after, uint32_t *count_out)
{
    uint64_t *ids = malloc((hrt_state_jobs(state) + 1) * sizeof(*ids));
    uint32_t count = 0;
    for (uint32_t index = 0; ids != NULL && index < hrt_state_capacity(state); index++) {
        uint64_t id = hrt_state_at(state, index)->id;
        if (id > after) {
            ids[count++] = id;
        }
    }
    if (ids != NULL) {
        qsort(ids, count, sizeof(*ids), by_id);
    }
    *count_out = count;
    return ids;
}

int hrt_replay_list(const hrt_replay *replay, uint64_t after, hrt_job_info *infos_out, uint32_t max,
                    uint32_t *count_out, uint64_t *next_out)
{
    uint32_t found = 0;
    uint64_t *ids = sorted_ids(replay->state, after, &found);
    if (ids == NULL || max == 0) {
        free(ids);
        return max == 0 ? hrt_fail(HRT_EINVAL, "max is 0, it has to be 1 or more")
                        : hrt_fail(HRT_ENOMEM, "no memory for a list of jobs");
    }
    uint32_t count = found < max ? found : max;
    for (uint32_t i = 0; i < count; i++) {
        hrt_state_describe(replay->state, hrt_state_find(replay->state, ids[i]), &infos_out[i]);
    }
    *count_out = count;
    *next_out = found > count ? ids[count - 1] : 0;
    free(ids);
    return HRT_OK;
}

void hrt_replay_free(hrt_replay *replay)
{
    if (replay == NULL) {
        return;
    }
    hrt_state_free(replay->state);
    free(replay->record);
    free(replay);
}

uint64_t hrt_key_hash(const void *key, size_t length)
{
    return hrt_hash_key(key, length);
}
