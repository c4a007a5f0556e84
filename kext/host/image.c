/* Loads a kext as a shared object: it gets fresh data at each load, and its code is gone when it
 * was unloaded, so that a late call of a handler has nowhere to go, as in a kernel. */
#include "image.h"

#include "control.h"
#include "include/mach/kmod.h"
#include "lock.h"
#include "panic.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *handle;
static kmod_info_t *info;

int image_is_loaded(void)
{
    return handle != NULL;
}

static void unmap(void)
{
    controls_orphan();
    dlclose(handle);
    handle = NULL;
    info = NULL;
}

int image_load(const char *path)
{
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        fprintf(stderr, "kext-host: %s\n", dlerror());
        return -1;
    }
    info = dlsym(handle, "kmod_info");
    if (info == NULL || info->start == NULL || info->stop == NULL) {
        fprintf(stderr, "kext-host: %s: no kmod_info with start and stop in it: "
                        "the source needs KMOD_EXPLICIT_DECL\n",
                path);
        dlclose(handle);
        handle = NULL;
        return -1;
    }
    int result = info->start(info, NULL);
    if (locks_held() > 0)
        panic("the start function returned holding a lock");
    if (result != KERN_SUCCESS)
        unmap();
    return result;
}

int image_unload(void)
{
    int result = info->stop(info, NULL);
    if (locks_held() > 0)
        panic("the stop function returned holding a lock");
    if (result == KERN_SUCCESS)
        unmap();
    return result;
}

const char *image_result(int result)
{
    static char number[32];
    switch (result) {
    case KERN_SUCCESS:
        return "KERN_SUCCESS";
    case KERN_INVALID_ARGUMENT:
        return "KERN_INVALID_ARGUMENT";
    case KERN_FAILURE:
        return "KERN_FAILURE";
    case KERN_RESOURCE_SHORTAGE:
        return "KERN_RESOURCE_SHORTAGE";
    default:
        snprintf(number, sizeof number, "kern_return_t %d", result);
        return number;
    }
}
