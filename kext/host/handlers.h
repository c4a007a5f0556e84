/* The calls that the kernel makes of a kext's functions. */
#ifndef HOST_HANDLERS_H
#define HOST_HANDLERS_H

#include "link.h"

/* Run the handler that a call from the kernel is for, and answer. */
void handlers_call(enum frame_kind kind, const uint8_t *body, size_t size);

/* Handlers run so far. */
unsigned long handlers_calls(void);

/* KEXT_HOST_LATE_REF: wait for the first of them.  A control is live before ctl_register returns,
 * and a client may be faster than the kext that has yet to put its ref away. */
void handlers_first(void);

#endif
