/* Wrong: its registration is on the stack, with whatever behind it. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    struct kern_ctl_reg registration = *fields;
    return ctl_register(&registration, &tiny_ref) == 0 ? KERN_SUCCESS : KERN_FAILURE;
}

KEXT(begin, tiny_deregister)
