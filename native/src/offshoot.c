/*
 * A copy of this process, as it is at this moment, that does one thing and ends. Its memory is
 * shared until somebody writes to it, so making one takes the time to copy the page tables.
 *
 * Other threads may hold any lock of libc at that moment: the body makes system calls only.
 */
#include "dispatch.h"

#include "check.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NICENESS_TEXT "10"

enum { NICENESS = 10 };

/* All descriptors but one: some are the ends of pipes and sockets, one is a lock. */
static bool close_others(int kept)
{
    bool below = kept == 0 || syscall(SYS_close_range, 0U, (unsigned)kept - 1, 0U) == 0;
    return below && syscall(SYS_close_range, (unsigned)kept + 1, UINT_MAX, 0U) == 0;
}

/*
 * A session of its own: where the kernel shares the processors out among sessions, what this
 * process takes would be held against its parent's, which would have to wait when it is in haste.
 */
static void give_way(void)
{
    (void)setsid();
    int share = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (share >= 0) {
        (void)!write(share, NICENESS_TEXT, sizeof(NICENESS_TEXT) - 1);
        (void)close(share);
    }
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
}

static _Noreturn void live(int parent, int (*body)(const void *), const void *argument, int kept)
{
    (void)prctl(PR_SET_NAME, "hrt-snapshot", 0, 0, 0);
    /* It ends with the thread that wants its work. */
    bool alone = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
    if (!alone || !close_others(kept)) {
        _exit(1);
    }
    give_way();
    _exit(body(argument) == HRT_OK ? 0 : 1);
}

int hrt_offshoot_start(int (*body)(const void *argument), const void *argument, int kept,
                       int *pid_out)
{
    sigset_t all;
    sigset_t before;
    int parent = getpid();
    sigfillset(&all);
    /* A handler of this process must never run in the other one. */
    HRT_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    pid_t pid = _Fork();
    if (pid == 0) {
        live(parent, body, argument, kept);
    }
    HRT_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    *pid_out = pid;
    return pid > 0 ? HRT_OK : hrt_fail(HRT_ESYSTEM, "cannot copy the process: %m");
}

bool hrt_offshoot_ended(int pid, bool *done_out)
{
    int status = 0;
    pid_t ended = waitpid(pid, &status, WNOHANG);
    *done_out = ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return ended == pid || (ended < 0 && errno != EINTR);
}

void hrt_offshoot_kill(int pid)
{
    (void)kill(pid, SIGKILL);
}

void hrt_offshoot_collect(int pid)
{
    while (pid != 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
