/* The whole state as bytes, and back. */
#ifndef HRT_DUMP_H
#define HRT_DUMP_H

#include "state.h"

#include <stddef.h>

/* Takes the next bytes; anything but HRT_OK ends the dump with that status. */
typedef int (*hrt_dump_sink)(void *context, const void *bytes, size_t length);
int hrt_state_dump(const hrt_state *state, hrt_dump_sink sink, void *context);
/*
 * Into a new state. HRT_ECORRUPT: the bytes are no dump; HRT_ENOMEM. In both cases the state may
 * only be freed. Positions are not checked: whoever has the log does that.
 */
int hrt_state_load(hrt_state *state, const void *bytes, size_t size);

#endif
