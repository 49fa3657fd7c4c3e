/*
 * The simulator: the C core in one thread, on a virtual clock and a virtual disk, from one seed.
 *
 * The code of the library is compiled a second time with redirect.h before it: its system calls,
 * locks, threads and memory come from here. Threads are fibers that switch where the code enters a
 * redirected call; which one goes on is drawn from the seed. docs/simulator.md tells the whole.
 *
 *   kernel.c  fibers, processes, time      memory.c  memory by process, so that it can die
 *   thread.c  pthread and futex            disk.c    files, what is synced, power cuts
 *   files.c   descriptors and file calls   shared.c  memfd and mappings
 *   oracle.c  what has to be true          scenario.c supervisor, host and clients
 *   offshoot.c the copy of a standby that writes a snapshot
 *   plan.c    what a seed decides          main.c    seeds in parallel, shrinking, the summary
 */
#ifndef HRT_SIM_H
#define HRT_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MS ((uint64_t)1000000)
#define SIM_SECOND ((uint64_t)1000000000)
#define SIM_NEVER UINT64_MAX

/* ---- faults: what goes wrong, by name ---- */

#define SIM_FAULT_MAP(X)                                             \
    X(SUPERVISOR_DIES, "supervisor dies at any operation")           \
    X(SUPERVISOR_HANGS, "supervisor stands still")                   \
    X(STANDBY_DIES, "standby dies, alone or with its supervisor")    \
    X(POWER_CUT, "power is cut")                                     \
    X(WRITE_TORN, "write torn by the death of the writer")           \
    X(WRITES_LOST, "unsynced writes lost by a power cut")            \
    X(WRITES_REORDERED, "unsynced sectors reordered by a power cut") \
    X(SECTOR_FORGOTTEN, "synced sector that the disk forgot")        \
    X(SECTOR_MISDIRECTED, "synced sector that went elsewhere")       \
    X(BIT_ROT, "bits rot on the disk")                               \
    X(SNAPSHOT_ROT, "bits rot in a snapshot")                        \
    X(SYNC_FAILS, "fdatasync fails")                                 \
    X(SYNC_STALLS, "fdatasync stalls")                               \
    X(WRITE_FAILS, "write fails")                                    \
    X(DISK_FULL, "disk is full")                                     \
    X(CALL_FAILS, "failpoint reports an error")                      \
    X(WALL_JUMPS, "wall clock jumps")                                \
    X(HOST_SUSPENDS, "host is suspended")                            \
    X(SPURIOUS_WAKE, "wake-up that nobody sent")                     \
    X(WORKER_CRASHES, "worker crashes")                              \
    X(WORKER_HANGS, "worker stands still past its lease")            \
    X(WORKER_LATE, "worker answers late")                            \
    X(WORKER_TWICE, "worker answers twice")                          \
    X(WORKER_STALE, "worker answers with a stale token")             \
    X(WORKER_GARBAGE, "client writes garbage into its lane")         \
    X(WORKER_SILENT, "worker never answers a job")                   \
    X(PRODUCER_DIES, "producer dies at any operation")               \
    X(PRODUCER_HALF, "producer dies amid an entry")                  \
    X(STANDBY_HANGS, "standby stands still and falls behind")

enum sim_fault {
#define SIM_FAULT_ENUM(name, text) FAULT_##name,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        FAULT_COUNT,
};

/* ---- chance: one stream for each purpose, so that less of one leaves the others alone ---- */

enum sim_stream {
    CHANCE_SCHEDULE,
    CHANCE_WORK,
    CHANCE_DISK,
    CHANCE_ENTROPY,
    CHANCE_PLAN,
    CHANCE_FAULT,
    CHANCE_COUNT = CHANCE_FAULT + FAULT_COUNT,
};

uint64_t sim_random(uint32_t stream);
uint64_t sim_below(uint32_t stream, uint64_t limit);
bool sim_one_in(uint32_t stream, uint64_t chances);
/* Whether this fault strikes now: allowed by the plan, not calm, one in `chances`. Counts it. */
bool sim_strikes(enum sim_fault fault, uint64_t chances);
/* Counts a fault that was decided elsewhere. */
void sim_count_fault(enum sim_fault fault);

/* ---- what is seen on the way; sights.c names what has to be ---- */

enum sim_sight {
    SIGHT_RECORD = 0,   /* + enum hrt_record_type */
    SIGHT_OUTCOME = 16, /* + enum hrt_outcome, of a settle */
    SIGHT_CAUSE = 32,   /* + enum hrt_outcome, behind a DEAD */
    SIGHT_EVENT = 48,   /* + enum hrt_event_type */
    SIGHT_NOTICE = 64,  /* + enum hrt_delivery_type */
    SIGHT_ANSWER = 80,  /* - status, to a submission or a settle */
    SIGHT_GARBAGE = 112,
    SIGHT_SAVED_READ = 120,
    SIGHT_RESULT_READ,
    SIGHT_LATE_RESULT,
    SIGHT_SUSPECT,
    SIGHT_FOLLOW_UP,
    SIGHT_GAVE_WAY,
    SIGHT_OVERRUN,
    SIGHT_CUT_AT_HEAD,
    SIGHT_DEATH_IN_TAKEOVER,
    SIGHTS,
};

void sim_sight(uint32_t sight);
/* NULL: need not be seen. */
const char *sim_sight_name(uint32_t index);

/* ---- the plan: all that a seed decides beforehand; a smaller one is a shrunk seed ---- */

typedef struct sim_plan {
    uint64_t seed;
    uint64_t steps;       /* switches before it gets calm */
    uint32_t faults;      /* bit of each fault that may strike */
    uint32_t faults_most; /* strikes in all */
    uint32_t producers;
    uint32_t workers;
    uint32_t switch_every; /* operations between two switches, on average */
    uint32_t segments_max;
    uint32_t jobs_most; /* that producers submit */
    bool operator_acts;
    bool standby;    /* a second supervisor follows the first */
    bool holds;      /* workers sit on jobs for long, while the log goes round */
    uint8_t garbage; /* lies in memory that nobody has written */
} sim_plan;

sim_plan sim_plan_of(uint64_t seed);

/* ---- what came of it ---- */

typedef struct sim_outcome {
    uint64_t hash; /* of the trace: equal for equal runs */
    uint64_t steps;
    uint64_t operations;
    uint64_t virtual_ns;
    uint64_t faults[FAULT_COUNT];
    uint64_t sights[SIGHTS];
    uint64_t records, jobs, acknowledged, leases, settles, refused;
    uint64_t restarts, takeovers, handovers, power_cuts, damages_named, states_compared;
    uint64_t snapshots, snapshots_used, snapshots_refused;
    uint64_t memory_most; /* bytes of one process */
    uint32_t strikes;
    bool unprovable; /* ended early: the disk lied where nothing can prove it */
    bool violated;
    char text[512];
} sim_outcome;

void sim_run(const sim_plan *plan, const char *dump, sim_outcome *outcome_out);

/* ---- kernel ---- */

typedef struct sim_process sim_process;
typedef void *(*sim_entry)(void *);

enum { SIM_PROCESSES_MAX = 64, SIM_WAITS_MAX = 130 };

struct sim_process {
    bool alive;
    bool dying;
    bool exited; /* by itself */
    uint32_t number;
    const char *name;
    uint64_t frozen_until;
    bool stood_still; /* at least once */
    uint64_t operations;
    uint64_t die_at;   /* operation, 0: none */
    bool die_in_write; /* at the next write after die_at, with a part of it done */
    struct sim_block *blocks;
    uint64_t bytes;
    uint64_t bytes_most;
    char attach[64];                     /* its HYBRIDRT_ATTACH */
    void (*on_death)(sim_process *self); /* once it is gone */
    void *context;
};

void sim_kernel_begin(const sim_plan *plan, sim_outcome *outcome);
void sim_kernel_end(void);
/* One switch. False: nothing can ever run again. */
bool sim_kernel_step(void);

sim_process *sim_process_new(const char *name);
/* Kills it; does not return if it is the caller's own. */
void sim_process_kill(sim_process *process);
/* All but this one and the caller's own. */
void sim_process_kill_others(const sim_process *spared);
sim_process *sim_self(void); /* NULL: the harness */
uint32_t sim_fiber_number(void);

int sim_spawn(sim_process *process, sim_entry entry, void *argument, uint32_t *fiber_out);
void sim_join(uint32_t fiber, void **result_out);
void sim_set_robust(const void *head);

uint64_t sim_now(void); /* CLOCK_MONOTONIC */
uint64_t sim_clock(int clock);
void sim_wall_jump(int64_t by_ns);
void sim_suspend(uint64_t for_ns);
bool sim_calm(void);
void sim_set_calm(void);
bool sim_over(void); /* a violation was found */

/* An operation of the current process: it may die here, and others may go on. */
void sim_point(void);
void sim_yield(void);
void sim_sleep(uint64_t ns);
/* Sleeps until one of the addresses is woken; its index, or -1 when the time has come. */
int sim_wait(const void *const *addresses, uint32_t count, uint64_t until);
uint32_t sim_wake(const void *address, uint32_t most);

/* Adds to the hash of the trace. */
void sim_trace(uint64_t what, uint64_t a, uint64_t b);
/* With --loud. */
void sim_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An invariant does not hold: the run ends. */
void sim_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define SIM_CHECK(condition, ...)       \
    do {                                \
        if (!(condition)) {             \
            sim_violation(__VA_ARGS__); \
        }                               \
    } while (0)

/* ---- memory, files: what dies with a process ---- */

enum { SIM_MEMORY_MOST = 16 << 20 }; /* of one process, at any time */

void sim_memory_begin(uint8_t garbage);
void sim_memory_drop(sim_process *process);
void sim_files_begin(void);
void sim_files_drop(sim_process *process);
void sim_files_end(void);
/* Gives a descriptor to another process. */
void sim_files_give(int fd, sim_process *to);
/* Descriptors and mappings that a process has. */
uint32_t sim_files_count(const sim_process *process);
uint32_t sim_shared_count(const sim_process *process);
void sim_files_reboot(void);
void sim_shared_drop(sim_process *process);
void sim_shared_end(void);
/* Where a futex word really lies: it may be mapped twice. */
const void *sim_shared_place(const void *address);

/* ---- disk ---- */

enum { SIM_SEGMENT = 65536, SIM_SECTOR = 512, SIM_PAGE = 4096 };

void sim_disk_begin(void);
void sim_disk_end(void);
void sim_disk_power_cut(void);
/* Once after a moment at which a power cut hurts most was chosen for one. */
bool sim_disk_wants_cut(void);
void sim_disk_full(bool full);
bool sim_disk_is_full(void);
/* Harms what was synced, as a disk does; call while no process runs. False: nothing to harm. */
bool sim_disk_harm(enum sim_fault fault);
/* Undoes all harm, as a restore from a backup does. */
void sim_disk_heal(void);
/* It is as if it had always been so, from this position of the log on. */
void sim_disk_accept_harm(uint64_t position);
/* Flips bits of a snapshot. False: there is none. */
bool sim_disk_rot_snapshot(void);
bool sim_disk_is_harmed(void);
bool sim_disk_is_blurred(void); /* a failed sync left things in the page cache alone */

/* A segment file as it is now (cache) and as a power cut would leave it at least (disk). */
typedef struct sim_file {
    const uint8_t *cache;
    const uint8_t *disk;
    uint32_t size;
    uint32_t slot;
} sim_file;

uint32_t sim_disk_segments(sim_file *files_out, uint32_t max);
/* The file that has this segment number in its header, as in the cache. */
bool sim_disk_find(uint64_t number, sim_file *file_out);

/* ---- scenario ---- */

void sim_scenario_begin(const sim_plan *plan, sim_outcome *outcome);
/* The power is cut now, with no process at work. */
void sim_scenario_cut_power(void);
/* No fault strikes any more, everybody behaves; what was accepted has to come to its end. */
void sim_scenario_calm(void);
bool sim_scenario_is_quiet(void);
void sim_scenario_close(void);
bool sim_scenario_is_closed(uint64_t *state_hash_out);

/* ---- failpoints ---- */

uint32_t sim_failpoints(void);
const char *sim_failpoint_name(uint32_t index);
uint64_t sim_failpoint_hits(uint32_t index);

#endif
