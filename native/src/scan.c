/*
 * Reads a log in order, group by group, through private memory; says how the log ends.
 *
 * Everything is read with pread into a window of its own, never through a mapping: a file that is
 * cut short, fails to read, or is recycled by a running writer gives a status instead of a signal.
 */
#include "scan.h"

#include "check.h"
#include "error.h"
#include "pages.h"
#include "record.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW_SIZE (2u * HRT_GROUP_MAX) /* what was copied should still be in the cache */
#define LISTS_MAX 64 /* a running writer may recycle files while they are listed */

struct hrt_scan {
    int directory;
    bool owns_directory;
    bool live;
    bool ended;
    bool has_boot;
    bool next_synced; /* the last PAD says so of the segment after it */
    bool
        following; /* below `tail` everything is written whole, what lies behind is not asked for */
    bool bereft;   /* the writer said how far its groups went, then died */
    uint64_t tail;
    hrt_catalog catalog;
    int fd;
    uint32_t slot;
    uint64_t number;
    uint64_t offset; /* in the segment: of the group, and once it is read, of the next one */
    uint64_t cursor; /* of the next record to hand out; equal to offset: none */
    uint8_t *window;
    uint64_t window_begin;
    uint64_t window_end;
    uint64_t sequence;
    uint64_t durable;
    uint64_t records;
    uint64_t bytes;
    uint32_t epoch;
    uint32_t epoch_max;
    uint8_t boot_id[16]; /* of the last EPOCH record */
    hrt_damage_report report;
};

/* What lies after a bad record. */
typedef struct evidence {
    uint64_t found;
    uint64_t first;   /* position of the first */
    uint64_t end;     /* position after the last */
    uint64_t durable; /* the highest that they name */
} evidence;

int hrt_boot_id(uint8_t boot_id_out[16])
{
    char text[64] = {0};
    size_t got = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    int status = fd < 0 ? HRT_ESYSTEM : hrt_read_at(fd, text, sizeof(text) - 1, 0, &got);
    if (fd >= 0) {
        (void)close(fd);
    }
    uint32_t digits = 0;
    uint8_t id[16] = {0};
    for (size_t i = 0; i < got && digits < 32; i++) {
        const char *hex = "0123456789abcdef";
        const char *place = text[i] == '\0' ? NULL : strchr(hex, text[i]);
        if (place != NULL) {
            id[digits / 2] = (uint8_t)((id[digits / 2] << 4) | (place - hex));
            digits++;
        }
    }
    if (status != HRT_OK || digits != 32) {
        return hrt_fail(HRT_ESYSTEM, "cannot read /proc/sys/kernel/random/boot_id");
    }
    memcpy(boot_id_out, id, 16);
    return HRT_OK;
}

static uint64_t segment_size(const hrt_scan *scan)
{
    return scan->catalog.segment_size;
}

static uint64_t position_of(const hrt_scan *scan, uint64_t offset)
{
    return scan->number * segment_size(scan) + offset;
}

/* ---- segments and the window ---- */

static int enter(hrt_scan *scan, const hrt_catalog_entry *entry)
{
    if (scan->fd >= 0) {
        (void)close(scan->fd);
    }
    scan->fd = hrt_segment_open(scan->directory, entry->slot, O_RDONLY);
    scan->slot = entry->slot;
    scan->number = entry->number;
    scan->window_begin = 0;
    scan->window_end = 0;
    if (scan->fd < 0) {
        bool gone = scan->live && errno == ENOENT; /* it left the log, and was not used again */
        return hrt_fail(gone ? HRT_EGONE : hrt_status_of(errno), "cannot open segment %08x.seg: %s",
                        entry->slot, strerror(errno));
    }
    return HRT_OK;
}

/* The disk fetches a segment while the one before it is being looked at. */
static void fetch_ahead(const hrt_scan *scan, uint64_t number)
{
    const hrt_catalog_entry *entry = hrt_catalog_find(&scan->catalog, number);
    int fd =
        entry == NULL || scan->live ? -1 : hrt_segment_open(scan->directory, entry->slot, O_RDONLY);
    if (fd >= 0) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
        (void)close(fd);
    }
}

/* A writer that ran a whole lap ahead has put other records into this file. */
static int check_number(const hrt_scan *scan)
{
    hrt_segment head;
    size_t got = 0;
    int status = hrt_read_at(scan->fd, &head, sizeof(head), 0, &got);
    if (status == HRT_OK && (got != sizeof(head) || head.number != scan->number)) {
        return hrt_fail(HRT_EGONE, "segment %08x.seg was recycled while it was read; scan again",
                        scan->slot);
    }
    return status;
}

/* Where reading the current segment ends for now. */
static uint64_t readable_end(const hrt_scan *scan)
{
    uint64_t begin = position_of(scan, 0);
    bool inside = scan->following && scan->tail - begin < segment_size(scan);
    return inside ? scan->tail - begin : segment_size(scan);
}

static int read_window(hrt_scan *scan, uint64_t offset)
{
    uint64_t rest = readable_end(scan) - offset;
    size_t got = 0;
    int status =
        hrt_read_at(scan->fd, scan->window, rest < WINDOW_SIZE ? rest : WINDOW_SIZE, offset, &got);
    if (status != HRT_OK) {
        return hrt_fail(status, "cannot read segment %08x.seg at %llu", scan->slot,
                        (unsigned long long)offset);
    }
    scan->window_begin = offset;
    scan->window_end = offset + got;
    return scan->live ? check_number(scan) : HRT_OK;
}

/* Whether the window holds any group from `offset` on whole, or all that the segment has. */
static bool conclusive(const hrt_scan *scan, uint64_t offset)
{
    return scan->window_end - offset >= HRT_GROUP_MAX || scan->window_end >= readable_end(scan);
}

/* Makes sure that something from `offset` on is in the window. */
static int look_at(hrt_scan *scan, uint64_t offset)
{
    bool inside = offset >= scan->window_begin && offset < scan->window_end;
    return inside ? HRT_OK : read_window(scan, offset);
}

/* Makes sure that a whole group from `offset` on, or the rest of the segment, is in the window. */
static int cover(hrt_scan *scan, uint64_t offset)
{
    bool inside = offset >= scan->window_begin && offset < scan->window_end;
    return inside && conclusive(scan, offset) ? HRT_OK : read_window(scan, offset);
}

static const hrt_record *record_at(const hrt_scan *scan, uint64_t offset)
{
    return (const void *)(scan->window + (offset - scan->window_begin));
}

static uint64_t available_at(const hrt_scan *scan, uint64_t offset)
{
    return offset < scan->window_end ? scan->window_end - offset : 0;
}

static bool valid_at(const hrt_scan *scan, uint64_t offset)
{
    return hrt_record_valid(record_at(scan, offset), available_at(scan, offset), scan->catalog.uuid,
                            position_of(scan, offset));
}

static uint64_t span_of(const hrt_record *record)
{
    return hrt_record_span(record->length);
}

/* ---- groups ---- */

/* Whether the record goes on where `sequence` and `epoch` were; else it is stale. */
static bool follows(const hrt_record *record, uint64_t sequence, uint32_t epoch)
{
    bool dense = sequence == 0 ? record->sequence > 0 : record->sequence == sequence + 1;
    return dense && record->epoch >= epoch;
}

static bool fits(const hrt_scan *scan, uint64_t offset, const hrt_record *record)
{
    uint64_t end = offset + span_of(record);
    return record->type == HRT_RECORD_PAD ? end == segment_size(scan) : end < segment_size(scan);
}

/*
 * Measures the group at scan->offset: *end_out is the offset after its last record, or, when the
 * answer is false, that of the first record that is missing, bad or stale.
 */
static bool measure(const hrt_scan *scan, uint64_t *end_out)
{
    uint64_t offset = scan->offset;
    uint64_t sequence = scan->sequence;
    uint32_t epoch = scan->epoch;
    bool complete = false;
    while (!complete && offset - scan->offset < HRT_GROUP_MAX) {
        const hrt_record *record = record_at(scan, offset);
        bool first = offset == scan->offset;
        if (!valid_at(scan, offset) || !fits(scan, offset, record) ||
            !follows(record, sequence, epoch) || (!first && record->epoch != epoch)) {
            break;
        }
        complete = (record->flags & HRT_RECORD_LAST) != 0;
        sequence = record->sequence;
        epoch = record->epoch;
        offset += span_of(record);
    }
    *end_out = offset;
    return complete;
}

/* The checksum is right but the body is not: a newer writer, or a broken one. */
static void judge_form(hrt_scan *scan, uint64_t offset, const hrt_record *record)
{
    const hrt_epoch_body *epoch = hrt_record_body(record);
    bool formed = hrt_record_well_formed(record);
    bool unknown = record->type == 0 || record->type > HRT_RECORD_LANES;
    uint64_t position = position_of(scan, offset);
    if ((unknown && !formed) || (formed && record->type == HRT_RECORD_EPOCH &&
                                 epoch->format_version > HRT_FORMAT_VERSION)) {
        hrt_damage(&scan->report, HRT_DAMAGE_VERSION, scan->slot, position,
                   "segment %08x.seg: record at position %llu was written by a newer version; "
                   "nothing was changed; use a newer hybridrt",
                   scan->slot, (unsigned long long)position);
    } else if (!formed) {
        hrt_damage(&scan->report, HRT_DAMAGE_COMMITTED, scan->slot, position,
                   "segment %08x.seg: record at position %llu, sequence %llu, has a right checksum "
                   "but a malformed body; nothing was changed; run 'hybridrt log verify'",
                   scan->slot, (unsigned long long)position, (unsigned long long)record->sequence);
    }
}

static bool accept_group(hrt_scan *scan, uint64_t end)
{
    for (uint64_t offset = scan->offset; offset < end;) {
        const hrt_record *record = record_at(scan, offset);
        judge_form(scan, offset, record);
        if (scan->report.damage != HRT_DAMAGE_NONE) {
            return false;
        }
        if (record->type == HRT_RECORD_EPOCH) {
            const hrt_epoch_body *body = hrt_record_body(record);
            memcpy(scan->boot_id, body->boot_id, sizeof(scan->boot_id));
            scan->has_boot = true;
        }
        scan->next_synced = record->type == HRT_RECORD_PAD && record->count == 1;
        scan->sequence = record->sequence;
        scan->epoch = record->epoch;
        scan->durable = record->durable > scan->durable ? record->durable : scan->durable;
        scan->records++;
        offset += span_of(record);
    }
    scan->epoch_max = scan->epoch > scan->epoch_max ? scan->epoch : scan->epoch_max;
    scan->bytes += end - scan->offset;
    scan->cursor = scan->offset;
    scan->offset = end;
    return true;
}

/* ---- the end: torn, damaged, or just the end ---- */

static void note_evidence(hrt_scan *scan, uint64_t offset, evidence *after)
{
    const hrt_record *record = record_at(scan, offset);
    scan->epoch_max = record->epoch > scan->epoch_max ? record->epoch : scan->epoch_max;
    if (record->epoch < scan->epoch || record->sequence <= scan->sequence) {
        return;
    }
    if (after->found++ == 0) {
        after->first = position_of(scan, offset);
    }
    after->end = position_of(scan, offset) + span_of(record);
    after->durable = record->durable > after->durable ? record->durable : after->durable;
}

static int search_segment(hrt_scan *scan, uint64_t offset, uint64_t end, evidence *after)
{
    while (offset < end) {
        int status = cover(scan, offset);
        if (status != HRT_OK) {
            return status;
        }
        if (available_at(scan, offset) < sizeof(hrt_record)) {
            break;
        }
        uint64_t step = HRT_RECORD_ALIGN;
        if (record_at(scan, offset)->position == position_of(scan, offset) &&
            valid_at(scan, offset)) {
            note_evidence(scan, offset, after);
            step = span_of(record_at(scan, offset));
        }
        offset += step;
    }
    return HRT_OK;
}

/* Looks at the rest of the current segment from `offset`, and at all later ones. */
static int search(hrt_scan *scan, uint64_t offset, evidence *after)
{
    uint64_t number = scan->number;
    uint64_t size = segment_size(scan);
    int status = offset < size ? search_segment(scan, offset, size, after) : HRT_OK;
    for (uint32_t i = 0; i < scan->catalog.numbered && status == HRT_OK; i++) {
        if (scan->catalog.entries[i].number > number) {
            status = enter(scan, &scan->catalog.entries[i]);
            if (status == HRT_OK) {
                status = search_segment(scan, HRT_SEGMENT_HEADER, size, after);
            }
        }
    }
    return status;
}

/* Behind the tail that the writer told of last, nothing can be but the one group it was writing. */
static int search_behind(hrt_scan *scan, uint64_t bad, evidence *after)
{
    uint64_t offset = bad + HRT_RECORD_ALIGN;
    if (!scan->bereft || position_of(scan, bad) < scan->tail) {
        return search(scan, offset, after);
    }
    uint64_t end = offset + HRT_GROUP_MAX;
    return search_segment(scan, offset, end < segment_size(scan) ? end : segment_size(scan), after);
}

/*
 * Whether what was written must still be there, synced or not: the page cache of the boot in which
 * the log was written has never been lost. After a failed sync it may have been, without a reboot:
 * the kernel forgets pages that it could not write, at the latest when the disk is mounted again.
 */
static bool same_boot(const hrt_scan *scan)
{
    uint8_t boot_id[16];
    return scan->has_boot && hrt_boot_id(boot_id) == HRT_OK &&
           memcmp(boot_id, scan->boot_id, 16) == 0 &&
           faccessat(scan->directory, HRT_LOG_UNSYNCED, F_OK, 0) != 0;
}

static void report_torn(hrt_scan *scan, uint32_t slot, uint64_t tail, uint64_t end)
{
    scan->report.bytes = end - tail;
    hrt_damage(&scan->report, HRT_DAMAGE_TORN, slot, tail,
               "segment %08x.seg: torn tail at position %llu after sequence %llu, %llu bytes; it "
               "was never acknowledged as durable; the log goes on from there",
               slot, (unsigned long long)tail, (unsigned long long)scan->sequence,
               (unsigned long long)(end - tail));
}

static void report_committed(hrt_scan *scan, uint32_t slot, uint64_t position)
{
    hrt_damage(&scan->report, HRT_DAMAGE_COMMITTED, slot, position,
               "segment %08x.seg: record at position %llu, after sequence %llu, fails its "
               "checksum although later records are valid; committed data is damaged; nothing "
               "was changed; run 'hybridrt log verify'",
               slot, (unsigned long long)position, (unsigned long long)scan->sequence);
}

/* The log was on the disk further than to `position`. */
static bool was_longer(const hrt_scan *scan, uint64_t position)
{
    return scan->catalog.durable.position > position;
}

static void report_end_lost(hrt_scan *scan, uint32_t slot, uint64_t position)
{
    hrt_damage(&scan->report, HRT_DAMAGE_COMMITTED, slot, position,
               "segment %08x.seg: record at position %llu, after sequence %llu, fails its "
               "checksum although the log was on the disk up to position %llu; committed data is "
               "damaged; nothing was changed; run 'hybridrt log verify'",
               slot, (unsigned long long)position, (unsigned long long)scan->sequence,
               (unsigned long long)scan->catalog.durable.position);
}

/* Judges the bad record at offset `bad`, in the group at scan->offset. */
static int judge_end(hrt_scan *scan, uint64_t bad)
{
    evidence after = {0};
    const hrt_record *record = record_at(scan, bad);
    uint64_t tail = position_of(scan, scan->offset);
    uint64_t position = position_of(scan, bad);
    uint64_t number = scan->number;
    uint32_t slot = scan->slot;
    bool readable = available_at(scan, bad) >= sizeof(*record);
    bool claimed = readable && record->position == position && record->epoch >= scan->epoch &&
                   record->sequence == scan->sequence + 1 && !valid_at(scan, bad);
    int status = search_behind(scan, bad, &after);
    scan->number = number; /* the search has moved on; the tail has not */
    scan->slot = slot;
    if (status != HRT_OK) {
        return status;
    }
    uint64_t end = after.end > position ? after.end : position;
    bool written = scan->bereft && position < scan->tail;
    if (written || (after.found > 0 && (after.durable > position || same_boot(scan)))) {
        report_committed(scan, slot, position);
    } else if (was_longer(scan, tail)) {
        report_end_lost(scan, slot, position);
    } else if (after.found > 0 || bad > scan->offset || claimed) {
        report_torn(scan, slot, tail, claimed && end == position ? position + 64 : end);
    }
    return HRT_OK;
}

/*
 * The same beside a running writer, which may have written the record since it was looked at. So
 * it is read again after the search: a group is there before any later one.
 */
static int judge_live(hrt_scan *scan, uint64_t bad, bool *complete_out, uint64_t *end_out)
{
    evidence after = {0};
    uint64_t number = scan->number;
    uint32_t slot = scan->slot;
    int status = search(scan, bad + HRT_RECORD_ALIGN, &after);
    if (status == HRT_OK) {
        status = enter(scan, hrt_catalog_find(&scan->catalog, number));
    }
    if (status == HRT_OK) {
        status = read_window(scan, scan->offset);
    }
    if (status != HRT_OK) {
        return status;
    }
    *complete_out = measure(scan, end_out);
    if (!*complete_out && after.found > 0) {
        report_committed(scan, slot, position_of(scan, *end_out));
    }
    return HRT_OK;
}

/* Like judge_end, for a segment after a full one that has no file. */
static int judge_missing(hrt_scan *scan, uint64_t number)
{
    evidence after = {0};
    uint32_t before = scan->slot;
    int status = search(scan, segment_size(scan), &after);
    scan->number = number;
    scan->slot = UINT32_MAX;
    scan->offset = HRT_SEGMENT_HEADER;
    scan->cursor = scan->offset;
    uint64_t position = position_of(scan, scan->offset);
    if (status != HRT_OK) {
        return status;
    }
    if (scan->next_synced || after.durable > position || was_longer(scan, position) ||
        same_boot(scan)) {
        hrt_damage(&scan->report, HRT_DAMAGE_MISSING, UINT32_MAX, position,
                   "segment number %llu (positions from %llu, after sequence %llu) is missing, "
                   "although %08x.seg before it is full; nothing was changed; put the file back or "
                   "run 'hybridrt log verify'",
                   (unsigned long long)number, (unsigned long long)position,
                   (unsigned long long)scan->sequence, before);
    } else {
        report_torn(scan, before, position, after.end > position ? after.end : position);
    }
    return HRT_OK;
}

/* ---- going on ---- */

/* Whether the numbers run from the head without a gap. */
static bool unbroken(const hrt_catalog *catalog)
{
    uint32_t numbered = catalog->numbered;
    return numbered == 0 || (catalog->entries[0].number == catalog->head &&
                             catalog->entries[numbered - 1].number == catalog->head + numbered - 1);
}

static bool same_run(const hrt_catalog *left, const hrt_catalog *right)
{
    return left->head == right->head && left->numbered == right->numbered &&
           left->count == right->count;
}

/*
 * Lists the files. A running writer may recycle some meanwhile, which then look like gaps or
 * copies: what looks like damage counts only when it looks the same twice.
 */
static int list(hrt_scan *scan)
{
    for (int i = 0; i < LISTS_MAX; i++) {
        hrt_catalog before = scan->catalog;
        scan->report = (hrt_damage_report){.slot = UINT32_MAX};
        int status = hrt_catalog_read(scan->directory, &scan->catalog, &scan->report);
        bool clean = scan->report.damage == HRT_DAMAGE_NONE && unbroken(&scan->catalog);
        bool settled = clean || !scan->live || (i > 0 && same_run(&before, &scan->catalog));
        hrt_catalog_free(&before);
        if (status != HRT_OK || settled) {
            return status;
        }
    }
    return hrt_fail(HRT_EGONE, "the log is recycled faster than it can be listed; scan again");
}

static int end_scan(hrt_scan *scan, int status)
{
    scan->ended = true;
    return status == HRT_OK ? HRT_EEND : status;
}

/* A segment is full: goes into the next. *entered_out stays false when there is none. */
static int enter_next(hrt_scan *scan, bool *entered_out)
{
    uint64_t number = scan->number + 1;
    const hrt_catalog_entry *next = hrt_catalog_find(&scan->catalog, number);
    if (next == NULL && scan->live) {
        int status = list(scan);
        if (status != HRT_OK) {
            return status;
        }
        next = hrt_catalog_find(&scan->catalog, number);
        if (next == NULL && scan->catalog.head > number) {
            return hrt_fail(HRT_EGONE,
                            "segment number %llu was recycled before it was read; scan "
                            "again",
                            (unsigned long long)number);
        }
    }
    if (next == NULL) {
        return judge_missing(scan, number);
    }
    scan->offset = HRT_SEGMENT_HEADER;
    scan->cursor = scan->offset;
    *entered_out = true;
    fetch_ahead(scan, number + 1);
    return enter(scan, next);
}

/* The writer may have begun a segment and told of it before it wrote the first group there. */
static bool at_tail(const hrt_scan *scan)
{
    return scan->following && position_of(scan, scan->offset) >= scan->tail;
}

/* Reads the next group; beside a running writer a group may be half there: that is the end. */
static int next_group(hrt_scan *scan)
{
    uint64_t end = 0;
    if (at_tail(scan)) {
        return end_scan(scan, HRT_OK);
    }
    if (scan->offset == segment_size(scan)) {
        bool entered = false;
        int status = enter_next(scan, &entered);
        if (status != HRT_OK || !entered || at_tail(scan)) {
            return end_scan(scan, status);
        }
    }
    int status = look_at(scan, scan->offset);
    bool complete = status == HRT_OK && measure(scan, &end);
    if (status == HRT_OK && !complete && !conclusive(scan, scan->offset)) {
        status = read_window(scan, scan->offset);
        complete = status == HRT_OK && measure(scan, &end);
    }
    if (status != HRT_OK) {
        return end_scan(scan, status);
    }
    if (!complete && scan->following) {
        report_committed(scan, scan->slot, position_of(scan, end));
    } else if (!complete) {
        status = scan->live ? judge_live(scan, end, &complete, &end) : judge_end(scan, end);
    }
    return complete && accept_group(scan, end) ? HRT_OK : end_scan(scan, status);
}

/* Beside a running writer, an end without damage is the end of the moment. */
static bool resume(hrt_scan *scan)
{
    if (!scan->live || scan->fd < 0 || scan->report.damage != HRT_DAMAGE_NONE) {
        return false;
    }
    scan->ended = false;
    scan->window_begin = 0; /* what it holds was read before the tail moved */
    scan->window_end = 0;
    return true;
}

/* ---- beginning in the middle ---- */

bool hrt_scan_here(const hrt_scan *scan, const hrt_record *record, hrt_scan_start *start_out)
{
    bool ends = (record->flags & HRT_RECORD_LAST) != 0 && record->type != HRT_RECORD_PAD;
    if (!ends || !scan->has_boot) {
        return false;
    }
    *start_out = (hrt_scan_start){.mark = record->position,
                                  .mark_crc = record->crc,
                                  .epoch = record->epoch,
                                  .position = record->position + span_of(record),
                                  .sequence = record->sequence,
                                  .durable = scan->durable};
    memcpy(start_out->uuid, scan->catalog.uuid, sizeof(start_out->uuid));
    memcpy(start_out->boot_id, scan->boot_id, sizeof(start_out->boot_id));
    return true;
}

static bool has_mark(hrt_scan *scan, const hrt_scan_start *start)
{
    uint64_t offset = start->mark % segment_size(scan);
    if (offset < HRT_SEGMENT_HEADER || offset % HRT_RECORD_ALIGN != 0 ||
        read_window(scan, offset) != HRT_OK || !valid_at(scan, offset)) {
        return false;
    }
    const hrt_record *record = record_at(scan, offset);
    return (record->flags & HRT_RECORD_LAST) != 0 && record->type != HRT_RECORD_PAD &&
           record->crc == start->mark_crc && record->epoch == start->epoch &&
           record->sequence == start->sequence &&
           record->position + span_of(record) == start->position;
}

static void go_on_behind(hrt_scan *scan, const hrt_scan_start *start)
{
    scan->offset = start->position % segment_size(scan);
    scan->cursor = scan->offset;
    scan->sequence = start->sequence;
    scan->durable = start->durable;
    scan->epoch = start->epoch;
    scan->epoch_max = start->epoch;
    memcpy(scan->boot_id, start->boot_id, sizeof(scan->boot_id));
    scan->has_boot = true;
}

const char *hrt_scan_resume(hrt_scan *scan, const hrt_scan_start *start)
{
    if (scan->ended || segment_size(scan) == 0) {
        return "there is no log";
    }
    if (memcmp(start->uuid, scan->catalog.uuid, sizeof(start->uuid)) != 0) {
        return "it is of another log";
    }
    uint64_t number = start->mark / segment_size(scan);
    if (number < scan->catalog.head) {
        return "the log has given up what followed it";
    }
    const hrt_catalog_entry *entry = hrt_catalog_find(&scan->catalog, number);
    if (entry == NULL) {
        return "it is newer than the log's end";
    }
    if (enter(scan, entry) == HRT_OK && has_mark(scan, start)) {
        go_on_behind(scan, start);
        return NULL;
    }
    scan->ended = enter(scan, &scan->catalog.entries[0]) != HRT_OK;
    return "the log has no such record at its place, or ends before it";
}

int hrt_scan_directory(const hrt_scan *scan)
{
    return scan->directory;
}

void hrt_scan_follow(hrt_scan *scan, uint64_t tail)
{
    scan->following = true;
    scan->tail = tail;
}

int hrt_scan_finish(hrt_scan *scan)
{
    if (scan->report.damage != HRT_DAMAGE_NONE) {
        return HRT_OK;
    }
    scan->ended = false;
    scan->live = false;
    scan->bereft = scan->following;
    scan->following = false;
    scan->window_begin = 0;
    scan->window_end = 0;
    int status = list(scan);
    const hrt_catalog_entry *entry = hrt_catalog_find(&scan->catalog, scan->number);
    scan->ended = status != HRT_OK || scan->report.damage != HRT_DAMAGE_NONE;
    if (!scan->ended && (entry == NULL || entry->slot != scan->slot)) {
        return hrt_fail(HRT_EGONE, "segment %08x.seg was recycled while it was read; scan again",
                        scan->slot);
    }
    return status;
}

uint64_t hrt_scan_position(const hrt_scan *scan)
{
    return position_of(scan, scan->offset);
}

int hrt_scan_next(hrt_scan *scan, const hrt_record **record_out)
{
    if (scan->ended && !resume(scan)) {
        return HRT_EEND;
    }
    if (scan->cursor == scan->offset) {
        int status = next_group(scan);
        if (status != HRT_OK) {
            return status;
        }
    }
    const hrt_record *record = record_at(scan, scan->cursor);
    scan->cursor += span_of(record);
    *record_out = record;
    return HRT_OK;
}

/* ---- life ---- */

static int begin_reading(hrt_scan *scan)
{
    int status = list(scan);
    scan->ended = scan->report.damage != HRT_DAMAGE_NONE;
    if (status != HRT_OK || scan->ended) {
        return status;
    }
    const hrt_catalog *catalog = &scan->catalog;
    if (catalog->numbered == 0 || catalog->entries[0].number != catalog->head) {
        scan->ended = true;
        if (catalog->head > 0) {
            hrt_damage(&scan->report, HRT_DAMAGE_MISSING, UINT32_MAX,
                       catalog->head * catalog->segment_size + HRT_SEGMENT_HEADER,
                       "segment number %llu, the oldest of the log, is missing; nothing was "
                       "changed; put the file back or run 'hybridrt log verify'",
                       (unsigned long long)catalog->head);
        }
        return HRT_OK;
    }
    scan->offset = HRT_SEGMENT_HEADER;
    scan->cursor = scan->offset;
    fetch_ahead(scan, catalog->head + 1);
    return enter(scan, &catalog->entries[0]);
}

int hrt_scan_begin(int directory, bool live, hrt_scan **scan_out)
{
    hrt_scan *scan = calloc(1, sizeof(*scan));
    uint8_t *window = hrt_pages_new(WINDOW_SIZE);
    if (scan == NULL || window == NULL) {
        free(scan);
        hrt_pages_free(window, WINDOW_SIZE);
        return HRT_ENOMEM;
    }
    *scan = (hrt_scan){.directory = directory, .live = live, .fd = -1, .window = window};
    int status = begin_reading(scan);
    if (status != HRT_OK) {
        hrt_scan_close(scan);
        return status;
    }
    *scan_out = scan;
    return HRT_OK;
}

/* Whether somebody holds the log. Asks without keeping the lock. */
static bool writer_lives(int directory)
{
    int fd = openat(directory, "lock", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(fd);
    return held;
}

int hrt_scan_open(const char *directory, hrt_scan **scan_out)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return hrt_fail(errno == ENOENT ? HRT_ENOTFOUND : hrt_status_of(errno),
                        "cannot open the log directory %s: %s", directory, strerror(errno));
    }
    int status = hrt_scan_begin(fd, writer_lives(fd), scan_out);
    if (status != HRT_OK) {
        (void)close(fd);
        return status;
    }
    (*scan_out)->owns_directory = true;
    return HRT_OK;
}

int hrt_scan_seek(hrt_scan *scan, uint64_t segment)
{
    if (scan->records > 0 || scan->ended) {
        return hrt_fail(HRT_EINVAL, "a scan is told where to begin before its first record");
    }
    const hrt_catalog_entry *entry = hrt_catalog_find(&scan->catalog, segment);
    if (entry == NULL) {
        return hrt_fail(HRT_EGONE, "segment number %llu is not in the log (any more)",
                        (unsigned long long)segment);
    }
    scan->offset = HRT_SEGMENT_HEADER;
    scan->cursor = scan->offset;
    return enter(scan, entry);
}

void hrt_scan_report(const hrt_scan *scan, hrt_damage_report *report_out)
{
    *report_out = scan->report;
    report_out->sequence = scan->sequence;
}

hrt_scan_end hrt_scan_ending(const hrt_scan *scan)
{
    HRT_ASSERT(scan->ended);
    return (hrt_scan_end){.number = scan->number,
                          .position = position_of(scan, scan->offset),
                          .sequence = scan->sequence,
                          .durable = scan->durable,
                          .epoch_max = scan->epoch_max,
                          .records = scan->records,
                          .bytes = scan->bytes};
}

const hrt_catalog *hrt_scan_catalog(const hrt_scan *scan)
{
    return &scan->catalog;
}

void hrt_scan_keep_own(hrt_scan *scan)
{
    (void)madvise(scan->window, WINDOW_SIZE, MADV_DONTFORK);
}

void hrt_scan_close(hrt_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    if (scan->fd >= 0) {
        (void)close(scan->fd);
    }
    if (scan->owns_directory) {
        (void)close(scan->directory);
    }
    hrt_catalog_free(&scan->catalog);
    hrt_pages_free(scan->window, WINDOW_SIZE);
    free(scan);
}
