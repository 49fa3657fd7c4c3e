/* The calling thread's last error sentence. */
#ifndef HRT_ERROR_H
#define HRT_ERROR_H

/* Remembers a sentence for hrt_last_error and returns `status`, so callers write `return
 * hrt_fail(...)`. */
int hrt_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: this tells it that what comes back is what went in. */
#define hrt_fail(status, ...) ((void)hrt_fail(status, __VA_ARGS__), (status))
#endif

#endif
