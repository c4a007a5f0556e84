/* Wrong: goes without deregistering its control. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    (void)fields;
    return tiny_register();
}

static kern_return_t end(void)
{
    return KERN_SUCCESS;
}

KEXT(begin, end)
