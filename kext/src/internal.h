/* What the files of the kext share.
 *
 * One mutex, foo_lock, guards everything that is not constant after start: handlers run in the
 * threads of whoever makes the calls, many at once (K17).  Functions named _locked want it held,
 * the others want it free.  Calling ctl_enqueuedata under it is fine: the kernel has let go of
 * the socket before it calls a handler, so the order is always foo_lock, then the socket (H7).
 * Posting a kernel event is not: kev_msg_post may sleep (H12). */
#ifndef FOO_INTERNAL_H
#define FOO_INTERNAL_H

#include <mach/mach_types.h>
#include <mach/kmod.h>
#include <sys/systm.h>
#include <sys/errno.h>
#include <sys/socket.h>
#include <sys/sys_domain.h>
#include <sys/kern_control.h>
#include <sys/kern_event.h>
#include <sys/kpi_mbuf.h>
#include <sys/proc.h>
#include <sys/kauth.h>
#include <kern/locks.h>
#include <libkern/libkern.h>
#include <os/log.h>

#include "foo.h"

/* -- client.c: who is connected --------------------------------------------------------------- */

struct foo_client {
    int in_use;
    uint32_t unit;
    uint32_t pid; /* of the process that connected; it may have handed the socket on */
    uint32_t uid;
    uint32_t mask; /* enum foo_subscription */
    uint32_t dropped;
    uint64_t sequence; /* of the last message to it */
};

extern lck_mtx_t *foo_lock;
extern struct foo_statistics foo_counters; /* `clients` is kept up to date, `size` is not */
extern uint32_t foo_debug;
extern uint32_t foo_vendor_code; /* constant after start */

/* Log if debugging is at `level`; formats hold numbers only, which the log shows to everybody. */
#define FOO_LOG_LOCKED(level, ...)                \
    do {                                          \
        if (foo_debug >= (level)) {               \
            os_log(OS_LOG_DEFAULT, __VA_ARGS__);  \
        }                                         \
    } while (0)

void foo_clients_reset(void); /* before registration, after which the lock is needed */
void foo_clients_stop(kern_ctl_ref ref);
void foo_clients_resume(void);

/* The client that a handler is called for; NULL if the kernel and we disagree. */
struct foo_client *foo_client_find_locked(void *unitinfo, uint32_t unit);

/* Answer a client's message `reply_to`; ENOBUFS if there is no room, and then nothing happened. */
errno_t foo_answer_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type,
    uint64_t reply_to, const void *payload, uint32_t length);
errno_t foo_answer_hello_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t reply_to);

/* The same with `message` as the buffer: room for the header, filled in here, then `length` bytes. */
errno_t foo_enqueue_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type,
    uint64_t reply_to, struct foo_message *message, uint32_t length);

/* Tell a client what it did not ask for, or the outcome of what cannot be undone: nobody hears of
 * an error.  What has no room is counted, and the next message tells. */
void foo_tell_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type, uint64_t reply_to,
    const void *payload, uint32_t length);

/* Tell all clients that subscribed to `subscription`, counting those that could not be told. */
void foo_notify_locked(kern_ctl_ref ref, uint32_t subscription, uint32_t notice,
    const struct foo_client *about, uint32_t value, uint32_t argument);

errno_t EPHandleConnect(kern_ctl_ref ref, struct sockaddr_ctl *address, void **unitinfo);
errno_t EPHandleDisconnect(kern_ctl_ref ref, u_int32_t unit, void *unitinfo);

/* -- message.c, option.c: what clients say ---------------------------------------------------- */

errno_t EPHandleWrite(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags);
errno_t EPHandleSet(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option, void *data,
    size_t size);
errno_t EPHandleGet(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option, void *data,
    size_t *size);

void foo_options_reset(void);

/* -- event.c: kernel events ------------------------------------------------------------------- */

/* One to be posted as soon as the lock is free. */
struct foo_event {
    uint32_t event_class;
    uint32_t event_subclass;
    uint32_t event_code;
    uint32_t length;
    uint8_t data[FOO_EVENT_DATA_MAX];
};

void foo_event_fill(struct foo_event *event, uint32_t code, const void *data, uint32_t length);
errno_t foo_event_post(struct foo_event *event);

#endif
