/*
 * A successor is killed at each instruction of its take-over. Producers and workers stand still
 * while it steps: amid entries that nobody took, leases, settles and answers. Whenever anything
 * that outlives it has changed, in the log, the page or a lane, another one takes over from a copy
 * of all that: each number that was sent is in its log once, with the id that was acknowledged, and
 * no attempt is lost. At the end the clients go on, and all of it is checked again.
 *
 *   step_takeover EVERY       a twin dies at every EVERY-th instruction; all are looked at
 */
#define RELAY_SEGMENT 65536u                              /* the end of the log is soon found */
#define RELAY_LEASE_NS (3600 * (uint64_t)RELAY_SECOND_NS) /* clients wait while we step */

#include "relay_check.h"
#include "stepper.h"

#include <dirent.h>
#include <linux/futex.h>
#include <sys/stat.h>

enum {
    SEGMENTS = 64,
    REGIONS = 1 + RELAY_LANES, /* the page, then the lanes */
    WARM_UP_MS = 10,
    AFTERWARDS_MS = 100,
    HEAD_BYTES = 4096,
    ALL_EVERY = 512,    /* instructions: then all memory is compared */
    FILES_EVERY = 4096, /* instructions without a system call: other threads write too */
};

/* Memory that outlives the process. */
typedef struct region {
    int fd;
    size_t size;
    size_t skip_from; /* the ring that only the client writes */
    size_t skip_to;
    const uint8_t *now;
    uint8_t *seen;
} region;

typedef struct scene {
    relay r;
    region regions[REGIONS];
    struct timespec changed; /* the log's files, last */
    uint64_t states;
    char copy[64];
} scene;

/* ---- a copy of all that outlives a process ---- */

static int copy_region(const region *from)
{
    const int seals = fcntl(from->fd, F_GET_SEALS);
    int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)from->size) == 0);
    uint8_t *bytes = mmap(NULL, from->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(bytes != MAP_FAILED);
    memcpy(bytes, from->now, from->size);
    (void)munmap(bytes, from->size);
    REQUIRE(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void copy_file(int from_directory, int to_directory, const char *name)
{
    int from = openat(from_directory, name, O_RDONLY | O_CLOEXEC);
    int to = openat(to_directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat about;
    REQUIRE(from >= 0 && to >= 0 && fstat(from, &about) == 0);
    void *bytes = mmap(NULL, (size_t)about.st_size + 1, PROT_READ, MAP_PRIVATE, from, 0);
    REQUIRE(bytes != MAP_FAILED);
    REQUIRE(write(to, bytes, (size_t)about.st_size) == about.st_size);
    (void)munmap(bytes, (size_t)about.st_size + 1);
    (void)close(from);
    (void)close(to);
}

static void copy_log(const char *from, const char *to)
{
    DIR *entries = opendir(from);
    int directory = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct dirent *entry;
    REQUIRE(entries != NULL && directory >= 0);
    scratch_empty(to);
    while ((entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.') {
            copy_file(dirfd(entries), directory, entry->d_name);
        }
    }
    (void)closedir(entries);
    (void)close(directory);
}

/* The kernel says of words that a dead thread held that their owner died; ours is not dead yet. */
static void bury(uint32_t *word)
{
    uint32_t value = hrt_load_relaxed_u32(word);
    hrt_store_relaxed_u32(word, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED);
}

static void bury_all(int page_fd, const int *lane_fds)
{
    hrt_page *page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    REQUIRE(page != MAP_FAILED);
    bury(&page->writer_alive);
    (void)munmap(page, sizeof(*page));
    for (uint32_t i = 0; i < RELAY_LANES; i++) {
        hrt_lane *lane =
            mmap(NULL, sizeof(*lane), PROT_READ | PROT_WRITE, MAP_SHARED, lane_fds[i], 0);
        REQUIRE(lane != MAP_FAILED);
        bury(&lane->runtime_alive);
        (void)munmap(lane, sizeof(*lane));
    }
}

/* ---- another one takes over ---- */

static void check_numbers(const relay *r)
{
    findings found = read_log(r);
    for (uint32_t producer = 0; producer < RELAY_PRODUCERS; producer++) {
        const relay_ledger *ledger = r->ledger;
        for (uint64_t number = 0; number < ledger->sent[producer]; number++) {
            uint64_t id = found.ids[producer][number];
            uint64_t acknowledged = ledger->ids[producer][number];
            CHECK(id != 0 && (acknowledged == 0 || acknowledged == id));
        }
    }
    CHECK_EQ(found.lost, 0);
    free_findings(&found);
}

/* In a process of its own, which leaves nothing behind. */
static void take_over_copy(const scene *s)
{
    relay copy = s->r;
    int lane_fds[RELAY_LANES];
    hrt_runtime *runtime = NULL;
    memcpy(copy.directory, s->copy, sizeof(copy.directory));
    copy.page_fd = copy_region(&s->regions[0]);
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        lane_fds[lane] = copy_region(&s->regions[1 + lane]);
        copy.grant_fds[lane][HRT_GRANT_LANE] = lane_fds[lane];
    }
    bury_all(copy.page_fd, lane_fds);
    hrt_standby *standby = relay_standby(&copy);
    CHECK_EQ(hrt_standby_run(standby), HRT_ECLOSED);
    int status = hrt_standby_take_over(standby, RELAY_SECOND_NS, &runtime);
    CHECK_EQ(status, HRT_OK);
    if (status == HRT_OK) {
        CHECK_EQ(hrt_runtime_release(runtime), HRT_OK);
        check_numbers(&copy);
    }
}

static void check_state(scene *s)
{
    int status = 0;
    copy_log(s->r.directory, s->copy);
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        take_over_copy(s);
        (void)fflush(stdout);
        _exit(tap_failures > 0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    s->states++;
}

/* ---- whether anything has changed ---- */

static bool part_changed(region *of, size_t from, size_t to)
{
    bool changed = memcmp(of->now + from, of->seen + from, to - from) != 0;
    if (changed) {
        memcpy(of->seen + from, of->now + from, to - from);
    }
    return changed;
}

/* What is published, in the heads of page and lanes, at each instruction; what lies behind it, and
 * counts only once it is published, now and then. */
static bool memory_changed(scene *s, bool all)
{
    bool changed = false;
    for (uint32_t i = 0; i < REGIONS; i++) {
        region *of = &s->regions[i];
        changed |= part_changed(of, 0, all ? of->skip_from : HEAD_BYTES);
        changed |= all && part_changed(of, of->skip_to, of->size);
    }
    return changed;
}

static void see_file(const scene *s, const char *name, struct timespec *last)
{
    char path[400];
    struct stat about;
    (void)snprintf(path, sizeof(path), "%s/%s", s->r.directory, name);
    if (stat(path, &about) == 0) {
        bool later = about.st_mtim.tv_sec != last->tv_sec ? about.st_mtim.tv_sec > last->tv_sec
                                                          : about.st_mtim.tv_nsec > last->tv_nsec;
        *last = later ? about.st_mtim : *last;
    }
}

static bool files_changed(scene *s)
{
    struct timespec last = {0};
    DIR *entries = opendir(s->r.directory);
    const struct dirent *entry;
    REQUIRE(entries != NULL);
    while ((entry = readdir(entries)) != NULL) {
        see_file(s, entry->d_name, &last);
    }
    (void)closedir(entries);
    bool changed = last.tv_sec != s->changed.tv_sec || last.tv_nsec != s->changed.tv_nsec;
    s->changed = last;
    return changed;
}

static void look(void *context, uint64_t instruction, bool called)
{
    scene *s = context;
    bool changed = memory_changed(s, called || instruction % ALL_EVERY == 0);
    if (called || instruction % FILES_EVERY == 0) {
        changed |= files_changed(s);
    }
    if (changed) {
        check_state(s);
    }
    if (tap_failures > 0) {
        printf("# killed at instruction %" PRIu64 "\n", instruction);
    }
}

/* ---- the scene ---- */

static void successor(void *context)
{
    scene *s = context;
    hrt_runtime *runtime = NULL;
    hrt_standby *standby = relay_standby(&s->r);
    REQUIRE(hrt_standby_run(standby) == HRT_ECLOSED);
    stepper_mark();
    REQUIRE(hrt_standby_take_over(standby, RELAY_SECOND_NS, &runtime) == HRT_OK);
    stepper_mark();
}

static void map_region(region *of, int fd, size_t size)
{
    *of = (region){.fd = fd, .size = size, .skip_from = size, .skip_to = size};
    of->now = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    of->seen = malloc(size);
    REQUIRE(of->now != MAP_FAILED && of->seen != NULL);
    memcpy(of->seen, of->now, size);
}

static void map_regions(scene *s)
{
    map_region(&s->regions[0], s->r.page_fd, sizeof(hrt_page));
    for (uint32_t i = 0; i < RELAY_LANES; i++) {
        struct stat about;
        int fd = s->r.grant_fds[i][HRT_GRANT_LANE];
        REQUIRE(fstat(fd, &about) == 0);
        map_region(&s->regions[1 + i], fd, (size_t)about.st_size);
        const hrt_lane *lane = (const void *)s->regions[1 + i].now;
        s->regions[1 + i].skip_from = lane->submit_offset;
        s->regions[1 + i].skip_to = lane->submit_offset + lane->submit_capacity;
    }
}

static void signal_clients(const relay *r, int number)
{
    for (uint32_t lane = 0; lane < RELAY_LANES; lane++) {
        REQUIRE(kill(r->clients[lane], number) == 0);
    }
}

/* The runtime stands still first, so that its clients leave entries which nobody has taken. */
static void stop_the_world(relay *r, pid_t active)
{
    relay_await(r, r->runners);
    relay_pause((uint64_t)WARM_UP_MS * 1000000);
    REQUIRE(kill(active, SIGSTOP) == 0);
    relay_pause(5000000);
    signal_clients(r, SIGSTOP);
    relay_pause(5000000);
    relay_kill(active);
}

static void go_on(relay *r)
{
    pid_t last = relay_start_runner(r);
    relay_await(r, r->runners);
    signal_clients(r, SIGCONT);
    relay_pause((uint64_t)AFTERWARDS_MS * 1000000);
    relay_finish(r, last);
    check_all(r);
    relay_end(r);
}

static void print_counts(const stepper *step, const scene *s)
{
    printf("# json {\"instructions\": %" PRIu64 ", \"kills\": %" PRIu64 ", \"states\": %" PRIu64
           "}\n",
           step->instructions, step->kills, s->states);
}

static scene set;
static pid_t owner; /* of the copy: children leave it alone */

static void remove_copy(void)
{
    if (owner == getpid()) {
        scratch_empty(set.copy);
        (void)rmdir(set.copy);
    }
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    bool memory = access("/dev/shm", W_OK) == 0;
    (void)snprintf(set.copy, sizeof(set.copy), "%s/hybridrt-copy-XXXXXX",
                   memory ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(set.copy) != NULL);
    owner = getpid();
    REQUIRE(atexit(remove_copy) == 0);
    relay_begin(&set.r, SEGMENTS);
    relay_start_clients(&set.r);
    stop_the_world(&set.r, relay_start_runner(&set.r));
    map_regions(&set);
    check_state(&set);
    stepper step = {
        .body = successor, .look = look, .context = &set, .every = strtoull(argv[1], NULL, 10)};
    stepper_run(&step);
    print_counts(&step, &set);
    go_on(&set.r);
    return tap_failures > 0;
}
