/* Wrong: handlers of several clients change the same words without a lock.  (One send waits for
 * another to be in the handler too, so that there is no luck in it.) */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static uint32_t counter;
static uint32_t inside;

static errno_t send_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)flags;
    mbuf_freem(m);
    __atomic_fetch_add(&inside, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&inside, __ATOMIC_RELAXED) < 2)
        ;
    counter++;
    return 0;
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    fields->ctl_send = send_handler;
    return tiny_register();
}

KEXT(begin, tiny_deregister)
