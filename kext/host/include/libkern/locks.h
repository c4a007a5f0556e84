/* Mutexes: kern/locks.h under its other name. */
#include "../kern/locks.h"
