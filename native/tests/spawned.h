/* Attaching as a spawned worker does: by the descriptors of its lane, named in the environment. */
#ifndef HRT_TEST_SPAWNED_H
#define HRT_TEST_SPAWNED_H

#include "tap.h"

#include <hybridrt/hybridrt.h>

/* Leaves the descriptors where hrt_attach looks for them; it owns them then. */
static inline void spawned_leave(const int fds[HRT_FD_COUNT])
{
    char text[64];
    (void)snprintf(text, sizeof(text), "fds:%d,%d,%d,%d", fds[0], fds[1], fds[2], fds[3]);
    REQUIRE(setenv("HYBRIDRT_ATTACH", text, 1) == 0);
}

/* Attaches to what was left there. */
static inline int spawned_attach(hrt_client **client_out)
{
    const hrt_attach_options options = {.struct_size = sizeof(options),
                                        .abi_version = HRT_ABI_VERSION};
    return hrt_attach(&options, client_out);
}

#endif
