/* bool, true, false. */
#ifndef KPI_STDBOOL_H
#define KPI_STDBOOL_H

#define bool _Bool
#define true 1
#define false 0

#endif
