/* The host: it starts the supervisor again and again, cuts the power, and bends the clocks. */
#include "actors.h"
#include "oracle.h"

#include <string.h>
#include <time.h>

sim_scene scene;

enum {
    DIES_ONE_IN = 30,
    DIES_AT_START_ONE_IN = 3,
    HANGS_ONE_IN = 150,
    STANDBY_DIES_ONE_IN = 40,
    POWER_ONE_IN = 120,
    FULL_ONE_IN = 150,
    ROOM_ONE_IN = 15,
    JUMP_ONE_IN = 100,
    SUSPEND_ONE_IN = 200,
    HARM_ONE_IN = 4,
};

#define QUIET_AHEAD (20 * SIM_SECOND)
#define CALM_PAUSE (200 * SIM_MS)

/* ---- the supervisor's lives ---- */

void supervisor_died(sim_process *process)
{
    sim_say("supervisor %u is gone", process->number);
    scene.supervisor = NULL;
    scene.runtime = NULL;
    scene.start_at = sim_now() + sim_below(CHANCE_WORK, 50 * SIM_MS);
}

/* Between two lives the disk may do its worst, one harm at a time. */
static void harm_disk(void)
{
    static const enum sim_fault harms[] = {FAULT_BIT_ROT, FAULT_SECTOR_FORGOTTEN,
                                           FAULT_SECTOR_MISDIRECTED};
    for (uint32_t i = 0; i < 3 && !sim_disk_is_harmed(); i++) {
        if (sim_strikes(harms[i], HARM_ONE_IN) && !sim_disk_harm(harms[i])) {
            scene.outcome->faults[harms[i]]--;
        }
    }
    if (sim_strikes(FAULT_SNAPSHOT_ROT, HARM_ONE_IN) && !sim_disk_rot_snapshot()) {
        scene.outcome->faults[FAULT_SNAPSHOT_ROT]--;
    }
}

static void start_supervisor(void)
{
    if (scene.damaged) {
        sim_disk_heal(); /* from a backup */
        scene.damaged = false;
    }
    oracle_restarts(scene.power_was_cut);
    scene.power_was_cut = false;
    if (!sim_calm() && scene.outcome->restarts > 0) {
        oracle_before_harm();
        harm_disk();
        oracle_harmed();
    }
    scene.supervisor = sim_process_new("supervisor");
    scene.supervisor->on_death = supervisor_died;
    scene.outcome->restarts++;
    if (sim_strikes(FAULT_SUPERVISOR_DIES, DIES_AT_START_ONE_IN)) {
        scene.supervisor->die_at = 1 + sim_below(CHANCE_FAULT + FAULT_SUPERVISOR_DIES, 3000);
        scene.supervisor->die_in_write = sim_one_in(CHANCE_FAULT + FAULT_SUPERVISOR_DIES, 4);
    }
    (void)sim_spawn(scene.supervisor, supervise, NULL, NULL);
}

static void strike_supervisor(void)
{
    sim_process *target = scene.supervisor;
    if (target == NULL) {
        return;
    }
    if (target->die_at == 0 && sim_strikes(FAULT_SUPERVISOR_DIES, DIES_ONE_IN)) {
        uint32_t stream = CHANCE_FAULT + FAULT_SUPERVISOR_DIES;
        target->die_at =
            target->operations + 1 + sim_below(stream, sim_one_in(stream, 2) ? 300 : 8000);
        target->die_in_write = sim_one_in(stream, 4);
    }
    if (sim_strikes(FAULT_SUPERVISOR_HANGS, HANGS_ONE_IN)) {
        target->frozen_until =
            sim_now() + sim_below(CHANCE_FAULT + FAULT_SUPERVISOR_HANGS, 3 * scene.lease_ns);
    }
}

/* Alone it is missed when the supervisor dies; together there is nobody but a restart. */
static void strike_standby(void)
{
    sim_process *target = scene.standby;
    if (target == NULL || !sim_strikes(FAULT_STANDBY_DIES, STANDBY_DIES_ONE_IN)) {
        return;
    }
    uint32_t stream = CHANCE_FAULT + FAULT_STANDBY_DIES;
    if (sim_one_in(stream, 2)) {
        target->die_at = target->operations + 1 + sim_below(stream, 3000);
        return;
    }
    if (scene.supervisor != NULL) {
        sim_process_kill(scene.supervisor);
    }
    sim_process_kill(target);
}

/* ---- the host ---- */

void sim_scenario_cut_power(void)
{
    sim_say("the power is cut");
    scene.outcome->power_cuts++;
    sim_process_kill_others(scene.host);
    sim_disk_power_cut();
    sim_files_reboot();
    scene.power_was_cut = true;
    scene.start_at = sim_now() + sim_below(CHANCE_WORK, SIM_SECOND);
}

static void strike_host(void)
{
    uint32_t jumps = CHANCE_FAULT + FAULT_WALL_JUMPS;
    if (sim_strikes(FAULT_POWER_CUT, POWER_ONE_IN)) {
        sim_scenario_cut_power();
    }
    if (sim_disk_is_full() ? sim_one_in(CHANCE_WORK, ROOM_ONE_IN)
                           : sim_strikes(FAULT_DISK_FULL, FULL_ONE_IN)) {
        sim_disk_full(!sim_disk_is_full());
        sim_say("the disk is %s", sim_disk_is_full() ? "full" : "not full any more");
    }
    if (sim_strikes(FAULT_WALL_JUMPS, JUMP_ONE_IN)) {
        uint64_t by_ns = sim_below(jumps, sim_one_in(jumps, 2) ? SIM_SECOND : 3600 * SIM_SECOND);
        sim_wall_jump(sim_one_in(jumps, 2) ? (int64_t)by_ns : -(int64_t)by_ns);
    }
    if (sim_strikes(FAULT_HOST_SUSPENDS, SUSPEND_ONE_IN)) {
        sim_suspend(sim_below(CHANCE_FAULT + FAULT_HOST_SUSPENDS, 4 * scene.lease_ns));
    }
}

/* Each producer has got an answer since it got calm, and waits for none. */
static bool all_answered(void)
{
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        bool lives = one->process != NULL && one->producer && one->life == scene.life;
        if (lives && (one->open > 0 || !one->answered)) {
            return false;
        }
    }
    return true;
}

static void *host(void *unused)
{
    (void)unused;
    while (!scene.closed) {
        bool nobody = scene.supervisor == NULL && scene.standby == NULL;
        if (nobody && !scene.closed && sim_now() >= scene.start_at) {
            start_supervisor();
        }
        sim_sleep(SIM_MS + sim_below(CHANCE_WORK, 20 * SIM_MS));
        strike_supervisor();
        strike_standby();
        strike_host();
        if (sim_calm()) {
            scene.quiet = scene.runtime != NULL && scene.cleaned && all_answered() &&
                          oracle_unfinished(sim_clock(CLOCK_REALTIME) + QUIET_AHEAD) == 0;
            sim_sleep(CALM_PAUSE);
        }
    }
    return NULL;
}

void sim_scenario_begin(const sim_plan *plan, sim_outcome *outcome)
{
    memset(&scene, 0, sizeof(scene));
    scene.plan = *plan;
    scene.outcome = outcome;
    scene.lease_ns = SIM_SECOND;
    scene.host = sim_process_new("host");
    (void)sim_spawn(scene.host, host, NULL, NULL);
}

void sim_scenario_calm(void)
{
    sim_set_calm();
    sim_disk_full(false);
}

bool sim_scenario_is_quiet(void)
{
    return scene.quiet;
}

void sim_scenario_close(void)
{
    scene.closing = true;
}

bool sim_scenario_is_closed(uint64_t *state_hash_out)
{
    *state_hash_out = scene.hash;
    return scene.closed;
}
