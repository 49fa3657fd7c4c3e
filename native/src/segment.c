/* One segment file: its name, its header, its zeros, its bytes. Knows nothing about order. */
#include "segment.h"

#include "check.h"
#include "error.h"
#include "failpoint.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define STEP_SIZE 1048576u /* zeros written before a waiting sync gets its turn */

int hrt_status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return HRT_ENOSPC;
    case EIO:
        return HRT_EIO;
    case EACCES:
    case EPERM:
    case EROFS:
        return HRT_EPERM;
    default:
        return HRT_ESYSTEM;
    }
}

bool hrt_segment_size_valid(uint32_t size)
{
    return size >= HRT_SEGMENT_SIZE_MIN && size <= HRT_SEGMENT_SIZE_MAX && (size & (size - 1)) == 0;
}

void hrt_segment_name(uint32_t slot, char name_out[HRT_SEGMENT_NAME_SIZE])
{
    (void)snprintf(name_out, HRT_SEGMENT_NAME_SIZE, "%08x.seg", slot);
}

int hrt_segment_open(int directory, uint32_t slot, int flags)
{
    char name[HRT_SEGMENT_NAME_SIZE];
    hrt_segment_name(slot, name);
    return openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static uint32_t head_checksum(const hrt_segment *head)
{
    hrt_segment copy = *head;
    copy.crc = 0;
    return hrt_crc32c_update(0, &copy, sizeof(copy));
}

void hrt_segment_seal(hrt_segment *head)
{
    head->crc = head_checksum(head);
}

bool hrt_segment_valid(const hrt_segment *head)
{
    return head->magic == HRT_MAGIC_SEGMENT && head->crc == head_checksum(head);
}

int hrt_write_at(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const uint8_t *from = bytes;
    while (length > 0) {
        ssize_t written = pwrite(fd, from, length, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return hrt_status_of(written < 0 ? errno : ENOSPC);
        }
        from += written;
        length -= (size_t)written;
        offset += (uint64_t)written;
    }
    return HRT_OK;
}

int hrt_read_at(int fd, void *bytes, size_t length, uint64_t offset, size_t *got_out)
{
    uint8_t *into = bytes;
    size_t got = 0;
    while (got < length) {
        ssize_t count = pread(fd, into + got, length - got, (off_t)(offset + got));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return hrt_status_of(errno);
        }
        if (count == 0) {
            break;
        }
        got += (size_t)count;
    }
    *got_out = got;
    return HRT_OK;
}

/* In one piece, and on the disk when it returns HRT_OK. */
static int write_durably(int fd, const void *bytes, size_t length, off_t offset)
{
    struct iovec whole = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    ssize_t written = pwritev2(fd, &whole, 1, offset, RWF_DSYNC);
    while (written < 0 && errno == EINTR) {
        written = pwritev2(fd, &whole, 1, offset, RWF_DSYNC);
    }
    if (written != (ssize_t)length) {
        return hrt_status_of(written < 0 ? errno : ENOSPC);
    }
    return HRT_OK;
}

int hrt_segment_write_head(int fd, const hrt_segment *head)
{
    int status = HRT_FAILPOINT("log.segment.head");
    return status == HRT_OK ? write_durably(fd, head, sizeof(*head), 0) : status;
}

static uint32_t mark_checksum(const hrt_durable_mark *mark)
{
    hrt_durable_mark copy = *mark;
    copy.crc = 0;
    return hrt_crc32c_update(0, &copy, sizeof(copy));
}

int hrt_segment_write_mark(int fd, hrt_durable_mark *mark, bool durably)
{
    mark->magic = HRT_MAGIC_DURABLE;
    mark->crc = mark_checksum(mark);
    return durably ? write_durably(fd, mark, sizeof(*mark), HRT_SEGMENT_MARK)
                   : hrt_write_at(fd, mark, sizeof(*mark), HRT_SEGMENT_MARK);
}

int hrt_segment_read_mark(int fd, hrt_durable_mark *mark_out)
{
    size_t got = 0;
    int status = hrt_read_at(fd, mark_out, sizeof(*mark_out), HRT_SEGMENT_MARK, &got);
    if (got != sizeof(*mark_out) || mark_out->magic != HRT_MAGIC_DURABLE ||
        mark_out->crc != mark_checksum(mark_out)) {
        *mark_out = (hrt_durable_mark){0};
    }
    return status;
}

int hrt_segment_begin(int directory, uint32_t slot, uint32_t size, hrt_segment_making *making)
{
    int status = HRT_FAILPOINT("log.segment.create");
    if (status != HRT_OK) {
        return status;
    }
    if (slot >= HRT_SLOTS_MAX) {
        return HRT_ENOSPC;
    }
    int fd = hrt_segment_open(directory, slot, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) {
        return hrt_status_of(errno);
    }
    *making = (hrt_segment_making){.fd = fd, .slot = slot};
    /* Finds a full disk before 16 MiB of zeros do; not every file system knows it. */
    if (fallocate(fd, 0, 0, (off_t)size) != 0 && hrt_status_of(errno) == HRT_ENOSPC) {
        hrt_segment_abandon(directory, making);
        return HRT_ENOSPC;
    }
    return HRT_OK;
}

/* The name goes to the disk before the header does: only a header makes the file part of a log. */
static int publish(int directory, int fd, const hrt_segment *head)
{
    int status = HRT_FAILPOINT("log.segment.fsync");
    if (status == HRT_OK && fsync(fd) != 0) {
        status = hrt_status_of(errno);
    }
    if (status == HRT_OK) {
        status = HRT_FAILPOINT("log.directory.fsync");
    }
    if (status == HRT_OK && fsync(directory) != 0) {
        status = hrt_status_of(errno);
    }
    return status == HRT_OK ? hrt_segment_write_head(fd, head) : status;
}

int hrt_segment_step(int directory, hrt_segment_making *making, const hrt_segment *head)
{
    static const uint8_t zeros[STEP_SIZE];
    HRT_ASSERT(making->fd >= 0);
    if (making->done == head->segment_size) {
        return publish(directory, making->fd, head);
    }
    uint32_t rest = head->segment_size - making->done;
    uint32_t length = rest < STEP_SIZE ? rest : STEP_SIZE;
    int status = HRT_FAILPOINT("log.segment.zero");
    if (status == HRT_OK) {
        status = hrt_write_at(making->fd, zeros, length, making->done);
    }
    if (status != HRT_OK) {
        return status;
    }
    making->done += length;
    return HRT_EAGAIN;
}

void hrt_segment_abandon(int directory, hrt_segment_making *making)
{
    char name[HRT_SEGMENT_NAME_SIZE];
    hrt_segment_name(making->slot, name);
    (void)unlinkat(directory, name, 0);
    (void)close(making->fd);
    making->fd = -1;
}
