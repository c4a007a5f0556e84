/* Compiler words: __unused, __private_extern__, __BEGIN_DECLS. */
#include "../kpi/base.h"
