/*
 * Any bytes as the records of a segment: opening gives a log or a named damage, never a crash, and
 * a log that opens once opens again with the same records.
 */
#include "check.h"
#include "log.h"
#include "record.h"
#include "segment.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SEGMENT_SIZE = HRT_SEGMENT_SIZE_MIN };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *context, const hrt_record *record)
{
    uint64_t *records = context;
    HRT_ASSERT(hrt_record_well_formed(record));
    (*records)++;
    return HRT_OK;
}

/* Half of the blocks are made valid records, else no random input would get past a checksum. */
static void seal_some(uint8_t *bytes, size_t size, const uint8_t uuid[16])
{
    uint64_t sequence = 1;
    for (size_t offset = HRT_SEGMENT_HEADER; offset + sizeof(hrt_record) <= size;) {
        hrt_record *record = (hrt_record *)(void *)(bytes + offset);
        record->length = (uint32_t)sizeof(hrt_record) + record->length % 256;
        if (offset + hrt_record_span(record->length) > size || (record->reserved & 3) == 3) {
            return;
        }
        record->type = (uint8_t)(record->type % 12);
        record->position = SEGMENT_SIZE + offset;
        record->sequence = sequence++;
        record->epoch = record->epoch % 3;
        hrt_record_seal(record, uuid);
        offset += hrt_record_span(record->length);
    }
}

static void write_segment(int directory, const uint8_t *data, size_t size)
{
    hrt_segment head = {.magic = HRT_MAGIC_SEGMENT,
                        .format_version = HRT_FORMAT_VERSION,
                        .segment_size = SEGMENT_SIZE,
                        .number = 1,
                        .uuid = {7},
                        .head = 1};
    hrt_segment_seal(&head);
    uint8_t *bytes = calloc(1, SEGMENT_SIZE);
    HRT_ASSERT(bytes != NULL);
    memcpy(bytes, &head, sizeof(head));
    memcpy(bytes + HRT_SEGMENT_HEADER, data, size);
    seal_some(bytes, HRT_SEGMENT_HEADER + size, head.uuid);
    int fd = hrt_segment_open(directory, 0, O_RDWR | O_CREAT);
    HRT_ASSERT(fd >= 0 && hrt_write_at(fd, bytes, SEGMENT_SIZE, 0) == HRT_OK);
    (void)close(fd);
    free(bytes);
}

static int open_once(const char *path, uint64_t *records_out)
{
    hrt_log_options options = {.directory = path, .segment_size = SEGMENT_SIZE};
    hrt_damage_report report = {0};
    hrt_log *log = NULL;
    *records_out = 0;
    int status = hrt_log_open(&options, count, records_out, &log, NULL, &report);
    HRT_ASSERT(status == HRT_OK || report.damage != HRT_DAMAGE_NONE);
    hrt_log_close(log);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/dev/shm/hrt_fuzz_XXXXXX";
    size = size < SEGMENT_SIZE - HRT_SEGMENT_HEADER ? size : SEGMENT_SIZE - HRT_SEGMENT_HEADER;
    HRT_ASSERT(mkdtemp(path) != NULL);
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    write_segment(directory, data, size);
    uint64_t first = 0;
    uint64_t second = 0;
    int status = open_once(path, &first);
    HRT_ASSERT(open_once(path, &second) == status && first == second);
    (void)unlinkat(directory, "00000000.seg", 0);
    (void)unlinkat(directory, "lock", 0);
    (void)close(directory);
    HRT_ASSERT(rmdir(path) == 0);
    return 0;
}
