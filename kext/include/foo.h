/* The protocol of the sample kernel extension, for both of its ends.
 *
 * A client finds the kernel control FOO_CONTROL_NAME, connects a SOCK_DGRAM socket of
 * PF_SYSTEM/SYSPROTO_CONTROL to it and exchanges messages: a struct foo_message, then `length`
 * bytes of what its type says.  One message is one datagram.  Options are those of level
 * SYSPROTO_CONTROL.  All integers are little endian, as is every Mac that this can run on.
 *
 * Needs nothing but <stdint.h>: C99, C11 and C++, in the kernel and outside, on any system. */
#ifndef FOO_H
#define FOO_H

#include <stdint.h>

/* -- Names ------------------------------------------------------------------------------------ */

#define FOO_BUNDLE_ID "org.mklinux.nke.foo"
#define FOO_VENDOR "org.mklinux.nke.foo" /* vendor string of its kernel events */

#ifndef FOO_CONTROL_NAME
#define FOO_CONTROL_NAME "org.mklinux.nke.foo"
#endif

#define FOO_VERSION_MAJOR 1
#define FOO_VERSION_MINOR 0
#define FOO_VERSION_PATCH 0
#define FOO_VERSION ((FOO_VERSION_MAJOR << 16) | (FOO_VERSION_MINOR << 8) | FOO_VERSION_PATCH)

/* -- Messages --------------------------------------------------------------------------------- */

#define FOO_MAGIC 0x4F4F464Bu /* "KFOO" */
#define FOO_PROTOCOL 1
#define FOO_MESSAGE_MAX 16384 /* header included */
#define FOO_QUEUE_SIZE 262144 /* bytes that the kernel queues for a client */
#define FOO_CLIENTS_MAX 16

struct foo_message {
    uint32_t magic;
    uint16_t version;  /* FOO_PROTOCOL */
    uint16_t type;     /* enum foo_type */
    uint64_t sequence; /* the sender's count on this connection, from 1 */
    uint64_t reply_to; /* sequence of the client's message that this answers; 0: asked by none */
    uint32_t dropped;  /* to a client: messages lost to it so far on this connection */
    uint32_t length;   /* bytes that follow */
};

/* A message that nobody asked for and that finds no room is lost: it has used up its sequence
 * number and is counted in the `dropped` of those that come after.  An answer that finds no room
 * is not lost: send() fails with ENOBUFS and nothing is counted, so the client can ask again.  (An
 * event to emit is posted only if its answer has room.  Should other messages take that room in the
 * meantime, it is posted once, and its answer counts as lost.)
 *
 * send() fails with EINVAL (not a message, or not of the length its type wants), ENOTSUP (a
 * version or type that is not known), EMSGSIZE (over FOO_MESSAGE_MAX) or ENOBUFS. */
enum foo_type {
    FOO_HELLO = 1,      /* from the kext at connect, and in answer to an empty one */
    FOO_ECHO = 2,       /* anything; comes back the same */
    FOO_EMIT_EVENT = 3, /* struct foo_emit_event, then the event's data; answered by a result */
    FOO_SUBSCRIBE = 4,  /* struct foo_subscribe; answered by a result that tells the mask */
    FOO_GOODBYE = 5,    /* from the kext, struct foo_goodbye: close your socket, please.  From a
                         * client, empty: ends its subscriptions; answered by a result */
    FOO_RESULT = 6,     /* struct foo_result */
    FOO_NOTICE = 7      /* struct foo_notice, to those who subscribed */
};

struct foo_hello {
    uint16_t protocol;
    uint16_t reserved;
    uint32_t version; /* FOO_VERSION of the kext */
    uint32_t unit;
    uint32_t max_message;
    uint32_t clients; /* connected, this one included */
    uint32_t max_clients;
    uint32_t vendor_code; /* of its kernel events */
    uint32_t event_class; /* of those that it posts of its own accord */
};

#define FOO_EVENT_DATA_MAX 200 /* what every kernel takes: one small mbuf holds an event */

/* The kernel event to post, with the kext's vendor code.  A class of 0 (which filters cannot tell
 * from "any") gives a result of EINVAL, data over the maximum one of EMSGSIZE. */
struct foo_emit_event {
    uint32_t event_class;
    uint32_t event_subclass;
    uint32_t event_code;
};

struct foo_subscribe {
    uint32_t mask; /* enum foo_subscription; replaces what was in force */
};

enum foo_subscription {
    FOO_SUBSCRIBE_CLIENTS = 1,
    FOO_SUBSCRIBE_COMMANDS = 2,
    FOO_SUBSCRIBE_EVENTS = 4,
    FOO_SUBSCRIBE_ALL = 7
};

struct foo_goodbye {
    uint32_t reason; /* enum foo_goodbye_reason */
};

enum foo_goodbye_reason {
    FOO_GOODBYE_UNLOADING = 1
};

struct foo_result {
    uint32_t error;  /* Darwin's errno; 0: done */
    uint32_t detail; /* subscribe: the mask; emit-event: the vendor code; else 0 */
};

struct foo_notice {
    uint32_t notice; /* enum foo_notice_kind */
    uint32_t unit;   /* of the client it is about */
    uint32_t pid;    /* of the process that connected it */
    uint32_t value;
    uint32_t argument;
};

enum foo_notice_kind {                /* value, argument */
    FOO_NOTICE_CLIENT_CONNECTED = 1,    /* uid, clients now */
    FOO_NOTICE_CLIENT_DISCONNECTED = 2, /* uid, clients now */
    FOO_NOTICE_COMMAND = 3,             /* the command's option, its argument */
    FOO_NOTICE_EVENT_EMITTED = 4        /* the event's class, its code */
};

/* -- Options ---------------------------------------------------------------------------------- */

/* An option that is not known, or not in that direction: ENOPROTOOPT.  A getsockopt without a
 * buffer tells the size; one whose buffer is too small fails with EMSGSIZE. */
enum foo_option {
    kEPCommand1 = 1,          /* set: nothing, or a uint32_t argument; get: uint32_t, times run */
    kEPCommand2 = 2,          /* the same */
    FOO_OPTION_VERSION = 3,   /* get: struct foo_version */
    FOO_OPTION_STATISTICS = 4, /* get: struct foo_statistics */
    FOO_OPTION_DEBUG = 5      /* get, and set by euid 0: uint32_t, 0 to FOO_DEBUG_MAX */
};

#define FOO_DEBUG_MAX 2 /* 1 logs connections and commands, 2 every message too */

struct foo_version {
    uint16_t protocol;
    uint16_t reserved;
    uint32_t version;
    uint32_t max_message;
    uint32_t header_size;
};

struct foo_statistics {
    uint32_t size; /* of this structure: later versions add at its end */
    uint32_t clients;
    uint64_t connects;
    uint64_t disconnects;
    uint64_t refused; /* connects */
    uint64_t messages_in;
    uint64_t bytes_in; /* headers included, as below */
    uint64_t messages_out;
    uint64_t bytes_out;
    uint64_t dropped;
    uint64_t events_posted;
    uint64_t commands;
    uint64_t errors; /* sends and options that failed, events that were not posted */
};

/* -- Kernel events ---------------------------------------------------------------------------- */

#define FOO_EVENT_CLASS 1
#define FOO_EVENT_SUBCLASS 1

enum foo_event_code {
    FOO_EVENT_LOADED = 1,              /* struct foo_event_loaded */
    FOO_EVENT_UNLOADING = 2,           /* nothing; it stays loaded while clients are connected */
    FOO_EVENT_CLIENT_CONNECTED = 3,    /* struct foo_event_connected */
    FOO_EVENT_CLIENT_DISCONNECTED = 4, /* struct foo_event_disconnected */
    FOO_EVENT_COMMAND = 5              /* struct foo_event_command */
};

struct foo_event_loaded {
    uint32_t version;
};

struct foo_event_connected {
    uint32_t unit;
    uint32_t pid;
    uint32_t uid;
};

struct foo_event_disconnected {
    uint32_t unit;
    uint32_t pid;
};

struct foo_event_command {
    uint32_t command;
    uint32_t argument;
    uint32_t unit;
    uint32_t pid;
};

/* -- Layouts: a compiler that pads otherwise must not speak this protocol ---------------------- */

#if defined(__cplusplus) && __cplusplus >= 201103L
#define FOO_ASSERT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define FOO_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define FOO_ASSERT(condition, name) typedef char foo_assert_##name[(condition) ? 1 : -1]
#endif

FOO_ASSERT(sizeof(struct foo_message) == 32, size_of_message);
FOO_ASSERT(sizeof(struct foo_hello) == 32, size_of_hello);
FOO_ASSERT(sizeof(struct foo_emit_event) == 12, size_of_emit_event);
FOO_ASSERT(sizeof(struct foo_subscribe) == 4, size_of_subscribe);
FOO_ASSERT(sizeof(struct foo_goodbye) == 4, size_of_goodbye);
FOO_ASSERT(sizeof(struct foo_result) == 8, size_of_result);
FOO_ASSERT(sizeof(struct foo_notice) == 20, size_of_notice);
FOO_ASSERT(sizeof(struct foo_version) == 16, size_of_version);
FOO_ASSERT(sizeof(struct foo_statistics) == 96, size_of_statistics);
FOO_ASSERT(sizeof(struct foo_event_command) == 16, size_of_event_command);

#ifdef __GNUC__ /* Clang too */
FOO_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, byte_order);
FOO_ASSERT(__builtin_offsetof(struct foo_message, type) == 6, offset_of_type);
FOO_ASSERT(__builtin_offsetof(struct foo_message, sequence) == 8, offset_of_sequence);
FOO_ASSERT(__builtin_offsetof(struct foo_message, reply_to) == 16, offset_of_reply_to);
FOO_ASSERT(__builtin_offsetof(struct foo_message, dropped) == 24, offset_of_dropped);
FOO_ASSERT(__builtin_offsetof(struct foo_message, length) == 28, offset_of_length);
FOO_ASSERT(__builtin_offsetof(struct foo_hello, vendor_code) == 24, offset_of_vendor_code);
FOO_ASSERT(__builtin_offsetof(struct foo_statistics, connects) == 8, offset_of_connects);
FOO_ASSERT(__builtin_offsetof(struct foo_statistics, errors) == 88, offset_of_errors);
#endif

#endif
