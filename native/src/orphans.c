/* Clients that have outlived their runtime, told by marks on the log's directory. */
#include "orphans.h"

#include "error.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int hrt_orphans_mark(int directory, uint32_t epoch)
{
    struct flock mark = {
        .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = (off_t)epoch, .l_len = 1};
    if (fcntl(directory, F_OFD_SETLK, &mark) != 0) {
        return hrt_fail(hrt_status_of(errno),
                        "cannot lock the log directory: %s; it has to be on a local file system",
                        strerror(errno));
    }
    return HRT_OK;
}

/* Of the epochs from `first` up to `end`; 0: to the last there can be. */
static bool any_mark(int directory, uint64_t first, uint64_t end)
{
    struct flock asked = {.l_type = F_WRLCK,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)first,
                          .l_len = end == 0 ? 0 : (off_t)(end - first)};
    return fcntl(directory, F_OFD_GETLK, &asked) != 0 || asked.l_type != F_UNLCK;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

bool hrt_orphans_live(int directory, uint32_t *adopted, uint32_t count)
{
    uint64_t first = 0;
    if (count > 1) {
        qsort(adopted, count, sizeof(*adopted), compare);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (adopted[i] > first && any_mark(directory, first, adopted[i])) {
            return true;
        }
        first = (uint64_t)adopted[i] + 1;
    }
    return any_mark(directory, first, 0);
}
