/* What the proof is made of: entries and hashes of records in a row, and the nodes above them. */
#include "error.h"
#include "record.h"
#include "scan.h"
#include "sha256.h"

#include <string.h>

#define LEAF_PREFIX 0 /* RFC 6962 tells leaves from nodes by their first byte */
#define NODE_PREFIX 1
#define HEADER_SIZE sizeof(hrt_record)
#define VERSION_AT 4 /* in the place of the checksum */
#define HASHES_MAX 256

_Static_assert(HRT_LEAF_ENTRY == HEADER_SIZE + HRT_SHA256_SIZE, "header and digest");

/* Of a PAD only the header counts, for nothing else of it is written with care. */
static void fill_leaf(const hrt_record *record, uint8_t *item, uint8_t *hash)
{
    uint8_t leaf[1 + HRT_LEAF_ENTRY] = {LEAF_PREFIX};
    uint8_t *entry = leaf + 1;
    uint32_t version = HRT_LEAF_VERSION;
    size_t covered = record->type == HRT_RECORD_PAD ? HEADER_SIZE : record->length;
    memcpy(entry, record, HEADER_SIZE);
    memcpy(entry + VERSION_AT, &version, sizeof(version));
    hrt_sha256(record, covered, entry + HEADER_SIZE);
    hrt_sha256(leaf, sizeof(leaf), hash);
    item[0] = 0;
    item[1] = HRT_LEAF_ENTRY;
    memcpy(item + 2, entry, HRT_LEAF_ENTRY);
}

int hrt_scan_leaves(hrt_scan *scan, uint8_t *items_out, uint8_t *hashes_out, uint32_t max,
                    uint32_t *count_out, uint64_t *durable_out)
{
    uint32_t count = 0;
    uint64_t durable = 0;
    int status = HRT_OK;
    while (count < max) {
        const hrt_record *record = NULL;
        status = hrt_scan_next(scan, &record);
        if (status != HRT_OK) {
            break;
        }
        fill_leaf(record, items_out + (size_t)count * HRT_LEAF_ITEM,
                  hashes_out + (size_t)count * HRT_SHA256_SIZE);
        durable = record->durable > durable ? record->durable : durable;
        count++;
    }
    *count_out = count;
    *durable_out = durable;
    return count > 0 ? HRT_OK : status;
}

/* Halves the row of hashes, in place, until one is left; an odd one at the end goes up as it is. */
int hrt_tree_root(const uint8_t *hashes, uint32_t count, uint8_t *root_out)
{
    uint8_t row[HASHES_MAX * HRT_SHA256_SIZE];
    if (count == 0 || count > HASHES_MAX) {
        return hrt_fail(HRT_EINVAL, "a tile has 1 to %d hashes", HASHES_MAX);
    }
    memcpy(row, hashes, (size_t)count * HRT_SHA256_SIZE);
    for (; count > 1; count = (count + 1) / 2) {
        for (uint32_t i = 0; i + 1 < count; i += 2) {
            uint8_t node[1 + 2 * HRT_SHA256_SIZE] = {NODE_PREFIX};
            memcpy(node + 1, row + (size_t)i * HRT_SHA256_SIZE, (size_t)2 * HRT_SHA256_SIZE);
            hrt_sha256(node, sizeof(node), row + (size_t)(i / 2) * HRT_SHA256_SIZE);
        }
        if (count % 2 == 1) {
            memmove(row + (size_t)(count / 2) * HRT_SHA256_SIZE,
                    row + (size_t)(count - 1) * HRT_SHA256_SIZE, HRT_SHA256_SIZE);
        }
    }
    memcpy(root_out, row, HRT_SHA256_SIZE);
    return HRT_OK;
}
