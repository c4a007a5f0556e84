/* Wrong: no kernel extension, for want of KMOD_EXPLICIT_DECL. */
#include <mach/kmod.h>

kern_return_t begin(kmod_info_t *info, void *data);

kern_return_t begin(kmod_info_t *info, void *data)
{
    (void)info;
    (void)data;
    return KERN_SUCCESS;
}
