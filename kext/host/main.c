/* kext-host SERVER_PATH [KEXT]: runs a kext's code inside a served simulated kernel.
 *
 * Loads the kext (kext.so beside this program unless KEXT says otherwise), then obeys the words on
 * standard input and prints a line for each on standard output:
 *
 *     load      loaded | load refused: KERN_FAILURE | not loadable: see standard error
 *     unload    unloaded | unload refused: KERN_FAILURE
 *     stats     stats mbufs=0 mbufs_made=0 locks=1 groups=1 controls=1 calls=0
 *     quit      unloads, and repeats that for two seconds while clients let go; so does the end of
 *               the input
 *
 * What a kext left behind when it went is told by a line "leaked ...", with the fields of stats.
 * The log and whatever the host has to explain go to standard error. */
#include "calls.h"
#include "control.h"
#include "handlers.h"
#include "image.h"
#include "link.h"
#include "lock.h"
#include "mbuf.h"
#include "panic.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_NOT_LOADED = 1, EXIT_USAGE = 2, EXIT_LEAKED = 3 };

static const char *image_path;
static int failed, leaked;

static void say_counts(const char *word)
{
    say("%s mbufs=%lu mbufs_made=%lu locks=%u groups=%u controls=%u calls=%lu", word,
        mbufs_outstanding(), mbufs_made(), locks_outstanding(), lock_groups_outstanding(),
        controls_registered(), handlers_calls());
}

/* The kext is gone: whatever it still owned is lost to the kernel for good. */
static void check_leaks(void)
{
    if (mbufs_outstanding() + locks_outstanding() + lock_groups_outstanding() +
            controls_registered() >
        0) {
        say_counts("leaked");
        leaked = 1;
    }
}

static void load(void)
{
    if (image_is_loaded()) {
        say("already loaded");
        return;
    }
    int result = image_load(image_path);
    if (result == 0) {
        say("loaded");
        return;
    }
    if (result < 0)
        say("not loadable: see standard error");
    else
        say("load refused: %s", image_result(result));
    failed = 1;
    check_leaks();
}

static void unload(void)
{
    if (!image_is_loaded()) {
        say("not loaded");
        return;
    }
    int result = image_unload();
    if (result != 0) {
        say("unload refused: %s", image_result(result));
        return;
    }
    say("unloaded");
    check_leaks();
}

/* A refused unload has asked the clients to let go; those who obey need a moment. */
static void unload_at_last(void)
{
    struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};

    if (image_is_loaded())
        unload();
    for (int attempt = 0; attempt < 40 && image_is_loaded(); attempt++) {
        nanosleep(&moment, NULL);
        if (image_unload() == 0) {
            say("unloaded");
            check_leaks();
        }
    }
}

static void obey_commands(void)
{
    char line[256];
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "load") == 0)
            load();
        else if (strcmp(line, "unload") == 0)
            unload();
        else if (strcmp(line, "stats") == 0)
            say_counts("stats");
        else if (strcmp(line, "quit") == 0)
            return;
        else if (line[0] != '\0')
            say("unknown command: %s (load, unload, stats, quit)", line);
    }
}

static const char *default_image(void)
{
    static char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof "kext.so");
    if (size < 0)
        return "kext.so";
    path[size] = '\0';
    strcpy(strrchr(path, '/') + 1, "kext.so");
    return path;
}

int main(int count, char **arguments)
{
    if (count != 2 && count != 3) {
        fprintf(stderr, "usage: kext-host SERVER_PATH [KEXT]\n");
        return EXIT_USAGE;
    }
    image_path = count == 3 ? arguments[2] : default_image();
    signal(SIGPIPE, SIG_IGN);
    if (link_open(arguments[1]) != 0)
        return EXIT_USAGE;
    calls_start(handlers_call);
    link_start(calls_submit);

    load();
    if (!failed)
        obey_commands();
    unload_at_last();
    if (image_is_loaded()) { /* its clients hold it: a kernel that goes down takes both along */
        say_counts("leaked");
        _exit(EXIT_LEAKED);
    }
    link_close();
    calls_stop();
    mbufs_forget();
    controls_forget();
    return leaked ? EXIT_LEAKED : failed ? EXIT_NOT_LOADED : EXIT_OK;
}
