/* On whose behalf a thread runs kernel code. */
#ifndef HOST_CRED_H
#define HOST_CRED_H

#include <stdint.h>

/* From now on this thread acts for a client; outside of any it is the kernel: pid 0, uid 0. */
void cred_enter(uint32_t pid, uint32_t uid);
void cred_leave(void);

#endif
