/* The basic types. */
#include "../kpi/base.h"
