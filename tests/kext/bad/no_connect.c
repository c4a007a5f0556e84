/* Wrong: a control without a connect handler is none; and what was made is not undone. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    lck_grp_alloc_init(NAME, LCK_GRP_ATTR_NULL);
    fields->ctl_connect = NULL;
    if (ctl_register(NULL, &tiny_ref) != EINVAL || ctl_register(fields, &tiny_ref) != EINVAL)
        return KERN_SUCCESS;
    return KERN_FAILURE;
}

KEXT(begin, tiny_deregister)
