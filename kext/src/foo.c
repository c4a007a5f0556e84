/* A kernel extension with one kernel control, and nothing else: its beginning and its end.
 *
 * Letters and numbers in parentheses, here and in the other files, name the mistakes that
 * kext/README.md lists: each stands where it is kept from happening.
 *
 * Build options (-D): FOO_CONTROL_NAME="..." another name for the control; FOO_UNPRIVILEGED lets
 * every user connect; FOO_STATIC_ID=n with FOO_STATIC_UNIT=n registers a fixed id and unit, which
 * admits one client at a time. */
#include "internal.h"

FOO_ASSERT(sizeof(FOO_CONTROL_NAME) > 1 && sizeof(FOO_CONTROL_NAME) <= MAX_KCTL_NAME, control_name);

#ifdef FOO_STATIC_ID
#ifndef FOO_STATIC_UNIT
#define FOO_STATIC_UNIT 1
#endif
FOO_ASSERT(FOO_STATIC_ID != 0, static_id); /* 0 is not an id (K7) */
#endif

static lck_grp_t *foo_group;
static kern_ctl_ref foo_ref; /* kept, else there is no way to deregister (K3) */

/* The kernel copies more than the public structure: it must find zeros behind it, not a pointer
 * that any user could have called by bind() (H1). */
static union {
    struct kern_ctl_reg fields;
    uint8_t room[256];
} foo_registration;

FOO_ASSERT(sizeof(struct kern_ctl_reg) + 32 <= sizeof(foo_registration), registration_room);

static void
foo_registration_fill(struct kern_ctl_reg *fields)
{
    bzero(&foo_registration, sizeof(foo_registration)); /* all of it (K4) */
    strlcpy(fields->ctl_name, FOO_CONTROL_NAME, sizeof(fields->ctl_name)); /* not strcpy (K5) */
#ifndef FOO_UNPRIVILEGED
    fields->ctl_flags |= CTL_FLAG_PRIVILEGED; /* flags are joined with |, & makes none (K6) */
#endif
#ifdef FOO_STATIC_ID
    fields->ctl_flags |= CTL_FLAG_REG_ID_UNIT; /* without it an id is overwritten (K8) */
    fields->ctl_id = FOO_STATIC_ID;
    fields->ctl_unit = FOO_STATIC_UNIT;
#endif
    fields->ctl_sendsize = FOO_MESSAGE_MAX; /* the default is 2 KiB (H10) */
    fields->ctl_recvsize = FOO_QUEUE_SIZE;
    fields->ctl_connect = EPHandleConnect;
    fields->ctl_disconnect = EPHandleDisconnect;
    fields->ctl_send = EPHandleWrite; /* never without: sendmsg_x() does not ask (H2) */
    fields->ctl_setopt = EPHandleSet;
    fields->ctl_getopt = EPHandleGet;
}

static void
foo_locks_free(void)
{
    if (foo_lock != NULL) {
        lck_mtx_free(foo_lock, foo_group);
        foo_lock = NULL;
    }
    if (foo_group != NULL) {
        lck_grp_free(foo_group);
        foo_group = NULL;
    }
}

static errno_t
foo_locks_make(void)
{
    foo_group = lck_grp_alloc_init(FOO_BUNDLE_ID, LCK_GRP_ATTR_NULL);
    if (foo_group == NULL) {
        return ENOMEM;
    }
    foo_lock = lck_mtx_alloc_init(foo_group, LCK_ATTR_NULL);
    return foo_lock == NULL ? ENOMEM : 0;
}

kern_return_t foo_start(kmod_info_t *info, void *data);
kern_return_t foo_stop(kmod_info_t *info, void *data);

/* Registration comes last: clients may connect before it has returned (H4). */
kern_return_t
foo_start(kmod_info_t *info, void *data)
{
    struct foo_event_loaded loaded = {FOO_VERSION};
    struct foo_event event;
    errno_t error;

    (void)info;
    (void)data;
    foo_clients_reset();
    foo_options_reset();
    error = foo_locks_make();
    if (error == 0) {
        error = kev_vendor_code_find(FOO_VENDOR, &foo_vendor_code);
    }
    if (error == 0) {
        foo_registration_fill(&foo_registration.fields);
        error = ctl_register(&foo_registration.fields, &foo_ref);
    }
    if (error != 0) { /* checked, and undone (K9) */
        os_log(OS_LOG_DEFAULT, "foo: cannot start: error %d", error);
        foo_ref = NULL;
        foo_locks_free();
        return KERN_FAILURE;
    }
    foo_event_fill(&event, FOO_EVENT_LOADED, &loaded, sizeof(loaded));
    (void)foo_event_post(&event);
    return KERN_SUCCESS;
}

/* The kernel keeps a control while a socket is attached to it, and so must we: ask the clients to
 * let go, try, and refuse to be unloaded if some have not.  Whoever unloads repeats it (K19). */
kern_return_t
foo_stop(kmod_info_t *info, void *data)
{
    struct foo_event event;
    errno_t error;

    (void)info;
    (void)data;
    foo_clients_stop(foo_ref);
    foo_event_fill(&event, FOO_EVENT_UNLOADING, NULL, 0);
    (void)foo_event_post(&event);

    error = ctl_deregister(foo_ref);
    if (error != 0) {
        foo_clients_resume();
        os_log(OS_LOG_DEFAULT, "foo: still in use: error %d", error);
        return KERN_FAILURE;
    }
    foo_ref = NULL; /* a call with a stale one panics, with NULL it does not (H3) */
    foo_locks_free(); /* no handler runs any more: each of them held a socket */
    return KERN_SUCCESS;
}

/* -- What Xcode would write into a file of its own -------------------------------------------- */

#define FOO_TEXT_(token) #token
#define FOO_TEXT(token) FOO_TEXT_(token)
#define FOO_VERSION_TEXT        \
    FOO_TEXT(FOO_VERSION_MAJOR) \
    "." FOO_TEXT(FOO_VERSION_MINOR) "." FOO_TEXT(FOO_VERSION_PATCH)

/* In the library that every kext is linked to; they call the two below. */
extern kern_return_t _start(kmod_info_t *info, void *data);
extern kern_return_t _stop(kmod_info_t *info, void *data);

/* The first is FOO_BUNDLE_ID, spelt out: the macro makes text of what stands there. */
__attribute__((visibility("default")))
KMOD_EXPLICIT_DECL(org.mklinux.nke.foo, FOO_VERSION_TEXT, _start, _stop)

__private_extern__ kmod_start_func_t *_realmain = foo_start;
__private_extern__ kmod_stop_func_t *_antimain = foo_stop;
__private_extern__ int _kext_apple_cc = __APPLE_CC__;
