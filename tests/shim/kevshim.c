/* Lets a program on Linux use PF_SYSTEM sockets, served by a simulated kernel.
 *
 * Preloaded (LD_PRELOAD) with KEVSHIM_SERVER naming the Unix socket of that kernel, it answers the
 * libc calls that such a program makes on a Mac on event and control sockets, and sysctlbyname, with
 * Darwin's ioctl numbers and struct bytes.  Socket option and message flag numbers are this system's,
 * as programs built here pass them; errno numbers are this system's for Darwin's names, and one that
 * has no name is never one of this system's.  KEVSHIM_UID is the user that the simulated kernel takes
 * the program for, root unless set.
 *
 * The descriptor a program gets is the real end of a packet socket (a stream for a control of that
 * type) on which whole messages arrive.  So poll, epoll, fcntl and FIONBIO need nothing of us, and
 * reading next to nothing.  (Reads of length 0 are Linux's: on an empty socket recv gives EAGAIN,
 * where XNU gives 0.)  Everything that is not on such a descriptor goes to libc.
 *
 * This file: the descriptors, socket, close, ioctl and sysctlbyname.
 */
#include "kevshim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PF_SYSTEM_DARWIN 32
#define MOST_DESCRIPTORS 65536

#define FIONREAD_DARWIN 0x4004667fu
#define IOC_OUT_DARWIN 0x40000000u
#define IOC_IN_DARWIN 0x80000000u
#define IOC_SIZE_DARWIN(request) (((request) >> 16) & 0x1fffu)

/* For each descriptor of ours what it is, and 1 + its connection to the simulated kernel; else 0. */
static _Atomic int kinds[MOST_DESCRIPTORS];
static _Atomic int connections[MOST_DESCRIPTORS];

/* The process that opened each: a child that merely closes what it inherited must not end it. */
static pid_t owners[MOST_DESCRIPTORS];

/* Whose turn it is on each connection. */
static pthread_mutex_t turns[MOST_DESCRIPTORS] = {
    [0 ... MOST_DESCRIPTORS - 1] = PTHREAD_MUTEX_INITIALIZER,
};

void *real_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    return found;
}

int fail(int number)
{
    errno = number;
    return -1;
}

/* ---- the descriptors ---- */

enum kind kind_of(int fd)
{
    if (fd < 0 || fd >= MOST_DESCRIPTORS)
        return NOT_OURS;
    return (enum kind)atomic_load_explicit(&kinds[fd], memory_order_relaxed);
}

/* Not if it was closed meanwhile: then the number is somebody else's, or soon will be. */
void set_connected(int fd)
{
    int expected = CONTROL_SOCKET;
    atomic_compare_exchange_strong(&kinds[fd], &expected, CONNECTED_CONTROL_SOCKET);
}

int ask(int fd, enum operation operation, struct exchange *exchange)
{
    int connection = atomic_load(&connections[fd]) - 1;
    if (connection < 0)
        return fail(EBADF);
    pthread_mutex_lock(&turns[connection]);
    int closed = atomic_load(&connections[fd]) - 1 != connection;
    int result = closed ? fail(EBADF) : client_ask(connection, operation, exchange);
    int failure = errno;
    pthread_mutex_unlock(&turns[connection]);
    errno = failure;
    return result;
}

int ask_only(int fd, enum operation operation, const void *data, size_t size)
{
    struct exchange exchange = {.head = data, .head_size = size};
    if (ask(fd, operation, &exchange) != 0)
        return -1;
    free(exchange.reply);
    return 0;
}

static const char *server(void)
{
    const char *path = getenv("KEVSHIM_SERVER");
    return path != NULL && *path != '\0' ? path : NULL;
}

static int32_t simulated_uid(void)
{
    const char *uid = getenv("KEVSHIM_UID");
    return uid != NULL ? (int32_t)strtol(uid, NULL, 10) : 0;
}

/* ---- socket, close ---- */

static int adopt(int connection, int fd, int type, enum kind kind)
{
    if (fd < 0)
        return fail(EIO);
    if (fd >= MOST_DESCRIPTORS || connection >= MOST_DESCRIPTORS) {
        REAL(close)(fd);
        return fail(EMFILE);
    }
    if ((type & SOCK_CLOEXEC) == 0)
        fcntl(fd, F_SETFD, 0);
    if ((type & SOCK_NONBLOCK) != 0)
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (kind == CONTROL_SOCKET)
        client_be_patient(connection);
    owners[fd] = getpid();
    atomic_store(&connections[fd], connection + 1);
    atomic_store(&kinds[fd], (int)kind);
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
    int plain_type = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
    int32_t what[5] = {plain_type, protocol, 0, (int32_t)getpid(), simulated_uid()};
    struct exchange exchange = {.head = what, .head_size = sizeof what};
    int fd = client_ask(connection, OP_SOCKET, &exchange);
    if (fd == 0) {
        free(exchange.reply);
        enum kind kind = plain_type == SOCK_RAW ? EVENT_SOCKET : CONTROL_SOCKET;
        fd = adopt(connection, exchange.descriptor, type, kind);
    }
    if (fd < 0) {
        int failure = errno;
        client_close(connection);
        errno = failure;
    }
    return fd;
}

/* A request that another thread makes on the socket is waited for, as the kernel does. */
int close(int fd)
{
    if (kind_of(fd) != NOT_OURS && owners[fd] == getpid()) {
        atomic_store(&kinds[fd], NOT_OURS);
        int connection = atomic_exchange(&connections[fd], 0) - 1;
        if (connection >= 0) {
            pthread_mutex_lock(&turns[connection]);
            client_close(connection);
            pthread_mutex_unlock(&turns[connection]);
        }
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

    uint32_t number = (uint32_t)request;
    if (kind_of(fd) == NOT_OURS || number == FIONBIO || number == FIOCLEX || number == FIONCLEX)
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
    if (ask(fd, OP_IOCTL, &exchange) != 0)
        return -1;
    if ((number & IOC_OUT_DARWIN) != 0)
        memcpy(argument, exchange.reply, exchange.reply_size < size ? exchange.reply_size : size);
    free(exchange.reply);
    return 0;
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
