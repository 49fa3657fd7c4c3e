/*
 * Kills a process at each instruction of a piece of its code, in one pass. The process is stepped;
 * before each step it is made to fork, and the twin, which stands at the same instruction with the
 * same memory and files, is killed there. What it leaves is looked at wherever it differs from what
 * the twin before has left; the process itself goes on to its next instruction.
 *
 * Only the code between two calls of stepper_mark is stepped. It has one thread.
 */
#ifndef HRT_STEPPER_H
#define HRT_STEPPER_H

#include "tap.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct stepper {
    void (*body)(void *context); /* in the process that is stepped */
    /* In this one, before each instruction. `called`: a system call lies behind the last look. */
    void (*look)(void *context, uint64_t instruction, bool called);
    void *context;
    uint64_t every; /* a twin is killed each so many instructions */

    uint64_t instructions;
    uint64_t calls;
    uint64_t kills;
} stepper;

/* The body says where the stepping begins, and where it ends. */
static inline void stepper_mark(void)
{
    (void)raise(SIGSTOP);
}

static inline pid_t stepper_start(const stepper *s)
{
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0) {
            s->body(s->context);
            (void)fflush(stdout);
            _exit(0);
        }
        _exit(1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    long options = PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL;
    REQUIRE(ptrace(PTRACE_SETOPTIONS, child, NULL, options) == 0);
    return child;
}

static inline void stepper_move(pid_t child, enum __ptrace_request how)
{
    int status = 0;
    REQUIRE(ptrace(how, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    if (!WIFSTOPPED(status)) {
        printf("# the process ended amid its way, with status %x\n", (unsigned)status);
    }
    REQUIRE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
}

#ifdef __x86_64__

enum { SYSCALL_INSTRUCTION = 0x050f };

/* The number of the system call that the next instruction is, or -1. */
static inline long stepper_call(pid_t child)
{
    struct user_regs_struct registers;
    REQUIRE(ptrace(PTRACE_GETREGS, child, NULL, &registers) == 0);
    long word = ptrace(PTRACE_PEEKTEXT, child, (void *)registers.rip, NULL);
    return (word & 0xffff) == SYSCALL_INSTRUCTION ? (long)registers.rax : -1;
}

/* The length of an instruction that fills or copies a whole string, or 0. */
static inline unsigned stepper_string(long word)
{
    unsigned wide = (word & 0xff00) == 0x4800;
    long operation = word >> (wide ? 16 : 8) & 0xff;
    bool fills_or_copies =
        operation == 0xa4 || operation == 0xa5 || operation == 0xaa || operation == 0xab;
    return (word & 0xff) == 0xf3 && fills_or_copies ? 2 + wide : 0;
}

/* One instruction. A string is one, though a process can be interrupted amid it. */
static inline void stepper_step(pid_t child)
{
    struct user_regs_struct registers;
    REQUIRE(ptrace(PTRACE_GETREGS, child, NULL, &registers) == 0);
    long word = ptrace(PTRACE_PEEKTEXT, child, (void *)registers.rip, NULL);
    unsigned length = stepper_string(word);
    if (length == 0) {
        stepper_move(child, PTRACE_SINGLESTEP);
        return;
    }
    unsigned long long after = registers.rip + length;
    long code = ptrace(PTRACE_PEEKTEXT, child, (void *)after, NULL);
    long trap = (code & ~0xffl) | 0xcc;
    REQUIRE(ptrace(PTRACE_POKETEXT, child, (void *)after, (void *)trap) == 0);
    stepper_move(child, PTRACE_CONT);
    REQUIRE(ptrace(PTRACE_POKETEXT, child, (void *)after, (void *)code) == 0);
    REQUIRE(ptrace(PTRACE_GETREGS, child, NULL, &registers) == 0);
    registers.rip = after;
    REQUIRE(ptrace(PTRACE_SETREGS, child, NULL, &registers) == 0);
}

/* The address of an instruction that calls the kernel; the same in the child. */
static inline unsigned long long stepper_gate(void)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)syscall;
    for (uint32_t i = 0; i < 64; i++) {
        if (code[i] == 0x0f && code[i + 1] == 0x05) {
            return (unsigned long long)(uintptr_t)(code + i);
        }
    }
    REQUIRE(!"libc's syscall() calls the kernel");
    return 0;
}

/* Makes a twin of the process where it stands now, and kills it there. */
static inline void stepper_kill_twin(pid_t child)
{
    struct user_regs_struct saved;
    int status = 0;
    unsigned long twin = 0;
    REQUIRE(ptrace(PTRACE_GETREGS, child, NULL, &saved) == 0);
    struct user_regs_struct forking = saved;
    forking.rip = stepper_gate();
    forking.rax = SYS_clone;
    forking.rdi = CLONE_PARENT | SIGCHLD; /* the twin is a child of this process, which reaps it */
    forking.rsi = forking.rdx = forking.r10 = forking.r8 = 0;
    forking.orig_rax = (unsigned long long)-1;
    REQUIRE(ptrace(PTRACE_SETREGS, child, NULL, &forking) == 0);
    REQUIRE(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8));
    REQUIRE(ptrace(PTRACE_GETEVENTMSG, child, NULL, &twin) == 0);
    REQUIRE(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    REQUIRE(ptrace(PTRACE_SETREGS, child, NULL, &saved) == 0);
    REQUIRE(waitpid((pid_t)twin, &status, __WALL) == (pid_t)twin && WIFSTOPPED(status));
    REQUIRE(ptrace(PTRACE_SETREGS, (pid_t)twin, NULL, &saved) == 0);
    REQUIRE(kill((pid_t)twin, SIGKILL) == 0);
    REQUIRE(waitpid((pid_t)twin, &status, __WALL) == (pid_t)twin && WIFSIGNALED(status));
}

#endif

static inline void stepper_finish(pid_t child)
{
    int status = 0;
    REQUIRE(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    REQUIRE(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void stepper_run(stepper *s)
{
    pid_t child = stepper_start(s);
    bool called = true;
    bool going = true;
    for (; going && tap_failures == 0; s->instructions++) {
        if (s->instructions % s->every == 0) {
            stepper_kill_twin(child);
            s->kills++;
        }
        s->look(s->context, s->instructions, called);
        long call = stepper_call(child);
        going = call != SYS_tgkill; /* the mark */
        called = call >= 0;
        s->calls += call >= 0;
        if (going) {
            stepper_step(child);
        }
    }
    if (going) {
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    } else {
        stepper_finish(child);
    }
}

#endif
