/* kern_return_t and what goes with it. */
#include "../kpi/base.h"
