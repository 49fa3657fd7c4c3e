/*
 * The keeper: a process that shares this one's memory, and does nothing but hold it.
 *
 * When a process is killed, the kernel frees its memory first and closes its files after that; the
 * log's lock is one of them. With 300 MB and a busy machine that takes 10 to 200 ms, in which no
 * standby may write. As long as another process has the same memory there is nothing to free, and
 * the lock is free within a millisecond or so. The keeper has none of the files, blocks all
 * signals, and ends when its parent is wholly gone; the memory goes then. That is just when a
 * standby takes over, so the keeper runs only where nobody else wants to.
 */
#include <hybridrt/runtime.h>

#include "check.h"
#include "error.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEEPER_STACK_SIZE = 64 * 1024 };

/* It runs in the memory of its parent, thread-local variables too: bare system calls only. */
static int hold_memory(void *argument)
{
    int parent = *(const int *)argument;
    const struct sched_param idle = {0};
    syscall(SYS_prctl, PR_SET_NAME, "hrt-keeper", 0, 0, 0);
    syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &idle);
    if (syscall(SYS_close_range, 0U, UINT_MAX, 0U) != 0) {
        return 1; /* with the files it would hold the very lock that has to go */
    }
    /* Not PR_SET_PDEATHSIG: that one comes with the first thread that dies, which is too early. */
    long process = syscall(SYS_pidfd_open, parent, 0U);
    if (process < 0 || syscall(SYS_getppid) != parent) {
        return 1;
    }
    struct pollfd wait = {.fd = (int)process, .events = POLLIN};
    return (int)syscall(SYS_ppoll, &wait, 1U, NULL, NULL, 0U) == 1 ? 0 : 1;
}

static int start_keeper(char *stack, int *pid_out)
{
    int *parent = (int *)(void *)stack; /* at the end that the stack does not grow to */
    sigset_t all;
    sigset_t before;
    *parent = getpid();
    sigfillset(&all);
    /* A handler of this process must never run in the other one. */
    HRT_ASSERT(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int pid = clone(hold_memory, stack + KEEPER_STACK_SIZE, CLONE_VM | SIGCHLD, parent);
    HRT_ASSERT(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (pid < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot start the keeper of the memory: %m");
    }
    *pid_out = pid;
    return HRT_OK;
}

int hrt_keep_memory(int *pid_out)
{
    char *stack = mmap(NULL, KEEPER_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return hrt_fail(HRT_ENOMEM, "no memory for the keeper's stack: %m");
    }
    int status = start_keeper(stack, pid_out);
    if (status != HRT_OK) {
        munmap(stack, KEEPER_STACK_SIZE);
    }
    return status;
}
