/* What clients set and get with setsockopt and getsockopt. */
#include "internal.h"

static uint32_t foo_times_run[2]; /* command 1, command 2 */

void
foo_options_reset(void)
{
    bzero(foo_times_run, sizeof(foo_times_run));
}

/* A uint32_t at `data`, which is NULL for a setsockopt of nothing (K10). */
static errno_t
foo_number(const void *data, size_t size, uint32_t *number)
{
    if (data == NULL || size != sizeof(*number)) {
        return EINVAL;
    }
    memcpy(number, data, sizeof(*number)); /* it need not be aligned */
    return 0;
}

static errno_t
foo_command(kern_ctl_ref ref, uint32_t unit, void *unitinfo, uint32_t command, uint32_t argument)
{
    struct foo_event_command ran;
    struct foo_event event;
    struct foo_client *client;

    lck_mtx_lock(foo_lock);
    client = foo_client_find_locked(unitinfo, unit);
    if (client == NULL) {
        lck_mtx_unlock(foo_lock);
        return ENOTCONN;
    }
    foo_times_run[command - kEPCommand1]++;
    foo_counters.commands++;
    ran.command = command;
    ran.argument = argument;
    ran.unit = unit;
    ran.pid = client->pid;
    foo_notify_locked(ref, FOO_SUBSCRIBE_COMMANDS, FOO_NOTICE_COMMAND, client, command, argument);
    FOO_LOG_LOCKED(1, "foo: unit %u ran command %u with %u", unit, command, argument);
    lck_mtx_unlock(foo_lock);

    foo_event_fill(&event, FOO_EVENT_COMMAND, &ran, sizeof(ran));
    (void)foo_event_post(&event);
    return 0;
}

static errno_t
foo_set_debug(uint32_t level)
{
    if (level > FOO_DEBUG_MAX) {
        return EINVAL;
    }
    lck_mtx_lock(foo_lock);
    foo_debug = level;
    lck_mtx_unlock(foo_lock);
    return 0;
}

static errno_t
foo_failed(errno_t error)
{
    if (error != 0) {
        lck_mtx_lock(foo_lock);
        foo_counters.errors++;
        lck_mtx_unlock(foo_lock);
    }
    return error;
}

errno_t
EPHandleSet(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option, void *data, size_t size)
{
    uint32_t number = 0;
    errno_t error;

    switch (option) {
    case kEPCommand1:
    case kEPCommand2:
        error = size == 0 ? 0 : foo_number(data, size, &number);
        if (error == 0) {
            error = foo_command(ref, unit, unitinfo, (uint32_t)option, number);
        }
        break;
    case FOO_OPTION_DEBUG:
        /* CTL_FLAG_PRIVILEGED is tested at connect only, and sockets can be handed on. */
        if (kauth_cred_getuid(kauth_cred_get()) != 0) {
            error = EPERM;
            break;
        }
        error = foo_number(data, size, &number);
        if (error == 0) {
            error = foo_set_debug(number);
        }
        break;
    default:
        error = ENOPROTOOPT;
    }
    return foo_failed(error);
}

union foo_value {
    uint32_t number;
    struct foo_version version;
    struct foo_statistics statistics;
};

/* The value of an option as it is now; returns its size, 0 if there is no such option. */
static size_t
foo_value_locked(int option, union foo_value *value)
{
    bzero(value, sizeof(*value)); /* no stale stack in what is padding */
    switch (option) {
    case kEPCommand1:
    case kEPCommand2:
        value->number = foo_times_run[option - kEPCommand1];
        return sizeof(value->number);
    case FOO_OPTION_VERSION:
        value->version.protocol = FOO_PROTOCOL;
        value->version.version = FOO_VERSION;
        value->version.max_message = FOO_MESSAGE_MAX;
        value->version.header_size = sizeof(struct foo_message);
        return sizeof(value->version);
    case FOO_OPTION_STATISTICS:
        value->statistics = foo_counters;
        value->statistics.size = sizeof(value->statistics);
        return sizeof(value->statistics);
    case FOO_OPTION_DEBUG:
        value->number = foo_debug;
        return sizeof(value->number);
    default:
        return 0;
    }
}

/* With a buffer, never a *size over the one that came in: the kernel panics (K11). */
errno_t
EPHandleGet(kern_ctl_ref ref, u_int32_t unit, void *unitinfo, int option, void *data, size_t *size)
{
    union foo_value value;
    size_t wanted;

    (void)ref;
    (void)unit;
    (void)unitinfo;
    lck_mtx_lock(foo_lock);
    wanted = foo_value_locked(option, &value);
    lck_mtx_unlock(foo_lock);
    if (wanted == 0) {
        return foo_failed(ENOPROTOOPT);
    }
    if (data != NULL) { /* NULL only asks for the size */
        if (*size < wanted) {
            return foo_failed(EMSGSIZE);
        }
        memcpy(data, &value, wanted);
    }
    *size = wanted;
    return 0;
}
