/* The descriptors that stand for sockets of a simulated kernel, shared by the library's files. */
#ifndef KEVSHIM_H
#define KEVSHIM_H

#include "client.h"

#define SOL_SOCKET_DARWIN 0xffff
#define SYSPROTO_CONTROL_DARWIN 2

/* libc's own function of a name, as the calls that are not for us need it. */
#define REAL(name)                              \
    ({                                          \
        static __typeof__(&name) found;         \
        if (found == NULL)                      \
            found = real_function(#name);       \
        found;                                  \
    })

enum kind {
    NOT_OURS,
    EVENT_SOCKET,
    CONTROL_SOCKET,
    CONNECTED_CONTROL_SOCKET,
};

void *real_function(const char *name);

enum kind kind_of(int fd);
void set_connected(int fd);

/* Make a request about a socket of ours; -1 with errno.  Threads that ask about the same socket take
 * turns; those that ask about different ones do not wait for each other. */
int ask(int fd, enum operation operation, struct exchange *exchange);

/* The same where the reply holds nothing that is wanted. */
int ask_only(int fd, enum operation operation, const void *data, size_t size);

/* Set errno and return -1. */
int fail(int number);

#endif
