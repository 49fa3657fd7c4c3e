/*
 * Snapshots: the state as it was behind one record, in a file beside the segments, so that a
 * restart reads only what came later. docs/layout.md has the form, docs/design.md when one counts.
 *
 * snapshot.c  writing one, and the names in the directory
 * resume.c    beginning from one
 * copier.c    when a standby writes one, in a process of its own (offshoot.c)
 */
#ifndef HRT_SNAPSHOT_H
#define HRT_SNAPSHOT_H

#include "scan.h"
#include "state.h"

#define HRT_SNAPSHOT_MAGIC 0x4e545248u /* "HRTN" */

enum {
    HRT_SNAPSHOT_VERSION = 2,
    HRT_SNAPSHOT_NAME_SIZE = 32,
    HRT_SNAPSHOTS_KEPT = 2,
    HRT_SNAPSHOT_NAMES_MAX = 16,
    HRT_SNAPSHOT_WHY_SIZE = 96,
    HRT_SNAPSHOT_JOB_SIZE = 176, /* that a living job takes in one, at least */
};

typedef struct hrt_snapshot_head {
    uint32_t magic;
    uint32_t version;
    hrt_scan_start start;
    uint32_t segment_size;
    uint32_t reserved;
    uint64_t state_hash;
} hrt_snapshot_head; /* then the dump */

typedef struct hrt_snapshot_tail {
    uint32_t crc; /* CRC32C of everything before */
    uint32_t magic;
} hrt_snapshot_tail;

_Static_assert(sizeof(hrt_snapshot_head) == 104 && sizeof(hrt_snapshot_tail) == 8, "no holes");

typedef struct hrt_snapshot_names {
    uint32_t count;
    char names[HRT_SNAPSHOT_NAMES_MAX][HRT_SNAPSHOT_NAME_SIZE];
} hrt_snapshot_names;

/* ---- writing ---- */

typedef struct hrt_snapshot_order {
    int directory;
    uint32_t segment_size;
    hrt_scan_start start;
    const hrt_state *state;
    const hrt_page *page;      /* says how far the log is durable; NULL: far enough */
    hrt_snapshot_names doomed; /* what goes when it is written */
} hrt_snapshot_order;

/* All but the newest, and what was begun and never ended. Allocates, unlike the writing. */
void hrt_snapshot_doom(int directory, hrt_snapshot_names *doomed_out);
/*
 * Makes only system calls, so it may run in a copy of a process with many threads. HRT_ETIMEOUT:
 * the log does not get durable.
 */
int hrt_snapshot_write(const hrt_snapshot_order *order);

/* ---- reading ---- */

/* Newest first. */
void hrt_snapshot_list(int directory, hrt_snapshot_names *names_out);
/* NULL: the bytes are a whole snapshot of a form that we know. Else what is wrong. */
const char *hrt_snapshot_judge(const void *bytes, size_t size, hrt_snapshot_head *head_out);
/* Whether the file is called as one of this record is. */
bool hrt_snapshot_is_named(const char *name, uint64_t sequence);
/* Keeps a refused one out of the way, under another name. */
void hrt_snapshot_put_aside(int directory, const char *name);

typedef struct hrt_refusal {
    char name[HRT_SNAPSHOT_NAME_SIZE];
    char why[HRT_SNAPSHOT_WHY_SIZE];
} hrt_refusal;

/* One opening of a log: which snapshots were refused so far, and which one it begins from. */
typedef struct hrt_search {
    hrt_refusal refusals[HRT_SNAPSHOT_NAMES_MAX];
    uint32_t refusal_count;
    char used[HRT_SNAPSHOT_NAME_SIZE]; /* empty: none */
    uint64_t position;                 /* behind it the log was read */
} hrt_search;

#endif
