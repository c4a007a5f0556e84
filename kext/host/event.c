/* kev_*: vendor codes, and kernel events of the kext's own. */
#include "darwin_errno.h"
#include "include/sys/kern_event.h"
#include "link.h"
#include "panic.h"

#include <stdlib.h>
#include <string.h>

errno_t kev_vendor_code_find(const char *vendor, u_int32_t *code)
{
    if (vendor == NULL || code == NULL)
        return DARWIN_EINVAL;
    struct question question = {
        .kind = ASK_VENDOR_FIND,
        .tail = vendor,
        .tail_size = strlen(vendor),
        .answer = code,
        .answer_size = sizeof *code,
    };
    return link_ask(&question);
}

/* The vectors' total, bytes.  The kernel stops at the first empty one and at the fifth. */
static size_t check_vectors(const struct kev_msg *message)
{
    size_t total = 0, i = 0;
    for (; i < N_KEV_VECTORS && message->dv[i].data_length != 0; i++) {
        if (message->dv[i].data_ptr == NULL)
            panic("H11: kev_msg: vector %zu has %u bytes and no data", i,
                  message->dv[i].data_length);
        total += message->dv[i].data_length;
    }
    for (size_t beyond = i; beyond < N_KEV_VECTORS; beyond++)
        if (message->dv[beyond].data_length != 0)
            panic("H11: kev_msg: vector %zu lies beyond the empty vector %zu and is lost", beyond,
                  i);
    return total;
}

errno_t kev_msg_post(struct kev_msg *message)
{
    if (message == NULL)
        panic("kev_msg_post of no message");
    size_t size = check_vectors(message);
    uint8_t *data = malloc(size);
    if (data == NULL && size > 0)
        panic("the host has no memory for an event");
    uint8_t *end = data;
    for (size_t i = 0; i < N_KEV_VECTORS && message->dv[i].data_length != 0; i++) {
        memcpy(end, message->dv[i].data_ptr, message->dv[i].data_length);
        end += message->dv[i].data_length;
    }
    uint32_t head[4] = {
        message->vendor_code,
        message->kev_class,
        message->kev_subclass,
        message->event_code,
    };
    uint32_t id;
    struct question question = {
        .kind = ASK_POST,
        .head = head,
        .head_size = sizeof head,
        .tail = data,
        .tail_size = size,
        .answer = &id,
        .answer_size = sizeof id,
    };
    errno_t error = link_ask(&question);
    free(data);
    return error;
}
