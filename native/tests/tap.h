/*
 * A test program is a list of functions; each reports one line of TAP to `meson test`.
 *
 *   static void ring_keeps_order(void) { CHECK(1 + 1 == 2); CHECK_EQ(a, b); }
 *   int main(void) { TAP_LIST(TEST(ring_keeps_order), TEST(ring_refuses_when_full)); }
 */
#ifndef HRT_TAP_H
#define HRT_TAP_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int tap_failures;

#define CHECK(condition)                                             \
    do {                                                             \
        if (!(condition)) {                                          \
            tap_failures++;                                          \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition); \
        }                                                            \
    } while (0)

#define CHECK_EQ(left, right)                                                              \
    do {                                                                                   \
        long long tap_left = (long long)(left);                                            \
        long long tap_right = (long long)(right);                                          \
        if (tap_left != tap_right) {                                                       \
            tap_failures++;                                                                \
            printf("# %s:%d: %s is %lld, expected %s = %lld\n", __FILE__, __LINE__, #left, \
                   tap_left, #right, tap_right);                                           \
        }                                                                                  \
    } while (0)

/* For what a test cannot go on without. */
#define REQUIRE(condition)                                                      \
    do {                                                                        \
        if (!(condition)) {                                                     \
            printf("# %s:%d: %s\nBail out!\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* The same of a call into the library, which says in its own words why it failed. */
#define REQUIRE_OK(call)                                                          \
    do {                                                                          \
        int tap_status = (call);                                                  \
        if (tap_status != HRT_OK) {                                               \
            char tap_text[512];                                                   \
            (void)hrt_last_error(tap_text, sizeof(tap_text));                     \
            printf("# %s:%d: %s: %s: %s\nBail out!\n", __FILE__, __LINE__, #call, \
                   hrt_status_name(tap_status), tap_text);                        \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

/* Waits for what another thread or process brings about; gives up after a minute. */
#define AWAIT(condition)                                                                   \
    do {                                                                                   \
        for (uint32_t tap_look = 0; !(condition); tap_look++) {                            \
            if (tap_look == TAP_LOOKS) {                                                   \
                printf("# %s:%d: never: %s\nBail out!\n", __FILE__, __LINE__, #condition); \
                exit(1);                                                                   \
            }                                                                              \
            (void)usleep(TAP_LOOK_US);                                                     \
        }                                                                                  \
    } while (0)

enum { TAP_LOOK_US = 100, TAP_LOOKS = 400000 };

typedef struct tap_test {
    void (*run)(void);
    const char *name;
} tap_test;

static inline int tap_run(const tap_test *tests, int count)
{
    int failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        tap_failures = 0;
        tests[i].run();
        failed += tap_failures > 0;
        printf("%sok %d - %s\n", tap_failures > 0 ? "not " : "", i + 1, tests[i].name);
    }
    return failed > 0;
}

/* TAP_LIST(TEST(a), TEST(b)) inside main. */
#define TEST(function) {function, #function}
#define TAP_LIST(...)                                                               \
    do {                                                                            \
        static const tap_test tap_tests[] = {__VA_ARGS__};                          \
        return tap_run(tap_tests, (int)(sizeof(tap_tests) / sizeof(tap_tests[0]))); \
    } while (0)

#endif
