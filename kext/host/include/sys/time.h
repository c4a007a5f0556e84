/* The wall clock. */
#ifndef KPI_TIME_H
#define KPI_TIME_H

#include "../kpi/base.h"

struct timeval {
    time_t tv_sec;
    int32_t tv_usec;
};

struct timespec {
    time_t tv_sec;
    long tv_nsec;
};

void microtime(struct timeval *now);
void nanotime(struct timespec *now);

#endif
