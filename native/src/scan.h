/* Reads a log in order, group by group, through private memory; says how the log ends. */
#ifndef HRT_SCAN_H
#define HRT_SCAN_H

#include "catalog.h"

#include <stdbool.h>

/* A file of this name says that a sync has failed and what lies behind `durable` may be lost. */
#define HRT_LOG_UNSYNCED "unsynced"

/* Where the log ends and what its last writer left, for the one who goes on writing. */
typedef struct hrt_scan_end {
    uint64_t number; /* segment of the tail */
    uint64_t position;
    uint64_t sequence;  /* of the last record, 0: none */
    uint64_t durable;   /* everything below was synced */
    uint32_t epoch_max; /* highest of all records found, also of those that do not count */
    uint64_t records;
    uint64_t bytes;
} hrt_scan_end;

/* Where reading may begin: behind a record that ended a group and is known by its checksum. */
typedef struct hrt_scan_start {
    uint8_t uuid[16];
    uint8_t boot_id[16]; /* of the last EPOCH before */
    uint64_t mark;       /* position of the record */
    uint64_t position;   /* behind it */
    uint64_t sequence;   /* its own */
    uint64_t durable;
    uint32_t mark_crc;
    uint32_t epoch;
    uint64_t reserved;
} hrt_scan_start;

/* Takes no ownership of `directory`. live: a writer may be at work, the tail is not judged. */
int hrt_scan_begin(int directory, bool live, hrt_scan **scan_out);
/* For who makes copies of this process: they get no part in what is read, and may not go on. */
void hrt_scan_keep_own(hrt_scan *scan);
/*
 * Beside a running writer who says how far its groups go: reads up to there and looks no further.
 * Before each call of hrt_scan_next that is to give what was written since.
 */
void hrt_scan_follow(hrt_scan *scan, uint64_t tail);
/* The writer is gone for good: gives the rest, and judges the end as without a writer. */
int hrt_scan_finish(hrt_scan *scan);
/* Behind the record that was handed out last. False: nobody may begin there. */
bool hrt_scan_here(const hrt_scan *scan, const hrt_record *record, hrt_scan_start *start_out);
/* Before the first record: leaves out what lies before. NULL: it does; else why it does not. */
const char *hrt_scan_resume(hrt_scan *scan, const hrt_scan_start *start);
int hrt_scan_directory(const hrt_scan *scan); /* owned by whoever began the scan */
/* Of the next group. */
uint64_t hrt_scan_position(const hrt_scan *scan);
/* After HRT_EEND. */
hrt_scan_end hrt_scan_ending(const hrt_scan *scan);
const hrt_catalog *hrt_scan_catalog(const hrt_scan *scan);
/* Of this boot of the machine: equal ids mean that no power was lost in between. */
int hrt_boot_id(uint8_t boot_id_out[16]);

#endif
