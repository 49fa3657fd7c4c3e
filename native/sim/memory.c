/* Memory by process: what a death drops at once, and what a clean end must have given back. */
#include "calls.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>

enum { GARBAGE = 0xa5, GARBAGE_MAX = 4096 };

typedef struct sim_block {
    struct sim_block *previous;
    struct sim_block *next;
    sim_process *owner; /* NULL: the harness */
    size_t size;
    size_t ahead; /* bytes from the start of what malloc gave */
    uint64_t pad[3];
} sim_block;

_Static_assert(sizeof(sim_block) == 64, "memory behind it stays aligned");

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

static void *begin_block(uint8_t *raw, size_t ahead, size_t size)
{
    if (raw == NULL) {
        return NULL;
    }
    sim_block *block = block_of(raw + ahead);
    *block = (sim_block){.owner = sim_self(), .size = size, .ahead = ahead};
    link_block(block);
    return raw + ahead;
}

void *sim_malloc(size_t size)
{
    sim_point();
    void *memory = begin_block(malloc(size + sizeof(sim_block)), sizeof(sim_block), size);
    if (memory != NULL && size <= GARBAGE_MAX) {
        memset(memory, GARBAGE, size);
    }
    return memory;
}

void *sim_calloc(size_t count, size_t size)
{
    sim_point();
    return begin_block(calloc(1, count * size + sizeof(sim_block)), sizeof(sim_block),
                       count * size);
}

void *sim_aligned_alloc(size_t alignment, size_t size)
{
    sim_point();
    return begin_block(aligned_alloc(alignment, size + alignment), alignment, size);
}

void *sim_realloc(void *memory, size_t size)
{
    if (memory == NULL) {
        return sim_malloc(size);
    }
    sim_point();
    sim_block *block = block_of(memory);
    unlink_block(block);
    sim_block *grown = realloc(block, size + sizeof(sim_block));
    if (grown == NULL) {
        link_block(block);
        return NULL;
    }
    grown->size = size;
    link_block(grown);
    return grown + 1;
}

void sim_free(void *memory)
{
    if (memory != NULL) {
        sim_block *block = block_of(memory);
        unlink_block(block);
        free((uint8_t *)memory - block->ahead);
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
