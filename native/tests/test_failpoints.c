/* The log directory is unharmed by a death at each named place, as often as it is passed. */
#include "log_journey.h"

#include <signal.h>
#include <sys/wait.h>

enum { NAMES_MAX = 64, PASSES_MAX = 2000 };

/* Copies the names out of the list of hrt_failpoints, one a line with its hits. */
static uint32_t list_names(char names[NAMES_MAX][64])
{
    char list[8192];
    REQUIRE(hrt_failpoints(list, sizeof(list)) < sizeof(list));
    uint32_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(list, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        REQUIRE(count < NAMES_MAX);
        REQUIRE(sscanf(line, "%63s", names[count++]) == 1);
    }
    return count;
}

/* True: the process died at pass number `pass` of the place; false: it did not pass so often. */
static bool die_at(fixture *f, promise *promised, const char *name, uint64_t pass)
{
    (void)fflush(stdout);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        REQUIRE(hrt_failpoint(name, "kill", pass) == HRT_OK);
        journey_run(f, promised);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return killed;
}

static uint64_t die_at_each_pass(const char *name, bool anew)
{
    fixture f;
    promise *promised = journey_promise();
    uint64_t pass = 0;
    journey_make(&f);
    while (tap_failures == 0 && die_at(&f, promised, name, pass)) {
        REQUIRE(++pass < PASSES_MAX);
        journey_check(&f, promised);
        if (tap_failures == 0) {
            journey_go_on(&f, promised);
        } else {
            printf("# died at pass %" PRIu64 " of %s\n", pass, name);
        }
        if (anew) {
            scratch_empty(f.directory);
            memset(promised, 0, sizeof(*promised));
        }
    }
    fixture_end(&f);
    (void)munmap(promised, sizeof(*promised));
    return pass;
}

static void die_everywhere(bool anew)
{
    char names[NAMES_MAX][64];
    uint32_t count = list_names(names);
    CHECK(count > 0);
    for (uint32_t i = 0; i < count && tap_failures == 0; i++) {
        uint64_t passes = die_at_each_pass(names[i], anew);
        printf("# %s: %" PRIu64 " passes\n", names[i], passes);
        /* A log that exists makes no first file, but it makes others. */
        CHECK(passes > 0);
    }
}

static void a_new_log_survives_a_death_at_each_failpoint(void)
{
    die_everywhere(true);
}

static void a_log_that_died_before_survives_it_too(void)
{
    die_everywhere(false);
}

int main(void)
{
    TAP_LIST(TEST(a_new_log_survives_a_death_at_each_failpoint),
             TEST(a_log_that_died_before_survives_it_too));
}
