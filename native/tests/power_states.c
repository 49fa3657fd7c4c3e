/*
 * A block device lost its power: builds what may be on it, mounts that, and recovers the log.
 *
 * All that a flush covered is on the disk; of the writes after it any may be missing, in sectors of
 * 512 bytes, in any order. At each flush, and at points in between: all subsets of few writes; of
 * many none, each single one missing, each single one alone, and random ones; then torn ones. The
 * file system replays its journal and the log its own; what was promised by then has to be there.
 *
 *   power_states FILESYSTEM IMAGE TRACE HISTORY STATES SEED WORKER WORKERS DIRECTORY
 *
 * Needs root. Prints the counts as JSON in its last line. Mounts are its own: they end with it.
 */
#include "power_life.h"

#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>

enum {
    BLOCK = 4096,
    FEW_WRITES = 4,   /* all their subsets are looked at */
    SINGLES = 8,      /* writes of an epoch that are taken alone, and left out alone */
    LOOP_TRIES = 100, /* other workers take free loop devices too */
    EXTENSION_EVERY = 16,
};

/* As the recorder under the file system writes it; little-endian, the bytes of a write follow. */
typedef struct trace_event {
    uint32_t type;
    uint32_t forced; /* on the disk when it returned */
    uint64_t offset;
    uint64_t length;
    uint64_t phase;
    uint64_t promised;
    const uint8_t *bytes;
} trace_event;

enum { TRACE_WRITE = 1, TRACE_FLUSH = 2, TRACE_HEAD = 40 };
/* Before the log lives the file system is made ready, after it taken down. */
enum { PHASE_LIFE = 1 };

enum way { WAY_SUBSET, WAY_WITHOUT, WAY_ONLY, WAY_TORN, WAY_SOME };

typedef struct choice {
    enum way way;
    uint64_t value; /* SUBSET: a bit for each write; WITHOUT, ONLY: its index; else: a seed */
} choice;

typedef struct counts {
    uint64_t points;
    uint64_t states;
    uint64_t torn_tails; /* that recovery found */
    uint64_t extended;
    uint64_t unmountable;
} counts;

typedef struct device {
    const char *filesystem;
    char directory[256]; /* where it is mounted */
    char log[300];
    uint64_t size;
    uint8_t *base; /* what is on the disk for sure */
    bool *used;    /* blocks of it that are not zero */
    uint8_t *image;
    int fd; /* of the image */
    trace_event *events;
    uint64_t event_count;
    history past;
    uint64_t wanted; /* states, of all workers */
    uint64_t random;
    uint64_t number; /* of the next state */
    uint64_t worker;
    uint64_t workers;
    uint64_t random_each; /* states of an epoch that chance chooses */
    bool counting;        /* only counts states */
    counts counts;
} device;

/* ---- what was recorded ---- */

static uint8_t *read_all(const char *path, uint64_t *size_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    REQUIRE(fd >= 0 && fstat(fd, &about) == 0);
    *size_out = (uint64_t)about.st_size;
    uint8_t *bytes =
        mmap(NULL, *size_out, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    REQUIRE(bytes != MAP_FAILED);
    (void)close(fd);
    return bytes;
}

static void load_trace(device *d, const char *path)
{
    uint64_t size = 0;
    const uint8_t *bytes = read_all(path, &size);
    uint64_t capacity = 0;
    for (uint64_t at = 0; at + TRACE_HEAD <= size;) {
        if (d->event_count == capacity) {
            capacity = capacity == 0 ? 4096 : 2 * capacity;
            d->events = realloc(d->events, capacity * sizeof(*d->events));
            REQUIRE(d->events != NULL);
        }
        trace_event *one = &d->events[d->event_count++];
        memcpy(one, bytes + at, TRACE_HEAD);
        one->bytes = bytes + at + TRACE_HEAD;
        at += TRACE_HEAD;
        if (one->type == TRACE_WRITE) {
            REQUIRE(one->offset + one->length <= d->size && at + one->length <= size);
            at += one->length;
        }
    }
}

/* ---- the disk ---- */

static void note_used(device *d, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[BLOCK];
    for (uint64_t block = offset / BLOCK; block * BLOCK < offset + length; block++) {
        d->used[block] = memcmp(d->base + block * BLOCK, zeros, BLOCK) != 0;
    }
}

static void write_base(device *d, const trace_event *write)
{
    memcpy(d->base + write->offset, write->bytes, write->length);
    note_used(d, write->offset, write->length);
}

static void load_image(device *d, const char *path)
{
    d->base = read_all(path, &d->size);
    d->used = calloc(d->size / BLOCK, sizeof(*d->used));
    d->fd = memfd_create("image", MFD_CLOEXEC);
    REQUIRE(d->used != NULL && d->fd >= 0 && ftruncate(d->fd, (off_t)d->size) == 0);
    d->image = mmap(NULL, d->size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
    REQUIRE(d->image != MAP_FAILED);
    note_used(d, 0, d->size);
}

static bool keeps(const choice *c, fate *f, uint64_t write, bool first, uint64_t sector)
{
    switch (c->way) {
    case WAY_SUBSET:
        return c->value >> write & 1;
    case WAY_WITHOUT:
        return write != c->value;
    case WAY_ONLY:
        return write == c->value;
    default:
        if (first || sector % f->piece == 0) {
            f->exhaustive = fate_of_piece(f); /* the fate of this piece */
        }
        return f->exhaustive;
    }
}

static void write_chosen(const device *d, const trace_event *write, uint64_t index, const choice *c,
                         fate *f)
{
    for (uint64_t done = 0; done < write->length; done += SECTOR) {
        uint64_t length = write->length - done < SECTOR ? write->length - done : SECTOR;
        if (keeps(c, f, index, done == 0, write->offset + done)) {
            memcpy(d->image + write->offset + done, write->bytes + done, length);
        }
    }
}

/* The image becomes the base with what was chosen of the writes from `first` to before `cut`. */
static void build(const device *d, uint64_t first, uint64_t cut, const choice *c)
{
    static const uint32_t chances[] = {128, 128, 224, 32};
    REQUIRE(fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)d->size) == 0);
    for (uint64_t block = 0; block < d->size / BLOCK; block++) {
        if (d->used[block]) {
            memcpy(d->image + block * BLOCK, d->base + block * BLOCK, BLOCK);
        }
    }
    /* SOME: whole writes live or die; TORN: sectors do. */
    fate f = {.random = c->value,
              .chance = chances[c->value & 3],
              .piece = c->way == WAY_TORN ? SECTOR : UINT32_MAX};
    uint64_t index = 0;
    for (uint64_t i = first; i < cut; i++) {
        const trace_event *one = &d->events[i];
        if (one->type == TRACE_WRITE && one->forced) {
            memcpy(d->image + one->offset, one->bytes, one->length);
        } else if (one->type == TRACE_WRITE) {
            write_chosen(d, one, index++, c, &f);
        }
    }
}

/* Attached until the last user leaves it, which is the mount. */
static int attach_loop(const device *d, char path_out[64])
{
    const struct loop_config config = {.fd = (uint32_t)d->fd,
                                       .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    REQUIRE(control >= 0);
    for (uint32_t i = 0; i < LOOP_TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        REQUIRE(number >= 0);
        (void)snprintf(path_out, 64, "/dev/loop%d", number);
        int fd = open(path_out, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            (void)close(control);
            return fd;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    REQUIRE(!"a loop device is free");
    return -1;
}

static bool mount_image(const device *d)
{
    char path[64];
    int fd = attach_loop(d, path);
    /* The workers all have the same one at a time, which XFS does not expect. */
    const char *options = strcmp(d->filesystem, "xfs") == 0 ? "nouuid" : NULL;
    int status = mount(path, d->directory, d->filesystem, MS_NOATIME, options);
    if (status != 0) {
        printf("# mount: %s\n", strerror(errno));
    }
    (void)close(fd);
    return status == 0;
}

/* ---- one state ---- */

/* The log goes on as any other, and what it goes on with is there afterwards. */
static void extend(const device *d, uint64_t last)
{
    hrt_log_options options = {
        .directory = d->log, .segment_size = DISK_SEGMENT, .segments_max = segments_max};
    for (uint32_t i = 0; i < 2; i++) {
        hrt_log *log = NULL;
        REQUIRE(hrt_log_open(&options, NULL, NULL, &log, NULL, NULL) == HRT_OK);
        CHECK_EQ(hrt_log_next_sequence(log), last + 1);
        hrt_log_set_epoch(log, hrt_log_epoch(log) + 1);
        size_t span = hrt_record_span(sizeof(hrt_record) + sizeof(hrt_epoch_body));
        REQUIRE(hrt_log_reserve(log, span, HRT_LOG_OLD_WORK) == HRT_OK);
        (void)hrt_log_add(log, HRT_RECORD_EPOCH, sizeof(hrt_epoch_body));
        CHECK_EQ(hrt_log_seal(log), HRT_OK);
        last = hrt_log_next_sequence(log) - 1;
        hrt_log_close(log);
    }
}

static void check_state(device *d, uint64_t promised)
{
    bool torn = false;
    if (!mount_image(d)) {
        d->counts.unmountable++;
        tap_failures++;
        return;
    }
    witness w = recover_log(d->log, &d->past, promised, false, &torn);
    d->counts.torn_tails += torn;
    if (tap_failures == 0 && d->counts.states % EXTENSION_EVERY == 0) {
        extend(d, w.last);
        d->counts.extended++;
    }
    REQUIRE(umount2(d->directory, 0) == 0);
}

static void look_at(device *d, uint64_t first, uint64_t cut, choice c)
{
    bool mine = d->number++ % d->workers == d->worker;
    if (d->counting || !mine || tap_failures > 0) {
        return;
    }
    uint64_t promised = cut < d->event_count ? d->events[cut].promised : 0;
    build(d, first, cut, &c);
    check_state(d, promised);
    d->counts.states++;
    if (tap_failures > 0) {
        printf("# writes from event %" PRIu64 " on, cut before event %" PRIu64 " of %" PRIu64
               ", way %d, value %" PRIu64 ", promised %" PRIu64 "\n",
               first, cut, d->event_count, c.way, c.value, promised);
    }
}

/* ---- all states ---- */

static uint64_t writes_in(const device *d, uint64_t first, uint64_t cut)
{
    uint64_t count = 0;
    for (uint64_t i = first; i < cut; i++) {
        count += d->events[i].type == TRACE_WRITE && !d->events[i].forced;
    }
    return count;
}

static uint64_t next_seed(device *d)
{
    return d->counting ? 0 : fate_random(&d->random);
}

/* All writes but none torn is what the next epoch begins with: it is looked at there. */
static void look_at_subsets(device *d, uint64_t first, uint64_t cut, uint64_t writes)
{
    if (writes <= FEW_WRITES) {
        for (uint64_t subset = 0; subset + 1 < 1ull << writes; subset++) {
            look_at(d, first, cut, (choice){WAY_SUBSET, subset});
        }
        return;
    }
    uint64_t step = (writes + SINGLES - 1) / SINGLES;
    uint64_t begin = next_seed(d) % step;
    look_at(d, first, cut, (choice){WAY_SUBSET, 0});
    for (uint64_t i = begin; i < writes; i += step) {
        look_at(d, first, cut, (choice){WAY_WITHOUT, i});
        look_at(d, first, cut, (choice){WAY_ONLY, i});
    }
}

/* The power is cut before event `cut`, with the writes from `first` on unsynced. */
static void look_at_point(device *d, uint64_t first, uint64_t cut)
{
    uint64_t writes = writes_in(d, first, cut);
    if (writes == 0) {
        return;
    }
    d->counts.points += !d->counting && d->worker == 0; /* all workers pass all of them */
    look_at_subsets(d, first, cut, writes);
    for (uint64_t i = 0; i < d->random_each; i++) {
        bool torn = i % 3 > 0 || writes <= FEW_WRITES;
        look_at(d, first, cut, (choice){torn ? WAY_TORN : WAY_SOME, next_seed(d)});
    }
}

static void look_at_epoch(device *d, uint64_t first, uint64_t flush)
{
    uint64_t writes = writes_in(d, first, flush);
    bool within = d->events[first].phase == PHASE_LIFE && d->events[flush - 1].phase == PHASE_LIFE;
    if (within) {
        look_at_point(d, first, flush);
        if (writes > 1) {
            /* Somewhere on the way: fewer writes, and fewer promises. */
            look_at_point(d, first, first + 1 + next_seed(d) % (flush - first));
        }
    }
}

static void look_at_all(device *d)
{
    uint64_t first = 0;
    for (uint64_t i = 0; i < d->event_count; i++) {
        if (d->events[i].type != TRACE_FLUSH) {
            continue;
        }
        look_at_epoch(d, first, i);
        for (; first < i && !d->counting; first++) {
            if (d->events[first].type == TRACE_WRITE) {
                write_base(d, &d->events[first]);
            }
        }
        first = i + 1;
    }
    if (first < d->event_count) {
        look_at_epoch(d, first, d->event_count);
    }
}

/* As many random states of each epoch as make up the number that is wanted. */
static void plan(device *d)
{
    d->counting = true;
    look_at_all(d);
    uint64_t fixed = d->number;
    d->number = 0;
    d->random_each = 1;
    look_at_all(d);
    uint64_t epochs = d->number - fixed;
    uint64_t missing = d->wanted > fixed ? d->wanted - fixed : 0;
    d->random_each = epochs == 0 ? 0 : missing / epochs + 1;
    d->number = 0;
    d->counting = false;
}

static void print_counts(const device *d)
{
    const counts *c = &d->counts;
    printf("# json {\"states\": %" PRIu64 ", \"cut points\": %" PRIu64 ", \"torn tails\": %" PRIu64
           ", \"logs gone on with\": %" PRIu64 ", \"disks not mountable\": %" PRIu64 "}\n",
           c->states, c->points, c->torn_tails, c->extended, c->unmountable);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 10);
    setvbuf(stdout, NULL, _IOLBF, 0);
    device *d = calloc(1, sizeof(*d));
    REQUIRE(d != NULL);
    d->filesystem = argv[1];
    load_image(d, argv[2]);
    load_trace(d, argv[3]);
    history_load(&d->past, argv[4]);
    history_replay(&d->past);
    d->wanted = strtoull(argv[5], NULL, 10);
    d->random = strtoull(argv[6], NULL, 10);
    d->worker = strtoull(argv[7], NULL, 10);
    d->workers = strtoull(argv[8], NULL, 10);
    (void)snprintf(d->directory, sizeof(d->directory), "%s", argv[9]);
    (void)snprintf(d->log, sizeof(d->log), "%s/log", argv[9]);
    REQUIRE(unshare(CLONE_NEWNS) == 0);
    REQUIRE(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    plan(d);
    look_at_all(d);
    print_counts(d);
    return tap_failures > 0;
}
