/*
 * An open-addressing map from a non-zero u64 to a u32. Knows nothing.
 *
 * Linear probing at a load of at most one half, backward-shift deletion, so there are no tombstones
 * to age. Four neighbouring keys share a cache line: ids come and go in runs.
 */
#ifndef HRT_MAP_H
#define HRT_MAP_H

#include <stdbool.h>
#include <stdint.h>

enum { HRT_MAP_NONE = 0xffffffff };

typedef struct hrt_map_entry {
    uint64_t key; /* 0: free */
    uint32_t value;
    uint32_t unused;
} hrt_map_entry;

/* All zeros is an empty map. */
typedef struct hrt_map {
    hrt_map_entry *entries;
    uint32_t mask;  /* capacity - 1 */
    uint32_t shift; /* brings a product down to a group of four */
    uint32_t count;
} hrt_map;

/* False: out of memory. The key must not be in the map. */
bool hrt_map_add(hrt_map *map, uint64_t key, uint32_t value);
void hrt_map_remove(hrt_map *map, uint64_t key);
void hrt_map_free(hrt_map *map);

static inline uint32_t hrt_map_home(const hrt_map *map, uint64_t key)
{
    uint64_t group = ((key >> 2) * 0x9e3779b97f4a7c15u) >> map->shift;
    return (uint32_t)(group << 2 | (key & 3));
}

/* Has the place of a key that will be asked for soon brought into the cache. */
static inline void hrt_map_expect(const hrt_map *map, uint64_t key)
{
    if (map->count > 0) {
        __builtin_prefetch(&map->entries[hrt_map_home(map, key)]);
    }
}

/* HRT_MAP_NONE: not there. */
static inline uint32_t hrt_map_find(const hrt_map *map, uint64_t key)
{
    if (map->count == 0 || key == 0) {
        return HRT_MAP_NONE;
    }
    uint32_t place = hrt_map_home(map, key);
    while (map->entries[place].key != key) {
        if (map->entries[place].key == 0) {
            return HRT_MAP_NONE;
        }
        place = (place + 1) & map->mask;
    }
    return map->entries[place].value;
}

#endif
