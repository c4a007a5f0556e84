/* The general header of BSD kernel code: types, errno numbers, libkern's functions, time. */
#ifndef KPI_SYSTM_H
#define KPI_SYSTM_H

#include "../libkern/libkern.h"
#include "errno.h"
#include "time.h"

#endif
