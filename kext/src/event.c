/* Kernel events: how the kext tells those who are not connected to it. */
#include "internal.h"

/* One of the kext's own. */
void
foo_event_fill(struct foo_event *event, uint32_t code, const void *data, uint32_t length)
{
    event->event_class = FOO_EVENT_CLASS;
    event->event_subclass = FOO_EVENT_SUBCLASS;
    event->event_code = code;
    event->length = length;
    if (length > 0) {
        memcpy(event->data, data, length);
    }
}

/* May sleep, so never under the lock (H12); events of several threads may change places. */
errno_t
foo_event_post(struct foo_event *event)
{
    struct kev_msg message;
    errno_t error;

    bzero(&message, sizeof(message)); /* the first vector of length 0 ends the list (H11) */
    message.vendor_code = foo_vendor_code;
    message.kev_class = event->event_class;
    message.kev_subclass = event->event_subclass;
    message.event_code = event->event_code;
    message.dv[0].data_length = event->length;
    message.dv[0].data_ptr = event->data;
    error = kev_msg_post(&message);

    lck_mtx_lock(foo_lock);
    if (error == 0) {
        foo_counters.events_posted++;
    } else {
        foo_counters.errors++;
        os_log(OS_LOG_DEFAULT, "foo: kernel event %u not posted: error %d", event->event_code,
            error);
    }
    lck_mtx_unlock(foo_lock);
    return error;
}
