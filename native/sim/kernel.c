/* Fibers, processes and time: one step runs one fiber up to its next switch. */
#include "sim.h"

#include <linux/futex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_SIZE = 1048576 };
#else
enum { STACK_SIZE = 262144 };
#endif

enum { FIBERS_MAX = 128, ROBUST_MAX = 2048 };

#define WALL_BEGIN_NS ((uint64_t)1790000000 * SIM_SECOND)
#define BOOT_BEGIN_NS (1000 * SIM_SECOND)

enum fiber_state { FIBER_FREE, FIBER_READY, FIBER_WAITING, FIBER_DONE };

typedef struct fiber {
    enum fiber_state state; /* what each switch and each wake-up looks at comes first */
    uint32_t wait_count;
    uint64_t until;
    sim_process *process;
    const void *waits[SIM_WAITS_MAX];
    int woken; /* which of them, -1: the time came */
    sim_entry entry;
    void *argument;
    void *result;
    const struct robust_list_head *robust;
    bool begun;
    ucontext_t context; /* where it begins */
    jmp_buf place;      /* where it goes on; unlike swapcontext, without a system call */
    void *stack;        /* stays for the next fiber */
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
#endif
} fiber;

static struct {
    sim_plan plan;
    sim_outcome *outcome;
    uint64_t chance[CHANCE_COUNT];
    uint64_t now;
    uint64_t suspended_ns;
    int64_t wall_offset_ns;
    uint64_t until_switch; /* operations */
    bool calm;
    jmp_buf scheduler;
    fiber *current;
    fiber fibers[FIBERS_MAX];
    uint32_t fiber_count; /* high-water mark of this run */
    sim_process processes[SIM_PROCESSES_MAX];
    uint32_t process_number;
#ifdef __SANITIZE_ADDRESS__
    void *scheduler_fake_stack;
    const void *scheduler_stack;
    size_t scheduler_stack_size;
#endif
} kernel;

/* ---- chance ---- */

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t sim_random(uint32_t stream)
{
    kernel.chance[stream] += 0x9e3779b97f4a7c15u;
    return mix(kernel.chance[stream]);
}

uint64_t sim_below(uint32_t stream, uint64_t limit)
{
    return limit == 0 ? 0 : sim_random(stream) % limit;
}

bool sim_one_in(uint32_t stream, uint64_t chances)
{
    return sim_below(stream, chances) == 0;
}

void sim_count_fault(enum sim_fault fault)
{
    kernel.outcome->faults[fault]++;
}

void sim_sight(uint32_t sight)
{
    kernel.outcome->sights[sight]++;
}

bool sim_strikes(enum sim_fault fault, uint64_t chances)
{
    /* Drawn in any case, so that what is forbidden does not shift what follows. */
    bool drawn = sim_one_in(CHANCE_FAULT + fault, chances);
    bool allowed = !kernel.calm && (kernel.plan.faults >> fault & 1) &&
                   kernel.outcome->strikes < kernel.plan.faults_most;
    if (!drawn || !allowed) {
        return false;
    }
    kernel.outcome->strikes++;
    sim_count_fault(fault);
    sim_trace(1, fault, kernel.now);
    return true;
}

/* ---- the trace ---- */

void sim_trace(uint64_t what, uint64_t a, uint64_t b)
{
    uint64_t hash = kernel.outcome->hash;
    hash = mix(hash ^ what) + a;
    kernel.outcome->hash = mix(hash ^ (b * 0x9e3779b97f4a7c15u));
}

static bool is_loud;

void sim_say(const char *format, ...)
{
    if (!is_loud) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)printf("%12.6f ms %6llu %-10s ", (double)kernel.now / 1e6,
                 (unsigned long long)kernel.outcome->steps,
                 kernel.current != NULL ? kernel.current->process->name : "-");
    (void)vprintf(format, arguments);
    (void)printf("\n");
    va_end(arguments);
}

void sim_violation(const char *format, ...)
{
    if (kernel.outcome->violated) {
        return;
    }
    kernel.outcome->violated = true;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(kernel.outcome->text, sizeof(kernel.outcome->text), format, arguments);
    va_end(arguments);
    sim_say("VIOLATION: %s", kernel.outcome->text);
}

bool sim_over(void)
{
    return kernel.outcome->violated || kernel.outcome->unprovable;
}

/* ---- time ---- */

uint64_t sim_now(void)
{
    return kernel.now;
}

uint64_t sim_clock(int clock)
{
    uint64_t boot = BOOT_BEGIN_NS + kernel.now + kernel.suspended_ns;
    switch (clock) {
    case CLOCK_REALTIME:
        return WALL_BEGIN_NS + boot + (uint64_t)kernel.wall_offset_ns;
    case CLOCK_BOOTTIME:
        return boot;
    default:
        return kernel.now;
    }
}

void sim_wall_jump(int64_t by_ns)
{
    kernel.wall_offset_ns += by_ns;
}

void sim_suspend(uint64_t for_ns)
{
    kernel.suspended_ns += for_ns;
}

bool sim_calm(void)
{
    return kernel.calm;
}

void sim_set_calm(void)
{
    kernel.calm = true;
    for (uint32_t i = 0; i < SIM_PROCESSES_MAX; i++) {
        kernel.processes[i].frozen_until = 0;
        kernel.processes[i].die_at = 0;
    }
}

/* ---- switching ---- */

__attribute__((noinline)) static void switch_to_scheduler(bool for_ever)
{
    fiber *self = kernel.current;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(for_ever ? NULL : &self->fake_stack, kernel.scheduler_stack,
                                   kernel.scheduler_stack_size);
#endif
    (void)for_ever;
    if (_setjmp(self->place) == 0) {
        _longjmp(kernel.scheduler, 1);
    }
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(self->fake_stack, &kernel.scheduler_stack,
                                    &kernel.scheduler_stack_size);
#endif
}

static void begin_fiber(void)
{
    fiber *self = kernel.current;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &kernel.scheduler_stack, &kernel.scheduler_stack_size);
#endif
    self->result = self->entry(self->argument);
    self->state = FIBER_DONE;
    (void)sim_wake(self, UINT32_MAX);
    switch_to_scheduler(true);
}

__attribute__((noinline)) static void switch_to_fiber(fiber *next)
{
    kernel.current = next;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&kernel.scheduler_fake_stack, next->stack, STACK_SIZE);
#endif
    if (_setjmp(kernel.scheduler) == 0) {
        if (next->begun) {
            _longjmp(next->place, 1);
        }
        next->begun = true;
        (void)setcontext(&next->context);
    }
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(kernel.scheduler_fake_stack, NULL, NULL);
#endif
    kernel.current = NULL;
}

static void make_stack(fiber *made)
{
    if (made->stack == NULL) {
        made->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made->stack == MAP_FAILED) {
            abort();
        }
    }
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(made->stack, STACK_SIZE);
#endif
}

__attribute__((noinline)) static void make_context(fiber *made)
{
    (void)getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack;
    made->context.uc_stack.ss_size = STACK_SIZE;
    made->context.uc_link = NULL;
    makecontext(&made->context, begin_fiber, 0);
}

int sim_spawn(sim_process *process, sim_entry entry, void *argument, uint32_t *fiber_out)
{
    uint32_t number = 0;
    while (number < FIBERS_MAX && kernel.fibers[number].state != FIBER_FREE) {
        number++;
    }
    if (number == FIBERS_MAX) {
        (void)fprintf(stderr, "hrt-sim: too many fibers\n");
        abort();
    }
    kernel.fiber_count = number >= kernel.fiber_count ? number + 1 : kernel.fiber_count;
    fiber *made = &kernel.fibers[number];
    make_stack(made);
    made->state = FIBER_READY;
    made->process = process;
    made->entry = entry;
    made->argument = argument;
    made->robust = NULL;
    made->begun = false;
    make_context(made);
    if (fiber_out != NULL) {
        *fiber_out = number;
    }
    return 0;
}

void sim_join(uint32_t number, void **result_out)
{
    fiber *ended = &kernel.fibers[number];
    while (ended->state != FIBER_DONE) {
        const void *address = ended;
        (void)sim_wait(&address, 1, SIM_NEVER);
    }
    if (result_out != NULL) {
        *result_out = ended->result;
    }
    ended->state = FIBER_FREE;
}

void sim_set_robust(const void *head)
{
    kernel.current->robust = head;
}

uint32_t sim_fiber_number(void)
{
    return kernel.current == NULL ? 1 : (uint32_t)(kernel.current - kernel.fibers) + 2;
}

sim_process *sim_self(void)
{
    return kernel.current == NULL ? NULL : kernel.current->process;
}

void sim_yield(void)
{
    if (kernel.current != NULL) {
        kernel.until_switch = 1 + sim_below(CHANCE_SCHEDULE, 2u * kernel.plan.switch_every);
        switch_to_scheduler(false);
    }
}

void sim_point(void)
{
    if (kernel.current == NULL) {
        return;
    }
    sim_process *process = kernel.current->process;
    kernel.outcome->operations++;
    if (++process->operations == process->die_at && !process->die_in_write) {
        sim_say("dies at its operation %llu", (unsigned long long)process->operations);
        sim_process_kill(process);
    }
    if (--kernel.until_switch == 0) {
        sim_yield();
    }
}

int sim_wait(const void *const *addresses, uint32_t count, uint64_t until)
{
    fiber *self = kernel.current;
    for (uint32_t i = 0; i < count; i++) {
        self->waits[i] = sim_shared_place(addresses[i]);
    }
    self->wait_count = count;
    self->until = until;
    self->woken = -1;
    self->state = FIBER_WAITING;
    switch_to_scheduler(false);
    return self->woken;
}

void sim_sleep(uint64_t ns)
{
    (void)sim_wait(NULL, 0, kernel.now + ns);
}

uint32_t sim_wake(const void *address, uint32_t most)
{
    const void *place = sim_shared_place(address);
    uint32_t first = (uint32_t)sim_below(CHANCE_SCHEDULE, kernel.fiber_count);
    uint32_t count = 0;
    for (uint32_t n = 0; n < kernel.fiber_count && count < most; n++) {
        fiber *sleeper = &kernel.fibers[(first + n) % kernel.fiber_count];
        for (uint32_t i = 0; sleeper->state == FIBER_WAITING && i < sleeper->wait_count; i++) {
            if (sleeper->waits[i] == place) {
                sleeper->state = FIBER_READY;
                sleeper->woken = (int)i;
                count++;
            }
        }
    }
    return count;
}

/* ---- processes ---- */

sim_process *sim_process_new(const char *name)
{
    for (uint32_t i = 0; i < SIM_PROCESSES_MAX; i++) {
        sim_process *process = &kernel.processes[i];
        if (!process->alive) {
            *process = (sim_process){
                .alive = true, .number = 1000 + kernel.process_number++, .name = name};
            return process;
        }
    }
    (void)fprintf(stderr, "hrt-sim: too many processes\n");
    abort();
}

/* What the kernel does with the list of a thread that has died. */
static void mark_robust(const fiber *dead)
{
    const struct robust_list_head *head = dead->robust;
    uint32_t tid = (uint32_t)(dead - kernel.fibers) + 2;
    const struct robust_list *node = head->list.next;
    const struct robust_list *pending = head->list_op_pending;
    for (uint32_t i = 0; i < ROBUST_MAX; i++) {
        bool last = node == &head->list;
        node = last ? pending : node;
        if (node == NULL) {
            return;
        }
        uint32_t *word = (uint32_t *)(void *)((uint8_t *)(uintptr_t)node + head->futex_offset);
        if ((*word & FUTEX_TID_MASK) == tid) {
            *word = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
            (void)sim_wake(word, 1);
        }
        if (last) {
            return;
        }
        node = node->next;
    }
}

static void bury(sim_process *process)
{
    for (uint32_t i = 0; i < FIBERS_MAX; i++) {
        fiber *dead = &kernel.fibers[i];
        if (dead->state != FIBER_FREE && dead->process == process) {
            if (dead->robust != NULL) {
                mark_robust(dead);
            }
        }
    }
    for (uint32_t i = 0; i < FIBERS_MAX; i++) {
        if (kernel.fibers[i].state != FIBER_FREE && kernel.fibers[i].process == process) {
            kernel.fibers[i].state = FIBER_FREE;
        }
    }
    sim_trace(2, process->number, process->operations);
    sim_files_drop(process);
    sim_shared_drop(process);
    sim_memory_drop(process);
    if (process->bytes_most > kernel.outcome->memory_most) {
        kernel.outcome->memory_most = process->bytes_most;
    }
    process->alive = false;
    if (process->on_death != NULL) {
        process->on_death(process);
    }
}

void sim_process_kill(sim_process *process)
{
    if (!process->alive) {
        return;
    }
    if (sim_self() == process) {
        process->dying = true;
        switch_to_scheduler(true);
        abort(); /* the dead do not return */
    }
    bury(process);
}

void sim_process_kill_others(const sim_process *spared)
{
    for (uint32_t i = 0; i < SIM_PROCESSES_MAX; i++) {
        sim_process *process = &kernel.processes[i];
        if (process->alive && process != spared && process != sim_self()) {
            bury(process);
        }
    }
}

/* ---- stepping ---- */

static bool is_frozen(const fiber *one)
{
    return one->process->frozen_until > kernel.now;
}

static fiber *choose(uint64_t *next_out)
{
    fiber *chosen = NULL;
    uint64_t ready = 0;
    for (uint32_t i = 0; i < kernel.fiber_count; i++) {
        fiber *one = &kernel.fibers[i];
        if (one->state != FIBER_READY && one->state != FIBER_WAITING) {
            continue;
        }
        uint64_t at = one->state == FIBER_WAITING ? one->until : kernel.now;
        at = is_frozen(one) && at < one->process->frozen_until ? one->process->frozen_until : at;
        if (at > kernel.now) {
            *next_out = at < *next_out ? at : *next_out;
        } else if (sim_one_in(CHANCE_SCHEDULE, ++ready)) {
            chosen = one;
        }
    }
    return chosen;
}

bool sim_kernel_step(void)
{
    uint64_t next = SIM_NEVER;
    fiber *chosen = choose(&next);
    if (chosen == NULL && next == SIM_NEVER) {
        return false;
    }
    if (chosen == NULL) {
        kernel.now = next;
        return true;
    }
    chosen->state = FIBER_READY;
    kernel.outcome->steps++;
    sim_trace(3, (uint64_t)(chosen - kernel.fibers), kernel.now);
    sim_process *process = chosen->process;
    switch_to_fiber(chosen);
    kernel.now += 200 + sim_below(CHANCE_SCHEDULE, 3000);
    if (process->alive && process->dying) {
        bury(process);
    }
    if (chosen->state == FIBER_DONE && chosen->robust != NULL) {
        mark_robust(chosen);
        chosen->robust = NULL;
    }
    return true;
}

void sim_kernel_begin(const sim_plan *plan, sim_outcome *outcome)
{
    kernel.plan = *plan;
    kernel.outcome = outcome;
    kernel.now = 0;
    kernel.suspended_ns = 0;
    kernel.wall_offset_ns = 0;
    kernel.until_switch = 1;
    kernel.calm = false;
    kernel.process_number = 0;
    kernel.fiber_count = 0;
    for (uint32_t i = 0; i < CHANCE_COUNT; i++) {
        kernel.chance[i] = mix(plan->seed + 1) ^ mix(0x5e * (i + 1u));
    }
    is_loud = getenv("HRT_SIM_LOUD") != NULL;
}

void sim_kernel_end(void)
{
    sim_process_kill_others(NULL);
    kernel.outcome->virtual_ns = kernel.now;
}
