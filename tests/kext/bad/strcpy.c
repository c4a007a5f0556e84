/* Wrong: calls what is no function of every kernel. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    strcpy(fields->ctl_name, NAME);
    return tiny_register();
}

KEXT(begin, tiny_deregister)
