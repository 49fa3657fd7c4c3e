/* The supervisor: opens the log, runs the dispatch loop, starts clients, acts on events. */
#include "actors.h"
#include "dispatch.h"
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_MAX = 16,
    LANE_BYTES = 65536,
    CHECKPOINT_MS = 20,
    CLIENT_DIES_ONE_IN = 3,
    OPERATES_ONE_IN = 4,
    COMPARES_ONE_IN = 8,
    HANDS_OVER_ONE_IN = 40,
};

/* ---- opening ---- */

hrt_runtime_options supervisor_options(void)
{
    return (hrt_runtime_options){
        .struct_size = sizeof(hrt_runtime_options),
        .abi_version = HRT_ABI_VERSION,
        .directory = "/log",
        .segment_size = SIM_SEGMENT,
        .segments_min = 3,
        .segments_max = scene.plan.segments_max,
        .segments_reserve = 2,
        .async_ns = 10 * SIM_MS,
        .lease_ns = scene.lease_ns,
        .cancel_grace_ns = 200 * SIM_MS,
        .jobs_max = 100000,
        .snapshot = 1,
        .snapshot_bytes = SIM_SEGMENT / 2,
        .checkpoint_ns = CHECKPOINT_MS * SIM_MS,
        .checkpoint_records = 200,
    };
}

static int open_runtime(hrt_runtime **runtime_out)
{
    hrt_runtime_options options = supervisor_options();
    char sentence[512];
    hrt_recovery found = {0};
    int status = hrt_runtime_open(&options, runtime_out);
    (void)hrt_last_error(sentence, sizeof(sentence));
    sim_say("open: %s", status == HRT_OK ? "ok" : sentence);
    if (status == HRT_OK) {
        hrt_runtime_recovery(*runtime_out, &found);
        scene.outcome->snapshots_used += found.snapshot == 1;
        scene.outcome->snapshots_refused += found.snapshot == 2;
    }
    oracle_judge_open(status, sentence, found.snapshot_position);
    scene.damaged = status == HRT_ECORRUPT || status == HRT_EVERSION;
    if (status == HRT_OK) {
        /* What lies before a snapshot is for the scrubber, and put back from a backup. */
        sim_disk_accept_harm(found.snapshot_position);
        sim_disk_heal();
    }
    return status;
}

static bool declare_queue(uint32_t index)
{
    static const uint8_t durability[SCENE_QUEUES] = {HRT_DURABILITY_SYNC, HRT_DURABILITY_SYNC,
                                                     HRT_DURABILITY_ASYNC, HRT_DURABILITY_MEMORY};
    hrt_queue_settings settings = {.weight = 1 + index + (uint32_t)(scene.life % 5),
                                   .max_jobs = index == 1 ? 40 : 0,
                                   .retain_max = 5,
                                   .retry_base_ms = 20,
                                   .retry_cap_ms = 400,
                                   .max_running = index == 2 ? 3 : 0,
                                   .durability = durability[index],
                                   .order = index == 1 ? HRT_ORDER_SKIP : HRT_ORDER_BLOCK,
                                   .max_attempts = index == 3 ? 2 : 5,
                                   .timeout_ms = index == 0 ? 1500 : 0,
                                   .result_ttl_ms = index == 3 ? 0 : 2000,
                                   .max_crashes = index == 0 ? 2 : 3};
    (void)snprintf(settings.name, sizeof(settings.name), "queue%u", index);
    int status = hrt_runtime_queue(scene.runtime, &settings, &scene.queues[index]);
    SIM_CHECK(status != HRT_ELOGFULL || scene.runtime->room.log.asides > 0,
              "a full log that nobody reads takes no new settings");
    if (status == HRT_OK) {
        oracle_queue(scene.queues[index], &settings);
    }
    return status == HRT_OK;
}

static bool declare(void)
{
    bool done = true;
    for (uint32_t i = 0; i < SCENE_QUEUES && done; i++) {
        done = declare_queue(i);
    }
    for (uint32_t i = 0; i < SCENE_KINDS && done; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "kind%u", i);
        done = hrt_runtime_kind(scene.runtime, name, &scene.kinds[i]) == HRT_OK;
    }
    return done;
}

/* ---- clients ---- */

static void client_died(sim_process *process)
{
    scene_client *client = process->context;
    sim_say("%s %u is gone", process->name, process->number);
    client->process = NULL;
    client->gone = true;
    client->dead_at = sim_now();
}

static void doom(sim_process *process, bool producer)
{
    enum sim_fault fault = producer ? FAULT_PRODUCER_DIES : FAULT_WORKER_CRASHES;
    if (sim_strikes(fault, CLIENT_DIES_ONE_IN)) {
        process->die_at = 1 + sim_below(CHANCE_FAULT + fault, 20000);
    }
}

static void start_client(scene_client *client, bool producer)
{
    int fds[HRT_FD_COUNT];
    const char *name = producer ? "producer" : "worker";
    uint64_t incarnation = 0;
    if (hrt_runtime_lane(scene.runtime, LANE_BYTES, 0, producer ? "" : "pool", name, fds,
                         &incarnation) != HRT_OK) {
        return;
    }
    sim_process *process = sim_process_new(name);
    *client = (scene_client){.process = process,
                             .producer = producer,
                             .incarnation = incarnation,
                             .life = scene.life,
                             .cuts = oracle_cuts(),
                             .starts = scene.outcome->restarts};
    process->on_death = client_died;
    process->context = client;
    (void)snprintf(process->attach, sizeof(process->attach), "fds:%d,%d,%d,%d", fds[0], fds[1],
                   fds[2], fds[3]);
    for (int i = 0; i < HRT_FD_COUNT; i++) {
        sim_files_give(fds[i], process);
    }
    doom(process, producer);
    (void)sim_spawn(process, producer ? produce : work, client, NULL);
    (void)!hrt_runtime_lane_pid(scene.runtime, incarnation, process->number);
    grant_lane(incarnation);
}

static uint32_t count_clients(bool producer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        count += one->process != NULL && one->producer == producer && one->life == scene.life;
    }
    return count;
}

static void start_clients(void)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        scene_client *one = &scene.clients[i];
        bool worker = count_clients(false) < scene.plan.workers;
        bool producer = count_clients(true) < scene.plan.producers;
        if (one->process == NULL && !one->gone && (worker || producer)) {
            start_client(one, !worker);
        }
    }
}

/* The process table tells of a death a moment later than the futex. */
static void reap(void)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        scene_client *one = &scene.clients[i];
        if (!one->gone || sim_one_in(CHANCE_WORK, 2)) {
            continue;
        }
        if (one->life == scene.life) {
            forget_lane(one->incarnation);
            (void)!hrt_runtime_lane_gone(scene.runtime, one->incarnation, 1);
        }
        one->gone = false;
    }
}

/*
 * Neither a suspend of the machine nor a supervisor that stood still itself makes others hung.
 * Whose lane was shut for what he wrote there is called so by the next runtime, which does not know
 * why.
 */
static void check_hung(uint64_t incarnation)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        if (one->process != NULL && one->incarnation == incarnation) {
            SIM_CHECK(one->process->stood_still || one->bad,
                      "%s is taken for hung and has never stood still", one->process->name);
        }
    }
}

static bool is_client(uint64_t incarnation)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        if ((one->process != NULL || one->gone) && one->incarnation == incarnation) {
            return true;
        }
    }
    return false;
}

/* Clients that died while nobody could be told: who takes over holds their pidfds. */
static void report_dead(void)
{
    for (uint32_t i = 0; i < scene.runtime->seat_count; i++) {
        const hrt_seat *seat = &scene.runtime->seats[i];
        if (seat->phase != HRT_LANE_FREE && !is_client(seat->incarnation)) {
            (void)!hrt_runtime_lane_gone(scene.runtime, seat->incarnation, 1);
        }
    }
}

static void kill_client(uint64_t incarnation)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        if (one->process != NULL && one->incarnation == incarnation) {
            sim_process_kill(one->process);
        }
    }
}

static void act_on_events(void)
{
    hrt_event events[EVENTS_MAX];
    uint32_t count = 0;
    (void)!hrt_runtime_events(scene.runtime, events, EVENTS_MAX, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t type = events[i].type;
        sim_sight(SIGHT_EVENT + type);
        sim_say("event %u of %llx: %s", type, (unsigned long long)events[i].incarnation,
                events[i].text);
        if (type == HRT_EVENT_HUNG) {
            check_hung(events[i].incarnation);
        }
        if (type == HRT_EVENT_FAULT || type == HRT_EVENT_HUNG || type == HRT_EVENT_KILL) {
            kill_client(events[i].incarnation);
        }
    }
}

/* Who began badly is replaced by somebody who behaves; the others have to come to their end. */
static void clean(void)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        if (one->process != NULL && !one->producer && (one->bad || one->life != scene.life)) {
            sim_process_kill(scene.clients[i].process);
        }
    }
    scene.cleaned = true;
}

/* The operator, too, may have begun something just before. False: the log has no room just now. */
static bool resume(void)
{
    bool done = true;
    for (uint32_t i = 0; i < SCENE_QUEUES; i++) {
        done = hrt_runtime_pause(scene.runtime, scene.queues[i], 0) == HRT_OK && done;
    }
    return done;
}

/* ---- the operator ---- */

static void compare_state(void)
{
    uint64_t before = oracle_records();
    uint64_t hash = hrt_runtime_state_hash(scene.runtime);
    /* The state of a runtime that has failed holds what it could not write. */
    if (oracle_records() == before && !hrt_runtime_has_failed(scene.runtime)) {
        oracle_compare_state(hash, before);
    }
}

/* Mostly one that there is. */
static uint64_t choose_job(void)
{
    static const uint8_t states[] = {HRT_JOB_DEAD, HRT_JOB_RUNNING, HRT_JOB_RETRYING,
                                     HRT_JOB_SCHEDULED};
    uint64_t any = 1 + sim_below(CHANCE_WORK, oracle_records());
    uint64_t job =
        sim_one_in(CHANCE_WORK, 3) ? 0 : oracle_any(states[sim_below(CHANCE_WORK, sizeof(states))]);
    return job == 0 ? any : job;
}

static void operate(void)
{
    hrt_runtime *runtime = scene.runtime;
    uint64_t job = choose_job();
    uint64_t queue = sim_below(CHANCE_WORK, SCENE_QUEUES);
    switch (sim_below(CHANCE_WORK, 9)) {
    case 0:
        (void)!hrt_runtime_pause(runtime, scene.queues[queue], (int)sim_below(CHANCE_WORK, 2));
        break;
    case 1:
    case 2:
        (void)!hrt_runtime_cancel(runtime, job);
        break;
    case 3:
    case 4:
        oracle_hurried(job);
        (void)!hrt_runtime_retry(runtime, job);
        break;
    case 5:
        (void)!hrt_runtime_discard(runtime, job);
        break;
    case 6:
        (void)!hrt_runtime_sync(runtime, (int64_t)(50 * SIM_MS));
        break;
    case 7: {
        const scene_client *one = &scene.clients[sim_below(CHANCE_WORK, SCENE_CLIENTS_MAX)];
        if (one->process != NULL && one->life == scene.life) {
            (void)!hrt_runtime_drain(runtime, one->incarnation);
        }
        break;
    }
    default:
        break;
    }
}

static void *operator_main(void *argument)
{
    const volatile bool *ends = argument;
    bool resumed = false;
    while (!scene.closing && !*ends) {
        sim_sleep(sim_below(CHANCE_WORK, 60 * SIM_MS));
        if (!sim_calm() && scene.plan.operator_acts && sim_one_in(CHANCE_WORK, OPERATES_ONE_IN)) {
            operate();
        }
        if (sim_calm() && !resumed) {
            resumed = resume();
        }
        if (sim_one_in(CHANCE_WORK, COMPARES_ONE_IN)) {
            compare_state();
        }
    }
    return NULL;
}

/* ---- the life ---- */

static void *dispatch(void *unused)
{
    (void)unused;
    int status = hrt_runtime_run(scene.runtime);
    if (status != HRT_OK) {
        sim_say("the runtime fails: %s", hrt_strerror(status));
        sim_process_kill(sim_self());
    }
    return NULL;
}

static void check_nothing_left(void)
{
    const sim_process *self = sim_self();
    SIM_CHECK(self->bytes == 0, "%llu bytes are left after a clean end",
              (unsigned long long)self->bytes);
    SIM_CHECK(sim_files_count(self) == 0, "%u descriptors are left after a clean end",
              sim_files_count(self));
    SIM_CHECK(sim_shared_count(self) == 0, "%u mappings are left after a clean end",
              sim_shared_count(self));
}

static void close_down(void)
{
    if (scene.standby != NULL) {
        sim_process_kill(scene.standby);
    }
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        if (scene.clients[i].process != NULL) {
            sim_process_kill(scene.clients[i].process);
        }
    }
    const hrt_runtime_counters *counters = &hrt_runtime_page(scene.runtime)->runtime;
    scene.outcome->refused += counters->refused;
    scene.hash = hrt_runtime_state_hash(scene.runtime);
    hrt_runtime_close(scene.runtime);
    check_nothing_left();
    scene.closed = true;
}

/* The polite handover: the standby goes on, nobody has died. */
static void hand_over(void)
{
    int status = hrt_runtime_release(scene.runtime);
    sim_say("released: %s", hrt_strerror(status));
    if (status == HRT_OK) {
        scene.outcome->handovers++;
        check_nothing_left();
    }
    sim_process_kill(sim_self());
}

static void look_after(void)
{
    if (sim_calm() && !scene.cleaned) {
        clean();
    }
    start_clients();
    if (scene.plan.standby && scene.standby == NULL) {
        start_standby();
    }
    hrt_runtime_standby(scene.runtime, scene.standby != NULL && scene.following);
    sim_sleep(sim_below(CHANCE_WORK, 30 * SIM_MS));
    act_on_events();
    reap();
}

void serve(hrt_runtime *runtime)
{
    scene.runtime = runtime;
    uint32_t dispatcher = 0;
    uint32_t operator_fiber = 0;
    bool hands_over = false;
    report_dead();
    (void)sim_spawn(sim_self(), dispatch, NULL, &dispatcher);
    if (!declare()) {
        sim_process_kill(sim_self());
    }
    compare_state();
    (void)sim_spawn(sim_self(), operator_main, &hands_over, &operator_fiber);
    while (!scene.closing && !hands_over) {
        look_after();
        hands_over = scene.standby != NULL && scene.following && !sim_calm() &&
                     sim_one_in(CHANCE_WORK, HANDS_OVER_ONE_IN);
    }
    sim_join(operator_fiber, NULL);
    hrt_runtime_stop(scene.runtime);
    sim_join(dispatcher, NULL);
    if (hands_over && !scene.closing) {
        hand_over();
    }
    close_down();
}

void *supervise(void *unused)
{
    hrt_runtime *runtime = NULL;
    (void)unused;
    if (open_runtime(&runtime) != HRT_OK) {
        sim_process_kill(sim_self());
    }
    scene.life++;
    scene.runtime = runtime;
    compare_state(); /* as it was recovered, from a snapshot or the whole log */
    serve(runtime);
    return NULL;
}
