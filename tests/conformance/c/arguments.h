/*
 * Reads the payloads of the suite: one flat JSON object of short keys, plain strings and whole
 * numbers. Not a JSON parser: the suite's payloads are all it has to understand.
 */
#ifndef CONFORMANCE_ARGUMENTS_H
#define CONFORMANCE_ARGUMENTS_H

#include <hybridrt/hybridrt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 4096 };

typedef struct arguments {
    char text[ARGUMENTS_MAX];
} arguments;

static inline void arguments_read(arguments *self, const hrt_job *job)
{
    (void)snprintf(self->text, sizeof(self->text), "%.*s", (int)job->payload_length,
                   (const char *)job->payload);
}

/* What stands behind "name": or NULL. */
static inline const char *arguments_find(const arguments *self, const char *name)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    const char *found = strstr(self->text, quoted);
    if (found == NULL)
        return NULL;
    found += strlen(quoted);
    return found + strspn(found, ": ");
}

static inline uint64_t arguments_number(const arguments *self, const char *name)
{
    const char *found = arguments_find(self, name);
    return found == NULL ? 0 : strtoull(found, NULL, 10);
}

static inline void arguments_string(const arguments *self, const char *name, char *out, size_t size)
{
    const char *found = arguments_find(self, name);
    out[0] = '\0';
    if (found != NULL && found[0] == '"')
        (void)snprintf(out, size, "%.*s", (int)strcspn(found + 1, "\""), found + 1);
}

#endif
