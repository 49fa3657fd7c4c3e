/*
 * Requests to cancel running jobs, as the log holds them. Only the runtime's memory knows that a
 * worker was asked to stop; so that an answered request holds under the next runtime too, it is
 * noted in the log. The state knows nothing of it: the note is for who goes on.
 */
#include "dispatch.h"

#include "grow.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB "{\"cancel\":"
#define TOKEN ",\"token\":"

enum { TEXT_SIZE = 80, CAPACITY_MIN = 64 };

static uint32_t print(hrt_stop stop, char text_out[TEXT_SIZE])
{
    return (uint32_t)snprintf(text_out, TEXT_SIZE, JOB "%llu" TOKEN "%llu}",
                              (unsigned long long)stop.job, (unsigned long long)stop.token);
}

int hrt_stops_write(hrt_runtime *runtime, const hrt_attempt *attempt)
{
    char text[TEXT_SIZE];
    uint32_t length = print((hrt_stop){attempt->job, attempt->token}, text);
    int status = hrt_group_control(runtime, HRT_CONTROL_NOTE, 0, text, length, HRT_LOG_OLD_WORK);
    return status == HRT_ELOGFULL ? HRT_OK : status; /* the worker is asked all the same */
}

/* False: it is a note of something else. */
static bool parse(const hrt_record *record, hrt_stop *stop_out)
{
    const hrt_control_body *body = hrt_record_body(record);
    char text[TEXT_SIZE] = {0};
    char same[TEXT_SIZE];
    char *end = NULL;
    if (body->verb != HRT_CONTROL_NOTE || body->data_length >= sizeof(text)) {
        return false;
    }
    memcpy(text, body + 1, body->data_length);
    if (strncmp(text, JOB, strlen(JOB)) != 0) {
        return false;
    }
    stop_out->job = strtoull(text + strlen(JOB), &end, 10);
    if (strncmp(end, TOKEN, strlen(TOKEN)) != 0) {
        return false;
    }
    stop_out->token = strtoull(end + strlen(TOKEN), NULL, 10);
    return print(*stop_out, same) == body->data_length && strcmp(same, text) == 0;
}

/* Leaves those out whose attempt has ended. */
static void prune(hrt_stops *stops, const hrt_state *state)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stops->count; i++) {
        const hrt_state_job *job = hrt_state_find(state, stops->all[i].job);
        if (job != NULL && job->token == stops->all[i].token) {
            stops->all[kept++] = stops->all[i];
        }
    }
    stops->count = kept;
}

/* Half of it stays free, or each new one would look through all of them. */
static bool make_room(hrt_stops *stops, const hrt_state *state)
{
    prune(stops, state);
    return hrt_grow(&stops->all, &stops->capacity, (uint64_t)stops->count * 2 + 1, CAPACITY_MIN,
                    sizeof(*stops->all));
}

int hrt_stops_read(hrt_stops *stops, const hrt_record *record, const hrt_state *state)
{
    hrt_stop stop = {0};
    if (!parse(record, &stop)) {
        return HRT_OK;
    }
    if (stops->count == stops->capacity && !make_room(stops, state)) {
        return HRT_ENOMEM;
    }
    stops->all[stops->count++] = stop;
    return HRT_OK;
}

bool hrt_stops_has(const hrt_stops *stops, uint64_t job, uint64_t token)
{
    for (uint32_t i = 0; i < stops->count; i++) {
        if (stops->all[i].job == job && stops->all[i].token == token) {
            return true;
        }
    }
    return false;
}

void hrt_stops_free(hrt_stops *stops)
{
    free(stops->all);
    *stops = (hrt_stops){0};
}
