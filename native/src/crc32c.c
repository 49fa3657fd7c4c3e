/* CRC32C (Castagnoli): the machine's own instruction where there is one, else slicing-by-8. */
#include "record.h"

#include "check.h"

#include <hybridrt/hybridrt.h>
#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint64_t load_u64(const uint8_t *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof(value));
    return value;
}

/* Written once, under pthread_once; a constant table of 2048 words would be no easier to trust. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < 8; slice++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t before = table[slice - 1][byte];
            table[slice][byte] = (before >> 8) ^ table[0][before & 0xff];
        }
    }
}

uint32_t hrt_crc32c_portable(uint32_t seed, const void *data, size_t length)
{
    (void)pthread_once(&table_once, fill_table);
    const uint8_t *bytes = data;
    uint32_t crc = ~seed;
    for (; length >= 8; length -= 8, bytes += 8) {
        uint64_t word = load_u64(bytes) ^ crc;
        crc = 0;
        for (int slice = 0; slice < 8; slice++) {
            crc ^= table[7 - slice][(word >> (8 * slice)) & 0xff];
        }
    }
    for (; length > 0; length--, bytes++) {
        crc = (crc >> 8) ^ table[0][(crc ^ *bytes) & 0xff];
    }
    return ~crc;
}

#if defined(__x86_64__)

static bool has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t
update_hardware(uint32_t seed, const uint8_t *bytes, size_t length)
{
    uint64_t crc = (uint32_t)~seed;
    for (; length >= 32; length -= 32, bytes += 32) {
        crc = _mm_crc32_u64(crc, load_u64(bytes));
        crc = _mm_crc32_u64(crc, load_u64(bytes + 8));
        crc = _mm_crc32_u64(crc, load_u64(bytes + 16));
        crc = _mm_crc32_u64(crc, load_u64(bytes + 24));
    }
    for (; length >= 8; length -= 8, bytes += 8) {
        crc = _mm_crc32_u64(crc, load_u64(bytes));
    }
    uint32_t rest = (uint32_t)crc;
    for (; length > 0; length--, bytes++) {
        rest = _mm_crc32_u8(rest, *bytes);
    }
    return ~rest;
}

#elif defined(__aarch64__)

static bool has_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

__attribute__((target("+crc"))) static uint32_t update_hardware(uint32_t seed, const uint8_t *bytes,
                                                                size_t length)
{
    uint32_t crc = ~seed;
    for (; length >= 8; length -= 8, bytes += 8) {
        crc = __crc32cd(crc, load_u64(bytes));
    }
    for (; length > 0; length--, bytes++) {
        crc = __crc32cb(crc, *bytes);
    }
    return ~crc;
}

#else

static bool has_hardware(void)
{
    return false;
}

static uint32_t update_hardware(uint32_t seed, const uint8_t *bytes, size_t length)
{
    return hrt_crc32c_portable(seed, bytes, length);
}

#endif

uint32_t hrt_crc32c_update(uint32_t crc, const void *data, size_t length)
{
    if (HRT_LIKELY(has_hardware())) {
        return update_hardware(crc, data, length);
    }
    return hrt_crc32c_portable(crc, data, length);
}

uint32_t hrt_crc32c(uint32_t seed, const void *data, size_t length)
{
    return hrt_crc32c_update(seed, data, length);
}
