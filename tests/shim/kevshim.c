/* Lets a program on Linux use PF_SYSTEM event sockets, served by a simulated kernel.
 *
 * Preloaded (LD_PRELOAD) with KEVSHIM_SERVER naming the Unix socket of that kernel, it answers the
 * libc calls that such a program makes on a Mac: socket, ioctl, getsockopt, setsockopt, close and
 * sysctlbyname, with Darwin's ioctl numbers and struct bytes.  Socket option numbers are this
 * system's, as programs built here pass them; errno numbers are this system's for Darwin's names.
 *
 * The descriptor a program gets is the real end of a packet socket on which whole messages arrive.
 * So recv, read, poll, epoll, fcntl and FIONBIO need nothing of us and cost nothing more.  (Reads
 * of length 0 are Linux's: on an empty socket recv gives EAGAIN, where XNU gives 0.)
 * Everything that is not on such a descriptor goes to libc.
 */
#include "client.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PF_SYSTEM_DARWIN 32
#define MOST_DESCRIPTORS 65536

#define SOL_SOCKET_DARWIN 0xffff
#define FIONREAD_DARWIN 0x4004667fu
#define IOC_OUT_DARWIN 0x40000000u
#define IOC_IN_DARWIN 0x80000000u
#define IOC_SIZE_DARWIN(request) (((request) >> 16) & 0x1fffu)

/* libc's own function of a name, as the calls that are not for us need it. */
#define REAL(name)                              \
    ({                                          \
        static __typeof__(&name) found;         \
        if (found == NULL)                      \
            found = real_function(#name);       \
        found;                                  \
    })

/* For each descriptor of ours, 1 + its connection to the simulated kernel; else 0. */
static _Atomic int connections[MOST_DESCRIPTORS];

static void *real_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

static int connection_of(int fd)
{
    if (fd < 0 || fd >= MOST_DESCRIPTORS)
        return -1;
    return atomic_load_explicit(&connections[fd], memory_order_relaxed) - 1;
}

static const char *server(void)
{
    const char *path = getenv("KEVSHIM_SERVER");
    return path != NULL && *path != '\0' ? path : NULL;
}

static int fail(int number)
{
    errno = number;
    return -1;
}

/* ---- socket, close ---- */

static int open_simulated(int connection, int type, int protocol)
{
    int32_t what[4] = {type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol, 0, (int32_t)getpid()};
    struct exchange exchange = {.head = what, .head_size = sizeof what};
    if (client_ask(connection, OP_SOCKET, &exchange) != 0)
        return -1;
    free(exchange.reply);
    int fd = exchange.descriptor;
    if (fd < 0)
        return fail(EIO);
    if (fd >= MOST_DESCRIPTORS) {
        REAL(close)(fd);
        return fail(EMFILE);
    }
    if ((type & SOCK_CLOEXEC) == 0)
        fcntl(fd, F_SETFD, 0);
    if ((type & SOCK_NONBLOCK) != 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    atomic_store(&connections[fd], connection + 1);
    return fd;
}

int socket(int domain, int type, int protocol)
{
    const char *path = server();
    if (domain != PF_SYSTEM_DARWIN || path == NULL)
        return REAL(socket)(domain, type, protocol);
    int connection = client_connect(path);
    if (connection < 0)
        return -1;
    int fd = open_simulated(connection, type, protocol);
    if (fd < 0) {
        int failure = errno;
        client_close(connection);
        errno = failure;
    }
    return fd;
}

int close(int fd)
{
    if (connection_of(fd) >= 0) {
        int connection = atomic_exchange(&connections[fd], 0) - 1;
        if (connection >= 0)
            client_close(connection);
    }
    return REAL(close)(fd);
}

/* ---- ioctl ---- */

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);

    int connection = connection_of(fd);
    uint32_t number = (uint32_t)request;
    if (connection < 0 || number == FIONBIO || number == FIOCLEX || number == FIONCLEX)
        return REAL(ioctl)(fd, request, argument);
    if (number == FIONREAD)
        number = FIONREAD_DARWIN;

    int moves = (number & (IOC_IN_DARWIN | IOC_OUT_DARWIN)) != 0;
    size_t size = moves ? IOC_SIZE_DARWIN(number) : 0;
    if (size > 0 && argument == NULL)
        return fail(EFAULT);
    struct exchange exchange = {
        .head = &number,
        .head_size = sizeof number,
        .tail = argument,
        .tail_size = (number & IOC_IN_DARWIN) != 0 ? size : 0,
    };
    if (client_ask(connection, OP_IOCTL, &exchange) != 0)
        return -1;
    if ((number & IOC_OUT_DARWIN) != 0)
        memcpy(argument, exchange.reply, exchange.reply_size < size ? exchange.reply_size : size);
    free(exchange.reply);
    return 0;
}

/* ---- getsockopt, setsockopt ---- */

/* Turn this system's level and name into Darwin's; 1 if libc can do the option on its own. */
static int translate_option(int32_t option[2])
{
    static const int names[][2] = {
        {SO_SNDBUF, 0x1001},   {SO_RCVBUF, 0x1002}, {SO_SNDLOWAT, 0x1003},
        {SO_RCVLOWAT, 0x1004}, {SO_ERROR, 0x1007},  {SO_TYPE, 0x1008},
    };
    if (option[0] != SOL_SOCKET)
        return 0;
    if (option[1] == SO_RCVTIMEO)
        return 1;
    option[0] = SOL_SOCKET_DARWIN;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (option[1] == names[i][0]) {
            option[1] = names[i][1];
            return 0;
        }
    }
    option[1] = -1;
    return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int connection = connection_of(fd);
    int32_t option[2] = {level, name};
    if (connection < 0 || translate_option(option))
        return REAL(getsockopt)(fd, level, name, value, size);
    struct exchange exchange = {.head = option, .head_size = sizeof option};
    if (client_ask(connection, OP_GETSOCKOPT, &exchange) != 0)
        return -1;
    if (exchange.reply_size < *size)
        *size = (socklen_t)exchange.reply_size;
    memcpy(value, exchange.reply, *size);
    free(exchange.reply);
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int connection = connection_of(fd);
    int32_t option[2] = {level, name};
    if (connection < 0 || translate_option(option))
        return REAL(setsockopt)(fd, level, name, value, size);
    struct exchange exchange = {
        .head = option,
        .head_size = sizeof option,
        .tail = value,
        .tail_size = size,
    };
    if (client_ask(connection, OP_SETSOCKOPT, &exchange) != 0)
        return -1;
    free(exchange.reply);
    return 0;
}

/* ---- calls that an event socket refuses ---- */

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return connection_of(fd) < 0 ? REAL(bind)(fd, address, size) : fail(EOPNOTSUPP);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return connection_of(fd) < 0 ? REAL(connect)(fd, address, size) : fail(EOPNOTSUPP);
}

int listen(int fd, int backlog)
{
    return connection_of(fd) < 0 ? REAL(listen)(fd, backlog) : fail(EOPNOTSUPP);
}

int accept(int fd, struct sockaddr *address, socklen_t *size)
{
    return connection_of(fd) < 0 ? REAL(accept)(fd, address, size) : fail(EOPNOTSUPP);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    return connection_of(fd) < 0 ? REAL(accept4)(fd, address, size, flags) : fail(EOPNOTSUPP);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return connection_of(fd) < 0 ? REAL(getsockname)(fd, address, size) : fail(EOPNOTSUPP);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    return connection_of(fd) < 0 ? REAL(getpeername)(fd, address, size) : fail(ENOTCONN);
}

int shutdown(int fd, int how)
{
    return connection_of(fd) < 0 ? REAL(shutdown)(fd, how) : fail(ENOTCONN);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    return connection_of(fd) < 0 ? REAL(send)(fd, data, size, flags) : fail(EOPNOTSUPP);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
               socklen_t address_size)
{
    if (connection_of(fd) < 0)
        return REAL(sendto)(fd, data, size, flags, address, address_size);
    return fail(EOPNOTSUPP);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return connection_of(fd) < 0 ? REAL(write)(fd, data, size) : fail(EOPNOTSUPP);
}

/* ---- sysctlbyname, which Linux lacks ---- */

int sysctlbyname(const char *name, void *old, size_t *old_size, const void *new, size_t new_size)
{
    const char *path = server();
    if (path == NULL)
        return fail(ENOSYS);
    int connection = client_connect(path);
    if (connection < 0)
        return -1;
    uint32_t writes = new != NULL || new_size > 0;
    struct exchange exchange = {
        .head = &writes,
        .head_size = sizeof writes,
        .tail = name,
        .tail_size = strlen(name),
    };
    int result = client_ask(connection, OP_SYSCTL, &exchange);
    int failure = errno;
    client_close(connection);
    if (result != 0)
        return fail(failure);
    uint32_t probe;
    if (exchange.reply_size < sizeof probe) {
        free(exchange.reply);
        return fail(EIO);
    }
    memcpy(&probe, exchange.reply, sizeof probe);
    size_t size = exchange.reply_size - sizeof probe;
    if (old_size != NULL && old == NULL) {
        *old_size = probe;
    } else if (old_size != NULL) {
        if (size > *old_size)
            result = fail(ENOMEM);
        else
            *old_size = size;
        memcpy(old, exchange.reply + sizeof probe, *old_size);
    }
    free(exchange.reply);
    return result;
}
