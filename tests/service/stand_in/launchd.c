/* Stands in for launchd's half of socket activation: hands out descriptors that the test opened.
 *
 *   LAUNCHD_STAND_IN="Api=5,6;Other=7"   descriptors by name; without it we are no job of launchd's
 *   LAUNCHD_STAND_IN_ERROR=ERRNO         refuse every call with this number
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MOST 16

static char taken[MOST][64];
static int taken_count;

static int was_taken(const char *name)
{
    for (int i = 0; i < taken_count; i++)
        if (strcmp(taken[i], name) == 0)
            return 1;
    return 0;
}

int launch_activate_socket(const char *name, int **fds, size_t *count)
{
    const char *refusal = getenv("LAUNCHD_STAND_IN_ERROR");
    if (refusal != NULL)
        return atoi(refusal);
    const char *table = getenv("LAUNCHD_STAND_IN");
    if (table == NULL)
        return ESRCH;
    size_t length = strlen(name);
    for (const char *entry = table; entry != NULL; entry = strchr(entry, ';')) {
        if (*entry == ';')
            entry++;
        if (strncmp(entry, name, length) != 0 || entry[length] != '=')
            continue;
        if (was_taken(name))
            return EALREADY;
        if (taken_count < MOST && length < sizeof taken[0])
            strcpy(taken[taken_count++], name);
        *fds = calloc(MOST, sizeof **fds);
        *count = 0;
        const char *number = entry + length + 1;
        while (*number != '\0' && *number != ';' && *count < MOST) {
            char *end;
            (*fds)[(*count)++] = (int)strtol(number, &end, 10);
            number = *end == ',' ? end + 1 : end;
        }
        return 0;
    }
    return ENOENT;
}
