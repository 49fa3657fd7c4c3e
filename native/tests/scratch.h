/* A directory for one test: removed at its end, and also when the test cannot go on. */
#ifndef HRT_TEST_SCRATCH_H
#define HRT_TEST_SCRATCH_H

#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

enum { SCRATCH_PATH = 64 };

static char scratch_path[SCRATCH_PATH]; /* empty: there is none */
static pid_t scratch_owner;             /* children that exit leave it alone */

static inline void scratch_empty(const char *path)
{
    DIR *entries = opendir(path);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        (void)unlinkat(dirfd(entries), entry->d_name, 0);
    }
    if (entries != NULL) {
        (void)closedir(entries);
    }
}

static inline void scratch_remove(void)
{
    if (scratch_path[0] == '\0' || scratch_owner != getpid()) {
        return;
    }
    scratch_empty(scratch_path);
    (void)rmdir(scratch_path);
    scratch_path[0] = '\0';
}

static inline void scratch_make_in(const char *root, char path_out[SCRATCH_PATH])
{
    static int watched;
    scratch_remove();
    (void)snprintf(scratch_path, sizeof(scratch_path), "%s/hybridrt-test-XXXXXX", root);
    REQUIRE(mkdtemp(scratch_path) != NULL);
    scratch_owner = getpid();
    if (!watched) {
        watched = atexit(scratch_remove) == 0;
    }
    memcpy(path_out, scratch_path, sizeof(scratch_path));
}

static inline void scratch_make(char path_out[SCRATCH_PATH])
{
    scratch_make_in("/tmp", path_out);
}

#endif
