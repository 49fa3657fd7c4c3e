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
#define ITEM_HEAD (HRT_LEAF_ITEM - HRT_LEAF_ENTRY) /* the length in front of an entry */
#define NODE_SIZE (1 + 2 * HRT_SHA256_SIZE)

_Static_assert(HRT_LEAF_ENTRY == HEADER_SIZE + HRT_SHA256_SIZE, "header and digest");

/* Of a PAD only the header counts, for nothing else of it is written with care. */
static size_t covered_length(const hrt_record *record)
{
    return record->type == HRT_RECORD_PAD ? HEADER_SIZE : record->length;
}

static uint8_t *digest_at(uint8_t *item)
{
    return item + ITEM_HEAD + HEADER_SIZE;
}

static void fill_header(const hrt_record *record, uint8_t *item)
{
    uint32_t version = HRT_LEAF_VERSION;
    item[0] = 0;
    item[1] = HRT_LEAF_ENTRY;
    memcpy(item + ITEM_HEAD, record, HEADER_SIZE);
    memcpy(item + ITEM_HEAD + VERSION_AT, &version, sizeof(version));
}

/* A record that waits for another one as long as it, for two are hashed in little more time. */
typedef struct hrt_waiting {
    const hrt_record *record; /* NULL: none */
    uint8_t *item;
} hrt_waiting;

static void digest_waiting(hrt_waiting *waiting)
{
    if (waiting->record != NULL) {
        hrt_sha256(waiting->record, covered_length(waiting->record), digest_at(waiting->item));
        waiting->record = NULL;
    }
}

/* What waits is read before its group ends: records of a group are there until it is left. */
static void digest_record(hrt_waiting *waiting, const hrt_record *record, uint8_t *item)
{
    size_t length = covered_length(record);
    if (waiting->record != NULL && covered_length(waiting->record) == length) {
        hrt_sha256_two(waiting->record, record, length, digest_at(waiting->item), digest_at(item));
        waiting->record = NULL;
        return;
    }
    digest_waiting(waiting);
    *waiting = (hrt_waiting){record, item};
    if (record->flags & HRT_RECORD_LAST) {
        digest_waiting(waiting);
    }
}

static void hash_leaves(const uint8_t *items, uint32_t count, uint8_t *hashes)
{
    uint8_t leaves[2][1 + HRT_LEAF_ENTRY] = {{LEAF_PREFIX}, {LEAF_PREFIX}};
    for (uint32_t i = 0; i < count; i += 2) {
        const uint8_t *item = items + (size_t)i * HRT_LEAF_ITEM;
        uint8_t *hash = hashes + (size_t)i * HRT_SHA256_SIZE;
        memcpy(leaves[0] + 1, item + ITEM_HEAD, HRT_LEAF_ENTRY);
        if (i + 1 == count) {
            hrt_sha256(leaves[0], sizeof(leaves[0]), hash);
            return;
        }
        memcpy(leaves[1] + 1, item + HRT_LEAF_ITEM + ITEM_HEAD, HRT_LEAF_ENTRY);
        hrt_sha256_two(leaves[0], leaves[1], sizeof(leaves[0]), hash, hash + HRT_SHA256_SIZE);
    }
}

int hrt_scan_leaves(hrt_scan *scan, uint8_t *items_out, uint8_t *hashes_out, uint32_t max,
                    uint32_t *count_out, uint64_t *durable_out)
{
    uint32_t count = 0;
    uint64_t durable = 0;
    int status = HRT_OK;
    hrt_waiting waiting = {0};
    while (count < max) {
        const hrt_record *record = NULL;
        status = hrt_scan_next(scan, &record);
        if (status != HRT_OK) {
            break;
        }
        uint8_t *item = items_out + (size_t)count * HRT_LEAF_ITEM;
        fill_header(record, item);
        digest_record(&waiting, record, item);
        durable = record->durable > durable ? record->durable : durable;
        count++;
    }
    digest_waiting(&waiting);
    hash_leaves(items_out, count, hashes_out);
    *count_out = count;
    *durable_out = durable;
    return count > 0 ? HRT_OK : status;
}

static void fill_node(uint8_t node[NODE_SIZE], const uint8_t *pair)
{
    node[0] = NODE_PREFIX;
    memcpy(node + 1, pair, 2 * (size_t)HRT_SHA256_SIZE);
}

/* A row of parents in the place of their children, which they never overtake. */
static void hash_parents(uint8_t *row, uint32_t parents)
{
    uint8_t nodes[2][NODE_SIZE];
    for (uint32_t i = 0; i < parents; i += 2) {
        const uint8_t *pair = row + (size_t)i * 2 * HRT_SHA256_SIZE;
        uint8_t *parent = row + (size_t)i * HRT_SHA256_SIZE;
        fill_node(nodes[0], pair);
        if (i + 1 == parents) {
            hrt_sha256(nodes[0], NODE_SIZE, parent);
            return;
        }
        fill_node(nodes[1], pair + 2 * (size_t)HRT_SHA256_SIZE);
        hrt_sha256_two(nodes[0], nodes[1], NODE_SIZE, parent, parent + HRT_SHA256_SIZE);
    }
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
        hash_parents(row, count / 2);
        if (count % 2 == 1) {
            memmove(row + (size_t)(count / 2) * HRT_SHA256_SIZE,
                    row + (size_t)(count - 1) * HRT_SHA256_SIZE, HRT_SHA256_SIZE);
        }
    }
    memcpy(root_out, row, HRT_SHA256_SIZE);
    return HRT_OK;
}
