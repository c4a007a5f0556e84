/* The credential on which the kernel acts right now. */
#ifndef KPI_KAUTH_H
#define KPI_KAUTH_H

#include "../kpi/base.h"

typedef struct ucred *kauth_cred_t;

kauth_cred_t kauth_cred_get(void);
uid_t kauth_cred_getuid(kauth_cred_t credential);

#endif
