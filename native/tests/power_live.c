/*
 * Two lives of a log in a directory, the second after an orderly end of the first. What was written
 * goes to HISTORY; what was promised stands in MARKS at once, for the device under the directory.
 *
 *   power_live DIRECTORY HISTORY MARKS ROUNDS
 */
#include "power_life.h"

#include <sys/mman.h>

enum { LIVES = 2, MARKS_SIZE = 4096 };

static void map_marks(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    void *marks = mmap(NULL, MARKS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(marks != MAP_FAILED);
    (void)close(fd);
    promise_place = marks;
}

int main(int argc, char **argv)
{
    history past = {0};
    REQUIRE(argc == 5);
    map_marks(argv[3]);
    for (uint32_t i = 0; i < LIVES; i++) {
        uint64_t count = 0;
        event *events = live(argv[1], (uint32_t)strtoul(argv[4], NULL, 10), false, &count);
        history_go_on(&past, events, count);
        recorder_free(events, count);
    }
    history_store(&past, argv[2]);
    printf("# json {\"lives\": %d, \"records\": %" PRIu64 "}\n", LIVES, past.count);
    history_cut(&past, 0);
    free(past.lines);
    return tap_failures > 0;
}
