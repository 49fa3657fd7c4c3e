/*
 * The shared page of counters and names. Clients get a descriptor that can only be read, and the
 * file lets nobody else open it for writing; a successor gets one for both, and goes on counting.
 */
#include "dispatch.h"

#include "atomic.h"
#include "error.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int hrt_counters_page(uint64_t instance, hrt_page **page_out, int *fd_out)
{
    int fd = memfd_create("hybridrt-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return hrt_fail(HRT_ESYSTEM, "cannot make the counter page: %m");
    }
    hrt_page *page = MAP_FAILED;
    if (ftruncate(fd, sizeof(*page)) == 0) {
        page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (page == MAP_FAILED || fcntl(fd, F_ADD_SEALS, seals) != 0 || fchmod(fd, S_IRUSR) != 0) {
        int status = hrt_fail(HRT_ESYSTEM, "cannot map and seal the counter page: %m");
        if (page != MAP_FAILED) {
            (void)munmap(page, sizeof(*page));
        }
        (void)close(fd);
        return status;
    }
    page->magic = HRT_MAGIC_PAGE;
    page->abi_version = HRT_ABI_VERSION;
    page->size = sizeof(*page);
    page->incarnation = instance;
    *page_out = page;
    *fd_out = fd;
    return HRT_OK;
}

void hrt_counters_release(hrt_page *page, int fd)
{
    if (page != NULL) {
        (void)munmap(page, sizeof(*page));
        (void)close(fd);
    }
}

void hrt_counters_observe(hrt_histogram *histogram, uint64_t value_ns)
{
    hrt_add_relaxed(&histogram->buckets[hrt_histogram_bucket(value_ns)], 1);
    hrt_add_relaxed(&histogram->sum_ns, value_ns);
    if (value_ns > hrt_load_relaxed(&histogram->max_ns)) {
        hrt_store_relaxed(&histogram->max_ns, value_ns);
    }
    hrt_store_release(&histogram->count, hrt_load_relaxed(&histogram->count) + 1);
}

void hrt_counters_refresh(hrt_runtime *runtime)
{
    hrt_runtime_counters *counters = &runtime->page->runtime;
    hrt_state_refresh(runtime->state);
    hrt_store_relaxed(&counters->log_head, hrt_log_head(runtime->log));
    hrt_store_relaxed(&counters->log_tail, hrt_log_tail(runtime->log));
    hrt_store_relaxed(&counters->log_durable, hrt_log_durable(runtime->log));
    hrt_store_relaxed(&counters->segments, hrt_log_segments(runtime->log));
    hrt_store_relaxed(&counters->jobs, hrt_state_jobs(runtime->state));
    hrt_store_relaxed(&counters->sequence, hrt_log_next_sequence(runtime->log) - 1);
    hrt_store_relaxed(&counters->records, hrt_log_next_sequence(runtime->log) - 1);
}
