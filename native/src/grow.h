/* Arrays that grow: one way for all of them. */
#ifndef HRT_GROW_H
#define HRT_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Makes a malloc'd array hold `wanted` items of `size` bytes at least. `array` is the address of
 * the pointer to it, which begins as NULL with a capacity of 0; it gets `first` items, and twice as
 * many as often as needed. The new items are not cleared. False: there is no memory for them, or
 * they do not count in 32 bits; the array is as it was.
 */
static inline bool hrt_grow(void *array, uint32_t *capacity, uint64_t wanted, uint32_t first,
                            size_t size)
{
    if (wanted <= *capacity) {
        return true;
    }
    uint64_t larger = *capacity == 0 ? first : *capacity;
    while (larger < wanted) {
        larger *= 2;
    }
    /* Copied, since a pointer to items of any type is not to be read as a void pointer. */
    void *items = NULL;
    memcpy(&items, array, sizeof(items));
    items = larger > UINT32_MAX ? NULL : realloc(items, (size_t)larger * size);
    if (items == NULL) {
        return false;
    }
    memcpy(array, &items, sizeof(items));
    *capacity = (uint32_t)larger;
    return true;
}

#endif
