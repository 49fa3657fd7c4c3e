/* SHA-256 (FIPS 180-4), for the leaves and nodes of the proof; with the machine's instructions. */
#ifndef HRT_SHA256_H
#define HRT_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define HRT_SHA256_SIZE 32

void hrt_sha256(const void *data, size_t length, uint8_t digest_out[HRT_SHA256_SIZE]);
/* Of two messages of one length, in little more than the time of one. */
void hrt_sha256_two(const void *left, const void *right, size_t length,
                    uint8_t left_out[HRT_SHA256_SIZE], uint8_t right_out[HRT_SHA256_SIZE]);
/* hrt_sha256 without special instructions, for tests. */
void hrt_sha256_portable(const void *data, size_t length, uint8_t digest_out[HRT_SHA256_SIZE]);

#endif
