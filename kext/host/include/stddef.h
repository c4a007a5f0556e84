/* size_t, NULL, offsetof. */
#include "kpi/base.h"
