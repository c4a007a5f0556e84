/* The string functions that kernels have: those of libkern. */
#include "libkern/libkern.h"
