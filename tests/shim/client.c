/* Speaks to a served simulated kernel: frames, descriptors, and errno by name. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define LARGEST_BODY ((64u * 1024 + 64) * 1024)
#define TIMEOUT_SECONDS 10
#define PATIENT_SECONDS 60
#define NUMBERED "errno " /* what stands before the number of an error that has no name */
#define LARGEST_ERRNO 133 /* of this system */
#define OUT_OF_RANGE 1000

/* Darwin's errno names, as kext/host/include/sys/errno.h has them, and this system's numbers. */
static const struct {
    const char *name;
    int number;
} errnos[] = {
    {"EPERM", EPERM},
    {"ENOENT", ENOENT},
    {"ESRCH", ESRCH},
    {"EINTR", EINTR},
    {"EIO", EIO},
    {"ENXIO", ENXIO},
    {"E2BIG", E2BIG},
    {"ENOEXEC", ENOEXEC},
    {"EBADF", EBADF},
    {"ECHILD", ECHILD},
    {"EDEADLK", EDEADLK},
    {"ENOMEM", ENOMEM},
    {"EACCES", EACCES},
    {"EFAULT", EFAULT},
    {"ENOTBLK", ENOTBLK},
    {"EBUSY", EBUSY},
    {"EEXIST", EEXIST},
    {"EXDEV", EXDEV},
    {"ENODEV", ENODEV},
    {"ENOTDIR", ENOTDIR},
    {"EISDIR", EISDIR},
    {"EINVAL", EINVAL},
    {"ENFILE", ENFILE},
    {"EMFILE", EMFILE},
    {"ENOTTY", ENOTTY},
    {"EFBIG", EFBIG},
    {"ENOSPC", ENOSPC},
    {"EROFS", EROFS},
    {"EPIPE", EPIPE},
    {"EDOM", EDOM},
    {"ERANGE", ERANGE},
    {"EAGAIN", EAGAIN},
    {"EINPROGRESS", EINPROGRESS},
    {"EALREADY", EALREADY},
    {"ENOTSOCK", ENOTSOCK},
    {"EDESTADDRREQ", EDESTADDRREQ},
    {"EMSGSIZE", EMSGSIZE},
    {"EPROTOTYPE", EPROTOTYPE},
    {"ENOPROTOOPT", ENOPROTOOPT},
    {"EPROTONOSUPPORT", EPROTONOSUPPORT},
    {"ESOCKTNOSUPPORT", ESOCKTNOSUPPORT},
    {"ENOTSUP", ENOTSUP},
    {"EPFNOSUPPORT", EPFNOSUPPORT},
    {"EAFNOSUPPORT", EAFNOSUPPORT},
    {"EADDRINUSE", EADDRINUSE},
    {"EADDRNOTAVAIL", EADDRNOTAVAIL},
    {"ENETDOWN", ENETDOWN},
    {"ENETUNREACH", ENETUNREACH},
    {"ENETRESET", ENETRESET},
    {"ECONNABORTED", ECONNABORTED},
    {"ECONNRESET", ECONNRESET},
    {"ENOBUFS", ENOBUFS},
    {"EISCONN", EISCONN},
    {"ENOTCONN", ENOTCONN},
    {"ESHUTDOWN", ESHUTDOWN},
    {"ETIMEDOUT", ETIMEDOUT},
    {"ECONNREFUSED", ECONNREFUSED},
    {"ENAMETOOLONG", ENAMETOOLONG},
    {"EHOSTDOWN", EHOSTDOWN},
    {"EHOSTUNREACH", EHOSTUNREACH},
    {"EUSERS", EUSERS},
    {"ENOSYS", ENOSYS},
    {"EOVERFLOW", EOVERFLOW},
    {"ECANCELED", ECANCELED},
    {"EILSEQ", EILSEQ},
    {"EBADMSG", EBADMSG},
    {"EPROTO", EPROTO},
    {"ETIME", ETIME},
    {"EOPNOTSUPP", EOPNOTSUPP},
};

/* A number without a name comes through as it is, or moved out of the way where this system has an
 * error of that number: it is another one's. */
static int errno_without_name(int number)
{
    return number >= 0 && number <= LARGEST_ERRNO ? number + OUT_OF_RANGE : number;
}

static int errno_of(const uint8_t *name, size_t size)
{
    for (size_t i = 0; i < sizeof errnos / sizeof errnos[0]; i++)
        if (strlen(errnos[i].name) == size && memcmp(errnos[i].name, name, size) == 0)
            return errnos[i].number;
    size_t before = strlen(NUMBERED);
    if (size > before && memcmp(name, NUMBERED, before) == 0) /* the reply ends with a NUL of ours */
        return errno_without_name(atoi((const char *)name + before));
    return EIO;
}

static void wait_at_most(int connection, int seconds)
{
    struct timeval timeout = {.tv_sec = seconds};
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

void client_be_patient(int connection)
{
    wait_at_most(connection, PATIENT_SECONDS);
}

int client_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return -1;
    wait_at_most(connection, TIMEOUT_SECONDS);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        int failure = errno;
        client_close(connection);
        errno = failure;
        return -1;
    }
    return connection;
}

void client_close(int connection)
{
    char rest;
    if (shutdown(connection, SHUT_WR) == 0)
        while (recv(connection, &rest, 1, 0) > 0)
            ;
    close(connection);
}

static int send_all(int connection, const uint8_t *from, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(connection, from, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            errno = ECONNRESET;
            return -1;
        }
        from += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int send_request(int connection, enum operation operation, const struct exchange *exchange)
{
    if (exchange->tail_size > LARGEST_BODY - exchange->head_size) {
        errno = EINVAL;
        return -1;
    }
    uint32_t body = (uint32_t)(exchange->head_size + exchange->tail_size);
    uint32_t header[2] = {body, (uint32_t)operation};
    uint8_t *request = malloc(sizeof header + body);
    if (request == NULL)
        return -1;
    memcpy(request, header, sizeof header);
    if (exchange->head_size > 0)
        memcpy(request + sizeof header, exchange->head, exchange->head_size);
    if (exchange->tail_size > 0)
        memcpy(request + sizeof header + exchange->head_size, exchange->tail, exchange->tail_size);
    int result = send_all(connection, request, sizeof header + body);
    int failure = errno;
    free(request);
    errno = failure;
    return result;
}

/* Fill `data`; a descriptor that comes along is kept in `descriptor`. */
static int receive_all(int connection, void *data, size_t size, int *descriptor)
{
    uint8_t *into = data;
    while (size > 0) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec part = {.iov_base = into, .iov_len = size};
        struct msghdr message = {
            .msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof control.bytes,
        };
        ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            errno = ECONNRESET;
            return -1;
        }
        struct cmsghdr *first = CMSG_FIRSTHDR(&message);
        if (first != NULL && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_RIGHTS)
            memcpy(descriptor, CMSG_DATA(first), sizeof *descriptor);
        into += got;
        size -= (size_t)got;
    }
    return 0;
}

/* No late reply may be taken for that of another request: a connection that failed is at its end. */
static int broken(int connection)
{
    int failure = errno;
    shutdown(connection, SHUT_RDWR);
    errno = failure;
    return -1;
}

static int receive_reply(int connection, struct exchange *exchange)
{
    uint32_t header[2];
    if (receive_all(connection, header, sizeof header, &exchange->descriptor) != 0)
        return broken(connection);
    if (header[0] > LARGEST_BODY) {
        errno = EIO;
        return broken(connection);
    }
    exchange->reply_size = header[0];
    exchange->reply = malloc(header[0] + 1);
    if (exchange->reply == NULL ||
        receive_all(connection, exchange->reply, header[0], &exchange->descriptor) != 0)
        return broken(connection);
    exchange->reply[header[0]] = 0;
    if (header[1] != 0) {
        errno = errno_of(exchange->reply, exchange->reply_size);
        return -1;
    }
    return 0;
}

int client_ask(int connection, enum operation operation, struct exchange *exchange)
{
    exchange->reply = NULL;
    exchange->reply_size = 0;
    exchange->descriptor = -1;
    if (send_request(connection, operation, exchange) == 0 &&
        receive_reply(connection, exchange) == 0)
        return 0;
    int failure = errno;
    free(exchange->reply);
    exchange->reply = NULL;
    errno = failure;
    return -1;
}
