/* What a seed decides beforehand, and one whole run. */
#include "oracle.h"

#include <string.h>

enum { CALM_SECONDS = 120, CLOSE_SECONDS = 60, HOLDS_ONE_IN = 10 };

static uint64_t mix(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t value = *state;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

/* Each seed has its own mix of faults: where all strike all the time, few get far. */
sim_plan sim_plan_of(uint64_t seed)
{
    uint64_t state = seed * 0x2545f4914f6cdd1du;
    uint64_t mode = mix(&state) % 8;
    uint32_t all = (1u << FAULT_COUNT) - 1;
    uint32_t some = (uint32_t)(mix(&state) & mix(&state));
    uint32_t many = (uint32_t)(mix(&state) | mix(&state));
    sim_plan plan = {
        .seed = seed,
        .steps = 200 + mix(&state) % 1500,
        .faults = mode == 0  ? 0
                  : mode < 4 ? some & all
                  : mode < 7 ? many & all
                             : all,
        .faults_most = UINT32_MAX,
        .garbage = 0xa5,
        .producers = 1 + (uint32_t)(mix(&state) % 2),
        .workers = 1 + (uint32_t)(mix(&state) % 3),
        .switch_every = 1u << (mix(&state) % 8),
        .segments_max = 16 + (uint32_t)(mix(&state) % 9),
        .jobs_most = 20 + (uint32_t)(mix(&state) % 280),
        .operator_acts = mix(&state) % 2 == 0,
        .standby = mix(&state) % 2 == 0,
    };
    if (mix(&state) % 8 == 0) { /* a small log, and more jobs than it holds */
        plan.segments_max = 5 + (uint32_t)(mix(&state) % 4);
        plan.jobs_most = 300 + (uint32_t)(mix(&state) % 500);
        plan.steps += 1000;
    }
    if (mix(&state) % 8 == 0) { /* nobody comes, so nobody wakes the runtime by chance */
        plan.producers = 0;
        plan.workers = 0;
    }
    if (mix(&state) % HOLDS_ONE_IN == 0) {
        plan.holds = true;
        plan.segments_max = 24 + (uint32_t)(mix(&state) % 8);
        plan.jobs_most = 300 + (uint32_t)(mix(&state) % 700);
        plan.steps += 1000 + mix(&state) % 4000;
    }
    return plan;
}

static bool run_until(bool (*reached)(void), uint64_t seconds)
{
    uint64_t end = sim_now() + seconds * SIM_SECOND;
    while (!sim_over() && !reached() && sim_now() < end && sim_kernel_step()) {
        oracle_work();
    }
    return reached();
}

static bool is_closed(void)
{
    uint64_t hash = 0;
    return sim_scenario_is_closed(&hash);
}

static void run_to_the_end(const char *dump)
{
    uint64_t hash = 0;
    sim_scenario_calm();
    if (!run_until(sim_scenario_is_quiet, CALM_SECONDS) && !sim_over()) {
        sim_violation("%u jobs did not come to an end in %d quiet seconds",
                      oracle_unfinished(sim_clock(0) + SIM_SECOND), CALM_SECONDS);
        return;
    }
    if (sim_over()) {
        return;
    }
    sim_scenario_close();
    if (!run_until(is_closed, CLOSE_SECONDS) && !sim_over()) {
        sim_violation("the runtime did not close in %d seconds", CLOSE_SECONDS);
        return;
    }
    if (sim_over()) {
        return;
    }
    (void)sim_scenario_is_closed(&hash);
    oracle_read_again("/log", hash);
    if (dump != NULL && !oracle_dump(dump, hash)) {
        sim_violation("cannot write %s", dump);
    }
}

void sim_run(const sim_plan *plan, const char *dump, sim_outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    sim_kernel_begin(plan, outcome);
    sim_memory_begin(plan->garbage);
    sim_disk_begin();
    sim_files_begin();
    oracle_begin(outcome);
    sim_scenario_begin(plan, outcome);
    while (!sim_over() && outcome->steps < plan->steps && sim_kernel_step()) {
        oracle_work();
        if (sim_disk_wants_cut()) {
            sim_scenario_cut_power();
        }
    }
    if (!sim_over()) {
        run_to_the_end(dump);
    }
    sim_kernel_end();
    sim_files_end();
    sim_shared_end();
    sim_disk_end();
    oracle_end();
}
