/* An open-addressing map from a non-zero u64 to a u32. */
#include "map.h"

#include "check.h"
#include "pages.h"

enum { HRT_MAP_BITS_FIRST = 6, HRT_MAP_BITS_MAX = 31 };

static void place(hrt_map *map, uint64_t key, uint32_t value)
{
    uint32_t at = hrt_map_home(map, key);
    while (map->entries[at].key != 0) {
        HRT_ASSERT(map->entries[at].key != key);
        at = (at + 1) & map->mask;
    }
    map->entries[at].key = key;
    map->entries[at].value = value;
}

static size_t size_of(const hrt_map *map)
{
    return map->entries == NULL ? 0 : ((size_t)map->mask + 1) * sizeof(hrt_map_entry);
}

static bool grow(hrt_map *map)
{
    uint32_t bits = map->entries == NULL ? HRT_MAP_BITS_FIRST : 67 - map->shift;
    if (bits > HRT_MAP_BITS_MAX) {
        return false;
    }
    hrt_map larger = {.mask = (1u << bits) - 1, .shift = 66 - bits, .count = map->count};
    larger.entries = hrt_pages_new(sizeof(hrt_map_entry) << bits);
    if (larger.entries == NULL) {
        return false;
    }
    for (uint32_t at = 0; map->entries != NULL && at <= map->mask; at++) {
        if (map->entries[at].key != 0) {
            place(&larger, map->entries[at].key, map->entries[at].value);
        }
    }
    hrt_pages_free(map->entries, size_of(map));
    *map = larger;
    return true;
}

bool hrt_map_add(hrt_map *map, uint64_t key, uint32_t value)
{
    HRT_ASSERT(key != 0);
    bool full = map->entries == NULL || map->count >= (map->mask + 1) / 2;
    if (full && !grow(map)) {
        return false;
    }
    place(map, key, value);
    map->count++;
    return true;
}

void hrt_map_remove(hrt_map *map, uint64_t key)
{
    if (hrt_map_find(map, key) == HRT_MAP_NONE) {
        return;
    }
    uint32_t hole = hrt_map_home(map, key);
    while (map->entries[hole].key != key) {
        hole = (hole + 1) & map->mask;
    }
    /* An entry further on fills the hole unless its home lies behind the hole. */
    for (uint32_t next = (hole + 1) & map->mask; map->entries[next].key != 0;
         next = (next + 1) & map->mask) {
        uint32_t home = hrt_map_home(map, map->entries[next].key);
        if (((next - home) & map->mask) >= ((next - hole) & map->mask)) {
            map->entries[hole] = map->entries[next];
            hole = next;
        }
    }
    map->entries[hole].key = 0;
    map->count--;
}

void hrt_map_free(hrt_map *map)
{
    hrt_pages_free(map->entries, size_of(map));
    *map = (hrt_map){0};
}
