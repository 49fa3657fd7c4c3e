/* The calls that redirect.h puts in place of the system's. */
#ifndef HRT_SIM_CALLS_H
#define HRT_SIM_CALLS_H

#include <dirent.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

void sim_point(void);

/* memory.c */
void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *memory, size_t size);
void *sim_aligned_alloc(size_t alignment, size_t size);
void sim_free(void *memory);
char *sim_strdup(const char *text);

/* thread.c */
int sim_thread_create(pthread_t *thread, void *(*entry)(void *), void *argument);
int sim_thread_join(pthread_t thread, void **result);
int sim_thread_yield(void);
int sim_mutex_init(pthread_mutex_t *mutex);
int sim_mutex_lock(pthread_mutex_t *mutex);
int sim_mutex_trylock(pthread_mutex_t *mutex);
int sim_mutex_unlock(pthread_mutex_t *mutex);
int sim_cond_init(pthread_cond_t *cond);
int sim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int sim_cond_signal(pthread_cond_t *cond);
int sim_cond_broadcast(pthread_cond_t *cond);
long sim_syscall(long number, ...);
pid_t sim_gettid(void);
pid_t sim_getpid(void);
int sim_clock_gettime(clockid_t clock, struct timespec *now);
int sim_nanosleep(const struct timespec *time);
ssize_t sim_getrandom(void *bytes, size_t size);
char *sim_getenv(const char *name);
int sim_unsetenv(const char *name);

/* files.c */
int sim_open(const char *path, int flags, ...);
int sim_openat(int directory, const char *name, int flags, ...);
int sim_close(int fd);
ssize_t sim_read(int fd, void *bytes, size_t size);
ssize_t sim_write(int fd, const void *bytes, size_t size);
ssize_t sim_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t sim_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t sim_pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags);
int sim_fsync(int fd);
int sim_fstat(int fd, struct stat *about);
int sim_fallocate(int fd, off_t size);
int sim_posix_fallocate(int fd, off_t size);
int sim_ftruncate(int fd, off_t size);
int sim_fchmod(int fd);
int sim_unlinkat(int directory, const char *name);
int sim_renameat(int directory, const char *from, const char *to);
int sim_faccessat(int directory, const char *name);
int sim_flock(int fd, int operation);
int sim_fcntl(int fd, int command, ...);
int sim_mkdir(const char *path);
DIR *sim_opendir(const char *path);
DIR *sim_fdopendir(int fd);
struct dirent *sim_readdir(DIR *stream);
int sim_closedir(DIR *stream);
int sim_dirfd(DIR *stream);
int sim_memfd_create(void);
int sim_eventfd(void);

/* shared.c */
void *sim_mmap(void *place, size_t size, int flags, int fd);
int sim_munmap(void *memory, size_t size);
void *sim_mremap(void *from, size_t wanted, void *place);

#endif
