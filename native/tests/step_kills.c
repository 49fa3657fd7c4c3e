/*
 * The log is killed at each instruction of what it does: append a group, begin a segment in a new
 * file and in a used one, and recover from each sort of end. Each time what is left has to open,
 * with all that was promised, and has to go on.
 *
 *   step_kills SCENE
 *
 * Besides, a write that is cut short by the kill after any of its pages is looked at too.
 */
#include "stepper.h"

#include "flusher.h"
#include "log_journey.h"
#include "log_state.h"

#include <limits.h>

enum {
    FILES_MAX = 16,
    FILE_PAGE = 4096,
    GO_ON_EVERY = 50, /* states: there the log is gone on with for a while, too */
    ALL_EVERY = 1000, /* kills without a system call: there the files are compared too */
};

typedef struct image {
    uint32_t count;
    char names[FILES_MAX][NAME_MAX + 1];
    size_t sizes[FILES_MAX];
    uint8_t bytes[FILES_MAX][SMALL_SEGMENT];
} image;

typedef struct scene {
    const char *name;
    void (*prepare)(struct scene *s); /* before the process begins */
    void (*body)(struct scene *s);
    fixture log;  /* where the process works */
    fixture copy; /* where its remains are looked at */
    promise *promised;
    promise seen;
    image *now;
    image *before;
    uint64_t states;
    uint64_t cut_writes;
} scene;

/* ---- what lies in a directory ---- */

static void image_read(image *i, const char *directory)
{
    DIR *stream = opendir(directory);
    REQUIRE(stream != NULL);
    i->count = 0;
    for (const struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        REQUIRE(i->count < FILES_MAX);
        uint32_t n = i->count++;
        (void)snprintf(i->names[n], sizeof(i->names[n]), "%s", entry->d_name);
        int fd = openat(dirfd(stream), entry->d_name, O_RDONLY | O_CLOEXEC);
        REQUIRE(fd >= 0);
        REQUIRE(hrt_read_at(fd, i->bytes[n], SMALL_SEGMENT, 0, &i->sizes[n]) == HRT_OK);
        (void)close(fd);
    }
    (void)closedir(stream);
}

static void image_write(const image *i, const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    scratch_empty(directory);
    for (uint32_t n = 0; n < i->count; n++) {
        int file = openat(fd, i->names[n], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(file >= 0 && hrt_write_at(file, i->bytes[n], i->sizes[n], 0) == HRT_OK);
        (void)close(file);
    }
    (void)close(fd);
}

static int image_find(const image *i, const char *name)
{
    for (uint32_t n = 0; n < i->count; n++) {
        if (strcmp(i->names[n], name) == 0) {
            return (int)n;
        }
    }
    return -1;
}

static bool file_same(const image *a, uint32_t n, const image *b)
{
    int other = image_find(b, a->names[n]);
    return other >= 0 && a->sizes[n] == b->sizes[other] &&
           memcmp(a->bytes[n], b->bytes[other], a->sizes[n]) == 0;
}

static bool image_same(const image *a, const image *b)
{
    bool same = a->count == b->count;
    for (uint32_t n = 0; n < a->count && same; n++) {
        same = file_same(a, n, b);
    }
    return same;
}

/* ---- after a kill ---- */

static void check_image(scene *s, const image *left)
{
    promise promised = *s->promised;
    image_write(left, s->copy.directory);
    journey_check(&s->copy, &promised);
    if (tap_failures == 0 && s->states++ % GO_ON_EVERY == 0) {
        journey_go_on(&s->copy, &promised);
    }
    fixture_close(&s->copy);
}

/* A kill ends a long write between two pages: the first `done` bytes of what is new are there. */
static void check_cut_write(scene *s, uint32_t n)
{
    static image cut;
    int before = image_find(s->before, s->now->names[n]);
    if (before < 0 || s->before->sizes[before] > s->now->sizes[n]) {
        return;
    }
    size_t old = s->before->sizes[before];
    size_t done = 0;
    memcpy(&cut, s->before, sizeof(cut));
    for (; done < s->now->sizes[n] && tap_failures == 0; done += FILE_PAGE) {
        size_t rest = s->now->sizes[n] - done;
        size_t length = rest < FILE_PAGE ? rest : FILE_PAGE;
        bool same = done + length <= old &&
                    memcmp(cut.bytes[before] + done, s->now->bytes[n] + done, length) == 0;
        if (!same && length == FILE_PAGE) {
            memcpy(cut.bytes[before] + done, s->now->bytes[n] + done, length);
            cut.sizes[before] = done + length > old ? done + length : old;
            check_image(s, &cut);
            s->cut_writes++;
        }
    }
}

static void look(void *context, uint64_t instruction, bool called)
{
    scene *s = context;
    bool promised_more = memcmp(&s->seen, s->promised, sizeof(s->seen)) != 0;
    if (!called && !promised_more && instruction % ALL_EVERY > 0) {
        return; /* files change by system calls alone */
    }
    image_read(s->now, s->log.directory);
    bool same = image_same(s->now, s->before);
    CHECK(called || same);
    if (same && !promised_more) {
        return;
    }
    for (uint32_t n = 0; n < s->now->count && !same && tap_failures == 0; n++) {
        if (!file_same(s->now, n, s->before)) {
            check_cut_write(s, n);
        }
    }
    check_image(s, s->now);
    s->seen = *s->promised;
    memcpy(s->before, s->now, sizeof(*s->before));
    if (tap_failures > 0) {
        printf("# killed at instruction %" PRIu64 " of %s\n", instruction, s->name);
    }
}

/* ---- scenes: the log without its flusher, whose work the writer then does by itself ---- */

static void open_log(scene *s)
{
    REQUIRE(fixture_open(&s->log) == HRT_OK);
    uint64_t first = hrt_log_next_sequence(s->log.log);
    REQUIRE(fixture_epoch(&s->log, false) == HRT_OK);
    s->promised->epochs++;
    s->promised->sealed = first;
    journey_note_segment(&s->log, s->promised, first);
}

static void sync_log(scene *s)
{
    hrt_log *log = s->log.log;
    (void)pthread_mutex_lock(&log->mutex);
    hrt_flusher_sync(log);
    (void)pthread_mutex_unlock(&log->mutex);
    s->promised->durable = hrt_log_durable(log);
}

static void append(scene *s)
{
    size_t span = JOURNEY_RECORDS * hrt_record_span(72 + 10 * JOURNEY_IDS);
    REQUIRE(hrt_log_reserve(s->log.log, span, HRT_LOG_OLD_WORK) == HRT_OK);
    uint64_t first = hrt_log_next_sequence(s->log.log);
    REQUIRE(fixture_group(&s->log, JOURNEY_RECORDS, JOURNEY_IDS, first) == HRT_OK);
    s->promised->sealed = first + JOURNEY_RECORDS - 1;
    journey_note_segment(&s->log, s->promised, first);
}

/* Appends until the next group needs another segment. */
static void fill_segment(scene *s)
{
    size_t span = JOURNEY_RECORDS * hrt_record_span(72 + 10 * JOURNEY_IDS);
    uint64_t end = (hrt_log_current(s->log.log) + 1) * SMALL_SEGMENT;
    while (hrt_log_tail(s->log.log) + span < end) {
        append(s);
    }
}

static void nothing(scene *s)
{
    (void)s;
}

static void append_groups(scene *s)
{
    open_log(s);
    append(s);
    stepper_mark();
    append(s);
    sync_log(s);
    append(s);
    stepper_mark();
}

static void begin_segment_in_new_file(scene *s)
{
    open_log(s);
    fill_segment(s);
    stepper_mark();
    append(s);
    sync_log(s);
    stepper_mark();
}

static void begin_segment_in_used_file(scene *s)
{
    open_log(s);
    while (s->promised->segments_retired < 3) {
        append(s);
        sync_log(s);
        journey_retire(&s->log, s->promised, true);
    }
    fill_segment(s);
    stepper_mark();
    append(s);
    journey_retire(&s->log, s->promised, true);
    sync_log(s);
    stepper_mark();
}

static void recover(scene *s)
{
    stepper_mark();
    open_log(s);
    sync_log(s);
    stepper_mark();
}

/* A log of two segments that nobody has closed. */
static void leave_log(scene *s)
{
    open_log(s);
    fill_segment(s);
    append(s);
    sync_log(s);
    append(s);
    fixture_die(&s->log);
}

static void leave_torn_log(scene *s)
{
    static const uint8_t ones[16000] = {[0 ... 15999] = 0xff};
    open_log(s);
    append(s);
    uint64_t tail = hrt_log_tail(s->log.log);
    append(s);
    fixture_die(&s->log);
    s->promised->sealed -= JOURNEY_RECORDS;
    fixture_write(&s->log, 0, tail % SMALL_SEGMENT + 1000, ones, sizeof(ones));
}

/* A sync has failed, and the file after the last one was only half made. */
static void leave_unsynced_log(scene *s)
{
    leave_log(s);
    int directory = open(s->log.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int mark = openat(directory, HRT_LOG_UNSYNCED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int half = hrt_segment_open(directory, 9, O_RDWR | O_CREAT);
    REQUIRE(mark >= 0 && half >= 0 && ftruncate(half, 20000) == 0);
    (void)close(mark);
    (void)close(half);
    (void)close(directory);
}

static scene scenes[] = {
    {.name = "append", .prepare = nothing, .body = append_groups},
    {.name = "rotate-new", .prepare = nothing, .body = begin_segment_in_new_file},
    {.name = "rotate-used", .prepare = nothing, .body = begin_segment_in_used_file},
    {.name = "create", .prepare = nothing, .body = recover},
    {.name = "recover", .prepare = leave_log, .body = recover},
    {.name = "recover-torn", .prepare = leave_torn_log, .body = recover},
    {.name = "recover-unsynced", .prepare = leave_unsynced_log, .body = recover},
};

static void body(void *context)
{
    scene *s = context;
    s->body(s);
}

static scene *find_scene(const char *name)
{
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            return &scenes[i];
        }
    }
    REQUIRE(!"there is such a scene");
    return NULL;
}

static scene *current;

static void remove_both(void)
{
    const char *both[] = {current->log.directory, current->copy.directory};
    for (uint32_t i = 0; i < 2; i++) {
        if (access(both[i], F_OK) == 0) {
            scratch_empty(both[i]);
            (void)rmdir(both[i]);
        }
    }
    fixture_left[0] = '\0';
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    setvbuf(stdout, NULL, _IOLBF, 0);
    scene *s = current = find_scene(argv[1]);
    journey_make(&s->log);
    journey_make(&s->copy);
    REQUIRE(atexit(remove_both) == 0);
    s->promised = journey_promise();
    s->now = calloc(1, sizeof(image));
    s->before = calloc(1, sizeof(image));
    REQUIRE(s->now != NULL && s->before != NULL);
    s->prepare(s);
    stepper step = {.body = body, .look = look, .context = s, .every = 1};
    stepper_run(&step);
    printf("# json {\"instructions\": %" PRIu64 ", \"kills\": %" PRIu64 ", \"states\": %" PRIu64
           ", \"writes cut short\": %" PRIu64 "}\n",
           step.instructions, step.kills, s->states, s->cut_writes);
    CHECK(s->states > 0);
    return tap_failures > 0;
}
