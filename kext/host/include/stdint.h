/* Fixed-width integers and their limits. */
#ifndef KPI_STDINT_H
#define KPI_STDINT_H

#include "kpi/base.h"

#define INT8_MAX __INT8_MAX__
#define INT16_MAX __INT16_MAX__
#define INT32_MAX __INT32_MAX__
#define INT64_MAX __INT64_MAX__
#define UINT8_MAX __UINT8_MAX__
#define UINT16_MAX __UINT16_MAX__
#define UINT32_MAX __UINT32_MAX__
#define UINT64_MAX __UINT64_MAX__
#define SIZE_MAX __SIZE_MAX__

#define UINT32_C(value) value##u
#define UINT64_C(value) value##ul
#define INT64_C(value) value##l

#endif
