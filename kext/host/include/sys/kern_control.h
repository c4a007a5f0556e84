/* Kernel controls: what a kext registers, the functions it gives, the calls it makes. */
#ifndef KPI_KERN_CONTROL_H
#define KPI_KERN_CONTROL_H

#include "../kpi/base.h"
#include "kpi_mbuf.h"

#define MAX_KCTL_NAME 96

#define KEV_CTL_SUBCLASS 2
#define KEV_CTL_REGISTERED 1
#define KEV_CTL_DEREGISTERED 2

/* ctl_flags */
#define CTL_FLAG_PRIVILEGED 0x1      /* only euid 0 connects */
#define CTL_FLAG_REG_ID_UNIT 0x2     /* ctl_id and ctl_unit are the kext's choice */
#define CTL_FLAG_REG_SOCK_STREAM 0x4 /* for SOCK_STREAM sockets */

/* flags of ctl_enqueue* */
#define CTL_DATA_NOWAKEUP 0x1
#define CTL_DATA_EOR 0x2 /* a record ends here */

struct sockaddr_ctl {
    u_char sc_len;
    u_char sc_family;
    u_int16_t ss_sysaddr;
    u_int32_t sc_id;
    u_int32_t sc_unit;
    u_int32_t sc_reserved[5];
};

typedef void *kern_ctl_ref;

typedef errno_t (*ctl_connect_func)(kern_ctl_ref ref, struct sockaddr_ctl *address,
                                    void **unitinfo);
typedef errno_t (*ctl_disconnect_func)(kern_ctl_ref ref, u_int32_t unit, void *unitinfo);
typedef errno_t (*ctl_send_func)(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m,
                                 int flags);
typedef errno_t (*ctl_setopt_func)(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                                   void *data, size_t size);
typedef errno_t (*ctl_getopt_func)(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                                   void *data, size_t *size);

/* What kexts may use of it.  The kernel's own structure goes on for 32 bytes: see control.c. */
struct kern_ctl_reg {
    char ctl_name[MAX_KCTL_NAME];
    u_int32_t ctl_id;
    u_int32_t ctl_unit;
    u_int32_t ctl_flags;
    u_int32_t ctl_sendsize;
    u_int32_t ctl_recvsize;
    ctl_connect_func ctl_connect;
    ctl_disconnect_func ctl_disconnect;
    ctl_send_func ctl_send;
    ctl_setopt_func ctl_setopt;
    ctl_getopt_func ctl_getopt;
};

_Static_assert(sizeof(struct sockaddr_ctl) == 32, "sockaddr_ctl is 32 bytes");
_Static_assert(offsetof(struct sockaddr_ctl, sc_unit) == 8, "sc_unit stands at 8");
_Static_assert(sizeof(struct kern_ctl_reg) == 160, "kern_ctl_reg is 160 bytes");
_Static_assert(offsetof(struct kern_ctl_reg, ctl_connect) == 120, "the handlers begin at 120");

/* Each returns a Darwin errno or 0; a stale ref is a panic. */
errno_t ctl_register(struct kern_ctl_reg *registration, kern_ctl_ref *ref);
errno_t ctl_deregister(kern_ctl_ref ref);
errno_t ctl_enqueuedata(kern_ctl_ref ref, u_int32_t unit, void *data, size_t size, u_int32_t flags);
errno_t ctl_enqueuembuf(kern_ctl_ref ref, u_int32_t unit, mbuf_t m, u_int32_t flags);
errno_t ctl_getenqueuespace(kern_ctl_ref ref, u_int32_t unit, size_t *space);

#endif
