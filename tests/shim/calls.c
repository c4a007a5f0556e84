/* The calls on addresses and data: what an event socket refuses, and a control socket does. */
#include "kevshim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define LONGEST_ADDRESS 255 /* SOCK_MAXADDRLEN */

/* Darwin's numbers of message flags; what it has not is left out. */
static uint32_t darwin_flags(int flags)
{
    static const int numbers[][2] = {
        {MSG_OOB, 0x1},       {MSG_DONTROUTE, 0x4},     {MSG_EOR, 0x8},
        {MSG_DONTWAIT, 0x80}, {MSG_NOSIGNAL, 0x80000},
    };
    uint32_t result = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if ((flags & numbers[i][0]) != 0)
            result |= (uint32_t)numbers[i][1];
    return result;
}

/* ---- addresses ---- */

static int pass_address(int fd, enum operation operation, const void *address, socklen_t size)
{
    if (kind_of(fd) == EVENT_SOCKET)
        return fail(EOPNOTSUPP);
    if (size > LONGEST_ADDRESS)
        return fail(ENAMETOOLONG);
    if (address == NULL && size > 0)
        return fail(EFAULT);
    return ask_only(fd, operation, address, size);
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    if (kind_of(fd) == NOT_OURS)
        return REAL(bind)(fd, address, size);
    return pass_address(fd, OP_BIND, address, size);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (kind_of(fd) == NOT_OURS)
        return REAL(connect)(fd, address, size);
    int result = pass_address(fd, OP_CONNECT, address, size);
    if (result == 0)
        set_connected(fd);
    return result;
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    enum kind kind = kind_of(fd);
    if (kind == NOT_OURS)
        return REAL(getpeername)(fd, address, size);
    if (kind == EVENT_SOCKET)
        return fail(ENOTCONN);
    struct exchange exchange = {0};
    if (ask(fd, OP_GETPEER, &exchange) != 0)
        return -1;
    memcpy(address, exchange.reply, exchange.reply_size < *size ? exchange.reply_size : *size);
    *size = (socklen_t)exchange.reply_size;
    free(exchange.reply);
    return 0;
}

int listen(int fd, int backlog)
{
    return kind_of(fd) == NOT_OURS ? REAL(listen)(fd, backlog) : fail(EOPNOTSUPP);
}

int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    return kind_of(fd) == NOT_OURS ? REAL(accept)(fd, address, size) : fail(EOPNOTSUPP);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return kind_of(fd) == NOT_OURS ? REAL(accept4)(fd, address, size, flags) : fail(EOPNOTSUPP);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return kind_of(fd) == NOT_OURS ? REAL(getsockname)(fd, address, size) : fail(EOPNOTSUPP);
}

int shutdown(int fd, int how)
{
    enum kind kind = kind_of(fd);
    if (kind == NOT_OURS)
        return REAL(shutdown)(fd, how);
    if (kind == EVENT_SOCKET)
        return fail(ENOTCONN);
    int32_t darwin_how = how;
    return ask_only(fd, OP_SHUTDOWN, &darwin_how, sizeof darwin_how);
}

/* ---- sending: the control's function has the data when it returns ---- */

static ssize_t pass_data(int fd, const void *data, size_t size, int flags)
{
    if (kind_of(fd) == EVENT_SOCKET)
        return fail(EOPNOTSUPP);
    uint32_t darwin = darwin_flags(flags);
    struct exchange exchange = {
        .head = &darwin,
        .head_size = sizeof darwin,
        .tail = data,
        .tail_size = size,
    };
    if (ask(fd, OP_SEND, &exchange) != 0)
        return -1;
    uint32_t taken = 0;
    memcpy(&taken, exchange.reply, exchange.reply_size < sizeof taken ? 0 : sizeof taken);
    free(exchange.reply);
    return (ssize_t)taken;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    return kind_of(fd) == NOT_OURS ? REAL(send)(fd, data, size, flags)
                                   : pass_data(fd, data, size, flags);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return kind_of(fd) == NOT_OURS ? REAL(write)(fd, data, size) : pass_data(fd, data, size, 0);
}

/* An address is ignored: the socket is connected, or nothing can be sent anyway. */
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t address_size)
{
    if (kind_of(fd) == NOT_OURS)
        return REAL(sendto)(fd, data, size, flags, address, address_size);
    return pass_data(fd, data, size, flags);
}

/* Ancillary data is ignored too, as XNU does. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (kind_of(fd) == NOT_OURS)
        return REAL(sendmsg)(fd, message, flags);
    size_t size = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    char *data = malloc(size + 1);
    if (data == NULL)
        return fail(ENOMEM);
    char *end = data;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        end = mempcpy(end, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
    ssize_t taken = pass_data(fd, data, size, flags);
    int failure = errno;
    free(data);
    errno = failure;
    return taken;
}

/* ---- receiving: libc's own, but for a control socket that is connected to nothing ---- */

/* Whether there is nothing to read and never can be: ENOTCONN.  What was there is given out. */
static int is_idle(int fd)
{
    char byte;
    return kind_of(fd) == CONTROL_SOCKET &&
           REAL(recv)(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    return is_idle(fd) ? fail(ENOTCONN) : REAL(recv)(fd, data, size, flags);
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *address,
                 socklen_t *address_size)
{
    return is_idle(fd) ? fail(ENOTCONN)
                       : REAL(recvfrom)(fd, data, size, flags, address, address_size);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    return is_idle(fd) ? fail(ENOTCONN) : REAL(recvmsg)(fd, message, flags);
}

ssize_t read(int fd, void *data, size_t size)
{
    return is_idle(fd) ? fail(ENOTCONN) : REAL(read)(fd, data, size);
}
