/*
 * The log: a ring of segment files, appended by one thread in groups, one pwrite a group.
 *
 * Single writer: every function below, except the flusher's and readers' side named so, is called
 * by the holder of the dispatch lock. Group building: reserve, add/grow any number of records,
 * seal.
 */
#ifndef HRT_LOG_H
#define HRT_LOG_H

#include <hybridrt/runtime.h>
#include <stdbool.h>

typedef struct hrt_log hrt_log;

typedef struct hrt_log_options {
    const char *directory;
    uint32_t segment_size;
    uint32_t segments_min;
    uint32_t segments_max;
    uint32_t segments_reserve;
    uint64_t async_ns;
    /* Called by the flusher after `durable` moved; must be short and may run at any time. */
    void (*on_durable)(void *context);
    /* Called by the flusher once, with HRT_EIO or HRT_ENOSPC, when the log failed. */
    void (*on_failure)(void *context, int status);
    /* Called before the first record is visited: may leave out some (hrt_scan_resume). NULL: none.
     */
    int (*on_scan)(void *context, hrt_scan *scan);
    void *context;
} hrt_log_options;

/* Called for every record of every complete group, oldest first. Non-zero stops with that status.
 */
typedef int (*hrt_log_visit)(void *context, const hrt_record *record);

/*
 * Locks the directory (flock on `lock`), scans all segments in order, visits, decides torn tail or
 * damage, and leaves the log ready to append at its tail. Starts no flusher and writes nothing
 * before the scan has ended well. The caller appends the EPOCH record as its first group.
 */
int hrt_log_open(const hrt_log_options *options, hrt_log_visit visit, void *visit_context,
                 hrt_log **log_out, hrt_recovery *recovery_out, hrt_damage_report *report_out);
/*
 * Locks the log in a directory, whose path is for the message. HRT_EBUSY: somebody else holds it.
 * Closing *lock_out unlocks.
 */
int hrt_log_lock(int directory, const char *path, int *lock_out);

typedef struct hrt_log_heritage {
    int directory;           /* stays the caller's */
    int lock;                /* of hrt_log_lock; the log's own from here on, whatever the outcome */
    hrt_scan *scan;          /* live, has followed the log; stays the caller's */
    const uint32_t *adopted; /* epochs of the lives whose clients come along */
    uint32_t adopted_count;
} hrt_log_heritage;

/* As hrt_log_open, but goes on where the scan has come to. Both *_out begin zeroed. */
int hrt_log_take_over(const hrt_log_options *options, const hrt_log_heritage *from,
                      hrt_log_visit visit, void *visit_context, hrt_log **log_out,
                      hrt_recovery *recovery_out, hrt_damage_report *report_out);
/*
 * Files that the writer before had put aside. Their old numbers are not known any more, they get
 * new ones from HRT_LOG_STRAYS on. Fills up to max, returns how many.
 */
#define HRT_LOG_STRAYS ((uint64_t)1 << 63)
uint32_t hrt_log_strays(hrt_log *log, uint64_t *numbers_out, uint32_t max);
/* Starts the flusher thread: syncs, readies segments. */
int hrt_log_start(hrt_log *log);
/* Syncs what is left (unless failed), stops the flusher, unlocks, frees. */
void hrt_log_close(hrt_log *log);

/* ---- building a group ---- */

enum hrt_log_class {
    HRT_LOG_NEW_WORK = 0, /* refused with HRT_ELOGFULL when only the reserve is left */
    HRT_LOG_OLD_WORK = 1, /* leases, timers, results: may use the reserve down to its floor */
    HRT_LOG_COPY = 2,     /* what makes room: copies of living jobs use all but what is for ends */
    HRT_LOG_END = 3,      /* bare ends of attempts, and what each segment begins with: all */
    HRT_LOG_CLASSES = 4,
};

/*
 * Makes sure that `bytes` (sum of spans, see hrt_record_span) fit into the open group.
 * HRT_EAGAIN: seal the open group, then ask again. HRT_ELOGFULL: no segment is free.
 * HRT_ETOOLARGE: more than a group can ever hold (hrt_log_group_max).
 * With an empty group it may pad the segment and move to the next one.
 * When the next segment is allowed but not yet ready it waits for the flusher (condition, not
 * sleep).
 */
int hrt_log_reserve(hrt_log *log, size_t bytes, enum hrt_log_class class);
/* Whether they fit as it is: hrt_log_reserve would only say so. */
bool hrt_log_fits(const hrt_log *log, size_t bytes, enum hrt_log_class class);
/* Appends a record of `body_length` zeroed body bytes to the group; header filled but for kind,
 * queue, count, key_hash. Only after a reserve that covers it. */
hrt_record *hrt_log_add(hrt_log *log, uint8_t type, size_t body_length);
/* Makes the last record `more` body bytes longer (zeroed) and returns where they begin. */
void *hrt_log_grow(hrt_log *log, hrt_record *record, size_t more);
/* Wall clock for the records of the groups to come. */
void hrt_log_time(hrt_log *log, uint64_t wall_ns);
/* Bytes in the open group; 0: nothing to seal. */
size_t hrt_log_pending(const hrt_log *log);
/* Flags the last record, checksums, writes. After an error nothing may be acknowledged any more. */
int hrt_log_seal(hrt_log *log);

uint64_t hrt_log_next_sequence(const hrt_log *log); /* the next record will get it */
uint64_t hrt_log_tail(const hrt_log *log);          /* position after the last sealed group */
uint64_t hrt_log_head(const hrt_log *log);          /* of the oldest segment kept */
uint32_t hrt_log_epoch(const hrt_log *log);
void hrt_log_set_epoch(hrt_log *log, uint32_t epoch); /* before the first group after open */
/*
 * Whoever gets a duplicate of hrt_log_directory keeps the files of this log from being written
 * over, also after its writer's death, until all duplicates are closed. After the epoch is set.
 */
int hrt_log_mark(const hrt_log *log);
size_t hrt_log_group_max(const hrt_log *log); /* min(HRT_GROUP_MAX, (segment_size - header) / 2) */
uint32_t hrt_log_segment_size(const hrt_log *log);
const uint8_t *hrt_log_uuid(const hrt_log *log);
int hrt_log_directory(const hrt_log *log); /* descriptor, owned by the log */
uint32_t hrt_log_segments(const hrt_log *log);

/* ---- durability ---- */

uint64_t hrt_log_durable(const hrt_log *log); /* any thread */
/* Asks the flusher to sync up to at least `position` now. Cheap when one is under way. Any thread.
 */
void hrt_log_want_sync(hrt_log *log, uint64_t position);
/* Tells the flusher that `position` has to be durable within async_ns. Any thread. */
void hrt_log_want_async(hrt_log *log, uint64_t position);
int hrt_log_failed(const hrt_log *log); /* HRT_OK, or the status of the failure. Any thread. */

/* ---- reading, by the writer: position to bytes; the group being built is included ---- */

const void *hrt_log_at(const hrt_log *log, uint64_t position);
/* Slot (file) and offset that clients need for a position. */
void hrt_log_place(const hrt_log *log, uint64_t position, uint32_t *slot_out, uint32_t *offset_out);

/* ---- retirement ---- */

uint64_t hrt_log_oldest(const hrt_log *log);  /* number of the oldest segment kept */
uint64_t hrt_log_current(const hrt_log *log); /* number of the segment being written */
/* How many files there are, and what they are good for just now. */
typedef struct hrt_log_room {
    uint64_t most;   /* files that there can be, as long as the disk is as it is */
    uint64_t used;   /* in the log or held, the current one too */
    uint64_t asides; /* see hrt_log_retire_aside; and relics, while no new file can be made */
    bool tight;      /* the log would rather retire its oldest segment than add another file */
    bool disk_full;  /* one more file may be made, and the disk has no room for it */
} hrt_log_room;
hrt_log_room hrt_log_room_now(const hrt_log *log);
/*
 * Files that each class leaves free, none of them more than the class before. At first the options'
 * reserve for new work. A class that finds fewer is refused in the current segment too.
 */
void hrt_log_keep_free(hrt_log *log, const uint32_t kept[HRT_LOG_CLASSES]);
/*
 * Gives up the oldest segment: nothing in it is needed any more once `position` is durable
 * (`must_sync`) or at once. The flusher recycles it under a new number when its turn comes.
 */
int hrt_log_retire(hrt_log *log, uint64_t position, bool must_sync);
/*
 * The same, but the bytes stay as they are: somebody may still read them. The file leaves the log,
 * counts as used, and is not used again before hrt_log_let_go with its number.
 */
int hrt_log_retire_aside(hrt_log *log, uint64_t position, bool must_sync);
void hrt_log_let_go(hrt_log *log, uint64_t number);
/*
 * Whether to retire the segment gives nothing back for now: clients of a life before may read it,
 * and the disk has no room for another file.
 */
bool hrt_log_bound(const hrt_log *log, uint64_t number);
/* Numbers from `segment` on are not recycled for now; they count as in use. Any thread. */
void hrt_log_hold(hrt_log *log, uint64_t segment);
/* Whether to retire the segment gives nothing back because it is held. */
bool hrt_log_held(const hrt_log *log, uint64_t segment);

/* fdatasync statistics, for the counters: writes into the page. NULL: none. */
void hrt_log_counters(hrt_log *log, hrt_runtime_counters *counters);

#endif
