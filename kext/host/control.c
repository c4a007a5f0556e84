/* ctl_register, ctl_deregister, and the table of what is registered. */
#include "control.h"

#include "darwin_errno.h"
#include "handlers.h"
#include "panic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's own struct kern_ctl_reg is longer than the one that kexts know.  ctl_register reads
 * ctl_bind always, and the others if their flag is set: whatever lies behind a kext's structure
 * becomes a function that any user can have called. */
#define KERNELS_SIZE 192
#define CTL_RCVD 160
#define CTL_SEND_LIST 168
#define CTL_BIND 176
#define CTL_SETUP 184
#define CTL_FLAG_REG_EXTENDED 0x8
#define CTL_FLAG_REG_SETUP 0x20

enum { HAS_CONNECT = 1, HAS_DISCONNECT = 2, HAS_SEND = 4, HAS_SETOPT = 8, HAS_GETOPT = 16 };

enum control_state { REGISTERED, DEREGISTERED, ORPHANED };

struct control {
    struct control *next;
    uint32_t ref;
    enum control_state state;
    struct kern_ctl_reg registration;
};

/* Read by every call at the same time, which orders none of them for ThreadSanitizer. */
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;
static struct control *controls;

/* AddressSanitizer's, where it is linked in: the first bad byte of a range, or NULL. */
extern void *__asan_region_is_poisoned(void *start, size_t size) __attribute__((weak));

/* ---- the table ---- */

static struct control *find(uint32_t ref)
{
    struct control *found = NULL;
    for (struct control *each = controls; each != NULL; each = each->next)
        if (each->ref == ref && (found == NULL || each->state == REGISTERED))
            found = each;
    return found;
}

static void set_state(uint32_t ref, enum control_state state)
{
    pthread_rwlock_wrlock(&table);
    find(ref)->state = state;
    pthread_rwlock_unlock(&table);
}

unsigned controls_registered(void)
{
    unsigned count = 0;
    pthread_rwlock_rdlock(&table);
    for (struct control *each = controls; each != NULL; each = each->next)
        count += each->state != DEREGISTERED;
    pthread_rwlock_unlock(&table);
    return count;
}

struct kern_ctl_reg control_handlers(uint32_t ref)
{
    struct kern_ctl_reg handlers = {0};
    pthread_rwlock_rdlock(&table);
    struct control *control = find(ref);
    enum control_state state = control != NULL ? control->state : DEREGISTERED;
    if (state == REGISTERED)
        handlers = control->registration;
    pthread_rwlock_unlock(&table);
    if (state == ORPHANED)
        panic("a handler is called whose kext was unloaded without ctl_deregister");
    if (state != REGISTERED)
        panic("the simulated kernel calls a control that is not registered");
    return handlers;
}

void controls_orphan(void)
{
    pthread_rwlock_wrlock(&table);
    for (struct control *each = controls; each != NULL; each = each->next)
        if (each->state == REGISTERED)
            each->state = ORPHANED;
    pthread_rwlock_unlock(&table);
}

void controls_forget(void)
{
    while (controls != NULL) {
        struct control *next = controls->next;
        free(controls);
        controls = next;
    }
}

uint32_t control_ref(const char *call, void *ref)
{
    uint32_t number = (uint32_t)(uintptr_t)ref;
    if (ref == NULL)
        return 0;
    pthread_rwlock_rdlock(&table);
    struct control *control = find(number);
    int good = control != NULL && control->state == REGISTERED && (uintptr_t)ref == number;
    pthread_rwlock_unlock(&table);
    if (!good)
        panic("H3: %s with a ref that is %s", call, control ? "deregistered" : "nobody's");
    return number;
}

/* ---- registration ---- */

static void check_beyond(const struct kern_ctl_reg *registration)
{
    if (__asan_region_is_poisoned != NULL) {
        char *bad = __asan_region_is_poisoned((void *)(uintptr_t)registration, KERNELS_SIZE);
        if (bad != NULL)
            panic("H1: the kernel reads %d bytes of struct kern_ctl_reg, and only %td are there",
                  KERNELS_SIZE, bad - (const char *)registration);
    }
    static const struct {
        size_t offset;
        uint32_t flag;
        const char *name;
    } fields[] = {
        {CTL_BIND, 0, "ctl_bind"},
        {CTL_RCVD, CTL_FLAG_REG_EXTENDED, "ctl_rcvd"},
        {CTL_SEND_LIST, CTL_FLAG_REG_EXTENDED, "ctl_send_list"},
        {CTL_SETUP, CTL_FLAG_REG_SETUP, "ctl_setup"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        uint64_t function;
        if (fields[i].flag != 0 && (registration->ctl_flags & fields[i].flag) == 0)
            continue;
        memcpy(&function, (const char *)registration + fields[i].offset, sizeof function);
        if (function != 0)
            panic("H1: what lies %zu bytes into struct kern_ctl_reg is %#llx, and the kernel takes "
                  "it for %s",
                  fields[i].offset, (unsigned long long)function, fields[i].name);
    }
}

struct registered {
    uint32_t ref, id, send_size, receive_size;
};

/* The control is live from here on: a handler's call may be the next frame. */
static void take_registered(struct question *question)
{
    const struct registered *answer = question->answer;
    struct control *control = question->context;
    control->ref = answer->ref;
    pthread_rwlock_wrlock(&table);
    control->next = controls;
    controls = control;
    pthread_rwlock_unlock(&table);
}

errno_t ctl_register(struct kern_ctl_reg *registration, kern_ctl_ref *ref)
{
    if (registration == NULL)
        return DARWIN_EINVAL;
    if (ref == NULL)
        panic("ctl_register has nowhere to put the ref");
    check_beyond(registration);
    uint32_t handlers = (registration->ctl_connect != NULL ? HAS_CONNECT : 0) |
                        (registration->ctl_disconnect != NULL ? HAS_DISCONNECT : 0) |
                        (registration->ctl_send != NULL ? HAS_SEND : 0) |
                        (registration->ctl_setopt != NULL ? HAS_SETOPT : 0) |
                        (registration->ctl_getopt != NULL ? HAS_GETOPT : 0);
    uint32_t head[6] = {
        registration->ctl_flags,    registration->ctl_id,       registration->ctl_unit,
        registration->ctl_sendsize, registration->ctl_recvsize, handlers,
    };
    struct registered answer;
    struct control *control = calloc(1, sizeof *control);
    if (control == NULL)
        panic("the host has no memory for a control");
    control->registration = *registration;
    struct question question = {
        .kind = ASK_REGISTER,
        .head = head,
        .head_size = sizeof head,
        .tail = registration->ctl_name,
        .tail_size = sizeof registration->ctl_name,
        .answer = &answer,
        .answer_size = sizeof answer,
        .arrived = take_registered,
        .context = control,
    };
    int error = link_ask(&question);
    if (error != 0) {
        free(control);
        return error;
    }
    handlers_first();
    registration->ctl_id = answer.id;
    registration->ctl_sendsize = answer.send_size;
    registration->ctl_recvsize = answer.receive_size;
    *ref = (kern_ctl_ref)(uintptr_t)answer.ref;
    return 0;
}

errno_t ctl_deregister(kern_ctl_ref ref)
{
    uint32_t number = control_ref("ctl_deregister", ref);
    if (number == 0)
        return DARWIN_EINVAL;
    struct question question = {.kind = ASK_DEREGISTER, .head = &number, .head_size = sizeof number};
    int error = link_ask(&question);
    if (error == 0)
        set_state(number, DEREGISTERED);
    return error;
}
