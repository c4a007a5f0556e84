/* What makes an object file a kernel extension: the kmod_info structure and its two functions. */
#ifndef KPI_KMOD_H
#define KPI_KMOD_H

#include "../kpi/base.h"

#define KMOD_MAX_NAME 64
#define KMOD_INFO_VERSION 1
#define KMOD_INFO_NAME kmod_info

struct kmod_info;
typedef kern_return_t kmod_start_func_t(struct kmod_info *info, void *data);
typedef kern_return_t kmod_stop_func_t(struct kmod_info *info, void *data);

#pragma pack(push, 4)
typedef struct kmod_info {
    struct kmod_info *next;
    int32_t info_version;
    uint32_t id;
    char name[KMOD_MAX_NAME];
    char version[KMOD_MAX_NAME];
    int32_t reference_count;
    void *reference_list;
    uintptr_t address;
    size_t size;
    size_t hdr_size;
    kmod_start_func_t *start;
    kmod_stop_func_t *stop;
} kmod_info_t;
#pragma pack(pop)

_Static_assert(sizeof(kmod_info_t) == 196, "kmod_info is 196 bytes");

#ifndef KEXT_HOST

/* On a Mac these two come with the library that every kext is linked to: they call what _realmain
 * and _antimain point to.  Here they need another name: a Linux program has a _start of its own. */
#define _start kext_image_start
#define _stop kext_image_stop

#define __APPLE_CC__ 6000

#define KMOD_EXPLICIT_DECL(bundle, bundle_version, start_function, stop_function) \
    kmod_info_t KMOD_INFO_NAME = {                                                \
        .info_version = KMOD_INFO_VERSION,                                        \
        .id = (uint32_t)-1,                                                      \
        .name = #bundle,                                                          \
        .version = bundle_version,                                                \
        .reference_count = -1,                                                    \
        .start = start_function,                                                  \
        .stop = stop_function,                                                    \
    };

extern kmod_info_t KMOD_INFO_NAME;

#endif
#endif
