/* A client says that it is a worker, and which kinds it serves. */
#include "check.h"
#include "error.h"
#include "handle.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = HRT_KINDS_MAX * (1 + HRT_KIND_NAME_MAX) };

/* Copies a text into its field. False: it does not fit with its zero. */
static bool fill(char *field, size_t size, const char *text)
{
    const size_t length = text == NULL ? 0 : strlen(text);
    if (length >= size)
        return false;
    if (length > 0)
        memcpy(field, text, length);
    return true;
}

static int check_numbers(const hrt_register_options *options)
{
    if (options->kind_count == 0 || options->kind_count > HRT_KINDS_MAX || options->kinds == NULL)
        return hrt_fail(HRT_EINVAL, "%u kinds, a worker serves 1 to %d", options->kind_count,
                        HRT_KINDS_MAX);
    if (options->concurrency == 0 || options->concurrency > HRT_CREDIT_MAX)
        return hrt_fail(HRT_EINVAL, "concurrency is %u, it has to be 1 to %d", options->concurrency,
                        HRT_CREDIT_MAX);
    if (options->credit > HRT_CREDIT_MAX)
        return hrt_fail(HRT_EINVAL, "credit is %u, the limit is %d", options->credit,
                        HRT_CREDIT_MAX);
    return HRT_OK;
}

static int fill_texts(const hrt_register_options *options, hrt_submit_register *entry)
{
    const char *pool = options->pool != NULL ? options->pool : getenv("HYBRIDRT_POOL");
    if (!fill(entry->pool, sizeof(entry->pool), pool))
        return hrt_fail(HRT_ENAME, "the pool's name has %zu bytes, the limit is %d", strlen(pool),
                        HRT_POOL_NAME_MAX);
    if (!fill(entry->language, sizeof(entry->language), options->language))
        return hrt_fail(HRT_EINVAL, "language \"%s\" has more than %zu bytes", options->language,
                        sizeof(entry->language) - 1);
    if (!fill(entry->version, sizeof(entry->version), options->version))
        return hrt_fail(HRT_EINVAL, "version \"%s\" has more than %zu bytes", options->version,
                        sizeof(entry->version) - 1);
    return HRT_OK;
}

/* Each name as one length byte and its bytes. */
static int pack_names(const hrt_register_options *options, uint8_t *names, uint32_t *length_out)
{
    uint32_t length = 0;
    for (uint32_t i = 0; i < options->kind_count; i++) {
        const char *name = options->kinds[i];
        const size_t bytes = name == NULL ? 0 : strlen(name);
        if (name == NULL || !hrt_name_valid(name, bytes))
            return hrt_fail(HRT_ENAME,
                            "kind %u: a name has 1 to %d bytes without control characters", i,
                            HRT_KIND_NAME_MAX);
        names[length] = (uint8_t)bytes;
        memcpy(names + length + 1, name, bytes);
        length += 1 + (uint32_t)bytes;
    }
    *length_out = length;
    return HRT_OK;
}

/* Whoever goes on with this lane has to be told again, so the entry is kept. */
static int keep_registration(hrt_client *client, hrt_submit_register *entry, const uint8_t *names)
{
    const uint32_t length = (uint32_t)hrt_align_up(sizeof(*entry) + entry->names_length, 8);
    uint8_t *copy = calloc(1, length);
    if (copy == NULL)
        return hrt_fail(HRT_ENOMEM, "no memory for a registration of %u bytes", length);
    entry->head.length = length;
    memcpy(copy, entry, sizeof(*entry));
    memcpy(copy + sizeof(*entry), names, entry->names_length);
    (void)pthread_mutex_lock(&client->inbox_lock);
    const bool before = client->registration != NULL;
    if (!before) {
        client->registration = copy;
        client->registration_length = length;
    }
    (void)pthread_mutex_unlock(&client->inbox_lock);
    if (!before)
        return HRT_OK;
    free(copy);
    return hrt_fail(HRT_EINVAL, "this client has registered before");
}

int hrt_register(hrt_client *client, const hrt_register_options *options)
{
    int status = hrt_client_usable(client);
    if (status == HRT_OK)
        status = check_numbers(options);
    if (status != HRT_OK)
        return status;
    hrt_submit_register entry = {
        .head = {.type = HRT_SUBMIT_REGISTER},
        .kind_count = options->kind_count,
        .concurrency = options->concurrency,
        .credit = options->credit,
    };
    uint8_t names[NAMES_MAX];
    status = fill_texts(options, &entry);
    if (status == HRT_OK)
        status = pack_names(options, names, &entry.names_length);
    if (status == HRT_OK)
        status = keep_registration(client, &entry, names);
    if (status != HRT_OK)
        return status;
    return hrt_submit_entry(client, client->registration, client->registration_length, NULL, 0);
}
