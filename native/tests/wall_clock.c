/*
 * Preloaded, it moves the wall clock of a process by the nanoseconds in a file, and nothing else.
 *
 * HRT_WALL_CLOCK names the file, of 8 bytes; who writes it makes the clock jump for everybody who
 * was given it, between two readings. libfaketime cannot be had with the monotonic clocks left
 * alone: it breaks sleeps until an absolute time of theirs. What reads the clock past libc (Go) is
 * not reached.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SECOND_NS = 1000000000 };

typedef int clock_reader(clockid_t, struct timespec *);

static clock_reader *real_clock;
static const int64_t *offset_ns; /* NULL: the clock is left alone */

/* Other constructors may ask for the time before this one has run. */
__attribute__((constructor)) static void begin(void)
{
    if (real_clock != NULL) {
        return;
    }
    *(void **)&real_clock = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("HRT_WALL_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (path != NULL && fd < 0) {
        _exit(127); /* a clock that does not jump would prove nothing */
    }
    if (fd >= 0) {
        void *file = mmap(NULL, sizeof(*offset_ns), PROT_READ, MAP_SHARED, fd, 0);
        offset_ns = file == MAP_FAILED ? NULL : file;
        (void)close(fd);
    }
}

static void move(struct timespec *now)
{
    int64_t by_ns = __atomic_load_n(offset_ns, __ATOMIC_RELAXED);
    int64_t rest_ns = now->tv_nsec + by_ns % SECOND_NS;
    now->tv_sec += by_ns / SECOND_NS + (rest_ns >= SECOND_NS) - (rest_ns < 0);
    now->tv_nsec = (rest_ns + SECOND_NS) % SECOND_NS;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    begin();
    int status = real_clock(clock, now);
    if (status == 0 && offset_ns != NULL &&
        (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        move(now);
    }
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    int status = clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){.tv_sec = precise.tv_sec, .tv_usec = precise.tv_nsec / 1000};
    return status;
}

time_t time(time_t *now)
{
    struct timespec precise;
    (void)clock_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL) {
        *now = precise.tv_sec;
    }
    return precise.tv_sec;
}
