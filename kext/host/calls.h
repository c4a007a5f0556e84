/* The threads that run a kext's handlers, as the threads of client processes do in a kernel. */
#ifndef HOST_CALLS_H
#define HOST_CALLS_H

#include "link.h"

/* Have `run` called on some thread, which owns the body then.  Calls never wait for each other. */
void calls_start(void (*run)(enum frame_kind kind, const uint8_t *body, size_t size));
void calls_submit(enum frame_kind kind, uint8_t *body, size_t size);

/* Let the calls that are there finish, and end the threads. */
void calls_stop(void);

#endif
