/* The process on whose behalf the kernel runs right now. */
#ifndef KPI_PROC_H
#define KPI_PROC_H

#include "../kpi/base.h"

int proc_selfpid(void);
void proc_selfname(char *into, int size);

#endif
