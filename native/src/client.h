/* What the runtime half may know of a client: the local lane of its own process. */
#ifndef HRT_CLIENT_H
#define HRT_CLIENT_H

#include <hybridrt/hybridrt.h>

typedef struct hrt_client_local {
    hrt_lane *lane; /* mapped by the runtime, stays its property */
    const hrt_page *page;
    int log_directory;           /* descriptor, stays the runtime's */
    int event_fd;                /* stays the runtime's */
    void (*pump)(void *context); /* dispatches once in the calling thread, if nobody else does */
    void *context;
} hrt_client_local;

/* A client of this process: no liveness thread; after each publish it calls pump instead of waking.
 */
int hrt_client_local_new(const hrt_client_local *local, hrt_client **client_out);

#endif
