/*
 * Robust futexes for words in shared memory.
 *
 * The kernel reads the list of a dying thread from that thread's memory, and finds each word at one
 * fixed distance from its list node. The nodes must be private, else a peer could break the chain.
 * So the page of each held word is mapped a second time, right behind a private page that has the
 * node at the same offset: the distance is one page, whatever the word.
 */
#include "liveness.h"

#include "atomic.h"
#include "check.h"
#include "error.h"
#include "park.h"

#include <errno.h>
#include <hybridrt/abi.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t pages_size(const hrt_hold *hold)
{
    return (size_t)hold->place_count * 2 * hold->page_size;
}

static void free_memory(hrt_hold *hold)
{
    if (hold->pages != NULL)
        (void)munmap(hold->pages, pages_size(hold));
    free(hold->places);
    memset(hold, 0, sizeof(*hold));
}

int hrt_hold_init(hrt_hold *hold, uint32_t words)
{
    HRT_ASSERT(words > 0);
    memset(hold, 0, sizeof(*hold));
    hold->page_size = (size_t)sysconf(_SC_PAGESIZE);
    hold->place_count = words;
    hold->places = calloc(words, sizeof(hrt_hold_place));
    void *pages = mmap(NULL, pages_size(hold), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    hold->pages = pages == MAP_FAILED ? NULL : pages;
    if (hold->places == NULL || hold->pages == NULL) {
        free_memory(hold);
        return hrt_fail(HRT_ENOMEM, "no memory to hold %u words", words);
    }
    hold->head.list.next = &hold->head.list;
    hold->head.futex_offset = (long)hold->page_size;
    if (syscall(SYS_set_robust_list, &hold->head, sizeof(hold->head)) != 0) {
        const int status = hrt_fail(HRT_ESYSTEM, "set_robust_list: %s", strerror(errno));
        free_memory(hold);
        return status;
    }
    return HRT_OK;
}

static hrt_hold_place *find_place(const hrt_hold *hold, const uint32_t *word)
{
    for (uint32_t i = 0; i < hold->place_count; i++)
        if (hold->places[i].word == word)
            return &hold->places[i];
    return NULL;
}

static uint8_t *alias_page(const hrt_hold *hold, const hrt_hold_place *place)
{
    const size_t index = (size_t)(place - hold->places);
    return hold->pages + (index * 2 + 1) * hold->page_size;
}

/* Maps the word's page again behind the node's page, by a move of nothing from the shared mapping.
 */
static int map_alias(const hrt_hold *hold, hrt_hold_place *place, uint32_t *word)
{
    const size_t offset = (uintptr_t)word & (hold->page_size - 1);
    uint8_t *page = (uint8_t *)word - offset;
    uint8_t *target = alias_page(hold, place);
    const void *alias =
        mremap(page, 0, hold->page_size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)target);
    if (alias == MAP_FAILED)
        return hrt_fail(HRT_ESYSTEM, "map a liveness word a second time: %s", strerror(errno));
    place->word = word;
    place->alias = (uint32_t *)(void *)(target + offset);
    place->node = (struct robust_list *)(void *)(target - hold->page_size + offset);
    return HRT_OK;
}

int hrt_hold_take(hrt_hold *hold, uint32_t *word)
{
    HRT_ASSERT((uintptr_t)word % sizeof(struct robust_list *) == 0);
    HRT_ASSERT(find_place(hold, word) == NULL);
    hrt_hold_place *place = find_place(hold, NULL);
    if (place == NULL)
        return hrt_fail(HRT_ELIMIT, "%u words are held, which is the limit", hold->place_count);
    const int status = map_alias(hold, place, word);
    if (status != HRT_OK)
        return status;
    /* Pending covers a death between the store and the link. */
    hold->head.list_op_pending = place->node;
    hrt_fence_compiler();
    hrt_store_release_u32(place->alias, (uint32_t)gettid() | FUTEX_WAITERS);
    hrt_fence_compiler();
    place->node->next = hold->head.list.next;
    hrt_fence_compiler();
    hold->head.list.next = place->node;
    hrt_fence_compiler();
    hold->head.list_op_pending = NULL;
    hrt_park_wake_raw(place->alias);
    return HRT_OK;
}

static void unlink_node(hrt_hold *hold, const struct robust_list *node)
{
    struct robust_list *before = &hold->head.list;
    while (before->next != node)
        before = before->next;
    before->next = node->next;
}

static void release_place(hrt_hold *hold, hrt_hold_place *place)
{
    hold->head.list_op_pending = place->node;
    hrt_fence_compiler();
    unlink_node(hold, place->node);
    hrt_fence_compiler();
    hrt_store_release_u32(place->alias, 0);
    hrt_park_wake_raw(place->alias);
    hrt_fence_compiler();
    hold->head.list_op_pending = NULL;
    /* A fresh private page takes the alias away and keeps the place reserved. */
    const void *page = mmap(alias_page(hold, place), hold->page_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    HRT_ASSERT(page != MAP_FAILED);
    memset(place, 0, sizeof(*place));
}

void hrt_hold_drop(hrt_hold *hold, const uint32_t *word)
{
    HRT_ASSERT(word != NULL);
    hrt_hold_place *place = find_place(hold, word);
    if (place != NULL)
        release_place(hold, place);
}

void hrt_hold_end(hrt_hold *hold)
{
    for (uint32_t i = 0; i < hold->place_count; i++)
        if (hold->places[i].word != NULL)
            release_place(hold, &hold->places[i]);
    const long result = syscall(SYS_set_robust_list, NULL, sizeof(hold->head));
    HRT_ASSERT(result == 0);
    free_memory(hold);
}
