/* Linked into each kext, as libkmod is on a Mac: _start and _stop run what _realmain and _antimain
 * point to, where a source has those. */
#include <mach/kmod.h>

extern kmod_start_func_t *_realmain __attribute__((weak, visibility("hidden")));
extern kmod_stop_func_t *_antimain __attribute__((weak, visibility("hidden")));

kern_return_t _start(kmod_info_t *info, void *data);
kern_return_t _stop(kmod_info_t *info, void *data);

kern_return_t _start(kmod_info_t *info, void *data)
{
    return &_realmain != NULL && _realmain != NULL ? _realmain(info, data) : KERN_SUCCESS;
}

kern_return_t _stop(kmod_info_t *info, void *data)
{
    return &_antimain != NULL && _antimain != NULL ? _antimain(info, data) : KERN_SUCCESS;
}
