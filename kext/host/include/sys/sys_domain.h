/* Addresses and protocols of PF_SYSTEM. */
#ifndef KPI_SYS_DOMAIN_H
#define KPI_SYS_DOMAIN_H

#include "../kpi/base.h"

#define SYSPROTO_EVENT 1
#define SYSPROTO_CONTROL 2
#define AF_SYS_CONTROL 2

#endif
