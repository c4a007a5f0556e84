/* Wrong: something lies behind its registration, where the kernel reads on. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static struct {
    struct kern_ctl_reg fields;
    uint64_t counters[4];
} careless = {.counters = {1, 2, 3, 4}};

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    careless.fields = *fields;
    return ctl_register(&careless.fields, &tiny_ref) == 0 ? KERN_SUCCESS : KERN_FAILURE;
}

KEXT(begin, tiny_deregister)
