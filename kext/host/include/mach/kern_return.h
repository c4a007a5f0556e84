/* kern_return_t and its values. */
#include "../kpi/base.h"
