/* Speaks to the served simulated kernel: frames, tags, the reading thread, those who wait. */
#include "link.h"

#include "panic.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OP_HOST 24
#define LARGEST_FRAME ((64u * 1024 + 64) * 1024) /* the longest option, and what goes with it */

/* A thread in link_ask. */
struct waiter {
    struct waiter *next;
    uint32_t tag;
    struct question *question;
    pthread_cond_t answered;
    int done;
    int error;
};

static int connection = -1;
static atomic_int closing;
static pthread_t reader;
static void (*on_call)(enum frame_kind, uint8_t *, size_t);

static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t waiting = PTHREAD_MUTEX_INITIALIZER;
static struct waiter *waiters;
static uint32_t last_tag;

static int send_all(const uint8_t *from, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(connection, from, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        from += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int receive_all(void *into, size_t size)
{
    uint8_t *to = into;
    while (size > 0) {
        ssize_t got = recv(connection, to, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        to += got;
        size -= (size_t)got;
    }
    return 0;
}

/* The kernel went away: what its kexts do now is of no interest to anybody. */
static _Noreturn void gone(const char *why)
{
    fprintf(stderr, "kext-host: %s\n", why);
    _exit(EXIT_KERNEL_GONE);
}

static void send_frame(enum frame_kind kind, const void *start, size_t start_size, const void *head,
                       size_t head_size, const void *tail, size_t tail_size)
{
    size_t body = start_size + head_size + tail_size;
    if (body > LARGEST_FRAME)
        panic("%zu bytes at once are more than the host can pass on", body);
    uint32_t header[2] = {(uint32_t)body, (uint32_t)kind};
    uint8_t *frame = malloc(sizeof header + body);
    if (frame == NULL)
        panic("the host has no memory for %zu bytes", body);
    uint8_t *end = frame;
    memcpy(end, header, sizeof header);
    end += sizeof header;
    memcpy(end, start, start_size);
    end += start_size;
    if (head_size > 0)
        memcpy(end, head, head_size);
    end += head_size;
    if (tail_size > 0)
        memcpy(end, tail, tail_size);
    pthread_mutex_lock(&writing);
    int result = send_all(frame, sizeof header + body);
    pthread_mutex_unlock(&writing);
    free(frame);
    if (result != 0 && !atomic_load(&closing))
        gone("the simulated kernel went away");
}

int link_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "kext-host: %s: the path of a socket has at most %zu bytes\n", path,
                sizeof address.sun_path - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "kext-host: %s: %s: is `kevmond simulate --listen %s` running?\n", path,
                strerror(errno), path);
        return -1;
    }
    uint32_t request[2] = {0, OP_HOST}, reply[2];
    if (send_all((uint8_t *)request, sizeof request) != 0 ||
        receive_all(reply, sizeof reply) != 0 || reply[0] != 0 || reply[1] != 0) {
        fprintf(stderr, "kext-host: %s: who is served there takes no kexts\n", path);
        return -1;
    }
    return 0;
}

/* ---- the reading thread ---- */

static void take_reply(const uint8_t *body, size_t size)
{
    uint32_t tag;
    int32_t error;
    if (size < sizeof tag + sizeof error)
        gone("the simulated kernel sent half a reply");
    memcpy(&tag, body, sizeof tag);
    memcpy(&error, body + sizeof tag, sizeof error);
    body += sizeof tag + sizeof error;
    size -= sizeof tag + sizeof error;

    pthread_mutex_lock(&waiting);
    struct waiter **place = &waiters;
    while (*place != NULL && (*place)->tag != tag)
        place = &(*place)->next;
    struct waiter *waiter = *place;
    if (waiter == NULL)
        gone("the simulated kernel answered what nobody asked");
    *place = waiter->next;
    struct question *question = waiter->question;
    if (error == 0 && size != question->answer_size)
        gone("the simulated kernel sent a reply of another size");
    if (error == 0 && size > 0)
        memcpy(question->answer, body, size);
    if (error == 0 && question->arrived != NULL)
        question->arrived(question);
    waiter->error = error;
    waiter->done = 1;
    pthread_cond_signal(&waiter->answered);
    pthread_mutex_unlock(&waiting);
}

static void *read_frames(void *unused)
{
    (void)unused;
    for (;;) {
        uint32_t header[2];
        if (receive_all(header, sizeof header) != 0)
            break;
        if (header[0] > LARGEST_FRAME)
            gone("the simulated kernel sent a frame that is too long");
        uint8_t *body = malloc(header[0]);
        if (body == NULL)
            panic("the host has no memory for %u bytes", header[0]);
        if (receive_all(body, header[0]) != 0) {
            free(body);
            break;
        }
        if (header[1] == REPLY) {
            take_reply(body, header[0]);
            free(body);
        } else {
            on_call((enum frame_kind)header[1], body, header[0]);
        }
    }
    if (!atomic_load(&closing))
        gone("the simulated kernel went away");
    return NULL;
}

void link_start(void (*call)(enum frame_kind kind, uint8_t *body, size_t size))
{
    on_call = call;
    if (pthread_create(&reader, NULL, read_frames, NULL) != 0)
        panic("the host cannot make a thread");
}

void link_close(void)
{
    atomic_store(&closing, 1);
    shutdown(connection, SHUT_RDWR);
    pthread_join(reader, NULL);
    close(connection);
}

/* ---- questions and answers ---- */

int link_ask(struct question *question)
{
    struct waiter waiter = {.question = question, .answered = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&waiting);
    waiter.tag = ++last_tag;
    waiter.next = waiters;
    waiters = &waiter;
    pthread_mutex_unlock(&waiting);
    send_frame(question->kind, &waiter.tag, sizeof waiter.tag, question->head, question->head_size,
               question->tail, question->tail_size);
    pthread_mutex_lock(&waiting);
    while (!waiter.done)
        pthread_cond_wait(&waiter.answered, &waiting);
    pthread_mutex_unlock(&waiting);
    pthread_cond_destroy(&waiter.answered);
    return waiter.error;
}

void link_return(uint32_t tag, int error, uint64_t unitinfo, const void *head, size_t head_size,
                 const void *tail, size_t tail_size)
{
    uint8_t start[16];
    int32_t number = error;
    memcpy(start, &tag, sizeof tag);
    memcpy(start + 4, &number, sizeof number);
    memcpy(start + 8, &unitinfo, sizeof unitinfo);
    send_frame(RETURN, start, sizeof start, head, head_size, tail, tail_size);
}
