/* SHA-256 against the examples of the standard, and both ways of computing it against each other.
 */
#include "sha256.h"
#include "tap.h"

#include <stdlib.h>

#define LENGTH_MAX 400

static void compare(const void *data, size_t length, const char *hex)
{
    uint8_t digest[HRT_SHA256_SIZE];
    uint8_t portable[HRT_SHA256_SIZE];
    char text[2 * HRT_SHA256_SIZE + 1] = {0};
    hrt_sha256(data, length, digest);
    hrt_sha256_portable(data, length, portable);
    for (size_t i = 0; i < HRT_SHA256_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    CHECK(strcmp(text, hex) == 0);
    CHECK(memcmp(digest, portable, sizeof(digest)) == 0);
}

static void the_examples_of_the_standard(void)
{
    compare("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    compare("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    compare("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters(void)
{
    char *letters = malloc(1000000);
    REQUIRE(letters != NULL);
    memset(letters, 'a', 1000000);
    compare(letters, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(letters);
}

static void both_ways_agree_at_every_length(void)
{
    uint8_t data[LENGTH_MAX];
    uint32_t differing = 0;
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t length = 0; length <= sizeof(data); length++) {
        uint8_t digest[HRT_SHA256_SIZE];
        uint8_t portable[HRT_SHA256_SIZE];
        hrt_sha256(data, length, digest);
        hrt_sha256_portable(data, length, portable);
        differing += memcmp(digest, portable, sizeof(digest)) != 0;
    }
    CHECK_EQ(differing, 0);
}

static void two_at_once_are_each_as_alone(void)
{
    uint8_t data[2][LENGTH_MAX];
    uint32_t differing = 0;
    for (size_t i = 0; i < LENGTH_MAX; i++) {
        data[0][i] = (uint8_t)(i * 167 + 13);
        data[1][i] = (uint8_t)(i * 91 + 7);
    }
    for (size_t length = 0; length <= LENGTH_MAX; length++) {
        uint8_t digests[2][HRT_SHA256_SIZE];
        uint8_t alone[2][HRT_SHA256_SIZE];
        hrt_sha256_two(data[0], data[1], length, digests[0], digests[1]);
        hrt_sha256_portable(data[0], length, alone[0]);
        hrt_sha256_portable(data[1], length, alone[1]);
        differing += memcmp(digests, alone, sizeof(digests)) != 0;
    }
    CHECK_EQ(differing, 0);
}

int main(void)
{
    TAP_LIST(TEST(the_examples_of_the_standard), TEST(a_million_letters),
             TEST(both_ways_agree_at_every_length), TEST(two_at_once_are_each_as_alone));
}
