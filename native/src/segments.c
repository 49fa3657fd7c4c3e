/* The log's segment files as a client sees them: read-only, mapped at the first use. */
#include "error.h"
#include "grow.h"
#include "handle.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int grow_table(hrt_client *client, uint32_t slot)
{
    if (slot >= HRT_SLOTS_MAX)
        return hrt_fail(HRT_EPEER, "the runtime named segment file %u, which cannot be", slot);
    const uint32_t before = client->segment_count;
    if (!hrt_grow(&client->segments, &client->segment_count, slot + 1, 16,
                  sizeof(*client->segments)))
        return hrt_fail(HRT_ENOMEM, "no memory for a table of %u segments", slot + 1);
    memset(client->segments + before, 0,
           (client->segment_count - before) * sizeof(*client->segments));
    return HRT_OK;
}

static int map_segment(hrt_client *client, uint32_t slot)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "%08x.seg", slot);
    const int fd = openat(client->log_directory, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hrt_fail(HRT_EIO, "open segment %s: %s", name, strerror(errno));
    const size_t size = client->page->segment_size;
    struct stat status;
    void *memory = MAP_FAILED;
    if (fstat(fd, &status) == 0 && (uint64_t)status.st_size >= size)
        memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (memory == MAP_FAILED)
        return hrt_fail(HRT_EIO, "map %zu bytes of segment %s: it is shorter, or memory is short",
                        size, name);
    const hrt_segment *head = memory;
    if (memcmp(head->uuid, client->page->uuid, sizeof(head->uuid)) != 0) {
        (void)munmap(memory, size);
        return hrt_fail(HRT_EIO, "segment %s belongs to another log", name);
    }
    client->segments[slot] = memory;
    return HRT_OK;
}

int hrt_segments_at(hrt_client *client, uint32_t slot, uint64_t offset, uint64_t length,
                    const uint8_t **bytes_out)
{
    if (offset + length > client->page->segment_size)
        return hrt_fail(HRT_EPEER, "the runtime named bytes %llu to %llu of a segment of %u",
                        (unsigned long long)offset, (unsigned long long)(offset + length),
                        client->page->segment_size);
    int status = HRT_OK;
    if (slot >= client->segment_count)
        status = grow_table(client, slot);
    if (status == HRT_OK && client->segments[slot] == NULL)
        status = map_segment(client, slot);
    if (status == HRT_OK)
        *bytes_out = client->segments[slot] + offset;
    return status;
}

void hrt_segments_free(hrt_client *client)
{
    for (uint32_t i = 0; i < client->segment_count; i++)
        if (client->segments[i] != NULL)
            (void)munmap((void *)(uintptr_t)client->segments[i], client->page->segment_size);
    free(client->segments);
}
