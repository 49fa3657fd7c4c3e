/*
 * Room in the log: what has to stay free so that copying can always go on. docs/design.md argues
 * why that is enough.
 */
#include "dispatch.h"

#include "check.h"

enum {
    HEADROOM = 4,      /* segments: the current one, the next, and two that stay free for copies */
    EASY_FROM = 8,     /* a log of so many files has one more for settles than for copies */
    DEBT_SHARE = 4,    /* at most this part of a log is kept free */
    KIND_BYTES = 192,  /* of a declaration, at the start of each segment */
    QUEUE_BYTES = 320, /* of two: its settings, and that it is paused */
    KEEP_MORE = 128,   /* a KEEP is longer than the ENQUEUE that it copies */
};

static uint64_t divide_up(uint64_t value, uint64_t by)
{
    return (value + by - 1) / by;
}

/* What is left of a segment for records. */
static uint64_t segment_bytes(const hrt_runtime *runtime)
{
    uint64_t size = hrt_log_segment_size(runtime->log) - HRT_SEGMENT_HEADER;
    uint64_t declared = runtime->page->kind_count * (uint64_t)KIND_BYTES +
                        runtime->page->queue_count * (uint64_t)QUEUE_BYTES + KIND_BYTES;
    return declared < size / 2 ? size - declared : size / 2;
}

/* A segment ends where the next record does not fit: so much of it is surely filled. */
static uint64_t filled_bytes(uint64_t segment, uint64_t record_max)
{
    return record_max < segment / 2 ? segment - record_max : segment / 2;
}

/*
 * Segments that copying the oldest one can take, and by which copies of all the others can be
 * larger than what they copy.
 */
static uint32_t floor_for(const hrt_room *room, const hrt_state_room *living)
{
    uint64_t growth =
        living->keep_bytes > living->record_bytes ? living->keep_bytes - living->record_bytes : 0;
    uint64_t debt = divide_up(growth + room->log.used * living->keep_max, room->segment);
    uint64_t most = room->log.most / DEBT_SHARE;
    most = most > 2 ? most : 2;
    return (uint32_t)(1 + debt < most ? 1 + debt : most);
}

void hrt_room_look(hrt_runtime *runtime)
{
    hrt_room *room = &runtime->room;
    const hrt_state_room *living = hrt_state_room_now(runtime->state);
    room->log = hrt_log_room_now(runtime->log);
    room->segment = segment_bytes(runtime);
    uint64_t usable = room->log.most > room->log.asides + HEADROOM
                          ? room->log.most - room->log.asides - HEADROOM
                          : 1;
    room->living_hard = usable * filled_bytes(room->segment, living->keep_max) / 8 * 7;
    room->living_max = room->living_hard / 7 * 6; /* three quarters of all */
    uint32_t floor = floor_for(room, living);
    uint32_t least = runtime->options.segments_reserve;
    room->reserve = floor + (room->log.most >= EASY_FROM);
    room->reserve = room->reserve > least ? room->reserve : least;
    hrt_log_keep_free(runtime->log, room->reserve, room->barred ? 0 : floor);
}

bool hrt_room_admits(const hrt_runtime *runtime, size_t bytes)
{
    const hrt_room *room = &runtime->room;
    uint64_t living = hrt_state_room_now(runtime->state)->keep_bytes;
    bool looked = room->segment != 0;
    return !looked || (living + bytes + KEEP_MORE <= room->living_max && !room->waited);
}

bool hrt_room_pressed(const hrt_runtime *runtime)
{
    bool looked = runtime->room.segment != 0;
    return looked && hrt_state_room_now(runtime->state)->keep_bytes > runtime->room.living_hard;
}

bool hrt_room_for_aside(const hrt_runtime *runtime)
{
    const hrt_room *room = &runtime->room;
    const hrt_state_room *living = hrt_state_room_now(runtime->state);
    uint64_t left = room->log.most - room->log.asides;
    return left > HEADROOM + 1 &&
           living->keep_bytes <=
               (left - HEADROOM - 1) * filled_bytes(room->segment, living->keep_max) / 8 * 7;
}

void hrt_room_refused(hrt_runtime *runtime, enum hrt_log_class class)
{
    runtime->room.starved |= class == HRT_LOG_OLD_WORK;
}

/* Copying all of the log frees what is of no use any more: enough of it pays for the copies. */
bool hrt_room_worth_copying(const hrt_runtime *runtime)
{
    const hrt_room *room = &runtime->room;
    uint64_t all = room->log.used * room->segment;
    uint64_t living = hrt_state_room_now(runtime->state)->record_bytes;
    uint64_t waste = all > living ? all - living : 0;
    uint64_t least = all / 8 > room->segment ? all / 8 : room->segment;
    bool near_limit = room->log.used + room->log.asides + room->reserve + 2 > room->log.most;
    return (room->starved && waste > room->segment) || (near_limit && waste > least);
}
