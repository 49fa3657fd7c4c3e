/*
 * In place of src/offshoot.c: the copy that writes a snapshot is a process of its own here too. Its
 * memory is not a copy of the standby's pages but what comes out of a dump that was loaded again,
 * which has to be the same state.
 */
#include "actors.h"
#include "calls.h"

#include "../src/dispatch.h"
#include "../src/dump.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

typedef struct offshoot {
    sim_process *process; /* NULL: dead or done */
    bool used;
    bool done;
    int (*body)(const void *argument);
    hrt_snapshot_order order;
    uint64_t state_hash;
    uint8_t *dump;
    size_t used_bytes;
    size_t room;
} offshoot;

static offshoot offshoots[SIM_PROCESSES_MAX];

static int take(void *context, const void *bytes, size_t length)
{
    offshoot *one = context;
    while (one->used_bytes + length > one->room) {
        one->room = one->room == 0 ? 65536 : one->room * 2;
        one->dump = realloc(one->dump, one->room);
        if (one->dump == NULL) {
            abort();
        }
    }
    memcpy(one->dump + one->used_bytes, bytes, length);
    one->used_bytes += length;
    return HRT_OK;
}

static void died(sim_process *process)
{
    offshoot *one = process->context;
    one->process = NULL;
    free(one->dump);
    one->dump = NULL;
    one->room = 0;
}

static void *live(void *argument)
{
    offshoot *one = argument;
    hrt_state *state = hrt_state_new(NULL, one->order.segment_size);
    if (state == NULL || hrt_state_load(state, one->dump, one->used_bytes) != HRT_OK) {
        sim_violation("a dump of the standby's state cannot be loaded");
    } else {
        SIM_CHECK(hrt_state_hash(state) == one->state_hash,
                  "a dump of the standby's state loads as another one");
        one->order.state = state;
        one->done = one->body(&one->order) == HRT_OK;
        sim_say("snapshot at %llu: %s", (unsigned long long)one->order.start.position,
                one->done ? "ok" : "failed");
        scene.outcome->snapshots += one->done;
    }
    sim_process_kill(sim_self());
    return NULL;
}

int hrt_offshoot_start(int (*body)(const void *argument), const void *argument, int kept,
                       int *pid_out)
{
    int number = 0;
    while (number < SIM_PROCESSES_MAX && offshoots[number].used) {
        number++;
    }
    if (number == SIM_PROCESSES_MAX) {
        return HRT_ENOMEM;
    }
    offshoot *one = &offshoots[number];
    *one = (offshoot){.used = true, .body = body};
    memcpy(&one->order, argument, sizeof(one->order));
    one->state_hash = hrt_state_hash(one->order.state);
    (void)hrt_state_dump(one->order.state, take, one);
    one->order.directory = sim_fcntl(kept, F_DUPFD_CLOEXEC, 3);
    one->process = sim_process_new("snapshot");
    one->process->on_death = died;
    one->process->context = one;
    sim_files_give(one->order.directory, one->process);
    (void)sim_spawn(one->process, live, one, NULL);
    *pid_out = number + 1;
    return HRT_OK;
}

bool hrt_offshoot_ended(int pid, bool *done_out)
{
    offshoot *one = &offshoots[pid - 1];
    bool ended = one->process == NULL;
    *done_out = ended && one->done;
    one->used = one->used && !ended;
    return ended;
}

void hrt_offshoot_kill(int pid)
{
    if (offshoots[pid - 1].process != NULL) {
        sim_process_kill(offshoots[pid - 1].process);
    }
}

void hrt_offshoot_collect(int pid)
{
    if (pid != 0) {
        offshoots[pid - 1].used = false;
    }
}

/* They end with the process that made them. */
void end_offshoots(void)
{
    for (int number = 0; number < SIM_PROCESSES_MAX; number++) {
        if (offshoots[number].process != NULL) {
            sim_process_kill(offshoots[number].process);
        }
        offshoots[number].used = false;
    }
}
