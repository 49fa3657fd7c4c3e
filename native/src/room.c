/*
 * Room in the log: what has to stay free so that copying can always go on. docs/design.md argues
 * why that is enough.
 */
#include "dispatch.h"

#include "check.h"
#include "record.h"

enum {
    LEAST = 3,            /* files: the one being written, one for copies, one to go on with */
    HEADROOM = 4,         /* the same where the living take more than one, and sums are rounded */
    EASY_FROM = 8,        /* a log of so many files has one more for settles than for copies */
    LANES_LEAST = 16,     /* ends are measured with so many lanes in their group, or more */
    KIND_BYTES = 192,     /* of a declaration, at the start of each segment */
    QUEUE_BYTES = 320,    /* of two: its settings, and that it is paused */
    RESTATED_BYTES = 512, /* of two: what a queue retains, for each segment that is given up */
    KEEP_MORE = 128,      /* a KEEP is longer than the ENQUEUE that it copies */
};

#define PATIENCE_NS ((uint64_t)100 * 1000000) /* that a result waits for room before it is lost */

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

/* value * by / of, which may be too large for one multiplication. */
static uint64_t scale(uint64_t value, uint64_t by, uint64_t of)
{
    return value / of * by + value % of * by / of;
}

/* Bytes by which copies of all that lives are longer than what they copy, and what goes with them.
 */
static uint64_t growth(const hrt_runtime *runtime)
{
    const hrt_state_room *living = hrt_state_room_now(runtime->state);
    uint64_t more =
        living->keep_bytes > living->record_bytes ? living->keep_bytes - living->record_bytes : 0;
    return more + runtime->room.log.most * runtime->page->queue_count * RESTATED_BYTES;
}

static uint64_t filled_now(const hrt_runtime *runtime)
{
    return filled_bytes(runtime->room.segment, hrt_state_room_now(runtime->state)->keep_max);
}

/* What segments hold for sure, but for those that are in motion; `more` files are given away. */
static uint64_t capacity(const hrt_runtime *runtime, uint64_t more)
{
    const hrt_room *room = &runtime->room;
    uint64_t taken = room->log.asides + more + HEADROOM;
    uint64_t segments = room->log.most > taken ? room->log.most - taken : 1;
    return segments * filled_now(runtime);
}

/*
 * Bytes that copies of all living jobs may take at most: so that, when all of the log has been
 * copied, there is free what copies need, what is apart, and one file more.
 */
static uint64_t most_living(const hrt_runtime *runtime, uint64_t more)
{
    const hrt_room *room = &runtime->room;
    uint64_t filled = filled_now(runtime);
    uint64_t taken = room->log.asides + room->apart + more + HEADROOM;
    uint64_t bytes = room->log.most > taken ? (room->log.most - taken) * room->segment : 0;
    uint64_t longer = growth(runtime);
    uint64_t largest = hrt_state_room_now(runtime->state)->keep_max;
    bytes = bytes > longer ? scale(bytes - longer, filled, room->segment + largest) : 0;
    return bytes > filled ? bytes : filled;
}

static uint64_t least_of(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

/*
 * Files that copying needs before it gives some back: with those of the oldest segments all others
 * can be copied. It counts as living what may come to live before the next look.
 */
static uint32_t files_for_copies(const hrt_runtime *runtime)
{
    const hrt_room *room = &runtime->room;
    if (room->log.used <= 1) {
        return 1; /* there is nothing to copy before the next look */
    }
    const hrt_state_room *living = hrt_state_room_now(runtime->state);
    uint64_t filled = filled_now(runtime);
    uint64_t bytes = least_of(living->keep_bytes + room->segment, room->living_hard);
    bytes = bytes > living->keep_bytes ? bytes : living->keep_bytes;
    uint64_t debt =
        divide_up(growth(runtime) + scale(bytes, living->keep_max, filled), room->segment);
    uint64_t all = bytes > filled ? divide_up(bytes, filled) : 1;
    return (uint32_t)(1 + debt < all ? 1 + debt : all);
}

/* ---- ends of attempts ---- */

/* Attempts whose ends fit one file, each of them in a group of its own. */
static uint32_t ends_of_a_file(const hrt_runtime *runtime)
{
    uint32_t lanes = runtime->seat_count > LANES_LEAST ? runtime->seat_count : LANES_LEAST;
    size_t end = hrt_record_span(sizeof(hrt_record) + sizeof(hrt_settle_entry)) +
                 hrt_record_span(HRT_END_TEXT_MAX) + HRT_RECORD_ALIGN +
                 hrt_record_span((uint32_t)(sizeof(hrt_record) + lanes * sizeof(hrt_lanes_entry)));
    return (uint32_t)((runtime->room.segment - end) / end);
}

static void set_apart(hrt_runtime *runtime, uint32_t files)
{
    hrt_room *room = &runtime->room;
    room->apart = files;
    room->ends_max = files * room->ends_of_a_file;
    uint64_t strict = most_living(runtime, 0);
    room->living_hard = least_of(capacity(runtime, 0) / 8 * 7, strict);
    room->living_max = least_of(capacity(runtime, 0) / 4 * 3, strict / 16 * 15);
    /* A log of fewer files than there ought to be goes on between two of them. */
    uint64_t most =
        room->log.most > room->log.asides + 2 ? room->log.most - room->log.asides - 2 : 0;
    room->floor = files_for_copies(runtime) + files;
    room->floor = room->floor < most ? room->floor : (uint32_t)most;
    uint32_t least = runtime->options.segments_reserve;
    room->reserve = room->floor + (room->log.most >= EASY_FROM && room->log.used > 1);
    room->reserve = room->reserve > least ? room->reserve : least;
    /* When nothing runs, what was apart has been used for its purpose. */
    uint32_t apart = files < room->floor ? files : room->floor;
    const uint32_t kept[HRT_LOG_CLASSES] = {room->reserve, room->floor,
                                            room->running > 0 ? apart : 0, 0};
    hrt_log_keep_free(runtime->log, kept);
}

void hrt_room_look(hrt_runtime *runtime)
{
    hrt_room *room = &runtime->room;
    room->log = hrt_log_room_now(runtime->log);
    room->segment = segment_bytes(runtime);
    room->ends_of_a_file = ends_of_a_file(runtime);
    uint64_t files = divide_up(room->running, room->ends_of_a_file);
    set_apart(runtime, files > 1 ? (uint32_t)files : 1);
}

uint32_t hrt_room_leases(hrt_runtime *runtime)
{
    hrt_room *room = &runtime->room;
    if (HRT_UNLIKELY(room->running >= room->ends_max)) {
        uint64_t taken = room->log.used + room->log.asides + room->floor;
        if (taken < room->log.most && hrt_room_spares_one(runtime)) {
            set_apart(runtime, room->apart + 1);
        } else if (taken >= room->log.most && hrt_state_ready_queues(runtime->state) != 0) {
            hrt_room_refused(runtime, HRT_LOG_OLD_WORK);
        }
    }
    uint32_t left = room->ends_max > room->running ? room->ends_max - room->running : 0;
    return left < HRT_PASS_BATCH ? left : HRT_PASS_BATCH;
}

/* ---- what is let in ---- */

bool hrt_room_admits(const hrt_runtime *runtime, size_t bytes)
{
    const hrt_room *room = &runtime->room;
    uint64_t living = hrt_state_room_now(runtime->state)->keep_bytes;
    bool looked = room->segment != 0;
    return !looked || (living + bytes + KEEP_MORE <= room->living_max && !room->waited);
}

bool hrt_room_pressed(const hrt_runtime *runtime, size_t more)
{
    bool looked = runtime->room.segment != 0;
    return looked &&
           hrt_state_room_now(runtime->state)->keep_bytes + more > runtime->room.living_hard;
}

bool hrt_room_spares_one(const hrt_runtime *runtime)
{
    const hrt_room *room = &runtime->room;
    uint64_t living = hrt_state_room_now(runtime->state)->keep_bytes;
    return room->log.most > room->log.asides + room->apart + LEAST &&
           living <= least_of(capacity(runtime, 1) / 8 * 7, most_living(runtime, 1));
}

void hrt_room_refused(hrt_runtime *runtime, enum hrt_log_class class)
{
    runtime->room.starved |= class == HRT_LOG_OLD_WORK;
}

int hrt_room_refusal(const hrt_runtime *runtime)
{
    return runtime->room.log.disk_full ? HRT_ENOSPC : HRT_ELOGFULL;
}

bool hrt_room_stuck(const hrt_runtime *runtime)
{
    uint64_t since_ns = runtime->room.stuck_ns;
    return since_ns != 0 && runtime->boot_ns - since_ns >= PATIENCE_NS;
}

/* Copying all of the log frees what is of no use any more: enough of it pays for the copies. */
bool hrt_room_worth_copying(const hrt_runtime *runtime)
{
    const hrt_room *room = &runtime->room;
    const hrt_state_room *living = hrt_state_room_now(runtime->state);
    uint64_t all = room->log.used * room->segment;
    if (room->starved) {
        return all > living->record_bytes + room->segment;
    }
    /* Copies of large jobs lie no denser: what they leave empty is not won. */
    uint64_t packed = scale(living->keep_bytes, room->segment, filled_now(runtime));
    uint64_t won = all > packed ? all - packed : 0;
    uint64_t least = all / 8 > room->segment ? all / 8 : room->segment;
    bool near_limit = room->log.used + room->log.asides + room->reserve + 2 > room->log.most;
    return near_limit && won > least;
}
