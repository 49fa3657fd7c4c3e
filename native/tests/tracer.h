/* Runs a piece of code in a process of its own and kills it at a chosen system call. */
#ifndef HRT_TRACER_H
#define HRT_TRACER_H

#include "tap.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRACER_SYSCALL = SIGTRAP | 0x80 }; /* with PTRACE_O_TRACESYSGOOD */

typedef void (*tracer_body)(void *context);

static inline pid_t tracer_start(tracer_body body, void *context)
{
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0) {
            (void)raise(SIGSTOP);
            body(context);
            (void)fflush(stdout);
            _exit(0);
        }
        _exit(1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    REQUIRE(ptrace(PTRACE_SETOPTIONS, child, NULL, options) == 0);
    REQUIRE(ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0);
    return child;
}

/* A thread that dies between its stop and this call is no error. */
static inline void tracer_resume(pid_t thread)
{
    (void)ptrace(PTRACE_SYSCALL, thread, NULL, NULL);
}

/* Collects all threads of the process; returns how it ended. */
static inline int tracer_collect(pid_t child)
{
    int ended = 0;
    int status = 0;
    for (pid_t pid = waitpid(-1, &status, __WALL); pid > 0; pid = waitpid(-1, &status, __WALL)) {
        ended = pid == child ? status : ended;
    }
    return ended;
}

/* The next thread that stopped at a system call; 0: the process came to its end, a good one. */
static inline pid_t tracer_next(pid_t child)
{
    for (;;) {
        int status = 0;
        pid_t thread = waitpid(-1, &status, __WALL);
        REQUIRE(thread > 0);
        if (WIFSTOPPED(status) && WSTOPSIG(status) == TRACER_SYSCALL) {
            return thread;
        }
        if (WIFSTOPPED(status)) {
            tracer_resume(thread);
        } else if (thread == child) {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return 0;
        }
    }
}

static inline void tracer_kill(pid_t child)
{
    REQUIRE(kill(child, SIGKILL) == 0);
    CHECK(WIFSIGNALED(tracer_collect(child)));
}

/*
 * Kills the process at its stop number `stop`: each system call of each thread stops twice, before
 * it is done and after. False: the process came to its end before, which has to be a good one.
 */
static inline bool tracer_kill_at(uint64_t stop, tracer_body body, void *context)
{
    pid_t child = tracer_start(body, context);
    for (pid_t thread; (thread = tracer_next(child)) > 0; tracer_resume(thread)) {
        if (stop-- == 0) {
            tracer_kill(child);
            return true;
        }
    }
    return false;
}

/* The number of the call that a thread is about to make; -1: it is on its way out of one. */
static inline long tracer_call(pid_t thread)
{
    struct __ptrace_syscall_info about;
    long size = ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof(about), &about);
    return size > 0 && about.op == PTRACE_SYSCALL_INFO_ENTRY ? (long)about.entry.nr : -1;
}

/*
 * Kills the process right after the `nth` time, from 0, that this call was done by any thread.
 * False: it came to its end before.
 */
static inline bool tracer_kill_after(long call, uint32_t nth, tracer_body body, void *context)
{
    pid_t child = tracer_start(body, context);
    pid_t inside = 0; /* the thread that makes the call; two at a time count as one */
    for (pid_t thread; (thread = tracer_next(child)) > 0; tracer_resume(thread)) {
        if (tracer_call(thread) == call) {
            inside = thread;
        } else if (thread == inside && nth-- == 0) {
            tracer_kill(child);
            return true;
        } else if (thread == inside) {
            inside = 0;
        }
    }
    return false;
}

#endif
