/* Named places where a test can make the library fail, stop or die. */
#include "failpoint.h"

#include <hybridrt/runtime.h>

#ifdef HRT_WITH_FAILPOINTS

#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum action { ACTION_OFF, ACTION_ERROR, ACTION_FULL, ACTION_KILL, ACTION_PAUSE, ACTION_COUNT };

static const char *const action_names[ACTION_COUNT] = {"off", "error", "full", "kill", "pause"};

/* Bounds of the section that all sites lie in; made by the linker. */
extern hrt_failpoint_site __start_hrt_failpoints[];
extern hrt_failpoint_site __stop_hrt_failpoints[];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static int act(hrt_failpoint_site *site)
{
    while (site->action == ACTION_PAUSE) {
        (void)pthread_cond_wait(&changed, &mutex);
    }
    if (site->action == ACTION_KILL) {
        (void)kill(getpid(), SIGKILL);
    }
    return site->action == ACTION_ERROR ? HRT_EIO : site->action == ACTION_FULL ? HRT_ENOSPC : 0;
}

int hrt_failpoint_hit(hrt_failpoint_site *site)
{
    (void)pthread_mutex_lock(&mutex);
    site->hits++;
    int status = HRT_OK;
    if (site->action != ACTION_OFF && site->after-- == 0) {
        site->after = 0;
        status = act(site);
    }
    (void)pthread_mutex_unlock(&mutex);
    return status;
}

int hrt_failpoint(const char *name, const char *action, uint64_t after)
{
    uint64_t chosen = 0;
    while (chosen < ACTION_COUNT && strcmp(action, action_names[chosen]) != 0) {
        chosen++;
    }
    if (chosen == ACTION_COUNT) {
        return HRT_EINVAL;
    }
    int status = HRT_ENOTFOUND;
    (void)pthread_mutex_lock(&mutex);
    hrt_failpoint_site *site = __start_hrt_failpoints;
    for (; site < __stop_hrt_failpoints; site++) {
        if (strcmp(site->name, name) == 0) {
            site->action = chosen;
            site->after = after;
            status = HRT_OK;
        }
    }
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&mutex);
    return status;
}

static bool named_before(const hrt_failpoint_site *site)
{
    const hrt_failpoint_site *before = __start_hrt_failpoints;
    while (before < site && strcmp(before->name, site->name) != 0) {
        before++;
    }
    return before < site;
}

static uint64_t hits_of(const char *name)
{
    uint64_t hits = 0;
    const hrt_failpoint_site *site = __start_hrt_failpoints;
    for (; site < __stop_hrt_failpoints; site++) {
        hits += strcmp(site->name, name) == 0 ? site->hits : 0;
    }
    return hits;
}

size_t hrt_failpoints(char *buffer, size_t size)
{
    size_t length = 0;
    (void)pthread_mutex_lock(&mutex);
    const hrt_failpoint_site *site = __start_hrt_failpoints;
    for (; site < __stop_hrt_failpoints; site++) {
        if (!named_before(site)) {
            bool room = length < size;
            int line = snprintf(room ? buffer + length : NULL, room ? size - length : 0,
                                "%s %llu\n", site->name, (unsigned long long)hits_of(site->name));
            length += line > 0 ? (size_t)line : 0;
        }
    }
    (void)pthread_mutex_unlock(&mutex);
    return length;
}

#else

int hrt_failpoint(const char *name, const char *action, uint64_t after)
{
    (void)name;
    (void)action;
    (void)after;
    return HRT_ENOTFOUND;
}

size_t hrt_failpoints(char *buffer, size_t size)
{
    if (size > 0) {
        buffer[0] = '\0';
    }
    return 0;
}

#endif
