/* Descriptors and the calls that take them. */
#include "calls.h"
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum { FDS_MAX = 1024, FD_FIRST = 3, STREAMS_MAX = 4, MEMORIES_MAX = 96 };

enum fd_type { FD_FREE, FD_FILE, FD_DIRECTORY, FD_MEMORY, FD_EVENT, FD_TEXT };

typedef struct descriptor {
    enum fd_type type;
    sim_process *owner;
    int object; /* inode, or memory */
    uint64_t offset;
    uint64_t description; /* duplicates share it */
} descriptor;

/* A read lock on one byte of the directory; it ends with the last descriptor of its description. */
typedef struct mark {
    uint64_t description;
    off_t at;
} mark;

static struct {
    descriptor fds[FDS_MAX];
    mark marks[FDS_MAX];
    uint32_t mark_count;
    uint64_t descriptions;
    uint32_t boots; /* the id of the boot counts them */
} files;

static int fail_with(int error)
{
    errno = error;
    return -1;
}

static descriptor *at(int fd)
{
    if (fd < FD_FIRST || fd >= FDS_MAX + FD_FIRST || files.fds[fd - FD_FIRST].type == FD_FREE) {
        return NULL;
    }
    return &files.fds[fd - FD_FIRST];
}

static int open_as(enum fd_type type, int object)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (files.fds[i].type == FD_FREE) {
            files.fds[i] = (descriptor){.type = type,
                                        .owner = sim_self(),
                                        .object = object,
                                        .description = ++files.descriptions};
            if (type == FD_FILE) {
                sim_disk_hold(object);
            } else if (type == FD_MEMORY) {
                sim_memory_hold(object);
            }
            return i + FD_FIRST;
        }
    }
    return fail_with(EMFILE);
}

static void drop_marks(uint64_t description)
{
    for (uint32_t i = 0; i < FDS_MAX; i++) {
        if (files.fds[i].type != FD_FREE && files.fds[i].description == description) {
            return; /* a duplicate is left */
        }
    }
    for (uint32_t i = files.mark_count; i-- > 0;) {
        if (files.marks[i].description == description) {
            files.marks[i] = files.marks[--files.mark_count];
        }
    }
}

static int close_one(int fd)
{
    descriptor *one = at(fd);
    if (one == NULL) {
        sim_violation("descriptor %d is closed and was not open", fd);
        return fail_with(EBADF);
    }
    if (one->type == FD_FILE) {
        sim_disk_unlock(one->object, fd);
        sim_disk_release(one->object);
    } else if (one->type == FD_MEMORY) {
        sim_memory_release(one->object);
    }
    one->type = FD_FREE;
    drop_marks(one->description);
    return 0;
}

void sim_files_begin(void)
{
    memset(&files, 0, sizeof(files));
}

void sim_files_drop(sim_process *process)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (files.fds[i].type != FD_FREE && files.fds[i].owner == process) {
            (void)close_one(i + FD_FIRST);
        }
    }
}

uint32_t sim_files_count(const sim_process *process)
{
    uint32_t count = 0;
    for (int i = 0; i < FDS_MAX; i++) {
        count += files.fds[i].type != FD_FREE && files.fds[i].owner == process;
    }
    return count;
}

void sim_files_end(void)
{
    for (int i = 0; i < FDS_MAX; i++) {
        if (files.fds[i].type != FD_FREE) {
            (void)close_one(i + FD_FIRST);
        }
    }
}

void sim_files_give(int fd, sim_process *to)
{
    at(fd)->owner = to;
}

void sim_files_reboot(void)
{
    files.boots++;
}

/* ---- opening ---- */

int sim_openat(int directory, const char *name, int flags, ...)
{
    sim_point();
    descriptor *from = at(directory);
    if (from == NULL || from->type != FD_DIRECTORY) {
        return fail_with(EBADF);
    }
    if (strcmp(name, ".") == 0) {
        return open_as(FD_DIRECTORY, 0);
    }
    int inode = sim_disk_lookup(name);
    if (inode >= 0 && (flags & O_CREAT) && (flags & O_EXCL)) {
        return fail_with(EEXIST);
    }
    if (inode < 0 && !(flags & O_CREAT)) {
        return fail_with(ENOENT);
    }
    inode = inode < 0 ? sim_disk_create(name) : inode;
    return open_as(FD_FILE, inode);
}

int sim_open(const char *path, int flags, ...)
{
    int number = 0;
    (void)flags;
    sim_point();
    if (strcmp(path, SIM_DIRECTORY) == 0) {
        return sim_disk_has_directory() ? open_as(FD_DIRECTORY, 0) : fail_with(ENOENT);
    }
    if (strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) {
        return open_as(FD_TEXT, 0);
    }
    if (sscanf(path, "/proc/self/fd/%d", &number) == 1 && at(number) != NULL) {
        return open_as(at(number)->type, at(number)->object);
    }
    return fail_with(ENOENT);
}

int sim_close(int fd)
{
    sim_point();
    return close_one(fd);
}

int sim_mkdir(const char *path)
{
    sim_point();
    if (strcmp(path, SIM_DIRECTORY) != 0) {
        return fail_with(ENOENT);
    }
    if (sim_disk_has_directory()) {
        return fail_with(EEXIST);
    }
    sim_disk_make_directory();
    return 0;
}

int sim_memfd_create(void)
{
    sim_point();
    return open_as(FD_MEMORY, sim_memory_new());
}

int sim_eventfd(void)
{
    sim_point();
    return open_as(FD_EVENT, 0);
}

/* ---- reading and writing ---- */

static ssize_t read_boot_id(void *bytes, size_t size, uint64_t offset)
{
    char text[40];
    int length = snprintf(text, sizeof(text), "%08x-0000-4000-8000-%012x\n", files.boots + 1,
                          files.boots + 1);
    size_t rest = offset < (uint64_t)length ? (size_t)length - offset : 0;
    size_t got = rest < size ? rest : size;
    memcpy(bytes, text + offset, got);
    return (ssize_t)got;
}

ssize_t sim_pread(int fd, void *bytes, size_t size, off_t offset)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one != NULL && one->type == FD_TEXT) {
        return read_boot_id(bytes, size, (uint64_t)offset);
    }
    if (one == NULL || one->type != FD_FILE) {
        return fail_with(EBADF);
    }
    uint32_t length = sim_disk_size(one->object);
    if (offset >= (off_t)length) {
        return 0;
    }
    size_t got = size < length - (size_t)offset ? size : length - (size_t)offset;
    memcpy(bytes, sim_disk_map(one->object) + offset, got);
    return (ssize_t)got;
}

ssize_t sim_read(int fd, void *bytes, size_t size)
{
    descriptor *one = at(fd);
    if (one != NULL && one->type == FD_EVENT) {
        sim_point();
        one->offset = 0;
        return sizeof(uint64_t);
    }
    ssize_t got = one == NULL ? fail_with(EBADF) : sim_pread(fd, bytes, size, (off_t)one->offset);
    if (got > 0) {
        one->offset += (uint64_t)got;
    }
    return got;
}

ssize_t sim_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one == NULL || one->type != FD_FILE) {
        return fail_with(EBADF);
    }
    int error = sim_disk_write(one->object, bytes, (uint32_t)size, (uint32_t)offset);
    sim_point();
    return error != 0 ? fail_with(error) : (ssize_t)size;
}

ssize_t sim_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
    (void)flags;
    ssize_t written = 0;
    for (int i = 0; i < count && written >= 0; i++) {
        ssize_t more = sim_pwrite(fd, parts[i].iov_base, parts[i].iov_len, offset + written);
        written = more < 0 ? -1 : written + more;
    }
    if (written < 0) {
        return -1;
    }
    int error = sim_disk_sync(at(fd)->object);
    return error != 0 ? fail_with(error) : written;
}

ssize_t sim_write(int fd, const void *bytes, size_t size)
{
    descriptor *one = at(fd);
    sim_point();
    if (one == NULL || one->type != FD_EVENT) {
        return fail_with(EBADF);
    }
    uint64_t more = 0;
    memcpy(&more, bytes, sizeof(more));
    one->offset += more;
    return (ssize_t)size;
}

int sim_fsync(int fd)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one == NULL || (one->type != FD_FILE && one->type != FD_DIRECTORY)) {
        return fail_with(EBADF);
    }
    int error = one->type == FD_FILE ? sim_disk_sync(one->object) : sim_disk_sync_directory();
    sim_point();
    return error != 0 ? fail_with(error) : 0;
}

/* ---- the rest ---- */

int sim_fstat(int fd, struct stat *about)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one == NULL) {
        return fail_with(EBADF);
    }
    memset(about, 0, sizeof(*about));
    about->st_mode = one->type == FD_DIRECTORY ? S_IFDIR | 0700 : S_IFREG | 0600;
    about->st_size = one->type == FD_FILE     ? (off_t)sim_disk_size(one->object)
                     : one->type == FD_MEMORY ? (off_t)sim_memory_size(one->object)
                                              : 0;
    return 0;
}

int sim_posix_fallocate(int fd, off_t size)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one == NULL || one->type == FD_DIRECTORY) {
        return EBADF;
    }
    if (one->type == FD_MEMORY) {
        sim_memory_resize(one->object, (size_t)size);
        return 0;
    }
    return size > (off_t)sim_disk_size(one->object) ? sim_disk_resize(one->object, (uint32_t)size)
                                                    : 0;
}

int sim_fallocate(int fd, off_t size)
{
    int error = sim_posix_fallocate(fd, size);
    return error != 0 ? fail_with(error) : 0;
}

int sim_ftruncate(int fd, off_t size)
{
    return sim_fallocate(fd, size);
}

int sim_fchmod(int fd)
{
    return at(fd) == NULL ? fail_with(EBADF) : 0;
}

int sim_unlinkat(int directory, const char *name)
{
    (void)directory;
    sim_point();
    return sim_disk_unlink(name) ? 0 : fail_with(ENOENT);
}

int sim_renameat(int directory, const char *from, const char *to)
{
    (void)directory;
    sim_point();
    return sim_disk_rename(from, to) ? 0 : fail_with(ENOENT);
}

int sim_faccessat(int directory, const char *name)
{
    (void)directory;
    sim_point();
    return sim_disk_lookup(name) >= 0 ? 0 : fail_with(ENOENT);
}

int sim_flock(int fd, int operation)
{
    sim_point();
    const descriptor *one = at(fd);
    if (one == NULL || one->type != FD_FILE) {
        return fail_with(EBADF);
    }
    if (operation & LOCK_UN) {
        sim_disk_unlock(one->object, fd);
        return 0;
    }
    return sim_disk_lock(one->object, fd) ? 0 : fail_with(EWOULDBLOCK);
}

static int duplicate(int fd)
{
    int copy = open_as(at(fd)->type, at(fd)->object);
    if (copy >= 0) {
        at(copy)->description = at(fd)->description;
    }
    return copy;
}

static int set_mark(const descriptor *one, off_t place)
{
    if (files.mark_count == FDS_MAX) {
        return fail_with(ENOLCK);
    }
    files.marks[files.mark_count++] = (mark){.description = one->description, .at = place};
    return 0;
}

/* Whether another description's mark is in the way of a write lock. */
static int find_mark(const descriptor *one, struct flock *asked)
{
    asked->l_type = F_UNLCK;
    for (uint32_t i = 0; i < files.mark_count; i++) {
        off_t place = files.marks[i].at;
        bool inside =
            place >= asked->l_start && (asked->l_len == 0 || place < asked->l_start + asked->l_len);
        if (inside && files.marks[i].description != one->description) {
            asked->l_type = F_RDLCK;
        }
    }
    return 0;
}

static int lock_byte(const descriptor *one, int command, struct flock *lock)
{
    sim_point();
    if (one->type != FD_DIRECTORY) {
        return fail_with(EBADF);
    }
    return command == F_OFD_SETLK ? set_mark(one, lock->l_start) : find_mark(one, lock);
}

int sim_fcntl(int fd, int command, ...)
{
    const descriptor *one = at(fd);
    if (one == NULL) {
        return fail_with(EBADF);
    }
    va_list arguments;
    va_start(arguments, command);
    bool locks = command == F_OFD_SETLK || command == F_OFD_GETLK;
    struct flock *lock = locks ? va_arg(arguments, struct flock *) : NULL;
    va_end(arguments);
    switch (command) {
    case F_DUPFD_CLOEXEC:
        return duplicate(fd);
    case F_OFD_SETLK:
    case F_OFD_GETLK:
        return lock_byte(one, command, lock);
    case F_GET_SEALS:
        return F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    default:
        return 0;
    }
}

/* ---- listing ---- */

typedef struct stream {
    int fd;
    uint32_t place;
    struct dirent entry;
} stream;

static stream streams[STREAMS_MAX];

DIR *sim_fdopendir(int fd)
{
    for (uint32_t i = 0; i < STREAMS_MAX; i++) {
        if (at(streams[i].fd) == NULL || at(streams[i].fd)->type != FD_DIRECTORY ||
            at(streams[i].fd)->offset == 0) {
            at(fd)->offset = 1; /* in use by a stream */
            streams[i].fd = fd;
            streams[i].place = 0;
            return (DIR *)(void *)&streams[i];
        }
    }
    errno = ENOMEM;
    return NULL;
}

DIR *sim_opendir(const char *path)
{
    int fd = sim_open(path, O_RDONLY | O_DIRECTORY);
    return fd < 0 ? NULL : sim_fdopendir(fd);
}

struct dirent *sim_readdir(DIR *directory)
{
    stream *one = (stream *)(void *)directory;
    sim_point();
    while (one->place < SIM_NAMES_MAX) {
        const char *name = sim_disk_name(one->place++);
        if (name != NULL) {
            (void)snprintf(one->entry.d_name, sizeof(one->entry.d_name), "%s", name);
            return &one->entry;
        }
    }
    return NULL;
}

int sim_closedir(DIR *directory)
{
    stream *one = (stream *)(void *)directory;
    int fd = one->fd;
    one->fd = 0;
    return close_one(fd);
}

int sim_dirfd(DIR *directory)
{
    return ((stream *)(void *)directory)->fd;
}

/* ---- for shared.c ---- */

bool sim_files_object(int fd, bool *memory_out, int *object_out)
{
    const descriptor *one = at(fd);
    if (one == NULL || (one->type != FD_FILE && one->type != FD_MEMORY)) {
        return false;
    }
    *memory_out = one->type == FD_MEMORY;
    *object_out = one->object;
    return true;
}
