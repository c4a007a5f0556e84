/* A connection to a served simulated kernel, as kevmond/kernel/simulated/wire.py describes it. */
#ifndef KEVSHIM_CLIENT_H
#define KEVSHIM_CLIENT_H

#include <stddef.h>
#include <stdint.h>

enum operation {
    OP_SOCKET = 1,
    OP_IOCTL = 2,
    OP_GETSOCKOPT = 3,
    OP_SETSOCKOPT = 4,
    OP_SYSCTL = 5,
    OP_CONNECT = 7,
    OP_BIND = 8,
    OP_SEND = 9,
    OP_GETPEER = 10,
    OP_SHUTDOWN = 11,
};

/* A request's body in two parts, and where the reply's body goes. */
struct exchange {
    const void *head;
    size_t head_size;
    const void *tail;
    size_t tail_size;
    uint8_t *reply; /* malloc'ed by client_ask; the caller frees it */
    size_t reply_size;
    int descriptor; /* that came with the reply, or -1 */
};

/* Each returns -1 with errno set as this system numbers it; the wire carries errno names.
 * One thread at a time may use a connection. */
int client_connect(const char *path);
int client_ask(int connection, enum operation operation, struct exchange *exchange);

/* Wait longer for replies: a control's own function may be slow. */
void client_be_patient(int connection);

/* Close the connection and wait until the server has taken note, as close(2) does on a Mac. */
void client_close(int connection);

#endif
