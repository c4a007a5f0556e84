/* What a small kext for the tests needs: it registers one control, whose handlers take everything.
 *
 * A source defines NAME, includes this, replaces handlers in `handlers_wanted` and ends with KEXT.
 * FLAGS, RECVSIZE and SENDSIZE may be defined too. */
#ifndef TINY_H
#define TINY_H

#include <kern/locks.h>
#include <libkern/libkern.h>
#include <mach/kmod.h>
#include <os/log.h>
#include <sys/errno.h>
#include <sys/kauth.h>
#include <sys/kern_control.h>
#include <sys/kern_event.h>
#include <sys/kpi_mbuf.h>
#include <sys/proc.h>

#ifndef FLAGS
#define FLAGS 0
#endif
#ifndef RECVSIZE
#define RECVSIZE 65536
#endif
#ifndef SENDSIZE
#define SENDSIZE 65536
#endif

static kern_ctl_ref tiny_ref;

static union {
    struct kern_ctl_reg fields;
    char room[256];
} tiny_registration;

static inline errno_t tiny_connect(kern_ctl_ref ref, struct sockaddr_ctl *address, void **unitinfo)
{
    (void)ref;
    (void)address;
    *unitinfo = NULL;
    return 0;
}

static inline errno_t tiny_disconnect(kern_ctl_ref ref, u_int32_t unit, void *unitinfo)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    return 0;
}

static inline errno_t tiny_send(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m,
                                int flags)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)flags;
    mbuf_freem(m);
    return 0;
}

static inline struct kern_ctl_reg *tiny_fields(void)
{
    struct kern_ctl_reg *fields = &tiny_registration.fields;
    bzero(&tiny_registration, sizeof tiny_registration);
    strlcpy(fields->ctl_name, NAME, sizeof fields->ctl_name);
    fields->ctl_flags = FLAGS;
    fields->ctl_sendsize = SENDSIZE;
    fields->ctl_recvsize = RECVSIZE;
    fields->ctl_connect = tiny_connect;
    fields->ctl_disconnect = tiny_disconnect;
    fields->ctl_send = tiny_send;
    return fields;
}

static inline kern_return_t tiny_register(void)
{
    return ctl_register(&tiny_registration.fields, &tiny_ref) == 0 ? KERN_SUCCESS : KERN_FAILURE;
}

static inline kern_return_t tiny_deregister(void)
{
    return ctl_deregister(tiny_ref) == 0 ? KERN_SUCCESS : KERN_FAILURE;
}

/* The start function runs `begin` with the fields filled in, the stop function is `end`. */
#define KEXT(begin, end)                                                       \
    static kern_return_t tiny_start(kmod_info_t *info, void *data)             \
    {                                                                          \
        (void)info;                                                            \
        (void)data;                                                            \
        return begin(tiny_fields());                                           \
    }                                                                          \
    static kern_return_t tiny_stop(kmod_info_t *info, void *data)              \
    {                                                                          \
        (void)info;                                                            \
        (void)data;                                                            \
        return end();                                                          \
    }                                                                          \
    KMOD_EXPLICIT_DECL(org.mklinux.test, "1.0.0", tiny_start, tiny_stop)

#endif
