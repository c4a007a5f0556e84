/* The monotonic clock, in ticks that are not nanoseconds (on this host as on Apple silicon). */
#ifndef KPI_CLOCK_H
#define KPI_CLOCK_H

#include "../kpi/base.h"

uint64_t mach_absolute_time(void);
void absolutetime_to_nanoseconds(uint64_t ticks, uint64_t *nanoseconds);

#endif
