/*
 * Memory that processes share. All mappings of one memfd are the same bytes at the same address;
 * what a liveness thread maps a second time is known as an alias, for futexes go by place.
 */
#include "calls.h"
#include "disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MEMORIES_MAX = 256, MAPS_MAX = 4096, ALIASES_MAX = 1024, SPARES_MAX = 32 };

/* Up to here memory is cheaper to clear than to have its pages anew. */
#define CLEARED_MAX ((size_t)512 << 10)

typedef struct memory {
    bool used;
    uint32_t holds;
    size_t size;
    uint8_t *bytes;
} memory;

typedef struct map {
    sim_process *owner; /* NULL: free */
    uint8_t *bytes;
    size_t size;
    int memory; /* -1: not shared */
    int inode;  /* -1: no file */
} map;

typedef struct alias {
    uint8_t *place; /* NULL: free */
    uint8_t *source;
} alias;

static struct {
    memory memories[MEMORIES_MAX];
    map maps[MAPS_MAX];
    uint32_t map_count; /* high-water mark */
    alias aliases[ALIASES_MAX];
    uint32_t alias_count;
    memory spares[SPARES_MAX]; /* released, to be used again */
    uint32_t spare_count;
} shared;

/* ---- memfd ---- */

int sim_memory_new(void)
{
    for (int i = 0; i < MEMORIES_MAX; i++) {
        if (!shared.memories[i].used) {
            shared.memories[i] = (memory){.used = true};
            return i;
        }
    }
    abort();
}

static uint8_t *take_pages(size_t size)
{
    for (uint32_t i = 0; i < shared.spare_count; i++) {
        uint8_t *bytes = shared.spares[i].bytes;
        if (shared.spares[i].size == size) {
            shared.spares[i] = shared.spares[--shared.spare_count];
            if (size <= CLEARED_MAX) {
                memset(bytes, 0, size);
            } else if (madvise(bytes, size, MADV_REMOVE) != 0) {
                abort();
            }
            return bytes;
        }
    }
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        abort();
    }
    return bytes;
}

static void give_pages(uint8_t *bytes, size_t size)
{
    if (shared.spare_count == SPARES_MAX) {
        (void)munmap(bytes, size);
    } else {
        shared.spares[shared.spare_count++] = (memory){.bytes = bytes, .size = size};
    }
}

static size_t whole_pages(size_t size)
{
    return (size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE;
}

void sim_memory_resize(int number, size_t size)
{
    memory *one = &shared.memories[number];
    if (one->bytes != NULL || size == 0) {
        abort();
    }
    one->bytes = take_pages(whole_pages(size));
    one->size = size;
}

size_t sim_memory_size(int number)
{
    return shared.memories[number].size;
}

void sim_memory_hold(int number)
{
    shared.memories[number].holds++;
}

void sim_memory_release(int number)
{
    memory *one = &shared.memories[number];
    if (--one->holds == 0) {
        if (one->bytes != NULL) {
            give_pages(one->bytes, whole_pages(one->size));
        }
        *one = (memory){0};
    }
}

/* ---- mappings ---- */

static map *new_map(void)
{
    for (uint32_t i = 0; i < shared.map_count; i++) {
        if (shared.maps[i].owner == NULL) {
            return &shared.maps[i];
        }
    }
    if (shared.map_count == MAPS_MAX) {
        abort();
    }
    return &shared.maps[shared.map_count++];
}

static void forget_aliases(const uint8_t *from, size_t size)
{
    for (uint32_t i = 0; i < shared.alias_count; i++) {
        const uint8_t *place = shared.aliases[i].place;
        if (place != NULL && place >= from && place < from + size) {
            shared.aliases[i] = (alias){0};
        }
    }
}

void *sim_mmap(void *place, size_t size, int flags, int fd)
{
    bool is_memory = false;
    int object = -1;
    sim_point();
    if (flags & MAP_FIXED) {
        forget_aliases(place, size);
        return mmap(place, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    }
    if (fd >= 0 && !sim_files_object(fd, &is_memory, &object)) {
        return MAP_FAILED;
    }
    map *made = new_map();
    *made = (map){.owner = sim_self(), .size = size, .memory = -1, .inode = -1};
    if (fd < 0) {
        made->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    } else if (is_memory) {
        made->memory = object;
        made->bytes = shared.memories[object].bytes;
        sim_memory_hold(object);
    } else {
        made->inode = object;
        made->bytes = sim_disk_map(object);
        sim_disk_hold(object);
    }
    return made->bytes;
}

static void unmap(map *one)
{
    if (one->memory >= 0) {
        sim_memory_release(one->memory);
    } else if (one->inode >= 0) {
        sim_disk_release(one->inode);
    } else {
        forget_aliases(one->bytes, one->size);
        (void)munmap(one->bytes, one->size);
    }
    one->owner = NULL;
}

int sim_munmap(void *bytes, size_t size)
{
    sim_point();
    for (uint32_t i = 0; i < shared.map_count; i++) {
        map *one = &shared.maps[i];
        if (one->owner == sim_self() && one->bytes == bytes && one->size == size) {
            unmap(one);
            return 0;
        }
    }
    sim_violation("memory is unmapped that was not mapped");
    return -1;
}

void *sim_mremap(void *from, size_t wanted, void *place)
{
    sim_point();
    void *target = mremap(from, 0, wanted, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    if (target == MAP_FAILED) {
        return MAP_FAILED;
    }
    uint32_t free_place = 0;
    while (free_place < shared.alias_count && shared.aliases[free_place].place != NULL) {
        free_place++;
    }
    if (free_place == ALIASES_MAX) {
        abort();
    }
    shared.alias_count += free_place == shared.alias_count;
    shared.aliases[free_place] = (alias){.place = place, .source = from};
    return target;
}

const void *sim_shared_place(const void *address)
{
    const uint8_t *bytes = address;
    for (uint32_t i = 0; i < shared.alias_count; i++) {
        const alias *one = &shared.aliases[i];
        if (one->place != NULL && bytes >= one->place && bytes < one->place + SIM_PAGE) {
            return one->source + (bytes - one->place);
        }
    }
    return address;
}

uint32_t sim_shared_count(const sim_process *process)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shared.map_count; i++) {
        count += shared.maps[i].owner == process;
    }
    return count;
}

void sim_shared_drop(sim_process *process)
{
    for (uint32_t i = 0; i < shared.map_count; i++) {
        if (shared.maps[i].owner == process) {
            unmap(&shared.maps[i]);
        }
    }
}

void sim_shared_end(void)
{
    shared.map_count = 0;
    shared.alias_count = 0;
}
