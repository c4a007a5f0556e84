/* What old code expects of the parameters' header: the general types. */
#include "systm.h"
