/* getsockopt and setsockopt on the sockets of a simulated kernel. */
#include "kevshim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What a request about an option begins with. */
struct option {
    int32_t level;
    int32_t name;
    uint32_t size; /* of the buffer; 1 or 0 for setsockopt: whether there is a value */
};

/* Turn this system's level and name into Darwin's; 1 if libc can do the option on its own. */
static int translate(struct option *option)
{
    static const int names[][2] = {
        {SO_SNDBUF, 0x1001},   {SO_RCVBUF, 0x1002}, {SO_SNDLOWAT, 0x1003},
        {SO_RCVLOWAT, 0x1004}, {SO_ERROR, 0x1007},  {SO_TYPE, 0x1008},
    };
    if (option->level != SOL_SOCKET)
        return 0;
    if (option->name == SO_RCVTIMEO)
        return 1;
    option->level = SOL_SOCKET_DARWIN;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (option->name == names[i][0]) {
            option->name = names[i][1];
            return 0;
        }
    }
    option->name = -1;
    return 0;
}

/* The length told may be more than there was room for, where there was none (NULL, or 0 bytes). */
int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    struct option option = {level, name, 0};
    if (kind_of(fd) == NOT_OURS || translate(&option))
        return REAL(getsockopt)(fd, level, name, value, size);
    if (size == NULL)
        return fail(EFAULT);
    option.size = *size;
    struct exchange exchange = {
        .head = &option,
        .head_size = sizeof option,
        .tail = value,
        .tail_size = value != NULL ? *size : 0,
    };
    if (ask(fd, OP_GETSOCKOPT, &exchange) != 0)
        return -1;
    uint32_t length;
    if (exchange.reply_size < sizeof length) {
        free(exchange.reply);
        return fail(EIO);
    }
    memcpy(&length, exchange.reply, sizeof length);
    size_t filled = exchange.reply_size - sizeof length;
    if (value != NULL)
        memcpy(value, exchange.reply + sizeof length, filled < *size ? filled : *size);
    *size = (socklen_t)length;
    free(exchange.reply);
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct option option = {level, name, size > 0};
    if (kind_of(fd) == NOT_OURS || translate(&option))
        return REAL(setsockopt)(fd, level, name, value, size);
    if (value == NULL && size > 0)
        return fail(EFAULT);
    struct exchange exchange = {
        .head = &option,
        .head_size = sizeof option,
        .tail = value,
        .tail_size = size,
    };
    if (ask(fd, OP_SETSOCKOPT, &exchange) != 0)
        return -1;
    free(exchange.reply);
    return 0;
}
