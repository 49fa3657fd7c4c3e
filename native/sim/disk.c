/*
 * A disk of one directory. What is written lies in the page cache at once, and as a piece that
 * waits for a sync; a power cut keeps of the waiting pieces whatever it likes, sector by sector.
 */
#include "disk.h"

#include "oracle.h"

#include <errno.h>
#include <hybridrt/abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INODES_MAX = 96, RECENT = 16, HARMS_MAX = 8, ROT_BITS_MAX = 3 };
enum { CUT_AT_HEAD_ONE_IN = 60 };
enum { SYNC_FAILS_ONE_IN = 300, SYNC_STALLS_ONE_IN = 200, WRITE_FAILS_ONE_IN = 1500 };

typedef struct piece {
    struct piece *next;
    uint64_t order;
    uint32_t offset;
    uint32_t length;
    uint8_t bytes[];
} piece;

typedef struct inode {
    bool used;
    uint32_t holds; /* names, descriptors, mappings */
    int lock_fd;    /* 0: not locked */
    uint32_t slot;  /* of a segment file, plus 1; 0: another file */
    uint64_t birth; /* tells it from the next file that gets this number */
    uint32_t size;
    uint32_t disk_size;
    uint8_t *cache; /* SIM_SEGMENT bytes, and as many of the disk behind them; NULL: none yet */
    piece *first;
    piece *last;
} inode;

typedef struct entry {
    char name[SIM_NAME_SIZE]; /* empty: free */
    int current;              /* inode, -1: none */
    int durable;
} entry;

/* A sector that was synced lately, with what was there before. */
typedef struct recent {
    int file;
    uint32_t offset;
    uint8_t before[SIM_SECTOR];
} recent;

typedef struct harm {
    int file;
    uint64_t birth;
    uint64_t number; /* of the segment */
    uint32_t offset;
    uint8_t good[SIM_SECTOR];
} harm;

static struct {
    bool directory;
    bool full;
    bool wants_cut;
    uint64_t order;
    inode inodes[INODES_MAX];
    entry entries[SIM_NAMES_MAX];
    recent recents[RECENT];
    uint32_t recent_count;
    harm harms[HARMS_MAX];
    uint32_t harm_count;
    uint8_t *spare_memory[INODES_MAX]; /* kept from one seed to the next */
    uint32_t spare_count;
} disk;

static uint8_t *disk_side(const inode *file)
{
    return file->cache + SIM_SEGMENT;
}

static void give_memory(inode *file)
{
    if (file->cache == NULL) {
        file->cache =
            disk.spare_count > 0 ? disk.spare_memory[--disk.spare_count] : malloc(2u * SIM_SEGMENT);
        if (file->cache == NULL) {
            abort();
        }
        memset(file->cache, 0, 2u * SIM_SEGMENT);
    }
}

static void drop_pieces(inode *file)
{
    while (file->first != NULL) {
        piece *next = file->first->next;
        free(file->first);
        file->first = next;
    }
    file->last = NULL;
}

static void free_inode(inode *file)
{
    drop_pieces(file);
    if (file->cache != NULL) {
        disk.spare_memory[disk.spare_count++] = file->cache;
    }
    memset(file, 0, sizeof(*file));
}

static bool is_named(int number)
{
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        const entry *one = &disk.entries[i];
        if (one->name[0] != '\0' && (one->current == number || one->durable == number)) {
            return true;
        }
    }
    return false;
}

static void free_if_unused(int number)
{
    if (number >= 0 && disk.inodes[number].holds == 0 && !is_named(number)) {
        free_inode(&disk.inodes[number]);
    }
}

void sim_disk_begin(void)
{
    sim_disk_end();
}

void sim_disk_end(void)
{
    for (uint32_t i = 0; i < INODES_MAX; i++) {
        free_inode(&disk.inodes[i]);
    }
    memset(disk.entries, 0, sizeof(disk.entries));
    disk.directory = false;
    disk.full = false;
    disk.wants_cut = false;
    disk.order = 0;
    disk.recent_count = 0;
    disk.harm_count = 0;
}

void sim_disk_full(bool full)
{
    disk.full = full;
}

bool sim_disk_is_full(void)
{
    return disk.full;
}

/* ---- names ---- */

bool sim_disk_has_directory(void)
{
    return disk.directory;
}

void sim_disk_make_directory(void)
{
    disk.directory = true;
}

const char *sim_disk_name(uint32_t place)
{
    const entry *one = &disk.entries[place];
    return one->name[0] != '\0' && one->current >= 0 ? one->name : NULL;
}

static entry *find_entry(const char *name)
{
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        if (strcmp(disk.entries[i].name, name) == 0) {
            return &disk.entries[i];
        }
    }
    return NULL;
}

static entry *make_entry(const char *name)
{
    entry *one = find_entry(name);
    if (one == NULL) {
        one = find_entry("");
        if (one == NULL) {
            abort();
        }
        (void)snprintf(one->name, sizeof(one->name), "%s", name);
        one->current = -1;
        one->durable = -1;
    }
    return one;
}

static void forget_if_empty(entry *one)
{
    if (one->current < 0 && one->durable < 0) {
        one->name[0] = '\0';
    }
}

int sim_disk_lookup(const char *name)
{
    const entry *one = find_entry(name);
    return one == NULL ? -1 : one->current;
}

/* Of `%08x.seg`, else UINT32_MAX. */
static uint32_t slot_of(const char *name)
{
    char *end = NULL;
    unsigned long slot = strtoul(name, &end, 16);
    return strcmp(end, ".seg") == 0 ? (uint32_t)slot : UINT32_MAX;
}

int sim_disk_create(const char *name)
{
    for (int i = 0; i < INODES_MAX; i++) {
        if (!disk.inodes[i].used) {
            disk.inodes[i] =
                (inode){.used = true, .slot = slot_of(name) + 1, .birth = ++disk.order};
            make_entry(name)->current = i;
            return i;
        }
    }
    abort();
}

bool sim_disk_unlink(const char *name)
{
    entry *one = find_entry(name);
    if (one == NULL || one->current < 0) {
        return false;
    }
    int number = one->current;
    one->current = -1;
    forget_if_empty(one);
    free_if_unused(number);
    return true;
}

bool sim_disk_rename(const char *from, const char *to)
{
    entry *source = find_entry(from);
    if (source == NULL || source->current < 0) {
        return false;
    }
    entry *target = make_entry(to);
    int replaced = target->current;
    target->current = source->current;
    source->current = -1;
    forget_if_empty(source);
    free_if_unused(replaced);
    return true;
}

void sim_disk_hold(int number)
{
    disk.inodes[number].holds++;
}

void sim_disk_release(int number)
{
    disk.inodes[number].holds--;
    free_if_unused(number);
}

bool sim_disk_lock(int number, int fd)
{
    inode *file = &disk.inodes[number];
    if (file->lock_fd != 0 && file->lock_fd != fd) {
        return false;
    }
    file->lock_fd = fd;
    return true;
}

void sim_disk_unlock(int number, int fd)
{
    if (disk.inodes[number].lock_fd == fd) {
        disk.inodes[number].lock_fd = 0;
    }
}

/* ---- bytes ---- */

uint32_t sim_disk_size(int number)
{
    return disk.inodes[number].size;
}

uint8_t *sim_disk_map(int number)
{
    give_memory(&disk.inodes[number]);
    return disk.inodes[number].cache;
}

int sim_disk_resize(int number, uint32_t size)
{
    inode *file = &disk.inodes[number];
    if (size > SIM_SEGMENT) {
        return ENOSPC;
    }
    if (size > file->size && disk.full) {
        return ENOSPC;
    }
    give_memory(file);
    file->size = size;
    return 0;
}

static bool is_segment(int number, uint32_t *slot_out)
{
    *slot_out = disk.inodes[number].slot - 1;
    return disk.inodes[number].slot != 0;
}

static void put(inode *file, const void *bytes, uint32_t length, uint32_t offset)
{
    piece *added = malloc(sizeof(*added) + length);
    if (added == NULL) {
        abort();
    }
    added->next = NULL;
    added->order = ++disk.order;
    added->offset = offset;
    added->length = length;
    memcpy(added->bytes, bytes, length);
    memcpy(file->cache + offset, bytes, length);
    if (file->last != NULL) {
        file->last->next = added;
    } else {
        file->first = added;
    }
    file->last = added;
    file->size = offset + length > file->size ? offset + length : file->size;
}

/* The writer may die with whole pages of it copied; the rest never is. */
static uint32_t torn_length(uint32_t length, uint32_t offset)
{
    uint32_t pages = (offset + length - 1) / SIM_PAGE - offset / SIM_PAGE;
    uint32_t whole = (uint32_t)sim_below(CHANCE_DISK, pages + 1u);
    return whole == 0 ? 0 : whole * SIM_PAGE - offset % SIM_PAGE;
}

int sim_disk_write(int number, const void *bytes, uint32_t length, uint32_t offset)
{
    inode *file = &disk.inodes[number];
    sim_process *self = sim_self();
    uint32_t slot = 0;
    if ((uint64_t)offset + length > SIM_SEGMENT) {
        return ENOSPC; /* no file of this disk is larger than a segment */
    }
    if (offset + length > file->size && disk.full) {
        return ENOSPC;
    }
    give_memory(file);
    bool fails = sim_strikes(FAULT_WRITE_FAILS, WRITE_FAILS_ONE_IN);
    if (fails || (self->die_in_write && self->operations >= self->die_at && self->die_at != 0)) {
        uint32_t whole = torn_length(length, offset);
        if (whole > 0) {
            put(file, bytes, whole, offset);
        }
        sim_say("%s: %u of %u bytes at %u", fails ? "write fails" : "dies in a write", whole,
                length, offset);
        if (!fails) {
            sim_count_fault(FAULT_WRITE_TORN);
            sim_process_kill(self);
        }
        return EIO;
    }
    bool changes = memcmp(file->cache + offset, bytes, length) != 0;
    sim_trace(4, ((uint64_t)number << 32) | offset, length);
    put(file, bytes, length, offset);
    sim_say("write of %u bytes at %u of %08x.seg", length, offset, file->slot - 1);
    if (changes && is_segment(number, &slot) && offset >= HRT_SEGMENT_HEADER) {
        oracle_written(file->cache, offset, length);
    }
    return 0;
}

/* ---- syncing ---- */

static void remember(int number, uint32_t offset)
{
    inode *file = &disk.inodes[number];
    recent *one = &disk.recents[disk.recent_count++ % RECENT];
    one->file = number;
    one->offset = offset / SIM_SECTOR * SIM_SECTOR;
    memcpy(one->before, disk_side(file) + one->offset, SIM_SECTOR);
}

static void apply(inode *file, const piece *one, uint32_t from, uint32_t length)
{
    memcpy(disk_side(file) + one->offset + from, one->bytes + from, length);
}

/* Some sectors of a piece reach the disk, each with one chance in `chances`. */
static void apply_some(inode *file, const piece *one, uint64_t chances)
{
    for (uint32_t from = 0; from < one->length;) {
        uint32_t rest = SIM_SECTOR - (one->offset + from) % SIM_SECTOR;
        uint32_t length = rest < one->length - from ? rest : one->length - from;
        if (sim_one_in(CHANCE_DISK, chances)) {
            apply(file, one, from, length);
        }
        from += length;
    }
}

/* Takes the pieces up to `order` off the list; those that are whole go to the disk. */
static void settle_pieces(int number, uint64_t order, bool whole)
{
    inode *file = &disk.inodes[number];
    while (file->first != NULL && file->first->order <= order) {
        piece *one = file->first;
        if (whole) {
            uint32_t sector = (uint32_t)sim_below(CHANCE_DISK, one->length);
            remember(number, one->offset + sector);
            apply(file, one, 0, one->length);
        } else {
            apply_some(file, one, 2);
        }
        file->first = one->next;
        file->last = one->next == NULL ? NULL : file->last;
        free(one);
    }
    file->disk_size = file->size;
}

static void take_time(void)
{
    uint64_t ns = 20000 + sim_below(CHANCE_DISK, 300000);
    if (sim_strikes(FAULT_SYNC_STALLS, SYNC_STALLS_ONE_IN)) {
        ns = 100 * SIM_MS + sim_below(CHANCE_DISK, 8 * SIM_SECOND);
        sim_say("sync stalls for %llu ms", (unsigned long long)(ns / SIM_MS));
    }
    sim_sleep(ns);
}

static bool others_wait(int number)
{
    for (int i = 0; i < INODES_MAX; i++) {
        if (i != number && disk.inodes[i].first != NULL) {
            return true;
        }
    }
    return false;
}

/* A file has a new number on the disk, and what it stands for may wait in another one. */
static void consider_cut(int number, bool renumbered)
{
    if (renumbered && others_wait(number) && sim_strikes(FAULT_POWER_CUT, CUT_AT_HEAD_ONE_IN)) {
        sim_sight(SIGHT_CUT_AT_HEAD);
        disk.wants_cut = true;
    }
}

bool sim_disk_wants_cut(void)
{
    bool wanted = disk.wants_cut;
    disk.wants_cut = false;
    return wanted;
}

int sim_disk_sync(int number)
{
    uint64_t order = disk.order;
    const piece *first = disk.inodes[number].first;
    bool renumbered = first != NULL && first->offset == 0 && first->length < SIM_PAGE;
    sim_disk_hold(number);
    bool fails = sim_strikes(FAULT_SYNC_FAILS, SYNC_FAILS_ONE_IN);
    take_time();
    sim_trace(5, (uint64_t)number, order);
    settle_pieces(number, order, !fails);
    consider_cut(number, renumbered);
    sim_say("sync of %08x.seg", disk.inodes[number].slot - 1);
    sim_disk_release(number);
    if (fails) {
        sim_say("sync of %08x.seg fails", disk.inodes[number].slot - 1);
    }
    return fails ? EIO : 0;
}

int sim_disk_sync_directory(void)
{
    if (sim_strikes(FAULT_SYNC_FAILS, SYNC_FAILS_ONE_IN)) {
        return EIO;
    }
    take_time();
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        entry *one = &disk.entries[i];
        int before = one->durable;
        if (one->name[0] != '\0' && before != one->current) {
            one->durable = one->current;
            forget_if_empty(one);
            free_if_unused(before);
        }
    }
    return 0;
}

/* ---- power ---- */

enum cut { CUT_NOTHING_LEFT, CUT_ALL_THERE, CUT_IN_ORDER, CUT_REORDERED, CUT_MODES };

static void cut_file(inode *file, enum cut mode, uint64_t last_order)
{
    for (piece *one = file->first; one != NULL; one = one->next) {
        if (mode == CUT_ALL_THERE || (mode == CUT_IN_ORDER && one->order < last_order)) {
            apply(file, one, 0, one->length);
        } else if (mode == CUT_REORDERED || (mode == CUT_IN_ORDER && one->order == last_order)) {
            apply_some(file, one, 2);
        }
    }
    if (file->disk_size != file->size && sim_one_in(CHANCE_DISK, 2)) {
        file->disk_size = file->size;
    }
    drop_pieces(file);
    file->size = file->disk_size;
    file->lock_fd = 0;
    if (file->cache != NULL) {
        memset(disk_side(file) + file->size, 0, SIM_SEGMENT - file->size);
        memcpy(file->cache, disk_side(file), SIM_SEGMENT);
    }
}

static void cut_names(void)
{
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        entry *one = &disk.entries[i];
        if (one->name[0] == '\0') {
            continue;
        }
        int lost = one->durable;
        if (one->current != one->durable) {
            bool kept = sim_one_in(CHANCE_DISK, 2);
            lost = kept ? one->durable : one->current;
            one->durable = kept ? one->current : one->durable;
            one->current = one->durable;
        }
        forget_if_empty(one);
        free_if_unused(lost);
    }
}

void sim_disk_power_cut(void)
{
    enum cut mode = (enum cut)sim_below(CHANCE_DISK, CUT_MODES);
    uint64_t oldest = disk.order;
    bool waiting = false;
    for (uint32_t i = 0; i < INODES_MAX; i++) {
        const piece *first = disk.inodes[i].first;
        waiting |= first != NULL;
        oldest = first != NULL && first->order < oldest ? first->order : oldest;
    }
    uint64_t last = oldest + sim_below(CHANCE_DISK, disk.order - oldest + 1);
    if (waiting && mode == CUT_REORDERED) {
        sim_count_fault(FAULT_WRITES_REORDERED);
    } else if (waiting && mode != CUT_ALL_THERE) {
        sim_count_fault(FAULT_WRITES_LOST);
    }
    for (uint32_t i = 0; i < INODES_MAX; i++) {
        if (disk.inodes[i].used) {
            cut_file(&disk.inodes[i], mode, last);
        }
    }
    cut_names();
    sim_trace(6, mode, last);
}

/* ---- harm ---- */

/* All that waits is written back, as it is after a while. */
static void write_back(void)
{
    for (int i = 0; i < INODES_MAX; i++) {
        if (disk.inodes[i].used) {
            settle_pieces(i, disk.order, true);
        }
    }
}

bool sim_disk_is_blurred(void)
{
    for (uint32_t i = 0; i < INODES_MAX; i++) {
        const inode *file = &disk.inodes[i];
        if (file->cache != NULL && file->first == NULL &&
            memcmp(file->cache, disk_side(file), file->size) != 0) {
            return true;
        }
    }
    return false;
}

static uint64_t number_of(const inode *file)
{
    const hrt_segment *head = (const void *)file->cache;
    return head->number;
}

static void harm_sector(int number, uint32_t offset, const uint8_t *bytes)
{
    inode *file = &disk.inodes[number];
    harm *one = &disk.harms[disk.harm_count++];
    one->file = number;
    one->birth = file->birth;
    one->number = number_of(file);
    one->offset = offset;
    memcpy(one->good, file->cache + offset, SIM_SECTOR);
    memcpy(file->cache + offset, bytes, SIM_SECTOR);
    memcpy(disk_side(file) + offset, bytes, SIM_SECTOR);
    sim_say("harm: %08x.seg at %u", file->slot - 1, offset);
}

static int any_segment(void)
{
    int chosen = -1;
    uint64_t count = 0;
    for (int i = 0; i < INODES_MAX; i++) {
        uint32_t slot = 0;
        bool fit =
            disk.inodes[i].used && disk.inodes[i].size == SIM_SEGMENT && is_segment(i, &slot);
        if (fit && sim_one_in(CHANCE_DISK, ++count)) {
            chosen = i;
        }
    }
    return chosen;
}

static void rot(int number)
{
    uint32_t offset = (uint32_t)sim_below(CHANCE_DISK, SIM_SEGMENT / SIM_SECTOR) * SIM_SECTOR;
    uint8_t bytes[SIM_SECTOR];
    memcpy(bytes, disk.inodes[number].cache + offset, SIM_SECTOR);
    uint64_t bits = 1 + sim_below(CHANCE_DISK, ROT_BITS_MAX);
    for (uint64_t i = 0; i < bits; i++) {
        uint64_t bit = sim_below(CHANCE_DISK, 8ull * SIM_SECTOR);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1u << bit % 8));
    }
    harm_sector(number, offset, bytes);
}

/*
 * Records that once lay right there and were lost with the power: a disk that brings them back has
 * turned back time, and nothing on it could tell.
 */
static bool turns_back_time(const recent *one)
{
    const hrt_segment *head = (const void *)disk.inodes[one->file].cache;
    for (uint32_t at = 0; at < SIM_SECTOR; at += HRT_RECORD_ALIGN) {
        const hrt_record *record = (const void *)(one->before + at);
        if (record->position == head->number * SIM_SEGMENT + one->offset + at) {
            return true;
        }
    }
    return false;
}

bool sim_disk_harm(enum sim_fault fault)
{
    if (sim_disk_is_blurred() || disk.recent_count == 0) {
        return false;
    }
    write_back();
    const recent *one = &disk.recents[sim_below(
        CHANCE_DISK, disk.recent_count < RECENT ? disk.recent_count : RECENT)];
    const inode *file = &disk.inodes[one->file];
    uint32_t slot = 0;
    int other = any_segment();
    if (other < 0) {
        return false;
    }
    if (fault == FAULT_BIT_ROT) {
        rot(other);
        return true;
    }
    if (!file->used || !is_segment(one->file, &slot) || file->size != SIM_SEGMENT ||
        memcmp(file->cache + one->offset, one->before, SIM_SECTOR) == 0 || turns_back_time(one)) {
        return false;
    }
    if (fault == FAULT_SECTOR_MISDIRECTED) {
        uint32_t offset = (uint32_t)sim_below(CHANCE_DISK, SIM_SEGMENT / SIM_SECTOR) * SIM_SECTOR;
        if (other == one->file && offset == one->offset) {
            return false;
        }
        uint8_t moved[SIM_SECTOR];
        memcpy(moved, file->cache + one->offset, SIM_SECTOR);
        harm_sector(other, offset, moved);
    }
    harm_sector(one->file, one->offset, one->before);
    return true;
}

bool sim_disk_is_harmed(void)
{
    return disk.harm_count > 0;
}

void sim_disk_heal(void)
{
    while (disk.harm_count > 0) {
        const harm *one = &disk.harms[--disk.harm_count];
        inode *file = &disk.inodes[one->file];
        bool still = one->offset < HRT_SEGMENT_HEADER || number_of(file) == one->number;
        if (file->used && file->birth == one->birth && still) {
            memcpy(file->cache + one->offset, one->good, SIM_SECTOR);
            memcpy(disk_side(file) + one->offset, one->good, SIM_SECTOR);
        }
    }
}

void sim_disk_accept_harm(uint64_t position)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < disk.harm_count; i++) {
        const harm *one = &disk.harms[i];
        if (one->offset >= HRT_SEGMENT_HEADER &&
            one->number * SIM_SEGMENT + one->offset + SIM_SECTOR <= position) {
            disk.harms[left++] = *one;
        }
    }
    disk.harm_count = left;
}

bool sim_disk_rot_snapshot(void)
{
    inode *chosen = NULL;
    uint64_t count = 0;
    for (uint32_t i = 0; i < SIM_NAMES_MAX; i++) {
        const entry *one = &disk.entries[i];
        bool fit = one->current >= 0 && strncmp(one->name, "snapshot-", 9) == 0 &&
                   disk.inodes[one->current].size > 0;
        if (fit && sim_one_in(CHANCE_DISK, ++count)) {
            chosen = &disk.inodes[one->current];
        }
    }
    if (chosen == NULL) {
        return false;
    }
    uint64_t bits = 1 + sim_below(CHANCE_DISK, ROT_BITS_MAX);
    for (uint64_t i = 0; i < bits; i++) {
        uint64_t bit = sim_below(CHANCE_DISK, 8ull * chosen->size);
        chosen->cache[bit / 8] = (uint8_t)(chosen->cache[bit / 8] ^ (1u << bit % 8));
        disk_side(chosen)[bit / 8] = chosen->cache[bit / 8];
    }
    sim_say("bits of a snapshot rot");
    return true;
}

/* ---- for the oracle ---- */

uint32_t sim_disk_segments(sim_file *files_out, uint32_t max)
{
    uint32_t count = 0;
    for (int i = 0; i < INODES_MAX && count < max; i++) {
        uint32_t slot = 0;
        const inode *file = &disk.inodes[i];
        if (file->used && file->cache != NULL && is_segment(i, &slot)) {
            files_out[count++] = (sim_file){
                .cache = file->cache, .disk = disk_side(file), .size = file->size, .slot = slot};
        }
    }
    return count;
}

bool sim_disk_find(uint64_t number, sim_file *file_out)
{
    sim_file files[INODES_MAX];
    uint32_t count = sim_disk_segments(files, INODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const hrt_segment *head = (const void *)files[i].cache;
        if (head->magic == HRT_MAGIC_SEGMENT && head->number == number) {
            *file_out = files[i];
            return true;
        }
    }
    return false;
}
