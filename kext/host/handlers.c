/* Runs a kext's handlers for the clients of its controls. */
#include "handlers.h"

#include "control.h"
#include "cred.h"
#include "darwin_errno.h"
#include "lock.h"
#include "mbuf.h"
#include "panic.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_ulong calls, returned;

unsigned long handlers_calls(void)
{
    return atomic_load(&calls);
}

void handlers_first(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    while (getenv("KEXT_HOST_LATE_REF") != NULL && atomic_load(&returned) == 0)
        nanosleep(&moment, NULL);
}

/* A call's body, taken from its start piece by piece. */
struct body {
    const uint8_t *at;
    size_t left;
};

static void take(struct body *body, void *into, size_t size)
{
    if (body->left < size)
        panic("the simulated kernel sent half a call");
    memcpy(into, body->at, size);
    body->at += size;
    body->left -= size;
}

static uint32_t take_u32(struct body *body)
{
    uint32_t value;
    take(body, &value, sizeof value);
    return value;
}

/* Memory that is exactly as long as what it holds: AddressSanitizer sees a byte more. */
static void *exact_copy(const struct body *body, size_t size)
{
    uint8_t *copy = calloc(1, size);
    if (copy == NULL && size > 0)
        panic("the host has no memory for %zu bytes", size);
    if (body->left > 0)
        memcpy(copy, body->at, body->left < size ? body->left : size);
    return copy;
}

struct call {
    const char *handler;
    uint32_t tag, unit;
    kern_ctl_ref ref;
    void *unitinfo;
    struct kern_ctl_reg handlers;
};

/* Answer, once the handler is seen to have left its thread as it found it. */
static void give_back(const struct call *call, int error, const void *head, size_t head_size,
                      const void *tail, size_t tail_size)
{
    if (locks_held() > 0)
        panic("%s returned holding a lock", call->handler);
    link_return(call->tag, error, (uintptr_t)call->unitinfo, head, head_size, tail, tail_size);
}

static void call_connect(struct call *call, struct body *body)
{
    struct sockaddr_ctl *address = exact_copy(body, sizeof *address);
    int error = call->handlers.ctl_connect(call->ref, address, &call->unitinfo);
    free(address);
    give_back(call, error, NULL, 0, NULL, 0);
}

static void call_disconnect(struct call *call)
{
    int error = call->handlers.ctl_disconnect(call->ref, call->unit, call->unitinfo);
    give_back(call, error, NULL, 0, NULL, 0);
}

static void call_send(struct call *call, struct body *body)
{
    uint32_t flags = take_u32(body);
    mbuf_t m = mbuf_packet(body->at, body->left);
    int error = call->handlers.ctl_send(call->ref, call->unit, call->unitinfo, m, (int)flags);
    if (error == DARWIN_EAGAIN)
        fprintf(stderr, "kext-host: H8: ctl_send says EAGAIN: its clients will spin, since a "
                        "control socket is always writable\n");
    give_back(call, error, NULL, 0, NULL, 0);
}

static void call_setopt(struct call *call, struct body *body)
{
    int32_t option = (int32_t)take_u32(body);
    int has_value = take_u32(body) != 0;
    size_t size = has_value ? body->left : 0;
    void *value = has_value ? exact_copy(body, size) : NULL;
    int error = call->handlers.ctl_setopt(call->ref, call->unit, call->unitinfo, option, value,
                                          size);
    free(value);
    give_back(call, error, NULL, 0, NULL, 0);
}

static void call_getopt(struct call *call, struct body *body)
{
    int32_t option = (int32_t)take_u32(body);
    int has_value = take_u32(body) != 0;
    size_t room = take_u32(body);
    if (!has_value)
        room = 0;
    void *value = has_value ? exact_copy(body, room) : NULL;
    size_t size = room;
    int error = call->handlers.ctl_getopt(call->ref, call->unit, call->unitinfo, option, value,
                                          &size);
    if (value != NULL && size > room)
        panic("ctl_getopt of option %d returned %zu bytes for a buffer of %zu", option, size, room);
    uint32_t head[2] = {(uint32_t)size, has_value};
    give_back(call, error, head, sizeof head, value, error == 0 && has_value ? size : 0);
    free(value);
}

/* Find whom the call is for; its handlers as they were registered. */
static struct call open_call(struct body *body)
{
    struct call call = {.tag = take_u32(body)};
    uint32_t ref = take_u32(body);
    call.ref = (kern_ctl_ref)(uintptr_t)ref;
    call.unit = take_u32(body);
    call.handlers = control_handlers(ref);
    return call;
}

static const char *name_of(enum frame_kind kind)
{
    switch (kind) {
    case CALL_CONNECT:
        return "ctl_connect";
    case CALL_DISCONNECT:
        return "ctl_disconnect";
    case CALL_SEND:
        return "ctl_send";
    case CALL_SETOPT:
        return "ctl_setopt";
    case CALL_GETOPT:
        return "ctl_getopt";
    default:
        return "what is no handler";
    }
}

void handlers_call(enum frame_kind kind, const uint8_t *start, size_t size)
{
    struct body body = {start, size};
    struct call call = open_call(&body);
    uint32_t pid = take_u32(&body);
    cred_enter(pid, take_u32(&body));
    if (kind != CALL_CONNECT) {
        uint64_t unitinfo;
        take(&body, &unitinfo, sizeof unitinfo);
        call.unitinfo = (void *)(uintptr_t)unitinfo;
    }
    const struct kern_ctl_reg *handlers = &call.handlers;
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    call.handler = name_of(kind);
    if (kind == CALL_CONNECT && handlers->ctl_connect != NULL)
        call_connect(&call, &body);
    else if (kind == CALL_DISCONNECT && handlers->ctl_disconnect != NULL)
        call_disconnect(&call);
    else if (kind == CALL_SEND && handlers->ctl_send != NULL)
        call_send(&call, &body);
    else if (kind == CALL_SETOPT && handlers->ctl_setopt != NULL)
        call_setopt(&call, &body);
    else if (kind == CALL_GETOPT && handlers->ctl_getopt != NULL)
        call_getopt(&call, &body);
    else
        panic("the simulated kernel calls %s, which was not registered", call.handler);
    cred_leave();
    atomic_fetch_add_explicit(&returned, 1, memory_order_relaxed);
}
