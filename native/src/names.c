/* Kinds and queues by name, looked up in the shared page. */
#include "atomic.h"
#include "check.h"
#include "error.h"
#include "handle.h"

#include <string.h>

_Static_assert(sizeof(((hrt_queue_settings *)0)->name) == HRT_QUEUE_NAME_MAX + 1,
               "a queue's name fills its field");
_Static_assert(sizeof(hrt_name) == HRT_KIND_NAME_MAX + 1, "a kind's name fills its field");

bool hrt_name_valid(const char *name, size_t length)
{
    return name != NULL && length > 0 && length <= HRT_KIND_NAME_MAX && hrt_is_text(name, length);
}

static int refuse_name(const char *what, const char *name, size_t length)
{
    if (name == NULL || length == 0)
        return hrt_fail(HRT_ENAME, "the name of a %s is empty", what);
    if (length > HRT_KIND_NAME_MAX)
        return hrt_fail(HRT_ENAME, "the name of a %s has %zu bytes, the limit is %d", what, length,
                        HRT_KIND_NAME_MAX);
    return hrt_fail(HRT_ENAME, "the name of a %s holds a control character", what);
}

static bool same(const char *known, const char *name, size_t length)
{
    return memcmp(known, name, length) == 0 && known[length] == '\0';
}

static uint32_t kind_count(const hrt_client *client)
{
    const uint32_t count = hrt_load_acquire_u32(&client->page->kind_count);
    return count < HRT_KINDS_MAX ? count : HRT_KINDS_MAX;
}

static uint32_t queue_count(const hrt_client *client)
{
    const uint32_t count = hrt_load_acquire_u32(&client->page->queue_count);
    return count < HRT_QUEUES_MAX ? count : HRT_QUEUES_MAX;
}

int hrt_kind(hrt_client *client, const char *name, size_t length, uint16_t *kind_out)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (!hrt_name_valid(name, length))
        return refuse_name("kind", name, length);
    const uint32_t count = kind_count(client);
    for (uint32_t i = 0; i < count; i++) {
        if (same(client->page->kinds[i].text, name, length)) {
            *kind_out = (uint16_t)i;
            return HRT_OK;
        }
    }
    return hrt_fail(HRT_EKIND,
                    "kind \"%.*s\" is not among the %u that the runtime knows; declare it in the "
                    "configuration or start a worker that serves it",
                    (int)length, name, count);
}

int hrt_queue(hrt_client *client, const char *name, size_t length, uint16_t *queue_out)
{
    const int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    if (!hrt_name_valid(name, length))
        return refuse_name("queue", name, length);
    const uint32_t count = queue_count(client);
    for (uint32_t i = 0; i < count; i++) {
        if (same(client->page->queues[i].name, name, length)) {
            *queue_out = (uint16_t)i;
            return HRT_OK;
        }
    }
    return hrt_fail(HRT_EQUEUE,
                    "queue \"%.*s\" is not among the %u that are declared; declare it in the "
                    "configuration",
                    (int)length, name, count);
}

const char *hrt_kind_name(hrt_client *client, uint16_t kind)
{
    return kind < kind_count(client) ? client->page->kinds[kind].text : NULL;
}

const char *hrt_queue_name(hrt_client *client, uint16_t queue)
{
    return queue < queue_count(client) ? client->page->queues[queue].name : NULL;
}
