/*
 * Named places where a test can make the library fail, stop or die. Nothing at all unless built
 * with -Dfailpoints=true. HRT_FAILPOINT(name) yields 0, or a negative status to be treated as if
 * the step before it had failed; with the action `kill` the process gets SIGKILL there.
 *
 * Each place registers itself in a section of the program, so all names are known from the start.
 */
#ifndef HRT_FAILPOINT_H
#define HRT_FAILPOINT_H

#ifdef HRT_WITH_FAILPOINTS
#include <stdint.h>

typedef struct hrt_failpoint_site {
    const char *name;
    uint64_t hits;  /* times it was passed */
    uint64_t after; /* times it lets pass before it acts */
    uint64_t action;
} hrt_failpoint_site;

int hrt_failpoint_hit(hrt_failpoint_site *site);

#define HRT_FAILPOINT(text)                                                                  \
    (__extension__({                                                                         \
        static hrt_failpoint_site failpoint_site                                             \
            __attribute__((section("hrt_failpoints"), used, aligned(8))) = {.name = (text)}; \
        hrt_failpoint_hit(&failpoint_site);                                                  \
    }))
#else
#define HRT_FAILPOINT(text) 0
#endif

#endif
