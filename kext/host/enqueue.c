/* ctl_enqueuedata and its kin: from a kext to a client's receive queue. */
#include "control.h"
#include "darwin_errno.h"
#include "mbuf.h"
#include "panic.h"

#include <stdatomic.h>
#include <stdlib.h>

/* One mbuf's worth; more needs clusters that the kernel makes on demand. */
#define ONE_CLUSTER 4096

static errno_t ask_space(uint32_t number, uint32_t unit, uint64_t *space)
{
    uint32_t head[2] = {number, unit};
    struct question question = {
        .kind = ASK_SPACE,
        .head = head,
        .head_size = sizeof head,
        .answer = space,
        .answer_size = sizeof *space,
    };
    return link_ask(&question);
}

/* KEXT_HOST_ENOMEM: the first long data find no cluster, as on a kernel that made none so far. */
static int no_cluster_yet(uint32_t number, uint32_t unit, size_t size)
{
    static atomic_flag happened = ATOMIC_FLAG_INIT;
    uint64_t space = 0;
    return size > ONE_CLUSTER && getenv("KEXT_HOST_ENOMEM") != NULL &&
           ask_space(number, unit, &space) == 0 && space >= size &&
           !atomic_flag_test_and_set(&happened);
}

static errno_t enqueue(uint32_t number, uint32_t unit, const void *data, size_t size,
                       uint32_t flags)
{
    uint32_t head[3] = {number, unit, flags};
    struct question question = {
        .kind = ASK_ENQUEUE,
        .head = head,
        .head_size = sizeof head,
        .tail = data,
        .tail_size = size,
    };
    return no_cluster_yet(number, unit, size) ? DARWIN_ENOMEM : link_ask(&question);
}

errno_t ctl_enqueuedata(kern_ctl_ref ref, u_int32_t unit, void *data, size_t size, u_int32_t flags)
{
    uint32_t number = control_ref("ctl_enqueuedata", ref);
    return number == 0 ? DARWIN_EINVAL : enqueue(number, unit, data, size, flags);
}

errno_t ctl_enqueuembuf(kern_ctl_ref ref, u_int32_t unit, mbuf_t m, u_int32_t flags)
{
    uint32_t number = control_ref("ctl_enqueuembuf", ref);
    if (number == 0)
        return DARWIN_EINVAL;
    size_t size;
    uint8_t *data = mbuf_flatten(m, &size);
    errno_t error = enqueue(number, unit, data, size, flags);
    free(data);
    if (error == 0)
        mbuf_freem(m); /* on an error it stays the caller's */
    return error;
}

errno_t ctl_getenqueuespace(kern_ctl_ref ref, u_int32_t unit, size_t *space)
{
    uint32_t number = control_ref("ctl_getenqueuespace", ref);
    if (number == 0 || space == NULL)
        return DARWIN_EINVAL;
    uint64_t bytes = 0;
    errno_t error = ask_space(number, unit, &bytes);
    if (error == 0)
        *space = (size_t)bytes;
    return error;
}
