/*
 * A producer that does what it is told, so that one test can look at the errors of every language.
 *
 *   produce-c SOCKET
 *
 * Each line of its input is a batch: kind, queue and key in hexadecimal, bytes of each payload,
 * count, and how long to wait for room in a full queue (ms, 0: not at all), apart by tabs. Each is
 * answered by one line of JSON: the ids, and code and message of the first error or "".
 */
#define _GNU_SOURCE

#include <hybridrt/hybridrt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 6, NAME_MAX_BYTES = 1024, LINE_MAX_BYTES = 8192, BATCH_MAX = 1000 };

static const int64_t answer_limit_ns = 30000000000;

typedef struct text {
    char bytes[NAME_MAX_BYTES];
    size_t length;
} text;

static text from_hex(const char *hex)
{
    text result = {.length = strlen(hex) / 2};
    for (size_t i = 0; i < result.length && i < sizeof(result.bytes); i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        result.bytes[i] = (char)strtoul(digits, NULL, 16);
    }
    return result;
}

static void print_string(const char *string)
{
    (void)putchar('"');
    for (; *string != '\0'; string++) {
        if (*string == '"' || *string == '\\')
            (void)putchar('\\');
        if ((unsigned char)*string < 0x20)
            (void)printf("\\u%04x", (unsigned char)*string);
        else
            (void)putchar(*string);
    }
    (void)putchar('"');
}

static void answer(int status, const int64_t *ids, uint32_t count)
{
    char sentence[512] = "";
    if (status != HRT_OK)
        (void)hrt_last_error(sentence, sizeof(sentence));
    (void)printf("{\"ids\":[");
    for (uint32_t i = 0; i < count; i++)
        (void)printf("%s%lld", i > 0 ? "," : "", (long long)ids[i]);
    (void)printf("],\"code\":");
    print_string(status != HRT_OK ? hrt_status_name(status) : "");
    (void)printf(",\"message\":");
    print_string(sentence);
    (void)printf("}\n");
    (void)fflush(stdout);
}

static void produce(hrt_client *client, char *fields[FIELDS])
{
    static int64_t ids[BATCH_MAX];
    static hrt_spec specs[BATCH_MAX];
    const text kind = from_hex(fields[0]);
    const text queue = from_hex(fields[1]);
    const text key = from_hex(fields[2]);
    const size_t size = strtoul(fields[3], NULL, 10);
    const uint32_t count = (uint32_t)strtoul(fields[4], NULL, 10) % (BATCH_MAX + 1);
    const int64_t block_ms = strtol(fields[5], NULL, 10);
    char *payload = calloc(1, size + 1);
    hrt_spec spec = {.payload = payload,
                     .payload_length = (uint32_t)size,
                     .key = key.length > 0 ? key.bytes : NULL,
                     .key_length = (uint8_t)key.length,
                     .block = block_ms > 0};
    memset(ids, 0, sizeof(ids));
    int status = hrt_kind(client, kind.bytes, kind.length, &spec.kind);
    if (status == HRT_OK)
        status = hrt_queue(client, queue.bytes, queue.length, &spec.queue);
    for (uint32_t i = 0; i < count; i++)
        specs[i] = spec;
    if (status == HRT_OK)
        status = hrt_enqueue_wait(client, specs, count,
                                  block_ms > 0 ? block_ms * 1000000 : answer_limit_ns, ids);
    answer(status, ids, count);
    free(payload);
}

static bool split(char *line, char *fields[FIELDS])
{
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = strsep(&line, "\t");
        if (fields[i] == NULL)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const hrt_attach_options options = {.struct_size = sizeof(options),
                                        .abi_version = HRT_ABI_VERSION,
                                        .address = argc > 1 ? argv[1] : NULL,
                                        .name = "produce-c"};
    static char line[LINE_MAX_BYTES];
    char *fields[FIELDS];
    hrt_client *client = NULL;
    const int status = hrt_attach(&options, &client);
    answer(status, NULL, 0);
    while (status == HRT_OK && fgets(line, sizeof(line), stdin) != NULL)
        if (split(line, fields))
            produce(client, fields);
    hrt_detach(client);
    return status == HRT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
