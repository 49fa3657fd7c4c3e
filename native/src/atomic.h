/* The only file that names memory orders. Shared fields are plain; these give them their order. */
#ifndef HRT_ATOMIC_H
#define HRT_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t hrt_load_acquire(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static inline uint64_t hrt_load_relaxed(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static inline void hrt_store_release(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

static inline void hrt_store_relaxed(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static inline void hrt_store_relaxed_u32(uint32_t *field, uint32_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* For counters with one writer: readers see a whole value, nobody else adds. */
static inline void hrt_add_relaxed(uint64_t *field, uint64_t amount)
{
    hrt_store_relaxed(field, hrt_load_relaxed(field) + amount);
}

static inline uint32_t hrt_load_acquire_u32(const uint32_t *field)
{
    return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static inline uint32_t hrt_load_relaxed_u32(const uint32_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static inline void hrt_store_release_u32(uint32_t *field, uint32_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

static inline uint32_t hrt_exchange_u32(uint32_t *field, uint32_t value)
{
    return __atomic_exchange_n(field, value, __ATOMIC_ACQ_REL);
}

/* True: the field was `expected` and is `value` now. */
static inline bool hrt_replace_u32(uint32_t *field, uint32_t expected, uint32_t value)
{
    return __atomic_compare_exchange_n(field, &expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Returns the value before. */
static inline uint32_t hrt_fetch_add_u32(uint32_t *field, uint32_t amount)
{
    return __atomic_fetch_add(field, amount, __ATOMIC_ACQ_REL);
}

/* Store then load of another line, in this order: both sides of the park handshake need it. */
static inline void hrt_fence(void)
{
#ifdef __SANITIZE_THREAD__
    /* ThreadSanitizer knows no fences; a read-modify-write is one to the processor as well. */
    uint32_t barrier = 0;
    (void)__atomic_fetch_add(&barrier, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Keeps the order of stores as written, for memory that the kernel reads when this thread dies. */
static inline void hrt_fence_compiler(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
