/*
 * The C worker of the conformance suite. Its kinds do what the suite's scenarios ask of a worker,
 * and are the same in every language.
 *
 *   conformance-c [--concurrency N]
 */
#include "arguments.h"
#include "worker.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MILLISECOND_NS = 1000000, SLICE_MS = 5 };

/* ---- ends ---- */

static void say(worker_run *run, uint8_t outcome, const char *text)
{
    run->outcome = outcome;
    run->length = (uint32_t)strlen(text);
    memcpy(run->data, text, run->length);
}

static void say_payload(worker_run *run, uint8_t outcome)
{
    run->outcome = outcome;
    run->length = run->job->payload_length;
    memcpy(run->data, run->job->payload, run->length);
}

static void say_attempt(worker_run *run)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", run->job->attempt);
    say(run, HRT_OUTCOME_OK, number);
}

static void check(worker_run *run, int status)
{
    if (status != HRT_OK)
        say(run, HRT_OUTCOME_RETRY, hrt_strerror(status));
}

/* ---- tools ---- */

static void pause_ms(uint64_t duration_ms)
{
    struct timespec time = {.tv_sec = (time_t)(duration_ms / 1000),
                            .tv_nsec = (long)(duration_ms % 1000) * MILLISECOND_NS};
    while (nanosleep(&time, &time) != 0) {
    }
}

static void append(const char *path, const char *text)
{
    int file = open(path, O_APPEND | O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        perror(path);
    if (file >= 0)
        (void)close(file);
}

/* ---- kinds ---- */

static void echo(worker_run *run)
{
    say_payload(run, HRT_OUTCOME_OK);
}

static void fail(worker_run *run)
{
    say_payload(run, HRT_OUTCOME_RETRY);
}

static void fail_until(worker_run *run)
{
    arguments args;
    arguments_read(&args, run->job);
    if (run->job->attempt < arguments_number(&args, "n")) {
        run->delay_ns = MILLISECOND_NS;
        say(run, HRT_OUTCOME_RETRY, "not yet");
    } else {
        say_attempt(run);
    }
}

static void dead(worker_run *run)
{
    say_payload(run, HRT_OUTCOME_DEAD);
}

static void discard(worker_run *run)
{
    say_payload(run, HRT_OUTCOME_DISCARD);
}

/* Counts its runs in a file, one byte for each, because a snooze leaves no other trace. */
static void snooze(worker_run *run)
{
    arguments args;
    char path[1024];
    struct stat file = {0};

    arguments_read(&args, run->job);
    arguments_string(&args, "path", path, sizeof(path));
    append(path, ".");
    (void)stat(path, &file);
    if ((uint64_t)file.st_size <= arguments_number(&args, "n")) {
        run->outcome = HRT_OUTCOME_SNOOZE;
        run->delay_ns = arguments_number(&args, "ms") * MILLISECOND_NS;
    } else {
        say_attempt(run);
    }
}

/* C has no panic; an error with the text is what the library would report for one. */
static void panic(worker_run *run)
{
    say_payload(run, HRT_OUTCOME_RETRY);
}

static void sleep_kind(worker_run *run)
{
    arguments args;
    arguments_read(&args, run->job);
    const uint64_t duration_ms = arguments_number(&args, "ms");
    for (uint64_t past_ms = 0; past_ms < duration_ms; past_ms += SLICE_MS) {
        if (atomic_load(run->cancelled)) {
            say(run, HRT_OUTCOME_RETRY, "cancelled");
            return;
        }
        pause_ms(SLICE_MS);
    }
}

static void ignore(worker_run *run)
{
    arguments args;
    arguments_read(&args, run->job);
    pause_ms(arguments_number(&args, "ms"));
}

/* The follow-up's payload lies behind the place of the result, which stays empty. */
static void follow(worker_run *run)
{
    arguments args;
    char kind[64];
    char queue[64];
    hrt_spec spec = {.payload = run->data};

    arguments_read(&args, run->job);
    arguments_string(&args, "kind", kind, sizeof(kind));
    arguments_string(&args, "queue", queue, sizeof(queue));
    arguments_string(&args, "payload", (char *)run->data, ARGUMENTS_MAX);
    spec.payload_length = (uint32_t)strlen((char *)run->data);
    int status = hrt_kind(run->client, kind, strlen(kind), &spec.kind);
    if (status == HRT_OK)
        status = hrt_queue(run->client, queue, strlen(queue), &spec.queue);
    for (uint64_t count = arguments_number(&args, "count");
         status == HRT_OK && run->follow_count < count && run->follow_count < WORKER_FOLLOW_MAX;)
        run->follow[run->follow_count++] = spec;
    check(run, status);
}

static void follow_fail(worker_run *run)
{
    follow(run);
    say(run, HRT_OUTCOME_RETRY, "failed after its follow-ups");
}

static void crash(worker_run *run)
{
    (void)run;
    (void)kill(getpid(), SIGKILL);
}

static void append_kind(worker_run *run)
{
    arguments args;
    char path[1024];
    char line[ARGUMENTS_MAX];

    arguments_read(&args, run->job);
    arguments_string(&args, "path", path, sizeof(path));
    arguments_string(&args, "text", line, sizeof(line) - 1);
    (void)strcat(line, "\n");
    append(path, line);
}

static void extend(worker_run *run)
{
    arguments args;
    arguments_read(&args, run->job);
    const uint64_t duration_ms = arguments_number(&args, "ms");
    check(run,
          hrt_extend(run->client, run->job->id, run->job->token, 2 * duration_ms * MILLISECOND_NS));
    pause_ms(duration_ms);
}

static void progress(worker_run *run)
{
    check(run, hrt_progress(run->client, run->job->id, run->job->token, 500, "half", 4));
}

static void encode_base64(const uint8_t *bytes, uint32_t length, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t i = 0; i < length; i += 3) {
        uint32_t bits = 0;
        for (uint32_t j = 0; j < 3; j++)
            bits = bits << 8 | (i + j < length ? bytes[i + j] : 0u);
        for (uint32_t j = 0; j < 4; j++)
            *out++ = i + j <= length ? digits[bits >> (18 - 6 * j) & 63] : '=';
    }
    *out = '\0';
}

static void info(worker_run *run)
{
    const hrt_job *job = run->job;
    char meta[2 * HRT_META_MAX];

    encode_base64(job->meta, job->meta_length, meta);
    run->length = (uint32_t)snprintf(
        (char *)run->data, WORKER_DATA_MAX,
        "{\"id\":%" PRIu64 ",\"token\":%" PRIu64 ",\"attempt\":%u,\"max_attempts\":%u,"
        "\"key\":\"%.*s\",\"meta\":\"%s\",\"kind\":\"%s\",\"queue\":\"%s\",\"deadline\":%s}",
        job->id, job->token, job->attempt, job->max_attempts, job->key_length,
        (const char *)job->key, meta, hrt_kind_name(run->client, job->kind),
        hrt_queue_name(run->client, job->queue), job->deadline_ns != 0 ? "true" : "false");
}

static void large(worker_run *run)
{
    arguments args;
    arguments_read(&args, run->job);
    const uint64_t length = arguments_number(&args, "bytes");
    if (length > HRT_RESULT_MAX) {
        check(run, HRT_ETOOLARGE);
        return;
    }
    run->length = (uint32_t)length;
    memset(run->data, 'x', run->length);
}

/* ---- what the next attempt is left with ---- */

static void save(worker_run *run, const char *text)
{
    check(run, hrt_save(run->client, run->job->id, run->job->token, text, strlen(text)));
}

/* Gives what an earlier attempt saved as the result. False: there is nothing. */
static bool say_saved(worker_run *run)
{
    run->length = run->job->saved_length;
    if (run->length > 0)
        memcpy(run->data, run->job->saved, run->length);
    return run->length > 0;
}

static void save_retry(worker_run *run)
{
    arguments args;
    char text[32];

    arguments_read(&args, run->job);
    if (run->job->attempt >= arguments_number(&args, "n")) {
        (void)say_saved(run);
        return;
    }
    (void)snprintf(text, sizeof(text), "attempt %u", run->job->attempt);
    save(run, "not the last one");
    save(run, text);
    run->delay_ns = MILLISECOND_NS;
    say(run, HRT_OUTCOME_RETRY, "not yet");
}

static void save_crash(worker_run *run)
{
    if (say_saved(run))
        return;
    save(run, "before the crash");
    crash(run);
}

/* Says that it has begun, and hands its job back once the worker drains. */
static void save_drain(worker_run *run)
{
    arguments args;
    char path[1024];

    if (say_saved(run))
        return;
    arguments_read(&args, run->job);
    arguments_string(&args, "path", path, sizeof(path));
    append(path, ".");
    while (!worker_drains(run)) {
        if (atomic_load(run->cancelled)) {
            say(run, HRT_OUTCOME_DEAD, "cancelled");
            return;
        }
        pause_ms(SLICE_MS);
    }
    save(run, "half way");
    run->outcome = HRT_OUTCOME_RETURNED;
}

static void save_large(worker_run *run)
{
    static uint8_t zeros[HRT_SAVED_MAX + 1];
    arguments args;

    arguments_read(&args, run->job);
    int status = hrt_save(run->client, run->job->id, run->job->token, zeros,
                          arguments_number(&args, "bytes"));
    if (status == HRT_ETOOLARGE)
        say(run, HRT_OUTCOME_OK, "too large");
    else if (status == HRT_OK)
        say(run, HRT_OUTCOME_OK, "saved");
    else
        check(run, status);
}

static const worker_kind kinds[] = {
    {"conf.append", append_kind},
    {"conf.crash", crash},
    {"conf.dead", dead},
    {"conf.discard", discard},
    {"conf.echo", echo},
    {"conf.extend", extend},
    {"conf.fail", fail},
    {"conf.fail_until", fail_until},
    {"conf.follow", follow},
    {"conf.follow_fail", follow_fail},
    {"conf.ignore", ignore},
    {"conf.info", info},
    {"conf.large", large},
    {"conf.panic", panic},
    {"conf.progress", progress},
    {"conf.save_crash", save_crash},
    {"conf.save_drain", save_drain},
    {"conf.save_large", save_large},
    {"conf.save_retry", save_retry},
    {"conf.sleep", sleep_kind},
    {"conf.snooze", snooze},
};

int main(int argc, char **argv)
{
    uint32_t concurrency = 1;
    if (argc == 3 && strcmp(argv[1], "--concurrency") == 0)
        concurrency = (uint32_t)strtoul(argv[2], NULL, 10);
    return worker_main(kinds, sizeof(kinds) / sizeof(kinds[0]), concurrency);
}
