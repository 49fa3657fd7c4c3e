/* A log in a directory of its own, for tests: open, append, harm its files, look at what is left.
 */
#ifndef HRT_LOG_FIXTURE_H
#define HRT_LOG_FIXTURE_H

#include "log.h"
#include "record.h"
#include "scan.h"
#include "segment.h"
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define SMALL_SEGMENT 65536u

typedef struct fixture {
    char directory[64];
    hrt_log_options options;
    hrt_log *log;
    hrt_recovery recovery;
    hrt_damage_report report;
    uint64_t visited;
    uint64_t first; /* sequences visited */
    uint64_t last;
    uint64_t sum; /* of the fill bytes: what the records say */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int failure;
} fixture;

static void fixture_durable(void *context)
{
    fixture *f = context;
    (void)pthread_mutex_lock(&f->mutex);
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mutex);
}

static void fixture_failure(void *context, int status)
{
    fixture *f = context;
    (void)pthread_mutex_lock(&f->mutex);
    f->failure = status;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mutex);
}

static char fixture_left[64]; /* the directory to remove if a test bails out */

static void fixture_bail(void)
{
    if (fixture_left[0] != '\0') {
        scratch_empty(fixture_left);
        (void)rmdir(fixture_left);
    }
}

static inline void fixture_make(fixture *f)
{
    *f = (fixture){.directory = "/tmp/hrt_log_XXXXXX"};
    REQUIRE(mkdtemp(f->directory) != NULL);
    static bool watched;
    if (!watched) {
        watched = atexit(fixture_bail) == 0;
    }
    memcpy(fixture_left, f->directory, sizeof(fixture_left));
    (void)pthread_mutex_init(&f->mutex, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    f->options = (hrt_log_options){.directory = f->directory,
                                   .segment_size = SMALL_SEGMENT,
                                   .segments_max = 16,
                                   .async_ns = 1000000,
                                   .on_durable = fixture_durable,
                                   .on_failure = fixture_failure,
                                   .context = f};
}

static inline void fixture_end(fixture *f)
{
    hrt_log_close(f->log);
    scratch_empty(f->directory);
    CHECK_EQ(rmdir(f->directory), 0);
    fixture_left[0] = '\0';
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->mutex);
}

static inline int fixture_visit(void *context, const hrt_record *record)
{
    fixture *f = context;
    f->first = f->visited++ == 0 ? record->sequence : f->first;
    CHECK(f->last == 0 || record->sequence == f->last + 1);
    f->last = record->sequence;
    if (record->type == HRT_RECORD_LEASE) {
        f->sum += ((const hrt_lease_body *)hrt_record_body(record))->client;
    }
    return HRT_OK;
}

static inline int fixture_open(fixture *f)
{
    f->visited = 0;
    f->first = 0;
    f->last = 0;
    f->sum = 0;
    f->log = NULL;
    return hrt_log_open(&f->options, fixture_visit, f, &f->log, &f->recovery, &f->report);
}

static inline void fixture_close(fixture *f)
{
    hrt_log_close(f->log);
    f->log = NULL;
}

/* Leaves what a process leaves that is killed: nothing says how far the log had come. */
static inline void fixture_die(fixture *f)
{
    static const hrt_durable_mark nothing;
    hrt_catalog catalog;
    hrt_damage_report report = {0};
    fixture_close(f);
    int directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    REQUIRE(directory >= 0);
    REQUIRE(hrt_catalog_read(directory, &catalog, &report) == HRT_OK);
    for (uint32_t i = 0; i < catalog.count; i++) {
        int fd = hrt_segment_open(directory, catalog.entries[i].slot, O_RDWR);
        REQUIRE(fd >= 0);
        REQUIRE(hrt_write_at(fd, &nothing, sizeof(nothing), HRT_SEGMENT_MARK) == HRT_OK);
        (void)close(fd);
    }
    hrt_catalog_free(&catalog);
    (void)close(directory);
}

/* A LEASE of `ids` jobs that carries `value`; its size is 72 + 10 * ids. */
static inline int fixture_add(fixture *f, uint32_t ids, uint64_t value, enum hrt_log_class class)
{
    size_t body = hrt_lease_length(ids);
    int status =
        hrt_log_reserve(f->log, hrt_record_span((uint32_t)(sizeof(hrt_record) + body)), class);
    if (status == HRT_OK) {
        hrt_record *record = hrt_log_add(f->log, HRT_RECORD_LEASE, body);
        record->count = ids;
        hrt_lease_body *lease = hrt_record_body(record);
        lease->client = value;
        memset(lease + 1, 0x5a,
               body - sizeof(*lease)); /* so that lost blocks are seen to be lost */
    }
    return status;
}

/* A group of `count` records, sealed. */
static inline int fixture_group(fixture *f, uint32_t count, uint32_t ids, uint64_t value)
{
    size_t span = hrt_record_span((uint32_t)(sizeof(hrt_record) + hrt_lease_length(ids)));
    int status = hrt_log_reserve(f->log, count * span, HRT_LOG_OLD_WORK);
    for (uint32_t i = 0; i < count && status == HRT_OK; i++) {
        status = fixture_add(f, ids, value, HRT_LOG_OLD_WORK);
    }
    return status == HRT_OK ? hrt_log_seal(f->log) : status;
}

/* Begins a new epoch; `reboot` makes it look as if written before the machine was last booted. */
static inline int fixture_epoch(fixture *f, bool reboot)
{
    hrt_log_set_epoch(f->log, hrt_log_epoch(f->log) + 1);
    int status = hrt_log_reserve(f->log, 128, HRT_LOG_OLD_WORK);
    if (status != HRT_OK) {
        return status;
    }
    hrt_record *record = hrt_log_add(f->log, HRT_RECORD_EPOCH, sizeof(hrt_epoch_body));
    hrt_epoch_body *body = hrt_record_body(record);
    REQUIRE(hrt_boot_id(body->boot_id) == HRT_OK);
    body->boot_id[0] ^= reboot;
    body->format_version = HRT_FORMAT_VERSION;
    return hrt_log_seal(f->log);
}

/* Waits until the log is durable up to its tail, or failed. */
static inline void fixture_sync(fixture *f)
{
    uint64_t tail = hrt_log_tail(f->log);
    hrt_log_want_sync(f->log, tail);
    (void)pthread_mutex_lock(&f->mutex);
    while (hrt_log_durable(f->log) < tail && f->failure == 0) {
        (void)pthread_cond_wait(&f->changed, &f->mutex);
    }
    (void)pthread_mutex_unlock(&f->mutex);
}

static inline int fixture_file(const fixture *f, uint32_t slot, int flags)
{
    int directory = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = hrt_segment_open(directory, slot, flags);
    (void)close(directory);
    REQUIRE(fd >= 0);
    return fd;
}

static inline void fixture_read(const fixture *f, uint32_t slot, uint64_t offset, void *bytes,
                                size_t length)
{
    size_t got = 0;
    int fd = fixture_file(f, slot, O_RDONLY);
    REQUIRE(hrt_read_at(fd, bytes, length, offset, &got) == HRT_OK && got == length);
    (void)close(fd);
}

static inline void fixture_write(const fixture *f, uint32_t slot, uint64_t offset,
                                 const void *bytes, size_t length)
{
    int fd = fixture_file(f, slot, O_RDWR);
    REQUIRE(hrt_write_at(fd, bytes, length, offset) == HRT_OK);
    (void)close(fd);
}

static inline void fixture_flip(const fixture *f, uint32_t slot, uint64_t offset)
{
    uint8_t byte = 0;
    fixture_read(f, slot, offset, &byte, 1);
    byte ^= 0x10;
    fixture_write(f, slot, offset, &byte, 1);
}

/* A file beside the segments, empty. */
static inline void fixture_touch(const fixture *f, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    (void)close(fd);
}

static inline bool fixture_has(const fixture *f, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    return access(path, F_OK) == 0;
}

static inline void fixture_remove(const fixture *f, uint32_t slot)
{
    char name[HRT_SEGMENT_NAME_SIZE];
    char path[128];
    hrt_segment_name(slot, name);
    (void)snprintf(path, sizeof(path), "%s/%s", f->directory, name);
    REQUIRE(unlink(path) == 0);
}

#endif
