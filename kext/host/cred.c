/* proc_self* and kauth_*: the client whose call this thread runs. */
#include "cred.h"

#include "include/sys/kauth.h"
#include "include/sys/proc.h"
#include "panic.h"

#include <stdio.h>
#include <string.h>

struct ucred {
    uint32_t uid;
};

static _Thread_local uint32_t current_pid;
static _Thread_local struct ucred current;

void cred_enter(uint32_t pid, uint32_t uid)
{
    current_pid = pid;
    current.uid = uid;
}

void cred_leave(void)
{
    cred_enter(0, 0);
}

int proc_selfpid(void)
{
    return (int)current_pid;
}

void proc_selfname(char *into, int size)
{
    char path[64], name[64] = "kernel_task";
    if (size <= 0)
        return;
    if (current_pid != 0) {
        snprintf(name, sizeof name, "?");
        snprintf(path, sizeof path, "/proc/%u/comm", current_pid);
        FILE *file = fopen(path, "r");
        if (file != NULL) {
            if (fgets(name, sizeof name, file) != NULL)
                name[strcspn(name, "\n")] = '\0';
            fclose(file);
        }
    }
    snprintf(into, (size_t)size, "%s", name);
}

kauth_cred_t kauth_cred_get(void)
{
    return &current;
}

uid_t kauth_cred_getuid(kauth_cred_t credential)
{
    if (credential == NULL)
        panic("kauth_cred_getuid of no credential");
    return credential->uid;
}
