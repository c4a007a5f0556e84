/* Wrong: reads and writes beyond what it is given.  What is sent, or the option set, says where. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

static volatile uint32_t sum;
static uint8_t answer[8];

/* Takes a chain for one piece. */
static errno_t send_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    const uint8_t *bytes = mbuf_data(m);
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)flags;
    for (size_t i = 0; i < mbuf_pkthdr_len(m); i++)
        sum += bytes[i];
    mbuf_freem(m);
    return 0;
}

/* Takes any value for four bytes. */
static errno_t setopt_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                              void *data, size_t size)
{
    uint32_t value;
    (void)unitinfo;
    (void)size;
    if (option == 2) /* more than there is */
        return ctl_enqueuedata(ref, unit, answer, 3 * sizeof answer, CTL_DATA_EOR);
    memcpy(&value, data, sizeof value);
    sum += value;
    return 0;
}

/* Takes any buffer for four bytes. */
static errno_t getopt_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                              void *data, size_t *size)
{
    uint32_t value = 1;
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)option;
    (void)size;
    memcpy(data, &value, sizeof value);
    return 0;
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    fields->ctl_send = send_handler;
    fields->ctl_setopt = setopt_handler;
    fields->ctl_getopt = getopt_handler;
    return tiny_register();
}

KEXT(begin, tiny_deregister)
