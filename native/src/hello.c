/* Attaching over the AF_UNIX socket: one hello, one welcome that brings the descriptors. */
#include "check.h"
#include "error.h"
#include "handle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const int64_t default_timeout_ns = 5000000000;

/* Where the runtime listens, by the rules of hrt_attach. */
static int find_path(const hrt_attach_options *options, struct sockaddr_un *address_out)
{
    const char *path = options->address != NULL ? options->address : getenv("HYBRIDRT_SOCKET");
    const char *directory = getenv("XDG_RUNTIME_DIR");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length;
    if (path != NULL)
        length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    else if (directory != NULL && directory[0] != '\0')
        length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/hybridrt/attach.sock",
                          directory);
    else
        length = snprintf(address.sun_path, sizeof(address.sun_path),
                          "/tmp/hybridrt-%u/attach.sock", (unsigned)geteuid());
    if (length <= 0 || (size_t)length >= sizeof(address.sun_path))
        return hrt_fail(HRT_EREACH, "the path of the attach socket has %d bytes, 1 to %zu can be",
                        length, sizeof(address.sun_path) - 1);
    *address_out = address;
    return HRT_OK;
}

/* A path that nobody chose may have been made by anybody. */
static int check_owner(int fd, const hrt_attach_options *options, const char *path)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (options->address != NULL)
        return HRT_OK;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return hrt_fail(HRT_ESYSTEM, "SO_PEERCRED of %s: %s", path, strerror(errno));
    if (peer.uid != geteuid() && peer.uid != 0)
        return hrt_fail(HRT_EPERM, "the runtime at %s belongs to user %u, this process to user %u",
                        path, (unsigned)peer.uid, (unsigned)geteuid());
    return HRT_OK;
}

/* Whose directory it is can be seen even where the socket in it cannot. */
static int refuse_stranger(const char *path)
{
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path)];
    struct stat status;
    (void)snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash != NULL && slash != directory)
        *slash = '\0';
    if (slash == NULL || stat(directory, &status) != 0)
        return hrt_fail(HRT_EPERM, "user %u may not connect to %s: %s", (unsigned)geteuid(), path,
                        strerror(EACCES));
    return hrt_fail(HRT_EPERM,
                    "user %u may not connect to %s: its directory belongs to user %u; run as that "
                    "user, or start a runtime of your own",
                    (unsigned)geteuid(), path, (unsigned)status.st_uid);
}

static int refuse_connection(int error, const char *path)
{
    if (error == EAGAIN)
        return hrt_fail(HRT_ETIMEOUT, "the runtime at %s took no connection in time", path);
    if (error == EACCES || error == EPERM)
        return refuse_stranger(path);
    return hrt_fail(HRT_EREACH, "cannot reach a runtime at %s: %s. Is it running?", path,
                    strerror(error));
}

static int reach(const hrt_attach_options *options, int *fd_out)
{
    struct sockaddr_un address;
    int status = find_path(options, &address);
    if (status != HRT_OK)
        return status;
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hrt_fail(HRT_ESYSTEM, "socket: %s", strerror(errno));
    const int64_t timeout_ns = options->timeout_ns > 0 ? options->timeout_ns : default_timeout_ns;
    /* Rounded up: a time limit of zero would mean none. */
    const int64_t timeout_us = (timeout_ns - 1) / 1000 + 1;
    const struct timeval limit = {
        .tv_sec = (time_t)(timeout_us / 1000000),
        .tv_usec = (suseconds_t)(timeout_us % 1000000),
    };
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        status = refuse_connection(errno, address.sun_path);
    else
        status = check_owner(fd, options, address.sun_path);
    if (status != HRT_OK) {
        (void)close(fd);
        return status;
    }
    *fd_out = fd;
    return HRT_OK;
}

static int send_hello(int fd, const hrt_attach_options *options)
{
    hrt_hello hello = {
        .magic = HRT_MAGIC_HELLO,
        .abi_version = HRT_ABI_VERSION,
        .submit_capacity = options->submit_capacity,
    };
    const char *name = options->name != NULL ? options->name : program_invocation_short_name;
    (void)snprintf(hello.name, sizeof(hello.name), "%s", name);
    if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello))
        return hrt_fail(HRT_EREACH, "send the hello: %s", strerror(errno));
    return HRT_OK;
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        (void)close(fds[i]);
}

/* How many descriptors came along, at most HRT_FD_COUNT: the control buffer holds no more. */
static int take_descriptors(struct msghdr *message, int *fds_out)
{
    int count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const int here = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        HRT_ASSERT(count + here <= HRT_FD_COUNT);
        memcpy(fds_out + count, CMSG_DATA(part), (size_t)here * sizeof(int));
        count += here;
    }
    return count;
}

static int judge_welcome(const hrt_welcome *welcome, size_t length, bool cut, int fd_count)
{
    if (length >= 2 * sizeof(uint32_t) && welcome->magic == HRT_MAGIC_HELLO &&
        welcome->abi_version != HRT_ABI_VERSION)
        return hrt_fail(HRT_EVERSION,
                        "the runtime speaks ABI version %u, this program was built with %d",
                        welcome->abi_version, HRT_ABI_VERSION);
    if (length != sizeof(*welcome) || welcome->magic != HRT_MAGIC_HELLO)
        return hrt_fail(HRT_EVERSION,
                        "the answer of %zu bytes is no welcome: is the attach socket "
                        "that of a hybridrt runtime?",
                        length);
    if (welcome->status > 0)
        return hrt_fail(HRT_EPEER, "the runtime answered with the unknown status %d",
                        welcome->status);
    if (welcome->status != HRT_OK)
        return hrt_fail(welcome->status, "%.*s", (int)sizeof(welcome->text), welcome->text);
    if (cut || fd_count != HRT_FD_COUNT)
        return hrt_fail(HRT_EPEER, "the welcome brought %d descriptors, not %d", fd_count,
                        HRT_FD_COUNT);
    return HRT_OK;
}

static int receive_welcome(int fd, int *fds_out)
{
    hrt_welcome welcome = {0};
    struct iovec bytes = {.iov_base = &welcome, .iov_len = sizeof(welcome)};
    union {
        char bytes[CMSG_SPACE(HRT_FD_COUNT * sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct msghdr message = {
        .msg_iov = &bytes,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t length;
    do
        length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN
                   ? hrt_fail(HRT_ETIMEOUT, "the runtime did not answer the hello in time")
                   : hrt_fail(HRT_EREACH, "receive the welcome: %s", strerror(errno));
    if (length == 0)
        return hrt_fail(HRT_EREACH, "the runtime closed the connection without an answer");
    int fds[HRT_FD_COUNT];
    const int count = take_descriptors(&message, fds);
    const bool cut = (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0;
    const int status = judge_welcome(&welcome, (size_t)length, cut, count);
    if (status == HRT_OK)
        memcpy(fds_out, fds, sizeof(fds));
    else
        close_all(fds, count);
    return status;
}

int hrt_hello_exchange(const hrt_attach_options *options, int *fds_out)
{
    int fd = -1;
    int status = reach(options, &fd);
    if (status != HRT_OK)
        return status;
    status = send_hello(fd, options);
    if (status == HRT_OK)
        status = receive_welcome(fd, fds_out);
    (void)close(fd);
    return status;
}
