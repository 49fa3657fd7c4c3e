/* A worker of one kind: gives the payload back in capitals. */
#include <ctype.h>
#include <hybridrt/hybridrt.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
    char sentence[512];
    hrt_last_error(sentence, sizeof(sentence));
    (void)fprintf(stderr, "%s: %s\n", what, sentence);
    return EXIT_FAILURE;
}

static int shout(hrt_client *client, const hrt_job *job)
{
    char text[HRT_RESULT_MAX];
    uint32_t length = job->payload_length < sizeof(text) ? job->payload_length : sizeof(text);

    hrt_job_started(job); /* from here on a crash of this process counts */
    for (uint32_t i = 0; i < length; i++)
        text[i] = (char)toupper(job->payload[i]);
    const hrt_settlement end = {.job = job->id,
                                .token = job->token,
                                .data = text,
                                .data_length = length,
                                .outcome = HRT_OUTCOME_OK};
    return hrt_settle(client, &end, 1);
}

int main(void)
{
    const hrt_attach_options where = {.struct_size = sizeof(where), .abi_version = HRT_ABI_VERSION};
    const char *kinds[] = {"shout"};
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
        if (status == HRT_OK)
            status = shout(client, &job);
    }
    if (status != HRT_EDRAIN)
        return fail("work");
    hrt_detach(client); /* what is held goes back uncounted */
    return EXIT_SUCCESS;
}
