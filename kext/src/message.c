/* What clients send: read it, check it, do it, answer it. */
#include "internal.h"

/* The one message in work, guarded by the lock: kernel stacks are small (16 KiB). */
static union {
    struct foo_message header;
    uint8_t bytes[FOO_MESSAGE_MAX];
} foo_scratch;

static const uint8_t *const foo_payload = foo_scratch.bytes + sizeof(struct foo_message);

/* Copy `m` to the scratch buffer and check its header.  `m` may be empty, or a chain of pieces of
 * any size, or longer than we registered for: clients may raise SO_SNDBUF (K15). */
static errno_t
foo_read_locked(mbuf_t m)
{
    const struct foo_message *header = &foo_scratch.header;
    size_t size = m == NULL ? 0 : mbuf_pkthdr_len(m);

    foo_counters.messages_in++;
    foo_counters.bytes_in += size;
    if (size < sizeof(*header)) {
        return EINVAL;
    }
    if (size > FOO_MESSAGE_MAX) {
        return EMSGSIZE;
    }
    if (mbuf_copydata(m, 0, size, foo_scratch.bytes) != 0) {
        return EINVAL;
    }
    if (header->magic != FOO_MAGIC) {
        return EINVAL;
    }
    if (header->version != FOO_PROTOCOL) {
        return ENOTSUP;
    }
    return header->length == size - sizeof(*header) ? 0 : EINVAL;
}

static errno_t
foo_result_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t reply_to, errno_t error,
    uint32_t detail)
{
    struct foo_result result;

    result.error = (uint32_t)error;
    result.detail = detail;
    return foo_answer_locked(ref, client, FOO_RESULT, reply_to, &result, sizeof(result));
}

static errno_t
foo_subscribe_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t sequence,
    uint32_t length)
{
    struct foo_subscribe wanted;
    errno_t error;

    if (length != sizeof(wanted)) {
        return EINVAL;
    }
    memcpy(&wanted, foo_payload, sizeof(wanted));
    wanted.mask &= FOO_SUBSCRIBE_ALL;
    error = foo_result_locked(ref, client, sequence, 0, wanted.mask);
    if (error == 0) { /* an answer without room leaves everything as it was */
        client->mask = wanted.mask;
    }
    return error;
}

static errno_t
foo_leave_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t sequence, uint32_t length)
{
    errno_t error = length == 0 ? foo_result_locked(ref, client, sequence, 0, 0) : EINVAL;

    if (error == 0) {
        client->mask = 0;
    }
    return error;
}

/* Fill `event` for the caller to post without the lock, and say so in `post`. */
static errno_t
foo_emit_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t sequence, uint32_t length,
    struct foo_event *event, int *post)
{
    struct foo_emit_event wanted;
    size_t space = 0;

    if (length < sizeof(wanted)) {
        return EINVAL;
    }
    memcpy(&wanted, foo_payload, sizeof(wanted));
    length -= (uint32_t)sizeof(wanted);
    if (wanted.event_class == 0) {
        return foo_result_locked(ref, client, sequence, EINVAL, 0); /* 0 means "any" (H11) */
    }
    if (length > FOO_EVENT_DATA_MAX) {
        return foo_result_locked(ref, client, sequence, EMSGSIZE, 0);
    }
    /* An event cannot be taken back: see first that its answer has room. */
    if (ctl_getenqueuespace(ref, client->unit, &space) != 0
        || space < sizeof(struct foo_message) + sizeof(struct foo_result)) {
        return ENOBUFS;
    }
    event->event_class = wanted.event_class;
    event->event_subclass = wanted.event_subclass;
    event->event_code = wanted.event_code;
    event->length = length;
    memcpy(event->data, foo_payload + sizeof(wanted), length);
    *post = 1;
    return 0;
}

static errno_t
foo_handle_locked(kern_ctl_ref ref, struct foo_client *client, struct foo_event *event, int *post)
{
    struct foo_message *header = &foo_scratch.header;
    uint64_t sequence = header->sequence;
    uint32_t length = header->length;

    FOO_LOG_LOCKED(2, "foo: unit %u sent type %u, %u bytes", client->unit, header->type, length);
    switch (header->type) {
    case FOO_HELLO:
        return length == 0 ? foo_answer_hello_locked(ref, client, sequence) : EINVAL;
    case FOO_ECHO:
        return foo_enqueue_locked(ref, client, FOO_ECHO, sequence, header, length);
    case FOO_EMIT_EVENT:
        return foo_emit_locked(ref, client, sequence, length, event, post);
    case FOO_SUBSCRIBE:
        return foo_subscribe_locked(ref, client, sequence, length);
    case FOO_GOODBYE:
        return foo_leave_locked(ref, client, sequence, length);
    default:
        return ENOTSUP;
    }
}

/* Post a client's event, tell it the outcome, and tell those who subscribed.  The client may be
 * gone by then, and is told nothing: its send() is over as well. */
static errno_t
foo_emit(kern_ctl_ref ref, uint32_t unit, void *unitinfo, uint64_t sequence,
    struct foo_event *event)
{
    struct foo_client *client;
    struct foo_result result;
    errno_t posted = foo_event_post(event);

    result.error = (uint32_t)posted;
    result.detail = foo_vendor_code;
    lck_mtx_lock(foo_lock);
    client = foo_client_find_locked(unitinfo, unit); /* the lock was free: look again */
    if (client != NULL) {
        /* Others may have taken the room meanwhile.  A send() that failed would be repeated, and
         * the event posted twice: so this answer is one that may be lost. */
        foo_tell_locked(ref, client, FOO_RESULT, sequence, &result, sizeof(result));
        if (posted == 0) {
            foo_notify_locked(ref, FOO_SUBSCRIBE_EVENTS, FOO_NOTICE_EVENT_EMITTED, client,
                event->event_class, event->event_code);
        }
    }
    lck_mtx_unlock(foo_lock);
    return 0;
}

/* Never EAGAIN: control sockets are always writable, and clients would spin (H8). */
errno_t
EPHandleWrite(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, mbuf_t m, int flags)
{
    struct foo_client *client;
    struct foo_event event;
    uint64_t sequence = 0;
    errno_t error;
    int post = 0;

    (void)flags;
    lck_mtx_lock(foo_lock);
    client = foo_client_find_locked(unitinfo, unit);
    error = client == NULL ? ENOTCONN : foo_read_locked(m);
    if (error == 0) {
        sequence = foo_scratch.header.sequence; /* before an answer takes the buffer */
        error = foo_handle_locked(ref, client, &event, &post);
    }
    if (error != 0) {
        foo_counters.errors++;
    }
    lck_mtx_unlock(foo_lock);
    mbuf_freem(m); /* ours whatever happened, errors included (K14) */

    return post ? foo_emit(ref, unit, unitinfo, sequence, &event) : error;
}
