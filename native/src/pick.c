/*
 * Who runs what next. Bitmaps say which queues and kinds have jobs; lists give them in order; so a
 * pick costs what it hands out, whatever waits behind keys, pauses and limits.
 *
 * Suspects run alone: on a lane that holds nothing, until settled. When every lane is busy one of
 * them is emptied first, and no more than half of the lanes serve suspects, so the others go on.
 */
#include "check.h"
#include "plan.h"

enum {
    HRT_KIND_WORDS = HRT_KINDS_MAX / 64,
    HRT_STRIDE = 1 << 20, /* virtual time of one job at weight 1 */
    HRT_PICK_CHUNK =
        32, /* least that is handed to a lane ahead of its handlers, if there is so much */
    HRT_PICK_TURNS = 32, /* turns of the queues in a batch */
};

/* What could be handed out now. */
typedef struct supply {
    uint64_t queues;
    uint64_t plain_kinds[HRT_KIND_WORDS];
    uint64_t suspect_kinds[HRT_KIND_WORDS];
    uint64_t plain_count;
    uint32_t suspect_count;
} supply;

typedef struct demand {
    uint32_t lane; /* HRT_NIL: none */
    uint32_t take; /* most it should get now */
} demand;

static bool overlap(const uint64_t *left, const uint64_t *right)
{
    uint64_t both = 0;
    for (uint32_t word = 0; word < HRT_KIND_WORDS; word++) {
        both |= left[word] & right[word];
    }
    return both != 0;
}

static uint32_t allowance(const hrt_scheduler *scheduler, uint16_t number)
{
    const hrt_state_queue *queue = hrt_state_queue_at(scheduler->state, number);
    uint32_t limit = hrt_state_settings(scheduler->state, number)->max_running;
    if (queue->paused) {
        return 0;
    }
    if (limit == 0) {
        return UINT32_MAX;
    }
    uint64_t running = hrt_state_running(scheduler->state, number);
    return running < limit ? limit - (uint32_t)running : 0;
}

static supply survey(hrt_scheduler *scheduler)
{
    supply found = {0};
    for (uint64_t bits = hrt_state_ready_queues(scheduler->state); bits != 0; bits &= bits - 1) {
        uint16_t number = (uint16_t)__builtin_ctzll(bits);
        if (allowance(scheduler, number) == 0) {
            continue;
        }
        const hrt_state_queue *queue = hrt_state_queue_at(scheduler->state, number);
        found.queues |= 1ull << number;
        found.plain_count += queue->ready_count - queue->suspect_count;
        found.suspect_count += queue->suspect_count;
        for (uint32_t word = 0; word < HRT_KIND_WORDS; word++) {
            found.plain_kinds[word] |= queue->ready_kinds[word];
            found.suspect_kinds[word] |= queue->suspect_kinds[word];
        }
        /* A queue that had nothing to give does not save up its share. */
        bool returns = !(scheduler->queues_active >> number & 1);
        if (returns && scheduler->passes[number] < scheduler->virtual_now) {
            scheduler->passes[number] = scheduler->virtual_now;
        }
    }
    scheduler->queues_active = found.queues;
    return found;
}

static bool takes_work(const hrt_appetite *lane)
{
    return lane->incarnation != 0 && !lane->draining && !lane->exclusive && lane->credit > 0;
}

/* ---- suspects ---- */

static bool could_run_suspect(const hrt_scheduler *scheduler, uint32_t number, const supply *found)
{
    return takes_work(&scheduler->lanes[number]) &&
           overlap(scheduler->lanes[number].kinds, found->suspect_kinds);
}

/* A lane that holds nothing, else the one being emptied, else the one with the fewest jobs. */
static uint32_t lane_for_suspect(const hrt_scheduler *scheduler, const supply *found)
{
    uint32_t best = HRT_NIL;
    uint32_t least = UINT32_MAX;
    uint32_t lanes = 0;
    for (uint32_t number = 0; number < scheduler->lane_end; number++) {
        const hrt_appetite *lane = &scheduler->lanes[number];
        lanes += lane->incarnation != 0 && !lane->draining;
        if (lane->outstanding < least && could_run_suspect(scheduler, number, found)) {
            best = number;
            least = lane->outstanding;
        }
    }
    uint32_t emptying = scheduler->emptying;
    if (least > 0 && emptying != HRT_NIL && could_run_suspect(scheduler, emptying, found)) {
        best = emptying;
    }
    uint32_t limit = lanes / 2 > 1 ? lanes / 2 : 1;
    return scheduler->exclusive_count < limit ? best : HRT_NIL;
}

static const hrt_state_job *oldest_suspect(const hrt_scheduler *scheduler, const supply *found,
                                           const hrt_appetite *lane)
{
    const hrt_state_job *oldest = NULL;
    for (uint64_t bits = found->queues; bits != 0; bits &= bits - 1) {
        const hrt_state_queue *queue =
            hrt_state_queue_at(scheduler->state, (uint16_t)__builtin_ctzll(bits));
        for (uint32_t kind = 0; kind < HRT_KINDS_MAX && queue->suspect_count > 0; kind++) {
            uint32_t head = queue->suspects[kind].head;
            if (head == HRT_NIL || !(lane->kinds[kind / 64] >> (kind % 64) & 1)) {
                continue;
            }
            const hrt_state_job *job = hrt_state_at(scheduler->state, head);
            if (oldest == NULL || job->ready_order < oldest->ready_order) {
                oldest = job;
            }
        }
    }
    return oldest;
}

static uint32_t pick_suspect(hrt_scheduler *scheduler, const supply *found, uint32_t *lane_out,
                             uint64_t *jobs_out)
{
    uint32_t lane = found->suspect_count == 0 ? HRT_NIL : lane_for_suspect(scheduler, found);
    scheduler->emptying = lane;
    if (lane == HRT_NIL || scheduler->lanes[lane].outstanding > 0) {
        return 0;
    }
    const hrt_state_job *job = oldest_suspect(scheduler, found, &scheduler->lanes[lane]);
    HRT_ASSERT(job != NULL);
    scheduler->emptying = HRT_NIL;
    *lane_out = lane;
    jobs_out[0] = job->id;
    return 1;
}

/* ---- lanes in turn ---- */

/* Idle handlers before free credit, the emptier lane first. */
static uint64_t hunger(const hrt_appetite *lane)
{
    if (lane->outstanding < lane->concurrency) {
        uint64_t idle = lane->concurrency - lane->outstanding;
        return (1ull << 32) + (idle << 16) / lane->concurrency;
    }
    return lane->credit > lane->outstanding ? lane->credit - lane->outstanding : 0;
}

/* A lane alone gets all it may hold; beside others first what it can begin at once. */
static uint32_t fair_take(const hrt_appetite *lane, uint64_t jobs, uint32_t lanes)
{
    uint32_t room = lane->credit - lane->outstanding;
    uint64_t share = (jobs + lanes - 1) / lanes;
    if (lanes > 1 && lane->outstanding < lane->concurrency) {
        uint32_t idle = lane->concurrency - lane->outstanding;
        room = idle < room ? idle : room;
    } else if (share < HRT_PICK_CHUNK) {
        share = HRT_PICK_CHUNK;
    }
    return (uint32_t)(share < room ? share : room);
}

static demand next_lane(hrt_scheduler *scheduler, const supply *found)
{
    uint32_t best = HRT_NIL;
    uint64_t best_hunger = 0;
    uint32_t hungry = 0;
    for (uint32_t i = 0; i < scheduler->lane_end; i++) {
        uint32_t turn = scheduler->lane_turn + i;
        uint32_t number = turn < scheduler->lane_end ? turn : turn - scheduler->lane_end;
        const hrt_appetite *lane = &scheduler->lanes[number];
        if (!takes_work(lane) || number == scheduler->emptying ||
            lane->outstanding >= lane->credit || !overlap(lane->kinds, found->plain_kinds)) {
            continue;
        }
        hungry++;
        uint64_t its_hunger = hunger(lane);
        if (its_hunger > best_hunger) {
            best = number;
            best_hunger = its_hunger;
        }
    }
    if (best == HRT_NIL) {
        return (demand){.lane = HRT_NIL};
    }
    scheduler->lane_turn = best + 1 < scheduler->lane_end ? best + 1 : 0;
    uint32_t take = fair_take(&scheduler->lanes[best], found->plain_count, hungry);
    return (demand){.lane = best, .take = take};
}

/* ---- queues by weight ---- */

static uint32_t ready_for(const hrt_scheduler *scheduler, uint16_t number, const hrt_appetite *lane)
{
    const hrt_state_queue *queue = hrt_state_queue_at(scheduler->state, number);
    uint32_t count = 0;
    for (uint32_t word = 0; word < HRT_KIND_WORDS; word++) {
        uint64_t bits = queue->ready_kinds[word] & lane->kinds[word];
        for (; bits != 0; bits &= bits - 1) {
            count += queue->ready[word * 64 + (uint32_t)__builtin_ctzll(bits)].count;
        }
    }
    uint32_t allowed = allowance(scheduler, number);
    return count < allowed ? count : allowed;
}

static void charge(hrt_scheduler *scheduler, uint16_t number, uint32_t count)
{
    uint32_t weight = hrt_state_settings(scheduler->state, number)->weight;
    scheduler->virtual_now = scheduler->passes[number];
    scheduler->passes[number] += (uint64_t)count * HRT_STRIDE / (weight > 0 ? weight : 1);
}

/* Splits `take` between the queues; left[] has what each can still give. */
static void split(hrt_scheduler *scheduler, uint64_t queues, uint32_t *left, uint32_t *shares,
                  uint32_t take)
{
    uint32_t turn = 1 + take / HRT_PICK_TURNS;
    while (take > 0 && queues != 0) {
        uint16_t best = (uint16_t)__builtin_ctzll(queues);
        for (uint64_t bits = queues & (queues - 1); bits != 0; bits &= bits - 1) {
            uint16_t number = (uint16_t)__builtin_ctzll(bits);
            best = scheduler->passes[number] < scheduler->passes[best] ? number : best;
        }
        uint32_t count = turn < take ? turn : take;
        count = count < left[best] ? count : left[best];
        charge(scheduler, best, count);
        shares[best] += count;
        left[best] -= count;
        take -= count;
        if (left[best] == 0) {
            queues &= ~(1ull << best);
        }
    }
}

/* ---- jobs in order ---- */

/* The lists of the kinds that a lane serves in one queue, and how far each was taken. */
typedef struct hrt_merge {
    const hrt_state_job *heads[HRT_KINDS_MAX];
    uint32_t count;
} hrt_merge;

static const hrt_state_job *behind(const hrt_scheduler *scheduler, const hrt_state_job *job)
{
    return job->ready.next == HRT_NIL ? NULL : hrt_state_at(scheduler->state, job->ready.next);
}

static void open_merge(const hrt_scheduler *scheduler, const hrt_state_queue *queue,
                       const hrt_appetite *lane, hrt_merge *merge)
{
    merge->count = 0;
    for (uint32_t word = 0; word < HRT_KIND_WORDS; word++) {
        uint64_t bits = queue->ready_kinds[word] & lane->kinds[word];
        for (; bits != 0; bits &= bits - 1) {
            uint32_t kind = word * 64 + (uint32_t)__builtin_ctzll(bits);
            merge->heads[merge->count++] = hrt_state_at(scheduler->state, queue->ready[kind].head);
        }
    }
}

/* Takes from the list with the oldest head until another list has an older one. */
static uint32_t take_run(const hrt_scheduler *scheduler, hrt_merge *merge, uint64_t *jobs_out,
                         uint32_t max)
{
    uint32_t first = 0;
    uint64_t limit = UINT64_MAX; /* order of the oldest head of the other lists */
    for (uint32_t i = 1; i < merge->count; i++) {
        uint64_t order = merge->heads[i]->ready_order;
        if (order < merge->heads[first]->ready_order) {
            limit = merge->heads[first]->ready_order;
            first = i;
        } else if (order < limit) {
            limit = order;
        }
    }
    const hrt_state_job *job = merge->heads[first];
    uint32_t taken = 0;
    while (job != NULL && taken < max && job->ready_order <= limit) {
        jobs_out[taken++] = job->id;
        job = behind(scheduler, job);
    }
    merge->heads[first] = job != NULL ? job : merge->heads[--merge->count];
    return taken;
}

static void take_jobs(const hrt_scheduler *scheduler, uint16_t number, const hrt_appetite *lane,
                      uint64_t *jobs_out, uint32_t count)
{
    hrt_merge lists;
    open_merge(scheduler, hrt_state_queue_at(scheduler->state, number), lane, &lists);
    uint32_t taken = 0;
    while (taken < count) {
        HRT_ASSERT(lists.count > 0);
        taken += take_run(scheduler, &lists, jobs_out + taken, count - taken);
    }
}

static uint32_t pick_plain(hrt_scheduler *scheduler, const supply *found, const demand *wish,
                           uint64_t *jobs_out)
{
    const hrt_appetite *lane = &scheduler->lanes[wish->lane];
    uint32_t left[HRT_QUEUES_MAX];
    uint32_t shares[HRT_QUEUES_MAX] = {0};
    uint64_t queues = 0;
    for (uint64_t bits = found->queues; bits != 0; bits &= bits - 1) {
        uint16_t number = (uint16_t)__builtin_ctzll(bits);
        left[number] = ready_for(scheduler, number, lane);
        queues |= (uint64_t)(left[number] > 0) << number;
    }
    split(scheduler, queues, left, shares, wish->take);
    uint32_t count = 0;
    for (; queues != 0; queues &= queues - 1) {
        uint16_t number = (uint16_t)__builtin_ctzll(queues);
        take_jobs(scheduler, number, lane, jobs_out + count, shares[number]);
        count += shares[number];
    }
    return count;
}

uint32_t hrt_scheduler_pick(hrt_scheduler *scheduler, uint32_t *lane_out, uint64_t *jobs_out,
                            uint32_t max)
{
    HRT_ASSERT(max > 0);
    if (hrt_state_ready_queues(scheduler->state) == 0) {
        scheduler->emptying = HRT_NIL;
        return 0;
    }
    supply found = survey(scheduler);
    uint32_t suspects = pick_suspect(scheduler, &found, lane_out, jobs_out);
    if (suspects > 0 || found.plain_count == 0) {
        return suspects;
    }
    demand wish = next_lane(scheduler, &found);
    if (wish.lane == HRT_NIL) {
        return 0;
    }
    wish.take = wish.take < max ? wish.take : max;
    *lane_out = wish.lane;
    return pick_plain(scheduler, &found, &wish, jobs_out);
}
