/* The controls that a kext has registered. */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include "include/sys/kern_control.h"
#include "link.h"

/* What is registered under a ref, as it was then; panics if nothing is. */
struct kern_ctl_reg control_handlers(uint32_t ref);

/* Look a ref up on behalf of a ctl_* call: 0 for NULL, which gives EINVAL; panics if it is stale. */
uint32_t control_ref(const char *call, kern_ctl_ref ref);

unsigned controls_registered(void);

/* The kext's code went away: controls that are still registered now lead nowhere. */
void controls_orphan(void);

/* Forget them all: at the very end. */
void controls_forget(void);

#endif
