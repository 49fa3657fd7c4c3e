/*
 * Clients that have outlived their runtime, told by marks on the log's directory.
 *
 * A mark is a read lock on one byte of the directory, the epoch of a runtime's life. It belongs to
 * an open file description, and every client of that life holds a duplicate of it. So it lasts as
 * long as one of them does, without a line of code in clients. Nothing is said by a missing mark
 * that a crash could have taken away: to ask changes no lock.
 */
#ifndef HRT_ORPHANS_H
#define HRT_ORPHANS_H

#include <stdbool.h>
#include <stdint.h>

/* Marks the description of `directory`; its duplicates, made before or after, keep the mark. */
int hrt_orphans_mark(int directory, uint32_t epoch);
/*
 * Whether anybody holds a mark who came neither with `directory` nor with one of the `adopted`
 * epochs, which are sorted here. True also when the system does not say.
 */
bool hrt_orphans_live(int directory, uint32_t *adopted, uint32_t count);

#endif
