/*
 * Snapshots: a restart that begins from one ends in the state of a restart that reads all; one that
 * is cut, flipped, of another log or behind the times is not believed; bytes of any kind do no
 * harm.
 */
#include "dump.h"
#include "scratch.h"
#include "tap.h"

#include <hybridrt/runtime.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SECOND_NS ((int64_t)1000000000)

enum { JOBS = 200, FLIPS = 64, MUTATIONS = 3000, DUMP_ROOM = 1 << 20 };

typedef struct fixture {
    char directory[SCRATCH_PATH];
    hrt_runtime *runtime;
    hrt_client *local;
    uint16_t kind;
    uint16_t queue;
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
    hrt_runtime_options options = {.struct_size = sizeof(options),
                                   .abi_version = HRT_ABI_VERSION,
                                   .directory = f->directory,
                                   .segment_size = 65536,
                                   .segments_max = 32,
                                   .snapshot = snapshot};
    REQUIRE(hrt_runtime_open(&options, &f->runtime) == HRT_OK);
    hrt_runtime_recovery(f->runtime, &f->recovery);
    REQUIRE(hrt_runtime_queue(f->runtime, &settings, &f->queue) == HRT_OK);
    REQUIRE(hrt_runtime_kind(f->runtime, "test.job", &f->kind) == HRT_OK);
    REQUIRE(hrt_runtime_client(f->runtime, &f->local) == HRT_OK);
}

static void close_log(fixture *f)
{
    hrt_detach(f->local);
    hrt_runtime_close(f->runtime);
}

/* Jobs of all sorts: keyed, delayed, expiring, cancelled and kept. Each call is its own pump. */
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
                         .kind = f->kind,
                         .queue = f->queue,
                         .delay_ns = i % 5 == 0 ? 3600 * (uint64_t)SECOND_NS : 0,
                         .expires_ms = i % 11 == 0 ? 3600000 : 0,
                         .result_ttl_ms = 3600000};
        int64_t id = 0;
        REQUIRE(hrt_enqueue_wait(f->local, &spec, 1, SECOND_NS, &id) == HRT_OK && id > 0);
        if (i % 4 == 0) {
            REQUIRE(hrt_runtime_cancel(f->runtime, (uint64_t)id) == HRT_OK);
        }
    }
}

static void find_snapshot(const fixture *f, char path_out[128])
{
    DIR *entries = opendir(f->directory);
    const struct dirent *entry;
    path_out[0] = '\0';
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (strncmp(entry->d_name, "snapshot-", 9) == 0) {
            CHECK_EQ(path_out[0], '\0'); /* older ones are removed */
            (void)snprintf(path_out, 128, "%s/%.40s", f->directory, entry->d_name);
        }
    }
    (void)closedir(entries);
}

static void a_restart_begins_from_the_snapshot(void)
{
    fixture f = {0};
    char path[128];
    scratch_make(f.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    uint64_t hash = hrt_runtime_state_hash(f.runtime);
    close_log(&f);
    find_snapshot(&f, path);
    CHECK(path[0] != '\0');
    open_log(&f, 1);
    CHECK_EQ(f.recovery.snapshot, 1);
    CHECK_EQ(f.recovery.records, 0);
    CHECK(hrt_runtime_state_hash(f.runtime) == hash);
    add_jobs(&f, JOBS);
    hash = hrt_runtime_state_hash(f.runtime);
    close_log(&f);
    open_log(&f, 0);
    CHECK_EQ(f.recovery.snapshot, 0);
    CHECK(f.recovery.records > JOBS);
    CHECK(hrt_runtime_state_hash(f.runtime) == hash);
    close_log(&f);
    open_log(&f, 1); /* the snapshot is older than the log's end: the rest is read */
    CHECK_EQ(f.recovery.snapshot, 1);
    CHECK(f.recovery.records > 0 && f.recovery.records < JOBS);
    CHECK(hrt_runtime_state_hash(f.runtime) == hash);
    close_log(&f);
    scratch_remove();
}

static void a_snapshot_that_is_not_whole_is_not_believed(void)
{
    fixture f = {0};
    char path[128];
    scratch_make(f.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    uint64_t hash = hrt_runtime_state_hash(f.runtime);
    close_log(&f);
    for (uint32_t i = 0; i < FLIPS; i++) {
        struct stat about;
        find_snapshot(&f, path);
        FILE *file = fopen(path, "r+");
        REQUIRE(file != NULL && stat(path, &about) == 0);
        long place = (long)((uint64_t)about.st_size * i / FLIPS);
        if (i % 8 == 7) {
            REQUIRE(ftruncate(fileno(file), place) == 0);
        } else {
            REQUIRE(fseek(file, place, SEEK_SET) == 0);
            int byte = fgetc(file);
            REQUIRE(fseek(file, place, SEEK_SET) == 0 && fputc(byte ^ 0x10, file) != EOF);
        }
        (void)fclose(file);
        open_log(&f, 1);
        CHECK_EQ(f.recovery.snapshot, 2);
        CHECK(hrt_runtime_state_hash(f.runtime) == hash);
        close_log(&f);
    }
    scratch_remove();
}

/* A power cut after the snapshot took the end of the log, or the log was put back from a backup. */
static void a_snapshot_of_what_the_log_does_not_hold_is_not_believed(void)
{
    fixture f = {0};
    char path[128];
    char moved[128];
    scratch_make(f.directory);
    open_log(&f, 1);
    add_jobs(&f, JOBS);
    close_log(&f);
    find_snapshot(&f, path);
    (void)snprintf(moved, sizeof(moved), "%s/kept", f.directory);
    REQUIRE(rename(path, moved) == 0);
    DIR *entries = opendir(f.directory);
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        if (strstr(entry->d_name, ".seg") != NULL) {
            REQUIRE(unlinkat(dirfd(entries), entry->d_name, 0) == 0);
        }
    }
    (void)closedir(entries);
    open_log(&f, 0);
    add_jobs(&f, JOBS / 2);
    uint64_t hash = hrt_runtime_state_hash(f.runtime);
    close_log(&f);
    REQUIRE(rename(moved, path) == 0);
    open_log(&f, 1);
    CHECK_EQ(f.recovery.snapshot, 2);
    CHECK(hrt_runtime_state_hash(f.runtime) == hash);
    close_log(&f);
    scratch_remove();
}

/* ---- bytes of any kind ---- */

typedef struct bytes {
    uint8_t *room;
    size_t used;
} bytes;

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
    static const size_t head = 96;
    bytes whole = {.room = malloc(DUMP_ROOM)};
    bytes again = {.room = malloc(DUMP_ROOM)};
    uint64_t random = 7;
    int status;
    scratch_make(f.directory);
    open_log(&f, 1);
    add_jobs(&f, 40);
    close_log(&f);
    find_snapshot(&f, path);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL && whole.room != NULL && again.room != NULL);
    whole.used = fread(whole.room, 1, DUMP_ROOM, file);
    (void)fclose(file);
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

int main(void)
{
    TAP_LIST(TEST(a_restart_begins_from_the_snapshot),
             TEST(a_snapshot_that_is_not_whole_is_not_believed),
             TEST(a_snapshot_of_what_the_log_does_not_hold_is_not_believed),
             TEST(any_bytes_are_refused_or_make_a_sound_state));
}
