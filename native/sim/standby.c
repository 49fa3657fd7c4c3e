/* The standby: it follows the log, holds the lanes, and goes on when the supervisor ends or hangs.
 */
#include "actors.h"
#include "calls.h"
#include "oracle.h"

enum {
    FENCES_ONE_IN = 3,
    DIES_IN_TAKEOVER_ONE_IN = 8,
    HANGS_ONE_IN = 300,
};

static void standby_died(sim_process *process)
{
    sim_say("standby %u is gone", process->number);
    end_offshoots();
    if (scene.taking_over) {
        sim_sight(SIGHT_DEATH_IN_TAKEOVER);
        scene.start_at = sim_now() + sim_below(CHANCE_WORK, 50 * SIM_MS);
    }
    scene.taking_over = false;
    scene.standby = NULL;
    scene.following = false;
    scene.grant_count = 0;
    scene.ended_count = 0;
}

/* ---- the supervisor's side ---- */

void grant_lane(uint64_t incarnation)
{
    scene_grant made;
    const sim_process *to = scene.standby;
    if (to == NULL ||
        hrt_runtime_grant(scene.runtime, incarnation, &made.grant, made.fds) != HRT_OK) {
        return;
    }
    /* It may have died meanwhile, or another one may have come. */
    bool sent = scene.standby == to && scene.grant_count < SCENE_CLIENTS_MAX;
    for (int i = 0; i < HRT_GRANT_FD_COUNT; i++) {
        if (sent) {
            sim_files_give(made.fds[i], scene.standby);
        } else {
            (void)sim_close(made.fds[i]);
        }
    }
    if (sent) {
        scene.grants[scene.grant_count++] = made;
    }
}

void forget_lane(uint64_t incarnation)
{
    if (scene.standby != NULL && scene.ended_count < SCENE_ENDED_MAX) {
        scene.ended[scene.ended_count++] = incarnation;
    }
}

/* ---- the standby's side ---- */

typedef struct follower {
    hrt_standby *standby;
    bool ends;
} follower;

/* What came too late to be adopted. */
static void drop_grants(void)
{
    while (scene.grant_count > 0) {
        const scene_grant *late = &scene.grants[--scene.grant_count];
        for (int i = 0; i < HRT_GRANT_FD_COUNT; i++) {
            (void)sim_close(late->fds[i]);
        }
    }
}

/* Takes lanes over as they are granted; a supervisor that stands still is fenced. */
static void *attend(void *argument)
{
    follower *self = argument;
    while (!self->ends) {
        while (scene.grant_count > 0) {
            scene_grant taken = scene.grants[--scene.grant_count];
            (void)!hrt_standby_grant(self->standby, &taken.grant, taken.fds);
        }
        while (scene.ended_count > 0) {
            hrt_standby_forget(self->standby, scene.ended[--scene.ended_count]);
        }
        sim_sleep(sim_below(CHANCE_WORK, 10 * SIM_MS));
        if (sim_strikes(FAULT_STANDBY_HANGS, HANGS_ONE_IN)) {
            sim_self()->frozen_until =
                sim_now() + sim_below(CHANCE_FAULT + FAULT_STANDBY_HANGS, 3 * SIM_SECOND);
        }
        sim_process *first = scene.supervisor;
        if (first != NULL && first->frozen_until > sim_now() + scene.lease_ns / 4 &&
            sim_one_in(CHANCE_WORK, FENCES_ONE_IN)) {
            sim_say("the supervisor stands still");
            sim_process_kill(first);
        }
    }
    return NULL;
}

/* The clients of the one before belong to the new one: the lanes live on. */
static void go_on(hrt_runtime *runtime)
{
    sim_process *self = sim_self();
    sim_say("takes over");
    scene.taking_over = false;
    self->name = "supervisor";
    self->on_death = supervisor_died;
    drop_grants();
    scene.standby = NULL;
    scene.following = false;
    scene.supervisor = self;
    scene.outcome->takeovers++;
    while (scene.ended_count > 0) { /* the one before has reaped them, and told us too late */
        (void)!hrt_runtime_lane_gone(runtime, scene.ended[--scene.ended_count], 1);
    }
    serve(runtime);
}

static void see_overrun(hrt_standby *standby)
{
    hrt_standby_info info;
    hrt_standby_status(standby, &info);
    if (info.restarts > 0) {
        sim_sight(SIGHT_OVERRUN);
    }
}

static void doom_by(enum sim_fault fault, uint64_t one_in, uint64_t operations)
{
    sim_process *self = sim_self();
    if (sim_strikes(fault, one_in)) {
        self->die_at = self->operations + 1 + sim_below(CHANCE_FAULT + fault, operations);
        self->die_in_write = sim_one_in(CHANCE_FAULT + fault, 4);
    }
}

/* By pidfd: it is dead before the lock is asked for. */
static void fence(void)
{
    if (scene.supervisor != NULL) {
        sim_process_kill(scene.supervisor);
    }
    oracle_restarts(false);
}

static void *stand_by(void *unused)
{
    follower self = {0};
    uint32_t attendant = 0;
    hrt_runtime *runtime = NULL;
    hrt_runtime_options options = supervisor_options();
    (void)unused;
    int status = hrt_standby_open(&options, scene.page_fd, &self.standby);
    (void)sim_close(scene.page_fd);
    if (status != HRT_OK) {
        sim_process_kill(sim_self());
    }
    scene.following = true;
    (void)sim_spawn(sim_self(), attend, &self, &attendant);
    status = hrt_standby_run(self.standby);
    char sentence[512];
    (void)hrt_last_error(sentence, sizeof(sentence));
    sim_say("follows no more: %s", sentence);
    SIM_CHECK(status != HRT_ECORRUPT || sim_disk_is_harmed() || oracle_rots(),
              "the standby says of a whole log: %s", sentence);
    if (status != HRT_ECLOSED) {
        sim_process_kill(sim_self());
    }
    see_overrun(self.standby);
    fence();
    self.ends = true;
    sim_join(attendant, NULL);
    scene.taking_over = true;
    doom_by(FAULT_STANDBY_DIES, DIES_IN_TAKEOVER_ONE_IN, 2000);
    status = hrt_standby_take_over(self.standby, (int64_t)SIM_SECOND, &runtime);
    if (status != HRT_OK) {
        sim_say("cannot take over: %s", hrt_strerror(status));
        sim_process_kill(sim_self());
    }
    go_on(runtime);
    return NULL;
}

void start_standby(void)
{
    int fd = -1;
    if (hrt_runtime_page_fd(scene.runtime, &fd) != HRT_OK) {
        return;
    }
    scene.page_fd = fd;
    scene.grant_count = 0;
    scene.ended_count = 0;
    scene.following = false;
    scene.standby = sim_process_new("standby");
    scene.standby->on_death = standby_died;
    sim_files_give(fd, scene.standby);
    (void)sim_spawn(scene.standby, stand_by, NULL, NULL);
    for (uint32_t i = 0; i < SCENE_CLIENTS_MAX; i++) {
        const scene_client *one = &scene.clients[i];
        if (one->process != NULL && one->life == scene.life) {
            grant_lane(one->incarnation);
        }
    }
}
