/* Which segment files a log directory holds, in the order of the log. Reads headers only. */
#include "catalog.h"

#include "check.h"
#include "error.h"
#include "grow.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SIZE 65536u

/* A file as found, before it is known which log the directory belongs to. */
typedef struct found {
    hrt_segment head;
    hrt_durable_mark mark;
    uint64_t size;
    uint32_t slot;
    uint32_t blank;
} found;

typedef struct finds {
    found *items;
    uint32_t count;
    uint32_t capacity;
} finds;

void hrt_damage(hrt_damage_report *report, enum hrt_damage damage, uint32_t slot, uint64_t position,
                const char *format, ...)
{
    if (report->damage != HRT_DAMAGE_NONE) {
        return;
    }
    report->damage = damage;
    report->slot = slot;
    report->position = position;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(report->text, sizeof(report->text), format, arguments);
    va_end(arguments);
}

static bool parse_name(const char *name, uint32_t *slot_out)
{
    char expected[HRT_SEGMENT_NAME_SIZE];
    char *end = NULL;
    unsigned long slot = strtoul(name, &end, 16);
    if (slot > UINT32_MAX) {
        return false;
    }
    hrt_segment_name((uint32_t)slot, expected);
    *slot_out = (uint32_t)slot;
    return strcmp(name, expected) == 0;
}

static int find_zeros(int fd, bool *zeros_out)
{
    uint8_t chunk[CHUNK_SIZE];
    uint64_t offset = 0;
    size_t got = 0;
    *zeros_out = true;
    do {
        int status = hrt_read_at(fd, chunk, sizeof(chunk), offset, &got);
        if (status != HRT_OK) {
            return status;
        }
        if (got > 0 && (chunk[0] != 0 || memcmp(chunk, chunk + 1, got - 1) != 0)) {
            *zeros_out = false;
            return HRT_OK;
        }
        offset += got;
    } while (got == sizeof(chunk));
    return HRT_OK;
}

static int no_file(uint32_t slot)
{
    return hrt_fail(HRT_ECORRUPT,
                    "%08x.seg in the log directory is no regular file; nothing was changed; move "
                    "it away",
                    slot);
}

static int read_file(int fd, found *item)
{
    struct stat about;
    size_t got = 0;
    if (fstat(fd, &about) != 0) {
        return hrt_status_of(errno);
    }
    if (!S_ISREG(about.st_mode)) {
        return no_file(item->slot);
    }
    item->size = (uint64_t)about.st_size;
    int status = hrt_read_at(fd, &item->head, sizeof(item->head), 0, &got);
    static const hrt_segment nothing;
    if (status == HRT_OK && got > 0 && memcmp(&item->head, &nothing, got) != 0) {
        return hrt_segment_read_mark(fd, &item->mark);
    }
    if (status != HRT_OK) {
        return status;
    }
    bool zeros = false;
    status = find_zeros(fd, &zeros);
    item->blank = zeros;
    return status;
}

static int add_file(int directory, uint32_t slot, finds *found_files)
{
    if (!hrt_grow(&found_files->items, &found_files->capacity, found_files->count + 1, 64,
                  sizeof(*found_files->items))) {
        return HRT_ENOMEM;
    }
    int fd = hrt_segment_open(directory, slot, O_RDONLY | O_NONBLOCK); /* a pipe is not awaited */
    if (fd < 0) {
        int error = errno;
        if (error == ENOENT) {
            return HRT_OK;
        }
        return error == ELOOP ? no_file(slot)
                              : hrt_fail(hrt_status_of(error), "cannot open segment %08x.seg: %s",
                                         slot, strerror(error));
    }
    found item = {.slot = slot};
    int status = read_file(fd, &item);
    (void)close(fd);
    if (status == HRT_OK) {
        found_files->items[found_files->count++] = item;
        return HRT_OK;
    }
    return status == HRT_ECORRUPT ? status : hrt_fail(status, "cannot read segment %08x.seg", slot);
}

static int list_files(int directory, finds *found_files)
{
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return hrt_fail(hrt_status_of(error), "cannot list the log directory: %s", strerror(error));
    }
    int status = HRT_OK;
    const struct dirent *entry = readdir(stream);
    for (; entry != NULL && status == HRT_OK; entry = readdir(stream)) {
        uint32_t slot = 0;
        if (parse_name(entry->d_name, &slot)) {
            status = add_file(directory, slot, found_files);
        }
    }
    (void)closedir(stream);
    return status;
}

static bool whole(const found *item)
{
    return !item->blank && hrt_segment_valid(&item->head);
}

/* The log is whose uuid most files bear: one stray file cannot make all the others foreign. */
static const found *choose_log(const finds *found_files)
{
    const found *best = NULL;
    uint32_t best_votes = 0;
    for (uint32_t i = 0; i < found_files->count; i++) {
        const found *item = &found_files->items[i];
        uint32_t votes = 0;
        for (uint32_t j = 0; whole(item) && j < found_files->count; j++) {
            votes += whole(&found_files->items[j]) &&
                     memcmp(item->head.uuid, found_files->items[j].head.uuid, 16) == 0;
        }
        if (votes > best_votes ||
            (votes == best_votes && best != NULL && whole(item) && item->slot < best->slot)) {
            best = item;
            best_votes = votes;
        }
    }
    return best;
}

static void judge(const found *item, const hrt_catalog *catalog, hrt_damage_report *report)
{
    const hrt_segment *head = &item->head;
    if (!hrt_segment_valid(head)) {
        hrt_damage(report, HRT_DAMAGE_HEADER, item->slot, 0,
                   "segment %08x.seg: its header is damaged; nothing was changed; run 'hybridrt "
                   "log verify'",
                   item->slot);
    } else if (memcmp(head->uuid, catalog->uuid, 16) != 0) {
        hrt_damage(report, HRT_DAMAGE_FOREIGN, item->slot, 0,
                   "segment %08x.seg belongs to another log; nothing was changed; move the file "
                   "out of the directory",
                   item->slot);
    } else if (head->format_version > HRT_FORMAT_VERSION || head->must_understand != 0) {
        hrt_damage(report, HRT_DAMAGE_VERSION, item->slot, 0,
                   "segment %08x.seg has format %u, features %u; this version reads format %d, no "
                   "features; nothing was changed; use a newer hybridrt",
                   item->slot, head->format_version, head->must_understand, HRT_FORMAT_VERSION);
    } else if (!hrt_segment_size_valid(head->segment_size) ||
               head->segment_size != catalog->segment_size || item->size != head->segment_size) {
        hrt_damage(report, HRT_DAMAGE_HEADER, item->slot, 0,
                   "segment %08x.seg is %llu bytes long, the log's segments are %u; nothing was "
                   "changed; run 'hybridrt log verify'",
                   item->slot, (unsigned long long)item->size, catalog->segment_size);
    }
}

static int compare(const void *left, const void *right)
{
    const hrt_catalog_entry *a = left;
    const hrt_catalog_entry *b = right;
    if (a->blank != b->blank) {
        return a->blank < b->blank ? -1 : 1;
    }
    if (a->number != b->number) {
        return a->number < b->number ? -1 : 1;
    }
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* Numbers below the head are worn files whose new header had not reached the disk: spares. */
static void sort_entries(hrt_catalog *catalog, hrt_damage_report *report)
{
    for (uint32_t i = 0; i < catalog->count; i++) {
        if (catalog->entries[i].number < catalog->head) {
            catalog->entries[i].number = HRT_SEGMENT_SPARE;
            catalog->entries[i].aside = 1;
        }
    }
    qsort(catalog->entries, catalog->count, sizeof(*catalog->entries), compare);
    for (uint32_t i = 0; i < catalog->count; i++) {
        const hrt_catalog_entry *entry = &catalog->entries[i];
        if (entry->number == HRT_SEGMENT_SPARE) {
            break;
        }
        if (i > 0 && entry->number == entry[-1].number) {
            hrt_damage(report, HRT_DAMAGE_HEADER, entry->slot, 0,
                       "segments %08x.seg and %08x.seg both say they are number %llu; nothing was "
                       "changed; one is a copy, move it out of the directory",
                       entry[-1].slot, entry->slot, (unsigned long long)entry->number);
        }
        catalog->numbered++;
    }
}

static void note_mark(hrt_catalog *catalog, const hrt_durable_mark *mark)
{
    if (mark->position > catalog->durable.position &&
        memcmp(mark->uuid, catalog->uuid, sizeof(catalog->uuid)) == 0) {
        catalog->durable = *mark;
    }
}

static void fill(hrt_catalog *catalog, const finds *found_files, hrt_damage_report *report)
{
    const found *log = choose_log(found_files);
    if (log != NULL) {
        memcpy(catalog->uuid, log->head.uuid, 16);
        catalog->segment_size = log->head.segment_size;
    }
    for (uint32_t i = 0; i < found_files->count; i++) {
        const found *item = &found_files->items[i];
        hrt_catalog_entry *entry = &catalog->entries[catalog->count++];
        *entry = (hrt_catalog_entry){
            .number = HRT_SEGMENT_SPARE, .slot = item->slot, .blank = item->blank != 0};
        catalog->slots = item->slot >= catalog->slots ? item->slot + 1 : catalog->slots;
        if (item->blank) {
            continue;
        }
        judge(item, catalog, report);
        note_mark(catalog, &item->mark);
        if (hrt_segment_valid(&item->head) && memcmp(item->head.uuid, catalog->uuid, 16) == 0) {
            entry->number = item->head.number;
            entry->aside = item->head.aside == 1;
            catalog->head = item->head.head > catalog->head ? item->head.head : catalog->head;
        }
    }
    sort_entries(catalog, report);
}

int hrt_catalog_read(int directory, hrt_catalog *catalog_out, hrt_damage_report *report_out)
{
    finds found_files = {0};
    *catalog_out = (hrt_catalog){0};
    int status = list_files(directory, &found_files);
    if (status == HRT_OK) {
        catalog_out->entries = calloc(found_files.count + 1, sizeof(*catalog_out->entries));
        status = catalog_out->entries == NULL ? HRT_ENOMEM : HRT_OK;
    }
    if (status == HRT_OK) {
        fill(catalog_out, &found_files, report_out);
    }
    free(found_files.items);
    return status;
}

void hrt_catalog_free(hrt_catalog *catalog)
{
    free(catalog->entries);
    catalog->entries = NULL;
}

const hrt_catalog_entry *hrt_catalog_find(const hrt_catalog *catalog, uint64_t number)
{
    for (uint32_t i = 0; i < catalog->numbered; i++) {
        if (catalog->entries[i].number == number) {
            return &catalog->entries[i];
        }
    }
    return NULL;
}
