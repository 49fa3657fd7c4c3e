/*
 * Named places where a test can make the library fail, stop or die. Nothing at all unless built
 * with -Dfailpoints=true. HRT_FAILPOINT(name) yields 0, or a negative status to be treated as if
 * the step before it had failed; with the action `kill` the process gets SIGKILL there.
 */
#ifndef HRT_FAILPOINT_H
#define HRT_FAILPOINT_H

#ifdef HRT_WITH_FAILPOINTS
int hrt_failpoint_hit(const char *name);
#define HRT_FAILPOINT(name) hrt_failpoint_hit(name)
#else
#define HRT_FAILPOINT(name) 0
#endif

#endif
