/* A process that holds a lane's runtime word until it is killed: the runtime as clients see it. */
#ifndef HRT_STANDIN_H
#define HRT_STANDIN_H

#include "liveness.h"
#include "peer.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static inline pid_t standin_start(peer *end)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        hrt_hold hold;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (hrt_hold_init(&hold, 1) != HRT_OK ||
            hrt_hold_take(&hold, &end->lane->runtime_alive) != HRT_OK)
            _exit(1);
        for (;;)
            (void)pause();
    }
    uint32_t word = 0;
    AWAIT((word = hrt_load_acquire_u32(&end->lane->runtime_alive)) != 0 && !hrt_hold_died(word));
    return child;
}

static inline void standin_kill(pid_t child)
{
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

#endif
