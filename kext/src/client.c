/* The table of connections: who comes, who goes, and what is sent to them. */
#include "internal.h"

lck_mtx_t *foo_lock;
struct foo_statistics foo_counters;
uint32_t foo_debug;
uint32_t foo_vendor_code;

static struct foo_client foo_clients[FOO_CLIENTS_MAX]; /* no heap: nothing to leak */
static int foo_stopping;

void
foo_clients_reset(void)
{
    bzero(foo_clients, sizeof(foo_clients));
    bzero(&foo_counters, sizeof(foo_counters));
    foo_stopping = 0;
    foo_debug = 0;
}

struct foo_client *
foo_client_find_locked(void *unitinfo, uint32_t unit)
{
    struct foo_client *client = unitinfo;

    /* NULL after a connect that failed: the kernel tells of a disconnect all the same (H5). */
    if (client == NULL || !client->in_use || client->unit != unit) {
        return NULL;
    }
    return client;
}

/* -- To a client ------------------------------------------------------------------------------ */

/* Numbers are given out under the lock that is held until the message is queued: clients see them in
 * order. */
errno_t
foo_enqueue_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type, uint64_t reply_to,
    struct foo_message *message, uint32_t length)
{
    uint32_t size = (uint32_t)sizeof(*message) + length; /* never 0: readers take it for EOF (H8) */
    errno_t error;

    message->magic = FOO_MAGIC;
    message->version = FOO_PROTOCOL;
    message->type = type;
    message->sequence = client->sequence + 1;
    message->reply_to = reply_to;
    message->dropped = client->dropped;
    message->length = length;

    /* Without CTL_DATA_EOR the next message would join this one (K16). */
    error = ctl_enqueuedata(ref, client->unit, message, size, CTL_DATA_EOR);
    if (error == 0) {
        client->sequence++;
        foo_counters.messages_out++;
        foo_counters.bytes_out += size;
    } else if (error == ENOMEM) {
        error = ENOBUFS; /* no mbuf or no room: to a client it is the same */
    }
    return error;
}

/* Header and a payload of fixed size, on the stack. */
struct foo_small {
    struct foo_message header;
    uint8_t payload[sizeof(struct foo_hello)]; /* the largest of them */
};

errno_t
foo_answer_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type, uint64_t reply_to,
    const void *payload, uint32_t length)
{
    struct foo_small small;

    if (length > sizeof(small.payload)) {
        return EMSGSIZE;
    }
    memcpy(small.payload, payload, length);
    return foo_enqueue_locked(ref, client, type, reply_to, &small.header, length);
}

/* The KPI has no call for "there is room again" (H9). */
void
foo_tell_locked(kern_ctl_ref ref, struct foo_client *client, uint16_t type, uint64_t reply_to,
    const void *payload, uint32_t length)
{
    if (foo_answer_locked(ref, client, type, reply_to, payload, length) != 0) {
        client->sequence++;
        client->dropped++;
        foo_counters.dropped++;
    }
}

static void
foo_hello_fill_locked(struct foo_hello *hello, const struct foo_client *client)
{
    bzero(hello, sizeof(*hello));
    hello->protocol = FOO_PROTOCOL;
    hello->version = FOO_VERSION;
    hello->unit = client->unit;
    hello->max_message = FOO_MESSAGE_MAX;
    hello->clients = foo_counters.clients;
    hello->max_clients = FOO_CLIENTS_MAX;
    hello->vendor_code = foo_vendor_code;
    hello->event_class = FOO_EVENT_CLASS;
}

errno_t
foo_answer_hello_locked(kern_ctl_ref ref, struct foo_client *client, uint64_t reply_to)
{
    struct foo_hello hello;

    foo_hello_fill_locked(&hello, client);
    return foo_answer_locked(ref, client, FOO_HELLO, reply_to, &hello, sizeof(hello));
}

void
foo_notify_locked(kern_ctl_ref ref, uint32_t subscription, uint32_t notice,
    const struct foo_client *about, uint32_t value, uint32_t argument)
{
    struct foo_notice payload;
    uint32_t i;

    payload.notice = notice;
    payload.unit = about->unit;
    payload.pid = about->pid;
    payload.value = value;
    payload.argument = argument;
    for (i = 0; i < FOO_CLIENTS_MAX; i++) {
        struct foo_client *client = &foo_clients[i];

        if (client->in_use && (client->mask & subscription) != 0) {
            foo_tell_locked(ref, client, FOO_NOTICE, 0, &payload, sizeof(payload));
        }
    }
}

/* -- Coming and going ------------------------------------------------------------------------- */

static errno_t
foo_admit_locked(uint32_t unit, struct foo_client **found)
{
    uint32_t i;

    *found = NULL;
    if (foo_stopping) {
        return EBUSY;
    }
    for (i = 0; i < FOO_CLIENTS_MAX; i++) {
        struct foo_client *client = &foo_clients[i];

        if (!client->in_use) {
            bzero(client, sizeof(*client));
            client->in_use = 1;
            client->unit = unit; /* the address to answer to (K12) */
            client->pid = (uint32_t)proc_selfpid();
            client->uid = kauth_cred_getuid(kauth_cred_get());
            *found = client;
            return 0;
        }
    }
    return ENOSPC;
}

/* May run before ctl_register has returned: `ref` is the only one there is by then (H4). */
errno_t
EPHandleConnect(kern_ctl_ref ref, struct sockaddr_ctl *address, void **unitinfo)
{
    struct foo_event_connected connected;
    struct foo_event event;
    struct foo_hello hello;
    struct foo_client *client;
    errno_t error;

    lck_mtx_lock(foo_lock);
    error = foo_admit_locked(address->sc_unit, &client);
    *unitinfo = client; /* NULL if refused: the disconnect that follows must find nothing (H5) */
    if (error != 0) {
        foo_counters.refused++;
        FOO_LOG_LOCKED(1, "foo: unit %u refused: error %d", address->sc_unit, error);
        lck_mtx_unlock(foo_lock);
        return error;
    }
    foo_counters.connects++;
    foo_counters.clients++;
    connected.unit = client->unit;
    connected.pid = client->pid;
    connected.uid = client->uid;
    foo_hello_fill_locked(&hello, client);
    foo_tell_locked(ref, client, FOO_HELLO, 0, &hello, sizeof(hello));
    foo_notify_locked(ref, FOO_SUBSCRIBE_CLIENTS, FOO_NOTICE_CLIENT_CONNECTED, client, client->uid,
        foo_counters.clients);
    FOO_LOG_LOCKED(1, "foo: unit %u connected, pid %u", connected.unit, connected.pid);
    lck_mtx_unlock(foo_lock);

    foo_event_fill(&event, FOO_EVENT_CLIENT_CONNECTED, &connected, sizeof(connected));
    (void)foo_event_post(&event);
    return 0;
}

/* No place to deregister from: the kernel still counts this socket (H6). */
errno_t
EPHandleDisconnect(kern_ctl_ref ref, u_int32_t unit, void *unitinfo)
{
    struct foo_event_disconnected disconnected;
    struct foo_event event;
    struct foo_client *client;

    lck_mtx_lock(foo_lock);
    client = foo_client_find_locked(unitinfo, unit);
    if (client == NULL) {
        lck_mtx_unlock(foo_lock);
        return 0; /* of a connect that was refused */
    }
    client->in_use = 0; /* first, so that it is not told of its own end */
    foo_counters.disconnects++;
    foo_counters.clients--;
    disconnected.unit = client->unit;
    disconnected.pid = client->pid;
    foo_notify_locked(ref, FOO_SUBSCRIBE_CLIENTS, FOO_NOTICE_CLIENT_DISCONNECTED, client,
        client->uid, foo_counters.clients);
    FOO_LOG_LOCKED(1, "foo: unit %u disconnected, %u messages lost", unit, client->dropped);
    lck_mtx_unlock(foo_lock);

    foo_event_fill(&event, FOO_EVENT_CLIENT_DISCONNECTED, &disconnected, sizeof(disconnected));
    (void)foo_event_post(&event);
    return 0;
}

/* Ask every client to let go, and take no new ones: the KPI cannot close a client's socket. */
void
foo_clients_stop(kern_ctl_ref ref)
{
    struct foo_goodbye goodbye = {FOO_GOODBYE_UNLOADING};
    uint32_t i;

    lck_mtx_lock(foo_lock);
    foo_stopping = 1;
    for (i = 0; i < FOO_CLIENTS_MAX; i++) {
        if (foo_clients[i].in_use) {
            foo_tell_locked(ref, &foo_clients[i], FOO_GOODBYE, 0, &goodbye, sizeof(goodbye));
        }
    }
    lck_mtx_unlock(foo_lock);
}

/* The unload was refused: everything goes on. */
void
foo_clients_resume(void)
{
    lck_mtx_lock(foo_lock);
    foo_stopping = 0;
    lck_mtx_unlock(foo_lock);
}
