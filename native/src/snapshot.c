/*
 * Snapshots: the state as it was at one record, in a file beside the segments, so that a restart
 * reads only what came after. It is a convenience and never believed: where it does not fit the log
 * in every way that can be told, the whole log is read.
 *
 * A file is written under another name, synced, and renamed; the directory is synced behind it. So
 * there is a whole one or none, wherever the writer is stopped.
 */
#include "dispatch.h"

#include "check.h"
#include "dump.h"
#include "error.h"
#include "record.h"
#include "scan.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x4e545248u /* "HRTN" */
#define PREFIX "snapshot-"
#define UNFINISHED "snapshot.new"

enum { VERSION = 1, BUFFER_SIZE = 1048576, NAME_SIZE = 32, SIZE_MAX_BITS = 40 };

typedef struct snapshot_head {
    uint32_t magic;
    uint32_t version;
    hrt_scan_start start;
    uint32_t segment_size;
    uint32_t reserved;
} snapshot_head; /* then the dump */

typedef struct snapshot_tail {
    uint32_t crc; /* CRC32C of everything before */
    uint32_t magic;
} snapshot_tail;

_Static_assert(sizeof(snapshot_head) == 96 && sizeof(snapshot_tail) == 8, "no holes");

/* ---- writing ---- */

typedef struct output {
    int fd;
    uint32_t crc;
    uint64_t offset;
    size_t used;
    uint8_t *buffer;
} output;

static int flush(output *out)
{
    int status = hrt_write_at(out->fd, out->buffer, out->used, out->offset);
    out->offset += out->used;
    out->used = 0;
    return status;
}

static int put(void *context, const void *bytes, size_t length)
{
    output *out = context;
    const uint8_t *from = bytes;
    out->crc = hrt_crc32c_update(out->crc, bytes, length);
    while (length > 0) {
        size_t piece = BUFFER_SIZE - out->used < length ? BUFFER_SIZE - out->used : length;
        memcpy(out->buffer + out->used, from, piece);
        out->used += piece;
        from += piece;
        length -= piece;
        int status = out->used == BUFFER_SIZE ? flush(out) : HRT_OK;
        if (status != HRT_OK) {
            return status;
        }
    }
    return HRT_OK;
}

static int write_all(const hrt_runtime *runtime, const hrt_scan_start *start, output *out)
{
    snapshot_head head = {.magic = MAGIC,
                          .version = VERSION,
                          .start = *start,
                          .segment_size = hrt_log_segment_size(runtime->log)};
    int status = put(out, &head, sizeof(head));
    status = status == HRT_OK ? hrt_state_dump(runtime->state, put, out) : status;
    snapshot_tail tail = {.crc = out->crc, .magic = MAGIC};
    status = status == HRT_OK ? put(out, &tail, sizeof(tail)) : status;
    status = status == HRT_OK ? flush(out) : status;
    if (status == HRT_OK && fsync(out->fd) != 0) {
        status = hrt_status_of(errno);
    }
    return status;
}

static void remove_others(int directory, const char *name)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            strcmp(entry->d_name, name) != 0) {
            (void)unlinkat(directory, entry->d_name, 0);
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
}

static int publish(int directory, uint64_t sequence)
{
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof(name), PREFIX "%016llx", (unsigned long long)sequence);
    int status = HRT_OK;
    if (renameat(directory, UNFINISHED, directory, name) != 0) {
        status = hrt_status_of(errno);
    }
    if (status == HRT_OK && fsync(directory) != 0) {
        status = hrt_status_of(errno);
    }
    if (status == HRT_OK) {
        remove_others(directory, name);
    }
    return status;
}

/* The checkpoint at `position` is the mark by which the snapshot is known to belong to the log. */
static bool find_start(const hrt_runtime *runtime, uint64_t position, hrt_scan_start *start)
{
    const hrt_record *mark = hrt_log_at(runtime->log, position);
    if (mark == NULL) {
        return false;
    }
    *start = (hrt_scan_start){.mark = position,
                              .mark_crc = mark->crc,
                              .epoch = mark->epoch,
                              .position = hrt_log_tail(runtime->log),
                              .sequence = hrt_log_next_sequence(runtime->log) - 1,
                              .durable = mark->durable};
    memcpy(start->uuid, hrt_log_uuid(runtime->log), sizeof(start->uuid));
    return hrt_boot_id(start->boot_id) == HRT_OK;
}

int hrt_snapshot_write(const hrt_runtime *runtime, uint64_t position)
{
    int directory = hrt_log_directory(runtime->log);
    hrt_scan_start start;
    if (!find_start(runtime, position, &start)) {
        return HRT_ESYSTEM;
    }
    output out = {.buffer = malloc(BUFFER_SIZE)};
    if (out.buffer == NULL) {
        return HRT_ENOMEM;
    }
    out.fd =
        openat(directory, UNFINISHED, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int status = out.fd < 0 ? hrt_status_of(errno) : write_all(runtime, &start, &out);
    if (out.fd >= 0) {
        (void)close(out.fd);
    }
    free(out.buffer);
    status = status == HRT_OK ? publish(directory, start.sequence) : status;
    if (status != HRT_OK) {
        (void)unlinkat(directory, UNFINISHED, 0);
    }
    return status;
}

/* ---- reading ---- */

static int find_newest(int directory, char name_out[NAME_SIZE])
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    name_out[0] = '\0';
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        bool ours = strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 &&
                    strlen(entry->d_name) == strlen(PREFIX) + 16;
        if (ours && strcmp(entry->d_name, name_out) > 0) {
            (void)snprintf(name_out, NAME_SIZE, "%s", entry->d_name);
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    }
    return name_out[0] != '\0' ? HRT_OK : HRT_ENOTFOUND;
}

static int read_file(int directory, const char *name, uint8_t **bytes_out, size_t *size_out)
{
    struct stat about;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int status = fd < 0 || fstat(fd, &about) != 0 ? HRT_EIO : HRT_OK;
    uint64_t size = status == HRT_OK ? (uint64_t)about.st_size : 0;
    if (size < sizeof(snapshot_head) + sizeof(snapshot_tail) || size >> SIZE_MAX_BITS != 0) {
        status = HRT_ECORRUPT;
    }
    *bytes_out = status == HRT_OK ? malloc(size) : NULL;
    *size_out = 0;
    if (status == HRT_OK) {
        status = *bytes_out == NULL ? HRT_ENOMEM : hrt_read_at(fd, *bytes_out, size, 0, size_out);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return status == HRT_OK && *size_out != size ? HRT_ECORRUPT : status;
}

/* Whole, and of a version that we know. */
static bool is_sound(const uint8_t *bytes, size_t size)
{
    snapshot_head head;
    snapshot_tail tail;
    memcpy(&head, bytes, sizeof(head));
    memcpy(&tail, bytes + size - sizeof(tail), sizeof(tail));
    return head.magic == MAGIC && head.version == VERSION && tail.magic == MAGIC &&
           tail.crc == hrt_crc32c_update(0, bytes, size - sizeof(tail));
}

static int use(hrt_runtime *runtime, hrt_scan *scan, const uint8_t *bytes, size_t size)
{
    snapshot_head head;
    memcpy(&head, bytes, sizeof(head));
    if (!is_sound(bytes, size) || head.segment_size != runtime->options.segment_size) {
        return HRT_ECORRUPT;
    }
    int status = hrt_scan_resume(scan, &head.start);
    if (status != HRT_OK) {
        return status;
    }
    return hrt_state_load(runtime->state, bytes + sizeof(head),
                          size - sizeof(head) - sizeof(snapshot_tail));
}

int hrt_snapshot_resume(void *context, hrt_scan *scan)
{
    hrt_runtime *runtime = context;
    char name[NAME_SIZE];
    uint8_t *bytes = NULL;
    size_t size = 0;
    int directory = hrt_scan_directory(scan);
    if (find_newest(directory, name) != HRT_OK) {
        return HRT_OK;
    }
    int status = read_file(directory, name, &bytes, &size);
    status = status == HRT_OK ? use(runtime, scan, bytes, size) : status;
    free(bytes);
    runtime->resumed = true;
    return status;
}

/* ---- what came of it ---- */

static bool lies_in_log(const hrt_runtime *runtime, uint64_t position, uint64_t length)
{
    uint64_t size = hrt_log_segment_size(runtime->log);
    uint64_t offset = position % size;
    return position >= hrt_log_head(runtime->log) && position < hrt_log_tail(runtime->log) &&
           offset >= HRT_SEGMENT_HEADER && length <= size - offset;
}

static bool record_fits(const hrt_runtime *runtime, const hrt_state_job *job)
{
    const hrt_record *record = hrt_log_at(runtime->log, job->position);
    return record != NULL && record->position == job->position &&
           hrt_record_span(record->length) == job->record_span &&
           (record->type == HRT_RECORD_KEEP || record->sequence == job->id);
}

bool hrt_snapshot_fits(const hrt_runtime *runtime)
{
    for (uint32_t index = 0; index < hrt_state_capacity(runtime->state); index++) {
        const hrt_state_job *job = hrt_state_at(runtime->state, index);
        if (job->id == 0) {
            continue;
        }
        bool fits = lies_in_log(runtime, job->position, job->record_span) &&
                    record_fits(runtime, job) &&
                    (job->result_length == 0 ||
                     lies_in_log(runtime, job->result_position, job->result_length)) &&
                    (job->saved_length == 0 ||
                     lies_in_log(runtime, job->saved_position, job->saved_length));
        if (!fits) {
            return false;
        }
    }
    return true;
}
