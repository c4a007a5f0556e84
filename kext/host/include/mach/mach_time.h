/* The monotonic clock. */
#include "../kern/clock.h"
