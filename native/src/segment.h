/* One segment file: its name, its header, its zeros, its bytes. Knows nothing about order. */
#ifndef HRT_SEGMENT_H
#define HRT_SEGMENT_H

#include <hybridrt/abi.h>
#include <stdbool.h>
#include <stddef.h>

/* The number of a file that waits, zeroed or worn, to become a segment. */
#define HRT_SEGMENT_SPARE UINT64_MAX

enum hrt_segment_limit {
    HRT_SEGMENT_SIZE_MIN = 65536,
    HRT_SEGMENT_SIZE_MAX = 1073741824,
    HRT_SEGMENT_NAME_SIZE = 16,
};

/* A file that is being filled with zeros, step by step, so that syncs can go in between. */
typedef struct hrt_segment_making {
    int fd; /* -1: none */
    uint32_t slot;
    uint32_t done; /* bytes */
} hrt_segment_making;

/* HRT_ENOSPC, HRT_EIO or HRT_ESYSTEM for an errno. */
int hrt_status_of(int error);
bool hrt_segment_size_valid(uint32_t size);
void hrt_segment_name(uint32_t slot, char name_out[HRT_SEGMENT_NAME_SIZE]);
/* A descriptor, or -1 with errno. */
int hrt_segment_open(int directory, uint32_t slot, int flags);
/* Fills the CRC. */
void hrt_segment_seal(hrt_segment *head);
bool hrt_segment_valid(const hrt_segment *head);
/*
 * Writes the header in one piece below a sector, so a crash leaves the old one or this one. When it
 * returns HRT_OK the header is on the disk; other bytes of the file need not be.
 */
int hrt_segment_write_head(int fd, const hrt_segment *head);
/* Its magic and CRC are filled in here; it is on the disk at once if it has to be. */
int hrt_segment_write_mark(int fd, hrt_durable_mark *mark, bool durably);
/* HRT_OK also when there is none: its position is 0 then. */
int hrt_segment_read_mark(int fd, hrt_durable_mark *mark_out);
/* Writes all of it or fails; an interrupted or short write goes on. */
int hrt_write_at(int fd, const void *bytes, size_t length, uint64_t offset);
/* Reads up to length bytes, fewer only at the end of the file; *got_out is how many. */
int hrt_read_at(int fd, void *bytes, size_t length, uint64_t offset, size_t *got_out);

/* Begins a new file for head->segment_size bytes. HRT_ENOSPC also when there are no more names. */
int hrt_segment_begin(int directory, uint32_t slot, uint32_t size, hrt_segment_making *making);
/* One step of zeros; HRT_EAGAIN: more to do. HRT_OK: file, header and name are on the disk. */
int hrt_segment_step(int directory, hrt_segment_making *making, const hrt_segment *head);
/* Removes what was begun. */
void hrt_segment_abandon(int directory, hrt_segment_making *making);

#endif
