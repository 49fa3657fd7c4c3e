/* New jobs: specs are checked whole, then written as entries of the submit ring. */
#include "atomic.h"
#include "check.h"
#include "error.h"
#include "handle.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* Published so often while a large batch is written, so that the runtime begins meanwhile. */
    PACKED_STEP = 1024,
};

/* ---- one spec ---- */

static uint64_t variable_length(const hrt_spec *spec, uint32_t payload_length)
{
    const uint64_t trace = spec->trace != NULL ? HRT_TRACE_SIZE : 0;
    return trace + spec->key_length + spec->meta_length + payload_length;
}

static uint32_t entry_length(const hrt_spec *spec, uint32_t payload_length)
{
    const uint64_t bytes = sizeof(hrt_submit_enqueue) + variable_length(spec, payload_length);
    return (uint32_t)hrt_align_up(bytes, 8);
}

static int check_names(const hrt_client *client, const hrt_spec *spec, uint32_t index)
{
    const uint32_t kinds = hrt_load_acquire_u32(&client->page->kind_count);
    if (spec->kind >= kinds)
        return hrt_fail(HRT_EKIND, "job %u of the batch: kind %u is not known, there are %u", index,
                        spec->kind, kinds);
    const uint32_t queues = hrt_load_acquire_u32(&client->page->queue_count);
    if (spec->queue >= queues)
        return hrt_fail(HRT_EQUEUE, "job %u of the batch: queue %u is not declared, there are %u",
                        index, spec->queue, queues);
    return HRT_OK;
}

static int check_key(const hrt_spec *spec, uint32_t index)
{
    if (spec->key_length > 0 && !hrt_is_text(spec->key, spec->key_length))
        return hrt_fail(HRT_ENAME,
                        "job %u of the batch: its key holds a control character; encode binary "
                        "keys as text",
                        index);
    return HRT_OK;
}

/* All of a spec but its payload. */
static int check_common(const hrt_client *client, const hrt_spec *spec, uint32_t index)
{
    if (spec->meta_length > HRT_META_MAX)
        return hrt_fail(HRT_ETOOLARGE, "job %u of the batch: meta has %u bytes, the limit is %d",
                        index, spec->meta_length, HRT_META_MAX);
    if ((spec->key == NULL && spec->key_length > 0) ||
        (spec->meta == NULL && spec->meta_length > 0))
        return hrt_fail(HRT_EINVAL, "job %u of the batch: key or meta is NULL but has a length",
                        index);
    const int status = check_key(spec, index);
    return status != HRT_OK ? status : check_names(client, spec, index);
}

static int check_payload(const hrt_client *client, const hrt_spec *spec, uint32_t payload_length,
                         uint32_t index)
{
    if (payload_length > HRT_PAYLOAD_MAX)
        return hrt_fail(HRT_ETOOLARGE,
                        "job %u of the batch: payload has %u bytes, the limit is %d; store it "
                        "elsewhere and enqueue where it is",
                        index, payload_length, HRT_PAYLOAD_MAX);
    const uint32_t length = entry_length(spec, payload_length);
    if (length > hrt_submit_limit(client))
        return hrt_fail(HRT_ETOOLARGE,
                        "job %u of the batch needs %u bytes in the lane, half of its submit ring "
                        "is %u; attach with a larger submit_capacity",
                        index, length, hrt_submit_limit(client));
    const uint64_t record =
        sizeof(hrt_record) + sizeof(hrt_enqueue_body) + variable_length(spec, payload_length);
    const size_t span = hrt_record_span((uint32_t)record);
    const uint32_t limit = hrt_group_limit(client->page->segment_size);
    if (span > limit)
        return hrt_fail(HRT_ETOOLARGE,
                        "job %u of the batch needs %zu bytes in the log, whose segments of %u "
                        "bytes take at most %u at once; store it elsewhere and enqueue where it is",
                        index, span, client->page->segment_size, limit);
    return HRT_OK;
}

static void add_entry(hrt_need *need, uint32_t length)
{
    need->bytes += length;
    need->largest = length > need->largest ? length : need->largest;
    need->tickets++;
}

int hrt_spec_check(hrt_client *client, const hrt_spec *spec, uint32_t index, hrt_need *need)
{
    int status = check_common(client, spec, index);
    if (status == HRT_OK && spec->payload == NULL && spec->payload_length > 0)
        status =
            hrt_fail(HRT_EINVAL, "job %u of the batch: payload is NULL but has a length", index);
    if (status == HRT_OK)
        status = check_payload(client, spec, spec->payload_length, index);
    if (status == HRT_OK)
        add_entry(need, entry_length(spec, spec->payload_length));
    return status;
}

static hrt_submit_enqueue make_header(const hrt_spec *spec, uint8_t flags)
{
    const uint8_t trace = spec->trace != NULL ? HRT_ENQUEUE_TRACE : 0;
    const uint8_t block = spec->block != 0 ? HRT_ENQUEUE_BLOCK : 0;
    const hrt_submit_enqueue header = {
        .head = {.type = HRT_SUBMIT_ENQUEUE},
        .delay_ns = spec->delay_ns,
        .due_ns = spec->due_ns,
        .timeout_ms = spec->timeout_ms,
        .result_ttl_ms = spec->result_ttl_ms,
        .expires_ms = spec->expires_ms,
        .kind = spec->kind,
        .queue = spec->queue,
        .meta_length = spec->meta_length,
        .max_attempts = spec->max_attempts,
        .key_length = spec->key_length,
        .max_crashes = spec->max_crashes,
        .flags = (uint8_t)(flags | trace | block),
    };
    return header;
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t length)
{
    if (length > 0)
        memcpy(at, bytes, length);
    return at + length;
}

static void write_entry(uint8_t *place, hrt_submit_enqueue *header, const hrt_spec *spec,
                        const void *payload, uint32_t payload_length, uint32_t length)
{
    header->head.length = length;
    header->payload_length = payload_length;
    uint8_t *at = append(place, header, sizeof(*header));
    if (spec->trace != NULL)
        at = append(at, spec->trace, HRT_TRACE_SIZE);
    at = append(at, spec->key, spec->key_length);
    at = append(at, spec->meta, spec->meta_length);
    (void)append(at, payload, payload_length);
}

void hrt_spec_write(hrt_client *client, const hrt_spec *spec, uint8_t flags)
{
    const uint32_t length = entry_length(spec, spec->payload_length);
    uint8_t *place = hrt_ring_claim(&client->writer, length);
    HRT_ASSERT(place != NULL);
    hrt_submit_enqueue header = make_header(spec, flags);
    write_entry(place, &header, spec, spec->payload, spec->payload_length, length);
}

/* ---- a batch in one step ---- */

/* Of `count` specs, those whose answer in `only` (if any) says that the queue was full. */
typedef struct spec_batch {
    const hrt_spec *specs;
    const int64_t *only;
    uint32_t count;
} spec_batch;

static bool belongs(const spec_batch *batch, uint32_t index)
{
    return batch->only == NULL ||
           (batch->only[index] == HRT_EFULL && batch->specs[index].block != 0);
}

static void write_batch(hrt_client *client, void *context)
{
    const spec_batch *batch = context;
    uint8_t flags = batch->only != NULL ? HRT_ENQUEUE_AGAIN : 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!belongs(batch, i))
            continue;
        hrt_spec_write(client, &batch->specs[i], flags);
        flags = 0;
    }
}

int hrt_enqueue(hrt_client *client, const hrt_spec *specs, uint32_t count, int64_t timeout_ns,
                uint64_t *first_out)
{
    int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    hrt_need need = {0};
    for (uint32_t i = 0; i < count && status == HRT_OK; i++)
        status = hrt_spec_check(client, &specs[i], i, &need);
    if (status != HRT_OK)
        return status;
    if (need.bytes > hrt_submit_limit(client) || count > client->reply_capacity)
        return hrt_fail(HRT_ETOOLARGE,
                        "a batch of %u jobs and %llu bytes is over what one step holds: %u jobs "
                        "and %u bytes",
                        count, (unsigned long long)need.bytes, client->reply_capacity,
                        hrt_submit_limit(client));
    spec_batch batch = {.specs = specs, .count = count};
    return hrt_submit_batch(client, &need, write_batch, &batch, timeout_ns, NULL, first_out);
}

/* ---- many jobs that differ in their payload ---- */

typedef struct packed {
    const hrt_spec *like;
    hrt_submit_enqueue header;
    const uint8_t *payload; /* of the next job */
    const uint32_t *lengths;
    uint32_t stride;
    uint32_t count;
    uint32_t done;
} packed;

static uint32_t packed_length(const packed *jobs, uint32_t index)
{
    return jobs->lengths != NULL ? jobs->lengths[index] : jobs->stride;
}

static int check_packed(const hrt_client *client, const packed *jobs)
{
    int status = check_common(client, jobs->like, 0);
    const uint32_t different = jobs->lengths != NULL ? jobs->count : 1;
    bool empty = true;
    for (uint32_t i = 0; i < different && status == HRT_OK; i++) {
        empty = empty && packed_length(jobs, i) == 0;
        status = check_payload(client, jobs->like, packed_length(jobs, i), i);
    }
    if (status == HRT_OK && jobs->payload == NULL && !empty)
        status = hrt_fail(HRT_EINVAL, "payloads is NULL but the jobs have a length");
    return status;
}

/* Writes what fits now, at most PACKED_STEP jobs, and publishes it. Returns how many. */
static uint32_t write_packed(hrt_client *client, packed *jobs, uint64_t *first_out)
{
    const uint64_t first = hrt_load_relaxed(&client->next_ticket);
    const uint64_t answered = hrt_load_acquire(&client->lane->reply_tail);
    const uint64_t pinned = hrt_load_relaxed(&client->pinned);
    const uint64_t oldest = pinned < answered ? pinned : answered;
    const uint64_t tickets = client->reply_capacity - (first - oldest);
    const uint32_t left = jobs->count - jobs->done;
    uint32_t limit = left < PACKED_STEP ? left : PACKED_STEP;
    limit = tickets < limit ? (uint32_t)tickets : limit;
    uint32_t written = 0;
    for (; written < limit; written++) {
        const uint32_t payload_length = packed_length(jobs, jobs->done + written);
        const uint32_t length = entry_length(jobs->like, payload_length);
        uint8_t *place = hrt_ring_claim(&client->writer, length);
        if (place == NULL)
            break;
        write_entry(place, &jobs->header, jobs->like, jobs->payload, payload_length, length);
        jobs->payload += payload_length;
    }
    /* Before the publish: a reply may be written as soon as the runtime sees the entry. */
    hrt_store_release(&client->next_ticket, first + written);
    hrt_ring_publish(&client->writer);
    *first_out = first;
    return written;
}

static int enqueue_packed(hrt_client *client, packed *jobs, int64_t timeout_ns, uint64_t *first_out)
{
    const uint64_t deadline = hrt_deadline(timeout_ns);
    while (jobs->done < jobs->count) {
        int status = hrt_client_open(client);
        if (status != HRT_OK)
            return status;
        uint64_t first = 0;
        (void)pthread_mutex_lock(&client->submit_lock);
        const uint32_t written = write_packed(client, jobs, &first);
        (void)pthread_mutex_unlock(&client->submit_lock);
        if (written > 0) {
            if (jobs->done == 0)
                *first_out = first;
            jobs->done += written;
            hrt_submit_notify(client);
            continue;
        }
        const uint32_t length = entry_length(jobs->like, packed_length(jobs, jobs->done));
        const hrt_need need = {.bytes = length, .largest = length, .tickets = 1};
        status = hrt_submit_wait_room(client, &need, hrt_deadline_left(deadline));
        if (status != HRT_OK)
            return status;
    }
    return HRT_OK;
}

int hrt_enqueue_packed(hrt_client *client, const hrt_spec *like, const void *payloads,
                       const uint32_t *lengths, uint32_t stride, uint32_t count, int64_t timeout_ns,
                       uint64_t *first_out, uint32_t *done_out)
{
    *done_out = 0;
    int status = hrt_client_usable(client);
    if (status != HRT_OK)
        return status;
    packed jobs = {
        .like = like,
        .header = make_header(like, 0),
        .payload = payloads,
        .lengths = lengths,
        .stride = stride,
        .count = count,
    };
    status = check_packed(client, &jobs);
    if (status != HRT_OK)
        return status;
    status = enqueue_packed(client, &jobs, timeout_ns, first_out);
    *done_out = jobs.done;
    return status;
}

/* ---- enqueue and wait ---- */

typedef struct space_wait {
    uint64_t seen;
    uint16_t queue;
} space_wait;

static bool space_came(hrt_client *client, void *context)
{
    const space_wait *wait = context;
    return client->spaces[wait->queue] != wait->seen;
}

static int wait_for_space(hrt_client *client, uint16_t queue, uint64_t deadline)
{
    const hrt_submit_space entry = {
        .head = {.length = sizeof(entry), .type = HRT_SUBMIT_SPACE},
        .queue = queue,
    };
    space_wait wait = {.queue = queue};
    (void)pthread_mutex_lock(&client->inbox_lock);
    wait.seen = client->spaces[queue];
    (void)pthread_mutex_unlock(&client->inbox_lock);
    int status = hrt_submit_entry(client, &entry, sizeof(entry), NULL, 0);
    if (status != HRT_OK)
        return status;
    (void)pthread_mutex_lock(&client->inbox_lock);
    status = hrt_inbox_wait(client, space_came, &wait, deadline);
    (void)pthread_mutex_unlock(&client->inbox_lock);
    return status;
}

/* Sends those of the batch that belong, waits for their answers, and files them in ids. */
static int send_and_wait(hrt_client *client, const spec_batch *batch, uint64_t deadline,
                         int64_t *ids)
{
    hrt_need need = {0};
    for (uint32_t i = 0; i < batch->count; i++) {
        if (belongs(batch, i))
            add_entry(&need, entry_length(&batch->specs[i], batch->specs[i].payload_length));
    }
    spec_batch sent = *batch;
    hrt_pin pin;
    uint64_t first = 0;
    int status = hrt_submit_batch(client, &need, write_batch, &sent, hrt_deadline_left(deadline),
                                  &pin, &first);
    if (status != HRT_OK)
        return status;
    status = hrt_replies_wait(client, first + need.tickets, deadline, false);
    uint64_t ticket = first;
    for (uint32_t i = 0; i < batch->count && status == HRT_OK; i++) {
        if (belongs(batch, i))
            status = hrt_replies(client, ticket++, 1, &ids[i]);
    }
    hrt_submit_unpin(client, &pin);
    return status;
}

/* Index of the first job that found its queue full and may wait, or count. */
static uint32_t first_blocked(const spec_batch *batch, const int64_t *ids)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (ids[i] == HRT_EFULL && batch->specs[i].block != 0)
            return i;
    return batch->count;
}

static int enqueue_chunk(hrt_client *client, const hrt_spec *specs, uint32_t count,
                         uint64_t deadline, int64_t *ids)
{
    spec_batch batch = {.specs = specs, .count = count};
    for (;;) {
        int status = send_and_wait(client, &batch, deadline, ids);
        if (status != HRT_OK)
            return status;
        const uint32_t blocked = first_blocked(&batch, ids);
        if (blocked == count)
            return HRT_OK;
        status = wait_for_space(client, specs[blocked].queue, deadline);
        if (status == HRT_ETIMEOUT)
            return HRT_OK; /* its answer, HRT_EFULL, says it better */
        if (status != HRT_OK)
            return status;
        batch.only = ids;
    }
}

/* How many of the specs fit one step. */
static uint32_t chunk_of(const hrt_client *client, const hrt_spec *specs, uint32_t count)
{
    uint64_t bytes = 0;
    uint32_t chunk = 0;
    while (chunk < count && chunk < client->reply_capacity / 2) {
        bytes += entry_length(&specs[chunk], specs[chunk].payload_length);
        if (bytes > hrt_submit_limit(client))
            break;
        chunk++;
    }
    return chunk;
}

static int first_refusal(hrt_client *client, const hrt_spec *specs, const int64_t *ids,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] < 0) {
            const char *queue = hrt_queue_name(client, specs[i].queue);
            return hrt_fail((int)ids[i], "job %u of the batch was not taken by queue \"%s\": %s", i,
                            queue != NULL ? queue : "?", hrt_strerror((int)ids[i]));
        }
    }
    return HRT_OK;
}

int hrt_enqueue_wait(hrt_client *client, const hrt_spec *specs, uint32_t count, int64_t timeout_ns,
                     int64_t *ids_out)
{
    const uint64_t deadline = hrt_deadline(timeout_ns);
    int status = hrt_client_usable(client);
    hrt_need need = {0};
    for (uint32_t i = 0; i < count && status == HRT_OK; i++)
        status = hrt_spec_check(client, &specs[i], i, &need);
    for (uint32_t i = 0; i < count; i++)
        ids_out[i] = status == HRT_OK ? HRT_EAGAIN : status;
    uint32_t done = 0;
    while (done < count && status == HRT_OK) {
        const uint32_t chunk = chunk_of(client, specs + done, count - done);
        status = enqueue_chunk(client, specs + done, chunk, deadline, ids_out + done);
        done += chunk;
    }
    /* What has no answer gets the reason why it has none. */
    for (uint32_t i = 0; i < count; i++)
        if (ids_out[i] == HRT_EAGAIN)
            ids_out[i] = status;
    return status != HRT_OK ? status : first_refusal(client, specs, ids_out, count);
}
