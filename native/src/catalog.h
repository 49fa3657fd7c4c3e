/* Which segment files a log directory holds, in the order of the log. Reads headers only. */
#ifndef HRT_CATALOG_H
#define HRT_CATALOG_H

#include <hybridrt/runtime.h>

typedef struct hrt_catalog_entry {
    uint64_t number; /* HRT_SEGMENT_SPARE: not part of the log */
    uint32_t slot;
    uint16_t blank; /* 1: never finished, all zeros, without a header */
    uint16_t aside; /* 1: has left the log, but may still be read */
} hrt_catalog_entry;

typedef struct hrt_catalog {
    hrt_catalog_entry *entries; /* numbered ones first, ascending; then spares, then blanks */
    uint32_t count;
    uint32_t numbered;
    uint32_t slots; /* highest slot in use + 1 */
    uint32_t segment_size;
    uint64_t head;            /* the log has no segment below this number */
    hrt_durable_mark durable; /* the furthest there is; position 0: none */
    uint8_t uuid[16];
} hrt_catalog;

/*
 * Fills *catalog_out (free it also after damage). Damage found in the headers is put into
 * *report_out; the status is HRT_OK then too, negative only if the directory cannot be read.
 */
int hrt_catalog_read(int directory, hrt_catalog *catalog_out, hrt_damage_report *report_out);
void hrt_catalog_free(hrt_catalog *catalog);
/* The entry with this number, or NULL. */
const hrt_catalog_entry *hrt_catalog_find(const hrt_catalog *catalog, uint64_t number);

/* Writes the report's sentence, unless it already tells of damage. */
void hrt_damage(hrt_damage_report *report, enum hrt_damage damage, uint32_t slot, uint64_t position,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
