/*
 * hrt-sim: runs seeds in parallel, tells what was found, and makes a failing seed small.
 *
 *   hrt-sim --seeds 10000 -j 2 --json FILE      many seeds; each failpoint has to be hit
 *   hrt-sim --seed 4711 --loud                  one seed, with what happens
 *   hrt-sim --seed 4711 --shrink                fewer faults, actors and steps that fail as well
 */
#include "sim.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OTHER_GARBAGE = 0x5b };
enum {
    WORKERS_MAX = 64,
    FAILURES_MAX = 32,
    FAILPOINTS_MAX = 64,
    TWICE_EVERY = 64,
    SEEDS_FOR_ALL = 2000
};

typedef struct failure {
    uint64_t seed;
    char text[512];
} failure;

/* In memory that parent and workers share. */
typedef struct common {
    uint64_t next; /* seed to take */
    uint64_t end;
    uint64_t seeds, twice;
    uint64_t current[WORKERS_MAX]; /* the seed that each works on */
    uint64_t traces;               /* of all runs, in any order */
    uint64_t steps, operations, virtual_ns;
    uint64_t faults[FAULT_COUNT];
    uint64_t sights[SIGHTS];
    uint64_t records, jobs, acknowledged, leases, settles, refused;
    uint64_t restarts, takeovers, handovers, power_cuts, damages_named, states_compared, unprovable,
        memory_most;
    uint64_t snapshots, snapshots_used, snapshots_refused;
    uint64_t hits[FAILPOINTS_MAX];
    uint32_t failure_count;
    failure failures[FAILURES_MAX];
    sim_outcome single;
} common;

typedef struct options {
    uint64_t seed;
    bool one;
    bool shrink;
    bool loud;
    bool twice;
    uint64_t first;
    uint64_t seeds;
    uint32_t workers;
    const char *json;
    const char *dump;
    /* what is not as the seed says */
    uint64_t steps;
    uint32_t faults;
    bool has_faults;
    uint32_t faults_most;
    uint32_t producers;
    uint32_t handlers;
    bool quiet_operator;
    bool no_standby;
} options;

static const char *const fault_names[FAULT_COUNT] = {
#define FAULT_NAME(name, text) #name,
    SIM_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
};

static const char *const fault_texts[FAULT_COUNT] = {
#define FAULT_TEXT(name, text) text,
    SIM_FAULT_MAP(FAULT_TEXT)
#undef FAULT_TEXT
};

static common *shared;

static void add(uint64_t *to, uint64_t amount)
{
    (void)__atomic_fetch_add(to, amount, __ATOMIC_RELAXED);
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of all workers that have ended: other programs do not count. */
static double processor_s(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* ---- many seeds ---- */

static void add_failure(uint64_t seed, const char *text)
{
    uint32_t place = __atomic_fetch_add(&shared->failure_count, 1, __ATOMIC_RELAXED);
    if (place < FAILURES_MAX) {
        shared->failures[place].seed = seed;
        (void)snprintf(shared->failures[place].text, sizeof(shared->failures[place].text), "%s",
                       text);
    }
}

static void add_outcome(const sim_outcome *outcome)
{
    add(&shared->seeds, 1);
    add(&shared->traces, outcome->hash);
    add(&shared->steps, outcome->steps);
    add(&shared->operations, outcome->operations);
    add(&shared->virtual_ns, outcome->virtual_ns);
    add(&shared->records, outcome->records);
    add(&shared->jobs, outcome->jobs);
    add(&shared->acknowledged, outcome->acknowledged);
    add(&shared->leases, outcome->leases);
    add(&shared->settles, outcome->settles);
    add(&shared->refused, outcome->refused);
    add(&shared->restarts, outcome->restarts);
    add(&shared->takeovers, outcome->takeovers);
    add(&shared->handovers, outcome->handovers);
    add(&shared->power_cuts, outcome->power_cuts);
    add(&shared->damages_named, outcome->damages_named);
    add(&shared->states_compared, outcome->states_compared);
    add(&shared->snapshots, outcome->snapshots);
    add(&shared->snapshots_used, outcome->snapshots_used);
    add(&shared->snapshots_refused, outcome->snapshots_refused);
    add(&shared->unprovable, outcome->unprovable);
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        add(&shared->faults[i], outcome->faults[i]);
    }
    for (uint32_t i = 0; i < SIGHTS; i++) {
        add(&shared->sights[i], outcome->sights[i]);
    }
    if (outcome->memory_most > shared->memory_most) {
        shared->memory_most = outcome->memory_most;
    }
}

/* The hits of this process since it was asked last. */
static void count_hits(void)
{
    static uint64_t before[FAILPOINTS_MAX];
    for (uint32_t i = 0; i < sim_failpoints() && i < FAILPOINTS_MAX; i++) {
        add(&shared->hits[i], sim_failpoint_hits(i) - before[i]);
        before[i] = sim_failpoint_hits(i);
    }
}

/* The second run finds what the first one has left, and other garbage in its memory. */
static void work_on_seed(uint64_t seed, bool twice)
{
    sim_plan plan = sim_plan_of(seed);
    sim_outcome outcome;
    sim_outcome again;
    sim_run(&plan, NULL, &outcome);
    add_outcome(&outcome);
    if (outcome.violated) {
        add_failure(seed, outcome.text);
    } else if (twice) {
        add(&shared->twice, 1);
        plan.garbage = OTHER_GARBAGE;
        sim_run(&plan, NULL, &again);
        if (again.hash != outcome.hash || again.steps != outcome.steps) {
            add_failure(seed, "two runs of this seed are not the same");
        }
    }
    count_hits();
}

static void worker(uint32_t number, bool twice)
{
    for (;;) {
        uint64_t seed = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED);
        if (seed >= shared->end || shared->failure_count >= FAILURES_MAX) {
            exit(0);
        }
        shared->current[number] = seed;
        work_on_seed(seed, twice || seed % TWICE_EVERY == 0);
    }
}

static pid_t start_worker(uint32_t number, bool twice)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        worker(number, twice);
    }
    return pid;
}

/* A worker that dies has met a bug in the code under test: its seed fails, another one goes on. */
static void run_seeds(const options *chosen)
{
    pid_t pids[WORKERS_MAX];
    uint32_t living = chosen->workers;
    shared->next = chosen->first;
    shared->end = chosen->first + chosen->seeds;
    for (uint32_t i = 0; i < living; i++) {
        pids[i] = start_worker(i, chosen->twice);
    }
    while (living > 0) {
        int status = 0;
        pid_t ended = wait(&status);
        uint32_t number = 0;
        while (number < chosen->workers && pids[number] != ended) {
            number++;
        }
        if (number == chosen->workers || status == 0) {
            living--;
            continue;
        }
        char text[64];
        (void)snprintf(text, sizeof(text), "the process dies of status %d", status);
        add_failure(shared->current[number], text);
        pids[number] = start_worker(number, chosen->twice);
    }
}

/* ---- one seed ---- */

static sim_plan plan_for(const options *chosen)
{
    sim_plan plan = sim_plan_of(chosen->seed);
    plan.steps = chosen->steps != 0 ? chosen->steps : plan.steps;
    plan.faults = chosen->has_faults ? chosen->faults : plan.faults;
    plan.faults_most = chosen->faults_most != 0 ? chosen->faults_most - 1 : plan.faults_most;
    plan.producers = chosen->producers != 0 ? chosen->producers : plan.producers;
    plan.workers = chosen->handlers != 0 ? chosen->handlers : plan.workers;
    plan.operator_acts = plan.operator_acts && !chosen->quiet_operator;
    plan.standby = plan.standby && !chosen->no_standby;
    return plan;
}

static void print_command(const sim_plan *plan)
{
    sim_plan own = sim_plan_of(plan->seed);
    (void)printf("hrt-sim --seed %llu", (unsigned long long)plan->seed);
    if (plan->steps != own.steps) {
        (void)printf(" --steps %llu", (unsigned long long)plan->steps);
    }
    if (plan->faults != own.faults) {
        (void)printf(" --faults 0x%x", plan->faults);
    }
    if (plan->faults_most != own.faults_most) {
        (void)printf(" --faults-most %u", plan->faults_most);
    }
    if (plan->producers != own.producers) {
        (void)printf(" --producers %u", plan->producers);
    }
    if (plan->workers != own.workers) {
        (void)printf(" --workers %u", plan->workers);
    }
    if (plan->operator_acts != own.operator_acts) {
        (void)printf(" --no-operator");
    }
    if (plan->standby != own.standby) {
        (void)printf(" --no-standby");
    }
    (void)printf("\n");
}

/* In a process of its own: what fails may be an assertion. */
static bool fails(const sim_plan *plan)
{
    memset(&shared->single, 0, sizeof(shared->single));
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        sim_run(plan, NULL, &shared->single);
        exit(shared->single.violated ? 1 : 0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static bool try_plan(sim_plan *plan, const sim_plan *smaller)
{
    if (memcmp(plan, smaller, sizeof(*plan)) == 0 || !fails(smaller)) {
        return false;
    }
    *plan = *smaller;
    return true;
}

static bool drop_faults(sim_plan *plan)
{
    bool better = false;
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        sim_plan smaller = *plan;
        smaller.faults &= ~(1u << i);
        better |= try_plan(plan, &smaller);
    }
    for (uint32_t step = 64; step > 0; step /= 2) {
        sim_plan smaller = *plan;
        uint32_t most = smaller.faults_most < 256 ? smaller.faults_most : 256;
        smaller.faults_most = most > step ? most - step : 0;
        better |= try_plan(plan, &smaller);
    }
    return better;
}

static bool drop_actors(sim_plan *plan)
{
    bool better = false;
    sim_plan smaller = *plan;
    smaller.operator_acts = false;
    better |= try_plan(plan, &smaller);
    smaller = *plan;
    smaller.standby = false;
    better |= try_plan(plan, &smaller);
    smaller = *plan;
    smaller.producers = 1;
    better |= try_plan(plan, &smaller);
    smaller = *plan;
    smaller.workers = 1;
    return try_plan(plan, &smaller) || better;
}

static bool drop_steps(sim_plan *plan)
{
    bool better = false;
    for (uint64_t step = 2048; step > 0; step /= 2) {
        sim_plan smaller = *plan;
        smaller.steps = smaller.steps > step ? smaller.steps - step : 1;
        while (try_plan(plan, &smaller)) {
            better = true;
            smaller.steps = smaller.steps > step ? smaller.steps - step : 1;
        }
    }
    return better;
}

static int shrink(const options *chosen)
{
    sim_plan plan = plan_for(chosen);
    if (!fails(&plan)) {
        (void)printf("seed %llu does not fail\n", (unsigned long long)plan.seed);
        return 0;
    }
    while (drop_faults(&plan) | drop_actors(&plan) | drop_steps(&plan)) {
    }
    (void)fails(&plan);
    (void)printf("%s\n", shared->single.text);
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        if (plan.faults >> i & 1) {
            (void)printf("  %s\n", fault_texts[i]);
        }
    }
    print_command(&plan);
    return 1;
}

static int run_one(const options *chosen)
{
    sim_plan plan = plan_for(chosen);
    sim_outcome outcome;
    if (chosen->loud) {
        (void)setenv("HRT_SIM_LOUD", "1", 1);
    }
    sim_run(&plan, chosen->dump, &outcome);
    (void)printf("seed %llu: %s\n  trace %016llx, %llu steps, %llu operations, %llu records, "
                 "%llu jobs, %llu restarts, %.3f virtual s\n",
                 (unsigned long long)plan.seed, outcome.violated ? outcome.text : "ok",
                 (unsigned long long)outcome.hash, (unsigned long long)outcome.steps,
                 (unsigned long long)outcome.operations, (unsigned long long)outcome.records,
                 (unsigned long long)outcome.jobs, (unsigned long long)outcome.restarts,
                 (double)outcome.virtual_ns / 1e9);
    if (outcome.violated) {
        print_command(&plan);
    }
    return outcome.violated;
}

/* ---- the summary ---- */

static bool same_name_before(uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(sim_failpoint_name(i), sim_failpoint_name(index)) == 0) {
            return true;
        }
    }
    return false;
}

static uint64_t hits_of(const char *name)
{
    uint64_t hits = 0;
    for (uint32_t i = 0; i < sim_failpoints(); i++) {
        hits += strcmp(sim_failpoint_name(i), name) == 0 ? shared->hits[i] : 0;
    }
    return hits;
}

static uint32_t print_failpoints(void)
{
    uint32_t missed = 0;
    for (uint32_t i = 0; i < sim_failpoints(); i++) {
        if (!same_name_before(i)) {
            uint64_t hits = hits_of(sim_failpoint_name(i));
            (void)printf("  %-28s %12llu%s\n", sim_failpoint_name(i), (unsigned long long)hits,
                         hits == 0 ? "  NEVER HIT" : "");
            missed += hits == 0;
        }
    }
    return missed;
}

/* What no seed has met. A few seeds need not meet all. */
static uint32_t print_missed(void)
{
    uint32_t missed = 0;
    if (shared->seeds < SEEDS_FOR_ALL) {
        return 0;
    }
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        if (shared->faults[i] == 0) {
            (void)printf("  NEVER STRUCK: %s\n", fault_texts[i]);
            missed++;
        }
    }
    for (uint32_t i = 0; i < SIGHTS; i++) {
        if (sim_sight_name(i) != NULL && shared->sights[i] == 0) {
            (void)printf("  NEVER SEEN: %s\n", sim_sight_name(i));
            missed++;
        }
    }
    return missed;
}

static void write_sights(FILE *file)
{
    bool first = true;
    (void)fprintf(file, "  \"sights\": {\n");
    for (uint32_t i = 0; i < SIGHTS; i++) {
        if (sim_sight_name(i) != NULL) {
            (void)fprintf(file, "%s    \"%s\": %llu", first ? "" : ",\n", sim_sight_name(i),
                          (unsigned long long)shared->sights[i]);
            first = false;
        }
    }
    (void)fprintf(file, "\n  },\n");
}

static void write_names(FILE *file)
{
    (void)fprintf(file, "  \"faults\": {\n");
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        (void)fprintf(file, "    \"%s\": %llu%s\n", fault_texts[i],
                      (unsigned long long)shared->faults[i], i + 1 < FAULT_COUNT ? "," : "");
    }
    (void)fprintf(file, "  },\n  \"failpoints\": {\n");
    bool first = true;
    for (uint32_t i = 0; i < sim_failpoints(); i++) {
        if (!same_name_before(i)) {
            (void)fprintf(file, "%s    \"%s\": %llu", first ? "" : ",\n", sim_failpoint_name(i),
                          (unsigned long long)hits_of(sim_failpoint_name(i)));
            first = false;
        }
    }
    (void)fprintf(file, "\n  },\n  \"violating_seeds\": [");
    for (uint32_t i = 0; i < shared->failure_count && i < FAILURES_MAX; i++) {
        (void)fprintf(file, "%s%llu", i == 0 ? "" : ", ",
                      (unsigned long long)shared->failures[i].seed);
    }
    (void)fprintf(file, "]\n}\n");
}

static void write_counts(FILE *file)
{
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"seeds", shared->seeds},
                  {"seeds run twice", shared->twice},
                  {"steps", shared->steps},
                  {"operations", shared->operations},
                  {"records", shared->records},
                  {"jobs", shared->jobs},
                  {"acknowledged", shared->acknowledged},
                  {"leases", shared->leases},
                  {"settles", shared->settles},
                  {"states", shared->restarts + shared->takeovers},
                  {"takeovers", shared->takeovers},
                  {"handovers", shared->handovers},
                  {"power cuts", shared->power_cuts},
                  {"damages named", shared->damages_named},
                  {"runs ended where nothing proves a harm", shared->unprovable},
                  {"state hashes compared", shared->states_compared},
                  {"snapshots written beside the runtime", shared->snapshots},
                  {"restarts from a snapshot", shared->snapshots_used},
                  {"restarts that refused all snapshots", shared->snapshots_refused}};
    uint32_t count = sizeof(counts) / sizeof(counts[0]);
    (void)fprintf(file, "  \"counts\": {\n");
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(file, "    \"%s\": %llu%s\n", counts[i].name,
                      (unsigned long long)counts[i].value, i + 1 < count ? "," : "");
    }
    (void)fprintf(file, "  },\n");
}

static bool write_json(const char *path, double real_s)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return false;
    }
    (void)fprintf(file, "{\n  \"what\": \"simulated runs\",\n  \"violations\": %u,\n",
                  shared->failure_count);
    (void)fprintf(file, "  \"virtual_s\": %.3f,\n  \"real_s\": %.3f,\n",
                  (double)shared->virtual_ns / 1e9, real_s);
    (void)fprintf(file, "  \"processor_s\": %.3f,\n", processor_s());
    write_counts(file);
    write_sights(file);
    write_names(file);
    return fclose(file) == 0;
}

static void print_summary(double real_s)
{
    double virtual_s = (double)shared->virtual_ns / 1e9;
    (void)printf("%llu seeds, %llu of them twice: %llu steps, %llu operations, traces %016llx\n",
                 (unsigned long long)shared->seeds, (unsigned long long)shared->twice,
                 (unsigned long long)shared->steps, (unsigned long long)shared->operations,
                 (unsigned long long)shared->traces);
    (void)printf("%llu jobs, %llu acknowledged, %llu leases, %llu settles, %llu records\n",
                 (unsigned long long)shared->jobs, (unsigned long long)shared->acknowledged,
                 (unsigned long long)shared->leases, (unsigned long long)shared->settles,
                 (unsigned long long)shared->records);
    (void)printf("%llu starts, %llu takeovers, %llu handovers, %llu power cuts\n",
                 (unsigned long long)shared->restarts, (unsigned long long)shared->takeovers,
                 (unsigned long long)shared->handovers, (unsigned long long)shared->power_cuts);
    (void)printf("%llu damages named, %llu that nothing proves, %llu states compared\n",
                 (unsigned long long)shared->damages_named, (unsigned long long)shared->unprovable,
                 (unsigned long long)shared->states_compared);
    (void)printf(
        "%llu snapshots written beside a runtime, %llu restarts from one, %llu refused all\n",
        (unsigned long long)shared->snapshots, (unsigned long long)shared->snapshots_used,
        (unsigned long long)shared->snapshots_refused);
    (void)printf("%.0f virtual s in %.1f real s, %.0f to 1; %.1f processor s, %.0f to 1\n",
                 virtual_s, real_s, virtual_s / real_s, processor_s(), virtual_s / processor_s());
    (void)printf("most memory of one process %.1f MB\n", (double)shared->memory_most / 1e6);
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        (void)printf("  %-20s %10llu  %s\n", fault_names[i], (unsigned long long)shared->faults[i],
                     fault_texts[i]);
    }
}

static int run_many(const options *chosen)
{
    double begin = seconds_now();
    run_seeds(chosen);
    double real_s = seconds_now() - begin;
    print_summary(real_s);
    uint32_t missed = print_failpoints() + print_missed();
    if (chosen->json != NULL && !write_json(chosen->json, real_s)) {
        (void)fprintf(stderr, "hrt-sim: cannot write %s\n", chosen->json);
        return 2;
    }
    for (uint32_t i = 0; i < shared->failure_count && i < FAILURES_MAX; i++) {
        (void)printf("VIOLATION: %s\n  hrt-sim --seed %llu\n", shared->failures[i].text,
                     (unsigned long long)shared->failures[i].seed);
    }
    if (missed > 0) {
        (void)printf("%u faults, sights or failpoints were never met\n", missed);
    }
    (void)printf("%u violations\n", shared->failure_count);
    return shared->failure_count > 0 || missed > 0;
}

/* What a letter without a word of its own stands for. False: there is no such letter. */
static bool take_switch(options *chosen, int letter)
{
    switch (letter) {
    case 'q':
        chosen->quiet_operator = true;
        return true;
    case 'y':
        chosen->no_standby = true;
        return true;
    case 'k':
        chosen->shrink = true;
        return true;
    case 'l':
        chosen->loud = true;
        return true;
    case '2':
        chosen->twice = true;
        return true;
    default:
        return false;
    }
}

static void take_number(options *chosen, int letter, uint64_t value)
{
    switch (letter) {
    case 's':
        chosen->seed = value;
        chosen->one = true;
        break;
    case 'n':
        chosen->seeds = value;
        break;
    case 'f':
        chosen->first = value;
        break;
    case 'j':
        chosen->workers = value < 1 ? 1 : value > WORKERS_MAX ? WORKERS_MAX : (uint32_t)value;
        break;
    case 't':
        chosen->steps = value;
        break;
    case 'm':
        chosen->faults = (uint32_t)value;
        chosen->has_faults = true;
        break;
    case 'p':
        chosen->producers = (uint32_t)value;
        break;
    case 'w':
        chosen->handlers = (uint32_t)value;
        break;
    case 'x':
        chosen->faults_most = (uint32_t)value + 1;
        break;
    default:
        break;
    }
}

static _Noreturn void explain(int status)
{
    static const char usage[] =
        "usage: hrt-sim [--seeds N] [--first M] [-j J] [--json FILE]      many seeds\n"
        "       hrt-sim --seed N [--loud] [--shrink] [--dump FILE]        one of them\n"
        "docs/simulator.md says what they do; --shrink prints the options that it needs.\n";
    (void)fputs(usage, status == 0 ? stdout : stderr);
    exit(status);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || strchr(text, '-') != NULL) {
        (void)fprintf(stderr, "hrt-sim: %s is not a number\n", text);
        explain(2);
    }
    return value;
}

static options parse(int count, char **words)
{
    static const struct option known[] = {{"seed", required_argument, NULL, 's'},
                                          {"seeds", required_argument, NULL, 'n'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"json", required_argument, NULL, 'o'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"dump", required_argument, NULL, 'd'},
                                          {"steps", required_argument, NULL, 't'},
                                          {"faults", required_argument, NULL, 'm'},
                                          {"producers", required_argument, NULL, 'p'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"faults-most", required_argument, NULL, 'x'},
                                          {"no-operator", no_argument, NULL, 'q'},
                                          {"no-standby", no_argument, NULL, 'y'},
                                          {"shrink", no_argument, NULL, 'k'},
                                          {"loud", no_argument, NULL, 'l'},
                                          {"twice", no_argument, NULL, '2'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    const char *long_run = getenv("LONG");
    options chosen = {.seeds = long_run != NULL && long_run[0] == '1' ? 1000000 : 10000,
                      .workers = 2};
    int letter;
    while ((letter = getopt_long(count, words, "j:", known, NULL)) != -1) {
        if (letter == 'o') {
            chosen.json = optarg;
        } else if (letter == 'd') {
            chosen.dump = optarg;
        } else if (letter == 'h') {
            explain(0);
        } else if (letter == '?') {
            explain(2);
        } else if (!take_switch(&chosen, letter)) {
            take_number(&chosen, letter, number(optarg));
        }
    }
    if (optind < count) {
        (void)fprintf(stderr, "hrt-sim: %s is no option\n", words[optind]);
        explain(2);
    }
    return chosen;
}

int main(int count, char **words)
{
    options chosen = parse(count, words);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 2;
    }
    if (chosen.shrink) {
        return shrink(&chosen);
    }
    return chosen.one ? run_one(&chosen) : run_many(&chosen);
}
