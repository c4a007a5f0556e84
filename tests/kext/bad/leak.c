/* Wrong: its send handler does not free what it is given. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static errno_t send_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)flags;
    return mbuf_pkthdr_len(m) == 0 ? EINVAL : 0;
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    fields->ctl_send = send_handler;
    return tiny_register();
}

KEXT(begin, tiny_deregister)
