/* The calling thread's last error sentence. */
#include "error.h"

#include <hybridrt/hybridrt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[512];

#undef hrt_fail
int hrt_fail(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    return status;
}

size_t hrt_last_error(char *buffer, size_t size)
{
    size_t length = strlen(sentence);
    if (size > 0) {
        size_t copied = length < size - 1 ? length : size - 1;
        memcpy(buffer, sentence, copied);
        buffer[copied] = '\0';
    }
    return length;
}
