/*
 * Snapshots: a restart that begins from one ends in the state of a restart that reads all; one that
 * is cut, flipped, of another log or behind the times is refused by name and put aside; bytes of
 * any kind do no harm.
 */
#include "atomic.h"
#include "dump.h"
#include "host.h"
#include "pump.h"
#include "record.h"
#include "snapshot.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND_NS ((int64_t)1000000000)

enum { JOBS = 200, FEW_JOBS = 3, CUTS = 16, MUTATIONS = 3000, DUMP_ROOM = 1 << 20 };

typedef struct fixture {
    host host;
    hrt_recovery recovery;
} fixture;

static void open_log(fixture *f, uint32_t snapshot)
{
    hrt_queue_settings settings = {.name = "default",
                                   .weight = 1,
                                   .retain_max = 100,
                                   .durability = HRT_DURABILITY_MEMORY,
                                   .max_attempts = 5,
                                   .max_crashes = 3};
    hrt_runtime_options options = host_options(&f->host);
    options.segment_size = 65536;
    options.segments_max = 32;
    options.snapshot = snapshot;
    host_open(&f->host, &options, &settings);
    hrt_runtime_recovery(f->host.runtime, &f->recovery);
}

/* Jobs of all sorts: keyed, delayed, expiring, cancelled and kept. */
static void add_jobs(fixture *f, uint32_t count)
{
    char payload[300];
    char key[16];
    memset(payload, 'p', sizeof(payload));
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i % 7);
        hrt_spec spec = {.payload = payload,
                         .payload_length = i % sizeof(payload),
                         .key = i % 3 == 0 ? key : NULL,
                         .key_length = i % 3 == 0 ? (uint8_t)strlen(key) : 0,
                         .kind = f->host.kind,
                         .queue = f->host.queue,
                         .delay_ns = i % 5 == 0 ? 3600 * (uint64_t)SECOND_NS : 0,
                         .expires_ms = i % 11 == 0 ? 3600000 : 0,
                         .result_ttl_ms = 3600000};
        uint64_t id = pump_enqueue(f->host.runtime, f->host.local, &spec);
        if (i % 4 == 0) {
            REQUIRE(hrt_runtime_cancel(f->host.runtime, id) == HRT_OK);
        }
    }
}

static int directory_of(const fixture *f)
{
    int fd = open(f->host.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/* The newest one. */
static void find_snapshot(const fixture *f, char path_out[128])
{
    hrt_snapshot_names names;
    int directory = directory_of(f);
    hrt_snapshot_list(directory, &names);
    (void)close(directory);
    REQUIRE(names.count > 0);
    CHECK(names.count <= HRT_SNAPSHOTS_KEPT); /* older ones are removed */
    (void)snprintf(path_out, 128, "%s/%s", f->host.directory, names.names[0]);
}

static void remove_snapshots(const fixture *f)
{
    hrt_snapshot_names names;
    int directory = directory_of(f);
    hrt_snapshot_list(directory, &names);
    for (uint32_t i = 0; i < names.count; i++) {
        REQUIRE(unlinkat(directory, names.names[i], 0) == 0);
    }
    (void)close(directory);
}

/* ---- files ---- */

typedef struct bytes {
    uint8_t *room;
    size_t used;
} bytes;

static void load_file(const char *path, bytes *into)
{
    FILE *file = fopen(path, "r");
    into->room = into->room == NULL ? malloc(DUMP_ROOM) : into->room;
    REQUIRE(file != NULL && into->room != NULL);
    into->used = fread(into->room, 1, DUMP_ROOM, file);
    REQUIRE(into->used > sizeof(hrt_snapshot_head) && into->used < DUMP_ROOM);
    (void)fclose(file);
}

static void store_file(const char *path, const bytes *from, size_t length)
{
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL && fwrite(from->room, 1, length, file) == length);
    REQUIRE(fclose(file) == 0);
}

/* Makes the checksum right again. */
static void seal(bytes *snapshot)
{
    size_t body = snapshot->used - sizeof(hrt_snapshot_tail);
    const hrt_snapshot_tail tail = {.crc = hrt_crc32c_update(0, snapshot->room, body),
                                    .magic = HRT_SNAPSHOT_MAGIC};
    memcpy(snapshot->room + body, &tail, sizeof(tail));
}

/* ---- refusals ---- */

/* The log opens with this state, and says of the snapshot at `path` what is wrong with it. */
static void is_refused(fixture *f, const char *path, const char *why, uint64_t hash)
{
    hrt_event events[16];
    uint32_t count = 0;
    uint32_t named = 0;
    const char *name = strrchr(path, '/') + 1;
    char aside[128];
    open_log(f, 1);
    CHECK_EQ(f->recovery.snapshot, 2);
    CHECK_EQ(f->recovery.snapshot_position, 0);
    CHECK(hrt_runtime_state_hash(f->host.runtime) == hash);
    REQUIRE(hrt_runtime_events(f->host.runtime, events, 16, &count) == HRT_OK);
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].type == HRT_EVENT_SNAPSHOT && strstr(events[i].text, name) != NULL) {
            named++;
            CHECK(strstr(events[i].text, why) != NULL);
        }
    }
    CHECK_EQ(named, 1);
    (void)snprintf(aside, sizeof(aside), "%s/refused-%s", f->host.directory,
                   name + strlen("snapshot-"));
    CHECK(access(path, F_OK) != 0 && access(aside, F_OK) == 0);
    host_close(&f->host);
    remove_snapshots(f);
}

static void a_restart_begins_from_the_snapshot(void)
{
    fixture f = {0};
    char path[128];
    scratch_make(f.host.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    host_close(&f.host);
    find_snapshot(&f, path);
    CHECK(path[0] != '\0');
    open_log(&f, 1);
    CHECK_EQ(f.recovery.snapshot, 1);
    CHECK_EQ(f.recovery.records, 0);
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    add_jobs(&f, JOBS);
    hash = hrt_runtime_state_hash(f.host.runtime);
    host_close(&f.host);
    open_log(&f, 0);
    CHECK_EQ(f.recovery.snapshot, 0);
    CHECK(f.recovery.records > JOBS);
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    host_close(&f.host);
    open_log(&f, 1); /* the snapshot is older than the log's end: the rest is read */
    CHECK_EQ(f.recovery.snapshot, 1);
    CHECK(f.recovery.records > 0 && f.recovery.records < JOBS);
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    host_close(&f.host);
    scratch_remove();
}

/* A log with a state, closed; its snapshot is taken away into *whole_out. */
static uint64_t make_log(fixture *f, uint32_t jobs, char path_out[128], bytes *whole_out)
{
    scratch_make_in("/dev/shm", f->host.directory); /* opened and closed a thousand times */
    open_log(f, 1);
    add_jobs(f, jobs);
    uint64_t hash = hrt_runtime_state_hash(f->host.runtime);
    host_close(&f->host);
    find_snapshot(f, path_out);
    load_file(path_out, whole_out);
    remove_snapshots(f);
    return hash;
}

static void each_changed_byte_is_found(void)
{
    fixture f = {0};
    char path[128];
    bytes whole = {0};
    uint64_t hash = make_log(&f, FEW_JOBS, path, &whole);
    for (size_t i = 0; i < whole.used; i++) {
        whole.room[i] ^= (uint8_t)(1u << i % 8);
        store_file(path, &whole, whole.used);
        bool form = i < offsetof(hrt_snapshot_head, start);
        is_refused(&f, path, form ? "another format" : "checksum", hash);
        whole.room[i] ^= (uint8_t)(1u << i % 8);
    }
    printf("# json {\"what\": \"single bytes of a snapshot changed\", \"faults\": "
           "{\"bytes of a snapshot\": %zu}, \"violations\": %d}\n",
           whole.used, tap_failures);
    free(whole.room);
    scratch_remove();
}

static void one_that_is_cut_is_refused(void)
{
    fixture f = {0};
    char path[128];
    bytes whole = {0};
    uint64_t hash = make_log(&f, JOBS, path, &whole);
    for (size_t i = 0; i < CUTS; i++) {
        size_t left = whole.used * i / CUTS;
        store_file(path, &whole, left);
        is_refused(&f, path, left < sizeof(hrt_snapshot_head) ? "cut short" : "checksum", hash);
    }
    free(whole.room);
    scratch_remove();
}

/* What is whole and sealed, and wrong. */
static void one_that_is_wrong_is_refused_with_the_reason(void)
{
    fixture f = {0};
    char path[128];
    bytes whole = {0};
    uint64_t hash = make_log(&f, JOBS, path, &whole);
    hrt_snapshot_head good;
    memcpy(&good, whole.room, sizeof(good));
    static const struct {
        size_t offset;
        const char *why;
    } wrong[] = {
        {offsetof(hrt_snapshot_head, version), "another format"},
        {offsetof(hrt_snapshot_head, start.uuid), "another log"},
        {offsetof(hrt_snapshot_head, segment_size), "segment_size"},
        {offsetof(hrt_snapshot_head, start.mark), "no such record"},
        {offsetof(hrt_snapshot_head, start.mark) + 2, "newer than the log"},
        {offsetof(hrt_snapshot_head, start.position), "no such record"},
        {offsetof(hrt_snapshot_head, start.sequence), "than its name says"},
        {offsetof(hrt_snapshot_head, start.mark_crc), "no such record"},
        {offsetof(hrt_snapshot_head, start.epoch), "no such record"},
        {offsetof(hrt_snapshot_head, state_hash), "another hash"},
        {sizeof(good) + 8, "makes no sense"}, /* the number of queues */
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        whole.room[wrong[i].offset] ^= 0x40;
        seal(&whole);
        store_file(path, &whole, whole.used);
        is_refused(&f, path, wrong[i].why, hash);
        whole.room[wrong[i].offset] ^= 0x40;
    }
    free(whole.room);
    scratch_remove();
}

/* An older one that is good is begun from, and the newer one is put aside. */
static void the_newest_good_one_is_used(void)
{
    fixture f = {0};
    char path[128];
    bytes newest = {0};
    scratch_make(f.host.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    host_close(&f.host);
    open_log(&f, 1);
    add_jobs(&f, FEW_JOBS);
    uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    host_close(&f.host);
    find_snapshot(&f, path);
    load_file(path, &newest);
    store_file(path, &newest, newest.used - 1);
    open_log(&f, 1);
    CHECK_EQ(f.recovery.snapshot, 1);
    CHECK(f.recovery.records > 0 && f.recovery.records < JOBS);
    CHECK(hrt_runtime_state_hash(f.host.runtime) == hash);
    CHECK(access(path, F_OK) != 0);
    host_close(&f.host);
    free(newest.room);
    scratch_remove();
}

/* Where jobs live, the log is read although the snapshot is behind it. */
static void damage_where_a_job_lives_is_found(void)
{
    fixture f = {0};
    char path[128];
    bytes whole = {0};
    (void)make_log(&f, JOBS, path, &whole);
    store_file(path, &whole, whole.used);
    (void)snprintf(path, sizeof(path), "%s/00000000.seg", f.host.directory);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;
    REQUIRE(fd >= 0 && pread(fd, &byte, 1, HRT_SEGMENT_HEADER + 100) == 1);
    byte ^= 1;
    REQUIRE(pwrite(fd, &byte, 1, HRT_SEGMENT_HEADER + 100) == 1);
    (void)close(fd);
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = f.host.directory,
                                   .snapshot = 1};
    CHECK_EQ(hrt_runtime_open(&options, &f.host.runtime), HRT_ECORRUPT);
    free(whole.room);
    scratch_remove();
}

/* A power cut after the snapshot took the end of the log, or the log was put back from a backup. */
static void a_snapshot_of_what_the_log_does_not_hold_is_not_believed(void)
{
    fixture f = {0};
    char path[128];
    char moved[128];
    scratch_make(f.host.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    host_close(&f.host);
    find_snapshot(&f, path);
    (void)snprintf(moved, sizeof(moved), "%s/kept", f.host.directory);
    REQUIRE(rename(path, moved) == 0);
    DIR *entries = opendir(f.host.directory);
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        if (strstr(entry->d_name, ".seg") != NULL) {
            REQUIRE(unlinkat(dirfd(entries), entry->d_name, 0) == 0);
        }
    }
    (void)closedir(entries);
    open_log(&f, 0);
    add_jobs(&f, JOBS / 2);
    uint64_t hash = hrt_runtime_state_hash(f.host.runtime);
    host_close(&f.host);
    REQUIRE(rename(moved, path) == 0);
    is_refused(&f, path, "another log", hash);
    scratch_remove();
}

/* ---- a power cut takes no more from the log than from its snapshot ---- */

typedef struct early {
    hrt_snapshot_order order;
    int status;
} early;

static void *write_early(void *context)
{
    early *self = context;
    self->status = hrt_snapshot_write(&self->order);
    return NULL;
}

static void one_is_shown_when_the_log_is_durable(void)
{
    fixture f = {0};
    early self = {.order = {.segment_size = 65536, .start = {.position = 100, .sequence = 7}}};
    hrt_snapshot_names names = {.count = 0};
    pthread_t thread;
    hrt_page *page = calloc(1, sizeof(*page));
    hrt_state *state = hrt_state_new(NULL, 65536);
    scratch_make(f.host.directory);
    self.order.directory = directory_of(&f);
    self.order.page = page;
    self.order.state = state;
    REQUIRE(page != NULL && state != NULL);
    hrt_store_release(&page->runtime.log_durable, 99);
    REQUIRE(pthread_create(&thread, NULL, write_early, &self) == 0);
    do { /* it is written, and waits */
        hrt_snapshot_doom(self.order.directory, &names);
        (void)sched_yield();
    } while (names.count == 0);
    (void)usleep(20000);
    hrt_snapshot_list(self.order.directory, &names);
    CHECK_EQ(names.count, 0);
    hrt_store_release(&page->runtime.log_durable, 100);
    (void)pthread_join(thread, NULL);
    CHECK_EQ(self.status, HRT_OK);
    hrt_snapshot_list(self.order.directory, &names);
    CHECK_EQ(names.count, 1);
    (void)close(self.order.directory);
    hrt_state_free(state);
    free(page);
    scratch_remove();
}

/* ---- bytes of any kind ---- */

static int take(void *context, const void *from, size_t length)
{
    bytes *into = context;
    REQUIRE(into->used + length <= DUMP_ROOM);
    memcpy(into->room + into->used, from, length);
    into->used += length;
    return HRT_OK;
}

static hrt_state *load(const void *from, size_t size, int *status_out)
{
    hrt_state *state = hrt_state_new(NULL, 65536);
    REQUIRE(state != NULL);
    *status_out = hrt_state_load(state, from, size);
    return state;
}

static void any_bytes_are_refused_or_make_a_sound_state(void)
{
    fixture f = {0};
    char path[128];
    static const size_t head = sizeof(hrt_snapshot_head);
    bytes whole = {0};
    bytes again = {.room = malloc(DUMP_ROOM)};
    uint64_t random = 7;
    int status;
    scratch_make(f.host.directory);
    open_log(&f, 1);
    add_jobs(&f, 40);
    host_close(&f.host);
    find_snapshot(&f, path);
    load_file(path, &whole);
    REQUIRE(again.room != NULL);
    uint8_t *dump = whole.room + head;
    size_t size = whole.used - head - 8;
    hrt_state *state = load(dump, size, &status);
    CHECK_EQ(status, HRT_OK);
    CHECK_EQ(hrt_state_dump(state, take, &again), HRT_OK);
    CHECK(again.used == size && memcmp(again.room, dump, size) == 0);
    hrt_state_free(state);
    for (uint32_t i = 0; i < MUTATIONS; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t place = (size_t)(random >> 33) % size;
        uint8_t byte = dump[place];
        dump[place] = (uint8_t)(random >> 20);
        state = load(dump, i % 16 == 0 ? place : size, &status);
        CHECK(status == HRT_OK || status == HRT_ECORRUPT);
        (void)hrt_state_hash(state);
        hrt_state_free(state);
        dump[place] = byte;
    }
    free(whole.room);
    free(again.room);
    scratch_remove();
}

static int say_whether_alone(const void *unused)
{
    (void)unused;
    return getsid(0) == getpid() ? HRT_OK : HRT_ECORRUPT;
}

/* Where the kernel shares the processors out among sessions, it uses up nobody else's share. */
static void the_copy_has_a_session_of_its_own(void)
{
    int pid = 0;
    bool done = false;
    REQUIRE_OK(hrt_offshoot_start(say_whether_alone, NULL, 0, &pid));
    AWAIT(hrt_offshoot_ended(pid, &done));
    CHECK(done);
}

int main(void)
{
    TAP_LIST(TEST(a_restart_begins_from_the_snapshot), TEST(each_changed_byte_is_found),
             TEST(one_that_is_cut_is_refused), TEST(one_that_is_wrong_is_refused_with_the_reason),
             TEST(the_newest_good_one_is_used), TEST(damage_where_a_job_lives_is_found),
             TEST(a_snapshot_of_what_the_log_does_not_hold_is_not_believed),
             TEST(one_is_shown_when_the_log_is_durable), TEST(the_copy_has_a_session_of_its_own),
             TEST(any_bytes_are_refused_or_make_a_sound_state));
}
