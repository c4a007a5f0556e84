/* Wrong: goes on with a ref after ctl_deregister. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static kern_return_t end(void)
{
    size_t space;
    if (tiny_deregister() != KERN_SUCCESS)
        return KERN_FAILURE;
    return ctl_getenqueuespace(tiny_ref, 1, &space) == 0 ? KERN_FAILURE : KERN_SUCCESS;
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    size_t space;
    (void)fields;
    if (ctl_getenqueuespace(NULL, 1, &space) != EINVAL) /* which NULL is safe from */
        return KERN_FAILURE;
    return tiny_register();
}

KEXT(begin, end)
