/* The calling thread's last error sentence. */
#ifndef HRT_ERROR_H
#define HRT_ERROR_H

/* Remembers a sentence for hrt_last_error and returns `status`, so callers write `return
 * hrt_fail(...)`. */
int hrt_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
