/*
 * A client that writes garbage into its lane, in random and in chosen places, while another worker
 * and another producer go on. The lane is shut with a FAULT; everybody else's jobs all complete.
 */
#include "atomic.h"
#include "host.h"
#include "lane.h"
#include "park.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROUNDS = 2000, STEPS = 6, JOBS_PER_STEP = 2, SUBMIT = HRT_LANE_SUBMIT_MIN };

#define SECOND_NS ((int64_t)1000000000)
#define LEASE_NS (600 * (uint64_t)SECOND_NS)

static const char honest_payload[] = "honest";

typedef struct fixture {
    host host;
    hrt_client *worker;
    pthread_t worker_thread;
    uint16_t bait;      /* a kind that only the hostile client serves */
    uint64_t completed; /* honest jobs, by the honest worker */
    uint64_t seed;
    uint64_t faults;
} fixture;

/* xorshift64*: the same garbage in every run. */
static uint64_t next_random(fixture *f)
{
    f->seed ^= f->seed >> 12;
    f->seed ^= f->seed << 25;
    f->seed ^= f->seed >> 27;
    return f->seed * 0x2545f4914f6cdd1du;
}

static uint32_t below(fixture *f, uint32_t limit)
{
    return (uint32_t)(next_random(f) % limit);
}

static void scribble(fixture *f, void *place, size_t size)
{
    uint8_t *bytes = place;
    for (size_t i = 0; i < size; i++) {
        __atomic_store_n(&bytes[i], (uint8_t)next_random(f), __ATOMIC_RELAXED);
    }
}

/* ---- the runtime, and those who behave ---- */

static void *work(void *argument)
{
    fixture *f = argument;
    hrt_job jobs[64];
    uint32_t count = 0;
    int status;
    while ((status = hrt_fetch(f->worker, jobs, 64, SECOND_NS, &count)) == HRT_OK ||
           status == HRT_EAGAIN) {
        for (uint32_t i = 0; status == HRT_OK && i < count; i++) {
            hrt_settlement end = {
                .job = jobs[i].id, .token = jobs[i].token, .outcome = HRT_OUTCOME_OK};
            bool honest = jobs[i].payload_length == sizeof(honest_payload) &&
                          memcmp(jobs[i].payload, honest_payload, sizeof(honest_payload)) == 0;
            hrt_job_started(&jobs[i]);
            CHECK_EQ(hrt_settle(f->worker, &end, 1), HRT_OK);
            hrt_add_relaxed(&f->completed, honest);
        }
    }
    CHECK_EQ(status, HRT_EDRAIN);
    return NULL;
}

static hrt_runtime_options options_of(const fixture *f)
{
    hrt_runtime_options options = host_options(&f->host);
    options.lease_ns = LEASE_NS;
    options.segments_max = 64;
    return options;
}

static void begin(fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->seed = 20260101;
    host_make(&f->host);
    hrt_runtime_options options = options_of(f);
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retry_base_ms = 1,
                                   .retry_cap_ms = 5,
                                   .durability = HRT_DURABILITY_MEMORY,
                                   .max_attempts = 5,
                                   .max_crashes = 255};
    host_open(&f->host, &options, &settings);
    REQUIRE_OK(hrt_runtime_kind(f->host.runtime, "hostile.job", &f->bait));
    host_start(&f->host);
    f->worker = host_attach_worker(&f->host, 4, 0);
    REQUIRE(pthread_create(&f->worker_thread, NULL, work, f) == 0);
}

static void stop(fixture *f)
{
    CHECK_EQ(hrt_runtime_drain(f->host.runtime, 0), HRT_OK);
    (void)pthread_join(f->worker_thread, NULL);
    hrt_detach(f->worker);
    host_stop(&f->host);
    hrt_detach(f->host.local);
}

static void enqueue(fixture *f, uint16_t kind, const char *payload, size_t length, uint32_t count)
{
    hrt_spec specs[JOBS_PER_STEP];
    int64_t ids[JOBS_PER_STEP];
    for (uint32_t i = 0; i < count; i++) {
        specs[i] = (hrt_spec){.payload = payload,
                              .payload_length = (uint32_t)length,
                              .kind = kind,
                              .queue = f->host.queue};
    }
    REQUIRE_OK(hrt_enqueue_wait(f->host.local, specs, count, 30 * SECOND_NS, ids));
}

/* ---- the hostile client: a lane, and no library ---- */

typedef struct hostile {
    hrt_lane *lane;
    uint8_t *submit; /* places as they were before it spoiled the header */
    const hrt_delivery *deliveries;
    uint8_t *started;
    uint64_t incarnation;
    uint64_t tail; /* of what it has submitted */
} hostile;

static hostile open_hostile(fixture *f)
{
    int fds[HRT_FD_COUNT];
    hostile h = {0};
    REQUIRE(hrt_runtime_lane(f->host.runtime, SUBMIT, 0, "", "hostile", fds, &h.incarnation) ==
            HRT_OK);
    REQUIRE(hrt_lane_map(fds[HRT_FD_LANE], &h.lane) == HRT_OK);
    uint8_t *base = (uint8_t *)h.lane;
    h.submit = base + h.lane->submit_offset;
    h.deliveries = (const void *)(base + h.lane->deliver_offset);
    h.started = base + h.lane->started_offset;
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        (void)close(fds[i]);
    }
    return h;
}

static void publish(hostile *h)
{
    hrt_store_release(&h->lane->submit_tail, h->tail);
    (void)hrt_park_wake(&h->lane->submit_park, -1);
}

/* Writes an entry where the ring goes on; like one of the library only as far as it wants to be. */
static void submit(hostile *h, const void *entry, uint32_t length)
{
    uint32_t place = (uint32_t)(h->tail & (SUBMIT - 1));
    if (place + length > SUBMIT) {
        const hrt_submit pad = {.length = SUBMIT - place, .type = HRT_SUBMIT_PAD};
        memcpy(h->submit + place, &pad, sizeof(pad));
        h->tail += pad.length;
        place = 0;
    }
    memcpy(h->submit + place, entry, length);
    h->tail += length;
}

static void register_for_bait(hostile *h)
{
    static const char name[] = "\x0bhostile.job";
    struct {
        hrt_submit_register head;
        char names[16];
    } entry = {.head = {.head = {.length = sizeof(entry), .type = HRT_SUBMIT_REGISTER},
                        .kind_count = 1,
                        .concurrency = 4,
                        .names_length = sizeof(name) - 1}};
    memcpy(entry.names, name, sizeof(name) - 1);
    submit(h, &entry, sizeof(entry));
    publish(h);
}

/* ---- what it writes ---- */

static void garbage_entries(fixture *f, hostile *h)
{
    uint64_t entry[32];
    scribble(f, entry, sizeof(entry));
    submit(h, entry, sizeof(entry));
    publish(h);
}

/* A sound header of any type, cancel aside, which asks for other people's jobs by right. */
static void garbage_bodies(fixture *f, hostile *h)
{
    union {
        hrt_submit head;
        uint64_t words[64];
    } entry;
    scribble(f, &entry, sizeof(entry));
    uint32_t length = 8 * (1 + below(f, 64));
    uint16_t type = (uint16_t)below(f, 12);
    entry.head.length = length;
    entry.head.type = type == HRT_SUBMIT_CANCEL ? HRT_SUBMIT_WATCH : type;
    submit(h, &entry, length);
    publish(h);
}

static void lying_enqueue(fixture *f, hostile *h)
{
    struct {
        hrt_submit_enqueue head;
        uint8_t data[128];
    } entry = {.head = {.head = {.length = sizeof(entry), .type = HRT_SUBMIT_ENQUEUE},
                        .kind = (uint16_t)below(f, 3),
                        .queue = (uint16_t)below(f, 2),
                        .delay_ns = next_random(f) >> below(f, 64),
                        .flags = (uint8_t)next_random(f)}};
    scribble(f, entry.data, sizeof(entry.data));
    entry.head.key_length = (uint8_t)below(f, 140);
    entry.head.meta_length = (uint16_t)below(f, 140);
    entry.head.payload_length = below(f, 4) == 0 ? (uint32_t)next_random(f) : below(f, 140);
    submit(h, &entry, sizeof(entry));
    publish(h);
}

/* Settles what it was leased, or what it was not, with follow-up jobs that are there or not. */
static void lying_settle(fixture *f, hostile *h)
{
    const hrt_delivery *lease = &h->deliveries[below(f, 8)];
    struct {
        hrt_submit_settle head;
        uint8_t data[64];
    } entry = {.head = {.head = {.length = sizeof(entry), .type = HRT_SUBMIT_SETTLE},
                        .job = below(f, 4) == 0 ? next_random(f) : lease->job,
                        .token = below(f, 4) == 0 ? next_random(f) : lease->token,
                        .delay_ns = next_random(f),
                        .data_length = below(f, 80),
                        .follow_count = (uint16_t)below(f, 3),
                        .outcome = (uint8_t)below(f, 9)}};
    submit(h, &entry, sizeof(entry));
    if (below(f, 2) == 0) {
        lying_enqueue(f, h);
    }
    publish(h);
}

/* Saves for what it was leased, or not, more bytes than there are, or than there may be. */
static void lying_save(fixture *f, hostile *h)
{
    const hrt_delivery *lease = &h->deliveries[below(f, 8)];
    struct {
        hrt_submit_save head;
        uint8_t data[64];
    } entry = {.head = {.head = {.length = sizeof(entry), .type = HRT_SUBMIT_SAVE},
                        .job = below(f, 4) == 0 ? next_random(f) : lease->job,
                        .token = below(f, 4) == 0 ? next_random(f) : lease->token,
                        .length = below(f, 8) == 0 ? (uint32_t)next_random(f) : below(f, 66)}};
    scribble(f, entry.data, sizeof(entry.data));
    submit(h, &entry, sizeof(entry));
    publish(h);
}

static void wrong_indices(fixture *f, hostile *h)
{
    static const uint64_t steps[] = {1, 7, 8, SUBMIT - 8, SUBMIT, SUBMIT + 8, (uint64_t)-8};
    uint64_t choice = below(f, 8);
    uint64_t tail = choice < 7 ? h->tail + steps[choice] : next_random(f);
    hrt_store_release(&h->lane->submit_tail, tail);
    hrt_store_release(&h->lane->deliver_head, next_random(f) >> below(f, 64));
    (void)hrt_park_wake(&h->lane->submit_park, -1);
}

static void wrong_words(fixture *f, hostile *h)
{
    scribble(f, h->started, 4096);
    hrt_store_release_u32(&h->lane->submit_park, (uint32_t)next_random(f));
    hrt_store_release_u32(&h->lane->deliver_park, (uint32_t)next_random(f));
    hrt_store_release(&h->lane->heartbeat_ns, next_random(f) >> below(f, 64));
    uint32_t alive = (uint32_t)next_random(f);
    hrt_store_release_u32(&h->lane->alive, below(f, 4) == 0 ? alive : alive & 0x3fffffff);
    hrt_park_wake_raw(&h->lane->alive);
}

/* The constants are the runtime's own; it must not believe what has become of them. */
static void wrong_constants(fixture *f, hostile *h)
{
    scribble(f, h->lane, offsetof(hrt_lane, submit_tail));
    garbage_bodies(f, h);
}

static void everything(fixture *f, hostile *h)
{
    size_t size = hrt_lane_size(SUBMIT);
    scribble(f, (uint8_t *)h->lane + below(f, (uint32_t)size - 8192), 8192);
    (void)hrt_park_wake_raw(&h->lane->submit_park);
}

typedef void (*mutation)(fixture *, hostile *);
static const mutation mutations[] = {garbage_entries, garbage_bodies, lying_enqueue, lying_settle,
                                     lying_settle,    lying_save,     wrong_indices, wrong_words,
                                     wrong_constants, everything};

/* ---- tests ---- */

static void count_faults(fixture *f)
{
    hrt_event events[64];
    uint32_t count = 0;
    do {
        REQUIRE(hrt_runtime_events(f->host.runtime, events, 64, &count) == HRT_OK);
        for (uint32_t i = 0; i < count; i++) {
            f->faults += events[i].type == HRT_EVENT_FAULT;
            CHECK(events[i].type != HRT_EVENT_FAILED);
        }
    } while (count > 0);
}

static void one_round(fixture *f)
{
    hostile h = open_hostile(f);
    register_for_bait(&h);
    enqueue(f, f->bait, "bait", 4, 1);
    for (uint32_t step = 0; step < STEPS; step++) {
        mutations[below(f, sizeof(mutations) / sizeof(mutations[0]))](f, &h);
        enqueue(f, f->host.kind, honest_payload, sizeof(honest_payload), JOBS_PER_STEP);
    }
    count_faults(f);
    CHECK_EQ(hrt_runtime_lane_gone(f->host.runtime, h.incarnation, 1), HRT_OK);
    hrt_lane_unmap(h.lane, hrt_lane_size(SUBMIT));
}

static void await_completed(const fixture *f, uint64_t wanted)
{
    AWAIT(hrt_load_relaxed(&f->completed) >= wanted);
    CHECK_EQ(hrt_load_relaxed(&f->completed), wanted);
}

static void garbage_in_a_lane_harms_nobody_else(void)
{
    fixture f;
    begin(&f);
    for (int i = 0; i < ROUNDS; i++) {
        one_round(&f);
    }
    await_completed(&f, (uint64_t)ROUNDS * STEPS * JOBS_PER_STEP);
    printf("# json {\"what\": \"a client that scribbles over its own lane\", \"faults\": "
           "{\"garbage written\": %d}, \"counts\": {\"lanes shut\": %" PRIu64
           ", \"honest jobs beside it\": %" PRIu64 "}, \"violations\": %d}\n",
           ROUNDS * STEPS, f.faults, hrt_load_relaxed(&f.completed), tap_failures);
    CHECK(f.faults > ROUNDS / 4);
    CHECK_EQ(hrt_load_relaxed(&hrt_runtime_page(f.host.runtime)->runtime.lane_faults), f.faults);
    stop(&f);
    uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    hrt_runtime_close(f.host.runtime);
    hrt_runtime_options options = options_of(&f);
    REQUIRE_OK(hrt_runtime_open(&options, &f.host.runtime));
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    hrt_runtime_close(f.host.runtime);
    scratch_remove();
}

typedef struct flipper {
    fixture own; /* its random numbers */
    hostile h;
    uint32_t stop;
} flipper;

static void *flip(void *argument)
{
    flipper *bad = argument;
    while (hrt_load_acquire_u32(&bad->stop) == 0) {
        uint32_t at = 8 * below(&bad->own, SUBMIT / 8);
        scribble(&bad->own, bad->h.submit + at, 8);
    }
    return NULL;
}

/* What was checked may change before it is used; the runtime must have copied it. */
static void entries_that_change_while_they_are_read_harm_nobody_else(void)
{
    fixture f;
    begin(&f);
    for (int i = 0; i < ROUNDS / 10; i++) {
        flipper bad = {.own = {.seed = 1 + (uint64_t)i}, .h = open_hostile(&f)};
        pthread_t thread;
        REQUIRE(pthread_create(&thread, NULL, flip, &bad) == 0);
        for (uint32_t step = 0; step < STEPS * 4; step++) {
            lying_enqueue(&f, &bad.h);
            enqueue(&f, f.host.kind, honest_payload, sizeof(honest_payload), JOBS_PER_STEP);
        }
        hrt_store_release_u32(&bad.stop, 1);
        (void)pthread_join(thread, NULL);
        count_faults(&f);
        CHECK_EQ(hrt_runtime_lane_gone(f.host.runtime, bad.h.incarnation, 1), HRT_OK);
        hrt_lane_unmap(bad.h.lane, hrt_lane_size(SUBMIT));
    }
    await_completed(&f, (uint64_t)(ROUNDS / 10) * STEPS * 4 * JOBS_PER_STEP);
    stop(&f);
    hrt_runtime_close(f.host.runtime);
    scratch_remove();
}

/* Else a hung worker would keep its jobs for ever, and the dispatch thread would never sleep. */
static void a_heartbeat_in_the_future_is_a_fault(void)
{
    fixture f;
    begin(&f);
    hostile h = open_hostile(&f);
    hrt_store_release(&h.lane->heartbeat_ns, UINT64_MAX);
    hrt_store_release_u32(&h.lane->alive, 1);
    hrt_park_wake_raw(&h.lane->alive);
    enqueue(&f, f.host.kind, honest_payload, sizeof(honest_payload), 1);
    await_completed(&f, 1);
    CHECK_EQ((int)hrt_load_acquire_u32(&h.lane->closed), HRT_EPEER);
    CHECK_EQ(hrt_runtime_lane_gone(f.host.runtime, h.incarnation, 1), HRT_OK);
    hrt_lane_unmap(h.lane, hrt_lane_size(SUBMIT));
    stop(&f);
    hrt_runtime_close(f.host.runtime);
    scratch_remove();
}

int main(void)
{
    TAP_LIST(TEST(a_heartbeat_in_the_future_is_a_fault), TEST(garbage_in_a_lane_harms_nobody_else),
             TEST(entries_that_change_while_they_are_read_harm_nobody_else));
}
