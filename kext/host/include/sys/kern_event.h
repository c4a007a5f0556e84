/* Kernel events, as a kext posts them. */
#ifndef KPI_KERN_EVENT_H
#define KPI_KERN_EVENT_H

#include "../kpi/base.h"

#define KEV_VENDOR_CODE_MAX_STR_LEN 200
#define KEV_ANY_VENDOR 0
#define KEV_ANY_CLASS 0
#define KEV_ANY_SUBCLASS 0
#define KEV_VENDOR_APPLE 1
#define KEV_SYSTEM_CLASS 3
#define KEV_MSG_HEADER_SIZE 24
#define N_KEV_VECTORS 5

struct kev_d_vectors {
    u_int32_t data_length; /* bytes; 0 ends the list */
    void *data_ptr;
};

struct kev_msg {
    u_int32_t vendor_code;
    u_int32_t kev_class;
    u_int32_t kev_subclass;
    u_int32_t event_code;
    struct kev_d_vectors dv[N_KEV_VECTORS];
};

_Static_assert(sizeof(struct kev_msg) == 96, "kev_msg is 96 bytes");

errno_t kev_vendor_code_find(const char *vendor, u_int32_t *code);
errno_t kev_msg_post(struct kev_msg *message);

#endif
