/*
 * SHA-256: the machine's own instructions where there are some, else as the standard writes it.
 *
 * Made for many short messages in a row, the leaves of a log: a call of a library costs more than
 * hashing one of them.
 */
#include "sha256.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define BLOCK 64
#define LENGTH_AT 56 /* in the last block: the length in bits */
#define ROUNDS 64
#define STEPS 16 /* of four rounds */

typedef void compress_function(uint32_t state[8], const uint8_t *data, size_t blocks);
typedef void compress_two_function(uint32_t states[2][8], const uint8_t *data[2], size_t blocks);

static const uint32_t round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t load_big(const uint8_t *data)
{
    uint32_t value;
    memcpy(&value, data, sizeof(value));
    return __builtin_bswap32(value);
}

static void store_big(uint8_t *data, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(data, &value, sizeof(value));
}

static uint32_t turn(uint32_t value, int bits)
{
    return (value >> bits) | (value << (32 - bits));
}

static void fill_schedule(uint32_t words[ROUNDS], const uint8_t *block)
{
    for (int i = 0; i < 16; i++) {
        words[i] = load_big(block + (size_t)4 * (size_t)i);
    }
    for (int i = 16; i < ROUNDS; i++) {
        uint32_t near = words[i - 2];
        uint32_t far = words[i - 15];
        words[i] = words[i - 16] + (turn(far, 7) ^ turn(far, 18) ^ (far >> 3)) + words[i - 7] +
                   (turn(near, 17) ^ turn(near, 19) ^ (near >> 10));
    }
}

static void compress_portable(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += BLOCK) {
        uint32_t words[ROUNDS];
        uint32_t v[8];
        fill_schedule(words, data);
        memcpy(v, state, sizeof(v));
        for (int i = 0; i < ROUNDS; i++) {
            uint32_t sum1 = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25);
            uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
            uint32_t first = v[7] + sum1 + choice + round_constants[i] + words[i];
            uint32_t sum0 = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22);
            uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            memmove(v + 1, v, 7 * sizeof(v[0]));
            v[4] += first;
            v[0] = first + sum0 + majority;
        }
        for (int i = 0; i < 8; i++) {
            state[i] += v[i];
        }
    }
}

static void compress_two_portable(uint32_t states[2][8], const uint8_t *data[2], size_t blocks)
{
    compress_portable(states[0], data[0], blocks);
    compress_portable(states[1], data[1], blocks);
}

#if defined(__x86_64__)

static bool has_hardware(void)
{
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0 &&
           __builtin_cpu_supports("sse4.1");
}

#define INSTRUCTIONS __attribute__((target("sha,sse4.1")))
#define INLINE_INSTRUCTIONS static inline __attribute__((target("sha,sse4.1"), always_inline))

/* One message on its way: the instructions want the state as two vectors. */
typedef struct stream {
    __m128i abef;
    __m128i cdgh;
    __m128i words[4];
} stream;

INLINE_INSTRUCTIONS void begin(stream *one, const uint32_t state[8])
{
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);
    __m128i high =
        _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b);
    one->abef = _mm_alignr_epi8(low, high, 8);
    one->cdgh = _mm_blend_epi16(high, low, 0xf0);
}

INLINE_INSTRUCTIONS void end(const stream *one, uint32_t state[8])
{
    __m128i low = _mm_shuffle_epi32(one->abef, 0x1b);
    __m128i high = _mm_shuffle_epi32(one->cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

/* Rounds 4 * step to 4 * step + 3 of a block. */
INLINE_INSTRUCTIONS void four_rounds(stream *one, const uint8_t *block, int step)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i *word = &one->words[step % 4];
    if (step < 4) {
        const void *place = block + (size_t)16 * (size_t)step;
        *word = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)place), big_endian);
    } else {
        __m128i last = one->words[(step + 3) % 4];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*word, one->words[(step + 1) % 4]),
                                    _mm_alignr_epi8(last, one->words[(step + 2) % 4], 4));
        *word = _mm_sha256msg2_epu32(sum, last);
    }
    const void *constants = round_constants + (size_t)4 * (size_t)step;
    __m128i input = _mm_add_epi32(*word, _mm_loadu_si128((const __m128i *)constants));
    one->cdgh = _mm_sha256rnds2_epu32(one->cdgh, one->abef, input);
    one->abef = _mm_sha256rnds2_epu32(one->abef, one->cdgh, _mm_shuffle_epi32(input, 0x0e));
}

INLINE_INSTRUCTIONS void add(stream *one, __m128i abef, __m128i cdgh)
{
    one->abef = _mm_add_epi32(one->abef, abef);
    one->cdgh = _mm_add_epi32(one->cdgh, cdgh);
}

INSTRUCTIONS static void compress_hardware(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    stream one;
    begin(&one, state);
    for (; blocks > 0; blocks--, data += BLOCK) {
        __m128i abef = one.abef;
        __m128i cdgh = one.cdgh;
#pragma GCC unroll 16
        for (int step = 0; step < STEPS; step++) {
            four_rounds(&one, data, step);
        }
        add(&one, abef, cdgh);
    }
    end(&one, state);
}

/* Each round waits for the one before it: a second message is done in the time of that. */
INSTRUCTIONS static void compress_two_hardware(uint32_t states[2][8], const uint8_t *data[2],
                                               size_t blocks)
{
    stream left;
    stream right;
    begin(&left, states[0]);
    begin(&right, states[1]);
    for (size_t at = 0; at < blocks * BLOCK; at += BLOCK) {
        stream left_before = left;
        stream right_before = right;
#pragma GCC unroll 16
        for (int step = 0; step < STEPS; step++) {
            four_rounds(&left, data[0] + at, step);
            four_rounds(&right, data[1] + at, step);
        }
        add(&left, left_before.abef, left_before.cdgh);
        add(&right, right_before.abef, right_before.cdgh);
    }
    end(&left, states[0]);
    end(&right, states[1]);
}

#endif

/* Written once, under pthread_once: to ask the processor takes longer than to hash a leaf. */
static compress_function *best_compress = compress_portable;
static compress_two_function *best_compress_two = compress_two_portable;
static pthread_once_t best_once = PTHREAD_ONCE_INIT;

static void choose(void)
{
#if defined(__x86_64__)
    if (has_hardware()) {
        best_compress = compress_hardware;
        best_compress_two = compress_two_hardware;
    }
#endif
}

static const uint32_t initial_state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* The last bytes of a message with its end and its length; returns the blocks that they take. */
static size_t fill_tail(uint8_t tail[2 * BLOCK], const uint8_t *data, size_t length)
{
    size_t rest = length % BLOCK;
    size_t blocks = rest < LENGTH_AT ? 1 : 2;
    memset(tail, 0, 2 * (size_t)BLOCK);
    memcpy(tail, data + (length - rest), rest);
    tail[rest] = 0x80;
    uint64_t bits = (uint64_t)length * 8;
    uint8_t *end_of_tail = tail + (blocks - 1) * BLOCK + LENGTH_AT;
    store_big(end_of_tail, (uint32_t)(bits >> 32));
    store_big(end_of_tail + 4, (uint32_t)bits);
    return blocks;
}

static void store_digest(const uint32_t state[8], uint8_t *out)
{
    for (size_t i = 0; i < 8; i++) {
        store_big(out + 4 * i, state[i]);
    }
}

static void digest(compress_function *compress, const void *data, size_t length, uint8_t *out)
{
    uint32_t state[8];
    uint8_t tail[2 * BLOCK];
    memcpy(state, initial_state, sizeof(state));
    compress(state, data, length / BLOCK);
    compress(state, tail, fill_tail(tail, data, length));
    store_digest(state, out);
}

void hrt_sha256_portable(const void *data, size_t length, uint8_t digest_out[HRT_SHA256_SIZE])
{
    digest(compress_portable, data, length, digest_out);
}

void hrt_sha256(const void *data, size_t length, uint8_t digest_out[HRT_SHA256_SIZE])
{
    (void)pthread_once(&best_once, choose);
    digest(best_compress, data, length, digest_out);
}

void hrt_sha256_two(const void *left, const void *right, size_t length,
                    uint8_t left_out[HRT_SHA256_SIZE], uint8_t right_out[HRT_SHA256_SIZE])
{
    (void)pthread_once(&best_once, choose);
    uint32_t states[2][8];
    uint8_t tails[2][2 * BLOCK];
    memcpy(states[0], initial_state, sizeof(states[0]));
    memcpy(states[1], initial_state, sizeof(states[1]));
    size_t blocks = fill_tail(tails[0], left, length);
    (void)fill_tail(tails[1], right, length);
    best_compress_two(states, (const uint8_t *[2]){left, right}, length / BLOCK);
    best_compress_two(states, (const uint8_t *[2]){tails[0], tails[1]}, blocks);
    store_digest(states[0], left_out);
    store_digest(states[1], right_out);
}
