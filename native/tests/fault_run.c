/*
 * Runs a program in which one system call fails, and says what became of it. The failure is made by
 * the kernel's own hand: seccomp stops the process at the calls that are named, and no others.
 *
 *   fault_run CALLS ERROR NUMBER COMMAND...
 *
 * CALLS: names with commas between; "create" is an openat that may make a file. ERROR: EIO, ENOSPC.
 * NUMBER: the one of them that fails, counted from 1; 0: none, they are only counted; 7+: the
 * seventh and all after it. Counted are calls of the program itself, not of the processes that it
 * starts. Prints JSON: times are of CLOCK_MONOTONIC.
 */
#include "clock.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS_MAX = 16, FILTER_MAX = 4 * CALLS_MAX + 8 };

typedef struct named_call {
    const char *name;
    int number;
    bool creates; /* only with O_CREAT */
} named_call;

static const named_call known[] = {
    {"fdatasync", SYS_fdatasync, false}, {"fsync", SYS_fsync, false},
    {"pwrite", SYS_pwrite64, false},     {"pwritev2", SYS_pwritev2, false},
    {"fallocate", SYS_fallocate, false}, {"ftruncate", SYS_ftruncate, false},
    {"mkdir", SYS_mkdir, false},         {"create", SYS_openat, true},
};

typedef struct run {
    named_call calls[CALLS_MAX];
    uint32_t call_count;
    int error;
    uint64_t number; /* that fails */
    bool all_after;
    pid_t child;
    uint64_t seen;
    uint64_t failures;
    uint64_t last_good_ns;
    uint64_t failed_ns;
    uint64_t gone_ns;
    int status;
} run;

/* ---- the filter ---- */

#define LOAD(field) \
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))

static uint32_t make_filter(const run *r, struct sock_filter *filter)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < r->call_count; i++) {
        filter[at++] = (struct sock_filter)LOAD(nr);
        uint8_t over = r->calls[i].creates ? 3 : 1;
        filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                    (uint32_t)r->calls[i].number, 0, over);
        if (r->calls[i].creates) {
            filter[at++] = (struct sock_filter)LOAD(args[2]);
            filter[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1);
        }
        filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    filter[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return at;
}

static void become(const run *r, char **command)
{
    struct sock_filter filter[FILTER_MAX];
    struct sock_fprog program = {.len = (unsigned short)make_filter(r, filter), .filter = filter};
    bool ready = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                 ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0 &&
                 prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
    if (ready) {
        (void)execvp(command[0], command);
    }
    perror(command[0]);
    _exit(127);
}

/* ---- the calls ---- */

static bool belongs(const run *r, pid_t thread)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d", r->child, thread);
    return access(path, F_OK) == 0;
}

/* The call is not made, and returns the error. */
static void fail_call(const run *r, pid_t thread)
{
#ifdef __x86_64__
    struct user_regs_struct registers;
    REQUIRE(ptrace(PTRACE_GETREGS, thread, NULL, &registers) == 0);
    registers.orig_rax = (unsigned long long)-1;
    registers.rax = (unsigned long long)-r->error;
    REQUIRE(ptrace(PTRACE_SETREGS, thread, NULL, &registers) == 0);
#else
    (void)r;
    (void)thread;
    REQUIRE(!"an architecture that this knows");
#endif
}

static void meet_call(run *r, pid_t thread)
{
    if (!belongs(r, thread)) {
        return;
    }
    uint64_t now = hrt_clock_ns(CLOCK_MONOTONIC);
    r->seen++;
    if (r->number > 0 && (r->seen == r->number || (r->all_after && r->seen > r->number))) {
        fail_call(r, thread);
        r->failures++;
        r->failed_ns = r->failed_ns == 0 ? now : r->failed_ns;
    } else if (r->failures == 0) {
        r->last_good_ns = now;
    }
}

/* The signal that a stopped thread gets when it goes on. */
static int signal_after(run *r, pid_t thread, int status)
{
    int signal = WSTOPSIG(status);
    int event = status >> 16;
    if (event == PTRACE_EVENT_SECCOMP) {
        meet_call(r, thread);
    }
    bool begins = signal == SIGSTOP && thread != r->child;
    return event != 0 || signal == SIGTRAP || begins ? 0 : signal;
}

static void follow(run *r)
{
    for (;;) {
        int status = 0;
        pid_t thread = waitpid(-1, &status, __WALL);
        REQUIRE(thread > 0);
        if (WIFSTOPPED(status)) {
            int signal = signal_after(r, thread, status);
            /* A thread may die between its stop and this. */
            (void)ptrace(PTRACE_CONT, thread, NULL, (void *)(intptr_t)signal);
        } else if (thread == r->child) {
            r->gone_ns = hrt_clock_ns(CLOCK_MONOTONIC);
            r->status = status;
            return;
        }
    }
}

/* ---- the command line ---- */

static void parse(run *r, char **arguments)
{
    for (char *name = strtok(arguments[1], ","); name != NULL; name = strtok(NULL, ",")) {
        uint32_t before = r->call_count;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            if (strcmp(name, known[i].name) == 0 && before < CALLS_MAX) {
                r->calls[r->call_count++] = known[i];
            }
        }
        REQUIRE(r->call_count == before + 1);
    }
    REQUIRE(strcmp(arguments[2], "EIO") == 0 || strcmp(arguments[2], "ENOSPC") == 0);
    r->error = strcmp(arguments[2], "EIO") == 0 ? EIO : ENOSPC;
    char *rest = NULL;
    r->number = strtoull(arguments[3], &rest, 10);
    r->all_after = *rest == '+';
}

static void print(const run *r)
{
    double gone_ms = r->failed_ns == 0 ? 0 : (double)(r->gone_ns - r->failed_ns) / 1e6;
    bool exited = WIFEXITED(r->status);
    printf("# json {\"calls\": %" PRIu64 ", \"failures\": %" PRIu64 ", \"last_good_ns\": %" PRIu64
           ", \"failed_ns\": %" PRIu64 ", \"gone_ms\": %.3f, \"exit\": %d, \"signal\": %d}\n",
           r->seen, r->failures, r->last_good_ns, r->failed_ns, gone_ms,
           exited ? WEXITSTATUS(r->status) : -1, exited ? 0 : WTERMSIG(r->status));
}

int main(int argc, char **argv)
{
    static run r;
    int status = 0;
    REQUIRE(argc > 4);
    parse(&r, argv);
    (void)fflush(stdout);
    r.child = fork();
    REQUIRE(r.child >= 0);
    if (r.child == 0) {
        become(&r, argv + 4);
    }
    REQUIRE(waitpid(r.child, &status, 0) == r.child && WIFSTOPPED(status));
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    REQUIRE(ptrace(PTRACE_SETOPTIONS, r.child, NULL, options) == 0);
    REQUIRE(ptrace(PTRACE_CONT, r.child, NULL, NULL) == 0);
    follow(&r);
    print(&r);
    return 0;
}
