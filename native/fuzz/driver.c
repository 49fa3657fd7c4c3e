/*
 * Runs a fuzz target without a fuzzer: on files, or on seeded random bytes and mutations.
 *
 *   driver FILE...            each file once
 *   driver -n COUNT -s SEED   COUNT inputs made from SEED; the same ones every time
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 8192u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t value = *state;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

/* Mostly small values: lengths and counts that are nearly right find more than noise. */
static void mutate(uint8_t *input, size_t size, uint64_t *state)
{
    for (uint64_t left = 1 + next_random(state) % 16; left > 0 && size > 0; left--) {
        uint64_t place = next_random(state) % size;
        uint64_t value = next_random(state);
        input[place] = (uint8_t)(value & 1 ? value >> 8 : (value >> 8) % 12);
    }
}

static void run_random(uint64_t count, uint64_t seed)
{
    uint8_t *input = calloc(1, INPUT_MAX);
    if (input == NULL) {
        exit(1);
    }
    for (uint64_t i = 0; i < count; i++) {
        size_t size = next_random(&seed) % INPUT_MAX;
        if (i % 64 == 0) {
            memset(input, 0, INPUT_MAX);
        }
        mutate(input, size, &seed);
        uint8_t *copy = malloc(size + 1); /* of its own, so that a sanitizer sees its end */
        if (copy == NULL) {
            exit(1);
        }
        memcpy(copy, input, size);
        (void)LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    free(input);
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *input = malloc(1 << 20);
    if (file == NULL || input == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(input, 1, 1 << 20, file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 5 && strcmp(arguments[1], "-n") == 0 && strcmp(arguments[3], "-s") == 0) {
        run_random(strtoull(arguments[2], NULL, 10), strtoull(arguments[4], NULL, 10));
        return 0;
    }
    int failures = 0;
    for (int i = 1; i < count; i++) {
        failures += run_file(arguments[i]);
    }
    return failures > 0;
}
