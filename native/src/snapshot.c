/*
 * Writing a snapshot. The file is written under another name, synced, and renamed when the log is
 * durable up to it; the directory is synced behind it. So there is a whole one or none, wherever
 * the writer is stopped, and the log always reaches as far as any snapshot of it.
 */
#include "snapshot.h"

#include "atomic.h"
#include "dump.h"
#include "error.h"
#include "record.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "snapshot-"
#define UNFINISHED "snapshot."
#define ASIDE "refused-"
#define DURABLE_LOOK_NS 5000000

enum { BUFFER_SIZE = 32768, DIGITS = 16, DURABLE_LOOKS = 2000, ASIDES_KEPT = 2 };

/* ---- names ---- */

static bool has_sequence(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 && strlen(name) == length + DIGITS &&
           strspn(name + length, "0123456789abcdef") == DIGITS;
}

static bool is_snapshot(const char *name)
{
    return has_sequence(name, PREFIX);
}

static bool is_aside(const char *name)
{
    return has_sequence(name, ASIDE);
}

static bool is_unfinished(const char *name)
{
    return strncmp(name, UNFINISHED, strlen(UNFINISHED)) == 0 &&
           strlen(name) < HRT_SNAPSHOT_NAME_SIZE;
}

/* Newest first; of too many the oldest are left out. */
static void insert(hrt_snapshot_names *names, const char *name)
{
    uint32_t place = names->count;
    while (place > 0 && strcmp(names->names[place - 1], name) < 0) {
        place--;
    }
    if (place == HRT_SNAPSHOT_NAMES_MAX) {
        return;
    }
    names->count += names->count < HRT_SNAPSHOT_NAMES_MAX;
    memmove(names->names + place + 1, names->names + place,
            (names->count - place - 1) * sizeof(names->names[0]));
    (void)snprintf(names->names[place], HRT_SNAPSHOT_NAME_SIZE, "%s", name);
}

static void list(int directory, bool (*wanted)(const char *name), hrt_snapshot_names *names_out)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    names_out->count = 0;
    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        if (wanted(entry->d_name)) {
            insert(names_out, entry->d_name);
        }
    }
    if (stream != NULL) {
        (void)closedir(stream);
    } else if (fd >= 0) {
        (void)close(fd);
    }
}

static void name_of(uint64_t sequence, char name_out[HRT_SNAPSHOT_NAME_SIZE])
{
    (void)snprintf(name_out, HRT_SNAPSHOT_NAME_SIZE, PREFIX "%016llx",
                   (unsigned long long)sequence);
}

bool hrt_snapshot_is_named(const char *name, uint64_t sequence)
{
    char right[HRT_SNAPSHOT_NAME_SIZE];
    name_of(sequence, right);
    return strcmp(name, right) == 0;
}

void hrt_snapshot_list(int directory, hrt_snapshot_names *names_out)
{
    list(directory, is_snapshot, names_out);
}

void hrt_snapshot_doom(int directory, hrt_snapshot_names *doomed_out)
{
    hrt_snapshot_names whole;
    list(directory, is_snapshot, &whole);
    list(directory, is_unfinished, doomed_out);
    for (uint32_t i = HRT_SNAPSHOTS_KEPT - 1; i < whole.count; i++) {
        insert(doomed_out, whole.names[i]);
    }
}

static void remove_all(int directory, const hrt_snapshot_names *names, uint32_t from)
{
    for (uint32_t i = from; i < names->count; i++) {
        (void)unlinkat(directory, names->names[i], 0);
    }
}

void hrt_snapshot_put_aside(int directory, const char *name)
{
    char aside[HRT_SNAPSHOT_NAME_SIZE];
    hrt_snapshot_names asides;
    (void)snprintf(aside, sizeof(aside), ASIDE "%s", name + strlen(PREFIX));
    (void)renameat(directory, name, directory, aside);
    list(directory, is_aside, &asides);
    remove_all(directory, &asides, ASIDES_KEPT);
}

/* ---- writing ---- */

typedef struct output {
    int fd;
    uint32_t crc;
    uint64_t offset;
    size_t used;
    uint8_t buffer[BUFFER_SIZE]; /* on the stack: nothing may be allocated here */
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

static int write_all(const hrt_snapshot_order *order, output *out)
{
    const hrt_snapshot_head head = {.magic = HRT_SNAPSHOT_MAGIC,
                                    .version = HRT_SNAPSHOT_VERSION,
                                    .start = order->start,
                                    .segment_size = order->segment_size,
                                    .state_hash = hrt_state_hash(order->state)};
    int status = put(out, &head, sizeof(head));
    status = status == HRT_OK ? hrt_state_dump(order->state, put, out) : status;
    const hrt_snapshot_tail tail = {.crc = out->crc, .magic = HRT_SNAPSHOT_MAGIC};
    status = status == HRT_OK ? put(out, &tail, sizeof(tail)) : status;
    status = status == HRT_OK ? flush(out) : status;
    if (status == HRT_OK && fsync(out->fd) != 0) {
        status = hrt_status_of(errno);
    }
    return status;
}

/*
 * A snapshot of records that a power cut may still take back would be a state that the log never
 * had, or has lost.
 */
static int await_durable(const hrt_snapshot_order *order)
{
    const struct timespec pause = {.tv_nsec = DURABLE_LOOK_NS};
    for (uint32_t looks = 0; order->page != NULL && looks < DURABLE_LOOKS; looks++) {
        if (hrt_load_acquire(&order->page->runtime.log_durable) >= order->start.position) {
            return HRT_OK;
        }
        (void)nanosleep(&pause, NULL);
    }
    return order->page == NULL ? HRT_OK : HRT_ETIMEOUT;
}

static int publish(const hrt_snapshot_order *order, const char *unfinished)
{
    char name[HRT_SNAPSHOT_NAME_SIZE];
    name_of(order->start.sequence, name);
    if (renameat(order->directory, unfinished, order->directory, name) != 0 ||
        fsync(order->directory) != 0) {
        return hrt_status_of(errno);
    }
    for (uint32_t i = 0; i < order->doomed.count; i++) {
        if (strcmp(order->doomed.names[i], name) != 0) {
            (void)unlinkat(order->directory, order->doomed.names[i], 0);
        }
    }
    return HRT_OK;
}

int hrt_snapshot_write(const hrt_snapshot_order *order)
{
    char unfinished[HRT_SNAPSHOT_NAME_SIZE];
    output out = {0};
    (void)snprintf(unfinished, sizeof(unfinished), UNFINISHED "%d.new", (int)getpid());
    (void)unlinkat(order->directory, unfinished, 0);
    out.fd = openat(order->directory, unfinished,
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out.fd < 0) {
        return hrt_status_of(errno);
    }
    int status = write_all(order, &out);
    (void)close(out.fd);
    status = status == HRT_OK ? await_durable(order) : status;
    status = status == HRT_OK ? publish(order, unfinished) : status;
    if (status != HRT_OK) {
        (void)unlinkat(order->directory, unfinished, 0);
    }
    return status;
}

/* ---- reading ---- */

const char *hrt_snapshot_judge(const void *bytes, size_t size, hrt_snapshot_head *head_out)
{
    hrt_snapshot_tail tail;
    if (size < sizeof(*head_out) + sizeof(tail)) {
        return "it is cut short";
    }
    memcpy(head_out, bytes, sizeof(*head_out));
    memcpy(&tail, (const uint8_t *)bytes + size - sizeof(tail), sizeof(tail));
    if (head_out->magic != HRT_SNAPSHOT_MAGIC || head_out->version != HRT_SNAPSHOT_VERSION) {
        return "it has another format";
    }
    bool sound = tail.magic == HRT_SNAPSHOT_MAGIC &&
                 tail.crc == hrt_crc32c_update(0, bytes, size - sizeof(tail));
    return sound ? NULL : "its checksum is wrong";
}
