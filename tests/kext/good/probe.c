/* A correct kext that shows what its handlers saw, and enqueues as it is told. */
#define NAME "org.mklinux.test.probe"
#define RECVSIZE 8192
#include "tiny.h"

enum option {
    OPTION_SEEN = 1,    /* get: struct seen */
    OPTION_SPACE = 2,   /* get: uint64_t, what ctl_getenqueuespace says */
    OPTION_LENGTH = 3,  /* get without a buffer: 10 */
    OPTION_REVERSE = 4, /* get: what the buffer held, reversed */
    OPTION_EVENT = 5,   /* set: posts a kernel event, the value cut into two vectors */
    OPTION_STRANGE = 6, /* set: fails with 9999 */
    OPTION_NAME = 7,    /* get: the caller's name */
};

enum how { HOW_FLAGS = 0x0f, HOW_MBUF = 0x80, HOW_FAIL = 0x40 };

struct seen {
    uint64_t unitinfo; /* as the last disconnect was given it */
    uint32_t connects, disconnects, empty, setopts;
    uint32_t pieces, size, pid, uid; /* of the last message, and its sender's */
    uint32_t null_values;
};

#define REFUSED_UNIT 13

static lck_grp_t *group;
static lck_mtx_t *lock;
static struct seen seen;
static uint8_t scratch[65536];
static uint32_t vendor;

static errno_t probe_connect(kern_ctl_ref ref, struct sockaddr_ctl *address, void **unitinfo)
{
    (void)ref;
    lck_mtx_lock(lock);
    seen.connects++;
    lck_mtx_unlock(lock);
    *unitinfo = (void *)(uintptr_t)(0xc0de0000u + address->sc_unit);
    return address->sc_unit == REFUSED_UNIT ? ECONNREFUSED : 0;
}

static errno_t probe_disconnect(kern_ctl_ref ref, u_int32_t unit, void *unitinfo)
{
    (void)ref;
    (void)unit;
    lck_mtx_lock(lock);
    seen.disconnects++;
    seen.unitinfo = (uintptr_t)unitinfo;
    lck_mtx_unlock(lock);
    return EBUSY; /* which nobody looks at */
}

static errno_t probe_take_locked(kern_ctl_ref ref, u_int32_t unit, mbuf_t m, mbuf_t *given_away)
{
    uint8_t how;
    mbuf_t piece;
    size_t size = mbuf_pkthdr_len(m);

    seen.pieces = 0;
    for (piece = m; piece != NULL; piece = mbuf_next(piece))
        seen.pieces++;
    seen.size = (uint32_t)size;
    seen.pid = (uint32_t)proc_selfpid();
    seen.uid = kauth_cred_getuid(kauth_cred_get());
    if (size == 0) {
        seen.empty++;
        return 0;
    }
    if (mbuf_copydata(m, 0, size + 1, scratch) != EINVAL || mbuf_copydata(m, 0, 1, &how) != 0)
        return EDOM;
    if ((how & HOW_FAIL) != 0)
        return EIO;
    if ((how & HOW_MBUF) != 0) {
        errno_t error = ctl_enqueuembuf(ref, unit, m, how & HOW_FLAGS);
        *given_away = error == 0 ? m : NULL;
        return error;
    }
    if (mbuf_copydata(m, 1, size - 1, scratch) != 0)
        return EDOM;
    return ctl_enqueuedata(ref, unit, scratch, size - 1, how & HOW_FLAGS);
}

static errno_t probe_send(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    mbuf_t given_away = NULL;
    errno_t error;
    (void)flags;
    if ((uintptr_t)unitinfo != 0xc0de0000u + unit) {
        mbuf_freem(m);
        return EDOM;
    }
    lck_mtx_lock(lock);
    error = probe_take_locked(ref, unit, m, &given_away);
    lck_mtx_unlock(lock);
    if (given_away == NULL)
        mbuf_freem(m);
    return error;
}

static errno_t probe_post(uint8_t *data, size_t size)
{
    struct kev_msg message;
    bzero(&message, sizeof message);
    message.vendor_code = vendor;
    message.kev_class = 7;
    message.kev_subclass = 8;
    message.event_code = 9;
    message.dv[0].data_length = (uint32_t)(size - size / 2);
    message.dv[0].data_ptr = data;
    message.dv[1].data_length = (uint32_t)(size / 2);
    message.dv[1].data_ptr = data + (size - size / 2);
    return kev_msg_post(&message);
}

static errno_t probe_setopt(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                            void *data, size_t size)
{
    (void)ref;
    (void)unit;
    (void)unitinfo;
    lck_mtx_lock(lock);
    seen.setopts++;
    seen.null_values += data == NULL && size == 0;
    lck_mtx_unlock(lock);
    switch (option) {
    case OPTION_EVENT:
        return data == NULL ? EINVAL : probe_post(data, size);
    case OPTION_STRANGE:
        return 9999;
    default:
        return 0;
    }
}

static errno_t probe_answer(void *into, size_t *room, const void *value, size_t size)
{
    if (*room < size)
        return EMSGSIZE;
    memcpy(into, value, size);
    *room = size;
    return 0;
}

static errno_t probe_getopt(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option,
                            void *data, size_t *size)
{
    struct seen now;
    size_t space = 0;
    uint64_t wide;
    uint8_t *bytes = data;
    char name[32];
    errno_t error;
    (void)unitinfo;
    if (data == NULL) {
        *size = option == OPTION_LENGTH ? 10 : 0;
        return 0;
    }
    switch (option) {
    case OPTION_SEEN:
        lck_mtx_lock(lock);
        now = seen;
        lck_mtx_unlock(lock);
        return probe_answer(data, size, &now, sizeof now);
    case OPTION_SPACE:
        error = ctl_getenqueuespace(ref, unit, &space);
        wide = space;
        return error != 0 ? error : probe_answer(data, size, &wide, sizeof wide);
    case OPTION_REVERSE:
        for (size_t i = 0; i < *size / 2; i++) {
            uint8_t one = bytes[i];
            bytes[i] = bytes[*size - 1 - i];
            bytes[*size - 1 - i] = one;
        }
        return 0;
    case OPTION_NAME:
        proc_selfname(name, sizeof name);
        return probe_answer(data, size, name, strnlen(name, sizeof name));
    default:
        return ENOPROTOOPT;
    }
}

static kern_return_t begin(struct kern_ctl_reg *fields)
{
    group = lck_grp_alloc_init(NAME, LCK_GRP_ATTR_NULL);
    lock = lck_mtx_alloc_init(group, LCK_ATTR_NULL);
    fields->ctl_connect = probe_connect;
    fields->ctl_disconnect = probe_disconnect;
    fields->ctl_send = probe_send;
    fields->ctl_setopt = probe_setopt;
    fields->ctl_getopt = probe_getopt;
    if (kev_vendor_code_find(NAME, &vendor) != 0 || tiny_register() != KERN_SUCCESS) {
        lck_mtx_free(lock, group);
        lck_grp_free(group);
        return KERN_FAILURE;
    }
    os_log(OS_LOG_DEFAULT, "%{public}s has id %u, %d bytes to send", fields->ctl_name,
           fields->ctl_id, fields->ctl_sendsize);
    printf("probe: %s", "printed");
    return KERN_SUCCESS;
}

static kern_return_t end(void)
{
    if (tiny_deregister() != KERN_SUCCESS)
        return KERN_FAILURE;
    lck_mtx_free(lock, group);
    lck_grp_free(group);
    return KERN_SUCCESS;
}

KEXT(begin, end)
