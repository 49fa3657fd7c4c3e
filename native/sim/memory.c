/* Memory by process: what a death drops at once, and what a clean end must have given back. */
#include "calls.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#define LARGE SIZE_MAX /* it watches each block of malloc */
#else
#define LARGE ((size_t)65536)
#endif

/* Up to here a block is cheaper to clear than to have its pages anew. */
#define CLEARED_MAX ((size_t)512 << 10)

enum { GARBAGE_MAX = 4096, SPARES_MAX = 128 };

typedef struct sim_block {
    struct sim_block *previous;
    struct sim_block *next;
    sim_process *owner; /* NULL: the harness */
    size_t size;
    size_t ahead; /* bytes from the start of what was taken */
    size_t taken; /* pages in all, 0: from malloc */
    uint64_t pad[2];
} sim_block;

_Static_assert(sizeof(sim_block) == 64, "memory behind it stays aligned");

/* Large blocks that were freed, as they were left. */
static struct {
    struct {
        void *memory;
        size_t size;
    } spares[SPARES_MAX];
    uint32_t spare_count;
    uint8_t garbage;
} pool;

void sim_memory_begin(uint8_t garbage)
{
    pool.garbage = garbage;
}

/* ---- where blocks come from ---- */

/* All zeros if it has to be. */
static void *take_large(size_t size, bool zeroed)
{
    for (uint32_t i = pool.spare_count; i-- > 0;) {
        if (pool.spares[i].size == size) {
            void *memory = pool.spares[i].memory;
            pool.spares[i] = pool.spares[--pool.spare_count];
            if (zeroed && size <= CLEARED_MAX) {
                memset(memory, 0, size);
            } else if (zeroed) {
                (void)madvise(memory, size, MADV_DONTNEED);
            }
            return memory;
        }
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void give_large(void *memory, size_t size)
{
    if (pool.spare_count == SPARES_MAX) {
        (void)munmap(memory, size);
        return;
    }
    pool.spares[pool.spare_count].size = size;
    pool.spares[pool.spare_count++].memory = memory;
}

static sim_block *block_of(void *memory)
{
    return (sim_block *)memory - 1;
}

static void link_block(sim_block *block)
{
    sim_process *owner = block->owner;
    if (owner == NULL) {
        return;
    }
    block->previous = NULL;
    block->next = owner->blocks;
    if (block->next != NULL) {
        block->next->previous = block;
    }
    owner->blocks = block;
    owner->bytes += block->size;
    SIM_CHECK(owner->bytes < SIM_MEMORY_MOST, "a %s holds %llu bytes", owner->name,
              (unsigned long long)owner->bytes);
    owner->bytes_most = owner->bytes > owner->bytes_most ? owner->bytes : owner->bytes_most;
}

static void unlink_block(sim_block *block)
{
    if (block->owner == NULL) {
        return;
    }
    if (block->previous != NULL) {
        block->previous->next = block->next;
    } else {
        block->owner->blocks = block->next;
    }
    if (block->next != NULL) {
        block->next->previous = block->previous;
    }
    block->owner->bytes -= block->size;
}

/* With `ahead` bytes before it, of which the last ones are its head. */
static void *new_block(size_t ahead, size_t size, bool zeroed)
{
    size_t all = ahead + size;
    size_t taken = all < LARGE ? 0 : (all + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
    uint8_t *raw = taken != 0                   ? take_large(taken, zeroed)
                   : ahead == sizeof(sim_block) ? malloc(all)
                                                : aligned_alloc(ahead, all);
    if (raw == NULL) {
        return NULL;
    }
    if (zeroed && taken == 0) {
        memset(raw + ahead, 0, size);
    } else if (!zeroed) {
        memset(raw + ahead, pool.garbage, size < GARBAGE_MAX ? size : GARBAGE_MAX);
    }
    sim_block *block = block_of(raw + ahead);
    *block = (sim_block){.owner = sim_self(), .size = size, .ahead = ahead, .taken = taken};
    link_block(block);
    return raw + ahead;
}

/* ---- what the library calls ---- */

void *sim_malloc(size_t size)
{
    sim_point();
    return new_block(sizeof(sim_block), size, false);
}

void *sim_calloc(size_t count, size_t size)
{
    sim_point();
    return new_block(sizeof(sim_block), count * size, true);
}

void *sim_aligned_alloc(size_t alignment, size_t size)
{
    sim_point();
    return new_block(alignment, size, false);
}

/* It always moves: who keeps the old place is found out. */
void *sim_realloc(void *memory, size_t size)
{
    void *moved = sim_malloc(size);
    if (memory != NULL && moved != NULL) {
        size_t kept = block_of(memory)->size;
        memcpy(moved, memory, kept < size ? kept : size);
        sim_free(memory);
    }
    return moved;
}

void sim_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    sim_block *block = block_of(memory);
    uint8_t *raw = (uint8_t *)memory - block->ahead;
    unlink_block(block);
    if (block->taken != 0) {
        give_large(raw, block->taken);
    } else {
        free(raw);
    }
}

char *sim_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sim_malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

void sim_memory_drop(sim_process *process)
{
    while (process->blocks != NULL) {
        sim_free(process->blocks + 1);
    }
}
