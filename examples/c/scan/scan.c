/* A worker for jobs that take long: what it saves survives it. */
#include <hybridrt/hybridrt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGES = 300 };

static int fail(const char *what)
{
    char sentence[512];
    hrt_last_error(sentence, sizeof(sentence));
    (void)fprintf(stderr, "%s: %s\n", what, sentence);
    return EXIT_FAILURE;
}

static int end(hrt_client *client, const hrt_job *job, uint8_t outcome)
{
    const hrt_settlement settlement = {.job = job->id, .token = job->token, .outcome = outcome};
    return hrt_settle(client, &settlement, 1);
}

static void scan_page(const hrt_job *job, unsigned long page)
{
    (void)printf("%.*s, page %lu\n", (int)job->payload_length, (const char *)job->payload, page);
    (void)fflush(stdout);
    (void)sleep(1);
}

static int scan(hrt_client *client, const hrt_job *job)
{
    char text[16] = ""; /* as text: another one may be at work in another language */
    if (job->saved_length > 0 && job->saved_length < sizeof(text))
        memcpy(text, job->saved, job->saved_length);
    unsigned long page = strtoul(text, NULL, 10);
    while (page < PAGES) {
        if (hrt_draining(client))
            return end(client, job, HRT_OUTCOME_RETURNED); /* hands the job back */
        scan_page(job, page);
        page++;
        const int length = snprintf(text, sizeof(text), "%lu", page);
        const int status = hrt_save(client, job->id, job->token, text, (size_t)length);
        if (status != HRT_OK)
            return status;
    }
    return end(client, job, HRT_OUTCOME_OK);
}

int main(void)
{
    const hrt_attach_options where = {.struct_size = sizeof(where), .abi_version = HRT_ABI_VERSION};
    const char *kinds[] = {"book.scan"};
    const hrt_register_options what = {
        .kinds = kinds, .kind_count = 1, .language = "c", .concurrency = 1};
    hrt_client *client = NULL;
    hrt_job job;
    uint32_t count = 0;

    if (hrt_attach(&where, &client) != HRT_OK)
        return fail("attach");
    int status = hrt_register(client, &what);
    while (status == HRT_OK || status == HRT_EAGAIN) {
        status = hrt_fetch(client, &job, 1, -1, &count);
        if (status == HRT_OK) {
            hrt_job_started(&job);
            status = scan(client, &job);
        }
    }
    if (status != HRT_EDRAIN)
        return fail("work");
    hrt_detach(client);
    return EXIT_SUCCESS;
}
