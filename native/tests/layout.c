/*
 * Prints where every field of abi.h lies and what every enum value is, as the compiler sees it.
 * With a file name it checks that file instead and reports in TAP: tests/abi/layout.txt is what
 * Python, Go and Rust compare themselves with, so it has to tell the truth.
 */
#include <hybridrt/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* layout_list.h is generated from abi.h: one call for every struct, field and value. */
static void print_layout(FILE *out)
{
#define STRUCT(type)                                                                 \
    (void)fprintf(out, "struct %s size=%zu align=%zu\n", #type, sizeof(struct type), \
                  _Alignof(struct type));
#define FIELD(type, field)                                                                 \
    (void)fprintf(out, "  %s offset=%zu size=%zu\n", #field, offsetof(struct type, field), \
                  sizeof(((struct type *)NULL)->field));
#define VALUE(type, name) (void)fprintf(out, "enum %s %s=%lld\n", #type, #name, (long long)(name));
#include "layout_list.h"
#undef STRUCT
#undef FIELD
#undef VALUE
}

/* Says which line of the file is the first to differ. */
static bool matches(FILE *file, const char *layout)
{
    char line[256];
    unsigned number = 1;

    while (fgets(line, sizeof(line), file) != NULL) {
        size_t length = strlen(line);
        if (strncmp(line, layout, length) != 0) {
            printf("# line %u: the file says %s# and the header %.*s\n", number, line,
                   (int)strcspn(layout, "\n"), layout);
            return false;
        }
        layout += length;
        number++;
    }
    if (*layout != '\0') {
        printf("# the file ends before %.*s\n", (int)strcspn(layout, "\n"), layout);
    }
    return *layout == '\0';
}

static int check(const char *path)
{
    char *layout = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&layout, &length);
    FILE *file = fopen(path, "re");

    if (memory == NULL || file == NULL) {
        printf("Bail out! %s cannot be read\n", path);
        return 1;
    }
    print_layout(memory);
    (void)fclose(memory);
    bool same = matches(file, layout);
    printf("1..1\n%sok 1 - layout.txt tells what the header says (make layout rewrites it)\n",
           same ? "" : "not ");
    (void)fclose(file);
    free(layout);
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        return check(argv[1]);
    }
    print_layout(stdout);
    return 0;
}
