/*
 * Remembers every write, sync and new file of the segments of a log, and builds from it what a disk
 * may hold after the power was cut: all that a sync covered, and any part of the rest.
 *
 * The functions below stand in for libc's in the whole test program. One life is recorded at a
 * time. Every look at the id of the boot gives another one: each opening is one after a power cut.
 */
#ifndef HRT_RECORDER_H
#define HRT_RECORDER_H

#include "segment.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DISK_FILES = 64, DISK_SEGMENT = 65536, SECTOR = 512, PAGE = 4096, RECORDER_FDS = 4096 };

enum event_type {
    EVENT_CREATE,
    EVENT_WRITE,
    EVENT_RETURN, /* of a write that was a sync of its own */
    EVENT_SYNC,
    EVENT_DIRECTORY,
    EVENT_PROMISE,
};

typedef struct event {
    enum event_type type;
    uint32_t slot;
    uint64_t offset;
    uint64_t length;
    uint8_t *bytes;
    uint64_t value;      /* SYNC, DIRECTORY: events before it are covered; PROMISE: a sequence */
    uint64_t durable_at; /* WRITE, CREATE: the event that covers it */
} event;

typedef struct recorder {
    pthread_mutex_t mutex;
    bool on;
    bool failing; /* syncs do */
    event *events;
    uint64_t count;
    uint64_t capacity;
    uint32_t slot_of[RECORDER_FDS]; /* + 1; 0: no segment */
} recorder;

static recorder recording = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Mutex held. */
static event *recorder_add(enum event_type type, uint32_t slot)
{
    if (recording.count == recording.capacity) {
        recording.capacity = recording.capacity == 0 ? 1024 : 2 * recording.capacity;
        recording.events = realloc(recording.events, recording.capacity * sizeof(event));
        REQUIRE(recording.events != NULL);
    }
    event *added = &recording.events[recording.count++];
    *added = (event){.type = type, .slot = slot, .durable_at = UINT64_MAX};
    return added;
}

static uint32_t recorder_slot(int fd)
{
    return fd >= 0 && fd < RECORDER_FDS ? recording.slot_of[fd] : 0;
}

static void recorder_write(int fd, const void *bytes, size_t length, uint64_t offset)
{
    event *write = recorder_add(EVENT_WRITE, recorder_slot(fd) - 1);
    write->offset = offset;
    write->length = length;
    write->bytes = malloc(length);
    REQUIRE(write->bytes != NULL);
    memcpy(write->bytes, bytes, length);
}

/* What was durable is so from the return of the sync on, if it was there before the call. */
static int recorder_sync(int fd, long number)
{
    (void)pthread_mutex_lock(&recording.mutex);
    uint64_t covered = recording.count;
    bool failing = recording.failing;
    (void)pthread_mutex_unlock(&recording.mutex);
    struct stat about;
    if (failing) {
        errno = EIO;
        return -1;
    }
    int status = (int)syscall(number, fd);
    (void)pthread_mutex_lock(&recording.mutex);
    if (recording.on && status == 0 && fstat(fd, &about) == 0) {
        bool directory = S_ISDIR(about.st_mode);
        if (directory || recorder_slot(fd) > 0) {
            enum event_type type = directory ? EVENT_DIRECTORY : EVENT_SYNC;
            recorder_add(type, directory ? 0 : recorder_slot(fd) - 1)->value = covered;
        }
    }
    (void)pthread_mutex_unlock(&recording.mutex);
    return status;
}

/* ---- in place of libc ---- */

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    (void)pthread_mutex_lock(&recording.mutex);
    ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (recording.on && written > 0 && recorder_slot(fd) > 0) {
        recorder_write(fd, bytes, (size_t)written, (uint64_t)offset);
    }
    (void)pthread_mutex_unlock(&recording.mutex);
    return written;
}

int fdatasync(int fd)
{
    return recorder_sync(fd, SYS_fdatasync);
}

int fsync(int fd)
{
    return recorder_sync(fd, SYS_fsync);
}

/* With RWF_DSYNC these bytes are on the disk when it returns, and those around them may be. */
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    REQUIRE(count == 1 && flags == RWF_DSYNC);
    (void)pthread_mutex_lock(&recording.mutex);
    ssize_t written = syscall(SYS_pwritev2, fd, parts, (long)count, offset, 0L, flags);
    if (recording.on && written > 0 && recorder_slot(fd) > 0) {
        recorder_write(fd, parts->iov_base, (size_t)written, (uint64_t)offset);
        event *write = &recording.events[recording.count - 1];
        write->durable_at = recording.count;
        (void)recorder_add(EVENT_RETURN, 0);
    }
    (void)pthread_mutex_unlock(&recording.mutex);
    return written;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int openat(int directory, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    (void)pthread_mutex_lock(&recording.mutex);
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    size_t length = strlen(path);
    bool segment = length == 12 && strcmp(path + 8, ".seg") == 0;
    if (fd >= 0 && fd < RECORDER_FDS) {
        uint32_t slot = segment ? (uint32_t)strtoul(path, NULL, 16) : 0;
        recording.slot_of[fd] = segment && (flags & O_ACCMODE) != O_RDONLY ? slot + 1 : 0;
        if (recording.on && segment && (flags & O_CREAT)) {
            REQUIRE(slot < DISK_FILES); /* others would outlive each cut, and belong to the next */
            (void)recorder_add(EVENT_CREATE, slot);
        }
    }
    (void)pthread_mutex_unlock(&recording.mutex);
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    bool boot = strcmp(path, "/proc/sys/kernel/random/boot_id") == 0;
    const char *other = boot ? "/proc/sys/kernel/random/uuid" : path;
    (void)pthread_mutex_lock(&recording.mutex);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, other, flags, mode);
    if (fd >= 0 && fd < RECORDER_FDS) {
        recording.slot_of[fd] = 0;
    }
    (void)pthread_mutex_unlock(&recording.mutex);
    return fd;
}

/* ---- a life ---- */

static inline void recorder_begin(void)
{
    (void)pthread_mutex_lock(&recording.mutex);
    recording.events = NULL;
    recording.count = recording.capacity = 0;
    recording.on = true;
    (void)pthread_mutex_unlock(&recording.mutex);
}

/* The log has promised that everything up to this sequence is durable. */
static inline void recorder_promise(uint64_t sequence)
{
    (void)pthread_mutex_lock(&recording.mutex);
    recorder_add(EVENT_PROMISE, 0)->value = sequence;
    (void)pthread_mutex_unlock(&recording.mutex);
}

/* Ends the recording; says for each write what made it durable. */
static inline event *recorder_end(uint64_t *count_out)
{
    (void)pthread_mutex_lock(&recording.mutex);
    recording.on = false;
    for (uint64_t i = 0; i < recording.count; i++) {
        const event *sync = &recording.events[i];
        enum event_type covers = sync->type == EVENT_DIRECTORY ? EVENT_CREATE : EVENT_WRITE;
        bool syncs = sync->type == EVENT_SYNC || sync->type == EVENT_DIRECTORY;
        for (uint64_t j = syncs ? sync->value : 0; j > 0; j--) {
            event *write = &recording.events[j - 1];
            if (write->type == covers && (covers == EVENT_CREATE || write->slot == sync->slot) &&
                write->durable_at == UINT64_MAX) {
                write->durable_at = i;
            }
        }
    }
    *count_out = recording.count;
    event *events = recording.events;
    (void)pthread_mutex_unlock(&recording.mutex);
    return events;
}

static inline void recorder_free(event *events, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        free(events[i].bytes);
    }
    free(events);
}

/* ---- the disk after a power cut ---- */

typedef struct disk_file {
    bool there;
    uint64_t size;
    uint8_t bytes[DISK_SEGMENT];
} disk_file;

typedef struct disk {
    disk_file files[DISK_FILES];
} disk;

/* Of a file that is not there, nothing counts: who makes it, empties it. */
static inline void disk_copy(disk *to, const disk *from)
{
    for (uint32_t slot = 0; slot < DISK_FILES; slot++) {
        if (from->files[slot].there) {
            memcpy(&to->files[slot], &from->files[slot], sizeof(disk_file));
        } else {
            to->files[slot].there = false;
            to->files[slot].size = 0;
        }
    }
}

/* How the writes that no sync covered fare, piece by piece. */
typedef struct fate {
    uint64_t random; /* state of the generator */
    uint32_t chance; /* of 256 that a piece reaches the disk */
    uint32_t piece;  /* SECTOR or PAGE */
    uint64_t chosen; /* exhaustive: bit of each piece */
    bool exhaustive;
    uint64_t pieces; /* seen so far */
} fate;

static inline uint64_t fate_random(uint64_t *random)
{
    *random += 0x9e3779b97f4a7c15u;
    uint64_t value = *random;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static inline bool fate_of_piece(fate *f)
{
    uint64_t piece = f->pieces++;
    if (f->exhaustive) {
        return f->chosen >> (piece & 63) & 1;
    }
    return (fate_random(&f->random) & 255) < f->chance;
}

/* Sectors go to the disk as the page cache has them: with all earlier writes. */
static inline void disk_write(disk_file *cached, disk_file *file, const event *write, bool covered,
                              fate *f)
{
    REQUIRE(write->offset + write->length <= DISK_SEGMENT);
    memcpy(cached->bytes + write->offset, write->bytes, write->length);
    uint64_t end = write->offset + write->length;
    cached->size = end > cached->size ? end : cached->size;
    bool lucky = false;
    uint64_t first = write->offset / SECTOR * SECTOR;
    for (uint64_t sector = first; sector < end; sector += SECTOR) {
        if (!covered && (sector == first || sector % f->piece == 0)) {
            lucky = fate_of_piece(f);
        }
        if (covered || lucky) {
            memcpy(file->bytes + sector, cached->bytes + sector, SECTOR);
            uint64_t until = sector + SECTOR < cached->size ? sector + SECTOR : cached->size;
            file->size = until > file->size ? until : file->size;
        }
    }
}

/* What is on the disk if the power is cut before event number `cut`. */
static inline void disk_cut(const disk *before, const event *events, uint64_t cut, fate *f,
                            disk *after)
{
    static disk cache;
    disk_copy(&cache, before);
    disk_copy(after, before);
    for (uint64_t i = 0; i < cut; i++) {
        const event *one = &events[i];
        bool covered = one->durable_at < cut;
        disk_file *file = &after->files[one->slot];
        disk_file *cached = &cache.files[one->slot];
        if (one->type == EVENT_CREATE) {
            memset(cached, 0, sizeof(*cached));
            memset(file, 0, sizeof(*file));
            file->there = covered || fate_of_piece(f);
        } else if (one->type == EVENT_WRITE) {
            disk_write(cached, file, one, covered, f);
        }
    }
}

static inline void disk_store(const disk *from, int directory)
{
    for (uint32_t slot = 0; slot < DISK_FILES; slot++) {
        char name[HRT_SEGMENT_NAME_SIZE];
        hrt_segment_name(slot, name);
        const disk_file *file = &from->files[slot];
        if (!file->there) {
            (void)unlinkat(directory, name, 0);
            continue;
        }
        int fd = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        REQUIRE(fd >= 0);
        REQUIRE(ftruncate(fd, (off_t)file->size) == 0);
        REQUIRE(hrt_write_at(fd, file->bytes, file->size, 0) == HRT_OK);
        (void)close(fd);
    }
}

#endif
