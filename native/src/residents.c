/* The living jobs by the segment of the log that their record lies in, oldest first. */
#include "core.h"
#include "check.h"
#include "grow.h"
#include "list.h"
#include "record.h"

#include <stdlib.h>

static uint32_t find(const hrt_residents *residents, uint64_t segment)
{
    if (residents->last < residents->count &&
        residents->segments[residents->last].segment == segment) {
        return residents->last;
    }
    return hrt_map_find(&residents->by_number, segment + 1);
}

static uint32_t find_or_add(hrt_residents *residents, uint64_t segment)
{
    uint32_t place = find(residents, segment);
    if (place != HRT_MAP_NONE) {
        return place;
    }
    if (!hrt_grow(&residents->segments, &residents->capacity, residents->count + 1, 64,
                  sizeof(*residents->segments)) ||
        !hrt_map_add(&residents->by_number, segment + 1, residents->count)) {
        return HRT_MAP_NONE;
    }
    residents->segments[residents->count] =
        (hrt_resident){.segment = segment, .jobs = HRT_LIST_EMPTY};
    return residents->count++;
}

/* The last one takes the place of a segment that has no living jobs any more. */
static void forget(hrt_residents *residents, uint32_t place)
{
    hrt_map_remove(&residents->by_number, residents->segments[place].segment + 1);
    uint32_t last = --residents->count;
    if (place != last) {
        hrt_resident moved = residents->segments[last];
        hrt_map_remove(&residents->by_number, moved.segment + 1);
        residents->segments[place] = moved;
        bool added = hrt_map_add(&residents->by_number, moved.segment + 1, place);
        HRT_ASSERT(added); /* two entries have just left: there is room */
    }
}

void hrt_residents_measure(hrt_state *state, hrt_state_job *job)
{
    hrt_state_room *room = &state->residents.room;
    uint32_t span =
        (uint32_t)hrt_record_span((uint32_t)(sizeof(hrt_record) + hrt_state_keep_length(job)));
    room->keep_bytes += span;
    room->keep_bytes -= job->keep_span;
    room->keep_max = span > room->keep_max ? span : room->keep_max;
    job->keep_span = span;
}

const hrt_state_room *hrt_state_room_now(const hrt_state *state)
{
    return &state->residents.room;
}

int hrt_residents_link(hrt_state *state, hrt_state_job *job)
{
    hrt_residents *residents = &state->residents;
    uint64_t segment = job->position >> state->segment_shift;
    uint32_t place = find_or_add(residents, segment);
    if (place == HRT_MAP_NONE) {
        return HRT_ENOMEM;
    }
    residents->last = place;
    hrt_job_list *list = &residents->segments[place].jobs;
    hrt_list_insert(&state->jobs, list, job, list->tail, offsetof(hrt_state_job, segment));
    residents->room.record_bytes += job->record_span;
    hrt_residents_measure(state, job);
    return HRT_OK;
}

void hrt_residents_unlink(hrt_state *state, hrt_state_job *job)
{
    hrt_residents *residents = &state->residents;
    uint64_t segment = job->position >> state->segment_shift;
    uint32_t place = find(residents, segment);
    residents->room.record_bytes -= job->record_span;
    residents->room.keep_bytes -= job->keep_span;
    job->keep_span = 0;
    hrt_job_list *list = &residents->segments[place].jobs;
    hrt_list_remove(&state->jobs, list, job, offsetof(hrt_state_job, segment));
    if (list->count == 0) {
        forget(residents, place);
    }
}

void hrt_residents_free(hrt_residents *residents)
{
    free(residents->segments);
    hrt_map_free(&residents->by_number);
    *residents = (hrt_residents){0};
}

uint32_t hrt_state_live(const hrt_state *state, uint64_t segment)
{
    uint32_t place = find(&state->residents, segment);
    return place == HRT_MAP_NONE ? 0 : state->residents.segments[place].jobs.count;
}

uint32_t hrt_state_first_in(const hrt_state *state, uint64_t segment)
{
    uint32_t place = find(&state->residents, segment);
    return place == HRT_MAP_NONE ? HRT_NIL : state->residents.segments[place].jobs.head;
}
