/*
 * Put before each file of the library when it is built for the simulator: what it asks of the
 * system, it gets from native/sim. The system's own headers come first and stay as they are.
 */
#ifndef HRT_SIM_REDIRECT_H
#define HRT_SIM_REDIRECT_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../src/atomic.h"
#include "calls.h"

#define malloc(size) sim_malloc(size)
#define calloc(count, size) sim_calloc(count, size)
#define realloc(memory, size) sim_realloc(memory, size)
#define aligned_alloc(alignment, size) sim_aligned_alloc(alignment, size)
#define free(memory) sim_free(memory)
#undef strdup
#define strdup(text) sim_strdup(text)

#define pthread_create(thread, attributes, entry, argument) \
    sim_thread_create(thread, entry, argument)
#define pthread_join(thread, result) sim_thread_join(thread, result)
#define pthread_setname_np(thread, name) 0
#define pthread_sigmask(how, set, before) ((void)(set), (void)(before), 0)
#define pthread_mutex_init(mutex, attributes) sim_mutex_init(mutex)
#define pthread_mutex_destroy(mutex) 0
#define pthread_mutex_lock(mutex) sim_mutex_lock(mutex)
#define pthread_mutex_trylock(mutex) sim_mutex_trylock(mutex)
#define pthread_mutex_unlock(mutex) sim_mutex_unlock(mutex)
#define pthread_cond_init(cond, attributes) sim_cond_init(cond)
#define pthread_cond_destroy(cond) 0
#define pthread_cond_wait(cond, mutex) sim_cond_wait(cond, mutex)
#define pthread_cond_timedwait(cond, mutex, until) sim_cond_timedwait(cond, mutex, until)
#define pthread_cond_signal(cond) sim_cond_signal(cond)
#define pthread_cond_broadcast(cond) sim_cond_broadcast(cond)
#define sched_yield() sim_thread_yield()
#define syscall(...) sim_syscall(__VA_ARGS__)
#define gettid() sim_gettid()
#define getpid() sim_getpid()
#define prctl(...) 0

#define clock_gettime(clock, now) sim_clock_gettime(clock, now)
#define nanosleep(time, rest) sim_nanosleep(time)
#define getrandom(bytes, size, flags) sim_getrandom(bytes, size)
#define getenv(name) sim_getenv(name)
#define unsetenv(name) sim_unsetenv(name)

#define open(...) sim_open(__VA_ARGS__)
#define openat(...) sim_openat(__VA_ARGS__)
#define close(fd) sim_close(fd)
#define read(fd, bytes, size) sim_read(fd, bytes, size)
/* Of three arguments it is the system's; the library has a parameter of this name, too. */
#define SIM_CHOOSE(a, b, c, name, ...) name
#define write(...) SIM_CHOOSE(__VA_ARGS__, sim_write, write, )(__VA_ARGS__)
#define pread(fd, bytes, size, offset) sim_pread(fd, bytes, size, offset)
#define pwrite(fd, bytes, size, offset) sim_pwrite(fd, bytes, size, offset)
#define pwritev2(fd, parts, count, offset, flags) sim_pwritev2(fd, parts, count, offset, flags)
#define fsync(fd) sim_fsync(fd)
#define fdatasync(fd) sim_fsync(fd)
#define posix_fadvise(fd, offset, size, advice) 0
#define fstat(fd, about) sim_fstat(fd, about)
#define fallocate(fd, mode, offset, size) sim_fallocate(fd, size)
#define posix_fallocate(fd, offset, size) sim_posix_fallocate(fd, size)
#define ftruncate(fd, size) sim_ftruncate(fd, size)
#define fchmod(fd, mode) sim_fchmod(fd)
#define unlinkat(directory, name, flags) sim_unlinkat(directory, name)
#define renameat(from_directory, from, to_directory, to) sim_renameat(from_directory, from, to)
#define faccessat(directory, name, mode, flags) sim_faccessat(directory, name)
#define flock(fd, operation) sim_flock(fd, operation)
#define fcntl(...) sim_fcntl(__VA_ARGS__)
#define mkdir(path, mode) sim_mkdir(path)
#define opendir(path) sim_opendir(path)
#define fdopendir(fd) sim_fdopendir(fd)
#define readdir(stream) sim_readdir(stream)
#define closedir(stream) sim_closedir(stream)
#define dirfd(stream) sim_dirfd(stream)
#define memfd_create(name, flags) sim_memfd_create()
#define eventfd(value, flags) sim_eventfd()
#define mmap(place, size, access, flags, fd, offset) sim_mmap(place, size, flags, fd)
#define munmap(memory, size) sim_munmap(memory, size)
#define mremap(from, size, wanted, flags, place) sim_mremap(from, wanted, place)
#define madvise(memory, size, advice) ((void)(memory), 0)

/* What other processes see happens one store at a time: a death may come between any two. */
#define hrt_store_release(field, value) (sim_point(), hrt_store_release(field, value))
#define hrt_store_release_u32(field, value) (sim_point(), hrt_store_release_u32(field, value))
#define hrt_exchange_u32(field, value) (sim_point(), hrt_exchange_u32(field, value))
#define hrt_load_acquire(field) (sim_point(), hrt_load_acquire(field))
#define hrt_load_acquire_u32(field) (sim_point(), hrt_load_acquire_u32(field))

#endif
