/* Runs calls concurrently: a thread that is idle takes the next; if there is none, one is made. */
#include "calls.h"

#include "panic.h"

#include <pthread.h>
#include <stdlib.h>

#define MOST_THREADS 256

struct call {
    struct call *next;
    enum frame_kind kind;
    uint8_t *body;
    size_t size;
};

static void (*run_call)(enum frame_kind, const uint8_t *, size_t);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct call *first, **last = &first;
static size_t queued, idle, started;
static int stopping;
static pthread_t threads[MOST_THREADS];

static void *work(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    for (;;) {
        idle++;
        while (first == NULL && !stopping)
            pthread_cond_wait(&changed, &mutex);
        idle--;
        struct call *call = first;
        if (call == NULL)
            break;
        first = call->next;
        if (first == NULL)
            last = &first;
        queued--;
        pthread_mutex_unlock(&mutex);
        run_call(call->kind, call->body, call->size);
        free(call->body);
        free(call);
        pthread_mutex_lock(&mutex);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

void calls_start(void (*run)(enum frame_kind kind, const uint8_t *body, size_t size))
{
    run_call = run;
}

void calls_submit(enum frame_kind kind, uint8_t *body, size_t size)
{
    struct call *call = malloc(sizeof *call);
    if (call == NULL)
        panic("the host has no memory for a call");
    *call = (struct call){.kind = kind, .body = body, .size = size};
    pthread_mutex_lock(&mutex);
    *last = call;
    last = &call->next;
    queued++;
    if (queued > idle && started < MOST_THREADS) {
        if (pthread_create(&threads[started], NULL, work, NULL) != 0)
            panic("the host cannot make a thread");
        started++;
    }
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
}

void calls_stop(void)
{
    pthread_mutex_lock(&mutex);
    stopping = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
