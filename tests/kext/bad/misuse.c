/* Wrong in many ways: the option that is set says in which. */
#define NAME "org.mklinux.test.bad"
#include "tiny.h"

enum way {
    UNLOCK_NOT_HELD = 1,
    LOCK_TWICE,
    RETURN_LOCKED,
    USE_FREED_LOCK,
    FREE_HELD_LOCK,
    FREE_LOCK_TWICE,
    GROUP_WITH_LOCKS,
    NO_LOCK,
    UNKNOWN_REF,
    VECTOR_BEYOND,
    VECTOR_WITHOUT_DATA,
    SIX_VECTORS,
};

static lck_grp_t *group;
static lck_mtx_t *lock;
static char data[4];

static errno_t post(int way)
{
    struct kev_msg message;
    int count = way == SIX_VECTORS ? N_KEV_VECTORS + 1 : 1;
    bzero(&message, sizeof message);
    for (int i = 0; i < count; i++) {
        message.dv[i].data_length = sizeof data;
        message.dv[i].data_ptr = way == VECTOR_WITHOUT_DATA ? NULL : data;
    }
    if (way == VECTOR_BEYOND)
        message.dv[2] = message.dv[0];
    return kev_msg_post(&message);
}

static errno_t setopt_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                              void *value, size_t size)
{
    (void)ref;
    (void)unitinfo;
    (void)value;
    (void)size;
    switch (option) {
    case UNLOCK_NOT_HELD:
        lck_mtx_unlock(lock);
        return 0;
    case LOCK_TWICE:
        lck_mtx_lock(lock);
        lck_mtx_lock(lock);
        return 0;
    case RETURN_LOCKED:
        lck_mtx_lock(lock);
        return 0;
    case USE_FREED_LOCK:
        lck_mtx_free(lock, group);
        lck_mtx_lock(lock);
        return 0;
    case FREE_HELD_LOCK:
        lck_mtx_lock(lock);
        lck_mtx_free(lock, group);
        return 0;
    case FREE_LOCK_TWICE:
        lck_mtx_free(lock, group);
        lck_mtx_free(lock, group);
        return 0;
    case GROUP_WITH_LOCKS:
        lck_grp_free(group);
        return 0;
    case NO_LOCK:
        lck_mtx_lock(NULL);
        return 0;
    case UNKNOWN_REF:
        return ctl_enqueuedata((kern_ctl_ref)0x123456, unit, data, sizeof data, CTL_DATA_EOR);
    default:
        return post(option);
    }
}

/* Frees a packet twice. */
static errno_t send_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)flags;
    mbuf_freem(m);
    mbuf_freem(m);
    return 0;
}

/* Says that it has given more than there was room for. */
static errno_t getopt_handler(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                              void *into, size_t *size)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    (void)option;
    (void)into;
    *size += 1;
    return EINVAL; /* which does not help */
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    group = lck_grp_alloc_init(NAME, LCK_GRP_ATTR_NULL);
    lock = lck_mtx_alloc_init(group, LCK_ATTR_NULL);
    fields->ctl_send = send_handler;
    fields->ctl_setopt = setopt_handler;
    fields->ctl_getopt = getopt_handler;
    return tiny_register();
}

/* Frees neither the lock nor its group. */
KEXT(begin, tiny_deregister)
