/*
 * Any bytes as a snapshot: as they are they are refused; as changes to one that is sealed again
 * they make a state that can be hashed, and dumped and loaded as the same, or none.
 */
#include "check.h"
#include "dump.h"
#include "../tests/records.h"
#include "snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 65536, JOBS = 12, CHANGES_MAX = 4 };

typedef struct bytes {
    uint8_t room[ROOM];
    size_t used;
} bytes;

static int take(void *context, const void *from, size_t length)
{
    bytes *into = context;
    HRT_ASSERT(into->used + length <= ROOM);
    memcpy(into->room + into->used, from, length);
    into->used += length;
    return HRT_OK;
}

/* Jobs in several states, keyed and not, one with an error and one with something saved. */
static void make_state(history *log)
{
    static const char *const keys[] = {NULL, "a", "b"};
    uint64_t ids[JOBS];
    for (uint32_t i = 0; i < JOBS; i++) {
        ids[i] = enqueue(log, (new_job){.queue = i % 2,
                                        .kind = i / 2 % 2,
                                        .key = keys[i % 3],
                                        .max_attempts = 5,
                                        .max_crashes = 3,
                                        .result_ttl_ms = 60000});
    }
    save(log, ids[0], lease_one(log, ids[0]), "half of it");
    (void)lease_one(log, ids[3]);
    settle(log, ids[3], HRT_OUTCOME_RETRY, 5000);
    (void)lease_one(log, ids[1]);
    settle(log, ids[1], HRT_OUTCOME_DEAD, 0);
}

/* The sound one that is changed. */
static const bytes *original(void)
{
    static bytes made;
    if (made.used == 0) {
        const hrt_snapshot_head head = {.magic = HRT_SNAPSHOT_MAGIC,
                                        .version = HRT_SNAPSHOT_VERSION};
        history *log = new_history();
        make_state(log);
        (void)take(&made, &head, sizeof(head));
        HRT_ASSERT(hrt_state_dump(log->state, take, &made) == HRT_OK);
        free_history(log);
    }
    return &made;
}

/* What is dumped and loaded again is the same state. */
static void load(const uint8_t *dump, size_t size)
{
    hrt_state *state = hrt_state_new(NULL, 65536);
    HRT_ASSERT(state != NULL);
    int status = hrt_state_load(state, dump, size);
    HRT_ASSERT(status == HRT_OK || status == HRT_ECORRUPT || status == HRT_ENOMEM);
    uint64_t hash = hrt_state_hash(state);
    if (status == HRT_OK) {
        static bytes again;
        hrt_state *second = hrt_state_new(NULL, 65536);
        again.used = 0;
        HRT_ASSERT(second != NULL && hrt_state_dump(state, take, &again) == HRT_OK);
        HRT_ASSERT(hrt_state_load(second, again.room, again.used) == HRT_OK);
        HRT_ASSERT(hrt_state_hash(second) == hash);
        hrt_state_free(second);
    }
    hrt_state_free(state);
}

static void seal(bytes *snapshot)
{
    const hrt_snapshot_tail tail = {.crc = hrt_crc32c_update(0, snapshot->room, snapshot->used),
                                    .magic = HRT_SNAPSHOT_MAGIC};
    (void)take(snapshot, &tail, sizeof(tail));
}

/* Three bytes are one change of the dump: two for the place, one for what stands there. Or a cut.
 */
static void change(bytes *snapshot, const uint8_t *data, size_t size)
{
    const size_t head = sizeof(hrt_snapshot_head);
    size_t most = size < 3 * CHANGES_MAX ? size : 3 * CHANGES_MAX;
    for (size_t i = 0; i + 3 <= most; i += 3) {
        size_t place = (data[i] | (size_t)data[i + 1] << 8) % (snapshot->used - head);
        if (place > 0) {
            snapshot->room[head + place] = data[i + 2];
        }
    }
    if (size % 8 == 7) {
        snapshot->used = head + (snapshot->used - head) * (data[size - 1] + 1u) / 256;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bytes changed;
    hrt_snapshot_head head;
    (void)hrt_snapshot_judge(data, size, &head);
    changed = *original();
    change(&changed, data, size);
    size_t body = changed.used;
    seal(&changed);
    HRT_ASSERT(hrt_snapshot_judge(changed.room, changed.used - 1, &head) != NULL);
    if (body >= sizeof(head) && hrt_snapshot_judge(changed.room, changed.used, &head) == NULL) {
        load(changed.room + sizeof(head), body - sizeof(head));
    }
    return 0;
}
